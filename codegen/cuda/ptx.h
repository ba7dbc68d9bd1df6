// From LLVM to PTX.
#pragma once

#include <string>

#include "device.h"

namespace llvm {
class Module;
}

namespace pit::cuda {

/// Optimises the kernels of `module` in place, with the functions of libdevice that they call, and
/// returns their PTX. CompileError when they need libdevice and there is none: it comes with the
/// CUDA Toolkit, and PIT_LIBDEVICE names the file where it is not found.
std::string make_ptx(llvm::Module &module, const Device &device);

}  // namespace pit::cuda
