#include "place_strip.h"

#include <utility>
#include <vector>

#include "statements.h"

// One read of the candidates, one kernel: where a strip's entries stand depends on how many the
// strips before it keep, which their blocks tell while they run. Where groups are spaced only those
// of its group matter. Elsewhere an aligned index rounds up the entries of a group: its last strip
// says, besides what it keeps, what the padding takes, and for that it sums inside the group first.

namespace pit::lower {

using namespace build;
using ir::Stmt;

namespace {

Expr parts_of(const PlacedIndex &index) { return index.groups * index.strips; }

Expr inside(const PlacedIndex &index, const Expr &entry) {
  return cast(int32, index.capacity.defined() ? min(entry, index.capacity) : entry);
}

Expr rounded(const PlacedIndex &index, const Expr &entries) {
  return index.align == 1 ? entries : ceil_div(entries, index.align) * number(index.align);
}

bool has_one_strip(const PlacedIndex &index) {
  std::int64_t strips = 0;
  return is_const_int(index.strips, &strips) && strips == 1;
}

/// coordinates, full and position of a strip's candidates.
Stmt store_entries(const PlacedIndex &index, const Strip &strip, const KeptEntries &kept) {
  const Axis r("r", kept.count, strip.maximum), j("j", strip.length, strip.maximum);
  const Expr candidate = wide(at(kept.list, r.value)), entry = kept.entry + r.value;
  std::vector<Expr> guards;
  if (index.capacity.defined()) guards.push_back(entry < index.capacity);
  std::vector<Stmt> stmts;
  if (index.coordinates) {
    Expr coordinate = (strip.first + candidate) * index.micro;
    if (index.first) coordinate = at(index.first, strip.group) + coordinate;
    stmts.push_back(store({r}, guards, index.coordinates, entry, cast(int32, coordinate)));
  }
  if (index.full) {
    const Expr full =
        strip.partial ? select(at(strip.partial, candidate), make_int(uint8, 0), make_int(uint8, 1))
                      : make_int(uint8, 1);
    stmts.push_back(store({r}, guards, index.full, entry, full));
  }
  if (index.position) {
    const Expr first = strip.start + strip.first;
    stmts.push_back(store({j}, {}, index.position, first + j.value, number32(-1)));
    stmts.push_back(store({r}, {}, index.position, first + candidate, cast(int32, entry)));
  }
  return over({r, j}, stmts);
}

/// Padding entries from `entry` to `end` hold -1.
Stmt pad(const PlacedIndex &index, const Expr &entry, const Expr &end) {
  if (index.align == 1 || !index.coordinates) return {};
  const Axis p("p", number(index.align - 1), index.align - 1);
  const Expr e = entry + p.value;
  const Expr room = index.capacity.defined() ? min(end, index.capacity) : end;
  return over({p}, {store({p}, {e < room}, index.coordinates, e, number32(-1))});
}

/// What the last of all parts knows: how many entries there are.
Stmt finish(const PlacedIndex &index, const Expr &part, const Expr &total) {
  std::vector<Stmt> stmts{set(index.offsets, index.groups, inside(index, total))};
  if (index.capacity.defined()) {
    stmts.push_back(ir::make<ir::Check>(
        std::vector<VarPtr>{}, std::vector<Expr>{}, total <= index.capacity,
        "sparse index '" + index.name + "': {0} entries are needed and the capacity is {1}",
        std::vector<Expr>{total, index.capacity}));
  }
  return ir::make<ir::If>(part == parts_of(index) - number(1), ir::make_block(stmts));
}

}  // namespace

bool takes_any_place(const PlacedIndex &index) {
  return !index.ordered && index.spacing.defined() && index.align == 1 && index.counts &&
         !has_one_strip(index);
}

void make_progress(PlacedIndex *index) {
  const bool one = has_one_strip(*index);
  if ((index->spacing.defined() && one) || takes_any_place(*index)) return;
  index->progress = ir::make_storage(index->name + ".progress", int64, 1, Space::Heap);
  if (index->align > 1 && !one && !index->spacing.defined())
    index->group_progress = ir::make_storage(index->name + ".in_group", int64, 1, Space::Heap);
}

Stmt with_progress(const PlacedIndex &index, const Stmt &body) {
  const Expr parts = parts_of(index);
  const Loop i("i");
  const bool spaced = index.spacing.defined();
  std::vector<Stmt> zero;
  for (const StoragePtr &progress : {index.progress, index.group_progress}) {
    if (progress) zero.push_back(set(progress, i.value, number(0)));
  }
  std::vector<Stmt> clear;
  if (!zero.empty()) clear.push_back(ir::make<ir::If>(i.value < parts, ir::make_block(zero)));
  clear.push_back(
      spaced ? ir::make<ir::If>(i.value <= index.groups,
                                set(index.offsets, i.value, cast(int32, i.value * index.spacing)))
             : ir::make<ir::If>(i.value == index.groups, set(index.offsets, i.value, number32(0))));
  if (index.counts && !has_one_strip(index) && (!spaced || takes_any_place(index))) {
    clear.push_back(
        ir::make<ir::If>(i.value < index.groups, set(index.counts, i.value, number32(0))));
  }
  Stmt result = ir::make_block({parallel(i, parts + number(1), ir::make_block(clear)), body});
  for (const StoragePtr &progress : {index.group_progress, index.progress}) {
    if (progress)
      result = ir::make<ir::Allocate>(progress, std::vector<Expr>{max(parts, number(0))}, result);
  }
  return result;
}

Stmt place_strip(const PlacedIndex &index, const Strip &strip,
                 const std::function<Stmt(const KeptEntries &)> &more) {
  const StoragePtr list = make_tile(index.name + ".list", int32),
                   count = make_tile(index.name + ".count", int32, 0),
                   before = make_tile(index.name + ".before", int64, 0),
                   in_group = make_tile(index.name + ".group_before", int64, 0);
  const bool one = has_one_strip(index), spaced = index.spacing.defined(),
             any = takes_any_place(index);
  const Expr kept = wide(value_of(count)), first_part = strip.group * index.strips,
             part = first_part + strip.number, entry = value_of(before);
  const Expr is_last = strip.number == index.strips - number(1);
  std::vector<Stmt> stmts{ir::make<ir::Compact>(list, count, strip.marks, strip.length)};
  const StoragePtr &told_in_group = any      ? index.counts
                                    : spaced ? index.progress
                                             : index.group_progress;
  Expr taken = rounded(index, kept);  // entries, with padding
  Expr of_group = kept;               // kept ones up to here
  if (any) {
    stmts.push_back(ir::make<ir::SumBefore>(in_group, index.counts, Expr(), strip.group, kept));
  } else if (told_in_group) {
    stmts.push_back(ir::make<ir::SumBefore>(in_group, told_in_group, first_part, part, kept));
    of_group = value_of(in_group) + kept;
    taken = select(is_last, rounded(index, of_group) - value_of(in_group), kept);
  }
  if (spaced) {
    const Expr first = strip.group * index.spacing;
    stmts.push_back(set(before, {}, told_in_group ? first + value_of(in_group) : first));
  } else {
    stmts.push_back(ir::make<ir::SumBefore>(before, index.progress, number(0), part, taken));
  }
  const KeptEntries entries{kept, entry, list, index.capacity};
  stmts.push_back(store_entries(index, strip, entries));
  if (more) stmts.push_back(more(entries));
  std::vector<Stmt> at_start, at_end{pad(index, entry + kept, entry + taken)};
  if (!spaced) at_start.push_back(set(index.offsets, strip.group, inside(index, entry)));
  if (any) {
    // Its counts are what strips tell each other.
  } else if (index.counts && (one || told_in_group)) {
    at_end.push_back(set(index.counts, strip.group, cast(int32, of_group)));
  } else if (index.counts) {
    stmts.push_back(store({}, {}, index.counts, strip.group, value_of(count), Combiner::Sum, true));
  }
  const auto when = [&](const Expr &condition, std::vector<Stmt> body) -> Stmt {
    const Stmt block = ir::make_block(std::move(body));
    return !block.defined() || one ? block : ir::make<ir::If>(condition, block);
  };
  stmts.push_back(when(strip.number == number(0), at_start));
  stmts.push_back(when(is_last, at_end));
  if (!spaced) stmts.push_back(finish(index, part, entry + taken));
  std::vector<std::pair<StoragePtr, std::int64_t>> tiles{
      {list, strip.maximum}, {count, 0}, {before, 0}};
  if (told_in_group) tiles.emplace_back(in_group, 0);
  return with_tiles(tiles, ir::make_block(stmts));
}

Stmt place_group(const PlacedIndex &index, const RaggedGroup &group) {
  const StoragePtr count = make_tile(index.name + ".count", int32, 0),
                   total = make_tile(index.name + ".total", int64, 0),
                   before = make_tile(index.name + ".before", int64, 0),
                   next = make_tile(index.name + ".next", int64, 0);
  const Expr kept = wide(value_of(count));
  const auto strips = [&](const std::function<Stmt(const Strip &, const KeptEntries &)> &body) {
    const Loop s("s");
    const Expr first = s.value * number(group.maximum),
               here = min(number(group.maximum), group.length - first);
    const StoragePtr list = make_tile(index.name + ".list", int32),
                     marks = make_tile(index.name + ".mark", boolean),
                     partial =
                         group.has_partial ? make_tile(index.name + ".partial", boolean) : nullptr;
    const Strip strip{group.group, s.value,       group.start, first,
                      here,        group.maximum, marks,       partial};
    std::vector<std::pair<StoragePtr, std::int64_t>> tiles{{marks, group.maximum},
                                                           {list, group.maximum}};
    if (partial) tiles.emplace_back(partial, group.maximum);
    return serial(
        s, ceil_div(group.length, group.maximum),
        with_tiles(tiles, ir::make_block(
                              {group.load(strip), ir::make<ir::Compact>(list, count, marks, here),
                               body(strip, {kept, value_of(next), list, index.capacity})})));
  };
  const Expr all = value_of(total), entry = value_of(before), taken = rounded(index, all);
  std::vector<Stmt> stmts{
      set(total, {}, number(0)),
      strips([&](const Strip &, const KeptEntries &) { return add(total, kept); }),
      ir::make<ir::SumBefore>(before, index.progress, number(0), group.group, taken),
      set(next, {}, entry),
      strips([&](const Strip &strip, const KeptEntries &entries) {
        return ir::make_block({store_entries(index, strip, entries), add(next, kept)});
      }),
      set(index.offsets, group.group, inside(index, entry)),
      pad(index, entry + all, entry + taken)};
  if (index.counts) stmts.push_back(set(index.counts, group.group, cast(int32, all)));
  stmts.push_back(finish(index, group.group, entry + taken));
  return with_tiles({{count, 0}, {total, 0}, {before, 0}, {next, 0}}, ir::make_block(stmts));
}

}  // namespace pit::lower
