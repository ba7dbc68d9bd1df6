// Building sparse indices: storages, keys, lists, outputs. Marks are in emit_marks.cpp, lists from
// outside in emit_given.cpp.

#include <algorithm>

#include "dsl/error.h"
#include "emit.h"
#include "interval.h"
#include "linear.h"

namespace pit::lower {

using ir::Stmt;

namespace {

Expr constant(std::int64_t c) { return make_int(int64, c); }

Stmt set(const StoragePtr &storage, const Expr &index, Combiner combiner, const Expr &value) {
  return ir::make<ir::Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, storage,
                             std::vector<Expr>{index}, combiner, value);
}

}  // namespace

void Emitter::need_index(IndexPlan *index) {
  if (index->built) return;
  if (!under_way_.insert(index).second) {
    throw CompileError("the lists of index " + index->name() + " depend on themselves",
                       index->node->where);
  }
  std::vector<Expr> read = index->predicates;
  read.insert(read.end(), index->unlisted.begin(), index->unlisted.end());
  for (const Expr &e :
       {index->key, index->node->capacity, index->axis_range.min, index->axis_range.extent}) {
    if (e.defined()) read.push_back(e);
  }
  need_queries_in(read);
  if (index->kind == IndexKind::Range) {
    index->built = true;
    if (!index->segment_offsets) return;
    append(ir::make<ir::Stage>(
        index->name(), ir::StageKind::Check,
        ir::make<ir::Check>(std::vector<VarPtr>{}, std::vector<Expr>{},
                            index->groups >= constant(0),
                            "input '" + index->segment_offsets->name +
                                "' is empty; it must have one element more than there are segments",
                            std::vector<Expr>{})));
    append(offsets_check(index->segment_offsets, index->groups, index->axis_range.min,
                         index->axis_range.min + index->axis_range.extent,
                         "index " + index->name() + ": "));
    return;
  }
  if (index->mark_stage) {
    if (index->mark_stage->level != Level::Root) {
      throw CompileError("index " + index->name() + " is marked in " + index->mark_stage->name() +
                             ", which is computed at a tile; its lists must be there before any "
                             "tile; give " +
                             index->mark_stage->name() +
                             " compute_root(), or leave out the compute_at of the index",
                         index->node->where);
    }
    // Placed behind the producer, which comes first because the predicate reads it.
    internal_check(index->built,
                   "index " + index->name() + " is used before the Func that marks it");
    return;
  }
  check_computed_before(*index);
  index->built = true;
  if (index->kind == IndexKind::Given) {
    emit_given_checks(*index);
    return;
  }
  allocate_index(index);
  if (index->kind == IndexKind::Keyed) {
    const StoragePtr keys = ir::make_storage(index->name() + ".keys", int64, 1, Space::Heap);
    append_allocation(keys, {index->length});
    const Stmt sort = ir::make<ir::IndexSort>(
        keys, index->length, index->groups, index->node->align, index->offsets, index->counts,
        index->coordinates, index->position, index->name(), stays_ordered(*index));
    append(ir::make<ir::Stage>(index->name(), ir::StageKind::Index,
                               ir::make_block({emit_keys(index, keys), sort, count_kept(*index)})));
  } else if (places_while_marking(*index)) {
    if (index->values) allocate_values(*index);
    append(ir::make<ir::Stage>(index->name(), ir::StageKind::Index,
                               ir::make_block({emit_placed_marks(index), count_kept(*index)})));
    return emit_room_checks(*index);
  } else {
    append(ir::make<ir::Stage>(index->name(), ir::StageKind::Index,
                               ir::make_block({emit_marks(index)})));
    append(place_index(index));
  }
  emit_room_checks(*index);
  if (index->values) {
    allocate_values(*index);
    append(ir::make<ir::Stage>(index->name(), ir::StageKind::Index, emit_values(index)));
  }
}

/// A GPU's blocks place what they mark, unless the host cannot count them or the producer of the
/// operand marks.
bool Emitter::places_while_marking(const IndexPlan &index) const {
  return on_gpu() && index.kind == IndexKind::List && !index.data_dependent_range &&
         !index.mark_stage;
}

