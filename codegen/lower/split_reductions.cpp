#include "split_reductions.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <utility>

#include "clone.h"
#include "codegen/ir/mutator.h"
#include "dsl/func.h"

namespace pit::lower {
namespace {

using ir::Stmt;

Expr number(std::int64_t n) { return make_int(int64, n); }

/// What the loop does to a storage outside of it.
struct Update {
  StoragePtr storage;
  Combiner combiner;
  std::vector<VarPtr> lanes;  ///< axes that its indices depend on
  std::vector<Expr> indices, guards;
  std::vector<Expr> conditions{};       ///< of the statements around
  std::vector<std::int64_t> extents{};  ///< of the lanes, at most
  StoragePtr part{}, partial{};
};

/// What a statement defines, inside it too.
struct Definitions {
  std::set<const VarNode *> variables;
  std::set<const StorageNode *> storages;

  explicit Definitions(const Stmt &s) {
    ir::walk_statements(s, [&](const Stmt &part) {
      if (const auto *loop = part.as<ir::For>()) variables.insert(loop->var.get());
      if (const auto *let = part.as<ir::Let>()) variables.insert(let->var.get());
      if (const auto *allocate = part.as<ir::Allocate>()) storages.insert(allocate->storage.get());
      if (const auto *axes = part.as<ir::Axes>()) {
        for (const ir::AxisBinding &axis : axes->axes) variables.insert(axis.var.get());
      }
      return true;
    });
  }

  /// `e` reads one of the variables, or loads from one of the storages.
  bool in(const Expr &e) const {
    bool found = false;
    walk(e, [&](const Expr &node) {
      if (const auto *variable = node.as<Variable>())
        found = found || variables.contains(variable->var.get());
      if (const auto *load = node.as<Load>())
        found = found || storages.contains(load->storage.get());
      return !found;
    });
    return found;
  }
};

bool loads(const Expr &e) {
  bool found = false;
  walk(e, [&](const Expr &node) { return !(found = found || node.as<Load>() != nullptr); });
  return found;
}

/// The statements from s down to the one that `loop` is, both included; empty: it is not there.
std::vector<Stmt> path_to(const Stmt &s, const Stmt &loop) {
  if (!s.defined()) return {};
  if (s.same_as(loop)) return {s};
  std::vector<Stmt> children;
  if (const auto *block = s.as<ir::Block>()) children = block->stmts;
  if (const auto *node = s.as<ir::For>()) children = {node->body};
  if (const auto *node = s.as<ir::Axes>()) children = {node->body};
  if (const auto *node = s.as<ir::Let>()) children = {node->body};
  if (const auto *node = s.as<ir::If>()) children = {node->then_body, node->else_body};
  if (const auto *node = s.as<ir::Allocate>()) children = {node->body};
  for (const Stmt &child : children) {
    std::vector<Stmt> path = path_to(child, loop);
    if (path.empty()) continue;
    path.insert(path.begin(), s);
    return path;
  }
  return {};
}

class Replacer final : public ir::Mutator {
 public:
  Replacer(Stmt from, Stmt to) : from_(std::move(from)), to_(std::move(to)) {}
  Stmt mutate(const Stmt &s) override { return s.same_as(from_) ? to_ : Mutator::mutate(s); }

 private:
  Stmt from_, to_;
};

/// The loop's body: its variable is the part's, its updates go to the part's accumulators.
class PartOfLoop final : public ir::Mutator {
 public:
  PartOfLoop(VarPtr from, Expr to, const std::vector<Update> &updates)
      : from_(std::move(from)), to_(std::move(to)), updates_(updates) {}

