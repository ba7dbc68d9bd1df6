// Which iteration axes of a definition may be permuted: the PIT axes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dsl/func.h"

namespace pit {

enum class AxisKind : std::uint8_t {
  Free,      ///< pure Vars: every iteration has elements of its own
  Reduction  ///< at least one variable of a reduction domain
};

/// What is known of one iteration axis of a definition.
struct AxisReport {
  VarPtr axis;
  AxisKind kind = AxisKind::Free;
  bool is_pit = false;
  std::string proof;   ///< why, when it is one
  std::string reason;  ///< the rule that is broken and what would be legal, when it is not
  /// Two iterations that do not share an accumulator may write one element: partial results are
  /// combined in a fixed order, or by atomic().
  bool needs_combine = false;
  /// A micro extent of the axis must divide it; 0: any extent.
  std::int64_t period = 0;
};

/// A choice of axis, as a PIT rule makes it.
struct AxisChoice {
  VarPtr axis;
  std::vector<VarPtr>
      fused_from{};  ///< for a fused loop: the variables it is made of; empty: {axis}
  Expr group{};  ///< explicit key; undefined: the other variables that the predicates and bounds
                 ///< read
  std::int64_t micro = 1;  ///< micro extent of the axis
};

/// Whether the iterations of the axis may be permuted and gathered:
/// - nothing in the definition reads the Func it updates, neither values nor left-hand side nor
/// predicates nor bounds
///   (no scan, no self-referring update);
/// - different iterations write different elements, or the combiner is associative and commutative;
/// a plain store
///   may not collide;
/// - every index of every access in the values and on the left-hand side is g(axis, group) +
/// h(rest), and affine in
///   the axis within a micro-tile. Accesses inside the Funcs that the definition calls are those
///   Funcs' own.
AxisReport pit_axis(const FuncNode &func, int definition, const AxisChoice &choice);

/// pit_axis with the default group and micro-tiles of 1, for every variable of the definition: its
/// pure Vars in order, then the dimensions of its domain.
std::vector<AxisReport> pit_axes(const Definition &definition);

}  // namespace pit