void Emitter::allocate_values(const IndexPlan &index) {
  append_allocation(index.values, {entries_of(index),
                                   constant(index.group.empty() ? 1 : index.group.back().micro)});
}

/// An index is built from what is computed already.
void Emitter::check_computed_before(const IndexPlan &index) const {
  std::vector<Expr> read = index.predicates;
  if (index.key.defined()) read.push_back(index.key);
  read.insert(read.end(), index.unlisted.begin(), index.unlisted.end());
  for (const Expr &e : read) {
    walk(e, [&](const Expr &node) {
      const Call *call = node.as<Call>();
      if (!call) return true;
      const PlannedStage *stage = root_of(plan_->stage(*call));
      if (stage->level == Level::Root && stage->storages.empty()) {
        throw CompileError("index " + index.name() + " is needed before " + stage->name() +
                               " is computed, but its lists depend on " + to_string(e) +
                               "; use it for Funcs that come after " + stage->name(),
                           index.node->where);
      }
      return true;
    });
  }
}

void Emitter::allocate_index(IndexPlan *index) {
  const Expr pad = constant(index->node->align - 1);
  if (index->data_dependent_range) {
    append_allocation(index->starts, {index->groups + constant(1)});
    append_allocation(index->first, {index->groups});
    append(ir::make<ir::Stage>(index->name(), ir::StageKind::Index, emit_ragged_starts(index)));
  }
  if (index->first && !index->data_dependent_range) {
    append_allocation(index->first, {index->groups});
    const VarPtr g = ir::make_loop_variable("g");
    append(ir::make<ir::Stage>(index->name(), ir::StageKind::Index,
                               spread(g, index->groups, ir::ForKind::Serial,
                                      set(index->first, make_variable(g), Combiner::Assign,
                                          to_int64(lower_expr(index->axis_range.min, {}))))));
  }
  emit_fits_bound(*index);
  const Expr candidates = index->most_candidates.defined()  ? index->most_candidates
                          : index->kind == IndexKind::Keyed ? index->length
                          : index->data_dependent_range ? make_load(index->starts, {index->groups})
                                                        : index->groups * index->length;
  if (!index->node->capacity.defined()) {
    append(ir::make<ir::Stage>(
        index->name(), ir::StageKind::Check,
        ir::make<ir::Check>(
            std::vector<VarPtr>{}, std::vector<Expr>{},
            candidates + index->groups * pad < make_int(int64, std::int64_t{1} << 31),
            "index " + index->name() +
                " has {0} candidate micro-tiles, more than 2^31 - 1: declare how "
                "many it may keep with capacity(n), or use larger micro-tiles",
            std::vector<Expr>{candidates})));
  }
  append_allocation(index->offsets, {index->groups + constant(1)});
  append_allocation(index->counts, {index->groups});
  if (index->kept) append_allocation(index->kept, {constant(1)});
  Expr capacity = candidates + index->groups * pad;
  if (index->node->capacity.defined()) capacity = lower_expr(to_int64(index->node->capacity), {});
  index->capacity = max(capacity, constant(0));
  append_allocation(index->coordinates, {index->capacity});
  if (index->full) append_allocation(index->full, {index->capacity});
  if (index->position) append_allocation(index->position, {candidates});
  if (index->marks && !places_while_marking(*index)) append_allocation(index->marks, {candidates});
  if (index->marks && index->mark_stage) {
    const VarPtr j = ir::make_loop_variable("j");
    append(ir::make<ir::Stage>(
        index->name(), ir::StageKind::Index,
        spread(j, candidates, ir::ForKind::Serial,
               set(index->marks, make_variable(j), Combiner::Assign, make_zero(uint8)))));
  }
}

