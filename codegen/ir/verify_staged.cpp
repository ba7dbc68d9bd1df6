#include "verify_staged.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "block_memory.h"
#include "mutator.h"
#include "shared_memory.h"
#include "strip.h"

namespace pit::ir {
namespace {

constexpr int kLanes = 32, kWarpsOfGroup = 4;

/// A rule is broken: leaves the walk.
struct Broken {
  BrokenRule rule;
};
[[noreturn]] void fail(std::string rule, Stmt statement = {}) {
  throw Broken{{std::move(rule), std::move(statement)}};
}
void require(bool condition, const std::string &rule, const Stmt &statement) {
  if (!condition) fail(rule, statement);
}

using Tile = const StorageNode *;

/// Calls `visit` on every load of statement s itself.
void for_each_load(const Stmt &s, const std::function<void(const Load &)> &visit) {
  walk_expressions(s, [&](const Expr &e) {
    walk(e, [&](const Expr &part) {
      if (const auto *load = part.as<Load>()) visit(*load);
      return true;
    });
  });
}

/// What the kernel says of a placed tile: where, and which roles write and read it how.
struct TileUse {
  Placement placement;
  Coordinates extents;  ///< of one buffer
  const Role *owner = nullptr;
  std::set<const Role *> readers, writers;
  std::set<const BarrierNode *> full;  ///< on which its copies complete
  bool async_copies = false;           ///< written by cp.async
  bool generic = false;                ///< written through the generic proxy
  bool writer_fences = false;
};

class Rules {
 public:
  Rules(const Launch &launch, const DeviceLimits &limits) : launch_(launch), limits_(limits) {}

  void check() {
    if (!is_staged(launch_.body)) return;
    whole_ = {"block", static_cast<int>(launch_.threads / kLanes), 0, {}};
    collect(launch_.body, &whole_);
    check_strips();
    check_memory();
    check_arrivals();
    State state;
    role_ = &whole_;
    scan(launch_.body, &state);
  }

 private:
  /// A Wait for a slot that still means something.
  struct Fact {
    BarrierSlot at;
    bool fenced;
  };
  /// Of a buffered tile, Seen stays when another buffer is written: which one is read is not known.
  enum class Own : std::uint8_t { Issued, Drained, Seen };
  struct State {
    std::vector<Fact> waits;
    std::set<Tile> issued, committed;  ///< register tiles that Mmas under way use
    std::map<Tile, Own> own;  ///< tiles that the role wrote itself and others cannot see yet
    std::set<Tile> unfenced;  ///< visible, but not to the async proxy
    std::set<Tile> read;      ///< shared tiles read since the last Sync
  };

  const Launch &launch_;
  const DeviceLimits &limits_;
  Role whole_;
  const Role *role_ = nullptr;
  int loops_ = 0;
  std::unordered_map<Tile, TileUse> tiles_;
  /// That stores pass elements through, and whether their sums meet.
  std::map<Tile, bool> strips_;
  std::vector<const Store *> added_;  ///< whose sums meet
  std::map<const BarrierNode *, std::vector<Stmt>> waits_;
  using Places = std::vector<std::pair<const void *, int>>;
  // Arrivals by barrier, role and the innermost loop body that they are in.
  std::map<const BarrierNode *, std::map<const Role *, Places>> arrivals_;

  // --- what there is ---

  static void add(int number, const void *place, Places *places) {
    const auto found = std::find_if(places->begin(), places->end(),
                                    [&](const auto &entry) { return entry.first == place; });
    if (found == places->end())
      places->emplace_back(place, number);
    else
      found->second += number;
  }

  void collect(const Stmt &body, const Role *role) {
    std::set<const BarrierNode *> after_copies, by_threads;
    std::vector<std::pair<Tile, CopyEngine>> copied;
    bool fences = false;
    collect(body, role, nullptr, &after_copies, &by_threads, &copied, &fences);
    for (const auto &[tile, engine] : copied) {
      if (engine == CopyEngine::Bulk) continue;
      TileUse &use = tiles_.at(tile);
      const auto &signals = engine == CopyEngine::Async ? after_copies : by_threads;
      use.full.insert(signals.begin(), signals.end());
      use.generic = true;
      use.writer_fences = use.writer_fences || fences;
    }
  }

