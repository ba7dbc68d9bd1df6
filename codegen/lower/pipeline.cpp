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

/// Registers move between whole warpgroups only.
bool moves_registers(const PipelineOptions &options) {
  return options.producer_warps % kWarpsOfGroup == 0;
}

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
      : launch_(launch), options_(options), form_(form) {}

  /// Why producers cannot run ahead; "" when they can.
  std::string separate() {
    producer_needs_ = needs([&](const Stmt &s) { return form_.loaded_by(s) != nullptr; });
    consumer_needs_ = needs([&](const Stmt &s) {
      const auto *store = s.as<ir::Store>();
      if (store == nullptr) return s.as<ir::Check>() != nullptr;
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
  Tiles producer_needs_, consumer_needs_;

  // --- who needs what ---

  /// The storages that the statements `own` read, those that the stores to these read, and so on;
  /// what bounds and conditions read is needed by all.
  Tiles needs(const std::function<bool(const Stmt &)> &own) const {
    Tiles needed;
    const auto read = [&](const StoragePtr &storage) { needed.insert(storage.get()); };
    std::size_t before = 0;
    do {
      before = needed.size();
      ir::walk_statements(launch_.body, [&](const Stmt &s) {
        const auto *store = s.as<ir::Store>();
        const bool is_leaf = store || s.as<ir::Mma>() || s.as<ir::Check>();
        const bool wanted = store && store->storage->space == Space::Tile &&
                            form_.operand(store->storage) == nullptr &&
                            needed.count(store->storage.get()) != 0;
        if (!is_leaf || own(s) || wanted) for_each_read(s, read);
        return true;
      });
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

  Stmt copy(const PipelinedOperand &operand, const Expr &slot, const ir::BarrierPtr &full) const {
    std::vector<Expr> guards, indices{slot};
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
                             found ? slot : Expr()};
    };
    return ir::make<ir::Mma>(mma.batch, padded(mma.m), padded(mma.n), padded(mma.k),
                             operand(mma.accumulator), operand(mma.a), operand(mma.b),
                             atom_of(mma).name, asynchronous);
  }

  /// A statement of those who multiply, other than a load or a product.
  Stmt consumed(const Stmt &s) const {
    const auto *store = s.as<ir::Store>();
    if (store == nullptr) return s;
    if (store->storage->space == Space::Tile) {
      if (form_.accumulators.count(store->storage.get()) != 0) {
        const bool constant = store->value.as<IntImm>() || store->value.as<FloatImm>();
        const bool whole = std::all_of(store->axes.begin(), store->axes.end(), [&](const auto &a) {
          return form_.padded.count(a.get()) != 0;
        });
        if (!constant || !whole) return s;
        // The products are of whole tiles.
        std::vector<Expr> indices;
        for (const Expr &index : store->indices) indices.push_back(padded(index));
        return ir::make<ir::Store>(padded(store->axes), store->guards, store->storage,
                                   std::move(indices), store->combiner, store->value);
      }
      return consumer_needs_.count(store->storage.get()) != 0 ? s : Stmt();
    }
    return s;
  }

  ir::Placement place(const ir::Allocate &allocate) const {
    const auto found = form_.accumulators.find(allocate.storage.get());
    return found != form_.accumulators.end() ? found->second : ir::Placement{ir::Memory::Registers};
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
      std::vector<Expr> extents{make_int(int64, options_.stages)};
      for (const std::int64_t extent : it->extents) extents.push_back(make_int(int64, extent));
      body = ir::make<ir::Allocate>(it->buffers, std::move(extents), body, it->placement);
    }
    return body;
  }

  Expr step() const { return make_variable(form_.loop->var); }
  Expr end() const { return form_.loop->min + form_.loop->extent; }

  /// The loop's body for another step, with only what `leaf` leaves of it.
  Stmt at_step(const Expr &at, const std::function<Stmt(const Stmt &)> &leaf) const {
    const Stmt part = slice(form_.loop->body, leaf,
                            [&](const ir::Allocate &allocate) { return place(allocate); });
    return clone(prune(part), {form_.loop->var}, {at});
  }

  bool any_engine(ir::CopyEngine engine) const {
    return std::any_of(form_.operands.begin(), form_.operands.end(),
                       [&](const auto &operand) { return operand.engine == engine; });
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
    Stmt body =
        slice(launch_.body, leaf, [&](const ir::Allocate &allocate) { return place(allocate); });
    body = AtLoop(form_.loop->var, [&](const ir::For &loop) {
      std::vector<Stmt> inside;
      if (stages == 1) {
        inside = {sync, copies(step()), commit, drain(0), sync, loop.body};
        return ir::make_block({start(fill), start(use), with_body(loop, inside), sync});
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
      return ir::make_block(
          {start(fill), start(use), prologue, with_body(loop, inside), drain(0), sync});
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

  Stmt with_roles() const {
    const int producer_threads = options_.producer_warps * kLanes,
              warps = options_.consumer_warpgroups * kWarpsOfGroup;
    const auto barrier = [&](const char *name, int arrivals) {
      return std::make_shared<const ir::BarrierNode>(
          ir::BarrierNode{name, options_.stages, arrivals});
    };
    // Copies by the threads are known by an arrival of each, cp.async by another once they landed.
    const int kinds = any_engine(ir::CopyEngine::Async) + any_engine(ir::CopyEngine::Threads);
    const ir::BarrierPtr full = barrier(
                             "full", producer_threads * kinds + any_engine(ir::CopyEngine::Bulk)),
                         empty = barrier("empty", options_.consumer_warpgroups * options_.cluster);
    std::vector<ir::Role> roles;
    roles.push_back({"producer", options_.producer_warps, 0, clone(prune(producer(full, empty)))});
    roles.push_back({"consumer", warps, 0, clone(prune(consumer(full, empty)))});
    set_registers(&roles);
    Stmt body = with_buffers(
        ir::make_block({ir::make<ir::Fence>(ir::FenceKind::Barriers),
                        ir::make<ir::Sync>(clustered()), ir::make<ir::Roles>(std::move(roles)),
                        // No block ends while others write its memory.
                        clustered() ? ir::make<ir::Sync>(true) : Stmt()}));
    body = ir::make<ir::Barriers>(full, ir::make<ir::Barriers>(empty, body));
    return ir::make<ir::Launch>(launch_.name, launch_.grid, producer_threads + warps * kLanes, body,
                                launch_.cluster, launch_.resident);
  }

  bool clustered() const { return options_.cluster > 1; }
  /// Of the bulk copies into one buffer of each operand.
  std::int64_t bulk_bytes() const {
    std::int64_t bytes = 0;
    for (const PipelinedOperand &operand : form_.operands) {
      if (operand.engine == ir::CopyEngine::Bulk)
        bytes += ir::buffer_bytes(operand.extents, operand.tile->type.bytes());
    }
    return bytes;
  }

  void set_registers(std::vector<ir::Role> *roles) const {
    if (!moves_registers(options_)) return;
    roles->front().registers = options_.producer_registers;
    roles->back().registers = consumer_registers(options_);
  }

  Stmt producer(const ir::BarrierPtr &full, const ir::BarrierPtr &empty) const {
    const Position at("producer", options_.stages);
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
        const Stmt copied = copy(*operand, at.slot.value(), full);
        if (std::exchange(first, first ? first : operand) != nullptr) return copied;
        const ir::BarrierSlot here{full, at.slot.value()};
        const Stmt expect = any_engine(ir::CopyEngine::Bulk)
                                ? ir::make<ir::Arrive>(here, ir::Arrivals::Once, false,
                                                       make_int(int64, bulk_bytes()))
                                : Stmt();
        return ir::make_block(
            {ir::make<ir::Wait>(ir::BarrierSlot{empty, at.slot.value()}, 1 - at.phase.value()),
             expect, copied});
      }
      if (const auto found = index_load(s); found != index_loads.end()) {
        const Stmt taken = take(**found, now, next);
        if (found + 1 != index_loads.end()) return taken;
        const Stmt loads = ahead(step() + 1);
        return ir::make_block({taken, ir::make<ir::If>(step() + 1 < cast(int64, end()), loads)});
      }
      return in(producer_needs_, s) ? s : Stmt();
    };
    Stmt body =
        slice(launch_.body, leaf, [&](const ir::Allocate &allocate) { return place(allocate); });
    body = AtLoop(form_.loop->var, [&](const ir::For &loop) {
      std::vector<Stmt> inside{loop.body};
      const ir::BarrierSlot here{full, at.slot.value()};
      if (any_engine(ir::CopyEngine::Threads)) {
        inside.push_back(ir::make<ir::Fence>(ir::FenceKind::Async));
        inside.push_back(ir::make<ir::Arrive>(here, ir::Arrivals::Thread));
      }
      if (any_engine(ir::CopyEngine::Async))
        inside.push_back(ir::make<ir::Arrive>(here, ir::Arrivals::Thread, true));
      inside.push_back(at.advance());
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

  Stmt consumer(const ir::BarrierPtr &full, const ir::BarrierPtr &empty) const {
    const Position at("consumer", options_.stages);
    const Running previous("consumer.previous");
    const std::vector<Stmt> early = without_sums();
    const auto leaf = [&](const Stmt &s) -> Stmt {
      if (form_.loaded_by(s) != nullptr) return {};
      if (std::ranges::find(early, s.get(), &Stmt::get) != early.end()) return {};
      const auto *mma = s.as<ir::Mma>();
      if (mma == nullptr) return consumed(s);
      std::vector<Stmt> list;
      if (mma == form_.products.front()) {
        list.push_back(
            ir::make<ir::Wait>(ir::BarrierSlot{full, at.slot.value()}, at.phase.value()));
        // Bulk copies are of the async proxy themselves, and producers fence their own stores.
        if (any_engine(ir::CopyEngine::Async))
          list.push_back(ir::make<ir::Fence>(ir::FenceKind::Async));
      }
      list.push_back(product(*mma, at.slot.value(), true));
      if (mma == form_.products.back()) list.push_back(ir::make<ir::Commit>(ir::Engine::Matrix));
      return ir::make_block(std::move(list));
    };
    Stmt body =
        slice(launch_.body, leaf, [&](const ir::Allocate &allocate) { return place(allocate); });
    body = AtLoop(form_.loop->var, [&](const ir::For &loop) {
      const auto release = [&](const Running &slot) {
        return ir::make<ir::Arrive>(ir::BarrierSlot{empty, slot.value()}, ir::Arrivals::Warpgroup,
                                    false, Expr(), clustered());
      };
      const auto drain = [](int pending) {
        return ir::make<ir::Drain>(ir::Engine::Matrix, pending);
      };
      // The only buffer cannot be kept while the next step is waited for.
      if (options_.stages == 1)
        return ir::make_block(
            {with_body(loop, {loop.body, drain(0), release(at.slot), at.advance()}),
             ir::make_block(early)});
      const Stmt changed =
          with_body(loop, {loop.body, drain(1),
                           ir::make<ir::If>(step() > cast(int64, loop.min), release(previous)),
                           previous.set(at.slot.value()), at.advance()});
      return ir::make_block(
          {changed, ir::make_block(early), drain(0),
           ir::make<ir::If>(cast(int64, loop.extent) > make_int(int64, 0), release(previous))});
    })(body);
    body = ir::make_block({at.start(), body});
    return with_padded_axes(at.in(options_.stages == 1 ? body : previous.in(body)));
  }
};

}  // namespace

int consumer_registers(const PipelineOptions &options) {
  constexpr int kRegisters = 64 * 1024, kMost = 240, kStep = 8;
  const int producers = options.producer_warps * kLanes,
            consumers = options.consumer_warpgroups * kWarpsOfGroup * kLanes;
  // A block has no more to share out than its threads start with: who asks for more waits for ever.
  const int threads = producers + consumers, each = kRegisters / threads / kStep * kStep;
  const int left = moves_registers(options)
                       ? (each * threads - options.producer_registers * producers) / consumers
                       : each;
  return std::min(kMost, left / kStep * kStep);
}

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
