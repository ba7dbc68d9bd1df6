#include "interval.h"

namespace pit::lower {
namespace {

Expr either_min(const Expr &a, const Expr &b) { return a.defined() && b.defined() ? min(a, b) : Expr(); }
Expr either_max(const Expr &a, const Expr &b) { return a.defined() && b.defined() ? max(a, b) : Expr(); }
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
      case ExprKind::Extent: return point(e);
      case ExprKind::Variable: {
        auto it = ranges_.find(e.as<Variable>()->var.get());
        return it == ranges_.end() ? point(e) : it->second;
      }
      case ExprKind::Cast: return of_cast(*e.as<Cast>());
      case ExprKind::Binary: return of_binary(*e.as<Binary>(), e);
      case ExprKind::Select: {
        const Interval t = of(e.as<Select>()->true_value), f = of(e.as<Select>()->false_value);
        return {either_min(t.low, f.low), either_max(t.high, f.high)};
      }
      case ExprKind::Call: return of_call(*e.as<Call>(), e);
      default: return of_data(e);
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
      case BinaryOp::Add: return {add(x.low, y.low), add(x.high, y.high)};
      case BinaryOp::Sub: return {subtract(x.low, y.high), subtract(x.high, y.low)};
      case BinaryOp::Min:
        return {either_min(x.low, y.low),
                x.high.defined() && y.high.defined() ? min(x.high, y.high) : (x.high.defined() ? x.high : y.high)};
      case BinaryOp::Max:
        return {x.low.defined() && y.low.defined() ? max(x.low, y.low) : (x.low.defined() ? x.low : y.low),
                either_max(x.high, y.high)};
      case BinaryOp::Mul: return multiply(x, y);
      case BinaryOp::Div:
        if (constant && c > 0 && x.bounded()) {
          return {x.low / make_int(int64, c), x.high / make_int(int64, c)};
        }
        break;
      case BinaryOp::Mod:
        if (constant && c > 0) return {make_int(int64, 0), make_int(int64, c - 1)};
        if (y.bounded()) return {make_int(int64, 0), max(y.high - make_int(int64, 1), make_int(int64, 0))};
        break;
      default: break;
    }
    const bool varies = !x.bounded() || !y.bounded() || !x.low.same_as(x.high) || !y.low.same_as(y.high);
    if (b.op == BinaryOp::Div && x.bounded() && y.bounded() && equal(y.low, y.high)) {
      const Expr low = x.low / y.low, high = x.high / y.low;
      return {min(low, high), max(low, high)};
    }
    return varies ? Interval{} : point(e);
  }

  Interval multiply(const Interval &x, const Interval &y) const {
    std::int64_t c = 0;
    if (y.bounded() && is_const_int(y.low, &c) && equal(y.low, y.high)) return scale(x, y.low, c >= 0);
    if (x.bounded() && is_const_int(x.low, &c) && equal(x.low, x.high)) return scale(y, x.low, c >= 0);
    if (!x.bounded() || !y.bounded()) return {};
    const Expr a = x.low * y.low, b = x.low * y.high, d = x.high * y.low, f = x.high * y.high;
    if (equal(a, b) && equal(a, d) && equal(a, f)) return {a, a};
    return {min(min(a, b), min(d, f)), max(max(a, b), max(d, f))};
  }

  static Interval scale(const Interval &x, const Expr &factor, bool positive) {
    Expr low = x.low.defined() ? x.low * factor : Expr(), high = x.high.defined() ? x.high * factor : Expr();
    return positive ? Interval{low, high} : Interval{high, low};
  }
};

}  // namespace

Expr to_int64(const Expr &e) { return e.type() == int64 ? e : cast(int64, e); }

bool same_condition(const Expr &a, const Expr &b) {
  auto strip = [](Expr e) {
    for (const Cast *c = e.as<Cast>(); c && c->type == int64 && c->a.type().is_integral(); c = e.as<Cast>()) e = c->a;
    return e;
  };
  const Expr x = strip(a), y = strip(b);
  if (equal(x, y)) return true;
  std::int64_t p = 0, q = 0;
  if (is_const_int(x, &p) && is_const_int(y, &q)) return p == q;
  const std::vector<Expr> u = operands(x), v = operands(y);
  if (x->kind != y->kind || u.empty() || u.size() != v.size()) return false;
  if (const Binary *binary = x.as<Binary>(); binary && binary->op != y.as<Binary>()->op) return false;
  if (const Unary *unary = x.as<Unary>(); unary && unary->op != y.as<Unary>()->op) return false;
  if (const Load *load = x.as<Load>(); load && load->storage != y.as<Load>()->storage) return false;
  if (const Cast *c = x.as<Cast>(); c && c->type != y.type()) return false;
  if (const Call *call = x.as<Call>()) {
    if (call->func != y.as<Call>()->func || call->component != y.as<Call>()->component) return false;
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
    reads |= node->kind == ExprKind::Load || node->kind == ExprKind::Call;
    return !reads;
  });
  return reads;
}

Interval interval_of(const Expr &e, const VariableRanges &ranges, const Plan &plan, bool data_is_a_point) {
  return Intervals(ranges, plan, data_is_a_point).of(e);
}

}  // namespace pit::lower
