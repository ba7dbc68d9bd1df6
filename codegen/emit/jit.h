// Generated code in this process.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codegen/cuda/device.h"
#include "codegen/host/generate.h"
#include "codegen/lower/dump.h"
#include "runtime/pit_call.h"
#include "runtime/pit_cuda.h"

namespace pit::emit {

/// The entry of an operator in this process, ready to be called. The code lives as long as this
/// object.
class JitFunction {
 public:
  virtual ~JitFunction();
  JitFunction(const JitFunction &) = delete;
  JitFunction &operator=(const JitFunction &) = delete;

  pit_function entry() const { return entry_; }
  const code::Entry &description() const { return description_; }

 protected:
  JitFunction();
  /// A name that linked code uses, and what it stands for.
  using Symbol = std::pair<std::string, void *>;
  /// Optimises `module` and links it to the runtime, to `kernels` and to `symbols`.
  void link(llvm::Module &module, const host::Machine &machine,
            const std::vector<host::Kernel> &kernels, code::Entry description,
            const std::vector<Symbol> &symbols, lower::StepTimer *timer);

 private:
  struct Library;
  std::unique_ptr<Library> library_;
  pit_function entry_ = nullptr;
  code::Entry description_;
};

/// An operator for the host. `machine` may have features that this CPU lacks: then the function
/// must not be called. PIT_TIME=1 prints what the steps took; PIT_DUMP=llvm, asm or all writes
/// NAME.llvm.ll and NAME.s to PIT_DUMP_DIR.
class HostFunction final : public JitFunction {
 public:
  HostFunction(const ir::Module &module, const host::Machine &machine,
               const host::Variant &variant);
};

/// An operator for a CUDA device, which need not exist here. The kernels are loaded at the first
/// call. PIT_DUMP=llvm, ptx or all writes NAME.llvm.ll (the entry) and NAME.ptx.
class CudaFunction final : public JitFunction {
 public:
  CudaFunction(const ir::Module &module, const cuda::Device &device, const code::Variant &variant);
  ~CudaFunction() override;
  const std::string &ptx() const { return ptx_; }

 private:
  std::string name_, ptx_;
  std::vector<std::string> kernels_;
  std::vector<const char *> kernel_names_, message_texts_;
  pit_cuda_image image_{};
};

}  // namespace pit::emit
