#include "dsl/reference.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "dsl/error.h"
#include "dsl/func.h"
#include "test/unit/made_up_data.h"

namespace pit {
namespace {

float bf16_of(double x) { return bfloat16_t(static_cast<float>(x)); }

// --- expressions ---

TEST_CASE("reference: a pure Func of inputs, scalars and extents") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A");
  Param<float> scale("scale");
  Func F("F");
  F(i, j) = A(j, i) * scale + f32(A.extent(1)) - f32(i);
  const auto a = random<float, 2>({4, 3}, 1);
  Reference r(Pipeline({F}), {{"A", a}}, {{"scale", 0.5}});
  const Buffer<float, 2> out({3, 4});
  r.run({{"F", out}});
  for (int x = 0; x < 3; ++x) {
    for (int y = 0; y < 4; ++y) CHECK(out(x, y) == static_cast<float>(a(y, x) * 0.5 + 3 - x));
  }
  CHECK(r.value(F, {2, 1}) == a(1, 2) * 0.5 + 1);
}

TEST_CASE("reference: integers wrap in their type, division is Euclidean and by zero gives zero") {
  Var i("i");
  TensorParam A(int8, 1, "A"), B(int8, 1, "B");
  Func Sum("Sum"), Quotient("Quotient"), Remainder("Remainder");
  Sum(i) = A(i) + B(i);
  Quotient(i) = A(i) / B(i);
  Remainder(i) = A(i) % B(i);
  const Buffer<std::int8_t, 1> a({5}, {100, -7, 7, 5, -128}), b({5}, {100, 2, -2, 0, -1});
  const Reference::Tensors inputs{{"A", a}, {"B", b}};
  const Pipeline pipeline({Sum, Quotient, Remainder});
  const Buffer<std::int8_t, 1> sum({5}), quotient({5}), remainder({5});
  Reference(pipeline, inputs).run({{"Sum", sum}, {"Quotient", quotient}, {"Remainder", remainder}});
  const int expected_sum[] = {-56, -5, 5, 5, 127}, expected_quotient[] = {1, -4, -3, 0, -128},
            expected_remainder[] = {0, 1, 1, 0, 0};
  for (int x = 0; x < 5; ++x) {
    CHECK(sum(x) == expected_sum[x]);
    CHECK(quotient(x) == expected_quotient[x]);
    CHECK(remainder(x) == expected_remainder[x]);
  }
}

TEST_CASE("reference: tensors of every element type are read with any strides and alignment") {
  const Type types[] = {int8,   int16,  int32,   int64,    uint8,   uint16,
                        uint32, uint64, float16, bfloat16, float32, float64};
  for (const Type type : types) {
    CAPTURE(to_string(type));
    Var i("i");
    TensorParam A(type, 2, "A");
    Func F("F");
    F(i) = f64(A(i, 1));
    const AnyBuffer a(type, {3, 4});
    for_each_coordinate(a.extents(), [&](const Shape &at) {
      a.set_number(at, static_cast<double>(10 * at[0] + at[1]));
    });
    // The same elements, transposed and one byte off.
    std::vector<char> memory(static_cast<std::size_t>(12 * type.bytes() + 1));
    const AnyBuffer odd(memory.data() + 1, type, {3, 4}, {1, 3});
    odd.copy_from(a);
    for (const AnyBuffer &tensor : {a, odd}) {
      Reference r(Pipeline({F}), {{"A", tensor}});
      for (std::int64_t x = 0; x < 3; ++x)
        CHECK(r.value(F, {x}) == static_cast<double>(10 * x + 1));
    }
  }
}

TEST_CASE("reference: float32 is computed in double, narrowing casts round to nearest even") {
  Var i("i");
  TensorParam A(float32, 1, "A");
  Func Wide("Wide"), Narrow("Narrow");
  Wide(i) = A(i) * A(i);
  Narrow(i) = bf16(A(i) * A(i));
  const Buffer<float, 1> a({2}, {1.0f + 0x1p-20f, 1.0f + 0x1p-8f});
  Reference r(Pipeline({Wide, Narrow}), {{"A", a}});
  CHECK(r.value(Wide, {0}) == double{a(0)} * a(0));
  CHECK(r.value(Wide, {0}) != static_cast<double>(a(0) * a(0)));
  CHECK(r.value(Narrow, {0}) == 1);
  CHECK(r.value(Narrow, {1}) == 1 + 0x1p-7);
}

TEST_CASE("reference: select evaluates only the side it chooses, && only what it needs") {
  Var i("i");
  TensorParam A(float32, 1, "A"), N(int32, 1, "N");
  Func F("F"), G("G");
  F(i) = select(N(i) >= 0, A(N(i)), -1.0f);
  G(i) = i32(N(i) >= 0 && A(N(i)) > 0);
  const Buffer<float, 1> a({2}, {3, 4});
  const Buffer<std::int32_t, 1> n({3}, {1, -5, 0});
  Reference r(Pipeline({F, G}), {{"A", a}, {"N", n}});
  CHECK(r.value(F, {0}) == 4);
  CHECK(r.value(F, {1}) == -1);
  CHECK(r.value(G, {1}) == 0);
  CHECK(r.value(G, {2}) == 1);
}

// --- reductions and predicates ---

TEST_CASE("reference: SpMM with a value-sparse operand and an epilogue") {
  Var m("m"), n("n");
  TensorParam A(bfloat16, 2, "A"), B(bfloat16, 2, "B"), bias(float32, 1, "bias");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), Out("Out");
  C(m, n) += f32(A(m, k)) * f32(B(k, n));
  Out(m, n) = bf16(max(C(m, n) + bias(n), 0));

