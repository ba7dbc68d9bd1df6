// Loop nests of definitions: which loops become lanes of a tile, where other stages are computed
// inside them.

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

namespace {

/// A reduction that no directive has tiled is cut into pieces of this many iterations inside a
/// tile.
constexpr std::int64_t kReductionStrip = 256;
/// The same where operands go through shared memory to matrix instructions: 128 bytes of each.
constexpr std::int64_t kStagedStrip = 64;
constexpr std::int64_t kLargestLane = 512;

Expr constant(std::int64_t c) { return make_int(int64, c); }

/// There is no iteration, whatever the call.
bool is_empty(const Expr &extent) {
  std::int64_t n = 0;
  return is_const_int(extent, &n) && n <= 0;
}

/// The value varies with the lane; the lane over entries is behind the coordinate.
bool uses_lane(const Expr &value, const Dim &lane, const PitLoop &pit) {
  if (uses(value, lane.var)) return true;
  return pit.coordinate && uses(value, pit.coordinate) && pit.entry_lane == lane.var;
}

}  // namespace

Stmt Emitter::emit_stage_at_root(PlannedStage *stage) {
  if (stage->compact) check_compact_rank(*stage);
  if (stage->storages.empty()) {
    for (std::size_t c = 0; c < stage->func->types.size(); ++c) {
      const std::string suffix = stage->func->types.size() > 1 ? "." + std::to_string(c) : "";
      const std::size_t rank =
          stage->compact
              ? static_cast<std::size_t>(compact_rank(*stage->func, *stage->compact->node,
                                                      plan_->pipeline->schedule().directives))
              : stage->func->args.size();
      stage->storages.push_back(ir::make_storage(stage->name() + suffix, stage->func->types[c],
                                                 static_cast<int>(rank), Space::Heap));
      std::vector<Expr> extents;
      if (stage->compact) extents.push_back(entries_of(*stage->compact));
      std::vector<Expr> offsets;
      for (int dimension : stage->storage_order) {
        const auto d = static_cast<std::size_t>(dimension);
        if (!stage->compact) {
          extents.push_back(stage->region[d].extent);
          continue;
        }
        const IndexPlan &index = *stage->compact;
        const VarPtr &v = stage->func->args[d];
        const bool axis = std::find(index.axis_parts.begin(), index.axis_parts.end(), v) !=
                          index.axis_parts.end();
        const auto group = std::find_if(index.group.begin(), index.group.end(),
                                        [&](const GroupVar &g) { return g.var == v; });
        const std::int64_t micro = axis                         ? index.micro
                                   : group != index.group.end() ? group->micro
                                                                : 0;
        if (micro == 0) extents.push_back(stage->region[d].extent);
        if (micro > 1) offsets.push_back(constant(micro));
      }
      extents.insert(extents.end(), offsets.begin(), offsets.end());
      append_allocation(stage->storages.back(), extents);
    }
  }
  for (const auto &index : plan_->indices) {
    if (index->mark_stage == stage) allocate_index(index.get());
  }
  std::vector<Stmt> stmts;
  if (stage->is_top_k()) {
    stmts.push_back(emit_top_k(stage));
  } else {
    for (const PlannedDefinition &def : stage->definitions)
      stmts.push_back(emit_specialized(stage, def, {}));
  }
  append(ir::make<ir::Stage>(stage->name(), ir::StageKind::Compute, ir::make_block(stmts)));
  for (const auto &index : plan_->indices) {
    if (index->mark_stage != stage) continue;
    append(place_index(index.get()));
    emit_room_checks(*index);
  }
  return {};
}

