// Stages computed inside another: at a tile, or at the innermost place of use.
//
// A stage computed at a tile is needed at the tile's *set* of positions. When every use has one and
// the same argument, the argument is fixed to that expression and the stage's tile gets the axes
// that the expression reads; the positions may be scattered. Otherwise the argument gets an axis of
// its own over the range that the uses span.

#include <algorithm>
#include <utility>

#include "dsl/analysis/races.h"
#include "dsl/error.h"
#include "dsl/loop_names.h"
#include "emit.h"
#include "interval.h"
#include "job.h"
#include "linear.h"

namespace pit::lower {

using ir::Stmt;

std::vector<PlannedStage *> Emitter::stages_at(const Job &job, const Dim &dim) const {
  std::vector<PlannedStage *> result;
  const bool pit = job.nest.has_pit && dim.var == job.nest.pit.tile_var;
  for (const auto &stage : plan_->stages) {
    if (stage->level != Level::At || stage->consumer != job.stage ||
        realized_.contains(stage.get()))
      continue;
    if (stage->consumer_loop == dim.name) {
      if (used_by(*stage, job)) result.push_back(stage.get());
    } else if (pit && stage->consumer_definition != job.def->number) {
      // Another definition of the consumer, tiled by another rule: the stage is computed at its
      // tile as well.
      std::vector<Inner> inner;
      std::vector<CallSite> sites;
      collect_sites(*stage, *job.def, job.scope.from, job.scope.to, job.scope.axes, &inner, &sites);
      if (!sites.empty()) result.push_back(stage.get());
    }
  }
  return result;
}

/// Whether the definition under way, or one that shares its loops, uses `stage`.
bool Emitter::used_by(const PlannedStage &stage, const Job &job) const {
  std::vector<Inner> inner;
  std::vector<CallSite> sites;
  collect_sites(stage, *job.def, job.scope.from, job.scope.to, job.scope.axes, &inner, &sites);
  for (const auto &with : plan_->stages) {
    if (with->level != Level::With || with->consumer != job.stage) continue;
    for (const PlannedDefinition &def : with->definitions) {
      collect_sites(stage, def, job.scope.from, job.scope.to, job.scope.axes, &inner, &sites);
    }
  }
  return !sites.empty();
}

/// The uses of `producer` in `def`, seen through stages that are themselves computed inside, in
/// terms of the scope and of variables that are added to `inner`.
void Emitter::collect_sites(const PlannedStage &producer, const PlannedDefinition &def,
                            const std::vector<VarPtr> &from, const std::vector<Expr> &to,
                            const std::vector<ir::AxisBinding> &axes, std::vector<Inner> *inner,
                            std::vector<CallSite> *sites) const {
  std::vector<VarPtr> names = from;
  std::vector<Expr> values = to;
  for (const ReductionDim &dim : def.domain) {
    if (std::find(names.begin(), names.end(), dim.var) != names.end()) continue;
    const VarPtr counter = ir::make_loop_variable(dim.var->name);
    const Expr low = substitute(to_int64(dim.min), names, values);
    std::int64_t c = 0;
    const Expr extent = substitute(to_int64(dim.extent), names, values);
    inner->push_back({counter, extent, is_const_int(extent, &c) ? c : 0});
    names.push_back(dim.var);
    values.push_back(low + make_variable(counter));
  }
  auto look = [&](const Expr &e) {
    walk(without_uniform_divisions(substitute(e, names, values), axes), [&](const Expr &node) {
      const Call *call = node.as<Call>();
      if (!call) return true;
      const PlannedStage *stage = plan_->stage(*call);
      std::vector<Expr> args;
      for (const Expr &arg : call->args) args.push_back(to_int64(arg));
      if (stage == &producer) {
        sites->push_back({args, call->component});
      } else if (stage->level != Level::Root && stage->level != Level::With &&
                 !realized_.contains(stage) && stage->func->definitions.data() != def_owner(def)) {
        for (const PlannedDefinition &d : stage->definitions) {
          collect_sites(producer, d, stage->func->args, args, axes, inner, sites);
        }
      }
      return true;
    });
  };
  for (const Expr &value : def.values) look(value);
  for (const Expr &predicate : def.predicates) look(predicate);
  if (def.number > 0) {
    for (const Expr &arg : def.args) look(arg);
  }
}

/// Whether an update's value or predicate reads the Func that it updates; `elsewhere`: at another
/// place of this dimension than it stores.
bool Emitter::reads_itself(const PlannedStage &stage, std::optional<std::size_t> elsewhere) {
  bool reads = false;
  for (const PlannedDefinition &def : stage.definitions) {
    for (const auto *list : {&def.values, &def.predicates}) {
      for (const Expr &e : *list) {
        walk(e, [&](const Expr &node) {
          const Call *call = node.as<Call>();
          reads |= call && call->func == stage.func.get() &&
                   (!elsewhere || !same_condition(call->args[*elsewhere], def.args[*elsewhere]));
          return !reads;
        });
      }
    }
  }
  return reads;
}

Emitter::Realization Emitter::make_realization(const PlannedStage &producer,
                                               const std::vector<CallSite> &sites,
                                               const Scope &scope,
                                               const std::vector<Inner> &inner) {
  const FuncNode &func = *producer.func;
  Realization result;
  std::vector<TileDim> ranged(func.args.size());
  // Components 0 and 1 of a softmax state do not vary with the Vars that only the value reads.
  std::vector<bool> of_score(func.args.size(), true);
  if (producer.is_softmax()) {
    for (std::size_t i = 0; i < func.args.size(); ++i) {
      of_score[i] = false;
      for (const PlannedDefinition &def : producer.definitions) {
        if (def.number == 0) continue;
        of_score[i] = of_score[i] || uses(def.values.at(0), func.args[i]);
        for (const Expr &p : def.predicates) of_score[i] = of_score[i] || uses(p, func.args[i]);
        for (const ReductionDim &d : def.domain) {
          of_score[i] = of_score[i] || uses(d.min, func.args[i]) || uses(d.extent, func.args[i]);
        }
      }
    }
  }
  VariableRanges ranges, largest;
  for (const ir::AxisBinding &axis : scope.axes) {
    ranges[axis.var.get()] = {make_int(int64, 0), axis.extent - make_int(int64, 1)};
    if (axis.maximum > 0)
      largest[axis.var.get()] = {make_int(int64, 0), make_int(int64, axis.maximum - 1)};
    else
      largest[axis.var.get()] = {};
  }
  for (const Inner &loop : inner) {
    if (loop.maximum > 0)
      largest[loop.var.get()] = {make_int(int64, 0), make_int(int64, loop.maximum - 1)};
    else
      largest[loop.var.get()] = {};
    if (!loop.extent.defined()) {
      ranges[loop.var.get()] = largest[loop.var.get()];
      continue;
    }
    const Interval low = interval_of(loop.min, ranges, *plan_, true),
                   end = interval_of(loop.min + loop.extent, ranges, *plan_, true);
    ranges[loop.var.get()] = {low.low, end.high.defined() ? end.high - make_int(int64, 1) : Expr()};
  }
  for (std::size_t i = 0; i < func.args.size(); ++i) {
    const bool plain = std::all_of(producer.definitions.begin(), producer.definitions.end(),
                                   [&](const PlannedDefinition &d) {
                                     const Variable *v = d.args.at(i).as<Variable>();
                                     return v && v->var == func.args[i];
                                   }) &&
                       !reads_itself(producer, i);
    Expr fixed;
    bool one = plain;
    Interval span, widest;
    bool first = true;
    for (const CallSite &site : sites) {
      if (!of_score[i] && site.component != 2) continue;
      const Expr &arg = site.args.at(i);
      one = one && (first || equal(fixed, arg));
      for (const Inner &loop : inner) one = one && !uses(arg, loop.var);
      fixed = arg;
      const Interval here = interval_of(arg, ranges, *plan_, true),
                     wide = interval_of(arg, largest, *plan_, true);
      auto hull = [&](Interval *all, const Interval &next) {
        all->low = first                                      ? next.low
                   : all->low.defined() && next.low.defined() ? min(all->low, next.low)
                                                              : Expr();
        all->high = first                                        ? next.high
                    : all->high.defined() && next.high.defined() ? max(all->high, next.high)
                                                                 : Expr();
      };
      hull(&span, here);
      hull(&widest, wide);
      first = false;
    }
    if (first) {  // only read through components that do not vary with it
      fixed = sites.at(0).args.at(i);
      one = true;
    }
    result.fixed_args.push_back(one ? fixed : Expr());
    if (one) continue;
    if (!plain && reads_itself(producer)) {
      // An update that moves along this dimension may read any place that another one stored.
      const Range whole = i < producer.region.size() ? producer.region[i] : Range{};
      span = whole.min.defined()
                 ? Interval{whole.min, whole.min + whole.extent - make_int(int64, 1)}
                 : Interval{};
      widest = span;
    }
    if (!span.bounded()) {
      throw CompileError(producer.name() + " is computed at a tile, but the range of " +
                             func.args[i]->name +
                             " that the tile needs cannot be inferred (an index is data and "
                             "varies); compute it at root with bound()",
                         producer.where);
    }
    TileDim &dim = ranged[i];
    dim.arg = static_cast<int>(i);
    dim.min = span.low;
    // Ranges of several loops are added up as if all were the longest at once: parts of a split.
    dim.goes_further = std::ranges::any_of(sites, [&](const CallSite &site) {
      return std::ranges::count_if(
                 inner, [&](const Inner &loop) { return uses(site.args.at(i), loop.var); }) > 1;
    });
    dim.range.var = ir::make_axis_variable(func.args[i]->name);
    dim.range.extent = span.high - span.low + make_int(int64, 1);
    if (widest.bounded())
      dim.range.maximum =
          std::max<std::int64_t>(constant_difference(widest.high, widest.low).value_or(-1) + 1, 0);
  }
  for (std::size_t c = 0; c < func.types.size(); ++c) {
    std::vector<TileDim> dims;
    for (const ir::AxisBinding &axis : scope.axes) {
      bool used = false;
      for (std::size_t i = 0; i < func.args.size(); ++i) {
        if (c < 2 && producer.is_softmax() && !of_score[i]) continue;
        used |= result.fixed_args[i].defined() && uses(result.fixed_args[i], axis.var);
      }
      if (used) dims.push_back({axis.var, -1, {}, axis});
    }
    for (std::size_t i = 0; i < func.args.size(); ++i) {
      if (result.fixed_args[i].defined() || (c < 2 && producer.is_softmax() && !of_score[i]))
        continue;
      dims.push_back(ranged[i]);
    }
    const std::string suffix = func.types.size() > 1 ? "." + std::to_string(c) : "";
    result.storages.push_back(ir::make_storage(func.name + suffix, func.types[c],
                                               static_cast<int>(dims.size()), Space::Tile));
    result.dims.push_back(std::move(dims));
  }
  return result;
}

/// The storages of a realisation around `body`. Tiles have their static size where there is one.
Stmt Emitter::with_storages(const Realization &realization, const Scope &scope, Stmt body) {
  for (std::size_t c = realization.storages.size(); c-- > 0;) {
    std::vector<Expr> extents;
    for (const TileDim &dim : realization.dims[c]) {
      extents.push_back(dim.range.maximum > 0 ? make_int(int64, dim.range.maximum)
                                              : lower_expr(dim.range.extent, scope));
    }
    body = ir::make<ir::Allocate>(realization.storages[c], extents, body);
  }
  return body;
}

/// A range that goes past all uses may leave the producer's region, outside of which nothing can be
/// read.
void Emitter::guard_region(const PlannedStage &producer, const TileDim &dim) {
  if (!dim.goes_further || static_cast<std::size_t>(dim.arg) >= producer.region.size()) return;
  const Range &region = producer.region[static_cast<std::size_t>(dim.arg)];
  if (!region.min.defined()) return;
  const Expr end = region.min + region.extent;
  const bool inside = constant_difference(dim.min, region.min).value_or(-1) >= 0 &&
                      constant_difference(end, dim.min + dim.range.extent).value_or(-1) >= 0;
  if (inside) return;
  const Expr at = dim.min + make_variable(dim.range.var);
  producer_guards_.push_back(at >= region.min && at < end);
}

/// The definitions of a realised stage. Its Vars are the fixed arguments or minimum plus axis. It
/// has a value in every lane, whatever the statement that uses it tests.
Stmt Emitter::emit_realized(PlannedStage *producer, const Realization &realization,
                            const Scope &scope) {
  Scope inside;
  inside.axes = scope.axes;
  std::vector<ir::AxisBinding> ranges;
  std::vector<Expr> minima;
  for (const std::vector<TileDim> &dims : realization.dims) {
    for (const TileDim &dim : dims) {
      const bool known = std::any_of(ranges.begin(), ranges.end(), [&](const ir::AxisBinding &a) {
        return a.var == dim.range.var;
      });
      if (dim.arg >= 0 && !known) {
        ir::AxisBinding range = dim.range;
        range.extent = lower_expr(range.extent, scope);
        ranges.push_back(range);
      }
    }
  }
  for (std::size_t i = 0; i < producer->func->args.size(); ++i) {
    inside.from.push_back(producer->func->args[i]);
    if (realization.fixed_args[i].defined()) {
      inside.to.push_back(realization.fixed_args[i]);
      continue;
    }
    Expr value = make_int(int64, 0);
    for (const std::vector<TileDim> &dims : realization.dims) {
      for (const TileDim &dim : dims) {
        if (dim.arg == static_cast<int>(i)) value = dim.min + make_variable(dim.range.var);
      }
    }
    inside.to.push_back(value);
  }
  inside.axes.insert(inside.axes.end(), ranges.begin(), ranges.end());
  inside.in_tile = scope.in_tile || !inside.axes.empty();
  const auto tested = std::exchange(tested_, {});
  const auto one_copy = std::exchange(one_copy_, {});
  const auto guards = producer_guards_;
  for (const std::vector<TileDim> &dims : realization.dims) {
    for (const TileDim &dim : dims) guard_region(*producer, dim);
  }
  std::vector<Stmt> stmts;
  for (const PlannedDefinition &def : producer->definitions)
    stmts.push_back(emit_in_order(producer, def, inside, ranges));
  producer_guards_ = guards;
  tested_ = tested;
  one_copy_ = one_copy;
  const Stmt body = ir::make_block(stmts);
  return ranges.empty() ? body : ir::make<ir::Axes>(ranges, body);
}

/// A definition over the ranges of its Func's Vars. Those whose iterations meet in elements that it
/// reads become loops.
Stmt Emitter::emit_in_order(PlannedStage *producer, const PlannedDefinition &def, Scope scope,
                            const std::vector<ir::AxisBinding> &ranges) {
  const SelfReads self = self_reads(*producer->func, def.number);
  std::vector<std::pair<VarPtr, Expr>> loops;
  for (const ir::AxisBinding &range : ranges) {
    for (std::size_t i = 0; i < scope.from.size() && self.read.defined(); ++i) {
      const bool apart =
          std::find(self.apart.begin(), self.apart.end(), scope.from[i]) != self.apart.end();
      if (apart || !uses(scope.to[i], range.var)) continue;
      loops.push_back({ir::make_loop_variable(range.var->name), range.extent});
      scope.to[i] = substitute(scope.to[i], {range.var}, {make_variable(loops.back().first)});
      std::erase_if(scope.axes, [&](const ir::AxisBinding &axis) { return axis.var == range.var; });
    }
  }
  Stmt result = emit_specialized(producer, def, scope);
  for (auto it = loops.rbegin(); it != loops.rend(); ++it) {
    result =
        ir::make<ir::For>(it->first, make_int(int64, 0), it->second, ir::ForKind::Serial, result);
  }
  return result;
}

/// Computes producers[next...] (producers before consumers), then `body`, with their storages
/// around all of it.
Stmt Emitter::realize(Job &job, std::vector<PlannedStage *> producers, std::size_t next,
                      const std::vector<Inner> &inner, const std::function<Stmt()> &body) {
  if (next == producers.size()) return body();
  PlannedStage *producer = producers[next];
  std::vector<Inner> loops = inner;
  std::vector<CallSite> sites;
  collect_sites(*producer, *job.def, job.scope.from, job.scope.to, job.scope.axes, &loops, &sites);
  for (const auto &stage : plan_->stages) {
    if (stage->level != Level::With || stage->consumer != job.stage) continue;
    for (const PlannedDefinition &def : stage->definitions) {
      collect_sites(*producer, def, job.scope.from, job.scope.to, job.scope.axes, &loops, &sites);
    }
  }
  if (sites.empty()) {
    throw CompileError(producer->name() +
                           ".compute_at: " + definition_name(*job.stage->func, job.def->number) +
                           " does not use " + producer->name(),
                       producer->where);
  }
  const Realization realization = make_realization(*producer, sites, job.scope, loops);
  realized_[producer] = realization;
  // A producer is computed before the consumer's predicates are tested: what it loads at data tests
  // its index itself.
  const bool before = always_guard_data_;
  always_guard_data_ = true;
  std::vector<Expr> used_where = producer_guards_;
  const Scope resolved{{}, {}, job.scope.axes, job.scope.in_tile};
  for (const Expr &guard : job.nest.guards) used_where.push_back(lower_expr(guard, resolved));
  if (one_copy_ && job.nest.in_domain.defined())
    used_where.push_back(lower_expr(job.nest.in_domain, resolved));
  const auto outer_guards = std::exchange(producer_guards_, used_where);
  Stmt computed = emit_realized(producer, realization, job.scope);
  producer_guards_ = outer_guards;
  always_guard_data_ = before;
  Stmt rest = realize(job, producers, next + 1, inner, body);
  const Stmt result = with_storages(realization, job.scope, ir::make_block({computed, rest}));
  realized_.erase(producer);
  return result;
}

/// Computes the inline reductions that `exprs` (over the scope's variables) call, then `body`.
Stmt Emitter::with_inner_calls(const std::vector<Expr> &exprs, const Scope &scope,
                               const std::function<Stmt()> &body) {
  std::vector<std::pair<PlannedStage *, std::vector<Expr>>> calls;
  auto visit = [&](auto &&self, const Expr &e) -> void {
    // The key of a tile is its group: nothing to compute.
    for (const TileContext &tile : tiles_) {
      if (tile.key.defined() && equal(e, tile.key)) return;
    }
    for (const Expr &operand : operands(e)) self(self, operand);
    const Call *call = e.as<Call>();
    if (!call) return;
    for (const Expr &p : untested_predicates(*call)) self(self, p);
    if (plan_->stage(*call)->level != Level::Innermost || realized_.contains(plan_->stage(*call)))
      return;
    std::vector<Expr> args;
    for (const Expr &arg : call->args) args.push_back(to_int64(arg));
    const bool known = std::any_of(calls.begin(), calls.end(), [&](const auto &c) {
      return c.first == plan_->stage(*call) &&
             std::equal(args.begin(), args.end(), c.second.begin(),
                        [](const Expr &a, const Expr &b) { return equal(a, b); });
    });
    if (!known) calls.push_back({plan_->stage(*call), args});
  };
  const auto lanes = std::exchange(lanes_, scope.axes);
  for (const Expr &e : exprs) visit(visit, resolved(e, scope));
  lanes_ = lanes;
  const std::size_t before = inner_calls_.size();
  std::vector<Stmt> computed;
  std::vector<std::function<Stmt(Stmt)>> wrappers;
  Scope resolved = scope;
  resolved.from.clear();
  resolved.to.clear();
  for (const auto &[stage, args] : calls) {
    // An inline reduction within the arguments was found first, so its value can be lowered here.
    std::vector<Expr> lowered;
    for (const Expr &arg : args) lowered.push_back(lower_expr(arg, resolved));
    const bool known =
        std::any_of(inner_calls_.begin(), inner_calls_.end(), [&, s = stage](const InnerCall &c) {
          return c.stage == s &&
                 std::equal(lowered.begin(), lowered.end(), c.args.begin(),
                            [](const Expr &a, const Expr &b) { return equal(a, b); });
        });
    if (known) continue;
    Realization realization = make_realization(*stage, {{args, 0}}, resolved, {});
    realized_[stage] = realization;
    const auto outer_guards = producer_guards_;
    producer_guards_.insert(producer_guards_.end(), split_tails_.begin(), split_tails_.end());
    const Stmt statements = emit_realized(stage, realization, resolved);
    producer_guards_ = outer_guards;
    realized_.erase(stage);
    computed.push_back(statements);
    wrappers.push_back([this, realization, resolved](const Stmt &inside) {
      return with_storages(realization, resolved, inside);
    });
    inner_calls_.push_back({stage, lowered, realization});
  }
  computed.push_back(body());
  Stmt result = ir::make_block(computed);
  for (auto it = wrappers.rbegin(); it != wrappers.rend(); ++it) result = (*it)(result);
  inner_calls_.resize(before);
  return result;
}

}  // namespace pit::lower
