#include "dsl/reference.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "dsl/error.h"
#include "dsl/func.h"
#include "test/unit/made_up_data.h"

namespace pit {
namespace {

// --- updates that do not stay at their coordinate ---

TEST_CASE("reference: a histogram: scattered updates, read where none has been") {
  Var x("x");
  TensorParam key(int32, 1, "key");
  RDom r(0, key.extent(0), "r");
  r.where(key(r) >= 0);
  Func H("H"), Out("Out");
  H(x) = 100 + i32(x);
  H(key(r)) += i32(r);
  Out(x) = H(x) * 2;
  const Buffer<std::int32_t, 1> keys({5}, {3, -1, 0, 3, 3});
  const Buffer<std::int32_t, 1> out({6});
  Reference(Pipeline({Out}), {{"key", keys}}).run({{"Out", out}});
  const int expected[] = {102, 101, 102, 103 + 0 + 3 + 4, 104, 105};
  for (int i = 0; i < 6; ++i) CHECK(out(i) == 2 * expected[i]);
}

TEST_CASE("reference: scatter-add with a Var that is free") {
  Var p("p"), co("co");
  TensorParam X(float32, 2, "X"), to(int32, 1, "to");
  RDom r(0, X.extent(0), "r");
  Func Z("Z");
  Z(to(r), co) += X(r, co);
  const auto x = random<float, 2>({8, 3}, 5);
  const Buffer<std::int32_t, 1> target({8}, {0, 2, 2, 1, 0, 2, 3, 0});
  const Buffer<float, 2> out({4, 3});
  Reference(Pipeline({Z}), {{"X", x}, {"to", target}}).run({{"Z", out}});
  for (int row = 0; row < 4; ++row) {
    for (int c = 0; c < 3; ++c) {
      double expected = 0;
      for (int i = 0; i < 8; ++i) expected += target(i) == row ? double{x(i, c)} : 0;
      CHECK(out(row, c) == doctest::Approx(expected));
    }
  }
}

TEST_CASE("reference: a scan runs in order, independently along the other dimension") {
  Var x("x"), y("y");
  TensorParam A(int64, 2, "A");
  RDom r(1, A.extent(1) - 1, "r");
  Func S("S");
  S(x, y) = A(x, y);
  S(x, r) = S(x, r - 1) * 2 + S(x, r);
  const auto a = filled<std::int64_t, 2>(
      {3, 40}, [](const Shape &at) { return static_cast<double>(at[0] + at[1] % 3); });
  const Buffer<std::int64_t, 2> out({3, 40});
  Reference(Pipeline({S}), {{"A", a}}).run({{"S", out}});
  for (int i = 0; i < 3; ++i) {
    std::int64_t state = a(i, 0);
    for (int j = 0; j < 40; ++j) {
      if (j > 0) state = state * 2 + a(i, j);
      CHECK(out(i, j) == state);
    }
  }
}

TEST_CASE("reference: later updates of a border win, also where a Func is asked for bit by bit") {
  Var x("x"), y("y");
  TensorParam n(int32, 1, "n");
  Func F("F"), G("G");
  F(x, y) = i32(x * 10 + y);
  F(x, 0) = -i32(x);
  F(0, y) = -i32(y) - 100;
  G(x, y) = F(x, y);
  RDom r(0, n.extent(0), "r");
  const Buffer<std::int32_t, 1> one({1});
  const Buffer<std::int32_t, 2> f({4, 4}), g({4, 4});
  Reference(Pipeline({F, G}), {{"n", one}}).run({{"F", f}, {"G", g}});
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const int expected = i == 0 ? -j - 100 : j == 0 ? -i : i * 10 + j;
      CHECK(f(i, j) == expected);
      CHECK(g(i, j) == expected);
    }
  }
}

// --- indices ---

struct Sddmm {
  Var i{"i"}, j{"j"};
  TensorParam A{float32, 2, "A"}, B{float32, 2, "B"}, mask{uint8, 2, "mask"};
  RDom c{0, A.extent(1), "c"};
  Func Acc{"Acc"}, S{"S"};
  SparseIndex blocks;
  Buffer<float, 2> a = random<float, 2>({10, 3}, 1), b = random<float, 2>({14, 3}, 2);
  Buffer<std::uint8_t, 2> m =
      filled<std::uint8_t, 2>({3, 4}, [](const Shape &at) { return at[0] != 1 && at[1] % 2 == 1; });
  Reference::Tensors inputs{{"A", a}, {"B", b}, {"mask", m}};

