#include "objects.h"

#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/MemoryBuffer.h>

#include <future>
#include <set>

#include "codegen/cuda/generate.h"
#include "codegen/cuda/ptx.h"
#include "codegen/cuda/toolkit.h"
#include "codegen/host/generate.h"
#include "codegen/host/kernel_code.h"
#include "constants.h"
#include "optimise.h"

namespace pit::emit {

namespace {

// Letters that symbols have.
std::string as_symbol(std::string text) {
  for (char &c : text) {
    const bool fits = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!fits) c = '_';
  }
  return text;
}

// What one layout of tensors needs.
code::Variant any_layout(const ir::Module &module, bool elementwise) {
  code::Variant variant = code::row_major_variant(module);
  for (int &dimension : variant.unit_dimension) dimension = -1;
  variant.outputs_overlap_inputs = elementwise;
  return variant;
}

class Compiler {
 public:
  Compiler(const ir::Module &module, const Target &target)
      : module_(module),
        target_(target),
        symbol_(code::symbol_of(module) + "_" + as_symbol(short_name(target))),
        machine_(host::portable_machine_of(target.is_cuda() ? Target("x86-64-linux") : target)) {}

  TargetCode run(bool elementwise) {
    result_.row_major = symbol_ + "_row_major";
    result_.any = symbol_ + "_any";
    const code::Variant usual = code::row_major_variant(module_);
    const code::Variant any = any_layout(module_, elementwise);
    if (target_.is_cuda()) {
      // Assembling takes longer than all else.
      std::future<CudaPart> other =
          std::async(std::launch::async, [&] { return compile_cuda("any", any); });
      CudaPart part = compile_cuda("row_major", usual);
      result_.entry = std::move(part.entry);
      result_.llvm = std::move(part.llvm);
      result_.ptx = std::move(part.ptx);
      result_.cubin = std::move(part.cubin);
      result_.objects = {std::move(part.object), other.get().object};
    } else {
      add_host("row_major", usual);
      add_host("any", any);
    }
    return std::move(result_);
  }

 private:
  const ir::Module &module_;
  const Target &target_;
  std::string symbol_;
  host::Machine machine_;
  TargetCode result_;
  std::set<std::string> kernels_;

  // Links may name it, programs may not: operators of other builds have symbols of the same name.
  static void rename(llvm::GlobalValue *value, const std::string &name) {
    value->setName(name);
    value->setVisibility(llvm::GlobalValue::HiddenVisibility);
    value->setDSOLocal(true);
  }

  Object object(const std::string &part, llvm::Module &module) const {
    optimise(module, machine_);
    const auto bytes = object_of(module, machine_);
    return {module_.name + "." + short_name(target_) + "." + part + ".o", bytes->getBuffer().str()};
  }

  void add_host(const char *part, const code::Variant &variant) {
    const host::GeneratedModule generated = host::generate(module_, machine_, variant);
    if (result_.llvm.empty()) {  // the first is row_major
      result_.entry = generated.entry;
      result_.llvm = llvm_text(*generated.module);
    }
    rename(generated.module->getFunction(generated.entry.symbol), symbol_ + "_" + part);
    for (const host::Kernel &kernel : generated.kernels) {
      const std::string name = symbol_ + "_" + as_symbol(kernel.name);
      if (llvm::Function *called = generated.module->getFunction(kernel.name)) rename(called, name);
      if (!kernels_.insert(kernel.name).second) continue;
      const host::KernelModule code = host::generate_kernel(kernel, machine_);
      rename(code.module->getFunction(kernel.name), name);
      result_.objects.push_back(object(kernel.name, *code.module));
    }
    result_.objects.push_back(object(part, *generated.module));
  }

  struct CudaPart {
    code::Entry entry;
    std::string llvm, ptx, cubin;
    Object object;
  };

  CudaPart compile_cuda(const char *name, const code::Variant &variant) const {
    const cuda::Device device = cuda::device_of(target_);
    cuda::GeneratedModules generated = cuda::generate(module_, device, variant);
    CudaPart part{generated.entry, llvm_text(*generated.device), {}, {}, {}};
    part.ptx = cuda::start_ptx(*generated.device, device).get();
    part.cubin = cuda::assembled(part.ptx, device,
                                 "pipeline " + module_.name + ": target " + target_.to_string());
    rename(generated.host->getFunction(generated.entry.symbol), symbol_ + "_" + name);
    define_image(generated, device, part.ptx, part.cubin);
    part.object = object(name, *generated.host);
    return part;
  }

  // The pit_cuda_image that the entry refers to.
  void define_image(const cuda::GeneratedModules &generated, const cuda::Device &device,
                    const std::string &ptx, const std::string &cubin) const {
    Constants c(*generated.host);
    std::vector<llvm::Constant *> kernels, messages;
    for (const std::string &kernel : generated.kernels) kernels.push_back(c.text(kernel));
    for (const std::string &message : generated.entry.messages) messages.push_back(c.text(message));
    llvm::Constant *image =
        c.structure({c.text(module_.name), c.text(ptx), cubin.empty() ? c.null() : c.bytes(cubin),
                     c.i64(static_cast<std::int64_t>(cubin.size())), c.i32(device.architecture),
                     c.i32(device.specific ? 1 : 0), c.list(kernels), c.i32(kernels.size()),
                     c.list(messages), c.i32(messages.size()), c.null(), c.i32(0), c.null()});
    auto *declared = generated.host->getNamedGlobal(generated.image_symbol);
    auto *defined = new llvm::GlobalVariable(*generated.host, image->getType(), false,
                                             llvm::GlobalValue::InternalLinkage, image, "image");
    defined->setAlignment(llvm::Align(8));
    declared->replaceAllUsesWith(defined);
    declared->eraseFromParent();
  }
};

}  // namespace

std::string short_name(const Target &target) {
  const std::string text = target.to_string(), base = "x86-64-linux";
  return text.size() > base.size() ? text.substr(base.size() + 1) : "x86-64";
}

TargetCode compile_objects(const ir::Module &module, const Target &target, bool elementwise) {
  return Compiler(module, target).run(elementwise);
}

}  // namespace pit::emit
