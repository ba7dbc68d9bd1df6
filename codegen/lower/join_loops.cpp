#include "join_loops.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "codegen/ir/mutator.h"
#include "product_loops.h"

namespace pit::lower {
namespace {

using ir::Stmt;

/// A statement of a step that holds no others, or conditions around two of them, with what is
/// defined between it and the one before.
struct Work {
  std::vector<const ir::Let *> lets;
  std::vector<ir::AxisBinding> axes;
  std::vector<const ir::Allocate *> tiles;
  Stmt stmt;
};

/// A loop of products, and the lets around it.
struct Loop {
  std::vector<const ir::Let *> lets;
  const ir::For *node = nullptr;
  std::vector<Work> step;
  std::map<const VarNode *, ir::AxisBinding> axes;  ///< that the step defines
  std::map<const StorageNode *, const ir::Allocate *> tiles;
};

/// Lists the step's statements; false where it holds others than a step of a pipeline.
bool list(const Stmt &s, Loop *loop, Work *next) {
  if (!s.defined()) return true;
  if (const auto *block = s.as<ir::Block>()) {
    return std::ranges::all_of(block->stmts,
                               [&](const Stmt &each) { return list(each, loop, next); });
  }
  if (const auto *let = s.as<ir::Let>()) {
    next->lets.push_back(let);
    return list(let->body, loop, next);
  }
  if (const auto *axes = s.as<ir::Axes>()) {
    for (const ir::AxisBinding &axis : axes->axes) {
      next->axes.push_back(axis);
      loop->axes[axis.var.get()] = axis;
    }
    return list(axes->body, loop, next);
  }
  if (const auto *tile = s.as<ir::Allocate>()) {
    next->tiles.push_back(tile);
    loop->tiles[tile->storage.get()] = tile;
    return list(tile->body, loop, next);
  }
  const auto *branch = s.as<ir::If>();
  const bool either =
      branch && branch->then_body.as<ir::Store>() && branch->else_body.as<ir::Store>();
  if (!s.as<ir::Store>() && !s.as<ir::Mma>() && !either) return false;
  next->stmt = s;
  loop->step.push_back(std::exchange(*next, {}));
  return true;
}

std::optional<Loop> loop_of(const Stmt &s) {
  Loop loop;
  Stmt inside = s;
  while (const auto *let = inside.as<ir::Let>()) {
    loop.lets.push_back(let);
    inside = let->body;
  }
  loop.node = inside.as<ir::For>();
  if (!loop.node || loop.node->loop_kind != ir::ForKind::Serial || !holds_product(inside))
    return {};
  Work next;
  if (!list(loop.node->body, &loop, &next)) return {};
  return loop;
}

/// Two loops, one behind the other, as one.
class Join {
 public:
  Join(Loop first, Loop second) : a_(std::move(first)), b_(std::move(second)) {}

  std::optional<Stmt> run() {
    if (reads_tiles_before()) return {};
    pair_steps();
    if (!possible_) return {};
    const Stmt body = joined_step();
    if (!possible_) return {};
    const Expr of_b = max(b_.node->extent, make_int(int64, 0));
    Stmt result = ir::make<ir::For>(step_, make_int(int64, 0), steps_of_a() + of_b,
                                    ir::ForKind::Serial, body);
    result = ir::make<ir::Let>(steps_, max(a_.node->extent, make_int(int64, 0)), result);
    for (const Loop *loop : {&b_, &a_}) {
      for (auto let = loop->lets.rbegin(); let != loop->lets.rend(); ++let)
        result = ir::make<ir::Let>((*let)->var, (*let)->value, result);
    }
    return result;
  }

 private:
  /// A statement of the joined step: of both, or of one of them alone.
  struct Pair {
    const Work *a = nullptr, *b = nullptr;
  };
  /// Where things of the second loop are in the first.
  struct Names {
    std::map<const VarNode *, VarPtr> axes;
    std::map<const StorageNode *, StoragePtr> tiles;
  };

