// Sparse indices that the caller gives: tests that their lists are lists.

#include "dsl/error.h"
#include "emit.h"
#include "interval.h"

namespace pit::lower {

using ir::Stmt;

namespace {

Expr constant(std::int64_t c) { return make_int(int64, c); }

Stmt set(const StoragePtr &storage, const Expr &index, Combiner combiner, const Expr &value) {
  return ir::make<ir::Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, storage,
                             std::vector<Expr>{index}, combiner, value);
}

}  // namespace

/// Lists from outside: offsets ascend from 0, one a group and the end; coordinates lie in the
/// domain, each once in a group.
void Emitter::emit_given_checks(const IndexPlan &index) {
  const StoragePtr &offsets = index.offsets, &coordinates = index.coordinates;
  const std::string name = "index " + index.name() + ": ";
  auto check = [](const Expr &condition, const std::string &message, std::vector<Expr> values) {
    return ir::make<ir::Check>(std::vector<VarPtr>{}, std::vector<Expr>{}, condition, message,
                               std::move(values));
  };
  append(
      ir::make<ir::Stage>(index.name(), ir::StageKind::Check,
                          check(make_extent(offsets, 0) == index.groups + constant(1),
                                name + "input '" + offsets->name +
                                    "' must have one element more than the {0} groups; it has {1}",
                                {index.groups, make_extent(offsets, 0)})));
  append(offsets_check(offsets, index.groups, constant(0), {}, name));
  append(
      ir::make<ir::Stage>(index.name(), ir::StageKind::Check,
                          check(index_load(offsets, index.groups) <= make_extent(coordinates, 0),
                                name + "input '" + offsets->name + "' ends at {0}, but input '" +
                                    coordinates->name + "' has {1} elements",
                                {index_load(offsets, index.groups), make_extent(coordinates, 0)})));
  // A list is a set. One that ascends is seen to be one by its neighbours; for others every
  // coordinate remembers behind which entry it was seen last.
  const StoragePtr state = ir::make_storage(index.name() + ".given", int64, 1, Space::Heap);
  const StoragePtr seen = ir::make_storage(index.name() + ".seen", int64, 1, Space::Heap);
  const Expr unsorted = constant(0), smallest = constant(1), largest = constant(2);
  struct Entry {
    Expr group, start, number, coordinate;
  };
  auto for_entries = [&](bool any_order, const std::function<Stmt(const Entry &)> &body) {
    const VarPtr g = ir::make_loop_variable("g"), e = ir::make_loop_variable("e");
    const Expr group = make_variable(g), start = index_load(offsets, group);
    const bool spread_out = on_gpu() && any_order;
    return ir::make<ir::For>(
        g, constant(0), index.groups, spread_out ? ir::ForKind::Parallel : ir::ForKind::Serial,
        ir::make<ir::For>(
            e, start, index_load(offsets, group + constant(1)) - start,
            spread_out ? ir::ForKind::GpuThread : ir::ForKind::Serial,
            body({group, start, make_variable(e), index_load(coordinates, make_variable(e))})));
  };
  auto note = [&](const Expr &what, Combiner c, const Expr &value) {
    return ir::make<ir::Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, state,
                               std::vector<Expr>{what}, c, value, on_gpu());
  };
  const std::string holds = name + "input '" + coordinates->name + "' holds {0} ";
  const Stmt in_domain = for_entries(true, [&](const Entry &e) {
    Scope scope;  // the domain may differ between groups
    Expr rest = e.group;
    for (auto v = index.group.rbegin(); v != index.group.rend(); ++v) {
      scope.from.push_back(v->var);
      scope.to.push_back(v->range.min + rest % v->groups * constant(v->micro));
      rest = rest / v->groups;
    }
    const Expr low = lower_expr(index.axis_range.min, scope),
               end = low + lower_expr(index.axis_range.extent, scope);
    const Expr previous = index_load(coordinates, max(e.number - constant(1), constant(0)));
    std::vector<Stmt> stmts{
        check(e.coordinate >= low && e.coordinate < end,
              holds + "at position {1}; coordinates of " + index.axis->name +
                  " are from {2} to {3} - 1",
              {e.coordinate, e.number, low, end}),
        note(smallest, Combiner::Min, e.coordinate), note(largest, Combiner::Max, e.coordinate),
        ir::make<ir::If>(e.number > e.start && e.coordinate <= previous,
                         note(unsorted, on_gpu() ? Combiner::Max : Combiner::Assign, constant(1)))};
    if (index.micro > 1) {
      const std::string micro = std::to_string(index.micro);
      stmts.push_back(check((e.coordinate - low) % constant(index.micro) == constant(0),
                            holds + "at position {1}; micro-tiles of " + micro + " of " +
                                index.axis->name + " begin at {2} and every " + micro +
                                " behind it",
                            {e.coordinate, e.number, low}));
    }
    return ir::make_block(stmts);
  });
  append_allocation(state, {constant(3)});
  append(ir::make<ir::Stage>(
      index.name(), ir::StageKind::Check,
      ir::make_block(
          {together(ir::make_block(
               {set(state, unsorted, Combiner::Assign, constant(0)),
                set(state, smallest, Combiner::Assign, identity_of(Combiner::Min, int64)),
                set(state, largest, Combiner::Assign, identity_of(Combiner::Max, int64))})),
           in_domain})));
  const Expr is_unsorted = make_load(state, {unsorted}) != constant(0);
  Expr low = make_load(state, {smallest});
  Expr extent = select(is_unsorted, make_load(state, {largest}) - low + constant(1), constant(0));
  if (on_gpu()) {
    // Room for the whole domain, which does not depend on what is listed.
    const Range domain = domain_of(index);
    low = lower_expr(domain.min, {});
    extent = max(lower_expr(domain.extent, {}), constant(0));
  }
  append_allocation(seen, {extent});
  const VarPtr c = ir::make_loop_variable("c");
  const Stmt clear = spread(c, extent, ir::ForKind::Serial,
                            set(seen, make_variable(c), Combiner::Assign, constant(0)));
  const Stmt once = for_entries(false, [&](const Entry &e) {
    const Expr before = make_load(seen, {e.coordinate - low});
    const Stmt remembered = ir::make_block(
        {check(before <= e.start,
               holds + "twice in the list of group {1}, at positions {2} and {3}; a list is a set",
               {e.coordinate, e.group, before - constant(1), e.number}),
         set(seen, e.coordinate - low, Combiner::Assign, e.number + constant(1))});
    if (!on_gpu()) return remembered;
    return ir::make<ir::If>(e.coordinate >= low && e.coordinate < low + extent, remembered);
  });
  append(ir::make<ir::Stage>(index.name(), ir::StageKind::Check,
                             where(is_unsorted, ir::make_block({clear, once}))));
  if (!index.key.defined()) return;
  // The caller may list a position that the predicates exclude.
  const bool before = always_guard_data_;
  always_guard_data_ = true;
  const Stmt of_group = for_entries(true, [&](const Entry &e) {
    Scope scope;
    const Expr first = lower_expr(index.axis_range.min, {});
    set_axis_value(index, first, e.coordinate - first, &scope);
    return with_inner_calls({index.key}, scope, [&] {
      const Expr key = to_int64(lower_expr(index.key, scope));
      return check(key == e.group,
                   holds + "in the list of group {1}, at position {2}, but its key is {3}",
                   {e.coordinate, e.group, e.number, key});
    });
  });
  always_guard_data_ = before;
  append(ir::make<ir::Stage>(index.name(), ir::StageKind::Check, of_group));
}

