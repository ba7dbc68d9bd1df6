// Runs the systems of a problem in turn, checks what they compute and times it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "case.h"
#include "row.h"

namespace pit::bench {

struct Budget {
  double seconds = 2;  ///< of timed runs, at least
  int fewest = 5;      ///< rounds, at least
  int most = 200;
};

/// The rows of `problem` on `threads` threads.
///
/// Every system first computes every data set into memory filled with NaN, and sampled elements are
/// compared with float64 arithmetic; this warms up, too. Then rounds follow: in each, every system
/// runs once, on the data set whose turn it is, in an order that is another one in the next round.
/// So whatever else the machine does slows all of them, and caches do not hold the data. In the
/// end the outputs of the last round are compared again.
///
/// Appends to `wrong` a line for every system whose result is wrong.
std::vector<Row> measure(const std::string &name, const Problem &problem, int threads,
                         const Budget &budget,
                         const std::function<void(const std::string &)> &progress,
                         std::vector<std::string> &wrong);

}  // namespace pit::bench
