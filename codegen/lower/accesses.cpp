#include "accesses.h"

#include <algorithm>

#include "interval.h"

namespace pit::lower {
namespace {

class Collector {
 public:
  Collector(const Plan &plan, const PlannedStage &site,
            const std::function<void(const Access &)> &visit)
      : plan_(plan), site_(site), visit_(visit) {}

  void run() {
    for (const PlannedDefinition &def : site_.definitions) {
      definition_ = def.number;
      std::vector<AccessLoop> loops;
      for (std::size_t i = 0; i < site_.func->args.size(); ++i) {
        const VarPtr &v = site_.func->args[i];
        // A Var that the left-hand side does not hold is not a loop of an update.
        if (def.number == 0 || holds(def, v)) {
          loops.push_back({v, site_.region.size() > i ? site_.region[i] : Range{}});
        }
      }
      definition(def, {}, {}, loops, {});
    }
  }

 private:
  const Plan &plan_;
  const PlannedStage &site_;
  const std::function<void(const Access &)> &visit_;
  int definition_ = 0;
  std::vector<const PlannedStage *> inside_;

  bool is_own(const PlannedDefinition &def) const {
    return !site_.definitions.empty() && &def >= &site_.definitions.front() &&
           &def <= &site_.definitions.back();
  }

  static bool holds(const PlannedDefinition &def, const VarPtr &v) {
    for (const Expr &arg : def.args) {
      if (uses(arg, v)) return true;
    }
    return false;
  }

  /// Accesses of one definition whose Vars `from` stand for `to`.
  void definition(const PlannedDefinition &def, std::vector<VarPtr> from, std::vector<Expr> to,
                  std::vector<AccessLoop> loops, std::vector<Expr> guards) {
    auto here = [&](const Expr &e) { return substitute(e, from, to); };
    for (const ReductionDim &dim : def.domain) {
      const Expr min_value = here(dim.min), extent = here(dim.extent);
      expression(min_value, loops, guards);
      expression(extent, loops, guards);
      // One stage may be seen through from two places: each gets its own reduction variable.
      const VarPtr fresh = is_own(def) ? dim.var : ir::make_loop_variable(dim.var->name);
      from.push_back(dim.var);
      to.push_back(make_variable(fresh));
      loops.push_back({fresh, {to_int64(min_value), to_int64(extent)}});
    }
    for (const Expr &p : def.predicates) {
      const Expr predicate = here(p);
      expression(predicate, loops, guards);
      guards.push_back(predicate);
    }
    if (def.number > 0) {
      std::vector<Expr> args;
      for (const Expr &arg : def.args) {
        args.push_back(here(arg));
        expression(args.back(), loops, guards);
      }
      if (is_own(def)) {
        Access access = at(loops, guards, args);
        access.stage = plan_.stage_of.at(site_.func.get());
        access.own = access.is_store = true;
        visit_(access);
      }
    }
    for (const Expr &value : def.values) expression(here(value), loops, guards);
  }

  /// `predicates` hold for the definition; `conditions` guard a part of an expression, but not the
  /// stages that it calls, which are computed before it.
  void expression(const Expr &e, const std::vector<AccessLoop> &loops,
                  const std::vector<Expr> &predicates, std::vector<Expr> conditions = {}) {
    if (const Select *s = e.as<Select>()) {
      expression(s->condition, loops, predicates, conditions);
      conditions.push_back(s->condition);
      expression(s->true_value, loops, predicates, conditions);
      conditions.back() = !s->condition;
      expression(s->false_value, loops, predicates, conditions);
      return;
    }
    if (const Binary *b = e.as<Binary>(); b && (b->op == BinaryOp::And || b->op == BinaryOp::Or)) {
      expression(b->a, loops, predicates, conditions);
      conditions.push_back(b->op == BinaryOp::And ? b->a : !b->a);
      expression(b->b, loops, predicates, conditions);
      return;
    }
    for (const Expr &operand : operands(e)) expression(operand, loops, predicates, conditions);
    std::vector<Expr> guards = predicates;
    guards.insert(guards.end(), conditions.begin(), conditions.end());
    if (const Load *load = e.as<Load>()) {
      Access access = at(loops, guards, load->indices);
      access.tensor = load->storage;
      visit_(access);
    } else if (const Call *call = e.as<Call>()) {
      PlannedStage *stage = plan_.stage(*call);
      Access access = at(loops, guards, call->args);
      access.stage = stage;
      access.component = call->component;
      access.own = stage == &site_;
      visit_(access);
      if (access.own || std::find(inside_.begin(), inside_.end(), stage) != inside_.end()) return;
      if (stage->level == Level::Root || stage->level == Level::With) return;
      std::vector<Expr> args;
      for (const Expr &arg : call->args) args.push_back(to_int64(arg));
      inside_.push_back(stage);  // its updates may read itself
      for (const PlannedDefinition &def : stage->definitions) {
        definition(def, stage->func->args, args, loops, predicates);
      }
      inside_.pop_back();
    }
  }

  Access at(const std::vector<AccessLoop> &loops, const std::vector<Expr> &guards,
            const std::vector<Expr> &indices) const {
    Access access;
    access.site = &site_;
    access.definition = definition_;
    access.loops = loops;
    access.guards = guards;
    for (const Expr &index : indices) access.indices.push_back(to_int64(index));
    return access;
  }
};

}  // namespace

void for_each_access(const Plan &plan, const PlannedStage &site,
                     const std::function<void(const Access &)> &visit) {
  Collector(plan, site, visit).run();
}

}  // namespace pit::lower
