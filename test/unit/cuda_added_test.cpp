// Products whose tiles meet in elements of the result, which they add to in any order.
#include <doctest/doctest.h>

#include <array>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "codegen/emit/listing.h"
#include "codegen/lower/lower.h"
#include "test/harness.h"
#include "test/ptxas.h"

namespace pit::test {
namespace {

/// C += A B: of each `columns` columns of A those rows come together that are not zero there.
Pipeline by_columns(std::int64_t columns, bool atomic, int stages = 3) {
  Var m("m"), n("n"), mt("mt");
  TensorParam A(bfloat16, 2, "A"), B(bfloat16, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += f32(A(m, k)) * f32(B(k, n));
  Definition update = C.update();
  update.pit_tile(mt, {.axis = m, .micro = {{m, 1}, {k, columns}}, .dense = {{m, 128}, {n, 256}}});
  update.software_pipeline(mt, stages);
  if (atomic) update.atomic();
  return Pipeline({C}, {}, "by_columns");
}

std::string text_of(const Pipeline &pipeline, const std::string &target) {
  const ir::Module module = lower::lower(pipeline, Target(target));
  return emit::ptx_of(module, cuda::device_of(Target(target))).text;
}

TEST_CASE("cuda added - tensor cores make the sums, which are added by rows") {
  const Pipeline pipeline = by_columns(64, true);
  CHECK(pipeline.explain(Target("x86-64-linux-cuda-sm_90a")).find("they add to it in any order") !=
        std::string::npos);
  const std::string ptx = text_of(pipeline, "x86-64-linux-cuda-sm_90a");
  // Three stages of 48 KB leave room for strips of 128 columns.
  for (const char *part :
       {"wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16", "cp.async.bulk.tensor.2d",
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32", "cp.async.bulk.commit_group",
        "cp.async.bulk.wait_group.read 0", "st.shared.v2", "fence.proxy.async.shared::cta"})
    CHECK_MESSAGE(ptx.find(part) != std::string::npos, part);
  const auto cubin = assembled(ptx, "sm_90a");
  if (cubin) {
    CAPTURE(cubin->said);
    CHECK(cubin->status == 0);
    CHECK(cubin->said.find("(C75") == std::string::npos);
    CHECK(cubin->spilled() == 0);
  }
  const std::string older = text_of(pipeline, "x86-64-linux-cuda-sm_80");
  CHECK(older.find("mma.sync.aligned") != std::string::npos);
  CHECK(older.find("v4.f32 [") == std::string::npos);
}

TEST_CASE("cuda added - where steps leave no room for wide strips they are added four at a time") {
  const std::string ptx = text_of(by_columns(64, true, 4), "x86-64-linux-cuda-sm_90a");
  CHECK(ptx.find("red.relaxed.gpu.global.add.v4.f32") != std::string::npos);
  CHECK(ptx.find("cp.reduce.async.bulk") == std::string::npos);
  if (const auto cubin = assembled(ptx, "sm_90a")) CHECK(cubin->spilled() == 0);
}

TEST_CASE("cuda added - rows are marked by threads that read their columns together") {
  const std::string ptx = text_of(by_columns(64, true), "x86-64-linux-cuda-sm_90a");
  const std::string kernel = ptx.substr(ptx.find(".entry pit_by_columns_C_index_1_1("));
  const std::string text = kernel.substr(0, kernel.find("\n}\n"));
  int wide = 0;
  for (std::size_t at = text.find("ld.global.nc.v4.b32"); at != std::string::npos;
       at = text.find("ld.global.nc.v4.b32", at + 1))
    ++wide;
  CHECK(wide >= 8);
}

TEST_CASE("cuda added - nothing is added atomically where atomic() is not said") {
  const std::string ptx = text_of(by_columns(64, false), "x86-64-linux-cuda-sm_90a");
  CHECK(ptx.find("red.relaxed.gpu.global.add") == std::string::npos);
  CHECK(ptx.find("global.add.f32") == std::string::npos);
}

TEST_CASE("cuda added - the results are those of the algorithm, ragged ones and unaligned ones") {
  std::mt19937 generator(7);
  const bool device = target_under_test().is_cuda();
  for (const auto &[atomic, stages] : {std::pair{true, 3}, {true, 4}, {false, 4}}) {
    const Pipeline pipeline = by_columns(64, atomic, stages);
    for (const auto &[m, n, k] : std::vector<std::array<std::int64_t, 3>>{
             {300, 264, 192}, {131, 70, 100}, {140, 260, 64}, {5, 3, 2}}) {
      CAPTURE(m);
      CAPTURE(stages);
      Problem problem;
      problem.inputs.emplace("A", random_values(bfloat16, {m, k}, generator, true, 0.98));
      problem.inputs.emplace("B", random_values(bfloat16, {k, n}, generator, true));
      problem.outputs.emplace("C", Shape{m, n});
      const Comparison result =
          check(pipeline, problem, device ? Engine::Compiled : Engine::CudaTileInterpreter, true);
      CHECK_MESSAGE(result.different == 0, result.first);
    }
  }
}

}  // namespace
}  // namespace pit::test
