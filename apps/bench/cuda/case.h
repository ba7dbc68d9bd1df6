// Cases that are measured on a CUDA device: what the host's are (see ../case.h), with work that is
// put into the device's stream.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/bench/case.h"
#include "driver.h"

namespace pit::bench::cuda {

/// A system that computes a problem. Its functions are called from one thread.
struct Subject {
  std::string system{};
  std::string missing{};  ///< why it cannot compute this: "not found"; then nothing else is set
  /// Puts the computation of data set number `set` into the stream.
  std::function<void(int set)> enqueue{};
  /// Of the kernels that `enqueue` launches those whose time counts, which then is all index time;
  /// none: all of them.
  std::function<bool(const std::string &kernel)> counted{};
  /// What a round counts in place of the time of `enqueue`: microseconds.
  std::function<double()> sample_us{};
  int kernels = 0;  ///< launches of what `sample_us` times; those of `enqueue` are counted
  /// Computes data set 0 again and says how long that took to build sparse indices or convert
  /// formats, in microseconds; none: there is no such part.
  std::function<double()> index_us{};
  /// Of a run, at its peak; none: 0.
  std::function<double()> workspace_bytes{};
  std::vector<AnyBuffer> outputs{};  ///< on the device, of every data set; empty: nothing to check
  /// Sampled elements of its output of a data set, where they are not those of the Problem.
  std::function<std::vector<Expected>(int set)> expected{};
  std::vector<Versus> versus{};
};

/// A case with its data, which is random. Rounds take the data sets in turn.
struct Problem {
  Type type{};
  std::string micro{};               ///< micro-tile: "64x1", or empty
  std::optional<double> sparsity{};  ///< share of the micro-tiles that are zero
  std::optional<double> fill{};      ///< share of non-zeros in the micro-tiles that are kept
  int sets = 1;
  std::vector<Subject> subjects{};
  /// Sampled elements of the output of a data set. The value NaN: nothing is written there.
  std::function<std::vector<Expected>(int set)> expected{};
};

struct Case {
  std::string name;
  std::function<Problem(const Device &, const Settings &)> make;
};

/// All cases, in the order in which they are shown. Needs no device.
std::vector<Case> all_cases();
std::vector<std::string> case_names();

// The groups that all_cases consists of.
void add_gather_cases(std::vector<Case> &cases);
void add_dense_cases(std::vector<Case> &cases);
void add_spmm_cases(std::vector<Case> &cases);
void add_moe_cases(std::vector<Case> &cases);
void add_activation_cases(std::vector<Case> &cases);
void add_attention_cases(std::vector<Case> &cases);
void add_part_cases(std::vector<Case> &cases);

}  // namespace pit::bench::cuda
