// Strips: shared memory by which accumulators go from registers to memory.
#pragma once

#include <cstdint>
#include <string>

#include "layout.h"

namespace pit::ir {

/// A strip is a shared tile [warps][16][columns + 8], row-major: each warp passes 16 rows of its
/// part of an accumulator through its own, so many columns at a time, and waits for no other. The
/// last eight columns hold nothing. They keep what a warp accesses together in different banks:
/// eight rows of eight 2-byte elements, as stmatrix stores them, and four rows of eight 4-byte
/// elements, as a half of the warp does.
inline constexpr std::int64_t kStripRows = 16, kStripPadding = 8;
/// The columns at a time.
inline constexpr std::int64_t kStripColumns[] = {128, 64, 32};

inline Coordinates strip_extents(int warps, std::int64_t columns) {
  return {warps, kStripRows, columns + kStripPadding};
}

/// Empty when a tile of these extents and this layout is a strip of so many warps; else why not.
std::string strip_error(const Placement &placement, const Coordinates &extents, int warps,
                        int element_bytes);

}  // namespace pit::ir