/// The layout as the language counts it and as the index covers it are one, unless a group divides
/// a Var by itself.
void Emitter::check_compact_rank(const PlannedStage &stage) const {
  const IndexPlan &index = *stage.compact;
  int rank = 1;
  for (const VarPtr &v : stage.func->args) {
    const bool axis =
        std::find(index.axis_parts.begin(), index.axis_parts.end(), v) != index.axis_parts.end();
    const auto group = std::find_if(index.group.begin(), index.group.end(),
                                    [&](const GroupVar &g) { return g.var == v; });
    const std::int64_t micro = axis ? index.micro : group != index.group.end() ? group->micro : 0;
    if (micro != 1) ++rank;
  }
  if (rank == compact_rank(*stage.func, *index.node, plan_->pipeline->schedule().directives))
    return;
  throw CompileError(stage.name() + ".store_compact: index " + index.name() +
                         " divides a variable in its group; give that variable a micro extent "
                         "instead, e.g. .micro = {{v, 4}} rather than .group = v / 4",
                     index.node->where);
}

Stmt Emitter::emit_specialized(PlannedStage *stage, const PlannedDefinition &def,
                               const Scope &scope) {
  Stmt general = emit_definition(stage, def, def.directives, scope);
  for (auto it = def.specializations.rbegin(); it != def.specializations.rend(); ++it) {
    const Expr condition = lower_expr(it->first, scope);
    if (reads_axis(condition, scope.axes)) {
      throw CompileError(
          definition_name(*stage->func, def.number) +
              ".specialize: the condition varies inside the tile at which the Func is computed",
          it->first.where());
    }
    const Stmt special = emit_definition(stage, def, it->second, scope);
    general = on_gpu() && stage->level == Level::Root && reads_data(condition)
                  ? ir::make_block({where(condition, special), where(!condition, general)})
                  : ir::make<ir::If>(condition, special, general);
  }
  return general;
}

bool Emitter::realizes_here(const Job &job, const Dim &dim) const {
  if (!stages_at(job, dim).empty()) return true;
  for (const auto &stage : plan_->stages) {
    if (stage->level == Level::With && stage->consumer == job.stage &&
        stage->consumer_definition == job.def->number && stage->consumer_loop == dim.name) {
      return true;
    }
  }
  return std::any_of(plan_->indices.begin(), plan_->indices.end(), [&](const auto &index) {
    return index->mark_stage == job.stage && index->mark_loop == dim.name;
  });
}

Stmt Emitter::emit_definition(PlannedStage *stage, const PlannedDefinition &def,
                              const std::vector<Directive> &directives, const Scope &scope) {
  Job job;
  job.stage = stage;
  job.def = &def;
  job.directives = &directives;
  job.nest =
      make_nest(*plan_, *stage, def, directives, {scope.from, scope.to, scope.axes, scope.in_tile});
  job.scope = scope;
  job.scope.from = job.nest.from;
  job.scope.to = job.nest.to;
  choose_lanes(job);
  check_shared_loops(job);
  choose_parallel(job);
  job.predicates = job.nest.has_pit ? residual_predicates(def, directives, *job.nest.pit.index,
                                                          def.name_under(*stage->func, directives))
                                    : def.predicates;
  const std::size_t tiles = tiles_.size();
  const auto *outer = std::exchange(directives_, &directives);
  Stmt result = job.level < 0 ? emit_inside(job, -1) : emit_loops(job, 0);
  tiles_.resize(tiles);
  directives_ = outer;
  return result;
}

