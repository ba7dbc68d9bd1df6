#include "jit.h"

#include <llvm/ExecutionEngine/Orc/AbsoluteSymbols.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <future>
#include <list>
#include <mutex>
#include <set>

#include "codegen/cuda/generate.h"
#include "codegen/cuda/ptx.h"
#include "codegen/host/kernel_code.h"
#include "codegen/lower/dump.h"
#include "dsl/error.h"
#include "listing.h"
#include "optimise.h"

namespace pit::emit {

namespace {

namespace orc = llvm::orc;

template <class T>
T check(llvm::Expected<T> result) {
  if (!result) throw InternalError("linking generated code: " + llvm::toString(result.takeError()));
  if constexpr (std::is_reference_v<T>) {
    return *result;
  } else {
    return std::move(*result);
  }
}

void check(llvm::Error error) {
  if (error) throw InternalError("linking generated code: " + llvm::toString(std::move(error)));
}

// The process's linker. It lives as long as the process, so that functions may be released at any
// time before its end.
class Linker {
 public:
  static Linker &instance() {
    static auto *linker = new Linker;  // NOLINT: never destroyed
    return *linker;
  }

  // All that generated code may call.
  orc::SymbolMap runtime_symbols() {
    orc::SymbolMap symbols;
    const auto add = [&](const char *name, auto *function) {
      symbols[jit_->mangleAndIntern(name)] = {orc::ExecutorAddr::fromPtr(function),
                                              llvm::JITSymbolFlags::Exported};
    };
    add("pit_parallel_for", &pit_parallel_for);
    add("pit_workspace", &pit_workspace);
    add("pit_workspace_release", &pit_workspace_release);
    add("pit_report", &pit_report);
    add("pit_nanoseconds", &pit_nanoseconds);
    add("pit_index_place", &pit_index_place);
    add("pit_index_sort", &pit_index_sort);
    add("pit_prefix", &pit_prefix);
    add("pit_cuda_begin", &pit_cuda_begin);
    add("pit_cuda_end", &pit_cuda_end);
    add("pit_cuda_launch", &pit_cuda_launch);
    add("pit_cuda_resident_blocks", &pit_cuda_resident_blocks);
    add("pit_cuda_tensor_map", &pit_cuda_tensor_map);
    add("pit_cuda_workspace", &pit_cuda_workspace);
    add("pit_cuda_workspace_release", &pit_cuda_workspace_release);
    add("pit_cuda_stage_begin", &pit_cuda_stage_begin);
    add("pit_cuda_stage_end", &pit_cuda_stage_end);
    add("pit_cuda_copy", &pit_cuda_copy);
    add("memcpy", static_cast<void *(*)(void *, const void *, std::size_t)>(&std::memcpy));
    add("memmove", static_cast<void *(*)(void *, const void *, std::size_t)>(&std::memmove));
    add("memset", static_cast<void *(*)(void *, int, std::size_t)>(&std::memset));
    add("memcmp", static_cast<int (*)(const void *, const void *, std::size_t)>(&std::memcmp));
    using Function = double (*)(double);
    add("exp", static_cast<Function>(&std::exp));
    add("log", static_cast<Function>(&std::log));
    add("tanh", static_cast<Function>(&std::tanh));
    add("erf", static_cast<Function>(&std::erf));
    add("sin", static_cast<Function>(&std::sin));
    add("cos", static_cast<Function>(&std::cos));
    add("pow", static_cast<double (*)(double, double)>(&std::pow));
    add("powf", static_cast<float (*)(float, float)>(&::powf));
    // What the optimiser may make of pow.
    add("exp2", static_cast<Function>(&std::exp2));
    add("exp2f", static_cast<float (*)(float)>(&::exp2f));
    add("exp10", &::exp10);
    add("exp10f", &::exp10f);
    add("cbrt", static_cast<Function>(&std::cbrt));
    add("cbrtf", static_cast<float (*)(float)>(&::cbrtf));
    add("ldexp", static_cast<double (*)(double, int)>(&std::ldexp));
    add("ldexpf", static_cast<float (*)(float, int)>(&::ldexpf));
    add("expf", static_cast<float (*)(float)>(&::expf));
    add("log2", static_cast<Function>(&std::log2));
    add("sincos", &::sincos);
    return symbols;
  }

  /// Links an operator's code, which uses the runtime, `kernels` and `symbols`.
  orc::JITDylib &link(std::unique_ptr<llvm::MemoryBuffer> object, const host::Machine &machine,
                      const std::vector<host::Kernel> &kernels,
                      const std::vector<std::pair<std::string, void *>> &symbols) {
    const std::string name = "pit" + std::to_string(next_++);
    orc::JITDylib &library = check(jit_->getExecutionSession().createJITDylib(name));
    library.addToLinkOrder(*runtime_);
    if (!kernels.empty()) library.addToLinkOrder(kernels_of(machine, kernels));
    orc::SymbolMap own;
    for (const auto &[symbol, place] : symbols) {
      own[jit_->mangleAndIntern(symbol)] = {orc::ExecutorAddr::fromPtr(place),
                                            llvm::JITSymbolFlags::Exported};
    }
    if (!own.empty()) check(library.define(orc::absoluteSymbols(own)));
    check(jit_->addObjectFile(library, std::move(object)));
    return library;
  }

  pit_function find(orc::JITDylib &library, const std::string &symbol) {
    return check(jit_->lookup(library, symbol)).toPtr<pit_function>();
  }

