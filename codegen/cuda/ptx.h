// From LLVM to PTX.
#pragma once

#include <future>
#include <string>

#include "device.h"

namespace llvm {
class Module;
}

namespace pit::cuda {

/// The PTX of the kernels of `module`, with the functions of libdevice that they call, optimised
/// and made by threads of its own, which do not use `module` any more. The future throws
/// CompileError when they need libdevice and there is none: it comes with the CUDA Toolkit, and
/// PIT_LIBDEVICE names the file where it is not found.
std::future<std::string> start_ptx(const llvm::Module &module, const Device &device);

}  // namespace pit::cuda
