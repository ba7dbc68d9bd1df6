#include "emit.h"

#include <algorithm>
#include <set>
#include <utility>

#include "accesses.h"
#include "dsl/error.h"
#include "interval.h"
#include "linear.h"

namespace pit::lower {

using ir::Stmt;

ir::Module Emitter::run() {
  ir::Module module;
  module.name = plan_->pipeline->name();
  for (const Argument &argument : plan_->pipeline->signature()) {
    switch (argument.kind) {
      case Argument::Kind::InputTensor:
        module.inputs.push_back(argument.tensor);
        break;
      case Argument::Kind::Scalar:
        module.scalars.push_back(argument.param);
        break;
      default:
        break;
    }
  }
  for (const FuncPtr &output : plan_->pipeline->outputs()) {
    for (const StoragePtr &storage : plan_->stage_of.at(output.get())->storages)
      module.outputs.push_back(storage);
  }
  for (const IndexPtr &output : plan_->pipeline->output_indices()) {
    IndexPlan *index = plan_->index_of.at(identity_of(output));
    auto tensor = [&](const char *part) {
      return ir::make_storage(index->name() + "." + part, int32, 1, Space::Tensor);
    };
    index->output_offsets = tensor("offsets");
    index->output_coordinates = tensor("coordinates");
    index->output_count = tensor("count");
  }
  statistics_ = ir::make_storage("statistics", float64, 1, Space::Heap);
  want_full_bits();
  for (const auto &index : plan_->indices) explain_order(*index);
  emit_input_checks();
  emit_shared_range_checks();
  for (const auto &stage : plan_->stages) {
    if (stage->level != Level::Root) continue;
    const std::vector<const PlannedStage *> inside = stages_inside(*stage);
    for (const PlannedStage *part : inside) need_queries_of(*part);
    emit_checks_before(*stage);
    for (const PlannedStage *part : inside) need_indices_of(*part);
    if (stage->compact) need_index(stage->compact);
    append(emit_stage_at_root(stage.get()));
  }
  emit_output_indices();
  for (const IndexPtr &index : plan_->pipeline->output_indices()) {
    IndexPlan *planned = plan_->index_of.at(identity_of(index));
    module.outputs.insert(
        module.outputs.end(),
        {planned->output_offsets, planned->output_coordinates, planned->output_count});
  }
  emit_statistics();
  if (!statistic_names_.empty()) {
    module.statistics = statistics_;
    module.statistic_names = statistic_names_;
  }
  Stmt body;
  for (auto it = sequence_.rbegin(); it != sequence_.rend(); ++it) body = (*it)(body);
  for (auto it = plan_->lets.rbegin(); it != plan_->lets.rend(); ++it) {
    body = ir::make<ir::Let>(it->first, lower_expr(it->second, {}), body);
  }
  module.body = body.defined() ? body : ir::make<ir::Block>(std::vector<Stmt>{});
  return module;
}

/// Indices of tiles that need masks also say which of their micro-tiles need none.
void Emitter::want_full_bits() {
  for (const auto &stage : plan_->stages) {
    for (const PlannedDefinition &def : stage->definitions) {
      auto look = [&](const std::vector<Directive> &directives) {
        for (const Directive &d : directives) {
          if (d.kind != DirectiveKind::PitTile) continue;
          IndexPlan *index = plan_->index_of.at(identity_of(d.index));
          if (index->kind != IndexKind::List || index->mark_stage) continue;
          const bool tested = !residual_predicates(def, directives, *index, "").empty();
          std::int64_t extent = 0;
          const bool tail = index->micro > 1 && !(is_const_int(index->axis_range.extent, &extent) &&
                                                  extent % index->micro == 0);
          if (!tested && !tail) continue;
          index->full_means_all_pass = index->full_means_all_pass || tested;
          if (!index->full)
            index->full = ir::make_storage(index->name() + ".full", uint8, 1, Space::Heap);
        }
      };
      look(def.directives);
      for (const auto &[condition, directives] : def.specializations) look(directives);
    }
  }
}

/// The stage at root inside which `stage` is computed.
const PlannedStage *Emitter::root_of(const PlannedStage *stage) {
  while (stage->consumer) stage = stage->consumer;
  return stage;
}

/// What the code of a stage at root computes, in the plan's order: stages at its loops, and those
/// that expressions have made, with the stages at the loops of these.
std::vector<const PlannedStage *> Emitter::stages_inside(const PlannedStage &root) const {
  std::set<const PlannedStage *> read;
  for (const auto &stage : plan_->stages) {
    const bool has_loops = stage->level == Level::Root || stage->level == Level::With;
    if (!has_loops || root_of(stage.get()) != &root) continue;
    for_each_access(*plan_, *stage, [&](const Access &access) { read.insert(access.stage); });
  }
  std::vector<const PlannedStage *> inside;
  for (const auto &stage : plan_->stages) {
    const bool seen_through = stage->level == Level::Innermost || stage->level == Level::At;
    if (root_of(stage.get()) == &root || (seen_through && read.contains(stage.get())))
      inside.push_back(stage.get());
  }
  return inside;
}

void Emitter::need_indices_of(const PlannedStage &stage) {
  auto need = [&](const std::vector<Directive> &directives) {
    for (const Directive &d : directives) {
      if (d.kind == DirectiveKind::PitTile) need_index(plan_->index_of.at(identity_of(d.index)));
    }
  };
  for (const PlannedDefinition &def : stage.definitions) {
    need(def.directives);
    for (const auto &[condition, directives] : def.specializations) need(directives);
  }
}

/// Builds the indices whose lists expressions of the stage read. Those of later stages come before
/// the checks of their accesses: what they load at data tests its index itself.
void Emitter::need_queries_of(const PlannedStage &stage) {
  const bool before = always_guard_data_;
  always_guard_data_ = true;
  for (const PlannedDefinition &def : stage.definitions) {
    for (const auto *list : {&def.args, &def.values, &def.predicates}) need_queries_in(*list);
    for (const ReductionDim &dim : def.domain) need_queries_in({dim.min, dim.extent});
    for (const auto &[condition, directives] : def.specializations) need_queries_in({condition});
  }
  always_guard_data_ = before;
}

void Emitter::need_queries_in(const std::vector<Expr> &exprs) {
  for (const Expr &e : exprs) {
    walk(e, [&](const Expr &node) {
      if (const IndexQuery *query = node.as<IndexQuery>()) need_index(queried(*query));
      return true;
    });
  }
}

IndexPlan *Emitter::queried(const IndexQuery &query) const {
  const auto it = plan_->index_of.find(identity_of(query.index));
  if (it == plan_->index_of.end()) {
    throw CompileError(
        "index " + query.index->name +
            " is asked for its lists, but no definition of this pipeline has it; use it in the "
            "schedule of one that is an output, or that an output reads",
        query.index->where);
  }
  return it->second;
}

// --- the outermost sequence ---

void Emitter::append(const Stmt &stmt) {
  if (!stmt.defined()) return;
  sequence_.push_back([stmt](const Stmt &rest) { return ir::make_block({stmt, rest}); });
}

void Emitter::append_allocation(const StoragePtr &storage, std::vector<Expr> extents) {
  for (const Expr &extent : extents) {
    internal_check(!on_gpu() || !reads_data(extent),
                   "the size of " + storage->name + " reads memory");
  }
  sequence_.push_back([storage, extents](const Stmt &rest) {
    return ir::make<ir::Allocate>(storage, extents, rest);
  });
}

void Emitter::record(const std::string &name, const Expr &value, std::vector<Stmt> *stmts) {
  const Expr slot = make_int(int64, static_cast<std::int64_t>(statistic_names_.size()));
  statistic_names_.push_back(name);
  stmts->push_back(ir::make<ir::Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, statistics_,
                                       std::vector<Expr>{slot}, Combiner::Assign,
                                       cast(float64, value)));
}

