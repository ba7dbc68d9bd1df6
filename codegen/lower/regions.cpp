// The box of coordinates over which every stage at root is computed and stored.

#include <functional>

#include "accesses.h"
#include "dsl/error.h"
#include "host_sizes.h"
#include "interval.h"
#include "linear.h"

namespace pit::lower {
namespace {

class Regions {
 public:
  explicit Regions(Plan *plan) : plan_(plan) {}

  void run() {
    for (auto it = plan_->stages.rbegin(); it != plan_->stages.rend(); ++it) {
      PlannedStage *stage = it->get();
      if (stage->level == Level::Innermost) continue;
      if (stage->is_output) {
        region_of_output(stage);
      } else {
        region_of_intermediate(stage);
      }
    }
  }

 private:
  Plan *plan_;

  void region_of_output(PlannedStage *stage) {
    const FuncNode &func = *stage->func;
    for (const Argument &argument : plan_->pipeline->signature()) {
      if (argument.kind != Argument::Kind::OutputTensor || argument.func != stage->func) continue;
      stage->storages.push_back(
          ir::make_storage(argument.name, argument.type, argument.rank, Space::Tensor));
    }
    for (std::size_t i = 0; i < func.args.size(); ++i) {
      if (auto bound = stage->declared_bounds.find(func.args[i].get());
          bound != stage->declared_bounds.end()) {
        stage->region.push_back(bound->second);
      } else if (stage->compact) {
        stage->region.push_back({make_int(int64, 0), extent_from_inputs(*stage, func.args[i])});
      } else {
        stage->region.push_back(
            {make_int(int64, 0), make_extent(stage->storages.at(0), static_cast<int>(i))});
      }
    }
  }

  /// A compact output does not say how far its Vars go; the tensors that they index do.
  Expr extent_from_inputs(const PlannedStage &stage, const VarPtr &v) {
    Expr extent;
    for_each_access(*plan_, stage, [&](const Access &access) {
      if (!access.tensor) return;
      for (std::size_t i = 0; i < access.indices.size(); ++i) {
        const Variable *index = access.indices[i].as<Variable>();
        if (!index || index->var != v) continue;
        const Expr here = make_extent(access.tensor, static_cast<int>(i));
        if (!extent.defined())
          extent = here;
        else if (!equal(extent, here))
          extent = min(extent, here);
      }
    });
    if (!extent.defined()) {
      throw CompileError(
          "the range of " + v->name + " in " + stage.name() +
              ", which is stored compactly, cannot be inferred because no tensor is indexed by " +
              v->name + " alone; declare it: " + stage.name() + ".bound(" + v->name +
              ", 0, extent)",
          stage.where);
    }
    return plan_->name_value(stage.name() + "." + v->name + ".extent", extent);
  }

  void region_of_intermediate(PlannedStage *stage) {
    const std::size_t rank = stage->func->args.size();
    std::vector<Interval> needed(rank);
    bool used = false;
    for (const auto &site : plan_->stages) {
      if (site->level != Level::Root && site->level != Level::With) continue;
      for_each_access(*plan_, *site, [&](const Access &access) {
        if (access.stage != stage || access.own) return;
        include(*stage, access, used, &needed);
        used = true;
      });
    }
    include_own_accesses(*stage, &needed);
    for (std::size_t i = 0; i < rank; ++i) {
      const VarPtr &v = stage->func->args[i];
      if (auto bound = stage->declared_bounds.find(v.get());
          bound != stage->declared_bounds.end()) {
        if (plan_->target->is_cuda() && stage->level == Level::Root &&
            reads_data(bound->second.min + bound->second.extent)) {
          throw CompileError(stage->name() + ".bound(" + v->name + ", " +
                                 to_string(bound->second.min) + ", " +
                                 to_string(bound->second.extent) +
                                 ") reads memory, and memory of a GPU is allocated before any is "
                                 "read; take it from a shape or a parameter",
                             stage->where);
        }
        stage->region.push_back(bound->second);
        continue;
      }
      if (!needed[i].bounded() || calls_a_stage(needed[i])) {
        if (stage->level == Level::At) {
          stage->region.push_back({});  // only an index over this Var would ask
          continue;
        }
        // Nobody can say anything of a Func that an expression has made.
        const std::string cure =
            stage->func->inline_reduction
                ? "make it a Func, e.g. T(..., " + v->name +
                      ") = " + stage->name().substr(0, stage->name().find('$')) +
                      "(...), with T.compute_root().bound(" + v->name + ", 0, extent)"
                : "declare it: " + stage->name() + ".bound(" + v->name + ", min, extent)";
        throw CompileError(
            "the range of " + v->name + " in " + stage->name() +
                " cannot be inferred from its uses (an index is data, or a bound is computed); " +
                cure,
            stage->where);
      }
      if (plan_->target->is_cuda() && reads_data(needed[i].high - needed[i].low)) {
        stage->region.push_back(region_from_shapes(stage, v, *plan_));
        continue;
      }
      const std::string prefix = stage->name() + "." + v->name;
      // All slots of a top_k up to the last one asked for are computed together.
      const bool slot = stage->is_top_k() && i + 1 == rank;
      const Expr low =
          slot ? make_int(int64, 0) : plan_->name_value(prefix + ".min", needed[i].low);
      const Expr extent = to_expr(linearize(needed[i].high - low + make_int(int64, 1)));
      const bool never_negative = extent.as<Extent>() != nullptr;
      stage->region.push_back(
          {low, plan_->name_value(prefix + ".extent",
                                  never_negative ? extent : max(extent, make_int(int64, 0)))});
    }
  }

