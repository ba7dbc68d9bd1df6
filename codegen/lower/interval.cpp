#include "interval.h"

#include <algorithm>
#include <cmath>

namespace pit::lower {
namespace {

Expr either_min(const Expr &a, const Expr &b) {
  return a.defined() && b.defined() ? min(a, b) : Expr();
}
Expr either_max(const Expr &a, const Expr &b) {
  return a.defined() && b.defined() ? max(a, b) : Expr();
}
Expr add(const Expr &a, const Expr &b) { return a.defined() && b.defined() ? a + b : Expr(); }
Expr subtract(const Expr &a, const Expr &b) { return a.defined() && b.defined() ? a - b : Expr(); }

class Intervals {
 public:
  Intervals(const VariableRanges &ranges, const Plan &plan, bool data_is_a_point)
      : ranges_(ranges), plan_(plan), data_is_a_point_(data_is_a_point) {}

  Interval of(const Expr &e) const {
    switch (e->kind) {
      case ExprKind::IntImm:
      case ExprKind::Param:
      case ExprKind::Extent:
        return point(e);
      case ExprKind::Variable: {
        auto it = ranges_.find(e.as<Variable>()->var.get());
        return it == ranges_.end() ? point(e) : it->second;
      }
      case ExprKind::Cast:
        return of_cast(*e.as<Cast>());
      case ExprKind::Binary:
        return of_binary(*e.as<Binary>(), e);
      case ExprKind::Select: {
        const Interval t = of(e.as<Select>()->true_value), f = of(e.as<Select>()->false_value);
        return {either_min(t.low, f.low), either_max(t.high, f.high)};
      }
      case ExprKind::Call:
        return of_call(*e.as<Call>(), e);
      default:
        return of_data(e);
    }
  }

 private:
  const VariableRanges &ranges_;
  const Plan &plan_;
  bool data_is_a_point_;

  Interval point(const Expr &e) const { return {to_int64(e), to_int64(e)}; }

  /// A datum is a point when it does not vary with the ranges.
  Interval of_data(const Expr &e) const {
    if (!data_is_a_point_) return {};
    for (const VarPtr &v : free_variables(e)) {
      if (ranges_.contains(v.get())) return {};
    }
    return point(e);
  }

  Interval of_call(const Call &call, const Expr &e) const {
    auto it = plan_.stage_of.find(call.func);
    if (it != plan_.stage_of.end() && it->second->is_top_k() && call.component == 1) {
      const PlannedDefinition &def = it->second->definitions.at(1);
      const Interval low = of(def.domain.at(0).min), extent = of(def.domain.at(0).extent);
      if (low.bounded() && extent.bounded()) {
        // A slot with no key gives -1: only a full domain of enough keys rules that out.
        const Interval slot = of(call.args.back());
        Expr least = make_int(int64, -1);
        if (def.predicates.empty() && slot.bounded()) {
          least = select(slot.high < extent.low, low.low, make_int(int64, -1));
        }
        return {least, low.high + extent.high - make_int(int64, 1)};
      }
    }
    return of_data(e);
  }

  Interval of_cast(const Cast &cast_node) const {
    if (!cast_node.a.type().is_integral() && !cast_node.a.type().is_bool()) return {};
    const Interval inner = of(cast_node.a);
    if (cast_node.type.bits >= 32 && inner.bounded()) return inner;
    if (cast_node.a.type().is_bool()) return {make_int(int64, 0), make_int(int64, 1)};
    if (cast_node.type.bits < 32) {
      return {make_int(int64, cast_node.type.min_int()), make_int(int64, cast_node.type.max_int())};
    }
    return inner;
  }

  Interval of_binary(const Binary &b, const Expr &e) const {
    if (!b.a.type().is_integral()) return {};
    const Interval x = of(b.a), y = of(b.b);
    std::int64_t c = 0;
    const bool constant = is_const_int(b.b, &c);
    switch (b.op) {
      case BinaryOp::Add:
        return {add(x.low, y.low), add(x.high, y.high)};
      case BinaryOp::Sub:
        return {subtract(x.low, y.high), subtract(x.high, y.low)};
      case BinaryOp::Min:
        return {either_min(x.low, y.low), x.high.defined() && y.high.defined()
                                              ? min(x.high, y.high)
                                              : (x.high.defined() ? x.high : y.high)};
      case BinaryOp::Max:
        return {x.low.defined() && y.low.defined() ? max(x.low, y.low)
                                                   : (x.low.defined() ? x.low : y.low),
                either_max(x.high, y.high)};
      case BinaryOp::Mul:
        return multiply(x, y);
      case BinaryOp::Div:
        if (constant && c > 0 && x.bounded()) {
          return {x.low / make_int(int64, c), x.high / make_int(int64, c)};
        }
        break;
      case BinaryOp::Mod:
        if (constant && c > 0) return {make_int(int64, 0), make_int(int64, c - 1)};
        if (y.bounded()) {
          // The remainder is less than the divisor's magnitude, and 0 for the divisor 0.
          std::int64_t least = 0;
          const bool positive = y.low.as<Extent>() || (is_const_int(y.low, &least) && least >= 0);
          const Expr magnitude = positive ? y.high : max(y.high, make_int(int64, 0) - y.low);
          return {make_int(int64, 0), max(magnitude - make_int(int64, 1), make_int(int64, 0))};
        }
        break;
      default:
        break;
    }
    const bool varies =
        !x.bounded() || !y.bounded() || !x.low.same_as(x.high) || !y.low.same_as(y.high);
    if (b.op == BinaryOp::Div && x.bounded() && y.bounded() && equal(y.low, y.high)) {
      const Expr low = x.low / y.low, high = x.high / y.low;
      return {min(low, high), max(low, high)};
    }
    return varies ? Interval{} : point(e);
  }

