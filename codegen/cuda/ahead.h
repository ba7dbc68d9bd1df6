// Kernels that begin to work before those before them have found that all is well. Analysis of the
// IR only.
#pragma once

#include <unordered_set>

#include "codegen/ir/ir.h"

namespace pit::cuda {

/// Whether the kernel, as far as it only loads, may run whatever the data are that kernels before
/// it test: it reads tensors that nobody writes (`written`: those that somebody does), and where
/// and how often it reads depends on no data but those that are held between bounds,
/// max(min(x, high), low). Lowering holds what it has tested elsewhere, and so that the data
/// together are as if they had been right. Nothing but the last of the kernel's roles stores.
bool may_run_ahead(const ir::Launch &launch,
                   const std::unordered_set<const StorageNode *> &written);

}  // namespace pit::cuda
