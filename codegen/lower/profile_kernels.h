// Where kernels of the staged level spend their time, for targets with the feature `profile`.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// Gives the module the statistics of codegen/ir/profile.h for each stage that has kernels of the
/// staged level. The back end counts; what is interpreted takes no cycles.
ir::Module profile_kernels(const ir::Module &module);

}  // namespace pit::lower