  Interval multiply(const Interval &x, const Interval &y) const {
    std::int64_t c = 0;
    if (y.bounded() && is_const_int(y.low, &c) && equal(y.low, y.high))
      return scale(x, y.low, c >= 0);
    if (x.bounded() && is_const_int(x.low, &c) && equal(x.low, x.high))
      return scale(y, x.low, c >= 0);
    if (!x.bounded() || !y.bounded()) return {};
    const Expr a = x.low * y.low, b = x.low * y.high, d = x.high * y.low, f = x.high * y.high;
    if (equal(a, b) && equal(a, d) && equal(a, f)) return {a, a};
    return {min(min(a, b), min(d, f)), max(max(a, b), max(d, f))};
  }

  static Interval scale(const Interval &x, const Expr &factor, bool positive) {
    Expr low = x.low.defined() ? x.low * factor : Expr(),
         high = x.high.defined() ? x.high * factor : Expr();
    return positive ? Interval{low, high} : Interval{high, low};
  }
};

/// Bounds of the absolute values of integer expressions, in double precision, which does not wrap.
class Magnitudes {
 public:
  Magnitudes(const VariableRanges &ranges, const Plan &plan) : ranges_(ranges), plan_(plan) {}

  /// See cannot_wrap.
  Expr conditions(const Expr &e) {
    require(e);
    return all_;
  }

 private:
  /// |x| <= value, and |x| <= most whatever the call; value is undefined when only `most` is known.
  struct Bound {
    Expr value;
    double most;
  };
  static constexpr double kExtent = 0x1p47, kFits64 = 0x1p62;

  const VariableRanges &ranges_;
  const Plan &plan_;
  Expr all_;

  static Expr real(double x) { return make_float(float64, x); }
  static Bound constant(double x) { return {real(x), x}; }
  static Bound point(const Expr &e, double most) { return {abs(cast(float64, e)), most}; }
  static double most_of(Type type) {
    return std::ldexp(1.0, type.is_bool() ? 0 : type.is_uint() ? type.bits : type.bits - 1);
  }
  static Bound either(const Bound &a, const Bound &b) {
    return {a.value.defined() && b.value.defined() ? max(a.value, b.value) : Expr(),
            std::max(a.most, b.most)};
  }
  template <class Operation>
  static Bound both(const Bound &a, const Bound &b, Operation operation) {
    return {a.value.defined() && b.value.defined() ? operation(a.value, b.value) : Expr(),
            operation(a.most, b.most)};
  }

  static bool is_narrowing(const Cast &c) {
    const Type from = c.a.type(), to = c.type;
    if (!from.is_integral() || !to.is_integral() || to.is_bool() || from.is_bool()) return false;
    return to.bits < from.bits || (to.bits == from.bits && to.is_uint() != from.is_uint()) ||
           (to.is_uint() && !from.is_uint());
  }

  void require(const Expr &e) {
    for (const Expr &operand : operands(e)) {
      if (e->kind != ExprKind::Load && e->kind != ExprKind::Call) require(operand);
    }
    if (!e.type().is_integral() || e.type().is_bool()) return;
    const Binary *b = e.as<Binary>();
    const Unary *u = e.as<Unary>();
    const Cast *c = e.as<Cast>();
    const bool computes =
        (b && (b->op == BinaryOp::Add || b->op == BinaryOp::Sub || b->op == BinaryOp::Mul)) ||
        (u && (u->op == UnaryOp::Neg || u->op == UnaryOp::Abs)) || (c && is_narrowing(*c));
    if (!computes) return;
    const Interval interval = interval_of(e, ranges_, plan_, false);
    if (!interval.low.defined() && !interval.high.defined()) return;  // nothing is said of it
    const double fits = e.type().bits == 64 ? kFits64 : most_of(e.type()) - 1;
    const Bound bound = of(e);
    if (bound.most <= fits) return;
    const Expr condition = bound.value.defined() ? bound.value <= real(fits) : Expr(false);
    all_ = all_.defined() ? all_ && condition : condition;
  }