 protected:
  using Mutator::visit;
  Expr expr(const Expr &e) override { return substitute(e, {from_}, {to_}); }
  Stmt visit(const ir::Store &node, const Stmt &self) override {
    const Update *update = update_of(node.storage);
    const Stmt changed = Mutator::visit(node, self);
    if (!update) return changed;
    const auto &store = *changed.as<ir::Store>();
    std::vector<Expr> indices;
    for (const VarPtr &lane : update->lanes) indices.push_back(make_variable(lane));
    return ir::make<ir::Store>(store.axes, store.guards, update->part, indices, store.combiner,
                               store.value);
  }
  Stmt visit(const ir::Mma &node, const Stmt &self) override {
    const Update *update = update_of(node.accumulator.tile);
    const Stmt changed = Mutator::visit(node, self);
    if (!update) return changed;
    const auto &mma = *changed.as<ir::Mma>();
    return ir::make<ir::Mma>(mma.batch, mma.m, mma.n, mma.k,
                             ir::TileOperand{update->part, update->lanes}, mma.a, mma.b, mma.atom,
                             mma.asynchronous);
  }

 private:
  const Update *update_of(const StoragePtr &storage) const {
    const auto found = std::ranges::find(updates_, storage, &Update::storage);
    return found == updates_.end() ? nullptr : &*found;
  }

  VarPtr from_;
  Expr to_;
  const std::vector<Update> &updates_;
};

class Splitter {
 public:
  Splitter(const ir::Stage &stage, Stmt loop, int parts)
      : stage_(stage),
        loop_(std::move(loop)),
        node_(*loop_.as<ir::For>()),
        parts_(parts),
        path_(path_to(stage.body, loop_)),
        in_loop_(loop_),
        in_stage_(stage.body) {}

  /// Why it cannot be done; empty: it can.
  std::string look() {
    if (path_.empty()) return "it is inside of a statement that is not a loop";
    if (std::string why = find_updates(); !why.empty()) return why;
    if (std::string why = find_lanes(); !why.empty()) return why;
    for (std::size_t i = 0; i + 1 < path_.size(); ++i) {
      const auto *loop = path_[i].as<ir::For>();
      if (!loop) continue;
      if (in_stage_.in(loop->extent) || loads(loop->extent))
        return "how often loop " + loop->var->name + " around it runs is data";
      outer_.push_back(loop);
    }
    return {};
  }

  /// In place of the stage.
  Stmt split(KernelChoices *kernels) {
    std::vector<Expr> extents, at;
    for (const ir::For *loop : outer_) {
      extents.push_back(max(loop->extent, number(0)));
      at.push_back(make_variable(loop->var) - loop->min);
    }
    extents.push_back(number(parts_));
    part_ = ir::make_loop_variable(node_.var->name + ".part");
    at.push_back(make_variable(part_));
    for (Update &update : updates_) {
      const std::string &name = update.storage->name;
      const auto rank = static_cast<int>(update.lanes.size());
      update.part = ir::make_storage(name + ".part", update.storage->type, rank, Space::Tile);
      update.partial = ir::make_storage(name + ".partial", update.storage->type,
                                        static_cast<int>(at.size()) + rank, Space::Heap);
    }
    const Stmt combined = combine(at);
    Stmt result =
        ir::make_block({ir::make<ir::Stage>(stage_.name + ".parts", stage_.stage_kind, parts(at)),
                        ir::make<ir::Stage>(stage_.name, stage_.stage_kind,
                                            clone(Replacer(loop_, combined)(stage_.body)))});
    for (const Update &update : updates_) {
      std::vector<Expr> all = extents;
      for (std::int64_t extent : update.extents) all.push_back(number(extent));
      result = ir::make<ir::Allocate>(update.partial, all, result);
    }
    choose(kernels);
    return result;
  }

