#include "value.h"

#include <cmath>
#include <cstring>

#include "dsl/arithmetic.h"
#include "dsl/half.h"

namespace pit::ir {
namespace {

template <class T>
T read_as(const void *element) {
  T value;
  std::memcpy(&value, element, sizeof value);
  return value;
}
template <class T>
void write_as(void *element, T value) {
  std::memcpy(element, &value, sizeof value);
}

}  // namespace

Value apply(UnaryOp op, Type type, Value a) {
  if (op == UnaryOp::IsNan) return integer_value(type.is_float() && std::isnan(a.f));
  if (op == UnaryOp::IsFinite) return integer_value(!type.is_float() || std::isfinite(a.f));
  if (!type.is_float()) return integer_value(int_unary(op, type, a.i));
  return float_value(round_to(type, float_unary(op, a.f)));
}

Value apply(BinaryOp op, Type type, Value a, Value b) {
  if (!type.is_float()) return integer_value(int_binary(op, type, a.i, b.i));
  if (is_comparison(op)) return integer_value(float_compare(op, a.f, b.f));
  return float_value(round_to(type, float_binary(op, a.f, b.f)));
}

Value convert(Type from, Type to, Value a) {
  if (from == to) return a;
  if (from.is_float()) {
    return to.is_float() ? float_value(round_to(to, a.f)) : integer_value(float_to_int(to, a.f));
  }
  if (!to.is_float()) return integer_value(wrap(to, a.i));
  return float_value(round_to(to, int_to_float(from, a.i)));
}

Value load_element(Type type, const void *element) {
  switch (type.kind) {
    case Type::Kind::Bool:
      return integer_value(read_as<std::uint8_t>(element) != 0);
    case Type::Kind::BFloat:
      return float_value(bfloat16_bits_to_float(read_as<std::uint16_t>(element)));
    case Type::Kind::Float:
      if (type.bits == 64) return float_value(read_as<double>(element));
      if (type.bits == 32) return float_value(read_as<float>(element));
      return float_value(float16_bits_to_float(read_as<std::uint16_t>(element)));
    case Type::Kind::Int:
    case Type::Kind::UInt:
      break;
  }
  switch (type.bits) {
    case 8:
      return integer_value(wrap(type, read_as<std::int8_t>(element)));
    case 16:
      return integer_value(wrap(type, read_as<std::int16_t>(element)));
    case 32:
      return integer_value(wrap(type, read_as<std::int32_t>(element)));
    default:
      return integer_value(read_as<std::int64_t>(element));
  }
}

void store_element(Type type, void *element, Value value) {
  switch (type.kind) {
    case Type::Kind::Bool:
      return write_as(element, static_cast<std::uint8_t>(value.i != 0));
    case Type::Kind::BFloat:
      return write_as(element, float_to_bfloat16_bits(static_cast<float>(value.f)));
    case Type::Kind::Float:
      if (type.bits == 64) return write_as(element, value.f);
      if (type.bits == 32) return write_as(element, static_cast<float>(value.f));
      return write_as(element, float_to_float16_bits(static_cast<float>(value.f)));
    case Type::Kind::Int:
    case Type::Kind::UInt:
      break;
  }
  switch (type.bits) {
    case 8:
      return write_as(element, static_cast<std::int8_t>(value.i));
    case 16:
      return write_as(element, static_cast<std::int16_t>(value.i));
    case 32:
      return write_as(element, static_cast<std::int32_t>(value.i));
    default:
      return write_as(element, value.i);
  }
}

}  // namespace pit::ir
