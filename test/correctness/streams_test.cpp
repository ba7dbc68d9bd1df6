// Several streams at once on a CUDA device: each has workspaces, lists and reports of its own.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "test/device_call.h"
#include "test/programs.h"

namespace pit::test {
namespace {

/// Calls on 1 to 4 streams, each by a thread of its own and with data of its own, many behind each
/// other: every one gives the bits of a call that was alone.
void check_streams(const Pipeline &pipeline, const std::vector<Problem> &problems, bool exact) {
  constexpr int kCalls = 25;
  const Target target = target_under_test();
  if (!target.is_cuda()) return;
  const Driver driver;
  const Callable callable = pipeline.compile(target);
  std::vector<std::map<std::string, AnyBuffer>> alone;
  for (const Problem &problem : problems) {
    const Driver::Pointer stream = driver.stream();
    const DeviceCall call(pipeline, problem);
    callable.on(stream).call(call.arguments());
    driver.wait(stream);
    pit::check(stream);
    alone.push_back(call.results());
    const std::map<std::string, AnyBuffer> expected = poisoned_outputs(pipeline, problem);
    std::map<std::string, AnyBuffer> bounds;
    Reference(pipeline, problem.inputs, problem.scalars).run(expected, &bounds);
    const Comparison result = compare(alone.back(), expected, bounds, exact, 64);
    CHECK_MESSAGE(result.different == 0, result.first);
  }
  for (std::size_t streams = 1; streams <= problems.size(); ++streams) {
    CAPTURE(streams);
    std::atomic<int> different = 0;
    std::vector<std::thread> threads;
    for (std::size_t s = 0; s < streams; ++s) {
      threads.emplace_back([&, s] {
        const Driver mine;
        const Driver::Pointer stream = mine.stream();
        const Callable here = callable.on(stream);
        std::vector<std::unique_ptr<DeviceCall>> calls;
        for (int i = 0; i < kCalls; ++i)
          calls.push_back(std::make_unique<DeviceCall>(pipeline, problems[s]));
        for (const auto &call : calls) here.call(call->arguments());
        mine.wait(stream);
        pit::check(stream);
        for (const auto &call : calls) different += !same_bytes(alone[s], call->results());
      });
    }
    for (std::thread &thread : threads) thread.join();
    CHECK(different == 0);
  }
}

}  // namespace

TEST_CASE("streams - a product with zeros on tensor cores") {
  std::mt19937 generator(1);
  std::vector<Problem> problems;
  for (const double zeros : {0.99, 0.5, 1.0, 0.9}) {
    Problem problem;
    problem.inputs["A"] = random_values(bfloat16, {300, 200}, generator, true, zeros);
    problem.inputs["B"] = random_values(bfloat16, {200, 520}, generator, true);
    problem.inputs["bias"] = random_values(float32, {520}, generator, true);
    problem.outputs["Out"] = {300, 520};
    problems.push_back(std::move(problem));
  }
  check_streams(build_spmm(true), problems, true);
}

TEST_CASE("streams - tokens of experts, results added in the order of their slots") {
  std::mt19937 generator(2);
  std::vector<Problem> problems;
  for (int i = 0; i < 4; ++i) {
    Problem problem;
    problem.inputs["X"] = random_values(bfloat16, {120, 64}, generator, false);
    problem.inputs["Wg"] = random_values(bfloat16, {64, 5}, generator, false);
    problem.inputs["W1"] = random_values(bfloat16, {5, 64, 72}, generator, false);
    problem.inputs["W3"] = random_values(bfloat16, {5, 64, 72}, generator, false);
    problem.inputs["W2"] = random_values(bfloat16, {5, 72, 64}, generator, false);
    problem.outputs["Out"] = {120, 64};
    problems.push_back(std::move(problem));
  }
  check_streams(build_moe(true), problems, false);
}

}  // namespace pit::test
