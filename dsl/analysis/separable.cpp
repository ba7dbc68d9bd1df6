#include "dsl/analysis/separable.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "dsl/error.h"

namespace pit {

namespace {

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}  // b > 0

bool equal_or_undefined(const Expr &a, const Expr &b) {
  return a.defined() && b.defined() ? equal(a, b) : a.defined() == b.defined();
}

// --- sums ---

/// a += scale * b. False when a number does not fit.
bool add_scaled(LinearIndex *a, const LinearIndex &b, std::int64_t scale) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(b.constant, scale, &product) ||
      __builtin_add_overflow(a->constant, product, &a->constant)) {
    return false;
  }
  for (const LinearIndex::Term &term : b.terms) {
    if (__builtin_mul_overflow(term.coefficient, scale, &product)) return false;
    auto same = std::find_if(a->terms.begin(), a->terms.end(), [&](const LinearIndex::Term &t) {
      return equal(t.atom, term.atom) && equal_or_undefined(t.factor, term.factor);
    });
    if (same == a->terms.end()) {
      a->terms.push_back({term.atom, product, term.factor});
    } else if (__builtin_add_overflow(same->coefficient, product, &same->coefficient)) {
      return false;
    }
  }
  std::erase_if(a->terms, [](const LinearIndex::Term &t) { return t.coefficient == 0; });
  return true;
}

Expr to_expr(const LinearIndex &sum) {
  Expr e;
  for (const LinearIndex::Term &term : sum.terms) {
    Expr value = cast(int64, term.atom);
    if (term.factor.defined()) value = value * cast(int64, term.factor);
    value = value * make_int(int64, term.coefficient);
    e = e.defined() ? e + value : value;
  }
  const Expr constant = make_int(int64, sum.constant);
  return e.defined() ? e + constant : constant;
}

LinearIndex atom(const Expr &e) { return {{{e, 1, {}}}, 0}; }

std::optional<LinearIndex> sum_of(const Expr &e);

/// floor(sum / divisor), divisor > 0: multiples are taken out, the rest is an atom.
std::optional<LinearIndex> divide(const LinearIndex &sum, std::int64_t divisor) {
  LinearIndex whole, rest;
  whole.constant = floor_divide(sum.constant, divisor);
  rest.constant = sum.constant - whole.constant * divisor;
  for (const LinearIndex::Term &term : sum.terms) {
    if (term.coefficient % divisor == 0) {
      whole.terms.push_back({term.atom, term.coefficient / divisor, term.factor});
    } else {
      rest.terms.push_back(term);
    }
  }
  if (rest.terms.empty()) return whole;  // 0 <= rest.constant < divisor

  // (x / a + c) / b is (x + a * c) / (a * b).
  const LinearIndex::Term &only = rest.terms.front();
  const auto *inner = only.atom.as<Binary>();
  std::int64_t inner_divisor = 0, product = 0, shift = 0;
  if (rest.terms.size() == 1 && only.coefficient == 1 && !only.factor.defined() &&
      inner != nullptr && inner->op == BinaryOp::Div && is_const_int(inner->b, &inner_divisor) &&
      inner_divisor > 0 && !__builtin_mul_overflow(inner_divisor, divisor, &product) &&
      !__builtin_mul_overflow(inner_divisor, rest.constant, &shift)) {
    std::optional<LinearIndex> x = sum_of(inner->a);
    if (x && !__builtin_add_overflow(x->constant, shift, &x->constant)) {
      std::optional<LinearIndex> quotient = divide(*x, product);
      if (quotient && add_scaled(&whole, *quotient, 1)) return whole;
      return std::nullopt;
    }
  }
  const Expr quotient = to_expr(rest) / make_int(int64, divisor);
  if (!add_scaled(&whole, atom(quotient), 1)) return std::nullopt;
  return whole;
}

