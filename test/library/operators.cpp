#include "operators.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>

namespace library {

std::uint16_t bfloat16(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float number(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float result = 0;
  std::memcpy(&result, &wide, sizeof result);
  return result;
}

void fill(std::vector<std::uint16_t> *data, unsigned seed, double zeros) {
  std::mt19937 generator(seed);
  std::bernoulli_distribution zero(zeros);
  std::uniform_int_distribution<int> value(-2, 2);
  for (std::uint16_t &v : *data)
    v = bfloat16(zero(generator) ? 0.F : static_cast<float>(value(generator)));
}

void Case::poison() { std::memset(output().data.data(), 0xff, output().data.size() * 2); }

bool Case::untouched() {
  return std::ranges::all_of(output().data, [](std::uint16_t v) { return v == 0xffff; });
}

Product::Product(unsigned seed, std::int64_t rows, std::int64_t inner, std::int64_t columns)
    : a(kBfloat16, {rows, inner}),
      b(kBfloat16, {inner, columns}),
      out(kBfloat16, {rows, columns}),
      bias(kFloat, {columns}) {
  fill(&a.data, seed, 0.9);
  fill(&b.data, seed + 1);
  for (std::size_t i = 0; i < bias.data.size(); ++i) bias.data[i] = static_cast<float>(i % 3);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      float sum = bias.data[static_cast<std::size_t>(j)];
      for (std::int64_t k = 0; k < inner; ++k) sum += number(a(i, k)) * number(b(k, j));
      expected_.push_back(bfloat16(std::max(sum, 0.F)));
    }
  }
  poison();
}

std::int64_t Product::wrong() const {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < expected_.size(); ++i) {
    // A zero may have either sign.
    count += number(out.data[i]) == number(expected_[i]) ? 0 : 1;
  }
  return count;
}

Experts::Experts(unsigned seed, std::int64_t tokens, std::int64_t experts, std::int64_t in,
                 std::int64_t hidden)
    : x(kBfloat16, {tokens, in}),
      w1(kBfloat16, {experts, in, hidden}),
      w3(kBfloat16, {experts, in, hidden}),
      w2(kBfloat16, {experts, hidden, in}),
      out(kBfloat16, {tokens, in}),
      expert(kInt, {tokens, 2}),
      weight(kFloat, {tokens, 2}) {
  fill(&x.data, seed);
  for (std::uint16_t &value : x.data) value = bfloat16(number(value) / 16);
  fill(&w1.data, seed + 1);
  fill(&w3.data, seed + 2);
  fill(&w2.data, seed + 3);
  std::mt19937 generator(seed + 4);
  for (std::int64_t t = 0; t < tokens; ++t) {
    expert(t, 0) = static_cast<std::int32_t>(generator() % static_cast<unsigned>(experts));
    expert(t, 1) = (expert(t, 0) + 1) % static_cast<std::int32_t>(experts);
    weight(t, 0) = 0.75F;
    weight(t, 1) = 0.25F;
  }
  const auto real = [](std::uint16_t bits) { return static_cast<double>(number(bits)); };
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::vector<double> sum(static_cast<std::size_t>(in)), magnitude(sum.size());
    for (std::int64_t s = 0; s < 2; ++s) {
      const std::int64_t e = expert(t, s);
      for (std::int64_t h = 0; h < hidden; ++h) {
        double gate = 0, up = 0;
        for (std::int64_t c = 0; c < in; ++c) {
          gate += real(x(t, c)) * real(w1(e, c, h));
          up += real(x(t, c)) * real(w3(e, c, h));
        }
        const double value = gate / (1 + std::exp(-gate)) * up;
        for (std::int64_t d = 0; d < in; ++d) {
          const double term = static_cast<double>(weight(t, s)) * value * real(w2(e, h, d));
          sum[static_cast<std::size_t>(d)] += term;
          magnitude[static_cast<std::size_t>(d)] += std::abs(term);
        }
      }
    }
    expected_.insert(expected_.end(), sum.begin(), sum.end());
    magnitude_.insert(magnitude_.end(), magnitude.begin(), magnitude.end());
  }
  poison();
}

std::int64_t Experts::wrong() const {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < expected_.size(); ++i) {
    const double got = static_cast<double>(number(out.data[i]));
    // Hidden values, and results twice, are rounded to bfloat16.
    count += std::abs(got - expected_[i]) <= 0.01 * magnitude_[i] + 1e-3 ? 0 : 1;
  }
  return count;
}

Attention::Attention(unsigned seed, std::int64_t length, std::int64_t channels)
    : q(kBfloat16, {2, length, channels}),
      k(kBfloat16, {2, length, channels}),
      v(kBfloat16, {2, length, channels}),
      out(kBfloat16, {2, length, channels}),
      mask(kByte, {2, (length + 63) / 64, (length + 63) / 64}) {
  fill(&q.data, seed);
  fill(&k.data, seed + 1);
  fill(&v.data, seed + 2);
  for (std::size_t i = 0; i < mask.data.size(); ++i)
    mask.data[i] = i % 4 != 3 || i % 9 % 4 == 0 ? 1 : 0;
  const auto real = [](std::uint16_t bits) { return static_cast<double>(number(bits)); };
  for (std::int64_t h = 0; h < 2; ++h) {
    for (std::int64_t i = 0; i < length; ++i) {
      std::vector<double> sum(static_cast<std::size_t>(channels));
      double total = 0;
      for (std::int64_t j = 0; j <= i; ++j) {
        if (mask(h, i / 64, j / 64) == 0) continue;
        double score = 0;
        for (std::int64_t c = 0; c < channels; ++c) score += real(q(h, i, c)) * real(k(h, j, c));
        const double share = std::exp(static_cast<double>(scale) * score);
        total += share;
        for (std::int64_t d = 0; d < channels; ++d)
          sum[static_cast<std::size_t>(d)] += share * real(v(h, j, d));
      }
      for (const double s : sum) expected_.push_back(total > 0 ? s / total : 0);
    }
  }
  poison();
}

std::int64_t Attention::wrong() const {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < expected_.size(); ++i)
    count += std::abs(static_cast<double>(number(out.data[i])) - expected_[i]) <= 0.03 ? 0 : 1;
  return count;
}

double test_seconds() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
  const char *given = std::getenv("PIT_TEST_SECONDS");
  return given != nullptr ? std::atof(given) : 0.5;  // NOLINT: not a number is 0
}

}  // namespace library
