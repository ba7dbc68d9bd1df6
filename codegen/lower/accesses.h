// Every access that computing a stage at root makes, in terms of its own loops.
#pragma once

#include <functional>
#include <vector>

#include "plan.h"

namespace pit::lower {

/// One loop around an access.
struct AccessLoop {
  VarPtr var;
  Range range;
};

/// A load of a tensor or a call of a stage, inside the loops of a stage at root. Stages computed
/// inside it (At, Innermost) are seen through as well: their own accesses come with their Vars
/// replaced by what the consumer asks for.
struct Access {
  const PlannedStage *site = nullptr;  ///< the stage at root
  int definition = 0;                  ///< of `site`
  StoragePtr tensor;                   ///< a tensor, or
  PlannedStage *stage = nullptr;       ///< a stage
  int component = 0;
  bool own = false;  ///< of `site` itself by one of its updates: a read, or a store
  bool is_store = false;
  std::vector<Expr> indices;
  std::vector<AccessLoop> loops;  ///< outermost first
  std::vector<Expr> guards;       ///< conjuncts, tested before
};

/// Calls `visit` for every access of every definition of `site`, innermost accesses (of index
/// expressions) first.
void for_each_access(const Plan &plan, const PlannedStage &site,
                     const std::function<void(const Access &)> &visit);

}  // namespace pit::lower
