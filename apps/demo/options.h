// The command line of the demonstration.
#pragma once

#include <optional>
#include <string>

#include "cases.h"

namespace pit::demo {

struct Options {
  bool help = false, list = false;
  std::string cases = "*";  ///< a pattern of case names
  std::string json;         ///< a path, "-" for standard output, or empty
  std::optional<Target>
      target;       ///< none: this machine's CPU, and its first CUDA device if there is one
  int threads = 0;  ///< 0: all that there are
  DataOptions data;
};

/// program::UsageError for unknown options and values that do not fit.
Options parse_options(int count, char **arguments);

/// What --help prints.
std::string help_text();

}  // namespace pit::demo
