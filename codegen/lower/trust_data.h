// Kernels that believe what the caller's data say, for targets with the feature `no_asserts`.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// Without the stages that only test elements of the caller's tensors (lists that are given,
/// offsets that ascend, indices that are data), and without the memory that they alone used:
///   before   heap found; stage check { found[..] = rows(..) < extent; check found } stage compute
///   after    stage compute
/// Tests of shapes stay: they cost nothing, and what they allow is how much memory is taken. So do
/// tests that a stage makes beside its work, and those of what the module itself has counted.
ir::Module trust_data(const ir::Module &module);

}  // namespace pit::lower
