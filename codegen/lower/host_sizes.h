// Sizes that are known before any memory is read.
//
// Memory of a GPU is allocated by the host, which does not wait for what tensors on the device
// hold. Where a size is data, its worst case takes its place; a test on the device says when data
// need more.
#pragma once

#include "plan.h"

namespace pit::lower {

/// An upper bound that reads no memory. `proven`: data that need more are out of a tensor's range
/// on any target; otherwise predicates may keep them from being read.
struct SizeBound {
  Expr value;  ///< undefined: there is none
  bool proven = false;
};

/// Bounds where variable `v` of `def` ends, and with it how many positions from 0 it takes, by the
/// extents of the tensors and stages that `v` alone indexes.
SizeBound end_from_shapes(const Plan &plan, const PlannedDefinition &def, const VarPtr &v);

/// Sets what a GPU target needs of an index whose sizes are data: IndexPlan::length or
/// most_candidates. CompileError when no shape says them and no capacity is declared.
void bound_index(Plan *plan, IndexPlan *index);

}  // namespace pit::lower
