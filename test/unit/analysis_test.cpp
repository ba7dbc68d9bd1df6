// Legality of definitions: PIT axes, separable accesses, annihilation, races, overlap.

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "dsl/analysis/annihilation.h"
#include "dsl/analysis/overlap.h"
#include "dsl/analysis/pit_axes.h"
#include "dsl/analysis/races.h"
#include "dsl/analysis/separable.h"
#include "dsl/func.h"
#include "dsl/pipeline.h"

using namespace pit;

namespace {

// The Funcs and parameters of an example live as long as what was built from them is looked at.
struct Operator {
  Func func;
  int update;  // -1: the pure definition

  int definition() const { return update + 1; }
  const DefinitionData &data() const {
    return func.func()->definitions.at(static_cast<std::size_t>(definition()));
  }
};

std::string names_of_pit_axes(const Operator &op) {
  std::string names;
  for (const AxisReport &report : pit_axes(Definition(op.func.func(), op.definition()))) {
    CHECK(report.is_pit == report.reason.empty());
    CHECK(report.is_pit == !report.proof.empty());
    if (report.is_pit)
      names += (names.empty() ? "" : " ") + report.axis->name + (report.needs_combine ? "*" : "");
  }
  return names;
}

AxisReport report_of(const Operator &op, const std::string &axis) {
  for (const AxisReport &report : pit_axes(Definition(op.func.func(), op.definition()))) {
    if (report.axis->name == axis) return report;
  }
  FAIL("no axis " << axis);
  return {};
}

bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

Operator matmul() {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  return {C, 0};
}

Operator sparse_matmul() {
  Var m("m"), n("n");
  TensorParam A(bfloat16, 2, "A"), B(bfloat16, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += f32(A(m, k)) * f32(B(k, n));
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

}  // namespace

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

TEST_CASE("access that is affine only in runs limits the micro extent") {
  Var x("x");
  TensorParam A(float32, 1, "A"), idx(int32, 1, "idx");
  Param<int> width("width");
  struct Case {
    Expr index;
    std::int64_t period;
  };
  const std::vector<Case> cases = {{x, 0},
                                   {3 * x - 5, 0},
                                   {i32(x), 0},
                                   {x * width, 0},
                                   {x % 7, 7},
                                   {x / 64, 64},
                                   {x % 8 + x / 8, 8},
                                   {(x + 4) / 8, 4},
                                   {(x + 3) / 8, 1},
                                   {2 * x / 8, 4},
                                   {2 * x / 3, 1},
                                   {4 * x / 2, 0},
                                   {x * x, 1},
                                   {idx(x), 1},
                                   {idx(x / 64), 64},
                                   {idx(x / 64) + x, 64},
                                   {(x / 4) / 4, 16},
                                   {(x % 64) / 8, 8},
                                   {(x % 64) % 8, 8},
                                   {x / width, 1},
                                   {8 * (x / 8) + x % 8, 0},
                                   {max(x / 32, 3), 32},
                                   {-x / 4, 1},
                                   {i64(cast(uint8, x)), 1}};
  for (const Case &c : cases) {
    CAPTURE(to_string(c.index));
    Func F("F");
    F(x) = A(c.index);
    for (std::int64_t micro : {1, 2, 4, 7, 8, 16, 32, 64}) {
      CAPTURE(micro);
      const AxisReport report = pit_axis(*F.func(), 0, {.axis = x.node(), .micro = micro});
      const bool legal = micro == 1 || c.period == 0 || c.period % micro == 0;
      CHECK(report.is_pit == legal);
      if (report.is_pit) CHECK(report.period == c.period);
      if (!report.is_pit)
        CHECK(contains(report.reason,
                       "not affine in x within a micro-tile of " + std::to_string(micro)));
    }
  }
}

TEST_CASE("micro-tiles begin at the minimum of a domain, and so do the runs that they must fit") {
  Var x("x");
  TensorParam A(float32, 1, "A"), begin(int32, 1, "begin");
  struct Case {
    Expr min;
    std::int64_t period;
  };
  for (const Case &c : {Case{0, 8}, Case{16, 8}, Case{4, 4}, Case{3, 1}, Case{begin(0), 1}}) {
    CAPTURE(to_string(c.min));
    RDom r(c.min, 100, "r");
    Func F("F");
    F(x) += A(r % 8 + x);
    CHECK(report_of({F, 0}, "r").period == c.period);
    CHECK(report_of({F, 0}, "x").period == 0);
  }
}

TEST_CASE("the group decides what a gathered index may read") {
  Var t("t"), s("s"), f("f");
  TensorParam X(float32, 2, "X"), W(float32, 3, "W"), expert(int32, 2, "expert");
  RDom c(0, X.extent(1), "c");
  Func Y("Y");
  Y(t, s, f) += X(t, c) * W(expert(t, s), c, f);
  const FuncNode &node = *Y.func();

  // By default nothing ties s to t.
  CHECK_FALSE(pit_axis(node, 1, {.axis = t.node()}).is_pit);
  CHECK(pit_axis(node, 1, {.axis = t.node(), .group = Expr(s)}).is_pit);
  // The fused axis reads both; its group is the key.
  Var ts("ts");
  AxisChoice by_expert{
      .axis = ts.node(), .fused_from = {t.node(), s.node()}, .group = expert(t, s)};
  const AxisReport report = pit_axis(node, 1, by_expert);
  CHECK(report.is_pit);
  CHECK(report.axis == ts.node());
  CHECK(report.kind == AxisKind::Free);
  CHECK_FALSE(report.needs_combine);
  // A key that partitions a reduction splits an accumulator.
  TensorParam key(int32, 1, "key");
  CHECK(pit_axis(node, 1, {.axis = c.x.node(), .group = key(c)}).needs_combine);
  CHECK_FALSE(pit_axis(node, 1, {.axis = c.x.node(), .group = Expr(t)}).needs_combine);
}

TEST_CASE("sums of an index: what is divisible leaves a division, remainders become divisions") {
  Var x("x"), i("i");
  Param<int> n("n");
  struct Case {
    Expr a, b;
  };
  const std::vector<Case> equal_cases = {{(8 * x + i) / 8, x + i / 8},
                                         {(8 * x + 3) / 8, x},
                                         {(x + 8) / 8, x / 8 + 1},
                                         {x % 8 + 8 * (x / 8), x},
                                         {(8 * x + i) % 8, i % 8},
                                         {(x / 2) / 3, x / 6},
                                         {(x / 2 + 1) / 3, (x + 2) / 6},
                                         {x - (x - i), i},
                                         {2 * (x + i) - 2 * i, 2 * x},
                                         {(x % 64) / 8, x / 8 - 8 * (x / 64)},
                                         {x * n - n * x, 0},
                                         {i32(x) + 1, i64(x) + 1},
                                         {(-3 * x + 5) / 3, 1 - x},
                                         {(x - 1) / 4 * 0 + i, i}};
  for (const Case &c : equal_cases) {
    CAPTURE(to_string(c.a));
    CAPTURE(to_string(c.b));
    const LinearIndex difference = linear_index(i64(c.a) - i64(c.b));
    CHECK(difference.terms.empty());
    CHECK(difference.constant == 0);
  }
  // Numbers that leave int64 are not computed with.
  const Expr big = make_int(int64, std::int64_t{1} << 62);
  CHECK(linear_index(x * big * big).terms.size() == 1);
  CHECK(linear_index(x * big + x * big).terms.size() == 1);
}

TEST_CASE("the form of an index on an axis: slope, data, what it cannot be separated from") {
  Var x("x"), y("y"), z("z");
  TensorParam idx(int32, 2, "idx"), A(float32, 2, "A");
  Param<int> n("n");

  AxisForm form = axis_form(3 * x + y * n + 7, {x.node()});
  CHECK(form.depends);
  CHECK(form.period == 0);
  CHECK(is_const_int(form.slope, &form.period));
  CHECK(form.period == 3);
  CHECK(form.joint.empty());

  form = axis_form(x * n + y, {x.node()});
  CHECK(equal(form.slope, i64(n)));
  CHECK(form.joint.empty());

  form = axis_form(x % 8 + y, {x.node()});
  CHECK(form.period == 8);
  CHECK(is_one(form.slope));

  form = axis_form(idx(x, y) + z, {x.node()});
  CHECK(form.data);
  CHECK(form.period == 1);
  CHECK_FALSE(form.slope.defined());
  CHECK((form.joint == std::vector<VarPtr>{y.node()}));

  form = axis_form((x + z) * y, {x.node()});
  CHECK_FALSE(form.data);
  CHECK(equal(form.slope, Expr(y)));
  CHECK((form.joint == std::vector<VarPtr>{y.node()}));

  form = axis_form(idx(x, y) + z, {x.node(), y.node()});
  CHECK(form.joint.empty());
  CHECK(form.data);

  CHECK_FALSE(axis_form(x - x + y, {x.node()}).depends);
  CHECK_FALSE(axis_form(idx(y, y), {x.node()}).depends);
}

TEST_CASE("contributions outside the predicate: which are nothing by themselves") {
  Var m("m"), n("n");
  TensorParam A(bfloat16, 2, "A"), B(bfloat16, 2, "B"), F32(float32, 2, "F32"),
      mask(uint8, 2, "mask"), flag(boolean, 1, "flag"), I(int32, 2, "I"), U(uint32, 2, "U");
  Param<float> scale("scale");
  RDom k(0, A.extent(1), "k");
  const Expr a = A(m, k), b = B(k, n), product = f32(a) * f32(b);
  struct Case {
    std::string name;
    bool nothing;
    Combiner combiner;
    std::vector<Expr> values, predicates;
  };
  const auto sum = Combiner::Sum;
  const std::vector<Case> cases = {
      {"nothing fails", true, sum, {product}, {}},
      {"a factor is zero", true, sum, {product}, {a != 0}},
      {"the other factor", true, sum, {product}, {b != 0}},
      {"written the other way round", true, sum, {product}, {0 != a}},
      {"not equal, as a negation", true, sum, {product}, {!(a == 0)}},
      {"either factor may be zero", true, sum, {product}, {a != 0, b != 0}},
      {"a conjunction in one predicate", true, sum, {product}, {a != 0 && b != 0}},
      {"one conjunct says nothing", false, sum, {product}, {a != 0, mask(m, k) != 0}},
      {"a disjunction fails as a whole", true, sum, {product}, {a != 0 || mask(m, k) != 0}},
      {"seen through a widening cast", true, sum, {product}, {f32(a) != 0}},
      {"a narrowing cast may lose the value",
       false,
       sum,
       {F32(m, k) * f32(b)},
       {bf16(F32(m, k)) != 0}},
      {"through an integer's conversion",
       true,
       sum,
       {i32(mask(m, k)) * I(k, n)},
       {i32(mask(m, k)) != 0}},
      {"scaled, negated, in a sum", true, sum, {scale * (-f32(a) * f32(b) + f32(a) / 3)}, {a != 0}},
      {"another tensor's value", false, sum, {product}, {mask(m, k) != 0}},
      {"another element of the tensor", false, sum, {product}, {A(m, k + 1) != 0}},
      {"another value than zero", false, sum, {product}, {a != 1}},
      {"an addend", false, sum, {f32(a) + f32(b)}, {a != 0}},
      {"exp of zero is one", false, sum, {exp(f32(a)) * f32(b)}, {a != 0}},
      {"a function that is zero at zero", true, sum, {tanh(f32(a)) * silu(f32(a))}, {a != 0}},
      {"division by an unknown", false, sum, {f32(a) / f32(b)}, {a != 0}},
      {"both values of a Tuple", true, sum, {product, f32(a) * F32(k, n)}, {a != 0}},
      {"one value of a Tuple", false, sum, {product, F32(k, n)}, {a != 0}},
      {"a count", false, sum, {make_int(int32, 1)}, {a != 0}},
      {"a flag", true, sum, {select(flag(k), f32(b), 0.f)}, {flag(k)}},
      {"the predicate itself in a select", true, sum, {select(m < k, f32(b), 0.f)}, {m < k}},
      {"an unsigned value above zero", true, sum, {f32(U(m, k)) * f32(b)}, {U(m, k) > 0u}},
      {"a rectified integer", true, sum, {max(I(m, k), 0) * I(k, n)}, {I(m, k) > 0}},
      {"a rectified integer against one", true, sum, {max(I(m, k), 0) * I(k, n)}, {I(m, k) >= 1}},
      {"a negative integer", false, sum, {I(m, k) * I(k, n)}, {I(m, k) > 0}},
      {"an order on floats lets NaN through",
       false,
       sum,
       {max(F32(m, k), 0) * f32(b)},
       {F32(m, k) > 0}},
      {"product of ones", true, Combiner::Product, {select(a != 0, f32(b), 1.f)}, {a != 0}},
      {"product of zeros", false, Combiner::Product, {product}, {a != 0}},
      {"maximum of nothing",
       true,
       Combiner::Max,
       {select(a != 0, f32(b), -std::numeric_limits<float>::infinity())},
       {a != 0}},
      {"maximum of zeros", false, Combiner::Max, {product}, {a != 0}},
      {"a disjunction of false", true, Combiner::Or, {flag(k)}, {flag(k)}},
      {"a store writes zeros too", false, Combiner::Assign, {product}, {a != 0}},
      {"a softmax counts a zero score", false, Combiner::Softmax, {product, f32(b)}, {a != 0}},
      {"the zero of either sign", true, sum, {f32(a) * -f32(b)}, {a != 0}},
  };
  for (const Case &c : cases) {
    CAPTURE(c.name);
    DefinitionData definition;
    definition.combiner = c.combiner;
    definition.values = c.values;
    CHECK(annihilates(definition, c.predicates) == c.nothing);
  }
  CHECK(annihilates(sparse_matmul().data(), sparse_matmul().data().predicates) ==
        false);  // other tensors
  const Operator op = sparse_matmul();
  CHECK(annihilates(op.data(), op.data().predicates));
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
