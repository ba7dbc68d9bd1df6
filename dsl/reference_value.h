// The two number types that the reference interpreter computes with: double, and a double with an
// error bound.
//
// A Bounded number carries a running error analysis in units of float32 rounding, u = 2^-24: a
// correct program in float32 arithmetic, summing in any order, gives y with |y - value| <= c * u *
// bound, where c is small: it covers partial sums, and grows like the square root of the longest
// sum. A number known exactly (an element of a tensor, a constant) has bound 0. Decisions that
// rounding could turn (comparisons) are not followed.
#pragma once

#include <cmath>
#include <limits>

#include "arithmetic.h"
#include "expr.h"
#include "type.h"

namespace pit::reference {

/// A value and the bound of its rounding error in units of 2^-24.
struct Bounded {
  double value, bound;
};

inline constexpr double kUnit = 0x1p-24;
/// Errors up to this many times unit * bound are looked for when rounding or a step could turn them
/// into a jump.
inline constexpr double kReach = 16;
/// What a function of the mathematics library may be off, in units of its result.
inline constexpr double kFunctionError = 4;

inline double value_of(double x) { return x; }
inline double value_of(const Bounded &x) { return x.value; }

template <class V>
V exact(double value);
template <>
inline double exact<double>(double value) {
  return value;
}
template <>
inline Bounded exact<Bounded>(double value) {
  return {value, 0};
}

/// One term of a sum of many: the bound grows by the term's own error and its magnitude.
inline double accumulate(double sum, double term) { return sum + term; }
inline Bounded accumulate(const Bounded &sum, const Bounded &term) {
  return {sum.value + term.value, sum.bound + term.bound + std::fabs(term.value)};
}

inline double multiply(double a, double b) { return a * b; }
inline Bounded multiply(const Bounded &a, const Bounded &b) {
  const double product = a.value * b.value;
  return {product, std::fabs(a.value) * b.bound + std::fabs(b.value) * a.bound +
                       kUnit * a.bound * b.bound + std::fabs(product)};
}

/// Add Sub Mul Div Min Max Pow.
inline double binary(BinaryOp op, double a, double b) { return float_binary(op, a, b); }
inline Bounded binary(BinaryOp op, const Bounded &a, const Bounded &b) {
  const double value = float_binary(op, a.value, b.value);
  switch (op) {
    // The operands' magnitudes, not the result's: another order of a longer sum may round at any of
    // them.
    case BinaryOp::Add:
    case BinaryOp::Sub:
      return {value, a.bound + b.bound + std::fabs(a.value) + std::fabs(b.value)};
    case BinaryOp::Mul:
      return multiply(a, b);
    case BinaryOp::Div:
      return {value,
              (a.bound + std::fabs(value) * b.bound) / std::fabs(b.value) + std::fabs(value)};
    case BinaryOp::Pow: {
      const double log = a.value > 0 ? std::fabs(std::log(a.value)) : 0;
      return {value,
              std::fabs(b.value * value / a.value) * a.bound +
                  std::fabs(value) * (log * b.bound + log * std::fabs(b.value) + kFunctionError)};
    }
    default:
      return {value, std::fmax(a.bound, b.bound)};  // Min, Max
  }
}

/// All but Not, IsNan and IsFinite.
inline double unary(UnaryOp op, double a) { return float_unary(op, a); }
inline Bounded unary(UnaryOp op, const Bounded &a) {
  const double value = float_unary(op, a.value), magnitude = std::fabs(value);
  switch (op) {
    case UnaryOp::Neg:
    case UnaryOp::Abs:
      return {value, a.bound};
    case UnaryOp::Exp:
      return {value, magnitude * (a.bound + kFunctionError)};
    case UnaryOp::Exp2:
      return {value,
              magnitude * (0.6931471805599453 * a.bound + kFunctionError) + 0x1p-126 / kUnit};
    case UnaryOp::Log:
      return {value, a.bound / std::fabs(a.value) + kFunctionError * magnitude + 1};
    case UnaryOp::Sqrt:
      if (value == 0) return {value, a.bound == 0 ? 0 : std::sqrt(a.bound / kUnit)};
      return {value, a.bound / (2 * value) + magnitude};
    case UnaryOp::Rsqrt:
      return {value, magnitude * (a.bound / (2 * std::fabs(a.value)) + kFunctionError)};
    case UnaryOp::Tanh:
      return {value, (1 - value * value) * a.bound + kFunctionError * magnitude};
    case UnaryOp::Erf:
      return {value, 1.1283791670955126 * std::exp(-a.value * a.value) * a.bound +
                         kFunctionError * magnitude};
    case UnaryOp::Sin:
    case UnaryOp::Cos:
      return {value, a.bound + kFunctionError};
    default: {  // Floor, Ceil, Round: a jump of one where the argument's error reaches over a step
      const double reach = kReach * kUnit * a.bound;
      const bool jumps = float_unary(op, a.value - reach) != float_unary(op, a.value + reach);
      return {value, jumps ? 1 / kUnit : 0};
    }
  }
}

/// Rounds to a float type narrower than float64.
inline double rounded(Type type, double a) { return round_to(type, a); }
inline Bounded rounded(Type type, const Bounded &a) {
  const double value = round_to(type, a.value);
  if (a.bound == 0 || type == float64) return {value, a.bound};
  if (type == float32) return {value, a.bound + std::fabs(value)};
  // The distance to the next number is added where the error may carry the result there.
  const double reach = kReach * kUnit * a.bound;
  const double low = round_to(type, a.value - reach), high = round_to(type, a.value + reach);
  if (low == high) return {value, a.bound};
  const double step = type == bfloat16 ? std::fmax(std::fabs(value) * 0x1p-7, 0x1p-133)
                                       : std::fmax(std::fabs(value) * 0x1p-10, 0x1p-24);
  return {value, a.bound + step / kUnit};
}

/// The bound of a number of `type` that may be rounded to 0 or the smallest one, whatever it is.
inline double bound_of_smallest(Type type) {
  if (type.bits != 16) return 0;
  return (type == bfloat16 ? 0x1p-133 : 0x1p-25) / (kUnit * kReach);
}

/// A number that a program rounds to `type` times an unknown factor above 1: off by a unit of its
/// last place, or of the smallest number of the type. Programs are compared with c > kReach.
inline double rounded_sometime(Type, double a) { return a; }
inline Bounded rounded_sometime(Type type, const Bounded &a) {
  if (type.bits != 16) return a;
  const double off = std::fabs(a.value) * (type == bfloat16 ? 0x1p-8 : 0x1p-11);
  return {a.value, a.bound + off / (kUnit * kReach) + bound_of_smallest(type)};
}

inline void add_to_bound(double *, double) {}
inline void add_to_bound(Bounded *a, double bound) { a->bound += bound; }

/// A number of a Func: `integer` for integers and bools, `number` for floats; the Func's type says
/// which.
template <class V>
union Cell {
  std::int64_t integer;
  V number;
  Cell() : integer(0) {}
};

}  // namespace pit::reference
