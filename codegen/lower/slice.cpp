#include "slice.h"

#include <algorithm>
#include <utility>

#include "codegen/ir/mutator.h"

namespace pit::lower {

using ir::Stmt;

void for_each_read(const Stmt &s, const std::function<void(const StoragePtr &)> &visit) {
  ir::walk_expressions(s, [&](const Expr &e) {
    walk(e, [&](const Expr &part) {
      if (const auto *load = part.as<Load>()) visit(load->storage);
      return true;
    });
  });
  if (const auto *mma = s.as<ir::Mma>()) {
    for (const ir::TileOperand *operand : {&mma->accumulator, &mma->a, &mma->b})
      visit(operand->tile);
  }
}

bool mentions(const Stmt &s, const StoragePtr &storage) {
  bool found = false;
  ir::walk_statements(s, [&](const Stmt &part) {
    for_each_read(part, [&](const StoragePtr &read) { found = found || read == storage; });
    ir::walk_expressions(part, [&](const Expr &e) {
      walk(e, [&](const Expr &piece) {
        const auto *extent = piece.as<Extent>();
        found = found || (extent && extent->storage == storage);
        return !found;
      });
    });
    if (const auto *store = part.as<ir::Store>()) found = found || store->storage == storage;
    if (const auto *copy = part.as<ir::Copy>()) found = found || copy->storage == storage;
    return !found;
  });
  return found;
}

bool mentions(const Stmt &s, const VarPtr &var) {
  const auto listed = [&](const std::vector<VarPtr> &axes) {
    return std::find(axes.begin(), axes.end(), var) != axes.end();
  };
  bool found = false;
  ir::walk_statements(s, [&](const Stmt &part) {
    ir::walk_expressions(part, [&](const Expr &e) { found = found || uses(e, var); });
    if (const auto *store = part.as<ir::Store>()) found = found || listed(store->axes);
    if (const auto *copy = part.as<ir::Copy>()) found = found || listed(copy->axes);
    if (const auto *check = part.as<ir::Check>()) found = found || listed(check->axes);
    if (const auto *mma = part.as<ir::Mma>()) {
      found = found || listed(mma->batch) || listed(mma->m) || listed(mma->n) || listed(mma->k);
    }
    return !found;
  });
  return found;
}

namespace {

class Slicer {
 public:
  Slicer(const std::function<Stmt(const Stmt &)> &leaf,
         const std::function<ir::Placement(const ir::Allocate &)> &allocate)
      : leaf_(leaf), allocate_(allocate) {}

  Stmt operator()(const Stmt &s) const {
    if (!s.defined()) return {};
    if (const auto *block = s.as<ir::Block>()) {
      std::vector<Stmt> parts;
      for (const Stmt &part : block->stmts) parts.push_back((*this)(part));
      return ir::make_block(std::move(parts));
    }
    if (const auto *branch = s.as<ir::If>()) {
      Stmt then_body = (*this)(branch->then_body), else_body = (*this)(branch->else_body);
      if (!then_body.defined() && !else_body.defined()) return {};
      return ir::make<ir::If>(branch->condition, then_body, else_body);
    }
    if (const auto *loop = s.as<ir::For>()) {
      const Stmt body = (*this)(loop->body);
      if (!body.defined()) return {};
      return ir::make<ir::For>(loop->var, loop->min, loop->extent, loop->loop_kind, body);
    }
    if (const auto *let = s.as<ir::Let>()) {
      const Stmt body = (*this)(let->body);
      return body.defined() ? ir::make<ir::Let>(let->var, let->value, body) : body;
    }
    if (const auto *axes = s.as<ir::Axes>()) {
      const Stmt body = (*this)(axes->body);
      if (!body.defined()) return {};
      return ir::make<ir::Axes>(axes->axes, body);
    }
    if (const auto *allocate = s.as<ir::Allocate>()) {
      const Stmt body = (*this)(allocate->body);
      if (!body.defined()) return {};
      return ir::make<ir::Allocate>(allocate->storage, allocate->extents, body,
                                    allocate_ ? allocate_(*allocate) : allocate->placement);
    }
    return leaf_(s);
  }

 private:
  const std::function<Stmt(const Stmt &)> &leaf_;
  const std::function<ir::Placement(const ir::Allocate &)> &allocate_;
};

/// Drops definitions that nothing names.
class Pruner final : public ir::Mutator {
 protected:
  using Mutator::visit;
  Stmt visit(const ir::Let &let, const Stmt &) override {
    const Stmt body = mutate(let.body);
    return mentions(body, let.var) ? ir::make<ir::Let>(let.var, let.value, body) : body;
  }
  Stmt visit(const ir::Axes &axes, const Stmt &) override {
    const Stmt body = mutate(axes.body);
    std::vector<ir::AxisBinding> used;
    for (const ir::AxisBinding &axis : axes.axes)
      if (mentions(body, axis.var)) used.push_back(axis);
    return used.empty() ? body : ir::make<ir::Axes>(std::move(used), body);
  }
  Stmt visit(const ir::Allocate &allocate, const Stmt &) override {
    const Stmt body = mutate(allocate.body);
    return mentions(body, allocate.storage)
               ? ir::make<ir::Allocate>(allocate.storage, allocate.extents, body,
                                        allocate.placement)
               : body;
  }
};

/// One loop is another statement.
class Instead final : public ir::Mutator {
 public:
  Instead(const ir::For *from, Stmt to) : from_(from), to_(std::move(to)) {}

 protected:
  using Mutator::visit;
  Stmt visit(const ir::For &node, const Stmt &self) override {
    return &node == from_ ? to_ : Mutator::visit(node, self);
  }

 private:
  const ir::For *from_;
  Stmt to_;
};

}  // namespace

Stmt slice(const Stmt &s, const std::function<Stmt(const Stmt &)> &leaf,
           const std::function<ir::Placement(const ir::Allocate &)> &allocate) {
  return Slicer(leaf, allocate)(s);
}

Stmt prune(const Stmt &s) { return Pruner()(s); }

Stmt with_loop(const Stmt &s, const ir::For *loop, const Stmt &by) { return Instead(loop, by)(s); }

}  // namespace pit::lower
