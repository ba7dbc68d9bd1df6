// How much memory for workspaces a call of an operator on the host takes at most. Analysis of the
// IR only.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "mma_plan.h"

namespace pit::host {

/// So many elements of `bytes` each and `more` bytes: one workspace. The product of no extents is
/// one; a negative extent is zero.
struct WorkspacePart {
  std::vector<Expr> extents;  ///< over scalars and extents of tensors
  std::int64_t bytes = 1, more = 0;
};

/// At any time the workspaces that exist are no more than those of `outside`, and for each thread
/// those of one member of `loops`.
struct WorkspaceSize {
  std::vector<WorkspacePart> outside;
  std::vector<std::vector<WorkspacePart>> loops;  ///< of a parallel loop not inside another
  std::string unknown;  ///< the name of a storage whose size only data tell; "": all are known
};

/// `slack`: what a tile has beyond its elements. `plans` and `packed`: of the module's Mmas, and of
/// tiles that are not stored.
WorkspaceSize workspace_size(
    const ir::Module &module, std::int64_t slack,
    const std::unordered_map<const ir::StmtNode *, MmaPlan> &plans,
    const std::unordered_map<const StorageNode *, const ir::Store *> &packed);

}  // namespace pit::host
