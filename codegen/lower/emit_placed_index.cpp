// Lists that a GPU builds in one kernel: each block marks a strip of candidates in tiles, places
// what is kept of them, and packs the values where they are wanted.

#include <algorithm>
#include <numeric>

#include "emit.h"
#include "interval.h"
#include "place_strip.h"
#include "statements.h"

namespace pit::lower {

using ir::Stmt;

namespace {

Expr constant(std::int64_t c) { return make_int(int64, c); }

}  // namespace

/// Loops over strips of a group's candidates, each with tiles for its marks.
Stmt Emitter::for_strips(const IndexPlan &index, const Expr &extent, const Expr &length,
                         ir::ForKind kind, const std::function<Stmt(const GpuStrip &)> &body) {
  const std::int64_t candidates = candidates_in_strip(index);
  const VarPtr number = ir::make_loop_variable("strip");
  const Expr first = make_variable(number) * constant(candidates),
             base = first * constant(index.micro), zero = constant(0);
  GpuStrip strip{make_variable(number),
                 first,
                 build::make_tile(index.name() + ".mark", boolean),
                 index.full ? build::make_tile(index.name() + ".partial", boolean) : StoragePtr(),
                 {base, max(min(constant(candidates * index.micro), extent - base), zero),
                  max(min(constant(candidates), length - first), zero), candidates}};
  Stmt inside = body(strip);
  const std::vector<Expr> room{constant(candidates)};
  if (strip.partial) inside = ir::make<ir::Allocate>(strip.partial, room, inside);
  inside = ir::make<ir::Allocate>(strip.marks, room, inside);
  return ir::make<ir::For>(number, zero, strips_of(index, length), kind, inside);
}

/// At least one, so that a group without candidates has a block too.
Expr Emitter::strips_of(const IndexPlan &index, const Expr &length) const {
  const std::int64_t candidates = candidates_in_strip(index);
  return max((length + constant(candidates - 1)) / constant(candidates), constant(1));
}

/// On a GPU: one kernel reads the operand, and each block places what it has marked, and packs the
/// values where they are wanted.
Stmt Emitter::emit_placed_marks(IndexPlan *index) {
  Scope scope;
  Expr number;
  PlacedIndex placed{.name = index->name(),
                     .groups = index->groups,
                     .micro = constant(index->micro),
                     .strips = strips_of(*index, index->length),
                     .capacity = index->capacity,
                     .align = index->node->align,
                     .first = index->first,
                     .offsets = index->offsets,
                     .counts = index->counts,
                     .coordinates = index->coordinates,
                     .position = is_zero(index->length) ? nullptr : index->position,
                     .full = index->full};
  make_progress(&placed);
  const Stmt loops = for_groups(*index, &scope, &number, [&] {
    const Expr extent = max(lower_expr(index->axis_range.extent, scope), constant(0));
    return for_strips(
        *index, extent, index->length, ir::ForKind::Parallel, [&](const GpuStrip &strip) {
          const Strip where{number,      strip.number,        number * index->length,
                            strip.first, strip.marked.length, strip.marked.maximum,
                            strip.marks, strip.partial};
          std::function<Stmt(const KeptEntries &)> pack;
          if (index->values) {
            pack = [&](const KeptEntries &kept) {
              return pack_values(*index, scope, strip.first, kept);
            };
          }
          return ir::make_block(
              {emit_marks_of_strip(*index, scope, {strip.marks, constant(0), strip.partial},
                                   strip.marked),
               place_strip(placed, where, pack)});
        });
  });
  return with_progress(placed, loops);
}

/// A strip is a few hundred positions long, whole lines of memory, and has some ten thousand
/// iterations to test; it is no longer than what its block has memory to list.
std::int64_t Emitter::candidates_in_strip(const IndexPlan &index) const {
  constexpr std::int64_t kIterations = 32768, kShortest = 256, kMostCandidates = 4096;
  std::int64_t rows = 1, step = index.micro;
  auto times = [&](std::int64_t n) { rows = std::min(rows * n, kIterations); };
  for (const GroupVar &g : index.group) {
    std::int64_t blocks = 1;  // that the predicates tell apart
    for (const Expr &p : index.predicates)
      blocks = std::max(blocks, g.micro / aligned_step({p}, g.var, g.micro, g.range.min));
    times(blocks);
  }
  for (const ReductionDim &dim : index.covered) {
    std::int64_t c = 0;
    if (is_const_int(dim.extent, &c) && c > 0) times(c);
  }
  if (index.axis_parts.size() > 1) step = 1;
  for (const Expr &p : index.predicates)
    step = std::gcd(step, aligned_step({p}, index.axis, index.micro, index.axis_range.min));
  const std::int64_t positions = std::max(kIterations / rows, kShortest);
  return std::clamp<std::int64_t>(positions / (index.micro / step), 1, kMostCandidates);
}

/// values[entry][lane] of a strip's entries, through a tile, so that both sides are whole lines of
/// memory. The block has just read the operand: it is near.
Stmt Emitter::pack_values(const IndexPlan &index, const Scope &scope, const Expr &first,
                          const KeptEntries &kept) {
  constexpr std::int64_t kTileBytes = 32768;
  const StoredRows stored = stored_rows(index, scope);
  const std::int64_t bytes = index.values->type.bytes(),
                     most = std::clamp<std::int64_t>(kTileBytes / (stored.micro * bytes), 16, 256);
  // One bank more a row: neither reading nor writing along a column meets one bank twice.
  const std::int64_t room = most + std::max<std::int64_t>(4 / bytes, 1);
  const build::Loop piece("piece");
  const Expr begin = piece.value * constant(most);
  const build::Axis lane("lane", stored.rows, stored.micro),
      entry("entry", min(constant(most), kept.count - begin), most);
  const StoragePtr tile =
      ir::make_storage(index.values->name + ".tile", index.values->type, 2, Space::Tile);
  Scope inside = scope;
  inside.axes = {lane.binding, entry.binding};
  if (!index.group.empty()) inside.to[0] = inside.to[0] + lane.value;
  inside.from.push_back(index.axis);
  inside.to.push_back(lower_expr(index.axis_range.min, scope) + first +
                      to_int64(make_load(kept.list, {begin + entry.value})));
  const std::vector<Expr> at{lane.value, entry.value};
  const Expr to = kept.entry + begin + entry.value;
  const std::vector<VarPtr> along_rows{lane.binding.var, entry.binding.var},
      along_entries{entry.binding.var, lane.binding.var};
  const std::vector<Stmt> copies{
      ir::make<ir::Store>(along_rows, std::vector<Expr>{}, tile, at, Combiner::Assign,
                          lower_expr(stored.access, inside)),
      ir::make<ir::Store>(along_entries, std::vector<Expr>{to < index.capacity}, index.values,
                          std::vector<Expr>{to, lane.value}, Combiner::Assign,
                          make_load(tile, at))};
  return build::serial(
      piece, build::ceil_div(kept.count, most),
      ir::make<ir::Allocate>(tile, std::vector<Expr>{constant(stored.micro), constant(room)},
                             build::over({lane, entry}, copies)));
}

}  // namespace pit::lower
