// How tiles lie in memory, and which operand of an Mma plays which part. Analysis of the IR only.
#pragma once

#include <unordered_map>
#include <vector>

#include "atoms.h"
#include "codegen/ir/ir.h"
#include "machine.h"

namespace pit::host {

/// An Mma seen by a micro-kernel: `rows` come from operand `left`, one number at a time; `columns`
/// from operand `right`, in vectors. The accumulator's innermost axis is a column whenever it is
/// not a batch axis, so m and n may have changed places.
struct MmaRoles {
  ir::TileOperand left, right;
  std::vector<VarPtr> rows, columns;
};
MmaRoles roles_of(const ir::Mma &mma);

/// Row-major, or in panels: columns n of an operand `right` in groups of `panel_columns`, and in
/// each panel all [batch..., k...] rows one after the other: what a micro-kernel reads in order. A
/// producer that stores such a tile packs it without a trip through a row-major one.
struct TileLayout {
  Type stored;                 ///< element type in memory: the tile's, or wider
  int panel_columns = 0;       ///< 0 = row-major
  const Atom *atom = nullptr;  ///< that reads the panels
  int column_dimension = -1;
  std::vector<int> k_dimensions{}, batch_dimensions{};
};

/// Layouts of the tiles that are not simply row-major in their own type: those which only Mmas
/// read.
std::unordered_map<const StorageNode *, TileLayout> choose_layouts(const ir::Stmt &body,
                                                                   const Machine &machine);

/// The statically known upper bound of an axis, or 0.
std::int64_t bound_of(const ir::AxisBinding &axis);

}  // namespace pit::host
