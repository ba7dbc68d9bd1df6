// What explain() says of inner kernels.
#pragma once

#include <string>

#include "codegen/ir/ir.h"
#include "dsl/target.h"

namespace pit::emit {

/// A line for each Mma: its operands and the atom that multiplies them.
std::string atoms_text(const ir::Module &module, const Target &target);

}  // namespace pit::emit
