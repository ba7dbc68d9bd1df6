#include "block_memory.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "mutator.h"

namespace pit::ir {
namespace {

bool is_positive(const Expr &e) {
  std::int64_t n = 0;
  return is_const_int(e, &n) && n > 0;
}

void for_each_load(const Stmt &s, const std::function<void(const Load &)> &visit) {
  walk_expressions(s, [&](const Expr &e) {
    walk(e, [&](const Expr &part) {
      if (const auto *load = part.as<Load>()) visit(*load);
      return true;
    });
  });
}

const Allocate *allocation_of(const StoragePtr &tile, const Stmt &kernel) {
  const Allocate *found = nullptr;
  walk_statements(kernel, [&](const Stmt &part) {
    const auto *allocate = part.as<Allocate>();
    if (allocate && allocate->storage == tile) found = allocate;
    return found == nullptr;
  });
  return found;
}

bool fits_lanes(const Allocate &s, const Stmt &kernel, Storages *known);

/// Each lane stores its elements of a list, or those of rows of fragments.
bool goes_over_lanes(const Store &store, const Stmt &kernel, Storages *known) {
  if (known->contains(store.storage.get())) return true;
  const Allocate *tile = allocation_of(store.storage, kernel);
  return tile && (tile->placement.layout.is_fragment() || fits_lanes(*tile, kernel, known));
}

/// `known`: lists that are in lanes if this one is.
bool fits_lanes(const Allocate &s, const Stmt &kernel, Storages *known) {
  constexpr std::int64_t kMost = 256;
  std::int64_t extent = 0;
  const StorageNode *tile = s.storage.get();
  if (s.placement.memory != Memory::Registers || s.placement.layout != Layout{} ||
      tile->rank != 1 || tile->type.bytes() != 4 || !is_const_int(s.extents[0], &extent) ||
      extent < 1 || extent > kMost)
    return false;
  known->insert(tile);
  bool fits = true;
  walk_statements(s.body, [&](const Stmt &part) {
    if (part.as<Copy>()) return true;
    const auto *store = part.as<Store>();
    VarPtr row;  // the axis by which this statement may look up
    if (store && store->axes.size() == 1 && store->storage->space == Space::Tile &&
        store->storage->rank == 1 && goes_over_lanes(*store, kernel, known)) {
      row = store->axes[0];
    }
    const auto access = [&](const StoragePtr &storage, const std::vector<Expr> &indices) {
      if (storage->space != Space::Tile || storage->rank != 2) return;
      if (const auto *variable = indices[0].as<Variable>()) row = variable->var;
    };
    if (store && store->axes.size() == 2) {
      access(store->storage, store->indices);
      for_each_load(part, [&](const Load &load) { access(load.storage, load.indices); });
    }
    const auto by_row = [&](const std::vector<Expr> &indices) {
      const auto *variable = indices[0].as<Variable>();
      return row && variable && variable->var == row;
    };
    for_each_load(part, [&](const Load &load) {
      if (load.storage.get() == tile) fits = fits && by_row(load.indices);
    });
    if (store && store->storage.get() == tile) {
      fits = fits && store->axes.size() == 1 && store->combiner == Combiner::Assign &&
             by_row(store->indices);
    }
    return fits;
  });
  if (!fits) known->erase(tile);
  return fits;
}

}  // namespace

void Accesses::add(const Expr &e) {
  walk(e, [&](const Expr &part) {
    if (const auto *load = part.as<Load>()) reads.insert(load->storage.get());
    return true;
  });
}

void Accesses::add_own(const Stmt &s) {
  walk_expressions(s, [&](const Expr &e) { add(e); });
  if (const auto *store = s.as<Store>()) {
    writes.insert(store->storage.get());
    if (store->combiner != Combiner::Assign) reads.insert(store->storage.get());
    if (store->through) writes.insert(store->through.get());
  } else if (const auto *copy = s.as<Copy>()) {
    writes.insert(copy->storage.get());
  } else if (const auto *mma = s.as<Mma>()) {
    reads.insert(mma->a.tile.get());
    reads.insert(mma->b.tile.get());
    reads.insert(mma->accumulator.tile.get());
    writes.insert(mma->accumulator.tile.get());
  } else if (const auto *prefix = s.as<Prefix>()) {
    reads.insert(prefix->source.get());
    writes.insert(prefix->destination.get());
  } else if (const auto *compact = s.as<Compact>()) {
    reads.insert(compact->marks.get());
    writes.insert(compact->list.get());
    writes.insert(compact->count.get());
  } else if (const auto *sum = s.as<SumBefore>()) {
    writes.insert(sum->sum.get());
  } else if (const auto *fetch = s.as<FetchAdd>()) {
    reads.insert(fetch->counters.get());
    writes.insert(fetch->counters.get());
    writes.insert(fetch->destination.get());
  }
}

void Accesses::add(const Stmt &s) {
  walk_statements(s, [&](const Stmt &part) {
    add_own(part);
    return true;
  });
}

void Accesses::add(const Accesses &other) {
  reads.insert(other.reads.begin(), other.reads.end());
  writes.insert(other.writes.begin(), other.writes.end());
}

bool is_staged(const Stmt &s) {
  bool found = false;
  walk_statements(s, [&](const Stmt &part) {
    const auto *sync = part.as<Sync>();
    const auto *mma = part.as<Mma>();
    const auto *store = part.as<Store>();
    const auto *allocate = part.as<Allocate>();
    found = found || (part->kind >= StmtKind::Barriers && (!sync || sync->cluster)) ||
            (mma && mma->asynchronous) || (store && store->through) ||
            (allocate && allocate->placement.memory != Memory::Abstract);
    return !found;
  });
  return found;
}

bool is_in_lanes(const Allocate &s, const Stmt &kernel) {
  Storages known;
  return fits_lanes(s, kernel, &known);
}

bool reduces_to_one_element(const Store &s) {
  if (s.combiner == Combiner::Assign || s.axes.empty()) return false;
  return std::ranges::none_of(s.indices, [&](const Expr &index) {
    return std::ranges::any_of(s.axes, [&](const VarPtr &axis) { return uses(index, axis); });
  });
}

BlockMemory::BlockMemory(const Stmt &kernel) : staged_(is_staged(kernel)) {
  Accesses all;
  all.add(kernel);
  synced_ = std::move(all.writes);
  if (!staged_) synced_.insert(all.reads.begin(), all.reads.end());
  std::erase_if(synced_, [](const StorageNode *s) { return s->space == Space::Tile; });
  walk_statements(kernel, [&](const Stmt &s) {
    if (const auto *loop = s.as<For>(); loop && loop->loop_kind == ForKind::GpuThread) return false;
    const auto *allocate = s.as<Allocate>();
    const bool is_shared =
        allocate && allocate->storage->rank > 0 && allocate->placement.memory != Memory::Shared &&
        !allocate->placement.layout.is_fragment() && !is_in_lanes(*allocate, kernel);
    if (is_shared) synced_.insert(allocate->storage.get());
    return true;
  });
}

bool BlockMemory::joins_threads(const Stmt &s) const {
  if (s.as<SumBefore>()) return true;
  if (const auto *fetch = s.as<FetchAdd>()) return fetch->axes.empty() && fetch->guards.empty();
  if (const auto *prefix = s.as<Prefix>()) return is_positive(prefix->length);
  if (const auto *compact = s.as<Compact>()) return is_positive(compact->length);
  const auto *store = s.as<Store>();
  return store && !staged_ && reduces_to_one_element(*store);
}

}  // namespace pit::ir
