// How an index of an access depends on an axis: the algebra behind "separable access".
//
// An access can be gathered or scattered along an axis when each of its indices is g(axis, group) +
// h(rest) and affine in the axis within a micro-tile: then one base an entry of the sparse index is
// enough.
#pragma once

#include <cstdint>
#include <vector>

#include "dsl/expr.h"

namespace pit {

/// An integer expression as a sum: constant + sum of coefficient * factor * atom.
/// An atom is a variable, a floor division by a positive constant, or anything that is no sum. x %
/// c is x - c * (x / c) and what is divisible is taken out of a division, so that equal indices
/// have equal sums. Arithmetic is taken as that of the integers: an index whose computation wraps
/// is out of range anyway.
struct LinearIndex {
  struct Term {
    Expr atom;
    std::int64_t coefficient;
    Expr factor;  ///< reads no variable; undefined: 1
  };
  std::vector<Term> terms;  ///< each atom and factor once, no coefficient is 0
  std::int64_t constant = 0;
};

LinearIndex linear_index(const Expr &index);

/// The dependence of an index on one axis with everything else held.
struct AxisForm {
  bool depends = false;  ///< reads the axis at all (after cancelling)
  /// Affine on every run [n * period, (n + 1) * period) of the axis: a micro extent must divide it.
  /// 0: affine everywhere. 1: nothing is known of neighbours.
  std::int64_t period = 0;
  Expr slope;         ///< int64: the step within a run; undefined where period is 1
  bool data = false;  ///< the axis goes through a tensor or a Func: a gather
  /// The variables that the axis cannot be separated from: the index is g(axis, joint) + h(rest).
  std::vector<VarPtr> joint;
  Expr part;  ///< a part of the index that gives `joint`, or else the period: for messages
};

/// `axis`: one variable, or those that a fused axis is made of (then the period is 1 where the
/// index depends on it).
AxisForm axis_form(const Expr &index, const std::vector<VarPtr> &axis);

}  // namespace pit