  void note_read(Tile tile, const Role *role) {
    if (const auto found = tiles_.find(tile); found != tiles_.end())
      found->second.readers.insert(role);
  }

  void collect(const Stmt &s, const Role *role, const void *loop,
               std::set<const BarrierNode *> *after_copies,
               std::set<const BarrierNode *> *by_threads,
               std::vector<std::pair<Tile, CopyEngine>> *copied, bool *fences) {
    if (!s.defined()) return;
    const auto inner = [&](const Stmt &body, const void *in) {
      collect(body, role, in, after_copies, by_threads, copied, fences);
    };
    for_each_load(s, [&](const Load &load) { note_read(load.storage.get(), role); });
    if (const auto *block = s.as<Block>()) {
      for (const Stmt &part : block->stmts) inner(part, loop);
    } else if (const auto *each = s.as<For>()) {
      inner(each->body, each);
    } else if (const auto *axes = s.as<Axes>()) {
      inner(axes->body, loop);
    } else if (const auto *let = s.as<Let>()) {
      inner(let->body, loop);
    } else if (const auto *branch = s.as<If>()) {
      inner(branch->then_body, branch);
      inner(branch->else_body, branch->else_body.get());
    } else if (const auto *allocate = s.as<Allocate>()) {
      if (allocate->placement.memory != Memory::Abstract) place(*allocate, s, role);
      inner(allocate->body, loop);
    } else if (const auto *barriers = s.as<Barriers>()) {
      require(role == &whole_, "a barrier is made in a role", s);
      inner(barriers->body, loop);
    } else if (const auto *roles = s.as<Roles>()) {
      require(role == &whole_, "roles are inside a role", s);
      check_roles(*roles, s);
      for (const Role &each_role : roles->roles) collect(each_role.body, &each_role);
    } else if (const auto *store = s.as<Store>()) {
      check_fragments(*store, s);
      if (store->through) check_through(*store, s, role);
      if (const auto found = tiles_.find(store->storage.get()); found != tiles_.end()) {
        found->second.writers.insert(role);
        if (found->second.placement.memory == Memory::Shared)
          copied->emplace_back(store->storage.get(), CopyEngine::Threads);
      }
    } else if (const auto *copy = s.as<Copy>()) {
      collect_copy(*copy, s, role, copied);
    } else if (const auto *mma = s.as<Mma>()) {
      for (const TileOperand *operand : {&mma->a, &mma->b}) note_read(operand->tile.get(), role);
      check_mma(*mma, s, role);
    } else if (const auto *arrive = s.as<Arrive>()) {
      check_arrive(*arrive, s, role);
      add(count(*role, arrive->each) * (arrive->cluster ? blocks() : 1), loop,
          &arrivals_[arrive->at.barrier.get()][role]);
      (arrive->after_copies ? after_copies : by_threads)->insert(arrive->at.barrier.get());
    } else if (const auto *wait = s.as<Wait>()) {
      waits_[wait->at.barrier.get()].push_back(s);
    } else if (const auto *fence = s.as<Fence>()) {
      *fences = *fences || fence->fence == FenceKind::Async;
    } else if (const auto *sync = s.as<Sync>()) {
      require(!sync->cluster || role == &whole_, "a role synchronises the cluster", s);
      require(!sync->cluster || blocks() > 1, "there is no cluster to synchronise", s);
    }
  }

  int blocks() const {
    std::int64_t n = 1;
    if (launch_.cluster.var) is_const_int(launch_.cluster.extent, &n);
    return static_cast<int>(n);
  }

  static int count(const Role &role, Arrivals each) {
    switch (each) {
      case Arrivals::Once:
        return 1;
      case Arrivals::Warpgroup:
        return role.warps / kWarpsOfGroup;
      case Arrivals::Warp:
        return role.warps;
      case Arrivals::Thread:
        break;
    }
    return role.warps * kLanes;
  }

