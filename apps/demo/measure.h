// Runs both schedules of a case, times them and compares them with the interpreter.
#pragma once

#include <string>

#include "cases.h"

namespace pit::demo {

/// Times of one schedule in microseconds: medians over its runs.
struct Times {
  double index = 0, run = 0, total = 0;
};

/// How far one schedule's output is from the interpreter's values.
struct Deviation {
  double relative = 0;  ///< largest |y - reference| / largest |reference|, over the samples
  std::string wrong;    ///< says what is wrong when a sample is beyond the bound; else empty
};

struct Measurement {
  std::string name;
  std::string target;        ///< "host", "cuda" or what was asked for
  std::string about;         ///< see Problem
  int runs = 0;              ///< of each schedule
  double interruptions = 0;  ///< a second of the runs: how often other programs took a core away
  double density = 0, fill = 0, dense_fill = 0;
  Times sparse, dense;
  Deviation sparse_error, dense_error;
  std::size_t compared = 0;  ///< elements of the output
  double speed_up() const { return dense.total / sparse.total; }
};

/// Compiles for `target`, warms up, runs the two schedules in turn (so that whatever else the
/// machine does slows both), and compares the samples with the interpreter. Calls `progress` before
/// each step with what comes next. What pit throws is let through.
Measurement measure(const std::string &name, const Problem &problem, const Target &target,
                    const std::function<void(const std::string &)> &progress);

}  // namespace pit::demo
