#include "place_strip.h"

#include <utility>
#include <vector>

#include "statements.h"

// One read of the candidates, one kernel: where a strip's entries stand depends on how many the
// strips before it keep, which their blocks tell while they run. Where groups are spaced only those
// of its group matter. Elsewhere an aligned index rounds up the entries of a group: its last strip
// says, besides what it keeps, what the padding takes, and for that it sums inside the group first.
// Without an order a block waits for none: one atomic operation takes its places (see Taking).

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
Stmt finish(const PlacedIndex &index, const Expr &is_last, const Expr &total) {
  std::vector<Stmt> stmts{set(index.offsets, index.groups, inside(index, total))};
  if (index.capacity.defined()) {
    stmts.push_back(ir::make<ir::Check>(
        std::vector<VarPtr>{}, std::vector<Expr>{}, total <= index.capacity,
        "sparse index '" + index.name + "': {0} entries are needed and the capacity is {1}",
        std::vector<Expr>{total, index.capacity}));
  }
  return ir::make<ir::If>(is_last, ir::make_block(stmts));
}

/// Parts that take places in one room: those of a group with room of its own, or all.
Expr parts_of_room(const PlacedIndex &index) {
  return index.spacing.defined() ? index.strips : parts_of(index);
}

/// How parts take places in a room. One word says how many places are taken, and above them how
/// many parts have come: who comes last learns it from the same atomic operation, and with it how
/// many entries there are. No device has memory for 2^40 candidates; parts are counted modulo 2^24.
struct Taking {
  static constexpr std::int64_t kPart = std::int64_t{1} << 40, kParts = std::int64_t{1} << 24;
  StoragePtr came;

  explicit Taking(const PlacedIndex &index) : came(make_tile(index.name + ".taken", int64, 0)) {}
  Stmt take(const PlacedIndex &index, const Expr &room, const Expr &entries) const {
    return fetch_add({}, {}, came, {}, index.progress, room, entries + number(kPart));
  }
  /// Entries that others took before.
  Expr before() const { return value_of(came) % number(kPart); }
  Expr is_last(const Expr &parts) const {
    return (value_of(came) / number(kPart) - (parts - number(1))) % number(kParts) == number(0);
  }
};

}  // namespace

bool takes_any_place(const PlacedIndex &index) {
  if (index.ordered) return false;
  const bool one = has_one_strip(index);
  return index.spacing.defined() ? !one : one || is_one(index.groups);
}

void make_progress(PlacedIndex *index) {
  const bool one = has_one_strip(*index), any = takes_any_place(*index);
  if (index->spacing.defined() && one) return;
  index->progress =
      ir::make_storage(index->name + (any ? ".places" : ".progress"), int64, 1, Space::Heap);
  if (index->align > 1 && !one && !any && !index->spacing.defined())
    index->group_progress = ir::make_storage(index->name + ".in_group", int64, 1, Space::Heap);
}

Stmt with_progress(const PlacedIndex &index, const Stmt &body) {
  const Expr parts = parts_of(index);
  const Loop i("i");
  const bool spaced = index.spacing.defined(), any = takes_any_place(index);
  const Expr words = !any ? parts : spaced ? index.groups : number(1);
  std::vector<Stmt> zero;
  for (const StoragePtr &progress : {index.progress, index.group_progress}) {
    if (progress) zero.push_back(set(progress, i.value, number(0)));
  }
  std::vector<Stmt> clear;
  if (!zero.empty()) clear.push_back(ir::make<ir::If>(i.value < words, ir::make_block(zero)));
  clear.push_back(
      spaced ? ir::make<ir::If>(i.value <= index.groups,
                                set(index.offsets, i.value, cast(int32, i.value * index.spacing)))
             : ir::make<ir::If>(i.value == index.groups, set(index.offsets, i.value, number32(0))));
  if (index.counts && !has_one_strip(index) && !spaced && !any) {
    clear.push_back(
        ir::make<ir::If>(i.value < index.groups, set(index.counts, i.value, number32(0))));
  }
  const Expr points = (any ? index.groups : parts) + number(1);
  Stmt result = ir::make_block({parallel(i, points, ir::make_block(clear)), body});
  for (const StoragePtr &progress : {index.group_progress, index.progress}) {
    if (progress)
      result = ir::make<ir::Allocate>(progress, std::vector<Expr>{max(words, number(0))}, result);
  }
  return result;
}

