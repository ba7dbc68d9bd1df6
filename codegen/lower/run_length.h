// Elements that an access reads beside each other.
#pragma once

#include <cstdint>
#include <limits>

#include "codegen/ir/ir.h"

namespace pit::lower {

constexpr std::int64_t kEndlessRun = std::numeric_limits<std::int64_t>::max();

/// The length of the runs in which `index` counts along the axis, from multiples of it on:
/// index(a + 1) = index(a) + 1 where a + 1 is no multiple. kEndlessRun: everywhere; 0: nowhere.
std::int64_t run_length(const Expr &index, const VarPtr &axis);

}  // namespace pit::lower