  void unlink(orc::JITDylib &library) {
    llvm::consumeError(jit_->getExecutionSession().removeJITDylib(library));
  }

 private:
  // Kernels of one machine, made when first called for; they stay.
  struct KernelLibrary {
    host::Machine machine;
    orc::JITDylib *library;
    std::set<std::string> made;
  };

  orc::JITDylib &kernels_of(host::Machine machine, const std::vector<host::Kernel> &kernels) {
    machine.threads = machine.profile = false;  // no matter to a kernel
    const std::scoped_lock lock(kernels_mutex_);
    auto it = std::ranges::find_if(
        kernels_, [&](const KernelLibrary &known) { return known.machine == machine; });
    if (it == kernels_.end()) {
      const std::string name = "kernels" + std::to_string(kernels_.size());
      orc::JITDylib &library = check(jit_->getExecutionSession().createJITDylib(name));
      library.addToLinkOrder(*runtime_);
      it = kernels_.insert(it, {machine, &library, {}});
    }
    for (const host::Kernel &kernel : kernels) {
      if (it->made.contains(kernel.name)) continue;
      const host::KernelModule code = host::generate_kernel(kernel, machine);
      optimise(*code.module, machine);
      check(jit_->addObjectFile(*it->library, object_of(*code.module, machine)));
      it->made.insert(kernel.name);
    }
    return *it->library;
  }

  Linker() {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    jit_ = check(orc::LLJITBuilder().create());
    runtime_ = &check(jit_->getExecutionSession().createJITDylib("runtime"));
    check(runtime_->define(orc::absoluteSymbols(runtime_symbols())));
  }

  std::unique_ptr<orc::LLJIT> jit_;
  orc::JITDylib *runtime_ = nullptr;
  std::atomic<unsigned> next_{0};
  std::mutex kernels_mutex_;
  std::list<KernelLibrary> kernels_;
};

}  // namespace

struct JitFunction::Library {
  explicit Library(orc::JITDylib &l) : library(&l) {}
  ~Library() { Linker::instance().unlink(*library); }
  Library(const Library &) = delete;
  Library &operator=(const Library &) = delete;
  orc::JITDylib *library;
};

JitFunction::JitFunction() = default;
JitFunction::~JitFunction() = default;

void JitFunction::link(llvm::Module &module, const host::Machine &machine,
                       const std::vector<host::Kernel> &kernels, code::Entry description,
                       const std::vector<Symbol> &symbols, lower::StepTimer *timer) {
  optimise(module, machine);
  timer->step_ends("optimisation");
  auto object = object_of(module, machine);
  timer->step_ends("machine code");
  library_ = std::make_unique<Library>(
      Linker::instance().link(std::move(object), machine, kernels, symbols));
  entry_ = Linker::instance().find(*library_->library, description.symbol);
  description_ = std::move(description);
  timer->step_ends("linking");
}

HostFunction::HostFunction(const ir::Module &module, const host::Machine &machine,
                           const host::Variant &variant) {
  lower::StepTimer timer(module.name);
  host::GeneratedModule generated = host::generate(module, machine, variant);
  timer.step_ends("LLVM code generation");
  if (lower::dump_wanted("llvm") || lower::dump_wanted("asm")) {
    // Emitting changes a module.
    host::GeneratedModule again = host::generate(module, machine, variant);
    optimise(*again.module, machine);
    if (lower::dump_wanted("llvm"))
      lower::write_dump(module.name + ".llvm.ll", llvm_text(*again.module));
    if (lower::dump_wanted("asm")) {
      std::string text = assembly_of(*again.module, machine);
      for (const host::Kernel &kernel : again.kernels) text += assembly_of(kernel, machine);
      lower::write_dump(module.name + ".s", text);
    }
  }
  link(*generated.module, machine, generated.kernels, std::move(generated.entry), {}, &timer);
}

CudaFunction::CudaFunction(const ir::Module &module, const cuda::Device &device,
                           const code::Variant &variant)
    : name_(module.name) {
  lower::StepTimer timer(module.name);
  cuda::GeneratedModules generated = cuda::generate(module, device, variant);
  timer.step_ends("LLVM code generation");
  if (lower::dump_wanted("llvm")) {
    lower::write_dump(module.name + ".llvm.ll", llvm_text(*generated.host));
    lower::write_dump(module.name + ".cuda.ll", llvm_text(*generated.device));
  }
  std::future<std::string> ptx = cuda::start_ptx(*generated.device, device);
  kernels_ = std::move(generated.kernels);
  link(*generated.host, host::machine_of(Target("host")), {}, std::move(generated.entry),
       {{generated.image_symbol, &image_}}, &timer);
  ptx_ = ptx.get();
  timer.step_ends("PTX, made beside");
  if (lower::dump_wanted("ptx")) lower::write_dump(module.name + ".ptx", ptx_);
  for (const std::string &kernel : kernels_) kernel_names_.push_back(kernel.c_str());
  for (const std::string &message : description().messages)
    message_texts_.push_back(message.c_str());
  image_.name = name_.c_str();
  image_.ptx = ptx_.c_str();
  image_.architecture = device.architecture;
  image_.architecture_specific = device.specific ? 1 : 0;
  image_.kernels = kernel_names_.data();
  image_.kernel_count = static_cast<std::int32_t>(kernel_names_.size());
  image_.messages = message_texts_.data();
  image_.message_count = static_cast<std::int32_t>(message_texts_.size());
}

CudaFunction::~CudaFunction() { pit_cuda_image_release(&image_); }

}  // namespace pit::emit