namespace {

/// place_strip where strips take places as they come.
Stmt place_anywhere(const PlacedIndex &index, const Strip &strip,
                    const std::function<Stmt(const KeptEntries &)> &more) {
  const StoragePtr list = make_tile(index.name + ".list", int32),
                   count = make_tile(index.name + ".count", int32, 0),
                   first = make_tile(index.name + ".before", int64, 0);
  const Taking taking(index);
  const bool one = has_one_strip(index), spaced = index.spacing.defined();
  const Expr kept = wide(value_of(count)), entry = value_of(first),
             is_last = taking.is_last(parts_of_room(index)),
             room = spaced ? strip.group : number(0),
             start = spaced ? strip.group * index.spacing : number(0);
  const KeptEntries entries{kept, entry, list, index.capacity};
  std::vector<Stmt> stmts{ir::make<ir::Compact>(list, count, strip.marks, strip.length),
                          // Groups bring their padding; that of a group of several strips stands
                          // behind the last that comes.
                          taking.take(index, room, one ? rounded(index, kept) : kept),
                          set(first, {}, start + taking.before()),
                          store_entries(index, strip, entries)};
  if (more) stmts.push_back(more(entries));
  const Expr of_group = one ? kept : entry - start + kept,
             end = one ? entry + rounded(index, kept) : start + rounded(index, of_group);
  std::vector<Stmt> at_end{pad(index, entry + kept, end)};
  if (!spaced)
    at_end.push_back(set(index.offsets, strip.group, inside(index, one ? entry : start)));
  if (index.counts) at_end.push_back(set(index.counts, strip.group, cast(int32, of_group)));
  const Stmt group_ends = ir::make_block(at_end);
  stmts.push_back(one || !group_ends.defined() ? group_ends
                                               : ir::make<ir::If>(is_last, group_ends));
  if (!spaced) stmts.push_back(finish(index, is_last, end));
  return with_tiles({{list, strip.maximum}, {count, 0}, {first, 0}, {taking.came, 0}},
                    ir::make_block(stmts));
}

}  // namespace

Stmt place_strip(const PlacedIndex &index, const Strip &strip,
                 const std::function<Stmt(const KeptEntries &)> &more) {
  if (takes_any_place(index)) return place_anywhere(index, strip, more);
  const StoragePtr list = make_tile(index.name + ".list", int32),
                   count = make_tile(index.name + ".count", int32, 0),
                   before = make_tile(index.name + ".before", int64, 0),
                   in_group = make_tile(index.name + ".group_before", int64, 0);
  const bool one = has_one_strip(index), spaced = index.spacing.defined();
  const Expr kept = wide(value_of(count)), first_part = strip.group * index.strips,
             part = first_part + strip.number, entry = value_of(before);
  const Expr is_last = strip.number == index.strips - number(1);
  std::vector<Stmt> stmts{ir::make<ir::Compact>(list, count, strip.marks, strip.length)};
  const StoragePtr &told_in_group = spaced ? index.progress : index.group_progress;
  Expr taken = rounded(index, kept);  // entries, with padding
  Expr of_group = kept;               // kept ones up to here
  if (told_in_group) {
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
  if (index.counts && (one || told_in_group)) {
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
  if (!spaced) stmts.push_back(finish(index, part == parts_of(index) - number(1), entry + taken));
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
  const Taking taking(index);
  const bool any = takes_any_place(index);
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
      any ? ir::make_block({taking.take(index, number(0), taken), set(before, {}, taking.before())})
          : ir::make<ir::SumBefore>(before, index.progress, number(0), group.group, taken),
      set(next, {}, entry),
      strips([&](const Strip &strip, const KeptEntries &entries) {
        return ir::make_block({store_entries(index, strip, entries), add(next, kept)});
      }),
      set(index.offsets, group.group, inside(index, entry)),
      pad(index, entry + all, entry + taken)};
  if (index.counts) stmts.push_back(set(index.counts, group.group, cast(int32, all)));
  const Expr parts = parts_of(index);
  stmts.push_back(
      finish(index, any ? taking.is_last(parts) : group.group == parts - number(1), entry + taken));
  std::vector<std::pair<StoragePtr, std::int64_t>> tiles{
      {count, 0}, {total, 0}, {before, 0}, {next, 0}};
  if (any) tiles.emplace_back(taking.came, 0);
  return with_tiles(tiles, ir::make_block(stmts));
}

}  // namespace pit::lower
