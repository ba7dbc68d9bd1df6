// The operators and functions of expressions: bring operands to one type, then build.
#include "expr.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "arithmetic.h"
#include "error.h"

namespace pit {

namespace {

[[noreturn]] void fail(const std::string &message, const Expr &at) {
  throw CompileError(message, at.where());
}

void require_defined(const std::string &what, std::initializer_list<Expr> operands) {
  for (const Expr &operand : operands) {
    if (operand.defined()) continue;
    Expr located = operand;
    for (const Expr &other : operands) {
      if (located.where().line() == 0) located = other;
    }
    fail(what + ": an operand is an undefined Expr; give it a value first", located);
  }
}

/// True when constant `e` has the same value in `type`. Floats may be rounded, but not to infinity.
bool is_representable(const Expr &e, Type type) {
  if (const auto *f = e.as<FloatImm>()) {
    return type.is_float() && (!std::isfinite(f->value) || std::isfinite(round_to(type, f->value)));
  }
  const std::int64_t value = e.as<IntImm>()->value;
  if (type.is_float()) return std::isfinite(round_to(type, int_to_float(e.type(), value)));
  const bool sign_agrees = value >= 0 || (e.type() != uint64 && type.is_int());
  return wrap(type, value) == value && sign_agrees;
}

bool is_constant(const Expr &e) { return e.as<IntImm>() != nullptr || e.as<FloatImm>() != nullptr; }

/// The type that both operands, of which none adopts the other's type, are brought to.
Type common_type(Type a, Type b) {
  if (a == b) return a;
  if (a.is_bool()) return b;
  if (b.is_bool()) return a;
  if (a.is_float() != b.is_float()) return a.is_float() ? a : b;
  if (a.is_float()) {
    if (a.bits == b.bits) return float32;  // float16 with bfloat16
    return a.bits > b.bits ? a : b;
  }
  const std::uint8_t bits = std::max(a.bits, b.bits);
  return Type{a.kind == b.kind ? a.kind : Type::Kind::Int, bits};
}

/// Operands of arithmetic: bools count as int32.
Expr promote_bool(const Expr &e) { return e.type().is_bool() ? cast(int32, e) : e; }

/// Operands of functions of real numbers: everything that is no float becomes float32.
Expr promote_to_float(const Expr &e) { return e.type().is_float() ? e : cast(float32, e); }

struct Operands {
  Expr a, b;
};

Operands matched(const char *what, const Expr &a, const Expr &b) {
  require_defined(what, {a, b});
  Operands both{a, b};
  match_types(&both.a, &both.b);
  return both;
}

Expr arithmetic(const char *what, BinaryOp op, const Expr &a, const Expr &b) {
  auto [x, y] = matched(what, a, b);
  return make_binary(op, promote_bool(x), promote_bool(y));
}

Expr bitwise(const char *what, BinaryOp op, const Expr &a, const Expr &b) {
  auto [x, y] = matched(what, a, b);
  if (x.type().is_float()) {
    fail(std::string("operator ") + what + " is of integers, and " + to_string(x) + " is " +
             to_string(x.type()) + "; cast the operands to an integer type",
         x);
  }
  return make_binary(op, x, y);
}

Expr logical(const char *what, BinaryOp op, const Expr &a, const Expr &b) {
  require_defined(what, {a, b});
  for (const Expr &e : {a, b}) {
    if (!e.type().is_bool()) {
      fail(std::string("operator ") + what + " is of bools, and " + to_string(e) + " is " +
               to_string(e.type()) + "; compare it, e.g. " + to_string(e) + " != 0",
           e);
    }
  }
  return make_binary(op, a, b);
}

Expr real_function(const char *what, UnaryOp op, const Expr &a) {
  require_defined(what, {a});
  return make_unary(op, promote_to_float(a));
}

}  // namespace

Expr::Expr(int value, Location where) : node_(make_int(int32, value).node()), where_(where) {}
Expr::Expr(long value, Location where) : node_(make_int(int64, value).node()), where_(where) {}
Expr::Expr(long long value, Location where) : node_(make_int(int64, value).node()), where_(where) {}
Expr::Expr(unsigned value, Location where) : node_(make_int(uint32, value).node()), where_(where) {}
Expr::Expr(unsigned long value, Location where)
    : node_(make_int(uint64, static_cast<std::int64_t>(value)).node()), where_(where) {}
Expr::Expr(bool value, Location where) : node_(make_int(boolean, value).node()), where_(where) {}
Expr::Expr(float value, Location where) : node_(make_float(float32, value).node()), where_(where) {}
Expr::Expr(double value, Location where)
    : node_(make_float(float64, value).node()), where_(where) {}

void match_types(Expr *a, Expr *b) {
  if (a->type() == b->type()) return;
  if (is_constant(*a) != is_constant(*b)) {
    Expr *constant = is_constant(*a) ? a : b;
    const Type other = (is_constant(*a) ? b : a)->type();
    if (is_representable(*constant, other)) {
      *constant = cast(other, *constant);
      return;
    }
  }
  const Type type = common_type(a->type(), b->type());
  *a = cast(type, *a);
  *b = cast(type, *b);
}

Expr operator+(const Expr &a, const Expr &b) { return arithmetic("+", BinaryOp::Add, a, b); }
Expr operator-(const Expr &a, const Expr &b) { return arithmetic("-", BinaryOp::Sub, a, b); }
Expr operator*(const Expr &a, const Expr &b) { return arithmetic("*", BinaryOp::Mul, a, b); }
Expr operator/(const Expr &a, const Expr &b) { return arithmetic("/", BinaryOp::Div, a, b); }

Expr operator%(const Expr &a, const Expr &b) {
  auto [x, y] = matched("%", a, b);
  if (x.type().is_float()) {
    fail("operator % is of integers, and " + to_string(x) + " is " + to_string(x.type()) +
             "; for floats write x - y * floor(x / y)",
         x);
  }
  return make_binary(BinaryOp::Mod, promote_bool(x), promote_bool(y));
}

Expr operator<(const Expr &a, const Expr &b) { return arithmetic("<", BinaryOp::Lt, a, b); }
Expr operator<=(const Expr &a, const Expr &b) { return arithmetic("<=", BinaryOp::Le, a, b); }
Expr operator>(const Expr &a, const Expr &b) { return arithmetic(">", BinaryOp::Gt, a, b); }
Expr operator>=(const Expr &a, const Expr &b) { return arithmetic(">=", BinaryOp::Ge, a, b); }

Expr operator==(const Expr &a, const Expr &b) {
  auto [x, y] = matched("==", a, b);
  return make_binary(BinaryOp::Eq, x, y);
}
Expr operator!=(const Expr &a, const Expr &b) {
  auto [x, y] = matched("!=", a, b);
  return make_binary(BinaryOp::Ne, x, y);
}

Expr operator&&(const Expr &a, const Expr &b) { return logical("&&", BinaryOp::And, a, b); }
Expr operator||(const Expr &a, const Expr &b) { return logical("||", BinaryOp::Or, a, b); }
Expr operator&(const Expr &a, const Expr &b) { return bitwise("&", BinaryOp::BitAnd, a, b); }
Expr operator|(const Expr &a, const Expr &b) { return bitwise("|", BinaryOp::BitOr, a, b); }
Expr operator^(const Expr &a, const Expr &b) { return bitwise("^", BinaryOp::BitXor, a, b); }

Expr operator<<(const Expr &a, const Expr &b) {
  require_defined("<<", {a, b});
  return bitwise("<<", BinaryOp::Shl, promote_bool(a), promote_bool(b));
}
Expr operator>>(const Expr &a, const Expr &b) {
  require_defined(">>", {a, b});
  return bitwise(">>", BinaryOp::Shr, promote_bool(a), promote_bool(b));
}

Expr operator-(const Expr &a) {
  require_defined("-", {a});
  return make_unary(UnaryOp::Neg, promote_bool(a));
}

Expr operator!(const Expr &a) {
  require_defined("!", {a});
  if (!a.type().is_bool()) {
    fail("operator ! is of bools, and " + to_string(a) + " is " + to_string(a.type()) + "; write " +
             to_string(a) + " == 0",
         a);
  }
  return make_unary(UnaryOp::Not, a);
}

Expr operator~(const Expr &a) {
  require_defined("~", {a});
  if (!a.type().is_integral()) {
    fail("operator ~ is of integers, and " + to_string(a) + " is " + to_string(a.type()) +
             "; cast it, e.g. i32(...)",
         a);
  }
  return make_unary(UnaryOp::Not, a);
}

Expr f16(const Expr &a) { return cast(float16, a); }
Expr bf16(const Expr &a) { return cast(bfloat16, a); }
Expr f32(const Expr &a) { return cast(float32, a); }
Expr f64(const Expr &a) { return cast(float64, a); }
Expr i32(const Expr &a) { return cast(int32, a); }
Expr i64(const Expr &a) { return cast(int64, a); }

Expr min(const Expr &a, const Expr &b) { return arithmetic("min", BinaryOp::Min, a, b); }
Expr max(const Expr &a, const Expr &b) { return arithmetic("max", BinaryOp::Max, a, b); }

Expr clamp(const Expr &a, const Expr &low, const Expr &high) {
  require_defined("clamp", {a, low, high});
  return min(max(a, low), high);
}

Expr pow(const Expr &a, const Expr &b) {
  auto [x, y] = matched("pow", a, b);
  return make_binary(BinaryOp::Pow, promote_to_float(x), promote_to_float(y));
}

Expr abs(const Expr &a) {
  require_defined("abs", {a});
  return make_unary(UnaryOp::Abs, promote_bool(a));
}

Expr exp(const Expr &a) { return real_function("exp", UnaryOp::Exp, a); }
Expr exp2(const Expr &a) { return real_function("exp2", UnaryOp::Exp2, a); }
Expr log(const Expr &a) { return real_function("log", UnaryOp::Log, a); }
Expr sqrt(const Expr &a) { return real_function("sqrt", UnaryOp::Sqrt, a); }
Expr rsqrt(const Expr &a) { return real_function("rsqrt", UnaryOp::Rsqrt, a); }
Expr tanh(const Expr &a) { return real_function("tanh", UnaryOp::Tanh, a); }
Expr erf(const Expr &a) { return real_function("erf", UnaryOp::Erf, a); }
Expr sin(const Expr &a) { return real_function("sin", UnaryOp::Sin, a); }
Expr cos(const Expr &a) { return real_function("cos", UnaryOp::Cos, a); }

namespace {

/// Functions that are the identity on integers.
Expr rounding(const char *what, UnaryOp op, const Expr &a) {
  require_defined(what, {a});
  return make_unary(op, a);
}

}  // namespace

Expr floor(const Expr &a) { return rounding("floor", UnaryOp::Floor, a); }
Expr ceil(const Expr &a) { return rounding("ceil", UnaryOp::Ceil, a); }
Expr round(const Expr &a) { return rounding("round", UnaryOp::Round, a); }
Expr is_nan(const Expr &a) { return rounding("is_nan", UnaryOp::IsNan, a); }
Expr is_finite(const Expr &a) { return rounding("is_finite", UnaryOp::IsFinite, a); }

Expr select(const Expr &condition, const Expr &true_value, const Expr &false_value) {
  require_defined("select", {condition, true_value, false_value});
  if (!condition.type().is_bool()) {
    fail("the condition of select is a bool, and " + to_string(condition) + " is " +
             to_string(condition.type()) + "; compare it, e.g. " + to_string(condition) + " != 0",
         condition);
  }
  auto [t, f] = matched("select", true_value, false_value);
  return make_select(condition, t, f);
}

Expr sigmoid(const Expr &a) { return 1.0f / (1.0f + exp(-a)); }
Expr relu(const Expr &a) { return max(a, 0); }
Expr silu(const Expr &a) { return a * sigmoid(a); }
Expr gelu(const Expr &a) { return a * 0.5f * (1.0f + erf(a * std::sqrt(0.5))); }

}  // namespace pit
