#include "pipeline.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "clone.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/shared_memory.h"
#include "distribute.h"
#include "early_guards.h"
#include "pipeline_form.h"
#include "slice.h"

namespace pit::lower {
namespace {

using ir::Stmt;

constexpr int kLanes = 32, kWarpsOfGroup = 4;

/// A number that every thread of a role keeps.
class Running {
 public:
  explicit Running(const std::string &name)
      : tile_(ir::make_storage(name, int32, 0, Space::Tile)) {}
  Expr value() const { return make_load(tile_, {}); }
  Stmt set(const Expr &value) const {
    return ir::make<ir::Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, tile_,
                               std::vector<Expr>{}, Combiner::Assign, value);
  }
  Stmt in(const Stmt &body) const {
    return ir::make<ir::Allocate>(tile_, std::vector<Expr>{}, body,
                                  ir::Placement{ir::Memory::Registers});
  }

 private:
  StoragePtr tile_;
};

/// A slot, and the parity of how often the slots have been gone through.
struct Position {
  Running slot, phase;
  int stages;
  explicit Position(const std::string &name, int n)
      : slot(name + ".slot"), phase(name + ".phase"), stages(n) {}

  Stmt start() const {
    return ir::make_block({slot.set(make_int(int32, 0)), phase.set(make_int(int32, 0))});
  }
  Stmt advance() const {
    return ir::make_block(
        {slot.set(slot.value() + 1),
         ir::make<ir::If>(slot.value() == stages, ir::make_block({slot.set(make_int(int32, 0)),
                                                                  phase.set(1 - phase.value())}))});
  }
  Stmt in(const Stmt &body) const { return slot.in(phase.in(body)); }

  /// A position as it can be waited for.
  struct Place {
    Expr slot, phase;
  };
  Place place() const { return {slot.value(), phase.value()}; }
  /// The one behind it.
  Place next() const {
    const Expr after = slot.value() + 1, wraps = after == stages;
    return {make_select(wraps, make_int(int32, 0), after),
            make_select(wraps, 1 - phase.value(), phase.value())};
  }
};

/// Without the allocation of a tile, which is elsewhere.
class Allocated final : public ir::Mutator {
 public:
  explicit Allocated(const StoragePtr &tile) : tile_(tile) {}

 protected:
  using Mutator::visit;
  Stmt visit(const ir::Allocate &node, const Stmt &self) override {
    return node.storage == tile_ ? mutate(node.body) : Mutator::visit(node, self);
  }

 private:
  const StoragePtr &tile_;
};

/// Replaces the loop of `var`.
class AtLoop final : public ir::Mutator {
 public:
  AtLoop(VarPtr var, std::function<Stmt(const ir::For &)> change)
      : var_(std::move(var)), change_(std::move(change)) {}

 protected:
  using Mutator::visit;
  Stmt visit(const ir::For &node, const Stmt &self) override {
    return node.var == var_ ? change_(node) : Mutator::visit(node, self);
  }

 private:
  VarPtr var_;
  std::function<Stmt(const ir::For &)> change_;
};

class Pipeliner {
 public:
  Pipeliner(const ir::Launch &launch, const PipelineOptions &options, const PipelineForm &form)
      : launch_(launch), options_(options), form_(form), body_(launch.body) {
    if (options_.producer_warps == 0) return;
    for (const auto *let = body_.as<ir::Let>(); let && reads_tensors_alone(let->value);
         let = body_.as<ir::Let>()) {
      first_.push_back(let);
      body_ = let->body;
    }
  }

  /// Why producers cannot run ahead; "" when they can.
  std::string separate() {
    producer_needs_ = needs([&](const Stmt &s) { return form_.loaded_by(s) != nullptr; });
    consumer_needs_ = needs([&](const Stmt &s) {
      const auto *store = s.as<ir::Store>();
      if (store == nullptr) return s.as<ir::Check>() || s.as<ir::Mma>();
      return store->storage->space != Space::Tile ||
             form_.accumulators.count(store->storage.get()) != 0;
    });
    std::string reason;
    ir::walk_statements(launch_.body, [&](const Stmt &s) {
      const auto *store = s.as<ir::Store>();
      if (store && store->storage->space != Space::Tile &&
          producer_needs_.count(store->storage.get()))
        reason = "the loads need " + store->storage->name + ", which the kernel stores";
      return true;
    });
    for (const auto &[tile, placement] : form_.accumulators) {
      if (producer_needs_.count(tile) != 0) reason = "the loads need the products " + tile->name;
    }
    return reason;
  }

