// Which sums go from registers to memory by way of shared memory.
#pragma once

#include "codegen/ir/ir.h"
#include "dsl/target.h"

namespace pit::lower {

/// Gives stores of accumulators to memory a strip (codegen/ir/strip.h), a warp's part of which it
/// fills and empties alone:
///   before   role consumer { ... store m, n: C[..] = %acc[m, n] }
///   after    role consumer { shared %strip: float32[8, 16, 72]
///                            ... store m, n: C[..] = %acc[m, n] through %strip }
/// The stores of a role share the strips of their element types. A strip takes what shared memory
/// is left: kernels keep their stages, and a device runs as many of their blocks at a time.
///
/// Runs when the statements of kernels are final.
ir::Module store_through(const ir::Module &module, const Target &target);

}  // namespace pit::lower
