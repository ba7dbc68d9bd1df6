#include "matrix.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pit::bench {

namespace {

// Stores values that the element type holds exactly, after rounding them to it.
template <class T>
void narrow(const float *from, std::int64_t count, void *to) {
  auto *elements = static_cast<T *>(to);
  for (std::int64_t i = 0; i < count; ++i) elements[i] = static_cast<T>(from[i]);
}

template <class T>
void widen(const void *from, std::int64_t count, float *to) {
  const auto *elements = static_cast<const T *>(from);
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(elements[i]);
}

// Calls visit(T()) with the C++ type of the elements.
template <class Visit>
void with_element(Type type, const Visit &visit) {
  if (type == bfloat16) return visit(bfloat16_t());
  if (type == float16) return visit(float16_t());
  if (type == int8) return visit(std::int8_t());
  return visit(float());
}

// Numbers 0 to count - 1 of which `share` are true, in random order.
std::vector<char> chosen(std::int64_t count, double share, Random &random) {
  const auto marked = static_cast<std::int64_t>(std::llround(share * static_cast<double>(count)));
  std::vector<char> marks(static_cast<std::size_t>(count), 0);
  std::fill(marks.begin(), marks.begin() + marked, 1);
  for (std::int64_t i = count - 1; i > 0; --i) {
    std::swap(marks[static_cast<std::size_t>(i)],
              marks[static_cast<std::size_t>(random.below(i + 1))]);
  }
  return marks;
}

}  // namespace

Matrix random_matrix(Type type, std::int64_t rows, std::int64_t columns, Random &random,
                     const Pattern &pattern) {
  Matrix matrix{AnyBuffer(type, {rows, columns}), Buffer<float, 2>({rows, columns})};
  const std::int64_t across = (columns + pattern.columns - 1) / pattern.columns;
  const std::int64_t down = (rows + pattern.rows - 1) / pattern.rows;
  const std::vector<char> zero = chosen(across * down, pattern.zeros, random);
  const bool integers = type.is_integral();
  float *values = matrix.wide.data();
  for (std::int64_t i = 0; i < rows; ++i) {
    const char *strip = zero.data() + i / pattern.rows * across;
    for (std::int64_t j = 0; j < columns; ++j, ++values) {
      if (strip[j / pattern.columns] != 0) continue;
      do {
        *values = integers ? static_cast<float>(random.below(128) - 64) : random.symmetric();
      } while (*values == 0 || (type == float16 && std::fabs(*values) < 0x1p-14F));
    }
  }
  with_element(type, [&](auto element) {
    using T = decltype(element);
    narrow<T>(matrix.wide.data(), matrix.wide.size(), matrix.typed.data());
    widen<T>(matrix.typed.data(), matrix.wide.size(), matrix.wide.data());
  });
  return matrix;
}

std::vector<Expected> expected_product(const Buffer<float, 2> &a, const Buffer<float, 2> &b,
                                       Type output, Random &random) {
  constexpr std::int64_t kRows = 12;
  const std::int64_t depth = a.extent(1), columns = b.extent(1);
  // Rounding errors of a sum grow with the square root of its length.
  const double rounding =
      output.is_float() ? std::max(4., std::sqrt(static_cast<double>(depth))) * 0x1p-24 : 0;
  const double narrowing = output == bfloat16 ? 0x1p-8 : output == float16 ? 0x1p-11 : 0;
  std::vector<Expected> expected;
  std::vector<double> sums(static_cast<std::size_t>(columns)), sizes(sums.size());
  for (std::int64_t sample = 0; sample < kRows; ++sample) {
    const std::int64_t row = random.below(a.extent(0));
    std::fill(sums.begin(), sums.end(), 0);
    std::fill(sizes.begin(), sizes.end(), 0);
    for (std::int64_t k = 0; k < depth; ++k) {
      const double left = a(row, k);
      if (left == 0) continue;
      const float *right = b.data() + k * columns;
      for (std::size_t j = 0; j < sums.size(); ++j) {
        const double product = left * right[j];
        sums[j] += product;
        sizes[j] += std::fabs(product);
      }
    }
    for (std::size_t j = 0; j < sums.size(); ++j) {
      expected.push_back({{row, static_cast<std::int64_t>(j)},
                          sums[j],
                          rounding * sizes[j] + narrowing * std::fabs(sums[j])});
    }
  }
  return expected;
}

Type product_type(Type type) { return type.is_float() ? type : int32; }

}  // namespace pit::bench
