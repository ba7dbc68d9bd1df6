// Index and operator in one CUDA graph: nothing between inputs and output asks the host, so a graph
// of one call is right for other data and another sparsity.
#include <functional>
#include <string>
#include <vector>

#include "test/correctness/program_data.h"
#include "test/device_call.h"

namespace pit::test {
namespace {

/// A x B of 0 and 1 with this share of zeros in A.
Problem product(Type type, const Size &size, double zeros, std::mt19937 &generator) {
  Problem problem;
  problem.inputs["A"] = random_mask(type, {size[0], size[2]}, generator, zeros);
  problem.inputs["B"] = random_integers(type, {size[2], size[1]}, generator, -2, 3);
  problem.outputs["C"] = {size[0], size[1]};
  return problem;
}

/// C = A B by the non-zero micro-tiles of A.
Pipeline sparse_product(Type type, std::int64_t rows, std::int64_t columns, bool store_values) {
  Var m("m"), n("n"), kt("kt");
  TensorParam A(type, 2, "A"), B(type, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += f32(A(m, k)) * f32(B(k, n));
  SparseIndex live =
      C.update().index({.axis = k, .micro = {{m, rows}, {k, columns}}}).named("live");
  if (store_values) live.store_values(A);
  C.update().pit_tile(kt, {.dense = {{k, columns * 8}}, .index = live});
  return Pipeline({C}, {}, "captured");
}

/// C = A B without zeros that are skipped.
Pipeline tiled_product() {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni");
  TensorParam A(bfloat16, 2, "A"), B(bfloat16, 2, "B");
  RDom k(0, A.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func Acc("Acc"), C("C");
  Acc(m, n) += f32(A(m, k)) * f32(B(k, n));
  C(m, n) = cast(bfloat16, Acc(m, n));
  C.tile(m, n, mo, no, mi, ni, 128, 128).gpu_blocks(mo, no);
  Acc.compute_at(C, no);
  Acc.update().split(k, ko, ki, 64).software_pipeline(ko, 4);
  return Pipeline({C}, {}, "tiled");
}

/// One capture, replayed for every problem: all have the same extents and scalars.
void check_replays(const Pipeline &pipeline, const std::vector<Problem> &problems,
                   bool exact = true) {
  const Target target = target_under_test();
  if (!target.is_cuda()) return;
  const Driver driver;
  const Driver::Pointer stream = driver.stream();
  const Callable callable = pipeline.compile(target).on(stream);
  DeviceCall call(pipeline, problems[0]);
  const Driver::Pointer graph = driver.captured(stream, [&] { callable.call(call.arguments()); });
  for (std::size_t i = 0; i < problems.size(); ++i) {
    CAPTURE(i);
    const Problem &problem = problems[i];
    const std::map<std::string, AnyBuffer> expected = poisoned_outputs(pipeline, problem);
    std::map<std::string, AnyBuffer> bounds;
    Reference(pipeline, problem.inputs, problem.scalars).run(expected, &bounds);
    call.give(problem);
    driver.launch(graph, stream);
    driver.wait(stream);
    pit::check(stream);
    const Comparison result = compare(call.results(), expected, bounds, exact, 64);
    CHECK_MESSAGE(result.different == 0, result.first);
  }
}

}  // namespace

TEST_CASE("graph - index and product are captured once and replayed for other sparsity") {
  struct Shape {
    std::int64_t rows, columns;
    bool store_values;
  };
  for (const auto &[rows, columns, store_values] :
       std::vector<Shape>{{1, 1, false}, {32, 1, true}, {1, 64, false}, {64, 64, false}}) {
    CAPTURE(rows);
    CAPTURE(columns);
    std::mt19937 generator = test_generator(1);
    std::vector<Problem> problems;
    for (const double zeros : {0.9, 0.0, 0.5, 1.0, 0.99})
      problems.push_back(product(float32, {70, 33, 300}, zeros, generator));
    check_replays(sparse_product(float32, rows, columns, store_values), problems);
  }
}

TEST_CASE("graph - a tiled product is captured once and replayed with other data") {
  std::mt19937 generator = test_generator(2);
  for (const Size &size : {Size{300, 264, 200}, {130, 77, 65}}) {
    CAPTURE(to_string(size));
    std::vector<Problem> problems;
    for (const double zeros : {0.0, 0.5, 0.9})
      problems.push_back(product(bfloat16, size, zeros, generator));
    check_replays(tiled_product(), problems);
  }
}

// Masks, lengths, routing, best experts and lists change from one replay to the next.
TEST_CASE("graph - every program is captured once and replayed for other data and sparsity") {
  for (const ProgramCase &c : program_cases()) {
    for (const Size &size : {c.sizes.back(), c.wide}) {
      const std::string what = c.program.name + " " + to_string(size);
      CAPTURE(what);
      std::mt19937 generator = test_generator(3);
      std::vector<Problem> problems;
      for (const double zeros : {0.9, 0.0, 0.5})
        problems.push_back(c.make(c.program.type, size, zeros, true, generator));
      check_replays(c.program.build(true), problems, c.exact(true));
    }
  }
}

TEST_CASE("graph - a failure of one replay is reported, and the next replay is right") {
  const Target target = target_under_test();
  if (!target.is_cuda()) return;
  Var i("i"), n("n"), tile("tile");
  TensorParam X(float32, 2, "X"), keep(uint8, 1, "keep");
  Func Y("Y");
  Y(i, n) = X(i, n) * 2.f;
  Y.where(keep(i) != 0);
  SparseIndex live = Y.index({.axis = i}).named("live");
  live.capacity(20);
  Y.pit_tile(tile, {.dense = {{i, 16}}, .index = live});
  const Pipeline pipeline({Y}, {}, "limited");
  const Driver driver;
  const Driver::Pointer stream = driver.stream();
  const Callable callable = pipeline.compile(target).on(stream);
  std::mt19937 generator = test_generator(1);
  const AnyBuffer x = random_integers(float32, {100, 8}, generator, -3, 4);
  const AnyBuffer all(uint8, {100}), few(uint8, {100});
  for (std::int64_t p = 0; p < 100; ++p) {
    all.set_number(Shape{p}, 1);
    few.set_number(Shape{p}, p % 9 == 0 ? 1 : 0);
  }
  std::map<std::string, AnyBuffer> there{{"X", x.to_cuda()}, {"keep", all.to_cuda()}};
  const AnyBuffer y(float32, {100, 8});
  there.emplace("Y", y.to_cuda());
  std::vector<CallArgument> arguments;
  for (const Argument &a : pipeline.signature()) arguments.emplace_back(there.at(a.name));
  const Driver::Pointer graph = driver.captured(stream, [&] { callable.call(arguments); });
  driver.launch(graph, stream);
  driver.wait(stream);
  CHECK_THROWS_WITH_AS(pit::check(stream),
                       doctest::Contains("100 entries are needed and the capacity is 20"),
                       RuntimeError);
  driver.to_device(there.at("keep").data(), few.data(), 100);
  driver.launch(graph, stream);
  driver.wait(stream);
  pit::check(stream);
  const AnyBuffer got = there.at("Y").to_host();
  for (std::int64_t p = 0; p < 100; p += 9) {
    for (std::int64_t j = 0; j < 8; ++j)
      CHECK(got.number(Shape{p, j}) == 2 * x.number(Shape{p, j}));
  }
}

// No kernel that reports is first here: the status of a replay is cleared by one that does not.
TEST_CASE("graph - lists that the caller gives are tested at every replay") {
  const Target target = target_under_test();
  if (!target.is_cuda()) return;
  Var i("i"), n("n"), tile("tile");
  TensorParam X(float32, 2, "X"), keep(uint8, 1, "keep"), offsets(int32, 1, "offsets"),
      rows(int32, 1, "rows");
  Func Y("Y");
  Y(i, n) = X(i, n) * 2.f;
  Y.where(keep(i) != 0);
  SparseIndex live = Y.index({.axis = i}).named("live");
  live.given(offsets, rows);
  Y.pit_tile(tile, {.dense = {{i, 16}}, .index = live});
  const Pipeline pipeline({Y}, {}, "listed");
  constexpr std::int64_t kRows = 1000, kListed = 600;
  const auto list = [&](const std::function<int(int)> &row) {
    const Buffer<std::int32_t, 1> made({kListed});
    for (int e = 0; e < kListed; ++e) made(e) = row(e);
    return made;
  };
  const auto ascending = list([](int e) { return e + e / 2; });
  const auto falling = list([](int e) { return 999 - e; });
  const auto twice = list([](int e) { return e == 500 ? 999 : 999 - e; });
  const auto outside = list([](int e) { return e == 400 ? 1000 : e; });
  const Driver driver;
  const Driver::Pointer stream = driver.stream();
  const Callable callable = pipeline.compile(target).on(stream);
  std::mt19937 generator = test_generator(1);
  const AnyBuffer x = random_integers(float32, {kRows, 8}, generator, -3, 4);
  AnyBuffer all(uint8, {kRows});
  all.fill_bytes(1);
  const Buffer<std::int32_t, 1> ends({2}, {0, static_cast<int>(kListed)});
  const AnyBuffer y(float32, {kRows, 8});
  std::map<std::string, AnyBuffer> there{{"X", x.to_cuda()},
                                         {"keep", all.to_cuda()},
                                         {"offsets", AnyBuffer(ends).to_cuda()},
                                         {"rows", AnyBuffer(ascending).to_cuda()},
                                         {"Y", y.to_cuda()}};
  std::vector<CallArgument> arguments;
  for (const Argument &a : pipeline.signature()) arguments.emplace_back(there.at(a.name));
  const Driver::Pointer graph = driver.captured(stream, [&] { callable.call(arguments); });
  const auto replay = [&](const Buffer<std::int32_t, 1> &rows_now) {
    driver.to_device(there.at("rows").data(), rows_now.data(), kListed * 4);
    driver.to_device(there.at("Y").data(), y.data(), kRows * 8 * 4);
    driver.launch(graph, stream);
    driver.wait(stream);
    pit::check(stream);
  };
  const auto right = [&](const Buffer<std::int32_t, 1> &rows_now) {
    replay(rows_now);
    const AnyBuffer got = there.at("Y").to_host();
    std::int64_t wrong = 0;
    for (int e = 0; e < kListed; ++e) {
      for (std::int64_t j = 0; j < 8; ++j)
        wrong += got.number(Shape{rows_now(e), j}) != 2 * x.number(Shape{rows_now(e), j});
    }
    CHECK(wrong == 0);
  };
  for (int turn = 0; turn < 3; ++turn) {
    right(ascending);
    CHECK_THROWS_WITH_AS(
        replay(twice),
        doctest::Contains("holds 999 twice in the list of group 0, at positions 0 and 500"),
        RuntimeError);
    right(falling);
    CHECK_THROWS_WITH_AS(replay(outside), doctest::Contains("holds 1000 at position 400"),
                         RuntimeError);
  }
}

}  // namespace pit::test
