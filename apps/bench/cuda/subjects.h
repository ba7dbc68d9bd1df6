// Systems on a CUDA device, as subjects of a measurement.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "case.h"
#include "libraries.h"

namespace pit::bench::cuda {

/// The inputs of an operator on the device, by the names of its signature.
using Inputs = std::map<std::string, AnyBuffer>;

/// A compiled operator with the arguments of its calls.
class Operator {
 public:
  /// An output of `type` and `extents` is made for each data set; compiled for settings.target.
  Operator(const Pipeline &pipeline, const Device &device, const Settings &settings,
           std::vector<Inputs> sets, Type type, const Shape &extents);

  /// Puts a call into the device's stream.
  void enqueue(int set) const;
  /// Calls and waits, with the times of its stages.
  RunStatistics measured(int set) const;
  const std::vector<AnyBuffer> &outputs() const { return outputs_; }

 private:
  Callable callable_;
  std::vector<Inputs> inputs_;
  std::vector<AnyBuffer> outputs_;
  std::vector<std::vector<CallArgument>> arguments_;  // point into the two
};

/// An operator as a subject whose index time and workspace are those of a measured call.
Subject pit_subject(const std::string &system, std::shared_ptr<const Operator> compiled);

/// A subject that could not be made, and why.
Subject missing_subject(const std::string &system, const std::string &why);

/// cuBLAS on A[m, k] and B[k, n] of each data set, as `system`.
Subject cublas_subject(const Device &device, const std::string &system,
                       const std::vector<AnyBuffer> &a, const std::vector<AnyBuffer> &b,
                       bool tf32 = false);

}  // namespace pit::bench::cuda
