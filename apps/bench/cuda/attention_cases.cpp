// Attention in which each block of queries sees some blocks of keys.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "operators.h"
#include "subjects.h"

namespace pit::bench::cuda {

namespace {

struct Sizes {
  std::int64_t heads, positions, channels;
};
constexpr Sizes kSizes{8, 65536, 128}, kSmall{2, 512, 64};

struct Tensors {
  std::int64_t q_start, k_start, v_start;
  Buffer<std::uint8_t, 3> mask;
};

Tensors random_tensors(const Sizes &sizes, double sparsity, const Pool &pool, Random &random) {
  const std::int64_t blocks = sizes.positions / kAttentionBlock;
  Tensors made{pool.start(random), pool.start(random), pool.start(random),
               Buffer<std::uint8_t, 3>({sizes.heads, blocks, blocks})};
  for (std::int64_t h = 0; h < sizes.heads; ++h) {
    for (std::int64_t i = 0; i < blocks; ++i) {
      // Each block of queries sees itself, as in most patterns.
      for (std::int64_t j = 0; j < blocks; ++j)
        made.mask(h, i, j) = i == j || random.uniform() >= sparsity;
    }
  }
  return made;
}

// All channels of one query. What the device computes for a weight is off by the rounding of a
// score, and the weights are rounded to bfloat16 where they are multiplied.
std::vector<Expected> expected_query(const Sizes &sizes, const Pool &pool, const Tensors &tensors,
                                     std::int64_t h, std::int64_t i) {
  const auto channels = static_cast<std::size_t>(sizes.channels);
  const auto row = [&](std::int64_t start, std::int64_t position) {
    return pool.numbers(start + (h * sizes.positions + position) * sizes.channels);
  };
  std::vector<double> score(static_cast<std::size_t>(sizes.positions));
  double most = -std::numeric_limits<double>::infinity(), magnitude = 0;
  const float *q = row(tensors.q_start, i);
  const auto seen = [&](std::int64_t j) {
    return tensors.mask(h, i / kAttentionBlock, j / kAttentionBlock) != 0;
  };
  for (std::int64_t j = 0; j < sizes.positions; ++j) {
    if (!seen(j)) continue;
    const float *k = row(tensors.k_start, j);
    double sum = 0, sizes_of_terms = 0;
    for (std::size_t c = 0; c < channels; ++c) {
      const double term = static_cast<double>(q[c]) * static_cast<double>(k[c]);
      sum += term;
      sizes_of_terms += std::fabs(term);
    }
    score[static_cast<std::size_t>(j)] = sum * static_cast<double>(kAttentionScale);
    magnitude = std::max(magnitude, sizes_of_terms * static_cast<double>(kAttentionScale));
    most = std::max(most, score[static_cast<std::size_t>(j)]);
  }
  double total = 0;
  std::vector<double> sums(channels), sizes_of_sums(channels);
  for (std::int64_t j = 0; j < sizes.positions; ++j) {
    if (!seen(j)) continue;
    const double weight = std::exp(score[static_cast<std::size_t>(j)] - most);
    const float *v = row(tensors.v_start, j);
    total += weight;
    for (std::size_t c = 0; c < channels; ++c) {
      sums[c] += weight * static_cast<double>(v[c]);
      sizes_of_sums[c] += weight * std::fabs(static_cast<double>(v[c]));
    }
  }
  const double rounding = 0x1p-8 + magnitude * 0x1p-20;
  std::vector<Expected> expected;
  for (std::size_t c = 0; c < channels; ++c) {
    expected.push_back({{h, i, static_cast<std::int64_t>(c)},
                        sums[c] / total,
                        rounding * sizes_of_sums[c] / total});
  }
  return expected;
}

Problem attention_problem(double sparsity, const Device &device, const Settings &settings) {
  const Sizes sizes = settings.small ? kSmall : kSizes;
  Random random(settings.seed);
  const auto pool = std::make_shared<const Pool>(device, bfloat16, random);
  Problem problem{.type = bfloat16,
                  .micro = std::to_string(kAttentionBlock) + "x" + std::to_string(kAttentionBlock),
                  .sparsity = sparsity,
                  .fill = 1};
  const Shape extents{sizes.heads, sizes.positions, sizes.channels};
  const auto tensors =
      std::make_shared<const Tensors>(random_tensors(sizes, sparsity, *pool, random));
  const Inputs inputs{{"Q", pool->tensor(tensors->q_start, extents)},
                      {"K", pool->tensor(tensors->k_start, extents)},
                      {"V", pool->tensor(tensors->v_start, extents)},
                      {"mask", device.upload(tensors->mask)}};
  const std::int64_t last = sizes.positions - 1, any = random.below(sizes.positions);
  problem.expected = [=](int) {
    std::vector<Expected> expected;
    for (const auto &[h, i] :
         {std::pair<std::int64_t, std::int64_t>{0, 0}, {0, any}, {sizes.heads - 1, last}}) {
      for (Expected &e : expected_query(sizes, *pool, *tensors, h, i))
        expected.push_back(std::move(e));
    }
    return expected;
  };
  problem.subjects.push_back(pit_subject(
      "pit", std::make_shared<const Operator>(block_attention(sizes.channels), device, settings,
                                              std::vector<Inputs>{inputs}, bfloat16, extents)));
  return problem;
}

}  // namespace

void add_attention_cases(std::vector<Case> &cases) {
  for (const auto &[name, sparsity] : {std::pair{"70%", 0.7}, {"90%", 0.9}, {"95%", 0.95}}) {
    cases.push_back({.name = std::string("attention/8x65536x128-block128/") + name,
                     .make = [sparsity](const Device &device, const Settings &settings) {
                       return attention_problem(sparsity, device, settings);
                     }});
  }
}

}  // namespace pit::bench::cuda
