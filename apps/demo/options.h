// The command line of the demonstration.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>

#include "cases.h"

namespace pit::demo {

/// The command line is wrong; the message says how.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Options {
  bool help = false, list = false;
  std::string cases = "*";  ///< a pattern of case names
  std::string json;         ///< a path, "-" for standard output, or empty
  Target target;
  int threads = 0;  ///< 0: all that there are
  DataOptions data;
};

/// UsageError for unknown options and values that do not fit.
Options parse_options(int count, char **arguments);

/// What --help prints.
std::string help_text();

/// Whether `text` is described by `pattern`, in which * stands for any characters and ? for one.
bool matches(const std::string &pattern, const std::string &text);

}  // namespace pit::demo
