// Software pipelining and warp specialisation: from the logical to the staged level.
#pragma once

#include <cstdint>
#include <string>

#include "codegen/ir/ir.h"
#include "matrix_units.h"

namespace pit::lower {

/// What the schedule and the target say of one kernel.
struct PipelineOptions {
  int stages = 2;          ///< software_pipeline(loop, n): buffers of each operand
  int producer_warps = 0;  ///< warp_specialize; 0: all warps of the block copy and multiply
  int consumer_warpgroups = 0;
  /// Bytes of one asynchronous copy that the tensors' alignments allow: 16, 8, 4, or 0 where they
  /// do not: the threads then copy.
  int copy_bytes = 16;
  /// The tensor memory accelerator copies operands whose accesses are boxes: no coordinate is
  /// looked up for an element. With producer warps.
  bool bulk = false;
  /// So many blocks, whose points are neighbouring rows (see distribute.h), share operands that do
  /// not depend on the row: each copies a part for all. With `bulk`; 1: no clusters.
  int cluster = 1;
  /// Persistent: so many blocks (or clusters) share out the points of the grid and of a parallel
  /// loop that is counted in memory; -1: as many as the device runs at a time; 0: a block each, or
  /// as -1 where there is such a loop.
  std::int64_t persistent_blocks = 0;
  /// The order of a persistent kernel's points (tile_order): so many rows together, column by
  /// column; 1: row by row; 0: all rows together.
  int tile_rows = 16;
  /// Every other time blocks take their points in the opposite order: who had the most work of the
  /// points before has the least of the next ones, where points are sorted.
  bool back_and_forth = false;
  std::int64_t shared_bytes = 227 * 1024;  ///< of a block of the target
  /// The instructions that multiply, whose rules then hold; null: any that the layouts allow.
  const MatrixUnit *unit = nullptr;
};

/// A kernel after the pass, or the kernel as it was and the reason, for explain().
struct PipelineResult {
  ir::Stmt launch;
  std::string reason;  ///< empty: pipelined
  /// Of shared memory, where that is all that the kernel needs and has not; else 0.
  std::int64_t wanted_bytes = 0;
};

/// Rewrites a Launch whose body has one loop of loads and matrix multiplications, around which may
/// be lets, conditions, other loops (over tiles, counts read from memory included), and before and
/// after which may be any statements that need no products or only theirs.
///
/// The operands go to shared memory, `stages` buffers each, in the swizzled layout that their
/// contiguous dimension asks for; the accumulators to fragments. Copies and multiplications are of
/// whole tiles: what lies outside of the valid extents, or where a condition of the load fails, is
/// zero, so remainders are exact and entries past the end of a list read nothing.
///
/// Without producer warps (sm_80): every warp issues the copies of step k + stages - 1 as one
/// group, drains the group of step k, and multiplies synchronously.
///
/// With producer warps (sm_90a): producers and consumers run the same program of lets, conditions
/// and loops; producers do the loads and what these need, one step ahead for the coordinates of
/// gathered accesses, consumers all else. Slots and phases are running values. A buffer is handed
/// over by barriers `full` and `empty`, and released one step late, so that a multiplication is
/// always under way. The block has the warps of both roles. In a
/// cluster, a consumer releases a buffer to the producers of all its blocks, since each of them
/// writes a part of it; a block whose point lies outside of the grid takes part, and reads and
/// writes nothing of its own.
///
/// A step may compute with its sums, element by element and row by row, in the registers where they
/// are, and multiply what it computed (fragment_uses.h); its products are then drained before that.
/// The first product of the next step is made together with the last one of this step where it
/// needs nothing of it. An operand that is loaded before the loop has one buffer, and with producer
/// warps barriers of its own: it is copied behind as many steps as have buffers.
///
/// Runs when Launches, Mmas and the loops of tiles are final and before the back end chooses atoms.
PipelineResult pipeline(const ir::Stmt &launch, const PipelineOptions &options);

}  // namespace pit::lower