/// offsets[0] = first, offsets ascend, and end at `last` when it is defined.
Stmt Emitter::offsets_check(const StoragePtr &offsets, const Expr &groups, const Expr &first,
                            const Expr &last, const std::string &name) const {
  const VarPtr g = ir::make_loop_variable("g");
  const std::vector<VarPtr> none;
  const std::vector<Expr> always;
  const Expr here = index_load(offsets, make_variable(g)),
             next = index_load(offsets, make_variable(g) + constant(1));
  std::vector<Stmt> stmts{
      ir::make<ir::Check>(
          none, always, index_load(offsets, constant(0)) == first,
          name + "input '" + offsets->name + "' starts with {0}; it must start with {1}",
          std::vector<Expr>{index_load(offsets, constant(0)), first}),
      spread(g, groups, ir::ForKind::Serial,
             ir::make<ir::Check>(
                 none, always, here <= next,
                 name + "input '" + offsets->name + "' falls from {0} to {1} at position {2}",
                 std::vector<Expr>{here, next, make_variable(g)}))};
  if (last.defined()) {
    stmts.push_back(
        ir::make<ir::Check>(none, always, index_load(offsets, groups) == last,
                            name + "input '" + offsets->name +
                                "' ends with {0}; its segments must cover all {1} positions",
                            std::vector<Expr>{index_load(offsets, groups), last}));
  }
  return ir::make<ir::Stage>(offsets->name, ir::StageKind::Check,
                             ir::make<ir::If>(groups >= constant(0), ir::make_block(stmts)));
}

}  // namespace pit::lower
