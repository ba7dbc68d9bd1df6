#include "tile_positions.h"

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "codegen/ir/mutator.h"
#include "dependence.h"
#include "product_loops.h"

namespace pit::lower {
namespace {

using ir::Stmt;

struct Position {
  Expr load;
  ir::AxisBinding axis;
  StoragePtr tile;
  const StorageNode *coordinates = nullptr;  ///< the tile that the load reads, if any
};

/// The loads from memory that evaluating e makes in any case, and those that say where another one
/// loads from.
void find_loads(const Expr &e, bool always, bool position, std::vector<Expr> *made,
                std::vector<Expr> *positions) {
  const auto inside = [&](const Expr &part, bool part_always) {
    find_loads(part, part_always, position, made, positions);
  };
  if (const auto *select = e.as<Select>()) {
    inside(select->condition, always);
    inside(select->true_value, false);
    inside(select->false_value, false);
  } else if (const auto *binary = e.as<Binary>();
             binary && (binary->op == BinaryOp::And || binary->op == BinaryOp::Or)) {
    inside(binary->a, always);
    inside(binary->b, false);
  } else if (const auto *load = e.as<Load>(); load && load->storage->space != Space::Tile) {
    if (always) made->push_back(e);
    if (position) positions->push_back(e);
    for (const Expr &index : load->indices) find_loads(index, always, true, made, positions);
  } else {
    for (const Expr &operand : operands(e)) inside(operand, always);
  }
}

class Finder {
 public:
  Finder(const Stmt &kernel, const ir::For &loop) : loop_(loop), depends_(loop.body, loop.var) {
    ir::walk_statements(kernel, [&](const Stmt &s) {
      if (const auto *store = s.as<ir::Store>()) stored_.insert(store->storage.get());
      return true;
    });
    ir::walk_statements(loop.body, [&](const Stmt &s) {
      if (const auto *axes = s.as<ir::Axes>())
        axes_.insert(axes_.end(), axes->axes.begin(), axes->axes.end());
      return true;
    });
  }

  /// One that is not in a tile yet.
  std::optional<Position> find() const {
    std::vector<Expr> made, positions;
    ir::walk_statements(loop_.body, [&](const Stmt &s) {
      const auto *store = s.as<ir::Store>();
      if (store && store->guards.empty()) find_loads(store->value, true, false, &made, &positions);
      return true;
    });
    for (const Expr &load : positions) {
      if (!std::ranges::any_of(made, [&](const Expr &each) { return equal(each, load); })) continue;
      if (std::optional<Position> found = position(load)) return found;
    }
    return {};
  }

 private:
  const ir::For &loop_;
  const Dependence depends_;
  std::set<const StorageNode *> stored_;
  std::vector<ir::AxisBinding> axes_;

  std::optional<Position> position(const Expr &e) const {
    const Load &load = *e.as<Load>();
    const auto axis = [&](const VarPtr &v) {
      return std::ranges::find(axes_, v, &ir::AxisBinding::var);
    };
    if (!e.type().is_int() || !depends_(e) || stored_.contains(load.storage.get())) return {};
    Position found{.load = e, .axis = {}, .tile = nullptr};
    for (const VarPtr &v : free_variables(e)) {
      if (v->role != VarRole::Axis) continue;
      if (found.axis.var || axis(v) == axes_.end() || axis(v)->maximum <= 0) return {};
      found.axis = *axis(v);
    }
    bool several = false;
    walk(e, [&](const Expr &part) {
      const auto *read = part.as<Load>();
      if (read == nullptr || read->storage->space != Space::Tile) return true;
      several = several || (found.coordinates && found.coordinates != read->storage.get());
      found.coordinates = read->storage.get();
      return true;
    });
    if (!found.axis.var || several) return {};
    found.tile = ir::make_storage(load.storage->name + ".at", e.type(), 1, Space::Tile);
    return found;
  }
};

/// The loop's body with the tile, behind what it is looked up with.
class InTile final : public ir::Mutator {
 public:
  explicit InTile(const Position &position) : position_(position) {}
  bool placed() const { return placed_; }

 protected:
  using Mutator::visit;
  Stmt visit(const ir::Block &block, const Stmt &self) override {
    if (!position_.coordinates) return Mutator::visit(block, self);
    for (std::size_t i = 0; i < block.stmts.size(); ++i) {
      const auto *store = block.stmts[i].as<ir::Store>();
      if (placed_ || !store || store->storage.get() != position_.coordinates) continue;
      std::vector<Stmt> stmts(block.stmts.begin(), block.stmts.begin() + static_cast<long>(i) + 1);
      stmts.push_back(around({block.stmts.begin() + static_cast<long>(i) + 1, block.stmts.end()}));
      return ir::make_block(std::move(stmts));
    }
    return Mutator::visit(block, self);
  }
  Stmt visit(const ir::Axes &axes, const Stmt &self) override {
    const bool here =
        !position_.coordinates &&
        std::ranges::find(axes.axes, position_.axis.var, &ir::AxisBinding::var) != axes.axes.end();
    return here ? ir::make<ir::Axes>(axes.axes, around({axes.body})) : Mutator::visit(axes, self);
  }
  Expr expr(const Expr &e) override {
    if (!placed_) return e;
    return rewrite(e, [&](const Expr &part) {
      return equal(part, position_.load) ? make_load(position_.tile, {at()}) : part;
    });
  }

 private:
  const Position &position_;
  bool placed_ = false;

  Expr at() const { return make_variable(position_.axis.var); }
  Stmt around(std::vector<Stmt> rest) {
    placed_ = true;
    for (Stmt &s : rest) s = mutate(s);
    rest.insert(rest.begin(),
                ir::make<ir::Store>(std::vector<VarPtr>{position_.axis.var}, std::vector<Expr>{},
                                    position_.tile, std::vector<Expr>{at()}, Combiner::Assign,
                                    position_.load));
    return ir::make<ir::Allocate>(position_.tile,
                                  std::vector<Expr>{make_int(int64, position_.axis.maximum)},
                                  ir::make_block(std::move(rest)));
  }
};

class TilePositions final : public ir::Mutator {
 public:
  explicit TilePositions(const Stmt &kernel) : kernel_(kernel) {
    for (const ir::For *loop : product_loops(kernel)) loops_.insert(loop);
  }

 protected:
  using Mutator::visit;
  Stmt visit(const ir::For &node, const Stmt &self) override {
    if (!loops_.contains(&node)) return Mutator::visit(node, self);
    Stmt result = self;
    while (true) {
      const ir::For &loop = *result.as<ir::For>();
      const std::optional<Position> found = Finder(kernel_, loop).find();
      if (!found) return result;
      InTile in_tile(*found);
      const Stmt body = in_tile(loop.body);
      if (!in_tile.placed()) return result;
      result = ir::make<ir::For>(loop.var, loop.min, loop.extent, loop.loop_kind, body);
    }
  }

 private:
  const Stmt &kernel_;
  std::set<const ir::StmtNode *> loops_;
};

}  // namespace

Stmt tile_positions(const Stmt &kernel) { return TilePositions(kernel)(kernel); }

}  // namespace pit::lower
