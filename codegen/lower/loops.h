// The loops of one definition after its directives, with their bounds.
#pragma once

#include <vector>

#include "plan.h"

namespace pit::lower {

/// The largest extent of a micro-tile or dense tile along one variable.
inline constexpr std::int64_t kLargestTile = 65536;

/// One loop or lane. Runs from 0.
struct Dim {
  VarPtr name;               ///< the schedule's name
  VarPtr var;                ///< the IR's variable
  Expr extent;               ///< over variables of dims outside it and of the scope
  std::int64_t maximum = 0;  ///< static bound of extent; 0 = none
  ir::ForKind kind = ir::ForKind::Serial;
  bool reduction = false;
  bool lane = false;  ///< becomes an axis
  bool vectorize = false;
  bool after_tile = false;  ///< inside the loop of a pit_tile
};

/// The tile of a pit_tile inside a nest.
struct PitLoop {
  IndexPlan *index = nullptr;
  VarPtr tile_name;
  VarPtr tile_var;    ///< the loop over tiles
  Expr group;         ///< number of the group, over loops outside the tile
  VarPtr group_loop;  ///< loop over keys or segments; null when the group is made of other loops
  std::int64_t tile_entries = 1;  ///< entries (micro-tiles) of a dense tile
  VarPtr entry_lane;              ///< axis over the entries of a tile; null when there is one
  VarPtr micro_lane;  ///< axis over the positions of a micro-tile; null when there is one
  VarPtr coordinate;  ///< stands for the axis coordinate until the tile is emitted
  Expr end;           ///< where the domain ends, when the last micro-tile may reach past it
  std::source_location where{};
};

/// A definition's nest: dims outermost first, and what the definition's own variables are in terms
/// of them.
struct Nest {
  std::vector<Dim> dims;
  std::vector<VarPtr> from;
  std::vector<Expr> to;
  std::vector<Expr> guards;  ///< tails of splits, where a smaller extent cannot say it
  Expr in_domain;  ///< the micro-tile's lane is no place past the end, where its coordinate stays
                   ///< on the last one
  bool has_pit = false;
  PitLoop pit;
};

/// Variables that the surroundings fix: a stage computed at a tile has its Vars from there.
struct Binding {
  std::vector<VarPtr> from;
  std::vector<Expr> to;
  std::vector<ir::AxisBinding> axes;  ///< the axes in scope, outermost first
  bool in_tile = false;
};

/// Builds the nest of `def` of `stage` under its general or specialised `directives`.
Nest make_nest(const Plan &plan, const PlannedStage &stage, const PlannedDefinition &def,
               const std::vector<Directive> &directives, const Binding &binding);

}  // namespace pit::lower
