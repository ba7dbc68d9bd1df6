# What the project needs from outside. Everything is in Debian 12's own repositories; `./dev build` installs it.

find_package(Threads REQUIRED)

# LLVM's version file refuses a plain "22": minor versions are separate interfaces. Debian installs it under a prefix
# of its own, which CMake does not search by itself.
find_package(LLVM 22.1 QUIET CONFIG HINTS /usr/lib/llvm-22)
if(NOT LLVM_FOUND)
  message(FATAL_ERROR
    "LLVM 22.1 was not found. On Debian 12 install it with\n"
    "  apt-get install llvm-22-dev llvm-22-tools libzstd-dev libxml2-dev zlib1g-dev\n"
    "(from the bookworm-security repository), or set LLVM_DIR to the folder that holds LLVMConfig.cmake.")
endif()
message(STATUS "LLVM ${LLVM_PACKAGE_VERSION} in ${LLVM_DIR}")

# The parts of LLVM that are used, where its libraries are linked statically.
set(pit_llvm_components core orcjit native nvptxcodegen nvptxdesc nvptxinfo passes linker bitreader object)

# pit_llvm_headers: as system headers, so that their warnings are not ours.
add_library(pit_llvm_headers INTERFACE)
target_include_directories(pit_llvm_headers SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS})
separate_arguments(pit_llvm_definitions NATIVE_COMMAND "${LLVM_DEFINITIONS}")
target_compile_definitions(pit_llvm_headers INTERFACE ${pit_llvm_definitions})

# pit_llvm: the headers and the libraries.
add_library(pit_llvm INTERFACE)
target_link_libraries(pit_llvm INTERFACE pit_llvm_headers)
if(PIT_SHARED)
  # What other machines may lack is linked statically, too.
  find_library(PIT_ZLIB libz.a REQUIRED)
  find_library(PIT_ZSTD libzstd.a REQUIRED)
  set_property(TARGET LLVMSupport PROPERTY
    INTERFACE_LINK_LIBRARIES rt dl m ${PIT_ZLIB} ${PIT_ZSTD} LLVMDemangle)
endif()
if(PIT_LLVM_STATIC OR PIT_SHARED)
  llvm_map_components_to_libnames(pit_llvm_libraries ${pit_llvm_components})
  target_link_libraries(pit_llvm INTERFACE ${pit_llvm_libraries})
elseif(TARGET LLVM)
  target_link_libraries(pit_llvm INTERFACE LLVM)
else()
  message(FATAL_ERROR "${LLVM_DIR} has no shared libLLVM; configure with -DPIT_LLVM_STATIC=ON.")
endif()

find_package(Boost 1.74 QUIET)
if(NOT Boost_FOUND)
  message(FATAL_ERROR "Boost's headers (Boost.Hana) were not found. On Debian install libboost-dev.")
endif()

find_package(TBB QUIET CONFIG)
if(NOT TBB_FOUND)
  message(FATAL_ERROR "oneTBB was not found. On Debian install libtbb-dev.")
endif()

find_path(PIT_DLPACK_INCLUDE_DIR dlpack/dlpack.h)
if(NOT PIT_DLPACK_INCLUDE_DIR)
  message(FATAL_ERROR "dlpack/dlpack.h was not found. On Debian install libdlpack-dev.")
endif()
add_library(pit_dlpack INTERFACE)
target_include_directories(pit_dlpack SYSTEM INTERFACE $<BUILD_INTERFACE:${PIT_DLPACK_INCLUDE_DIR}>)

if(PIT_BUILD_TESTS)
  find_package(doctest QUIET CONFIG)
  if(NOT doctest_FOUND)
    message(FATAL_ERROR "doctest was not found. On Debian install doctest-dev, or set -DPIT_BUILD_TESTS=OFF.")
  endif()
endif()

# The CUDA driver is loaded at run time, so nothing is linked; the Toolkit's nvJitLink is used when it is there.
find_package(CUDAToolkit QUIET)
if(CUDAToolkit_FOUND)
  message(STATUS "CUDA Toolkit ${CUDAToolkit_VERSION} in ${CUDAToolkit_TARGET_DIR}")
else()
  message(STATUS "CUDA Toolkit: not found (optional; the driver compiles PTX)")
endif()