  Loop a_, b_;
  bool possible_ = true;
  Names names_;
  std::vector<Pair> pairs_;
  std::set<const StorageNode *> alone_;  ///< tiles of one of the loops
  VarPtr step_ = ir::make_loop_variable(a_.node->var->name);
  VarPtr steps_ = ir::make_let_variable(a_.node->var->name + ".steps", int64);
  VarPtr is_a_ = ir::make_let_variable(a_.node->var->name + ".first", boolean);

  Expr steps_of_a() const { return make_variable(steps_); }
  Expr in_a() const { return make_variable(is_a_); }

  static bool reads_tiles(const Expr &e) {
    bool reads = false;
    walk(e, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      return !(reads = reads || (load && load->storage->space == Space::Tile));
    });
    return reads;
  }

  /// What is known before the second loop is not known before the first one.
  bool reads_tiles_before() const {
    return reads_tiles(b_.node->min) || reads_tiles(b_.node->extent) ||
           std::ranges::any_of(b_.lets, [](const ir::Let *let) { return reads_tiles(let->value); });
  }

  // --- pairs ---

  void pair_steps() {
    std::size_t i = 0, j = 0;
    while (i < a_.step.size() || j < b_.step.size()) {
      const Work *a = i < a_.step.size() ? &a_.step[i] : nullptr;
      const Work *b = j < b_.step.size() ? &b_.step[j] : nullptr;
      Names known = names_;
      if (a && b && alike(a->stmt, b->stmt)) {
        pairs_.push_back({a, b});
        ++i, ++j;
        continue;
      }
      names_ = std::move(known);
      if (a && is_alone(a->stmt, a_)) {
        pairs_.push_back({a, nullptr});
        alone_.insert(a->stmt.as<ir::Store>()->storage.get());
        ++i;
      } else if (b && is_alone(b->stmt, b_)) {
        pairs_.push_back({nullptr, b});
        alone_.insert(b->stmt.as<ir::Store>()->storage.get());
        ++j;
      } else {
        possible_ = false;
        return;
      }
    }
  }

  /// The statement loads a tile that the other loop does without, of memory and such tiles.
  bool is_alone(const Stmt &s, const Loop &loop) const {
    const auto *store = s.as<ir::Store>();
    if (!store || store->combiner != Combiner::Assign || !loop.tiles.contains(store->storage.get()))
      return false;
    bool loads = false, reads_others = false;
    walk(store->value, [&](const Expr &part) {
      if (const auto *load = part.as<Load>()) {
        const StorageNode *from = load->storage.get();
        loads = loads || from->space != Space::Tile;
        reads_others = reads_others || (from->space == Space::Tile && !alone_.contains(from));
      }
      return true;
    });
    return loads && !reads_others;
  }

  /// The statements do the same but for the values; what they store and go over is paired.
  bool alike(const Stmt &a, const Stmt &b) {
    const auto *if_a = a.as<ir::If>(), *if_b = b.as<ir::If>();
    if (if_a || if_b) {
      return alike(if_a ? if_a->then_body : a, if_b ? if_b->then_body : b) &&
             alike(if_a ? if_a->else_body : a, if_b ? if_b->else_body : b);
    }
    if (const auto *x = a.as<ir::Store>(), *y = b.as<ir::Store>(); x && y) {
      if (x->combiner != y->combiner || x->atomic || y->atomic ||
          x->indices.size() != y->indices.size() || !same_axes(x->axes, y->axes) ||
          !same_tile(x->storage, y->storage))
        return false;
      for (std::size_t d = 0; d < x->indices.size(); ++d)
        if (!equal(x->indices[d], named(y->indices[d]))) return false;
      return true;
    }
    const auto *x = a.as<ir::Mma>(), *y = b.as<ir::Mma>();
    const auto same_operand = [&](const ir::TileOperand &p, const ir::TileOperand &q) {
      return same_tile(p.tile, q.tile) && same_axes(p.axes, q.axes);
    };
    return x && y && x->atom == y->atom && same_axes(x->batch, y->batch) && same_axes(x->m, y->m) &&
           same_axes(x->n, y->n) && same_axes(x->k, y->k) &&
           same_operand(x->accumulator, y->accumulator) && same_operand(x->a, y->a) &&
           same_operand(x->b, y->b);
  }

