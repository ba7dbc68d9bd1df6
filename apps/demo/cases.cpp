#include "cases.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "data.h"
#include "operators.h"
#include "text_file.h"
#include "tokenizer.h"

namespace pit::demo {

namespace {

std::string type_name(Type type) { return type == bfloat16 ? "bf16" : "f32"; }

// --- sparse x dense ------------------------------------------------------------------------------

struct MatmulShape {
  Type type;
  std::int64_t micro_rows, micro_columns;
  int zeros;  // percent of the micro-tiles that are zero
};

Problem matmul_problem(const MatmulShape &shape, const DataOptions &options) {
  constexpr std::int64_t kSize = 1024, kSamples = 256;
  Data data(options.seed);

  // Kept micro-tiles hold zeros, too: one element in ten.
  AnyBuffer a = data.tensor(shape.type, {kSize, kSize}, 1);
  std::int64_t nonzeros = 0;
  for (std::int64_t m = 0; m < kSize; m += shape.micro_rows) {
    for (std::int64_t k = 0; k < kSize; k += shape.micro_columns) {
      const bool kept = data.uniform() * 100 >= shape.zeros;
      for (std::int64_t i = m; i < m + shape.micro_rows; ++i) {
        for (std::int64_t j = k; j < k + shape.micro_columns; ++j) {
          const Shape at{i, j};
          if (!kept || data.uniform() < 0.1) a.set_number(at, 0);
          nonzeros += a.number(at) != 0;
        }
      }
    }
  }
  std::vector<Shape> samples;
  const auto coordinate = [&] { return static_cast<std::int64_t>(data.uniform() * kSize); };
  for (std::int64_t i = 0; i < kSamples; ++i) samples.push_back({coordinate(), coordinate()});

  return {.about = "spmm: matrices of " + std::to_string(kSize) + " x " + std::to_string(kSize),
          .sparse =
              [shape](const Target &target) {
                return sparse_matmul(shape.type, shape.micro_rows, shape.micro_columns, target);
              },
          .dense = [shape](const Target &target) { return dense_matmul(shape.type, target); },
          .inputs = {{"A", a}, {"B", data.tensor(shape.type, {kSize, kSize}, 1)}},
          .type = shape.type,
          .extents = {kSize, kSize},
          .index = "live",
          .passing = static_cast<double>(nonzeros),
          .micro_size = static_cast<double>(shape.micro_rows * shape.micro_columns),
          .dense_iterations = static_cast<double>(kSize * kSize),
          .longest_sum = kSize,
          .samples = samples};
}

Case matmul_case(const MatmulShape &shape) {
  return {"spmm/" + std::to_string(shape.micro_rows) + "x" + std::to_string(shape.micro_columns) +
              "/" + type_name(shape.type) + "/" + std::to_string(shape.zeros) + "%",
          [=](const DataOptions &options) { return matmul_problem(shape, options); }};
}

// --- mixture of experts --------------------------------------------------------------------------

struct MoeShape {
  Type type;
  int slots, experts;
};

Problem moe_problem(const MoeShape &shape, const DataOptions &options) {
  constexpr std::int64_t kTokens = 1024, kChannels = 256, kHidden = 1024;
  constexpr std::int64_t kSampledTokens = 16, kSampledChannels = 16;
  Data data(options.seed);
  const std::int64_t experts = shape.experts;
  const double in = 1 / std::sqrt(kChannels), out = 1 / std::sqrt(kHidden);

  std::vector<Shape> samples;
  for (std::int64_t i = 0; i < kSampledTokens; ++i) {
    for (std::int64_t j = 0; j < kSampledChannels; ++j) {
      samples.push_back({i * kTokens / kSampledTokens + i, j * kChannels / kSampledChannels + i});
    }
  }
  return {
      .about = "moe: " + std::to_string(kTokens) + " tokens of " + std::to_string(kChannels) +
               " channels, " + std::to_string(kHidden) + " hidden channels",
      .sparse =
          [shape](const Target &target) { return sparse_moe(shape.type, shape.slots, target); },
      .dense = [shape](const Target &target) { return dense_moe(shape.type, shape.slots, target); },
      .inputs = {{"X", data.tensor(shape.type, {kTokens, kChannels}, 2)},
                 {"Wg", data.tensor(shape.type, {kChannels, experts}, in)},
                 {"W1", data.tensor(shape.type, {experts, kChannels, kHidden}, 2 * in)},
                 {"W3", data.tensor(shape.type, {experts, kChannels, kHidden}, 2 * in)},
                 {"W2", data.tensor(shape.type, {experts, kHidden, kChannels}, 2 * out)}},
      .type = shape.type,
      .extents = {kTokens, kChannels},
      .index = "by_expert",
      .passing = static_cast<double>(kTokens * shape.slots),
      .micro_size = 1,
      .dense_iterations = static_cast<double>(kTokens * experts),
      .longest_sum = kHidden,
      .samples = samples};
}

Case moe_case(const MoeShape &shape) {
  return {"moe/top" + std::to_string(shape.slots) + "-of-" + std::to_string(shape.experts) + "/" +
              type_name(shape.type),
          [=](const DataOptions &options) { return moe_problem(shape, options); }};
}

// --- sentences of different lengths --------------------------------------------------------------

// Sentences from the start of the text for which memory suffices when each is padded to the
// longest.
std::vector<std::vector<std::int32_t>> batch_of(const Tokens &tokens) {
  constexpr std::size_t kMostPositions = 32768;
  std::size_t count = 0, longest = 0;
  for (const auto &sentence : tokens.sentences) {
    longest = std::max(longest, sentence.size());
    if ((count + 1) * longest > kMostPositions) break;
    ++count;
  }
  return {tokens.sentences.begin(), tokens.sentences.begin() + static_cast<std::ptrdiff_t>(count)};
}

// Embeddings of the words, to which a sinusoid of the place in the sentence is added.
AnyBuffer embedded(Type type, const std::vector<std::vector<std::int32_t>> &sentences,
                   std::int64_t longest, const AnyBuffer &table) {
  const std::int64_t channels = table.extent(1);
  AnyBuffer x(type, {static_cast<std::int64_t>(sentences.size()), longest, channels});
  for (std::size_t b = 0; b < sentences.size(); ++b) {
    for (std::size_t t = 0; t < sentences[b].size(); ++t) {
      for (std::int64_t d = 0; d < channels; ++d) {
        const double word = table.number(Shape{sentences[b][t], d});
        const double rate =
            std::pow(1e4, -static_cast<double>(d / 2 * 2) / static_cast<double>(channels));
        const double angle = static_cast<double>(t) * rate;
        x.set_number(Shape{static_cast<std::int64_t>(b), static_cast<std::int64_t>(t), d},
                     word + (d % 2 == 0 ? std::sin(angle) : std::cos(angle)));
      }
    }
  }
  return x;
}

Problem feed_forward_problem(Type type, const DataOptions &options) {
  constexpr std::int64_t kChannels = 256, kHidden = 1024, kSampledWords = 32, kSampledChannels = 8;
  constexpr std::size_t kLongest = 512;
  const Tokens tokens = tokenize(read_text(options.text), kLongest);
  if (tokens.sentences.empty()) throw std::runtime_error("there is no word in " + options.text);
  const auto sentences = batch_of(tokens);

  const auto count = static_cast<std::int64_t>(sentences.size());
  AnyBuffer lengths(int32, {count});
  std::int64_t longest = 0, shortest = kLongest, words = 0;
  for (std::int64_t b = 0; b < count; ++b) {
    const auto length = static_cast<std::int64_t>(sentences[static_cast<std::size_t>(b)].size());
    lengths.set_number(Shape{b}, static_cast<double>(length));
    longest = std::max(longest, length);
    shortest = std::min(shortest, length);
    words += length;
  }

  Data data(options.seed);
  const double in = 1 / std::sqrt(kChannels), out = 1 / std::sqrt(kHidden);
  const AnyBuffer table =
      data.tensor(float32, {static_cast<std::int64_t>(tokens.vocabulary.size()), kChannels}, 1);
  std::vector<Shape> samples;
  for (std::int64_t i = 0; i < kSampledWords; ++i) {
    const std::int64_t b = i * count / kSampledWords;
    const auto length = static_cast<double>(sentences[static_cast<std::size_t>(b)].size());
    const auto t = static_cast<std::int64_t>(data.uniform() * length);
    for (std::int64_t j = 0; j < kSampledChannels; ++j) {
      samples.push_back({b, t, j * kChannels / kSampledChannels + i});
    }
  }
  return {.about = "feed-forward: " + std::to_string(count) + " of " +
                   std::to_string(tokens.sentences.size()) + " sentences, " +
                   std::to_string(shortest) + " to " + std::to_string(longest) + " words of " +
                   std::to_string(kChannels) + " channels, " + std::to_string(kHidden) +
                   " hidden channels",
          .sparse = [type](const Target &target) { return sparse_feed_forward(type, target); },
          .dense = [type](const Target &target) { return dense_feed_forward(type, target); },
          .inputs = {{"X", embedded(type, sentences, longest, table)},
                     {"W1", data.tensor(type, {kChannels, kHidden}, 2 * in)},
                     {"b1", data.tensor(float32, {kHidden}, 0.1)},
                     {"W2", data.tensor(type, {kHidden, kChannels}, 2 * out)},
                     {"b2", data.tensor(float32, {kChannels}, 0.1)},
                     {"len", lengths}},
          .type = type,
          .extents = {count, longest, kChannels},
          .index = "words",
          .passing = static_cast<double>(words),
          .micro_size = 1,
          .dense_iterations = static_cast<double>(count * longest),
          .longest_sum = kHidden,
          .samples = samples};
}

Case feed_forward_case(Type type) {
  return {"feed-forward/" + type_name(type),
          [=](const DataOptions &options) { return feed_forward_problem(type, options); }};
}

}  // namespace

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const int zeros : {50, 90, 95, 99}) cases.push_back(matmul_case({float32, 32, 1, zeros}));
  for (const int zeros : {50, 90, 95, 99}) cases.push_back(matmul_case({bfloat16, 32, 1, zeros}));
  cases.push_back(matmul_case({float32, 64, 64, 90}));
  for (const Type type : {float32, bfloat16}) {
    cases.push_back(moe_case({type, 1, 16}));
    cases.push_back(moe_case({type, 2, 8}));
  }
  for (const Type type : {float32, bfloat16}) cases.push_back(feed_forward_case(type));
  return cases;
}

}  // namespace pit::demo
