// Data that is unusual but legal: the documented result.
#include <cmath>
#include <limits>

#include "data_operators.h"

namespace pit::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Legal {
  std::string name;
  Operator op;
  std::function<void(Problem &)> change;
};

Problem &resize(Problem &p, const Shape &a, const Shape &b, const Shape &c) {
  p.inputs.at("A") = numbers(a, 1, 0.5);
  p.inputs.at("B") = numbers(b, 2);
  p.outputs.at("C") = c;
  return p;
}

const std::vector<Legal> kLegal = {
    {"a predicate that holds nowhere", multiply(),
     [](Problem &p) { p.inputs.at("A").fill_bytes(0); }},
    {"a predicate that holds everywhere", multiply(),
     [](Problem &p) { p.inputs.at("A").fill_bytes(0x40); }},
    {"one row without entries", multiply(),
     [](Problem &p) { p.inputs.at("A").sliced(0, 2, 3).fill_bytes(0); }},
    {"no rows", multiply(), [](Problem &p) { resize(p, {0, 9}, {9, 6}, {0, 6}); }},
    {"no columns", multiply(), [](Problem &p) { resize(p, {5, 9}, {9, 0}, {5, 0}); }},
    {"an empty sum", multiply(), [](Problem &p) { resize(p, {5, 0}, {0, 6}, {5, 6}); }},
    {"nothing at all", multiply(), [](Problem &p) { resize(p, {0, 0}, {0, 0}, {0, 0}); }},
    {"one element", multiply(), [](Problem &p) { resize(p, {1, 1}, {1, 1}, {1, 1}); }},
    {"capacity that is just enough", multiply([](SparseIndex &live) { live.capacity(27); }),
     [](Problem &p) { p.inputs.at("A").fill_bytes(0x40); }},
    {"NaN and infinity in the sparse operand", multiply(),
     [](Problem &p) {
       p.inputs.at("A").fill_bytes(0);
       p.inputs.at("A").set_number(Shape{1, 3}, kNan);
       p.inputs.at("A").set_number(Shape{4, 8}, -kInfinity);
       p.inputs.at("B").fill_bytes(0x40);
     }},
    {"NaN and infinity where strict() masks them", multiply({}, true),
     [](Problem &p) {
       p.inputs.at("B").set_number(Shape{2, 0}, kNan);
       p.inputs.at("B").set_number(Shape{5, 3}, kInfinity);
     }},
    {"dropped keys", route(int32, true), set("expert", {2}, -1)},
    {"all keys dropped", route(int32, true), put("expert", values<int>({-1, -2, -3, -4, -5, -6}))},
    {"one expert for all", route(int32, false), put("expert", values<int>({1, 1, 1, 1, 1, 1}))},
    {"no neighbour anywhere", convolution(),
     [](Problem &p) { p.inputs.at("nbr").fill_bytes(0xFF); }},
    {"lists in any order", given(), put("col", values<int>({2, 0, 1}))},
    {"falling row pointers: an empty row", csr_product(), set("rowptr", {2}, 1)},
    {"all rows empty", csr_product(), put("rowptr", values<int>({0, 0, 0, 0}))},
};

TEST_CASE("errors: unusual data has the result of the algorithm") {
  for (const Legal &c : kLegal) {
    for (const bool scheduled : {false, true}) {
      INFO(c.name << std::string(scheduled ? ", scheduled" : ""));
      Problem problem = c.op.data();
      c.change(problem);
      for (const Engine engine : {Engine::Compiled, Engine::CudaTileInterpreter}) {
        const Comparison comparison = check(c.op.build(scheduled), problem, engine, true);
        CHECK_MESSAGE(comparison.different == 0, comparison.first);
      }
    }
  }
}

TEST_CASE(
    "errors: without strict(), a skipped product with a value that is not finite is 0 or NaN") {
  const Operator op = multiply();
  Problem problem = op.data();
  problem.inputs.at("B").set_number(Shape{2, 0}, kNan);
  problem.inputs.at("B").set_number(Shape{5, 3}, kInfinity);
  for (const bool scheduled : {false, true}) {
    const Pipeline pipeline = op.build(scheduled);
    const auto out = poisoned_outputs(pipeline, problem),
               expected = poisoned_outputs(pipeline, problem);
    Reference(pipeline, problem.inputs, {}).run(expected);
    pipeline.compile().call(arguments(pipeline, problem, out));
    const AnyBuffer &c = out.at("C"), &reference = expected.at("C");
    for_each_coordinate(c.extents(), [&](const Shape &at) {
      const double y = c.number(at), r = reference.number(at);
      const bool beside = at[1] == 0 || at[1] == 3;  // columns with such a value
      CHECK((y == r || (std::isnan(y) && (std::isnan(r) || (scheduled && beside)))));
    });
  }
}

}  // namespace
}  // namespace pit::test
