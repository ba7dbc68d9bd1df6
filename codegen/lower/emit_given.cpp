// Sparse indices that the caller gives: tests that their lists are lists.
//
// A list is a set. One that ascends is seen to be one by its neighbours; for others every
// coordinate remembers an entry that holds it. The host does so in one pass. On a GPU the blocks of
// one kernel find whether anything is wrong, or not in order, in each part of a group. They report
// nothing and so wait for nothing. A few blocks then look at what was found; where that is nothing
// they are done, else they look for it again, and report.

#include <limits>

#include "dsl/error.h"
#include "emit.h"
#include "interval.h"
#include "statements.h"

namespace pit::lower {

using ir::Stmt;

namespace {

Expr constant(std::int64_t c) { return make_int(int64, c); }

Stmt set(const StoragePtr &storage, const Expr &index, Combiner combiner, const Expr &value) {
  return ir::make<ir::Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, storage,
                             std::vector<Expr>{index}, combiner, value);
}

Stmt check(const Expr &condition, const std::string &message, std::vector<Expr> values,
           std::vector<VarPtr> axes = {}) {
  return ir::make<ir::Check>(std::move(axes), std::vector<Expr>{}, condition, message,
                             std::move(values));
}

/// a / b, rounded up; b is at least 1.
Expr divided_up(const Expr &a, const Expr &b) { return is_one(b) ? a : (a + b - constant(1)) / b; }

}  // namespace

/// Lists from outside: offsets ascend from 0, one a group and the end; coordinates lie in the
/// domain, each once in a group.
void Emitter::emit_given_checks(const IndexPlan &index) {
  append(
      ir::make<ir::Stage>(index.name(), ir::StageKind::Check,
                          check(make_extent(index.offsets, 0) == index.groups + constant(1),
                                "index " + index.name() + ": input '" + index.offsets->name +
                                    "' must have one element more than the {0} groups; it has {1}",
                                {index.groups, make_extent(index.offsets, 0)})));
  if (on_gpu()) {
    emit_given_entries_on_gpu(index);
  } else {
    emit_given_entries(index);
  }
  if (!index.key.defined()) return;
  // The caller may list a position that the predicates exclude.
  const bool before = always_guard_data_;
  always_guard_data_ = true;
  const VarPtr g = ir::make_loop_variable("g"), e = ir::make_loop_variable("e");
  const Expr group = make_variable(g), number = make_variable(e),
             coordinate = index_load(index.coordinates, number),
             start = index_load(index.offsets, group);
  Scope scope;
  const Expr first = lower_expr(index.axis_range.min, {});
  set_axis_value(index, first, coordinate - first, &scope);
  const Stmt of_group = with_inner_calls({index.key}, scope, [&] {
    const Expr key = to_int64(lower_expr(index.key, scope));
    return check(
        key == group,
        GivenText(index).holds + "in the list of group {1}, at position {2}, but its key is {3}",
        {coordinate, group, number, key});
  });
  always_guard_data_ = before;
  const Stmt entries =
      ir::make<ir::For>(e, start, index_load(index.offsets, group + constant(1)) - start,
                        on_gpu() ? ir::ForKind::GpuThread : ir::ForKind::Serial, of_group);
  append(ir::make<ir::Stage>(
      index.name(), ir::StageKind::Check,
      ir::make<ir::For>(g, constant(0), index.groups,
                        on_gpu() ? ir::ForKind::Parallel : ir::ForKind::Serial, entries)));
}

/// What is wrong with an entry, or null; see emit_given_checks.
Emitter::GivenText::GivenText(const IndexPlan &index)
    : name("index " + index.name() + ": "),
      holds(name + "input '" + index.coordinates->name + "' holds {0} "),
      outside(holds + "at position {1}; coordinates of " + index.axis->name +
              " are from {2} to {3} - 1"),
      inside_micro(holds + "at position {1}; micro-tiles of " + std::to_string(index.micro) +
                   " of " + index.axis->name + " begin at {2} and every " +
                   std::to_string(index.micro) + " behind it"),
      twice(holds + "twice in the list of group {1}, at positions {2} and {3}; a list is a set"),
      falls(name + "input '" + index.offsets->name + "' falls from {0} to {1} at position {2}"),
      ends(name + "input '" + index.offsets->name + "' ends at {0}, but input '" +
           index.coordinates->name + "' has {1} elements"),
      starts(name + "input '" + index.offsets->name + "' starts with {0}; it must start with {1}") {
}