/// Decides which dims are lanes and puts them innermost, behind the loops.
void Emitter::choose_lanes(Job &job) {
  std::vector<Dim> &dims = job.nest.dims;
  bool vectorized = false;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const bool tile = job.nest.has_pit && dims[i].var == job.nest.pit.tile_var;
    if (tile || realizes_here(job, dims[i])) job.level = static_cast<int>(i);
    vectorized |= dims[i].vectorize;
  }
  const bool tile_mode = job.level >= 0 || job.scope.in_tile;
  const bool vector_sum = !tile_mode && sums_along_innermost(job);
  const bool permutable = job.def->number == 0 || is_permutable(job.def->combiner);
  // Iterations that meet in elements of the Func which they read keep their order.
  const SelfReads self = self_reads(*job.stage->func, job.def->number);
  auto in_order = [&](const Dim &dim) {
    if (!self.read.defined()) return false;
    for (std::size_t i = 0; i < job.scope.from.size(); ++i) {
      const bool apart =
          std::find(self.apart.begin(), self.apart.end(), job.scope.from[i]) != self.apart.end();
      if (!apart && uses(job.scope.to[i], dim.var)) return true;
    }
    return false;
  };
  std::vector<Dim> outer, inner, lanes;
  std::map<VarPtr, VarPtr> strips;  // and what they are strips of
  bool reduction_lane = false;
  for (std::size_t i = dims.size(); i-- > 0;) {
    Dim dim = dims[i];
    const bool inside = static_cast<int>(i) > job.level;
    const bool lanes_here = tile_mode || (vector_sum && i + 1 == dims.size());
    if (states_meet(job, dim)) {
      if (dim.lane) {
        throw CompileError(definition_name(*job.stage->func, job.def->number) + ": " +
                               dim.name->name +
                               " is fused of rows and of their terms; the lanes of a softmax are "
                               "terms of the same rows: "
                               "tile the terms alone",
                           job.nest.has_pit ? job.nest.pit.where : job.stage->where);
      }
    } else if (dim.lane || dim.vectorize) {
      dim.lane = true;
    } else if (inside && lanes_here && permutable && !in_order(dim) &&
               dim.kind != ir::ForKind::Parallel && dim.kind != ir::ForKind::GpuBlock) {
      if (!dim.reduction || (dim.maximum != 0 && dim.maximum <= kLargestLane)) {
        dim.lane = true;
      } else if (!reduction_lane && !is_empty(dim.extent)) {
        // Cut an untiled reduction into strips.
        const std::int64_t size = plan_->target->is_cuda() ? kStagedStrip : kReductionStrip;
        Dim strip = dim;
        strip.name = ir::make_loop_variable(dim.name->name + ".strip");
        strip.var = strip.name;
        strip.extent = (dim.extent + constant(size - 1)) / constant(size);
        strip.maximum = 0;
        strips[strip.name] = dim.name;
        Dim lane = dim;
        lane.var = ir::make_axis_variable(dim.name->name);
        lane.extent = min(constant(size), dim.extent - make_variable(strip.var) * constant(size));
        lane.maximum = size;
        lane.lane = true;
        const Expr value = make_variable(strip.var) * constant(size) + make_variable(lane.var);
        for (Expr &to : job.scope.to) to = substitute(to, {dim.var}, {value});
        for (Expr &guard : job.nest.guards) guard = substitute(guard, {dim.var}, {value});
        inner.insert(inner.begin(), strip);
        dim = lane;
      }
    }
    if (dim.lane) {
      reduction_lane |= dim.reduction;
      if (dim.var->role != VarRole::Axis) {
        const VarPtr axis = ir::make_axis_variable(dim.var->name);
        for (Expr &to : job.scope.to) to = substitute(to, {dim.var}, {make_variable(axis)});
        for (Expr &guard : job.nest.guards)
          guard = substitute(guard, {dim.var}, {make_variable(axis)});
        for (Dim &other : dims)
          other.extent = other.extent.defined()
                             ? substitute(other.extent, {dim.var}, {make_variable(axis)})
                             : other.extent;
        for (auto *list : {&outer, &inner, &lanes}) {
          for (Dim &other : *list)
            other.extent = other.extent.defined()
                               ? substitute(other.extent, {dim.var}, {make_variable(axis)})
                               : other.extent;
        }
        dim.var = axis;
      }
      lanes.insert(lanes.begin(), dim);
    } else if (inside) {
      inner.insert(inner.begin(), dim);
    } else {
      outer.insert(outer.begin(), dim);
    }
  }
  if (vectorized && job.level >= 0) job.level = static_cast<int>(outer.size()) - 1;
  job.loops = outer.size() + inner.size();
  for (const auto *list : {&outer, &inner}) {
    for (const Dim &dim : *list) {
      const auto strip = strips.find(dim.name);
      choose_split(job, strip == strips.end() ? dim.name : strip->second, dim.var);
    }
  }
  // Lanes in the order of the Func's dimensions, reductions behind them: rows before columns.
  auto place = [&](const Dim &lane) {
    const auto &args = job.stage->func->args;
    for (std::size_t i = 0; i < args.size(); ++i) {
      for (std::size_t k = 0; k < job.scope.from.size(); ++k) {
        if (job.scope.from[k] == args[i] && uses_lane(job.scope.to[k], lane, job.nest.pit))
          return i;
      }
    }
    return args.size();
  };
  std::stable_sort(lanes.begin(), lanes.end(),
                   [&](const Dim &a, const Dim &b) { return place(a) < place(b); });
  dims = std::move(outer);
  dims.insert(dims.end(), inner.begin(), inner.end());
  dims.insert(dims.end(), lanes.begin(), lanes.end());
  check_lanes(job);
}

