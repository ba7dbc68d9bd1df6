#include "loops.h"

#include <algorithm>

#include "dsl/error.h"
#include "dsl/loop_names.h"
#include "interval.h"
#include "linear.h"

namespace pit::lower {
namespace {

Expr constant(std::int64_t c) { return make_int(int64, c); }
Expr ceil_div(const Expr &a, std::int64_t b) {
  return b == 1 ? a : (a + constant(b - 1)) / constant(b);
}

/// Applies the directives of a definition, in order, to its list of loops. While that goes on,
/// loops are known by the schedule's names and `values_` says what each name that is gone stands
/// for; at the end names become IR variables.
class NestBuilder {
 public:
  NestBuilder(const Plan &plan, const PlannedStage &stage, const PlannedDefinition &def,
              const Binding &binding)
      : plan_(plan), stage_(stage), def_(def), binding_(binding) {}

  Nest run(const std::vector<Directive> &directives) {
    add_own_dims();
    for (const Directive &d : directives) apply(d);
    finish();
    return std::move(nest_);
  }

 private:
  struct Split {
    VarPtr outer, inner;
    Expr extent;
    std::int64_t factor;
  };

  const Plan &plan_;
  const PlannedStage &stage_;
  const PlannedDefinition &def_;
  const Binding &binding_;
  Nest nest_;
  std::vector<VarPtr> gone_;  // names that no longer are loops
  std::vector<Expr> values_;  // over names of loops (and of names gone later)
  std::vector<Split> splits_;
  std::source_location last_order_ = stage_.where;

  [[noreturn]] void fail(const Directive &d, const std::string &what) const {
    throw CompileError(definition_name(*stage_.func, def_.number) + ": " + what, d.where);
  }

  void add_own_dims() {
    for (std::size_t i = 0; i < stage_.func->args.size(); ++i) {
      const VarPtr &v = stage_.func->args[i];
      if (std::find(binding_.from.begin(), binding_.from.end(), v) != binding_.from.end()) continue;
      if (def_.number > 0 && !on_left_side(v)) continue;
      const Range &range = stage_.region.at(i);
      add_dim(v, range, false);
    }
    for (const ReductionDim &dim : def_.domain)
      add_dim(dim.var, {to_int64(dim.min), to_int64(dim.extent)}, true);
  }

  bool on_left_side(const VarPtr &v) const {
    return std::any_of(def_.args.begin(), def_.args.end(),
                       [&](const Expr &arg) { return uses(arg, v); });
  }

  /// The loop counts from 0 under the variable's own name; the variable's value adds the minimum.
  void add_dim(const VarPtr &v, const Range &range, bool reduction) {
    Dim dim;
    dim.name = v;
    dim.extent = in_counters(range.extent);
    std::int64_t c = 0;
    if (is_const_int(range.extent, &c)) {
      dim.maximum = std::max<std::int64_t>(c, 0);
      dim.extent = constant(dim.maximum);
    }
    dim.reduction = reduction;
    const Expr low = in_counters(range.min);
    nest_.dims.push_back(dim);
    nest_.from.push_back(v);
    nest_.to.push_back(low);  // completed in finish()
  }

  /// A bound that reads the definition's variables, in terms of the loops that count from 0.
  Expr in_counters(const Expr &e) const {
    std::vector<Expr> values;
    for (std::size_t i = 0; i < nest_.from.size(); ++i)
      values.push_back(value_above(nest_.to[i], named(nest_.from[i])));
    return substitute(e, nest_.from, values);
  }

  std::size_t position(const VarPtr &name, const Directive &d) const {
    for (std::size_t i = 0; i < nest_.dims.size(); ++i) {
      if (nest_.dims[i].name == name) return i;
    }
    fail(d, "there is no loop " + name->name + " here: " + stage_.name() +
                " is computed at a tile of " +
                (stage_.consumer ? stage_.consumer->name() : std::string("its consumer")) +
                ", which fixes that Var; schedule the consumer's loop instead");
  }
  bool is_dim(const VarPtr &name) const {
    return std::any_of(nest_.dims.begin(), nest_.dims.end(),
                       [&](const Dim &d) { return d.name == name; });
  }
  void retire(const VarPtr &name, const Expr &value) {
    const Expr known = resolve(value);  // it may read names that are gone already
    gone_.push_back(name);
    values_.push_back(known);
  }
  static Expr named(const VarPtr &v) { return make_variable(v); }

