// Axes that matrix products always use together.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `kernel` with neighbouring axes of the rows, the columns or the sums of its products made one,
/// as matrix instructions have one of each:
///   before   axes j < 8, i < 32       load j, i, c: %b[j, i, c] = B(%at[j] + i, c)
///   after    axes j < 8, ji < 256     load ji, c: %b[ji, c] = B(%at[ji / 32] + ji % 32, c)
/// The tiles of the products lose the dimension, and every statement over their elements goes over
/// the merged axis. The inner axis is one that is always as long as its maximum, the second one
/// where both are; axes stay as they are where neither is, or a statement uses the tiles in another
/// way.
ir::Stmt merge_axes(const ir::Stmt &kernel);

}  // namespace pit::lower
