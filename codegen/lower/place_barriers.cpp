#include "place_barriers.h"

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

#include "codegen/ir/block_memory.h"
#include "codegen/ir/mutator.h"

namespace pit::lower {
namespace {

using ir::Accesses;
using ir::Stmt;

bool meet(const ir::Storages &a, const ir::Storages &b) {
  return std::ranges::any_of(a, [&](const StorageNode *s) { return b.contains(s); });
}

/// What the threads have accessed since their last Sync.
struct Pending {
  Accesses accesses;
  /// Tiles among these that are no more: tiles to come may have their memory.
  std::unordered_set<const ir::Allocate *> gone;

  bool conflicts(const Accesses &next) const {
    return meet(next.reads, accesses.writes) || meet(next.writes, accesses.writes) ||
           meet(next.writes, accesses.reads);
  }
  void add(const Pending &other) {
    accesses.add(other.accesses);
    gone.insert(other.gone.begin(), other.gone.end());
  }
};

/// Accesses of a statement: all, or, where the threads come together inside of it, those before
/// that and those behind.
struct Phases {
  Accesses first, last;
};

Phases phases_of(const Stmt &s, bool joins_threads) {
  Phases phases;
  if (!joins_threads) {
    phases.first.add_own(s);
    return phases;
  }
  if (const auto *store = s.as<ir::Store>()) {
    // Every thread adds up its share, and then one stores.
    for (const Expr &guard : store->guards) phases.first.add(guard);
    phases.first.add(store->value);
    for (const Expr &index : store->indices) phases.last.add(index);
    phases.last.reads.insert(store->storage.get());
    phases.last.writes.insert(store->storage.get());
    return phases;
  }
  if (s.as<ir::FetchAdd>()) {
    // One thread adds when all have come, and then they store.
    phases.last.add_own(s);
    return phases;
  }
  phases.first.add_own(s);
  phases.last.writes = phases.first.writes;
  return phases;
}

/// `s` and then `last`, inside of what `s` is the rest of a scope to.
Stmt with_last(const Stmt &s, const Stmt &last) {
  if (const auto *let = s.as<ir::Let>())
    return ir::make<ir::Let>(let->var, let->value, with_last(let->body, last));
  if (const auto *axes = s.as<ir::Axes>())
    return ir::make<ir::Axes>(axes->axes, with_last(axes->body, last));
  if (const auto *allocate = s.as<ir::Allocate>()) {
    return ir::make<ir::Allocate>(allocate->storage, allocate->extents,
                                  with_last(allocate->body, last), allocate->placement);
  }
  const auto *block = s.as<ir::Block>();
  if (!block || block->stmts.empty()) return ir::make_block({s, last});
  std::vector<Stmt> parts = block->stmts;
  parts.back() = with_last(parts.back(), last);
  return ir::make_block(std::move(parts));
}

class Placer {
 public:
  explicit Placer(const Stmt &kernel) : memory_(kernel) {}

  Stmt run(const Stmt &kernel) {
    const Stmt body = place(kernel);
    // A kernel of the staged level has a block for each point, but for what lies in a workspace.
    const bool meets_next = std::ranges::any_of(pending_.gone, [](const ir::Allocate *tile) {
      return tile->placement.memory == ir::Memory::Abstract;
    });
    return meets_next ? with_last(body, sync()) : body;
  }

 private:
  const ir::BlockMemory memory_;
  Pending pending_;
  int placed_ = 0;

  Stmt sync() {
    pending_ = {};
    ++placed_;
    return ir::make<ir::Sync>(false);
  }

  Accesses synced(Accesses accesses) const {
    const auto is_own = [&](const StorageNode *s) { return !memory_.is_synced(s); };
    std::erase_if(accesses.reads, is_own);
    std::erase_if(accesses.writes, is_own);
    return accesses;
  }

  /// A Sync if `next` needs one, else null; then `next` is pending.
  Stmt order(Accesses next) {
    next = synced(std::move(next));
    const Stmt before = pending_.conflicts(next) ? sync() : Stmt();
    pending_.accesses.add(next);
    return before;
  }

  static Stmt after(const Stmt &before, Stmt s) {
    return before.defined() ? ir::make_block({before, std::move(s)}) : s;
  }

  Stmt place(const Stmt &s) {
    if (!s.defined()) return s;
    if (const auto *block = s.as<ir::Block>()) {
      std::vector<Stmt> parts;
      bool changed = false;
      for (const Stmt &part : block->stmts) {
        parts.push_back(place(part));
        changed = changed || !parts.back().same_as(part);
      }
      return changed ? ir::make_block(std::move(parts)) : s;
    }
    if (s.as<ir::Sync>()) {
      pending_ = {};
      return s;
    }
    if (const auto *loop = s.as<ir::For>()) {
      if (loop->loop_kind != ir::ForKind::GpuThread) return place(*loop, s);
      Accesses all;
      all.add(s);
      return after(order(std::move(all)), s);
    }
    const bool joins_threads = memory_.joins_threads(s);
    const Phases phases = phases_of(s, joins_threads);
    const Stmt before = order(phases.first);
    if (joins_threads) {
      pending_ = {};
      pending_.accesses.add(synced(phases.last));
    }
    return after(before, inside(s));
  }

