#include "box_loads.h"

#include <algorithm>
#include <vector>

#include "linear.h"

namespace pit::lower {
namespace {

/// e is a sum in which `axis` is one term, once.
bool is_unit_term(const Expr &e, const VarPtr &axis) {
  if (const auto *variable = e.as<Variable>()) return variable->var == axis;
  const auto *binary = e.as<Binary>();
  if (binary == nullptr) return false;
  const bool left = uses(binary->a, axis), right = uses(binary->b, axis);
  if (left && right) return false;
  if (binary->op == BinaryOp::Add) return is_unit_term(left ? binary->a : binary->b, axis);
  return binary->op == BinaryOp::Sub && left && is_unit_term(binary->a, axis);
}

bool reads_memory(const std::vector<Expr> &list) {
  bool reads = false;
  for (const Expr &e : list)
    walk(e, [&](const Expr &part) { return !(reads = reads || part.as<Load>()); });
  return reads;
}

/// The bound of `axis < bound`; else null.
Expr bound_of(const Expr &guard, const VarPtr &axis) {
  const auto *less = guard.as<Binary>();
  const auto *variable = less && less->op == BinaryOp::Lt ? less->a.as<Variable>() : nullptr;
  return variable && variable->var == axis && !uses(less->b, axis) ? less->b : Expr();
}

/// The E that the host knows, with axis < bound as long as index < E: `index` is the axis and
/// something else. Null when there is none. The axis is below `extent`.
Expr extent_of_source(const Expr &bound, const Expr &index, const VarPtr &axis,
                      std::int64_t extent) {
  Expr inner = bound;
  while (true) {
    if (const auto *conversion = inner.as<Cast>(); conversion && inner.type() == int64) {
      inner = conversion->a;
      continue;
    }
    const auto *least = inner.as<Binary>();
    if (least == nullptr || least->op != BinaryOp::Min) break;
    std::int64_t n = 0;
    if (is_const_int(least->a, &n) && n >= extent) {
      inner = least->b;
    } else if (is_const_int(least->b, &n) && n >= extent) {
      inner = least->a;
    } else {
      break;
    }
  }
  const Expr sum = to_expr(linearize(inner + index - make_variable(axis)));
  bool known = true;
  walk(sum, [&](const Expr &part) {
    known = known && !part.as<Load>() && !part.as<Variable>();
    return known;
  });
  return known ? sum : Expr();
}

}  // namespace

bool is_box(PipelinedOperand *operand, int contiguous) {
  constexpr std::size_t kMostRank = 5;
  constexpr std::int64_t kLongest = 256;
  const auto *element = operand->value.as<Load>();
  const std::vector<Expr> &indices = element->indices;
  const auto &axes = operand->load->axes;
  if (contiguous < 0 || indices.size() > kMostRank || reads_memory(indices)) return false;
  for (const Expr &index : indices) {
    const auto used = std::count_if(axes.begin(), axes.end(),
                                    [&](const VarPtr &axis) { return uses(index, axis); });
    if (used > 1) return false;
  }
  // Rows are in the order of the source's dimensions.
  std::size_t before = 0;
  std::vector<std::size_t> dimension;  // of the source, by that of the tile
  for (std::size_t d = 0; d < operand->extents.size(); ++d) {
    const VarPtr &axis = operand->axis(d);
    const auto found = std::find_if(indices.begin(), indices.end(),
                                    [&](const Expr &index) { return uses(index, axis); });
    const auto at = static_cast<std::size_t>(found - indices.begin());
    const auto again = std::count_if(indices.begin(), indices.end(),
                                     [&](const Expr &index) { return uses(index, axis); });
    if (again != 1 || !is_unit_term(*found, axis)) return false;
    dimension.push_back(at);
    if (static_cast<int>(d) == contiguous) continue;
    if (operand->extents[d] > kLongest || at + 1 < before) return false;
    before = at + 1;
  }
  std::vector<Expr> guards;
  for (const Expr &guard : operand->guards) {
    const auto axis = std::find_if(axes.begin(), axes.end(),
                                   [&](const VarPtr &each) { return uses(guard, each); });
    if (axis == axes.end()) {
      guards.push_back(guard);
      continue;
    }
    const Expr bound = bound_of(guard, *axis);
    if (!bound.defined()) return false;
    const auto d =
        static_cast<std::size_t>(std::find(axes.begin(), axes.end(), *axis) - axes.begin());
    std::size_t tile_dimension = 0;
    while (operand->axis(tile_dimension) != axes[d]) ++tile_dimension;
    const Expr &index = indices[dimension[tile_dimension]];
    const Expr extent = extent_of_source(bound, index, *axis, operand->extents[tile_dimension]);
    if (!extent.defined()) return false;
    const auto known = std::find_if(guards.begin(), guards.end(), [&](const Expr &each) {
      const auto *less = each.as<Binary>();
      return less && less->op == BinaryOp::Lt && equal(less->a, index);
    });
    if (known == guards.end())
      guards.push_back(index < extent);
    else
      *known = index < min(known->as<Binary>()->b, extent);
  }
  operand->box_guards = std::move(guards);
  return true;
}

}  // namespace pit::lower
