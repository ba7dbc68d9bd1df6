// Walking and rebuilding statements.
#pragma once

#include <functional>

#include "staged.h"

namespace pit::ir {

/// Rebuilds a statement tree. Override the statements of interest; the default rebuilds children
/// and returns the same node when nothing changed. A subclass that overrides some says `using
/// Mutator::visit;`, which keeps the others visible to it. `expr` sees every expression of every
/// statement (default: unchanged).
class Mutator {
 public:
  virtual ~Mutator() = default;
  Stmt operator()(const Stmt &s) { return mutate(s); }
  virtual Stmt mutate(const Stmt &s);

 protected:
  virtual Expr expr(const Expr &e) { return e; }
#define PIT_VISIT(name) virtual Stmt visit(const name &node, const Stmt &self);
  PIT_STATEMENTS(PIT_VISIT)
#undef PIT_VISIT
};

/// Calls `statement` on s and, when it returns true, on its sub-statements, in order.
void walk_statements(const Stmt &s, const std::function<bool(const Stmt &)> &statement);

/// Calls `expression` on every expression that occurs directly in statement s (not in its
/// sub-statements): bounds, extents, values, guards, indices, conditions, slots, parities.
void walk_expressions(const Stmt &s, const std::function<void(const Expr &)> &expression);

}  // namespace pit::ir
