#include "type.h"

#include <array>
#include <limits>
#include <utility>

namespace pit {

namespace {

constexpr std::array<std::pair<const char *, Type>, 13> kNames = {{
    {"int8", int8},
    {"int16", int16},
    {"int32", int32},
    {"int64", int64},
    {"uint8", uint8},
    {"uint16", uint16},
    {"uint32", uint32},
    {"uint64", uint64},
    {"bool", boolean},
    {"float16", float16},
    {"bfloat16", bfloat16},
    {"float32", float32},
    {"float64", float64},
}};

}  // namespace

std::int64_t Type::min_int() const {
  if (kind != Kind::Int) return 0;
  return bits == 64 ? std::numeric_limits<std::int64_t>::min() : -(std::int64_t{1} << (bits - 1));
}

std::int64_t Type::max_int() const {
  if (kind == Kind::Bool) return 1;
  if (bits == 64) return std::numeric_limits<std::int64_t>::max();
  return (std::int64_t{1} << (kind == Kind::Int ? bits - 1 : bits)) - 1;
}

std::string to_string(Type type) {
  for (const auto &[name, t] : kNames) {
    if (t == type) return name;
  }
  return "type?";
}

bool parse_type(const std::string &text, Type *type) {
  for (const auto &[name, t] : kNames) {
    if (text == name) {
      *type = t;
      return true;
    }
  }
  return false;
}

}  // namespace pit
