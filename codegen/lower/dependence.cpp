#include "dependence.h"

#include <algorithm>

#include "codegen/ir/mutator.h"

namespace pit::lower {

bool Dependence::operator()(const Expr &e) const {
  bool found = false;
  walk(e, [&](const Expr &part) {
    if (const auto *variable = part.as<Variable>())
      found = found || variables_.count(variable->var.get()) != 0;
    if (const auto *load = part.as<Load>()) found = found || tiles_.count(load->storage.get()) != 0;
    return !found;
  });
  return found;
}

bool Dependence::operator()(const ir::Store &store) const {
  const auto any = [&](const std::vector<Expr> &list) {
    return std::any_of(list.begin(), list.end(), [&](const Expr &e) { return (*this)(e); });
  };
  return any(store.guards) || any(store.indices) || (*this)(store.value) ||
         std::any_of(store.axes.begin(), store.axes.end(),
                     [&](const VarPtr &axis) { return variables_.count(axis.get()) != 0; });
}

Dependence::Dependence(const ir::Stmt &body, const VarPtr &on) {
  variables_.insert(on.get());
  std::size_t before = 0;
  do {
    before = variables_.size() + tiles_.size();
    ir::walk_statements(body, [&](const ir::Stmt &s) {
      if (const auto *let = s.as<ir::Let>()) {
        if ((*this)(let->value)) variables_.insert(let->var.get());
      } else if (const auto *loop = s.as<ir::For>()) {
        if ((*this)(loop->min) || (*this)(loop->extent)) variables_.insert(loop->var.get());
      } else if (const auto *axes = s.as<ir::Axes>()) {
        for (const ir::AxisBinding &axis : axes->axes)
          if ((*this)(axis.extent)) variables_.insert(axis.var.get());
      } else if (const auto *store = s.as<ir::Store>()) {
        if (store->storage->space == Space::Tile && (*this)(*store))
          tiles_.insert(store->storage.get());
      }
      return true;
    });
  } while (variables_.size() + tiles_.size() != before);
}

}  // namespace pit::lower
