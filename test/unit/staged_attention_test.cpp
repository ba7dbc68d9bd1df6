// Attention on tensor cores at the staged level: that a softmax between two products stays in
// registers, as far as it shows without a device, and that the interpreter gives the right numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "attention_kernels.h"
#include "codegen/emit/listing.h"
#include "codegen/ir/interpret.h"
#include "codegen/ir/text.h"
#include "codegen/ir/verify.h"
#include "test/harness.h"
#include "test/ptxas.h"

namespace pit::test {
namespace {

struct Attention {
  AnyBuffer q, k, v, mask, whole;
  std::vector<double> output, logarithms;  ///< expected
};

/// Made up, with tiles that no mask changes, rows without any key, and rows whose first keys of a
/// tile are masked.
Attention attention(const ir::AttentionTile &tile, std::int64_t rows, std::int64_t keys) {
  std::mt19937 generator(static_cast<unsigned>(rows * 1000 + keys));
  const std::int64_t channels = tile.channels, tiles_i = (rows + tile.rows - 1) / tile.rows,
                     tiles_j = std::max<std::int64_t>((keys + tile.keys - 1) / tile.keys, 1);
  Attention made{random_values(bfloat16, {rows, channels}, generator, false),
                 random_values(bfloat16, {keys, channels}, generator, false),
                 random_values(bfloat16, {keys, channels}, generator, false),
                 AnyBuffer(uint8, {rows, std::max<std::int64_t>(keys, 1)}),
                 AnyBuffer(uint8, {tiles_i, tiles_j}),
                 {},
                 {}};
  for (std::int64_t io = 0; io < tiles_i; ++io) {
    for (std::int64_t jt = 0; jt < tiles_j; ++jt)
      made.whole.set_number(Shape{io, jt}, (io + jt) % 2 == 1 ? 1 : 0);
  }
  std::bernoulli_distribution kept(0.4);
  for (std::int64_t i = 0; i < rows; ++i) {
    std::vector<double> scores;
    for (std::int64_t j = 0; j < keys; ++j) {
      const bool plain = made.whole.number(Shape{i / tile.rows, j / tile.keys}) != 0;
      const bool one = plain || (i % 7 != 3 && j % tile.keys > i % 5 && kept(generator));
      made.mask.set_number(Shape{i, j}, one ? 1 : 0);
      double sum = 0;
      for (std::int64_t c = 0; c < channels; ++c)
        sum += made.q.number(Shape{i, c}) * made.k.number(Shape{j, c});
      scores.push_back(one ? 0.25 * sum : -std::numeric_limits<double>::infinity());
    }
    const double most = scores.empty() ? -std::numeric_limits<double>::infinity()
                                       : *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (double &score : scores) {
      score = std::isinf(score) ? 0 : std::exp(score - most);
      total += score;
    }
    made.logarithms.push_back(most + std::log(total));
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0;
      for (std::int64_t j = 0; j < keys; ++j)
        sum += scores[static_cast<std::size_t>(j)] * made.v.number(Shape{j, c});
      made.output.push_back(total == 0 ? 0 : sum / total);
    }
  }
  return made;
}

void check_interpreted(const std::string &text, const ir::AttentionTile &tile, std::int64_t rows,
                       std::int64_t keys) {
  CAPTURE(rows);
  CAPTURE(keys);
  const Attention data = attention(tile, rows, keys);
  const ir::Module module = ir::parse(text);
  for (const ir::Landing landing : {ir::Landing::Late, ir::Landing::AtOnce}) {
    const AnyBuffer output(bfloat16, {rows, tile.channels}), logarithms(float32, {rows});
    REQUIRE_NOTHROW(ir::interpret(
        module,
        {tensor_argument(data.q), tensor_argument(data.k), tensor_argument(data.v),
         tensor_argument(data.mask), tensor_argument(data.whole)},
        {}, {tensor_argument(output), tensor_argument(logarithms)}, nullptr, {1, landing}));
    int wrong = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      const double expected = data.logarithms[static_cast<std::size_t>(i)];
      const double got = logarithms.number(Shape{i});
      wrong += std::isinf(expected) ? got != expected : !(std::abs(got - expected) < 1e-4);
      for (std::int64_t c = 0; c < tile.channels; ++c) {
        // Weights and results are rounded to bfloat16.
        const double value = data.output[static_cast<std::size_t>(i * tile.channels + c)];
        wrong += !(std::abs(output.number(Shape{i, c}) - value) < 0.02 + 0.01 * std::abs(value));
      }
    }
    CHECK(wrong == 0);
  }
}

