#include "placement.h"

#include <algorithm>
#include <map>
#include <optional>

#include "codegen/ir/mutator.h"
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

const ir::Allocate *allocation_in(const ir::Stmt &s, const StoragePtr &tile) {
  const ir::Allocate *found = nullptr;
  ir::walk_statements(s, [&](const ir::Stmt &part) {
    const auto *allocate = part.as<ir::Allocate>();
    if (allocate && allocate->storage == tile) found = allocate;
    return found == nullptr;
  });
  return found;
}

using Places = std::map<const StorageNode *, Place>;
bool goes_over_lanes(const ir::Allocate &s, const ir::Store &store, const Places &around);

/// Lists that each warp can keep for itself: see Place::Lanes. A lookup is by all lanes together,
/// so it is only where all of them come along. `around`: where tiles around
/// this one are.
bool fits_lanes(const ir::Allocate &s, const Places &around) {
  constexpr std::int64_t kMost = 256;
  std::int64_t extent = 0;
  const StorageNode *tile = s.storage.get();
  if (s.placement.memory != ir::Memory::Registers || s.placement.layout != ir::Layout{} ||
      tile->rank != 1 || tile->type.bytes() != 4 || !is_const_int(s.extents[0], &extent) ||
      extent < 1 || extent > kMost)
    return false;
  bool fits = true;
  ir::walk_statements(s.body, [&](const ir::Stmt &part) {
    if (part.as<ir::Copy>()) return true;
    const auto *store = part.as<ir::Store>();
    VarPtr row;  // the axis by which this statement may look up
    if (store && store->axes.size() == 1 && store->storage->space == Space::Tile &&
        store->storage->rank == 1 && goes_over_lanes(s, *store, around)) {
      row = store->axes[0];
    }
    const auto access = [&](const StoragePtr &storage, const std::vector<Expr> &indices) {
      if (storage->space != Space::Tile || storage->rank != 2) return;
      if (const auto *variable = indices[0].as<Variable>()) row = variable->var;
    };
    const auto each_load = [&](const auto &visit) {
      ir::walk_expressions(part, [&](const Expr &e) {
        walk(e, [&](const Expr &piece) {
          if (const auto *load = piece.as<Load>()) visit(*load);
          return true;
        });
      });
    };
    if (store && store->axes.size() == 2) {
      access(store->storage, store->indices);
      each_load([&](const Load &load) { access(load.storage, load.indices); });
    }
    const auto by_row = [&](const std::vector<Expr> &indices) {
      const auto *variable = indices[0].as<Variable>();
      return row && variable && variable->var == row;
    };
    each_load([&](const Load &load) {
      if (load.storage.get() == tile) fits = fits && by_row(load.indices);
    });
    if (store && store->storage.get() == tile) {
      fits = fits && store->axes.size() == 1 && store->combiner == Combiner::Assign &&
             by_row(store->indices);
    }
    return fits;
  });
  return fits;
}

/// Each lane stores its elements of a list, or those of rows of fragments.
bool goes_over_lanes(const ir::Allocate &s, const ir::Store &store, const Places &around) {
  if (store.storage == s.storage) return true;
  if (const auto known = around.find(store.storage.get()); known != around.end())
    return known->second == Place::Lanes || known->second == Place::Fragment;
  const ir::Allocate *inner = allocation_in(s.body, store.storage);
  return inner && (inner->placement.layout.is_fragment() || fits_lanes(*inner, around));
}

class Placer {
 public:
  Placer(Placement *placement, std::int64_t limit) : to_(*placement), limit_(limit) {}

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
    } else if (fits_lanes(s, around_)) {
      to_.entries[&s] = {Place::Lanes};
    } else if (s.placement.memory == ir::Memory::Shared) {
      internal_check(bytes.has_value(), "a shared tile has a size that is not known");
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
    around_[s.storage.get()] = to_.entries.at(&s).place;
    place(s.body, in_thread);
    used_ = before;
  }

  void take(std::int64_t bytes) {
    used_ += aligned(bytes);
    most_ = std::max(most_, used_);
    to_.shared_bytes = std::max(to_.shared_bytes, used_);
  }

  Placement &to_;
  const std::int64_t limit_;
  Places around_;
  std::int64_t used_ = 0, most_ = 0;  // the latter since the role began
};

}  // namespace

Placement place_memory(const ir::Launch &launch, std::int64_t shared_bytes) {
  Placement placement;
  Placer(&placement, shared_bytes).place(launch.body, false);
  return placement;
}

}  // namespace pit::cuda