 private:
  std::string find_updates() {
    std::string why;
    const auto refuse = [&](const std::string &reason) {
      if (why.empty()) why = reason;
    };
    const auto add = [&](Update update) {
      std::erase_if(update.lanes, [&](const VarPtr &lane) {
        return std::ranges::none_of(update.indices, [&](const Expr &i) { return uses(i, lane); });
      });
      for (const Expr &index : update.indices) {
        if (in_loop_.in(index)) refuse("where it adds to depends on the loop");
      }
      const auto varies = [&](const Expr &guard) {
        return in_loop_.in(guard) ||
               std::ranges::any_of(reduced_, [&](const VarPtr &v) { return uses(guard, v); });
      };
      std::erase_if(update.guards, varies);
      std::erase_if(update.conditions, varies);
      const auto same = std::ranges::find(updates_, update.storage, &Update::storage);
      if (same == updates_.end()) {
        updates_.push_back(std::move(update));
      } else if (same->combiner != update.combiner ||
                 !std::ranges::equal(same->indices, update.indices,
                                     [](const Expr &a, const Expr &b) { return equal(a, b); }) ||
                 !std::ranges::equal(same->guards, update.guards,
                                     [](const Expr &a, const Expr &b) { return equal(a, b); })) {
        refuse("it updates " + update.storage->name + " in several ways");
      } else {
        std::erase_if(same->conditions, [&](const Expr &a) {
          return std::ranges::none_of(update.conditions,
                                      [&](const Expr &b) { return equal(a, b); });
        });
      }
    };
    std::vector<Expr> conditions;
    const std::function<bool(const Stmt &)> look = [&](const Stmt &s) {
      switch (s->kind) {
        case ir::StmtKind::Block:
        case ir::StmtKind::For:
        case ir::StmtKind::Axes:
        case ir::StmtKind::Let:
        case ir::StmtKind::Allocate:
        case ir::StmtKind::Check:
          break;
        case ir::StmtKind::If: {
          const auto &node = *s.as<ir::If>();
          conditions.push_back(node.condition);
          ir::walk_statements(node.then_body, look);
          conditions.back() = !node.condition;
          if (node.else_body.defined()) ir::walk_statements(node.else_body, look);
          conditions.pop_back();
          return false;
        }
        case ir::StmtKind::Store: {
          const auto &store = *s.as<ir::Store>();
          if (in_loop_.storages.contains(store.storage.get())) break;
          if (store.atomic || !is_permutable(store.combiner)) {
            refuse("its loop also stores to " + store.storage->name);
            break;
          }
          reduced_ = store.axes;
          std::erase_if(reduced_, [&](const VarPtr &axis) {
            return std::ranges::any_of(store.indices, [&](const Expr &i) { return uses(i, axis); });
          });
          add({store.storage, store.combiner, store.axes, store.indices, store.guards, conditions});
          break;
        }
        case ir::StmtKind::Mma: {
          const auto &mma = *s.as<ir::Mma>();
          if (in_loop_.storages.contains(mma.accumulator.tile.get())) break;
          std::vector<Expr> indices;
          for (const VarPtr &axis : mma.accumulator.axes) indices.push_back(make_variable(axis));
          reduced_.clear();
          add({mma.accumulator.tile, Combiner::Sum, mma.accumulator.axes, indices, {}, conditions});
          break;
        }
        default:
          refuse("its loop does more than to add");
      }
      return why.empty();
    };
    ir::walk_statements(node_.body, look);
    if (!why.empty()) return why;
    if (updates_.empty()) return "it adds to nothing outside of its loop";
    ir::walk_statements(node_.body, [&](const Stmt &s) {
      ir::walk_expressions(s, [&](const Expr &e) {
        if (reads_accumulator(e)) refuse("its loop reads what it adds to");
      });
      return true;
    });
    return why;
  }

  bool reads_accumulator(const Expr &e) const {
    bool found = false;
    walk(e, [&](const Expr &node) {
      const auto *load = node.as<Load>();
      found = found || (load && is_accumulator(load->storage));
      return !found;
    });
    return found;
  }
  bool is_accumulator(const StoragePtr &storage) const {
    return std::ranges::find(updates_, storage, &Update::storage) != updates_.end();
  }

  std::string find_lanes() {
    for (Update &update : updates_) {
      for (const VarPtr &lane : update.lanes) {
        std::int64_t maximum = 0;
        for (const Stmt &s : path_) {
          const auto *axes = s.as<ir::Axes>();
          if (!axes) continue;
          for (const ir::AxisBinding &axis : axes->axes) {
            if (axis.var == lane) maximum = axis.maximum;
          }
        }
        if (maximum == 0) return "dimension " + lane->name + " of its tile has no bound";
        update.extents.push_back(maximum);
      }
    }
    return {};
  }