/// Notes what the schedule says of parts of the loop that it names `name`.
void Emitter::choose_split(const Job &job, const VarPtr &name, const VarPtr &loop) {
  for (const Directive &d : *job.directives) {
    if (d.kind != DirectiveKind::SplitReduction || d.vars.at(0) != name) continue;
    split_choices_[loop] = {job.def->name_under(*job.stage->func, *job.directives),
                            static_cast<int>(d.ints.at(0))};
  }
}

/// A loop over terms of several states of a softmax: its iterations may meet in one state, which
/// moves as a whole.
bool Emitter::states_meet(const Job &job, const Dim &dim) {
  if (job.def->combiner != Combiner::Softmax || !dim.reduction) return false;
  const auto &args = job.stage->func->args;
  for (std::size_t k = 0; k < job.scope.from.size(); ++k) {
    const bool is_arg = std::find(args.begin(), args.end(), job.scope.from[k]) != args.end();
    if (is_arg && uses_lane(job.scope.to[k], dim, job.nest.pit)) return true;
  }
  return false;
}

/// A reduction whose innermost loop runs along it and needs no inline reduction of its own: its
/// terms are summed as a vector, as reassociation allows.
bool Emitter::sums_along_innermost(const Job &job) const {
  const PlannedDefinition &def = *job.def;
  const std::vector<Dim> &dims = job.nest.dims;
  if (def.number == 0 || !is_permutable(def.combiner) || dims.empty()) return false;
  if (!dims.back().reduction || dims.back().kind != ir::ForKind::Serial) return false;
  bool plain = true;
  auto look = [&](const Expr &e) {
    walk(e, [&](const Expr &node) {
      const Call *call = node.as<Call>();
      plain &= !call || plan_->stage(*call)->level == Level::Root;
      return plain;
    });
  };
  for (const Expr &e : def.values) look(e);
  for (const Expr &e : def.predicates) look(e);
  for (std::size_t i = 0; i < job.scope.from.size(); ++i) {
    // An element that moves with the loop is not a sum along it.
    for (const Expr &arg : def.args) {
      if (uses(arg, job.scope.from[i]) && uses(job.scope.to[i], dims.back().var)) return false;
    }
  }
  return plain;
}

/// Loops that other outputs share are still loops, of all iterations: those of a pit_tile are what
/// its index keeps.
void Emitter::check_shared_loops(const Job &job) const {
  for (const auto &stage : plan_->stages) {
    if (stage->level != Level::With || stage->consumer != job.stage ||
        stage->consumer_definition != job.def->number)
      continue;
    bool found = false, kept = false;
    for (std::size_t i = 0; i < job.loops && !found; ++i) {
      kept |= job.nest.has_pit && job.nest.dims[i].var == job.nest.pit.tile_var;
      found = job.nest.dims[i].name == stage->consumer_loop;
    }
    if (found && !kept) continue;
    throw CompileError(stage->name() + ".compute_with: loop " + stage->consumer_loop->name +
                           " of " + job.stage->name() + " is " +
                           (kept ? "inside a pit_tile, whose iterations are what the index keeps"
                                 : "a dimension of a tile here") +
                           "; share a loop outside the tile",
                       stage->where);
  }
}

