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

/// The innermost of nested parallel loops becomes the outermost: a block's group has strips that
/// have begun long before, and it rarely waits for them.
Stmt strips_outside(const Stmt &loops) {
  std::vector<const ir::For *> nest;
  Stmt body = loops;
  while (const auto *loop = body.as<ir::For>()) {
    if (loop->loop_kind != ir::ForKind::Parallel) break;
    nest.push_back(loop);
    body = loop->body;
  }
  if (nest.empty()) return loops;
  std::rotate(nest.begin(), nest.end() - 1, nest.end());
  for (auto it = nest.rbegin(); it != nest.rend(); ++it)
    body = ir::make<ir::For>((*it)->var, (*it)->min, (*it)->extent, (*it)->loop_kind, body);
  return body;
}

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
  const std::vector<Expr> room{constant(candidates)};
  if (packs_columns(index)) {
    const StoragePtr &values = index.values;
    strip.marked.operand = ir::make_storage(values->name + ".strip", values->type, 2, Space::Tile);
  }
  Stmt inside = body(strip);
  if (strip.marked.operand) {
    inside = ir::make<ir::Allocate>(
        strip.marked.operand, std::vector<Expr>{constant(rows_of_values(index)), room[0]}, inside);
  }
  if (strip.partial) inside = ir::make<ir::Allocate>(strip.partial, room, inside);
  inside = ir::make<ir::Allocate>(strip.marks, room, inside);
  return ir::make<ir::For>(number, zero, strips_of(index, length), kind, inside);
}

/// Why the groups of an index follow each other closely; empty: each has room for all candidates.
std::string Emitter::why_close(const IndexPlan &index) const {
  if (!on_gpu()) return "a CPU places them so";
  if (index.kind == IndexKind::Keyed) return "positions are sorted by their keys";
  if (index.kind == IndexKind::Range) return "positions of a group are contiguous";
  if (index.kind == IndexKind::Given) return "the lists are the caller's";
  if (index.data_dependent_range) return "how many candidates a group has is data";
  if (index.exact) return "its lists are seen";
  if (index.totalled) return "a condition asks how much is kept";
  if (index.node->capacity.defined()) return "its capacity is declared";
  return {};
}

/// Whether entries of a group ascend. Who sees the lists sees them so: a schedule changes no
/// result.
bool Emitter::stays_ordered(const IndexPlan &index) const {
  return index.node->ordered || !on_gpu() || order_is_seen(*plan_, index);
}

/// What becomes of the permission to list entries in any order.
void Emitter::explain_order(const IndexPlan &index) const {
  if (index.node->ordered) return;
  const std::string name = "index " + index.name();
  if (index.kind == IndexKind::Given) return plan_->explain(name, "order", "the caller's");
  std::string why;
  if (!on_gpu() || index.kind == IndexKind::Range)
    why = why_close(index);
  else if (stays_ordered(index))
    why = "its order is seen";
  else if (index.kind == IndexKind::List && !takes_any_place(placed_index(index)))
    why = spacing_of(index).defined() ? "one block lists a group" : why_close(index);
  plan_->explain(name, "order",
                 why.empty() ? "any: blocks take places as they come"
                             : "ascending, though any is allowed: " + why);
}

/// Where nobody asks for the whole of the lists, and there is room for all candidates, the entries
/// of a group stand where they would if all candidates were kept: its blocks need not wait for
/// other groups'.
Expr Emitter::spacing_of(const IndexPlan &index) const {
  if (!why_close(index).empty()) return {};
  const Expr align = constant(index.node->align);
  return index.node->align == 1 ? index.length
                                : (index.length + constant(index.node->align - 1)) / align * align;
}

/// At least one, so that a group without candidates has a block too.
Expr Emitter::strips_of(const IndexPlan &index, const Expr &length) const {
  const std::int64_t candidates = candidates_in_strip(index);
  return max((length + constant(candidates - 1)) / constant(candidates), constant(1));
}

PlacedIndex Emitter::placed_index(const IndexPlan &index) const {
  return {.name = index.name(),
          .groups = index.groups,
          .micro = constant(index.micro),
          .strips = index.data_dependent_range ? constant(1) : strips_of(index, index.length),
          .capacity = index.node->capacity.defined() ? index.capacity : Expr(),
          .spacing = spacing_of(index),
          .align = index.node->align,
          .ordered = stays_ordered(index),
          .first = index.first,
          .offsets = index.offsets,
          .counts = index.counts,
          .coordinates = index.coordinates,
          .position = index.length.defined() && is_zero(index.length) ? nullptr : index.position,
          .full = index.full};
}

