// What a run took: the numbers that are made of what was recorded, on made-up records and on real
// ones of the host.
#include "dsl/run_statistics.h"

#include <doctest/doctest.h>

#include "codegen/emit/listing.h"
#include "codegen/lower/lower.h"
#include "test/device_call.h"
#include "test/harness.h"
#include "test/programs.h"
#include "test/ptxas.h"

namespace pit::test {
namespace {

TEST_CASE("run statistics - shares of cycles are shares of the stage's time") {
  RunStatistics s;
  s.stages = {{"live", 12}, {"Out", 40}};
  s.statistics = {{"live.kept", 10},        {"live.candidates", 40}, {"live.passing", 64},
                  {"live.iterations", 512}, {"Out.gather", 5e6},     {"Out.compute", 9e6},
                  {"Out.scatter", 1e6},     {"Out.cycles", 10e6}};
  const std::vector<StageWork> work = s.work();
  REQUIRE(work.size() == 1);
  CHECK(work[0].stage == "Out");
  CHECK(work[0].us == 40);
  CHECK(work[0].gather_us == doctest::Approx(20));
  CHECK(work[0].compute_us == doctest::Approx(36));
  CHECK(work[0].scatter_us == doctest::Approx(4));
  const std::vector<IndexFill> fills = s.fills();
  REQUIRE(fills.size() == 1);
  CHECK(fills[0].index == "live");
  CHECK(fills[0].density == doctest::Approx(0.25));
  CHECK(fills[0].fill == doctest::Approx(0.5));
  const std::string text = to_string(s);
  CHECK(text.find("stage                        time      gather     compute     scatter\n") == 0);
  CHECK(text.find("live                      12.0 us           -           -           -\n") !=
        std::string::npos);
  CHECK(text.find("Out                       40.0 us     20.0 us     36.0 us      4.0 us\n") !=
        std::string::npos);
  CHECK(text.find("live                       25.00%      50.00%\n") != std::string::npos);
}

TEST_CASE("run statistics - what was not recorded is not made up") {
  RunStatistics s;
  s.stages = {{"Out", 40}};
  CHECK(s.work().empty());
  CHECK(s.fills().empty());
  s.statistics = {{"Out.gather", 0}, {"Out.compute", 0}, {"Out.scatter", 0},
                  {"Out.cycles", 0}, {"live.kept", 0},   {"live.candidates", 0}};
  CHECK(s.work().empty());
  REQUIRE(s.fills().size() == 1);
  CHECK(s.fills()[0].density == 0);
  CHECK(!s.fills()[0].fill);
  CHECK(to_string(s).find("Out                       40.0 us           -") != std::string::npos);
}

// Random marks; what passes is counted here.
Problem sparse_product(double *passing, std::int64_t m, std::int64_t k) {
  std::mt19937 generator(7);
  Problem problem;
  problem.inputs.emplace("A", random_values(bfloat16, {m, k}, generator, true, 0.99));
  problem.inputs.emplace("B", random_values(bfloat16, {k, 256}, generator, true));
  problem.inputs.emplace("bias", random_values(float32, {256}, generator, true));
  problem.outputs = {{"Out", {m, 256}}};
  *passing = 0;
  for_each_coordinate({m, k}, [&](const std::vector<std::int64_t> &at) {
    *passing += problem.inputs.at("A").number(at) != 0;
  });
  return problem;
}

TEST_CASE("cuda profile - density and fill of an index, and on a device what kernels do") {
  const Target target = target_under_test().with("profile");
  const std::int64_t m = 256, k = 1000;
  double passing = 0;
  const Problem problem = sparse_product(&passing, m, k);
  const Pipeline pipeline = build_spmm(true);
  const Runner runner(pipeline, Engine::Compiled, target);
  RunStatistics s;
  if (target.is_cuda()) {
    const DeviceCall call(pipeline, problem);
    runner.callable().call(call.arguments(), &s);
  } else {
    runner.callable().call(runner.arguments(problem, poisoned_outputs(pipeline, problem)), &s);
  }
  const std::vector<IndexFill> fills = s.fills();
  REQUIRE(fills.size() == 1);
  // Columns of 128 rows with an element that is not zero.
  double kept = 0;
  for (std::int64_t strip = 0; strip < m; strip += 128) {
    for (std::int64_t column = 0; column < k; ++column) {
      bool any = false;
      for (std::int64_t row = strip; row < strip + 128; ++row)
        any = any || problem.inputs.at("A").number(Shape{row, column}) != 0;
      kept += any;
    }
  }
  CHECK(fills[0].index == "live");
  CHECK(fills[0].density == doctest::Approx(kept / static_cast<double>(2 * k)));
  CHECK(fills[0].fill == doctest::Approx(passing / (kept * 128)));
  const std::vector<StageWork> work = s.work();
  if (!target.is_cuda()) {
    CHECK(work.empty());
    return;
  }
  REQUIRE(work.size() == 1);
  CHECK(work[0].stage == "Out");
  for (const double us : {work[0].gather_us, work[0].compute_us, work[0].scatter_us}) {
    CHECK(us > 0);
    CHECK(us <= work[0].us);
  }
  CAPTURE(to_string(s));
  CHECK(work[0].us > 0);
}

TEST_CASE("cuda profile - kernels count cycles for a target that asks for it, and no other") {
  for (const char *name : {"x86-64-linux-cuda-sm_90a", "x86-64-linux-cuda-sm_80"}) {
    CAPTURE(name);
    for (const bool profile : {false, true}) {
      const Target target = profile ? Target(name).with("profile") : Target(name);
      const ir::Module module = lower::lower(build_spmm(true), target);
      const std::string ptx = emit::ptx_of(module, cuda::device_of(target)).text;
      CHECK((ptx.find("%clock") != std::string::npos) == profile);
      CHECK((ptx.find("atom.global.add.f64") != std::string::npos) == profile);
      const auto cubin = assembled(ptx, target.has("sm_90a") ? "sm_90a" : "sm_80");
      if (!cubin) continue;
      CAPTURE(cubin->said);
      CHECK(cubin->status == 0);
      CHECK(!cubin->warns());
    }
  }
}

}  // namespace
}  // namespace pit::test
