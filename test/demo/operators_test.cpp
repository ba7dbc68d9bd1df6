// The operators of the demonstration on shapes that no tile divides, sparse and dense, against the
// reference.
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

void check(const Pipeline &pipeline, const Problem &problem) {
  for (const Engine engine : {Engine::TileInterpreter, Engine::Compiled}) {
    CAPTURE(engine == Engine::Compiled);
    const test::Comparison result = test::check(pipeline, problem, engine, false);
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
    check(demo::sparse_matmul(type, 32, 1), problem);
    check(demo::sparse_matmul(type, 64, 64), problem);
    check(demo::dense_matmul(type), problem);
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
      check(demo::sparse_moe(type, slots), problem);
      check(demo::dense_moe(type, slots), problem);
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
    check(demo::dense_feed_forward(type), problem);
    AnyBuffer lengths(int32, {4});
    for (const std::int64_t b : {1, 2, 3})
      lengths.set_number(Shape{b}, static_cast<double>(4 * b - 3));
    problem.inputs.emplace("len", lengths);  // 0, 1, 5, 9 words
    check(demo::sparse_feed_forward(type), problem);
  }
}
