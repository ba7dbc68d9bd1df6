// Products that are summed up in one step.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `kernel` with a loop of one step around the loads and the multiplications of tiles whose sums
/// begin and end beside them, so that all products are made by loops over steps:
///   before   tile %a, %b, %c { load %a; load %b; fill %c; mma %c += %a * %b; store %c }
///   after    tile %c { fill %c; for step < 1 { tile %a, %b { load %a; load %b; mma ... } } store
///   %c }
ir::Stmt one_step(const ir::Stmt &kernel);

}  // namespace pit::lower
