// The loop over the tiles of a sparse index: coordinates, the group's key, masks only where a
// micro-tile is partial.

#include <algorithm>
#include <numeric>
#include <utility>

#include "codegen/ir/atoms.h"
#include "codegen/ir/mutator.h"
#include "dsl/analysis/annihilation.h"
#include "dsl/error.h"
#include "dsl/loop_names.h"
#include "emit.h"
#include "interval.h"
#include "job.h"
#include "linear.h"

namespace pit::lower {

using ir::Stmt;

namespace {

Expr constant(std::int64_t c) { return make_int(int64, c); }

/// Matrix instructions of GPUs may make sums of it.
bool sums_for_matrix_unit(const Stmt &s) {
  bool found = false;
  std::string reason;
  ir::walk_statements(s, [&](const Stmt &part) {
    const auto *store = part.as<ir::Store>();
    const auto *product =
        store && store->combiner == Combiner::Sum ? store->value.as<Binary>() : nullptr;
    if (product == nullptr || product->op != BinaryOp::Mul) return !found;
    const auto *a = product->a.as<Cast>(), *b = product->b.as<Cast>();
    found = found ||
            (a && b &&
             ir::select_atom(store->storage->type, a->a.type(), b->a.type(), false, "", &reason));
    return !found;
  });
  return found;
}

/// x where it lies between `low` and `high`.
Expr held(const Expr &x, const Expr &low, const Expr &high) { return max(min(x, high), low); }

}  // namespace

/// Every iteration of a listed micro-tile passes p.
bool Emitter::passes_in_tiles(const IndexPlan &index, const Expr &p) {
  const bool listed =
      std::ranges::any_of(index.predicates, [&](const Expr &q) { return same_condition(p, q); });
  if (!listed) return false;
  bool single = index.micro == 1 && index.covered.empty() && index.kind != IndexKind::Given;
  for (const GroupVar &g : index.group) single &= g.micro == 1;
  // What is one for a micro-tile holds in all of it when it is kept.
  return single || (index.kind == IndexKind::List && lanes_told_apart(index, p).empty());
}

/// The conjuncts that still have to be tested inside the nest. `name`: of whom to explain it, empty
/// for nobody.
std::vector<Expr> Emitter::residual_predicates(const PlannedDefinition &def,
                                               const std::vector<Directive> &directives,
                                               const IndexPlan &index,
                                               const std::string &name) const {
  std::vector<Expr> rest;
  for (const Expr &p : def.predicates) {
    if (!passes_in_tiles(index, p)) rest.push_back(p);
  }
  if (rest.empty()) {
    if (!name.empty())
      plan_->explain(name, "mask", "none: every listed position passes the predicate");
    return rest;
  }
  bool data_dependent = false;
  for (const Expr &value : def.values) {
    walk(value, [&](const Expr &node) {
      if (const Load *load = node.as<Load>()) {
        for (const Expr &i : load->indices) data_dependent |= reads_data(i);
      }
      return !data_dependent;
    });
  }
  const bool strict = std::any_of(directives.begin(), directives.end(), [](const Directive &d) {
    return d.kind == DirectiveKind::Strict;
  });
  DefinitionData inlined = *def.source;
  inlined.values = def.values;
  inlined.args = def.args;
  inlined.predicates = def.predicates;
  if (!strict && !data_dependent && def.number > 0 && annihilates(inlined, rest)) {
    if (!name.empty())
      plan_->explain(name, "mask",
                     "none: where the predicate fails the contribution is the combiner's identity");
    return {};
  }
  std::string text;
  for (const Expr &p : rest) text += (text.empty() ? "" : " && ") + to_string(p);
  const std::string where =
      index.full ? "tested in tiles with a partial micro-tile: " : "tested inside the tile: ";
  if (!name.empty()) plan_->explain(name, "mask", where + text);
  return rest;
}

/// e with all axes in scope at 0.
Expr Emitter::at_first_lane(const Expr &e, const Job &job) {
  std::vector<VarPtr> axes;
  std::vector<Expr> zeros;
  for (const ir::AxisBinding &axis : job.scope.axes) {
    axes.push_back(axis.var);
    zeros.push_back(constant(0));
  }
  for (std::size_t k = job.loops; k < job.nest.dims.size(); ++k) {
    axes.push_back(job.nest.dims[k].var);
    zeros.push_back(constant(0));
  }
  return substitute(e, axes, zeros);
}

Stmt Emitter::emit_pit_tile(Job &job, std::size_t i) {
  const PitLoop &pit = job.nest.pit;
  const IndexPlan &index = *pit.index;
  const std::int64_t entries = pit.tile_entries;
  // Bounds of the axis are those of the first row of the micro-tile: the index is one list for all
  // of its rows.
  Scope loops = job.scope;
  for (Expr &to : loops.to) to = at_first_lane(to, job);
  loops.axes.clear();
  const VarPtr group = ir::make_let_variable("group", int64),
               first = ir::make_let_variable("first", int64),
               count = ir::make_let_variable("count", int64),
               entry = ir::make_let_variable("entry", int64);
  const Expr g = make_variable(group), tile = make_variable(pit.tile_var);
  Expr first_value = constant(0), count_value;
  if (index.segment_offsets) {
    first_value = index_load(index.segment_offsets, g);
    count_value = index_load(index.segment_offsets, g + constant(1)) - first_value;
  } else if (index.kind == IndexKind::Range) {
    count_value = (lower_expr(index.axis_range.extent, loops) + constant(index.micro - 1)) /
                  constant(index.micro);
  } else if (index.kind == IndexKind::Given && on_gpu()) {
    // Kernels may load before the lists have been tested: nothing leads outside of them.
    const Expr end = end_of_list(index, g);
    first_value =
        is_one(index.groups) ? constant(0) : held(index_load(index.offsets, g), constant(0), end);
    count_value = held(index_load(index.offsets, g + constant(1)), make_variable(first), end) -
                  make_variable(first);
  } else {
    first_value = index_load(index.offsets, g);
    count_value = index.counts ? index_load(index.counts, g)
                               : index_load(index.offsets, g + constant(1)) - first_value;
  }
  const std::vector<Expr> outside = take_guards_outside(job, i);
  const bool masked = index.full && (!job.predicates.empty() || pit.end.defined());
  const Dim dim = job.nest.dims[i];
  const auto emit = [&](Job &which, bool all_full) {
    return emit_tile(which, i, loops, g, make_variable(count), make_variable(entry), all_full);
  };
  const Expr present = make_variable(count) - tile * constant(entries);
  Stmt inside;
  if (masked && on_gpu() && job.def->combiner == Combiner::Softmax &&
      realized_.contains(job.stage)) {
    // Only scores are masked, so only they differ: products are made once, by whatever makes them.
    inside = with_full(index, make_variable(entry), present, entries, [&](const Expr &full) {
      const auto before = std::exchange(one_copy_, OneCopy{&index, full, {}, {}});
      const Stmt tiles = emit(job, false);
      one_copy_ = before;
      return tiles;
    });
  } else {
    Job unmasked = job;
    inside = emit(job, false);
    // What copies operands for matrix instructions masks them for nothing.
    if (masked && !(on_gpu() && sums_for_matrix_unit(inside))) {
      // Tiles whose micro-tiles pass everywhere need no mask.
      refresh_inside(unmasked, i);
      std::erase_if(unmasked.predicates, [&](const Expr &p) {
        return std::any_of(index.predicates.begin(), index.predicates.end(),
                           [&](const Expr &q) { return same_condition(p, q); });
      });
      const Stmt whole = emit(unmasked, true);
      inside = with_full(index, make_variable(entry), present, entries,
                         [&](const Expr &full) { return ir::make<ir::If>(full, whole, inside); });
    }
  }
  inside = ir::make<ir::Let>(entry, make_variable(first) + tile * constant(entries), inside);
  const Expr tiles = (make_variable(count) + constant(entries - 1)) / constant(entries);
  Stmt loop = ir::make<ir::For>(pit.tile_var, constant(0), tiles, dim.kind, inside);
  loop = ir::make<ir::Let>(count, count_value, loop);
  loop = ir::make<ir::Let>(first, first_value, loop);
  loop = ir::make<ir::Let>(group, lower_expr(pit.group, loops), loop);
  for (auto it = outside.rbegin(); it != outside.rend(); ++it)
    loop = ir::make<ir::If>(lower_expr(*it, {}), loop);
  return loop;
}

/// `body` with whether all of the tile's entries, of which `present` are there, are full.
Stmt Emitter::with_full(const IndexPlan &index, const Expr &entry, const Expr &present,
                        std::int64_t entries, const std::function<Stmt(const Expr &)> &body) {
  const auto listed = [&](const Expr &e) {
    return make_load(index.full, {entry + e}) != make_int(uint8, 0);
  };
  constexpr std::int64_t kFew = 8;
  const std::vector<Expr> none;
  if (entries <= kFew) {
    Expr all = listed(constant(0));
    for (std::int64_t e = 1; e < entries; ++e)
      all = all && (present <= constant(e) || listed(constant(e)));
    const VarPtr full = ir::make_let_variable("full", boolean);
    return ir::make<ir::Let>(full, all, body(make_variable(full)));
  }
  const StoragePtr full = ir::make_storage("full", boolean, 0, Space::Tile);
  const VarPtr e = ir::make_axis_variable("e");
  const Stmt all = ir::make<ir::Axes>(
      std::vector<ir::AxisBinding>{{e, min(constant(entries), present), entries}},
      ir::make<ir::Store>(std::vector<VarPtr>{e}, none, full, none, Combiner::And,
                          listed(make_variable(e))));
  return ir::make<ir::Allocate>(
      full, none,
      ir::make_block({ir::make<ir::Store>(std::vector<VarPtr>{}, none, full, none, Combiner::Assign,
                                          Expr(true)),
                      all, body(make_load(full, {}))}));
}

/// A coordinate of a given list: one of the group's, whatever was given. See may_run_ahead.
Expr Emitter::held_in_domain(const IndexPlan &index, const Expr &group, const Expr &coordinate) {
  if (index.kind != IndexKind::Given || !on_gpu()) return coordinate;
  const auto [low, end] = domain_of_group(index, group);
  if (index.micro == 1) return held(cast(int64, coordinate), low, end - constant(1));
  const Expr micro = constant(index.micro);
  const Expr last = (end - low - constant(1)) / micro;
  return low + held((cast(int64, coordinate) - low) / micro, constant(0), last) * micro;
}

/// Where the list of a given index ends; a group without a domain has none.
Expr Emitter::end_of_list(const IndexPlan &index, const Expr &group) {
  const auto [low, end] = domain_of_group(index, group);
  return select(end > low, make_extent(index.coordinates, 0), constant(0));
}

/// Removes the tails of splits that loops outside loop i decide, and returns them: where they fail
/// there is no iteration, and no group.
std::vector<Expr> Emitter::take_guards_outside(Job &job, std::size_t i) {
  std::vector<Expr> outside;
  std::erase_if(job.nest.guards, [&](const Expr &guard) {
    bool inside = uses(guard, job.nest.pit.coordinate);
    for (std::size_t k = i; k < job.nest.dims.size(); ++k)
      inside |= uses(guard, job.nest.dims[k].var);
    if (!inside) outside.push_back(guard);
    return !inside;
  });
  return outside;
}

/// Loops and lanes of its own for a second copy of what is inside the tile's loop i.
void Emitter::refresh_inside(Job &job, std::size_t i) {
  PitLoop &pit = job.nest.pit;
  for (std::size_t k = i + 1; k < job.nest.dims.size(); ++k) {
    Dim &dim = job.nest.dims[k];
    const VarPtr old = dim.var;
    dim.var = dim.lane ? ir::make_axis_variable(old->name) : ir::make_loop_variable(old->name);
    const Expr fresh = make_variable(dim.var);
    auto change = [&](Expr &e) {
      if (e.defined()) e = substitute(e, {old}, {fresh});
    };
    for (Expr &to : job.scope.to) change(to);
    for (Expr &guard : job.nest.guards) change(guard);
    for (Dim &other : job.nest.dims) change(other.extent);
    change(pit.end);
    if (pit.entry_lane == old) pit.entry_lane = dim.var;
    if (pit.micro_lane == old) pit.micro_lane = dim.var;
  }
}

/// What is inside the loop over tiles. `all_full`: every iteration of its micro-tiles passes.
Stmt Emitter::emit_tile(Job &job, std::size_t i, const Scope &loops, const Expr &group,
                        const Expr &count, const Expr &entry, bool all_full) {
  const PitLoop &pit = job.nest.pit;
  const IndexPlan &index = *pit.index;
  const std::int64_t entries = pit.tile_entries;
  const std::size_t tiles_before = tiles_.size();
  // The lane over entries is as long as the tile is full.
  for (Dim &dim : job.nest.dims) {
    if (pit.entry_lane && dim.var == pit.entry_lane) {
      dim.extent = min(constant(entries), count - make_variable(pit.tile_var) * constant(entries));
    }
  }
  Expr here = entry;
  if (pit.entry_lane) here = here + make_variable(pit.entry_lane);
  Expr coordinate;
  std::function<Stmt(Stmt)> define_coordinate = [](const Stmt &s) { return s; };
  if (index.segment_offsets) {
    coordinate = here;
  } else if (index.kind == IndexKind::Range) {
    coordinate = here * constant(index.micro) + lower_expr(index.axis_range.min, loops);
  } else if (!pit.entry_lane) {
    const VarPtr at = ir::make_let_variable(index.axis->name, int64);
    const Expr value = held_in_domain(index, group, index_load(index.coordinates, here));
    coordinate = make_variable(at);
    define_coordinate = [at, value](const Stmt &s) { return ir::make<ir::Let>(at, value, s); };
  } else {
    const StoragePtr tile_coordinates =
        ir::make_storage(index.axis->name + ".coordinates", int32, 1, Space::Tile);
    coordinate = to_int64(make_load(tile_coordinates, {make_variable(pit.entry_lane)}));
    // What begins at multiples of a micro-tile may be copied in lines.
    std::int64_t low = 0;
    if (on_gpu() && pit.micro_lane && is_const_int(index.axis_range.min, &low)) {
      const std::int64_t step = std::gcd(index.micro, low);
      if (step > 1) coordinate = coordinate / constant(step) * constant(step);
    }
    // The lanes of the tile may be declared in a loop further inside: then the list is copied over
    // an axis of its own.
    const bool declared = job.level == static_cast<int>(i);
    const VarPtr lane = declared ? pit.entry_lane : ir::make_axis_variable(index.axis->name);
    const Expr present =
        min(constant(entries), count - make_variable(pit.tile_var) * constant(entries));
    const Expr listed = make_load(index.coordinates, {entry + make_variable(lane)});
    const Expr value = cast(int32, held_in_domain(index, group, listed));
    define_coordinate = [=](const Stmt &s) {
      Stmt fill =
          ir::make<ir::Store>(std::vector<VarPtr>{lane}, std::vector<Expr>{}, tile_coordinates,
                              std::vector<Expr>{make_variable(lane)}, Combiner::Assign, value);
      if (!declared)
        fill = ir::make<ir::Axes>(std::vector<ir::AxisBinding>{{lane, present, entries}}, fill);
      return ir::make<ir::Allocate>(tile_coordinates, std::vector<Expr>{make_int(int64, entries)},
                                    ir::make_block({fill, s}));
    };
  }
  // A sort lists positions that count from 0.
  if (index.kind == IndexKind::Keyed && index.axis_parts.size() == 1)
    coordinate = coordinate + lower_expr(index.axis_range.min, loops);
  if (pit.micro_lane) coordinate = coordinate + make_variable(pit.micro_lane);
  if (pit.end.defined() && !all_full) {
    // The last micro-tile may reach past the domain: its lanes there are masked, and stay on the
    // last position so that what is computed for them reads nothing outside.
    const Expr end = lower_expr(pit.end, loops);
    job.nest.in_domain = coordinate < end;
    coordinate = min(coordinate, end - constant(1));
  }
  for (Dim &d : job.nest.dims) {
    if (!d.extent.defined() || !uses(d.extent, pit.coordinate)) continue;
    if (pit.entry_lane || pit.micro_lane) {
      throw CompileError(
          definition_name(*job.stage->func, job.def->number) + ".pit_tile: the bounds of loop " +
              d.name->name + " vary along the axis " + index.axis->name +
              ", so its tiles must hold one position: dense = {{" + index.axis->name + ", 1}}",
          pit.where);
    }
    d.extent = substitute(d.extent, {pit.coordinate}, {coordinate});
  }
  for (Expr &to : job.scope.to) to = substitute(to, {pit.coordinate}, {coordinate});
  for (Expr &guard : job.nest.guards) guard = substitute(guard, {pit.coordinate}, {coordinate});
  TileContext context;
  context.index = &index;
  auto add_context = [&](const VarPtr &v) {
    for (std::size_t k = 0; k < job.scope.from.size(); ++k) {
      if (job.scope.from[k] != v) continue;
      context.vars.push_back(v);
      context.values.push_back(job.scope.to[k]);
    }
  };
  bool single = index.micro == 1 && (index.offsets || index.segment_offsets);
  for (const GroupVar &gv : index.group) single &= gv.micro == 1;
  if (single) {
    context.entry = here;
    for (const VarPtr &part : index.axis_parts) add_context(part);
    for (const GroupVar &gv : index.group) add_context(gv.var);
  }
  if (index.key.defined() || index.segment_offsets) {
    const Expr &key = index.key.defined() ? index.key : index.node->group;
    context.key = substitute(key, job.scope.from, job.scope.to);
    context.group = group;
  }
  if (index.values) {
    const Expr access = stored_access(index);
    context.operand = substitute(access, job.scope.from, job.scope.to);
    Expr lane = constant(0);
    if (!index.group.empty()) {
      const GroupVar &rows = index.group[0];
      lane = to_expr(linearize(substitute(make_variable(rows.var), job.scope.from, job.scope.to) -
                               rows.range.min - pit.group * constant(rows.micro)));
    }
    context.packed = make_load(index.values, {here, lane});
  }
  tiles_.push_back(context);
  const std::size_t passed_before = passed_.size();
  for (const Expr &p : job.def->predicates) {
    const bool full =
        all_full && index.full_means_all_pass &&
        std::ranges::any_of(index.predicates, [&](const Expr &q) { return same_condition(p, q); });
    if (full || passes_in_tiles(index, p))
      passed_.push_back(substitute(p, job.scope.from, job.scope.to));
  }
  job.define_coordinate = define_coordinate;
  const Stmt result = emit_inside(job, static_cast<int>(i));
  passed_.resize(passed_before);
  tiles_.resize(tiles_before);
  return result;
}

}  // namespace pit::lower