// --- expressions ---

Expr Emitter::index_load(const StoragePtr &storage, const Expr &i) {
  return to_int64(make_load(storage, {i}));
}

/// e over what the scope's variables stand for.
Expr Emitter::resolved(const Expr &e, const Scope &scope) {
  return without_uniform_divisions(substitute(e, scope.from, scope.to), scope.axes);
}

Expr Emitter::lower_expr(const Expr &e, const Scope &scope) {
  const bool before = guard_data_;
  guard_data_ = always_guard_data_ || !scope.axes.empty();
  const auto lanes = std::exchange(lanes_, scope.axes);
  const Expr result = lower(resolved(e, scope));
  lanes_ = lanes;
  guard_data_ = before;
  return result;
}

Expr Emitter::lower(const Expr &e) {
  for (const TileContext &tile : tiles_) {
    // Inside a tile of a keyed group the key is the group.
    if (tile.key.defined() && equal(e, tile.key)) return cast(e.type(), tile.group);
    if (tile.operand.defined() && equal(e, tile.operand)) return tile.packed;
  }
  if (const Load *load = e.as<Load>()) return lower_load(*load);
  if (e->kind == ExprKind::Select) return lower_select(e);
  std::vector<Expr> ops = operands(e);
  bool changed = false;
  for (Expr &operand : ops) {
    const Expr lowered = lower(operand);
    changed |= !lowered.same_as(operand);
    operand = lowered;
  }
  if (const Call *call = e.as<Call>()) return lower_call(*call, ops);
  if (const IndexQuery *query = e.as<IndexQuery>()) return lower_query(*query);
  return changed ? with_operands(e, ops) : e;
}

