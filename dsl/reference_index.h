// Sparse indices by definition: per group, the micro-tiles in which some iteration passes the
// predicates.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "reference_expr.h"
#include "schedule.h"

namespace pit::reference {

/// A variable and its range.
struct RangedVar {
  VarPtr var;
  std::int64_t min = 0, extent = 0;
  std::int64_t micro = 1;
};

/// The lists of one index. Groups are row-major over the group's coordinates; entries ascend within
/// a group.
struct IndexLists {
  std::vector<std::int64_t>
      offsets;  ///< groups + 1; offsets[g + 1] - offsets[g] is counts[g] padded to `align`
  std::vector<std::int64_t> counts;       ///< kept micro-tiles of each group
  std::vector<std::int64_t> coordinates;  ///< element coordinates on the axis; -1 is padding
  std::int64_t kept = 0, candidates = 0;

  std::vector<RangedVar> group;  ///< coordinates of a group; empty for keys and segments
  std::vector<RangedVar>
      axis;  ///< the variables a fused axis is made of, outermost first; else the axis
  std::int64_t micro = 1;  ///< of the axis

  std::int64_t groups() const { return static_cast<std::int64_t>(counts.size()); }
  std::int64_t axis_extent() const;
  /// Place in the lists of the kept micro-tile that holds axis coordinate `coordinate` of group
  /// `g`, or -1.
  std::int64_t position(std::int64_t g, std::int64_t coordinate) const;
};

/// The range of a Func's dimension, found from outside: outputs, bounds, the tensors that it
/// indexes.
using DimensionExtent = std::function<RangedVar(const FuncNode &func, int dimension)>;

/// Builds the lists of `index`. `groups`: their number for an index with a key; -1 = the largest
/// key + 1.
template <class V>
IndexLists build_index(const IndexNode &index, const std::vector<Directive> &directives,
                       std::int64_t groups, const DimensionExtent &extent_of,
                       Environment<V> &environment);

}  // namespace pit::reference
