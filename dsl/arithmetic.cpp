#include "arithmetic.h"

#include <cmath>
#include <limits>

#include "error.h"
#include "half.h"

namespace pit {

namespace {

// Signed overflow is undefined in C++; arithmetic modulo 2^64 is done without sign.
std::uint64_t u(std::int64_t value) { return static_cast<std::uint64_t>(value); }
std::int64_t s(std::uint64_t value) { return static_cast<std::int64_t>(value); }

bool is_uint64(Type type) { return type == uint64; }

bool less(Type type, std::int64_t a, std::int64_t b) {
  return is_uint64(type) ? u(a) < u(b) : a < b;
}

std::int64_t divide(Type type, std::int64_t a, std::int64_t b) {
  if (b == 0) return 0;
  if (is_uint64(type)) return s(u(a) / u(b));
  if (b == -1) return s(0 - u(a));
  const std::int64_t quotient = a / b;
  return a % b >= 0 ? quotient : quotient - (b > 0 ? 1 : -1);
}

std::int64_t modulo(Type type, std::int64_t a, std::int64_t b) {
  if (b == 0 || b == -1) return is_uint64(type) && b == -1 ? s(u(a) % u(b)) : 0;
  if (is_uint64(type)) return s(u(a) % u(b));
  const std::int64_t remainder = a % b;
  if (remainder >= 0) return remainder;
  return b > 0 ? remainder + b : remainder - b;
}

std::int64_t shift_right(Type type, std::int64_t a, std::int64_t count) {
  if (count < 0 || count >= type.bits) return type.is_int() && a < 0 ? -1 : 0;
  return is_uint64(type) ? s(u(a) >> count) : a >> count;
}

}  // namespace

std::int64_t wrap(Type type, std::int64_t value) {
  if (type.is_bool()) return value != 0 ? 1 : 0;
  switch (type.bits) {
    case 8:
      return type.is_int() ? static_cast<std::int8_t>(value) : static_cast<std::uint8_t>(value);
    case 16:
      return type.is_int() ? static_cast<std::int16_t>(value) : static_cast<std::uint16_t>(value);
    case 32:
      return type.is_int() ? std::int64_t{static_cast<std::int32_t>(value)}
                           : std::int64_t{static_cast<std::uint32_t>(value)};
    default:
      return value;
  }
}

double round_to(Type type, double value) {
  if (type == float64) return value;
  const auto narrow = static_cast<float>(value);
  if (type == float32) return narrow;
  if (type == float16) return float16_bits_to_float(float_to_float16_bits(narrow));
  if (type == bfloat16) return bfloat16_bits_to_float(float_to_bfloat16_bits(narrow));
  throw InternalError("round_to of a type that is not a float: " + to_string(type));
}

double int_to_float(Type from, std::int64_t value) {
  return is_uint64(from) ? static_cast<double>(u(value)) : static_cast<double>(value);
}

std::int64_t float_to_int(Type to, double value) {
  if (to.is_bool()) return value != 0 ? 1 : 0;
  if (std::isnan(value)) return 0;
  value = std::trunc(value);
  if (is_uint64(to)) {
    if (value <= 0) return 0;
    return value >= 0x1p64 ? -1 : s(static_cast<std::uint64_t>(value));
  }
  // The bounds of 64-bit types are not doubles, so they are compared as powers of two.
  if (value >= static_cast<double>(to.max_int())) return to.max_int();
  if (value <= static_cast<double>(to.min_int())) return to.min_int();
  return static_cast<std::int64_t>(value);
}

std::int64_t int_binary(BinaryOp op, Type type, std::int64_t a, std::int64_t b) {
  switch (op) {
    case BinaryOp::Add:
      return wrap(type, s(u(a) + u(b)));
    case BinaryOp::Sub:
      return wrap(type, s(u(a) - u(b)));
    case BinaryOp::Mul:
      return wrap(type, s(u(a) * u(b)));
    case BinaryOp::Div:
      return wrap(type, divide(type, a, b));
    case BinaryOp::Mod:
      return wrap(type, modulo(type, a, b));
    case BinaryOp::Min:
      return less(type, b, a) ? b : a;
    case BinaryOp::Max:
      return less(type, a, b) ? b : a;
    case BinaryOp::BitAnd:
      return a & b;
    case BinaryOp::BitOr:
      return a | b;
    case BinaryOp::BitXor:
      return a ^ b;
    case BinaryOp::Shl:
      return b < 0 || b >= type.bits ? 0 : wrap(type, s(u(a) << b));
    case BinaryOp::Shr:
      return shift_right(type, a, b);
    case BinaryOp::Eq:
      return a == b;
    case BinaryOp::Ne:
      return a != b;
    case BinaryOp::Lt:
      return less(type, a, b);
    case BinaryOp::Le:
      return !less(type, b, a);
    case BinaryOp::Gt:
      return less(type, b, a);
    case BinaryOp::Ge:
      return !less(type, a, b);
    case BinaryOp::And:
      return a != 0 && b != 0;
    case BinaryOp::Or:
      return a != 0 || b != 0;
    case BinaryOp::Pow:
      break;
  }
  throw InternalError("pow of integers");
}

double float_binary(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::Add:
      return a + b;
    case BinaryOp::Sub:
      return a - b;
    case BinaryOp::Mul:
      return a * b;
    case BinaryOp::Div:
      return a / b;
    case BinaryOp::Pow:
      return std::pow(a, b);
    case BinaryOp::Min:
      return std::isnan(a) || a < b ? a : b;
    case BinaryOp::Max:
      return std::isnan(a) || a > b ? a : b;
    default:
      throw InternalError("an operator of integers on floats");
  }
}

