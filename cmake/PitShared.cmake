# pit_shared: libpit.so, all layers and the parts of LLVM, zlib and zstd that they use. Those are hidden, so that they do
# not meet another LLVM in the process of the user.
add_library(pit_shared SHARED)
foreach(layer IN LISTS pit_layers)
  get_target_property(type ${layer} TYPE)
  if(type STREQUAL STATIC_LIBRARY)
    target_sources(pit_shared PRIVATE $<TARGET_OBJECTS:${layer}>)
  endif()
endforeach()
target_link_libraries(pit_shared PUBLIC pit_dlpack PRIVATE $<BUILD_INTERFACE:pit_llvm>
                      TBB::tbb Threads::Threads ${CMAKE_DL_LIBS})
target_link_options(pit_shared PRIVATE
  -Wl,--exclude-libs,ALL -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/pack/exports.map
  -Wl,--gc-sections -Wl,--as-needed -Wl,-z,defs)
target_include_directories(pit_shared INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include> $<INSTALL_INTERFACE:include>)
set_property(TARGET pit_shared APPEND PROPERTY LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/pack/exports.map)
set_target_properties(pit_shared PROPERTIES OUTPUT_NAME pit SOVERSION 0 LINKER_LANGUAGE CXX INSTALL_RPATH "$ORIGIN")
