// Statistics of where kernels of the staged level spend their time, for targets with the feature
// `profile`.
#pragma once

#include <string>

#include "ir.h"

namespace pit::ir {

/// The number of a stage's first statistic of the four that follow one another: clock cycles,
/// summed over blocks, in which a thread of those that do it is busy with copies into tiles
/// (STAGE.gather), with products and what is computed with their sums (STAGE.compute) and with
/// stores to memory (STAGE.scatter), and those from its beginning to its end (STAGE.cycles). Roles
/// work beside each other: the first three may add up to more than the last. -1: it has none.
int profile_slot(const Module &module, const std::string &stage);

}  // namespace pit::ir
