// The staged level of the tile IR: what a kernel of a GPU does with memory spaces, copies and
// matrix instructions that are still under way, barriers, and warps that do different things.
//
// These are further statements over the same tiles, inside a Launch. `codegen/lower/` makes them
// from the logical level; the verifier checks what can be seen of them without running; the
// interpreter runs roles interleaved and finds races, stale reads and waits that cannot end. Each
// statement says which PTX it becomes.
//
// *Who executes.* All threads of a block, or of a role, execute a statement together. Statements
// with axes are shared out among them, so that what one thread wrote to shared memory another may
// read only after a Sync, or after a Wait for a barrier at which all of them arrived. Warps are not
// in step otherwise.
//
// *Placement* (layout.h) is part of Allocate: `shared` and `registers` tiles. Registers that a
// fragment layout does not distribute are in every thread that needs them.
//
// *Slots.* A buffered tile has its buffers as first dimension. Its users name one by a slot: the
// first index of a Store, a Copy or a load, and TileOperand::slot of an Mma.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ir.h"

namespace pit::ir {

/// Identity of the barriers of a block: `slots` mbarriers in shared memory, each of which completes
/// a phase when `arrivals` arrivals and all bytes that were expected have come. Phases of a slot
/// are counted from 0, their parity alternates.
struct BarrierNode {
  std::string name;
  int slots = 1;
  int arrivals = 1;
};
using BarrierPtr = std::shared_ptr<const BarrierNode>;

/// One of the barriers. `slot` reads no axis.
struct BarrierSlot {
  BarrierPtr barrier;
  Expr slot;
};

/// The barriers exist, initialised, in body. Outside of Roles, and followed by `fence barriers` and
/// a Sync before the first use (PTX: mbarrier.init.shared::cta.b64 by one thread, a slot each).
struct Barriers final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Barriers;
  BarrierPtr barrier;
  Stmt body;
  Barriers(BarrierPtr b, Stmt s) : StmtNode(kKind), barrier(std::move(b)), body(std::move(s)) {}
};

/// How many arrivals one Arrive of a role is.
enum class Arrivals : std::uint8_t { Once, Warpgroup, Warp, Thread };

/// Arrives at a barrier's slot (PTX: mbarrier.arrive.shared::cta.b64, by one elected thread of the
/// role, of each warpgroup or of each warp, or by every thread). What precedes it in the arriving
/// threads happens before what follows the Wait. An arrival of a warp stands for all its lanes (the
/// back end puts __syncwarp before it). One of a role or of a warpgroup stands for the matrix
/// instructions that were drained, which its warps execute together, and for what a Sync ordered
/// before it, but not for other accesses of other warps.
/// All arrivals of one statement are for one phase.
struct Arrive final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Arrive;
  BarrierSlot at;
  Arrivals each;
  /// The arrival comes when the thread's Async copies so far have landed: `each` is Thread (PTX:
  /// cp.async.mbarrier.arrive.noinc.shared::cta.b64).
  bool after_copies;
  /// Null, or the bytes of Bulk copies that this phase also waits for; `each` is Once (PTX:
  /// mbarrier.arrive.expect_tx.shared::cta.b64).
  Expr bytes;
  /// At this slot in every block of the cluster (PTX: mapa.shared::cluster and
  /// mbarrier.arrive.shared::cluster.b64, one thread a block).
  bool cluster;
  Arrive(BarrierSlot a, Arrivals e, bool after = false, Expr b = {}, bool c = false)
      : StmtNode(kKind),
        at(std::move(a)),
        each(e),
        after_copies(after),
        bytes(std::move(b)),
        cluster(c) {}
};

/// Waits until the phase of parity `parity` (0 or 1) of the slot is complete: goes on at once when
/// the current phase has the other parity (PTX: mbarrier.try_wait.parity.shared::cta.b64 in a loop,
/// by every thread). A wait for the phase before the first, parity 1, goes on at once.
struct Wait final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Wait;
  BarrierSlot at;
  Expr parity;
  Wait(BarrierSlot a, Expr p) : StmtNode(kKind), at(std::move(a)), parity(std::move(p)) {}
};

