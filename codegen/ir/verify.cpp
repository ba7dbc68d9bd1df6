#include "verify.h"

#include <algorithm>
#include <unordered_set>

#include "dsl/error.h"
#include "mutator.h"
#include "verify_scope.h"
#include "verify_staged.h"

namespace pit::ir {
namespace {

bool is_parallel(ForKind kind) {
  return kind == ForKind::Parallel || kind == ForKind::GpuBlock || kind == ForKind::GpuThread;
}

class Verifier : private ScopeRules {
 public:
  Verifier(const Module &module, const std::string &pass, const DeviceLimits &limits)
      : ScopeRules(module, pass), limits_(limits) {}

  void run() {
    for (const auto *list : {&module_.inputs, &module_.outputs}) {
      for (const StoragePtr &s : *list) {
        require(s->space == Space::Tensor, "the argument " + s->name + " is not a tensor");
        define(s, {});
      }
    }
    for (const StoragePtr &s : module_.inputs) inputs_.insert(s.get());
    for (const ParamPtr &p : module_.scalars) params_.insert(p.get());
    if (const StoragePtr &s = module_.statistics) {
      require(s->type == float64 && s->rank == 1 && s->space == Space::Heap,
              "the statistics " + s->name + " are not a Heap storage of float64 and rank 1");
      define(s, {});
    }
    verify(module_.body, true);
  }

 private:
  using ScopeRules::verify;

  /// A parallel loop that the walk is inside of.
  struct ParallelLoop {
    VarPtr var;
    std::unordered_set<const VarNode *>
        dependent;                                ///< variables that differ between its iterations
    std::unordered_set<const StorageNode *> own;  ///< storages that each iteration has its own of
    int conditions = 0;  ///< enclosing conditions that differ between its iterations
  };

  const DeviceLimits &limits_;
  std::unordered_set<const StorageNode *> inputs_;
  std::vector<ParallelLoop> parallel_;
  std::unordered_set<const BarrierNode *> barriers_;  // in scope
  bool in_stage_ = false, in_launch_ = false, in_thread_loop_ = false;
  int loops_never_run_ =
      0;  ///< enclosing loops of no iterations: what is inside races with nothing

  // --- writes ---

  bool depends(const Expr &e, const ParallelLoop &loop) const {
    bool found = false;
    walk(e, [&](const Expr &part) {
      if (const auto *variable = part.as<Variable>())
        found = found || loop.dependent.count(variable->var.get()) != 0;
      if (const auto *load = part.as<Load>())
        found = found || loop.own.count(load->storage.get()) != 0;
      return !found;
    });
    return found;
  }
  bool any_depends(const std::vector<Expr> &list, const ParallelLoop &loop) const {
    return std::any_of(list.begin(), list.end(), [&](const Expr &e) { return depends(e, loop); });
  }

  void verify_write(const StoragePtr &s, const std::vector<Expr> &indices,
                    const std::vector<Expr> &guards, bool atomic) const {
    verify_exists(s);
    require(inputs_.count(s.get()) == 0, "the input " + s->name + " is written");
    if (atomic || loops_never_run_ > 0) return;
    for (const ParallelLoop &loop : parallel_) {
      if (loop.own.count(s.get()) != 0 || loop.conditions > 0) continue;
      require(any_depends(indices, loop) || any_depends(guards, loop),
              "every iteration of the parallel loop " + loop.var->name +
                  " writes the same elements of " + s->name + ", not atomically");
    }
  }

  // --- statements ---

  /// `outermost`: a Stage may be here.
  void verify(const Stmt &s, bool outermost) {
    if (!s.defined()) return;
    const Stmt *outer = statement_;
    statement_ = &s;
    switch (s->kind) {
#define PIT_VERIFY(name)              \
  case StmtKind::name:                \
    verify(*s.as<name>(), outermost); \
    break;
      PIT_STATEMENTS(PIT_VERIFY)
#undef PIT_VERIFY
    }
    statement_ = outer;
  }

  void verify(const Block &block, bool outermost) {
    for (const Stmt &s : block.stmts) verify(s, outermost);
  }

