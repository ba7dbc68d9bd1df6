// How addresses move with an axis. Analysis of the IR only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "codegen/ir/ir.h"

namespace pit::code {

/// The constant by which `e` grows when `v` grows by one (0 when e does not read v), if there is
/// one.
std::optional<std::int64_t> growth(const Expr &e, const VarPtr &v);

enum class Movement { None, Unit, Strided, Irregular };

/// How the address of storage[indices] moves with v, when dimension `unit_dimension` has stride 1
/// (-1: none has).
Movement movement(const std::vector<Expr> &indices, const VarPtr &v, int unit_dimension);

/// Those of `axes` such that iterations which differ in one of them access different elements,
/// whatever the other axes are; an axis that cannot be seen to is not among them. `bound`: of an
/// axis, see bound_of.
std::vector<VarPtr> distinct_axes(const std::vector<Expr> &indices, const std::vector<VarPtr> &axes,
                                  const std::function<std::int64_t(const VarPtr &)> &bound);

/// The statically known upper bound of an axis, or 0.
std::int64_t bound_of(const ir::AxisBinding &axis);
/// Those of all axes in `body`.
std::unordered_map<const VarNode *, std::int64_t> axis_bounds(const ir::Stmt &body);

}  // namespace pit::code
