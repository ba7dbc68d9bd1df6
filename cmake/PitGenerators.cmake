# Operators compiled ahead of time, for projects that use pit and for pit itself.
include_guard(GLOBAL)

# pit_add_generator(<target> SOURCES <file>...)
#
# A program of generators: the files register them with PIT_GENERATOR. `<target> --help` says what it does. It runs while
# the project is built, so when that is for another machine it is not made here, but taken from the folder that
# PIT_HOST_GENERATORS names, where a build of the same project for this machine has put it.
function(pit_add_generator target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES")
  if(NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "pit_add_generator(${target} SOURCES <file>...)")
  endif()
  if(CMAKE_CROSSCOMPILING)
    set(program "${PIT_HOST_GENERATORS}/${target}")
    if(NOT PIT_HOST_GENERATORS OR NOT EXISTS ${program})
      message(FATAL_ERROR "the generator ${target} must run on this machine, and this build is for another one: build the "
                          "project for this machine, too, and set PIT_HOST_GENERATORS to the folder with its ${target}")
    endif()
    add_executable(${target} IMPORTED GLOBAL)
    set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${program})
    return()
  endif()
  add_executable(${target} ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE pit::generator)
endfunction()

# pit_add_library(<name> FROM <generator program> GENERATOR <generator>
#                 [TARGETS <target>...] [PARAMS <parameter>=<value>...] [SCHEDULE <file>])
#
# The operator <name>, a function of C: a target that brings its archive, its header <name.h> and pit::runtime to those
# who link it. TARGETS as in pit::Target, by default "host". FROM may be a program that another build made (an imported
# target, or a path), when this one is for another machine.
function(pit_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FROM;GENERATOR;SCHEDULE" "TARGETS;PARAMS")
  if(NOT arg_FROM OR NOT arg_GENERATOR OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "pit_add_library(${name} FROM <program> GENERATOR <name> [TARGETS <target>...] "
                        "[PARAMS <parameter>=<value>...] [SCHEDULE <file>]); got: ${ARGN}")
  endif()
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/${name}.pit)
  set(words -g ${arg_GENERATOR} -f ${name} -o ${folder} ${arg_PARAMS})
  if(arg_TARGETS)
    list(JOIN arg_TARGETS "," targets)
    list(APPEND words target=${targets})
  endif()
  if(arg_SCHEDULE)
    cmake_path(ABSOLUTE_PATH arg_SCHEDULE)
    list(APPEND words schedule=${arg_SCHEDULE})
  endif()
  add_custom_command(
    OUTPUT ${folder}/${name}.a ${folder}/${name}.h
    COMMAND ${arg_FROM} ${words}
    DEPENDS ${arg_FROM} ${arg_SCHEDULE}
    COMMENT "Compiling the operator ${name}"
    VERBATIM)
  add_custom_target(${name}_operator DEPENDS ${folder}/${name}.a ${folder}/${name}.h)
  add_library(${name} INTERFACE)
  add_dependencies(${name} ${name}_operator)
  target_include_directories(${name} INTERFACE $<BUILD_INTERFACE:${folder}>)
  target_link_libraries(${name} INTERFACE $<BUILD_INTERFACE:${folder}/${name}.a> pit::runtime)
  set_target_properties(${name} PROPERTIES PIT_ARCHIVE ${folder}/${name}.a PIT_HEADER ${folder}/${name}.h)
endfunction()

# pit_install_library(<name> EXPORT <export set>)
#
# Installs the archive and the header of an operator of pit_add_library, and its target in the export set.
function(pit_install_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "EXPORT" "")
  include(GNUInstallDirs)
  get_target_property(archive ${name} PIT_ARCHIVE)
  get_target_property(header ${name} PIT_HEADER)
  install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR} RENAME lib${name}.a)
  install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  target_include_directories(${name} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${name} INTERFACE
    $<INSTALL_INTERFACE:$<INSTALL_PREFIX>/${CMAKE_INSTALL_LIBDIR}/lib${name}.a>)
  install(TARGETS ${name} EXPORT ${arg_EXPORT})
endfunction()
