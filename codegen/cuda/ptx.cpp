#include "ptx.h"

#include <llvm/Bitcode/BitcodeReader.h>
#include <llvm/Bitcode/BitcodeWriter.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Linker/Linker.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/IPO/Internalize.h>

#include <algorithm>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "codegen/llvm/passes.h"
#include "dsl/error.h"
#include "toolkit.h"

extern "C" {
void LLVMInitializeNVPTXTargetInfo();
void LLVMInitializeNVPTXTarget();
void LLVMInitializeNVPTXTargetMC();
void LLVMInitializeNVPTXAsmPrinter();
}

namespace pit::cuda {

namespace {

std::unique_ptr<llvm::TargetMachine> target_machine(const Device &device) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
  const llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string error;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  internal_check(target != nullptr, "LLVM has no NVPTX back end: " + error);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  return std::unique_ptr<llvm::TargetMachine>(
      target->createTargetMachine(triple, device.cpu, device.features, options, std::nullopt,
                                  std::nullopt, llvm::CodeGenOptLevel::Default));
}

bool needs_libdevice(const llvm::Module &module) {
  for (const llvm::Function &f : module) {
    if (f.isDeclaration() && f.getName().starts_with("__nv_")) return true;
  }
  return false;
}

std::unique_ptr<llvm::MemoryBuffer> libdevice() {
  std::vector<std::string> places;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
  if (const char *named = std::getenv("PIT_LIBDEVICE")) places.emplace_back(named);
  for (std::string &place : toolkit_places("nvvm/libdevice/libdevice.10.bc"))
    places.push_back(std::move(place));
  std::string looked;
  for (const std::string &place : places) {
    if (auto file = llvm::MemoryBuffer::getFile(place)) return std::move(*file);
    looked += (looked.empty() ? "" : ", ") + place;
  }
  throw CompileError(
      "float64 functions and pow need libdevice on a GPU, which comes with the CUDA Toolkit; it is "
      "not in " +
          looked + "; name the file in PIT_LIBDEVICE",
      {});
}

void link_libdevice(llvm::Module &module) {
  if (!needs_libdevice(module)) return;
  auto library = llvm::parseBitcodeFile(*libdevice(), module.getContext());
  if (!library) {
    throw CompileError("libdevice cannot be read: " + llvm::toString(library.takeError()), {});
  }
  (*library)->setTargetTriple(module.getTargetTriple());
  (*library)->setDataLayout(module.getDataLayout());
  const bool failed =
      llvm::Linker::linkModules(module, std::move(*library), llvm::Linker::LinkOnlyNeeded,
                                [](llvm::Module &m, const llvm::StringSet<> &names) {
                                  llvm::internalizeModule(m, [&](const llvm::GlobalValue &v) {
                                    return !v.hasName() || !names.contains(v.getName());
                                  });
                                });
  internal_check(!failed, "libdevice does not link");
}

// What a kernel needs that was emitted by a compiler: loops are unrolled and vectorised by then,
// and nothing but libdevice is called. LLVM's own pipeline takes three times as long, for kernels
// of the same registers.
constexpr const char *kPasses =
    "always-inline,cgscc(inline),globaldce,function(sroa,early-cse<memssa>,simplifycfg,"
    "instcombine<no-verify-fixpoint>,loop-mssa(loop-rotate,licm),loop(indvars,loop-deletion,"
    "loop-unroll-full),sroa,gvn,loop-unroll<O2>,simplifycfg,instcombine<no-verify-fixpoint>,adce)";

std::string emit(llvm::Module &module, const Device &device) {
  const auto machine = target_machine(device);
  module.setDataLayout(machine->createDataLayout());
  link_libdevice(module);
  code::run_passes(module, *machine, kPasses);
  llvm::SmallString<0> text;
  llvm::raw_svector_ostream out(text);
  llvm::legacy::PassManager passes;
  const bool refused =
      machine->addPassesToEmitFile(passes, out, nullptr, llvm::CodeGenFileType::AssemblyFile);
  internal_check(!refused, "LLVM cannot write PTX");
  passes.run(module);
  return std::string(text);
}

// The module of `bitcode`, in a context of its own, with one of its kernels, or with all. Variables
// that are visible outside are the first kernel's, those that are not get names of their own.
std::string emit_kernel(llvm::MemoryBufferRef bitcode, std::optional<std::size_t> kernel,
                        const Device &device) {
  llvm::LLVMContext context;
  const auto module = llvm::cantFail(llvm::getLazyBitcodeModule(bitcode, context));
  std::size_t number = 0;
  for (llvm::Function &f : llvm::make_early_inc_range(*module)) {
    if (!f.isDeclaration() && kernel && number++ != *kernel) f.eraseFromParent();
  }
  llvm::cantFail(module->materializeAll());
  for (llvm::GlobalVariable &v : llvm::make_early_inc_range(module->globals())) {
    if (!kernel) break;
    if (v.hasLocalLinkage()) {
      v.setName(v.getName() + "_" + llvm::Twine(*kernel));
    } else if (*kernel > 0 && v.use_empty()) {
      v.eraseFromParent();
    } else if (*kernel > 0 && v.hasInitializer()) {
      v.setExternallyInitialized(false);
      v.setInitializer(nullptr);
    }
  }
  return emit(*module, device);
}

// Behind the lines that say what a file of PTX is for.
std::string_view without_head(std::string_view ptx) {
  constexpr std::string_view kLast = ".address_size";
  return ptx.substr(ptx.find('\n', ptx.find(kLast)) + 1);
}

}  // namespace

std::future<std::string> start_ptx(const llvm::Module &module, const Device &device) {
  std::string broken;
  llvm::raw_string_ostream problems(broken);
  internal_check(!llvm::verifyModule(module, &problems), "a kernel is no valid LLVM IR: " + broken);
  // Functions of libdevice that are called keep their names: kernels that need them stay together.
  const auto kernels = static_cast<std::size_t>(
      std::ranges::count_if(module, [](const llvm::Function &f) { return !f.isDeclaration(); }));
  const bool together = needs_libdevice(module);
  llvm::SmallString<0> bitcode;
  llvm::raw_svector_ostream out(bitcode);
  llvm::WriteBitcodeToFile(module, out);
  return std::async(std::launch::async, [=, bitcode = std::move(bitcode)] {
    const llvm::MemoryBufferRef buffer(bitcode, "kernels");
    if (together) return emit_kernel(buffer, std::nullopt, device);
    std::vector<std::future<std::string>> others;
    for (std::size_t kernel = 1; kernel < kernels; ++kernel) {
      others.push_back(std::async(std::launch::async,
                                  [&, kernel] { return emit_kernel(buffer, kernel, device); }));
    }
    std::string ptx = emit_kernel(buffer, 0, device);
    for (std::future<std::string> &part : others) ptx += without_head(part.get());
    return ptx;
  });
}

}  // namespace pit::cuda
