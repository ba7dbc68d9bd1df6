// What the guards of an access say of its indices.
#pragma once

#include <vector>

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `e` where all guards hold: min(x, y) is x where they keep x at y or below.
Expr under_guards(const Expr &e, const std::vector<Expr> &guards);

/// `sum < end` as `axis < end - the rest of the sum`, for the one of the axes that it uses, where
/// that is one term of the sum; other guards as they are.
Expr bound_on_axis(const Expr &guard, const std::vector<VarPtr> &axes);

}  // namespace pit::lower
