#include "profile.h"

#include <algorithm>

namespace pit::ir {

int profile_slot(const Module &module, const std::string &stage) {
  const auto found = std::ranges::find(module.statistic_names, stage + ".gather");
  return found == module.statistic_names.end()
             ? -1
             : static_cast<int>(found - module.statistic_names.begin());
}

}  // namespace pit::ir
