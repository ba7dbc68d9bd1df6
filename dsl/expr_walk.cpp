// Taking expressions apart, putting them together again, comparing them.
#include <algorithm>
#include <bit>
#include <utility>

#include "error.h"
#include "expr.h"
#include "func.h"

namespace pit {

namespace {

bool equal_lists(const std::vector<Expr> &a, const std::vector<Expr> &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Expr &x, const Expr &y) { return equal(x, y); });
}

/// What distinguishes two nodes of one kind and type, apart from their operands.
bool equal_heads(const Expr &a, const Expr &b) {
  switch (a->kind) {
    case ExprKind::IntImm:
      return a.as<IntImm>()->value == b.as<IntImm>()->value;
    case ExprKind::FloatImm:  // by bits: NaN equals NaN, and -0 differs from 0
      return std::bit_cast<std::uint64_t>(a.as<FloatImm>()->value) ==
             std::bit_cast<std::uint64_t>(b.as<FloatImm>()->value);
    case ExprKind::Variable:
      return a.as<Variable>()->var == b.as<Variable>()->var;
    case ExprKind::Param:
      return a.as<ParamRef>()->param == b.as<ParamRef>()->param;
    case ExprKind::Extent: {
      const auto *x = a.as<Extent>(), *y = b.as<Extent>();
      return x->storage == y->storage && x->dimension == y->dimension;
    }
    case ExprKind::Load:
      return a.as<Load>()->storage == b.as<Load>()->storage;
    case ExprKind::Call: {
      const auto *x = a.as<Call>(), *y = b.as<Call>();
      return x->func == y->func && x->component == y->component;
    }
    case ExprKind::Unary:
      return a.as<Unary>()->op == b.as<Unary>()->op;
    case ExprKind::Binary:
      return a.as<Binary>()->op == b.as<Binary>()->op;
    case ExprKind::IndexQuery: {
      const auto *x = a.as<IndexQuery>(), *y = b.as<IndexQuery>();
      return x->query == y->query && x->index == y->index;
    }
    case ExprKind::Select:
    case ExprKind::Cast:
      return true;
  }
  return false;
}

}  // namespace

Call::Call(Type t, FuncPtr f, std::vector<Expr> a, int c)
    : ExprNode(kKind, t), func(f.get()), owner(std::move(f)), args(std::move(a)), component(c) {
  add_operands(args);
}

Call::Call(Type t, FuncNode *self, std::vector<Expr> a, int c)
    : ExprNode(kKind, t), func(self), owner(nullptr), args(std::move(a)), component(c) {
  add_operands(args);
}

void refuse_undefined(std::source_location where) {
  throw CompileError("an undefined Expr is used, which has no type; give it a value first", where);
}

void refuse_size(const Expr &e) {
  if (e->depth >= kMostExprDepth) {
    throw CompileError("an expression has more than " + std::to_string(kMostExprDepth) +
                           " operators inside each other; combine its terms in groups, write a "
                           "reduction over an RDom, or give a Func that is inlined compute_root()",
                       e.where());
  }
  throw CompileError(
      "an expression has more than " + std::to_string(kMostExprNodes) +
          " nodes, where a part that is used twice counts twice and so does a Func that is inlined "
          "twice; give the part a Func of its own and say compute_root() of it",
      e.where());
}

bool equal(const Expr &a, const Expr &b) {
  if (a.same_as(b)) return true;
  if (!a.defined() || !b.defined()) return false;
  if (a->kind != b->kind || a.type() != b.type() || !equal_heads(a, b)) return false;
  return equal_lists(operands(a), operands(b));
}

std::vector<Expr> operands(const Expr &e) {
  switch (e->kind) {
    case ExprKind::IntImm:
    case ExprKind::FloatImm:
    case ExprKind::Variable:
    case ExprKind::Param:
    case ExprKind::Extent:
      return {};
    case ExprKind::Load:
      return e.as<Load>()->indices;
    case ExprKind::Call:
      return e.as<Call>()->args;
    case ExprKind::Unary:
      return {e.as<Unary>()->a};
    case ExprKind::Binary:
      return {e.as<Binary>()->a, e.as<Binary>()->b};
    case ExprKind::Select: {
      const auto *s = e.as<Select>();
      return {s->condition, s->true_value, s->false_value};
    }
    case ExprKind::Cast:
      return {e.as<Cast>()->a};
    case ExprKind::IndexQuery:
      return e.as<IndexQuery>()->args;
  }
  throw InternalError("an expression of unknown kind");
}

Expr with_operands(const Expr &e, const std::vector<Expr> &ops) {
  if (ops.size() != operands(e).size()) {
    throw InternalError("with_operands: wrong number of operands for " + to_string(e));
  }
  Expr result = e;
  switch (e->kind) {
    case ExprKind::IntImm:
    case ExprKind::FloatImm:
    case ExprKind::Variable:
    case ExprKind::Param:
    case ExprKind::Extent:
      return e;
    case ExprKind::Load:
      result = make_load(e.as<Load>()->storage, ops);
      break;
    case ExprKind::Call: {
      const auto *c = e.as<Call>();
      result = Expr(c->owner ? std::make_shared<Call>(c->type, c->owner, ops, c->component)
                             : std::make_shared<Call>(c->type, c->func, ops, c->component));
      break;
    }
    case ExprKind::Unary:
      result = make_unary(e.as<Unary>()->op, ops[0]);
      break;
    case ExprKind::Binary:
      result = make_binary(e.as<Binary>()->op, ops[0], ops[1]);
      break;
    case ExprKind::Select:
      result = make_select(ops[0], ops[1], ops[2]);
      break;
    case ExprKind::Cast:
      result = cast(e.type(), ops[0]);
      break;
    case ExprKind::IndexQuery: {
      const auto *q = e.as<IndexQuery>();
      result = Expr(std::make_shared<IndexQuery>(q->type, q->query, q->index, ops));
      break;
    }
  }
  return Expr(result.node(), e.where());
}

Expr substitute(const Expr &e, const std::vector<VarPtr> &from, const std::vector<Expr> &to) {
  internal_check(from.size() == to.size(), "substitute: lists of two lengths");
  return rewrite(e, [&](const Expr &node) -> Expr {
    const auto *v = node.as<Variable>();
    if (v == nullptr) return node;
    const auto found = std::find(from.begin(), from.end(), v->var);
    if (found == from.end()) return node;
    const Expr &replacement = to[static_cast<std::size_t>(found - from.begin())];
    return replacement.type() == v->type ? replacement : cast(v->type, replacement);
  });
}

bool uses(const Expr &e, const VarPtr &v) {
  bool found = false;
  walk(e, [&](const Expr &node) {
    const auto *variable = node.as<Variable>();
    found |= variable != nullptr && variable->var == v;
    return !found;
  });
  return found;
}

std::vector<VarPtr> free_variables(const Expr &e) {
  std::vector<VarPtr> result;
  walk(e, [&](const Expr &node) {
    const auto *v = node.as<Variable>();
    if (v != nullptr && std::find(result.begin(), result.end(), v->var) == result.end())
      result.push_back(v->var);
    return true;
  });
  return result;
}

}  // namespace pit
