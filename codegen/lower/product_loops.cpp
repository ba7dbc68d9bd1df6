#include "product_loops.h"

#include "codegen/ir/mutator.h"

namespace pit::lower {

using ir::Stmt;

bool holds_product(const Stmt &s) {
  bool found = false;
  ir::walk_statements(s, [&](const Stmt &part) { return !(found = found || part.as<ir::Mma>()); });
  return found;
}

std::vector<const ir::For *> product_loops(const Stmt &s) {
  std::vector<const ir::For *> loops;
  ir::walk_statements(s, [&](const Stmt &part) {
    const auto *loop = part.as<ir::For>();
    if (loop == nullptr || !holds_product(loop->body)) return true;
    const std::vector<const ir::For *> inner = product_loops(loop->body);
    loops.insert(loops.end(), inner.begin(), inner.end());
    if (inner.empty()) loops.push_back(loop);
    return false;
  });
  return loops;
}

}  // namespace pit::lower