/// On a GPU: one kernel reads the operand, and each block places what it has marked, and packs the
/// values where they are wanted.
Stmt Emitter::emit_placed_marks(IndexPlan *index) {
  Scope scope;
  Expr number;
  PlacedIndex placed = placed_index(*index);
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
            pack = [&](const KeptEntries &kept) { return pack_values(*index, scope, strip, kept); };
          }
          return ir::make_block(
              {load_operand(*index, scope, strip),
               emit_marks_of_strip(*index, scope, {strip.marks, constant(0), strip.partial},
                                   strip.marked),
               place_strip(placed, where, pack)});
        });
  });
  return with_progress(placed, placed.spacing.defined() ? strips_outside(loops) : loops);
}

/// A strip is a few hundred positions long, whole lines of memory, and has some ten thousand
/// iterations to test; it is no longer than what its block has memory to list, and its part of an
/// operand that is packed no larger than what lets some blocks run beside each other.
std::int64_t Emitter::candidates_in_strip(const IndexPlan &index) const {
  constexpr std::int64_t kIterations = 32768, kShortest = 256, kMostCandidates = 8192;
  if (index.mark_stage) return kMarkedStrip;
  if (packs_columns(index)) {
    constexpr std::int64_t kBytes = 65536, kLine = 64;
    const std::int64_t row = kBytes / (rows_of_values(index) * index.values->type.bytes());
    return std::clamp(row & -kLine, kLine, kMostCandidates);
  }
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

std::int64_t Emitter::rows_of_values(const IndexPlan &index) {
  return index.group.empty() ? 1 : index.group.back().micro;
}

/// Whether what `store_values` keeps lies across the rows of the operand: then a block has its
/// strip of the operand in a tile, which it marks and packs from. Otherwise an entry's values are
/// part of a row, which are copied as they are.
bool Emitter::packs_columns(const IndexPlan &index) {
  const Expr access = index.values ? stored_access(index) : Expr();
  const auto *load = access.defined() ? access.as<Load>() : nullptr;
  return load && uses(load->indices.back(), index.axis);
}

/// The strip's part of the operand, read once.
Stmt Emitter::load_operand(const IndexPlan &index, const Scope &scope, const GpuStrip &strip) {
  if (!strip.marked.operand) return {};
  const StoredRows stored = stored_rows(index, scope);
  const build::Axis lane("lane", stored.rows, stored.micro),
      position("p", strip.marked.extent, strip.marked.maximum);
  return build::over(
      {lane, position},
      {ir::make<ir::Store>(
          std::vector<VarPtr>{lane.binding.var, position.binding.var}, std::vector<Expr>{},
          strip.marked.operand, std::vector<Expr>{lane.value, position.value}, Combiner::Assign,
          operand_at(index, scope, stored, {lane, position}, strip.first + position.value))});
}

/// The operand's element in the row of the first axis, at a position.
Expr Emitter::operand_at(const IndexPlan &index, const Scope &scope, const StoredRows &stored,
                         const std::vector<build::Axis> &axes, const Expr &position) {
  Scope inside = scope;
  for (const build::Axis &axis : axes) inside.axes.push_back(axis.binding);
  if (!index.group.empty()) inside.to[0] = inside.to[0] + axes[0].value;
  inside.from.push_back(index.axis);
  inside.to.push_back(lower_expr(index.axis_range.min, scope) + position);
  return lower_expr(stored.access, inside);
}

/// values[entry][lane] of a strip's entries.
Stmt Emitter::pack_values(const IndexPlan &index, const Scope &scope, const GpuStrip &strip,
                          const KeptEntries &kept) {
  const StoredRows stored = stored_rows(index, scope);
  const build::Axis lane("lane", stored.rows, stored.micro),
      entry("entry", kept.count, strip.marked.maximum);
  const Expr candidate = to_int64(make_load(kept.list, {entry.value})),
             to = kept.entry + entry.value;
  const Expr value = strip.marked.operand
                         ? make_load(strip.marked.operand, {lane.value, candidate})
                         : operand_at(index, scope, stored, {lane, entry}, strip.first + candidate);
  std::vector<Expr> guards;
  if (kept.capacity.defined()) guards.push_back(to < kept.capacity);
  return build::over({entry, lane},
                     {ir::make<ir::Store>(std::vector<VarPtr>{entry.binding.var, lane.binding.var},
                                          guards, index.values, std::vector<Expr>{to, lane.value},
                                          Combiner::Assign, value)});
}

}  // namespace pit::lower
