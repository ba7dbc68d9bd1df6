// Products whose sums a step makes, uses and leaves behind.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "test/harness.h"

namespace pit::test {
namespace {

/// O = sum over r of max(A(r) B(r)^T, 0), or of that times A(r) D(r)^T.
Pipeline rectified(std::int64_t channels, bool gated) {
  Var i("i"), j("j"), io("io"), ii("ii"), jo("jo"), ji("ji"), b("b");
  TensorParam A(bfloat16, 3, "A"), B(bfloat16, 3, "B"), D(bfloat16, 3, "D");
  RDom r(0, A.extent(0), "r"), c(0, channels, "c"), c2(0, channels, "c2");
  Func S("S"), T("T"), R("R"), O("O");
  S(b, i, j) += f32(A(b, i, c)) * f32(B(b, j, c));
  T(b, i, j) += f32(A(b, i, c2)) * f32(D(b, j, c2));
  R(i, j) += gated ? max(S(r, i, j), 0.f) * T(r, i, j) : max(S(r, i, j), 0.f);
  O(i, j) = R(i, j);
  O.tile(i, j, io, jo, ii, ji, 64, 64).gpu_blocks(io, jo);
  R.compute_at(O, jo);
  S.compute_at(R, r);
  if (gated) T.compute_at(R, r);
  return Pipeline({O}, {}, "rectified");
}

TEST_CASE("cuda steps - sums that a step uses are whole, and those of its own") {
  std::mt19937 generator(5);
  const bool device = target_under_test().is_cuda();
  for (const bool gated : {false, true}) {
    for (const std::int64_t channels : {64, 256}) {
      for (const char *target : {"x86-64-linux-cuda-sm_90a", "x86-64-linux-cuda-sm_80"}) {
        CAPTURE(gated);
        CAPTURE(channels);
        CAPTURE(std::string(target));
        Problem problem;
        for (const char *name : {"A", "B", "D"}) {
          if (!gated && std::string(name) == "D") continue;
          problem.inputs.emplace(name, random_values(bfloat16, {3, 64, channels}, generator, true));
        }
        problem.outputs.emplace("O", Shape{64, 64});
        const Comparison result = check(rectified(channels, gated), problem,
                                        device ? Engine::Compiled : Engine::CudaTileInterpreter,
                                        true, 64, device ? target_under_test() : Target(target));
        CHECK_MESSAGE(result.different == 0, result.first);
      }
    }
  }
}

}  // namespace
}  // namespace pit::test
