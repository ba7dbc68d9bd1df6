// Comparisons of positions in tiles that a row of threads computes.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `kernel` with what depends on the column, and on no memory, alone on one side of the comparisons
/// in statements over elements of tiles:
///   before   map i, j: %score[i, j] = select(%at[j / 64] + j % 64 <= first + i, ...)
///   after    map i, j: %score[i, j] = select(j % 64 <= first + i - %at[j / 64], ...)
/// A thread then has one limit for a row of many columns, whose numbers it knows when compiling,
/// and keeps no position of each. Of sums of 64 bits that cannot wrap: tensors have extents up to
/// 2^47.
ir::Stmt columns_apart(const ir::Stmt &kernel);

}  // namespace pit::lower