Stmt Emitter::place_index(IndexPlan *index) {
  index->built = true;
  const Stmt place = ir::make<ir::IndexPlace>(
      index->marks, index->starts, index->first, index->groups,
      index->data_dependent_range ? constant(0) : index->length, constant(index->micro),
      index->node->align, index->offsets, index->counts, index->coordinates, index->position,
      index->full, index->name(), stays_ordered(*index), spacing_of(*index));
  return ir::make<ir::Stage>(index->name(), ir::StageKind::Index,
                             ir::make_block({place, count_kept(*index)}));
}

/// Entries without padding: what density and count speak of.
Expr Emitter::kept_of(const IndexPlan &index) const {
  if (index.kept) return make_load(index.kept, {constant(0)});
  internal_check(!spacing_of(index).defined(), "nobody counts the entries of " + index.name());
  return index_load(index.offsets, index.groups);
}

Stmt Emitter::with_sum_of_counts(const IndexPlan &index,
                                 const std::function<Stmt(const Expr &)> &body) const {
  const VarPtr each = ir::make_axis_variable("g");
  const StoragePtr sum = ir::make_storage(index.name() + ".sum", int64, 0, Space::Tile);
  const std::vector<Expr> none;
  return ir::make<ir::Allocate>(
      sum, none,
      ir::make_block(
          {ir::make<ir::Store>(std::vector<VarPtr>{}, none, sum, none, Combiner::Assign,
                               constant(0)),
           ir::make<ir::Axes>(
               std::vector<ir::AxisBinding>{{each, index.groups, 0}},
               ir::make<ir::Store>(std::vector<VarPtr>{each}, none, sum, none, Combiner::Sum,
                                   index_load(index.counts, make_variable(each)))),
           body(make_load(sum, none))}));
}

Stmt Emitter::count_kept(const IndexPlan &index) const {
  if (!index.kept) return {};
  if (on_gpu()) {
    return with_sum_of_counts(index, [&](const Expr &sum) {
      return set(index.kept, constant(0), Combiner::Assign, sum);
    });
  }
  const VarPtr g = ir::make_loop_variable("g");
  return ir::make_block({set(index.kept, constant(0), Combiner::Assign, constant(0)),
                         ir::make<ir::For>(g, constant(0), index.groups, ir::ForKind::Serial,
                                           set(index.kept, constant(0), Combiner::Sum,
                                               index_load(index.counts, make_variable(g))))});
}

/// Loops over the groups, outermost parallel; `number` becomes the group's number, and the scope
/// maps each group variable to the first of its micro-tile.
Stmt Emitter::for_groups(const IndexPlan &index, Scope *scope, Expr *number,
                         const std::function<Stmt()> &body) {
  std::vector<VarPtr> loops;
  *number = Expr();
  for (const GroupVar &g : index.group) {
    loops.push_back(ir::make_loop_variable(g.var->name + ".group"));
    const Expr here = make_variable(loops.back());
    *number = number->defined() ? *number * g.groups + here : here;
    scope->from.push_back(g.var);
    scope->to.push_back(g.range.min + here * constant(g.micro));
  }
  if (!number->defined()) *number = constant(0);
  Stmt result = body();
  for (std::size_t i = loops.size(); i-- > 0;) {
    if (on_gpu() && i + 1 == loops.size() && is_work_of_a_thread(result)) {
      result = spread(loops[i], index.group[i].groups, ir::ForKind::Parallel, result);
      continue;
    }
    result = ir::make<ir::For>(loops[i], constant(0), index.group[i].groups, ir::ForKind::Parallel,
                               result);
  }
  return result;
}

/// first[g] and the number of candidates of every group, for domains whose bounds are data.
Stmt Emitter::emit_ragged_starts(IndexPlan *index) {
  Scope scope;
  Expr number;
  const StoragePtr lengths = ir::make_storage(index->name() + ".lengths", int64, 1, Space::Heap);
  const Stmt loops = for_groups(*index, &scope, &number, [&] {
    const Expr low = lower_expr(index->axis_range.min, scope);
    const Expr extent = max(lower_expr(index->axis_range.extent, scope), constant(0));
    return ir::make_block({set(index->first, number, Combiner::Assign, low),
                           set(lengths, number, Combiner::Assign,
                               (extent + constant(index->micro - 1)) / constant(index->micro))});
  });
  return ir::make<ir::Allocate>(
      lengths, std::vector<Expr>{index->groups},
      ir::make_block({loops, ir::make<ir::Prefix>(index->starts, lengths, index->groups)}));
}