  void verify(const For &loop, bool) {
    verify_integral(loop.min, {}, "the start ");
    verify_integral(loop.extent, {}, "the extent ");
    require(loop.var->role == VarRole::Loop && loop.var->type == int64,
            "the variable " + loop.var->name + " of a loop is no Loop variable of type int64");
    define_once(loop.var.get(), loop.var->name);
    variables_.insert(loop.var.get());
    for (ParallelLoop &outer : parallel_) {
      if (depends(loop.min, outer)) outer.dependent.insert(loop.var.get());
    }
    std::int64_t extent = 0;
    const bool parallel =
        is_parallel(loop.loop_kind) && (!is_const_int(loop.extent, &extent) || extent > 1);
    const bool never = never_runs(loop.extent);
    loops_never_run_ += never;
    if (parallel) parallel_.push_back({loop.var, {loop.var.get()}, {}});
    const bool outside = in_thread_loop_;
    in_thread_loop_ = outside || loop.loop_kind == ForKind::GpuThread;
    verify(loop.body, false);
    in_thread_loop_ = outside;
    if (parallel) parallel_.pop_back();
    loops_never_run_ -= never;
    variables_.erase(loop.var.get());
  }

  void verify(const Axes &axes, bool) {
    for (const AxisBinding &axis : axes.axes) {
      verify_integral(axis.extent, {}, "the extent ");
      require(axis.var->role == VarRole::Axis && axis.var->type == int64,
              "the variable " + axis.var->name + " of an axis is no Axis variable of type int64");
      std::int64_t extent = 0;
      require(axis.maximum >= 0, "the maximum of axis " + axis.var->name + " is negative");
      require(axis.maximum == 0 || !is_const_int(axis.extent, &extent) || extent <= axis.maximum,
              "the extent of axis " + axis.var->name + " is above its maximum");
    }
    for (const AxisBinding &axis : axes.axes) {
      define_once(axis.var.get(), axis.var->name);
      axes_[axis.var.get()] = axis;
    }
    verify(axes.body, false);
    for (const AxisBinding &axis : axes.axes) axes_.erase(axis.var.get());
  }

  void verify(const Let &let, bool outermost) {
    verify(let.value, std::vector<VarPtr>{});
    require(let.var->role == VarRole::Let,
            "the variable " + let.var->name + " of a let is no Let variable");
    require(let.var->type == let.value.type(), "the value of " + let.var->name + " is of type " +
                                                   to_string(let.value.type()) + ", not " +
                                                   to_string(let.var->type));
    define_once(let.var.get(), let.var->name);
    variables_.insert(let.var.get());
    for (ParallelLoop &loop : parallel_) {
      if (depends(let.value, loop)) loop.dependent.insert(let.var.get());
    }
    verify(let.body, outermost);
    variables_.erase(let.var.get());
  }

  void verify(const If &branch, bool) {
    verify_bool(branch.condition, {}, "the condition ");
    std::vector<bool> conditional;
    for (ParallelLoop &loop : parallel_) {
      conditional.push_back(depends(branch.condition, loop));
      loop.conditions += conditional.back();
    }
    verify(branch.then_body, false);
    verify(branch.else_body, false);
    for (std::size_t i = 0; i < parallel_.size(); ++i) parallel_[i].conditions -= conditional[i];
  }

  void verify(const Allocate &allocate, bool outermost) {
    const StoragePtr &s = allocate.storage;
    require(s->space != Space::Tensor, "the tensor " + s->name + " is allocated");
    require(static_cast<int>(allocate.extents.size()) == s->rank,
            s->name + " of rank " + std::to_string(s->rank) + " has " +
                std::to_string(allocate.extents.size()) + " extents");
    for (const Expr &extent : allocate.extents) verify_integral(extent, {}, "the extent ");
    require(allocate.placement == Placement() || (s->space == Space::Tile && in_launch_),
            s->name + " has a place on a GPU but is no tile of a kernel");
    define(s, allocate.extents);
    for (ParallelLoop &loop : parallel_) loop.own.insert(s.get());
    verify(allocate.body, outermost);
    storages_.erase(s.get());
  }

