// Runs the systems of a problem on a device in turn, checks what they compute and times it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/bench/measure.h"
#include "apps/bench/row.h"
#include "case.h"

namespace pit::bench::cuda {

/// The rows of `problem`.
///
/// Every system first computes every data set into memory filled with NaN, and sampled elements are
/// compared with float64 arithmetic; this warms up, too. Then its work on all data sets, one after
/// the other, is recorded as a graph. In a round every system's graph is replayed once, in an order
/// that is another one in the next round, between two events of the stream; the host is ahead, so
/// that nothing waits for it. The time of a graph / the number of data sets is the round's. Of a
/// system of which some kernels count, the graph that is timed has these alone. In the end outputs
/// are filled with NaN again, computed by a replay of everything and compared.
///
/// A system that fails has a row with the message. Appends to `wrong` a line for every system that
/// fails or whose result is wrong.
std::vector<Row> measure(const Device &device, const std::string &name, const Problem &problem,
                         const Budget &budget,
                         const std::function<void(const std::string &)> &progress,
                         std::vector<std::string> &wrong);

}  // namespace pit::bench::cuda
