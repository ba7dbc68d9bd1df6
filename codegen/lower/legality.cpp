#include "legality.h"

#include <algorithm>

#include "accesses.h"
#include "dsl/analysis/pit_axes.h"
#include "dsl/error.h"
#include "dsl/loop_names.h"
#include "interval.h"

namespace pit::lower {
namespace {

/// Whether a condition of the list bounds `key` from below (key >= c, key > c) or above.
bool bounds(const std::vector<Expr> &conditions, const Expr &key, bool below) {
  return std::any_of(conditions.begin(), conditions.end(), [&](const Expr &condition) {
    const Binary *b = condition.as<Binary>();
    if (!b) return false;
    const bool greater = b->op == BinaryOp::Gt || b->op == BinaryOp::Ge,
               less = b->op == BinaryOp::Lt || b->op == BinaryOp::Le;
    return (same_condition(b->a, key) && (below ? greater : less)) ||
           (same_condition(b->b, key) && (below ? less : greater));
  });
}

/// e of an access of definition `index.definition`, in the definition's own reduction variables:
/// accesses have copies of them, behind the loops over Vars.
Expr in_own_variables(const Expr &e, const Access &access, const IndexPlan &index) {
  const auto &args = access.site->func->args;
  const auto &domain =
      access.site->definitions.at(static_cast<std::size_t>(index.definition)).domain;
  std::size_t first = 0;
  while (first < access.loops.size() &&
         std::find(args.begin(), args.end(), access.loops[first].var) != args.end())
    ++first;
  std::vector<VarPtr> from;
  std::vector<Expr> to;
  for (std::size_t i = 0; i < domain.size() && first + i < access.loops.size(); ++i) {
    from.push_back(access.loops[first + i].var);
    to.push_back(make_variable(domain[i].var));
  }
  return substitute(e, from, to);
}

/// Whether some access takes `key` for an index wherever the predicates hold, so that it is in
/// range there or the call fails under every schedule.
bool is_used_as_index(const Plan &plan, const PlannedStage &stage, const IndexPlan &index) {
  const Expr &key = index.key;
  const std::vector<Expr> &predicates = index.predicates;
  bool used = false;
  for_each_access(plan, stage, [&](const Access &access) {
    if (access.definition != index.definition && index.definition > 0) return;
    auto own = [&](const Expr &e) { return in_own_variables(e, access, index); };
    const bool indexes =
        std::any_of(access.indices.begin(), access.indices.end(),
                    [&](const Expr &i) { return same_condition(own(i), to_int64(key)); });
    if (!indexes) return;
    used |= std::none_of(access.guards.begin(), access.guards.end(), [&](const Expr &other) {
      const Expr guard = own(other);
      if (std::any_of(predicates.begin(), predicates.end(),
                      [&](const Expr &p) { return same_condition(p, guard); }))
        return false;
      bool reads_key = false;
      walk(guard, [&](const Expr &node) {
        reads_key |= same_condition(node, key);
        return !reads_key;
      });
      return reads_key;
    });
  });
  return used;
}

/// A partition needs a group for every position. A key that an expression guards (select(key >= 0,
/// W(key), 0)) may have none, while the definition has a value there.
void check_key(const Plan &plan, const PlannedStage &stage, const IndexPlan &index,
               const Directive &directive, const std::string &name) {
  if (index.kind != IndexKind::Keyed || stage.level != Level::Root ||
      is_used_as_index(plan, stage, index))
    return;
  VariableRanges ranges;
  for (std::size_t i = 0; i < index.axis_parts.size(); ++i) {
    const Range &r = index.axis_part_ranges[i];
    ranges[index.axis_parts[i].get()] = {r.min, r.min + r.extent - make_int(int64, 1)};
  }
  const Interval keys = interval_of(index.key, ranges, plan, false);
  std::int64_t low = -1;
  const bool from_zero = bounds(index.predicates, index.key, true) ||
                         (keys.low.defined() && is_const_int(keys.low, &low) && low >= 0);
  const bool to_end = bounds(index.predicates, index.key, false) || keys.high.defined();
  if (from_zero && to_end) return;
  const std::string key = to_string(index.key);
  throw CompileError(name + ".pit_tile: nothing says that the key " + key +
                         " is a group wherever " + stage.name() +
                         " has a value: a select may guard its use, but a partition has no place "
                         "for a key that is no group. Say " +
                         stage.name() +
                         (from_zero ? ".where(" + key + " < n)" : ".where(" + key + " >= 0)") +
                         ", or bring the key into range: clamp(" + key + ", 0, n - 1)",
                     directive.where);
}

void check_rule(const Plan &plan, const PlannedStage &stage, const PlannedDefinition &def,
                const Directive &directive, const std::vector<Directive> &directives,
                const std::string &name) {
  const IndexPlan &index = *plan.index_of.at(identity_of(directive.index));
  AxisChoice choice;
  choice.axis = index.axis;
  choice.fused_from = index.axis_parts;
  choice.group = index.node->group;
  choice.micro = index.micro;
  check_key(plan, stage, index, directive, name);
  const AxisReport report = pit_axis(*stage.func, def.number, choice);
  if (!report.is_pit) {
    throw CompileError(
        name + ".pit_tile: " + index.axis->name + " is not a PIT axis: " + report.reason,
        directive.where);
  }
  std::string rule = "axis " + index.axis->name + ", micro-tile " + std::to_string(index.micro);
  for (const GroupVar &g : index.group)
    rule += " x " + std::to_string(g.micro) + " of " + g.var->name;
  for (const auto &[v, extent] : directive.dense)
    rule += (&v == &directive.dense[0].first ? ", dense " : " x ") + std::to_string(extent) +
            " of " + v->name;
  plan.explain(name, "rule", rule + ", index " + index.name());
  plan.explain(name, "proof", report.proof);
  if (report.needs_combine) {
    const bool atomic = plan.target->is_cuda() &&
                        std::any_of(directives.begin(), directives.end(), [](const Directive &d) {
                          return d.kind == DirectiveKind::Atomic;
                        });
    plan.explain(name, "races",
                 std::string("iterations outside one tile may write one element: they ") +
                     (atomic ? "add to it in any order" : "run in a fixed order"));
  }
}

}  // namespace

void check_legality(const Plan &plan) {
  for (const auto &stage : plan.stages) {
    for (const PlannedDefinition &def : stage->definitions) {
      auto check_all = [&](const std::vector<Directive> &directives) {
        for (const Directive &d : directives) {
          if (d.kind == DirectiveKind::PitTile)
            check_rule(plan, *stage, def, d, directives, def.name_under(*stage->func, directives));
        }
      };
      check_all(def.directives);
      for (const auto &[condition, directives] : def.specializations) check_all(directives);
    }
  }
}

}  // namespace pit::lower