bool float_compare(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::Eq:
      return a == b;
    case BinaryOp::Ne:
      return a != b;
    case BinaryOp::Lt:
      return a < b;
    case BinaryOp::Le:
      return a <= b;
    case BinaryOp::Gt:
      return a > b;
    case BinaryOp::Ge:
      return a >= b;
    default:
      throw InternalError("float_compare of an operator that is no comparison");
  }
}

std::int64_t int_unary(UnaryOp op, Type type, std::int64_t a) {
  switch (op) {
    case UnaryOp::Neg:
      return wrap(type, s(0 - u(a)));
    case UnaryOp::Not:
      return type.is_bool() ? a == 0 : wrap(type, ~a);
    case UnaryOp::Abs:
      return type.is_int() && a < 0 ? wrap(type, s(0 - u(a))) : a;
    case UnaryOp::Floor:
    case UnaryOp::Ceil:
    case UnaryOp::Round:
      return a;
    default:
      throw InternalError("a function of floats on integers");
  }
}

double float_unary(UnaryOp op, double a) {
  switch (op) {
    case UnaryOp::Neg:
      return -a;
    case UnaryOp::Abs:
      return std::fabs(a);
    case UnaryOp::Exp:
      return std::exp(a);
    case UnaryOp::Exp2:
      return std::exp2(a);
    case UnaryOp::Log:
      return std::log(a);
    case UnaryOp::Sqrt:
      return std::sqrt(a);
    case UnaryOp::Rsqrt:
      return 1 / std::sqrt(a);
    case UnaryOp::Tanh:
      return std::tanh(a);
    case UnaryOp::Erf:
      return std::erf(a);
    case UnaryOp::Sin:
      return std::sin(a);
    case UnaryOp::Cos:
      return std::cos(a);
    case UnaryOp::Floor:
      return std::floor(a);
    case UnaryOp::Ceil:
      return std::ceil(a);
    case UnaryOp::Round:
      return std::nearbyint(a);
    default:
      throw InternalError("a function without a float result");
  }
}

bool is_comparison(BinaryOp op) { return op >= BinaryOp::Eq && op <= BinaryOp::Ge; }
bool is_logical(BinaryOp op) { return op == BinaryOp::And || op == BinaryOp::Or; }

}  // namespace pit
