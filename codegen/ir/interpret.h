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

/// How the roles of a kernel take turns, and when what is under way lands: as late as drains and
/// barriers allow, at once, or at any time. All give the same result unless the module is wrong.
enum class Landing : std::uint8_t { Late, AtOnce, Random };
struct Interleaving {
  std::uint32_t seed = 0;
  Landing landing = Landing::Late;
};

/// Runs module.body. Throws RuntimeError with the message of the first failed Check, and
/// InternalError for an access out of bounds, a read of an element never written (poison),
/// colliding Assign iterations, or colliding parallel iterations; in kernels also for accesses of
/// two statements to one element, or to the memory of one tile after another, without the Sync that
/// orders them, and in those of the staged level for accesses to shared memory that nothing orders,
/// reads of what has not landed, reads that the async proxy may not do yet, registers that a matrix
/// instruction under way uses, and roles that wait for each other forever. Reading an output's
/// element that the module has not written is a read of poison too. `statistics`, when not null,
/// receives the numbers of module.statistics (which start at 0).
void interpret(const Module &module, const std::vector<TensorArgument> &inputs,
               const std::vector<ScalarArgument> &scalars,
               const std::vector<TensorArgument> &outputs,
               std::vector<double> *statistics = nullptr, const Interleaving &interleaving = {});

}  // namespace pit::ir