  void place(const Allocate &allocate, const Stmt &s, const Role *role) {
    TileUse use;
    use.placement = allocate.placement;
    use.owner = role;
    for (const Expr &extent : allocate.extents) {
      std::int64_t n = 0;
      require(is_const_int(extent, &n) && n > 0,
              "the placed tile " + allocate.storage->name + " has extents that are no constants",
              s);
      use.extents.push_back(n);
    }
    if (use.placement.buffered) {
      require(!use.extents.empty(), "the buffered tile " + allocate.storage->name + " has rank 0",
              s);
      use.extents.erase(use.extents.begin());
    }
    const Layout &layout = use.placement.layout;
    const bool shared = use.placement.memory == Memory::Shared;
    require(use.placement.memory == Memory::Shared || use.placement.memory == Memory::Registers ||
                layout == Layout(),
            "the abstract tile " + allocate.storage->name + " has a layout", s);
    require(layout.kind == Layout::Kind::RowMajor || shared != layout.is_fragment(),
            "the layout of " + allocate.storage->name + " is not one of " +
                (shared ? "shared memory" : "registers"),
            s);
    const std::string error = layout_error(layout, use.extents, allocate.storage->type.bytes());
    require(error.empty(), "the layout of " + allocate.storage->name + ": " + error, s);
    tiles_[allocate.storage.get()] = std::move(use);
  }

  void check_roles(const Roles &roles, const Stmt &s) const {
    int warps = 0;
    std::int64_t registers = 0;
    for (const Role &role : roles.roles) {
      require(role.warps >= 1, "the role " + role.name + " has no warps", s);
      require(role.registers == 0 || (role.registers % 8 == 0 && role.registers >= 24 &&
                                      role.registers <= 240 && role.warps % kWarpsOfGroup == 0),
              "the role " + role.name +
                  " asks for registers that are no multiple of 8 from 24 to 240, or for part of a "
                  "warpgroup",
              s);
      warps += role.warps;
      registers += std::int64_t{role.warps} * kLanes * role.registers;
    }
    require(warps * kLanes == launch_.threads,
            "the roles have " + std::to_string(warps) + " warps, but the block has " +
                std::to_string(launch_.threads) + " threads",
            s);
    // Registers of a block that its threads do not start with cannot be asked for: who does waits
    // for ever.
    const std::int64_t threads = std::max<std::int64_t>(launch_.threads, 1),
                       given = limits_.registers / threads / 8 * 8 * threads;
    require(registers <= given,
            "the roles ask for " + std::to_string(registers) +
                " registers; their block starts with " + std::to_string(given),
            s);
  }

  void collect_copy(const Copy &copy, const Stmt &s, const Role *role,
                    std::vector<std::pair<Tile, CopyEngine>> *copied) {
    const auto found = tiles_.find(copy.storage.get());
    require(found != tiles_.end() && found->second.placement.memory == Memory::Shared,
            "a copy into " + copy.storage->name + ", which is not in shared memory", s);
    found->second.writers.insert(role);
    found->second.async_copies |= copy.engine == CopyEngine::Async;
    copied->emplace_back(copy.storage.get(), copy.engine);
    require((copy.engine == CopyEngine::Bulk) == (copy.completes.barrier != nullptr),
            "a bulk copy completes on a barrier, others do not", s);
    require(!copy.multicast || (copy.engine == CopyEngine::Bulk && blocks() > 1),
            "a multicast that is no bulk copy of a cluster", s);
    require(copy.engine != CopyEngine::Async || copy.bytes == 0 || copy.bytes == 4 ||
                copy.bytes == 8 || copy.bytes == 16,
            "an async copy of " + std::to_string(copy.bytes) + " bytes; 4, 8 and 16 are possible",
            s);
    if (copy.completes.barrier) found->second.full.insert(copy.completes.barrier.get());
  }

  void check_arrive(const Arrive &arrive, const Stmt &s, const Role *role) const {
    require(!arrive.after_copies || arrive.each == Arrivals::Thread,
            "an arrival after copies is of each thread", s);
    require(!arrive.bytes.defined() || arrive.each == Arrivals::Once,
            "bytes are expected by one thread", s);
    require(!arrive.cluster || blocks() > 1, "there is no cluster to arrive in", s);
    require(arrive.each != Arrivals::Warpgroup || role->warps % kWarpsOfGroup == 0,
            "the role " + role->name + " has no whole warpgroups", s);
  }

