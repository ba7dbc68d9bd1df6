// Positions that data gives, looked up once.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `kernel` with what loops of products look up to know where to load from in tiles, as the
/// coordinates of an index are:
///   before   axes j < 64    load j, c: %k[j, c] = K(at(h, s * 64 + j), c)
///   after    axes j < 64    tile %at { load j: %at[j] = at(h, s * 64 + j)
///                                      load j, c: %k[j, c] = K(%at[j], c) }
/// A step's positions are then loaded once, whoever uses them, and while the step before is worked
/// on. Of integers that depend on the step and on one axis, and that some statement reads in every
/// iteration, whatever it finds.
ir::Stmt tile_positions(const ir::Stmt &kernel);

}  // namespace pit::lower