  /// On a GPU memory is allocated before any is read: where the uses' range is data, the Func is
  /// computed as far as what its definitions read goes, and uses beyond that are refused.
  static Range region_from_shapes(PlannedStage *stage, const VarPtr &v, const Plan &plan) {
    if (stage->level == Level::At) return {};
    Expr end;
    for (const PlannedDefinition &def : stage->definitions) {
      const Expr here = end_from_shapes(plan, def, v).value;
      if (here.defined()) end = end.defined() && !equal(end, here) ? min(end, here) : here;
    }
    if (!end.defined()) {
      throw CompileError("the range of " + v->name + " in " + stage->name() +
                             " is data, and memory of a GPU is allocated before any is read; "
                             "declare the largest: " +
                             stage->name() + ".bound(" + v->name + ", min, extent)",
                         stage->where);
    }
    const Range range{make_int(int64, 0), end};
    stage->declared_bounds[v.get()] = range;
    return range;
  }

  void include(const PlannedStage &stage, const Access &access, bool widen,
               std::vector<Interval> *needed) {
    const VariableRanges ranges = ranges_of(access);
    for (std::size_t i = 0; i < needed->size(); ++i) {
      if (stage.declared_bounds.contains(stage.func->args[i].get())) continue;
      const Interval here = interval_of(access.indices[i], ranges, *plan_, true);
      Interval &all = (*needed)[i];
      if (!widen) {
        all = here;
      } else {
        all.low = merge(all.low, here.low, [](const Expr &a, const Expr &b) { return min(a, b); });
        all.high =
            merge(all.high, here.high, [](const Expr &a, const Expr &b) { return max(a, b); });
      }
    }
  }

  /// What updates read and store of their own Func belongs to the region as well, where its range
  /// is known. A dimension may follow from another, so this goes on until nothing changes; what
  /// grows without end stays as the uses need it, and the access is refused where it leaves that.
  void include_own_accesses(const PlannedStage &stage, std::vector<Interval> *needed) {
    const std::vector<Interval> by_uses = *needed;
    for (std::size_t round = 0; round <= needed->size(); ++round) {
      bool changed = false;
      for_each_access(*plan_, stage, [&](const Access &access) {
        if (!access.own) return;
        VariableRanges ranges = ranges_of(access);
        for (std::size_t i = 0; i < needed->size(); ++i)
          ranges[stage.func->args[i].get()] = range_of_var(stage, i, *needed);
        for (std::size_t i = 0; i < needed->size(); ++i) {
          const Variable *plain = access.indices[i].as<Variable>();
          if (plain && plain->var == stage.func->args[i]) continue;
          const Interval here = interval_of(access.indices[i], ranges, *plan_, true);
          if (!here.bounded() || calls_a_stage(here)) continue;
          changed |= widen(here, &(*needed)[i]);
        }
      });
      if (!changed) return;
    }
    *needed = by_uses;
  }

  static Interval range_of_var(const PlannedStage &stage, std::size_t i,
                               const std::vector<Interval> &needed) {
    const auto bound = stage.declared_bounds.find(stage.func->args[i].get());
    if (bound == stage.declared_bounds.end()) return needed[i];
    return {bound->second.min, bound->second.min + bound->second.extent - make_int(int64, 1)};
  }

  /// Makes `all` hold `here` too; says whether that changed it.
  static bool widen(const Interval &here, Interval *all) {
    const bool low = !is_among(here.low, all->low, BinaryOp::Min),
               high = !is_among(here.high, all->high, BinaryOp::Max);
    if (low)
      all->low = merge(all->low, here.low, [](const Expr &a, const Expr &b) { return min(a, b); });
    if (high)
      all->high =
          merge(all->high, here.high, [](const Expr &a, const Expr &b) { return max(a, b); });
    return (low && all->low.defined()) || (high && all->high.defined());
  }

  /// `bound`, a minimum or maximum of several values, takes `value` into account already.
  static bool is_among(const Expr &value, const Expr &bound, BinaryOp op) {
    if (!bound.defined()) return true;
    if (equal(value, bound)) return true;
    const auto difference = constant_difference(bound, value);
    if (difference && (op == BinaryOp::Min ? *difference <= 0 : *difference >= 0)) return true;
    const Binary *b = bound.as<Binary>();
    return b && b->op == op && (is_among(value, b->a, op) || is_among(value, b->b, op));
  }

  static Expr merge(const Expr &a, const Expr &b, Expr (*combine_two)(const Expr &, const Expr &)) {
    if (!a.defined() || !b.defined()) return {};
    return equal(a, b) ? a : combine_two(a, b);
  }

  VariableRanges ranges_of(const Access &access) const {
    VariableRanges ranges;
    for (const AccessLoop &loop : access.loops) {
      Interval interval;
      if (loop.range.min.defined()) {
        const Interval low = interval_of(loop.range.min, ranges, *plan_, true);
        const Interval end = interval_of(loop.range.min + loop.range.extent, ranges, *plan_, true);
        interval.low = low.low;
        if (end.high.defined()) interval.high = end.high - make_int(int64, 1);
      }
      ranges[loop.var.get()] = interval;
    }
    return ranges;
  }

  static bool calls_a_stage(const Interval &interval) {
    bool calls = false;
    for (const Expr &e : {interval.low, interval.high}) {
      walk(e, [&](const Expr &node) {
        calls |= node->kind == ExprKind::Call;
        return !calls;
      });
    }
    return calls;
  }
};

}  // namespace

void infer_regions(Plan *plan) { Regions(plan).run(); }

}  // namespace pit::lower
