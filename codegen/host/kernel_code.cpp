#include "kernel_code.h"

#include <llvm/IR/DerivedTypes.h>

namespace pit::host {

namespace {

llvm::MDNode *as_it_stands(llvm::IRBuilder<> &b) {
  llvm::LLVMContext &context = b.getContext();
  const auto flag = [&](const char *name) {
    return llvm::MDNode::get(context, llvm::MDString::get(context, name));
  };
  llvm::Metadata *width[] = {llvm::MDString::get(context, "llvm.loop.vectorize.width"),
                             llvm::ConstantAsMetadata::get(b.getInt32(1))};
  llvm::MDNode *node = llvm::MDNode::getDistinct(
      context, {nullptr, flag("llvm.loop.mustprogress"), flag("llvm.loop.unroll.disable"),
                llvm::MDNode::get(context, width)});
  node->replaceOperandWith(0, node);
  return node;
}

}  // namespace

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

void kernel_loop(llvm::IRBuilder<> &b, llvm::Value *first, llvm::Value *end, std::int64_t step,
                 const std::function<void(llvm::Value *)> &body) {
  llvm::LLVMContext &context = b.getContext();
  llvm::BasicBlock *before = b.GetInsertBlock();
  auto *head = llvm::BasicBlock::Create(context, "loop", before->getParent());
  auto *done = llvm::BasicBlock::Create(context, "end", before->getParent());
  b.CreateCondBr(b.CreateICmpSLT(first, end), head, done);
  b.SetInsertPoint(head);
  auto *i = b.CreatePHI(b.getInt64Ty(), 2);
  i->addIncoming(first, before);
  body(i);
  llvm::Value *next = b.CreateAdd(i, b.getInt64(static_cast<std::uint64_t>(step)), "", true, true);
  i->addIncoming(next, b.GetInsertBlock());
  auto *branch = b.CreateCondBr(b.CreateICmpSLT(next, end), head, done);
  branch->setMetadata(llvm::LLVMContext::MD_loop, as_it_stands(b));
  b.SetInsertPoint(done);
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
