// Kernels that multiply matrices take the staged form, where the target has instructions for it.
#pragma once

#include <vector>

#include "form_mma.h"
#include "kernel_choice.h"
#include "lower.h"

namespace pit::lower {

/// Pipelines every Launch with a loop of loads and products that an atom of `target` can do
/// (codegen/ir/atoms.h, pipeline.h), and says in `explanation` (may be null) of each definition
/// what was chosen, or why its kernel multiplies element by element. Producers and consumers where
/// warpgroups multiply the types, else warps that all copy and multiply. CompileError when a
/// schedule names an atom that its kernel cannot use.
///
/// software_pipeline and warp_specialize are followed to the letter: CompileError when that many
/// stages have no room in shared memory. What is not said is chosen: two warpgroups that multiply
/// for tiles of 128 rows or more, else one, with four warps that copy; four stages, for which large
/// steps are divided (split_steps.h), or as many as there is room for; three where all warps copy,
/// with as many warps as the tile's sums ask for. Whether a kernel takes the form at all never
/// depends on the directives.
///
/// Kernels for asynchronous instructions are persistent, and boxes are copied in bulk. cluster()
/// and tile_order() of what the kernel stores are followed: clusters, where an operand is the same
/// in all their blocks; LongestFirst, where rows take different numbers of steps, by a kernel that
/// ranks them (longest_first.h).
///
/// Runs when Launches are final: what a block does is then one statement.
ir::Module stage_kernels(const ir::Module &module, const ProductChoices &choices,
                         const KernelChoices &kernels, const Target &target,
                         std::vector<Explanation> *explanation);

}  // namespace pit::lower
