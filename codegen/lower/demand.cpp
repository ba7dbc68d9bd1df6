// Where stages are needed: Func::where travels from consumers to producers.
//
// A stage whose every use lies under the same conjunct, written in coordinates that are the stage's
// own, is only computed where the conjunct holds. What cannot be said in the stage's Vars is
// dropped, which computes more than needed.

#include <algorithm>
#include <optional>

#include "accesses.h"
#include "dsl/error.h"
#include "interval.h"

namespace pit::lower {
namespace {

class Demand {
 public:
  explicit Demand(Plan *plan) : plan_(plan) {}

  void run() {
    for (auto it = plan_->stages.rbegin(); it != plan_->stages.rend(); ++it) {
      PlannedStage *stage = it->get();
      if (stage->level != Level::Root) continue;
      check_has_value(*stage);
      if (!stage->is_output && !lists_are_results(*stage)) restrict(stage);
    }
  }

 private:
  Plan *plan_;

  template <class Visit>
  void each_use(const PlannedStage &stage, const Visit &visit) const {
    for (const auto &site : plan_->stages) {
      if (site->level != Level::Root && site->level != Level::With) continue;
      for_each_access(*plan_, *site, [&](const Access &access) {
        if (access.stage == &stage && !access.own) visit(access);
      });
    }
  }

  /// Every use of a Func with Func::where must lie under its conjuncts.
  void check_has_value(const PlannedStage &stage) const {
    for (const Expr &p : stage.func->predicates) {
      each_use(stage, [&](const Access &access) {
        const Expr needed =
            substitute(inlined_predicate(stage, p), stage.func->args, access.indices);
        const bool implied = std::any_of(access.guards.begin(), access.guards.end(),
                                         [&](const Expr &g) { return same_condition(g, needed); });
        if (!implied) {
          throw CompileError(
              access.site->name() + " reads " + stage.name() +
                  " where it has no value: " + stage.name() + " is restricted by where(" +
                  to_string(p) + "), and the access is not under that condition; add where(" +
                  to_string(needed) + ") to " + access.site->name() +
                  " or to its domain, or write the where once, on " + access.site->name(),
              access.site->where);
        }
      });
    }
  }

  static Expr inlined_predicate(const PlannedStage &stage, const Expr &p) {
    // The pure definition holds the inlined form, in the same order.
    for (std::size_t i = 0; i < stage.func->predicates.size(); ++i) {
      if (stage.func->predicates[i].same_as(p)) return stage.definitions.at(0).predicates.at(i);
    }
    return p;
  }

  /// An index of the stage is an output, lays one out, or is asked for its lists: these say what
  /// the algorithm's predicates keep, needed or not.
  bool lists_are_results(const PlannedStage &stage) const {
    return std::any_of(plan_->indices.begin(), plan_->indices.end(), [&](const auto &index) {
      if (index->stage != &stage) return false;
      const bool layout =
          std::any_of(plan_->stages.begin(), plan_->stages.end(),
                      [&](const auto &s) { return s->is_output && s->compact == index.get(); });
      return is_output(*plan_, *index) || layout || is_asked_for(*plan_, *index, false);
    });
  }

  void restrict(PlannedStage *stage) {
    std::optional<std::vector<Expr>> common;
    each_use(*stage, [&](const Access &access) {
      std::vector<Expr> here = conditions_in_vars_of(*stage, access);
      if (!common) {
        common = here;
      } else {
        std::erase_if(*common, [&](const Expr &p) {
          return std::none_of(here.begin(), here.end(),
                              [&](const Expr &q) { return same_condition(p, q); });
        });
      }
    });
    if (!common) return;
    std::erase_if(*common, [&](const Expr &p) {
      return !holds_for_updates(*stage, p) || reads_beyond_uses(*stage, p);
    });
    for (PlannedDefinition &def : stage->definitions) {
      std::vector<Expr> all = def.predicates;
      std::vector<Expr> demanded;
      for (const Expr &p : *common) {
        const Expr here = def.number == 0 ? p : substitute(p, stage->func->args, def.args);
        const bool known = std::any_of(all.begin(), all.end(),
                                       [&](const Expr &q) { return same_condition(q, here); });
        if (!known) demanded.push_back(here);
      }
      def.predicates.insert(def.predicates.begin(), demanded.begin(), demanded.end());
    }
    for (const Expr &p : *common)
      plan_->explain(stage->name(), "demand", "needed only where " + to_string(p));
  }

  /// Uses lie where the predicate can be read; a declared bound may go further.
  static bool reads_beyond_uses(const PlannedStage &stage, const Expr &p) {
    if (!reads_data(p)) return false;
    return std::ranges::any_of(stage.func->args, [&](const VarPtr &v) {
      return uses(p, v) && stage.declared_bounds.contains(v.get());
    });
  }

  /// An update that stores or reads other coordinates of the Func than its own would miss what the
  /// predicate leaves out; so would slots of a top_k, which are computed together.
  bool holds_for_updates(const PlannedStage &stage, const Expr &p) const {
    if (stage.is_top_k() && uses(p, stage.func->args.back())) return false;
    for (const PlannedDefinition &def : stage.definitions) {
      if (def.number > 0 && !plain_left_side(stage, def, p)) return false;
    }
    bool holds = true;
    for_each_access(*plan_, stage, [&](const Access &access) {
      if (!access.own || access.is_store) return;
      for (std::size_t i = 0; i < access.indices.size(); ++i) {
        const Variable *v = access.indices[i].as<Variable>();
        if (uses(p, stage.func->args[i]) && (!v || v->var != stage.func->args[i])) holds = false;
      }
    });
    return holds;
  }

  /// The Vars that p reads are themselves on the left-hand side.
  static bool plain_left_side(const PlannedStage &stage, const PlannedDefinition &def,
                              const Expr &p) {
    for (std::size_t i = 0; i < stage.func->args.size(); ++i) {
      if (!uses(p, stage.func->args[i])) continue;
      const Variable *v = def.args[i].as<Variable>();
      if (!v || v->var != stage.func->args[i]) return false;
    }
    return true;
  }

  std::vector<Expr> conditions_in_vars_of(const PlannedStage &stage, const Access &access) const {
    std::vector<VarPtr> from;
    std::vector<Expr> to;
    for (std::size_t i = 0; i < access.indices.size(); ++i) {
      if (const Variable *v = access.indices[i].as<Variable>()) {
        from.push_back(v->var);
        to.push_back(make_variable(stage.func->args[i]));
      }
    }
    std::vector<Expr> result;
    for (const Expr &guard : access.guards) {
      const std::vector<VarPtr> vars = free_variables(guard);
      const bool expressible = std::all_of(vars.begin(), vars.end(), [&](const VarPtr &v) {
        return std::find(from.begin(), from.end(), v) != from.end();
      });
      if (expressible && computed_before(stage, guard))
        result.push_back(substitute(guard, from, to));
    }
    return result;
  }

  /// The stages that the guard reads come before `stage`, so that it can be tested there.
  bool computed_before(const PlannedStage &stage, const Expr &guard) const {
    bool before = true;
    walk(guard, [&](const Expr &node) {
      if (const Call *call = node.as<Call>()) {
        const PlannedStage *read = plan_->stage(*call);
        for (const auto &s : plan_->stages) {
          if (s.get() == &stage) before = false;
          if (s.get() == &stage || s.get() == read) break;
        }
        before = before && read->level == Level::Root;
      }
      return before;
    });
    return before;
  }
};

}  // namespace

void propagate_demand(Plan *plan) { Demand(plan).run(); }

}  // namespace pit::lower