Expr Emitter::lower_select(const Expr &e) {
  const Select &s = *e.as<Select>();
  const Expr condition = lower(s.condition);
  tested_.push_back(s.condition);
  const Expr taken = lower(s.true_value);
  tested_.back() = !s.condition;
  const Expr other = lower(s.false_value);
  tested_.pop_back();
  const bool same =
      condition.same_as(s.condition) && taken.same_as(s.true_value) && other.same_as(s.false_value);
  return same ? e : with_operands(e, {condition, taken, other});
}

/// An index that an input or a computed Func says: what the compiler lists itself is in range.
static bool chosen_by_data(const Expr &index) {
  bool data = false;
  walk(index, [&](const Expr &node) {
    const Load *load = node.as<Load>();
    data |= node->kind == ExprKind::Call || (load && load->storage->space == Space::Tensor);
    return !data;
  });
  return data;
}

Expr Emitter::lower_load(const Load &load) {
  std::vector<Expr> indices;
  Expr in_range;
  for (std::size_t i = 0; i < load.indices.size(); ++i) {
    const Expr index = to_int64(lower(load.indices[i]));
    indices.push_back(index);
    const bool data = chosen_by_data(load.indices[i]);
    if (!guard_data_ || (!data && !narrowed_.contains({load.storage.get(), static_cast<int>(i)})))
      continue;
    // Lanes whose predicate fails may hold any index; where it holds the index was checked before.
    const Expr test =
        index >= make_int(int64, 0) && index < make_extent(load.storage, static_cast<int>(i));
    in_range = in_range.defined() ? in_range && test : test;
  }
  const Expr value = make_load(load.storage, indices);
  return in_range.defined() ? select(in_range, value, make_zero(value.type())) : value;
}

Expr Emitter::lower_call(const Call &call, const std::vector<Expr> &args) {
  const PlannedStage *stage = plan_->stage(call);
  std::vector<Expr> coordinates;
  for (const Expr &arg : args) coordinates.push_back(to_int64(arg));
  if (auto it = realized_.find(stage); it != realized_.end()) {
    const Realization &r = it->second;
    std::vector<Expr> indices;
    for (const TileDim &dim : r.dims.at(static_cast<std::size_t>(call.component))) {
      indices.push_back(dim.axis ? make_variable(dim.axis)
                                 : coordinates.at(static_cast<std::size_t>(dim.arg)) - dim.min);
    }
    return make_load(r.storages.at(static_cast<std::size_t>(call.component)), indices);
  }
  if (stage->level == Level::Innermost) {
    for (const InnerCall &inner : inner_calls_) {
      const bool same = inner.stage == stage &&
                        std::equal(coordinates.begin(), coordinates.end(), inner.args.begin(),
                                   [](const Expr &a, const Expr &b) { return equal(a, b); });
      if (!same) continue;
      std::vector<Expr> indices;
      for (const TileDim &dim :
           inner.realization.dims.at(static_cast<std::size_t>(call.component))) {
        indices.push_back(make_variable(dim.axis));
      }
      return make_load(inner.realization.storages.at(static_cast<std::size_t>(call.component)),
                       indices);
    }
    throw InternalError("a value of " + stage->name() + " is used before it is computed");
  }
  if (stage->level == Level::At) {
    throw CompileError(
        stage->name() + " is computed at loop " + stage->consumer_loop->name + " of " +
            stage->consumer->name() +
            " but is also used outside it; compute it at root, or at a loop around all its uses",
        stage->where);
  }
  const Expr value = load_at_root(*stage, call.component, coordinates);
  // As of a tensor: a lane whose predicate fails may hold any place that is data.
  Expr in_range;
  for (std::size_t i = 0; guard_data_ && i < coordinates.size(); ++i) {
    if (!chosen_by_data(call.args[i])) continue;
    const Range &range = stage->region[i];
    const Expr test = coordinates[i] >= range.min && coordinates[i] < range.min + range.extent;
    in_range = in_range.defined() ? in_range && test : test;
  }
  // Nothing was stored where the Func is not computed; what is there may be no number.
  for (const Expr &p : untested_predicates(call)) {
    const Expr passes = lower(p);
    in_range = in_range.defined() ? in_range && passes : passes;
  }
  return in_range.defined() ? select(in_range, value, make_zero(value.type())) : value;
}

