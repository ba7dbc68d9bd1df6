#include "generator.h"

#include <llvm/IR/MDBuilder.h>

#include <cstddef>

#include "codegen/ir/mutator.h"
#include "codegen/llvm/conversions.h"
#include "kernel_code.h"
#include "runtime/pit_call.h"

namespace pit::host {

Generator::Generator(const ir::Module &module, const Machine &machine, const Variant &variant,
                     GeneratedModule &result)
    : EntryEmitter(module, variant, &result.entry, *result.module, machine),
      machine_(machine),
      result_(result) {}

llvm::Function *Generator::make_function(llvm::FunctionType *type, const std::string &name,
                                         bool external) {
  return host::make_function(
      llvm_, machine_, type, name,
      external ? llvm::Function::ExternalLinkage : llvm::Function::InternalLinkage);
}

llvm::Function *Generator::kernel(const Kernel &kernel) {
  if (!llvm_.getFunction(kernel.name)) result_.kernels.push_back(kernel);
  return declare_kernel(llvm_, machine_, kernel);
}

// One scope a storage. Inputs are only read, so they may share memory with each other.
void Generator::make_alias_scopes() {
  std::vector<const StorageNode *> storages;
  for (const StoragePtr &s : module_.inputs) storages.push_back(s.get());
  for (const StoragePtr &s : module_.outputs) storages.push_back(s.get());
  const std::size_t tensors = storages.size();
  ir::walk_statements(module_.body, [&](const ir::Stmt &s) {
    if (const auto *allocate = s.as<ir::Allocate>()) storages.push_back(allocate->storage.get());
    if (const auto mma = mma_plans_.find(s.get()); mma != mma_plans_.end()) {
      const MmaPlan &plan = mma->second;
      for (const StoragePtr &packed : {plan.packed_left, plan.few_left, plan.buffer}) {
        if (packed) storages.push_back(packed.get());
      }
    }
    return true;
  });
  llvm::MDBuilder metadata(context_);
  llvm::MDNode *domain = metadata.createAnonymousAliasScopeDomain("storages");
  std::vector<llvm::MDNode *> scopes;
  for (const StorageNode *s : storages) {
    const bool shared =
        variant_.outputs_overlap_inputs && !scopes.empty() && scopes.size() < tensors;
    scopes.push_back(shared ? scopes.front() : metadata.createAnonymousAliasScope(domain, s->name));
  }
  for (std::size_t i = 0; i < storages.size(); ++i) {
    llvm::SmallVector<llvm::Metadata *, 16> others;
    for (llvm::MDNode *scope : scopes) {
      if (scope != scopes[i] && !llvm::is_contained(others, scope)) others.push_back(scope);
    }
    alias_scopes_[storages[i]] = {llvm::MDNode::get(context_, {scopes[i]}),
                                  llvm::MDNode::get(context_, others)};
  }
  for (const StoragePtr &s : module_.inputs) is_input_[s.get()] = true;
}

void Generator::emit_module() {
  packed_operands_ = find_packed_operands(module_.body);
  mma_plans_ = plan_mmas(module_, machine_, variant_);
  make_alias_scopes();
  emit_entry(make_function(entry_type(context_), entry_.symbol, true));
}

void Generator::emit_body() {
  llvm::Value *sizing = b.CreateLoad(b.getInt32Ty(), field(call_, offsetof(pit_call, sizing)));
  when(
      b.CreateICmpNE(sizing, b.getInt32(0)), [&] { emit_size(); },
      [&] { EntryEmitter::emit_body(); });
}

GeneratedModule::GeneratedModule() : context(std::make_unique<llvm::LLVMContext>()) {}
GeneratedModule::GeneratedModule(GeneratedModule &&) noexcept = default;
GeneratedModule::~GeneratedModule() {
  module.reset();  // before its context
}

GeneratedModule generate(const ir::Module &module, const Machine &machine, const Variant &variant) {
  GeneratedModule result;
  result.entry.symbol = code::symbol_of(module);
  result.module = std::make_unique<llvm::Module>(module.name, *result.context);
  result.module->setTargetTriple(llvm::Triple(machine.triple));
  Generator(module, machine, variant, result).emit_module();
  return result;
}

}  // namespace pit::host
