// The innermost statements: stores, reductions, softmax steps, top_k.

#include <algorithm>

#include "dsl/error.h"
#include "dsl/loop_names.h"
#include "emit.h"
#include "interval.h"
#include "linear.h"

namespace pit::lower {

using ir::Stmt;

namespace {

/// All axes of e are among these.
bool uses_only(const Expr &e, const std::vector<VarPtr> &axes) {
  return std::ranges::all_of(free_variables(e), [&](const VarPtr &v) {
    return v->role != VarRole::Axis || std::ranges::find(axes, v) != axes.end();
  });
}

bool loads_memory(const Expr &e) {
  bool loads = false;
  walk(e, [&](const Expr &part) {
    const auto *load = part.as<Load>();
    return !(loads = loads || (load && load->storage->space != Space::Tile));
  });
  return loads;
}

Expr all_of(const std::vector<Expr> &conditions) {
  Expr all;
  for (const Expr &c : conditions) all = all.defined() ? all && c : c;
  return all;
}

}  // namespace

/// Tests predicates[next...] in order, then stores. A predicate without axes is an `if`, others are
/// guards.
Stmt Emitter::emit_statement(PlannedStage *stage, const PlannedDefinition &def, const Scope &scope,
                             const std::vector<VarPtr> &own_lanes, std::vector<Expr> guards,
                             const std::vector<Expr> &predicates, std::size_t next) {
  if (next == predicates.size()) {
    std::vector<Expr> exprs = def.values;
    if (def.number > 0) exprs.insert(exprs.end(), def.args.begin(), def.args.end());
    return with_inner_calls(exprs, scope,
                            [&] { return emit_stores(stage, def, scope, own_lanes, guards); });
  }
  return with_inner_calls({predicates[next]}, scope, [&] {
    const Expr condition = lower_expr(predicates[next], scope);
    const bool implied =
        one_copy_ &&
        std::any_of(one_copy_->index->predicates.begin(), one_copy_->index->predicates.end(),
                    [&](const Expr &listed) { return same_condition(predicates[next], listed); });
    if (implied) one_copy_->implied.push_back(condition);
    const bool of_lanes = implied || reads_axis(condition, scope.axes);
    std::vector<Expr> more = guards;
    if (of_lanes) more.push_back(condition);
    auto &known = of_lanes ? tested_ : passed_;
    known.push_back(resolved(predicates[next], scope));
    const Stmt then = emit_statement(stage, def, scope, own_lanes, more, predicates, next + 1);
    known.pop_back();
    if (of_lanes) return then;
    return ir::make<ir::If>(condition, then, zero_where_not_needed(stage, def, scope, own_lanes));
  });
}

/// An intermediate Func that is only needed in places holds zeros elsewhere: lanes that fail a
/// predicate may read them.
Stmt Emitter::zero_where_not_needed(PlannedStage *stage, const PlannedDefinition &def,
                                    const Scope &scope, const std::vector<VarPtr> &own_lanes) {
  if (def.number > 0 || stage->is_output || stage->compact || stage->level != Level::Root)
    return {};
  std::vector<Expr> args;
  for (const Expr &arg : def.args) args.push_back(to_int64(lower_expr(arg, scope)));
  std::vector<Stmt> stmts;
  for (std::size_t c = 0; c < def.values.size(); ++c) {
    stmts.push_back(store(stage, def, static_cast<int>(c), Combiner::Assign,
                          make_zero(def.values[c].type()), args, scope, own_lanes, {}));
  }
  return ir::make_block(stmts);
}

Stmt Emitter::emit_stores(PlannedStage *stage, const PlannedDefinition &def, const Scope &scope,
                          const std::vector<VarPtr> &own_lanes, const std::vector<Expr> &guards) {
  if (def.combiner == Combiner::Softmax) return emit_softmax(stage, def, scope, own_lanes, guards);
  std::vector<Expr> args, values;
  for (const Expr &arg : def.args) args.push_back(to_int64(lower_expr(arg, scope)));
  for (const Expr &value : def.values) values.push_back(lower_expr(value, scope));
  std::vector<Stmt> stmts;
  std::vector<std::pair<VarPtr, Expr>> temporaries;
  std::vector<std::pair<StoragePtr, std::vector<Expr>>> tiles;
  if (values.size() > 1 && def.number > 0 && reads_itself(*stage)) {
    // Every component is evaluated before any is stored.
    const std::vector<VarPtr> axes = axes_used(values, args, guards, own_lanes, scope);
    for (Expr &value : values) {
      if (axes.empty()) {
        const VarPtr v = ir::make_let_variable("component", value.type());
        temporaries.push_back({v, value});
        value = make_variable(v);
        continue;
      }
      std::vector<Expr> at, extents;
      for (const VarPtr &v : axes) {
        at.push_back(make_variable(v));
        for (const ir::AxisBinding &axis : scope.axes) {
          if (axis.var == v)
            extents.push_back(axis.maximum > 0 ? make_int(int64, axis.maximum) : axis.extent);
        }
      }
      tiles.push_back({ir::make_storage(stage->name() + ".component", value.type(),
                                        static_cast<int>(axes.size()), Space::Tile),
                       extents});
      stmts.push_back(
          ir::make<ir::Store>(axes, guards, tiles.back().first, at, Combiner::Assign, value));
      value = make_load(tiles.back().first, at);
    }
  }
  for (std::size_t c = 0; c < values.size(); ++c) {
    stmts.push_back(store(stage, def, static_cast<int>(c), def.combiner, values[c], args, scope,
                          own_lanes, guards));
  }
  Stmt result = ir::make_block(stmts);
  for (auto it = temporaries.rbegin(); it != temporaries.rend(); ++it) {
    result = ir::make<ir::Let>(it->first, it->second, result);
  }
  for (auto it = tiles.rbegin(); it != tiles.rend(); ++it)
    result = ir::make<ir::Allocate>(it->first, it->second, result);
  return result;
}

/// The axes in scope that a statement's expressions read, and its own lanes.
std::vector<VarPtr> Emitter::axes_used(const std::vector<Expr> &values,
                                       const std::vector<Expr> &args,
                                       const std::vector<Expr> &guards,
                                       const std::vector<VarPtr> &own_lanes, const Scope &scope) {
  std::vector<VarPtr> axes;
  for (const ir::AxisBinding &axis : scope.axes) {
    bool used = std::find(own_lanes.begin(), own_lanes.end(), axis.var) != own_lanes.end();
    for (const auto *list : {&values, &args, &guards}) {
      for (const Expr &e : *list) used = used || uses(e, axis.var);
    }
    if (used) axes.push_back(axis.var);
  }
  return axes;
}

/// storage[args] combiner= value. `reduced`: lanes of the definition itself, which are iterated
/// whether stored or not.
Stmt Emitter::store(PlannedStage *stage, const PlannedDefinition &def, int component,
                    Combiner combiner, const Expr &value, const std::vector<Expr> &args,
                    const Scope &scope, const std::vector<VarPtr> &reduced,
                    const std::vector<Expr> &guards) {
  std::vector<Expr> indices, conditions = guards;
  StoragePtr storage;
  bool in_tile = false;
  if (auto it = realized_.find(stage); it != realized_.end()) {
    storage = it->second.storages.at(static_cast<std::size_t>(component));
    for (const TileDim &dim : it->second.dims.at(static_cast<std::size_t>(component))) {
      if (dim.axis) {
        indices.push_back(make_variable(dim.axis));
        continue;
      }
      const auto arg = static_cast<std::size_t>(dim.arg);
      indices.push_back(args.at(arg) - dim.min);
      // An update that chooses its place may store elements that this tile does not need.
      const Variable *plain = def.args.at(arg).as<Variable>();
      if (plain && plain->var == stage->func->args.at(arg)) continue;
      conditions.push_back(indices.back() >= make_int(int64, 0) &&
                           indices.back() <
                               lower_expr(dim.range.extent, {{}, {}, scope.axes, scope.in_tile}));
    }
    in_tile = true;
  } else {
    storage = stage->storages.at(static_cast<std::size_t>(component));
    Expr missing;
    indices = root_indices(*stage, args, &missing);
    if (missing.defined()) conditions.push_back(!missing);
    for (std::size_t i = 0; i < args.size() && def.number > 0 && !stage->is_output; ++i) {
      if (!reads_data(def.args[i])) continue;
      // Elements that nobody needs have no storage.
      const Range &range = stage->region[i];
      conditions.push_back(args[i] >= range.min && args[i] < range.min + range.extent);
    }
  }
  std::vector<VarPtr> axes;
  for (const ir::AxisBinding &axis : scope.axes) {
    bool needed = std::find(reduced.begin(), reduced.end(), axis.var) != reduced.end();
    for (const Expr &index : indices) needed = needed || uses(index, axis.var);
    if (needed) axes.push_back(axis.var);
  }
  // What nobody uses may be past the end of what can be loaded, by predicates too.
  const bool loads = loads_memory(value) || std::ranges::any_of(conditions, loads_memory);
  std::vector<Expr> used_where;
  for (const Expr &guard : producer_guards_) {
    if (in_tile && loads && reads_axis(guard, scope.axes) && uses_only(guard, axes))
      used_where.push_back(guard);
  }
  conditions.insert(conditions.begin(), used_where.begin(), used_where.end());
  Expr stored = value;
  const bool whole = def.number == 0 && (in_tile || (!stage->is_output && !stage->compact));
  if (whole && combiner == Combiner::Assign && !conditions.empty()) {
    // What is inside is defined everywhere, so that lanes that fail a predicate may read it.
    std::vector<Expr> tests, tails;
    for (const Expr &c : conditions) {
      const bool tail =
          std::any_of(tails_.begin(), tails_.end(), [&](const Expr &t) { return t.same_as(c); });
      (tail && !in_tile ? tails : tests).push_back(c);
    }
    if (!tests.empty()) stored = select(all_of(tests), value, make_zero(value.type()));
    conditions = tails;
  }
  int vector_bytes = 0;
  for (const Directive &d : *directives_) {
    if ((d.kind == DirectiveKind::SRead || d.kind == DirectiveKind::SWrite) && !d.ints.empty()) {
      vector_bytes = static_cast<int>(d.ints[0]);
    }
  }
  std::vector<Expr> outside, inside;
  for (const Expr &c : conditions) (reads_axis(c, scope.axes) ? inside : outside).push_back(c);
  const bool atomic = !in_tile && adds_atomically(*stage, def, *directives_);
  Stmt result =
      ir::make<ir::Store>(axes, inside, storage, indices, combiner, stored, atomic, vector_bytes);
  choose_kernel(storage);
  if (def.combiner != Combiner::Softmax) choose_sum(*stage, def, result);
  for (auto it = outside.rbegin(); it != outside.rend(); ++it)
    result = ir::make<ir::If>(*it, result);
  return result;
}

/// Notes what the directives under way say of the kernel that stores.
void Emitter::choose_kernel(const StoragePtr &stored) {
  for (const Directive &d : *directives_) {
    if (d.kind == DirectiveKind::Cluster) {
      // As many as all devices with clusters have.
      constexpr std::int64_t kMost = 8;
      std::int64_t blocks = 1;
      for (const auto &[var, size] : d.dense) blocks = std::min(blocks * size, kMost);
      kernel_choices_[stored].cluster = static_cast<int>(blocks);
    } else if (d.kind == DirectiveKind::TileOrder) {
      constexpr int kSwizzled = 16;
      const auto order = static_cast<TileOrder>(d.ints.at(0));
      const bool sorted = order == TileOrder::LongestFirst;
      kernel_choices_[stored].longest_first = sorted;
      kernel_choices_[stored].tile_rows = sorted || order == TileOrder::RowMajor ? 1
                                          : order == TileOrder::ColumnMajor      ? 0
                                                                                 : kSwizzled;
    }
  }
}

/// Notes what the directives under way say of a sum. CompileError when they name an atom for what
/// is none.
void Emitter::choose_sum(const PlannedStage &stage, const PlannedDefinition &def, const Stmt &sum) {
  const auto &store = *sum.as<ir::Store>();
  const std::string name = definition_name(*stage.func, def.number);
  SumChoice choice;
  choice.definition = name;
  choice.sum = sum;
  for (const Directive &d : *directives_) {
    if (d.kind == DirectiveKind::Strict) {
      choice.strict = true;
    } else if (d.kind == DirectiveKind::SoftwarePipeline) {
      choice.stages = static_cast<int>(d.ints.at(0));
      choice.pipelined_at = d.where;
    } else if (d.kind == DirectiveKind::WarpSpecialize) {
      choice.producer_warps = static_cast<int>(d.ints.at(0));
      choice.consumer_warpgroups = static_cast<int>(d.ints.at(1));
    } else if (d.kind == DirectiveKind::Atom) {
      if (store.combiner != Combiner::Sum) {
        throw CompileError(
            name + ".atom: an atom multiplies matrices, and " + name +
                " is no sum of products; name it for an update with += , or leave it out",
            d.where);
      }
      choice.atom = d.text;
      choice.where = d.where;
    }
  }
  if (store.combiner == Combiner::Sum) sum_choices_[&store] = choice;
}

/// One step of the online softmax over the lanes (see Combiner::Softmax): the new maximum, the
/// factor by which the old state shrinks, the weights of the new keys, and the two sums.
Stmt Emitter::emit_softmax(PlannedStage *stage, const PlannedDefinition &def, const Scope &scope,
                           const std::vector<VarPtr> &reduced, const std::vector<Expr> &guards) {
  std::vector<Expr> args;
  for (const Expr &arg : def.args) args.push_back(to_int64(lower_expr(arg, scope)));
  const Expr score = cast(float32, lower_expr(def.values.at(0), scope));
  Expr value = cast(float32, lower_expr(def.values.at(1), scope));
  const Type weight_type = def.values.at(1).type();
  bool computed = false;
  walk(def.values.at(1), [&](const Expr &node) {
    computed |= node->kind == ExprKind::Call;
    return !computed;
  });
  // A Func may not have been computed where the predicate fails.
  if (computed && !guards.empty()) value = select(all_of(guards), value, make_zero(float32));
  // Past the end of the domain nothing is loaded.
  if (one_copy_ && one_copy_->in_domain.defined()) {
    const auto *widened = value.as<Cast>();
    const Expr given = widened ? widened->a : value;
    const Expr held = select(one_copy_->in_domain, given, make_zero(given.type()));
    value = widened ? cast(value.type(), held) : held;
  }
  auto place = [&](int component) {
    const Stmt s =
        store(stage, def, component, Combiner::Assign, make_zero(float32), args, scope, {}, {});
    const ir::Store *node = s.as<ir::Store>();
    internal_check(node != nullptr, "the state of a softmax has a condition");
    return std::make_pair(node->storage, node->indices);
  };
  auto axes_of = [&](const std::vector<Expr> &indices, bool with_reduced) {
    std::vector<VarPtr> axes;
    for (const ir::AxisBinding &axis : scope.axes) {
      bool used =
          with_reduced && std::find(reduced.begin(), reduced.end(), axis.var) != reduced.end();
      for (const Expr &i : indices) used = used || uses(i, axis.var);
      if (used) axes.push_back(axis.var);
    }
    return axes;
  };
  auto extents_of = [&](const std::vector<VarPtr> &axes) {
    std::vector<Expr> extents;
    for (const VarPtr &v : axes) {
      for (const ir::AxisBinding &axis : scope.axes) {
        if (axis.var == v)
          extents.push_back(axis.maximum > 0 ? make_int(int64, axis.maximum) : axis.extent);
      }
    }
    return extents;
  };
  auto tile = [&](const char *name, const std::vector<VarPtr> &axes) {
    return ir::make_storage(stage->name() + "." + name, float32, static_cast<int>(axes.size()),
                            Space::Tile);
  };
  auto at = [](const std::vector<VarPtr> &axes) {
    std::vector<Expr> indices;
    for (const VarPtr &v : axes) indices.push_back(make_variable(v));
    return indices;
  };
  const auto [maximum, maximum_at] = place(0);
  const auto [total, total_at] = place(1);
  const auto [weighted, weighted_at] = place(2);
  std::vector<Expr> score_reads = maximum_at;
  score_reads.push_back(score);
  for (const Expr &g : guards) score_reads.push_back(g);
  const std::vector<VarPtr> rows = axes_of(maximum_at, false), pairs = axes_of(maximum_at, true);
  const std::vector<VarPtr> out = axes_of(weighted_at, false),
                            out_pairs = axes_of(weighted_at, true);
  const StoragePtr scores = tile("score", pairs), peak = tile("peak", rows),
                   origin = tile("origin", rows), shrink = tile("shrink", rows),
                   weights = tile("weight", pairs);
  const Expr minus_infinity = identity_of(Combiner::Max, float32);
  const Expr s = make_load(scores, at(pairs)), p = make_load(peak, at(rows)),
             from = make_load(origin, at(rows)), old = make_load(maximum, maximum_at);
  // The difference first: it is exact where it is small, and no weight is above 1.
  const auto weight_of = [](const Expr &difference) {
    return exp2(difference * make_const(float32, 1.4426950408889634));
  };
  // Guards of whole rows: where they fail a state at root has no value, and a lane past the end
  // stands for another row. A state in a tile has a place for every lane.
  std::vector<Expr> row_guards;
  for (const Expr &g : guards) {
    const bool of_row =
        std::none_of(scope.axes.begin(), scope.axes.end(), [&](const ir::AxisBinding &axis) {
          return uses(g, axis.var) && std::find(rows.begin(), rows.end(), axis.var) == rows.end();
        });
    if (of_row && !realized_.contains(stage)) row_guards.push_back(g);
  }
  auto set_where = [&](const std::vector<Expr> &where, const std::vector<VarPtr> &axes,
                       const StoragePtr &storage, const std::vector<Expr> &indices, Combiner c,
                       const Expr &e) {
    return ir::make<ir::Store>(axes, where, storage, indices, c, e);
  };
  auto set = [&](const std::vector<VarPtr> &axes, const StoragePtr &storage,
                 const std::vector<Expr> &indices, Combiner c,
                 const Expr &e) { return set_where({}, axes, storage, indices, c, e); };
  std::vector<Stmt> steps;
  const auto score_where = [&](const std::vector<Expr> &conditions) {
    return set(pairs, scores, at(pairs), Combiner::Assign,
               conditions.empty() ? score : select(all_of(conditions), score, minus_infinity));
  };
  if (one_copy_ && !one_copy_->implied.empty()) {
    std::vector<Expr> others = guards;
    std::erase_if(others, [&](const Expr &guard) {
      return std::ranges::any_of(one_copy_->implied,
                                 [&](const Expr &implied) { return implied.same_as(guard); });
    });
    steps.push_back(ir::make<ir::If>(one_copy_->full, score_where(others), score_where(guards)));
  } else {
    steps.push_back(score_where(guards));
  }
  steps.push_back(set(rows, peak, at(rows), Combiner::Assign,
                      row_guards.empty() ? old : select(all_of(row_guards), old, minus_infinity)));
  steps.push_back(set(pairs, peak, at(rows), Combiner::Max, s));
  // While there is no key a row has no maximum to start from, and no weights.
  steps.push_back(set(rows, origin, at(rows), Combiner::Assign,
                      select(p == minus_infinity, make_zero(float32), p)));
  Expr kept = select(old == p, make_const(float32, 1), weight_of(old - from));
  if (!row_guards.empty()) kept = select(all_of(row_guards), kept, make_const(float32, 1));
  steps.push_back(set(rows, shrink, at(rows), Combiner::Assign, kept));
  steps.push_back(set(pairs, weights, at(pairs), Combiner::Assign, weight_of(s - from)));
  const Expr factor = make_load(shrink, at(rows)), weight = make_load(weights, at(pairs));
  const Expr multiplied =
      weight_type == float32 ? weight : cast(float32, cast(weight_type, weight));
  steps.push_back(set_where(row_guards, rows, total, total_at, Combiner::Assign,
                            make_load(total, total_at) * factor));
  steps.push_back(set_where(row_guards, pairs, total, total_at, Combiner::Sum, weight));
  steps.push_back(set_where(row_guards, out, weighted, weighted_at, Combiner::Assign,
                            make_load(weighted, weighted_at) * factor));
  std::vector<Expr> read_guards = row_guards;
  read_guards.insert(read_guards.end(), split_tails_.begin(), split_tails_.end());
  steps.push_back(
      set_where(read_guards, out_pairs, weighted, weighted_at, Combiner::Sum, multiplied * value));
  choose_sum(*stage, def, steps.back());
  steps.push_back(set_where(row_guards, rows, maximum, maximum_at, Combiner::Assign, p));
  Stmt result = ir::make_block(steps);
  for (const auto &[storage, axes] :
       {std::pair{weights, pairs}, {shrink, rows}, {origin, rows}, {peak, rows}, {scores, pairs}}) {
    result = ir::make<ir::Allocate>(storage, extents_of(axes), result);
  }
  return result;
}

/// The largest keys in order, by insertion: for every key in order of coordinates, the slots from
/// the best down take the new pair or what was pushed out above. Ties stay with the earlier
/// coordinate; NaN is larger than any number.
Stmt Emitter::emit_top_k(PlannedStage *stage) {
  const PlannedDefinition &def = stage->definitions.at(1);
  const FuncNode &func = *stage->func;
  const std::size_t slot_arg = func.args.size() - 1;
  Scope scope;
  std::vector<VarPtr> loops;
  std::vector<Expr> coordinates;
  for (std::size_t i = 0; i < slot_arg; ++i) {
    loops.push_back(ir::make_loop_variable(func.args[i]->name));
    coordinates.push_back(make_variable(loops.back()) + stage->region[i].min);
    scope.from.push_back(func.args[i]);
    scope.to.push_back(coordinates.back());
  }
  const VarPtr slot = ir::make_loop_variable("slot"),
               element = ir::make_loop_variable(def.domain.at(0).var->name);
  auto element_of = [&](int component, const Expr &s) {
    std::vector<Expr> indices = coordinates;
    indices.push_back(s);
    Expr missing;
    return std::make_pair(stage->storages[static_cast<std::size_t>(component)],
                          root_indices(*stage, indices, &missing));
  };
  auto set = [](const std::pair<StoragePtr, std::vector<Expr>> &where, const Expr &value) {
    return ir::make<ir::Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, where.first,
                               where.second, Combiner::Assign, value);
  };
  const Expr s = make_variable(slot) + stage->region[slot_arg].min;
  const Type key_type = func.types[0];
  const auto best_key = element_of(0, s), best_coordinate = element_of(1, s);
  const Stmt clear = ir::make<ir::For>(
      slot, make_int(int64, 0), stage->region[slot_arg].extent, ir::ForKind::Serial,
      ir::make_block({set(best_key, identity_of(Combiner::Max, key_type)),
                      set(best_coordinate, make_int(int32, -1))}));