/// A stage at root has no value where its predicates fail, if nothing is stored there: by tiles, in
/// a caller's buffer, in what is compact. Loops store zeros (zero_where_not_needed).
bool Emitter::is_computed_in_places(const PlannedStage &stage) const {
  const PlannedDefinition &pure = stage.definitions.at(0);
  if (stage.level == Level::At || stage.level == Level::Innermost) return false;
  if (pure.predicates.empty() || stage.is_top_k()) return false;
  const auto tiled = [](const std::vector<Directive> &directives) {
    return std::ranges::any_of(directives,
                               [](const Directive &d) { return d.kind == DirectiveKind::PitTile; });
  };
  return stage.level == Level::With || stage.is_output || stage.compact || tiled(pure.directives) ||
         std::ranges::any_of(pure.specializations,
                             [&](const auto &special) { return tiled(special.second); });
}

/// Predicates of the stage at root that `call` reads which may fail where the value is used.
std::vector<Expr> Emitter::untested_predicates(const Call &call) const {
  const PlannedStage &stage = *plan_->stage(call);
  std::vector<Expr> rest;
  if (!is_computed_in_places(stage)) return rest;
  std::vector<Expr> args;
  for (const Expr &arg : call.args) args.push_back(to_int64(arg));
  for (const Expr &p : stage.definitions.at(0).predicates) {
    if (stage.compact && passes_in_tiles(*stage.compact, p)) continue;  // or it is missing
    const Expr here = resolved(p, {stage.func->args, args, lanes_});
    const auto same = [&](const Expr &known) { return same_condition(known, here); };
    if (std::ranges::none_of(passed_, same) && std::ranges::none_of(tested_, same))
      rest.push_back(here);
  }
  return rest;
}

Expr Emitter::load_at_root(const PlannedStage &stage, int component,
                           const std::vector<Expr> &args) {
  Expr missing;
  const std::vector<Expr> indices = root_indices(stage, args, &missing);
  const Expr value = make_load(stage.storages.at(static_cast<std::size_t>(component)), indices);
  return missing.defined() ? select(missing, make_zero(value.type()), value) : value;
}

/// Where coordinates `args` of a stage at root are stored. `missing`: the condition that a compact
/// stage holds nothing there.
std::vector<Expr> Emitter::root_indices(const PlannedStage &stage, const std::vector<Expr> &args,
                                        Expr *missing) {
  const FuncNode &func = *stage.func;
  std::vector<Expr> indices;
  if (!stage.compact) {
    for (int dimension : stage.storage_order) {
      const auto d = static_cast<std::size_t>(dimension);
      indices.push_back(stage.is_output ? args[d] : args[d] - stage.region[d].min);
    }
    return indices;
  }
  const IndexPlan &index = *stage.compact;
  indices.push_back(position_of(index, func.args, args, missing));
  std::vector<Expr> offsets;
  for (int dimension : stage.storage_order) {
    const auto d = static_cast<std::size_t>(dimension);
    const VarPtr &v = func.args[d];
    const bool axis =
        std::find(index.axis_parts.begin(), index.axis_parts.end(), v) != index.axis_parts.end();
    const auto group = std::find_if(index.group.begin(), index.group.end(),
                                    [&](const GroupVar &g) { return g.var == v; });
    const std::int64_t micro = axis ? index.micro : group != index.group.end() ? group->micro : 0;
    if (micro == 0) {
      indices.push_back(args[d] - stage.region[d].min);
    } else if (micro > 1) {
      const Expr low = axis ? index.axis_range.min : group->range.min;
      offsets.push_back((args[d] - low) % make_int(int64, micro));
    }
  }
  indices.insert(indices.end(), offsets.begin(), offsets.end());
  return indices;
}

