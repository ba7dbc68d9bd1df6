#include "merge_axes.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "codegen/ir/mutator.h"

namespace pit::lower {
namespace {

using ir::Stmt;
using AxisPair = std::pair<VarPtr, VarPtr>;  // of dimensions d and d + 1

/// Two axes, and the tiles that have them as dimensions d and d + 1: those of products, and where
/// `all` also those that are computed of them, or they of those.
class Merge {
 public:
  Merge(const Stmt &kernel, const AxisPair &first, bool all) : kernel_(kernel), all_(all) {
    ir::walk_statements(kernel, [&](const Stmt &s) {
      if (const auto *axes = s.as<ir::Axes>()) {
        for (const ir::AxisBinding &axis : axes->axes) bindings_[axis.var.get()] = {axes, axis};
      } else if (const auto *allocate = s.as<ir::Allocate>()) {
        allocations_[allocate->storage.get()] = allocate;
      }
      return true;
    });
    possible_ = add(first);
    for (std::size_t before = 0; possible_ && before != pairs_.size() + tiles_.size();) {
      before = pairs_.size() + tiles_.size();
      ir::walk_statements(kernel, [&](const Stmt &s) {
        const bool possible = look(s);
        return possible_ = possible_ && possible;
      });
    }
  }

  std::optional<Stmt> run() {
    if (!possible_) return {};
    for (const auto &[tile, at] : tiles_)
      merged_tiles_[tile] = ir::make_storage(tile->name, tile->type, tile->rank - 1, Space::Tile);
    return Rewriter(*this)(kernel_);
  }

 private:
  struct Bound {
    const ir::Axes *by;
    ir::AxisBinding binding;
  };
  struct Merged {
    VarPtr first, second, axis;
    ir::AxisBinding binding;
    std::int64_t length;  ///< of the inner one
    bool first_is_inner;
    Expr of_first() const { return first_is_inner ? at() % length : at() / length; }
    Expr of_second() const { return first_is_inner ? at() / length : at() % length; }
    Expr at() const { return make_variable(axis); }
  };

  const Stmt &kernel_;
  const bool all_;
  bool possible_ = false;
  std::map<const VarNode *, Bound> bindings_;
  std::map<const StorageNode *, const ir::Allocate *> allocations_;
  std::map<const VarNode *, Merged> pairs_;  ///< by the first axis
  std::map<const StorageNode *, std::size_t> tiles_;
  std::map<const StorageNode *, StoragePtr> merged_tiles_;

  /// The constant length of an axis that is always as long as its maximum; else 0.
  static std::int64_t whole(const ir::AxisBinding &axis) {
    std::int64_t length = 0;
    return is_const_int(axis.extent, &length) && length == axis.maximum ? length : 0;
  }

  bool add(const AxisPair &pair) {
    const auto &[first, second] = pair;
    if (const auto known = pairs_.find(first.get()); known != pairs_.end())
      return known->second.second == second;
    const auto a = bindings_.find(first.get()), b = bindings_.find(second.get());
    if (a == bindings_.end() || b == bindings_.end() || a->second.by != b->second.by) return false;
    // A tile may have the merged elements in any order: the inner axis is a whole one.
    const bool first_is_inner = whole(b->second.binding) == 0;
    const ir::AxisBinding &outer = (first_is_inner ? b : a)->second.binding,
                          &inner = (first_is_inner ? a : b)->second.binding;
    const std::int64_t length = whole(inner);
    if (length <= 0 || outer.maximum <= 0) return false;
    const VarPtr axis = ir::make_axis_variable(outer.var->name + "." + inner.var->name);
    pairs_[first.get()] = {
        first,  second,
        axis,   {axis, cast(int64, outer.extent) * length, outer.maximum * length},
        length, first_is_inner};
    return true;
  }

  bool add(const StorageNode *tile, std::size_t at, const Merged &pair) {
    const auto known = tiles_.find(tile);
    if (known != tiles_.end()) return known->second == at;
    const auto allocation = allocations_.find(tile);
    if (allocation == allocations_.end()) return false;
    std::int64_t a = 0, b = 0;
    const std::vector<Expr> &extents = allocation->second->extents;
    tiles_[tile] = at;
    return is_const_int(extents[at], &a) && is_const_int(extents[at + 1], &b) &&
           (pair.first_is_inner ? a : b) == pair.length && a * b == pair.binding.maximum;
  }

