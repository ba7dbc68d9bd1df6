// Loops of products that one loop can make.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `kernel` with loops of products that follow each other, and whose steps do the same to other
/// data, made one loop, so that what the second one loads is under way while the first one ends:
///   before   for s < S { load j: %k[j] = K(s * 64 + j) ... mma ... }
///            for t < T { load j: %k[j] = K(at[t * 64 + j]) ... mma ... }
///   after    for s < S + T { load j: %k[j] = K(select(s < S, s * 64 + j, at[(s - S) * 64 + j]))
///            ... mma ... }
/// Loops stay apart where a step of one stores what no step of the other does, or tiles or axes are
/// of other sizes. What only one of them loads, an index' coordinates for example, is loaded in its
/// steps.
ir::Stmt join_loops(const ir::Stmt &kernel);

}  // namespace pit::lower
