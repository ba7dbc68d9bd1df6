// The operators of the demonstration on shapes that no tile divides, sparse and dense, with their
// schedules for the host and for CUDA, against the reference.
#include <doctest/doctest.h>

// A program's parts are in no library.
#include "apps/demo/feed_forward.cpp"  // NOLINT(bugprone-suspicious-include)
#include "apps/demo/moe.cpp"           // NOLINT(bugprone-suspicious-include)
#include "apps/demo/spmm.cpp"          // NOLINT(bugprone-suspicious-include)
#include "test/harness.h"

using namespace pit;
using test::Engine;
using test::Problem;
using test::random_values;

namespace {

/// `build` makes the pipeline with its schedule for a target.
template <class Build>
void check(const Problem &problem, const Build &build) {
  const struct {
    Engine engine;
    Target target;
  } runs[] = {{Engine::TileInterpreter, Target()},
              {Engine::CudaTileInterpreter, Target("x86-64-linux-cuda-sm_80")},
              {Engine::CudaTileInterpreter, Target("x86-64-linux-cuda-sm_90a")},
              {Engine::Compiled, test::target_under_test()}};
  for (const auto &[engine, target] : runs) {
    const Pipeline pipeline = build(target);
    CAPTURE(pipeline.name());
    CAPTURE(target.to_string());
    CAPTURE(engine == Engine::Compiled);
    const test::Comparison result = test::check(pipeline, problem, engine, false, 64, target);
    CHECK_MESSAGE(result.different == 0, result.first);
    CHECK(result.elements > 0);
  }
}

}  // namespace

TEST_CASE("the products of the demonstration") {
  std::mt19937 generator(1);
  for (const Type type : {float32, bfloat16}) {
    CAPTURE(to_string(type));
    Problem problem;
    problem.inputs = {{"A", random_values(type, {70, 130}, generator, false, 0.95)},
                      {"B", random_values(type, {130, 33}, generator, false)}};
    problem.outputs = {{"Out", {70, 33}}};
    check(problem, [&](const Target &target) { return demo::sparse_matmul(type, 32, 1, target); });
    check(problem, [&](const Target &target) { return demo::sparse_matmul(type, 64, 64, target); });
    check(problem, [&](const Target &target) { return demo::dense_matmul(type, target); });
  }
}

TEST_CASE("the mixtures of experts of the demonstration") {
  std::mt19937 generator(2);
  for (const Type type : {float32, bfloat16}) {
    for (const int slots : {1, 2}) {
      CAPTURE(to_string(type));
      CAPTURE(slots);
      Problem problem;
      problem.inputs = {{"X", random_values(type, {37, 24}, generator, false)},
                        {"Wg", random_values(type, {24, 5}, generator, false)},
                        {"W1", random_values(type, {5, 24, 40}, generator, false)},
                        {"W3", random_values(type, {5, 24, 40}, generator, false)},
                        {"W2", random_values(type, {5, 40, 24}, generator, false)}};
      problem.outputs = {{"Out", {37, 24}}};
      check(problem, [&](const Target &target) { return demo::sparse_moe(type, slots, target); });
      check(problem, [&](const Target &target) { return demo::dense_moe(type, slots, target); });
    }
  }
}

TEST_CASE("the feed-forward layers of the demonstration") {
  std::mt19937 generator(3);
  for (const Type type : {float32, bfloat16}) {
    CAPTURE(to_string(type));
    Problem problem;
    problem.inputs = {{"X", random_values(type, {4, 9, 20}, generator, false)},
                      {"W1", random_values(type, {20, 30}, generator, false)},
                      {"W2", random_values(type, {30, 20}, generator, false)},
                      {"b1", random_values(float32, {30}, generator, false)},
                      {"b2", random_values(float32, {20}, generator, false)}};
    problem.outputs = {{"Out", {4, 9, 20}}};
    check(problem, [&](const Target &target) { return demo::dense_feed_forward(type, target); });
    AnyBuffer lengths(int32, {4});
    for (const std::int64_t b : {1, 2, 3})
      lengths.set_number(Shape{b}, static_cast<double>(4 * b - 3));
    problem.inputs.emplace("len", lengths);  // 0, 1, 5, 9 words
    check(problem, [&](const Target &target) { return demo::sparse_feed_forward(type, target); });
  }
}
