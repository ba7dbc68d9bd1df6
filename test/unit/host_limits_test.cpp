// Programs beyond what fits: memory, records of a call, long expressions, empty tensors.
#include <doctest/doctest.h>
#include <pit/pit.h>

#include <array>
#include <functional>
#include <list>
#include <thread>

#include "dsl/error.h"
#include "dsl/target.h"
#include "runtime/pit_call.h"

namespace pit {
namespace {

bool has(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

std::string message_of(const std::function<void()> &run) {
  try {
    run();
  } catch (const std::exception &e) {
    return e.what();
  }
  return "no error";
}

TEST_CASE("a workspace whose size is no number is an error, not a small workspace") {
  // In bytes 2^82, which is 0 in 64 bits, and 2^64 of a size that is known when compiling.
  for (const auto &[rows, columns] : {std::pair{40, 40}, std::pair{33, 29}, std::pair{62, 0}}) {
    Var i("i"), j("j");
    TensorParam a(float32, 1, "A");
    Param<std::int64_t> n("n");
    Func g("G"), f("F"), h("H");
    g(i, j) = a((i + j) % 4);
    g.compute_root().bound(i, 0, std::int64_t{1} << rows).bound(j, 0, std::int64_t{1} << columns);
    f(i, j) = g(i, j);
    h(i, j) = f(i, j) + f(i, j) * cast(float32, n);
    const Callable c = Pipeline({h}, {}, "large").compile({"A", "n"});
    const Buffer<float> x({4}), y({2, 1}, {7, 7});
    const std::string message = message_of([&] { c(x, std::int64_t{1}, y); });
    CHECK(has(message, "operator large: no memory for a workspace of "));
    CHECK(!has(message, "of 0 bytes"));
    CHECK(!has(message, "-"));
    CHECK(y(0, 0) == 7);
  }
}

TEST_CASE("extents too large together are an empty storage when one of them is zero") {
  Var i("i"), j("j"), k("k");
  TensorParam a(float32, 3, "A");
  Func g("G"), f("F");
  g(i, j, k) = a(i, j, k) + 1;
  g.compute_root();
  f(i, j, k) = g(i, j, k);
  const Callable c = Pipeline({f}).compile();
  const std::int64_t large = std::int64_t{1} << 40;
  Shape shape{0, large, large};
  float nothing[2] = {7, 7};
  DLTensor x{};
  x.ndim = 3;
  x.dtype = {kDLFloat, 32, 1};
  x.device = {kDLCPU, 0};
  x.shape = shape.data();
  x.data = &nothing[0];
  DLTensor y = x;
  y.data = &nothing[1];
  const std::array<CallArgument, 2> arguments{CallArgument(x), CallArgument(y)};
  CHECK(message_of([&] { c.call(arguments); }) == "no error");
  CHECK(nothing[1] == 7);
}

TEST_CASE(
    "operators of more stages and statistics than a call records run, and the first are told") {
  constexpr int kFuncs = 80, kIndices = 40;
  static_assert(kFuncs > PIT_MAX_STAGES && 2 * kIndices > PIT_MAX_STAGES);
  Var i("i");
  TensorParam a(float32, 1, "A"), b(float32, 2, "B");
  const std::int64_t width = kIndices + 10;
  std::list<Func> funcs;
  Expr last = a(i);
  for (int n = 0; n < kFuncs; ++n) {
    Func &f = funcs.emplace_back("f" + std::to_string(n));
    f(i) = last + 1;
    f.compute_root();
    last = f(i);
  }
  for (int n = 0; n < kIndices; ++n) {
    Func &f = funcs.emplace_back("s" + std::to_string(n));
    RDom k(0, b.extent(1), "k" + std::to_string(n));
    k.where(b(i, k) > static_cast<float>(n));
    f(i) += b(i, k);
    Var tile("tile" + std::to_string(n));
    f.update().pit_tile(tile, {.axis = k, .micro = {{i, 1}, {k, 1}}, .dense = {{k, 4}}});
    f.compute_root();
    last = last + f(i);
  }
  Func out("Out");
  out(i) = last;
  const Callable c = Pipeline({out}).compile();
  const Buffer<float> x({3}, {0, 1, 2}), m({3, width}), y({3});
  for_each_coordinate(m.extents(),
                      [&](const Shape &at) { m.set_number(at, static_cast<double>(at[1])); });
  const RunStatistics s = c.measured(x, m, y);
  double expected = kFuncs;
  for (int n = 0; n < kIndices; ++n) {
    for (int k = n + 1; k < width; ++k) expected += k;
  }
  for (int n = 0; n < 3; ++n) CHECK(y(n) == expected + n);
  CHECK(s.stages.size() == PIT_MAX_STAGES);
  CHECK(s.statistics.size() == PIT_MAX_STAGES);
  for (const auto &[name, us] : s.stages) CHECK(us >= 0);
  for (const auto &[name, number] : s.statistics) {
    CAPTURE(name);
    CHECK(number >= 3);
    CHECK(number <= 3.0 * static_cast<double>(width));
  }
}

TEST_CASE("a value of more than 2000 terms compiles") {
  Var i("i");
  TensorParam a(float32, 1, "A");
  Func f("F");
  Expr chain = a(i);
  float expected = 2;
  for (int n = 1; n < 2400; ++n) {
    chain = chain + a(i) * static_cast<float>(n % 7);
    expected += 2 * static_cast<float>(n % 7);
  }
  f(i) = chain;
  const Callable c = Pipeline({f}).compile();
  const Buffer<float> x({5}), y({5});
  x.fill(2.0f);
  c(x, y);
  CHECK(y(4) == expected);
}

TEST_CASE("an operator does nothing where its tensors are empty, whatever its schedule") {
  for (const bool scheduled : {false, true}) {
    Var m("m"), n("n"), mo("mo"), mi("mi"), no("no"), ni("ni"), kt("kt");
    TensorParam a(float32, 2, "A"), b(float32, 2, "B");
    RDom k(0, a.extent(1), "k");
    k.where(a(m, k) != 0);
    Func c("C"), out("Out");
    c(m, n) += a(m, k) * b(k, n);
    out(m, n) = c(m, n) + 1;
    if (scheduled) {
      out.tile(m, n, mo, no, mi, ni, 32, 32).parallel(mo);
      c.compute_at(out, no);
      c.update().pit_tile(kt, {.axis = k, .micro = {{m, 32}, {k, 1}}, .dense = {{k, 16}}});
    }
    const Callable f = Pipeline({out}).compile();
    for (int bits = 0; bits < 8; ++bits) {
      const std::int64_t rows = bits & 1 ? 5 : 0, columns = bits & 2 ? 7 : 0,
                         inner = bits & 4 ? 3 : 0;
      const Buffer<float> x({rows, inner}), w({inner, columns}), y({rows, columns});
      x.fill(1.0f);
      w.fill(1.0f);
      y.fill(-7.0f);
      f(x, w, y);
      for_each_coordinate(y.extents(), [&](const Shape &at) {
        CHECK(y.number(at) == 1 + static_cast<double>(inner));
      });
    }
  }
}

}  // namespace
}  // namespace pit
