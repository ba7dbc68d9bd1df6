// LLVM's optimiser and code generator for a host machine.
#pragma once

#include <memory>
#include <string>

#include "codegen/host/machine.h"

namespace llvm {
class MemoryBuffer;
class Module;
}  // namespace llvm

namespace pit::emit {

/// Sets the data layout, which code generation has left open, and optimises.
void optimise(llvm::Module &module, const host::Machine &machine);

/// Compiles an optimised module to an object file, relocatable anywhere in the address space.
std::unique_ptr<llvm::MemoryBuffer> object_of(llvm::Module &module, const host::Machine &machine);

/// LLVM's text of the module, and the machine's.
std::string llvm_text(const llvm::Module &module);
std::string assembly_of(llvm::Module &module, const host::Machine &machine);

}  // namespace pit::emit