  Stmt run() { return options_.producer_warps > 0 ? with_roles() : with_groups(); }

 private:
  using Tiles = std::set<const StorageNode *>;
  const ir::Launch &launch_;
  const PipelineOptions &options_;
  const PipelineForm &form_;
  /// With roles: the definitions that the kernel begins with, and its body without them. What they
  /// read, how long a list is for example, is under way while the barriers are made. What kernels
  /// before it store has to be waited for, which comes behind.
  std::vector<const ir::Let *> first_;
  Stmt body_;
  Tiles producer_needs_, consumer_needs_;

  static bool reads_tensors_alone(const Expr &e) {
    bool alone = true;
    walk(e, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      alone = alone && (load == nullptr || load->storage->space == Space::Tensor);
      return alone;
    });
    return alone;
  }

  // --- who needs what ---

  /// The storages that the statements `own` read, those that the stores to these read, and so on;
  /// and what is read by definitions, bounds and conditions around them.
  Tiles needs(const std::function<bool(const Stmt &)> &own) const {
    Tiles needed;
    const auto read = [&](const StoragePtr &storage) { needed.insert(storage.get()); };
    const std::function<bool(const Stmt &)> visit = [&](const Stmt &s) {
      const auto *store = s.as<ir::Store>();
      bool wanted = own(s) || (store && store->storage->space == Space::Tile &&
                               form_.operand(store->storage) == nullptr &&
                               needed.count(store->storage.get()) != 0);
      bool first = true;
      ir::walk_statements(s, [&](const Stmt &part) {
        if (std::exchange(first, false)) return true;
        wanted = visit(part) || wanted;
        return false;
      });
      if (wanted) for_each_read(s, read);
      return wanted;
    };
    std::size_t before = 0;
    do {
      before = needed.size();
      visit(launch_.body);
    } while (needed.size() != before);
    return needed;
  }

  static bool in(const Tiles &needed, const Stmt &s) {
    const auto *store = s.as<ir::Store>();
    return store && store->storage->space == Space::Tile && needed.count(store->storage.get()) != 0;
  }

  /// What is stored to tiles behind the loop, does not depend on the sums and may come before what
  /// is between: who multiplies does it while the last products are still made.
  std::vector<Stmt> without_sums() const {
    Tiles read, written;  // by what stays, and by the kernel in memory
    ir::walk_statements(launch_.body, [&](const Stmt &s) {
      const auto *store = s.as<ir::Store>();
      if (store && store->storage->space != Space::Tile) written.insert(store->storage.get());
      return true;
    });
    std::vector<Stmt> early;
    for (const Stmt &s : behind_loop()) {
      const auto *store = s.as<ir::Store>();
      bool fits = store && store->storage->space == Space::Tile &&
                  consumer_needs_.count(store->storage.get()) != 0 &&
                  form_.accumulators.count(store->storage.get()) == 0 &&
                  read.count(store->storage.get()) == 0 && written.count(store->storage.get()) == 0;
      for_each_read(s, [&](const StoragePtr &storage) {
        fits = fits && form_.accumulators.count(storage.get()) == 0 &&
               written.count(storage.get()) == 0;
      });
      if (fits) {
        early.push_back(s);
        continue;
      }
      ir::walk_statements(s, [&](const Stmt &part) {
        for_each_read(part, [&](const StoragePtr &storage) { read.insert(storage.get()); });
        if (const auto *stored = part.as<ir::Store>()) written.insert(stored->storage.get());
        return true;
      });
    }
    return early;
  }

  /// The statements that follow the loop, as far as they are in its scope and run as often.
  std::vector<Stmt> behind_loop() const {
    std::vector<Stmt> list;
    bool same_scope = true;
    const std::function<bool(const Stmt &)> holds_loop = [&](const Stmt &s) {
      if (const auto *loop = s.as<ir::For>(); loop && loop == form_.loop) return true;
      bool found = false;
      if (const auto *block = s.as<ir::Block>()) {
        for (const Stmt &part : block->stmts) {
          if (found && same_scope) list.push_back(part);
          found = found || holds_loop(part);
        }
        return found;
      }
      bool first = true;
      ir::walk_statements(s, [&](const Stmt &part) {
        if (std::exchange(first, false)) return true;
        found = found || holds_loop(part);
        return false;
      });
      if (found && (s.as<ir::For>() || s.as<ir::If>())) same_scope = false;
      return found;
    };
    holds_loop(launch_.body);
    return list;
  }

  // --- statements ---