/// The entry of `index` that holds coordinates `args` of variables `vars`.
Expr Emitter::position_of(const IndexPlan &index, const std::vector<VarPtr> &vars,
                          const std::vector<Expr> &args, Expr *missing) {
  auto value_of = [&](const VarPtr &v) {
    const auto it = std::find(vars.begin(), vars.end(), v);
    internal_check(it != vars.end(), "a compact Func lacks variable " + v->name + " of its index");
    return args[static_cast<std::size_t>(it - vars.begin())];
  };
  for (auto tile = tiles_.rbegin(); tile != tiles_.rend(); ++tile) {
    if (tile->index != &index || !tile->entry.defined()) continue;
    bool same = true;
    for (std::size_t i = 0; i < tile->vars.size() && same; ++i) {
      if (std::find(vars.begin(), vars.end(), tile->vars[i]) == vars.end()) continue;
      same = equal(tile->values[i], value_of(tile->vars[i]));
    }
    if (same) return tile->entry;
  }
  Expr place;
  if (index.kind == IndexKind::Keyed) {
    for (std::size_t i = 0; i < index.axis_parts.size(); ++i) {
      const Range &range = index.axis_part_ranges[i];
      const Expr here = value_of(index.axis_parts[i]) - range.min;
      place = place.defined() ? place * range.extent + here : here;
    }
  } else {
    for (const GroupVar &g : index.group) {
      const Expr here = (value_of(g.var) - g.range.min) / make_int(int64, g.micro);
      place = place.defined() ? place * g.groups + here : here;
    }
    Expr axis;
    for (std::size_t i = 0; i < index.axis_parts.size(); ++i) {
      const Range &range = index.axis_part_ranges[i];
      const Expr here = value_of(index.axis_parts[i]) - range.min;
      axis = axis.defined() ? axis * range.extent + here : here;
    }
    axis = axis / make_int(int64, index.micro);
    place = place.defined() ? place * index.length + axis : axis;
  }
  const Expr position = index_load(index.position, place);
  *missing = position < make_int(int64, 0);
  return position;
}

Expr Emitter::lower_query(const IndexQuery &query) {
  const IndexPlan *index = queried(query);
  internal_check(index->built, "index " + index->name() + " is asked before it is built");
  const bool given = index->kind == IndexKind::Given;
  if (index->kind == IndexKind::Range ||
      (given && (query.query == IndexQueryKind::Position || index->data_dependent_range))) {
    throw CompileError("index " + index->name() + " is not built (" +
                           (given ? "its lists are inputs" : "its groups are segments") +
                           "), so its " +
                           (query.query == IndexQueryKind::Count     ? "count is"
                            : query.query == IndexQueryKind::Density ? "density is"
                                                                     : "positions are") +
                           " not known",
                       index->node->where);
  }
  const Expr kept = kept_of(*index);
  switch (query.query) {
    case IndexQueryKind::Count:
      return kept;
    case IndexQueryKind::Density: {
      const Expr all = max(candidates_of(*index), make_int(int64, 1));
      return cast(float32, cast(float64, kept) / cast(float64, all));
    }
    case IndexQueryKind::Position:
      return lower_position(*index, query);
  }
  throw InternalError("unknown index query");
}

/// The place of a micro-tile in the lists; -1 where it is not listed, also because there is no such
/// group or micro-tile.
Expr Emitter::lower_position(const IndexPlan &index, const IndexQuery &query) {
  const bool keyed = index.kind == IndexKind::Keyed;
  const std::size_t rank = keyed ? 1 : index.group.size();
  auto fail = [&](const std::string &what) {
    throw CompileError("position() of index " + index.name() + " " + what, index.node->where);
  };
  if (query.args.size() != rank + 1) {
    fail("takes " + std::to_string(rank) + (keyed ? " key" : " coordinates of the group") +
         " and one of the axis, and is given " + std::to_string(query.args.size()));
  }
  if (index.data_dependent_range)
    fail("is not known: the bounds of " + index.axis->name + " are data");
  const Expr zero = make_int(int64, 0), none = make_int(int64, -1);
  const Expr axis = to_int64(lower(query.args.back()));
  Expr group = zero, inside = axis >= zero && axis < index.length;
  for (std::size_t i = 0; i < rank; ++i) {
    const Expr here = to_int64(lower(query.args[i])),
               groups = keyed ? index.groups : index.group[i].groups;
    inside = inside && (here >= zero && here < groups);
    group = group * groups + here;
  }
  if (!keyed) return select(inside, index_load(index.position, group * index.length + axis), none);
  const Expr entry = index_load(index.position, axis), first = index_load(index.offsets, group);
  const Expr listed = entry >= first && entry < first + index_load(index.counts, group);
  return select(inside && listed, entry, none);
}

}  // namespace pit::lower
