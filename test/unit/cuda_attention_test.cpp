// Attention whose products are made by tensor cores: scores and weights stay in registers.
#include <doctest/doctest.h>

#include <random>
#include <string>

#include "codegen/emit/listing.h"
#include "codegen/ir/text.h"
#include "codegen/lower/lower.h"
#include "test/filecheck.h"
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

Comparison run_vertical_slash(const VerticalSlashShape &shape, const std::string &atom,
                              std::int64_t length, std::int64_t ranges, std::int64_t columns,
                              std::mt19937 &generator) {
  constexpr std::int64_t kHeads = 2;
  const std::int64_t strips = (length + 63) / 64;
  Problem problem;
  for (const char *name : {"Q", "K", "V"}) {
    problem.inputs.emplace(
        name, random_values(bfloat16, {kHeads, length, shape.channels}, generator, false));
  }
  const auto lists = [&](const char *name, const Shape &extents, std::int64_t end) {
    const AnyBuffer list(int32, extents);
    std::uniform_int_distribution<std::int64_t> uniform(0, end - 1);
    for_each_coordinate(extents, [&](const Shape &at) {
      list.set_number(at, static_cast<double>(uniform(generator)));
    });
    problem.inputs.emplace(name, list);
  };
  // Some strips of queries have no range, no single key, or neither.
  lists("block_count", {kHeads, strips}, ranges + 1);
  lists("block_offset", {kHeads, strips, ranges}, length);
  lists("column_count", {kHeads, strips}, columns + 1);
  lists("column_index", {kHeads, strips, columns}, length);
  problem.outputs.emplace("O", Shape{kHeads, length, shape.channels});
  constexpr double kRounded = 1 << 16;
  const bool device = target_under_test().is_cuda();
  const Target target =
      device ? target_under_test()
             : Target(std::string("x86-64-linux-cuda-") + (atom == kNewest ? "sm_90a" : "sm_80"));
  return check(vertical_slash(shape, atom), problem,
               device ? Engine::Compiled : Engine::CudaTileInterpreter, false, kRounded, target);
}

TEST_CASE(
    "cuda attention - with one stage, too, rows without a key wait for what they have loaded") {
  std::mt19937 generator(23);
  const AttentionShape shape{
      .queries = 64, .keys = 64, .block = 64, .channels = 32, .causal = false, .stages = 1};
  for (const char *atom : {kNewest, kOlder}) {
    CAPTURE(std::string(atom));
    for (const double kept : {0.0, 0.5, 1.0}) {
      const Comparison result = run_attention(shape, atom, 70, 130, kept, generator);
      CHECK_MESSAGE(result.different == 0, result.first);
    }
  }
}

TEST_CASE("cuda attention - ranges and single keys are the steps of one loop") {
  std::mt19937 generator(17);
  const VerticalSlashShape shapes[] = {{.ranges = 2, .keys = 128, .channels = 64},
                                       {.channels = 32}};
  for (const VerticalSlashShape &shape : shapes) {
    for (const char *atom : {kNewest, kOlder}) {
      CAPTURE(std::string(atom));
      CAPTURE(shape.keys);
      const Comparison both = run_vertical_slash(shape, atom, 256, 3, 150, generator);
      CHECK_MESSAGE(both.different == 0, both.first);
      const Comparison ragged = run_vertical_slash(shape, atom, 203, 3, 70, generator);
      CHECK_MESSAGE(ragged.different == 0, ragged.first);
      const Comparison few = run_vertical_slash(shape, atom, 100, 1, 1, generator);
      CHECK_MESSAGE(few.different == 0, few.first);
    }
  }
}

