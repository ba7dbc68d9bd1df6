#include "host_sizes.h"

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

Expr without_casts(const Expr &e) {
  const Cast *c = e.as<Cast>();
  return c && c->a.type().is_integral() ? without_casts(c->a) : e;
}

/// Where the range that `e` indexes with `v` itself ends; undefined when it does not.
Expr end_of_indexed(const Plan &plan, const Expr &e, const VarPtr &v) {
  const Load *load = e.as<Load>();
  const Call *call = e.as<Call>();
  if (!load && !call) return {};
  const std::vector<Expr> &indices = load ? load->indices : call->args;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const Expr index = without_casts(indices[i]);
    const Variable *plain = index.as<Variable>();
    if (!plain || plain->var != v) continue;
    if (load) return make_extent(load->storage, static_cast<int>(i));
    const auto stage = plan.stage_of.find(call->func);
    if (stage == plan.stage_of.end() || stage->second->region.size() <= i) continue;
    const Range &range = stage->second->region[i];
    if (range.min.defined() && !reads_data(range.min + range.extent))
      return range.min + range.extent;
  }
  return {};
}

/// max(e, 0) as e.
Expr maybe_negative(const Expr &e) {
  const Binary *b = e.as<Binary>();
  return b && b->op == BinaryOp::Max && is_zero(b->b) ? b->a : e;
}

/// Whether the axis of an index is from T(..., g, ...) up to T(..., g + 1, ...); `position` becomes
/// the number of g among the variables of the group.
bool lies_behind_previous(const IndexPlan &index, std::size_t *position) {
  for (std::size_t g = 0; g < index.group.size(); ++g) {
    const VarPtr &v = index.group[g].var;
    if (!uses(index.axis_range.min, v)) continue;
    const Expr next = substitute(index.axis_range.min, {v}, {make_variable(v) + constant(1)});
    const Expr behind = index.axis_range.min + maybe_negative(index.axis_range.extent);
    if (constant_difference(next, behind) != 0) continue;
    *position = g;
    return true;
  }
  return false;
}

/// The largest value of `e`, where data do not say it.
SizeBound largest(const Expr &e, const VariableRanges &ranges, const Plan &plan) {
  const Expr high = interval_of(e, ranges, plan, false).high;
  return high.defined() && !reads_data(high) ? SizeBound{high, true} : SizeBound{};
}

[[noreturn]] void fail(const IndexPlan &index, const std::string &what) {
  throw CompileError("index " + index.name() + " of " +
                         definition_name(*index.stage->func, index.definition) + ": " + what,
                     index.node->where);
}

}  // namespace

SizeBound end_from_shapes(const Plan &plan, const PlannedDefinition &def, const VarPtr &v) {
  Expr proven, guarded;
  auto look = [&](const Expr &e, bool tested) {
    walk(e, [&](const Expr &node) {
      if (const Expr end = end_of_indexed(plan, node, v); end.defined()) {
        if (!tested)
          proven = !proven.defined() || equal(proven, end) ? end : min(proven, end);
        else
          guarded = !guarded.defined() || equal(guarded, end) ? end : max(guarded, end);
      }
      return true;
    });
  };
  bool tested = false;
  for (const Expr &p : def.predicates) {
    look(p, tested);
    tested = true;
  }
  for (const Expr &value : def.values) look(value, tested);
  for (std::size_t i = 0; i < def.args.size() && def.number > 0; ++i) look(def.args[i], tested);
  return proven.defined() ? SizeBound{proven, true} : SizeBound{guarded, false};
}

void bound_index(Plan *plan, IndexPlan *index) {
  const IndexNode &node = *index->node;
  if (index->groups.defined() && reads_data(index->groups)) {
    fail(*index,
         "the number of its groups is data, and memory of a GPU is allocated before any is read; "
         "take the groups from a shape or a parameter, and test the rest with where()");
  }
  if (node.capacity.defined() && reads_data(node.capacity))
    fail(*index, "capacity(" + to_string(node.capacity) +
                     ") reads memory, and memory of a GPU is "
                     "allocated before any is read; take it from a shape or a parameter");
  if (!index->data_dependent_range && !reads_data(index->axis_range.extent)) return;
  const PlannedDefinition &def =
      index->stage->definitions.at(static_cast<std::size_t>(index->definition));
  if (index->kind == IndexKind::Range) return;  // nothing to build
  VariableRanges ranges;
  for (const GroupVar &g : index->group)
    ranges[g.var.get()] = {g.range.min, g.range.min + g.range.extent - constant(1)};
  const SizeBound known = largest(index->axis_range.extent, ranges, *plan),
                  known_end =
                      largest(index->axis_range.min + index->axis_range.extent, ranges, *plan);
  SizeBound end = known_end.value.defined() || index->axis_parts.size() > 1
                      ? known_end
                      : end_from_shapes(*plan, def, index->axis);
  index->axis_end = end.value;
  if (index->kind == IndexKind::Given) return;
  end.proven = end.proven && !known_end.value.defined();
  if (known.value.defined()) end = known;
  Expr most;  // micro-tiles: of one group when all have the same range, else of all groups
  std::size_t position = 0;
  if (end.value.defined()) {
    most = ceil_div(not_negative(end.value), index->micro);
    if (index->data_dependent_range && !known.value.defined() &&
        lies_behind_previous(*index, &position)) {
      // Ranges that lie one behind the other share one tensor; each may begin in a micro-tile.
      end.proven = false;
      for (std::size_t g = 0; g < index->group.size(); ++g)
        if (g != position) most = most * index->group[g].groups;
      if (index->micro > 1) most = most + index->groups;
    } else if (index->data_dependent_range) {
      most = index->groups * most;
    }
  }
  if (node.capacity.defined() && !end.proven) {
    const Expr capacity = not_negative(to_int64(node.capacity));
    most = most.defined() ? max(most, capacity) : capacity;
  }
  if (!most.defined()) {
    fail(*index, "how many positions of " + index->axis->name +
                     " it lists is data, no tensor is indexed by " + index->axis->name +
                     " alone, and memory of a GPU is allocated before any is read; declare how "
                     "many there are at most with capacity(n)");
  }
  if (index->data_dependent_range) {
    index->most_candidates = plan->name_value(index->name() + ".most", most);
  } else {
    index->length_is_bound = true;
    index->length = plan->name_value(index->name() + ".length", most);
  }
}

}  // namespace pit::lower
