#include "dsl/analysis/annihilation.h"

#include <algorithm>
#include <utility>

namespace pit {

namespace {

/// x OP c, where c is constant.
struct Fact {
  BinaryOp op;  ///< Eq: x is c, for any type. Le, Ge: for integers
  Expr x, c;
};

bool is_constant(const Expr &e) { return e.as<IntImm>() != nullptr || e.as<FloatImm>() != nullptr; }

/// Whether the conversion of any value that is not `c` gives something else than `c`: then what is
/// said of the result is said of the operand.
bool keeps_apart(Type from, Type to, const Expr &c) {
  if (from.is_bool()) return true;
  if (to.is_bool()) return is_zero(c);
  if (from.is_float() && to.is_float()) {
    return from == to || (to.bits > from.bits);  // both 16-bit types are parts of float32
  }
  if (from.is_integral() && to.is_float()) return is_zero(c);  // rounds, but nothing to 0
  return from.is_integral() && to.is_integral() && to.bits >= from.bits;
}

/// Knowledge from one conjunct being false, and what an expression then folds to.
class Assumption {
 public:
  void assume_false(const Expr &p) { assume(p, false); }

  /// e under the facts, folded; 0 * x is 0 for floats too.
  Expr simplify(const Expr &e) const {
    // Top down first: a known sub-expression is replaced before its operands are looked at.
    for (const Fact &fact : facts_) {
      if (fact.op == BinaryOp::Eq && equal(fact.x, e)) return cast(e.type(), fact.c);
    }
    std::vector<Expr> parts = operands(e);
    if (parts.empty()) return e;
    bool changed = false;
    for (Expr &part : parts) {
      Expr simpler = simplify(part);
      changed |= !simpler.same_as(part);
      part = std::move(simpler);
    }
    return fold(changed ? with_operands(e, parts) : e);
  }

 private:
  std::vector<Fact> facts_;

  void assume(const Expr &p, bool holds) {
    facts_.push_back({BinaryOp::Eq, p, make_int(boolean, holds)});
    if (const auto *unary = p.as<Unary>(); unary != nullptr && unary->op == UnaryOp::Not) {
      assume(unary->a, !holds);
    }
    const auto *binary = p.as<Binary>();
    if (binary == nullptr) return;
    if (binary->op == (holds ? BinaryOp::And : BinaryOp::Or)) {
      assume(binary->a, holds);
      assume(binary->b, holds);
      return;
    }
    if (is_constant(binary->b)) compare(binary->op, binary->a, binary->b, holds);
    if (is_constant(binary->a)) compare(mirrored(binary->op), binary->b, binary->a, holds);
  }

  static BinaryOp mirrored(BinaryOp op) {
    switch (op) {
      case BinaryOp::Lt:
        return BinaryOp::Gt;
      case BinaryOp::Le:
        return BinaryOp::Ge;
      case BinaryOp::Gt:
        return BinaryOp::Lt;
      case BinaryOp::Ge:
        return BinaryOp::Le;
      default:
        return op;
    }
  }

  /// x op c is `holds`.
  void compare(BinaryOp op, const Expr &x, const Expr &c, bool holds) {
    if (op == (holds ? BinaryOp::Eq : BinaryOp::Ne)) {
      know_equal(x, c);
      return;
    }
    // The negation of an order says nothing of a NaN: integers only.
    std::int64_t value = 0;
    if (!x.type().is_integral() || x.type() == uint64 || !is_const_int(c, &value)) return;
    switch (op) {
      case BinaryOp::Lt:
        holds ? at_most(x, value, 1) : at_least(x, value, 0);
        break;
      case BinaryOp::Le:
        holds ? at_most(x, value, 0) : at_least(x, value, 1);
        break;
      case BinaryOp::Gt:
        holds ? at_least(x, value, 1) : at_most(x, value, 0);
        break;
      case BinaryOp::Ge:
        holds ? at_least(x, value, 0) : at_most(x, value, 1);
        break;
      default:
        break;
    }
  }