  std::vector<VarPtr> padded(std::vector<VarPtr> axes) const {
    for (VarPtr &axis : axes) axis = form_.padded.at(axis.get()).var;
    return axes;
  }
  Expr padded(const Expr &e) const {
    std::vector<VarPtr> from;
    std::vector<Expr> to;
    for (const VarPtr &variable : free_variables(e)) {
      const auto found = form_.padded.find(variable.get());
      if (found == form_.padded.end()) continue;
      from.push_back(variable);
      to.push_back(make_variable(found->second.var));
    }
    return from.empty() ? e : substitute(e, from, to);
  }

  /// `slot`: of a standing operand, that of the barrier alone.
  Stmt copy(const PipelinedOperand &operand, const Expr &slot, const ir::BarrierPtr &full) const {
    std::vector<Expr> guards, indices;
    if (!operand.standing) indices.push_back(slot);
    const bool bulk = operand.engine == ir::CopyEngine::Bulk;
    for (const Expr &guard : bulk ? operand.box_guards : operand.guards)
      guards.push_back(padded(guard));
    for (const Expr &index : operand.load->indices) indices.push_back(padded(index));
    std::vector<VarPtr> axes = padded(operand.load->axes);
    Expr value = padded(operand.value);
    const bool multicast = operand.shared_dimension >= 0;
    if (multicast) {
      // This block's part.
      const VarPtr whole =
          form_.padded.at(operand.axis(static_cast<std::size_t>(operand.shared_dimension)).get())
              .var;
      std::replace(axes.begin(), axes.end(), whole, operand.part.var);
      const Expr at = make_variable(launch_.cluster.var) * operand.part.maximum +
                      make_variable(operand.part.var);
      for (auto *list : {&guards, &indices})
        for (Expr &e : *list) e = substitute(e, {whole}, {at});
      value = substitute(value, {whole}, {at});
    }
    return ir::make<ir::Copy>(operand.engine, std::move(axes), std::move(guards), operand.buffers,
                              std::move(indices), value,
                              operand.engine == ir::CopyEngine::Async ? options_.copy_bytes : 0,
                              bulk ? ir::BarrierSlot{full, slot} : ir::BarrierSlot{}, multicast);
  }

  const ir::Atom &atom_of(const ir::Mma &mma) const {
    const auto found = std::find(form_.products.begin(), form_.products.end(), &mma);
    return *form_.atoms[static_cast<std::size_t>(found - form_.products.begin())];
  }

  Stmt product(const ir::Mma &mma, const Expr &slot, bool asynchronous) const {
    const auto operand = [&](const ir::TileOperand &tile) {
      const PipelinedOperand *found = form_.operand(tile.tile);
      return ir::TileOperand{found ? found->buffers : tile.tile, padded(tile.axes),
                             found && !found->standing ? slot : Expr()};
    };
    return ir::make<ir::Mma>(mma.batch, padded(mma.m), padded(mma.n), padded(mma.k),
                             operand(mma.accumulator), operand(mma.a), operand(mma.b),
                             atom_of(mma).name, asynchronous);
  }

  /// A statement of those who multiply, other than a load or a product.
  Stmt consumed(const Stmt &s) const {
    const auto *store = s.as<ir::Store>();
    if (store == nullptr) return s;
    if (store->storage->space != Space::Tile) return s;
    if (consumer_needs_.count(store->storage.get()) == 0) return {};
    return form_.in_registers(store->storage) ? whole(*store, s) : s;
  }

