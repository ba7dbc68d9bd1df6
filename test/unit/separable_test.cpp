// Access: affine only in runs, gathered indices, the form of an index on an axis.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "analysis.h"
#include "dsl/analysis/separable.h"
#include "dsl/func.h"
#include "dsl/pipeline.h"

namespace pit::test {
namespace {

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

}  // namespace
}  // namespace pit::test