  const auto a = random<bfloat16_t, 2>({5, 17}, 1, 0.6), b = random<bfloat16_t, 2>({17, 7}, 2);
  const auto c = random<float, 1>({7}, 3);
  b(3, 2) = bfloat16_t(std::numeric_limits<float>::infinity());
  for (int x = 0; x < 5; ++x) a(x, 3) = bfloat16_t(0);  // so that no iteration meets the infinity
  const Buffer<bfloat16_t, 2> out({5, 7});
  Reference(Pipeline({Out}), {{"A", a}, {"B", b}, {"bias", c}}).run({{"Out", out}});
  for (int x = 0; x < 5; ++x) {
    for (int y = 0; y < 7; ++y) {
      double expected = 0;
      for (int z = 0; z < 17; ++z) {
        if (a(x, z) != 0) expected += double{a(x, z)} * double{b(z, y)};
      }
      CHECK(out(x, y) == bf16_of(std::max(expected + c(y), 0.0)));
    }
  }
}

TEST_CASE("reference: every combiner, with its identity for an empty domain") {
  Var i("i");
  TensorParam A(int32, 2, "A"), len(int32, 1, "len");
  Func Total("Total"), Product("Product"), Least("Least"), Most("Most");
  RDom r(0, len(i), "r");
  Total(i) += A(i, r);
  Product(i) *= A(i, r);
  Func LeastOf("LeastOf");
  LeastOf(i) = minimum(r, A(i, r));
  Most(i) = maximum(r, f32(A(i, r)));
  const Buffer<std::int32_t, 2> a({2, 4}, {3, -1, 4, 2, 9, 9, 9, 9});
  const Buffer<std::int32_t, 1> n({2}, {4, 0});
  Reference ref(Pipeline({Total, Product, LeastOf, Most}), {{"A", a}, {"len", n}});
  CHECK(ref.value(Total, {0}) == 8);
  CHECK(ref.value(Product, {0}) == -24);
  CHECK(ref.value(LeastOf, {0}) == -1);
  CHECK(ref.value(Most, {0}) == 4);
  CHECK(ref.value(Total, {1}) == 0);
  CHECK(ref.value(Product, {1}) == 1);
  CHECK(ref.value(LeastOf, {1}) == std::numeric_limits<std::int32_t>::max());
  CHECK(ref.value(Most, {1}) == -std::numeric_limits<double>::infinity());
}

TEST_CASE("reference: a Tuple update sees the old values of all components") {
  Var i("i");
  TensorParam A(int32, 2, "A");
  RDom r(0, A.extent(1), "r");
  Func F("F");
  F(i) = Tuple(Expr(0), Expr(1));
  F(i) = Tuple(F(i)[1], F(i)[0] + F(i)[1] + A(i, r));  // Fibonacci, A being 0
  const Buffer<std::int32_t, 2> a({1, 10});
  Reference ref(Pipeline({F}), {{"A", a}});
  CHECK(ref.value(F, {0}, 0) == 55);
  CHECK(ref.value(F, {0}, 1) == 89);
}

