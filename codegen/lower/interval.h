// Interval arithmetic over expressions: the ranges that index expressions take.
#pragma once

#include <map>
#include <optional>

#include "plan.h"

namespace pit::lower {

/// Closed interval; a side that is not defined is unbounded.
struct Interval {
  Expr low, high;
  bool bounded() const { return low.defined() && high.defined(); }
};

/// Closed intervals of variables.
using VariableRanges = std::map<const VarNode *, Interval>;

/// The interval of integer expression `e` (int64 arithmetic) when variables take `ranges`. Loads
/// and calls are points when `data_is_a_point` and unbounded otherwise, except for coordinates of
/// top_k and bounded casts. Variables that are not in `ranges` are points.
Interval interval_of(const Expr &e, const VariableRanges &ranges, const Plan &plan,
                     bool data_is_a_point);

/// A condition under which no addition, multiplication, negation or conversion in `e` wraps, so
/// that interval_of says what e takes; undefined when none can. Tensors have extents up to 2^47.
/// What is data and unbounded may wrap.
Expr cannot_wrap(const Expr &e, const VariableRanges &ranges, const Plan &plan);

/// e as int64.
Expr to_int64(const Expr &e);

/// An extent that may be computed below zero, as the number of iterations that it means.
Expr not_negative(const Expr &extent);

/// Equal conditions, up to the widening of coordinates to int64.
bool same_condition(const Expr &a, const Expr &b);

/// Whether e reads a storage or calls a stage.
bool reads_data(const Expr &e);

}  // namespace pit::lower
