# Headers of others, precompiled: what many source files would parse again each. The project's own are never among them,
# because a change of one must not rebuild everything. A source file includes what it uses nevertheless: the presets of
# sanitizers build without (CMAKE_DISABLE_PRECOMPILE_HEADERS), and say so when one does not.
#
# pit_precompiled(<name> [PROGRAM] HEADERS <header>... [OPTIONS <option>...] [LINK <target>...])
#
# <name> is a target for target_precompile_headers(... REUSE_FROM <name>), and nothing else. Those who use it compile with
# the same options and define at least the same macros; PROGRAM: they are programs, else libraries.
function(pit_precompiled name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "PROGRAM" "" "HEADERS;OPTIONS;LINK")
  set(source ${PROJECT_BINARY_DIR}/${name}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "")
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${source})
  if(arg_PROGRAM)
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${name} PRIVATE ${CMAKE_CXX_COMPILE_OPTIONS_PIE})
  endif()
  target_compile_options(${name} PRIVATE ${arg_OPTIONS})
  target_link_libraries(${name} PRIVATE pit_warnings ${arg_LINK})
  target_precompile_headers(${name} PRIVATE ${arg_HEADERS})
endfunction()

set(pit_std_headers <algorithm> <array> <cmath> <cstdint> <cstdio> <cstring> <filesystem> <fstream> <functional> <limits>
    <map> <memory> <optional> <random> <set> <sstream> <stdexcept> <string> <unordered_map> <utility> <vector>)

pit_precompiled(pit_precompiled_std HEADERS ${pit_std_headers})
