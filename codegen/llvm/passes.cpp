#include "passes.h"

#include <llvm/IR/Module.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/VirtualFileSystem.h>
#include <llvm/Target/TargetMachine.h>

#include <string>

#include "dsl/error.h"

namespace pit::code {

void run_passes(llvm::Module &module, llvm::TargetMachine &machine, const char *passes) {
  // That of a builder without one is made in LLVM, by the first of the threads that ask for it,
  // where ThreadSanitizer does not see that the others wait.
  static const llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> files =
      llvm::vfs::getRealFileSystem();
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine, {}, {}, nullptr, files);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  llvm::ModulePassManager manager;
  builder.invokePipelineStartEPCallbacks(manager, llvm::OptimizationLevel::O2);
  llvm::Error unknown = builder.parsePassPipeline(manager, passes);
  internal_check(!unknown, "LLVM has not all of the passes " + std::string(passes));
  manager.run(module, modules);
}

}  // namespace pit::code