const ir::AttentionTile kSmall{64, 32, 32};

TEST_CASE("staged attention - kernels of the staged level compute it, whole and ragged") {
  for (const std::string &text :
       {ir::attention_of_roles(kSmall), ir::attention_drained_late(kSmall),
        ir::attention_of_groups(kSmall)}) {
    REQUIRE_NOTHROW(ir::verify(ir::parse(text), "parse"));
    check_interpreted(text, kSmall, 64, 64);
    check_interpreted(text, kSmall, 70, 77);
    check_interpreted(text, kSmall, 1, 1);
  }
}

/// Checks that PTX of a kernel holds `parts`, and what ptxas says of it.
void check_text(const std::string &text, const std::string &architecture,
                const std::vector<std::string> &parts) {
  REQUIRE_NOTHROW(ir::verify(ir::parse(text), "parse"));
  const cuda::Device device = cuda::device_of(Target("x86-64-linux-cuda-" + architecture));
  const std::string ptx = emit::ptx_of(ir::parse(text), device).text;
  for (const std::string &part : parts) {
    const bool found = ptx.find(part) != std::string::npos;
    CHECK_MESSAGE(found, part);
  }
  const auto cubin = assembled(ptx, architecture);
  if (!cubin) return;
  CAPTURE(cubin->said);
  CHECK(cubin->status == 0);
  CHECK(!cubin->warns());
  CHECK(cubin->spilled() == 0);
}

TEST_CASE("staged attention - the softmax is in registers") {
  const std::vector<std::string> of_both{"shfl.sync.bfly", "ex2.approx", "max.NaN.f32"};
  const auto check = [&](const std::string &text, const std::string &architecture,
                         std::vector<std::string> parts) {
    parts.insert(parts.end(), of_both.begin(), of_both.end());
    check_text(text, architecture, parts);
  };
  // The second product's left operand: four registers behind the accumulators.
  const std::vector<std::string> warpgroups{"wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16",
                                            "}, {%r", "cvt.rn.bf16x2.f32",
                                            "cp.async.bulk.tensor.2d"};
  const std::vector<std::string> warps{"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32",
                                       "cvt.rn.bf16x2.f32", "cp.async.cg.shared.global"};
  check(ir::attention_of_roles({}), "sm_90a", warpgroups);
  check(ir::attention_drained_late({}), "sm_90a", warpgroups);
  check(ir::attention_of_groups({}), "sm_80", warps);
  // Two repetitions of a warp's rows.
  check(
      ir::replaced(ir::replaced(ir::attention_of_groups({128, 32, 64}), "1, 8, 1, 1", "1, 4, 1, 1"),
                   "threads 256", "threads 128"),
      "sm_80", warps);
  const auto with_float16 = [](const std::string &text) {
    return ir::replaced(text, "bfloat16", "float16");
  };
  check(with_float16(ir::attention_of_roles({})), "sm_90a",
        {"wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16", "}, {%r", "cvt.rn.f16x2.f32"});
  check(with_float16(ir::attention_of_groups({})), "sm_80",
        {"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "cvt.rn.f16x2.f32"});
}

// Sums are set by their first instruction where they were zero, so that no zeros are made for them.
TEST_CASE("staged attention - a product of sums that are zero sets them") {
  const cuda::Device device = cuda::device_of(Target("x86-64-linux-cuda-sm_90a"));
  const auto setting = [&](const std::string &text) {
    std::istringstream lines(emit::ptx_of(ir::parse(text), device).text);
    int count = 0;
    for (std::string line; std::getline(lines, line);)
      count += line.find("wgmma.mma_async") != std::string::npos &&
               line.find(", 0, 1, 1, ") != std::string::npos;
    return count;
  };
  const std::string text = ir::attention_of_roles({});
  CHECK(setting(text) == 1);
  const std::string fill = "fill i, j: %sum[i, j] = 0.0";
  CHECK(setting(ir::replaced(text, fill, "fill i, j: %sum[i, j] = 1.0")) == 0);
  CHECK(setting(ir::replaced(text, fill,
                             "fill i, j: %sum[i, j] = 1.0 fill iv, j: %sum[iv, j] = 0.0")) == 0);
  CHECK(setting(ir::replaced(text, fill, fill + " map iv, j: %sum[iv, j] += 1.0")) == 0);
  CHECK(setting(ir::replaced(text, fill, "if 1 < jt { " + fill + " }")) == 0);
}

}  // namespace
}  // namespace pit::test