TEST_CASE("reference: predicates are tested in order and guard loads, indices and bounds") {
  Var p("p"), co("co");
  TensorParam X(float16, 2, "X"), W(float16, 3, "W"), nbr(int32, 2, "nbr");
  RDom o(0, W.extent(0), "o"), ci(0, X.extent(1), "ci");
  o.where(nbr(p, o) >= 0);
  o.where(X(nbr(p, o), 0) > -2.0f);  // reads what the first guards
  Func Z("Z"), Out("Out");
  Z(p, co) += f32(X(nbr(p, o), ci)) * f32(W(o, ci, co));
  Out(p, co) = max(Z(p, co), 0);

  const auto x = random<float16_t, 2>({6, 4}, 1), w2 = random<float16_t, 2>({27 * 4, 3}, 2);
  const auto w = w2.reshaped<3>({27, 4, 3});
  const auto table = filled<std::int32_t, 2>(
      {6, 27}, [](const Shape &at) { return (at[0] * 5 + at[1]) % 9 - 3.0; });
  for_each_coordinate(table.extents(), [&](const Shape &at) {
    if (table.number(at) < 0) table.set_number(at, -1);
  });
  const Buffer<float, 2> out({6, 3});
  Reference(Pipeline({Out}), {{"X", x}, {"W", w}, {"nbr", table}}).run({{"Out", out}});
  for (int q = 0; q < 6; ++q) {
    for (int c = 0; c < 3; ++c) {
      double expected = 0;
      for (int k = 0; k < 27; ++k) {
        for (int i = 0; table(q, k) >= 0 && i < 4; ++i)
          expected += double{x(table(q, k), i)} * double{w(k, i, c)};
      }
      CHECK(out(q, c) == doctest::Approx(std::max(expected, 0.0)));
    }
  }
}

TEST_CASE("reference: bounds that read tensors make a sequence, repeated coordinates count again") {
  Var m("m");
  TensorParam rowptr(int32, 1, "rowptr"), colidx(int32, 1, "colidx"), value(float32, 1, "value"),
      x(float32, 1, "x");
  RDom p = csr(rowptr, colidx, m, "p");
  Func Y("Y");
  Y(m) += value(p) * x(colidx(p));
  const Buffer<std::int32_t, 1> rows({4}, {0, 3, 3, 4}), columns({4}, {1, 1, 0, 2});
  const Buffer<float, 1> v({4}, {1, 2, 3, 4}), xs({3}, {10, 20, 30});
  const Buffer<float, 1> y({3});
  Reference(Pipeline({Y}), {{"rowptr", rows}, {"colidx", columns}, {"value", v}, {"x", xs}})
      .run({{"Y", y}});
  CHECK(y(0) == 1 * 20 + 2 * 20 + 3 * 10);
  CHECK(y(1) == 0);
  CHECK(y(2) == 120);
}

TEST_CASE("reference: Func::where leaves other bytes alone and producers are needed only inside") {
  Var b("b"), t("t"), d("d");
  TensorParam X(float32, 3, "X"), len(int32, 1, "len"), divisor(int32, 1, "divisor");
  RDom c(0, X.extent(2), "c");
  Func Mean("Mean"), Out("Out");
  Mean(b, t) += X(b, t, c) / f32(X(b, t, 0) * 0.0f + f32(X.extent(2)));
  Out(b, t, d) = X(b, t, d) - Mean(b, t);
  Out.where(t < len(b));
  const auto x = random<float, 3>({2, 5, 4}, 7);
  const Buffer<std::int32_t, 1> n({2}, {3, 0});
  const Buffer<float, 3> out({2, 5, 4});
  out.fill(-99);
  Reference r(Pipeline({Out}), {{"X", x}, {"len", n}});
  r.run({{"Out", out}});
  for_each_coordinate(out.extents(), [&](const Shape &at) {
    if (at[1] >= n(at[0])) {
      CHECK(out.number(at) == -99);
      return;
    }
    double mean = 0;
    for (int k = 0; k < 4; ++k) mean += double{x(at[0], at[1], k)} / 4;
    CHECK(out.number(at) == doctest::Approx(x(at[0], at[1], at[2]) - mean));
  });
  CHECK(r.has_value(Out, {0, 2, 0}));
  CHECK_FALSE(r.has_value(Out, {1, 0, 0}));
  CHECK_THROWS_WITH_AS(r.value(Out, {1, 0, 0}), doctest::Contains("Out(1, 0, 0) is read where"),
                       RuntimeError);
}

