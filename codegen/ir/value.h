// Scalar values of the interpreter: dsl/arithmetic.h in the real types, rounded after each
// operation.
#pragma once

#include <cstdint>

#include "dsl/expr.h"

namespace pit::ir {

/// A scalar of a type that its holder knows. Integers and bools are in `i`, wrapped to their type
/// (uint64 as its bit pattern); floats are in `f`, rounded to their type.
union Value {
  std::int64_t i;
  double f;
};

inline Value integer_value(std::int64_t i) {
  Value v;
  v.i = i;
  return v;
}
inline Value float_value(double f) {
  Value v;
  v.f = f;
  return v;
}

/// The operators. `type` is that of the operands; the result's is bool for comparisons and tests,
/// else `type`.
Value apply(UnaryOp op, Type type, Value a);
Value apply(BinaryOp op, Type type, Value a, Value b);
Value convert(Type from, Type to, Value a);

/// One element in memory.
Value load_element(Type type, const void *element);
void store_element(Type type, void *element, Value value);

}  // namespace pit::ir