  /// The pair that is at d and d + 1 of a list, or null.
  const Merged *pair_at(const std::vector<VarPtr> &axes, std::size_t *d) const {
    for (*d = 0; *d + 1 < axes.size(); ++*d) {
      const auto found = pairs_.find(axes[*d].get());
      if (found != pairs_.end() && found->second.second == axes[*d + 1]) return &found->second;
    }
    return nullptr;
  }
  bool any_of_pairs(const std::vector<VarPtr> &axes) const {
    return std::ranges::any_of(pairs_, [&](const auto &entry) {
      return std::ranges::find(axes, entry.second.first) != axes.end() ||
             std::ranges::find(axes, entry.second.second) != axes.end();
    });
  }

  /// The tile is at merged axes here.
  void join(const StorageNode *tile, const std::vector<Expr> &indices) {
    for (std::size_t d = 0; d + 1 < indices.size(); ++d) {
      const auto *a = indices[d].as<Variable>(), *b = indices[d + 1].as<Variable>();
      const auto pair = a ? pairs_.find(a->var.get()) : pairs_.end();
      if (pair == pairs_.end() || b == nullptr || pair->second.second != b->var) continue;
      possible_ = possible_ && add(tile, d, pair->second);
      return;
    }
  }

  /// False where the statement cannot go over merged axes; what it merges joins.
  bool look(const Stmt &s) {
    if (const auto *mma = s.as<ir::Mma>()) {
      if (any_of_pairs(mma->batch)) return false;
      for (const auto *role : {&mma->m, &mma->n, &mma->k}) {
        std::size_t d = 0;
        if (any_of_pairs(*role) && pair_at(*role, &d) == nullptr) return false;
      }
      return std::ranges::all_of(
          std::vector{&mma->accumulator, &mma->a, &mma->b}, [&](const ir::TileOperand *operand) {
            if (const auto known = tiles_.find(operand->tile.get());
                known != tiles_.end() &&
                !add({operand->axes[known->second], operand->axes[known->second + 1]}))
              return false;
            std::size_t d = 0;
            if (!any_of_pairs(operand->axes)) return true;
            const Merged *pair = pair_at(operand->axes, &d);
            return pair && add(operand->tile.get(), d, *pair);
          });
    }
    const auto *store = s.as<ir::Store>();
    bool possible = true;
    const auto element = [&](const StorageNode *tile, const std::vector<Expr> &indices) {
      if (all_ && tile->space == Space::Tile && !tiles_.contains(tile)) join(tile, indices);
      const auto found = tiles_.find(tile);
      if (found == tiles_.end()) return;
      const auto *a = indices[found->second].as<Variable>(),
                 *b = indices[found->second + 1].as<Variable>();
      const auto listed = [&](const Variable *v) {
        return v && store && std::ranges::find(store->axes, v->var) != store->axes.end();
      };
      possible = possible && listed(a) && listed(b) && add({a->var, b->var});
    };
    ir::walk_expressions(s, [&](const Expr &e) {
      walk(e, [&](const Expr &part) {
        if (const auto *load = part.as<Load>()) element(load->storage.get(), load->indices);
        return true;
      });
    });
    if (store) element(store->storage.get(), store->indices);
    if (const auto *prefix = s.as<ir::Prefix>())
      possible = possible && !tiles_.contains(prefix->source.get()) &&
                 !tiles_.contains(prefix->destination.get());
    return possible;
  }

  class Rewriter final : public ir::Mutator {
   public:
    explicit Rewriter(const Merge &merge) : merge_(merge) {}

   protected:
    using Mutator::visit;

    Stmt visit(const ir::Axes &node, const Stmt &) override {
      std::vector<ir::AxisBinding> axes;
      for (const ir::AxisBinding &axis : node.axes) {
        axes.push_back(axis);
        const auto found = merge_.pairs_.find(axis.var.get());
        if (found != merge_.pairs_.end()) axes.push_back(found->second.binding);
      }
      return ir::make<ir::Axes>(std::move(axes), mutate(node.body));
    }

    Stmt visit(const ir::Allocate &node, const Stmt &) override {
      const Stmt body = mutate(node.body);
      const auto found = merge_.tiles_.find(node.storage.get());
      if (found == merge_.tiles_.end())
        return ir::make<ir::Allocate>(node.storage, node.extents, body, node.placement);
      std::vector<Expr> extents = node.extents;
      std::int64_t a = 1, b = 1;
      is_const_int(extents[found->second], &a);
      is_const_int(extents[found->second + 1], &b);
      extents[found->second] = make_int(int64, a * b);
      extents.erase(extents.begin() + static_cast<std::ptrdiff_t>(found->second) + 1);
      return ir::make<ir::Allocate>(merge_.merged_tiles_.at(node.storage.get()), std::move(extents),
                                    body, node.placement);
    }

