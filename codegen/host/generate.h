// From a module of the tile IR to an LLVM module for a host CPU.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codegen/ir/ir.h"
#include "kernel.h"
#include "machine.h"

namespace llvm {
class LLVMContext;
class Module;
}  // namespace llvm

namespace pit::host {

/// What generated code takes for granted about the memory of its tensors. Code is right only for
/// calls that keep it.
struct Variant {
  /// For each input, then each output: the dimension whose stride is 1 (or whose extent is at most
  /// 1), or -1.
  std::vector<int> unit_dimension;
  /// False: no output shares memory with an input.
  bool outputs_overlap_inputs = false;

  auto operator<=>(const Variant &) const = default;
};

/// The variant for compact row-major tensors.
Variant row_major_variant(const ir::Module &module);

/// An LLVM module with one external function `symbol` of type pit_function, and what its calls
/// report.
struct GeneratedModule {
  GeneratedModule();
  GeneratedModule(GeneratedModule &&) noexcept;
  ~GeneratedModule();

  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
  std::string symbol;
  /// What it calls besides the runtime.
  std::vector<Kernel> kernels;
  /// The messages of Checks, by pit_call::check.
  std::vector<std::string> messages;
  /// Stages in the order of pit_call::stage_nanoseconds.
  std::vector<std::pair<std::string, ir::StageKind>> stages;
};

/// Tensors and scalars of the function come in the order of module.inputs, module.outputs and
/// module.scalars. CompileError for an unknown atom. The result is not optimised.
GeneratedModule generate(const ir::Module &module, const Machine &machine, const Variant &variant);

}  // namespace pit::host
