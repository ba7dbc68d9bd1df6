// Element types of expressions, tensors and buffers.
#pragma once

#include <cstdint>
#include <string>

namespace pit {

/// A scalar element type. Values compare by kind and width.
struct Type {
  enum class Kind : std::uint8_t { Int, UInt, Bool, Float, BFloat };

  Kind kind = Kind::Int;
  std::uint8_t bits = 32;

  /// Size of one element in memory; bool takes one byte.
  constexpr int bytes() const { return bits / 8; }
  constexpr bool is_int() const { return kind == Kind::Int; }
  constexpr bool is_uint() const { return kind == Kind::UInt; }
  constexpr bool is_bool() const { return kind == Kind::Bool; }
  constexpr bool is_integral() const { return is_int() || is_uint(); }
  constexpr bool is_float() const { return kind == Kind::Float || kind == Kind::BFloat; }

  constexpr bool operator==(const Type &) const = default;

  /// Smallest and largest value of an integral or bool type (uint64 is clamped to int64's range).
  std::int64_t min_int() const;
  std::int64_t max_int() const;
};

inline constexpr Type int8{Type::Kind::Int, 8}, int16{Type::Kind::Int, 16};
inline constexpr Type int32{Type::Kind::Int, 32}, int64{Type::Kind::Int, 64};
inline constexpr Type uint8{Type::Kind::UInt, 8}, uint16{Type::Kind::UInt, 16};
inline constexpr Type uint32{Type::Kind::UInt, 32}, uint64{Type::Kind::UInt, 64};
inline constexpr Type boolean{Type::Kind::Bool, 8};
inline constexpr Type float16{Type::Kind::Float, 16}, bfloat16{Type::Kind::BFloat, 16};
inline constexpr Type float32{Type::Kind::Float, 32}, float64{Type::Kind::Float, 64};

/// The name used in dumps, errors and saved schedules: "int32", "bfloat16", "bool".
std::string to_string(Type type);

/// Inverse of to_string; returns false when `text` names no type.
bool parse_type(const std::string &text, Type *type);

}  // namespace pit
