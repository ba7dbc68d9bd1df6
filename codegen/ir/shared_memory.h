// How much memory of a block the tiles of a kernel take.
#pragma once

#include <cstdint>

#include "ir.h"

namespace pit::ir {

/// The most bytes of shared memory that the barriers and placed tiles of a kernel, or of a part of
/// one, take at a time: what lives in different roles lives at once, other parts take turns. Tiles
/// in registers that no fragment layout spreads count too: the threads of a role share them.
std::int64_t shared_bytes(const Stmt &kernel);

}  // namespace pit::ir