    Stmt visit(const ir::Mma &mma, const Stmt &) override {
      const auto operand = [&](const ir::TileOperand &o) {
        const auto found = merge_.merged_tiles_.find(o.tile.get());
        if (found == merge_.merged_tiles_.end()) return o;
        return ir::TileOperand{found->second, merged(o.axes), o.slot};
      };
      return ir::make<ir::Mma>(mma.batch, merged(mma.m), merged(mma.n), merged(mma.k),
                               operand(mma.accumulator), operand(mma.a), operand(mma.b), mma.atom,
                               mma.asynchronous);
    }

    Stmt visit(const ir::Store &store, const Stmt &self) override {
      std::vector<VarPtr> axes, from;
      std::vector<Expr> to;
      for (const VarPtr &axis : store.axes) {
        const Merged *pair = nullptr;
        bool is_second = false;
        for (const auto &[first, each] : merge_.pairs_) {
          const auto has = [&](const VarPtr &v) {
            return std::ranges::find(store.axes, v) != store.axes.end();
          };
          if (!has(each.first) || !has(each.second)) continue;
          if (axis == each.first) pair = &each;
          is_second = is_second || axis == each.second;
        }
        if (is_second) continue;
        axes.push_back(pair ? pair->axis : axis);
        if (pair == nullptr) continue;
        from.insert(from.end(), {pair->first, pair->second});
        to.insert(to.end(), {pair->of_first(), pair->of_second()});
      }
      if (from.empty()) return self;
      const auto changed = [&](const Expr &e) { return substitute(elements(e), from, to); };
      const auto all = [&](std::vector<Expr> list) {
        for (Expr &e : list) e = changed(e);
        return list;
      };
      const auto tile = merge_.merged_tiles_.find(store.storage.get());
      std::vector<Expr> indices = store.indices;
      if (tile != merge_.merged_tiles_.end()) indices = merged(store.storage.get(), indices);
      return ir::make<ir::Store>(axes, all(store.guards),
                                 tile == merge_.merged_tiles_.end() ? store.storage : tile->second,
                                 all(indices), store.combiner, changed(store.value), store.atomic,
                                 store.vector_bytes);
    }

   private:
    const Merge &merge_;

    std::vector<VarPtr> merged(std::vector<VarPtr> axes) const {
      std::size_t d = 0;
      while (const Merged *pair = merge_.pair_at(axes, &d)) {
        axes[d] = pair->axis;
        axes.erase(axes.begin() + static_cast<std::ptrdiff_t>(d) + 1);
      }
      return axes;
    }
    std::vector<Expr> merged(const StorageNode *tile, std::vector<Expr> indices) const {
      const std::size_t d = merge_.tiles_.at(tile);
      const auto *first = indices[d].as<Variable>();
      indices[d] = merge_.pairs_.at(first->var.get()).at();
      indices.erase(indices.begin() + static_cast<std::ptrdiff_t>(d) + 1);
      return indices;
    }
    /// Loads of merged tiles, at the merged axis.
    Expr elements(const Expr &e) const {
      return rewrite(e, [&](const Expr &part) -> Expr {
        const auto *load = part.as<Load>();
        if (load == nullptr) return part;
        const auto tile = merge_.merged_tiles_.find(load->storage.get());
        if (tile == merge_.merged_tiles_.end()) return part;
        return make_load(tile->second, merged(load->storage.get(), load->indices));
      });
    }
  };
};

/// Neighbouring axes of one role of a product.
std::vector<AxisPair> candidates(const Stmt &kernel) {
  std::vector<AxisPair> found;
  ir::walk_statements(kernel, [&](const Stmt &s) {
    const auto *mma = s.as<ir::Mma>();
    if (mma == nullptr) return true;
    for (const auto *role : {&mma->m, &mma->n, &mma->k}) {
      for (std::size_t d = 0; d + 1 < role->size(); ++d)
        found.emplace_back((*role)[d], (*role)[d + 1]);
    }
    return true;
  });
  return found;
}

}  // namespace

Stmt merge_axes(const Stmt &kernel) {
  Stmt result = kernel;
  for (bool changed = true; changed;) {
    changed = false;
    for (const AxisPair &pair : candidates(result)) {
      std::optional<Stmt> merged = Merge(result, pair, true).run();
      if (!merged) merged = Merge(result, pair, false).run();
      if (!merged) continue;
      result = *merged;
      changed = true;
      break;
    }
  }
  return result;
}

}  // namespace pit::lower
