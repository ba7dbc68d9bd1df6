#include "kernel.h"

#include <llvm/IR/DerivedTypes.h>

namespace pit::host {

llvm::Function *make_function(llvm::Module &module, const Machine &machine,
                              llvm::FunctionType *type, const std::string &name,
                              llvm::GlobalValue::LinkageTypes linkage) {
  auto *function = llvm::Function::Create(type, linkage, name, module);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  function->addFnAttr("target-cpu", machine.cpu);
  if (!machine.features.empty()) function->addFnAttr("target-features", machine.features);
  if (!machine.tune.empty()) function->addFnAttr("tune-cpu", machine.tune);
  function->addFnAttr("prefer-vector-width", std::to_string(machine.vector_bytes * 8));
  return function;
}

llvm::Function *declare_kernel(llvm::Module &module, const Machine &machine, const Kernel &kernel) {
  if (llvm::Function *known = module.getFunction(kernel.name)) return known;
  llvm::LLVMContext &context = module.getContext();
  llvm::SmallVector<llvm::Type *, 8> types;
  for (const char letter : kernel.parameters) {
    types.push_back(letter == 'p' ? static_cast<llvm::Type *>(llvm::PointerType::get(context, 0))
                                  : llvm::Type::getInt64Ty(context));
  }
  return make_function(module, machine,
                       llvm::FunctionType::get(llvm::Type::getVoidTy(context), types, false),
                       kernel.name, llvm::GlobalValue::ExternalLinkage);
}

KernelModule generate_kernel(const Kernel &kernel, const Machine &machine) {
  KernelModule result;
  result.context = std::make_unique<llvm::LLVMContext>();
  result.module = std::make_unique<llvm::Module>(kernel.name, *result.context);
  result.module->setTargetTriple(llvm::Triple(machine.triple));
  kernel.emit(declare_kernel(*result.module, machine, kernel));
  return result;
}

}  // namespace pit::host
