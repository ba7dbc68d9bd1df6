#include "written_outputs.h"

#include <algorithm>
#include <vector>

#include "codegen/ir/mutator.h"

namespace pit::emit {

namespace {

std::string list(const std::vector<std::string> &names) {
  std::string text;
  for (const std::string &name : names) text += (text.empty() ? "'" : ", '") + name + "'";
  return (names.size() == 1 ? "output " : "outputs ") + text;
}

}  // namespace

WrittenOutputs::WrittenOutputs(const ir::Module &module) {
  std::vector<std::string> written;  // in the stages so far
  const auto stage = [&](const ir::Stage &s) {
    ir::walk_statements(s.body, [&](const ir::Stmt &stmt) {
      const auto *store = stmt.as<ir::Store>();
      if (store == nullptr) return true;
      const bool output = std::ranges::find(module.outputs, store->storage) != module.outputs.end();
      if (output && std::ranges::find(written, store->storage->name) == written.end())
        written.push_back(store->storage->name);
      return true;
    });
    if (written.empty()) return;
    const bool one = written.size() == 1;
    const std::string text =
        "; the " + list(written) + (one ? " has" : " have") + " been written before";
    // A message that stands in several stages speaks of the last of them.
    ir::walk_statements(s.body, [&](const ir::Stmt &stmt) {
      if (const auto *check = stmt.as<ir::Check>()) of_check_[check->message] = text;
      if (const auto *place = stmt.as<ir::IndexPlace>()) of_index_[place->index_name] = text;
      if (const auto *sort = stmt.as<ir::IndexSort>()) of_index_[sort->index_name] = text;
      return true;
    });
  };
  ir::walk_statements(module.body, [&](const ir::Stmt &stmt) {
    const auto *node = stmt.as<ir::Stage>();
    if (node != nullptr) stage(*node);
    return node == nullptr;
  });
  if (module.outputs.size() > 1) of_memory_ = "; outputs may have been written before";
}

std::string WrittenOutputs::after_check(const std::string &message) const {
  const auto it = of_check_.find(message);
  return it == of_check_.end() ? "" : it->second;
}

}  // namespace pit::emit
