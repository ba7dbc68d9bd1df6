# What `cmake --install` adds where PIT_SHARED is on, so that the installed tree needs nothing but a C library: the
# programs, the tests, and the shared libraries that libpit.so and they use.
foreach(folder apps test docs/lessons)
  get_property(targets DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(type ${target} TYPE)
    if(type MATCHES "^(EXECUTABLE|MODULE_LIBRARY)$")
      set_property(TARGET ${target} PROPERTY INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
      install(TARGETS ${target} RUNTIME DESTINATION bin LIBRARY DESTINATION bin)
    endif()
  endforeach()
endforeach()

install(FILES $<TARGET_FILE:TBB::tbb> DESTINATION ${CMAKE_INSTALL_LIBDIR} RENAME libtbb.so.12)
foreach(library libstdc++.so.6 libgcc_s.so.1 libgomp.so.1)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=${library}
                  OUTPUT_VARIABLE path OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  file(REAL_PATH ${path} path)
  install(FILES ${path} DESTINATION ${CMAKE_INSTALL_LIBDIR} RENAME ${library})
endforeach()

install(FILES ${PIT_DLPACK_INCLUDE_DIR}/dlpack/dlpack.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/dlpack)
install(FILES ${PROJECT_SOURCE_DIR}/apps/demo/text.txt DESTINATION apps/demo)
install(PROGRAMS ${PROJECT_SOURCE_DIR}/apps/bench/peers.py DESTINATION bin)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${CMAKE_CURRENT_LIST_DIR}/pack/README.md DESTINATION .)
foreach(script run-tests run-gpu-tests run-bench)
  install(PROGRAMS ${CMAKE_CURRENT_LIST_DIR}/pack/${script} DESTINATION .)
endforeach()

# What Debian says of the licences of the libraries inside.
foreach(package llvm-22-dev libtbb12 libstdc++6 libgomp1 zlib1g libzstd1)
  if(EXISTS /usr/share/doc/${package}/copyright)
    install(FILES /usr/share/doc/${package}/copyright DESTINATION licenses RENAME ${package})
  endif()
endforeach()