// --- softmax and ranking ---

TEST_CASE(
    "reference: block-sparse causal attention with log-sum-exp; a row without keys gives 0 and "
    "-infinity") {
  Var h("h"), i("i"), d("d"), jv("jv");
  TensorParam Q(bfloat16, 3, "Q"), K(bfloat16, 3, "K"), V(bfloat16, 3, "V"), mask(uint8, 3, "mask");
  Param<float> scale("scale");
  RDom j(0, K.extent(1), "j"), c(0, Q.extent(2), "c");
  j.where(mask(h, i / 4, j / 4) != 0);
  j.where(j <= i);
  Func S("S"), P("P"), O("O"), L("L");
  S(h, i, jv) = scale * sum(c, f32(Q(h, i, c)) * f32(K(h / 2, jv, c)));
  P(h, i, d) += softmax_term(S(h, i, j), f32(V(h / 2, j, d)));
  O(h, i, d) = softmax_value(P(h, i, d));
  L(h, i) = log_sum_exp(P(h, i, 0));

  const auto q = random<bfloat16_t, 3>({2, 12, 4}, 1), k = random<bfloat16_t, 3>({1, 12, 4}, 2),
             v = random<bfloat16_t, 3>({1, 12, 4}, 3);
  const auto blocks = filled<std::uint8_t, 3>({2, 3, 3}, [](const Shape &at) {
    return at[1] == 1 ? 0 : static_cast<double>((at[0] + at[1] + at[2]) % 2);
  });
  const Buffer<float, 3> o({2, 12, 4});
  const Buffer<float, 2> l({2, 12});
  Reference(Pipeline({O, L}), {{"Q", q}, {"K", k}, {"V", v}, {"mask", blocks}}, {{"scale", 0.5}})
      .run({{"O", o}, {"L", l}});
  int empty = 0;
  for (int x = 0; x < 2; ++x) {
    for (int y = 0; y < 12; ++y) {
      double sum = 0, weighted[4] = {};
      for (int z = 0; z <= y; ++z) {
        if (blocks(x, y / 4, z / 4) == 0) continue;
        double score = 0;
        for (int e = 0; e < 4; ++e) score += double{q(x, y, e)} * double{k(0, z, e)};
        sum += std::exp(0.5 * score);
        for (int e = 0; e < 4; ++e) weighted[e] += std::exp(0.5 * score) * double{v(0, z, e)};
      }
      for (int e = 0; e < 4; ++e)
        CHECK(o(x, y, e) == doctest::Approx(sum == 0 ? 0 : weighted[e] / sum));
      if (sum == 0) {
        ++empty;
        CHECK(l(x, y) == -std::numeric_limits<float>::infinity());
      } else {
        CHECK(l(x, y) == doctest::Approx(std::log(sum)));
      }
    }
  }
  CHECK(empty > 0);
}

TEST_CASE("reference: one softmax over two domains; scores of -infinity have no weight") {
  Var i("i");
  TensorParam A(float32, 1, "A"), B(float32, 1, "B");
  RDom r(0, A.extent(0), "r"), s(0, B.extent(0), "s");
  Func P("P"), O("O");
  P(i) += softmax_term(A(r) + f32(i), f32(r));
  P(i) += softmax_term(B(s) + f32(i), f32(s));
  O(i) = softmax_value(P(i));
  const float infinity = std::numeric_limits<float>::infinity();
  const Buffer<float, 1> a({3}, {-infinity, 300, 301}), b({2}, {299, -infinity});
  Reference ref(Pipeline({O}), {{"A", a}, {"B", b}});
  const double e0 = std::exp(-1.0), e2 = std::exp(-2.0);
  CHECK(ref.value(O, {0}) == doctest::Approx((1 * e0 + 2) / (e0 + 1 + e2)));
  CHECK(ref.value(O, {5}) == doctest::Approx(ref.value(O, {0})));
}