/// The coordinates of group number `group`, which may differ between groups: the first and the end.
std::pair<Expr, Expr> Emitter::domain_of_group(const IndexPlan &index, const Expr &group) {
  Scope scope;
  Expr rest = group;
  for (auto v = index.group.rbegin(); v != index.group.rend(); ++v) {
    scope.from.push_back(v->var);
    scope.to.push_back(v->range.min + rest % v->groups * constant(v->micro));
    rest = rest / v->groups;
  }
  const Expr low = lower_expr(index.axis_range.min, scope);
  return {low, low + lower_expr(index.axis_range.extent, scope)};
}

void Emitter::emit_given_entries(const IndexPlan &index) {
  const StoragePtr &offsets = index.offsets, &coordinates = index.coordinates;
  const GivenText text(index);
  append(offsets_check(offsets, index.groups, constant(0), {}, text.name));
  append(ir::make<ir::Stage>(
      index.name(), ir::StageKind::Check,
      check(index_load(offsets, index.groups) <= make_extent(coordinates, 0), text.ends,
            {index_load(offsets, index.groups), make_extent(coordinates, 0)})));
  const StoragePtr state = ir::make_storage(index.name() + ".given", int64, 1, Space::Heap);
  const StoragePtr seen = ir::make_storage(index.name() + ".seen", int64, 1, Space::Heap);
  const Expr unsorted = constant(0), smallest = constant(1), largest = constant(2);
  struct Entry {
    Expr group, start, number, coordinate;
  };
  auto for_entries = [&](const std::function<Stmt(const Entry &)> &body) {
    const VarPtr g = ir::make_loop_variable("g"), e = ir::make_loop_variable("e");
    const Expr group = make_variable(g), start = index_load(offsets, group);
    return ir::make<ir::For>(
        g, constant(0), index.groups, ir::ForKind::Serial,
        ir::make<ir::For>(
            e, start, index_load(offsets, group + constant(1)) - start, ir::ForKind::Serial,
            body({group, start, make_variable(e), index_load(coordinates, make_variable(e))})));
  };
  const Stmt in_domain = for_entries([&](const Entry &e) {
    const auto [low, end] = domain_of_group(index, e.group);
    const Expr previous = index_load(coordinates, max(e.number - constant(1), constant(0)));
    std::vector<Stmt> stmts{check(e.coordinate >= low && e.coordinate < end, text.outside,
                                  {e.coordinate, e.number, low, end}),
                            set(state, smallest, Combiner::Min, e.coordinate),
                            set(state, largest, Combiner::Max, e.coordinate),
                            ir::make<ir::If>(e.number > e.start && e.coordinate <= previous,
                                             set(state, unsorted, Combiner::Assign, constant(1)))};
    if (index.micro > 1) {
      stmts.push_back(check((e.coordinate - low) % constant(index.micro) == constant(0),
                            text.inside_micro, {e.coordinate, e.number, low}));
    }
    return ir::make_block(stmts);
  });
  append_allocation(state, {constant(3)});
  append(ir::make<ir::Stage>(
      index.name(), ir::StageKind::Check,
      ir::make_block({set(state, unsorted, Combiner::Assign, constant(0)),
                      set(state, smallest, Combiner::Assign, identity_of(Combiner::Min, int64)),
                      set(state, largest, Combiner::Assign, identity_of(Combiner::Max, int64)),
                      in_domain})));
  const Expr is_unsorted = make_load(state, {unsorted}) != constant(0);
  const Expr low = make_load(state, {smallest});
  const Expr extent =
      select(is_unsorted, make_load(state, {largest}) - low + constant(1), constant(0));
  append_allocation(seen, {extent});
  const VarPtr c = ir::make_loop_variable("c");
  const Stmt clear = ir::make<ir::For>(c, constant(0), extent, ir::ForKind::Serial,
                                       set(seen, make_variable(c), Combiner::Assign, constant(0)));
  const Stmt once = for_entries([&](const Entry &e) {
    const Expr before = make_load(seen, {e.coordinate - low});
    return ir::make_block(
        {check(before <= e.start, text.twice,
               {e.coordinate, e.group, before - constant(1), e.number}),
         set(seen, e.coordinate - low, Combiner::Assign, e.number + constant(1))});
  });
  append(ir::make<ir::Stage>(index.name(), ir::StageKind::Check,
                             ir::make<ir::If>(is_unsorted, ir::make_block({clear, once}))));
}

