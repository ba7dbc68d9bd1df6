#include "legality.h"

#include "dsl/analysis/pit_axes.h"
#include "dsl/error.h"
#include "dsl/loop_names.h"

namespace pit::lower {
namespace {

void check_rule(const Plan &plan, const PlannedStage &stage, const PlannedDefinition &def, const Directive &directive,
                const std::string &name) {
  const IndexPlan &index = *plan.index_of.at(identity_of(directive.index));
  AxisChoice choice;
  choice.axis = index.axis;
  choice.fused_from = index.axis_parts;
  choice.group = index.node->group;
  choice.micro = index.micro;
  const AxisReport report = pit_axis(*stage.func, def.number, choice);
  if (!report.is_pit) {
    throw CompileError(name + ".pit_tile: " + index.axis->name + " is not a PIT axis: " + report.reason, directive.where);
  }
  std::string rule = "axis " + index.axis->name + ", micro-tile " + std::to_string(index.micro);
  for (const GroupVar &g : index.group) rule += " x " + std::to_string(g.micro) + " of " + g.var->name;
  for (const auto &[v, extent] : directive.dense) rule += (&v == &directive.dense[0].first ? ", dense " : " x ") + std::to_string(extent) + " of " + v->name;
  plan.explain(name, "rule", rule + ", index " + index.name());
  plan.explain(name, "proof", report.proof);
  if (report.needs_combine) {
    plan.explain(name, "races", "iterations outside one tile may write one element: they run in a fixed order");
  }
}

}  // namespace

void check_legality(const Plan &plan) {
  for (const auto &stage : plan.stages) {
    for (const PlannedDefinition &def : stage->definitions) {
      auto check_all = [&](const std::vector<Directive> &directives) {
        for (const Directive &d : directives) {
          if (d.kind == DirectiveKind::PitTile) check_rule(plan, *stage, def, d, def.name_under(*stage->func, directives));
        }
      };
      check_all(def.directives);
      for (const auto &[condition, directives] : def.specializations) check_all(directives);
    }
  }
}

}  // namespace pit::lower
