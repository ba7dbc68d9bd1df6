// Definitions as the tests of legality look at them.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "dsl/analysis/pit_axes.h"
#include "dsl/func.h"

namespace pit::test {

// The Funcs and parameters of an example live as long as what was built from them is looked at.
struct Operator {
  Func func;
  int update;  // -1: the pure definition

  int definition() const { return update + 1; }
  const DefinitionData &data() const {
    return func.func()->definitions.at(static_cast<std::size_t>(definition()));
  }
};

inline std::string names_of_pit_axes(const Operator &op) {
  std::string names;
  for (const AxisReport &report : pit_axes(Definition(op.func.func(), op.definition()))) {
    CHECK(report.is_pit == report.reason.empty());
    CHECK(report.is_pit == !report.proof.empty());
    if (report.is_pit)
      names += (names.empty() ? "" : " ") + report.axis->name + (report.needs_combine ? "*" : "");
  }
  return names;
}

inline AxisReport report_of(const Operator &op, const std::string &axis) {
  for (const AxisReport &report : pit_axes(Definition(op.func.func(), op.definition()))) {
    if (report.axis->name == axis) return report;
  }
  FAIL("no axis " << axis);
  return {};
}

inline bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

inline Operator sparse_matmul() {
  Var m("m"), n("n");
  TensorParam A(bfloat16, 2, "A"), B(bfloat16, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += f32(A(m, k)) * f32(B(k, n));
  return {C, 0};
}

}  // namespace pit::test
