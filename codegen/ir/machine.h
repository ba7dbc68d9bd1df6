// The blocks of a cluster that run together in the interpreter: barriers, what is under way, and
// which accesses to shared memory are ordered.
//
// A role is one coroutine, whose statements all its warps execute. That its warps are not in step
// is in the clocks: what a role wrote itself it may read only after a Sync, or a Wait for a barrier
// at which all its threads arrived. So a race is found in whatever order roles happen to run; the
// order decides only which values a wrong program computes.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coroutines.h"
#include "interpret.h"
#include "knowledge.h"
#include "memory.h"
#include "staged.h"

namespace pit::ir {

/// What one statement of a role has under way or has done.
struct Agent {
  std::string name;
  int block = 0;  ///< rank in the cluster
  int warps = 1;
  ParallelIterations::Id iteration = ParallelIterations::kNone;  ///< that its accesses are part of
  std::size_t accesses = 0, matrix = 0, copies = 0;              ///< components of time
  Knowledge known;
  std::int64_t now = 1;                  ///< of `accesses`
  std::int64_t fenced_now = 0;           ///< at the last `fence async`
  std::int64_t issued = 0;               ///< Async copies
  std::int64_t landed = 0;               ///< of those, drained
  std::int64_t handed = 0;               ///< of those, waited for by an arrival
  std::int64_t fenced_landed = 0;        ///< at the last `fence async`
  std::deque<std::int64_t> copy_groups;  ///< `issued` at each Commit that is not drained
  struct MatrixGroup {
    std::vector<std::function<void()>> work;  ///< in issue order, when it lands late
    std::vector<Buffer *> registers;          ///< that the instructions use
  };
  std::deque<MatrixGroup> matrix_groups{MatrixGroup()};  ///< the last is not committed
  std::int64_t groups_begun = 1;                         ///< of matrix instructions
  std::vector<Agent *> children;                         ///< roles that ended since the last Sync
};

class Machine {
 public:
  Machine(const Interleaving &interleaving, std::uint32_t point, int blocks);

  /// Runs `body` for each block, as an agent of its own, to the end.
  void run(const std::function<void(Agent *)> &body, int warps);
  /// Runs the bodies of roles of `parent`'s block and comes back when they have ended.
  void run_roles(Agent *parent, const std::vector<Role> &roles,
                 const std::function<void(Agent *, const Role &)> &body);

  // Memory.
  void make_shared(Agent *agent, const StoragePtr &storage, const std::shared_ptr<Buffer> &buffer);
  void make_registers(const std::shared_ptr<Buffer> &buffer);
  void forget_registers(const StoragePtr &storage, Buffer *buffer);
  void forget_shared(Agent *agent, const StoragePtr &storage);
  bool is_shared(const Agent *agent, const StoragePtr &storage) const;

  // Barriers. `slot` and `parity` have been evaluated.
  void make_barrier(Agent *agent, const BarrierPtr &barrier);
  void forget_barrier(Agent *agent, const BarrierPtr &barrier);
  void arrive(Agent *agent, const Arrive &arrive, std::int64_t slot, std::int64_t bytes);
  void wait(Agent *agent, const BarrierPtr &barrier, std::int64_t slot, std::int64_t parity);
  void sync(Agent *agent, bool cluster);
  void fence(Agent *agent, FenceKind kind);

  // What is under way.
  struct Element {
    Buffer *buffer;
    Place place;
    Value value;
  };
  void copy_async(Agent *agent, std::vector<Element> elements);
  /// A bulk copy into a shared tile, of the block or of all blocks, whose bytes arrive at the
  /// barrier of each.
  void copy_bulk(Agent *agent, const StoragePtr &tile, std::vector<Element> elements,
                 const BarrierPtr &barrier, std::int64_t slot, bool multicast);
  /// `reads`: elements of operands in shared memory; `registers`: accumulator, operand in
  /// registers.
  void issue_matrix(Agent *agent, const std::vector<Element> &reads,
                    std::vector<Buffer *> registers, std::function<void()> work);
  void commit(Agent *agent, Engine engine);
  void drain(Agent *agent, Engine engine, int pending);

  /// Who executes now.
  void enter(Agent *agent) { current_ = agent; }

 private:
  friend class SharedTrace;
  friend class RegisterTrace;

  struct Slot {
    std::int64_t phase = 0, arrivals = 0, bytes = 0;
    std::size_t component = 0;
    Knowledge gathered, completed;
  };
  enum class Initialised : std::uint8_t { No, Fenced, Yes, Gone };
  struct Barrier {
    BarrierPtr barrier;
    Initialised initialised = Initialised::No;
    std::vector<Slot> slots;
  };
  /// Something that happens later.
  struct Pending {
    Agent *agent;
    std::int64_t copy;   ///< number of the Async copy; 0: not one
    std::int64_t after;  ///< happens after the agent's Async copies up to this number
    std::function<void()> land;
  };
  struct Block {
    std::map<const BarrierNode *, Barrier> barriers;
    std::map<const StorageNode *, std::shared_ptr<Buffer>> shared;
  };

  Interleaving interleaving_;
  Coroutines coroutines_;
  std::vector<Block> blocks_;
  std::vector<std::unique_ptr<Agent>> agents_;
  std::vector<Pending> pending_;
  std::map<const Agent *, std::function<std::string()>> waiting_;  // what for, for messages
  std::size_t components_ = 0;
  Agent *current_ = nullptr;
  bool landing_ = false;  // accesses are those of something that lands
  std::int64_t cluster_syncs_ = 0, cluster_arrived_ = 0;
  Knowledge cluster_gathered_, cluster_completed_;

  Agent *make_agent(std::string name, int block, int warps);
  void await(Agent *agent, std::function<bool()> ready, std::function<std::string()> what);
  void pause(Agent *agent);
  Buffer &shared(int block, const StoragePtr &storage);
  Barrier &barrier(int block, const BarrierPtr &barrier);
  Slot &slot(int block, const BarrierPtr &barrier, std::int64_t slot);
  static std::string name_of(const BarrierPtr &barrier, std::int64_t slot);
  static Knowledge release(Agent *agent, Arrivals each);
  static void arrive(const Barrier &barrier, Slot *slot, std::int64_t arrivals,
                     const Knowledge &knowledge);
  static void complete(const Barrier &barrier, Slot *slot);
  bool may_land(const Pending &pending) const;
  void land(std::size_t pending);
  void land_copies(Agent *agent, std::int64_t up_to);
  void add_pending(Pending pending);
  void when_idle();
  void require_nothing_under_way(const Agent &agent) const;
};

}  // namespace pit::ir
