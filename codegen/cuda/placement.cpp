#include "placement.h"

#include <algorithm>
#include <optional>

#include "codegen/ir/block_memory.h"
#include "dsl/error.h"

namespace pit::cuda {
namespace {

std::int64_t aligned(std::int64_t bytes) { return (bytes + kAlignment - 1) & -kAlignment; }

std::optional<std::int64_t> constant_bytes(const ir::Allocate &s) {
  std::int64_t bytes = s.storage->type.bytes();
  for (const Expr &e : s.extents) {
    std::int64_t extent = 0;
    if (!is_const_int(e, &extent)) return {};
    if (__builtin_mul_overflow(bytes, std::max<std::int64_t>(extent, 0), &bytes)) return {};
  }
  return bytes;
}

class Placer {
 public:
  Placer(Placement *placement, const ir::Stmt &kernel, std::int64_t limit)
      : to_(*placement), kernel_(kernel), limit_(limit) {}

  void place(const ir::Stmt &s, bool in_thread) {
    if (!s.defined()) return;
    if (const auto *block = s.as<ir::Block>()) {
      for (const ir::Stmt &part : block->stmts) place(part, in_thread);
    } else if (const auto *loop = s.as<ir::For>()) {
      place(loop->body, in_thread || loop->loop_kind == ir::ForKind::GpuThread);
    } else if (const auto *axes = s.as<ir::Axes>()) {
      place(axes->body, in_thread);
    } else if (const auto *let = s.as<ir::Let>()) {
      place(let->body, in_thread);
    } else if (const auto *branch = s.as<ir::If>()) {
      place(branch->then_body, in_thread);
      place(branch->else_body, in_thread);
    } else if (const auto *allocate = s.as<ir::Allocate>()) {
      this->allocate(*allocate, in_thread);
    } else if (const auto *barriers = s.as<ir::Barriers>()) {
      constexpr std::int64_t kBarrierBytes = 8;
      const std::int64_t before = used_;
      to_.barriers[barriers->barrier.get()] = used_;
      take(barriers->barrier->slots * kBarrierBytes);
      place(barriers->body, in_thread);
      used_ = before;
    } else if (const auto *roles = s.as<ir::Roles>()) {
      // What lives at the same time in different roles has different places.
      const std::int64_t before = used_;
      for (const ir::Role &role : roles->roles) {
        most_ = used_;
        place(role.body, in_thread);
        used_ = most_;
      }
      used_ = before;
    }
  }

 private:
  void allocate(const ir::Allocate &s, bool in_thread) {
    const std::int64_t before = used_;
    const std::optional<std::int64_t> bytes = constant_bytes(s);
    if (s.placement.layout.is_fragment()) {
      to_.entries[&s] = {Place::Fragment};
    } else if (in_thread || s.storage->rank == 0) {
      to_.entries[&s] = {Place::Local};
    } else if (ir::is_in_lanes(s, kernel_)) {
      to_.entries[&s] = {Place::Lanes};
    } else if (s.placement.memory == ir::Memory::Shared) {
      internal_check(bytes.has_value(), "a shared tile has a size that is not known");
      if (s.placement.layout.kind == ir::Layout::Kind::Swizzled)
        take(-used_ & (kSwizzleAlignment - 1));
      to_.entries[&s] = {Place::Shared, used_};
      take(*bytes);
    } else if (bytes && used_ + aligned(*bytes) <= limit_) {
      to_.entries[&s] = {Place::Shared, used_};
      take(*bytes);
    } else {
      to_.entries[&s] = {Place::Workspace};
      to_.in_workspace.push_back(&s);
    }
    place(s.body, in_thread);
    used_ = before;
  }

  void take(std::int64_t bytes) {
    used_ += aligned(bytes);
    most_ = std::max(most_, used_);
    to_.shared_bytes = std::max(to_.shared_bytes, used_);
  }

  Placement &to_;
  const ir::Stmt &kernel_;
  const std::int64_t limit_;
  std::int64_t used_ = 0, most_ = 0;  // the latter since the role began
};

}  // namespace

Placement place_memory(const ir::Launch &launch, std::int64_t shared_bytes) {
  Placement placement;
  Placer(&placement, launch.body, shared_bytes).place(launch.body, false);
  return placement;
}

}  // namespace pit::cuda