  /// A store to registers. Products are of whole tiles, so those are stored whole: zero where a
  /// step has no such column, or where something is loaded for elements that are there alone.
  Stmt whole(const ir::Store &store, const Stmt &self) const {
    const auto found = form_.fragments.find(store.storage.get());
    const bool operand =
        found != form_.fragments.end() && found->second.layout.kind == ir::Layout::Kind::OperandA;
    bool loads = !store.guards.empty();
    walk(store.value, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      loads = loads || (load && !form_.in_registers(load->storage));
      return !loads;
    });
    const bool reduces = store.combiner != Combiner::Assign;
    if (reduces && loads) return self;
    std::vector<VarPtr> axes;
    std::vector<Expr> present;
    for (const VarPtr &axis : store.axes) {
      const bool summed = reduces && std::ranges::none_of(store.indices, [&](const Expr &index) {
                            return uses(index, axis);
                          });
      const auto made = form_.padded.find(axis.get());
      axes.push_back(made == form_.padded.end() || summed ? axis : made->second.var);
      if (axes.back() == axis) continue;
      const Expr &extent = form_.axes.at(axis.get()).extent;
      std::int64_t n = 0;
      const bool all = is_const_int(extent, &n) && n == made->second.maximum;
      const bool column = operand && store.indices.back().as<Variable>()->var == axis;
      if (!all && (loads || column))
        present.push_back(cast(int32, make_variable(axes.back())) <
                          cast(int32, max(cast(int64, extent), make_int(int64, 0))));
    }
    const auto changed = [&](Expr e) {
      for (std::size_t i = 0; i < axes.size(); ++i)
        e = substitute(e, {store.axes[i]}, {make_variable(axes[i])});
      return e;
    };
    std::vector<Expr> guards, indices;
    for (const Expr &guard : store.guards) guards.push_back(changed(guard));
    for (const Expr &index : store.indices) indices.push_back(changed(index));
    Expr value = changed(store.value), kept;
    for (const Expr &each : present) kept = kept.defined() ? kept && each : each;
    if (kept.defined()) value = select(kept, value, make_zero(value.type()));
    return ir::make<ir::Store>(axes, std::move(guards), store.storage, std::move(indices),
                               store.combiner, value);
  }

  ir::Placement place(const ir::Allocate &allocate) const {
    for (const auto *placed : {&form_.accumulators, &form_.fragments}) {
      const auto found = placed->find(allocate.storage.get());
      if (found != placed->end()) return found->second;
    }
    return {ir::Memory::Registers};
  }

  Stmt with_padded_axes(const Stmt &body) const {
    std::vector<ir::AxisBinding> axes;
    for (const ir::Mma *each : form_.products) {
      for (const auto *role : {&each->m, &each->n, &each->k}) {
        for (const VarPtr &axis : *role) {
          const ir::AxisBinding &made = form_.padded.at(axis.get());
          const bool known = std::any_of(axes.begin(), axes.end(), [&](const auto &binding) {
            return binding.var == made.var;
          });
          if (!known && mentions(body, made.var)) axes.push_back(made);
        }
      }
    }
    for (const PipelinedOperand &operand : form_.operands) {
      if (operand.part.var && mentions(body, operand.part.var)) axes.push_back(operand.part);
    }
    return axes.empty() ? body : ir::make<ir::Axes>(std::move(axes), body);
  }

  Stmt with_buffers(Stmt body) const {
    for (auto it = form_.operands.rbegin(); it != form_.operands.rend(); ++it) {
      std::vector<Expr> extents;
      if (!it->standing) extents.push_back(make_int(int64, options_.stages));
      for (const std::int64_t extent : it->extents) extents.push_back(make_int(int64, extent));
      body = ir::make<ir::Allocate>(it->buffers, std::move(extents), body, it->placement);
    }
    return body;
  }

  Expr step() const { return make_variable(form_.loop->var); }
  Expr end() const { return form_.loop->min + form_.loop->extent; }

  /// The loop's body for another step, with only what `leaf` leaves of it. `outside`: a tile that
  /// is allocated around the loop instead.
  Stmt at_step(const Expr &at, const std::function<Stmt(const Stmt &)> &leaf,
               const StoragePtr &outside = nullptr) const {
    const Stmt part = slice(form_.loop->body, leaf,
                            [&](const ir::Allocate &allocate) { return place(allocate); });
    return clone(Allocated(outside)(prune(part)), {form_.loop->var}, {at});
  }

  bool any_engine(ir::CopyEngine engine, bool standing = false) const {
    return std::any_of(form_.operands.begin(), form_.operands.end(), [&](const auto &operand) {
      return operand.engine == engine && operand.standing == standing;
    });
  }
  bool any_standing() const {
    return std::ranges::any_of(form_.operands, &PipelinedOperand::standing);
  }

  /// The copies of what all steps of the loop use.
  Stmt standing_copies(const ir::BarrierPtr &full) const {
    std::vector<Stmt> copies;
    for (const PipelinedOperand &operand : form_.operands)
      if (operand.standing) copies.push_back(copy(operand, make_int(int64, 0), full));
    return ir::make_block(std::move(copies));
  }

  // --- all warps do both ---

  Stmt with_groups() const {
    const int stages = options_.stages;
    const Running fill("copied.slot"), use("used.slot");
    const auto start = [](const Running &slot) { return slot.set(make_int(int32, 0)); };
    const auto advance = [&](const Running &slot) { return slot.set((slot.value() + 1) % stages); };
    const Stmt commit = ir::make<ir::Commit>(ir::Engine::Copies), sync = ir::make<ir::Sync>(false);
    const auto drain = [](int pending) { return ir::make<ir::Drain>(ir::Engine::Copies, pending); };
    const auto copies = [&](const Expr &at) {
      return at_step(at, [&](const Stmt &s) -> Stmt {
        if (const PipelinedOperand *operand = form_.loaded_by(s))
          return copy(*operand, fill.value(), nullptr);
        return in(producer_needs_, s) ? s : Stmt();
      });
    };
    const auto leaf = [&](const Stmt &s) -> Stmt {
      if (form_.loaded_by(s) != nullptr) return {};
      if (const auto *mma = s.as<ir::Mma>()) return product(*mma, use.value(), false);
      const auto &loads = form_.index_loads;
      const bool ahead = std::find(loads.begin(), loads.end(), s.get()) != loads.end();
      return !ahead && in(producer_needs_, s) ? s : consumed(s);
    };
    Stmt body = slice(body_, leaf, [&](const ir::Allocate &allocate) { return place(allocate); });
    body = AtLoop(form_.loop->var, [&](const ir::For &loop) {
      std::vector<Stmt> inside;
      if (stages == 1) {
        inside = {sync, copies(step()), commit, drain(0), sync, loop.body};
        // Without a step nothing has waited for what stands.
        const Stmt rest = any_standing() ? ir::make_block({commit, drain(0)}) : Stmt();
        return ir::make_block({start(fill), start(use), standing_copies(nullptr),
                               with_body(loop, inside), rest, sync});
      }
      const VarPtr ahead = ir::make_loop_variable("ahead");
      const Expr first = make_variable(ahead) + loop.min;
      const Stmt prologue = ir::make<ir::For>(
          ahead, make_int(int64, 0), make_int(int64, stages - 1), ir::ForKind::Unrolled,
          ir::make_block(
              {ir::make<ir::If>(make_variable(ahead) < cast(int64, loop.extent), copies(first)),
               commit, advance(fill)}));
      const Expr next = step() + (stages - 1);
      inside = {drain(stages - 2),
                sync,
                ir::make<ir::If>(next < cast(int64, end()), copies(next)),
                commit,
                advance(fill),
                loop.body,
                advance(use)};
      // What stands is of the first group.
      return ir::make_block({start(fill), start(use), standing_copies(nullptr), prologue,
                             with_body(loop, inside), drain(0), sync});
    })(body);
    body = with_buffers(prune(with_padded_axes(fill.in(use.in(body)))));
    return ir::make<ir::Launch>(launch_.name, launch_.grid, launch_.threads, body, ir::GridAxis{},
                                launch_.resident);
  }

  static Stmt with_body(const ir::For &loop, std::vector<Stmt> body) {
    return ir::make<ir::For>(loop.var, loop.min, loop.extent, loop.loop_kind,
                             ir::make_block(std::move(body)));
  }

  // --- producers and consumers ---

  /// Of buffers that are handed from producers to consumers, and back.
  struct Handover {
    ir::BarrierPtr full, empty;
  };

  Stmt with_roles() const {
    const int producer_threads = options_.producer_warps * kLanes,
              warps = options_.consumer_warpgroups * kWarpsOfGroup;
    const auto barrier = [&](const std::string &name, int slots, int arrivals) {
      return std::make_shared<const ir::BarrierNode>(ir::BarrierNode{name, slots, arrivals});
    };
    const auto handover = [&](bool standing, int slots, int blocks) {
      // Copies by the threads are known by an arrival of each, cp.async by another once they
      // landed.
      const int kinds = any_engine(ir::CopyEngine::Async, standing) +
                        any_engine(ir::CopyEngine::Threads, standing);
      const std::string name = standing ? "standing." : "";
      return Handover{
          barrier(name + "full", slots,
                  producer_threads * kinds + any_engine(ir::CopyEngine::Bulk, standing)),
          barrier(name + "empty", slots, options_.consumer_warpgroups * blocks)};
    };
    const Handover steps = handover(false, options_.stages, options_.cluster);
    const Handover standing = any_standing() ? handover(true, 1, 1) : Handover{};
    std::vector<ir::Role> roles;
    roles.push_back(
        {"producer", options_.producer_warps, 0, clone(prune(producer(steps, standing)))});
    roles.push_back({"consumer", warps, 0, clone(prune(consumer(steps, standing)))});
    set_registers(&roles);
    Stmt body = with_buffers(
        ir::make_block({ir::make<ir::Fence>(ir::FenceKind::Barriers),
                        ir::make<ir::Sync>(clustered()), ir::make<ir::Roles>(std::move(roles)),
                        // No block ends while others write its memory.
                        clustered() ? ir::make<ir::Sync>(true) : Stmt()}));
    for (const Handover &each : {standing, steps}) {
      if (each.full)
        body = ir::make<ir::Barriers>(each.full, ir::make<ir::Barriers>(each.empty, body));
    }
    for (auto let = first_.rbegin(); let != first_.rend(); ++let)
      body = ir::make<ir::Let>((*let)->var, (*let)->value, body);
    return ir::make<ir::Launch>(launch_.name, launch_.grid, producer_threads + warps * kLanes, body,
                                launch_.cluster, launch_.resident);
  }

  bool clustered() const { return options_.cluster > 1; }
  /// Of the bulk copies into one buffer of each operand.
  std::int64_t bulk_bytes(bool standing) const {
    std::int64_t bytes = 0;
    for (const PipelinedOperand &operand : form_.operands) {
      if (operand.engine == ir::CopyEngine::Bulk && operand.standing == standing)
        bytes += ir::buffer_bytes(operand.extents, operand.tile->type.bytes());
    }
    return bytes;
  }

  void set_registers(std::vector<ir::Role> *roles) const {
    roles->front().registers = form_.producer_registers;
    roles->back().registers = consumer_registers(options_, form_.producer_registers);
  }

  /// Before the copies into a free buffer: what is to land there in bulk.
  Stmt expect(const ir::BarrierSlot &here, bool standing) const {
    if (!any_engine(ir::CopyEngine::Bulk, standing)) return {};
    return ir::make<ir::Arrive>(here, ir::Arrivals::Once, false,
                                make_int(int64, bulk_bytes(standing)));
  }
  /// Behind the copies.
  Stmt hand_over(const ir::BarrierSlot &here, bool standing) const {
    std::vector<Stmt> list;
    if (any_engine(ir::CopyEngine::Threads, standing)) {
      list.push_back(ir::make<ir::Fence>(ir::FenceKind::Async));
      list.push_back(ir::make<ir::Arrive>(here, ir::Arrivals::Thread));
    }
    if (any_engine(ir::CopyEngine::Async, standing))
      list.push_back(ir::make<ir::Arrive>(here, ir::Arrivals::Thread, true));
    return ir::make_block(std::move(list));
  }

  Stmt producer(const Handover &steps, const Handover &standing) const {
    const ir::BarrierPtr &full = steps.full, &empty = steps.empty;
    const Position at("producer", options_.stages);
    const Running standing_phase("producer.standing");
    // Index tiles are loaded one step ahead into tiles of their own.
    std::vector<const ir::Store *> index_loads;
    std::vector<StoragePtr> now, next;
    for (const ir::Store *load : form_.index_loads) {
      if (producer_needs_.count(load->storage.get()) == 0) continue;
      index_loads.push_back(load);
      if (std::find(now.begin(), now.end(), load->storage) != now.end()) continue;
      now.push_back(load->storage);
      next.push_back(ir::make_storage(load->storage->name + ".next", load->storage->type,
                                      load->storage->rank, Space::Tile));
    }
    const auto index_load = [&](const Stmt &s) {
      return std::find(index_loads.begin(), index_loads.end(), s.get());
    };
    const auto ahead = [&](const Expr &step_ahead) {
      const Stmt loads = at_step(step_ahead, [&](const Stmt &s) {
        return index_load(s) != index_loads.end() ? with_storages(s, now, next) : Stmt();
      });
      return loads;
    };
    const PipelinedOperand *first = nullptr;
    const auto leaf = [&](const Stmt &s) -> Stmt {
      if (const PipelinedOperand *operand = form_.loaded_by(s)) {
        if (operand->standing) return {};
        const Stmt copied = copy(*operand, at.slot.value(), full);
        if (std::exchange(first, first ? first : operand) != nullptr) return copied;
        return ir::make_block(
            {ir::make<ir::Wait>(ir::BarrierSlot{empty, at.slot.value()}, 1 - at.phase.value()),
             expect({full, at.slot.value()}, false), copied});
      }
      if (const auto found = index_load(s); found != index_loads.end()) {
        const Stmt taken = take(**found, now, next);
        if (found + 1 != index_loads.end()) return taken;
        const Stmt loads = ahead(step() + 1);
        return ir::make_block({taken, ir::make<ir::If>(step() + 1 < cast(int64, end()), loads)});
      }
      return in(producer_needs_, s) ? s : Stmt();
    };
    Stmt body = slice(body_, leaf, [&](const ir::Allocate &allocate) { return place(allocate); });
    body = AtLoop(form_.loop->var, [&](const ir::For &loop) {
      std::vector<Stmt> inside{loop.body, hand_over({full, at.slot.value()}, false), at.advance()};
      if (standing.full) {
        // Behind as many steps as there are buffers: what stands in the way of their copies is the
        // run of steps before this one, whose last ones still need what stands.
        const Expr last = min(cast(int64, loop.min) + (options_.stages - 1),
                              cast(int64, end()) - make_int(int64, 1));
        const ir::BarrierSlot here{standing.full, make_int(int64, 0)},
            free{standing.empty, make_int(int64, 0)};
        inside.push_back(ir::make<ir::If>(
            step() == last, ir::make_block({ir::make<ir::Wait>(free, 1 - standing_phase.value()),
                                            expect(here, true), standing_copies(standing.full),
                                            hand_over(here, true),
                                            standing_phase.set(1 - standing_phase.value())})));
      }
      const Stmt changed = with_body(loop, std::move(inside));
      if (now.empty()) return changed;
      Stmt both = ir::make_block(
          {ir::make<ir::If>(cast(int64, loop.extent) > make_int(int64, 0), ahead(loop.min)),
           changed});
      for (std::size_t i = 0; i < now.size(); ++i)
        both = ir::make<ir::Allocate>(next[i], extents_of(now[i]), both,
                                      ir::Placement{ir::Memory::Registers});
      return both;
    })(body);
    if (standing.full)
      body = standing_phase.in(ir::make_block({standing_phase.set(make_int(int32, 0)), body}));
    return with_padded_axes(at.in(ir::make_block({at.start(), body})));
  }

  /// `load`'s elements, taken from where they were loaded a step before.
  static Stmt take(const ir::Store &load, const std::vector<StoragePtr> &now,
                   const std::vector<StoragePtr> &next) {
    const auto which =
        static_cast<std::size_t>(std::find(now.begin(), now.end(), load.storage) - now.begin());
    return ir::make<ir::Store>(load.axes, load.guards, load.storage, load.indices, Combiner::Assign,
                               make_load(next[which], load.indices));
  }

  std::vector<Expr> extents_of(const StoragePtr &tile) const {
    std::vector<Expr> extents;
    ir::walk_statements(launch_.body, [&](const Stmt &s) {
      const auto *allocate = s.as<ir::Allocate>();
      if (allocate && allocate->storage == tile) extents = allocate->extents;
      return true;
    });
    return extents;
  }

  Stmt consumer(const Handover &steps, const Handover &standing) const {
    const ir::BarrierPtr &full = steps.full, &empty = steps.empty;
    const Position at("consumer", options_.stages);
    const Running standing_phase("consumer.standing");
    const Running previous("consumer.previous");
    const std::vector<Stmt> early = without_sums();
    const bool first_ahead = form_.first_ahead && options_.stages > 1;
    const auto wait = [&](const Position::Place &where) {
      // Bulk copies are of the async proxy themselves, and producers fence their own stores.
      return ir::make_block(
          {ir::make<ir::Wait>(ir::BarrierSlot{full, where.slot}, where.phase),
           any_engine(ir::CopyEngine::Async) ? ir::make<ir::Fence>(ir::FenceKind::Async) : Stmt()});
    };
    const Stmt commit = ir::make<ir::Commit>(ir::Engine::Matrix);
    const auto drain = [](int pending) { return ir::make<ir::Drain>(ir::Engine::Matrix, pending); };
    // The first product of a step, where it is made ahead.
    const auto first_at = [&](const Expr &of_step, const Position::Place &where) {
      const auto made = [&](const Stmt &s) -> Stmt {
        if (s.get() == form_.products.front())
          return product(*form_.products.front(), where.slot, true);
        return fills_first(s) ? consumed(s) : Stmt();
      };
      return ir::make_block({wait(where), at_step(of_step, made, first_sums())});
    };
    const auto leaf = [&](const Stmt &s) -> Stmt {
      if (form_.loaded_by(s) != nullptr) return {};
      if (std::ranges::find(early, s.get(), &Stmt::get) != early.end()) return {};
      const auto *mma = s.as<ir::Mma>();
      if (first_ahead && (mma == form_.products.front() || fills_first(s))) return {};
      if (mma == nullptr) return consumed(s);
      std::vector<Stmt> list;
      if (mma == form_.products[first_ahead ? 1 : 0]) list.push_back(wait(at.place()));
      list.push_back(product(*mma, at.slot.value(), true));
      const bool last = mma == form_.products.back();
      if (form_.sums_in_step || last) list.push_back(commit);
      if (first_ahead && last) {
        list.push_back(ir::make<ir::If>(step() + 1 < cast(int64, end()),
                                        ir::make_block({first_at(step() + 1, at.next()), commit})));
      }
      // What follows uses the sums, or stores to where the operand is.
      if (form_.sums_in_step) list.push_back(drain(0));
      return ir::make_block(std::move(list));
    };
    Stmt body = slice(body_, leaf, [&](const ir::Allocate &allocate) { return place(allocate); });
    body = AtLoop(form_.loop->var, [&](const ir::For &loop) {
      const auto release = [&](const Running &slot) {
        return ir::make<ir::Arrive>(ir::BarrierSlot{empty, slot.value()}, ir::Arrivals::Warpgroup,
                                    false, Expr(), clustered());
      };
      const Expr any = cast(int64, loop.extent) > make_int(int64, 0);
      // Early ones come before the last products are waited for, where these are under way.
      Stmt repeated, meanwhile = ir::make_block(early), rest;
      if (first_ahead) {
        const Stmt first = ir::make_block({first_at(loop.min, at.place()), commit, drain(0)});
        const Stmt others =
            with_body(loop, {Allocated(first_sums())(loop.body), release(at.slot), at.advance()});
        repeated = ir::make<ir::Allocate>(
            first_sums(), extents_of(first_sums()),
            ir::make_block({standing.full ? first : ir::make<ir::If>(any, first), others}),
            form_.accumulators.at(first_sums().get()));
      } else if (form_.sums_in_step) {
        repeated = with_body(loop, {loop.body, release(at.slot), at.advance()});
      } else if (options_.stages == 1) {
        // The only buffer cannot be kept while the next step is waited for.
        repeated = with_body(loop, {loop.body, drain(0), release(at.slot), at.advance()});
      } else {
        repeated =
            with_body(loop, {loop.body, drain(1),
                             ir::make<ir::If>(step() > cast(int64, loop.min), release(previous)),
                             previous.set(at.slot.value()), at.advance()});
        rest = ir::make_block({drain(0), ir::make<ir::If>(any, release(previous))});
      }
      if (!standing.full) return ir::make_block({repeated, meanwhile, rest});
      const Expr zero = make_int(int64, 0);
      const Stmt fence = any_engine(ir::CopyEngine::Async, true)
                             ? ir::make<ir::Fence>(ir::FenceKind::Async)
                             : Stmt();
      const Stmt whole = ir::make<ir::If>(
          any,
          ir::make_block(
              {ir::make<ir::Wait>(ir::BarrierSlot{standing.full, zero}, standing_phase.value()),
               fence, repeated, rest,
               ir::make<ir::Arrive>(ir::BarrierSlot{standing.empty, zero}, ir::Arrivals::Warpgroup),
               standing_phase.set(1 - standing_phase.value())}));
      return ir::make_block({whole, meanwhile});
    })(body);
    if (standing.full)
      body = standing_phase.in(ir::make_block({standing_phase.set(make_int(int32, 0)), body}));
    body = ir::make_block({at.start(), body});
    return with_padded_axes(at.in(previous.in(body)));
  }

  /// The sums of the first product.
  const StoragePtr &first_sums() const { return form_.products.front()->accumulator.tile; }
  bool fills_first(const Stmt &s) const {
    const auto *store = s.as<ir::Store>();
    return store && store->storage == first_sums() && is_fill(*store);
  }
};

}  // namespace

PipelineResult pipeline(const Stmt &launch, const PipelineOptions &options) {
  const Stmt source = look_up_guards(distribute(*launch.as<ir::Launch>(), options));
  const ir::Launch &kernel = *source.as<ir::Launch>();
  PipelineForm form;
  std::string reason = find_pipeline(kernel, options, &form);
  if (!reason.empty()) return {launch, std::move(reason), 0};
  Pipeliner pipeliner(kernel, options, form);
  reason = pipeliner.separate();
  if (!reason.empty()) return {launch, std::move(reason), 0};
  const Stmt staged = pipeliner.run();
  // What the back end takes besides: for reductions, and to align the first buffer.
  constexpr std::int64_t kScratch = 2048;
  const std::int64_t bytes = ir::shared_bytes(staged) + kScratch;
  if (bytes <= options.shared_bytes) return {staged, "", 0};
  return {launch,
          std::to_string(options.stages) + " stages need " + std::to_string(bytes) +
              " bytes of shared memory, and a block has " + std::to_string(options.shared_bytes),
          bytes};
}

}  // namespace pit::lower