void Emitter::emit_given_entries_on_gpu(const IndexPlan &index) {
  using namespace build;
  constexpr std::int64_t kPiece = 256, kReporters = 64;
  constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
  const StoragePtr &offsets = index.offsets, &coordinates = index.coordinates;
  const GivenText text(index);
  const Expr groups = index.groups, total = make_extent(coordinates, 0);
  // As many parts of a group as there are pieces of entries for each: lists are of one length, or
  // a part takes several pieces.
  const Expr parts = max(divided_up(ceil_div(total, kPiece), max(groups, number(1))), number(1));
  const StoragePtr found = ir::make_storage(index.name() + ".found", boolean, 1, Space::Heap);
  const auto coordinate_of = [&](const Expr &entry) { return index_load(coordinates, entry); };
  // Offsets that are wrong lead nowhere outside. A single list begins at 0, or that is wrong.
  const auto entries_of_group = [&](const Expr &g, const std::function<Stmt(Expr, Expr)> &body) {
    const VarPtr start = ir::make_let_variable("start", int64),
                 end = ir::make_let_variable("end", int64);
    return let(start, is_one(groups) ? number(0) : max(index_load(offsets, g), number(0)),
               let(end, min(index_load(offsets, g + number(1)), total),
                   body(make_variable(start), make_variable(end))));
  };
  // Both are evaluated, so that loads do not wait for each other.
  const auto both = [](const Expr &a, const Expr &b) {
    return (cast(int32, a) & cast(int32, b)) != number32(0);
  };
  struct Entry {
    Expr right, ascends;
  };
  const auto look_at = [&](const Expr &g, const Expr &start, const Expr &entry) {
    const Expr coordinate = coordinate_of(entry),
               previous = coordinate_of(max(entry - number(1), number(0)));
    const auto [low, behind] = domain_of_group(index, g);
    Expr right = both(coordinate >= low, coordinate < behind);
    if (index.micro > 1) right = both(right, (coordinate - low) % number(index.micro) == number(0));
    return Entry{right, !both(entry != start, previous >= coordinate)};
  };

  // Whether there is anything wrong, or not in order, in a part of a group.
  const Loop g("g"), part("part"), turn("turn");
  const StoragePtr odd = make_tile(index.name() + ".odd", boolean, 0);
  const Stmt find = entries_of_group(g.value, [&](const Expr &start, const Expr &end) {
    const Expr first = start + (part.value + turn.value * parts) * number(kPiece);
    const Axis e("e", min(number(kPiece), total - first), kPiece);
    const Expr entry = first + e.value;
    const Entry looked = look_at(g.value, start, entry);
    const Expr is_odd = both(!both(looked.right, looked.ascends), entry < end);
    const Expr turns =
        is_one(groups) ? number(1) : divided_up(ceil_div(end - start, kPiece) - part.value, parts);
    const Expr here = index_load(offsets, g.value), next = index_load(offsets, g.value + number(1));
    const Expr offsets_are =
        both(both(here <= next, next <= total), !both(g.value == number(0), here != number(0)));
    return with_tiles(
        {{odd, 0}},
        ir::make_block(
            {set(odd, {}, Expr(false)),
             serial(turn, turns, over({e}, {build::store({e}, {}, odd, {}, is_odd, Combiner::Or)})),
             set(found, g.value * parts + part.value, !both(!value_of(odd), offsets_are))}));
  });

  // Each reporter looks at every kReporters-th group, and notes the last entry of each coordinate.
  const Range domain = domain_of(index);
  const Expr low_of_all = lower_expr(domain.min, {}),
             room = max(ceil_div(lower_expr(domain.extent, {}), index.micro), number(0));
  const StoragePtr seen = ir::make_storage(index.name() + ".seen", int64, 1, Space::Heap);
  const StoragePtr any = make_tile(index.name() + ".any", boolean, 0),
                   worst = make_tile(index.name() + ".worst", int64, 0);
  const Expr reporters = min(groups, number(kReporters));
  const Loop reporter("reporter"), mine("mine");
  const Expr own = divided_up(groups - reporter.value, reporters);
  const auto group_of = [&](const Expr &i) { return reporter.value + i * reporters; };
  const Axis i("i", own, 0), all("i", own, 0), of_all("part", parts, 0);
  const Expr here = index_load(offsets, group_of(i.value)),
             next = index_load(offsets, group_of(i.value) + number(1));
  const Stmt offsets_ascend = over(
      {i}, {check(here <= next, text.falls, {here, next, group_of(i.value)}, {i.binding.var})});
  const Expr first_offset = index_load(offsets, number(0)),
             last_offset = index_load(offsets, groups);
  const Stmt offsets_fit =
      ir::make_block({check(first_offset == number(0), text.starts, {first_offset, number(0)}),
                      check(last_offset <= total, text.ends, {last_offset, total})});
  // The first entry that is wrong; else, behind all numbers of entries, one that does not ascend.
  const auto report = [&](const Expr &group, const Expr &start, const Expr &end) {
    const Expr count = max(end - start, number(0));
    const Axis of_group("e", count, 0), e("e", count, 0), again("e", count, 0);
    const Expr each = start + of_group.value;
    const Entry seen_at = look_at(group, start, each);
    const Expr what =
        select(seen_at.right, select(seen_at.ascends, number(kNone), total + each), each);
    const VarPtr at_entry = ir::make_let_variable("entry", int64);
    const Expr entry = make_variable(at_entry), coordinate = coordinate_of(entry);
    const auto [low, behind] = domain_of_group(index, group);
    std::vector<Stmt> wrong{check(coordinate >= low && coordinate < behind, text.outside,
                                  {coordinate, entry, low, behind})};
    if (index.micro > 1) {
      wrong.push_back(check((coordinate - low) % number(index.micro) == number(0),
                            text.inside_micro, {coordinate, entry, low}));
    }
    const auto place = [&](const Expr &c) {
      return reporter.value * room + (c - low_of_all) / number(index.micro);
    };
    const Expr stored = start + e.value, looked = start + again.value,
               holder = at(seen, place(coordinate_of(looked)));
    const Stmt repeated = ir::make_block(
        {over({e}, {build::store({e}, {}, seen, place(coordinate_of(stored)), stored, Combiner::Max,
                                 true)}),
         over({again},
              {check(holder == looked, text.twice,
                     {coordinate_of(looked), group, min(holder, looked), max(holder, looked)},
                     {again.binding.var})})});
    return with_tiles(
        {{worst, 0}},
        ir::make_block(
            {set(worst, {}, number(kNone)),
             over({of_group}, {build::store({of_group}, {}, worst, {}, what, Combiner::Min)}),
             let(at_entry, value_of(worst),
                 ir::make<ir::If>(entry < total, ir::make_block(wrong),
                                  ir::make<ir::If>(entry < number(kNone), repeated)))}));
  };
  const Axis place_of_all("c", room, 0);
  const Stmt forget =
      over({place_of_all}, {build::store({place_of_all}, {}, seen,
                                         reporter.value * room + place_of_all.value, number(-1))});
  const Expr group = group_of(mine.value);
  const Stmt look =
      serial(mine, own, entries_of_group(group, [&](const Expr &start, const Expr &end) {
               return report(group, start, end);
             }));
  const Stmt tell = with_tiles(
      {{any, 0}},
      ir::make_block(
          {set(any, {}, Expr(false)),
           over({all, of_all}, {build::store({all, of_all}, {}, any, {},
                                             at(found, group_of(all.value) * parts + of_all.value),
                                             Combiner::Or)}),
           ir::make<ir::If>(value_of(any),
                            ir::make_block({offsets_fit, offsets_ascend, forget, look}))}));
  append_allocation(found, {max(groups * parts, number(0))});
  append_allocation(seen, {max(reporters, number(0)) * room});
  append(ir::make<ir::Stage>(index.name(), ir::StageKind::Check,
                             ir::make_block({parallel(g, groups, parallel(part, parts, find)),
                                             parallel(reporter, reporters, tell)})));
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
