// Which blocks of a kernel make which of its points, and in which order.
#pragma once

#include "codegen/ir/ir.h"
#include "pipeline.h"

namespace pit::lower {

/// The parallel loop of a kernel whose iterations are points as those of the grid are, but are
/// counted in memory: nothing is around it but lets, axes and conditions. Null when there is none.
const ir::For *parallel_loop(const ir::Launch &launch);

/// The kernel with its points distributed as options.cluster, .persistent_blocks and .tile_rows
/// say. Rows of points are the iterations of parallel_loop, or the first dimension of the grid.
///
/// Clusters are of neighbouring rows. A block whose row lies outside of the grid reads and writes
/// nothing that depends on it.
///
/// Persistent: the grid is of that many blocks (or clusters), each of which makes every so
/// many-th point. Dimensions of the grid on which the number of rows depends become loops around
/// that, and a block goes on from one to the next where all blocks together stopped. Where a
/// block's next point lies is computed behind each.
ir::Stmt distribute(const ir::Launch &launch, const PipelineOptions &options);

}  // namespace pit::lower