TEST_CASE(
    "reference: top_k ranks NaN first and ties by coordinate; slots without a key are marked") {
  Var t("t"), s("s");
  TensorParam A(float32, 2, "A");
  RDom e(0, A.extent(1), "e");
  e.where(A(t, e) != -1.0f);
  Func Top("Top"), Best("Best");
  Top(t, s) = top_k(e, A(t, e), s);
  RDom u(0, A.extent(1), "u");
  Best(t) = argmin(u, A(t, u));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Buffer<float, 2> a({2, 5}, {2, 5, -1, 5, nan, -1, -1, 7, -1, -1});
  Reference ref(Pipeline({Top, Best}), {{"A", a}});
  const int expected[2][5] = {{4, 1, 3, 0, -1}, {2, -1, -1, -1, -1}};
  for (int x = 0; x < 2; ++x) {
    for (int k = 0; k < 5; ++k) CHECK(ref.value(Top, {x, k}, 1) == expected[x][k]);
  }
  CHECK(std::isnan(ref.value(Top, {0, 0}, 0)));
  CHECK(ref.value(Top, {0, 1}, 0) == 5);
  CHECK(ref.value(Top, {0, 4}, 0) == -std::numeric_limits<double>::infinity());
  CHECK(ref.value(Top, {0, 7}, 1) == -1);
  CHECK(ref.value(Best, {1}, 0) == -1);
  CHECK(ref.value(Best, {1}, 1) == 0);
}

TEST_CASE("reference: mixture of experts, top-2") {
  Var t("t"), s("s"), f("f"), d("d"), ev("e");
  TensorParam X(float32, 2, "X"), Wg(float32, 2, "Wg"), W1(float32, 3, "W1"), W2(float32, 3, "W2");
  RDom c(0, X.extent(1), "c"), e(0, Wg.extent(1), "e"), r(0, W1.extent(2), "r"), u(0, 2, "u");
  Func logit("logit"), route("route"), prob("prob"), H("H"), GU("GU"), Dn("Dn"), Y("Y");
  logit(t, ev) += X(t, c) * Wg(c, ev);
  route(t, s) = top_k(e, logit(t, e), s);
  prob(t, s) = exp(route(t, s)[0] - route(t, 0)[0]) / sum(u, exp(route(t, u)[0] - route(t, 0)[0]));
  GU(t, s, f) += X(t, c) * W1(route(t, s)[1], c, f);
  H(t, s, f) = silu(GU(t, s, f));
  Dn(t, s, d) += H(t, s, r) * W2(route(t, s)[1], r, d);
  Y(t, d) += prob(t, u) * Dn(t, u, d);

  const int T = 5, D = 4, E = 3, F = 6;
  const auto x = random<float, 2>({T, D}, 1), wg = random<float, 2>({D, E}, 2);
  const auto w1 = random<float, 3>({E, D, F}, 3), w2 = random<float, 3>({E, F, D}, 4);
  const Buffer<float, 2> y({T, D});
  Reference(Pipeline({Y}), {{"X", x}, {"Wg", wg}, {"W1", w1}, {"W2", w2}}).run({{"Y", y}});
  for (int a = 0; a < T; ++a) {
    std::vector<std::pair<double, int>> order;
    for (int g = 0; g < E; ++g) {
      double sum = 0;
      for (int i = 0; i < D; ++i) sum += double{x(a, i)} * double{wg(i, g)};
      order.push_back({-sum, g});
    }
    std::sort(order.begin(), order.end());
    const double p0 = 1 / (1 + std::exp(order[0].first - order[1].first));
    std::vector<double> expected(D, 0);
    for (int k = 0; k < 2; ++k) {
      const int g = order[static_cast<std::size_t>(k)].second;
      for (int j = 0; j < F; ++j) {
        double z = 0;
        for (int i = 0; i < D; ++i) z += double{x(a, i)} * double{w1(g, i, j)};
        z /= 1 + std::exp(-z);
        for (int i = 0; i < D; ++i)
          expected[static_cast<std::size_t>(i)] += (k == 0 ? p0 : 1 - p0) * z * double{w2(g, j, i)};
      }
    }
    for (int i = 0; i < D; ++i)
      CHECK(y(a, i) == doctest::Approx(expected[static_cast<std::size_t>(i)]));
  }
}