  Sddmm() {
    Acc(i, j) += A(i, c) * B(j, c);
    S(i, j) = Acc(i, j);
    S.where(mask(i / 4, j / 4) != 0);
    blocks = S.index({.axis = j, .micro = {{i, 4}, {j, 4}}});
    blocks.named("blocks");
  }
};

TEST_CASE("reference: a compact output and its index, with edges and an empty group") {
  Sddmm s;
  s.S.store_compact(s.blocks);
  const Pipeline pipeline({s.S}, {s.blocks});
  const Buffer<float, 3> out({6, 4, 4});
  out.fill(-99);
  const Buffer<std::int32_t, 1> offsets({4}), coordinates({6}), count({1});
  coordinates.fill(-7);
  Reference(pipeline, s.inputs)
      .run({{"S", out},
            {"blocks.offsets", offsets},
            {"blocks.coordinates", coordinates},
            {"blocks.count", count}});
  CHECK(count(0) == 4);
  const int expected_offsets[] = {0, 2, 2, 4}, expected_coordinates[] = {4, 12, 4, 12, -7, -7};
  for (int g = 0; g < 4; ++g) CHECK(offsets(g) == expected_offsets[g]);
  for (int e = 0; e < 6; ++e) CHECK(coordinates(e) == expected_coordinates[e]);
  for (int e = 0; e < 6; ++e) {
    for (int x = 0; x < 4; ++x) {
      for (int y = 0; y < 4; ++y) {
        const int row = (e < 2 ? 0 : 8) + x, column = expected_coordinates[e] + y;
        if (e >= 4 || row >= 10 || column >= 14) {
          CHECK(out(e, x, y) == -99);
          continue;
        }
        double expected = 0;
        for (int k = 0; k < 3; ++k) expected += double{s.a(row, k)} * double{s.b(column, k)};
        CHECK(out(e, x, y) == doctest::Approx(expected));
      }
    }
  }
}

TEST_CASE(
    "reference: entries that do not fit the caller's buffers are an error and nothing is written") {
  Sddmm s;
  s.S.store_compact(s.blocks);
  const Pipeline pipeline({s.S}, {s.blocks});
  const Buffer<std::int32_t, 1> offsets({4}), coordinates({6}), count({1});
  const auto run = [&](const AnyBuffer &out, const AnyBuffer &list) {
    Reference(pipeline, s.inputs)
        .run({{"S", out},
              {"blocks.offsets", offsets},
              {"blocks.coordinates", list},
              {"blocks.count", count}});
  };
  CHECK_THROWS_WITH_AS(run(Buffer<float, 3>({3, 4, 4}), coordinates),
                       doctest::Contains("has 4 entries"), RuntimeError);
  CHECK_THROWS_WITH_AS(run(Buffer<float, 3>({4, 4, 4}), Buffer<std::int32_t, 1>({3})),
                       doctest::Contains("blocks.coordinates takes 4 entries"), RuntimeError);
  CHECK_THROWS_WITH_AS(run(Buffer<float, 3>({4, 4, 5}), coordinates),
                       doctest::Contains("expected extent 4"), RuntimeError);
  CHECK(count(0) == 0);
}

TEST_CASE("reference: a keyed index over a fused axis orders a compact output by key") {
  Var t("t"), s("s"), ts("ts"), d("d");
  TensorParam X(float32, 2, "X"), expert(int32, 2, "expert");
  Func H("H");
  H(t, s, d) = X(t, d) * f32(s + 1);
  H.where(expert(t, s) >= 0);
  H.fuse(t, s, ts);
  SparseIndex by_expert = H.index({.axis = ts, .group = expert(t, s)});
  by_expert.named("by_expert").align(2);
  H.store_compact(by_expert);
  const auto x = random<float, 2>({3, 2}, 4);
  const Buffer<std::int32_t, 2> e({3, 2}, {1, 0, 2, 1, 1, -1});
  H.bound(s, 0, 2);
  const Pipeline pipeline({H}, {by_expert});
  const Buffer<float, 2> out({10, 2});
  out.fill(-99);
  const Buffer<std::int32_t, 1> offsets({5}), coordinates({10}), count({1});
  Reference(pipeline, {{"X", x}, {"expert", e}})
      .run({{"H", out},
            {"by_expert.offsets", offsets},
            {"by_expert.coordinates", coordinates},
            {"by_expert.count", count}});
  CHECK(count(0) == 5);
  const int expected_offsets[] = {0, 2, 6, 8, 8}, expected[] = {1, -1, 0, 3, 4, -1, 2, -1};
  for (int g = 0; g < 5; ++g) CHECK(offsets(g) == expected_offsets[g]);
  for (int entry = 0; entry < 8; ++entry) {
    CHECK(coordinates(entry) == expected[entry]);
    for (int k = 0; k < 2; ++k) {
      const int p = expected[entry];
      CHECK(out(entry, k) == (p < 0 ? -99 : x(p / 2, k) * static_cast<float>(p % 2 + 1)));
    }
  }
}

