// From a module of the tile IR to an LLVM module for a host CPU.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codegen/ir/ir.h"
#include "codegen/llvm/entry.h"
#include "kernel.h"
#include "machine.h"

namespace llvm {
class LLVMContext;
class Module;
}  // namespace llvm

namespace pit::host {

using code::row_major_variant;
using code::Variant;

/// An LLVM module with one external function, entry.symbol, of type pit_function.
struct GeneratedModule {
  GeneratedModule();
  GeneratedModule(GeneratedModule &&) noexcept;
  ~GeneratedModule();

  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
  code::Entry entry;
  /// What it calls besides the runtime.
  std::vector<Kernel> kernels;
};

/// Tensors and scalars of the function come in the order of module.inputs, module.outputs and
/// module.scalars. CompileError for an unknown atom. The result is not optimised.
GeneratedModule generate(const ir::Module &module, const Machine &machine, const Variant &variant);

}  // namespace pit::host
