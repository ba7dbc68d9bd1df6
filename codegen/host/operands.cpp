#include "operands.h"

#include <algorithm>
#include <set>

#include "codegen/ir/mutator.h"
#include "codegen/llvm/access.h"

namespace pit::host {

namespace {

// So few columns are no vector.
constexpr std::int64_t kFewColumns = 3;

bool contains(const std::vector<VarPtr> &list, const VarPtr &v) {
  return std::ranges::find(list, v) != list.end();
}

// What a module does with a tile.
struct Uses {
  int stores = 0, operands = 0;
  bool other = false;  // is loaded or accumulated into
};

std::unordered_map<const StorageNode *, Uses> find_uses(const ir::Stmt &body) {
  std::unordered_map<const StorageNode *, Uses> uses;
  ir::walk_statements(body, [&](const ir::Stmt &s) {
    ir::walk_expressions(s, [&](const Expr &e) {
      walk(e, [&](const Expr &part) {
        if (const auto *load = part.as<Load>()) uses[load->storage.get()].other = true;
        return true;
      });
    });
    if (const auto *store = s.as<ir::Store>()) {
      Uses &u = uses[store->storage.get()];
      ++u.stores;
      if (store->combiner != Combiner::Assign) u.other = true;
    }
    if (const auto *mma = s.as<ir::Mma>()) {
      ++uses[mma->a.tile.get()].operands;
      ++uses[mma->b.tile.get()].operands;
      uses[mma->accumulator.tile.get()].other = true;
    }
    return true;
  });
  return uses;
}

// Worth computing more than once rather than storing.
bool is_cheap(const Expr &e) {
  bool cheap = true;
  walk(e, [&](const Expr &part) {
    if (part->kind == ExprKind::Unary) cheap = cheap && part.as<Unary>()->op == UnaryOp::Not;
    if (const auto *binary = part.as<Binary>()) {
      const bool slow =
          binary->op == BinaryOp::Div || binary->op == BinaryOp::Mod || binary->op == BinaryOp::Pow;
      cheap = cheap && !(slow && binary->a.type().is_float());
    }
    return cheap;
  });
  return cheap;
}

// True when e's value in a register is already rounded to its type, as storing it would.
bool is_rounded(const Expr &e) {
  if (!e.type().is_float() || e.type().bits > 16) return true;
  if (const auto *select = e.as<Select>())
    return is_rounded(select->true_value) && is_rounded(select->false_value);
  return e->kind == ExprKind::Load || e->kind == ExprKind::Cast || e->kind == ExprKind::FloatImm ||
         e->kind == ExprKind::Param;
}

bool is_whole(const ir::Store &store, const ir::TileOperand &operand) {
  if (store.combiner != Combiner::Assign || store.atomic || !store.guards.empty()) return false;
  if (store.indices.size() != operand.axes.size() || store.axes.size() != operand.axes.size())
    return false;
  for (std::size_t d = 0; d < store.indices.size(); ++d) {
    const auto *v = store.indices[d].as<Variable>();
    if (!v || v->var != operand.axes[d] || !contains(store.axes, v->var)) return false;
  }
  return true;
}

// The storages that a statement of a block writes; false when it is none that writes just one.
bool written_by(const ir::Stmt &s, std::set<const StorageNode *> *written) {
  if (const auto *store = s.as<ir::Store>()) {
    written->insert(store->storage.get());
    return true;
  }
  if (const auto *mma = s.as<ir::Mma>()) {
    written->insert(mma->accumulator.tile.get());
    return true;
  }
  return false;
}

bool reads_any(const Expr &e, const std::set<const StorageNode *> &storages) {
  bool found = false;
  walk(e, [&](const Expr &part) {
    if (const auto *load = part.as<Load>()) found = found || storages.contains(load->storage.get());
    return !found;
  });
  return found;
}

}  // namespace

MmaRoles roles_of(const ir::Mma &mma) {
  const bool swap = !mma.accumulator.axes.empty() && contains(mma.m, mma.accumulator.axes.back());
  if (swap) return {mma.b, mma.a, mma.n, mma.m};
  return {mma.a, mma.b, mma.m, mma.n};
}

bool has_kernel(const ir::Mma &mma,
                const std::unordered_map<const VarNode *, std::int64_t> &bounds) {
  if (mma.accumulator.axes.empty()) return false;
  const MmaRoles roles = roles_of(mma);
  if (!contains(roles.columns, mma.accumulator.axes.back())) return false;
  std::int64_t columns = 1;
  for (const VarPtr &v : roles.columns) columns *= bounds.at(v.get());
  return columns == 0 || columns > kFewColumns;
}

MmaTypes types_of(const ir::Mma &mma) {
  const MmaRoles roles = roles_of(mma);
  return {mma.accumulator.tile->type, roles.left.tile->type, roles.right.tile->type};
}

std::unordered_map<const StorageNode *, const ir::Store *> find_packed_operands(
    const ir::Stmt &body) {
  const auto bounds = code::axis_bounds(body);
  const auto uses = find_uses(body);
  std::unordered_map<const StorageNode *, const ir::Store *> packed;
  const auto look_at = [&](const std::vector<ir::Stmt> &stmts, std::size_t at,
                           const ir::TileOperand &operand) {
    const StorageNode *tile = operand.tile.get();
    const Uses &use = uses.at(tile);
    if (tile->space != Space::Tile || use.other || use.stores != 1 || use.operands != 1) return;
    std::set<const StorageNode *> written{stmts[at].as<ir::Mma>()->accumulator.tile.get()};
    for (std::size_t i = at; i-- > 0;) {
      const auto *store = stmts[i].as<ir::Store>();
      if (store && store->storage.get() == tile) {
        if (is_whole(*store, operand) && is_cheap(store->value) && is_rounded(store->value) &&
            !reads_any(store->value, written)) {
          packed[tile] = store;
        }
        return;
      }
      if (!written_by(stmts[i], &written)) return;
    }
  };
  ir::walk_statements(body, [&](const ir::Stmt &s) {
    if (const auto *block = s.as<ir::Block>()) {
      for (std::size_t i = 0; i < block->stmts.size(); ++i) {
        const auto *mma = block->stmts[i].as<ir::Mma>();
        if (!mma || !has_kernel(*mma, bounds)) continue;
        look_at(block->stmts, i, mma->a);
        look_at(block->stmts, i, mma->b);
      }
    }
    return true;
  });
  return packed;
}

}  // namespace pit::host
