#include "run_length.h"

#include <algorithm>

#include "linear.h"

namespace pit::lower {
namespace {

/// The constant of axis op c; 0 where e is something else.
std::int64_t constant_of(const Expr &e, BinaryOp op, const VarPtr &axis) {
  const auto *binary = e.as<Binary>();
  const auto *variable = binary && binary->op == op ? binary->a.as<Variable>() : nullptr;
  std::int64_t c = 0;
  return variable && variable->var == axis && is_const_int(binary->b, &c) ? c : 0;
}

/// e reads the axis only by axis / length.
bool is_same_in_runs(const Expr &e, const VarPtr &axis, std::int64_t length) {
  if (const auto *variable = e.as<Variable>()) return variable->var != axis;
  if (constant_of(e, BinaryOp::Div, axis) == length) return true;
  const std::vector<Expr> parts = operands(e);
  return std::all_of(parts.begin(), parts.end(),
                     [&](const Expr &part) { return is_same_in_runs(part, axis, length); });
}

}  // namespace

std::int64_t run_length(const Expr &index, const VarPtr &axis) {
  std::int64_t length = 0;
  const Linear sum = linearize(index);
  for (const Linear::Term &term : sum.terms) {
    const auto *variable = term.value.as<Variable>();
    const bool is_axis = variable && variable->var == axis;
    const std::int64_t rest = constant_of(term.value, BinaryOp::Mod, axis);
    if (!is_axis && rest <= 0) continue;
    if (length != 0 || term.coefficient != 1) return 0;
    length = is_axis ? kEndlessRun : rest;
  }
  for (const Linear::Term &term : sum.terms) {
    const auto *variable = term.value.as<Variable>();
    if ((variable && variable->var == axis) || constant_of(term.value, BinaryOp::Mod, axis) > 0)
      continue;
    if (!is_same_in_runs(term.value, axis, length)) return 0;
  }
  return length;
}

}  // namespace pit::lower