  void apply(const Directive &d) {
    switch (d.kind) {
      case DirectiveKind::Split:
        split(d, d.vars[0], d.vars[1], d.vars[2], d.ints[0]);
        break;
      case DirectiveKind::Tile:
        split(d, d.vars[0], d.vars[2], d.vars[4], d.ints[0]);
        split(d, d.vars[1], d.vars[3], d.vars[5], d.ints[1]);
        reorder(d, {d.vars[2], d.vars[3], d.vars[4], d.vars[5]});
        break;
      case DirectiveKind::Fuse:
        fuse(d);
        break;
      case DirectiveKind::Reorder:
        reorder(d, d.vars);
        break;
      case DirectiveKind::Vectorize:
        vectorize(d);
        break;
      case DirectiveKind::Unroll:
        if (d.ints.empty() || nest_.dims[position(d.vars[0], d)].maximum == d.ints[0]) {
          nest_.dims[position(d.vars[0], d)].kind = ir::ForKind::Unrolled;
        }
        break;
      case DirectiveKind::Parallel:
        set_kind(d, ir::ForKind::Parallel);
        break;
      case DirectiveKind::GpuBlocks:
        set_kind(d, ir::ForKind::GpuBlock);
        break;
      case DirectiveKind::GpuThreads:
        set_kind(d, ir::ForKind::GpuThread);
        break;
      case DirectiveKind::PitTile:
        pit_tile(d);
        break;
      default:
        break;
    }
  }

  void set_kind(const Directive &d, ir::ForKind kind) {
    for (const VarPtr &v : d.vars) nest_.dims[position(v, d)].kind = kind;
  }

  void split(const Directive &d, const VarPtr &v, const VarPtr &outer, const VarPtr &inner,
             std::int64_t factor) {
    const std::size_t at = position(v, d);
    Dim old = nest_.dims[at];
    Dim out = old, in = old;
    out.name = outer;
    out.extent = ceil_div(old.extent, factor);
    out.maximum = old.maximum == 0 ? 0 : (old.maximum + factor - 1) / factor;
    in.name = inner;
    in.maximum = old.maximum == 0 ? factor : std::min(factor, old.maximum);
    in.extent = constant(factor);
    std::int64_t c = 0;
    if (!is_const_int(old.extent, &c) || c % factor != 0) {
      in.extent = min(constant(factor), old.extent - named(outer) * constant(factor));
      splits_.push_back({outer, inner, old.extent, factor});
    }
    nest_.dims[at] = out;
    nest_.dims.insert(nest_.dims.begin() + static_cast<std::ptrdiff_t>(at) + 1, in);
    retire(v, named(outer) * constant(factor) + named(inner));
  }

  void fuse(const Directive &d) {
    const std::size_t at = position(d.vars[0], d), inner_at = position(d.vars[1], d);
    if (inner_at != at + 1) fail(d, "fuse needs adjacent loops");
    const Dim out = nest_.dims[at], in = nest_.dims[inner_at];
    for (Split &s : splits_) {
      if (s.inner == in.name)
        fail(
            d,
            "fuse of " + in.name->name +
                ", the inner loop of a split with a tail, is not supported; fuse before splitting");
    }
    if (uses(in.extent, out.name)) {
      fail(d, "the bounds of " + in.name->name + " depend on " + out.name->name +
                  ", so the two cannot be fused");
    }
    Dim fused = out;
    fused.name = d.vars[2];
    fused.reduction = out.reduction || in.reduction;
    fused.extent = not_negative(out.extent) * not_negative(in.extent);
    fused.maximum = out.maximum * in.maximum;
    nest_.dims[at] = fused;
    nest_.dims.erase(nest_.dims.begin() + static_cast<std::ptrdiff_t>(inner_at));
    // Of no iterations, too, each has its own: a quotient by 0 would be one element for all.
    const Expr length = is_zero(in.extent) ? constant(1) : in.extent;
    retire(out.name, named(fused.name) / length);
    retire(in.name, named(fused.name) % length);
  }

