// A mixture of experts whose routing is given.
#include <cmath>
#include <memory>
#include <numeric>

#include "case.h"
#include "operators.h"
#include "peers.h"
#include "subjects.h"

namespace pit::bench {

namespace {

struct Sizes {
  std::int64_t tokens, experts, channels, hidden;
};

// The tokens of one data set and where they go.
struct Batch {
  Matrix x;
  Buffer<std::int32_t, 1> id;
  Buffer<float, 2> gathered;            // x, the rows of one expert after another
  std::vector<std::int64_t> offsets;    // where in `gathered` each expert's rows start
  std::vector<std::int64_t> positions;  // of the rows of x in `gathered`
};

// Equal: as many tokens for every expert; else expert e gets twice as many as e + 4, about.
std::vector<std::int64_t> group_sizes(const Sizes &sizes, bool equal) {
  std::vector<std::int64_t> counts;
  double total = 0;
  const auto weight = [&](std::int64_t e) {
    return equal ? 1. : std::exp2(-static_cast<double>(e) / 4);
  };
  for (std::int64_t e = 0; e < sizes.experts; ++e) total += weight(e);
  for (std::int64_t e = 0; e < sizes.experts; ++e) {
    const double share = weight(e) / total * static_cast<double>(sizes.tokens);
    counts.push_back(static_cast<std::int64_t>(share));
  }
  counts.front() += sizes.tokens - std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  return counts;
}

Batch random_batch(const Sizes &sizes, bool equal, Random &random) {
  Batch batch{random_matrix(float32, sizes.tokens, sizes.channels, random),
              Buffer<std::int32_t, 1>({sizes.tokens}),
              Buffer<float, 2>({sizes.tokens, sizes.channels}),
              {0},
              {}};
  std::int64_t token = 0;
  const std::vector<std::int64_t> counts = group_sizes(sizes, equal);
  for (std::size_t e = 0; e < counts.size(); ++e) {
    for (std::int64_t i = 0; i < counts[e]; ++i) batch.id(token++) = static_cast<std::int32_t>(e);
    batch.offsets.push_back(token);
  }
  for (std::int64_t t = sizes.tokens - 1; t > 0; --t) {
    std::swap(batch.id(t), batch.id(random.below(t + 1)));
  }
  std::vector<std::int64_t> next = batch.offsets;
  for (std::int64_t t = 0; t < sizes.tokens; ++t) {
    const std::int64_t position = next[static_cast<std::size_t>(batch.id(t))]++;
    batch.positions.push_back(position);
    batch.gathered.sliced(0, position, position + 1).copy_from(batch.x.wide.sliced(0, t, t + 1));
  }
  return batch;
}

// The matrices of all experts.
struct Weights {
  Buffer<float, 3> up, down;
};

Buffer<float, 3> random_weights(std::int64_t experts, std::int64_t rows, std::int64_t columns,
                                Random &random) {
  Buffer<float, 3> weights({experts, rows, columns});
  const float scale = 1 / std::sqrt(static_cast<float>(rows));
  for (std::int64_t i = 0; i < weights.size(); ++i) weights.data()[i] = scale * random.symmetric();
  return weights;
}

// Some tokens, all channels. The bound of an element is that of its own sum, to which every hidden
// value brings its own.
std::vector<Expected> expected_tokens(const Batch &batch, const Weights &weights, Random &random) {
  constexpr std::int64_t kTokens = 6;
  const std::int64_t channels = weights.up.extent(1), hidden = weights.up.extent(2);
  const double rounding = std::sqrt(static_cast<double>(std::max(channels, hidden))) * 0x1p-23;
  std::vector<Expected> expected;
  for (std::int64_t sample = 0; sample < kTokens; ++sample) {
    const std::int64_t t = random.below(batch.x.wide.extent(0)), e = batch.id(t);
    std::vector<double> h(static_cast<std::size_t>(hidden), 0), h_size(h.size(), 0);
    for (std::int64_t c = 0; c < channels; ++c) {
      const float *row = weights.up.data() + (e * channels + c) * hidden;
      for (std::size_t f = 0; f < h.size(); ++f) {
        const double product = static_cast<double>(batch.x.wide(t, c)) * row[f];
        h[f] += product;
        h_size[f] += std::fabs(product);
      }
    }
    std::vector<double> y(static_cast<std::size_t>(channels), 0), y_size(y.size(), 0);
    for (std::size_t f = 0; f < h.size(); ++f) {
      const float *row =
          weights.down.data() + (e * hidden + static_cast<std::int64_t>(f)) * channels;
      for (std::size_t d = 0; d < y.size(); ++d) {
        y[d] += std::max(h[f], 0.) * row[d];
        y_size[d] += h_size[f] * std::fabs(static_cast<double>(row[d]));
      }
    }
    for (std::size_t d = 0; d < y.size(); ++d) {
      expected.push_back({{t, static_cast<std::int64_t>(d)}, y[d], rounding * y_size[d]});
    }
  }
  return expected;
}

// The rows of an expert from its own matrices, to `out` in the order of the gathered rows. `h` has
// room for the hidden values of all tokens.
void run_openblas(const OpenBlas &library, const Batch &batch, const Weights &weights,
                  const Buffer<float, 2> &h, const AnyBuffer &out) {
  const std::int64_t channels = weights.up.extent(1), hidden = weights.up.extent(2);
  for (std::size_t e = 0; e + 1 < batch.offsets.size(); ++e) {
    const std::int64_t first = batch.offsets[e], rows = batch.offsets[e + 1] - first;
    if (rows == 0) continue;
    const std::int64_t matrix = static_cast<std::int64_t>(e) * channels * hidden;
    const AnyBuffer up(weights.up.data() + matrix, float32, {channels, hidden});
    const AnyBuffer down(weights.down.data() + matrix, float32, {hidden, channels});
    const AnyBuffer values(h.data(), float32, {rows, hidden});
    library.multiply(batch.gathered.sliced(0, first, first + rows), up, values);
    float *value = h.data();
    for (std::int64_t i = 0; i < rows * hidden; ++i) value[i] = value[i] > 0 ? value[i] : 0;
    library.multiply(values, down, out.sliced(0, first, first + rows));
  }
}

Problem moe_problem(bool equal, const Settings &settings) {
  constexpr int kSets = 2;
  const Sizes sizes = settings.small ? Sizes{40, 4, 24, 48} : Sizes{1024, 16, 768, 3072};
  Random random(settings.seed);
  // The matrices are larger than caches: one copy serves all data sets.
  const Weights weights{random_weights(sizes.experts, sizes.channels, sizes.hidden, random),
                        random_weights(sizes.experts, sizes.hidden, sizes.channels, random)};
  auto batches = std::make_shared<std::vector<Batch>>();
  std::vector<Inputs> inputs;
  for (int i = 0; i < kSets; ++i) {
    const Batch &batch = batches->emplace_back(random_batch(sizes, equal, random));
    inputs.push_back(
        {{"X", batch.x.typed}, {"id", batch.id}, {"W1", weights.up}, {"W2", weights.down}});
  }
  Problem problem{.type = float32, .sets = kSets};
  problem.expected = [=, tokens = std::make_shared<Random>(random)](int set) {
    return expected_tokens((*batches)[static_cast<std::size_t>(set)], weights, *tokens);
  };
  const Shape extents{sizes.tokens, sizes.channels};
  problem.subjects.push_back(
      pit_subject("pit", routed_feed_forward(), settings.target, inputs, float32, extents));
  Subject gathered{.system = "OpenBLAS, gathered rows"};
  if (const OpenBlas *library = OpenBlas::instance()) {
    for (int i = 0; i < kSets; ++i) gathered.outputs.emplace_back(float32, extents);
    const Buffer<float, 2> h({sizes.tokens, sizes.hidden});
    gathered.run = [=, outputs = gathered.outputs](int set) {
      const auto place = static_cast<std::size_t>(set);
      run_openblas(*library, (*batches)[place], weights, h, outputs[place]);
    };
    gathered.locate = [=](int set, const Shape &at) {
      const Batch &batch = (*batches)[static_cast<std::size_t>(set)];
      return Shape{batch.positions[static_cast<std::size_t>(at[0])], at[1]};
    };
  } else {
    gathered.missing = "not found";
  }
  problem.subjects.front().versus = {{gathered.system}};
  problem.subjects.push_back(std::move(gathered));
  return problem;
}

}  // namespace

void add_moe_cases(std::vector<Case> &cases) {
  for (const bool equal : {true, false}) {
    cases.push_back(
        {.name = equal ? "moe/equal" : "moe/unequal",
         .make = [equal](const Settings &settings) { return moe_problem(equal, settings); }});
  }
}

}  // namespace pit::bench
