#include "early_guards.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "codegen/ir/mutator.h"
#include "slice.h"

namespace pit::lower {
namespace {

using ir::Stmt;

constexpr std::int64_t kMost = 256;  // elements of a tile

class LookUpGuards final : public ir::Mutator {
 protected:
  using Mutator::visit;
  Stmt visit(const ir::Axes &node, const Stmt &self) override {
    for (const ir::AxisBinding &axis : node.axes) maxima_[axis.var.get()] = axis.maximum;
    return Mutator::visit(node, self);
  }

  Stmt visit(const ir::Block &node, const Stmt &self) override {
    const auto multiplies = [](const Stmt &s) {
      const auto *steps = s.as<ir::For>();
      bool found = false;
      if (steps == nullptr) return found;
      ir::walk_statements(steps->body, [&](const Stmt &part) {
        found = found || part.as<ir::Mma>();
        return !found && !part.as<ir::For>();
      });
      return found;
    };
    const auto loop = std::ranges::find_if(node.stmts, multiplies);
    if (loop == node.stmts.end()) return Mutator::visit(node, self);
    std::vector<Stmt> stmts(node.stmts.begin(), loop + 1);
    std::vector<StoragePtr> made;
    std::vector<Stmt> behind;
    for (auto s = loop + 1; s != node.stmts.end(); ++s) {
      const auto *store = s->as<ir::Store>();
      behind.push_back(store ? with_early_guards(*store, *s, &stmts, &made) : *s);
    }
    if (made.empty()) return Mutator::visit(node, self);
    stmts.insert(stmts.end(), behind.begin(), behind.end());
    Stmt result = ir::make_block(std::move(stmts));
    for (const StoragePtr &tile : made) {
      result = ir::make<ir::Allocate>(
          tile, std::vector<Expr>{make_int(int64, extents_.at(tile.get()))}, result);
    }
    return result;
  }

 private:
  std::unordered_map<const VarNode *, std::int64_t> maxima_;
  std::unordered_map<const StorageNode *, std::int64_t> extents_;

  /// The store with what its first guards look up in a tile, which `early` fills.
  Stmt with_early_guards(const ir::Store &store, const Stmt &self, std::vector<Stmt> *early,
                         std::vector<StoragePtr> *made) {
    if (store.storage->space == Space::Tile || store.axes.size() != 2) return self;
    // Up to the last that reads memory, as long as all are of one axis.
    VarPtr row;
    std::size_t count = 0;
    for (std::size_t i = 0; i < store.guards.size(); ++i) {
      const Expr &guard = store.guards[i];
      bool fits = true, memory = false;
      walk(guard, [&](const Expr &part) {
        const auto *load = part.as<Load>();
        if (load && load->storage->space == Space::Tile) fits = fits && load->storage->rank < 2;
        memory = memory || (load && load->storage->space != Space::Tile);
        return true;
      });
      for (const VarPtr &axis : store.axes) {
        if (!uses(guard, axis)) continue;
        fits = fits && (!row || row == axis);
        row = row ? row : axis;
      }
      if (!fits) break;
      if (memory && row) count = i + 1;
    }
    const auto maximum = row ? maxima_.find(row.get()) : maxima_.end();
    if (count == 0 || maximum == maxima_.end() || maximum->second < 1 || maximum->second > kMost)
      return self;
    const StoragePtr tile = ir::make_storage(row->name + ".kept", int32, 1, Space::Tile);
    made->push_back(tile);
    extents_[tile.get()] = maximum->second;
    const Expr at = make_variable(row);
    const auto set = [&](std::vector<Expr> guards, int value) {
      early->push_back(ir::make<ir::Store>(std::vector<VarPtr>{row}, std::move(guards), tile,
                                           std::vector<Expr>{at}, Combiner::Assign,
                                           make_int(int32, value)));
    };
    const auto end = store.guards.begin() + static_cast<std::ptrdiff_t>(count);
    set({}, 0);
    set({store.guards.begin(), end}, 1);
    std::vector<Expr> guards{make_load(tile, {at}) != make_int(int32, 0)};
    guards.insert(guards.end(), end, store.guards.end());
    return ir::make<ir::Store>(store.axes, std::move(guards), store.storage, store.indices,
                               store.combiner, store.value, store.atomic, store.vector_bytes);
  }
};

}  // namespace

ir::Stmt look_up_guards(const ir::Stmt &kernel) { return LookUpGuards()(kernel); }

}  // namespace pit::lower
