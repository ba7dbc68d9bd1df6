// Construction of nodes, with constant folding and the identities that hold for every value.
#include <algorithm>
#include <cmath>
#include <utility>

#include "arithmetic.h"
#include "error.h"
#include "expr.h"

namespace pit {

namespace {

bool is_constant(const Expr &e) { return e.as<IntImm>() != nullptr || e.as<FloatImm>() != nullptr; }

/// An integer or float constant equal to `value`.
bool is_value(const Expr &e, int value) {
  if (const auto *i = e.as<IntImm>()) return i->value == value;
  const auto *f = e.as<FloatImm>();
  return f != nullptr && f->value == value;
}

/// `e` as it was, said at the place of `where`.
Expr at(const Expr &e, const Expr &where) { return Expr(e.node(), where.where()); }

Expr fold_constants(BinaryOp op, const Expr &a, const Expr &b) {
  const Type type = a.type();
  if (const auto *x = a.as<IntImm>()) {
    const std::int64_t value = int_binary(op, type, x->value, b.as<IntImm>()->value);
    return make_int(is_comparison(op) || is_logical(op) ? boolean : type, value);
  }
  const double x = a.as<FloatImm>()->value, y = b.as<FloatImm>()->value;
  if (is_comparison(op)) return make_int(boolean, float_compare(op, x, y));
  return make_float(type, float_binary(op, x, y));
}

/// a && b and a || b when one side is constant. Dropping the evaluation of the other side changes
/// no value.
Expr fold_logical(BinaryOp op, const Expr &a, const Expr &b) {
  const bool decides = op == BinaryOp::Or;  // the value that decides alone
  for (const auto &[constant, other] : {std::pair(a, b), std::pair(b, a)}) {
    if (const auto *c = constant.as<IntImm>()) return (c->value != 0) == decides ? constant : other;
  }
  return {};
}

/// The identities; null when none applies. x + 0 is none for floats: it turns -0 into +0.
Expr fold_identity(BinaryOp op, const Expr &a, const Expr &b) {
  const bool integral = a.type().is_integral();
  switch (op) {
    case BinaryOp::Add:
      if (integral && is_value(a, 0)) return b;
      if (integral && is_value(b, 0)) return a;
      break;
    case BinaryOp::Sub:
      if (is_value(b, 0) && (integral || !std::signbit(b.as<FloatImm>()->value))) return a;
      break;
    case BinaryOp::Mul:
      if (is_value(a, 1)) return b;
      if (is_value(b, 1)) return a;
      if (integral && is_value(a, 0)) return a;
      if (integral && is_value(b, 0)) return b;
      break;
    case BinaryOp::Div:
      if (is_value(b, 1)) return a;
      if (integral && (is_value(a, 0) || is_value(b, 0))) return make_zero(a.type());
      break;
    case BinaryOp::Mod:
      if (is_value(a, 0) || is_value(b, 0) || is_value(b, 1)) return make_zero(a.type());
      break;
    case BinaryOp::BitOr:
    case BinaryOp::BitXor:
    case BinaryOp::Shl:
    case BinaryOp::Shr:
      if (is_value(b, 0)) return a;
      break;
    default:
      break;
  }
  return {};
}

}  // namespace

Expr make_int(Type type, std::int64_t value) {
  if (!type.is_integral() && !type.is_bool()) {
    throw InternalError("integer constant of type " + to_string(type));
  }
  return Expr(std::make_shared<IntImm>(type, wrap(type, value)), {});
}

Expr make_float(Type type, double value) {
  return Expr(std::make_shared<FloatImm>(type, round_to(type, value)), {});
}

Expr make_const(Type type, double value) {
  return type.is_float() ? make_float(type, value) : make_int(type, float_to_int(int64, value));
}

Expr make_zero(Type type) { return make_const(type, 0); }

Expr make_variable(const VarPtr &var) { return Expr(std::make_shared<Variable>(var), {}); }

Expr make_load(const StoragePtr &storage, std::vector<Expr> indices) {
  if (static_cast<int>(indices.size()) != storage->rank) {
    throw InternalError(storage->name + " has rank " + std::to_string(storage->rank) +
                        " and is loaded with " + std::to_string(indices.size()) + " indices");
  }
  for (Expr &index : indices) {
    if (!index.defined() || !index.type().is_integral()) {
      throw InternalError("an index of " + storage->name + " is no integer");
    }
    if (index.as<IntImm>() != nullptr) index = cast(int64, index);
  }
  return Expr(std::make_shared<Load>(storage, std::move(indices)), {});
}

Expr make_extent(const StoragePtr &storage, int dimension) {
  if (dimension < 0 || dimension >= storage->rank) {
    throw InternalError(storage->name + " has no dimension " + std::to_string(dimension));
  }
  return Expr(std::make_shared<Extent>(storage, dimension), {});
}

Expr make_unary(UnaryOp op, const Expr &a) {
  const Type type = a.type();
  const bool is_test = op == UnaryOp::IsNan || op == UnaryOp::IsFinite;
  if (const auto *f = a.as<FloatImm>()) {
    if (op == UnaryOp::IsNan) return at(make_int(boolean, std::isnan(f->value)), a);
    if (op == UnaryOp::IsFinite) return at(make_int(boolean, std::isfinite(f->value)), a);
    return at(make_float(type, float_unary(op, f->value)), a);
  }
  if (!type.is_float()) {
    if (is_test) return at(make_int(boolean, op == UnaryOp::IsFinite), a);
    if (const auto *i = a.as<IntImm>()) return at(make_int(type, int_unary(op, type, i->value)), a);
    if (op == UnaryOp::Floor || op == UnaryOp::Ceil || op == UnaryOp::Round) return a;
    if (op == UnaryOp::Abs && !type.is_int()) return a;
    internal_check(op == UnaryOp::Neg || op == UnaryOp::Not || op == UnaryOp::Abs,
                   "a function of floats on integers");
  }
  if (const auto *inner = a.as<Unary>()) {
    if (inner->op == op && (op == UnaryOp::Neg || op == UnaryOp::Not)) return at(inner->a, a);
  }
  return Expr(std::make_shared<Unary>(is_test ? boolean : type, op, a), a.where());
}

Expr make_binary(BinaryOp op, const Expr &a, const Expr &b) {
  // The texts are made only when they are needed: printing the operands of every node built would
  // make building a long expression quadratic.
  if (a.type() != b.type()) {
    throw InternalError("operands of two types: " + to_string(a) + " is " + to_string(a.type()) +
                        ", " + to_string(b) + " is " + to_string(b.type()));
  }
  if (is_logical(op) && !a.type().is_bool()) {
    throw InternalError("a logical operator on " + to_string(a.type()));
  }
  Expr folded;
  if (is_constant(a) && is_constant(b)) {
    folded = fold_constants(op, a, b);
  } else {
    folded = is_logical(op) ? fold_logical(op, a, b) : fold_identity(op, a, b);
  }
  const Expr &placed = a.where().line() != 0 ? a : b;
  if (folded.defined()) return at(folded, placed);
  const Type type = is_comparison(op) ? boolean : a.type();
  return Expr(std::make_shared<Binary>(type, op, a, b), placed.where());
}

Expr make_select(const Expr &c, const Expr &t, const Expr &f) {
  internal_check(c.type().is_bool() && t.type() == f.type(), "select of mismatched types");
  if (const auto *constant = c.as<IntImm>()) return at(constant->value != 0 ? t : f, c);
  if (t.same_as(f)) return at(t, c);
  return Expr(std::make_shared<Select>(c, t, f), c.where());
}

Expr cast(Type type, const Expr &a) {
  if (!a.defined())
    throw CompileError("cast to " + to_string(type) + " of an undefined Expr", a.where());
  if (a.type() == type) return a;
  if (const auto *i = a.as<IntImm>()) {
    if (!type.is_float()) return at(make_int(type, i->value), a);
    return at(make_float(type, int_to_float(i->type, i->value)), a);
  }
  if (const auto *f = a.as<FloatImm>()) {
    return at(
        type.is_float() ? make_float(type, f->value) : make_int(type, float_to_int(type, f->value)),
        a);
  }
  return Expr(std::make_shared<Cast>(type, a), a.where());
}

bool is_const_int(const Expr &e, std::int64_t *value) {
  const auto *i = e.as<IntImm>();
  if (i == nullptr) return false;
  *value = i->value;
  return true;
}

bool is_zero(const Expr &e) { return is_value(e, 0); }
bool is_one(const Expr &e) { return is_value(e, 1); }

}  // namespace pit
