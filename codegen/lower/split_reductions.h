// Reductions in parts: each part is summed by itself, then the parts are combined in their order.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "codegen/ir/ir.h"
#include "kernel_choice.h"
#include "lower.h"

namespace pit::lower {

/// What split_reduction() says of a loop.
struct SplitChoice {
  std::string definition;  ///< whose loop it is: "C.update(0)"
  int parts = 1;
};
using SplitChoices = std::map<VarPtr, SplitChoice>;

/// Makes two stages of a stage with a loop that `choices` names,
///
///   for m { acc = init; for k < n { acc += f(k) }; Out[m] = acc }
///
/// which are
///
///   for m { parallel part < parts { acc' = 0; for k in the part { acc' += f(k) };
///                                   partial[m, part] = acc' } }
///   for m { acc = init; for part < parts { acc += partial[m, part] }; Out[m] = acc }
///
/// so that results repeat. Loops that update their accumulators in other ways, or in places that
/// depend on the loop, stay as they are; `explanation` says why (null: nobody asks). Runs when sums
/// of products are Mma already: it is one loop for them too. What `kernels` says of the kernel that
/// stores the results it says of the partial ones, too.
ir::Module split_reductions(const ir::Module &module, const SplitChoices &choices,
                            KernelChoices *kernels, std::vector<Explanation> *explanation);

}  // namespace pit::lower
