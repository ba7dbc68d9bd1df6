// Index building as tile IR, for machines whose runtime builds no index.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// Replaces IndexPlace, IndexSort and every Prefix of memory by loops over tiles: blocks of
/// Parallel nests, one behind the other, that a GPU runs as a kernel each. An IndexPlace is two
/// (clear, place: see place_strip.h), an IndexSort three (count, scan, place, or, if its positions
/// need no order, clear, count, place). Reports are Checks: "needed entries" and "key out of range"
/// as ir::IndexPlace and ir::IndexSort say; what is stored stays in bounds when one fails. Runs
/// before stages become kernels; a Prefix of tiles stays.
ir::Module expand_index(const ir::Module &module);

}  // namespace pit::lower
