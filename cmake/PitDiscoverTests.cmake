# pit_discover_tests(<target> <prefix>)
#
# Makes every test case of a doctest program a ctest test <prefix>/<test case>, labelled <prefix>. The program is asked
# for its test cases each time it is built. doctest comes with a similar function; it fails on names such as
# "half open [0, n)", and a name that it garbles selects nothing and passes.

if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(pit_discover_tests_script ${CMAKE_CURRENT_LIST_FILE})

  function(pit_discover_tests target prefix)
    set(tests ${CMAKE_CURRENT_BINARY_DIR}/${target}_tests.cmake)
    set(timeout 300)  # seconds
    if(PIT_SANITIZE)
      set(timeout 1200)
    endif()
    add_custom_command(TARGET ${target} POST_BUILD VERBATIM BYPRODUCTS ${tests}
      COMMAND ${CMAKE_COMMAND} -Dprogram=$<TARGET_FILE:${target}> -Dprefix=${prefix} -Dtests=${tests}
              -Dtimeout=${timeout} -P ${pit_discover_tests_script})
    set(include ${CMAKE_CURRENT_BINARY_DIR}/${target}_include.cmake)
    file(WRITE ${include} "if(EXISTS [==[${tests}]==])\n  include([==[${tests}]==])\nelse()\n"
                          "  add_test(${prefix}/not_built ${target}_is_not_built)\nendif()\n")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${include})
  endfunction()
  return()
endif()

# As a script: lists the test cases of `program` and writes the file `tests` that registers them.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND ${program} --list-test-cases OUTPUT_VARIABLE names RESULT_VARIABLE result ERROR_VARIABLE errors)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${program} --list-test-cases: ${result}\n${errors}${names}")
endif()

# In a CMake list brackets and semicolons would not stay what they are.
string(REPLACE "[doctest]" "<doctest>" names "${names}")
string(REPLACE "[" "<left bracket>" names "${names}")
string(REPLACE "]" "<right bracket>" names "${names}")
string(REPLACE ";" "<semicolon>" names "${names}")
string(REPLACE "\\" "<backslash>" names "${names}")
string(REPLACE "\n" ";" names "${names}")
list(FILTER names EXCLUDE REGEX "^(<doctest>.*|=+|)$")
list(REMOVE_DUPLICATES names)

set(script)
foreach(name IN LISTS names)
  # The filter's own syntax is left out of it: a question mark stands for any character.
  string(REGEX REPLACE "<(left bracket|right bracket|semicolon|backslash)>" "?" filter "${name}")
  string(REGEX REPLACE "[^-A-Za-z0-9_ .:/()=+<>']" "?" filter "${filter}")
  string(REPLACE "<left bracket>" "[" name "${name}")
  string(REPLACE "<right bracket>" "]" name "${name}")
  string(REPLACE "<semicolon>" "," name "${name}")
  string(REPLACE "<backslash>" "/" name "${name}")
  string(REPLACE "]==]" "] == ]" name "${name}")
  string(APPEND script "add_test([==[${prefix}/${name}]==] [==[${program}]==] [==[--test-case=${filter}]==])\n"
    "set_tests_properties([==[${prefix}/${name}]==] PROPERTIES TIMEOUT ${timeout} LABELS ${prefix}"
    # A filter that selects nothing must not pass.
    " FAIL_REGULAR_EXPRESSION \"test cases: +0 \")\n")
endforeach()
file(WRITE ${tests} "${script}")
