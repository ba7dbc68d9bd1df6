// Tests that every access is in range, before anything is written.
//
// An access whose range is known from the loops costs one comparison of extents, whatever
// predicates that read data say: those skip work, they do not make tensors smaller. An index that
// is data is tested iteration by iteration under its predicates, over the loops that it and they
// read; so is an affine index that an affine predicate narrows (where(t + 1 < n)), when the
// comparison of extents fails. Tests that need a computed stage come right behind it.

#include <algorithm>
#include <cstdint>
#include <set>

#include "accesses.h"
#include "dsl/loop_names.h"
#include "emit.h"
#include "interval.h"
#include "linear.h"

namespace pit::lower {

using ir::Stmt;

namespace {

Expr constant(std::int64_t c) { return make_int(int64, c); }

/// Whether e needs what is computed first: a stage, or the lists of an index.
bool reads_computed(const Expr &e) {
  bool reads = false;
  walk(e, [&](const Expr &node) {
    reads |= node->kind == ExprKind::Call || node->kind == ExprKind::IndexQuery;
    return !reads;
  });
  return reads;
}

/// Whether the stages that e reads surely have values where none of their predicates hold, too.
bool computed_everywhere(const Expr &e, const Plan &plan) {
  bool everywhere = true;
  walk(e, [&](const Expr &node) {
    if (const Call *call = node.as<Call>())
      everywhere &= plan.stage(*call)->definitions.front().predicates.empty();
    return everywhere;
  });
  return everywhere;
}

/// The loops that `exprs` read, with those that their bounds read, outermost first.
std::vector<AccessLoop> needed_loops(const std::vector<AccessLoop> &loops,
                                     std::vector<Expr> exprs) {
  std::vector<AccessLoop> needed;
  for (std::size_t i = loops.size(); i-- > 0;) {
    const bool read = std::any_of(exprs.begin(), exprs.end(),
                                  [&](const Expr &e) { return uses(e, loops[i].var); });
    if (!read) continue;
    needed.insert(needed.begin(), loops[i]);
    exprs.push_back(loops[i].range.min);
    exprs.push_back(loops[i].range.extent);
  }
  return needed;
}

/// The conjuncts that may excuse an index: all for one that is data, else those without data that
/// share a variable.
std::vector<Expr> relevant_guards(const Access &access, const Expr &index) {
  if (reads_data(index)) return access.guards;
  std::vector<Expr> relevant;
  for (const Expr &guard : access.guards) {
    const std::vector<VarPtr> variables = free_variables(guard);
    const bool shares = std::any_of(variables.begin(), variables.end(),
                                    [&](const VarPtr &v) { return uses(index, v); });
    if (shares && !reads_data(guard)) relevant.push_back(guard);
  }
  return relevant;
}

/// The index without the data that it adds; undefined when data and the variables of `ranges` meet
/// otherwise than by adding.
Expr without_added_data(const Expr &index, const VariableRanges &ranges) {
  Linear loops = linearize(index);
  for (const Linear::Term &term : loops.terms) {
    if (!reads_data(term.value)) continue;
    for (const VarPtr &v : free_variables(term.value)) {
      if (ranges.contains(v.get())) return {};
    }
  }
  std::erase_if(loops.terms, [](const Linear::Term &term) { return reads_data(term.value); });
  return to_expr(loops);
}

}  // namespace

/// What an index takes in the loops around it.
struct Emitter::IndexRange {
  Interval range;
  Expr exact;  ///< the condition under which that is so: see cannot_wrap
  bool known;  ///< the loops' bounds are no data
};

void Emitter::emit_input_checks() {
  if (const Stmt shapes = emit_output_shapes(); shapes.defined()) {
    append(ir::make<ir::Stage>("shapes", ir::StageKind::Check, shapes));
  }
  for (const auto &stage : plan_->stages) {
    if (stage->level == Level::Root || stage->level == Level::With) emit_checks(*stage, true);
  }
}

void Emitter::emit_checks_before(const PlannedStage &stage) {
  emit_checks(stage, false);
  for (const auto &other : plan_->stages) {
    if (other->level == Level::With && other->consumer == &stage) emit_checks(*other, false);
  }
}

/// Outputs that share loops have one shape, and components of a Tuple too; given lists are
/// consistent.
Stmt Emitter::emit_output_shapes() {
  std::vector<Stmt> stmts;
  auto same = [&](const Expr &a, const Expr &b, const std::string &what) {
    if (equal(a, b)) return;
    stmts.push_back(ir::make<ir::Check>(std::vector<VarPtr>{}, std::vector<Expr>{}, a == b,
                                        what + ": {0} and {1}", std::vector<Expr>{a, b}));
  };
  for (const auto &stage : plan_->stages) {
    for (std::size_t c = 1; c < stage->storages.size() && stage->is_output; ++c) {
      for (int d = 0; d < stage->storages[c]->rank; ++d) {
        same(make_extent(stage->storages[c], d), make_extent(stage->storages[0], d),
             "outputs '" + stage->storages[c]->name + "' and '" + stage->storages[0]->name +
                 "' of one Func differ in dimension " + std::to_string(d));
      }
    }
    for (std::size_t i = 0; i < stage->func->args.size() && stage->is_output && !stage->compact;
         ++i) {
      if (!stage->declared_bounds.contains(stage->func->args[i].get())) continue;
      const Range &range = stage->region[i];
      const Expr actual = make_extent(stage->storages[0], static_cast<int>(i));
      stmts.push_back(ir::make<ir::Check>(
          std::vector<VarPtr>{}, std::vector<Expr>{},
          range.min == constant(0) && range.extent == actual,
          "output '" + stage->storages[0]->name + "' has extent {0} in dimension " +
              std::to_string(i) + ", but " + stage->name() + ".bound declares " +
              stage->func->args[i]->name +
              " from {1} with extent {2}; an output starts at 0 and is covered whole",
          std::vector<Expr>{actual, range.min, range.extent}));
    }
    if (stage->is_output && stage->compact) check_compact_shape(*stage, &stmts);
    if (stage->level != Level::With) continue;
    for (std::size_t i = 0; i < stage->func->args.size(); ++i) {
      const auto &args = stage->consumer->func->args;
      const auto it = std::find(args.begin(), args.end(), stage->func->args[i]);
      if (it == args.end()) continue;
      same(lower_expr(stage->region[i].extent, {}),
           lower_expr(stage->consumer->region[static_cast<std::size_t>(it - args.begin())].extent,
                      {}),
           "outputs '" + stage->name() + "' and '" + stage->consumer->name() + "' share loop " +
               stage->func->args[i]->name + " but differ in its extent");
    }
  }
  return stmts.empty() ? Stmt() : ir::make_block(stmts);
}

/// The offsets in the micro-tile are as large as the micro-tile.
void Emitter::check_compact_shape(const PlannedStage &stage, std::vector<Stmt> *stmts) {
  int dimension = stage.storages[0]->rank;
  const IndexPlan &index = *stage.compact;
  for (auto it = stage.storage_order.rbegin(); it != stage.storage_order.rend(); ++it) {
    const VarPtr &v = stage.func->args[static_cast<std::size_t>(*it)];
    std::int64_t micro = v == index.axis ? index.micro : 1;
    for (const GroupVar &g : index.group) {
      if (g.var == v) micro = g.micro;
    }
    if (micro <= 1) continue;
    --dimension;
    stmts->push_back(
        ir::make<ir::Check>(std::vector<VarPtr>{}, std::vector<Expr>{},
                            make_extent(stage.storages[0], dimension) == constant(micro),
                            "output '" + stage.storages[0]->name + "' keeps micro-tiles of " +
                                std::to_string(micro) + " of " + v->name + " in dimension " +
                                std::to_string(dimension) + ", whose extent is {0}",
                            std::vector<Expr>{make_extent(stage.storages[0], dimension)}));
  }
}

/// Appends a stage of checks for each access of `stage` that needs one: of inputs alone, or those
/// that read a stage.
void Emitter::emit_checks(const PlannedStage &stage, bool of_inputs_only) {
  for_each_access(*plan_, stage, [&](const Access &access) {
    if (!access.tensor && !access.stage) return;
    const std::size_t rank = access.indices.size();
    for (std::size_t d = 0; d < rank; ++d) {
      // A stage at root is as large as its uses need, unless its range was declared.
      Expr low_limit = constant(0), extent;
      std::string name;
      if (access.tensor) {
        extent = make_extent(access.tensor, static_cast<int>(d));
        name = "input '" + access.tensor->name + "'";
      } else if (access.own) {
        const Variable *plain = access.indices[d].as<Variable>();
        if (plain && plain->var == access.stage->func->args[d]) continue;
        // A store outside what is needed of an intermediate Func is skipped where it happens.
        if (access.is_store && !access.stage->is_output && reads_data(access.indices[d])) continue;
        low_limit = access.stage->region[d].min;
        extent = access.stage->region[d].extent;
        name = access.stage->is_output ? "output '" + access.stage->name() + "'"
                                       : "'" + access.stage->name() + "'";
      } else {
        // Otherwise its region is what the uses take, if their arithmetic does not wrap.
        const bool declared =
            access.stage->declared_bounds.contains(access.stage->func->args[d].get());
        const bool at_root = access.stage->level == Level::Root && !access.stage->is_top_k();
        if (!declared && !(at_root && range_of(access, access.indices[d]).exact.defined()))
          continue;
        low_limit = access.stage->region[d].min;
        extent = access.stage->region[d].extent;
        name = "'" + access.stage->name() + "'" + (declared ? " (as declared by bound)" : "");
      }
      check_index(access, d, name, low_limit, extent, of_inputs_only);
    }
  });
}

Emitter::IndexRange Emitter::range_of(const Access &access, const Expr &index) const {
  VariableRanges ranges;
  bool known = true;
  Expr exact;
  auto require = [&](const Expr &condition) {
    if (condition.defined()) exact = exact.defined() ? exact && condition : condition;
  };
  for (const AccessLoop &loop : needed_loops(access.loops, {index})) {
    const Expr behind = loop.range.min + loop.range.extent;
    const Interval low = interval_of(loop.range.min, ranges, *plan_, true),
                   end = interval_of(behind, ranges, *plan_, true);
    known &= low.bounded() && end.bounded();
    if (low.bounded() && end.bounded()) require(cannot_wrap(behind, ranges, *plan_));
    ranges[loop.var.get()] = {low.low, end.high.defined() ? end.high - constant(1) : Expr()};
  }
  require(cannot_wrap(index, ranges, *plan_));
  return {interval_of(index, ranges, *plan_, false), exact, known};
}

void Emitter::check_index(const Access &access, std::size_t dimension, const std::string &name,
                          const Expr &low_limit, const Expr &extent, bool of_inputs_only) {
  const Expr &index = access.indices[dimension];
  const std::vector<Expr> guards = relevant_guards(access, index);
  std::vector<Expr> with_guards = guards;
  with_guards.push_back(index);
  const std::vector<AccessLoop> loops = needed_loops(access.loops, with_guards);
  bool needs_stage = false;
  for (const Expr &e : with_guards) needs_stage |= reads_computed(e);
  for (const AccessLoop &loop : loops)
    needs_stage |= reads_computed(loop.range.min) || reads_computed(loop.range.extent);

  const auto [range, exact, known] = range_of(access, index);
  Expr nothing_runs;
  for (const AccessLoop &loop : access.loops) {
    const Expr empty = loop.range.extent <= constant(0);
    if (reads_data(empty) || !free_of(access.loops, empty)) continue;
    nothing_runs = nothing_runs.defined() ? nothing_runs || empty : empty;
  }
  Expr surely;
  if (known && range.bounded() && !reads_computed(range.low) && !reads_computed(range.high)) {
    surely = range.low >= low_limit && range.high < low_limit + extent;
    if (exact.defined()) surely = exact && surely;
    if (nothing_runs.defined()) surely = nothing_runs || surely;
    std::int64_t c = 0;
    if (is_const_int(surely, &c) && c != 0) return;
  }
  if (surely.defined() && !exact.defined()) {
    if (equal(range.high + constant(1), low_limit + extent) && equal(range.low, low_limit)) return;
    const auto slack = constant_difference(low_limit + extent, range.high);
    const auto floor = constant_difference(range.low, low_limit);
    if (slack && *slack >= 1 && floor && *floor >= 0) return;
  }
  // A range that is known needs no computed stage to be tested, only to be excused by a predicate.
  const bool now = needs_stage ? !of_inputs_only : of_inputs_only;
  if (!now) return;
  if (!guards.empty() && !reads_data(index) && access.tensor)
    narrowed_.insert({access.tensor.get(), static_cast<int>(dimension)});
  // Names of Funcs need not differ: what is accessed is told apart by identity.
  const void *accessed =
      access.tensor ? static_cast<const void *>(access.tensor.get()) : access.stage;
  std::string key = std::to_string(reinterpret_cast<std::uintptr_t>(accessed)) +
                    (access.is_store ? "=" : "@") + name + std::to_string(dimension) +
                    to_string(index);
  for (const AccessLoop &loop : loops)
    key += "|" + loop.var->name + to_string(loop.range.min) + ":" + to_string(loop.range.extent);
  for (const Expr &g : guards) key += "&" + to_string(g);
  if (!checked_.insert(key).second) return;

  const std::string who = definition_name(*access.site->func, access.definition) +
                          (access.is_store ? " stores to " : " reads ") + name;
  if (guards.empty() && surely.defined() && !exact.defined() &&
      takes_its_whole_range(access, index)) {
    // The range alone decides.
    append(ir::make<ir::Stage>(
        access.site->name() + ".bounds", ir::StageKind::Check,
        ir::make<ir::Check>(std::vector<VarPtr>{}, std::vector<Expr>{}, lower_expr(surely, {}),
                            who + " at {0} to {1} in dimension " + std::to_string(dimension) +
                                ", which goes from {2} to {3}",
                            std::vector<Expr>{lower_expr(range.low, {}), lower_expr(range.high, {}),
                                              lower_expr(low_limit, {}),
                                              lower_expr(low_limit + extent - constant(1), {})})));
    return;
  }
  Scope scope;
  std::vector<VarPtr> variables;
  std::vector<std::pair<Expr, std::string>> shown;
  for (const AccessLoop &loop : loops) {
    variables.push_back(ir::make_loop_variable(loop.var->name));
    const Expr low = loop.range.min;
    const Expr value = substitute(low, scope.from, scope.to) + make_variable(variables.back());
    scope.from.push_back(loop.var);
    scope.to.push_back(value);
    if (uses(index, loop.var) || shown.size() < 4)
      shown.push_back({scope.to.back(), loop.var->name});
  }
  std::string message =
      who + " at index {0} of dimension " + std::to_string(dimension) + ", whose extent is {1}";
  for (std::size_t i = 0; i < shown.size() && i < 5; ++i) {
    message += (i == 0 ? ", at " : ", ") + shown[i].second + " = {" + std::to_string(i + 2) + "}";
  }
  std::function<Stmt(std::size_t)> inside = [&](std::size_t i) -> Stmt {
    if (i < guards.size()) {
      return with_inner_calls({guards[i]}, scope, [&] {
        return ir::make<ir::If>(lower_expr(guards[i], scope), inside(i + 1));
      });
    }
    return with_inner_calls({index}, scope, [&] {
      const Expr value = to_int64(lower_expr(index, scope));
      const Expr low = lower_expr(low_limit, {}), high = low + lower_expr(extent, {});
      std::vector<Expr> values{value, lower_expr(extent, {})};
      for (std::size_t k = 0; k < shown.size() && k < 5; ++k)
        values.push_back(lower_expr(shown[k].first, {}));
      return ir::make<ir::Check>(std::vector<VarPtr>{}, std::vector<Expr>{},
                                 value >= low && value < high, message, values);
    });
  };
  std::vector<std::pair<VarPtr, Expr>> nest;
  for (std::size_t i = 0; i < loops.size(); ++i) {
    Scope outer;
    outer.from.assign(scope.from.begin(), scope.from.begin() + static_cast<std::ptrdiff_t>(i));
    outer.to.assign(scope.to.begin(), scope.to.begin() + static_cast<std::ptrdiff_t>(i));
    nest.push_back({variables[i], lower_expr(loops[i].range.extent, outer)});
  }
  Stmt body =
      spread(nest, loops.size() > 1 ? ir::ForKind::Parallel : ir::ForKind::Serial, inside(0));
  const StoragePtr fine = emit_coarse_check(access, index, loops, low_limit, extent);
  const Expr tested = fine ? make_load(fine, {constant(0)}) == make_zero(fine->type) : Expr();
  if (fine && on_gpu()) body = where(tested, body);
  if (surely.defined()) body = ir::make<ir::If>(!lower_expr(surely, {}), body);
  if (fine && !on_gpu()) body = where(tested, body);
  append(ir::make<ir::Stage>(access.site->name() + ".bounds", ir::StageKind::Check, body));
}

/// When the data of an index varies with fewer iterations than the index and its predicates
/// (block_offset(i / 64) + lane), its range is tested first without predicates, once for each
/// datum. Returns where 1 stands if all is in range; null when that would test as many iterations
/// as the exact check.
StoragePtr Emitter::emit_coarse_check(const Access &access, const Expr &index,
                                      const std::vector<AccessLoop> &all, const Expr &low_limit,
                                      const Expr &extent) {
  std::vector<Expr> data;
  auto find_data = [&](auto &&self, const Expr &e) -> void {
    if (e->kind == ExprKind::Load || e->kind == ExprKind::Call)
      data.push_back(e);
    else
      for (const Expr &operand : operands(e)) self(self, operand);
  };
  find_data(find_data, index);
  if (data.empty() || !computed_everywhere(index, *plan_)) return {};
  const std::vector<AccessLoop> loops = needed_loops(access.loops, data);
  std::vector<Expr> readers = data;
  for (const AccessLoop &loop : loops)
    readers.insert(readers.end(), {loop.range.min, loop.range.extent});
  Scope scope;
  std::vector<std::pair<VarPtr, Expr>> counters;
  bool fewer = loops.size() < all.size();
  for (const AccessLoop &loop : loops) {
    const std::int64_t step =
        is_zero(loop.range.min) ? common_divisor(readers, loop.var, kLargestTile) : 1;
    fewer |= step > 1;
    const VarPtr v = ir::make_loop_variable(loop.var->name);
    const Expr low = substitute(loop.range.min, scope.from, scope.to);
    counters.push_back(
        {v, (substitute(loop.range.extent, scope.from, scope.to) + constant(step - 1)) /
                constant(step)});
    scope.from.push_back(loop.var);
    scope.to.push_back(low + make_variable(v) * constant(step));
  }
  VariableRanges ranges;
  for (const AccessLoop &loop : needed_loops(access.loops, {index})) {
    const bool counted = std::any_of(loops.begin(), loops.end(),
                                     [&](const AccessLoop &l) { return l.var == loop.var; });
    if (counted) continue;
    if (reads_data(loop.range.min) || reads_data(loop.range.extent) ||
        !free_of(access.loops, loop.range.min + loop.range.extent))
      return {};
    ranges[loop.var.get()] = {loop.range.min, loop.range.min + loop.range.extent - constant(1)};
  }
  const Interval range = interval_of(index, ranges, *plan_, true);
  const Expr of_loops = without_added_data(index, ranges);
  if (!fewer || !range.bounded() || !of_loops.defined() ||
      range_of(access, of_loops).exact.defined())
    return {};
  // Threads of a GPU say 0 all at once.
  const Type type = on_gpu() ? int32 : uint8;
  const StoragePtr fine = ir::make_storage(access.site->name() + ".in_range", type, 1, Space::Heap);
  append_allocation(fine, {constant(1)});
  auto set = [&](int value) {
    const bool together = on_gpu() && value == 0;
    return ir::make<ir::Store>(
        std::vector<VarPtr>{}, std::vector<Expr>{}, fine, std::vector<Expr>{constant(0)},
        together ? Combiner::Min : Combiner::Assign, make_int(type, value), together);
  };
  // Without its predicates a datum may stand for nothing: loads at data test their index.
  const Scope nowhere = scope;
  const bool before = always_guard_data_;
  always_guard_data_ = true;
  Stmt body = with_inner_calls({range.low, range.high}, nowhere, [&] {
    const Expr low = lower_expr(range.low, nowhere), high = lower_expr(range.high, nowhere),
               limit = lower_expr(low_limit, {});
    const Expr end = limit + lower_expr(extent, {});
    // A datum near the ends of int64 may wrap at one end of the range.
    return ir::make<ir::If>(!(low >= limit && low < end && high >= limit && high < end), set(0));
  });
  for (auto &[counter, count] : counters) count = lower_expr(count, {});
  body = spread(counters, ir::ForKind::Serial, body);
  always_guard_data_ = before;
  append(ir::make<ir::Stage>(access.site->name() + ".bounds", ir::StageKind::Check,
                             ir::make_block({set(1), body})));
  return fine;
}

/// Whether the interval of the index is what it takes, rather than a bound of that: a sum of loops
/// whose bounds are their own.
bool Emitter::takes_its_whole_range(const Access &access, const Expr &index) {
  for (const AccessLoop &loop : needed_loops(access.loops, {index})) {
    if (!free_of(access.loops, loop.range.min) || !free_of(access.loops, loop.range.extent))
      return false;
  }
  const Linear sum = linearize(index);
  return std::all_of(sum.terms.begin(), sum.terms.end(), [&](const Linear::Term &term) {
    return term.value.as<Variable>() || free_of(access.loops, term.value);
  });
}

bool Emitter::free_of(const std::vector<AccessLoop> &loops, const Expr &e) {
  return std::none_of(loops.begin(), loops.end(),
                      [&](const AccessLoop &loop) { return uses(e, loop.var); });
}

}  // namespace pit::lower
