#include "ir.h"

namespace pit::ir {

Stmt make_block(std::vector<Stmt> stmts) {
  std::vector<Stmt> flat;
  for (const Stmt &s : stmts) {
    if (!s.defined()) continue;
    if (const auto *block = s.as<Block>()) {
      const Stmt inner = make_block(block->stmts);
      if (const auto *rest = inner.as<Block>()) {
        flat.insert(flat.end(), rest->stmts.begin(), rest->stmts.end());
      } else if (inner.defined()) {
        flat.push_back(inner);
      }
    } else {
      flat.push_back(s);
    }
  }
  if (flat.empty()) return {};
  return flat.size() == 1 ? flat.front() : make<Block>(std::move(flat));
}

namespace {
VarPtr make_var(std::string name, VarRole role, Type type) {
  return std::make_shared<const VarNode>(VarNode{std::move(name), role, type});
}
}  // namespace

VarPtr make_loop_variable(std::string name) {
  return make_var(std::move(name), VarRole::Loop, int64);
}
VarPtr make_axis_variable(std::string name) {
  return make_var(std::move(name), VarRole::Axis, int64);
}
VarPtr make_let_variable(std::string name, Type type) {
  return make_var(std::move(name), VarRole::Let, type);
}

StoragePtr make_storage(std::string name, Type type, int rank, Space space) {
  return std::make_shared<const StorageNode>(StorageNode{std::move(name), type, rank, space});
}

}  // namespace pit::ir