/// a * b where one side reads no variable.
std::optional<LinearIndex> multiply(const Expr &e, const LinearIndex &a, const LinearIndex &b) {
  for (const auto &[constant, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    if (!constant->terms.empty()) continue;
    LinearIndex result;
    if (!add_scaled(&result, *other, constant->constant)) return std::nullopt;
    return result;
  }
  const auto *product = e.as<Binary>();
  for (const auto &[factor, other] : {std::pair(product->a, &b), std::pair(product->b, &a)}) {
    if (!free_variables(factor).empty()) continue;
    LinearIndex result;
    for (const LinearIndex::Term &term : other->terms) {
      const Expr wide = cast(int64, factor);
      result.terms.push_back(
          {term.atom, term.coefficient, term.factor.defined() ? term.factor * wide : wide});
    }
    if (other->constant != 0 && !add_scaled(&result, atom(factor), other->constant))
      return std::nullopt;
    return result;
  }
  return atom(e);
}

std::optional<LinearIndex> sum_of_binary(const Expr &e, const Binary &binary) {
  if (!e.type().is_integral()) return atom(e);
  std::int64_t divisor = 0;
  switch (binary.op) {
    case BinaryOp::Add:
    case BinaryOp::Sub: {
      std::optional<LinearIndex> a = sum_of(binary.a), b = sum_of(binary.b);
      if (!a || !b || !add_scaled(&*a, *b, binary.op == BinaryOp::Add ? 1 : -1))
        return std::nullopt;
      return a;
    }
    case BinaryOp::Mul: {
      std::optional<LinearIndex> a = sum_of(binary.a), b = sum_of(binary.b);
      if (!a || !b) return std::nullopt;
      return multiply(e, *a, *b);
    }
    case BinaryOp::Div:
    case BinaryOp::Mod: {
      if (!is_const_int(binary.b, &divisor) || divisor <= 0) return atom(e);
      std::optional<LinearIndex> a = sum_of(binary.a);
      if (!a) return std::nullopt;
      std::optional<LinearIndex> quotient = divide(*a, divisor);
      if (binary.op == BinaryOp::Div || !quotient) return quotient;
      if (!add_scaled(&*a, *quotient, -divisor)) return std::nullopt;
      return a;
    }
    default:
      return atom(e);
  }
}

std::optional<LinearIndex> sum_of(const Expr &e) {
  std::int64_t value = 0;
  if (is_const_int(e, &value)) return LinearIndex{{}, value};
  if (const auto *binary = e.as<Binary>()) return sum_of_binary(e, *binary);
  if (const auto *unary = e.as<Unary>();
      unary != nullptr && unary->op == UnaryOp::Neg && e.type().is_integral()) {
    std::optional<LinearIndex> a = sum_of(unary->a);
    LinearIndex negated;
    if (!a || !add_scaled(&negated, *a, -1)) return std::nullopt;
    return negated;
  }
  // A conversion to a type that holds every index is the identity; a narrower one wraps.
  const auto *conversion = e.as<Cast>();
  if (conversion != nullptr && e.type().is_integral() && conversion->a.type().is_integral() &&
      e.type().bits >= 32) {
    return sum_of(conversion->a);
  }
  return atom(e);
}

// --- dependence on an axis ---

void join(std::vector<VarPtr> *vars, const std::vector<VarPtr> &more) {
  for (const VarPtr &v : more) {
    if (std::find(vars->begin(), vars->end(), v) == vars->end()) vars->push_back(v);
  }
}

/// The variables that e reads but for `axis`.
std::vector<VarPtr> other_variables(const Expr &e, const VarPtr &axis) {
  std::vector<VarPtr> vars = free_variables(e);
  std::erase(vars, axis);
  return vars;
}

bool is_constant_within_runs(const AxisForm &form) {
  return !form.depends || (form.slope.defined() && is_zero(form.slope));
}

AxisForm form_of_sum(const LinearIndex &sum, const VarPtr &axis);

AxisForm form_of(const Expr &e, const VarPtr &axis) { return form_of_sum(linear_index(e), axis); }

/// A function of the axis of which nothing is known but its operands.
AxisForm form_of_function(const Expr &e, const VarPtr &axis) {
  AxisForm form;
  form.depends = true;
  form.joint = other_variables(e, axis);
  form.part = e;
  walk(e, [&](const Expr &part) {
    if (part.as<Load>() != nullptr || part.as<Call>() != nullptr) form.data |= uses(part, axis);
    return true;
  });
  bool steps = true;
  std::int64_t period = 0;
  for (const Expr &operand : operands(e)) {
    if (!uses(operand, axis)) continue;
    const AxisForm inner = form_of(operand, axis);
    steps &= is_constant_within_runs(inner);
    period = std::gcd(period, inner.period);
  }
  form.period = steps ? period : 1;
  if (form.period != 1) form.slope = make_int(int64, 0);
  return form;
}

/// floor(sum / divisor) where the sum holds no multiple of the divisor.
AxisForm form_of_division(const Expr &e, const Expr &dividend, std::int64_t divisor,
                          const VarPtr &axis) {
  const LinearIndex sum = linear_index(dividend);
  AxisForm form = form_of_function(e, axis);
  if (sum.terms.size() != 1 || sum.terms[0].factor.defined()) return form;
  const auto *variable = sum.terms[0].atom.as<Variable>();
  const std::int64_t q = sum.terms[0].coefficient;
  if (variable == nullptr || variable->var != axis || q <= 0 || divisor % q != 0) return form;
  // floor((q v + r) / c) is floor((v + floor(r / q)) / (c / q)): constant on runs of c / q,
  // shifted.
  form.period = std::gcd(divisor / q, floor_divide(sum.constant, q));
  form.slope = form.period == 1 ? Expr() : make_int(int64, 0);
  return form;
}

AxisForm form_of_product(const Expr &e, const Binary &product, const VarPtr &axis) {
  const bool left = uses(product.a, axis);
  if (left && uses(product.b, axis)) return form_of_function(e, axis);
  const Expr &other = left ? product.b : product.a;
  AxisForm form = form_of(left ? product.a : product.b, axis);
  join(&form.joint, free_variables(other));
  if (form.slope.defined()) form.slope = form.slope * cast(int64, other);
  form.part = e;
  return form;
}

AxisForm form_of_atom(const Expr &e, const VarPtr &axis) {
  AxisForm form;
  if (!uses(e, axis)) return form;
  if (e.as<Variable>() != nullptr) {
    form.depends = true;
    form.slope = make_int(int64, 1);
    return form;
  }
  if (const auto *binary = e.as<Binary>()) {
    std::int64_t divisor = 0;
    if (binary->op == BinaryOp::Mul) return form_of_product(e, *binary, axis);
    if (binary->op == BinaryOp::Div && is_const_int(binary->b, &divisor) && divisor > 0) {
      return form_of_division(e, binary->a, divisor, axis);
    }
  }
  return form_of_function(e, axis);
}

AxisForm form_of_sum(const LinearIndex &sum, const VarPtr &axis) {
  AxisForm form;
  for (const LinearIndex::Term &term : sum.terms) {
    const AxisForm part = form_of_atom(term.atom, axis);
    if (!part.depends) continue;
    form.depends = true;
    form.data |= part.data;
    if (!form.part.defined() || (form.joint.empty() && !part.joint.empty())) form.part = part.part;
    join(&form.joint, part.joint);
    form.period = std::gcd(form.period, part.period);
    if (!part.slope.defined()) continue;
    Expr slope = part.slope * make_int(int64, term.coefficient);
    if (term.factor.defined()) slope = slope * cast(int64, term.factor);
    form.slope = form.slope.defined() ? form.slope + slope : slope;
  }
  if (form.period == 1) form.slope = Expr();
  return form;
}

}  // namespace

LinearIndex linear_index(const Expr &index) {
  internal_check(index.defined(), "an undefined index");
  std::optional<LinearIndex> sum = sum_of(index);
  return sum ? *sum : atom(index);
}

AxisForm axis_form(const Expr &index, const std::vector<VarPtr> &axis) {
  internal_check(!axis.empty(), "an axis of no variable");
  if (axis.size() == 1) return form_of(index, axis.front());
  AxisForm form;
  for (const VarPtr &v : axis) {
    const AxisForm part = form_of(index, v);
    if (!part.depends) continue;
    form.depends = true;
    form.period = 1;
    form.data |= part.data;
    if (!form.part.defined() || (form.joint.empty() && !part.joint.empty())) form.part = part.part;
    join(&form.joint, part.joint);
    std::erase_if(form.joint, [&](const VarPtr &j) {
      return std::find(axis.begin(), axis.end(), j) != axis.end();
    });
  }
  return form;
}

}  // namespace pit
