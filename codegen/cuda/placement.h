// Where the memory lies that a kernel allocates. Analysis of the IR only.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "codegen/ir/staged.h"

namespace pit::cuda {

enum class Place {
  Local,      ///< registers or local memory of each thread
  Shared,     ///< shared memory of the block
  Workspace,  ///< the block's part of a workspace in global memory
  Fragment,   ///< a part in the registers of each thread, by the tile's layout
  Lanes,      ///< spread over the lanes of each warp, which all have all of it
};

/// Places of the Allocates of one kernel.
struct Placement {
  struct Entry {
    Place place;
    std::int64_t offset = 0;  ///< Shared: in bytes
    std::int64_t pitch = 0;   ///< of a buffered tile: bytes from one buffer to the next
  };
  std::unordered_map<const ir::Allocate *, Entry> entries;
  std::unordered_map<const ir::BarrierNode *, std::int64_t> barriers;  ///< offsets
  std::int64_t shared_bytes = 0;
  std::vector<const ir::Allocate *> in_workspace;  ///< in the order of the body
};

/// Alignment of shared and workspace memory, in bytes: what the widest copy and swizzle want.
inline constexpr std::int64_t kAlignment = 128;
/// That of swizzled tiles.
inline constexpr std::int64_t kSwizzleAlignment = 1024;

/// Scalars and whatever a thread loop allocates are local. A tile of constant size lies in shared
/// memory as far as `shared_bytes` reach, where tiles that do not live at the same time share
/// places; everything else is in the workspace. Tiles of the staged level are where they were
/// placed. Those in registers that no layout distributes and that are no scalars are in the lanes
/// of each warp when they are short lists of 4-byte numbers that copies, other such lists and
/// statements over rows of fragments read, and else in shared memory, for the threads of their
/// role, which do not share places with another role. The buffers that tiles allocated together
/// have for the same slot lie together.
Placement place_memory(const ir::Launch &launch, std::int64_t shared_bytes);

}  // namespace pit::cuda
