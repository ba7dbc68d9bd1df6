// Boxes that the tensor memory accelerator copies: what host and kernel must agree on. Analysis of
// the IR only.
#pragma once

#include <cstdint>
#include <vector>

#include "codegen/ir/staged.h"

namespace pit::cuda {

/// A Bulk copy as instructions make it: `parts` boxes, each of one line of the swizzle in every
/// row.
struct BulkBox {
  std::vector<std::int32_t> sizes;  ///< of a box, a dimension of the source each
  std::vector<Expr> extents;        ///< of the source, where guards say so; else null
  std::vector<Expr> conditions;     ///< other guards: of the whole copy
  std::int64_t parts;
  int swizzle;  ///< bytes of a line
};

/// `tile` allocates the copy's storage; `blocks`: of the cluster, 1 without one.
BulkBox bulk_box(const ir::Copy &copy, const ir::Allocate &tile, std::int64_t blocks);

}  // namespace pit::cuda
