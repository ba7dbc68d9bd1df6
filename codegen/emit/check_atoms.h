// The atoms that a schedule names.
#pragma once

#include "dsl/schedule.h"
#include "dsl/target.h"

namespace pit::emit {

/// CompileError, at the user's line, for an atom that the target's table does not hold for sums of
/// the Func's type. The message lists the atoms that it does hold.
void check_atoms(const Schedule &schedule, const Target &target);

}  // namespace pit::emit
