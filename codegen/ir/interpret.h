// Executes a module on the host without LLVM: the oracle of the back ends.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir.h"

namespace pit::ir {

/// A tensor argument: element (i0, i1, ...) is at data + (i0 * strides[0] + ...) * type.bytes().
struct TensorArgument {
  void *data = nullptr;
  std::vector<std::int64_t> extents, strides;
};

/// A scalar argument as its value (integers up to 2^53 exactly).
using ScalarArgument = double;

/// Runs module.body. Throws RuntimeError with the message of the first failed Check, and
/// InternalError for an access out of bounds, a read of an element never written (poison),
/// colliding Assign iterations, or colliding parallel iterations. Reading an output's element that
/// the module has not written is a read of poison too. `statistics`, when not null, receives the
/// numbers of module.statistics (which start at 0).
void interpret(const Module &module, const std::vector<TensorArgument> &inputs,
               const std::vector<ScalarArgument> &scalars,
               const std::vector<TensorArgument> &outputs,
               std::vector<double> *statistics = nullptr);

}  // namespace pit::ir