  Bound of(const Expr &e) const {
    std::int64_t constant_value = 0;
    if (is_const_int(e, &constant_value))
      return constant(std::abs(static_cast<double>(constant_value)));
    switch (e->kind) {
      case ExprKind::Extent:
        return point(e, kExtent);
      case ExprKind::Param:
        return point(e, most_of(e.type()));
      case ExprKind::Variable: {
        const auto it = ranges_.find(e.as<Variable>()->var.get());
        if (it == ranges_.end()) return point(e, most_of_let(e.as<Variable>()->var));
        return it->second.bounded() ? either(of(it->second.low), of(it->second.high)) : unknown(e);
      }
      case ExprKind::Cast: {
        const Expr &a = e.as<Cast>()->a;
        return a.type().is_integral() && !is_narrowing(*e.as<Cast>()) ? of(a) : within(e);
      }
      case ExprKind::Unary:
        return e.as<Unary>()->op == UnaryOp::Neg || e.as<Unary>()->op == UnaryOp::Abs
                   ? of(e.as<Unary>()->a)
                   : within(e);
      case ExprKind::Binary:
        break;
      default:
        return within(e);
    }
    const Binary &b = *e.as<Binary>();
    if (!e.type().is_integral() || e.type().is_bool()) return constant(1);
    switch (b.op) {
      case BinaryOp::Add:
      case BinaryOp::Sub:
        return both(of(b.a), of(b.b), [](const auto &x, const auto &y) { return x + y; });
      case BinaryOp::Mul:
        return both(of(b.a), of(b.b), [](const auto &x, const auto &y) { return x * y; });
      case BinaryOp::Div:
        return of(b.a);
      case BinaryOp::Mod:
        return of(b.b);
      default:
        return within(e);
    }
  }

  /// From the interval, where that says more than e.
  Bound within(const Expr &e) const {
    const Interval interval = interval_of(e, ranges_, plan_, false);
    if (interval.bounded() && !same_condition(interval.low, e) &&
        !same_condition(interval.high, e)) {
      return either(of(interval.low), of(interval.high));
    }
    const Binary *b = e.as<Binary>();
    return b && (b->op == BinaryOp::Min || b->op == BinaryOp::Max) ? either(of(b->a), of(b->b))
                                                                   : unknown(e);
  }
  static Bound unknown(const Expr &e) {
    if (e.type().is_float() || e.type().bits == 64) return {Expr(), 0x1p64};
    return constant(most_of(e.type()));
  }

  double most_of_let(const VarPtr &v) const {
    for (const auto &[let, value] : plan_.lets) {
      if (let == v) return of(value).most;
    }
    return most_of(v->type);
  }
};

}  // namespace

Expr cannot_wrap(const Expr &e, const VariableRanges &ranges, const Plan &plan) {
  return Magnitudes(ranges, plan).conditions(e);
}

Expr to_int64(const Expr &e) { return e.type() == int64 ? e : cast(int64, e); }

Expr not_negative(const Expr &extent) {
  std::int64_t n = 0;
  if (is_const_int(extent, &n)) return make_int(int64, std::max<std::int64_t>(n, 0));
  return extent.as<Extent>() ? extent : max(extent, make_int(int64, 0));
}

bool same_condition(const Expr &a, const Expr &b) {
  auto strip = [](Expr e) {
    // Widening what arithmetic gave is not the arithmetic of what is widened: that may wrap.
    const Cast *c = e.as<Cast>();
    const bool leaf =
        c && (c->a.as<Load>() || c->a.as<Call>() || c->a.as<Variable>() || c->a.as<ParamRef>());
    return leaf && c->type == int64 && c->a.type().is_integral() && c->a.type() != uint64 ? c->a
                                                                                          : e;
  };
  const Expr x = strip(a), y = strip(b);
  if (equal(x, y)) return true;
  std::int64_t p = 0, q = 0;
  if (is_const_int(x, &p) && is_const_int(y, &q)) return p == q;
  const std::vector<Expr> u = operands(x), v = operands(y);
  if (x->kind != y->kind || u.empty() || u.size() != v.size()) return false;
  if (x.type() != y.type()) return false;
  if (const Binary *binary = x.as<Binary>(); binary && binary->op != y.as<Binary>()->op)
    return false;
  if (const Unary *unary = x.as<Unary>(); unary && unary->op != y.as<Unary>()->op) return false;
  if (const Load *load = x.as<Load>(); load && load->storage != y.as<Load>()->storage) return false;
  if (const Cast *c = x.as<Cast>(); c && c->type != y.type()) return false;
  if (const Call *call = x.as<Call>()) {
    if (call->func != y.as<Call>()->func || call->component != y.as<Call>()->component)
      return false;
  }
  if (x->kind == ExprKind::IndexQuery) return false;
  for (std::size_t i = 0; i < u.size(); ++i) {
    if (!same_condition(u[i], v[i])) return false;
  }
  return true;
}

bool reads_data(const Expr &e) {
  bool reads = false;
  walk(e, [&](const Expr &node) {
    reads |= node->kind == ExprKind::Load || node->kind == ExprKind::Call ||
             node->kind == ExprKind::IndexQuery;
    return !reads;
  });
  return reads;
}

Interval interval_of(const Expr &e, const VariableRanges &ranges, const Plan &plan,
                     bool data_is_a_point) {
  return Intervals(ranges, plan, data_is_a_point).of(e);
}

}  // namespace pit::lower
