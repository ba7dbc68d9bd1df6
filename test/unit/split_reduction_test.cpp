// Reductions in parts: two stages, the same results, and the reason where they stay one.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "codegen/ir/mutator.h"
#include "codegen/lower/lower.h"
#include "test/harness.h"

namespace pit::test {
namespace {

const char *const kCuda = "x86-64-linux-cuda-sm_90a";

std::vector<std::string> stages_of(const ir::Module &module) {
  std::vector<std::string> names;
  ir::walk_statements(module.body, [&](const ir::Stmt &s) {
    const auto *stage = s.as<ir::Stage>();
    if (stage && stage->stage_kind == ir::StageKind::Compute) names.push_back(stage->name);
    return true;
  });
  return names;
}

/// What explain() says of the directive, of every definition.
std::string said(const Pipeline &pipeline, const char *target) {
  std::vector<lower::Explanation> explanation;
  lower::lower(pipeline, Target(target), &explanation);
  std::string text;
  for (const lower::Explanation &line : explanation) {
    if (line.topic == "split_reduction") text += line.subject + ": " + line.text + "\n";
  }
  return text;
}

void check_results(const Pipeline &pipeline, const Problem &problem, bool exact = true) {
  for (const Engine engine :
       {Engine::TileInterpreter, Engine::CudaTileInterpreter, Engine::Compiled}) {
    const Runner runner(pipeline, engine);
    const auto expected = poisoned_outputs(pipeline, problem),
               got = poisoned_outputs(pipeline, problem);
    std::map<std::string, AnyBuffer> bounds;
    Reference(pipeline, problem.inputs, problem.scalars).run(expected, &bounds);
    REQUIRE_NOTHROW(runner(problem, got));
    const Comparison result = compare(got, expected, bounds, exact, 64);
    CHECK_MESSAGE(result.different == 0, result.first);
  }
}

/// Y = X W in tiles, the sum over k in parts.
Pipeline product(int parts) {
  Var i("i"), n("n"), io("io"), no("no"), ii("ii"), ni("ni");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W");
  RDom k(0, X.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(W(k, n));
  Y(i, n) = bf16(C(i, n) + 1);
  Y.tile(i, n, io, no, ii, ni, 64, 64).gpu_blocks(io, no);
  C.compute_at(Y, no);
  C.update().split(k, ko, ki, 32).split_reduction(ko, parts);
  return Pipeline({Y}, {}, "product");
}

}  // namespace

TEST_CASE("split_reduction - a product in parts is two kernels, the first on tensor cores") {
  const Pipeline pipeline = product(4);
  const ir::Module module = lower::lower(pipeline, Target(kCuda));
  std::vector<std::string> launches, staged;
  ir::walk_statements(module.body, [&](const ir::Stmt &s) {
    if (const auto *launch = s.as<ir::Launch>()) launches.push_back(launch->name);
    if (s.as<ir::Roles>()) staged.push_back(launches.back());
    return true;
  });
  CHECK(launches == std::vector<std::string>{"Y.parts", "Y"});
  CHECK(staged == std::vector<std::string>{"Y.parts"});
  CHECK(said(pipeline, kCuda) ==
        "C.update(0): ko in 4 parts at once, which are combined in their order\n");
  CHECK(stages_of(lower::lower(product(1), Target(kCuda))) == std::vector<std::string>{"Y"});

  std::mt19937 generator(1);
  // More parts than steps, a step that is not whole, nothing to sum.
  for (const Shape &size : {Shape{70, 300, 90}, Shape{64, 33, 64}, Shape{5, 0, 3}}) {
    check_results(pipeline, {{{"X", random_values(bfloat16, {size[0], size[1]}, generator, true)},
                              {"W", random_values(bfloat16, {size[1], size[2]}, generator, true)}},
                             {},
                             {{"Y", {size[0], size[2]}}}});
  }
}

TEST_CASE("split_reduction - the tiles of a sparse index in parts") {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni"), kt("kt");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), Out("Out");
  C(m, n) += A(m, k) * B(k, n);
  Out(m, n) = C(m, n);
  Out.tile(m, n, mo, no, mi, ni, 16, 32).gpu_blocks(mo, no);
  C.compute_at(Out, no);
  C.update()
      .pit_tile(kt, {.axis = k, .micro = {{m, 16}, {k, 1}}, .dense = {{k, 8}}})
      .split_reduction(kt, 3);
  const Pipeline pipeline({Out}, {}, "sparse");
  CHECK(stages_of(lower::lower(pipeline, Target("host"))) ==
        std::vector<std::string>{"Out.parts", "Out"});
  std::mt19937 generator(2);
  for (const double zeros : {0.0, 0.7, 1.0}) {
    check_results(pipeline, {{{"A", random_values(float32, {37, 50}, generator, true, zeros)},
                              {"B", random_values(float32, {50, 40}, generator, true)}},
                             {},
                             {{"Out", {37, 40}}}});
  }
}

TEST_CASE("split_reduction - sums, minima and conditions of an output's elements") {
  std::mt19937 generator(3);
  const Problem problem{
      {{"A", random_values(float32, {9, 1041}, generator, true)}}, {}, {{"S", {9}}}};
  for (const std::string kind : {"sum", "least", "any"}) {
    CAPTURE(kind);
    Var i("i");
    TensorParam A(float32, 2, "A");
    RDom k(0, A.extent(1), "k");
    Func S("S");
    if (kind == "sum") {
      S(i) = A(i, 0);
      S(i) += A(i, k);
    } else if (kind == "least") {
      S(i) = A(i, 0);
      S(i) = min(S(i), A(i, k));
    } else {
      S(i) = A(i, 0) > 5;
      S(i) = S(i) || A(i, k) > 1;
    }
    S.update().split_reduction(k, 5);
    const Pipeline pipeline({S}, {}, "column");
    CHECK(said(pipeline, "host") ==
          "S.update(0): k.strip in 5 parts at once, which are combined in their order\n");
    check_results(pipeline, problem);
  }
}

TEST_CASE("split_reduction - what has no parts stays one loop, with the reason") {
  Var i("i"), d("d");
  TensorParam Q(float32, 2, "Q"), V(float32, 2, "V"), key(int32, 1, "key");
  RDom k(0, V.extent(0), "k");
  Func P("P"), O("O");
  P(i, d) += softmax_term(Q(i, k), V(k, d));
  O(i, d) = softmax_value(P(i, d));
  P.compute_root();
  P.update().split_reduction(k, 2);
  CHECK(said(Pipeline({O}, {}, "attention"), "host").starts_with("P.update(0): not done: "));

  Func Y("Y");
  Y(i) = 0.f;
  Y(key(k)) += V(k, 0);
  Y.update().split_reduction(k, 2);
  CHECK(said(Pipeline({Y}, {}, "scatter"), "host") ==
        "Y.update(0): not done: where it adds to depends on the loop\n");
}

}  // namespace pit::test