  bool same_axes(const std::vector<VarPtr> &a, const std::vector<VarPtr> &b) {
    if (a.size() != b.size()) return false;
    for (std::size_t d = 0; d < a.size(); ++d) {
      const auto x = a_.axes.find(a[d].get()), y = b_.axes.find(b[d].get());
      if (x == a_.axes.end() && y == b_.axes.end() && a[d] == b[d]) continue;
      if (x == a_.axes.end() || y == b_.axes.end() || x->second.maximum != y->second.maximum ||
          !is_one_to_one(&names_.axes, a[d], b[d].get()))
        return false;
    }
    return true;
  }
  bool same_tile(const StoragePtr &a, const StoragePtr &b) {
    const auto x = a_.tiles.find(a.get()), y = b_.tiles.find(b.get());
    if (x == a_.tiles.end() && y == b_.tiles.end()) return a == b;
    return x != a_.tiles.end() && y != b_.tiles.end() && a->type == b->type &&
           std::ranges::equal(x->second->extents, y->second->extents,
                              [](const Expr &p, const Expr &q) { return equal(p, q); }) &&
           is_one_to_one(&names_.tiles, a, b.get());
  }
  template <class Map, class Handle>
  static bool is_one_to_one(Map *map, const Handle &a, typename Map::key_type b) {
    for (const auto &[from, to] : *map)
      if ((from == b) != (to == a)) return false;
    map->emplace(b, a);
    return true;
  }

  // --- the joined step ---

  /// What is defined before a statement of the joined step, and the statement.
  struct Scope {
    std::vector<std::pair<VarPtr, Expr>> lets;
    std::vector<ir::AxisBinding> axes;
    std::vector<const ir::Allocate *> tiles;
    Stmt stmt;
  };

  Stmt joined_step() {
    std::set<const VarNode *> seen;      // paired axes of which one loop's definition was met
    std::set<const VarNode *> in_scope;  // of those that the step defines
    std::vector<Scope> scopes;
    std::size_t a = 0, b = 0;
    std::set<const Work *> defined;
    for (const Pair &pair : pairs_) {
      Scope scope;
      // Also what the other loop defines for its next statement: an axis may be of both.
      if (a < a_.step.size() && defined.insert(&a_.step[a]).second)
        define(a_.step[a], true, &scope, &seen);
      if (b < b_.step.size() && defined.insert(&b_.step[b]).second)
        define(b_.step[b], false, &scope, &seen);
      a += pair.a != nullptr;
      b += pair.b != nullptr;
      for (const ir::AxisBinding &axis : scope.axes) in_scope.insert(axis.var.get());
      scope.stmt = pair.a && pair.b ? joined(pair.a->stmt, pair.b->stmt)
                   : pair.a         ? alone(pair.a->stmt, true)
                                    : alone(pair.b->stmt, false);
      require_axes(scope.stmt, in_scope);
      scopes.push_back(std::move(scope));
    }
    // Definitions go around all that follows, so the step is made from its end.
    Stmt body;
    for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope) {
      body = ir::make_block({scope->stmt, body});
      for (auto tile = scope->tiles.rbegin(); tile != scope->tiles.rend(); ++tile)
        body = ir::make<ir::Allocate>((*tile)->storage, (*tile)->extents, body, (*tile)->placement);
      if (!scope->axes.empty()) body = ir::make<ir::Axes>(scope->axes, body);
      for (auto let = scope->lets.rbegin(); let != scope->lets.rend(); ++let)
        body = ir::make<ir::Let>(let->first, let->second, body);
    }
    return ir::make<ir::Let>(is_a_, make_variable(step_) < steps_of_a(), body);
  }