  /// What the loop is replaced by where everything else stays.
  Stmt combine(const std::vector<Expr> &at) const {
    std::vector<Stmt> stmts;
    for (const Update &update : updates_) {
      std::vector<Expr> guards = update.conditions;
      guards.insert(guards.end(), update.guards.begin(), update.guards.end());
      stmts.push_back(ir::make<ir::Store>(update.lanes, guards, update.storage, update.indices,
                                          update.combiner,
                                          make_load(update.partial, with_lanes(at, update))));
    }
    return ir::make<ir::For>(part_, number(0), number(parts_), ir::ForKind::Serial,
                             ir::make_block(stmts));
  }

  static std::vector<Expr> with_lanes(std::vector<Expr> at, const Update &update) {
    for (const VarPtr &lane : update.lanes) at.push_back(make_variable(lane));
    return at;
  }

  /// The stage that sums each part.
  Stmt parts(const std::vector<Expr> &at) const {
    // Inside of the loops that become a kernel's grid, and around what is done at each point.
    std::size_t inside = 0;
    for (std::size_t i = 0; i + 1 < path_.size(); ++i) {
      if (!path_[i].as<ir::For>() && !path_[i].as<ir::Let>() && !path_[i].as<ir::If>() &&
          !path_[i].as<ir::Axes>())
        break;
      if (path_[i].as<ir::For>()) inside = i + 1;
    }
    Stmt result = part_of_loop(at);
    for (std::size_t i = path_.size() - 1; i-- > 0;) {
      if (i + 1 == inside) result = over_parts(result);
      result = around(path_[i], path_[i + 1], result);
    }
    return inside == 0 ? over_parts(result) : result;
  }

  Stmt over_parts(const Stmt &body) const {
    return ir::make<ir::For>(part_, number(0), number(parts_), ir::ForKind::GpuBlock, body);
  }

  /// `outer`, whose part `child` leads to the loop, with `inner` in that one's place. Statements
  /// before it are computed again if all that they make is tiles.
  Stmt around(const Stmt &outer, const Stmt &child, const Stmt &inner) const {
    if (const auto *node = outer.as<ir::For>())
      return ir::make<ir::For>(node->var, node->min, node->extent, node->loop_kind, inner);
    if (const auto *node = outer.as<ir::Axes>()) return ir::make<ir::Axes>(node->axes, inner);
    if (const auto *node = outer.as<ir::Let>())
      return ir::make<ir::Let>(node->var, node->value, inner);
    if (const auto *node = outer.as<ir::If>()) {
      return child.same_as(node->then_body) ? ir::make<ir::If>(node->condition, inner)
                                            : ir::make<ir::If>(!node->condition, inner);
    }
    if (const auto *node = outer.as<ir::Allocate>()) {
      if (is_accumulator(node->storage)) return inner;
      return ir::make<ir::Allocate>(node->storage, node->extents, inner);
    }
    std::vector<Stmt> stmts;
    for (const Stmt &s : outer.as<ir::Block>()->stmts) {
      if (s.same_as(child)) break;
      if (makes_tiles(s)) stmts.push_back(s);
    }
    stmts.push_back(inner);
    return ir::make_block(stmts);
  }

  bool makes_tiles(const Stmt &s) const {
    bool only = true;
    ir::walk_statements(s, [&](const Stmt &part) {
      ir::walk_expressions(part, [&](const Expr &e) { only = only && !reads_accumulator(e); });
      const StoragePtr *to = nullptr;
      if (const auto *store = part.as<ir::Store>()) to = &store->storage;
      if (const auto *mma = part.as<ir::Mma>()) to = &mma->accumulator.tile;
      if (to != nullptr)
        only = only && in_stage_.storages.contains(to->get()) && !is_accumulator(*to);
      only = only && !part.as<ir::Check>();
      return only;
    });
    return only;
  }

