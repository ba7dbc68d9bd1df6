// What multiplies matrices on a GPU: the instructions that kernels of the staged level are made
// for.
#pragma once

#include <cstdint>
#include <string>

#include "codegen/ir/layout.h"
#include "dsl/target.h"
#include "dsl/type.h"

namespace pit::lower {

/// A family of matrix instructions. Accumulators are fragments of float32 in registers, operands
/// tiles of two dimensions, of one 2-byte type, in shared memory; the left one may be a fragment.
struct MatrixUnit {
  const char *name;     ///< "wgmma"
  const char *feature;  ///< of the targets that have it
  /// Issued by whole warpgroups and under way while the threads go on: producers have warps of
  /// their own.
  bool asynchronous;
  std::int64_t rows, depth, columns;  ///< of the smallest instruction
  std::int64_t shared_bytes;          ///< that a block can have
  int registers;                      ///< of a multiprocessor

  bool multiplies(Type a, Type b, Type accumulator) const;
};

/// The instructions that the kernels of a target are made for, or null: it has none here, and its
/// kernels multiply by threads.
const MatrixUnit *matrix_unit_of(const Target &target);

/// One operand of a product, as it lies in shared memory.
struct OperandInMemory {
  ir::Layout layout;
  ir::Coordinates extents;
  int k;  ///< the dimension that is summed over
};

/// Empty when the warps of `accumulator`'s layout multiply a (null: a fragment in their registers)
/// by b with the unit's instructions; else why not, in words that end a sentence.
std::string cannot_multiply(const MatrixUnit &unit, const ir::Layout &accumulator,
                            const ir::Coordinates &accumulator_extents, const OperandInMemory *a,
                            const OperandInMemory &b);

}  // namespace pit::lower
