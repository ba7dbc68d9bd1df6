// Contributions outside of a predicate that are nothing by themselves.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "analysis.h"
#include "dsl/analysis/annihilation.h"
#include "dsl/func.h"
#include "dsl/pipeline.h"

namespace pit::test {
namespace {

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

}  // namespace
}  // namespace pit::test