  void check_mma(const Mma &mma, const Stmt &s, const Role *role) const {
    const auto use = [&](const TileOperand &operand) -> const TileUse & {
      const auto found = tiles_.find(operand.tile.get());
      require(found != tiles_.end(),
              "the operand " + operand.tile->name + " of an mma has no place", s);
      require(found->second.placement.buffered == operand.slot.defined(),
              "the operand " + operand.tile->name + " of an mma names no buffer, or has none", s);
      return found->second;
    };
    check_left(mma, s);
    if (!mma.asynchronous) return;
    require(role->warps % kWarpsOfGroup == 0,
            "the role " + role->name + " issues asynchronous mmas with " +
                std::to_string(role->warps) + " warps, which are no whole warpgroups",
            s);
    const Placement &accumulator = use(mma.accumulator).placement;
    require(accumulator.memory == Memory::Registers &&
                accumulator.layout.kind == Layout::Kind::Accumulator &&
                accumulator.layout.together == kWarpsOfGroup &&
                accumulator.layout.warps_m * accumulator.layout.warps_n == role->warps,
            "the accumulator " + mma.accumulator.tile->name +
                " of an asynchronous mma is no fragment of all the role's warpgroups",
            s);
    require(use(mma.b).placement.memory == Memory::Shared,
            "the operand " + mma.b.tile->name + " of an asynchronous mma is not in shared memory",
            s);
    const Placement &a = use(mma.a).placement;
    require(a.memory == Memory::Shared || a.layout.kind == Layout::Kind::OperandA,
            "the operand " + mma.a.tile->name +
                " of an asynchronous mma is neither in shared memory nor a fragment of operand A",
            s);
  }

  /// A left operand in registers is where the warps have the rows that they add to, all of each.
  void check_left(const Mma &mma, const Stmt &s) const {
    const auto left = tiles_.find(mma.a.tile.get()), sums = tiles_.find(mma.accumulator.tile.get());
    if (left == tiles_.end() || !left->second.placement.layout.is_fragment()) return;
    const Layout &a = left->second.placement.layout;
    require(a.kind == Layout::Kind::OperandA,
            "the operand " + mma.a.tile->name + " of an mma is no fragment of operand A", s);
    const Layout to = sums == tiles_.end() ? Layout() : sums->second.placement.layout;
    require(to.kind == Layout::Kind::Accumulator && a.warps_m == to.warps_m &&
                a.together == to.together && a.warps_n == 1 && to.warps_n == 1,
            "the operand " + mma.a.tile->name +
                " of an mma is not spread over the warps as the rows of the accumulator " +
                mma.accumulator.tile->name,
            s);
  }

  /// Each thread has the elements of all fragments that a statement names.
  void check_fragments(const Store &store, const Stmt &s) const {
    std::vector<std::pair<Tile, const TileUse *>> fragments;
    const auto note = [&](Tile tile) {
      const auto found = tiles_.find(tile);
      if (found != tiles_.end() && found->second.placement.layout.is_fragment())
        fragments.emplace_back(tile, &found->second);
    };
    note(store.storage.get());
    for_each_load(s, [&](const Load &load) { note(load.storage.get()); });
    for (const auto &[tile, use] : fragments) {
      const auto &[first_tile, first] = fragments.front();
      const Layout &a = first->placement.layout, &b = use->placement.layout;
      const bool blocked = b.kind == Layout::Kind::Blocked;
      require((a.kind == Layout::Kind::Blocked) == blocked && a.warps_m == b.warps_m &&
                  a.warps_n == b.warps_n && a.together == b.together && a.beside == b.beside &&
                  first->extents.at(0) == use->extents.at(0),
              "the registers " + first_tile->name + " and " + tile->name +
                  " meet in one statement, but are spread differently over the warps",
              s);
      const bool reduced = first_tile == store.storage.get() && a.kind == Layout::Kind::Rows &&
                           b.kind != Layout::Kind::Rows;
      require(
          !reduced || b.warps_n == 1,
          "the rows that are reduced into " + first_tile->name + " are spread over several warps",
          s);
    }
  }

