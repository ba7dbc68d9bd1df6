// Whether the schedule's rewrites leave the result unchanged.
#pragma once

#include "plan.h"

namespace pit::lower {

/// CompileError for a pit_tile along an axis that is not a PIT axis, and for one grouped by a key
/// that need not be a group wherever the definition has a value. Records the proof of every rule
/// for explain().
void check_legality(const Plan &plan);

}  // namespace pit::lower