void Emitter::check_lanes(const Job &job) const {
  for (const Dim &dim : job.nest.dims) {
    if (!dim.extent.defined()) continue;
    for (const VarPtr &v : free_variables(dim.extent)) {
      if (v->role != VarRole::Axis) continue;
      throw CompileError(definition_name(*job.stage->func, job.def->number) +
                             ": the bounds of loop " + dim.name->name + " vary with " + v->name +
                             ", which is a dimension of a tile here; tile " + dim.name->name +
                             " with pit_tile, or compute " + job.stage->name() +
                             " at root without tiling or vectorizing " + v->name,
                         job.nest.has_pit ? job.nest.pit.where : job.stage->where);
    }
  }
}

/// Loops of a pit_tile at root run in parallel where no two of their iterations share an element,
/// unless the schedule says itself which loops are parallel.
void Emitter::choose_parallel(Job &job) {
  // Iterations of a reduction meet in one element: on a CPU they keep their order, atomic() or not.
  const bool any_order = adds_atomically(*job.stage, *job.def, *job.directives);
  for (Dim &dim : job.nest.dims) {
    if (any_order) break;
    if (dim.reduction && dim.kind != ir::ForKind::Unrolled) dim.kind = ir::ForKind::Serial;
  }
  if (job.stage->level != Level::Root) return;
  if (!job.nest.has_pit) {
    if (on_gpu()) choose_gpu_parallel(job);
    return;
  }
  std::vector<Dim> &dims = job.nest.dims;
  for (std::size_t i = 0; i <= static_cast<std::size_t>(job.level); ++i) {
    if (dims[i].kind != ir::ForKind::Serial) return;
  }
  bool pure_axis = true;
  for (const VarPtr &part : job.nest.pit.index->axis_parts) {
    const auto &args = job.stage->func->args;
    pure_axis &= std::find(args.begin(), args.end(), part) != args.end();
  }
  for (std::size_t i = 0; i <= static_cast<std::size_t>(job.level); ++i) {
    const bool of_axis =
        dims[i].var == job.nest.pit.tile_var || dims[i].var == job.nest.pit.group_loop;
    if (any_order || (of_axis ? pure_axis : !dims[i].reduction))
      dims[i].kind = ir::ForKind::Parallel;
  }
}

/// Loop i and what is inside; behind the loops the statement.
Stmt Emitter::emit_loops(Job &job, std::size_t i) {
  if (i >= job.loops) return emit_body(job);
  const Dim dim = job.nest.dims[i];
  if (job.nest.has_pit && dim.var == job.nest.pit.tile_var) return emit_pit_tile(job, i);
  Expr extent = lower_expr(dim.extent, job.scope);
  const Stmt inside = emit_inside(job, static_cast<int>(i));
  if (on_gpu() && job.level < 0 && is_innermost_parallel(job, i) &&
      is_work_of_a_thread(inside, &job))
    return spread(dim.var, extent, dim.kind, inside);
  return ir::make<ir::For>(dim.var, constant(0), extent, dim.kind, inside);
}