TEST_CASE("reference: an index of a reduction lists what some row of its micro-tile needs") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  SparseIndex live = C.update().index({.axis = k, .micro = {{m, 2}}});
  live.named("live");
  const Buffer<float, 2> a({3, 5}, {0, 1, 0, 0, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0}), b({5, 1});
  const Buffer<float, 2> c({3, 1});
  const Buffer<std::int32_t, 1> offsets({3}), coordinates({10}), count({1});
  Reference(Pipeline({C}, {live}), {{"A", a}, {"B", b}})
      .run({{"C", c},
            {"live.offsets", offsets},
            {"live.coordinates", coordinates},
            {"live.count", count}});
  CHECK(count(0) == 2);
  CHECK(offsets(1) == 2);
  CHECK(offsets(2) == 2);
  CHECK(coordinates(0) == 1);
  CHECK(coordinates(1) == 4);
}

// --- errors and bounds ---

TEST_CASE(
    "reference: an index out of range names tensor, index, extent and place, and writes nothing") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A"), N(int32, 1, "N");
  Func G("G"), F("F");
  G(i, j) = A(N(i), j) + 1.0f + f32(N(i));
  F(i, j) = G(i, j) * 2.0f;
  F(i, j) += 1.0f;
  const auto a = random<float, 2>({4, 2}, 1);
  const Buffer<std::int32_t, 1> n({3}, {0, 3, 4});
  const Buffer<float, 2> out({3, 2});
  out.fill(-99);
  CHECK_THROWS_WITH_AS(
      Reference(Pipeline({F}), {{"A", a}, {"N", n}}).run({{"F", out}}),
      "tensor A: index 4 of dimension 0 is out of range; the extent is 4, in G(2, 0)",
      RuntimeError);
  CHECK(out(0, 0) == -99);
  n(2) = -1;
  CHECK_THROWS_WITH_AS(Reference(Pipeline({F}), {{"A", a}, {"N", n}}).run({{"F", out}}),
                       doctest::Contains("index -1"), RuntimeError);
}

TEST_CASE("reference: missing and wrong inputs and outputs are errors") {
  Var i("i");
  TensorParam A(float32, 1, "A");
  Param<float> s("s");
  Func F("F");
  F(i) = A(i) * s;
  const Buffer<float, 1> a({2}), out({2});
  const Pipeline p({F});
  CHECK_THROWS_WITH_AS(Reference(p, {}, {{"s", 1}}).run({{"F", out}}),
                       doctest::Contains("input A is not given"), RuntimeError);
  CHECK_THROWS_WITH_AS(Reference(p, {{"A", a}}).run({{"F", out}}),
                       doctest::Contains("scalar s is not given"), RuntimeError);
  CHECK_THROWS_WITH_AS(Reference(p, {{"A", Buffer<double, 1>({2})}}, {{"s", 1}}).run({{"F", out}}),
                       doctest::Contains("input A; expected float32 of rank 1"), RuntimeError);
  CHECK_THROWS_WITH_AS(Reference(p, {{"A", a}}, {{"s", 1}}).run({}),
                       doctest::Contains("output F; expected float32"), RuntimeError);
  CHECK_THROWS_WITH_AS(Reference(p, {{"A", a}}, {{"s", 1}}).value(F, {1, 2}),
                       doctest::Contains("1 dimensions"), RuntimeError);
}

