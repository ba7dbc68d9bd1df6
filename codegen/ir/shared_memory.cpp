#include "shared_memory.h"

#include <algorithm>
#include <utility>

#include "mutator.h"

namespace pit::ir {
namespace {

constexpr std::int64_t kBarrierBytes = 8, kAlignment = 128, kSwizzleAlignment = 1024;

std::int64_t aligned(std::int64_t bytes, std::int64_t to) { return (bytes + to - 1) / to * to; }

std::int64_t own_bytes(const Stmt &s) {
  if (const auto *barriers = s.as<Barriers>())
    return aligned(barriers->barrier->slots * kBarrierBytes, kAlignment);
  const auto *allocate = s.as<Allocate>();
  if (allocate == nullptr || allocate->placement.memory == Memory::Abstract) return 0;
  const Placement &placement = allocate->placement;
  if (placement.memory == Memory::Registers &&
      (placement.layout.is_fragment() || allocate->storage->rank == 0))
    return 0;
  std::int64_t bytes = allocate->storage->type.bytes(), n = 1;
  for (const Expr &extent : allocate->extents) bytes *= is_const_int(extent, &n) ? n : 1;
  return aligned(bytes,
                 placement.layout.kind == Layout::Kind::Swizzled ? kSwizzleAlignment : kAlignment);
}

}  // namespace

std::int64_t shared_bytes(const Stmt &kernel) {
  if (!kernel.defined()) return 0;
  std::int64_t inside = 0;
  const bool together = kernel.as<Roles>() != nullptr;
  bool first = true;
  walk_statements(kernel, [&](const Stmt &part) {
    if (std::exchange(first, false)) return true;
    const std::int64_t bytes = shared_bytes(part);
    inside = together ? inside + bytes : std::max(inside, bytes);
    return false;
  });
  return own_bytes(kernel) + inside;
}

}  // namespace pit::ir
