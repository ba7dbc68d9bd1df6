// Values that are no ordinary numbers: NaN and infinities under masks, in minima and maxima, as
// keys of a selection.
#include <limits>

#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity(),
                 kNan = std::numeric_limits<double>::quiet_NaN();

/// A share of the elements becomes one of `values`.
void sprinkle(const AnyBuffer &buffer, const std::vector<double> &values, double share,
              std::mt19937 &generator) {
  std::uniform_real_distribution<double> unit(0, 1);
  for_each_coordinate(buffer.extents(), [&](const Shape &at) {
    if (unit(generator) < share) buffer.set_number(at, values[generator() % values.size()]);
  });
}

/// rows, columns
const std::vector<Size> kSizes = {{1, 1}, {5, 3}, {33, 70}, {100, 129}};

}  // namespace

TEST_CASE("strict keeps NaN and infinities out where the predicate fails") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  check_agreement(
      {Pipeline({C}, {}, "strict"),
       {"",
        "C.update(0).strict()\nC.update(0).pit_tile(kt, axis=k, micro={m:16, k:1}, dense={k:8})\n",
        "C.update(0).strict()\nC.update(0).pit_tile(kt, axis=k, micro={m:8, k:16}, dense={m:4, "
        "k:32})\n",
        "C.update(0).pit_tile(kt, axis=k, micro={m:1, k:1}, dense={k:16})\n"},
       sweep({{1, 1, 1}, {9, 5, 7}, {40, 33, 50}},
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               Problem p{{{"A", random_values(float32, {s[0], s[2]}, generator, exact, zeros)},
                          {"B", random_values(float32, {s[2], s[1]}, generator, exact)}},
                         {},
                         {{"C", {s[0], s[1]}}}};
               sprinkle(p.inputs["B"], {kNan, kInfinity, -kInfinity}, 0.05, generator);
               return p;
             }),
       every_host()});
}

TEST_CASE("minima and maxima propagate NaN on every target") {
  for (const Type type : {float32, float64}) {
    for (const Combiner combiner : {Combiner::Min, Combiner::Max}) {
      Var i("i"), j("j");
      TensorParam A(type, 2, "A"), mask(uint8, 2, "mask");
      RDom r(0, A.extent(1), "r");
      r.where(mask(i, r) != 0);
      Func R("R"), Y("Y");
      R(i) = identity_of(combiner, type);
      R(i) = combine(combiner, Expr(R(i)), A(i, r));
      Y(i, j) = combine(combiner, A(i, j), cast(type, 1));
      check_agreement(
          {Pipeline({R, Y}, {}, "extremes"),
           {"",
            "R.update(0).pit_tile(rt, axis=r, micro={i:1, r:1}, dense={r:16})\nY.vectorize(j, 8)\n",
            "R.update(0).pit_tile(rt, axis=r, micro={i:32, r:4}, dense={r:16})\nY.vectorize(j)\n"},
           sweep(kSizes,
                 [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
                   Problem p{{{"A", random_values(type, s, generator, exact)},
                              {"mask", random_mask(uint8, s, generator, zeros)}},
                             {},
                             {{"R", {s[0]}}, {"Y", s}}};
                   sprinkle(p.inputs["A"], {kNan, kInfinity, -kInfinity, -0.0}, 0.02, generator);
                   return p;
                 }),
           every_host()});
    }
  }
}

TEST_CASE("top_k of ties, NaN, infinities, and fewer keys than slots") {
  for (const Type type : {float32, int32, uint8, int64, bfloat16}) {
    CAPTURE(to_string(type));
    Var i("i"), s("s");
    TensorParam A(type, 2, "A"), mask(uint8, 2, "mask");
    RDom r(0, A.extent(1), "r");
    r.where(mask(i, r) != 0);
    Func T("T");
    T(i, s) = top_k(r, A(i, r), s);
    const Pipeline pipeline({T}, {}, "selection");
    check_agreement({pipeline,
                     {"", "T.parallel(i)\n"},
                     sweep(
                         kSizes,
                         [&](const Size &size, double zeros, bool exact, std::mt19937 &generator) {
                           Problem p{{{"A", random_values(type, size, generator, exact)},
                                      {"mask", random_mask(uint8, size, generator, zeros)}},
                                     {},
                                     {}};
                           if (type.is_float())
                             sprinkle(p.inputs["A"], {kNan, kInfinity, -kInfinity, 0.0, -0.0}, 0.1,
                                      generator);
                           for (const Argument &a : pipeline.signature()) {
                             if (a.kind == Argument::Kind::OutputTensor)
                               p.outputs[a.name] = {size[0], 8};
                           }
                           return p;
                         },
                         true),
                     every_host()});
  }
}

TEST_CASE("a softmax with scores that are infinite or huge") {
  Var i("i"), d("d");
  TensorParam S(float32, 2, "S"), V(float32, 2, "V"), mask(uint8, 2, "mask");
  RDom j(0, V.extent(0), "j");
  j.where(mask(i, j) != 0);
  Func P("P"), O("O"), L("L");
  P(i, d) += softmax_term(S(i, j), V(j, d));
  O(i, d) = softmax_value(P(i, d));
  L(i) = log_sum_exp(P(i, 0));
  check_agreement({Pipeline({O, L}, {}, "extreme_softmax"),
                   {"", "P.update(0).pit_tile(jt, axis=j, micro={i:1, j:1}, dense={j:8})\n",
                    "P.update(0).pit_tile(jt, axis=j, micro={i:16, j:8}, dense={j:16})\n"},
                   inexact(sweep(
                       {{1, 1, 1}, {9, 20, 7}, {40, 50, 9}},
                       [](const Size &s, double zeros, bool, std::mt19937 &generator) -> Problem {
                         Problem p{{{"S", random_values(float32, {s[0], s[1]}, generator, false)},
                                    {"V", random_values(float32, {s[1], s[2]}, generator, false)},
                                    {"mask", random_mask(uint8, {s[0], s[1]}, generator, zeros)}},
                                   {},
                                   {{"O", {s[0], s[2]}}, {"L", {s[0]}}}};
                         sprinkle(p.inputs["S"], {-kInfinity, 1000, -1000, 88, -88}, 0.3,
                                  generator);
                         return p;
                       },
                       true)),
                   every_host()});
}
