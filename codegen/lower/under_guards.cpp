#include "under_guards.h"

#include <algorithm>

#include "linear.h"

namespace pit::lower {
namespace {

/// One of the guards is low < end with end <= high + 1.
bool keeps_below(const std::vector<Expr> &guards, const Expr &low, const Expr &high) {
  return std::any_of(guards.begin(), guards.end(), [&](const Expr &guard) {
    const auto *less = guard.as<Binary>();
    if (less == nullptr || less->op != BinaryOp::Lt || !equal(less->a, low)) return false;
    const auto room = constant_difference(high, less->b);
    return room && *room >= -1;
  });
}

}  // namespace

Expr under_guards(const Expr &e, const std::vector<Expr> &guards) {
  return rewrite(e, [&](const Expr &part) -> Expr {
    const auto *least = part.as<Binary>();
    if (least == nullptr || least->op != BinaryOp::Min || !part.type().is_integral()) return part;
    if (keeps_below(guards, least->a, least->b)) return least->a;
    return keeps_below(guards, least->b, least->a) ? least->b : part;
  });
}

Expr bound_on_axis(const Expr &guard, const std::vector<VarPtr> &axes) {
  const auto *less = guard.as<Binary>();
  if (less == nullptr || less->op != BinaryOp::Lt || less->a.type() != int64) return guard;
  VarPtr used;
  for (const VarPtr &axis : axes) {
    if (!uses(guard, axis)) continue;
    if (used || uses(less->b, axis)) return guard;
    used = axis;
  }
  if (!used) return guard;
  Linear sum = linearize(less->a);
  const auto term = std::find_if(sum.terms.begin(), sum.terms.end(), [&](const Linear::Term &t) {
    const auto *variable = t.value.as<Variable>();
    return variable && variable->var == used;
  });
  if (term == sum.terms.end() || term->coefficient != 1) return guard;
  const Expr axis = term->value;
  sum.terms.erase(term);
  if (sum.terms.empty() && sum.constant == 0) return guard;
  const Expr rest = to_expr(sum);
  return uses(rest, used) ? guard : axis < less->b - rest;
}

}  // namespace pit::lower