  Stmt part_of_loop(const std::vector<Expr> &at) const {
    const VarPtr length = ir::make_let_variable(node_.var->name + ".length", int64),
                 step = ir::make_loop_variable(node_.var->name);
    const Expr first = make_variable(part_) * make_variable(length);
    const Expr extent = max(node_.extent, number(0));
    std::vector<Stmt> stmts;
    for (const Update &update : updates_) {
      stmts.push_back(ir::make<ir::Store>(update.lanes, std::vector<Expr>{}, update.part,
                                          with_lanes({}, update), Combiner::Assign,
                                          identity_of(update.combiner, update.storage->type)));
    }
    PartOfLoop body(node_.var, node_.min + first + make_variable(step), updates_);
    stmts.push_back(ir::make<ir::Let>(
        length, (extent + number(parts_ - 1)) / number(parts_),
        ir::make<ir::For>(step, number(0), min(make_variable(length), extent - first),
                          node_.loop_kind, body(node_.body))));
    for (const Update &update : updates_) {
      stmts.push_back(ir::make<ir::Store>(update.lanes, std::vector<Expr>{}, update.partial,
                                          with_lanes(at, update), Combiner::Assign,
                                          make_load(update.part, with_lanes({}, update))));
    }
    Stmt result = ir::make_block(stmts);
    for (const Update &update : updates_) {
      std::vector<Expr> extents;
      for (std::int64_t extent_of_lane : update.extents) extents.push_back(number(extent_of_lane));
      result = ir::make<ir::Allocate>(update.part, extents, result);
    }
    return result;
  }

  void choose(KernelChoices *kernels) const {
    std::optional<KernelChoice> choice;
    ir::walk_statements(stage_.body, [&](const Stmt &s) {
      if (const auto *store = s.as<ir::Store>()) {
        if (const auto found = kernels->find(store->storage); found != kernels->end())
          choice = found->second;
      }
      return true;
    });
    if (choice) {
      for (const Update &update : updates_) (*kernels)[update.partial] = *choice;
    }
  }

  const ir::Stage &stage_;
  Stmt loop_;
  const ir::For &node_;
  int parts_;
  std::vector<Stmt> path_;
  Definitions in_loop_, in_stage_;
  std::vector<Update> updates_;
  std::vector<VarPtr> reduced_;  ///< axes of the update that is being looked at
  std::vector<const ir::For *> outer_;
  VarPtr part_;
};

class Pass final : public ir::Mutator {
 public:
  Pass(const SplitChoices &choices, KernelChoices *kernels, std::vector<Explanation> *explanation)
      : choices_(choices), kernels_(kernels), explanation_(explanation) {}

 protected:
  using Mutator::visit;
  Stmt visit(const ir::Stage &stage, const Stmt &self) override {
    std::vector<Stmt> loops;
    ir::walk_statements(stage.body, [&](const Stmt &s) {
      const auto *loop = s.as<ir::For>();
      const auto found = loop ? choices_.find(loop->var) : choices_.end();
      if (found != choices_.end() && found->second.parts > 1) loops.push_back(s);
      return true;
    });
    if (loops.empty()) return self;
    const ir::For &loop = *loops.front().as<ir::For>();
    const SplitChoice &choice = choices_.at(loop.var);
    Splitter splitter(stage, loops.front(), choice.parts);
    const std::string why =
        loops.size() > 1 ? "its stage has several loops to split" : splitter.look();
    explain(choice.definition, why.empty()
                                   ? loop.var->name + " in " + std::to_string(choice.parts) +
                                         " parts at once, which are combined in their order"
                                   : "not done: " + why);
    return why.empty() ? splitter.split(kernels_) : self;
  }

 private:
  void explain(const std::string &definition, const std::string &text) const {
    if (explanation_) explanation_->push_back({definition, "split_reduction", text});
  }

  const SplitChoices &choices_;
  KernelChoices *kernels_;
  std::vector<Explanation> *explanation_;
};

}  // namespace

ir::Module split_reductions(const ir::Module &module, const SplitChoices &choices,
                            KernelChoices *kernels, std::vector<Explanation> *explanation) {
  ir::Module result = module;
  if (!choices.empty()) result.body = Pass(choices, kernels, explanation)(module.body);
  return result;
}

}  // namespace pit::lower
