// What a part of a function uses of its surroundings: what another function must be given to run
// it.
#include <algorithm>

#include "codegen/ir/mutator.h"
#include "function_emitter.h"

namespace pit::code {

Environment FunctionEmitter::captured(const std::vector<ir::Stmt> &statements,
                                      const std::vector<Expr> &expressions) const {
  Environment used;
  const auto copy = [](const auto &from, auto &to, const auto *key) {
    if (const auto it = from.find(key); it != from.end()) to.insert(*it);
  };
  const auto use_storage = [&](const StoragePtr &s) {
    if (s) copy(env_.storages, used.storages, s.get());
  };
  const auto use_axis = [&](const VarPtr &v) { copy(env_.axes, used.axes, v.get()); };
  const auto use_expression = [&](const Expr &e) {
    walk(e, [&](const Expr &part) {
      if (const auto *v = part.as<Variable>()) copy(env_.variables, used.variables, v->var.get());
      if (const auto *p = part.as<ParamRef>())
        copy(env_.parameters, used.parameters, p->param.get());
      if (const auto *x = part.as<Extent>()) use_storage(x->storage);
      if (const auto *l = part.as<Load>()) use_storage(l->storage);
      return true;
    });
  };
  for (const Expr &e : expressions) use_expression(e);
  for (const ir::Stmt &statement : statements) {
    ir::walk_statements(statement, [&](const ir::Stmt &s) {
      ir::walk_expressions(s, use_expression);
      if (const auto *store = s.as<ir::Store>()) {
        use_storage(store->storage);
        for (const VarPtr &v : store->axes) use_axis(v);
      } else if (const auto *check = s.as<ir::Check>()) {
        for (const VarPtr &v : check->axes) use_axis(v);
      } else if (const auto *mma = s.as<ir::Mma>()) {
        for (const ir::TileOperand *operand : {&mma->accumulator, &mma->a, &mma->b}) {
          use_storage(operand->tile);
          for (const VarPtr &v : operand->axes) use_axis(v);
        }
      } else if (const auto *place = s.as<ir::IndexPlace>()) {
        for (const StoragePtr &p :
             {place->marks, place->mark_offsets, place->first, place->offsets, place->counts,
              place->coordinates, place->position, place->full}) {
          use_storage(p);
        }
      } else if (const auto *sort = s.as<ir::IndexSort>()) {
        for (const StoragePtr &p :
             {sort->keys, sort->offsets, sort->counts, sort->coordinates, sort->position}) {
          use_storage(p);
        }
      } else if (const auto *prefix = s.as<ir::Prefix>()) {
        use_storage(prefix->destination);
        use_storage(prefix->source);
      } else if (const auto *compact = s.as<ir::Compact>()) {
        for (const StoragePtr &p : {compact->list, compact->count, compact->marks}) use_storage(p);
      } else if (const auto *sum = s.as<ir::SumBefore>()) {
        use_storage(sum->sum);
        use_storage(sum->progress);
      } else if (const auto *fetch = s.as<ir::FetchAdd>()) {
        use_storage(fetch->destination);
        use_storage(fetch->counters);
        for (const VarPtr &v : fetch->axes) use_axis(v);
      }
      return true;
    });
  }
  return used;
}

std::vector<llvm::Value **> values_of(Environment *environment) {
  std::vector<llvm::Value **> places;
  const auto visit = [&](llvm::Value *&v) {
    if (v && !llvm::isa<llvm::Constant>(v)) places.push_back(&v);
  };
  for (auto &[name, v] : environment->variables) visit(v);
  for (auto &[name, v] : environment->parameters) visit(v);
  for (auto &[name, axis] : environment->axes) visit(axis.extent);
  for (auto &[name, v] : environment->storages) {
    visit(v.base);
    for (llvm::Value *&e : v.extents) visit(e);
    for (llvm::Value *&e : v.strides) visit(e);
  }
  if (places.empty()) return places;
  // The maps have an order of addresses, which another run has not; the function's own is the same.
  const auto *any = *places.front();
  const auto *argument = llvm::dyn_cast<llvm::Argument>(any);
  const llvm::Function &function =
      argument ? *argument->getParent() : *llvm::cast<llvm::Instruction>(any)->getFunction();
  std::unordered_map<const llvm::Value *, std::size_t> number;
  for (const llvm::Argument &a : function.args()) number.emplace(&a, number.size());
  for (const llvm::BasicBlock &block : function) {
    for (const llvm::Instruction &i : block) number.emplace(&i, number.size());
  }
  std::ranges::stable_sort(places, {}, [&](llvm::Value **place) { return number.at(*place); });
  return places;
}

}  // namespace pit::code