  /// A role's warps have strips of their own, which hold what the accumulator's elements become.
  void check_through(const Store &store, const Stmt &s, const Role *role) {
    const StorageNode &strip = *store.through;
    const auto found = tiles_.find(&strip);
    require(found != tiles_.end() && found->second.owner == role,
            "the strip " + strip.name + " is no tile of the role that stores through it", s);
    const std::string error = strip_error(found->second.placement, found->second.extents,
                                          role->warps, strip.type.bytes());
    require(error.empty(), "the strip " + strip.name + " " + error, s);
    require(strip.type == store.storage->type,
            "the strip " + strip.name + " has other elements than " + store.storage->name, s);
    require(store.storage->space != Space::Tile,
            "the store through " + strip.name + " is to the tile " + store.storage->name, s);
    bool sums = false;
    for_each_load(s, [&](const Load &load) {
      const auto tile = tiles_.find(load.storage.get());
      sums = sums || (tile != tiles_.end() &&
                      tile->second.placement.layout.kind == Layout::Kind::Accumulator);
    });
    require(sums, "the store through " + strip.name + " is of no accumulator", s);
    require(strips_.emplace(&strip, store.atomic).first->second == store.atomic,
            "atomic stores and others go through the strip " + strip.name +
                ", which the first may still read when they have ended",
            s);
    if (store.atomic) added_.push_back(&store);
  }

  /// What is stored through a strip may leave it later than its statement ends.
  void check_strips() const {
    walk_statements(launch_.body, [&](const Stmt &s) {
      Accesses own;
      own.add_own(s);
      const auto *store = s.as<Store>();
      if (store && store->through) own.writes.erase(store->through.get());
      for (const auto &[strip, atomic] : strips_) {
        require(!own.reads.contains(strip) && !own.writes.contains(strip),
                "the strip " + strip->name + " is used by other than stores through it", s);
      }
      for (const Store *added : added_) {
        const Tile storage = added->storage.get();
        require(store == added || (!own.reads.contains(storage) && !own.writes.contains(storage)),
                storage->name + " is used by other than the store that adds to it through " +
                    added->through->name,
                s);
      }
      return true;
    });
  }

  // --- sums over the kernel ---

  void check_memory() const {
    const std::int64_t bytes = shared_bytes(launch_.body);
    require(bytes <= limits_.shared_bytes,
            "the kernel " + launch_.name + " needs " + std::to_string(bytes) +
                " bytes of shared memory; the device has " + std::to_string(limits_.shared_bytes),
            {});
  }

  void check_arrivals() const {
    for (const auto &[barrier, waits] : waits_) {
      require(arrivals_.count(barrier) != 0,
              "nothing arrives at the barrier " + barrier->name + ", for which this waits",
              waits.front());
    }
    for (const auto &[barrier, by_role] : arrivals_) {
      int total = 0;
      for (const auto &[role, by_place] : by_role) {
        const int once = by_place.front().second;
        for (const auto &[place, number] : by_place) {
          require(number == once,
                  "the role " + role->name + " arrives " + std::to_string(once) + " and " +
                      std::to_string(number) + " times at the barrier " + barrier->name +
                      " in different places",
                  {});
        }
        total += once;
      }
      require(total == barrier->arrivals,
              "the barrier " + barrier->name + " waits for " + std::to_string(barrier->arrivals) +
                  " arrivals, but the program arrives " + std::to_string(total) +
                  " times in each phase",
              {});
    }
  }

  // --- along the text of a role ---

  static bool same_slot(const Expr &a, const Expr &b) {
    std::int64_t x = 0, y = 1;
    return (is_const_int(a, &x) && is_const_int(b, &y)) ? x == y : equal(a, b);
  }
  static bool reads(const Expr &e, Tile tile) {
    bool found = false;
    walk(e, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      return !(found = found || (load && load->storage.get() == tile));
    });
    return found;
  }