  /// Adds what is defined before a statement of one of the loops. Paired axes are defined where
  /// both loops have theirs.
  void define(const Work &work, bool of_a, Scope *scope, std::set<const VarNode *> *seen) {
    for (const ir::Let *let : work.lets) {
      possible_ = possible_ && !reads_tiles(let->value);
      scope->lets.emplace_back(let->var, of_one(of_a, let->value, make_zero(let->value.type())));
    }
    for (const ir::AxisBinding &axis : work.axes) {
      const auto [a, b] = paired(axis.var, of_a);
      if (a == nullptr) {
        scope->axes.push_back(
            {axis.var, of_one(of_a, axis.extent, make_zero(axis.extent.type())), axis.maximum});
      } else if (!seen->insert(a.get()).second) {
        const ir::AxisBinding &first = a_.axes.at(a.get());
        scope->axes.push_back({a, both(first.extent, b_.axes.at(b.get()).extent), first.maximum});
      }
    }
    for (const ir::Allocate *tile : work.tiles)
      if (of_a || !names_.tiles.contains(tile->storage.get())) scope->tiles.push_back(tile);
  }

  std::pair<VarPtr, VarPtr> paired(const VarPtr &axis, bool of_a) const {
    for (const auto &[name, binding] : b_.axes) {
      const auto found = names_.axes.find(name);
      if (found != names_.axes.end() && (of_a ? found->second == axis : binding.var == axis))
        return {found->second, binding.var};
    }
    return {};
  }

  void require_axes(const Stmt &s, const std::set<const VarNode *> &in_scope) {
    const auto known = [&](const VarPtr &v) {
      if (a_.axes.contains(v.get()) || b_.axes.contains(v.get()))
        possible_ = possible_ && in_scope.contains(v.get());
    };
    ir::walk_statements(s, [&](const Stmt &part) {
      if (const auto *store = part.as<ir::Store>()) std::ranges::for_each(store->axes, known);
      ir::walk_expressions(part,
                           [&](const Expr &e) { std::ranges::for_each(free_variables(e), known); });
      return true;
    });
  }

  Stmt joined(const Stmt &a, const Stmt &b) const {
    const auto *if_a = a.as<ir::If>(), *if_b = b.as<ir::If>();
    if (if_a && if_b) {
      return ir::make<ir::If>(both(if_a->condition, if_b->condition),
                              joined(if_a->then_body, if_b->then_body),
                              joined(if_a->else_body, if_b->else_body));
    }
    // The loop without a condition takes the first branch.
    const Expr always = make_const(boolean, 1);
    if (if_a)
      return ir::make<ir::If>(both(if_a->condition, always), joined(if_a->then_body, b),
                              own(if_a->else_body, true));
    if (if_b)
      return ir::make<ir::If>(both(always, if_b->condition), joined(a, if_b->then_body),
                              own(if_b->else_body, false));
    const auto *x = a.as<ir::Store>(), *y = b.as<ir::Store>();
    if (x == nullptr) return a;
    std::vector<Expr> guards;
    if (x->guards.size() == y->guards.size()) {
      for (std::size_t g = 0; g < x->guards.size(); ++g)
        guards.push_back(both(x->guards[g], y->guards[g]));
    } else {
      const Expr holds = make_const(boolean, 1);
      for (const Expr &guard : x->guards) guards.push_back(of_one(true, guard, holds));
      for (const Expr &guard : y->guards) guards.push_back(of_one(false, guard, holds));
    }
    return ir::make<ir::Store>(x->axes, guards, x->storage, x->indices, x->combiner,
                               both(x->value, y->value), false,
                               std::max(x->vector_bytes, y->vector_bytes));
  }

  /// A statement of one loop, in its steps.
  Stmt alone(const Stmt &s, bool of_a) const {
    const Stmt made = own(s, of_a);
    const ir::Store &store = *made.as<ir::Store>();
    std::vector<Expr> guards{of_a ? in_a() : !in_a()};
    guards.insert(guards.end(), store.guards.begin(), store.guards.end());
    return ir::make<ir::Store>(store.axes, std::move(guards), store.storage, store.indices,
                               store.combiner, store.value, store.atomic, store.vector_bytes);
  }

