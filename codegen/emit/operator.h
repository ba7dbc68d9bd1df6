// Compiled operators.
#pragma once

#include <memory>

#include "codegen/ir/ir.h"
#include "dsl/callable.h"
#include "dsl/target.h"

namespace pit::emit {

/// The operator that runs `module`, whose inputs, scalars and outputs come in the order of
/// info.signature. Code for compact row-major tensors is made now; for other layouts at the first
/// call that needs it. Operators of equal modules and targets share their code. Thread-safe.
std::shared_ptr<const CompiledOperator> make_operator(OperatorInfo info, const ir::Module &module,
                                                      const Target &target);

}  // namespace pit::emit
