// Loops inside of a kernel that no grid counts.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// The kernel with its loops as one block runs them: a Parallel loop that holds a matrix
/// multiplication becomes Serial.
///
/// Before that, the outermost such loop around which nothing is done but to compute is shared out:
///   before   grid g < G { ... parallel t < count { body } }        // count is in memory
///   after    grid g < G, part < parts {
///              ... for turn < (count - part + parts - 1) / parts { let t = part + turn * parts:
///              body }
/// with as many parts as make `blocks` blocks of the whole grid, so that a device has work however
/// few points there are. The host counts them, from the grid's extents alone.
ir::Stmt share_parallel_loop(const ir::Launch &launch, int blocks);

}  // namespace pit::lower
