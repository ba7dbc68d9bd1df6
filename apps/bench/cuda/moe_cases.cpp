// Layers of experts, from the experts' numbers and weights that are given for each token to the
// weighted sum of their results.
#include <algorithm>
#include <cmath>
#include <memory>

#include "operators.h"
#include "subjects.h"

namespace pit::bench::cuda {

namespace {

struct Layer {
  const char *name;
  std::int64_t tokens, experts, slots, channels, hidden;
  bool gated;  ///< SwiGLU, else ReLU
};

constexpr Layer kLayers[] = {{"switch-base-64", 4096, 64, 1, 768, 3072, false},
                             {"switch-base-128", 4096, 128, 1, 768, 3072, false},
                             {"switch-base-256", 4096, 256, 1, 768, 3072, false},
                             {"mixtral-8x7b", 8192, 8, 2, 4096, 14336, true},
                             {"qwen3-30b-a3b", 32768, 128, 8, 2048, 768, true},
                             {"deepseek-v3", 16384, 256, 8, 7168, 2048, true}};

// Where the matrices of the experts start in the pool; the matrices on the device.
struct Weights {
  std::int64_t up_start, gate_start, down_start;
  AnyBuffer up, gate, down;  // [expert][channel][hidden], the same, [expert][hidden][channel]
};

Weights random_weights(const Layer &layer, const Pool &pool, Random &random) {
  const Shape up{layer.experts, layer.channels, layer.hidden},
      down{layer.experts, layer.hidden, layer.channels};
  Weights w{pool.start(random), pool.start(random), pool.start(random), {}, {}, {}};
  w.up = pool.tensor(w.up_start, up);
  if (layer.gated) w.gate = pool.tensor(w.gate_start, up);
  w.down = pool.tensor(w.down_start, down);
  return w;
}

// The tokens of a data set and where they go.
struct Batch {
  std::int64_t x_start;
  Buffer<std::int32_t, 2> id;
  Buffer<float, 2> weight;
  std::vector<std::int64_t> rows_of_expert;
};

Batch random_batch(const Layer &layer, const Pool &pool, Random &random) {
  Batch batch{pool.start(random), Buffer<std::int32_t, 2>({layer.tokens, layer.slots}),
              Buffer<float, 2>({layer.tokens, layer.slots}),
              std::vector<std::int64_t>(static_cast<std::size_t>(layer.experts))};
  for (std::int64_t t = 0; t < layer.tokens; ++t) {
    double total = 0;
    for (std::int64_t s = 0; s < layer.slots; ++s) {
      // Another expert in each slot.
      std::int32_t expert = 0;
      bool taken = true;
      while (taken) {
        expert = static_cast<std::int32_t>(random.below(layer.experts));
        taken = false;
        for (std::int64_t before = 0; before < s; ++before)
          taken = taken || batch.id(t, before) == expert;
      }
      batch.id(t, s) = expert;
      ++batch.rows_of_expert[static_cast<std::size_t>(expert)];
      batch.weight(t, s) = static_cast<float>(0.1 + random.uniform());
      total += static_cast<double>(batch.weight(t, s));
    }
    for (std::int64_t s = 0; s < layer.slots; ++s)
      batch.weight(t, s) = static_cast<float>(static_cast<double>(batch.weight(t, s)) / total);
  }
  return batch;
}

// sum over c of x[c] * matrix[c, :], where row c of the matrix are numbers of the pool from
// start + c * columns on; the same of the magnitudes.
struct Sums {
  std::vector<double> value, magnitude;
};
Sums row_times_matrix(const std::vector<double> &x, const Pool &pool, std::int64_t start,
                      std::int64_t columns) {
  const auto count = static_cast<std::size_t>(columns);
  Sums sums{std::vector<double>(count), std::vector<double>(count)};
  for (std::size_t c = 0; c < x.size(); ++c) {
    const float *row = pool.numbers(start + static_cast<std::int64_t>(c) * columns);
    for (std::size_t f = 0; f < count; ++f) {
      const double product = x[c] * static_cast<double>(row[f]);
      sums.value[f] += product;
      sums.magnitude[f] += std::fabs(product);
    }
  }
  return sums;
}

// Some channels of some tokens. A hidden value is rounded to bfloat16 and brings that, and the
// rounding of its own sums, into the result.
std::vector<Expected> expected_tokens(const Layer &layer, const Pool &pool, const Weights &weights,
                                      const Batch &batch, Random random) {
  constexpr double kStored = 0x1p-8;
  const std::int64_t matrix = layer.channels * layer.hidden;
  const int tokens = matrix * layer.slots > (32 << 20) ? 2 : 6;
  const double rounding =
      std::sqrt(static_cast<double>(std::max(layer.channels, layer.hidden))) * 0x1p-23;
  std::vector<Expected> expected;
  for (int sample = 0; sample < tokens; ++sample) {
    const std::int64_t t = random.below(layer.tokens);
    std::vector<double> x;
    for (std::int64_t c = 0; c < layer.channels; ++c)
      x.push_back(static_cast<double>(*pool.numbers(batch.x_start + t * layer.channels + c)));
    std::vector<double> y(static_cast<std::size_t>(layer.channels)), allowed(y.size());
    for (std::int64_t s = 0; s < layer.slots; ++s) {
      const std::int64_t first = batch.id(t, s) * matrix;
      const Sums up = row_times_matrix(x, pool, weights.up_start + first, layer.hidden);
      std::vector<double> h(up.value.size()), h_off(h.size());
      if (layer.gated) {
        const Sums gate = row_times_matrix(x, pool, weights.gate_start + first, layer.hidden);
        for (std::size_t f = 0; f < h.size(); ++f) {
          const double silu = up.value[f] / (1 + std::exp(-up.value[f]));
          h[f] = silu * gate.value[f];
          // The slope of silu is below 1.1.
          h_off[f] = kStored * std::fabs(h[f]) +
                     rounding * (1.1 * up.magnitude[f] * std::fabs(gate.value[f]) +
                                 std::fabs(silu) * gate.magnitude[f]);
        }
      } else {
        for (std::size_t f = 0; f < h.size(); ++f) {
          h[f] = std::max(up.value[f], 0.);
          h_off[f] = kStored * h[f] + rounding * up.magnitude[f];
        }
      }
      const Sums down = row_times_matrix(h, pool, weights.down_start + first, layer.channels),
                 off = row_times_matrix(h_off, pool, weights.down_start + first, layer.channels);
      const auto weight = static_cast<double>(batch.weight(t, s));
      for (std::size_t d = 0; d < y.size(); ++d) {
        y[d] += weight * down.value[d];
        allowed[d] += weight * (off.magnitude[d] + rounding * down.magnitude[d] +
                                kStored * std::fabs(down.value[d]));
      }
    }
    for (std::int64_t d = 0; d < layer.channels; d += layer.channels / 32 + 1) {
      const auto place = static_cast<std::size_t>(d);
      expected.push_back({{t, d}, y[place], allowed[place] + kStored * std::fabs(y[place])});
    }
  }
  return expected;
}

// cuBLAS, matrix by matrix, on rows that lie in the order of the experts: no gather, no activation
// and no sum over the slots.
Subject products_subject(const Device &device, const Layer &layer,
                         const std::shared_ptr<const Pool> &pool, const Weights &weights,
                         const std::vector<Batch> &batches, Random &random) {
  const std::string system = "cuBLAS, products of packed rows";
  const CuBlas *library = CuBlas::instance(device);
  if (library == nullptr) return missing_subject(system, "not found");
  const std::int64_t rows = layer.tokens * layer.slots, h_start = pool->start(random);
  const AnyBuffer x = pool->tensor(pool->start(random), {rows, layer.channels}),
                  h = pool->tensor(h_start, {rows, layer.hidden}),
                  up = device.allocate(bfloat16, {rows, layer.hidden});
  Subject subject{.system = system};
  for (std::size_t i = 0; i < batches.size(); ++i)
    subject.outputs.push_back(device.allocate(bfloat16, {rows, layer.channels}));
  subject.enqueue = [=, outputs = subject.outputs](int set) {
    const auto chosen = static_cast<std::size_t>(set);
    std::int64_t first = 0;
    for (std::int64_t e = 0; e < layer.experts; ++e) {
      const std::int64_t end = first + batches[chosen].rows_of_expert[static_cast<std::size_t>(e)];
      const auto part = [&](const AnyBuffer &all) { return all.sliced(0, first, end); };
      const auto matrix = [&](const AnyBuffer &all) {
        return all.sliced(0, e, e + 1).reshaped({all.extent(1), all.extent(2)});
      };
      if (end > first) {
        library->multiply(part(x), matrix(weights.up), part(up));
        if (layer.gated) library->multiply(part(x), matrix(weights.gate), part(up));
        library->multiply(part(h), matrix(weights.down), part(outputs[chosen]));
      }
      first = end;
    }
  };
  subject.workspace_bytes = [=] { return static_cast<double>(library->workspace_bytes()); };
  const auto samples = sampled(rows, layer.channels, random);
  subject.expected = [=](int set) {
    std::vector<Expected> expected;
    for (const auto &[row, column] : samples) {
      std::int64_t e = 0, left = row;
      const auto &counts = batches[static_cast<std::size_t>(set)].rows_of_expert;
      while (left >= counts[static_cast<std::size_t>(e)])
        left -= counts[static_cast<std::size_t>(e++)];
      const std::int64_t start = weights.down_start + e * layer.hidden * layer.channels;
      expected.push_back(expected_sum(
          row, column,
          [&](std::int64_t r, std::int64_t f) {
            return static_cast<double>(*pool->numbers(h_start + r * layer.hidden + f));
          },
          [&](std::int64_t f, std::int64_t d) {
            return static_cast<double>(*pool->numbers(start + f * layer.channels + d));
          },
          {.length = layer.hidden, .output = bfloat16, .parts = true}));
    }
    return expected;
  };
  return subject;
}

Problem moe_problem(Layer layer, const Device &device, const Settings &settings) {
  if (settings.small) {
    layer.tokens = 96;
    layer.experts = std::max(layer.experts / 16, layer.slots);
    layer.channels = 128;
    layer.hidden = 192;
  }
  Random random(settings.seed);
  // The matrices are larger than the cache: one copy serves all data sets.
  constexpr int kSets = 2;
  const auto pool = std::make_shared<const Pool>(device, bfloat16, random, 0.125F);
  const Weights weights = random_weights(layer, *pool, random);
  std::vector<Batch> batches;
  std::vector<Inputs> inputs;
  for (int i = 0; i < kSets; ++i) {
    const Batch &batch = batches.emplace_back(random_batch(layer, *pool, random));
    AnyBuffer id = device.upload(batch.id), weight = device.upload(batch.weight);
    if (!layer.gated) {
      id = id.reshaped({layer.tokens});
      weight = weight.reshaped({layer.tokens});
    }
    inputs.push_back({{"X", pool->tensor(batch.x_start, {layer.tokens, layer.channels})},
                      {"id", id},
                      {"weight", weight},
                      {"W1", weights.up},
                      {"W3", weights.gate},
                      {"W2", weights.down}});
  }
  Problem problem{.type = bfloat16, .sets = kSets};
  problem.sparsity = 1 - static_cast<double>(layer.slots) / static_cast<double>(layer.experts);
  problem.expected = [=, tokens = random](int set) {
    return expected_tokens(layer, *pool, weights, batches[static_cast<std::size_t>(set)], tokens);
  };
  const Pipeline pipeline =
      layer.gated ? gated_experts(static_cast<int>(layer.slots)) : switch_experts();
  problem.subjects.push_back(pit_subject(
      "pit", std::make_shared<const Operator>(pipeline, device, settings, inputs, bfloat16,
                                              Shape{layer.tokens, layer.channels})));
  problem.subjects.front().versus = {{"cuBLAS, products of packed rows"}};
  problem.subjects.push_back(products_subject(device, layer, pool, weights, batches, random));
  return problem;
}

}  // namespace

void add_moe_cases(std::vector<Case> &cases) {
  for (const Layer &layer : kLayers) {
    cases.push_back({.name = std::string("moe/") + layer.name,
                     .make = [layer](const Device &device, const Settings &settings) {
                       return moe_problem(layer, device, settings);
                     }});
  }
}

}  // namespace pit::bench::cuda
