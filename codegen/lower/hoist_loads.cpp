#include "hoist_loads.h"

#include <algorithm>
#include <set>
#include <vector>

#include "codegen/ir/mutator.h"
#include "product_loops.h"
#include "slice.h"

namespace pit::lower {
namespace {

using ir::Stmt;

/// What the loop that multiplies names and makes.
struct Loop {
  const ir::For *node = nullptr;
  std::vector<const ir::Mma *> products;
  std::vector<const ir::Store *> stores;
  std::vector<const ir::Allocate *> tiles;
  std::vector<ir::AxisBinding> axes;
  std::set<const VarNode *> made;  ///< variables that are defined in it
  std::set<const ir::StmtNode *> conditional;

  const ir::Allocate *tile(const StoragePtr &storage) const {
    const auto found = std::ranges::find_if(
        tiles, [&](const ir::Allocate *each) { return each->storage == storage; });
    return found == tiles.end() ? nullptr : *found;
  }
};

Loop look_into(const ir::For *node) {
  Loop loop;
  loop.node = node;
  loop.made.insert(node->var.get());
  ir::walk_statements(node->body, [&](const Stmt &s) {
    if (const auto *product = s.as<ir::Mma>()) loop.products.push_back(product);
    if (const auto *store = s.as<ir::Store>()) loop.stores.push_back(store);
    if (const auto *tile = s.as<ir::Allocate>()) loop.tiles.push_back(tile);
    if (s.as<ir::If>()) {
      ir::walk_statements(s, [&](const Stmt &part) {
        loop.conditional.insert(part.get());
        return true;
      });
    }
    if (const auto *let = s.as<ir::Let>()) loop.made.insert(let->var.get());
    if (const auto *inner = s.as<ir::For>()) loop.made.insert(inner->var.get());
    if (const auto *axes = s.as<ir::Axes>()) {
      for (const ir::AxisBinding &axis : axes->axes) {
        std::int64_t extent = 0;
        if (is_const_int(axis.extent, &extent) && extent == axis.maximum)
          loop.axes.push_back(axis);
        else
          loop.made.insert(axis.var.get());
      }
    }
    return true;
  });
  return loop;
}

/// The one store that fills the tile of an operand, if it says the same in every step.
const ir::Store *steady_load(const Loop &loop, const StoragePtr &tile) {
  const ir::Store *load = nullptr;
  for (const ir::Store *store : loop.stores) {
    if (store->storage != tile) continue;
    if (load) return nullptr;
    load = store;
  }
  if (load == nullptr || load->combiner != Combiner::Assign || loop.conditional.contains(load))
    return nullptr;
  bool steady = true;
  const auto look = [&](const Expr &e) {
    for (const VarPtr &v : free_variables(e)) steady = steady && !loop.made.contains(v.get());
    walk(e, [&](const Expr &part) {
      const auto *read = part.as<Load>();
      steady = steady && !(read && (read->storage->space == Space::Tile ||
                                    std::ranges::any_of(loop.stores, [&](const auto *store) {
                                      return store->storage == read->storage;
                                    })));
      return steady;
    });
  };
  look(load->value);
  for (const Expr &guard : load->guards) look(guard);
  for (const VarPtr &axis : load->axes) steady = steady && !loop.made.contains(axis.get());
  for (const Expr &extent : loop.tile(tile)->extents) look(extent);
  return steady ? load : nullptr;
}

/// The loop's body without these tiles, the stores to them, and axes.
class Without final : public ir::Mutator {
 public:
  Without(const std::vector<StoragePtr> &tiles, const std::vector<ir::AxisBinding> &axes)
      : tiles_(tiles), axes_(axes) {}

 protected:
  using Mutator::visit;
  Stmt visit(const ir::Allocate &node, const Stmt &self) override {
    return moved(node.storage) ? mutate(node.body) : Mutator::visit(node, self);
  }
  Stmt visit(const ir::Store &node, const Stmt &self) override {
    return moved(node.storage) ? Stmt() : Mutator::visit(node, self);
  }
  Stmt visit(const ir::Axes &node, const Stmt &) override {
    std::vector<ir::AxisBinding> kept;
    for (const ir::AxisBinding &axis : node.axes) {
      if (std::ranges::find(axes_, axis.var, &ir::AxisBinding::var) == axes_.end())
        kept.push_back(axis);
    }
    const Stmt body = mutate(node.body);
    return kept.empty() ? body : ir::make<ir::Axes>(std::move(kept), body);
  }

 private:
  bool moved(const StoragePtr &tile) const {
    return std::ranges::find(tiles_, tile) != tiles_.end();
  }
  const std::vector<StoragePtr> &tiles_;
  const std::vector<ir::AxisBinding> &axes_;
};

}  // namespace

Stmt hoist_loads(const Stmt &kernel) {
  const std::vector<const ir::For *> loops = product_loops(kernel);
  if (loops.size() != 1) return kernel;
  const ir::For *node = loops.front();
  std::int64_t steps = 0;
  if (node->loop_kind != ir::ForKind::Serial || (is_const_int(node->extent, &steps) && steps <= 1))
    return kernel;
  const Loop loop = look_into(node);
  std::vector<StoragePtr> tiles;
  std::vector<Stmt> stmts;
  std::vector<ir::AxisBinding> axes;
  for (const ir::Mma *product : loop.products) {
    for (const StoragePtr &tile : {product->a.tile, product->b.tile}) {
      if (loop.tile(tile) == nullptr || std::ranges::find(tiles, tile) != tiles.end()) continue;
      const ir::Store *load = steady_load(loop, tile);
      if (load == nullptr) continue;
      tiles.push_back(tile);
      // Without steps nobody may have made sure that there is something to load.
      std::vector<Expr> guards{make_int(int64, 0) < cast(int64, node->extent)};
      guards.insert(guards.end(), load->guards.begin(), load->guards.end());
      stmts.push_back(ir::make<ir::Store>(load->axes, std::move(guards), tile, load->indices,
                                          load->combiner, load->value, load->atomic,
                                          load->vector_bytes));
      for (const ir::AxisBinding &axis : loop.axes) {
        const bool uses = std::ranges::find(load->axes, axis.var) != load->axes.end();
        if (uses && std::ranges::find(axes, axis.var, &ir::AxisBinding::var) == axes.end())
          axes.push_back(axis);
      }
    }
  }
  if (tiles.empty()) return kernel;
  stmts.push_back(ir::make<ir::For>(node->var, node->min, node->extent, node->loop_kind,
                                    Without(tiles, axes)(node->body)));
  Stmt body = ir::make_block(std::move(stmts));
  for (const StoragePtr &tile : tiles)
    body = ir::make<ir::Allocate>(tile, loop.tile(tile)->extents, body, loop.tile(tile)->placement);
  if (!axes.empty()) body = ir::make<ir::Axes>(std::move(axes), body);
  return with_loop(kernel, node, body);
}

}  // namespace pit::lower
