#include "strip.h"

#include <algorithm>
#include <iterator>

namespace pit::ir {

std::string strip_error(const Placement &placement, const Coordinates &extents, int warps,
                        int element_bytes) {
  if (placement != Placement{Memory::Shared}) return "is no row-major tile in shared memory";
  if (element_bytes != 2 && element_bytes != 4) return "has elements of other than 2 or 4 bytes";
  const bool is_strip =
      std::any_of(std::begin(kStripColumns), std::end(kStripColumns),
                  [&](std::int64_t columns) { return extents == strip_extents(warps, columns); });
  if (is_strip) return "";
  return "is not of " + std::to_string(warps) + " warps, 16 rows, and 32, 64 or 128 columns and 8";
}

}  // namespace pit::ir
