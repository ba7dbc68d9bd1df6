// The cases of the demonstration: an operator with data, sampled where the interpreter looks.
#pragma once

#include <pit/pit.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace pit::demo {

/// An operator in its sparse and its dense schedule, with data for both.
struct Problem {
  std::string about;  ///< sizes, for people
  std::function<Pipeline(const Target &)> sparse, dense;
  std::map<std::string, AnyBuffer> inputs;  ///< of both, by the names of their signatures
  Type type;                                ///< of the output
  Shape extents;                            ///< of the output
  std::string index;                        ///< of the sparse schedule; names its statistics
  double passing;     ///< iterations that pass the predicate, of those that micro-tiles consist of
  double micro_size;  ///< such iterations in one micro-tile
  double dense_iterations;  ///< such iterations of the dense schedule
  double longest_sum;       ///< terms of the longest sum, which float32 rounding errors grow with
  std::vector<Shape> samples;  ///< coordinates of the output that are compared with the interpreter
};

/// What the user asked for, as far as data depends on it.
struct DataOptions {
  unsigned seed = 1;
  std::string text;  ///< the path of the text of the feed-forward cases; empty: the one shipped
};

struct Case {
  std::string name;
  std::function<Problem(const DataOptions &)> make;
};

/// All cases, in the order in which they are shown.
std::vector<Case> all_cases();

}  // namespace pit::demo
