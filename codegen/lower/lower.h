// From a scheduled pipeline to a module of the tile IR.
#pragma once

#include <string>
#include <vector>

#include "codegen/ir/ir.h"
#include "dsl/pipeline.h"
#include "dsl/target.h"

namespace pit::lower {

/// What lowering decided, a line each, for Pipeline::explain().
struct Explanation {
  std::string subject;  ///< "C.update(0)"
  std::string topic;    ///< "rule", "proof", "index", "mask", "operand", "races"
  std::string text;
};

/// Lowers `pipeline` for `target`. Throws CompileError for an illegal schedule or algorithm.
/// PIT_DUMP=all, or PIT_DUMP naming a pass, writes the module after passes to PIT_DUMP_DIR (default
/// ".").
ir::Module lower(const Pipeline &pipeline, const Target &target,
                 std::vector<Explanation> *explanation = nullptr);

}  // namespace pit::lower
