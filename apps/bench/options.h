// The command line of the benchmark.
#pragma once

#include <pit/pit.h>

#include <optional>
#include <string>

#include "measure.h"

namespace pit::bench {

struct Options {
  bool help = false, list = false;
  std::string cases = "*";                ///< a pattern of case names
  std::string json, svg, markdown, from;  ///< paths or empty
  Target target;
  int threads = 0;  ///< 0: one and two
  std::optional<unsigned> seed;
  bool small = false, quick = false;
  Budget budget;
};

/// With a CUDA target the time of a case is shorter than on the host if no --seconds says it.
/// program::UsageError for unknown options and values that do not fit.
Options parse_options(int count, char **arguments);

/// What --help prints.
std::string help_text();

}  // namespace pit::bench