  /// `s` with Syncs in what it holds.
  Stmt inside(const Stmt &s) {
    if (const auto *let = s.as<ir::Let>()) {
      const Stmt body = place(let->body);
      return body.same_as(let->body) ? s : ir::make<ir::Let>(let->var, let->value, body);
    }
    if (const auto *axes = s.as<ir::Axes>()) {
      const Stmt body = place(axes->body);
      return body.same_as(axes->body) ? s : ir::make<ir::Axes>(axes->axes, body);
    }
    if (const auto *barriers = s.as<ir::Barriers>()) {
      const Stmt body = place(barriers->body);
      return body.same_as(barriers->body) ? s : ir::make<ir::Barriers>(barriers->barrier, body);
    }
    if (const auto *branch = s.as<ir::If>()) return inside(*branch, s);
    if (const auto *allocate = s.as<ir::Allocate>()) return inside(*allocate, s);
    if (const auto *roles = s.as<ir::Roles>()) return inside(*roles, s);
    return s;
  }

  Stmt inside(const ir::If &branch, const Stmt &self) {
    const Pending before = pending_;
    const Stmt then_body = place(branch.then_body);
    const Pending after_then = std::exchange(pending_, before);
    const Stmt else_body = place(branch.else_body);
    pending_.add(after_then);
    if (then_body.same_as(branch.then_body) && else_body.same_as(branch.else_body)) return self;
    return ir::make<ir::If>(branch.condition, then_body, else_body);
  }

  Stmt inside(const ir::Allocate &allocate, const Stmt &self) {
    const StorageNode *tile = allocate.storage.get();
    const bool has_memory =
        memory_.is_synced(tile) || allocate.placement.memory == ir::Memory::Shared;
    const Stmt before = has_memory && !pending_.gone.empty() ? sync() : Stmt();
    const Stmt body = place(allocate.body);
    if (pending_.accesses.reads.contains(tile) || pending_.accesses.writes.contains(tile))
      pending_.gone.insert(&allocate);
    return after(before, body.same_as(allocate.body)
                             ? self
                             : ir::make<ir::Allocate>(allocate.storage, allocate.extents, body,
                                                      allocate.placement));
  }

  /// Each role has Syncs of its own.
  Stmt inside(const ir::Roles &node, const Stmt &self) {
    const Pending outside = pending_;
    std::vector<ir::Role> roles = node.roles;
    bool changed = false;
    for (ir::Role &role : roles) {
      pending_ = {};
      const Stmt body = place(role.body);
      changed = changed || !body.same_as(role.body);
      role.body = body;
    }
    pending_ = outside;
    return changed ? ir::make<ir::Roles>(std::move(roles)) : self;
  }

  Stmt place(const ir::For &loop, const Stmt &self) {
    Accesses own;
    own.add_own(self);
    own = synced(std::move(own));
    Stmt before = order(own);
    const Pending outside = pending_;
    const int placed = placed_;
    Stmt body = place_body(loop);
    const int with_outside = placed_ - placed;
    pending_.add(outside);  // there may be no iteration
    if (with_outside > 0) {
      // In front of the loop is better than inside of it, if that is one for one.
      const Pending behind = std::exchange(pending_, {own, {}});
      placed_ = placed;
      const Stmt apart = place_body(loop);
      if (placed_ - placed < with_outside) {
        body = apart;
        before = ir::make_block({before, ir::make<ir::Sync>(false)});
        ++placed_;
        pending_.accesses.add(own);
      } else {
        pending_ = behind;
        placed_ = placed + with_outside;
      }
    }
    if (body.same_as(loop.body)) return after(before, self);
    return after(before, ir::make<ir::For>(loop.var, loop.min, loop.extent, loop.loop_kind, body));
  }

  /// The body for what is pending before the first iteration; behind it, what is after the last.
  Stmt place_body(const ir::For &loop) {
    const Stmt body = place(loop.body);
    Accesses all;
    all.add(loop.body);
    bool has_tiles = false;
    ir::walk_statements(loop.body, [&](const Stmt &s) {
      const auto *allocate = s.as<ir::Allocate>();
      return !(has_tiles = has_tiles || (allocate && memory_.is_synced(allocate->storage.get())));
    });
    const bool meets_next =
        pending_.conflicts(synced(std::move(all))) || (has_tiles && !pending_.gone.empty());
    return meets_next ? with_last(body, sync()) : body;
  }
};

class Pass final : public ir::Mutator {
  using Mutator::visit;
  Stmt visit(const ir::Launch &node, const Stmt &self) override {
    const Stmt body = Placer(node.body).run(node.body);
    if (body.same_as(node.body)) return self;
    return ir::make<ir::Launch>(node.name, node.grid, node.threads, body, node.cluster,
                                node.resident);
  }
};

}  // namespace

ir::Module place_barriers(const ir::Module &module) {
  ir::Module result = module;
  result.body = Pass()(module.body);
  return result;
}

}  // namespace pit::lower