  void scan(const Stmt &s, State *state) {
    if (!s.defined()) return;
    for_each_load(s, [&](const Load &load) { check_load(load, s, state); });
    if (const auto *block = s.as<Block>()) {
      for (const Stmt &part : block->stmts) scan(part, state);
    } else if (const auto *loop = s.as<For>()) {
      const std::vector<Fact> before = state->waits;
      ++loops_;
      for (int pass = 0; pass < 2; ++pass) {
        scan(loop->body, state);
        keep_common(before, &state->waits);
      }
      --loops_;
    } else if (const auto *axes = s.as<Axes>()) {
      scan(axes->body, state);
    } else if (const auto *let = s.as<Let>()) {
      scan(let->body, state);
    } else if (const auto *branch = s.as<If>()) {
      scan_branches(*branch, state);
    } else if (const auto *allocate = s.as<Allocate>()) {
      scan(allocate->body, state);
      const Tile tile = allocate->storage.get();
      require(state->issued.count(tile) == 0 && state->committed.count(tile) == 0,
              "the registers " + tile->name +
                  " end while an asynchronous mma on them may be under way: commit it and drain "
                  "matrix first",
              s);
    } else if (const auto *barriers = s.as<Barriers>()) {
      scan(barriers->body, state);
    } else if (const auto *roles = s.as<Roles>()) {
      for (const Role &role : roles->roles) {
        role_ = &role;
        State own;
        scan(role.body, &own);
      }
      role_ = &whole_;
    } else if (const auto *store = s.as<Store>()) {
      const Tile tile = store->storage.get();
      check_register(tile, s, *state);
      std::erase_if(state->waits, [&](const Fact &fact) { return reads(fact.at.slot, tile); });
      if (const auto found = tiles_.find(tile);
          found != tiles_.end() && found->second.placement.memory == Memory::Shared) {
        state->own[tile] = Own::Drained;
        state->unfenced.insert(tile);
      }
    } else if (const auto *copy = s.as<Copy>()) {
      scan_copy(*copy, s, state);
    } else if (const auto *mma = s.as<Mma>()) {
      scan_mma(*mma, s, state);
    } else if (const auto *wait = s.as<Wait>()) {
      state->waits.push_back({wait->at, false});
    } else if (const auto *arrive = s.as<Arrive>()) {
      // What is handed on is no longer ours. What expects bytes comes before the copies.
      if (arrive->bytes.defined()) return;
      std::erase_if(state->waits, [&](const Fact &fact) {
        return fact.at.barrier != arrive->at.barrier && same_slot(fact.at.slot, arrive->at.slot);
      });
    } else if (const auto *commit = s.as<Commit>()) {
      if (commit->engine == Engine::Matrix) {
        state->committed.insert(state->issued.begin(), state->issued.end());
        state->issued.clear();
      }
    } else if (const auto *drain = s.as<Drain>()) {
      if (drain->engine == Engine::Matrix) {
        if (drain->pending == 0) state->committed.clear();
      } else {
        for (auto &[tile, own] : state->own)
          if (own == Own::Issued) own = Own::Drained;
      }
    } else if (s.as<Sync>()) {
      for (auto &[tile, own] : state->own)
        if (own == Own::Drained) own = Own::Seen;
      state->read.clear();
    } else if (const auto *fence = s.as<Fence>(); fence && fence->fence == FenceKind::Async) {
      for (Fact &fact : state->waits) fact.fenced = true;
      std::erase_if(state->unfenced, [&](Tile tile) {
        const auto own = state->own.find(tile);
        return own == state->own.end() || own->second != Own::Issued;
      });
    }
  }

  static void keep_common(const std::vector<Fact> &before, std::vector<Fact> *waits) {
    std::erase_if(*waits, [&](const Fact &fact) {
      return std::none_of(before.begin(), before.end(), [&](const Fact &old) {
        return old.at.barrier == fact.at.barrier && same_slot(old.at.slot, fact.at.slot);
      });
    });
  }

  void scan_branches(const If &branch, State *state) {
    State other = *state;
    scan(branch.then_body, state);
    scan(branch.else_body, &other);
    keep_common(other.waits, &state->waits);
    state->issued.insert(other.issued.begin(), other.issued.end());
    state->committed.insert(other.committed.begin(), other.committed.end());
    for (const auto &[tile, own] : other.own) {
      Own &mine = state->own.emplace(tile, own).first->second;
      mine = std::min(mine, own);
    }
    state->unfenced.insert(other.unfenced.begin(), other.unfenced.end());
    state->read.insert(other.read.begin(), other.read.end());
  }

  void check_register(Tile tile, const Stmt &s, const State &state) const {
    const auto found = tiles_.find(tile);
    if (found == tiles_.end() || found->second.placement.memory != Memory::Registers) return;
    require(found->second.owner == role_, "the registers " + tile->name + " are of another role",
            s);
    require(state.issued.count(tile) == 0 && state.committed.count(tile) == 0,
            "the registers " + tile->name +
                " are accessed while an asynchronous mma on them may be under way: commit it and "
                "drain matrix first",
            s);
  }