TEST_CASE("reference: vertical-slash attention, one softmax over ranges of keys and single keys") {
  Var h("h"), i("i"), d("d"), jv("jv");
  TensorParam Q(float32, 3, "Q"), K(float32, 3, "K"), V(float32, 3, "V");
  TensorParam nb(int32, 2, "block_count"), ob(int32, 3, "block_offset");
  TensorParam nc(int32, 2, "column_count"), oc(int32, 3, "column_index");
  RDom blk(0, nb(h, i / 4), 0, 3), col(0, nc(h, i / 4)), c(0, Q.extent(2), "c");
  Expr jb = ob(h, i / 4, blk.x) + blk.y, jc = oc(h, i / 4, col);
  blk.where(jb <= i);
  Func S("S"), P("P"), O("O");
  S(h, i, jv) = sum(c, Q(h, i, c) * K(h, jv, c));
  P(h, i, d) += softmax_term(S(h, i, jb), V(h, jb, d));
  P(h, i, d) += softmax_term(S(h, i, jc), V(h, jc, d));
  O(h, i, d) = softmax_value(P(h, i, d));

  const auto q = random<float, 3>({1, 8, 2}, 1), k = random<float, 3>({1, 8, 2}, 2),
             v = random<float, 3>({1, 8, 2}, 3);
  const Buffer<std::int32_t, 2> block_count({1, 2}, {1, 2}), column_count({1, 2}, {0, 3});
  // Entries past the counts are out of range and must not be used; column 5 comes twice and counts
  // twice.
  const Buffer<std::int32_t, 3> block_offset({1, 2, 2}, {1, 99, 0, 4}),
      column_index({1, 2, 3}, {99, 99, 99, 5, 7, 5});
  const Buffer<float, 3> o({1, 8, 2});
  Reference(Pipeline({O}), {{"Q", q},
                            {"K", k},
                            {"V", v},
                            {"block_count", block_count},
                            {"block_offset", block_offset},
                            {"column_count", column_count},
                            {"column_index", column_index}})
      .run({{"O", o}});
  for (int x = 0; x < 8; ++x) {
    std::vector<int> keys;
    for (int y = 0; y < 3 && x < 4; ++y) keys.push_back(1 + y);
    for (int y = 0; y < 3 && x >= 4; ++y) keys.insert(keys.end(), {y, 4 + y});
    std::erase_if(keys, [&](int key) { return key > x; });
    if (x >= 4) keys.insert(keys.end(), {5, 7, 5});
    double sum = 0, weighted[2] = {};
    for (const int key : keys) {
      double score = 0;
      for (int e = 0; e < 2; ++e) score += double{q(0, x, e)} * double{k(0, key, e)};
      sum += std::exp(score);
      for (int e = 0; e < 2; ++e) weighted[e] += std::exp(score) * double{v(0, key, e)};
    }
    for (int e = 0; e < 2; ++e)
      CHECK(o(0, x, e) == doctest::Approx(sum == 0 ? 0 : weighted[e] / sum));
  }
}

TEST_CASE("reference: a predicate reads the value a producer has stored, after its rounding") {
  Var t("t"), f("f"), d("d");
  TensorParam X(float32, 2, "X"), W(float32, 2, "W");
  RDom r(0, W.extent(0), "r");
  Func H("H"), Y("Y"), N("N");
  H(t, f) = f16(max(X(t, f), 0));
  r.where(H(t, r) != 0);
  Y(t, d) += f32(H(t, r)) * W(r, d);
  N(t) += i32(H(t, r) != 0);
  const auto w = random<float, 2>({4, 2}, 2);
  const Buffer<float, 2> x({1, 4}, {0.5f, -1, 1e-9f, 2});  // 1e-9 is 0 in float16
  Reference ref(Pipeline({Y, N}), {{"X", x}, {"W", w}});
  CHECK(ref.value(N, {0}) == 2);
  CHECK(ref.value(Y, {0, 1}) == 0.5 * double{w(0, 1)} + 2 * double{w(3, 1)});
}

}  // namespace
}  // namespace pit
