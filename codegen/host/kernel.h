// Kernels: functions of generated code that depend on no program.
#pragma once

#include <functional>
#include <string>

namespace llvm {
class Function;
}

namespace pit::host {

/// A function that depends on the machine alone. It is compiled once in a process and linked to
/// every operator that calls it.
struct Kernel {
  std::string name;        ///< for one machine the same name is the same function
  std::string parameters;  ///< a letter for each: 'w' a 64-bit integer, 'p' a pointer
  std::function<void(llvm::Function *)> emit;  ///< makes the body
};

}  // namespace pit::host