/// keys[p] = the group of position p, or -1 where a predicate fails. Conjuncts that read more than
/// the axis may be what says that the key is a group: a key that is none counts only where they let
/// an iteration through, and without them loads at data test their index.
Stmt Emitter::emit_keys(IndexPlan *index, const StoragePtr &keys) {
  const std::int64_t kStrip = on_gpu() ? 256 : 4096;
  const VarPtr strip = ir::make_loop_variable("strip"), lane = ir::make_loop_variable("p");
  const Expr position = make_variable(strip) * constant(kStrip) + make_variable(lane);
  Scope scope;
  set_axis_value(*index, index->axis_range.min, position, &scope);
  const bool before = always_guard_data_;
  always_guard_data_ = before || !index->unlisted.empty();
  std::function<Stmt(std::size_t)> body = [&](std::size_t i) -> Stmt {
    if (i < index->predicates.size()) {
      return with_inner_calls({index->predicates[i]}, scope, [&] {
        return ir::make<ir::If>(lower_expr(index->predicates[i], scope), body(i + 1));
      });
    }
    return with_inner_calls({index->key}, scope, [&] {
      const Expr key = to_int64(lower_expr(index->key, scope));
      const Stmt listed = set(keys, position, Combiner::Assign, below_dropped(key));
      if (index->unlisted.empty()) return listed;
      const Stmt where_any_passes = in_iterations_beyond_axis(*index, scope, listed);
      if (index->exact) return where_any_passes;
      return ir::make<ir::If>(key >= constant(0) && key < index->groups, listed, where_any_passes);
    });
  };
  Stmt inside = body(0);
  always_guard_data_ = before;
  if (index->length_is_bound) {
    const Expr end = lower_expr(index->axis_range.extent, {});
    inside = ir::make<ir::If>(position < end, inside);
  }
  if (!index->predicates.empty() || !index->unlisted.empty() || index->length_is_bound)
    inside = ir::make_block({set(keys, position, Combiner::Assign, constant(-1)), inside});
  const Stmt lanes = ir::make<ir::For>(
      lane, constant(0),
      min(constant(kStrip), index->length - make_variable(strip) * constant(kStrip)),
      on_gpu() ? ir::ForKind::GpuThread : ir::ForKind::Serial, inside);
  return ir::make<ir::For>(strip, constant(0),
                           (index->length + constant(kStrip - 1)) / constant(kStrip),
                           ir::ForKind::Parallel, lanes);
}

/// `then` in every iteration of a position that the conjuncts over more than the axis let through.
Stmt Emitter::in_iterations_beyond_axis(const IndexPlan &index, Scope scope, const Stmt &then) {
  std::vector<std::pair<VarPtr, Expr>> loops;  // with extents
  for (const auto &[v, range] : index.beyond_axis) {
    const VarPtr loop = ir::make_loop_variable(v->name);
    const Expr low = lower_expr(to_int64(range.min), scope);
    loops.push_back({loop, lower_expr(to_int64(range.extent), scope)});
    scope.from.push_back(v);
    scope.to.push_back(low + make_variable(loop));
  }
  std::function<Stmt(std::size_t)> tested = [&](std::size_t i) -> Stmt {
    if (i == index.unlisted.size()) return then;
    return with_inner_calls({index.unlisted[i]}, scope, [&] {
      return ir::make<ir::If>(lower_expr(index.unlisted[i], scope), tested(i + 1));
    });
  };
  Stmt body = tested(0);
  for (auto it = loops.rbegin(); it != loops.rend(); ++it)
    body = ir::make<ir::For>(it->first, constant(0), it->second, ir::ForKind::Serial, body);
  return body;
}

/// A negative key where the predicates hold is an error like any other; to the sort -1 means
/// "dropped", so they move down.
Expr Emitter::below_dropped(const Expr &key) {
  return select(key < constant(0), key - constant(1), key);
}

