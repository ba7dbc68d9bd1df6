// What one run of an operator took.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pit {

/// What a stage's kernels were busy with, on the average of their blocks. Copies, products and
/// stores go on beside each other, so that the three may add up to more than the stage took.
/// Microseconds.
struct StageWork {
  std::string stage;
  double us = 0;  ///< of the stage
  double gather_us = 0, compute_us = 0, scatter_us = 0;
};

/// What an index kept.
struct IndexFill {
  std::string index;
  double density = 0;  ///< micro-tiles kept, of all
  std::optional<double>
      fill;  ///< iterations that pass the predicates, of those in kept micro-tiles
};

/// What one run of an operator took. Times are in microseconds: of wall-clock time on the host, of
/// the device's time on a CUDA device.
struct RunStatistics {
  double check_us = 0;    ///< checking arguments and data
  double index_us = 0;    ///< building sparse indices
  double compute_us = 0;  ///< everything else that the operator does
  double total_us = 0;    ///< the whole call, on the host's clock
  std::int64_t peak_workspace_bytes = 0;
  std::vector<std::pair<std::string, double>>
      stages{};  ///< name, microseconds; in the order they ran
  std::vector<std::pair<std::string, double>>
      statistics{};  ///< "live.kept", "live.candidates", ...

  /// Of stages whose kernels copy into shared memory in stages, in the order they ran: on a CUDA
  /// device, of code for a target with the feature `profile`. Elsewhere there are none.
  std::vector<StageWork> work() const;
  /// Of indices that are built; fill: of list indices, for a target with the feature `profile`.
  std::vector<IndexFill> fills() const;
};

/// All of it as a table, for people.
std::string to_string(const RunStatistics &statistics);

}  // namespace pit
