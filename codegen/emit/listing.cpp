#include "listing.h"

#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

#include "codegen/cuda/generate.h"
#include "codegen/cuda/ptx.h"
#include "codegen/host/generate.h"
#include "codegen/host/kernel_code.h"
#include "optimise.h"

namespace pit::emit {

std::string assembly_of(const host::Kernel &kernel, const host::Machine &machine) {
  const host::KernelModule code = host::generate_kernel(kernel, machine);
  optimise(*code.module, machine);
  return assembly_of(*code.module, machine);
}

std::string assembly_of(const ir::Module &module, const host::Machine &machine) {
  const host::GeneratedModule generated =
      host::generate(module, machine, code::row_major_variant(module));
  optimise(*generated.module, machine);
  std::string text = assembly_of(*generated.module, machine);
  for (const host::Kernel &kernel : generated.kernels) text += assembly_of(kernel, machine);
  return text;
}

Ptx ptx_of(const ir::Module &module, const cuda::Device &device) {
  cuda::GeneratedModules generated =
      cuda::generate(module, device, code::row_major_variant(module));
  return {cuda::start_ptx(*generated.device, device).get(), std::move(generated.kernels)};
}

}  // namespace pit::emit