  void reorder(const Directive &d, const std::vector<VarPtr> &order) {
    last_order_ = d.where;
    std::vector<std::size_t> places;
    std::vector<Dim> dims;
    for (const VarPtr &v : order) {
      places.push_back(position(v, d));
      dims.push_back(nest_.dims[places.back()]);
    }
    std::sort(places.begin(), places.end());
    for (std::size_t i = 0; i < places.size(); ++i) nest_.dims[places[i]] = dims[i];
  }

  void vectorize(const Directive &d) {
    VarPtr v = d.vars[0];
    if (!d.ints.empty() && nest_.dims[position(v, d)].maximum != d.ints[0]) {
      const VarPtr outer = ir::make_loop_variable(v->name),
                   inner = ir::make_loop_variable(v->name + ".v");
      split(d, v, outer, inner, d.ints[0]);
      v = inner;
    }
    if (nest_.has_pit && v == nest_.pit.tile_name) {
      fail(d, "vectorize(" + v->name + "): " + v->name +
                  " is the loop over tiles of pit_tile; its lanes are inside it");
    }
    nest_.dims[position(v, d)].vectorize = true;
  }

  // --- pit_tile ---

  std::int64_t dense_of(const Directive &d, const VarPtr &v) const {
    for (const auto &[name, extent] : d.dense) {
      if (name == v) return extent;
    }
    return 0;
  }

  void pit_tile(const Directive &d) {
    IndexPlan *index = plan_.index_of.at(identity_of(d.index));
    check_index_serves(d, *index);
    nest_.has_pit = true;
    PitLoop &pit = nest_.pit;
    pit.index = index;
    pit.where = d.where;
    pit.tile_name = d.vars.empty() ? ir::make_loop_variable("tile") : d.vars[0];
    const std::size_t axis_at = position(index->axis, d);
    const Dim axis = nest_.dims[axis_at];
    nest_.dims.erase(nest_.dims.begin() + static_cast<std::ptrdiff_t>(axis_at));

    for (const auto &[v, extent] : d.dense) {
      if (extent > kLargestTile)
        fail(d, "a dense tile of " + std::to_string(extent) + " of " + v->name +
                    " is larger than " + std::to_string(kLargestTile));
    }
    std::int64_t dense = dense_of(d, index->axis);
    if (dense == 0) dense = index->micro;
    if (dense % index->micro != 0) {
      fail(d, "dense tile of " + std::to_string(dense) + " on " + index->axis->name +
                  " is not a multiple of its micro-tile of " + std::to_string(index->micro));
    }
    pit.tile_entries = dense / index->micro;

    std::vector<Dim> outside, inside, group_lanes, lanes;
    place_group(d, *index, &outside, &group_lanes);
    std::vector<Dim> rest = std::move(nest_.dims);
    nest_.dims.clear();
    for (Dim &dim : rest) {
      const std::int64_t tile = dense_of(d, dim.name);
      const bool covered = std::any_of(index->covered.begin(), index->covered.end(),
                                       [&](const ReductionDim &r) { return r.var == dim.name; });
      if (covered) {
        dim.lane = true;
        lanes.push_back(dim);
      } else if (tile > 0) {
        dense_split(dim, tile, dim.reduction ? &inside : &outside, &lanes);
      } else {
        inside.push_back(dim);
      }
    }
    add_pit_lanes(axis, *index, &lanes);
    Dim tiles;
    tiles.name = pit.tile_name;
    tiles.reduction = axis.reduction;
    tiles.kind = axis.kind;
    nest_.dims = std::move(outside);
    nest_.dims.push_back(tiles);
    for (auto *part : {&inside, &group_lanes, &lanes}) {
      for (Dim &dim : *part) {
        dim.after_tile = true;
        nest_.dims.push_back(dim);
      }
    }
  }

