// Integer expressions as sums of terms: what lies in an expression besides its axes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "codegen/ir/ir.h"

namespace pit::lower {

/// sum of coefficient * term + constant; terms are variables or anything that is not a sum or a
/// constant multiple.
struct Linear {
  struct Term {
    Expr value;
    std::int64_t coefficient;
  };
  std::vector<Term> terms;
  std::int64_t constant = 0;
};

/// `e` as a sum (equal terms merged, zero terms dropped).
Linear linearize(const Expr &e);
/// The sum as an int64 expression.
Expr to_expr(const Linear &linear);
/// a - b when it is a constant.
std::optional<std::int64_t> constant_difference(const Expr &a, const Expr &b);

/// floor(e / divisor) as an expression without axes, when it is the same for all values of the
/// axes; else null. Holds when e = base + axes with 0 <= axes < d, and base a multiple of d' where
/// d <= d' and d' divides divisor.
Expr uniform_quotient(const Expr &e, std::int64_t divisor,
                      const std::vector<ir::AxisBinding> &axes);

/// `e` with every division whose quotient is the same for all values of the axes replaced by one
/// without axes.
Expr without_uniform_divisions(const Expr &e, const std::vector<ir::AxisBinding> &axes);

/// Whether e reads one of the axes.
bool reads_axis(const Expr &e, const std::vector<ir::AxisBinding> &axes);

}  // namespace pit::lower
