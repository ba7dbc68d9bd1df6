// Marking the micro-tiles in which a predicate holds: in loops of their own, or in the tile of the
// producer.

#include <algorithm>
#include <numeric>

#include "dsl/error.h"
#include "emit.h"
#include "interval.h"
#include "job.h"
#include "linear.h"
#include "statements.h"

namespace pit::lower {

using ir::Stmt;

namespace {

Expr constant(std::int64_t c) { return make_int(int64, c); }

}  // namespace

/// marks[g][j] bit 0: some iteration of micro-tile j passes. The operand is read once: rows
/// outside, positions inside. On a GPU this is for candidates that are data: the host counts
/// blocks, so each group is gone through by its block, and marks are made in a tile.
Stmt Emitter::emit_marks(IndexPlan *index) {
  Scope scope;
  Expr number;
  return for_groups(*index, &scope, &number, [&] {
    const Expr start =
        index->data_dependent_range ? make_load(index->starts, {number}) : number * index->length;
    const Expr extent = max(lower_expr(index->axis_range.extent, scope), constant(0));
    const Expr length = index->data_dependent_range
                            ? (extent + constant(index->micro - 1)) / constant(index->micro)
                            : index->length;
    if (!on_gpu()) {
      return emit_marks_of_strip(*index, scope, {index->marks, start}, {{}, extent, length, 0});
    }
    return for_strips(*index, extent, length, ir::ForKind::Serial, [&](const GpuStrip &strip) {
      const VarPtr j = ir::make_axis_variable("j");
      const auto bit = [&](const StoragePtr &tile, int b) {
        return select(make_load(tile, {make_variable(j)}), make_int(uint8, b), make_int(uint8, 0));
      };
      Expr mark = bit(strip.marks, 1);
      if (strip.partial) mark = mark | bit(strip.partial, 2);
      return ir::make_block(
          {emit_marks_of_strip(*index, scope, {strip.marks, constant(0), strip.partial},
                               strip.marked),
           ir::make<ir::Axes>(
               std::vector<ir::AxisBinding>{{j, strip.marked.length, strip.marked.maximum}},
               ir::make<ir::Store>(std::vector<VarPtr>{j}, std::vector<Expr>{}, index->marks,
                                   std::vector<Expr>{start + strip.first + make_variable(j)},
                                   Combiner::Assign, mark))});
    });
  });
}

/// Marks from to.at on: bytes on the host, bools in a GPU's tiles. A conjunction is marked factor
/// by factor and the marks intersected, so that a factor only costs what it reads. Where the lists
/// are seen, conjuncts that vary with one and the same variable inside a micro-tile are one factor:
/// it must be one iteration that passes both. Elsewhere a tile that no iteration passes is only
/// time, and mostly less than the exact test.
Stmt Emitter::emit_marks_of_strip(const IndexPlan &index, const Scope &scope, const MarksTo &to,
                                  const MarkStrip &strip) {
  const Expr micro = constant(index.micro), none = flag(make_int(boolean, 0));
  auto storage = [&](const char *what) {
    return ir::make_storage(index.name() + what, none.type(), 1,
                            on_gpu() ? Space::Tile : Space::Heap);
  };
  auto whole = [&](const StoragePtr &target, const Expr &at,
                   const std::function<Expr(const Expr &)> &value) {
    const VarPtr j = ir::make_axis_variable("j");
    return ir::make<ir::Axes>(std::vector<ir::AxisBinding>{{j, strip.length, strip.maximum}},
                              ir::make<ir::Store>(std::vector<VarPtr>{j}, std::vector<Expr>{},
                                                  target, std::vector<Expr>{at + make_variable(j)},
                                                  Combiner::Assign, value(make_variable(j))));
  };
  auto ends_beyond = [&](const Expr &j) { return (j + constant(1)) * micro > strip.extent; };
  if (index.predicates.empty() && on_gpu()) {
    const Stmt marked = whole(to.marks, to.at, [&](const Expr &j) {
      return index.length_is_bound ? j * micro < strip.extent : make_int(boolean, 1);
    });
    return ir::make_block({marked, to.partial ? whole(to.partial, to.at, ends_beyond) : Stmt()});
  }
  if (index.predicates.empty()) {
    return whole(to.marks, to.at, [&](const Expr &j) {
      const Expr listed = index.full
                              ? select(ends_beyond(j), make_int(uint8, 3), make_int(uint8, 1))
                              : make_int(uint8, 1);
      return index.length_is_bound ? select(j * micro < strip.extent, listed, none) : listed;
    });
  }
  std::vector<Stmt> stmts;
  // The first factor marks in place, the others beside and are intersected. Where full micro-tiles
  // are to be known, iterations that fail are marked too, with those that would lie past the
  // domain.
  const StoragePtr &marks = to.marks;
  const Expr &first = to.at;
  StoragePtr beside, partial = to.partial;
  if (index.full) {
    if (!partial) partial = storage(".partial");
    stmts.push_back(whole(partial, constant(0), [&](const Expr &j) {
      return index.micro == 1 ? none : flag(ends_beyond(j));
    }));
  }
  const std::vector<Factor> factors = factors_of(index);
  for (std::size_t f = 0; f < factors.size(); ++f) {
    if (f == 1) beside = storage(".factor");
    const StoragePtr &target = f == 0 ? marks : beside;
    const Expr at = f == 0 ? first : constant(0);
    stmts.push_back(whole(target, at, [&](const Expr &) { return none; }));
    stmts.push_back(emit_factor(index, factors[f], scope, strip, target, at,
                                index.full_means_all_pass ? partial : StoragePtr()));
    if (f > 0) {
      stmts.push_back(whole(marks, first, [&](const Expr &j) {
        const Expr one = make_load(marks, {first + j}), other = make_load(beside, {j});
        return on_gpu() ? one && other : one & other;
      }));
    }
  }
  if (partial && !to.partial) {
    stmts.push_back(whole(marks, first, [&](const Expr &j) {
      return make_load(marks, {first + j}) |
             select(make_load(partial, {j}) != none, make_int(uint8, 2), none);
    }));
  }
  Stmt result = ir::make_block(stmts);
  const std::vector<Expr> room{on_gpu() ? constant(strip.maximum) : strip.length};
  if (partial && !to.partial) result = ir::make<ir::Allocate>(partial, room, result);
  return beside ? ir::make<ir::Allocate>(beside, room, result) : result;
}

/// What a mark says of a condition, and how marks are joined.
Expr Emitter::flag(const Expr &condition) const {
  return on_gpu() ? condition : select(condition, make_int(uint8, 1), make_int(uint8, 0));
}
Combiner Emitter::either_mark() const { return on_gpu() ? Combiner::Or : Combiner::Max; }

/// The variables whose values inside one micro-tile the conjunct tells apart.
std::vector<VarPtr> Emitter::lanes_told_apart(const IndexPlan &index, const Expr &p) {
  std::vector<VarPtr> lanes;
  for (const GroupVar &g : index.group) {
    if (g.micro > 1 && uses(p, g.var) && aligned_step({p}, g.var, g.micro, g.range.min) < g.micro)
      lanes.push_back(g.var);
  }
  for (const ReductionDim &dim : index.covered) {
    if (uses(p, dim.var)) lanes.push_back(dim.var);
  }
  for (const VarPtr &part : index.axis_parts) {
    const bool whole = index.axis_parts.size() == 1 &&
                       aligned_step({p}, part, index.micro, index.axis_range.min) == index.micro;
    if (index.micro > 1 && uses(p, part) && !whole) lanes.push_back(index.axis);
  }
  return lanes;
}

/// The conjuncts of an index, in order; with those together that share a variable of the micro-tile
/// if it is exact.
std::vector<Emitter::Factor> Emitter::factors_of(const IndexPlan &index) {
  struct Class {
    std::vector<std::size_t> members;
    std::vector<VarPtr> lanes;
  };
  std::vector<Class> classes;
  for (std::size_t i = 0; i < index.predicates.size(); ++i) {
    Class joined{
        {}, index.exact ? lanes_told_apart(index, index.predicates[i]) : std::vector<VarPtr>()};
    const std::vector<VarPtr> own = joined.lanes;
    std::erase_if(classes, [&](const Class &c) {
      const bool shares = std::any_of(c.lanes.begin(), c.lanes.end(), [&](const VarPtr &v) {
        return std::find(own.begin(), own.end(), v) != own.end();
      });
      if (shares) {
        joined.members.insert(joined.members.end(), c.members.begin(), c.members.end());
        joined.lanes.insert(joined.lanes.end(), c.lanes.begin(), c.lanes.end());
      }
      return shares;
    });
    joined.members.push_back(i);
    std::sort(joined.members.begin(), joined.members.end());
    classes.push_back(joined);
  }
  std::vector<Factor> factors;
  for (const Class &c : classes) {
    Factor factor;
    bool reads_at_data = false;
    for (std::size_t i : c.members) {
      factor.push_back(index.predicates[i]);
      walk(index.predicates[i], [&](const Expr &node) {
        if (node.as<Load>() || node.as<Call>()) {
          for (const Expr &at : operands(node)) reads_at_data |= reads_data(at);
        }
        return !reads_at_data;
      });
    }
    // Conjuncts before one guard what it may read when it reads data at a place that is data.
    if (reads_at_data)
      factor.assign(index.predicates.begin(),
                    index.predicates.begin() + static_cast<std::ptrdiff_t>(c.members.back()) + 1);
    factors.push_back(std::move(factor));
  }
  return factors;
}

/// marks[at + j] |= the factor, over the iterations of all micro-tiles j of one group that it tells
/// apart.
Stmt Emitter::emit_factor(const IndexPlan &index, const Factor &tested, const Scope &group_scope,
                          const MarkStrip &strip, const StoragePtr &marks, const Expr &at,
                          const StoragePtr &partial) {
  const Expr &extent = strip.extent;
  Scope scope = group_scope;
  std::vector<ir::AxisBinding> axes;
  std::vector<VarPtr> order;
  std::vector<Expr> tails;
  Expr row = constant(0);  // of the micro-tile
  auto add_axis = [&](const std::string &name, const Expr &count, std::int64_t maximum) {
    axes.push_back({ir::make_axis_variable(name), count, maximum});
    order.push_back(axes.back().var);
    return make_variable(order.back());
  };
  for (std::size_t i = 0; i < index.group.size(); ++i) {
    const GroupVar &g = index.group[i];
    if (g.micro == 1) continue;
    bool used = false;
    for (const Expr &p : tested) used |= uses(p, g.var);
    if (!used) continue;
    // The factor sees the variable only in blocks of `step`.
    const std::int64_t step = aligned_step(tested, g.var, g.micro, g.range.min);
    const Expr first = scope.to[i];
    const Expr valid = min(constant(g.micro), g.range.min + g.range.extent - first);
    const Expr lane =
        add_axis(g.var->name, (valid + constant(step - 1)) / constant(step), g.micro / step);
    row = lane * constant(step);
    scope.to[i] = first + row;
  }
  for (const ReductionDim &dim : index.covered) {
    bool used = false;
    for (const Expr &p : tested) used |= uses(p, dim.var);
    if (!used) continue;
    const Expr low = lower_expr(to_int64(dim.min), scope),
               count = lower_expr(to_int64(dim.extent), scope);
    std::int64_t c = 0;
    const Expr lane = add_axis(dim.var->name, count, is_const_int(count, &c) ? c : 0);
    scope.from.push_back(dim.var);
    scope.to.push_back(low + lane);
  }
  const Expr low = lower_expr(index.axis_range.min, scope);
  const Expr j =
      add_axis(index.axis->name, (extent + constant(index.micro - 1)) / constant(index.micro),
               strip.maximum);
  Expr axis = j;
  const std::int64_t step =
      index.micro > 1 && index.axis_parts.size() == 1
          ? aligned_step(tested, index.axis, index.micro, index.axis_range.min)
          : 1;
  if (index.micro > 1 && step == 1) {
    return emit_factor_by_position(index, tested, scope, axes, order, low, strip, marks, at,
                                   partial);
  }
  if (index.micro > 1) {
    const Expr lane =
        add_axis(index.axis->name + ".micro", constant(index.micro / step), index.micro / step);
    axis = j * constant(index.micro) + lane * constant(step);
    tails.push_back(axis < extent);
  }
  set_axis_value(index, low, strip.base.defined() ? strip.base + axis : axis, &scope);
  scope.axes = axes;
  scope.in_tile = true;
  if (strip.operand) {
    // The block has it in a tile.
    tiles_.push_back({.index = &index,
                      .operand = without_uniform_divisions(
                          substitute(stored_access(index), scope.from, scope.to), scope.axes),
                      .packed = make_load(strip.operand, {row, axis})});
  }
  const Stmt marked = with_inner_calls(tested, scope, [&] {
    Expr condition;
    for (const Expr &p : tested) {
      const Expr lowered = lower_expr(p, scope);
      condition = condition.defined() ? condition && lowered : lowered;
    }
    const Stmt passes = ir::make<ir::Store>(order, tails, marks, std::vector<Expr>{at + j},
                                            either_mark(), flag(condition));
    if (!partial) return passes;
    return ir::make_block({passes, ir::make<ir::Store>(order, tails, partial, std::vector<Expr>{j},
                                                       either_mark(), flag(!condition))});
  });
  if (strip.operand) tiles_.pop_back();
  return ir::make<ir::Axes>(axes, marked);
}

/// The factor tells every position apart: positions are marked one by one, which runs along rows of
/// the operand, and micro-tiles from them; a GPU's threads do both at once.
Stmt Emitter::emit_factor_by_position(const IndexPlan &index, const std::vector<Expr> &tested,
                                      Scope scope, std::vector<ir::AxisBinding> axes,
                                      std::vector<VarPtr> order, const Expr &low,
                                      const MarkStrip &strip, const StoragePtr &marks,
                                      const Expr &at, const StoragePtr &partial) {
  const Expr &extent = strip.extent;
  // The axis over micro-tiles that was made last is replaced by one over positions.
  const std::int64_t most = strip.maximum * index.micro;
  axes.back() = {ir::make_axis_variable(index.axis->name), extent, most};
  order.back() = axes.back().var;
  const Expr p = make_variable(order.back());
  set_axis_value(index, low, strip.base.defined() ? strip.base + p : p, &scope);
  scope.axes = axes;
  scope.in_tile = true;
  const Expr one = make_int(uint8, 1), zero = make_int(uint8, 0), micro = constant(index.micro);
  if (on_gpu()) {
    const Expr j = p / micro;
    return ir::make<ir::Axes>(
        axes, with_inner_calls(tested, scope, [&] {
          Expr condition;
          for (const Expr &test : tested) {
            const Expr lowered = lower_expr(test, scope);
            condition = condition.defined() ? condition && lowered : lowered;
          }
          const Stmt pass = ir::make<ir::Store>(order, std::vector<Expr>{}, marks,
                                                std::vector<Expr>{at + j}, Combiner::Or, condition);
          if (!partial) return pass;
          return ir::make_block(
              {pass, ir::make<ir::Store>(order, std::vector<Expr>{}, partial, std::vector<Expr>{j},
                                         Combiner::Or, !condition)});
        }));
  }
  // Whole micro-tiles, whose positions past the domain are never marked.
  const Expr tiles = (extent + micro - constant(1)) / micro;
  const std::vector<Expr> none;
  auto over = [&](const std::vector<VarPtr> &over_axes, const StoragePtr &to, const Expr &i,
                  Combiner c, const Expr &value, const std::vector<Expr> &guards) {
    return ir::make<ir::Store>(over_axes, guards, to, std::vector<Expr>{i}, c, value);
  };
  auto clear = [&](const StoragePtr &to) {
    const VarPtr q = ir::make_axis_variable("p");
    return ir::make<ir::Axes>(std::vector<ir::AxisBinding>{{q, tiles * micro, most}},
                              over({q}, to, make_variable(q), Combiner::Assign, zero, none));
  };
  auto gather = [&](const StoragePtr &from, const StoragePtr &to, const Expr &start) {
    const VarPtr j = ir::make_axis_variable("j"), lane = ir::make_axis_variable("lane");
    const Expr position = make_variable(j) * micro + make_variable(lane);
    return ir::make<ir::Axes>(
        std::vector<ir::AxisBinding>{{j, tiles, strip.maximum}, {lane, micro, index.micro}},
        over({j, lane}, to, start + make_variable(j), Combiner::Max, make_load(from, {position}),
             none));
  };
  const StoragePtr passes = ir::make_storage(index.name() + ".passes", uint8, 1, Space::Heap);
  const StoragePtr fails =
      partial ? ir::make_storage(index.name() + ".fails", uint8, 1, Space::Heap) : StoragePtr();
  std::vector<Stmt> stmts{clear(passes)};
  if (fails) stmts.push_back(clear(fails));
  stmts.push_back(ir::make<ir::Axes>(
      axes, with_inner_calls(tested, scope, [&] {
        Expr condition;
        for (const Expr &test : tested) {
          const Expr lowered = lower_expr(test, scope);
          condition = condition.defined() ? condition && lowered : lowered;
        }
        const Stmt pass = over(order, passes, p, Combiner::Max, select(condition, one, zero), none);
        return fails ? ir::make_block({pass, over(order, fails, p, Combiner::Max,
                                                  select(condition, zero, one), none)})
                     : pass;
      })));
  stmts.push_back(gather(passes, marks, at));
  if (fails) stmts.push_back(gather(fails, partial, constant(0)));
  Stmt result = ir::make_block(stmts);
  const std::vector<Expr> room{tiles * micro};
  if (fails) result = ir::make<ir::Allocate>(fails, room, result);
  return ir::make<ir::Allocate>(passes, room, result);
}

/// The variables of the axis in terms of `position`, which counts from 0.
void Emitter::set_axis_value(const IndexPlan &index, const Expr &low, const Expr &position,
                             Scope *scope) {
  if (index.axis_parts.size() == 1) {
    scope->from.push_back(index.axis);
    scope->to.push_back(low + position);
    return;
  }
  Expr rest = position;
  std::vector<Expr> values(index.axis_parts.size());
  for (std::size_t i = index.axis_parts.size(); i-- > 0;) {
    const Range &range = index.axis_part_ranges[i];
    values[i] = range.min + (i == 0 ? rest : rest % range.extent);
    rest = rest / range.extent;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    scope->from.push_back(index.axis_parts[i]);
    scope->to.push_back(values[i]);
  }
}

/// Marks of the indices that are computed at loop `level` of their producer, from the values just
/// stored.
Stmt Emitter::emit_marks_in_producer(const Job &job, std::size_t level) {
  const PlannedStage *stage = job.stage;
  const Scope &scope = job.scope;
  const VarPtr &loop = job.nest.dims[level].name;
  std::vector<Stmt> stmts;
  for (const auto &owned : plan_->indices) {
    IndexPlan *index = owned.get();
    if (index->mark_stage != stage || index->mark_loop != loop) continue;
    const Call *read = nullptr;
    for (const Expr &p : index->predicates) {
      walk(p, [&](const Expr &node) {
        const Call *call = node.as<Call>();
        if (call && call->func == stage->func.get()) read = call;
        return true;
      });
    }
    auto fail = [&](const std::string &why) {
      throw CompileError("index " + index->name() + ".compute_at(" + stage->name() + ", " +
                             loop->name + "): " + why,
                         index->node->where);
    };
    if (level + 1 < job.loops) {
      const std::string &inner = job.nest.dims[job.loops - 1].name->name;
      fail(stage->name() + " stores one tile in each iteration of " + inner + ", which is inside " +
           loop->name + ", and an index is marked where a tile is stored; say compute_at(" +
           stage->name() + ", " + inner + ")");
    }
    if (!read || index->predicates.size() != 1 || index->axis_parts.size() != 1 ||
        !index->covered.empty()) {
      fail("the index must have one predicate, and it must read " + stage->name() +
           " at the axis and the group");
    }
    // The predicate's coordinates are the producer's Vars in the order in which it is read.
    std::vector<VarPtr> names;
    std::vector<Expr> values;
    for (std::size_t i = 0; i < read->args.size(); ++i) {
      Expr arg = read->args[i];
      while (const Cast *c = arg.as<Cast>()) arg = c->a;
      const Variable *v = arg.as<Variable>();
      if (!v)
        fail("argument " + to_string(read->args[i]) + " of " + stage->name() +
             " is not a variable");
      for (std::size_t k = 0; k < scope.from.size(); ++k) {
        if (scope.from[k] != stage->func->args[i]) continue;
        names.push_back(v->var);
        values.push_back(scope.to[k]);
      }
    }
    auto value_of = [&](const VarPtr &v) {
      const auto it = std::find(names.begin(), names.end(), v);
      if (it == names.end()) fail(v->name + " is not a coordinate of " + stage->name());
      return values[static_cast<std::size_t>(it - names.begin())];
    };
    Expr number = constant(0);
    for (const GroupVar &g : index->group) {
      const Expr value = value_of(g.var) - g.range.min;
      check_covers(value, g.micro, scope, [&] {
        fail("the tile of " + stage->name() + " must cover whole micro-tiles: the tile of " +
             g.var->name + " is not a multiple of " + std::to_string(g.micro));
      });
      number = number * g.groups + value / constant(g.micro);
    }
    const Expr position = value_of(index->axis) - index->axis_range.min;
    check_covers(position, index->micro, scope, [&] {
      fail("the tile of " + stage->name() + " must cover whole micro-tiles of " +
           index->axis->name);
    });
    const Expr at = number * index->length + position / constant(index->micro);
    Scope inside;
    inside.from = names;
    inside.to = values;
    inside.axes = scope.axes;
    std::vector<VarPtr> axes;
    for (const ir::AxisBinding &axis : scope.axes) {
      if (uses(at, axis.var)) axes.push_back(axis.var);
    }
    const Expr condition = lower_expr(index->predicates[0], inside);
    stmts.push_back(ir::make<ir::Store>(axes, std::vector<Expr>{}, index->marks,
                                        std::vector<Expr>{at}, Combiner::Max,
                                        select(condition, make_int(uint8, 1), make_int(uint8, 0))));
  }
  return ir::make_block(stmts);
}

/// The largest step of which every use of v is v / (a multiple of it), dividing `micro`; 1 when v
/// is used otherwise.
std::int64_t Emitter::common_divisor(const std::vector<Expr> &exprs, const VarPtr &v,
                                     std::int64_t micro) {
  std::int64_t step = micro;
  auto visit = [&](auto &&self, const Expr &e) -> void {
    std::int64_t c = 0;
    const Binary *b = e.as<Binary>();
    if (b && b->op == BinaryOp::Div && is_const_int(b->b, &c) && c > 0) {
      Expr a = b->a;
      while (const Cast *cast_node = a.as<Cast>()) a = cast_node->a;
      if (const Variable *used = a.as<Variable>(); used && used->var == v) {
        step = std::gcd(step, c);
        return;
      }
    }
    if (const Variable *used = e.as<Variable>(); used && used->var == v) step = 1;
    for (const Expr &operand : operands(e)) self(self, operand);
  };
  for (const Expr &e : exprs) visit(visit, e);
  return step;
}

/// The blocks of micro-tiles, which start at `min` and are `micro` long, inside which the
/// expressions do not tell values of v apart.
std::int64_t Emitter::aligned_step(const std::vector<Expr> &exprs, const VarPtr &v,
                                   std::int64_t micro, const Expr &min) {
  std::int64_t start = 0;
  return is_const_int(min, &start) ? std::gcd(common_divisor(exprs, v, micro), start) : 1;
}

/// `value` runs over whole multiples of `micro` in the scope's axes.
void Emitter::check_covers(const Expr &value, std::int64_t micro, const Scope &scope,
                           const std::function<void()> &fail) {
  if (micro == 1) return;
  Linear base = linearize(value);
  std::int64_t span = 1;
  for (auto it = base.terms.begin(); it != base.terms.end();) {
    const Variable *v = it->value.as<Variable>();
    const auto axis = std::find_if(scope.axes.begin(), scope.axes.end(),
                                   [&](const ir::AxisBinding &a) { return v && a.var == v->var; });
    if (axis == scope.axes.end()) {
      ++it;
      continue;
    }
    // A dimension that the tile holds whole covers all its micro-tiles.
    if (axis->maximum == 0) return;
    span += it->coefficient * (axis->maximum - 1);
    it = base.terms.erase(it);
  }
  bool aligned = span % micro == 0 && base.constant % micro == 0;
  for (const Linear::Term &term : base.terms) aligned &= term.coefficient % micro == 0;
  if (!aligned) fail();
}

}  // namespace pit::lower
