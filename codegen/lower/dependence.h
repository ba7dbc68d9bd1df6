// What depends on a variable.
#pragma once

#include <unordered_set>

#include "codegen/ir/ir.h"

namespace pit::lower {

/// Everything in a statement whose value may differ when a variable differs: lets, loop variables
/// and axes by their bounds, tiles by what is stored in them.
class Dependence {
 public:
  Dependence(const ir::Stmt &body, const VarPtr &on);

  bool operator()(const Expr &e) const;
  /// The iterations, the place or the value of the store depends on the variable.
  bool operator()(const ir::Store &store) const;

 private:
  std::unordered_set<const VarNode *> variables_;
  std::unordered_set<const StorageNode *> tiles_;
};

}  // namespace pit::lower
