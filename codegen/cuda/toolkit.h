// The CUDA Toolkit of this machine.
#pragma once

#include <string>
#include <vector>

#include "device.h"

namespace pit::cuda {

/// Where `file` of the Toolkit ("bin/ptxas") may be: in the folders that CUDA_HOME and CUDA_PATH
/// name, then in the usual ones.
std::vector<std::string> toolkit_places(const std::string &file);

/// The Toolkit's assembler, ptxas: the program that PIT_PTXAS names (empty: none), else the first
/// of toolkit_places and PATH; "" where there is none.
std::string assembler();

/// What the assembler says of its version; "" where there is none. CompileError when PIT_PTXAS
/// names no program.
std::string assembler_version();

/// Machine code (a cubin) for the device; "" where there is no assembler. `who` begins the
/// CompileError that is thrown when the assembler refuses the PTX, with its words.
std::string assembled(const std::string &ptx, const Device &device, const std::string &who);

}  // namespace pit::cuda
