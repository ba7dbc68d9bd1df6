#include "trust_data.h"

#include <algorithm>

#include "codegen/ir/block_memory.h"
#include "codegen/ir/mutator.h"

namespace pit::lower {

namespace {

bool tests_data(const ir::Stage &stage) {
  if (stage.stage_kind != ir::StageKind::Check) return false;
  bool tests = false;
  ir::walk_statements(stage.body, [&](const ir::Stmt &s) {
    tests = tests || s.as<ir::Check>();
    return !tests;
  });
  ir::Accesses accesses;
  accesses.add(stage.body);
  return tests && std::ranges::any_of(accesses.reads, [](const StorageNode *storage) {
           return storage->space == Space::Tensor;
         });
}

class Trusting final : public ir::Mutator {
  using Mutator::visit;

  ir::Stmt visit(const ir::Stage &node, const ir::Stmt &self) override {
    return tests_data(node) ? ir::Stmt() : self;
  }

  ir::Stmt visit(const ir::Allocate &node, const ir::Stmt &self) override {
    const ir::Stmt changed = Mutator::visit(node, self);
    if (changed.same_as(self)) return self;
    const ir::Stmt &body = changed.as<ir::Allocate>()->body;
    ir::Accesses accesses;
    if (body.defined()) accesses.add(body);
    const StorageNode *storage = node.storage.get();
    return accesses.reads.contains(storage) || accesses.writes.contains(storage) ? changed : body;
  }

  ir::Stmt visit(const ir::If &node, const ir::Stmt &self) override {
    const ir::Stmt changed = Mutator::visit(node, self);
    const auto *branch = changed.as<ir::If>();
    if (branch->then_body.defined()) return changed;
    if (!branch->else_body.defined()) return {};
    return ir::make<ir::If>(!branch->condition, branch->else_body);
  }
};

}  // namespace

ir::Module trust_data(const ir::Module &module) {
  ir::Module result = module;
  result.body = Trusting()(module.body);
  return result;
}

}  // namespace pit::lower
