// From a pipeline and the order of its inputs to the module that is compiled.
#pragma once

#include <source_location>
#include <string>
#include <vector>

#include "codegen/ir/ir.h"
#include "codegen/lower/lower.h"
#include "dsl/pipeline.h"
#include "dsl/target.h"

namespace pit::emit {

/// The pipeline's arguments, its inputs in the order of `inputs`, which name each once.
/// CompileError of `directive` otherwise.
std::vector<Argument> signature_with(const Pipeline &pipeline,
                                     const std::vector<std::string> &inputs,
                                     const std::string &directive, std::source_location where);

/// One pure output whose every element comes from the inputs' elements at its coordinate.
bool is_elementwise(const Pipeline &pipeline);

/// Checks what the schedule asks of the target's atoms, and lowers.
ir::Module lower_for(const Pipeline &pipeline, const Target &target,
                     std::vector<lower::Explanation> *explanation = nullptr);

/// The same, with inputs and scalars in the order of the signature.
ir::Module lower_with(const Pipeline &pipeline, const std::vector<Argument> &signature,
                      const Target &target);

}  // namespace pit::emit
