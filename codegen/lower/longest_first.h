// Rows of a kernel's points in the order of how long they take.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// A kernel whose rows of points are those of a list, and the kernel before it that makes the list.
struct OrderedRows {
  StoragePtr order;  ///< [rows], int32
  Expr rows;         ///< the host knows it
  ir::Stmt kernel;   ///< fills `order`
  ir::Stmt launch;
};

/// tile_order(LongestFirst). Rows of points are the first dimension of the grid. Of every kWindow
/// rows those come first whose loop of products takes more steps:
///   before   launch { row < R; ... for step < length[row] { ... } }
///   after    launch { window < R / 256; order[window * 256 + rank of row] = row }
///            launch { place < R; let row = order[place]; ... for step < length[row] { ... } }
/// Blocks that share out the points one after the other then have equal parts of the work, and what
/// they end with is short. Equal rows stay in their order, so the result repeats.
///
/// `order` is null where there is no such grid, or where the number of steps is not data that the
/// row alone finds and that the kernel leaves alone.
OrderedRows longest_first(const ir::Launch &launch);

}  // namespace pit::lower
