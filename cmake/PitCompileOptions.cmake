# How the project's own files are compiled: language standards, warnings, sanitizers, ccache.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)  # with -std=c11 the C library hides POSIX; -Wpedantic still refuses language extensions
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
  endif()
  # Assertions stay on, and -g1 keeps line numbers in back traces without the cost of full debug information.
  # The compiler's own time is LLVM's, which is optimised: -O1 makes building it a quarter shorter. Operators run code that LLVM
  # makes, and the runtime, in C.
  set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1")
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")

  find_program(PIT_CCACHE ccache)
  if(PIT_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_C_COMPILER_LAUNCHER ${PIT_CCACHE})
    # Precompiled headers are kept, too, if the times and macros that they hold are not asked for.
    set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros ${PIT_CCACHE})
  endif()
endif()

# Flags of the project's own targets, never of its users.
add_library(pit_warnings INTERFACE)
target_compile_options(pit_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wpointer-arith -Wvla -Wundef
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi -Wredundant-move>
  # Directives take structures of options by designated initialisers; what is left out has its default.
  $<$<COMPILE_LANGUAGE:CXX>:-Wno-missing-field-initializers>
  $<$<BOOL:${PIT_WARNINGS_AS_ERRORS}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees an overlap in `"text" + std::string` that is not there (GCC bug 105651).
  target_compile_options(pit_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()

if(PIT_SANITIZE)
  if(NOT PIT_SANITIZE MATCHES "^(address|undefined|thread)$")
    message(FATAL_ERROR "PIT_SANITIZE is '${PIT_SANITIZE}'; it may be address, undefined, thread or empty.")
  endif()
  add_compile_options(-fsanitize=${PIT_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${PIT_SANITIZE})
  if(PIT_SANITIZE STREQUAL "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
  # The instrumentation hides initialisations from GCC's flow analysis.
  target_compile_options(pit_warnings INTERFACE -Wno-maybe-uninitialized)
endif()
