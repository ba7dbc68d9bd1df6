// Kernels of the staged level whose operands the tensor memory accelerator copies, alone and for
// clusters of blocks.
#include <doctest/doctest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "codegen/emit/listing.h"
#include "codegen/lower/lower.h"
#include "test/harness.h"
#include "test/ptxas.h"

namespace pit::test {
namespace {

const char *const kTarget = "x86-64-linux-cuda-sm_90a";

/// Y = X W.
Pipeline dense(bool clusters, TileOrder order) {
  Var i("i"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W");
  RDom k(0, X.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(W(k, n));
  Y(i, n) = bf16(C(i, n));
  Y.tile(i, n, mo, no, mi, ni, 128, 256).gpu_blocks(mo, no).persistent().tile_order(order);
  if (clusters) Y.cluster({{mo, 2}});
  C.compute_at(Y, no);
  C.update().split(k, ko, ki, 64).software_pipeline(ko, 4).warp_specialize({});
  return Pipeline({Y}, {}, "dense");
}

/// The same of the rows that `keep` marks.
Pipeline gathered(bool clusters) {
  Var i("i"), n("n"), tile("tile");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W"), keep(uint8, 1, "keep");
  RDom k(0, X.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(W(k, n));
  Y(i, n) = bf16(C(i, n));
  Y.where(keep(i) != 0);
  Y.pit_tile(tile, {.axis = i, .dense = {{i, 128}, {n, 256}}}).persistent();
  if (clusters) Y.cluster({{tile, 2}});
  C.compute_at(Y, tile);
  C.update().split(k, ko, ki, 64).software_pipeline(ko, 4).warp_specialize({});
  return Pipeline({Y}, {}, "gathered");
}

std::string text_of(const Pipeline &pipeline) {
  const ir::Module module = lower::lower(pipeline, Target(kTarget));
  return emit::ptx_of(module, cuda::device_of(Target(kTarget))).text;
}

void check_text(const std::string &ptx, std::vector<const char *> parts) {
  parts.insert(parts.end(), {"wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16",
                             "mbarrier.arrive.expect_tx", "cp.async.bulk.tensor.2d", "st.global.v4",
                             "cvt.rn.bf16x2.f32"});
  for (const char *part : parts) CHECK_MESSAGE(ptx.find(part) != std::string::npos, part);
  const auto cubin = assembled(ptx, "sm_90a");
  if (!cubin) return;
  CAPTURE(cubin->said);
  CHECK(cubin->status == 0);
  CHECK(!cubin->warns());
  CHECK(cubin->spilled() == 0);
}

void check_results(const Pipeline &pipeline, const Problem &problem) {
  const bool device = target_under_test().is_cuda();
  const Comparison result =
      check(pipeline, problem, device ? Engine::Compiled : Engine::CudaTileInterpreter, true);
  CHECK_MESSAGE(result.different == 0, result.first);
}

TEST_CASE("cuda bulk - operands that are boxes are copied by the tensor memory accelerator") {
  const std::string alone = text_of(dense(false, TileOrder::Swizzled));
  check_text(alone, {});
  CHECK(alone.find("multicast") == std::string::npos);
  check_text(text_of(gathered(false)),
             {"cp.async.cg.shared.global", "cp.async.mbarrier.arrive.noinc"});
}

TEST_CASE("cuda bulk - blocks of a cluster copy for each other") {
  const std::vector<const char *> parts{"mbarrier.arrive.shared::cluster", "barrier.cluster.wait",
                                        "mbarrier::complete_tx::bytes.multicast::cluster"};
  check_text(text_of(dense(true, TileOrder::Swizzled)), parts);
  check_text(text_of(gathered(true)), parts);
}

TEST_CASE("cuda bulk - ragged tiles, and tensors that the accelerator cannot read") {
  std::mt19937 generator(3);
  // The last two have rows that are no multiples of 16 bytes.
  const std::vector<std::array<std::int64_t, 3>> shapes{
      {384, 264, 72}, {130, 8, 136}, {200, 77, 65}, {1, 1, 1}};
  for (const auto &[m, n, k] : shapes) {
    CAPTURE(m);
    Problem problem;
    problem.inputs.emplace("X", random_values(bfloat16, {m, k}, generator, true));
    problem.inputs.emplace("W", random_values(bfloat16, {k, n}, generator, true));
    problem.outputs.emplace("Y", Shape{m, n});
    check_results(dense(false, TileOrder::RowMajor), problem);
    check_results(dense(true, TileOrder::ColumnMajor), problem);
    problem.inputs.emplace("keep", random_values(uint8, {m}, generator, true, 0.5));
    check_results(gathered(false), problem);
    check_results(gathered(true), problem);
  }
}

}  // namespace
}  // namespace pit::test
