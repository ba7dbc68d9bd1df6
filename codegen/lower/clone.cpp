#include "clone.h"

#include <map>
#include <utility>

#include "codegen/ir/mutator.h"

namespace pit::lower {
namespace {

using ir::Stmt;

class Cloner final : public ir::Mutator {
 public:
  std::map<const VarNode *, Expr> values;  ///< of free variables
  std::map<const VarNode *, VarPtr> variables;
  std::map<const StorageNode *, StoragePtr> storages;
  bool renew = true;  ///< definitions too

 protected:
  using Mutator::visit;

  Expr expr(const Expr &e) override {
    return rewrite(e, [&](const Expr &part) -> Expr {
      if (const auto *variable = part.as<Variable>()) {
        if (const auto value = values.find(variable->var.get()); value != values.end())
          return value->second;
        const auto found = variables.find(variable->var.get());
        return found == variables.end() ? part : make_variable(found->second);
      }
      if (const auto *load = part.as<Load>()) {
        const StoragePtr to = now(load->storage);
        return to == load->storage ? part : make_load(to, load->indices);
      }
      if (const auto *extent = part.as<Extent>()) {
        const StoragePtr to = now(extent->storage);
        return to == extent->storage ? part : make_extent(to, extent->dimension);
      }
      return part;
    });
  }

  Stmt visit(const ir::For &node, const Stmt &) override {
    const Expr min = expr(node.min), extent = expr(node.extent);
    const VarPtr var = define(node.var);
    return ir::make<ir::For>(var, min, extent, node.loop_kind, mutate(node.body));
  }
  Stmt visit(const ir::Axes &node, const Stmt &) override {
    std::vector<ir::AxisBinding> axes = node.axes;
    for (ir::AxisBinding &axis : axes) axis.extent = expr(axis.extent);
    for (ir::AxisBinding &axis : axes) axis.var = define(axis.var);
    return ir::make<ir::Axes>(std::move(axes), mutate(node.body));
  }
  Stmt visit(const ir::Let &node, const Stmt &) override {
    const Expr value = expr(node.value);
    const VarPtr var = define(node.var);
    return ir::make<ir::Let>(var, value, mutate(node.body));
  }
  Stmt visit(const ir::Allocate &node, const Stmt &) override {
    std::vector<Expr> extents;
    for (const Expr &extent : node.extents) extents.push_back(expr(extent));
    StoragePtr storage = node.storage;
    if (renew) {
      storage = std::make_shared<const StorageNode>(*node.storage);
      storages[node.storage.get()] = storage;
    }
    return ir::make<ir::Allocate>(storage, std::move(extents), mutate(node.body), node.placement);
  }
  Stmt visit(const ir::Store &node, const Stmt &) override {
    return ir::make<ir::Store>(now(node.axes), all(node.guards), now(node.storage),
                               all(node.indices), node.combiner, expr(node.value), node.atomic,
                               node.vector_bytes, node.through ? now(node.through) : nullptr);
  }
  Stmt visit(const ir::Copy &node, const Stmt &) override {
    ir::BarrierSlot completes = node.completes;
    if (completes.barrier) completes.slot = expr(completes.slot);
    return ir::make<ir::Copy>(node.engine, now(node.axes), all(node.guards), now(node.storage),
                              all(node.indices), expr(node.value), node.bytes, std::move(completes),
                              node.multicast);
  }
  Stmt visit(const ir::Mma &node, const Stmt &) override {
    const auto operand = [&](const ir::TileOperand &tile) {
      return ir::TileOperand{now(tile.tile), now(tile.axes),
                             tile.slot.defined() ? expr(tile.slot) : tile.slot};
    };
    return ir::make<ir::Mma>(now(node.batch), now(node.m), now(node.n), now(node.k),
                             operand(node.accumulator), operand(node.a), operand(node.b), node.atom,
                             node.asynchronous);
  }
  Stmt visit(const ir::Check &node, const Stmt &) override {
    return ir::make<ir::Check>(now(node.axes), all(node.guards), expr(node.condition), node.message,
                               all(node.values));
  }

 private:
  VarPtr define(const VarPtr &var) {
    if (!renew) return var;
    VarPtr made = std::make_shared<const VarNode>(VarNode{var->name, var->role, var->type});
    variables[var.get()] = made;
    return made;
  }
  std::vector<VarPtr> now(std::vector<VarPtr> list) const {
    for (VarPtr &var : list) {
      if (const auto found = variables.find(var.get()); found != variables.end())
        var = found->second;
    }
    return list;
  }
  StoragePtr now(const StoragePtr &storage) const {
    const auto found = storages.find(storage.get());
    return found == storages.end() ? storage : found->second;
  }
  std::vector<Expr> all(std::vector<Expr> list) {
    for (Expr &e : list) e = expr(e);
    return list;
  }
};

}  // namespace

Stmt clone(const Stmt &s, const std::vector<VarPtr> &from, const std::vector<Expr> &to) {
  Cloner cloner;
  for (std::size_t i = 0; i < from.size(); ++i) cloner.values[from[i].get()] = to[i];
  return cloner(s);
}

Stmt with_storages(const Stmt &s, const std::vector<StoragePtr> &from,
                   const std::vector<StoragePtr> &to) {
  Cloner cloner;
  cloner.renew = false;
  for (std::size_t i = 0; i < from.size(); ++i) cloner.storages[from[i].get()] = to[i];
  return cloner(s);
}

}  // namespace pit::lower
