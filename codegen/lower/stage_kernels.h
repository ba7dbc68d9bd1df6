// Kernels that multiply matrices take the staged form, where the target has instructions for it.
#pragma once

#include <vector>

#include "form_mma.h"
#include "kernel_choice.h"
#include "lower.h"

namespace pit::lower {

/// Pipelines every Launch with a loop of loads and products that `target`'s matrix instructions can
/// do (matrix_units.h, pipeline.h), and says in `explanation` (may be null) of each definition what
/// was chosen, or why its kernel multiplies by threads.
///
/// software_pipeline and warp_specialize are followed to the letter: CompileError when that many
/// stages have no room in shared memory. What is not said is chosen: two warpgroups that multiply
/// for tiles of 128 rows or more, else one, with four warps that copy; four stages, or as many as
/// there is room for. Whether a kernel takes the form at all never depends on the directives.
///
/// Kernels for asynchronous instructions are persistent, and boxes are copied in bulk. cluster()
/// and tile_order() of what the kernel stores are followed: clusters, where an operand is the same
/// in all their blocks.
///
/// Runs when Launches are final: what a block does is then one statement.
ir::Module stage_kernels(const ir::Module &module, const ProductChoices &choices,
                         const KernelChoices &kernels, const Target &target,
                         std::vector<Explanation> *explanation);

}  // namespace pit::lower
