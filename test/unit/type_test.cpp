#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "dsl/half.h"
#include "dsl/tensor.h"
#include "dsl/type.h"

namespace pit {
namespace {

const std::vector<Type> kTypes = {int8,   int16,   int32,   int64,    uint8,   uint16, uint32,
                                  uint64, boolean, float16, bfloat16, float32, float64};

TEST_CASE("types: names read back") {
  for (Type type : kTypes) {
    Type parsed;
    CHECK(parse_type(to_string(type), &parsed));
    CHECK(parsed == type);
  }
  Type unused;
  CHECK_FALSE(parse_type("float", &unused));
  CHECK(to_string(boolean) == "bool");
  CHECK(to_string(bfloat16) == "bfloat16");
}

TEST_CASE("types: ranges of integers") {
  CHECK(int8.min_int() == -128);
  CHECK(int8.max_int() == 127);
  CHECK(uint16.min_int() == 0);
  CHECK(uint16.max_int() == 65535);
  CHECK(uint32.max_int() == 4294967295);
  CHECK(int64.min_int() == std::numeric_limits<std::int64_t>::min());
  CHECK(uint64.max_int() == std::numeric_limits<std::int64_t>::max());
  CHECK(boolean.max_int() == 1);
}

TEST_CASE("types: C++ types map to element types") {
  CHECK(type_of<float>() == float32);
  CHECK(type_of<bool>() == boolean);
  CHECK(type_of<std::uint8_t>() == uint8);
  CHECK(type_of<long long>() == int64);
  CHECK(type_of<bfloat16_t>() == bfloat16);
  CHECK(type_of<float16_t>() == float16);
}

/// Every 16-bit pattern widens and narrows to itself; NaNs become quiet but stay NaN.
template <class Widen, class Narrow>
void check_all_patterns(Widen widen, Narrow narrow) {
  int wrong = 0;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto pattern = static_cast<std::uint16_t>(bits);
    const float value = widen(pattern);
    wrong += std::isnan(value) ? !std::isnan(widen(narrow(value))) : narrow(value) != pattern;
  }
  CHECK(wrong == 0);
}

TEST_CASE("half: every pattern survives float and back") {
  check_all_patterns(float16_bits_to_float, float_to_float16_bits);
  check_all_patterns(bfloat16_bits_to_float, float_to_bfloat16_bits);
}

/// Between two neighbours the nearer is taken, and halfway the even one.
template <class Widen, class Narrow>
void check_rounding(std::uint16_t largest_finite, Widen widen, Narrow narrow) {
  int wrong = 0;
  for (std::uint16_t low = 0; low < largest_finite; ++low) {
    const auto high = static_cast<std::uint16_t>(low + 1);
    const double below = widen(low), above = widen(high);
    const auto middle = static_cast<float>((below + above) / 2);
    const std::uint16_t even = (low & 1) == 0 ? low : high;
    wrong += narrow(middle) != even;
    wrong += narrow(std::nextafter(middle, 0.0f)) != low;
    wrong += narrow(std::nextafter(middle, INFINITY)) != high;
    wrong += narrow(-middle) != (even | 0x8000);
  }
  CHECK(wrong == 0);
}

TEST_CASE("half: rounding is to nearest even, subnormals included") {
  check_rounding(0x7bff, float16_bits_to_float, float_to_float16_bits);
  check_rounding(0x7f7f, bfloat16_bits_to_float, float_to_bfloat16_bits);
}

TEST_CASE("half: overflow is infinity, underflow is zero") {
  CHECK(float_to_float16_bits(65519.0f) == 0x7bff);
  CHECK(float_to_float16_bits(65520.0f) == 0x7c00);
  CHECK(float_to_float16_bits(-1e30f) == 0xfc00);
  CHECK(float_to_float16_bits(std::ldexp(1.0f, -25)) == 0);
  CHECK(float_to_float16_bits(std::nextafter(std::ldexp(1.0f, -25), 1.0f)) == 1);
  CHECK(float_to_float16_bits(-0.0f) == 0x8000);
  CHECK(float_to_bfloat16_bits(std::numeric_limits<float>::max()) == 0x7f80);
  CHECK(std::isnan(float16_bits_to_float(float_to_float16_bits(NAN))));
  CHECK(std::isnan(bfloat16_bits_to_float(float_to_bfloat16_bits(NAN))));
  CHECK(static_cast<float>(bfloat16_t(1.5f)) == 1.5f);
  CHECK(static_cast<float>(float16_t(0.1f)) == doctest::Approx(0.1).epsilon(1e-3));
}

}  // namespace
}  // namespace pit
