// The barriers between statements of a kernel.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// Puts Syncs into the kernels of `module`, so that statements which access the same memory come
/// one after the other:
///   before   fill i: %t[i] = 0.0           after   fill i: %t[i] = 0.0
///            map i: %u[i] = %t[n - i]              sync
///                                                  map i: %u[i] = %t[n - i]
/// The threads of a block, or of a role, run on their own from one Sync to the next, and which of
/// them executes which iteration of a statement is the back end's choice. So a statement has a Sync
/// before it when it reads what was written since the last one, or writes what was accessed; a loop
/// has one at the end of its body when an iteration would meet the one before it so; and a tile has
/// one before it when it may get the memory of tiles that were accessed since. A block that makes
/// several points of the grid has one at the end of its body for the same reason. Conditions and
/// extents are the same for all threads, so all of them come to each Sync. Memory that is a
/// thread's own, and in kernels of the staged level what the program orders itself, needs none: see
/// ir::BlockMemory. What a Sync of the module orders already stays as it is, so the pass changes
/// nothing when it runs again.
///
/// For CUDA targets, after the last pass that changes a kernel's body: the back end adds no barrier
/// between statements.
ir::Module place_barriers(const ir::Module &module);

}  // namespace pit::lower
