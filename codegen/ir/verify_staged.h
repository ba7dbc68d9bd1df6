// The rules of kernels of the staged level that can be seen without running them.
#pragma once

#include <optional>
#include <string>

#include "staged.h"
#include "verify.h"

namespace pit::ir {

/// A rule that is not obeyed, and where (null: the kernel as a whole).
struct BrokenRule {
  std::string rule;
  Stmt statement;
};

/// The first of these that the kernel breaks, along the program text of each role, loop bodies seen
/// twice:
/// - *Shape.* Roles are not nested and have all the block's warps; roles that use asynchronous Mmas
///   or ask for registers have whole warpgroups; the registers of all roles and the shared memory
///   of all tiles and barriers are within `limits`; placed tiles have constant extents that their
///   layouts allow; registers are those of one role; operands are where their instruction reads
///   them.
/// - *Barriers.* A wait is for a barrier at which some role arrives. Each role arrives equally
/// often
///   wherever it arrives (the loop body, the code after it), and all roles together as often as the
///   barrier says.
/// - *Copies.* In a loop, a buffer is copied into only after a Wait for the same slot of a barrier
///   other than its own full barrier, or, if no other role reads it, after a Sync that follows the
///   last read.
/// - *Reads* of a shared tile follow a Wait for the same slot of a barrier on which its copies
///   complete, or, if the role wrote it itself, a Drain (of Async copies) and a Sync. Asynchronous
///   Mmas that read what the generic proxy wrote follow a `fence async` after that, or one of the
///   writer.
/// - *Accumulators* are not accessed while an asynchronous Mma on them may be under way.
/// What depends on values (phases, parities, which slot) is the interpreter's.
std::optional<BrokenRule> broken_staged_rule(const Launch &launch, const DeviceLimits &limits);

}  // namespace pit::ir
