// Whether the schedule's rewrites leave the result unchanged.
#pragma once

#include "plan.h"

namespace pit::lower {

/// CompileError for a pit_tile along an axis that is not a PIT axis, and for an output that is read
/// by its own pipeline in a way that a rewrite would change. Records the proof of every rule for
/// explain().
void check_legality(const Plan &plan);

}  // namespace pit::lower
