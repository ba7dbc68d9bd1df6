// The operands of an Mma: which plays which part, and from where they are packed. Analysis of the
// IR only.
#pragma once

#include <unordered_map>
#include <vector>

#include "atoms.h"
#include "codegen/ir/ir.h"
#include "machine.h"

namespace pit::host {

/// An Mma seen by a micro-kernel: `rows` come from operand `left`, one unit at a time; `columns`
/// from operand `right`, in vectors. The accumulator's innermost axis is a column whenever it is
/// not a batch axis, so m and n may have changed places.
struct MmaRoles {
  ir::TileOperand left, right;
  std::vector<VarPtr> rows, columns;
};
MmaRoles roles_of(const ir::Mma &mma);

/// True when micro-kernels compute the Mma: its accumulator has columns, and more than a few. Else
/// it is loops.
bool has_kernel(const ir::Mma &mma,
                const std::unordered_map<const VarNode *, std::int64_t> &bounds);

/// Tiles that need not be stored: one Store makes each of them, and all that it is for is to be an
/// operand of one Mma behind it, whose packing computes the Store's value itself. A copy less: an
/// SRead *is* the packing.
std::unordered_map<const StorageNode *, const ir::Store *> find_packed_operands(
    const ir::Stmt &body);

/// The types that meet in the Mma.
MmaTypes types_of(const ir::Mma &mma);

}  // namespace pit::host