TEST_CASE("cuda attention - ranges and single keys are multiplied by tensor cores") {
  for (const char *architecture : {"sm_90a", "sm_80"}) {
    CAPTURE(std::string(architecture));
    const Target target(std::string("x86-64-linux-cuda-") + architecture);
    for (const VerticalSlashShape &shape :
         {VerticalSlashShape{}, VerticalSlashShape{.ranges = 2, .keys = 128, .channels = 64}}) {
      const Pipeline pipeline = vertical_slash(shape, "");
      const std::string said = pipeline.explain(target);
      CHECK_MESSAGE(said.find("by threads") == std::string::npos, said);
      const ir::Module module = lower::lower(pipeline, target);
      CHECK_TEXT(ir::print(module), R"(
        CHECK: let bt.steps: int64 =
        CHECK: = K(h{{.*}}, select(bt.first{{.*}}block_offset{{.*}}%column_index.at[
        CHECK-NOT: for ct
      )");
      const std::string ptx = emit::ptx_of(module, cuda::device_of(target)).text;
      if (const auto cubin = assembled(ptx, architecture)) {
        CAPTURE(cubin->said);
        CHECK(cubin->status == 0);
        CHECK(!cubin->warns());
        for (const KernelFigures &kernel : cubin->kernels())
          if (kernel.name.ends_with("_O")) CHECK(kernel.spilled == 0);
      }
    }
  }
}

TEST_CASE("cuda attention - without a name for it products are made by the device's instructions") {
  const AttentionShape shape{.queries = 128, .keys = 128, .block = 128, .channels = 128};
  const struct {
    const char *architecture, *by;
    std::vector<std::string> instructions;
  } devices[] = {{"sm_90a",
                  "by wgmma: 3 stages, 4 producer warps, 2 consumer warpgroups",
                  // Scores from shared memory, weights from registers.
                  {"wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16", "ex2.approx.ftz.f32",
                   "cvt.rn.bf16x2.f32", "shfl.sync.bfly", "cp.async.bulk.tensor.3d"}},
                 {"sm_80",
                  "by sm_80.float32.bfloat16.16x8x16: 2 stages, 8 warps",
                  {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "ex2.approx.ftz.f32",
                   "cvt.rn.bf16x2.f32", "shfl.sync.bfly", "cp.async.cg"}}};
  for (const auto &device : devices) {
    CAPTURE(std::string(device.architecture));
    const Target target(std::string("x86-64-linux-cuda-") + device.architecture);
    const Pipeline pipeline = attention(shape, "");
    const std::string said = pipeline.explain(target);
    CHECK_MESSAGE(said.find(device.by) != std::string::npos, said);
    const std::string ptx =
        emit::ptx_of(lower::lower(pipeline, target), cuda::device_of(target)).text;
    for (const std::string &part : device.instructions)
      CHECK_MESSAGE(ptx.find(part) != std::string::npos, part);
    if (const auto cubin = assembled(ptx, device.architecture)) {
      CAPTURE(cubin->said);
      CHECK(cubin->status == 0);
      CHECK(!cubin->warns());
      CHECK(cubin->spilled() == 0);
    }
  }
}

TEST_CASE("cuda attention - what stands is loaded once, and a step's first product early") {
  const AttentionShape shape{.queries = 128, .keys = 128, .block = 128, .channels = 128};
  const std::string text =
      ir::print(lower::lower(attention(shape, ""), Target("x86-64-linux-cuda-sm_90a")));
  CHECK_TEXT(text, R"(
    CHECK: barrier standing.full[1] arrivals 1
    CHECK: shared %Q.tile: bfloat16[128, 128]
    CHECK: shared %K.tile: bfloat16[3, 128, 128] buffers
    CHECK: role producer
    CHECK: for jt
    CHECK: copy bulk {{.*}}: %K.tile[
    CHECK: copy bulk {{.*}}: %V.tile[
    CHECK: if jt == min(
    CHECK: wait standing.empty[0]
    CHECK: copy bulk {{.*}}: %Q.tile[
    CHECK: role consumer
    CHECK: registers %P.0: float32[128] rows(1, 8, 1, 4)
    CHECK: wait standing.full[0]
    CHECK: mma async {{.*}} += %Q.tile[
    CHECK: for jt
    CHECK-NOT: mask(
    CHECK: if full
    CHECK: registers %left: bfloat16[128, 128] operand_a(1, 8, 1, 4)
    CHECK: mma async {{.*}}: %P.2[{{.*}} += %left[
    CHECK: commit matrix
    CHECK: mma async {{.*}} += %Q.tile[
    CHECK: drain matrix pending 0
    CHECK: arrive empty
    CHECK: arrive standing.empty[0] each warpgroup
  )");
}

TEST_CASE("cuda attention - float32 values keep weights whole, and the reason is said") {
  Var h("h"), i("i"), d("d"), jv("jv"), io("io"), ii("ii"), jt("jt");
  TensorParam Q(bfloat16, 3, "Q"), K(bfloat16, 3, "K"), V(bfloat16, 3, "V"), mask(uint8, 3, "mask");
  RDom j(0, K.extent(1), "j"), c(0, 64, "c");
  j.where(mask(h, i / 64, j / 64) != 0);
  Func S("S"), P("P"), O("O");
  S(h, i, jv) = sum(c, f32(Q(h, i, c)) * f32(K(h, jv, c)));
  P(h, i, d) += softmax_term(S(h, i, j), f32(V(h, j, d)));
  O(h, i, d) = bf16(softmax_value(P(h, i, d)));
  O.bound(d, 0, 64);
  O.split(i, io, ii, 64).gpu_blocks(h, io);
  P.compute_at(O, io);
  P.update().pit_tile(jt, {.axis = j, .micro = {{i, 64}, {j, 64}}, .dense = {{j, 64}}});
  S.compute_at(P, jt);
  const std::string said =
      Pipeline({O}, {}, "whole_weights").explain(Target("x86-64-linux-cuda-sm_90a"));
  CHECK_MESSAGE(said.find("no atom multiplies float32 by bfloat16") != std::string::npos, said);
}

}  // namespace
}  // namespace pit::test