  /// A store of one loop in the names of the joined one.
  Stmt own(const Stmt &s, bool of_a) const {
    const ir::Store &store = *s.as<ir::Store>();
    const auto here = [&](const Expr &e) { return of_a ? at_step_of_a(e) : named(e); };
    std::vector<VarPtr> axes = store.axes;
    StoragePtr storage = store.storage;
    if (!of_a) {
      for (VarPtr &axis : axes) {
        const auto found = names_.axes.find(axis.get());
        if (found != names_.axes.end()) axis = found->second;
      }
      const auto found = names_.tiles.find(storage.get());
      if (found != names_.tiles.end()) storage = found->second;
    }
    std::vector<Expr> guards, indices;
    for (const Expr &guard : store.guards) guards.push_back(here(guard));
    for (const Expr &index : store.indices) indices.push_back(here(index));
    return ir::make<ir::Store>(axes, guards, storage, indices, store.combiner, here(store.value),
                               store.atomic, store.vector_bytes);
  }

  // --- expressions ---

  Expr at_step_of_a(const Expr &e) const {
    return substitute(e, {a_.node->var}, {a_.node->min + make_variable(step_)});
  }
  /// An expression of the second loop, in the names of the joined one.
  Expr named(const Expr &e) const {
    std::vector<VarPtr> from{b_.node->var};
    std::vector<Expr> to{b_.node->min + (make_variable(step_) - steps_of_a())};
    for (const auto &[name, axis] : names_.axes) {
      from.push_back(b_.axes.at(name).var);
      to.push_back(make_variable(axis));
    }
    return rewrite(substitute(e, from, to), [&](const Expr &part) -> Expr {
      const auto *load = part.as<Load>();
      const auto found = load ? names_.tiles.find(load->storage.get()) : names_.tiles.end();
      return found == names_.tiles.end() ? part : make_load(found->second, load->indices);
    });
  }
  /// In steps of one of the loops; something else in the others.
  Expr of_one(bool of_a, const Expr &e, const Expr &otherwise) const {
    return of_a ? make_select(in_a(), at_step_of_a(e), otherwise)
                : make_select(in_a(), otherwise, named(e));
  }
  Expr both(const Expr &a, const Expr &b) const { return choose(at_step_of_a(a), named(b)); }

  /// `a` in steps of the first loop, `b` in the others; the choice is made where they differ.
  Expr choose(const Expr &a, const Expr &b) const {
    if (equal(a, b)) return a;
    const std::vector<Expr> of_a = operands(a), of_b = operands(b);
    const auto same_types = [](const Expr &x, const Expr &y) { return x.type() == y.type(); };
    if (a.type() == b.type() && a->kind == b->kind && !of_a.empty() &&
        std::ranges::equal(of_a, of_b, same_types) && equal(with_operands(a, of_b), b)) {
      std::vector<Expr> chosen;
      for (std::size_t d = 0; d < of_a.size(); ++d) chosen.push_back(choose(of_a[d], of_b[d]));
      return with_operands(a, chosen);
    }
    return make_select(in_a(), a, b);
  }
};

class JoinLoops final : public ir::Mutator {
 protected:
  using Mutator::visit;
  Stmt visit(const ir::Block &block, const Stmt &self) override {
    std::vector<Stmt> stmts;
    bool joined = false;
    for (const Stmt &s : block.stmts) {
      std::optional<Stmt> both;
      if (!stmts.empty() && holds_product(s)) {
        std::optional<Loop> first = loop_of(stmts.back()), second = loop_of(s);
        if (first && second) both = Join(std::move(*first), std::move(*second)).run();
      }
      if (both)
        stmts.back() = *both;
      else
        stmts.push_back(s);
      joined = joined || both;
    }
    return joined ? ir::make_block(std::move(stmts)) : Mutator::visit(block, self);
  }
};

}  // namespace

Stmt join_loops(const Stmt &kernel) { return JoinLoops()(kernel); }

}  // namespace pit::lower