  void verify(const Store &store, bool) {
    verify_listed(store.axes);
    for (const Expr &guard : store.guards) verify_bool(guard, store.axes, "the guard ");
    require(store.storage != nullptr, "a storage is missing");
    verify_access(store.storage, store.indices, store.axes);
    verify(store.value, store.axes);
    const StorageNode &s = *store.storage;
    require(store.value.type() == s.type, "the value is of type " + to_string(store.value.type()) +
                                              ", but " + s.name + " is of type " +
                                              to_string(s.type));
    require(store.vector_bytes >= 0, "the number of bytes of a copy is negative");
    if (store.through) {
      verify_exists(store.through);
      require(in_launch_, "the store passes " + store.through->name + ", but is in no kernel");
    }
    switch (store.combiner) {
      case Combiner::Softmax:
      case Combiner::TopK:
        fail("the combiner " + to_string(store.combiner) + " is left");
      case Combiner::And:
      case Combiner::Or:
        require(s.type.is_bool(), to_string(store.combiner) + " into " + s.name + ", not of bools");
        break;
      case Combiner::Assign:
        require(!store.atomic, "an assignment is atomic");
        break;
      default:
        break;
    }
    const bool never = loops_never_run_ > 0 ||
                       std::any_of(store.axes.begin(), store.axes.end(), [&](const VarPtr &axis) {
                         return never_runs(axes_.at(axis.get()).extent);
                       });
    if (!store.axes.empty() && !never) verify_iterations(store);
    verify_write(store.storage, store.indices, store.guards, store.atomic || never);
  }

  static bool never_runs(const Expr &extent) {
    std::int64_t n = 1;
    return is_const_int(extent, &n) && n <= 0;
  }

  /// Rules of a store with several iterations.
  void verify_iterations(const Store &store) const {
    if (store.combiner == Combiner::Assign) {
      for (const VarPtr &axis : store.axes) {
        std::int64_t extent = 0;
        if (is_const_int(axes_.at(axis.get()).extent, &extent) && extent <= 1) continue;
        require(std::any_of(store.indices.begin(), store.indices.end(),
                            [&](const Expr &i) { return uses(i, axis); }),
                "the iterations of axis " + axis->name + " assign the same elements of " +
                    store.storage->name);
      }
    }
    // Iterations that differ in an axis lie apart when an index that uses the axis is that of the
    // store in every read.
    std::vector<bool> agrees(store.indices.size(), true);
    bool reads = false;
    const auto look = [&](const Expr &e) {
      walk(e, [&](const Expr &part) {
        const auto *load = part.as<Load>();
        if (load == nullptr || load->storage != store.storage) return true;
        reads = true;
        for (std::size_t d = 0; d < agrees.size(); ++d)
          agrees[d] = agrees[d] && equal(load->indices[d], store.indices[d]);
        return true;
      });
    };
    for (const Expr &index : store.indices) look(index);
    for (const Expr &guard : store.guards) look(guard);
    look(store.value);
    if (!reads) return;
    for (const VarPtr &axis : store.axes) {
      std::int64_t extent = 0;
      if (is_const_int(axes_.at(axis.get()).extent, &extent) && extent <= 1) continue;
      bool apart = false;
      for (std::size_t d = 0; d < agrees.size(); ++d)
        apart |= agrees[d] && uses(store.indices[d], axis);
      require(apart, "iterations of axis " + axis->name + " may read elements of " +
                         store.storage->name + " that others store");
    }
  }

  void verify(const Mma &mma, bool) {
    std::vector<VarPtr> all;
    for (const auto *role : {&mma.batch, &mma.m, &mma.n, &mma.k})
      all.insert(all.end(), role->begin(), role->end());
    verify_listed(all);
    require(!mma.k.empty(), "an mma has no k axis");
    verify_operand(mma.accumulator, {&mma.batch, &mma.m, &mma.n}, nullptr);
    verify_operand(mma.a, {&mma.m, &mma.k}, &mma.batch);
    verify_operand(mma.b, {&mma.k, &mma.n}, &mma.batch);
    const Type type = mma.accumulator.tile->type;
    for (const TileOperand *operand : {&mma.a, &mma.b}) {
      const Type narrow = operand->tile->type;
      require(narrow.bits <= type.bits && narrow.is_float() == type.is_float() && !type.is_bool(),
              "the operand " + operand->tile->name + " of an mma is of type " + to_string(narrow) +
                  ", but the accumulator is " + to_string(type));
      require(operand->tile != mma.accumulator.tile, "the accumulator of an mma is its operand");
    }
    std::vector<Expr> indices;
    if (mma.accumulator.slot.defined()) indices.push_back(mma.accumulator.slot);
    for (const VarPtr &axis : mma.accumulator.axes) indices.push_back(make_variable(axis));
    verify_write(mma.accumulator.tile, indices, {}, false);
  }

