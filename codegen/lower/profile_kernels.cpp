#include "profile_kernels.h"

#include "codegen/ir/block_memory.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/profile.h"

namespace pit::lower {

ir::Module profile_kernels(const ir::Module &module) {
  ir::Module result = module;
  ir::walk_statements(module.body, [&](const ir::Stmt &s) {
    const auto *stage = s.as<ir::Stage>();
    if (stage == nullptr || ir::profile_slot(result, stage->name) >= 0) return true;
    if (!ir::is_staged(stage->body)) return true;
    for (const char *work : {".gather", ".compute", ".scatter", ".cycles"})
      result.statistic_names.push_back(stage->name + work);
    return true;
  });
  if (!result.statistics && !result.statistic_names.empty())
    result.statistics = ir::make_storage("statistics", float64, 1, Space::Heap);
  return result;
}

}  // namespace pit::lower