  /// An index of another definition serves when it lists every iteration that this one needs.
  void check_index_serves(const Directive &d, const IndexPlan &index) const {
    if (index.stage == &stage_ && index.definition == def_.number) return;
    for (const Expr &p : index.predicates) {
      const bool known = std::any_of(def_.predicates.begin(), def_.predicates.end(),
                                     [&](const Expr &q) { return same_condition(p, q); });
      if (!known) {
        fail(d, "index " + index.name() + " lists only iterations with " + to_string(p) + ", but " +
                    stage_.name() + " is needed elsewhere too; use an index of " + stage_.name() +
                    " itself");
      }
    }
  }

  void dense_split(const Dim &dim, std::int64_t tile, std::vector<Dim> *outer_list,
                   std::vector<Dim> *lanes) {
    if (dim.maximum != 0 && dim.maximum <= tile) {
      Dim lane = dim;
      lane.lane = true;
      lanes->push_back(lane);
      return;
    }
    Dim outer = dim, lane = dim;
    outer.name = ir::make_loop_variable(dim.name->name + ".tile");
    outer.extent = ceil_div(dim.extent, tile);
    outer.maximum = 0;
    lane.name = ir::make_loop_variable(dim.name->name);
    lane.extent = min(constant(tile), dim.extent - named(outer.name) * constant(tile));
    lane.maximum = tile;
    lane.lane = true;
    outer_list->push_back(outer);
    lanes->push_back(lane);
    retire(dim.name, named(outer.name) * constant(tile) + named(lane.name));
  }

  void place_group(const Directive &d, const IndexPlan &index, std::vector<Dim> *outside,
                   std::vector<Dim> *group_lanes) {
    PitLoop &pit = nest_.pit;
    if (index.key.defined() || index.segment_offsets) {
      Dim group;
      group.name = ir::make_loop_variable("group");
      group.extent = index.groups;
      pit.group_loop = group.name;
      pit.group = named(group.name);
      outside->push_back(group);
      return;
    }
    Expr number;
    for (const GroupVar &g : index.group) {
      const Expr coordinate = group_coordinate(d, index, g, outside, group_lanes);
      number = number.defined() ? number * g.groups + coordinate : coordinate;
    }
    pit.group = number.defined() ? number : constant(0);
  }

  /// The loop over micro-tiles of one group variable, or, when the surroundings fix the variable,
  /// its value's quotient.
  Expr group_coordinate(const Directive &d, const IndexPlan &index, const GroupVar &g,
                        std::vector<Dim> *outside, std::vector<Dim> *group_lanes) {
    if (is_dim(g.var)) {
      const std::size_t at = position(g.var, d);
      const Dim dim = nest_.dims[at];
      nest_.dims.erase(nest_.dims.begin() + static_cast<std::ptrdiff_t>(at));
      if (g.micro == 1) {
        outside->push_back(dim);
        return named(dim.name);
      }
      Dim group = dim;
      group.name = ir::make_loop_variable(g.var->name + ".group");
      group.extent = ceil_div(dim.extent, g.micro);
      group.maximum = 0;
      outside->push_back(group);
      Dim lane = dim;
      lane.name = ir::make_loop_variable(g.var->name);
      lane.extent = min(constant(g.micro), dim.extent - named(group.name) * constant(g.micro));
      lane.maximum = g.micro;
      Expr value = named(group.name) * constant(g.micro) + named(lane.name);
      const std::int64_t tile = dense_of(d, g.var);
      if (tile > 0 && tile < g.micro) {
        Dim sub = lane;
        sub.name = ir::make_loop_variable(g.var->name + ".tile");
        sub.extent = ceil_div(lane.extent, tile);
        sub.maximum = 0;
        outside->push_back(sub);
        const Expr whole = lane.extent;
        lane.extent = min(constant(tile), whole - named(sub.name) * constant(tile));
        lane.maximum = tile;
        value = named(group.name) * constant(g.micro) +
                (named(sub.name) * constant(tile) + named(lane.name));
      }
      lane.lane = true;
      group_lanes->push_back(lane);
      retire(dim.name, value);
      return named(group.name);
    }
    return coordinate_of_fixed(d, index, g, outside, group_lanes);
  }

