#include "array.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace pit::run {

namespace {

struct NamedType {
  std::uint8_t code, bits;
  const char *name;
};
constexpr NamedType kTypes[] = {
    {kDLInt, 8, "int8"},        {kDLInt, 16, "int16"},     {kDLInt, 32, "int32"},
    {kDLInt, 64, "int64"},      {kDLUInt, 8, "uint8"},     {kDLUInt, 16, "uint16"},
    {kDLUInt, 32, "uint32"},    {kDLUInt, 64, "uint64"},   {PIT_DL_BOOL, 8, "bool"},
    {kDLFloat, 16, "float16"},  {kDLFloat, 32, "float32"}, {kDLFloat, 64, "float64"},
    {kDLBfloat, 16, "bfloat16"}};

double from_half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double value = 0;
  if (exponent == 31)
    value = fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                          : std::numeric_limits<double>::infinity();
  else
    value = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return (bits >> 15) != 0 ? -value : value;
}

// The float of `mantissa` bits behind the point and exponents from `least` on that is nearest,
// unless it is too large.
double rounded(double value, int mantissa, int least) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), least);
  return std::ldexp(std::nearbyint(std::ldexp(value, mantissa - exponent)), exponent - mantissa);
}

std::uint16_t to_half(double value) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  if (std::isnan(value)) return 0x7e00;
  const double magnitude = std::abs(rounded(value, 10, -14));
  if (magnitude > 65504) return sign | 0x7c00;
  if (magnitude < std::ldexp(1, -14))
    return static_cast<std::uint16_t>(sign | static_cast<int>(std::ldexp(magnitude, 24)));
  const int exponent = std::ilogb(magnitude);
  const int fraction = static_cast<int>(std::ldexp(magnitude, 10 - exponent)) - 1024;
  return static_cast<std::uint16_t>(sign | (exponent + 15) << 10 | fraction);
}

double from_bfloat(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::uint16_t to_bfloat(double value) {
  if (std::isnan(value)) return 0x7fc0;
  // Too large values become infinite in the conversion to float.
  const auto nearest = static_cast<float>(rounded(value, 7, -126));
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(nearest) >> 16);
}

template <class T>
T at(const std::byte *place) {
  T value;
  std::memcpy(&value, place, sizeof value);
  return value;
}

template <class T>
void put(std::byte *place, T value) {
  std::memcpy(place, &value, sizeof value);
}

template <class T>
T nearest_integer(double value) {
  if (std::isnan(value)) return 0;
  value = std::nearbyint(value);
  // The largest T need not be a double; what is not below it is.
  if (value >= static_cast<double>(std::numeric_limits<T>::max()))
    return std::numeric_limits<T>::max();
  if (value <= static_cast<double>(std::numeric_limits<T>::min()))
    return std::numeric_limits<T>::min();
  return static_cast<T>(value);
}

int key(DLDataType type) { return type.code * 256 + type.bits; }
constexpr int key(int code, int bits) { return code * 256 + bits; }

}  // namespace

std::string type_name(DLDataType type) {
  for (const NamedType &named : kTypes) {
    if (named.code == type.code && named.bits == type.bits && type.lanes == 1) return named.name;
  }
  return "";
}

std::string to_string(const Shape &shape) {
  std::string text;
  for (const std::int64_t extent : shape)
    text += (text.empty() ? "" : "x") + std::to_string(extent);
  return text.empty() ? "scalar" : text;
}

Array::Array(DLDataType type, Shape shape, std::vector<int> order, std::size_t alignment)
    : type_(type), shape_(std::move(shape)), strides_(shape_.size()) {
  if (order.empty()) {
    order.resize(shape_.size());
    std::iota(order.begin(), order.end(), 0);
  }
  for (auto d = order.rbegin(); d != order.rend(); ++d) {
    const auto dimension = static_cast<std::size_t>(*d);
    strides_[dimension] = size_;
    if (shape_[dimension] < 0 || __builtin_mul_overflow(size_, shape_[dimension], &size_) ||
        size_ > std::int64_t{1} << 47) {
      throw std::runtime_error("no memory for a tensor of " + to_string(shape_) + " elements");
    }
  }
  memory_.resize(bytes() + alignment);
  const auto address = std::bit_cast<std::uintptr_t>(memory_.data());
  data_ = memory_.data() + (alignment - address % alignment) % alignment;
}