  const std::pair key_tile{ir::make_storage(stage->name() + ".key", key_type, 0, Space::Tile),
                           std::vector<Expr>{}};
  const std::pair coordinate_tile{
      ir::make_storage(stage->name() + ".coordinate", int32, 0, Space::Tile), std::vector<Expr>{}};
  const std::pair shifting_tile{
      ir::make_storage(stage->name() + ".shifting", boolean, 0, Space::Tile), std::vector<Expr>{}};
  auto value = [](const std::pair<StoragePtr, std::vector<Expr>> &where) {
    return make_load(where.first, where.second);
  };
  const VarPtr slot2 = ir::make_loop_variable("slot");
  auto at_slot2 = [&](int component) {
    return element_of(component, make_variable(slot2) + stage->region[slot_arg].min);
  };
  const auto key_here = at_slot2(0), coordinate_here = at_slot2(1);
  const Expr key = value(key_tile);
  Expr better =
      value(shifting_tile) || value(coordinate_here) < make_int(int32, 0) || key > value(key_here);
  if (key_type.is_float()) better = better || (is_nan(key) && !is_nan(value(key_here)));
  const VarPtr old_key = ir::make_let_variable("pushed_key", key_type),
               old_coordinate = ir::make_let_variable("pushed_coordinate", int32);
  Stmt swap = ir::make_block({set(key_here, key), set(coordinate_here, value(coordinate_tile)),
                              set(key_tile, make_variable(old_key)),
                              set(coordinate_tile, make_variable(old_coordinate)),
                              set(shifting_tile, Expr(true))});
  swap = ir::make<ir::Let>(old_key, value(key_here),
                           ir::make<ir::Let>(old_coordinate, value(coordinate_here), swap));
  const Stmt insert = ir::make<ir::For>(slot2, make_int(int64, 0), stage->region[slot_arg].extent,
                                        ir::ForKind::Serial, ir::make<ir::If>(better, swap));
  const Expr low = lower_expr(to_int64(def.domain[0].min), scope);
  scope.from.push_back(def.domain[0].var);
  scope.to.push_back(low + make_variable(element));
  std::function<Stmt(std::size_t)> guarded = [&](std::size_t i) -> Stmt {
    if (i < def.predicates.size()) {
      return with_inner_calls({def.predicates[i]}, scope, [&] {
        return ir::make<ir::If>(lower_expr(def.predicates[i], scope), guarded(i + 1));
      });
    }
    return with_inner_calls(def.values, scope, [&] {
      return ir::make_block({set(key_tile, lower_expr(def.values.at(0), scope)),
                             set(coordinate_tile, cast(int32, scope.to.back())),
                             set(shifting_tile, Expr(false)), insert});
    });
  };
  Stmt body = guarded(0);
  for (const auto &where : {shifting_tile, coordinate_tile, key_tile}) {
    body = ir::make<ir::Allocate>(where.first, std::vector<Expr>{}, body);
  }
  Scope outer = scope;
  body = ir::make<ir::For>(element, make_int(int64, 0),
                           lower_expr(to_int64(def.domain[0].extent), outer), ir::ForKind::Serial,
                           body);
  body = ir::make_block({clear, body});
  for (std::size_t i = loops.size(); i-- > 0;) {
    const bool outermost = i == 0;
    body = ir::make<ir::For>(loops[i], make_int(int64, 0), stage->region[i].extent,
                             outermost ? ir::ForKind::Parallel : ir::ForKind::Serial, body);
  }
  return body;
}

}  // namespace pit::lower
