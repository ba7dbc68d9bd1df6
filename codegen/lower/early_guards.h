// What guards of results read, looked up while the last products are still under way.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `kernel` with a small tile for each guard of a store that reads memory and depends on one axis
/// of a tile: whether it holds. That is known without the sums.
///   before   for step { mma %c += ... }  store i, j: Y[...] = %c[i, j] where keep(i) != 0
///   after    for step { mma %c += ... }  fill i: %keep[i] = 0  load i: %keep[i] = 1 where
///            keep(i) != 0  store i, j: Y[...] = %c[i, j] where %keep[i] != 0
ir::Stmt look_up_guards(const ir::Stmt &kernel);

}  // namespace pit::lower
