// Which statements the holders of a fragment's elements can execute.
#pragma once

#include <map>
#include <string>

#include "codegen/ir/ir.h"

namespace pit::lower {

/// Tiles that are fragments: their layouts, and the extents they have.
struct FragmentTile {
  ir::Layout layout;
  ir::Coordinates extents;
  bool operator==(const FragmentTile &) const = default;
};
using FragmentTiles = std::map<const StorageNode *, FragmentTile>;

/// Empty when every statement of `body` that names a fragment, Mmas apart, goes over its rows and
/// columns element by element, each of which the thread that holds it can compute and store alone,
/// or over its rows; or reduces the elements of a row, which one warp has, to a value of the row.
/// Else why not, in words.
std::string fragment_use_error(const ir::Stmt &body, const FragmentTiles &fragments);

}  // namespace pit::lower