/// A(group variable, axis) or A(axis, group variable): found in the predicates, which read it.
Expr Emitter::stored_access(const IndexPlan &index) {
  Expr access;
  for (const Expr &p : index.predicates) {
    walk(p, [&](const Expr &node) {
      const Load *load = node.as<Load>();
      if (load && load->storage == index.node->stored_values && !access.defined()) access = node;
      return !access.defined();
    });
  }
  return access;
}

/// values[entry][lane] = the operand at the entry's coordinate, one strip of rows a group.
Stmt Emitter::emit_values(IndexPlan *index) {
  Scope scope;
  Expr number;
  return for_groups(*index, &scope, &number, [&]() -> Stmt {
    const StoredRows stored = stored_rows(*index, scope);
    const VarPtr entry = ir::make_axis_variable("entry"), lane = ir::make_axis_variable("lane");
    Scope inside = scope;
    inside.axes = {{lane, stored.rows, stored.micro},
                   {entry, index_load(index->counts, number), 0}};
    if (!index->group.empty()) inside.to[0] = inside.to[0] + make_variable(lane);
    const Expr e = index_load(index->offsets, number) + make_variable(entry);
    inside.from.push_back(index->axis);
    inside.to.push_back(index_load(index->coordinates, e));
    return ir::make<ir::Axes>(
        inside.axes, ir::make<ir::Store>(std::vector<VarPtr>{lane, entry}, std::vector<Expr>{},
                                         index->values, std::vector<Expr>{e, make_variable(lane)},
                                         Combiner::Assign, lower_expr(stored.access, inside)));
  });
}

/// What `store_values` keeps of a group.
Emitter::StoredRows Emitter::stored_rows(const IndexPlan &index, const Scope &scope) {
  const StoragePtr &operand = index.node->stored_values;
  const Expr access = stored_access(index);
  bool of_entry = true;  // the group's variable and the axis say which element
  for (const VarPtr &v : access.defined() ? free_variables(access) : std::vector<VarPtr>{})
    of_entry &= v == index.axis || (index.group.size() == 1 && v == index.group[0].var);
  if (!access.defined() || !of_entry || index.kind != IndexKind::List || index.micro != 1 ||
      index.group.size() > 1 || index.axis_parts.size() != 1) {
    throw CompileError(
        "index " + index.name() + ".store_values(" + operand->name + "): the predicate must read " +
            operand->name +
            " at one group variable and the axis, and the axis' micro extent must be 1",
        index.node->where);
  }
  if (index.group.empty()) return {access, constant(1), 1};
  const GroupVar &g = index.group[0];
  return {access, min(constant(g.micro), g.range.min + g.range.extent - scope.to[0]), g.micro};
}

/// An index lists positions of its own Func's range: other Funcs that use it have that range.
void Emitter::emit_shared_range_checks() {
  for (const auto &stage : plan_->stages) {
    auto look = [&](const std::vector<Directive> &directives) {
      for (const Directive &d : directives) {
        if (d.kind == DirectiveKind::PitTile)
          check_shared_range(*stage, *plan_->index_of.at(identity_of(d.index)), d.where);
      }
    };
    for (const PlannedDefinition &def : stage->definitions) {
      look(def.directives);
      for (const auto &[condition, directives] : def.specializations) look(directives);
    }
    if (stage->compact) check_shared_range(*stage, *stage->compact, stage->where);
  }
}

