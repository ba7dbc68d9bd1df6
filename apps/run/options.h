// The command line of pit-run.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "array.h"

namespace pit::run {

/// Of made-up values, both bounds included.
struct Range {
  double low, high;
};

/// Zeros: a share of the blocks that the last dimensions are cut into.
struct Sparsity {
  double zeros = 0;
  Shape block{};  ///< of the last dimensions; empty: single elements
};

struct Options {
  std::vector<std::string> libraries;
  std::string op;  ///< the operator's name; "": the only one
  bool help = false, describe = false, benchmark = false, workspace = false;
  std::map<std::string, Shape> shapes;
  std::map<std::string, std::string> inputs, outputs, expected;  ///< files
  std::map<std::string, Range> ranges;
  std::map<std::string, Sparsity> sparsity;
  std::map<std::string, double> scalars;
  std::optional<double> tolerance;
  unsigned seed = 1;
  std::optional<int> device;  ///< a CUDA device; none: the host
  int threads = 0;            ///< 0: all
  double seconds = 1;
  std::string json;  ///< a file, "-": standard output, "": none
};

/// program::UsageError where the command line is wrong.
Options parse_options(int count, char **arguments);

std::string help_text();

}  // namespace pit::run
