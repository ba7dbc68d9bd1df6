// Stages become kernels.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// What of the stages reads or writes memory becomes Launches; what only depends on shapes and
/// scalars (lets, conditions, checks, sizes of workspaces) stays around them, for the host.
/// Parallel loops with extents that the host knows become grids. A kernel whose body has nothing
/// for a block to share out (no axes, no thread loop) gets a thread for each point instead of a
/// block. Expects a module with no IndexPlace and no IndexSort (see expand_index).
ir::Module form_launches(const ir::Module &module);

}  // namespace pit::lower