  /// The operand holds all axes of `roles` and may hold those of `optional`, each once.
  void verify_operand(const TileOperand &operand,
                      const std::vector<const std::vector<VarPtr> *> &roles,
                      const std::vector<VarPtr> *optional) const {
    require(operand.tile != nullptr, "an operand of an mma is missing");
    const std::string name = operand.tile->name;
    require(operand.tile->space == Space::Tile, "the operand " + name + " of an mma is no tile");
    std::vector<VarPtr> wanted;
    for (const auto *role : roles) wanted.insert(wanted.end(), role->begin(), role->end());
    for (std::size_t i = 0; i < operand.axes.size(); ++i) {
      const VarPtr &axis = operand.axes[i];
      require(contains(wanted, axis) || (optional != nullptr && contains(*optional, axis)),
              "the operand " + name + " of an mma holds the axis " + axis->name +
                  ", which its role does not have");
      require(std::count(operand.axes.begin(), operand.axes.end(), axis) == 1,
              "the operand " + name + " of an mma holds the axis " + axis->name + " twice");
    }
    for (const VarPtr &axis : wanted) {
      require(contains(operand.axes, axis),
              "the operand " + name + " of an mma lacks the axis " + axis->name);
    }
    std::vector<Expr> indices;
    if (operand.slot.defined()) {
      verify(operand.slot, std::vector<VarPtr>{});  // the slot reads no axis
      indices.push_back(operand.slot);
    }
    for (const VarPtr &axis : operand.axes) indices.push_back(make_variable(axis));
    verify_access(operand.tile, indices, operand.axes);
  }

  void verify(const Check &check, bool) {
    verify_listed(check.axes);
    for (const Expr &guard : check.guards) verify_bool(guard, check.axes, "the guard ");
    verify_bool(check.condition, check.axes, "the condition ");
    for (const Expr &value : check.values)
      verify_integral(value, check.axes, "the reported value ");
  }

  /// A storage that an index statement reads or writes; null is "not wanted".
  void verify_array(const StoragePtr &s, Type type, bool written, bool wanted = false) const {
    require(s != nullptr || !wanted, "a storage is missing");
    if (s == nullptr) return;
    verify_exists(s);
    require(s->type == type,
            s->name + " is of type " + to_string(s->type) + ", not " + to_string(type));
    if (written) verify_write(s, {}, {}, false);
  }

  void verify(const IndexPlace &place, bool) {
    verify_integral(place.groups, {}, "the number of groups ");
    if (place.mark_offsets == nullptr) verify_integral(place.length, {}, "the length ");
    verify_integral(place.micro, {}, "the micro extent ");
    require(place.align >= 1, "the alignment of an index is below 1");
    verify_array(place.marks, uint8, false, true);
    verify_array(place.mark_offsets, int64, false);
    verify_array(place.first, int64, false);
    for (const StoragePtr *s :
         {&place.offsets, &place.counts, &place.coordinates, &place.position}) {
      verify_array(*s, int32, true);
    }
    verify_array(place.full, uint8, true);
    if (place.spacing.defined()) verify_integral(place.spacing, {}, "the spacing ");
    require(!place.spacing.defined() || place.mark_offsets == nullptr,
            "groups of different lengths are spaced");
  }

  void verify(const IndexSort &sort, bool) {
    verify_integral(sort.length, {}, "the length ");
    verify_integral(sort.groups, {}, "the number of groups ");
    require(sort.align >= 1, "the alignment of an index is below 1");
    verify_array(sort.keys, int64, false, true);
    for (const StoragePtr *s : {&sort.offsets, &sort.counts, &sort.coordinates, &sort.position}) {
      verify_array(*s, int32, true);
    }
  }

  void verify(const Prefix &prefix, bool) {
    verify_integral(prefix.length, {}, "the length ");
    const bool narrow = prefix.source != nullptr && prefix.source->type == int32;
    verify_array(prefix.source, narrow ? int32 : int64, false, true);
    verify_array(prefix.destination, narrow ? int32 : int64, true, true);
    require(prefix.source != prefix.destination, "a prefix sum overwrites what it reads");
  }

