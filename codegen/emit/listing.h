// The text of generated code, for people, for tools that take text, and for tests: no type of LLVM.
#pragma once

#include <string>
#include <vector>

#include "codegen/cuda/device.h"
#include "codegen/host/kernel.h"
#include "codegen/host/machine.h"
#include "codegen/ir/ir.h"

namespace pit::emit {

/// The machine's assembly of a kernel, optimised.
std::string assembly_of(const host::Kernel &kernel, const host::Machine &machine);

/// The machine's assembly of a module whose tensors are row-major, optimised, with every kernel
/// that it calls. CompileError as host::generate says.
std::string assembly_of(const ir::Module &module, const host::Machine &machine);

struct Ptx {
  std::string text;
  /// Names of its kernels, in the order in which the module's stages launch them first.
  std::vector<std::string> kernels;
};

/// The kernels of a module whose tensors are row-major. CompileError as cuda::generate and
/// cuda::start_ptx say.
Ptx ptx_of(const ir::Module &module, const cuda::Device &device);

}  // namespace pit::emit