  void at_most(const Expr &x, std::int64_t bound, std::int64_t less) {
    if (bound < x.type().min_int() + less) return;  // never
    bound -= less;
    if (bound == x.type().min_int()) know_equal(x, make_int(x.type(), bound));
    facts_.push_back({BinaryOp::Le, x, make_int(x.type(), bound)});
  }

  void at_least(const Expr &x, std::int64_t bound, std::int64_t more) {
    if (bound > x.type().max_int() - more) return;  // never
    bound += more;
    if (bound == x.type().max_int()) know_equal(x, make_int(x.type(), bound));
    facts_.push_back({BinaryOp::Ge, x, make_int(x.type(), bound)});
  }

  void know_equal(const Expr &x, const Expr &c) {
    facts_.push_back({BinaryOp::Eq, x, c});
    if (x.type().is_bool()) {
      std::int64_t value = 0;
      if (is_const_int(c, &value)) assume(x, value != 0);
    }
    const auto *conversion = x.as<Cast>();
    if (conversion == nullptr || !keeps_apart(conversion->a.type(), x.type(), c)) return;
    const Expr narrower = cast(conversion->a.type(), c);
    if (equal(cast(x.type(), narrower), c)) know_equal(conversion->a, narrower);
  }

  Expr fold(const Expr &e) const {
    const auto *binary = e.as<Binary>();
    if (binary == nullptr) return e;
    const Expr &a = binary->a, &b = binary->b;
    switch (binary->op) {
      case BinaryOp::Mul:
        if (is_zero(a) || is_zero(b)) return make_zero(e.type());
        break;
      case BinaryOp::Add:
        if (is_zero(a)) return b;
        if (is_zero(b)) return a;
        break;
      case BinaryOp::Sub:
        if (is_zero(b)) return a;
        break;
      case BinaryOp::Div:
        if (is_zero(a) && is_constant(b) && !is_zero(b)) return make_zero(e.type());
        break;
      case BinaryOp::Min:
        return fold_bound(e, a, b, BinaryOp::Ge);
      case BinaryOp::Max:
        return fold_bound(e, a, b, BinaryOp::Le);
      default:
        break;
    }
    return e;
  }

  /// max(x, c) is c when x <= k <= c is known; min likewise.
  Expr fold_bound(const Expr &e, const Expr &a, const Expr &b, BinaryOp known) const {
    for (const auto &[x, limit] : {std::pair(a, b), std::pair(b, a)}) {
      std::int64_t c = 0, k = 0;
      if (!is_const_int(limit, &c)) continue;
      for (const Fact &fact : facts_) {
        if (fact.op != known || !equal(fact.x, x) || !is_const_int(fact.c, &k)) continue;
        if (known == BinaryOp::Le ? k <= c : k >= c) return limit;
      }
    }
    return e;
  }
};

/// The cases in which p is false: a && b is false when a is, or when b is.
std::vector<Expr> failing_cases(const Expr &p) {
  const auto *binary = p.as<Binary>();
  if (binary == nullptr || binary->op != BinaryOp::And) return {p};
  std::vector<Expr> cases = failing_cases(binary->a), more = failing_cases(binary->b);
  cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

bool is_identity(const Expr &value, Combiner combiner) {
  if (combiner == Combiner::Sum) return is_zero(value);  // of either sign
  return equal(value, identity_of(combiner, value.type()));
}

}  // namespace

bool annihilates(const DefinitionData &definition, const std::vector<Expr> &failing_predicates) {
  if (failing_predicates.empty()) return true;
  switch (definition.combiner) {
    case Combiner::Assign:   // writes, whatever the value
    case Combiner::Softmax:  // its identity is a score of -inf, which a predicate does not give
    case Combiner::TopK:     // a key takes a slot, whatever its value
      return false;
    default:
      break;
  }
  for (const Expr &p : failing_predicates) {
    for (const Expr &failing : failing_cases(p)) {
      Assumption assumption;
      assumption.assume_false(failing);
      const bool nothing =
          std::all_of(definition.values.begin(), definition.values.end(), [&](const Expr &value) {
            return is_identity(assumption.simplify(value), definition.combiner);
          });
      if (!nothing) return false;
    }
  }
  return true;
}

}  // namespace pit
