// The second matrix of a feed-forward layer after ReLU has made most activations of a token zero.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "operators.h"
#include "subjects.h"

namespace pit::bench::cuda {

namespace {

// OPT-13B.
constexpr std::int64_t kHidden = 20480, kChannels = 5120;

Problem activation_problem(std::int64_t tokens, double sparsity, const Device &device,
                           const Settings &settings) {
  const std::int64_t hidden = settings.small ? 256 : kHidden,
                     channels = settings.small ? 320 : kChannels;
  Random random(settings.seed);
  const auto pool = std::make_shared<const Pool>(device, bfloat16, random);
  Problem problem{.type = bfloat16, .micro = "1x1", .sparsity = sparsity, .fill = 1};
  // The rows of the matrix that an operator reads are few.
  const std::int64_t bytes = hidden * channels * bfloat16.bytes();
  const double read = (1 - sparsity) * static_cast<double>(bytes);
  problem.sets =
      sets_past_cache({.used = static_cast<std::int64_t>(read), .held = bytes}, device, settings);
  const auto activations = std::make_shared<std::vector<BlockMatrix>>();
  std::vector<std::int64_t> starts;
  std::vector<Inputs> inputs;
  std::vector<AnyBuffer> h, w;
  for (int i = 0; i < problem.sets; ++i) {
    const BlockMatrix &matrix =
        activations->emplace_back(pool, tokens, hidden, Pattern{1, 1, sparsity}, random);
    starts.push_back(pool->start(random));
    h.push_back(matrix.upload(device));
    w.push_back(pool->tensor(starts.back(), {hidden, channels}));
    inputs.push_back({{"H", h.back()}, {"W2", w.back()}});
  }
  const auto samples = sampled(tokens, channels, random);
  const auto expected_with = [=](bool parts) {
    return [=](int set) {
      const auto i = static_cast<std::size_t>(set);
      std::vector<Expected> expected;
      for (const auto &[row, column] : samples) {
        expected.push_back(expected_sum(
            row, column, [&](std::int64_t m, std::int64_t k) { return (*activations)[i].at(m, k); },
            [&](std::int64_t k, std::int64_t n) {
              return static_cast<double>(*pool->numbers(starts[i] + k * channels + n));
            },
            {.length = hidden, .output = bfloat16, .parts = parts}));
      }
      return expected;
    };
  };
  problem.expected = expected_with(false);
  problem.subjects.push_back(pit_subject(
      "pit", std::make_shared<const Operator>(sparse_activations(), device, settings, inputs,
                                              bfloat16, Shape{tokens, channels})));
  problem.subjects.back().versus = {{"cuBLAS"}};
  Subject cublas = cublas_subject(device, "cuBLAS", h, w);
  cublas.expected = expected_with(true);
  problem.subjects.push_back(std::move(cublas));
  return problem;
}

}  // namespace

void add_activation_cases(std::vector<Case> &cases) {
  for (const auto &[name, sparsity] : {std::pair{"95%", 0.95}, {"99%", 0.99}}) {
    cases.push_back({.name = std::string("opt-13b-fc2/1token/") + name,
                     .make = [sparsity](const Device &device, const Settings &settings) {
                       return activation_problem(1, sparsity, device, settings);
                     }});
  }
}

}  // namespace pit::bench::cuda
