// Kernels of the staged level for sm_90a, as far as they show without a device; with one that
// PIT_TEST_TARGET names, their results.
#include <doctest/doctest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "codegen/emit/listing.h"
#include "codegen/emit/operator.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/verify.h"
#include "codegen/lower/pipeline.h"
#include "test/harness.h"
#include "test/programs.h"
#include "test/ptxas.h"

namespace pit::test {
namespace {

const char *const kTarget = "x86-64-linux-cuda-sm_90a";

/// How a kernel copies and shares out its work.
const lower::PipelineOptions kWays[] = {
    {.stages = 4, .producer_warps = 4, .consumer_warpgroups = 2},
    {.stages = 4, .producer_warps = 4, .consumer_warpgroups = 2, .bulk = true},
    {.stages = 3,
     .producer_warps = 4,
     .consumer_warpgroups = 2,
     .bulk = true,
     .persistent_blocks = -1,
     .tile_rows = 2},
    {.stages = 4,
     .producer_warps = 4,
     .consumer_warpgroups = 2,
     .bulk = true,
     .cluster = 2,
     .persistent_blocks = -1},
};

/// Every kernel that can be pipelined is; *count says how many.
ir::Module pipelined(const Pipeline &pipeline, const lower::PipelineOptions &options, int *count) {
  class AtLaunch final : public ir::Mutator {
   public:
    explicit AtLaunch(const lower::PipelineOptions &o) : options(o) {}
    const lower::PipelineOptions &options;
    int count = 0;

   protected:
    using Mutator::visit;
    ir::Stmt visit(const ir::Launch &, const ir::Stmt &self) override {
      lower::PipelineResult result = lower::pipeline(self, options);
      count += result.reason.empty() ? 1 : 0;
      return result.launch;
    }
  } pass(options);
  ir::Module module = lower::lower(pipeline, Target(kTarget));
  module.body = pass(module.body);
  *count = pass.count;
  ir::verify(module, "pipeline");
  return module;
}

/// Y[rows[i], n] = X[rows[i], :] W of the rows that `keep` marks.
Pipeline gathered_rows() {
  Var i("i"), n("n"), tile("tile");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W"), keep(uint8, 1, "keep");
  RDom k(0, X.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(W(k, n));
  Y(i, n) = bf16(C(i, n));
  Y.where(keep(i) != 0);
  Y.pit_tile(tile, {.axis = i, .dense = {{i, 128}, {n, 256}}});
  C.compute_at(Y, tile);
  C.update().split(k, ko, ki, 64).software_pipeline(ko, 4).warp_specialize({});
  return Pipeline({Y}, {}, "gathered_rows");
}

/// Y = X W.
Pipeline dense() {
  Var i("i"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W");
  RDom k(0, X.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(W(k, n));
  Y(i, n) = bf16(C(i, n));
  Y.tile(i, n, mo, no, mi, ni, 128, 256).gpu_blocks(mo, no);
  C.compute_at(Y, no);
  C.update().split(k, ko, ki, 64).software_pipeline(ko, 4).warp_specialize({});
  return Pipeline({Y}, {}, "dense");
}

/// `parts`: what the kernel's text holds.
void check_ptx(const Pipeline &pipeline, const lower::PipelineOptions &options,
               std::vector<const char *> parts) {
  int count = 0;
  const ir::Module module = pipelined(pipeline, options, &count);
  CHECK(count == 1);
  const cuda::Device device = cuda::device_of(Target(kTarget));
  const std::string ptx = emit::ptx_of(module, device).text;
  parts.insert(parts.end(), {"wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16",
                             "mbarrier.try_wait.parity", "setmaxnreg.dec", "setmaxnreg.inc",
                             "fence.proxy.async", "st.global.v4", "cvt.rn.bf16x2.f32"});
  if (options.bulk) parts.push_back("mbarrier.arrive.expect_tx");
  if (options.cluster > 1) {
    parts.insert(parts.end(), {"mbarrier.arrive.shared::cluster", "barrier.cluster.wait",
                               "complete_tx::bytes.multicast::cluster"});
  }
  for (const char *part : parts) CHECK_MESSAGE(ptx.find(part) != std::string::npos, part);
  const auto cubin = assembled(ptx, "sm_90a");
  if (!cubin) return;
  CAPTURE(cubin->said);
  CHECK(cubin->status == 0);
  // Warnings of instructions that are serialised and of registers that roles do not get.
  CHECK(cubin->said.find("(C75") == std::string::npos);
  CHECK(cubin->spilled() == 0);
}

/// On the device that PIT_TEST_TARGET names, if any.
void check_results(const Pipeline &pipeline, const lower::PipelineOptions &options,
                   const Problem &problem) {
  const Target target = target_under_test();
  if (!target.is_cuda() || !target.has("sm_90a")) return;
  int count = 0;
  const ir::Module module = pipelined(pipeline, options, &count);
  const Callable callable(
      emit::make_operator({pipeline.name(), pipeline.signature(), false, true}, module, target));
  const std::map<std::string, AnyBuffer> expected = poisoned_outputs(pipeline, problem),
                                         got = poisoned_outputs(pipeline, problem);
  std::map<std::string, AnyBuffer> bounds, there;
  Reference(pipeline, problem.inputs, problem.scalars).run(expected, &bounds);
  std::vector<CallArgument> arguments;
  for (const Argument &a : pipeline.signature()) {
    const AnyBuffer &here =
        a.kind == Argument::Kind::InputTensor ? problem.inputs.at(a.name) : got.at(a.name);
    arguments.emplace_back(there.emplace(a.name, here.to_cuda()).first->second);
  }
  callable.call(arguments);
  pit::check();
  for (const auto &[name, buffer] : got) buffer.copy_from(there.at(name).to_host());
  const Comparison result = compare(got, expected, bounds, true, 0);
  CHECK_MESSAGE(result.different == 0, result.first);
}

TEST_CASE("cuda staged - a sparse matrix by a dense one uses the tensor cores") {
  // Both operands end where lists do, so that no way but the first differs.
  lower::PipelineOptions persistent = kWays[0];
  persistent.persistent_blocks = -1;
  for (const lower::PipelineOptions &options : {kWays[0], persistent}) {
    check_ptx(build_spmm(true), options,
              {"cp.async.cg.shared.global", "cp.async.mbarrier.arrive.noinc"});
    std::mt19937 generator(1);
    // Whole tiles, ragged ones, and rows that start at no multiple of 16 bytes.
    for (const auto &[m, n, k] :
         {std::array<std::int64_t, 3>{256, 512, 320}, {200, 264, 130}, {130, 77, 65}, {1, 1, 1}}) {
      Problem problem;
      problem.inputs.emplace("A", random_values(bfloat16, {m, k}, generator, true, 0.99));
      problem.inputs.emplace("B", random_values(bfloat16, {k, n}, generator, true));
      problem.inputs.emplace("bias", random_values(float32, {n}, generator, true));
      problem.outputs.emplace("Out", Shape{m, n});
      check_results(build_spmm(true), options, problem);
    }
  }
}

TEST_CASE("cuda staged - gathered rows are multiplied and stored where they belong") {
  for (const lower::PipelineOptions &options : kWays) {
    CAPTURE(options.bulk);
    CAPTURE(options.cluster);
    check_ptx(gathered_rows(), options,
              {"cp.async.cg.shared.global", "cp.async.mbarrier.arrive.noinc"});
    std::mt19937 generator(2);
    for (const auto &[m, n, k] :
         {std::array<std::int64_t, 3>{1500, 512, 256}, {300, 72, 40}, {600, 77, 65}, {5, 8, 8}}) {
      Problem problem;
      problem.inputs.emplace("X", random_values(bfloat16, {m, k}, generator, true));
      problem.inputs.emplace("W", random_values(bfloat16, {k, n}, generator, true));
      problem.inputs.emplace("keep", random_values(uint8, {m}, generator, true, 0.5));
      problem.outputs.emplace("Y", Shape{m, n});
      check_results(gathered_rows(), options, problem);
    }
  }
}

TEST_CASE("cuda staged - dense tiles come in bulk") {
  for (const lower::PipelineOptions &options : kWays) {
    CAPTURE(options.bulk);
    CAPTURE(options.cluster);
    check_ptx(dense(), options, {});
    std::mt19937 generator(3);
    // The last: strides that are no multiples of 16 bytes, so that the threads copy.
    for (const auto &[m, n, k] : {std::array<std::int64_t, 3>{512, 512, 256},
                                  {384, 264, 72},
                                  {130, 8, 200},
                                  {300, 77, 65}}) {
      Problem problem;
      problem.inputs.emplace("X", random_values(bfloat16, {m, k}, generator, true));
      problem.inputs.emplace("W", random_values(bfloat16, {k, n}, generator, true));
      problem.outputs.emplace("Y", Shape{m, n});
      check_results(dense(), options, problem);
    }
  }
}

}  // namespace
}  // namespace pit::test
