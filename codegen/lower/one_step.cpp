#include "one_step.h"

#include <algorithm>
#include <vector>

#include "codegen/ir/mutator.h"
#include "slice.h"

namespace pit::lower {
namespace {

using ir::Stmt;

bool contains(const std::vector<StoragePtr> &list, const StoragePtr &storage) {
  return std::ranges::find(list, storage) != list.end();
}

class OneStep final : public ir::Mutator {
 protected:
  using Mutator::visit;
  Stmt visit(const ir::Allocate &node, const Stmt &self) override {
    std::vector<const ir::Allocate *> tiles;
    Stmt inside = self;
    while (const auto *tile = inside.as<ir::Allocate>()) {
      tiles.push_back(tile);
      inside = tile->body;
    }
    const auto *block = inside.as<ir::Block>();
    const Stmt changed = block ? with_step(tiles, block->stmts) : Stmt();
    return changed.defined() ? changed : Mutator::visit(node, self);
  }

 private:
  /// Null where the products do not begin and end here.
  static Stmt with_step(const std::vector<const ir::Allocate *> &tiles,
                        const std::vector<Stmt> &stmts) {
    std::vector<StoragePtr> sums, operands;
    for (const Stmt &s : stmts) {
      const auto *product = s.as<ir::Mma>();
      if (product == nullptr) continue;
      sums.push_back(product->accumulator.tile);
      operands.insert(operands.end(), {product->a.tile, product->b.tile});
    }
    const auto made_here = [&](const StoragePtr &tile) {
      return std::ranges::any_of(tiles, [&](const auto *each) { return each->storage == tile; });
    };
    if (sums.empty() || !std::ranges::all_of(sums, made_here) ||
        !std::ranges::all_of(operands, made_here))
      return {};
    std::vector<Stmt> before, step, behind;
    for (const Stmt &s : stmts) {
      const auto *store = s.as<ir::Store>();
      if (s.as<ir::Mma>() || (store && contains(operands, store->storage))) {
        // What is between the products stays there.
        if (!behind.empty()) return {};
        step.push_back(s);
        continue;
      }
      const bool uses_operand =
          std::ranges::any_of(operands, [&](const StoragePtr &tile) { return mentions(s, tile); });
      if (uses_operand) return {};
      const bool multiplied =
          std::ranges::any_of(step, [](const Stmt &each) { return each.as<ir::Mma>(); });
      (multiplied ? behind : before).push_back(s);
    }
    Stmt loop = ir::make_block(std::move(step));
    for (auto it = tiles.rbegin(); it != tiles.rend(); ++it)
      if (contains(operands, (*it)->storage)) loop = around(**it, loop);
    before.push_back(ir::make<ir::For>(ir::make_loop_variable("step"), make_int(int64, 0),
                                       make_int(int64, 1), ir::ForKind::Serial, loop));
    before.insert(before.end(), behind.begin(), behind.end());
    Stmt result = ir::make_block(std::move(before));
    for (auto it = tiles.rbegin(); it != tiles.rend(); ++it)
      if (!contains(operands, (*it)->storage)) result = around(**it, result);
    return result;
  }

  static Stmt around(const ir::Allocate &tile, const Stmt &body) {
    return ir::make<ir::Allocate>(tile.storage, tile.extents, body, tile.placement);
  }
};

}  // namespace

Stmt one_step(const Stmt &kernel) { return OneStep()(kernel); }

}  // namespace pit::lower
