// Pipelines compiled for the host and called, against the reference.
#include <doctest/doctest.h>
#include <pit/pit.h>

#include <array>
#include <atomic>
#include <thread>

#include "dsl/error.h"
#include "dsl/target.h"

namespace pit {
namespace {

template <class T>
void fill(const Buffer<T> &b, int seed) {
  std::uint32_t state = static_cast<std::uint32_t>(seed) * 2654435761U + 1;
  for_each_coordinate(b.extents(), [&](const Shape &at) {
    state = state * 1664525U + 1013904223U;
    b.set_number(at, static_cast<int>(state >> 24) % 9 - 4);
  });
}

struct Multiply {
  Var m{"m"}, n{"n"};
  TensorParam a{bfloat16, 2, "A"}, b{bfloat16, 2, "B"}, bias{float32, 1, "bias"};
  RDom k{0, a.extent(1), "k"};
  Func c{"C"}, out{"Out"};
  Multiply() {
    k.where(a(m, k) != 0);
    c(m, n) += f32(a(m, k)) * f32(b(k, n));
    out(m, n) = max(c(m, n) + bias(n), 0);
  }
};

TEST_CASE("a compiled pipeline gives the algorithm's result, with and without a schedule") {
  Multiply plain, scheduled;
  Var mo("mo"), no("no"), mi("mi"), ni("ni"), kt("kt");
  scheduled.out.tile(scheduled.m, scheduled.n, mo, no, mi, ni, 32, 64).gpu_blocks(mo, no);
  scheduled.c.compute_at(scheduled.out, no);
  scheduled.c.update().pit_tile(kt, {.axis = scheduled.k,
                                     .micro = {{scheduled.m, 32}, {scheduled.k, 1}},
                                     .dense = {{scheduled.k, 16}}});
  const std::int64_t m = 45, n = 70, k = 37;
  const Buffer<bfloat16_t> a({m, k}), b({k, n});
  const Buffer<float> bias({n}), x({m, n}), y({m, n});
  fill(a, 1);
  fill(b, 2);
  fill(bias, 3);
  Pipeline({plain.out}).compile()(a, b, bias, x);
  Pipeline({scheduled.out}).compile()(a, b, bias, y);
  int wrong = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      float sum = 0;
      for (std::int64_t l = 0; l < k; ++l) sum += float(a(i, l)) * float(b(l, j));
      const float expected = std::max(sum + bias(j), 0.0f);
      if (x(i, j) != expected || y(i, j) != expected) ++wrong;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("one operator serves all shapes and layouts") {
  Multiply p;
  const Callable f = Pipeline({p.out}).compile();
  for (const auto &[m, n, k] :
       std::vector<std::array<std::int64_t, 3>>{{1, 1, 1}, {3, 0, 2}, {7, 5, 0}, {16, 33, 9}}) {
    const Buffer<bfloat16_t> a = Buffer<bfloat16_t>({k, m}).transposed(), b({k, n});
    const Buffer<float> bias = Buffer<float>({1}).broadcast(0, n),
                        y = Buffer<float>({m, 2 * n}).sliced(1, n, 2 * n);
    fill(a, 1);
    fill(b, 2);
    f(a, b, bias, y);
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        float sum = 0;
        for (std::int64_t l = 0; l < k; ++l) sum += float(a(i, l)) * float(b(l, j));
        CHECK(y(i, j) == std::max(sum, 0.0f));
      }
    }
  }
}

TEST_CASE("inputs come in the order asked for, and a wrong order is refused") {
  Var i("i");
  TensorParam a(float32, 1, "A"), b(float32, 1, "B");
  Param<float> s("s");
  Func out("Out");
  out(i) = a(i) - s * b(i);
  const Pipeline p({out});
  const Buffer<float> x({3}, {1, 2, 3}), y({3}, {10, 20, 30}), z({3});
  p.compile({"s", "B", "A"})(2.0f, y, x, z);
  CHECK(z(2) == -57);
  CHECK_THROWS_AS(p.compile({"s", "B"}), CompileError);
  CHECK_THROWS_AS(p.compile({"s", "B", "B"}), CompileError);
  CHECK_THROWS_AS(p.compile({"s", "B", "A", "Q"}), CompileError);
}

TEST_CASE("an elementwise operator may write over its input") {
  Var i("i"), j("j");
  TensorParam a(float32, 2, "A"), b(float32, 2, "B");
  Func out("Out");
  out(i, j) = a(i, j) * 2 + b(i, j);
  const Callable f = Pipeline({out}).compile();
  const Buffer<float> x({5, 37}), y({5, 37});
  fill(x, 4);
  fill(y, 5);
  const Buffer<float> before = x.copy();
  f(x, y, x);
  for_each_coordinate(x.extents(), [&](const Shape &at) {
    CHECK(x.number(at) == 2 * before.number(at) + y.number(at));
  });
}

TEST_CASE("a key out of range is an error that names the operator, and outputs keep their bytes") {
  Var i("i");
  TensorParam table(float32, 1, "table"), key(int32, 1, "key");
  Func out("Out");
  out(i) = table(key(i));
  const Callable f = Pipeline({out}, {}, "lookup").compile();
  const Buffer<float> t({4}, {1, 2, 3, 4}), y({3}, {7, 7, 7});
  f(t, Buffer<int>({3}, {3, 0, 1}), y);
  CHECK(y(0) == 4);
  y.fill(7);
  try {
    f(t, Buffer<int>({3}, {3, 4, -1}), y);
    FAIL("no error");
  } catch (const RuntimeError &e) {
    const std::string message = e.what();
    CHECK(message.find("operator lookup: ") == 0);
    CHECK(message.find("table") != std::string::npos);
    CHECK(message.find('4') != std::string::npos);
  }
  CHECK(y(0) == 7);
}

TEST_CASE("operators run in several threads at once, and equal pipelines share their code") {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&wrong, t] {
      Multiply p;
      p.out.parallel(p.m);
      const Callable f = Pipeline({p.out}).compile();
      const Buffer<bfloat16_t> a({20, 8}), b({8, 30});
      const Buffer<float> bias({30}), y({20, 30});
      a.fill(bfloat16_t(static_cast<float>(t + 1)));
      b.fill(bfloat16_t(2.0f));
      for (int n = 0; n < 20; ++n) {
        f(a, b, bias, y);
        for (std::int64_t i = 0; i < 20; ++i) {
          if (y(i, 29) != static_cast<float>(16 * (t + 1))) ++wrong;
        }
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("measured calls tell their stages") {
  Multiply p;
  const Callable f = Pipeline({p.out}).compile();
  const Buffer<bfloat16_t> a({20, 8}), b({8, 30});
  const Buffer<float> bias({30}), y({20, 30});
  const RunStatistics s = f.measured(a, b, bias, y);
  CHECK(s.total_us > 0);
  CHECK(s.compute_us > 0);
  CHECK(s.compute_us <= s.total_us);
  CHECK(!s.stages.empty());
}

TEST_CASE("a target that this CPU lacks compiles and refuses to run") {
  if (Target().has("avx512_bf16")) return;
  Multiply p;
  const Callable f = Pipeline({p.out}).compile(Target("x86-64-linux-avx512_bf16"));
  const Buffer<bfloat16_t> a({2, 2}), b({2, 2});
  const Buffer<float> bias({2}), y({2, 2});
  CHECK_THROWS_AS(f(a, b, bias, y), RuntimeError);
}

}  // namespace
}  // namespace pit
