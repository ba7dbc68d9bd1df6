// Operands of products that are the same in all steps of a loop.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `kernel` with the operands of products that do not depend on the step of the loop that
/// multiplies loaded before it, where there are steps at all:
///   before   for s < S { tile %q, %k { load i, c: %q[i, c] = Q(i, c)  load %k ...  mma ... } }
///   after    tile %q { load i, c: %q[i, c] = Q(i, c) where 0 < S  for s < S { tile %k ... } }
/// Axes that are theirs alone and constant move with them. Where all operands are the same the
/// kernel stays as it is: its loop has one step.
ir::Stmt hoist_loads(const ir::Stmt &kernel);

}  // namespace pit::lower