std::size_t Array::bytes() const { return static_cast<std::size_t>(size_) * (type_.bits / 8U); }

Shape Array::coordinates(std::int64_t i) const {
  Shape result(shape_.size());
  for (std::size_t d = shape_.size(); d-- > 0;) {
    result[d] = i % shape_[d];
    i /= shape_[d];
  }
  return result;
}

std::byte *Array::place(std::int64_t i) const {
  std::int64_t offset = 0;
  for (std::size_t d = shape_.size(); d-- > 0;) {
    offset += i % shape_[d] * strides_[d];
    i /= shape_[d];
  }
  return data_ + offset * (type_.bits / 8);
}

double Array::operator[](std::int64_t i) const {
  const std::byte *p = place(i);
  switch (key(type_)) {
    case key(kDLInt, 8):
      return at<std::int8_t>(p);
    case key(kDLInt, 16):
      return at<std::int16_t>(p);
    case key(kDLInt, 32):
      return at<std::int32_t>(p);
    case key(kDLInt, 64):
      return static_cast<double>(at<std::int64_t>(p));
    case key(kDLUInt, 8):
      return at<std::uint8_t>(p);
    case key(PIT_DL_BOOL, 8):
      return at<std::uint8_t>(p) != 0 ? 1 : 0;
    case key(kDLUInt, 16):
      return at<std::uint16_t>(p);
    case key(kDLUInt, 32):
      return at<std::uint32_t>(p);
    case key(kDLUInt, 64):
      return static_cast<double>(at<std::uint64_t>(p));
    case key(kDLFloat, 16):
      return from_half(at<std::uint16_t>(p));
    case key(kDLBfloat, 16):
      return from_bfloat(at<std::uint16_t>(p));
    case key(kDLFloat, 32):
      return at<float>(p);
    default:
      return at<double>(p);
  }
}

void Array::set(std::int64_t i, double value) {
  std::byte *p = place(i);
  switch (key(type_)) {
    case key(kDLInt, 8):
      return put(p, nearest_integer<std::int8_t>(value));
    case key(kDLInt, 16):
      return put(p, nearest_integer<std::int16_t>(value));
    case key(kDLInt, 32):
      return put(p, nearest_integer<std::int32_t>(value));
    case key(kDLInt, 64):
      return put(p, nearest_integer<std::int64_t>(value));
    case key(kDLUInt, 8):
      return put(p, nearest_integer<std::uint8_t>(value));
    case key(PIT_DL_BOOL, 8):
      return put<std::uint8_t>(p, value != 0 ? 1 : 0);
    case key(kDLUInt, 16):
      return put(p, nearest_integer<std::uint16_t>(value));
    case key(kDLUInt, 32):
      return put(p, nearest_integer<std::uint32_t>(value));
    case key(kDLUInt, 64):
      return put(p, nearest_integer<std::uint64_t>(value));
    case key(kDLFloat, 16):
      return put(p, to_half(value));
    case key(kDLBfloat, 16):
      return put(p, to_bfloat(value));
    case key(kDLFloat, 32):
      return put(p, static_cast<float>(value));
    default:
      return put(p, value);
  }
}

Array Array::converted(DLDataType type, std::vector<int> order, std::size_t alignment) const {
  Array result(type, shape_, std::move(order), alignment);
  const bool same = key(type) == key(type_);
  if (same && result.strides_ == strides_) {
    std::copy_n(data_, bytes(), result.data_);
    return result;
  }
  for (std::int64_t i = 0; i < size_; ++i) {
    if (same)
      std::memcpy(result.place(i), place(i), type.bits / 8U);
    else
      result.set(i, (*this)[i]);
  }
  return result;
}

DLTensor Array::tensor(void *data, DLDevice device) const {
  DLTensor t{};
  t.data = data;
  t.device = device;
  t.ndim = static_cast<std::int32_t>(shape_.size());
  t.dtype = type_;
  // DLPack has one structure for tensors that are read and that are written.
  t.shape = const_cast<std::int64_t *>(shape_.data());      // NOLINT
  t.strides = const_cast<std::int64_t *>(strides_.data());  // NOLINT
  return t;
}

}  // namespace pit::run
