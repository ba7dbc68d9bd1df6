#include "ahead.h"

#include <algorithm>

#include "codegen/ir/mutator.h"
#include "codegen/ir/staged.h"

namespace pit::cuda {

namespace {

bool in_memory(const StoragePtr &storage) { return storage->space != Space::Tile; }

class Ahead {
 public:
  Ahead(const ir::Launch &launch, const std::unordered_set<const StorageNode *> &written)
      : launch_(launch), written_(written) {}

  bool run() {
    const ir::Roles *roles = nullptr;
    ir::walk_statements(launch_.body, [&](const ir::Stmt &s) {
      if (const auto *found = s.as<ir::Roles>()) roles = found;
      return true;
    });
    if (roles == nullptr || !stores_in(roles->roles.back().body)) return false;
    find_wild();
    bool fits = true;
    ir::walk_statements(launch_.body, [&](const ir::Stmt &s) {
      fits = fits && is_safe(s);
      ir::walk_expressions(s, [&](const Expr &e) { fits = fits && reads_safely(e); });
      return fits;
    });
    return fits;
  }

 private:
  const ir::Launch &launch_;
  const std::unordered_set<const StorageNode *> &written_;
  /// What depends on data that are not held.
  std::unordered_set<const VarNode *> wild_variables_;
  std::unordered_set<const StorageNode *> wild_tiles_;

  /// All that is stored in memory is stored in `last`.
  bool stores_in(const ir::Stmt &last) const {
    const auto count = [](const ir::Stmt &body) {
      std::size_t n = 0;
      ir::walk_statements(body, [&](const ir::Stmt &s) {
        const auto *store = s.as<ir::Store>();
        n += store && in_memory(store->storage);
        return true;
      });
      return n;
    };
    return count(launch_.body) == count(last);
  }

  bool is_wild(const Expr &e) const {
    if (const auto *variable = e.as<Variable>())
      return wild_variables_.contains(variable->var.get());
    if (const auto *load = e.as<Load>())
      return in_memory(load->storage) || wild_tiles_.contains(load->storage.get());
    const auto *most = e.as<Binary>();
    if (most && most->op == BinaryOp::Max) {
      const auto *least = most->a.as<Binary>();
      if (least && least->op == BinaryOp::Min) return is_wild(least->b) || is_wild(most->b);
    }
    return std::ranges::any_of(operands(e), [&](const Expr &part) { return is_wild(part); });
  }

  void find_wild() {
    std::size_t before = 0;
    const auto size = [&] { return wild_variables_.size() + wild_tiles_.size(); };
    do {
      before = size();
      ir::walk_statements(launch_.body, [&](const ir::Stmt &s) {
        const auto *let = s.as<ir::Let>();
        if (let && is_wild(let->value)) wild_variables_.insert(let->var.get());
        const auto *store = s.as<ir::Store>();
        if (store && !in_memory(store->storage) && is_wild(store->value))
          wild_tiles_.insert(store->storage.get());
        return true;
      });
    } while (size() != before);
  }

  bool is_safe(const ir::Stmt &s) const {
    if (const auto *loop = s.as<ir::For>()) return !is_wild(loop->min) && !is_wild(loop->extent);
    if (const auto *axes = s.as<ir::Axes>()) {
      return std::ranges::none_of(axes->axes,
                                  [&](const auto &axis) { return is_wild(axis.extent); });
    }
    // Which way roles go must be the same for all of them.
    if (const auto *branch = s.as<ir::If>()) return !is_wild(branch->condition);
    const bool known = s.as<ir::Let>() || s.as<ir::Block>() || s.as<ir::Allocate>() ||
                       s.as<ir::Store>() || s.as<ir::Copy>() || s.as<ir::Mma>() ||
                       s->kind >= ir::StmtKind::Barriers;
    return known;
  }

  bool reads_safely(const Expr &e) const {
    bool safe = true;
    walk(e, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      if (load && in_memory(load->storage)) {
        safe = safe && load->storage->space == Space::Tensor &&
               !written_.contains(load->storage.get()) &&
               std::ranges::none_of(load->indices, [&](const Expr &i) { return is_wild(i); });
      }
      return safe;
    });
    return safe;
  }
};

}  // namespace

bool may_run_ahead(const ir::Launch &launch,
                   const std::unordered_set<const StorageNode *> &written) {
  return Ahead(launch, written).run();
}

}  // namespace pit::cuda