void Emitter::check_shared_range(const PlannedStage &stage, const IndexPlan &index,
                                 std::source_location where) {
  if (index.stage == &stage) return;
  const auto &args = stage.func->args;
  auto check = [&](const VarPtr &v, const Range &listed, bool whole) {
    const auto it = std::find(args.begin(), args.end(), v);
    if (it == args.end()) return;
    const Range &here = stage.region.at(static_cast<std::size_t>(it - args.begin()));
    if (!here.min.defined()) {
      throw CompileError(stage.name() + " is computed at a tile and uses index " + index.name() +
                             " of " + index.stage->name() + ", so the range of " + v->name +
                             " must be known; declare it: " + stage.name() + ".bound(" + v->name +
                             ", min, extent)",
                         where);
    }
    if (equal(here.min, listed.min) && equal(here.extent, listed.extent)) return;
    const Expr low = lower_expr(here.min, {}), extent = lower_expr(here.extent, {}),
               listed_low = lower_expr(listed.min, {}),
               listed_extent = lower_expr(listed.extent, {});
    const Expr fits = whole ? low == listed_low && extent == listed_extent
                            : low >= listed_low && low + extent <= listed_low + listed_extent;
    append(ir::make<ir::Stage>(
        index.name() + ".range", ir::StageKind::Check,
        ir::make<ir::Check>(std::vector<VarPtr>{}, std::vector<Expr>{}, fits,
                            "index " + index.name() + " covers {0} positions of " + v->name +
                                " from {1}, but " + stage.name() +
                                ", which uses it too, has {2} from {3}; use an index of " +
                                stage.name() + " itself",
                            std::vector<Expr>{listed_extent, listed_low, extent, low})));
  };
  for (std::size_t i = 0; i < index.axis_parts.size(); ++i)
    check(index.axis_parts[i], index.axis_part_ranges[i], true);
  for (const GroupVar &g : index.group) check(g.var, g.range, false);
}

/// Outputs in the order of an index must have room for its entries: said before anything is stored.
void Emitter::emit_room_checks(const IndexPlan &index) {
  std::vector<Stmt> stmts;
  const Expr total = index_load(index.offsets, index.groups);
  auto check = [&](const Expr &condition, const std::string &message, std::vector<Expr> values) {
    stmts.push_back(ir::make<ir::Check>(std::vector<VarPtr>{}, std::vector<Expr>{}, condition,
                                        "index " + index.name() + message, std::move(values)));
  };
  if (index.output_offsets) {
    const Expr room = make_extent(index.output_coordinates, 0),
               groups = make_extent(index.output_offsets, 0);
    check(room >= total,
          " has {0} entries, but output '" + index.output_coordinates->name +
              "' has room for {1}; give it more",
          {total, room});
    check(groups == index.groups + constant(1),
          " has {0} groups, so output '" + index.output_offsets->name +
              "' needs one element more; it has {1}",
          {index.groups, groups});
    check(make_extent(index.output_count, 0) >= constant(1),
          ": output '" + index.output_count->name + "' needs one element", {});
  }
  for (const auto &stage : plan_->stages) {
    if (stage->compact != &index || !stage->is_output) continue;
    const Expr room = make_extent(stage->storages.at(0), 0);
    check(room >= total,
          " has {0} entries, but output '" + stage->storages[0]->name +
              "', kept in its order, has room for {1}; give it more",
          {total, room});
  }
  if (!stmts.empty())
    append(ir::make<ir::Stage>(index.name() + ".room", ir::StageKind::Check,
                               together(ir::make_block(stmts))));
}

/// Lists that are outputs are copied to the caller's buffers.
void Emitter::emit_output_indices() {
  for (const IndexPtr &output : plan_->pipeline->output_indices()) {
    IndexPlan *index = plan_->index_of.at(identity_of(output));
    need_index(index);
    const StoragePtr &offsets = index->output_offsets, &coordinates = index->output_coordinates,
                     &count = index->output_count;
    const Expr total = index_load(index->offsets, index->groups), kept = kept_of(*index);
    const VarPtr g = ir::make_loop_variable("g"), e = ir::make_loop_variable("e");
    auto copy = [&](const VarPtr &v, const Expr &n, const StoragePtr &to, const StoragePtr &from) {
      const Stmt one = set(to, make_variable(v), Combiner::Assign,
                           cast(int32, make_load(from, {make_variable(v)})));
      if (!on_gpu() || !reads_data(n)) return spread(v, n, ir::ForKind::Serial, one);
      return spread(v, entries_of(*index), ir::ForKind::Serial,
                    ir::make<ir::If>(make_variable(v) < n, one));
    };
    append(ir::make<ir::Stage>(
        index->name(), ir::StageKind::Index,
        ir::make_block({copy(g, index->groups + constant(1), offsets, index->offsets),
                        copy(e, total, coordinates, index->coordinates),
                        set(count, constant(0), Combiner::Assign, cast(int32, kept))})));
  }
}

