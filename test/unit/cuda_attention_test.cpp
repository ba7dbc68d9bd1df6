// Attention whose products are made by tensor cores: scores and weights stay in registers.
#include <doctest/doctest.h>

#include <random>
#include <string>

#include "codegen/emit/listing.h"
#include "codegen/lower/lower.h"
#include "test/harness.h"
#include "test/ptxas.h"
#include "test/unit/attention.h"

namespace pit::test {
namespace {

constexpr const char *kNewest = "sm_90a.float32.bfloat16.64x256x16",
                     *kOlder = "sm_80.float32.bfloat16.16x8x16";

Comparison run_attention(const AttentionShape &shape, const std::string &atom, std::int64_t queries,
                         std::int64_t keys, double kept, std::mt19937 &generator) {
  constexpr std::int64_t kHeads = 2;
  const bool device = target_under_test().is_cuda();
  const auto blocks = [&](std::int64_t n) { return (n + shape.block - 1) / shape.block; };
  Problem problem;
  problem.inputs.emplace(
      "Q", random_values(bfloat16, {kHeads, queries, shape.channels}, generator, false));
  problem.inputs.emplace("K", random_values(bfloat16, {1, keys, shape.channels}, generator, false));
  problem.inputs.emplace("V", random_values(bfloat16, {1, keys, shape.channels}, generator, false));
  problem.inputs.emplace("mask", random_values(uint8, {kHeads, blocks(queries), blocks(keys)},
                                               generator, true, 1 - kept));
  problem.outputs.emplace("O", Shape{kHeads, queries, shape.channels});
  problem.outputs.emplace("L", Shape{kHeads, queries});
  // Weights are rounded to bfloat16, whose last place is 2^-8.
  constexpr double kRounded = 1 << 16;
  const Target target =
      device ? target_under_test()
             : Target(std::string("x86-64-linux-cuda-") + (atom == kNewest ? "sm_90a" : "sm_80"));
  return check(attention(shape, atom), problem,
               device ? Engine::Compiled : Engine::CudaTileInterpreter, false, kRounded, target);
}

TEST_CASE("cuda attention - the results are those of the algorithm") {
  std::mt19937 generator(11);
  const AttentionShape shapes[] = {
      {.queries = 64, .keys = 64, .block = 64, .channels = 64},
      {.queries = 64, .keys = 128, .block = 64, .channels = 32, .causal = true},
      {.queries = 128, .keys = 128, .block = 64, .channels = 64},
  };
  for (const AttentionShape &shape : shapes) {
    for (const char *atom : {kNewest, kOlder}) {
      CAPTURE(std::string(atom));
      CAPTURE(shape.queries);
      CAPTURE(shape.keys);
      const Comparison whole = run_attention(shape, atom, 128, 256, 0.7, generator);
      CHECK_MESSAGE(whole.different == 0, whole.first);
      const Comparison ragged = run_attention(shape, atom, 150, 203, 0.5, generator);
      CHECK_MESSAGE(ragged.different == 0, ragged.first);
      const Comparison empty = run_attention(shape, atom, 70, 64, 0, generator);
      CHECK_MESSAGE(empty.different == 0, empty.first);
    }
  }
}

}  // namespace
}  // namespace pit::test
