// Storage types of 16-bit floating point numbers. Arithmetic happens in float.
#pragma once

#include <cstdint>

namespace pit {

/// float to / from the bits of IEEE binary16 and bfloat16; rounding is to nearest even, NaN stays
/// NaN (quiet).
std::uint16_t float_to_float16_bits(float value);
float float16_bits_to_float(std::uint16_t bits);
std::uint16_t float_to_bfloat16_bits(float value);
float bfloat16_bits_to_float(std::uint16_t bits);

/// IEEE binary16: 1 sign, 5 exponent, 10 fraction bits.
struct float16_t {
  std::uint16_t bits = 0;
  float16_t() = default;
  explicit float16_t(float value) : bits(float_to_float16_bits(value)) {}
  operator float() const { return float16_bits_to_float(bits); }  // NOLINT: widening is exact
};

/// bfloat16: 1 sign, 8 exponent, 7 fraction bits.
struct bfloat16_t {
  std::uint16_t bits = 0;
  bfloat16_t() = default;
  explicit bfloat16_t(float value) : bits(float_to_bfloat16_bits(value)) {}
  operator float() const { return bfloat16_bits_to_float(bits); }  // NOLINT: widening is exact
};

}  // namespace pit
