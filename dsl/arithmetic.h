// What the operators mean on scalar values: shared by constant folding and by interpreters.
//
// Integers and bools travel as int64 (uint64 as its bit pattern), floats as double.
#pragma once

#include <cstdint>

#include "expr.h"
#include "type.h"

namespace pit {

/// `value` wrapped into an integral or bool type (bool: != 0).
std::int64_t wrap(Type type, std::int64_t value);
/// `value` rounded to a float type, to nearest even. 16-bit types are rounded from float32.
double round_to(Type type, double value);

/// Conversions; see Cast. `from` tells whether the bits are those of a uint64.
double int_to_float(Type from, std::int64_t value);
std::int64_t float_to_int(Type to, double value);

/// The operator on operands of `type`, wrapped in `type`; comparisons and logical operators give 0
/// or 1. Not Pow.
std::int64_t int_binary(BinaryOp op, Type type, std::int64_t a, std::int64_t b);
/// Add Sub Mul Div Min Max Pow. Not rounded.
double float_binary(BinaryOp op, double a, double b);
/// Eq Ne Lt Le Gt Ge.
bool float_compare(BinaryOp op, double a, double b);

/// Neg Not Abs, and the functions that leave integers as they are (Floor, Ceil, Round).
std::int64_t int_unary(UnaryOp op, Type type, std::int64_t a);
/// All but Not, IsNan and IsFinite. Not rounded.
double float_unary(UnaryOp op, double a);

bool is_comparison(BinaryOp op);  ///< Eq ... Ge
bool is_logical(BinaryOp op);     ///< And, Or

}  // namespace pit
