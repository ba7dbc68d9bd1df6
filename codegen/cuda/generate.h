// From a module of the tile IR whose stages are kernels to two LLVM modules: the operator's entry
// on the host, and its kernels.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "codegen/ir/ir.h"
#include "codegen/llvm/entry.h"
#include "device.h"

namespace llvm {
class LLVMContext;
class Module;
}  // namespace llvm

namespace pit::cuda {

/// `host` has one external function, entry.symbol, of type pit_function; it calls the runtime (see
/// runtime/pit_cuda.h) with a pit_cuda_image, the external variable `image_symbol`, whose kernels
/// are those of `device` in the order of `kernels`. Its tensors are on the device, elements at
/// multiples of their size.
struct GeneratedModules {
  GeneratedModules();
  GeneratedModules(GeneratedModules &&) noexcept;
  ~GeneratedModules();

  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> host, device;
  code::Entry entry;
  std::string image_symbol;
  std::vector<std::string> kernels;
};

/// Tensors and scalars of the entry come in the order of module.inputs, module.outputs and
/// module.scalars. CompileError for what a GPU cannot do. The result is not optimised.
GeneratedModules generate(const ir::Module &module, const Device &device,
                          const code::Variant &variant);

}  // namespace pit::cuda