/// passing[0] = the iterations of the domain for which the predicates hold, passing[1] all of them:
/// with what was kept they give the fill.
Stmt Emitter::count_passing(const IndexPlan &index, const StoragePtr &passing) {
  Scope scope;
  std::vector<std::pair<VarPtr, Expr>> loops;  // with extents
  auto add_loop = [&](const std::string &name, const Range &range) {
    const VarPtr v = ir::make_loop_variable(name);
    const Expr low = lower_expr(to_int64(range.min), scope),
               extent = lower_expr(to_int64(range.extent), scope);
    loops.push_back({v, extent});
    return low + make_variable(v);
  };
  auto add_variable = [&](const VarPtr &v, const Range &range) {
    const Expr value = add_loop(v->name, range);
    scope.from.push_back(v);
    scope.to.push_back(value);
  };
  for (const GroupVar &g : index.group) add_variable(g.var, g.range);
  if (index.axis_parts.size() == 1)
    add_variable(index.axis, index.axis_range);
  else
    for (std::size_t i = 0; i < index.axis_parts.size(); ++i)
      add_variable(index.axis_parts[i], index.axis_part_ranges[i]);
  for (const ReductionDim &dim : index.covered) add_variable(dim.var, {dim.min, dim.extent});
  const auto count = [&](int which) {
    return ir::make<ir::Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, passing,
                               std::vector<Expr>{constant(which)}, Combiner::Sum, constant(1),
                               on_gpu());
  };
  std::function<Stmt(std::size_t)> tested = [&](std::size_t i) -> Stmt {
    if (i == index.predicates.size()) return count(0);
    return with_inner_calls({index.predicates[i]}, scope, [&] {
      return ir::make<ir::If>(lower_expr(index.predicates[i], scope), tested(i + 1));
    });
  };
  const Stmt body = spread(loops, ir::ForKind::Serial, ir::make_block({count(1), tested(0)}));
  return ir::make_block({set(passing, constant(0), Combiner::Assign, constant(0)),
                         set(passing, constant(1), Combiner::Assign, constant(0)), body});
}

void Emitter::emit_statistics() {
  std::vector<Stmt> stmts;
  for (const auto &owned : plan_->indices) {
    const IndexPlan &index = *owned;
    if (!index.built || index.kind == IndexKind::Given || index.kind == IndexKind::Range) continue;
    if (!index.kept && spacing_of(index).defined()) {
      stmts.push_back(with_sum_of_counts(index, [&](const Expr &sum) {
        std::vector<Stmt> recorded;
        record(index.name() + ".kept", sum, &recorded);
        return ir::make_block(recorded);
      }));
    } else {
      record(index.name() + ".kept", kept_of(index), &stmts);
    }
    record(
        index.name() + ".candidates",
        index.kind == IndexKind::Keyed ? index.groups * candidates_of(index) : candidates_of(index),
        &stmts);
    if (plan_->target->has("profile") && index.kind == IndexKind::List &&
        (!index.mark_stage || index.mark_stage->level == Level::Root)) {
      const StoragePtr passing = ir::make_storage(index.name() + ".passing", int64, 1, Space::Heap);
      append_allocation(passing, {constant(2)});
      append(ir::make<ir::Stage>(index.name() + ".passing", ir::StageKind::Check,
                                 count_passing(index, passing)));
      record(index.name() + ".passing", make_load(passing, {constant(0)}), &stmts);
      record(index.name() + ".iterations", make_load(passing, {constant(1)}), &stmts);
    }
  }
  if (!stmts.empty())
    append(
        ir::make<ir::Stage>("statistics", ir::StageKind::Index, together(ir::make_block(stmts))));
}

}  // namespace pit::lower
