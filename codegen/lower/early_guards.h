// What guards of results read, looked up while the last products are still under way.
#pragma once

#include <unordered_set>

#include "codegen/ir/ir.h"

namespace pit::lower {

struct EarlyGuards {
  ir::Stmt kernel;
  std::unordered_set<const StorageNode *> tiles;
};

/// `kernel` with a small tile for each guard of a store that reads memory and depends on one axis
/// of a tile: whether it holds. What is stored to these tiles reads no sums.
///   before   for step { mma %c += ... }  store i, j: Y[...] = %c[i, j] where keep(i) != 0
///   after    for step { mma %c += ... }  fill i: %keep[i] = 0  load i: %keep[i] = 1 where
///            keep(i) != 0  store i, j: Y[...] = %c[i, j] where %keep[i] != 0
EarlyGuards look_up_guards(const ir::Stmt &kernel);

}  // namespace pit::lower
