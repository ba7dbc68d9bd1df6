// LLVM's passes over a module.
#pragma once

namespace llvm {
class Module;
class TargetMachine;
}  // namespace llvm

namespace pit::code {

/// Runs `passes`, in the words of LLVM's opt, and before them what the machine's back end wants to
/// be first. Several threads may do so at once, each with a module of a context of its own.
void run_passes(llvm::Module &module, llvm::TargetMachine &machine, const char *passes);

}  // namespace pit::code
