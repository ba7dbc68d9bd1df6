// What kernels are emitted with, and their modules.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <memory>
#include <string>

#include "kernel.h"
#include "machine.h"

namespace pit::host {

/// A new function for the machine: its instructions, its vector width.
llvm::Function *make_function(llvm::Module &module, const Machine &machine,
                              llvm::FunctionType *type, const std::string &name,
                              llvm::GlobalValue::LinkageTypes linkage);

/// The kernel as an external function of `module`, which does not define it. Made once a module.
llvm::Function *declare_kernel(llvm::Module &module, const Machine &machine, const Kernel &kernel);

/// for i = first; i < end; i += step: body(i), in the function in which `b` stands. LLVM leaves the
/// loop as it is: kernels are vectors already.
void kernel_loop(llvm::IRBuilder<> &b, llvm::Value *first, llvm::Value *end, std::int64_t step,
                 const std::function<void(llvm::Value *)> &body);

/// A module that defines the kernel, not optimised.
struct KernelModule {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
};
KernelModule generate_kernel(const Kernel &kernel, const Machine &machine);

}  // namespace pit::host
