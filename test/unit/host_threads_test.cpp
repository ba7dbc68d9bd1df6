// Compiling and calling from several threads at once, with any number of threads inside.
#include <doctest/doctest.h>
#include <pit/pit.h>

#include <atomic>
#include <functional>
#include <latch>
#include <thread>

#include "dsl/error.h"
#include "dsl/target.h"
#include "runtime/pit_call.h"

namespace pit {
namespace {

constexpr int kThreads = 6;

// body(t) in threads that start together.
void together(const std::function<void(int)> &body) {
  std::latch start(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      start.arrive_and_wait();
      body(t);
    });
  }
  for (std::thread &thread : threads) thread.join();
}

TEST_CASE("different programs and targets compile at once") {
  std::atomic<int> wrong{0};
  together([&](int t) {
    for (int n = 0; n < 3; ++n) {
      Var i("i"), j("j");
      TensorParam a(float32, 2, "A");
      Func f("F");
      f(i, j) = a(i, j) * static_cast<float>(10 * t + n);
      f.parallel(i);
      const Callable c = Pipeline({f}).compile(n == 1 ? Target("x86-64-linux") : Target());
      const Buffer<float> x({9, 5}), y({9, 5});
      x.fill(2.0f);
      c(x, y);
      if (y(8, 4) != static_cast<float>(2 * (10 * t + n))) ++wrong;
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("the first calls with other layouts may come at once") {
  Var i("i"), j("j");
  TensorParam a(float32, 2, "A"), b(float32, 2, "B");
  Func f("F");
  f(i, j) = a(i, j) - b(j, i);
  const Callable c = Pipeline({f}).compile();
  std::atomic<int> wrong{0};
  together([&](int t) {
    // Row-major, column-major, and strided both ways, for each argument.
    std::vector<float> x(400), y(400), z(400, -1.0f);
    for (std::size_t n = 0; n < x.size(); ++n)
      x[n] = static_cast<float>(n), y[n] = static_cast<float>(3 * n);
    const std::vector<Shape> layouts{{7, 1}, {1, 7}, {20, 2}};
    for (int n = 0; n < 9; ++n) {
      const Shape &sx = layouts[static_cast<std::size_t>((n + t) % 3)],
                  &sy = layouts[static_cast<std::size_t>(n / 3)];
      const Buffer<float> bx(x.data(), {5, 7}, sx), by(y.data(), {7, 5}, sy);
      const Buffer<float> bz(z.data(), {5, 7}, layouts[static_cast<std::size_t>(t % 3)]);
      c(bx, by, bz);
      for_each_coordinate(bz.extents(), [&](const Shape &at) {
        if (bz.number(at) != bx.number(at) - static_cast<double>(by(at[1], at[0]))) ++wrong;
      });
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("code of one target is not taken for another's") {
  // The same program: with threads and without, with AVX2 and without.
  Var i("i");
  TensorParam a(float32, 1, "A");
  RDom k(0, a.extent(0), "k");
  Func s("S"), f("F");
  s(i) += select(k <= i, a(k), 0.0f);
  f(i) = s(i);
  f.parallel(i);
  s.compute_at(f, i);
  const Buffer<float> x({100}), y({100});
  x.fill(1.0f);
  for (const char *target :
       {"x86-64-linux", "x86-64-linux-no_threads", "x86-64-linux-avx2", "x86-64-linux-avx512"}) {
    const Callable c = Pipeline({f}).compile(Target(target));
    if (Target(target).has("avx512") && !Target().has("avx512")) {
      CHECK_THROWS_AS(c(x, y), RuntimeError);
      continue;
    }
    c(x, y);
    CHECK(y(99) == 100);
  }
}

TEST_CASE("parallel loops inside parallel loops, from several callers at once") {
  Var i("i"), j("j"), jo("jo"), ji("ji");
  TensorParam a(float32, 2, "A");
  RDom r(0, a.extent(1), "r");
  Func inner("inner"), outer("outer");
  inner(i, j) += a(i, r) * cast(float32, j + 1);
  outer(i, j) = inner(i, j);
  // The serial loop between them keeps the two apart.
  outer.split(j, jo, ji, 4).parallel(i).parallel(ji);
  inner.compute_at(outer, jo);
  const Callable c = Pipeline({outer}).compile();
  std::atomic<int> wrong{0};
  together([&](int t) {
    const Buffer<float> x({13, 9}), y({13, 17});
    x.fill(static_cast<float>(t + 1));
    for (int n = 0; n < 20; ++n) {
      y.fill(0.0f);
      c(x, y);
      for_each_coordinate(y.extents(), [&](const Shape &at) {
        if (y.number(at) != static_cast<double>(9 * (t + 1) * (at[1] + 1))) ++wrong;
      });
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("results do not depend on the number of threads, bit for bit") {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni"), kt("kt");
  for (const Type type : {bfloat16, float16, float32}) {
    CAPTURE(to_string(type));
    TensorParam a(type, 2, "A"), b(type, 2, "B");
    RDom k(0, a.extent(1), "k"), q(0, a.extent(1), "q");
    k.where(a(m, k) != 0);
    Func c("C"), row("row"), out("Out");
    c(m, n) += f32(a(m, k)) * f32(b(k, n));
    row(m) += f32(a(m, q));
    out(m, n) = cast(type, c(m, n) / (row(m) + 17));
    out.tile(m, n, mo, no, mi, ni, 32, 32).parallel(mo);
    c.compute_at(out, no);
    c.update().pit_tile(kt, {.axis = k, .micro = {{m, 32}, {k, 1}}, .dense = {{k, 16}}});
    const Callable f = Pipeline({out}).compile();
    const AnyBuffer x(type, {150, 200}), w(type, {200, 70}), y(type, {150, 70});
    std::uint32_t state = 1;
    const auto fill = [&](const AnyBuffer &buffer, bool sparse) {
      for_each_coordinate(buffer.extents(), [&](const Shape &at) {
        state = state * 1664525U + 1013904223U;
        const double v = static_cast<double>(state >> 8) / (1 << 23) - 1;
        buffer.set_number(at, sparse && (state >> 28) < 12 ? 0 : v);
      });
    };
    fill(x, true);
    fill(w, false);
    std::vector<std::byte> first;
    int different = 0;
    const int before = pit_threads();
    for (const int threads : {1, 2, 3}) {
      pit_set_threads(threads);
      for (int run = 0; run < 34; ++run) {
        f(x, w, y);
        const auto *bytes = static_cast<const std::byte *>(y.data());
        const std::vector<std::byte> found(bytes, bytes + y.size() * type.bytes());
        if (first.empty()) first = found;
        if (found != first) ++different;
      }
    }
    pit_set_threads(before);
    CHECK(different == 0);
  }
}

}  // namespace
}  // namespace pit