/// What copies. Threads: loads and stores by the threads, done when the statement is. Async: 4, 8
/// or 16 bytes at a time, under way until drained, or until an Arrive `after_copies` has come (PTX:
/// cp.async.cg or .ca, zero-filled by its ignore-src predicate). Bulk: a box, by the tensor memory
/// accelerator; its bytes arrive at a barrier (PTX: cp.async.bulk.tensor.Nd.shared::cluster.global
/// .mbarrier::complete_tx::bytes by one thread). Threads and Async write through the generic proxy.
enum class CopyEngine : std::uint8_t { Threads, Async, Bulk };

/// for axes (outermost first): storage[indices] = all guards ? value : 0.
///
/// `storage` is a shared tile, `value` one load of its type from memory. Unlike a Store, a Copy
/// writes where a guard fails, so that a tile is whole; value is not evaluated there. What it reads
/// beside the source (guards, indices, tiles of coordinates) is read when it is issued. `bytes`: of
/// one Async copy; guards hold for all of its elements or a prefix of them.
struct Copy final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Copy;
  CopyEngine engine;
  std::vector<VarPtr> axes;
  std::vector<Expr> guards;
  StoragePtr storage;
  std::vector<Expr> indices;
  Expr value;
  int bytes;
  BarrierSlot completes;  ///< Bulk: where its bytes arrive; else null
  /// Bulk: into the same place of every block of the cluster, at whose barriers the bytes arrive
  /// (PTX: .multicast::cluster).
  bool multicast;
  Copy(CopyEngine e, std::vector<VarPtr> a, std::vector<Expr> g, StoragePtr s, std::vector<Expr> i,
       Expr v, int b = 0, BarrierSlot c = {}, bool m = false)
      : StmtNode(kKind),
        engine(e),
        axes(std::move(a)),
        guards(std::move(g)),
        storage(std::move(s)),
        indices(std::move(i)),
        value(std::move(v)),
        bytes(b),
        completes(std::move(c)),
        multicast(m) {}
};

/// What works on while the threads go on.
enum class Engine : std::uint8_t { Copies, Matrix };

/// Ends a group of the role's Async copies (PTX: cp.async.commit_group) or asynchronous Mmas (PTX:
/// wgmma.commit_group.sync.aligned). An empty group is a group.
struct Commit final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Commit;
  Engine engine;
  explicit Commit(Engine e) : StmtNode(kKind), engine(e) {}
};

/// Waits until at most `pending` of the latest groups are under way (PTX: cp.async.wait_group,
/// wgmma.wait_group.sync.aligned). Copies have then landed for the threads that issued them: others
/// see them after a Sync. Matrix: operands may be overwritten, accumulators read.
struct Drain final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Drain;
  Engine engine;
  int pending;
  Drain(Engine e, int p) : StmtNode(kKind), engine(e), pending(p) {}
};

/// Every thread of the role, or of the block outside of Roles, waits for all the others (PTX:
/// bar.sync with the role's number and threads; in every kernel, but not in a GpuThread loop), or
/// every thread of the cluster does (PTX: barrier.cluster.arrive.release.aligned and
/// .wait.acquire.aligned; outside of Roles).
struct Sync final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Sync;
  bool cluster;
  explicit Sync(bool c) : StmtNode(kKind), cluster(c) {}
};

/// Async: what the executing threads know to be written to shared memory through the generic proxy
/// (Threads and Async copies, Stores) may be read by asynchronous Mmas that follow (PTX:
/// fence.proxy.async.shared::cta). Barriers: initialised barriers are known to all that the next
/// Sync joins (PTX: fence.mbarrier_init.release.cluster).
enum class FenceKind : std::uint8_t { Async, Barriers };
struct Fence final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Fence;
  FenceKind fence;
  explicit Fence(FenceKind f) : StmtNode(kKind), fence(f) {}
};

/// Consecutive warps that execute `body`. `registers` a thread: 0, or a multiple of 8 from 24 to
/// 240 that the role asks for (PTX: setmaxnreg.inc or .dec, whole warpgroups only).
struct Role {
  std::string name;
  int warps = 1;
  int registers = 0;
  Stmt body;
};

/// The bodies run concurrently, each by its warps, in order from warp 0; together they are all
/// threads of the block. Ends when all have ended. Not inside another Roles.
struct Roles final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Roles;
  std::vector<Role> roles;
  explicit Roles(std::vector<Role> r) : StmtNode(kKind), roles(std::move(r)) {}
};

}  // namespace pit::ir
