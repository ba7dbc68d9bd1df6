#include "optimise.h"

#include <llvm/Analysis/TargetLibraryInfo.h>
#include <llvm/IR/DiagnosticHandler.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/SmallVectorMemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>

#include <mutex>

#include "codegen/llvm/passes.h"
#include "dsl/error.h"

namespace pit::emit {

namespace {

// Collects what LLVM has to say about a module meanwhile, which by default it prints. Remarks and
// warnings (a loop that was not unrolled as wished) concern nobody; an error is a bug of ours.
class Diagnostics {
 public:
  explicit Diagnostics(llvm::Module &module) : context_(module.getContext()) {
    before_ = context_.getDiagnosticHandler();
    auto handler = std::make_unique<Handler>();
    handler_ = handler.get();
    context_.setDiagnosticHandler(std::move(handler));
  }
  ~Diagnostics() { context_.setDiagnosticHandler(std::move(before_)); }
  Diagnostics(const Diagnostics &) = delete;
  Diagnostics &operator=(const Diagnostics &) = delete;

  void check() const { internal_check(handler_->errors.empty(), "LLVM: " + handler_->errors); }

 private:
  struct Handler final : llvm::DiagnosticHandler {
    bool handleDiagnostics(const llvm::DiagnosticInfo &info) override {
      if (info.getSeverity() == llvm::DS_Error) {
        llvm::raw_string_ostream text(errors);
        llvm::DiagnosticPrinterRawOStream printer(text);
        info.print(printer);
        text << "; ";
      }
      return true;
    }
    std::string errors;
  };

  llvm::LLVMContext &context_;
  std::unique_ptr<llvm::DiagnosticHandler> before_;
  Handler *handler_ = nullptr;
};

// The passes that matter to generated code, in about half the time of LLVM's -O2, whose code is no
// faster here: loops come in the form that the vectoriser wants, are not worth rotating,
// unswitching or unrolling, and nothing is left to inline.
constexpr const char *kPasses =
    "function<eager-inv>(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,"
    "loop-mssa(licm),loop(loop-idiom,indvars,loop-deletion),loop-vectorize,"
    "instcombine<no-verify-fixpoint>,simplifycfg,gvn,loop-mssa(licm))";

std::unique_ptr<llvm::TargetMachine> target_machine(const host::Machine &machine) {
  static std::once_flag initialised;
  std::call_once(initialised, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
  std::string error;
  const llvm::Triple triple(machine.triple);
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  internal_check(target != nullptr, "LLVM has no target " + machine.triple + ": " + error);
  llvm::TargetOptions options;
  return std::unique_ptr<llvm::TargetMachine>(
      target->createTargetMachine(triple, machine.cpu, machine.features, options, llvm::Reloc::PIC_,
                                  llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default, true));
}

void emit_file(llvm::Module &module, const host::Machine &machine, llvm::raw_pwrite_stream &to,
               llvm::CodeGenFileType type) {
  const auto target = target_machine(machine);
  llvm::legacy::PassManager passes;
  internal_check(!target->addPassesToEmitFile(passes, to, nullptr, type),
                 "LLVM cannot emit this kind of file");
  const Diagnostics diagnostics(module);
  passes.run(module);
  diagnostics.check();
}

}  // namespace

void optimise(llvm::Module &module, const host::Machine &machine) {
  const auto target = target_machine(machine);
  module.setDataLayout(target->createDataLayout());
  std::string problem;
  llvm::raw_string_ostream problem_stream(problem);
  if (llvm::verifyModule(module, &problem_stream)) {
    throw InternalError("generated LLVM code is not well formed: " + problem);
  }
  const Diagnostics diagnostics(module);
  code::run_passes(module, *target, kPasses);
  diagnostics.check();
}

std::unique_ptr<llvm::MemoryBuffer> object_of(llvm::Module &module, const host::Machine &machine) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream to(bytes);
  emit_file(module, machine, to, llvm::CodeGenFileType::ObjectFile);
  return std::make_unique<llvm::SmallVectorMemoryBuffer>(std::move(bytes), module.getName(), false);
}

std::string llvm_text(const llvm::Module &module) {
  std::string text;
  llvm::raw_string_ostream to(text);
  module.print(to, nullptr);
  return text;
}

std::string assembly_of(llvm::Module &module, const host::Machine &machine) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream to(bytes);
  emit_file(module, machine, to, llvm::CodeGenFileType::AssemblyFile);
  return {bytes.begin(), bytes.end()};
}

}  // namespace pit::emit