TEST_CASE("reference: bounds cover float32 evaluation in any order, and are not far from it") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  Func C("C"), E("E"), H("H");
  C(m, n) += A(m, k) * B(k, n);
  E(m, n) = exp(C(m, n)) / (1.0f + sqrt(abs(C(m, n))));
  H(m, n) = bf16(C(m, n));
  const int M = 8, N = 8, K = 300;
  const auto a = random<float, 2>({M, K}, 1), b = random<float, 2>({K, N}, 2);
  Reference ref(Pipeline({E, H}), {{"A", a}, {"B", b}});
  std::mt19937 generator(3);
  double worst = 0;
  for (int x = 0; x < M; ++x) {
    for (int y = 0; y < N; ++y) {
      for (int trial = 0; trial < 10; ++trial) {
        std::vector<int> order(K);
        for (int i = 0; i < K; ++i) order[static_cast<std::size_t>(i)] = i;
        std::shuffle(order.begin(), order.end(), generator);
        float c = 0;
        for (const int i : order) c += a(x, i) * b(i, y);
        const float e = std::exp(c) / (1.0f + std::sqrt(std::fabs(c)));
        const float h = bfloat16_t(c);
        for (const auto &[func, value] : {std::pair(C, c), std::pair(E, e), std::pair(H, h)}) {
          const Reference::Bounded r = ref.bounded(func, {x, y});
          CHECK(r.value == ref.value(func, {x, y}));
          CHECK(std::fabs(value - r.value) <= 4 * 0x1p-24 * r.bound);
          if (func.name() == "C")
            worst = std::max(worst, std::fabs(value - r.value) / (0x1p-24 * r.bound));
        }
      }
    }
  }
  CHECK(worst > 0.01);
}

TEST_CASE("reference: a copy has no error, a narrowed sum is exact unless its rounding may turn") {
  Var i("i");
  TensorParam A(float32, 1, "A");
  Func Copy("Copy"), Sum("Sum");
  Copy(i) = bf16(max(A(i), 0.0f));
  Sum(i) = bf16(A(i) + 1.0f);
  const Buffer<float, 1> a({3}, {0.3f, 0.1f, 0x1p-8f});
  Reference ref(Pipeline({Copy, Sum}), {{"A", a}});
  CHECK(ref.bounded(Copy, {0}).bound == 0);
  CHECK(ref.bounded(Sum, {1}).bound * 0x1p-24 < 1e-6);
  CHECK(ref.bounded(Sum, {2}).bound * 0x1p-24 > 0x1p-8);  // halfway between two bfloat16 numbers
}

TEST_CASE("reference: the bound of small weights of 16 bits is that of any order of the keys") {
  Var i("i");
  TensorParam Score(float32, 1, "Score"), Value(float16, 1, "Value");
  RDom j(0, Score.extent(0), "j"), k(0, Score.extent(0), "k");
  Func Up("Up"), Down("Down"), Rising("Rising"), Falling("Falling");
  Up(i) += softmax_term(Score(j), Value(j));
  Down(i) += softmax_term(Score(Score.extent(0) - 1 - k), Value(Score.extent(0) - 1 - k));
  Rising(i) = softmax_value(Up(i));
  Falling(i) = softmax_value(Down(i));
  const Buffer<float, 1> scores({2}, {0.0f, 17.5f});
  const Buffer<float16_t, 1> values({2}, {float16_t(-1), float16_t(0)});
  Reference ref(Pipeline({Rising, Falling}), {{"Score", scores}, {"Value", values}});
  for (const Func &func : {Rising, Falling}) {
    const Reference::Bounded r = ref.bounded(func, {0});
    CAPTURE(func.name());
    CHECK(r.value == doctest::Approx(-std::exp(-17.5)));
    // A program that knows the largest score first has a weight below half of the smallest number.
    CHECK(std::fabs(0 - r.value) <= 16 * 0x1p-24 * r.bound);
    CHECK(r.bound * 0x1p-24 < 1e-8);
  }
}

TEST_CASE("reference: run reports bounds beside the outputs") {
  Var i("i");
  TensorParam A(float32, 1, "A");
  Func F("F"), G("G");
  F(i) = A(i) * A(i);
  F.where(i != 1);
  G(i) = i32(i);
  const Buffer<float, 1> a({3}, {0.3f, 0.1f, 2}), f({3});
  const Buffer<std::int32_t, 1> g({3});
  Reference::Tensors bounds;
  Reference(Pipeline({F, G}), {{"A", a}}).run({{"F", f}, {"G", g}}, &bounds);
  const Buffer<double, 1> bound(bounds.at("F"));
  CHECK(bound(0) == doctest::Approx(0.09 * 2));
  CHECK(bound(1) == -1);
  CHECK(Buffer<double, 1>(bounds.at("G"))(2) == 0);
  CHECK(f(2) == 4);
}

}  // namespace
}  // namespace pit