  /// The variable is bound by the surroundings, or was split by the user.
  Expr coordinate_of_fixed(const Directive &d, const IndexPlan &index, const GroupVar &g,
                           std::vector<Dim> *outside, std::vector<Dim> *group_lanes) {
    Expr value;
    for (std::size_t i = 0; i < binding_.from.size(); ++i) {
      if (binding_.from[i] == g.var) value = binding_.to[i] - g.range.min;
    }
    std::vector<ir::AxisBinding> axes = binding_.axes;
    if (!value.defined()) {
      value = resolve(named(g.var));
      // Inner loops of the user's split that fit into the micro-tile are its lanes, the others stay
      // outside.
      for (std::size_t i = 0; i < nest_.dims.size();) {
        Dim dim = nest_.dims[i];
        if (!uses(value, dim.name)) {
          ++i;
          continue;
        }
        nest_.dims.erase(nest_.dims.begin() + static_cast<std::ptrdiff_t>(i));
        if (g.micro > 1 && dim.maximum != 0 && dim.maximum <= g.micro) {
          axes.push_back({dim.name, dim.extent, dim.maximum});
          dim.lane = true;
          group_lanes->push_back(dim);
        } else {
          outside->push_back(dim);
        }
      }
    }
    const Expr coordinate = uniform_quotient(value, g.micro, axes);
    if (!coordinate.defined()) {
      fail(d, "the tile spans several values of " + g.var->name +
                  (g.micro > 1 ? "/" + std::to_string(g.micro) : "") + ", but index " +
                  index.name() + " has one list for each; make the tile of " + g.var->name +
                  " divide the micro extent, or the micro extent a multiple of the tile");
    }
    return coordinate;
  }

  void add_pit_lanes(const Dim &axis, const IndexPlan &index, std::vector<Dim> *lanes) {
    PitLoop &pit = nest_.pit;
    pit.coordinate = ir::make_let_variable(axis.name->name + ".coordinate", int64);
    const Expr value = named(pit.coordinate);
    if (pit.tile_entries > 1) {
      Dim lane;
      lane.name = pit.entry_lane = ir::make_axis_variable(axis.name->name);
      lane.maximum = pit.tile_entries;  // the extent is known where the tile is emitted
      lane.reduction = axis.reduction;
      lane.lane = true;
      lanes->push_back(lane);
    }
    if (index.micro > 1) {
      Dim lane;
      lane.name = pit.micro_lane = ir::make_axis_variable(axis.name->name + ".micro");
      lane.extent = constant(index.micro);
      lane.maximum = index.micro;
      lane.reduction = axis.reduction;
      lane.lane = true;
      lanes->push_back(lane);
      std::int64_t extent = 0;
      if (!is_const_int(index.axis_range.extent, &extent) || extent % index.micro != 0) {
        pit.end = in_counters(index.axis_range.min + index.axis_range.extent);
      }
    }
    // Coordinates of an index are absolute; a loop counts from the minimum.
    retire(axis.name,
           index.axis_parts.size() == 1 ? value - in_counters(index.axis_range.min) : value);
  }

  // --- names become variables ---

  Expr resolve(Expr e) const {
    for (std::size_t i = 0; i < gone_.size(); ++i) e = substitute(e, {gone_[i]}, {values_[i]});
    return e;
  }

  bool is_inside(const VarPtr &inner, const VarPtr &outer) const {
    std::size_t i = 0, o = 0;
    for (std::size_t k = 0; k < nest_.dims.size(); ++k) {
      if (nest_.dims[k].name == inner) i = k + 1;
      if (nest_.dims[k].name == outer) o = k + 1;
    }
    return o != 0 && i > o;
  }

