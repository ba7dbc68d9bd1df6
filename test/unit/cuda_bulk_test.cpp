// Kernels of the staged level whose operands the tensor memory accelerator copies, alone and for
// clusters of blocks.
#include <doctest/doctest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "codegen/emit/listing.h"
#include "codegen/ir/mutator.h"
#include "codegen/lower/lower.h"
#include "sparse_product.h"
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

TEST_CASE("cuda bulk - micro-tiles that are steps are boxes, the last of a row too") {
  std::mt19937 generator(5);
  for (const auto &[rows, columns] : {std::pair{128, 128}, {64, 64}}) {
    CAPTURE(rows);
    const Pipeline pipeline = of_micro_tiles(rows, columns, columns);
    const std::string text = text_of(pipeline);
    if (rows == 128) check_text(text, {});
    CHECK(text.find("cp.async.bulk.tensor.2d") != std::string::npos);
    CHECK(text.find("cp.async.cg.shared.global") == std::string::npos);
    // The last has rows that the accelerator cannot read.
    for (const auto &[m, n, k] :
         std::vector<std::array<std::int64_t, 3>>{{256, 264, 384}, {150, 72, 200}, {70, 65, 131}}) {
      CAPTURE(m);
      Problem problem;
      problem.inputs.emplace("A", random_values(bfloat16, {m, k}, generator, true, 0.99));
      problem.inputs.emplace("B", random_values(bfloat16, {k, n}, generator, true));
      problem.outputs.emplace("Y", Shape{m, n});
      check_results(pipeline, problem);
    }
  }
}

TEST_CASE("cuda bulk - micro-tiles of which a step has several are copied in lines") {
  std::mt19937 generator(6);
  for (const std::int64_t columns : {8, 16, 32}) {
    CAPTURE(columns);
    const Pipeline pipeline = of_micro_tiles(64, columns, 64);
    int copies = 0;
    ir::walk_statements(lower::lower(pipeline, Target(kTarget)).body, [&](const ir::Stmt &s) {
      const auto *copy = s.as<ir::Copy>();
      copies += copy != nullptr;
      if (copy) CHECK(copy->engine == ir::CopyEngine::Async);
      return true;
    });
    CHECK(copies == 2);
    // The last two have rows that are no multiples of 16 bytes.
    for (const auto &[m, n, k] :
         std::vector<std::array<std::int64_t, 3>>{{128, 264, 384}, {70, 72, 131}, {64, 65, 200}}) {
      CAPTURE(k);
      Problem problem;
      problem.inputs.emplace("A", random_values(bfloat16, {m, k}, generator, true, 0.99));
      problem.inputs.emplace("B", random_values(bfloat16, {k, n}, generator, true));
      problem.outputs.emplace("Y", Shape{m, n});
      check_results(pipeline, problem);
    }
  }
  // Narrower ones are not.
  bool threads = false;
  ir::walk_statements(lower::lower(of_micro_tiles(64, 4, 64), Target(kTarget)).body,
                      [&](const ir::Stmt &s) {
                        const auto *copy = s.as<ir::Copy>();
                        threads = threads || (copy && copy->engine == ir::CopyEngine::Threads);
                        return true;
                      });
  CHECK(threads);
}

TEST_CASE("cuda bulk - steps that are too large to load ahead are taken in parts") {
  const auto buffers = [](std::int64_t micro) {
    std::string text;
    ir::walk_statements(lower::lower(of_micro_tiles(micro, micro, micro), Target(kTarget)).body,
                        [&](const ir::Stmt &s) {
                          const auto *allocate = s.as<ir::Allocate>();
                          if (allocate && allocate->placement.buffered) {
                            std::int64_t n = 0;
                            for (const Expr &extent : allocate->extents) {
                              is_const_int(extent, &n);
                              text += std::to_string(n) + " ";
                            }
                          }
                          return true;
                        });
    return text;
  };
  CHECK(buffers(128) == "4 128 64 4 64 256 ");
  CHECK(buffers(64) == "4 64 64 4 64 256 ");
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