  void check_load(const Load &load, const Stmt &s, State *state) {
    const Tile tile = load.storage.get();
    check_register(tile, s, *state);
    const auto found = tiles_.find(tile);
    if (found == tiles_.end() || found->second.placement.memory != Memory::Shared) return;
    check_read(tile, found->second.placement.buffered ? load.indices.at(0) : Expr(), false, s,
               state);
  }

  void check_read(Tile tile, const Expr &slot, bool by_async_proxy, const Stmt &s, State *state) {
    const TileUse &use = tiles_.at(tile);
    state->read.insert(tile);
    bool fenced = !use.generic || use.writer_fences;
    if (use.writers == std::set<const Role *>{role_}) {
      const auto own = state->own.find(tile);
      require(own == state->own.end() || own->second == Own::Seen,
              tile->name + " is read before what this role wrote is seen by all its threads: " +
                  (use.async_copies ? "drain copies and sync first" : "sync first"),
              s);
      fenced = fenced || state->unfenced.count(tile) == 0;
    } else if (role_ != &whole_) {
      const auto fact =
          std::find_if(state->waits.rbegin(), state->waits.rend(), [&](const Fact &f) {
            return use.full.count(f.at.barrier.get()) != 0 &&
                   (!slot.defined() || same_slot(f.at.slot, slot));
          });
      require(fact != state->waits.rend() || (use.writers.count(&whole_) && use.full.empty()),
              tile->name + " is read without a wait for a barrier on which its copies complete", s);
      if (fact != state->waits.rend()) fenced = fenced || fact->fenced;
    }
    require(!by_async_proxy || fenced,
            tile->name +
                " was written through the generic proxy and is read by an asynchronous mma with no "
                "`fence async` between",
            s);
  }

  void scan_copy(const Copy &copy, const Stmt &s, State *state) {
    const Tile tile = copy.storage.get();
    const TileUse &use = tiles_.at(tile);
    const Expr slot = use.placement.buffered ? copy.indices.at(0) : Expr();
    const bool waited =
        std::any_of(state->waits.begin(), state->waits.end(), [&](const Fact &fact) {
          return use.full.count(fact.at.barrier.get()) == 0 &&
                 (!slot.defined() || same_slot(fact.at.slot, slot));
        });
    std::set<const Role *> others = use.readers;
    others.erase(role_);
    const bool safe = others.empty() ? state->read.count(tile) == 0 : loops_ == 0;
    require(waited || safe, "a copy into " + tile->name + " does not wait until the buffer is free",
            s);
    if (copy.engine == CopyEngine::Bulk) return;
    Own &own = state->own.emplace(tile, Own::Issued).first->second;
    if (own != Own::Seen || !use.placement.buffered)
      own = copy.engine == CopyEngine::Async ? Own::Issued : Own::Drained;
    state->unfenced.insert(tile);
  }

  void scan_mma(const Mma &mma, const Stmt &s, State *state) {
    for (const TileOperand *operand : {&mma.a, &mma.b}) {
      const Tile tile = operand->tile.get();
      const auto found = tiles_.find(tile);
      if (found == tiles_.end()) continue;
      if (found->second.placement.memory == Memory::Shared) {
        check_read(tile, operand->slot, mma.asynchronous, s, state);
      } else if (mma.asynchronous) {
        state->issued.insert(tile);
      }
    }
    const Tile accumulator = mma.accumulator.tile.get();
    if (mma.asynchronous) {
      const auto found = tiles_.find(accumulator);
      require(found->second.owner == role_,
              "the registers " + accumulator->name + " are of another role", s);
      state->issued.insert(accumulator);
    } else {
      check_register(accumulator, s, *state);
    }
  }
};

}  // namespace

std::optional<BrokenRule> broken_staged_rule(const Launch &launch, const DeviceLimits &limits) {
  try {
    Rules(launch, limits).check();
  } catch (Broken &broken) {
    return std::move(broken.rule);
  }
  return std::nullopt;
}

}  // namespace pit::ir
