#include <doctest/doctest.h>
#include <pit/error.h>
#include <pit/pipeline.h>

#include <string>

using namespace pit;

namespace {

template <class Run>
std::string error_of(const Run &run) {
  try {
    run();
  } catch (const CompileError &error) {
    return error.what();
  }
  return "";
}

bool mentions(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

std::string names_of(const std::vector<FuncPtr> &funcs) {
  std::string text;
  for (const FuncPtr &func : funcs) text += (text.empty() ? "" : " ") + func->name;
  return text;
}

}  // namespace

TEST_CASE("outputs are distinct, defined, and at least one") {
  Var x("x");
  Func f("f"), g("g");
  f(x) = x;
  CHECK(mentions(error_of([&] { Pipeline p({}); }), "at least one output"));
  CHECK(mentions(error_of([&] { Pipeline p({f, g}); }), "output g has no definition"));
  CHECK(mentions(error_of([&] { Pipeline p({f, f}); }), "output f is listed twice"));
  CHECK(Pipeline({f}).name() == "f");
  CHECK(Pipeline({f}, {}, "named").name() == "named");
}

TEST_CASE("an output index is made, listed once, and of a Func in the pipeline") {
  Var x("x"), y("y");
  TensorParam A(float32, 1, "A");
  Func f("f"), g("g");
  f(x) = A(x);
  f.where(A(x) > 0.f);
  g(y) = A(y);
  SparseIndex index = f.index({.axis = x});
  CHECK(mentions(error_of([&] { Pipeline p({f}, {SparseIndex()}); }), "is empty"));
  CHECK(mentions(error_of([&] { Pipeline p({f}, {index, index}); }), "listed twice"));
  CHECK(mentions(error_of([&] { Pipeline p({g}, {index}); }), "no output reads"));
}

TEST_CASE(
    "funcs reached through values, predicates, domains and arguments come before their readers") {
  Var x("x");
  Func in_value("in_value"), in_predicate("in_predicate"), in_where("in_where"),
      in_domain("in_domain"), in_argument("in_argument"), out("out");
  in_value(x) = f32(x);
  in_predicate(x) = x > 3;
  in_where(x) = x < 100;
  in_domain(x) = i32(x) + 1;
  in_argument(x) = i32(x);
  RDom r(0, in_domain(x), "r");
  r.where(in_predicate(r));
  out(x) += in_value(in_argument(r));
  out.where(in_where(x));
  const std::vector<FuncPtr> funcs = Pipeline({out}).funcs();
  CHECK(funcs.size() == 6);
  CHECK(funcs.back()->name == "out");
}

TEST_CASE("a Func read by several comes once, before all of them") {
  Var x("x");
  Func a("a"), b("b"), c("c"), d("d");
  a(x) = f32(x);
  b(x) = a(x) + 1.f;
  c(x) = a(x + 1) * b(x);
  d(x) = c(x) + b(x);
  CHECK(names_of(Pipeline({d}).funcs()) == "a b c d");
  CHECK(names_of(Pipeline({b, d}).funcs()) == "a b c d");
  CHECK(names_of(Pipeline({d, b}).funcs()) == "a b c d");
}

TEST_CASE("funcs that only directives read belong to the pipeline") {
  Var x("x"), tile("tile");
  TensorParam A(float32, 1, "A");
  Func key("key"), out("out"), limit("limit");
  key(x) = i32(x) / 4;
  limit() = 3;
  out(x) = A(x);
  out.pit_tile(tile, {.axis = x, .group = key(x), .dense = {{x, 4}}});
  out.specialize(limit() < 5);
  CHECK(names_of(Pipeline({out}).funcs()) == "key limit out");
}

TEST_CASE("a directive may ask an index of its own Func, or of a consumer") {
  Var x("x");
  TensorParam A(float32, 1, "A");
  Func limit("limit"), f("f"), g("g");
  limit(x) = f32(x) * 2.f;
  f(x) = A(x);
  g(x) = f(x) + 1.f;
  f.where(A(x) > 0.f);
  g.where(A(x) > limit(x));
  SparseIndex of_f = f.index({.axis = x}), of_g = g.index({.axis = x});
  f.specialize(of_f.density() < 0.5f);
  f.specialize(of_g.density() < 0.5f);
  CHECK(names_of(Pipeline({g}).funcs()) == "limit f g");
}

TEST_CASE("the hidden Func of an inline reduction is reached") {
  Var x("x");
  TensorParam A(float32, 2, "A");
  RDom k(0, A.extent(1), "k");
  Func f("f");
  f(x) = sum(k, A(x, k));
  const std::vector<FuncPtr> funcs = Pipeline({f}).funcs();
  REQUIRE(funcs.size() == 2);
  CHECK(funcs[0]->inline_reduction);
}

TEST_CASE("signature: components of a Tuple are outputs, tensors and scalars come once") {
  Var x("x");
  TensorParam A(float32, 1, "A");
  Param<int> n("n");
  Func f("f");
  f(x) = Tuple(A(x) + A(x + 1), i32(x) * Expr(n) + Expr(n));
  const std::vector<Argument> arguments = Pipeline({f}).signature();
  REQUIRE(arguments.size() == 4);
  CHECK(arguments[0].kind == Argument::Kind::InputTensor);
  CHECK(arguments[0].tensor == A.storage());
  CHECK(arguments[1].kind == Argument::Kind::Scalar);
  CHECK(arguments[1].param == n.node());
  CHECK(arguments[1].type == int32);
  CHECK(arguments[2].name == "f.0");
  CHECK(arguments[3].name == "f.1");
  CHECK(arguments[3].type == int32);
  CHECK(arguments[3].component == 1);
}

TEST_CASE("signature: two arguments of one name are an error") {
  Var x("x");
  TensorParam a(float32, 1, "A"), b(float32, 1, "A");
  Func f("f");
  f(x) = a(x) + b(x);
  CHECK(mentions(error_of([&] { Pipeline({f}).signature(); }), "two arguments are named A"));
}

TEST_CASE("signature: inputs that only the schedule reads follow the algorithm's") {
  Var x("x"), tile("tile");
  TensorParam A(float32, 1, "A"), offsets(int32, 1, "offsets"),
      coordinates(int32, 1, "coordinates");
  Param<int> room("room");
  Func f("f");
  f(x) = A(x);
  SparseIndex index = f.index({.axis = x});
  index.capacity(room).given(offsets, coordinates);
  const std::vector<Argument> arguments = Pipeline({f}).signature();
  REQUIRE(arguments.size() == 5);
  CHECK(arguments[0].name == "A");
  CHECK(arguments[1].name == "room");
  CHECK(arguments[2].name == "offsets");
  CHECK(arguments[3].name == "coordinates");
  CHECK(arguments[4].name == "f");
}

TEST_CASE("signature: store_compact gives an output its compact rank") {
  Var x("x"), y("y"), z("z");
  TensorParam A(float32, 3, "A"), mask(uint8, 2, "mask");
  Func f("f");
  f(x, y, z) = A(x, y, z);
  f.where(mask(x, y / 16) != 0);
  SparseIndex index = f.index({.axis = y, .micro = {{y, 16}}});
  f.store_compact(index);
  // [position][z][offset of y in the micro-tile]
  CHECK(Pipeline({f}).signature().back().rank == 3);
}

TEST_CASE("with replaces all directives and leaves the first pipeline as it was") {
  Var x("x"), xo("xo"), xi("xi");
  Func f("f");
  f(x) = f32(x);
  f.split(x, xo, xi, 8);
  const Pipeline first({f});
  const Pipeline second = first.with(Schedule::parse(first, "f.parallel(x)\n"));
  CHECK(first.schedule().to_string() == "f.split(x, xo, xi, 8)\n");
  CHECK(second.schedule().to_string() == "f.parallel(x)\n");
  CHECK(second.with(first.schedule()).schedule() == first.schedule());
  CHECK(second.with(Schedule()).schedule().to_string() == "");
}

TEST_CASE(
    "with refuses directives of Funcs that are not in the pipeline, and what check_schedule "
    "refuses") {
  Var x("x");
  Func f("f"), g("g");
  f(x) = f32(x);
  g(x) = f32(x) * 2.f;
  g.parallel(x);
  CHECK(mentions(error_of([&] { Pipeline({f}).with(Pipeline({g}).schedule()); }), "is said of g"));
  Schedule twice = Schedule::parse(Pipeline({f}), "f.compute_root()\n");
  twice.directives.push_back(twice.directives[0]);
  CHECK(mentions(error_of([&] { Pipeline({f}).with(twice); }), "computed at one place"));
}

TEST_CASE("a schedule is a value: later settings of an index do not change it") {
  Var x("x");
  TensorParam A(float32, 1, "A");
  Func f("f");
  f(x) = A(x);
  f.where(A(x) > 0.f);
  SparseIndex index = f.index({.axis = x});
  const Pipeline pipeline({f});
  const Schedule before = pipeline.schedule();
  index.align(64);
  CHECK(before.to_string() == "f.index = f.index(axis=x)\n");
  CHECK(pipeline.schedule().to_string() == "f.index = f.index(axis=x).align(64)\n");
  CHECK(identity_of(before.directives[0].index) == index.node().get());
}

TEST_CASE("an index of a Func outside the pipeline cannot be used in it") {
  Var x("x"), tile("tile");
  TensorParam A(float32, 1, "A");
  Func f("f"), g("g");
  f(x) = A(x);
  g(x) = f(x) + 1.f;
  g.where(A(x) > 0.f);
  SparseIndex index = g.index({.axis = x}).named("live");
  f.pit_tile(tile, {.dense = {{x, 8}}, .index = index});
  CHECK_NOTHROW(Pipeline({g}).schedule());
  CHECK(mentions(error_of([&] { Pipeline({f}).schedule(); }), "index live is of g"));
}