  void finish() {
    // Splits may be split again: the value of a name may use names that are gone by now. Later ones
    // come later in the list, so one pass in order resolves everything.
    std::vector<VarPtr> names;
    std::vector<Expr> variables;
    for (Dim &dim : nest_.dims) {
      dim.var = dim.lane ? ir::make_axis_variable(dim.name->name)
                         : ir::make_loop_variable(dim.name->name);
      names.push_back(dim.name);
      variables.push_back(make_variable(dim.var));
    }
    auto final_form = [&](const Expr &e) {
      return e.defined()
                 ? substitute(substitute(resolve(e), names, variables), binding_.from, binding_.to)
                 : e;
    };
    std::vector<VarPtr> own = nest_.from;
    std::vector<Expr> minima = nest_.to;
    nest_.from = binding_.from;
    nest_.to = binding_.to;
    for (std::size_t i = 0; i < own.size(); ++i) {
      nest_.from.push_back(own[i]);
      nest_.to.push_back(value_above(final_form(minima[i]), final_form(named(own[i]))));
    }
    for (const Split &s : splits_) {
      if (is_inside(s.inner, s.outer) && !is_lane(s.outer)) continue;
      for (Dim &dim : nest_.dims) {
        if (dim.name == s.inner) dim.extent = constant(dim.maximum);
      }
      nest_.guards.push_back(named(s.outer) * constant(s.factor) + named(s.inner) < s.extent);
    }
    for (Dim &dim : nest_.dims) dim.extent = final_form(dim.extent);
    check_order();
    for (Expr &guard : nest_.guards) guard = final_form(guard);
    PitLoop &pit = nest_.pit;
    if (!nest_.has_pit) return;
    pit.group = final_form(pit.group);
    check_group_loops();
    pit.end = final_form(pit.end);
    for (const Dim &dim : nest_.dims) {
      if (dim.name == pit.tile_name) pit.tile_var = dim.var;
      if (pit.entry_lane && dim.name == pit.entry_lane) pit.entry_lane = dim.var;
      if (pit.micro_lane && dim.name == pit.micro_lane) pit.micro_lane = dim.var;
      if (pit.group_loop && dim.name == pit.group_loop) pit.group_loop = dim.var;
    }
  }

  /// One list for each value of a loop: the loop is outside the tiles of the list, and cannot be
  /// the lanes of a vector.
  void check_group_loops() const {
    bool inside = false;
    for (const Dim &dim : nest_.dims) {
      inside = inside || dim.name == nest_.pit.tile_name;
      if (!uses(nest_.pit.group, dim.var)) continue;
      if (inside) {
        throw CompileError(definition_name(*stage_.func, def_.number) + ": index " +
                               nest_.pit.index->name() + " has one list for each value of " +
                               dim.name->name +
                               ", which the schedule puts inside its tiles; keep " +
                               dim.name->name + " outside " + nest_.pit.tile_name->name,
                           last_order_);
      }
      if (!dim.vectorize) continue;
      throw CompileError(definition_name(*stage_.func, def_.number) + ": vectorize(" +
                             dim.name->name + "): index " + nest_.pit.index->name() +
                             " has one list for each value of " + dim.name->name +
                             ", so it stays a loop; vectorize a loop inside the tile, or give the "
                             "variable a micro extent",
                         nest_.pit.where);
    }
  }

  /// A loop's bounds read loops outside it only.
  void check_order() const {
    for (std::size_t i = 0; i < nest_.dims.size(); ++i) {
      for (std::size_t k = i; k < nest_.dims.size(); ++k) {
        const Expr &extent = nest_.dims[i].extent;
        if (!extent.defined() || !uses(extent, nest_.dims[k].var)) continue;
        throw CompileError(definition_name(*stage_.func, def_.number) + ": the bounds of loop " +
                               nest_.dims[i].name->name + " read " + nest_.dims[k].name->name +
                               ", which the schedule puts inside it; keep " +
                               nest_.dims[k].name->name + " outside " + nest_.dims[i].name->name,
                           last_order_);
      }
    }
  }

  bool is_lane(const VarPtr &name) const {
    return std::any_of(nest_.dims.begin(), nest_.dims.end(),
                       [&](const Dim &d) { return d.name == name && d.lane; });
  }

  /// low + counter, where a counter of the form (x - low) cancels.
  static Expr value_above(const Expr &low, const Expr &counter) {
    if (is_zero(low)) return counter;
    if (const Binary *b = counter.as<Binary>(); b && b->op == BinaryOp::Sub && equal(b->b, low))
      return b->a;
    return counter + low;
  }
};

}  // namespace

Nest make_nest(const Plan &plan, const PlannedStage &stage, const PlannedDefinition &def,
               const std::vector<Directive> &directives, const Binding &binding) {
  return NestBuilder(plan, stage, def, binding).run(directives);
}

}  // namespace pit::lower
