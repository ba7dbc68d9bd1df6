// Which axes are PIT axes, with the proof; races; outputs that overlap inputs.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "analysis.h"
#include "dsl/analysis/overlap.h"
#include "dsl/analysis/races.h"
#include "dsl/func.h"
#include "dsl/pipeline.h"

namespace pit::test {
namespace {

Operator matmul() {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  return {C, 0};
}

Operator batched_matmul() {
  Var b("b"), m("m"), n("n");
  TensorParam A(float32, 3, "A"), B(float32, 3, "B");
  RDom k(0, A.extent(2), "k");
  Func C("C");
  C(b, m, n) += A(b, m, k) * B(b, k, n);
  return {C, 0};
}

Operator reduce_sum() {
  Var p("p");
  TensorParam A(float32, 2, "A");
  RDom l(0, A.extent(1), "l");
  Func C("C");
  C(p) += A(p, l);
  return {C, 0};
}

Operator elementwise() {
  Var x("x"), y("y");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  Func C("C");
  C(x, y) = A(x, y) + B(x, y);
  return {C, -1};
}

Operator softmax_weighted_sum() {
  Var h("h"), i("i"), d("d");
  TensorParam S(float32, 3, "S"), V(float32, 3, "V"), mask(uint8, 3, "mask");
  RDom j(0, V.extent(1), "j");
  j.where(mask(h, i / 64, j / 64) != 0);
  j.where(j <= i);
  Func P("P");
  P(h, i, d) += softmax_term(S(h, i, j), V(h / 4, j, d));
  return {P, 0};
}

Operator convolution() {
  Var n("n"), f("f"), x("x"), y("y");
  TensorParam X(float32, 4, "X"), W(float32, 4, "W");
  RDom r(0, W.extent(1), 0, W.extent(2), 0, W.extent(3), "r");
  Func C("C");
  C(n, f, x, y) += X(n, r.x, x + r.y, y + r.z) * W(f, r.x, r.y, r.z);
  return {C, 0};
}

Operator strided_convolution() {
  Var n("n"), f("f"), x("x");
  TensorParam X(float32, 3, "X"), W(float32, 3, "W");
  RDom r(0, W.extent(1), 0, W.extent(2), "r");
  Func C("C");
  C(n, f, x) += X(n, r.x, 2 * x + r.y - 1) * W(f, r.x, r.y);
  return {C, 0};
}

Operator expert_matmul() {
  Var t("t"), f("f");
  TensorParam X(float32, 2, "X"), W(float32, 3, "W"), expert(int32, 1, "expert");
  RDom c(0, X.extent(1), "c");
  c.where(expert(t) >= 0);
  Func Y("Y");
  Y(t, f) += X(t, c) * W(expert(t), c, f);
  return {Y, 0};
}

Operator sparse_convolution() {
  Var p("p"), co("co");
  TensorParam X(float16, 2, "X"), W(float16, 3, "W"), nbr(int32, 2, "nbr");
  RDom o(0, W.extent(0), "o"), ci(0, X.extent(1), "ci");
  o.where(nbr(p, o) >= 0);
  Func Z("Z");
  Z(p, co) += f32(X(nbr(p, o), ci)) * f32(W(o, ci, co));
  return {Z, 0};
}

Operator vertical_slash(int update) {
  Var h("h"), i("i"), d("d"), jv("jv");
  TensorParam Q(float32, 3, "Q"), K(float32, 3, "K"), V(float32, 3, "V");
  TensorParam nb(int32, 2, "nb"), ob(int32, 3, "ob"), nc(int32, 2, "nc"), oc(int32, 3, "oc");
  RDom blk(0, nb(h, i / 64), 0, 64, "blk"), col(0, nc(h, i / 64), "col"), c(0, Q.extent(2), "c");
  Expr jb = ob(h, i / 64, blk.x) + blk.y, jc = oc(h, i / 64, col);
  blk.where(jb <= i);
  Func S("S"), P("P");
  S(h, i, jv) = sum(c, Q(h, i, c) * K(h, jv, c));
  P(h, i, d) += softmax_term(S(h, i, jb), V(h, jb, d));
  P(h, i, d) += softmax_term(S(h, i, jc), V(h, jc, d));
  return {P, update};
}

Operator top_k_update() {
  Var t("t"), s("s");
  TensorParam L(float32, 2, "L");
  RDom e(0, L.extent(1), "e");
  Func route("route");
  route(t, s) = top_k(e, L(t, e), s);
  const auto *call = route.func()->definitions[0].values[0].as<Call>();
  return {Func(call->owner), 0};
}

TEST_CASE("axes of the operators that the paper classifies, and of the programs") {
  struct Case {
    std::string name;
    Operator op;
    std::string pit;  // a star: partial results are combined
  };
  const std::vector<Case> cases = {
      {"matmul", matmul(), "m n k"},
      {"value-sparse matmul", sparse_matmul(), "m* n* k"},
      {"batched matmul", batched_matmul(), "b m n k"},
      {"reduce-sum", reduce_sum(), "p l"},
      {"elementwise", elementwise(), "x y"},
      {"softmax-weighted sum", softmax_weighted_sum(), "h* i* d* j"},
      {"convolution", convolution(), "n f x y r.x r.y r.z"},
      {"strided convolution", strided_convolution(), "n f x r.x r.y"},
      {"expert-indexed matmul", expert_matmul(), "t f c"},
      {"sparse convolution", sparse_convolution(), "p* co* o ci*"},
      {"vertical-slash attention, ranges", vertical_slash(0), "h* i* d* blk.x* blk.y*"},
      {"vertical-slash attention, columns", vertical_slash(1), "d col"},
      {"top-k", top_k_update(), "t e"},
  };
  for (const Case &c : cases) {
    CAPTURE(c.name);
    CHECK(names_of_pit_axes(c.op) == c.pit);
  }
}

TEST_CASE("a report says what kind of axis it is, the proof and the accesses that are gathered") {
  const Operator op = sparse_convolution();
  const AxisReport o = report_of(op, "o"), p = report_of(op, "p");
  CHECK(p.kind == AxisKind::Free);
  CHECK(o.kind == AxisKind::Reduction);
  CHECK(contains(o.proof, "o is reduced by +="));
  CHECK(contains(o.proof, "X(nbr(p, o), ci)"));
  CHECK(contains(o.proof, "W(o, ci, co)"));
  CHECK(contains(p.proof, "every iteration of p writes elements of its own"));
  CHECK(contains(p.proof, "combined"));
  CHECK(contains(report_of(softmax_weighted_sum(), "j").proof, "the softmax state"));
}

TEST_CASE("definitions whose iterations may not be permuted, and the reason") {
  struct Case {
    std::string name, axis, reason;
    std::function<Operator()> make;
  };
  const std::vector<Case> cases = {
      {"scan", "r", "need their order|reads F in `F(r - 1) + A(r)`",
       [] {
         Var x("x");
         TensorParam A(float32, 1, "A");
         RDom r(1, A.extent(0) - 1, "r");
         Func F("F");
         F(x) = 0.f;
         F(r) = F(r - 1) + A(r);
         return Operator{F, 0};
       }},
      {"self-referring update", "x", "refers to itself|Write it as a reduction",
       [] {
         Var x("x");
         TensorParam A(float32, 1, "A");
         RDom r(0, A.extent(0), "r");
         Func F("F");
         F(x) = 0.f;
         F(x) += F(x) * A(r);
         return Operator{F, 0};
       }},
      {"left-hand side that reads the Func", "r", "reads F in `min(max(F(0), 0), 3)`",
       [] {
         Var x("x");
         TensorParam A(int32, 1, "A");
         RDom r(0, A.extent(0), "r");
         Func F("F");
         F(x) = 0;
         F(clamp(F(0), 0, 3)) += A(r);
         return Operator{F, 0};
       }},
      {"predicate that reads the updated Func", "r",
       "`F(x) < 4.0`, which decides what runs, reads F|another Func",
       [] {
         Var x("x");
         TensorParam A(float32, 2, "A");
         Func F("F");
         F(x) = 0.f;
         RDom r(0, A.extent(1), "r");
         r.where(F(x) < 4.f);
         F(x) += A(x, r);
         return Operator{F, 0};
       }},
      {"bound that reads the updated Func", "r", "`F(x)`, which decides what runs, reads F",
       [] {
         Var x("x");
         TensorParam A(int32, 2, "A");
         Func F("F");
         F(x) = 5;
         RDom r(0, F(x), "r");
         F(x) += A(x, r);
         return Operator{F, 0};
       }},
      {"plain store that the last iteration wins", "r",
       "all iterations of r write one element, F(x)|Use +=",
       [] {
         Var x("x");
         TensorParam A(float32, 2, "A");
         RDom r(0, A.extent(1), "r");
         Func F("F");
         F(x) = 0.f;
         F(x) = A(x, r);
         return Operator{F, 0};
       }},
      {"scattered plain store", "r", "scattered plain store|F(index(r))|Use +=",
       [] {
         Var x("x");
         TensorParam A(float32, 1, "A"), index(int32, 1, "index");
         RDom r(0, A.extent(0), "r");
         Func F("F");
         F(x) = 0.f;
         F(index(r)) = A(r);
         return Operator{F, 0};
       }},
      {"plain store at a quotient", "r", "scattered plain store",
       [] {
         Var x("x");
         TensorParam A(float32, 1, "A");
         RDom r(0, A.extent(0), "r");
         Func F("F");
         F(x) = 0.f;
         F(r / 2) = A(r);
         return Operator{F, 0};
       }},
      {"plain store whose groups meet", "x",
       "the groups of x, one for each r, may write one element of F(x)",
       [] {
         Var x("x");
         TensorParam A(float32, 2, "A");
         RDom r(0, A.extent(1), "r");
         r.where(A(x, r) != 0);
         Func F("F");
         F(x) = 0.f;
         F(x) = A(x, r);
         return Operator{F, 0};
       }},
      {"product of two axes", "x",
       "mixes x with r in `x * r`|g(axis, group) + h(rest)|Put r in the group",
       [] {
         Var x("x");
         TensorParam A(float32, 1, "A");
         RDom r(0, 8, "r");
         Func F("F");
         F(x) += A(x * r);
         return Operator{F, 0};
       }},
      {"border by clamping", "x", "mixes x with r in `min(max(x + r, 0), 9)`|not separable",
       [] {
         Var x("x");
         TensorParam A(float32, 1, "A");
         RDom r(0, 3, "r");
         Func F("F");
         F(x) += A(clamp(x + r, 0, 9));
         return Operator{F, 0};
       }},
      {"quotient of a sum", "x", "mixes x with r|not separable",
       [] {
         Var x("x");
         TensorParam A(float32, 1, "A");
         RDom r(0, 3, "r");
         Func F("F");
         F(x) += A((x + r) / 2);
         return Operator{F, 0};
       }},
      {"data-dependent index of two axes that no predicate ties", "t",
       "index `expert(t, s)` of W(expert(t, s), c)|mixes t with s|Put s in the group, or fuse it "
       "with t",
       [] {
         Var t("t"), s("s");
         TensorParam W(float32, 2, "W"), expert(int32, 2, "expert");
         RDom c(0, W.extent(1), "c");
         Func F("F");
         F(t, s) += W(expert(t, s), c);
         return Operator{F, 0};
       }},
      {"not separable on the left-hand side", "r.x", "of F(r.x * r.y)|mixes r.x with r.y",
       [] {
         Var x("x");
         TensorParam A(float32, 1, "A");
         RDom r(0, 3, 0, 5, "r");
         Func F("F");
         F(x) = 0.f;
         F(r.x * r.y) += A(r.x);
         return Operator{F, 0};
       }},
      {"slots of top_k", "slot", "the slots are found together", [] { return top_k_update(); }},
  };
  for (const Case &c : cases) {
    CAPTURE(c.name);
    const Operator op = c.make();
    const AxisReport report = report_of(op, c.axis);
    CHECK_FALSE(report.is_pit);
    for (std::size_t begin = 0; begin <= c.reason.size();) {
      const std::size_t end = std::min(c.reason.find('|', begin), c.reason.size());
      const std::string part = c.reason.substr(begin, end - begin);
      CAPTURE(part);
      CAPTURE(report.reason);
      CHECK(contains(report.reason, part));
      begin = end + 1;
    }
  }
}

TEST_CASE("other axes of a definition that one axis makes illegal stay legal") {
  Var x("x"), y("y");
  TensorParam A(float32, 3, "A"), index(int32, 1, "index");
  RDom r(0, A.extent(0), "r");
  Func F("F");
  F(x, y) = 0.f;
  F(index(r), y) = A(r, y, 0);
  CHECK(names_of_pit_axes({F, 0}) == "y");
  // Every iteration of r has an element of its own: a plain store is fine.
  Func G("G");
  G(x) = 0.f;
  G(r) = A(r, 0, 0);
  CHECK(names_of_pit_axes({G, 0}) == "r");
}

TEST_CASE("which iterations can write one element") {
  Var x("x"), y("y");
  TensorParam idx(int32, 1, "idx");
  Param<int> n("n");
  RDom r(0, 8, "r"), q(0, n, "q");
  struct Case {
    std::string name;
    std::vector<Expr> args;
    Race along_x, along_r;
  };
  const Race none = Race::None, shared = Race::SharedAccumulator, colliding = Race::Colliding;
  const std::vector<Case> cases = {
      {"a reduction", {x, y}, none, shared},
      {"bare", {x, r}, none, none},
      {"a sum alone", {x + r}, colliding, colliding},
      {"a sum beside one of its terms", {x + r, x}, none, none},
      {"digits of a number", {8 * x + r}, none, none},
      {"digits that overlap", {7 * x + r}, colliding, colliding},
      {"digits downwards", {r - 8 * x}, none, none},
      {"digits of unknown range", {8 * x + y, r}, colliding, none},
      {"quotient and remainder", {x / 4, x % 4}, none, shared},
      {"a quotient", {x / 4, r}, colliding, none},
      {"quotient and remainder of different divisors", {x / 4, x % 2}, colliding, shared},
      {"a data-dependent place", {idx(x), r}, colliding, none},
      {"a data-dependent shift beside its index", {x, idx(x) + r}, none, none},
      {"a data-dependent shift alone", {idx(x) + r}, colliding, colliding},
      {"a factor that may be zero", {x * n, r}, colliding, none},
      {"twice", {2 * x, r * -3}, none, none},
  };
  for (const Case &c : cases) {
    CAPTURE(c.name);
    DefinitionData definition;
    definition.args = c.args;
    definition.domain = r.node()->dims;
    definition.domain.push_back(q.node()->dims[0]);
    definition.combiner = Combiner::Sum;
    CHECK(race_along(definition, {x.node()}) == c.along_x);
    CHECK(race_along(definition, {r.x.node()}) == c.along_r);
  }

  DefinitionData combine;
  combine.args = {x, y};
  combine.domain = r.node()->dims;
  const VarPtr rv = r.x.node();
  CHECK_FALSE(needs_combine(combine, {rv}, {x.node()}));
  CHECK(needs_combine(combine, {x.node()}, {rv}));  // one group for each r, all write x
  CHECK(needs_combine(combine, {rv}, {}, true));    // the key parts the accumulator
  CHECK(race_along(combine, {x.node(), rv}) ==
        Race::Colliding);  // a fused axis: y(t, d) += over (t, u)
  CHECK(needs_combine(combine, {x.node(), rv}, {}, true));
}

TEST_CASE("outputs that may overwrite an input: read once, at the coordinates that are written") {
  Var x("x"), y("y");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom r(0, A.extent(1), "r");

  SUBCASE("elementwise, directly and through pure Funcs") {
    Func H("H"), Out("Out");
    H(x, y) = A(x, y) * 2;
    Out(x, y) = H(x, y) + A(x, y) + B(y, x);
    Out.where(A(x, y) != 0);
    Pipeline p({Out});
    CHECK(elementwise_same_coordinates(p, A.storage(), Out.func()));
    CHECK_FALSE(elementwise_same_coordinates(p, B.storage(), Out.func()));
  }
  SUBCASE("an input that is not read") {
    Func Out("Out");
    Out(x, y) = A(x, y);
    CHECK(elementwise_same_coordinates(Pipeline({Out}), B.storage(), Out.func()));
  }
  SUBCASE("a neighbour, through a pure Func") {
    Func H("H"), Out("Out");
    H(x, y) = A(x, y);
    Out(x, y) = H(x, y + 1);
    CHECK_FALSE(elementwise_same_coordinates(Pipeline({Out}), A.storage(), Out.func()));
  }
  SUBCASE("both at the coordinate and at a neighbour, through one pure Func") {
    Func H("H"), Out("Out");
    H(x, y) = A(x, y);
    Out(x, y) = H(x, y) + H(x + 1, y);
    CHECK_FALSE(elementwise_same_coordinates(Pipeline({Out}), A.storage(), Out.func()));
  }
  SUBCASE("a reduction of a row") {
    Func S("S"), Out("Out");
    S(x) += A(x, r);
    Out(x, y) = A(x, y) / S(x);
    CHECK_FALSE(elementwise_same_coordinates(Pipeline({Out}), A.storage(), Out.func()));
  }
  SUBCASE("an output with updates") {
    Func Out("Out");
    Out(x, y) = A(x, y);
    Out(x, y) += B(x, r);
    CHECK_FALSE(elementwise_same_coordinates(Pipeline({Out}), A.storage(), Out.func()));
  }
  SUBCASE("two values: one is stored before the other is read") {
    Func Out("Out");
    Out(x, y) = Tuple(B(x, y), A(x, y));
    CHECK_FALSE(elementwise_same_coordinates(Pipeline({Out}), A.storage(), Out.func()));
  }
  SUBCASE("another output that reads the input, directly or through a shared pure Func") {
    Func H("H"), Out("Out"), Other("Other"), Third("Third");
    H(x, y) = A(x, y);
    Out(x, y) = H(x, y);
    Other(x, y) = H(x, y + 1);
    Third(x, y) = B(x, y);
    CHECK_FALSE(elementwise_same_coordinates(Pipeline({Out, Other}), A.storage(), Out.func()));
    CHECK(elementwise_same_coordinates(Pipeline({Out, Third}), A.storage(), Out.func()));
    CHECK_FALSE(elementwise_same_coordinates(Pipeline({Out, Third}), A.storage(), Third.func()));
  }
}

}  // namespace
}  // namespace pit::test