/// The body of loop i (-1: outside all loops): lanes are declared at the innermost loop that has
/// stages or is a tile.
Stmt Emitter::emit_inside(Job &job, int i) {
  const bool top = i < 0;
  std::vector<ir::AxisBinding> lanes;
  const std::size_t next = static_cast<std::size_t>(i) + 1;  // 0 outside all loops
  if (i == job.level) {
    for (std::size_t k = job.loops; k < job.nest.dims.size(); ++k) {
      const Dim &dim = job.nest.dims[k];
      bool known = true;  // extents that read a loop further inside are declared there
      for (std::size_t l = next; l < job.loops; ++l)
        known &= !uses(dim.extent, job.nest.dims[l].var);
      if (known) lanes.push_back({dim.var, lower_expr(dim.extent, job.scope), dim.maximum});
    }
  }
  const std::vector<ir::AxisBinding> axes_before = job.scope.axes;
  job.scope.axes.insert(job.scope.axes.end(), lanes.begin(), lanes.end());
  std::vector<Inner> inner;
  for (std::size_t k = next; k < job.nest.dims.size(); ++k) {
    const Dim &dim = job.nest.dims[k];
    const bool declared = std::any_of(job.scope.axes.begin(), job.scope.axes.end(),
                                      [&](const ir::AxisBinding &a) { return a.var == dim.var; });
    if (!declared) inner.push_back({dim.var, dim.extent, dim.maximum});
  }
  if (job.nest.has_pit) {
    // Outside the tile its coordinate may be any of the axis.
    const Range &axis = job.nest.pit.index->axis_range;
    auto here = [&](const Expr &e) { return substitute(e, job.scope.from, job.scope.to); };
    inner.push_back({job.nest.pit.coordinate, here(axis.extent), 0, here(axis.min)});
  }
  Stmt body;
  if (top) {
    body = emit_loops(job, 0);
  } else {
    const Dim dim = job.nest.dims[static_cast<std::size_t>(i)];
    std::vector<PlannedStage *> with;
    for (const auto &stage : plan_->stages) {
      if (stage->level == Level::With && stage->consumer == job.stage &&
          stage->consumer_loop == dim.name) {
        with.push_back(stage.get());
      }
    }
    const std::vector<PlannedStage *> producers = stages_at(job, dim);
    // Other Funcs, too, are computed for iterations alone.
    std::vector<Expr> outside;
    if (!producers.empty() || !with.empty()) outside = take_guards_outside(job, next);
    body = realize(job, producers, 0, inner, [&] {
      std::vector<Stmt> stmts{emit_loops(job, next)};
      for (PlannedStage *stage : with) {
        Scope scope = job.scope;
        for (const PlannedDefinition &def : stage->definitions)
          stmts.push_back(emit_definition(stage, def, def.directives, scope));
      }
      stmts.push_back(emit_marks_in_producer(job, static_cast<std::size_t>(i)));
      return ir::make_block(stmts);
    });
    const Scope resolved{{}, {}, job.scope.axes, job.scope.in_tile};
    for (auto it = outside.rbegin(); it != outside.rend(); ++it)
      body = ir::make<ir::If>(lower_expr(*it, resolved), body);
  }
  if (job.define_coordinate && !top &&
      job.nest.dims[static_cast<std::size_t>(i)].var == job.nest.pit.tile_var)
    body = job.define_coordinate(body);
  job.scope.axes = axes_before;
  return lanes.empty() ? body : ir::make<ir::Axes>(lanes, body);
}

Stmt Emitter::emit_body(Job &job) {
  std::vector<ir::AxisBinding> lanes;
  std::vector<VarPtr> own;
  for (std::size_t k = job.loops; k < job.nest.dims.size(); ++k) {
    const Dim &dim = job.nest.dims[k];
    own.push_back(dim.var);
    const bool declared = std::any_of(job.scope.axes.begin(), job.scope.axes.end(),
                                      [&](const ir::AxisBinding &a) { return a.var == dim.var; });
    if (!declared) lanes.push_back({dim.var, lower_expr(dim.extent, job.scope), dim.maximum});
  }
  Scope scope = job.scope;
  scope.axes.insert(scope.axes.end(), lanes.begin(), lanes.end());
  if (!scope.axes.empty()) scope.in_tile = true;
  Scope resolved;  // guards of splits are over loop variables already
  resolved.axes = scope.axes;
  std::vector<Expr> guards, outside;
  for (const Expr &guard : job.nest.guards) {
    const Expr lowered = lower_expr(guard, resolved);
    (reads_axis(lowered, scope.axes) ? guards : outside).push_back(lowered);
  }
  const std::vector<Expr> tails = std::exchange(tails_, guards),
                          split_tails = std::exchange(split_tails_, guards);
  if (job.nest.in_domain.defined()) {
    guards.push_back(lower_expr(job.nest.in_domain, resolved));
    tails_ = guards;
    if (one_copy_) {
      one_copy_->in_domain = guards.back();
      one_copy_->implied.push_back(guards.back());
    }
  }
  Stmt body = emit_statement(job.stage, *job.def, scope, own, guards, job.predicates, 0);
  tails_ = tails;
  split_tails_ = split_tails;
  for (auto it = outside.rbegin(); it != outside.rend(); ++it) body = ir::make<ir::If>(*it, body);
  return lanes.empty() ? body : ir::make<ir::Axes>(lanes, body);
}

}  // namespace pit::lower
