# pit_add_layer(<name> FOLDERS <folder>... [LINK <target>...] [USE <target>...])
#
# A static library of every source file directly in the folders, which are relative to the calling CMakeLists.txt. New
# files are picked up by the next build. LINK targets are seen by those who link the layer; USE targets are private. A
# layer without a source file yet is an INTERFACE library, so that others can already name it.
function(pit_add_layer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "FOLDERS;LINK;USE")
  set(patterns ${arg_FOLDERS})
  list(TRANSFORM patterns PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  set(sources)
  foreach(pattern ${patterns})
    file(GLOB found CONFIGURE_DEPENDS ${pattern}/*.cpp ${pattern}/*.c)
    list(APPEND sources ${found})
  endforeach()

  if(sources)
    add_library(${name} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(${name} PRIVATE $<BUILD_INTERFACE:pit_warnings> ${arg_USE})
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope}
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
    $<INSTALL_INTERFACE:include>)
  target_link_libraries(${name} ${scope} ${arg_LINK})
endfunction()
