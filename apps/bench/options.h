// The command line of the benchmark.
#pragma once

#include <pit/pit.h>

#include <optional>
#include <string>
#include <vector>

#include "measure.h"

namespace pit::bench {

struct Options {
  std::string command;  ///< the command line as a shell reads it, without the program's folder
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

/// What a run measures.
struct Chosen {
  std::vector<std::string> names;
  std::vector<std::string> left_out;  ///< by --quick, though the pattern matches them
};
/// Of the cases `all` of the target. A pattern of one's own keeps what it matches; without one
/// --quick leaves out what has no target. program::UsageError where nothing matches.
Chosen chosen_cases(const Options &options, const std::vector<std::string> &all);

/// What --help prints.
std::string help_text();

}  // namespace pit::bench
