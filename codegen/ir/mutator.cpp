#include "mutator.h"

namespace pit::ir {
namespace {

/// Replaces the elements by `change(element)` and tells whether any is another node now.
template <class T, class Change>
bool change_all(std::vector<T> *elements, const Change &change) {
  bool changed = false;
  for (T &element : *elements) {
    T replacement = change(element);
    changed |= !replacement.same_as(element);
    element = std::move(replacement);
  }
  return changed;
}

}  // namespace

Stmt Mutator::mutate(const Stmt &s) {
  if (!s.defined()) return s;
  switch (s->kind) {
#define PIT_VISIT(name) \
  case StmtKind::name:  \
    return visit(*s.as<name>(), s);
    PIT_STATEMENTS(PIT_VISIT)
#undef PIT_VISIT
  }
  return s;
}

Stmt Mutator::visit(const Block &node, const Stmt &self) {
  std::vector<Stmt> stmts = node.stmts;
  const bool changed = change_all(&stmts, [&](const Stmt &s) { return mutate(s); });
  return changed ? make_block(std::move(stmts)) : self;
}

Stmt Mutator::visit(const For &node, const Stmt &self) {
  Expr min = expr(node.min), extent = expr(node.extent);
  Stmt body = mutate(node.body);
  if (min.same_as(node.min) && extent.same_as(node.extent) && body.same_as(node.body)) return self;
  return make<For>(node.var, min, extent, node.loop_kind, body);
}

Stmt Mutator::visit(const Axes &node, const Stmt &self) {
  bool changed = false;
  std::vector<AxisBinding> axes = node.axes;
  for (AxisBinding &axis : axes) {
    Expr extent = expr(axis.extent);
    changed |= !extent.same_as(axis.extent);
    axis.extent = extent;
  }
  Stmt body = mutate(node.body);
  if (!changed && body.same_as(node.body)) return self;
  return make<Axes>(std::move(axes), body);
}

Stmt Mutator::visit(const Let &node, const Stmt &self) {
  Expr value = expr(node.value);
  Stmt body = mutate(node.body);
  if (value.same_as(node.value) && body.same_as(node.body)) return self;
  return make<Let>(node.var, value, body);
}

Stmt Mutator::visit(const If &node, const Stmt &self) {
  Expr condition = expr(node.condition);
  Stmt then_body = mutate(node.then_body), else_body = mutate(node.else_body);
  if (condition.same_as(node.condition) && then_body.same_as(node.then_body) &&
      else_body.same_as(node.else_body)) {
    return self;
  }
  return make<If>(condition, then_body, else_body);
}

Stmt Mutator::visit(const Allocate &node, const Stmt &self) {
  std::vector<Expr> extents = node.extents;
  const bool changed = change_all(&extents, [&](const Expr &e) { return expr(e); });
  Stmt body = mutate(node.body);
  if (!changed && body.same_as(node.body)) return self;
  return make<Allocate>(node.storage, std::move(extents), body, node.placement);
}

Stmt Mutator::visit(const Store &node, const Stmt &self) {
  const auto change = [&](const Expr &e) { return expr(e); };
  std::vector<Expr> guards = node.guards, indices = node.indices;
  bool changed = change_all(&guards, change);
  changed |= change_all(&indices, change);
  Expr value = expr(node.value);
  if (!changed && value.same_as(node.value)) return self;
  return make<Store>(node.axes, std::move(guards), node.storage, std::move(indices), node.combiner,
                     value, node.atomic, node.vector_bytes, node.through);
}

Stmt Mutator::visit(const Mma &node, const Stmt &self) {
  bool changed = false;
  const auto operand = [&](TileOperand tile) {
    const Expr slot = tile.slot.defined() ? expr(tile.slot) : tile.slot;
    changed |= !slot.same_as(tile.slot);
    tile.slot = slot;
    return tile;
  };
  TileOperand accumulator = operand(node.accumulator), a = operand(node.a), b = operand(node.b);
  if (!changed) return self;
  return make<Mma>(node.batch, node.m, node.n, node.k, std::move(accumulator), std::move(a),
                   std::move(b), node.atom, node.asynchronous);
}

Stmt Mutator::visit(const Check &node, const Stmt &self) {
  const auto change = [&](const Expr &e) { return expr(e); };
  std::vector<Expr> guards = node.guards, values = node.values;
  bool changed = change_all(&guards, change);
  Expr condition = expr(node.condition);
  changed |= change_all(&values, change);
  if (!changed && condition.same_as(node.condition)) return self;
  return make<Check>(node.axes, std::move(guards), condition, node.message, std::move(values));
}

Stmt Mutator::visit(const IndexPlace &node, const Stmt &self) {
  Expr groups = expr(node.groups), length = expr(node.length), micro = expr(node.micro);
  Expr spacing = node.spacing.defined() ? expr(node.spacing) : node.spacing;
  if (groups.same_as(node.groups) && length.same_as(node.length) && micro.same_as(node.micro) &&
      spacing.same_as(node.spacing))
    return self;
  return make<IndexPlace>(node.marks, node.mark_offsets, node.first, groups, length, micro,
                          node.align, node.offsets, node.counts, node.coordinates, node.position,
                          node.full, node.index_name, node.ordered, spacing);
}

Stmt Mutator::visit(const IndexSort &node, const Stmt &self) {
  Expr length = expr(node.length), groups = expr(node.groups);
  if (length.same_as(node.length) && groups.same_as(node.groups)) return self;
  return make<IndexSort>(node.keys, length, groups, node.align, node.offsets, node.counts,
                         node.coordinates, node.position, node.index_name, node.ordered);
}

Stmt Mutator::visit(const Prefix &node, const Stmt &self) {
  Expr length = expr(node.length);
  return length.same_as(node.length) ? self : make<Prefix>(node.destination, node.source, length);
}

Stmt Mutator::visit(const Compact &node, const Stmt &self) {
  Expr length = expr(node.length);
  return length.same_as(node.length) ? self
                                     : make<Compact>(node.list, node.count, node.marks, length);
}

Stmt Mutator::visit(const SumBefore &node, const Stmt &self) {
  Expr first = expr(node.first), part = expr(node.part), value = expr(node.value);
  if (first.same_as(node.first) && part.same_as(node.part) && value.same_as(node.value))
    return self;
  return make<SumBefore>(node.sum, node.progress, first, part, value);
}

Stmt Mutator::visit(const FetchAdd &node, const Stmt &self) {
  const auto change = [&](const Expr &e) { return expr(e); };
  std::vector<Expr> guards = node.guards, indices = node.indices;
  bool changed = change_all(&guards, change);
  changed |= change_all(&indices, change);
  Expr at = expr(node.at), value = expr(node.value);
  changed |= !at.same_as(node.at) || !value.same_as(node.value);
  if (!changed) return self;
  return make<FetchAdd>(node.axes, std::move(guards), node.destination, std::move(indices),
                        node.counters, at, value, node.ordered);
}

Stmt Mutator::visit(const Stage &node, const Stmt &self) {
  Stmt body = mutate(node.body);
  return body.same_as(node.body) ? self : make<Stage>(node.name, node.stage_kind, body);
}

Stmt Mutator::visit(const Launch &node, const Stmt &self) {
  bool changed = false;
  std::vector<GridAxis> grid = node.grid;
  for (GridAxis &axis : grid) {
    Expr extent = expr(axis.extent);
    changed |= !extent.same_as(axis.extent);
    axis.extent = extent;
  }
  Stmt body = mutate(node.body);
  if (!changed && body.same_as(node.body)) return self;
  return make<Launch>(node.name, std::move(grid), node.threads, body, node.cluster, node.resident);
}

Stmt Mutator::visit(const Barriers &node, const Stmt &self) {
  Stmt body = mutate(node.body);
  return body.same_as(node.body) ? self : make<Barriers>(node.barrier, body);
}

Stmt Mutator::visit(const Arrive &node, const Stmt &self) {
  Expr slot = expr(node.at.slot), bytes = node.bytes.defined() ? expr(node.bytes) : node.bytes;
  if (slot.same_as(node.at.slot) && bytes.same_as(node.bytes)) return self;
  return make<Arrive>(BarrierSlot{node.at.barrier, slot}, node.each, node.after_copies, bytes,
                      node.cluster);
}

Stmt Mutator::visit(const Wait &node, const Stmt &self) {
  Expr slot = expr(node.at.slot), parity = expr(node.parity);
  if (slot.same_as(node.at.slot) && parity.same_as(node.parity)) return self;
  return make<Wait>(BarrierSlot{node.at.barrier, slot}, parity);
}

Stmt Mutator::visit(const Copy &node, const Stmt &self) {
  const auto change = [&](const Expr &e) { return expr(e); };
  std::vector<Expr> guards = node.guards, indices = node.indices;
  bool changed = change_all(&guards, change);
  changed |= change_all(&indices, change);
  Expr value = expr(node.value);
  BarrierSlot completes = node.completes;
  if (completes.barrier) completes.slot = expr(completes.slot);
  if (!changed && value.same_as(node.value) && completes.slot.same_as(node.completes.slot))
    return self;
  return make<Copy>(node.engine, node.axes, std::move(guards), node.storage, std::move(indices),
                    value, node.bytes, std::move(completes), node.multicast);
}

Stmt Mutator::visit(const Commit &, const Stmt &self) { return self; }
Stmt Mutator::visit(const Drain &, const Stmt &self) { return self; }
Stmt Mutator::visit(const Sync &, const Stmt &self) { return self; }
Stmt Mutator::visit(const Fence &, const Stmt &self) { return self; }

Stmt Mutator::visit(const Roles &node, const Stmt &self) {
  bool changed = false;
  std::vector<Role> roles = node.roles;
  for (Role &role : roles) {
    Stmt body = mutate(role.body);
    changed |= !body.same_as(role.body);
    role.body = std::move(body);
  }
  return changed ? make<Roles>(std::move(roles)) : self;
}

void walk_statements(const Stmt &s, const std::function<bool(const Stmt &)> &statement) {
  if (!s.defined() || !statement(s)) return;
  switch (s->kind) {
    case StmtKind::Block:
      for (const Stmt &inner : s.as<Block>()->stmts) walk_statements(inner, statement);
      break;
    case StmtKind::For:
      walk_statements(s.as<For>()->body, statement);
      break;
    case StmtKind::Axes:
      walk_statements(s.as<Axes>()->body, statement);
      break;
    case StmtKind::Let:
      walk_statements(s.as<Let>()->body, statement);
      break;
    case StmtKind::If:
      walk_statements(s.as<If>()->then_body, statement);
      walk_statements(s.as<If>()->else_body, statement);
      break;
    case StmtKind::Allocate:
      walk_statements(s.as<Allocate>()->body, statement);
      break;
    case StmtKind::Stage:
      walk_statements(s.as<Stage>()->body, statement);
      break;
    case StmtKind::Launch:
      walk_statements(s.as<Launch>()->body, statement);
      break;
    case StmtKind::Barriers:
      walk_statements(s.as<Barriers>()->body, statement);
      break;
    case StmtKind::Roles:
      for (const Role &role : s.as<Roles>()->roles) walk_statements(role.body, statement);
      break;
    case StmtKind::Arrive:
    case StmtKind::Wait:
    case StmtKind::Copy:
    case StmtKind::Commit:
    case StmtKind::Drain:
    case StmtKind::Sync:
    case StmtKind::Fence:
    case StmtKind::Store:
    case StmtKind::Mma:
    case StmtKind::Check:
    case StmtKind::IndexPlace:
    case StmtKind::IndexSort:
    case StmtKind::Prefix:
    case StmtKind::Compact:
    case StmtKind::SumBefore:
    case StmtKind::FetchAdd:
      break;
  }
}

void walk_expressions(const Stmt &s, const std::function<void(const Expr &)> &expression) {
  if (!s.defined()) return;
  const auto all = [&](const std::vector<Expr> &list) {
    for (const Expr &e : list) expression(e);
  };
  const auto one = [&](const Expr &e) {
    if (e.defined()) expression(e);
  };
  if (const auto *loop = s.as<For>()) {
    one(loop->min);
    one(loop->extent);
  } else if (const auto *axes = s.as<Axes>()) {
    for (const AxisBinding &axis : axes->axes) one(axis.extent);
  } else if (const auto *launch = s.as<Launch>()) {
    for (const GridAxis &axis : launch->grid) one(axis.extent);
    one(launch->cluster.extent);
  } else if (const auto *let = s.as<Let>()) {
    one(let->value);
  } else if (const auto *branch = s.as<If>()) {
    one(branch->condition);
  } else if (const auto *allocate = s.as<Allocate>()) {
    all(allocate->extents);
  } else if (const auto *store = s.as<Store>()) {
    all(store->guards);
    all(store->indices);
    one(store->value);
  } else if (const auto *check = s.as<Check>()) {
    all(check->guards);
    one(check->condition);
    all(check->values);
  } else if (const auto *place = s.as<IndexPlace>()) {
    one(place->groups);
    one(place->length);
    one(place->micro);
    one(place->spacing);
  } else if (const auto *sort = s.as<IndexSort>()) {
    one(sort->length);
    one(sort->groups);
  } else if (const auto *prefix = s.as<Prefix>()) {
    one(prefix->length);
  } else if (const auto *compact = s.as<Compact>()) {
    one(compact->length);
  } else if (const auto *sum = s.as<SumBefore>()) {
    one(sum->first);
    one(sum->part);
    one(sum->value);
  } else if (const auto *fetch = s.as<FetchAdd>()) {
    all(fetch->guards);
    all(fetch->indices);
    one(fetch->at);
    one(fetch->value);
  } else if (const auto *mma = s.as<Mma>()) {
    for (const TileOperand *operand : {&mma->accumulator, &mma->a, &mma->b}) one(operand->slot);
  } else if (const auto *arrive = s.as<Arrive>()) {
    one(arrive->at.slot);
    one(arrive->bytes);
  } else if (const auto *wait = s.as<Wait>()) {
    one(wait->at.slot);
    one(wait->parity);
  } else if (const auto *copy = s.as<Copy>()) {
    all(copy->guards);
    all(copy->indices);
    one(copy->value);
    one(copy->completes.slot);
  }
}

}  // namespace pit::ir