  /// A tile of `rank` dimensions.
  void verify_tile(const StoragePtr &s, Type type, int rank, bool written) const {
    verify_array(s, type, written, true);
    require(s->space == Space::Tile && s->rank == rank,
            s->name + " is no tile of " + std::to_string(rank) + " dimensions");
  }

  void verify(const Compact &compact, bool) {
    verify_integral(compact.length, {}, "the length ");
    verify_tile(compact.marks, boolean, 1, false);
    verify_tile(compact.list, int32, 1, true);
    verify_tile(compact.count, int32, 0, true);
  }

  void verify(const SumBefore &sum, bool) {
    for (const Expr *e : {&sum.first, &sum.part, &sum.value}) verify_integral(*e, {}, "a number ");
    verify_tile(sum.sum, int64, 0, true);
    verify_array(sum.progress, int64, false, true);
    verify_write(sum.progress, {}, {}, true);
    require(sum.progress->space == Space::Heap,
            "the progress " + sum.progress->name + " of a sum is no memory of the module's own");
  }

  /// What tells blocks apart is the number that each gets: neither it nor the counter may be had
  /// another way in the same statement.
  void verify(const FetchAdd &s, bool) {
    verify_listed(s.axes);
    for (const Expr &guard : s.guards) verify_bool(guard, s.axes, "the guard ");
    require(s.destination != nullptr && s.counters != nullptr, "a storage is missing");
    verify_access(s.destination, s.indices, s.axes);
    verify_access(s.counters, {s.at}, s.axes);
    verify_integral(s.value, s.axes, "a number ");
    const Type type = s.counters->type;
    require(type == int32 || type == int64, "the counters " + s.counters->name + " are of type " +
                                                to_string(type) + ", not int32 or int64");
    require(s.destination->type == type && s.value.type() == type,
            "the types of " + s.destination->name + ", " + s.counters->name +
                " and what is added are not the same");
    require(s.destination->space == Space::Tile, s.destination->name + " is no tile");
    require(s.destination != s.counters, "a counter is overwritten by what it was");
    std::vector<Expr> read = s.guards;
    read.insert(read.end(), s.indices.begin(), s.indices.end());
    read.insert(read.end(), {s.at, s.value});
    for (const Expr &e : read) {
      walk(e, [&](const Expr &part) {
        const auto *load = part.as<Load>();
        require(load == nullptr || (load->storage != s.counters && load->storage != s.destination),
                "a fetch_add reads ", part, ", which it changes");
        return true;
      });
    }
    for (const VarPtr &axis : s.axes) {
      require(std::any_of(s.indices.begin(), s.indices.end(),
                          [&](const Expr &i) { return uses(i, axis); }),
              "the iterations of axis " + axis->name + " assign the same elements of " +
                  s.destination->name);
    }
    if (s.ordered) {
      require(!s.axes.empty(), "an ordered fetch_add has no axis whose iterations it orders");
      require(s.counters->space == Space::Tile,
              "an ordered fetch_add counts in " + s.counters->name +
                  ", which other blocks reach; its counters are a tile");
      for (const VarPtr &axis : s.axes) {
        require(!uses(s.value, axis), "an ordered fetch_add adds ", s.value,
                ", which may differ along axis " + axis->name);
      }
    }
    verify_write(s.counters, {}, {}, true);
    verify_write(s.destination, s.indices, s.guards, false);
  }

  void verify(const Stage &stage, bool outermost) {
    require(outermost,
            "the stage " + stage.name + " is not in the outermost blocks, lets and allocations");
    in_stage_ = true;
    verify(stage.body, false);
    in_stage_ = false;
  }

