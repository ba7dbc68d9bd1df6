#include "linear.h"

#include <algorithm>
#include <numeric>

#include "interval.h"

namespace pit::lower {
namespace {

// Sums wrap, as the sums that they stand for do.
std::int64_t times(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
}
std::int64_t plus(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

void add_term(Linear *sum, const Expr &value, std::int64_t coefficient) {
  for (auto it = sum->terms.begin(); it != sum->terms.end(); ++it) {
    if (!equal(it->value, value)) continue;
    it->coefficient = plus(it->coefficient, coefficient);
    if (it->coefficient == 0) sum->terms.erase(it);
    return;
  }
  if (coefficient != 0) sum->terms.push_back({value, coefficient});
}

void accumulate(const Expr &e, std::int64_t factor, Linear *sum) {
  std::int64_t c = 0;
  if (is_const_int(e, &c)) {
    sum->constant = plus(sum->constant, times(factor, c));
    return;
  }
  if (const Cast *cast_node = e.as<Cast>(); cast_node && cast_node->type.is_integral() &&
                                            cast_node->a.type().is_integral() &&
                                            cast_node->type.bits >= cast_node->a.type().bits) {
    accumulate(cast_node->a, factor, sum);
    return;
  }
  if (const Binary *b = e.as<Binary>()) {
    if (b->op == BinaryOp::Add || b->op == BinaryOp::Sub) {
      accumulate(b->a, factor, sum);
      accumulate(b->b, b->op == BinaryOp::Add ? factor : times(factor, -1), sum);
      return;
    }
    if (b->op == BinaryOp::Mul && is_const_int(b->b, &c))
      return accumulate(b->a, times(factor, c), sum);
    if (b->op == BinaryOp::Mul && is_const_int(b->a, &c))
      return accumulate(b->b, times(factor, c), sum);
  }
  add_term(sum, e, factor);
}

}  // namespace

Linear linearize(const Expr &e) {
  Linear sum;
  accumulate(e, 1, &sum);
  return sum;
}

Expr to_expr(const Linear &linear) {
  Expr result;
  for (const Linear::Term &term : linear.terms) {
    const Expr product = to_int64(term.value) * make_int(int64, term.coefficient);
    result = result.defined() ? result + product : product;
  }
  if (!result.defined()) return make_int(int64, linear.constant);
  return linear.constant == 0 ? result : result + make_int(int64, linear.constant);
}

std::optional<std::int64_t> constant_difference(const Expr &a, const Expr &b) {
  Linear difference = linearize(a);
  accumulate(b, -1, &difference);
  if (!difference.terms.empty()) return std::nullopt;
  return difference.constant;
}

bool reads_axis(const Expr &e, const std::vector<ir::AxisBinding> &axes) {
  return std::any_of(axes.begin(), axes.end(),
                     [&](const ir::AxisBinding &axis) { return uses(e, axis.var); });
}

Expr without_uniform_divisions(const Expr &e, const std::vector<ir::AxisBinding> &axes) {
  if (axes.empty()) return e;
  return rewrite(e, [&](const Expr &node) {
    const Binary *b = node.as<Binary>();
    std::int64_t c = 0;
    if (!b || b->op != BinaryOp::Div || !is_const_int(b->b, &c) || c <= 0 ||
        !reads_axis(b->a, axes))
      return node;
    const Expr quotient = uniform_quotient(b->a, c, axes);
    return quotient.defined() ? cast(node.type(), quotient) : node;
  });
}

Expr uniform_quotient(const Expr &e, std::int64_t divisor,
                      const std::vector<ir::AxisBinding> &axes) {
  const Expr divisor_expr = make_int(int64, divisor);
  if (!reads_axis(e, axes)) return to_int64(e) / divisor_expr;
  Linear base = linearize(e), lanes;
  std::int64_t reach = 0, span = 0;  // largest value of the axes' part
  for (auto it = base.terms.begin(); it != base.terms.end();) {
    if (!reads_axis(it->value, axes)) {
      ++it;
      continue;
    }
    const Variable *v = it->value.as<Variable>();
    if (!v || it->coefficient < 0) return {};
    const auto axis = std::find_if(axes.begin(), axes.end(),
                                   [&](const ir::AxisBinding &a) { return a.var == v->var; });
    if (axis->maximum == 0) return {};
    if (__builtin_mul_overflow(it->coefficient, axis->maximum - 1, &reach) ||
        __builtin_add_overflow(span, reach, &span))
      return {};
    it = base.terms.erase(it);
  }
  std::int64_t unit = std::gcd(divisor, base.constant);
  for (const Linear::Term &term : base.terms) unit = std::gcd(unit, term.coefficient);
  if (span >= unit) return {};
  bool whole = base.constant % divisor == 0;
  for (const Linear::Term &term : base.terms) whole &= term.coefficient % divisor == 0;
  if (!whole) return to_expr(base) / divisor_expr;
  base.constant /= divisor;
  for (Linear::Term &term : base.terms) term.coefficient /= divisor;
  return to_expr(base);
}

}  // namespace pit::lower
