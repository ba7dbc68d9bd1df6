#include "access.h"

#include <algorithm>

#include "codegen/ir/mutator.h"

namespace pit::code {

std::optional<std::int64_t> growth(const Expr &e, const VarPtr &v) {
  if (!uses(e, v)) return 0;
  if (e.as<Variable>()) return 1;
  if (const auto *cast = e.as<Cast>()) {
    if (cast->type.is_integral() && cast->a.type().is_integral()) return growth(cast->a, v);
    return {};
  }
  const auto *binary = e.as<Binary>();
  if (!binary) return {};
  const auto a = growth(binary->a, v), b = growth(binary->b, v);
  if (!a || !b) return {};
  std::int64_t factor = 0;
  switch (binary->op) {
    case BinaryOp::Add:
      return *a + *b;
    case BinaryOp::Sub:
      return *a - *b;
    case BinaryOp::Mul:
      if (is_const_int(binary->b, &factor)) return *a * factor;
      if (is_const_int(binary->a, &factor)) return *b * factor;
      return {};
    default:
      return {};
  }
}

Movement movement(const std::vector<Expr> &indices, const VarPtr &v, int unit_dimension) {
  Movement result = Movement::None;
  for (std::size_t d = 0; d < indices.size(); ++d) {
    const auto step = growth(indices[d], v);
    if (!step) return Movement::Irregular;
    if (*step == 0) continue;
    const bool unit =
        static_cast<int>(d) == unit_dimension && *step == 1 && result == Movement::None;
    result = unit ? Movement::Unit : Movement::Strided;
  }
  return result;
}

std::vector<VarPtr> distinct_axes(const std::vector<Expr> &indices, const std::vector<VarPtr> &axes,
                                  const std::function<std::int64_t(const VarPtr &)> &bound) {
  std::vector<VarPtr> distinct;
  for (const Expr &index : indices) {
    // The index is affine in its axes, and each steps over all that the smaller ones reach.
    struct Part {
      VarPtr axis;
      std::int64_t step;
    };
    std::vector<Part> parts;
    bool affine = true;
    for (const VarPtr &axis : axes) {
      if (!uses(index, axis)) continue;
      const auto step = growth(index, axis);
      affine = affine && step && *step != 0;
      if (affine) parts.push_back({axis, *step < 0 ? -*step : *step});
    }
    if (!affine) continue;
    std::ranges::sort(parts, {}, &Part::step);
    std::int64_t reach = 0;
    for (std::size_t i = 0; i < parts.size() && affine; ++i) {
      affine = parts[i].step > reach;
      const std::int64_t most = bound(parts[i].axis);
      std::int64_t more = 0;
      const bool last = i + 1 == parts.size();
      affine =
          affine && (last || (most > 0 && !__builtin_mul_overflow(most - 1, parts[i].step, &more) &&
                              !__builtin_add_overflow(reach, more, &reach)));
    }
    if (!affine) continue;
    for (const Part &part : parts) {
      if (std::ranges::find(distinct, part.axis) == distinct.end()) distinct.push_back(part.axis);
    }
  }
  return distinct;
}

std::int64_t bound_of(const ir::AxisBinding &axis) {
  std::int64_t extent = 0;
  if (is_const_int(axis.extent, &extent)) return std::max<std::int64_t>(extent, 1);
  return axis.maximum;
}

std::unordered_map<const VarNode *, std::int64_t> axis_bounds(const ir::Stmt &body) {
  std::unordered_map<const VarNode *, std::int64_t> bounds;
  ir::walk_statements(body, [&](const ir::Stmt &s) {
    if (const auto *axes = s.as<ir::Axes>()) {
      for (const ir::AxisBinding &axis : axes->axes) bounds[axis.var.get()] = bound_of(axis);
    }
    return true;
  });
  return bounds;
}

}  // namespace pit::code
