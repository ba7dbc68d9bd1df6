// Sizes of what an index lists, and on a GPU the bounds that stand for those that are data.

#include "dsl/error.h"
#include "emit.h"
#include "interval.h"

namespace pit::lower {

namespace {

Expr constant(std::int64_t c) { return make_int(int64, c); }

}  // namespace

/// Candidate micro-tiles of all groups: of a keyed index positions.
Expr Emitter::candidates_of(const IndexPlan &index) {
  if (index.data_dependent_range) return make_load(index.starts, {index.groups});
  Expr length = index.length;
  if (index.length_is_bound) {
    length =
        (max(lower_expr(index.axis_range.extent, {}), constant(0)) + constant(index.micro - 1)) /
        constant(index.micro);
  }
  return index.kind == IndexKind::Keyed ? length : index.groups * length;
}

/// What a storage in the order of the index has room for: its entries, or as many as its lists can
/// hold when memory is allocated before they are built.
Expr Emitter::entries_of(const IndexPlan &index) {
  if (!on_gpu()) return index_load(index.offsets, index.groups);
  return index.kind == IndexKind::Given ? make_extent(index.coordinates, 0) : index.capacity;
}

/// Where sizes are bounds, data must keep them.
void Emitter::emit_fits_bound(const IndexPlan &index) {
  Expr most = index.most_candidates;
  if (index.length_is_bound)
    most = index.kind == IndexKind::Keyed ? index.length : index.groups * index.length;
  if (!most.defined()) return;
  const Expr candidates = candidates_of(index);
  append(ir::make<ir::Stage>(
      index.name(), ir::StageKind::Check,
      ir::make<ir::Check>(std::vector<VarPtr>{}, std::vector<Expr>{}, candidates <= most,
                          "index " + index.name() +
                              " has {0} candidate micro-tiles, but the shapes of tensors make room "
                              "for {1}: declare how many there are at most with capacity(n)",
                          std::vector<Expr>{candidates, most})));
}

/// Coordinates of the axis that memory of a GPU has room for.
Range Emitter::domain_of(const IndexPlan &index) {
  if (!index.data_dependent_range && !reads_data(index.axis_range.min + index.axis_range.extent))
    return index.axis_range;
  if (index.axis_end.defined()) return {constant(0), index.axis_end};
  throw CompileError("index " + index.name() + " is given, the range of " + index.axis->name +
                         " is data, and memory of a GPU is allocated before any is read; bound the "
                         "range by a shape, e.g. min(n(g), A.extent(1))",
                     index.node->where);
}

}  // namespace pit::lower
