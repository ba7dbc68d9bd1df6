# cmake --install: the headers as <pit/...>, the libraries, and what find_package(pit) reads. Component `runtime` is what
# programs that call compiled operators need, `development` the rest: the compiler.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/pit)
# Operators need the runtime alone: it has an export set of its own.
install(TARGETS pit_runtime pit_dlpack EXPORT pitRuntimeTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime)
install(EXPORT pitRuntimeTargets NAMESPACE pit:: DESTINATION ${package_folder} COMPONENT runtime)
if(TARGET pit_run)
  install(TARGETS pit_run RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
endif()
if(PIT_SHARED)
  install(TARGETS pit pit_shared pit_generator EXPORT pitTargets
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
else()
  set(compiler_layers ${pit_layers})
  list(REMOVE_ITEM compiler_layers pit_runtime)
  install(TARGETS pit pit_generator ${compiler_layers} pit_llvm pit_llvm_headers
          EXPORT pitTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
endif()
install(EXPORT pitTargets NAMESPACE pit:: DESTINATION ${package_folder} COMPONENT development)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/pitConfig.cmake.in ${PROJECT_BINARY_DIR}/pitConfig.cmake
                              INSTALL_DESTINATION ${package_folder} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/pitConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/pitConfig.cmake ${PROJECT_BINARY_DIR}/pitConfigVersion.cmake
              ${CMAKE_CURRENT_LIST_DIR}/PitGenerators.cmake
        DESTINATION ${package_folder} COMPONENT runtime)
configure_file(${CMAKE_CURRENT_LIST_DIR}/pit-runtime.pc.in ${PROJECT_BINARY_DIR}/pit-runtime.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/pit-runtime.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT runtime)

# dsl/ becomes include/pit/, so what its headers include as "dsl/..." is "pit/..." there.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/dsl/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pit COMPONENT development
        FILES_MATCHING PATTERN "*.h")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pit/runtime COMPONENT runtime
        FILES_MATCHING PATTERN "*.h")
foreach(component runtime development)
  install(CODE "
    file(GLOB_RECURSE headers
         \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_INCLUDEDIR}/pit/*.h\")
    foreach(header IN LISTS headers)
      execute_process(COMMAND sed -i -E
        \"/^ *# *include/{s@\\\"dsl/@\\\"pit/@; s@\\\"runtime/@\\\"pit/runtime/@}\" \"\${header}\"
        COMMAND_ERROR_IS_FATAL ANY)
    endforeach()" COMPONENT ${component})
endforeach()
include(PitPackages)
