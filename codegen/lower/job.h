// One definition while its loops are emitted.
#pragma once

#include "emit.h"

namespace pit::lower {

struct Emitter::Job {
  PlannedStage *stage = nullptr;
  const PlannedDefinition *def = nullptr;
  const std::vector<Directive> *directives = nullptr;
  Nest nest;
  Scope scope;            ///< the definition's variables in terms of loops and axes
  int level = -1;         ///< the loop inside which lanes are declared; -1: outside all loops
  std::size_t loops = 0;  ///< dims before this one are loops, the others lanes
  std::vector<Expr> predicates;                         ///< still to be tested
  std::function<ir::Stmt(ir::Stmt)> define_coordinate;  ///< wraps the inside of a pit_tile's loop
};

}  // namespace pit::lower