  void verify(const Launch &launch, bool) {
    require(in_stage_, "the kernel " + launch.name + " is not in a stage");
    require(!in_launch_, "the kernel " + launch.name + " is launched by a kernel");
    require(launch.threads >= 1 && launch.threads <= 1024,
            "the kernel " + launch.name + " has a block of " + std::to_string(launch.threads) +
                " threads; 1 to 1024 are possible");
    const std::size_t outside = parallel_.size();
    if (launch.resident) {
      require(launch.resident->role == VarRole::Loop && launch.resident->type == int64,
              "the variable " + launch.resident->name + " is no Loop variable of type int64");
      define_once(launch.resident.get(), launch.resident->name);
      variables_.insert(launch.resident.get());
    }
    for (const GridAxis &axis : launch.grid) {
      verify_integral(axis.extent, {}, "the extent ");
      require(!reads_memory(axis.extent),
              "an extent of the grid of " + launch.name + " reads memory, which the host cannot");
      require(axis.var->role == VarRole::Loop && axis.var->type == int64,
              "the variable " + axis.var->name + " of a grid is no Loop variable of type int64");
    }
    std::vector<GridAxis> all = launch.grid;
    if (launch.cluster.var) {
      std::int64_t blocks = 0;
      require(is_const_int(launch.cluster.extent, &blocks) && blocks >= 2 && blocks <= 8,
              "the clusters of " + launch.name + " are not of 2 to 8 blocks");
      all.push_back(launch.cluster);
    }
    const int never_before = loops_never_run_;
    for (const GridAxis &axis : all) {
      define_once(axis.var.get(), axis.var->name);
      variables_.insert(axis.var.get());
      loops_never_run_ += never_runs(axis.extent);
      std::int64_t extent = 0;
      if (is_const_int(axis.extent, &extent) && extent <= 1) continue;
      parallel_.push_back({axis.var, {axis.var.get()}, {}});
    }
    in_launch_ = true;
    verify(launch.body, false);
    in_launch_ = false;
    loops_never_run_ = never_before;
    parallel_.resize(outside);
    for (const GridAxis &axis : all) variables_.erase(axis.var.get());
    if (launch.resident) variables_.erase(launch.resident.get());
    if (const auto broken = broken_staged_rule(launch, limits_)) {
      if (broken->statement.defined()) statement_ = &broken->statement;
      fail(broken->rule);
    }
  }

  // --- the staged level: what is defined; verify_staged.h has its own rules ---

  void verify(const Barriers &barriers, bool) {
    require(in_launch_, "the barrier " + barriers.barrier->name + " is not in a kernel");
    define_once(barriers.barrier.get(), barriers.barrier->name);
    barriers_.insert(barriers.barrier.get());
    verify(barriers.body, false);
    barriers_.erase(barriers.barrier.get());
  }
  void verify_slot(const BarrierSlot &at) const {
    require(at.barrier != nullptr, "a barrier is missing");
    require(barriers_.count(at.barrier.get()) != 0,
            "the barrier " + at.barrier->name + " is not defined here");
    verify_integral(at.slot, {}, "the slot ");
    std::int64_t slot = 0;
    const bool known = is_const_int(at.slot, &slot);
    require(!known || (slot >= 0 && slot < at.barrier->slots),
            "the barrier " + at.barrier->name + " has no slot " + std::to_string(slot));
  }
  void verify(const Arrive &arrive, bool) {
    verify_slot(arrive.at);
    if (arrive.bytes.defined()) verify_integral(arrive.bytes, {}, "the bytes ");
  }
  void verify(const Wait &wait, bool) {
    verify_slot(wait.at);
    verify_integral(wait.parity, {}, "the parity ");
  }
  void verify(const Copy &copy, bool) {
    // A copy is a Store but for what its guards do.
    verify(Store(copy.axes, copy.guards, copy.storage, copy.indices, Combiner::Assign, copy.value),
           false);
    require(copy.storage->space == Space::Tile, "a copy into " + copy.storage->name + ", no tile");
    const auto *load = copy.value.as<Load>();
    require(load != nullptr && load->storage->space != Space::Tile,
            "a copy of what is no element of memory");
    if (copy.completes.barrier) verify_slot(copy.completes);
  }
  void verify(const Commit &, bool) {}
  void verify(const Drain &drain, bool) {
    require(drain.pending >= 0, "a drain to fewer than no groups");
  }
  void verify(const Sync &, bool) {
    require(in_launch_, "a sync is not in a kernel");
    require(!in_thread_loop_, "a sync is in a loop over threads, not all of which come to it");
  }
  void verify(const Fence &, bool) {}
  void verify(const Roles &roles, bool) {
    for (const Role &role : roles.roles) verify(role.body, false);
  }

  static bool reads_memory(const Expr &e) {
    bool found = false;
    walk(e, [&](const Expr &part) { return !(found = found || part.as<Load>() != nullptr); });
    return found;
  }
};

}  // namespace

void verify(const Module &module, const std::string &pass, const DeviceLimits &limits) {
  Verifier(module, pass, limits).run();
}

}  // namespace pit::ir
