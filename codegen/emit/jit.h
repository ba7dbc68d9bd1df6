// Generated code in this process.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codegen/host/generate.h"
#include "runtime/pit_runtime.h"

namespace pit::emit {

/// One function of generated code, ready to be called. The code lives as long as this object.
class JitFunction {
 public:
  /// Generates, optimises and links `module`. `machine` may have features that this CPU lacks: then
  /// the function must not be called. PIT_TIME=1 prints what the steps took; PIT_DUMP=llvm, asm or
  /// all writes NAME.llvm.ll and NAME.s to PIT_DUMP_DIR.
  JitFunction(const ir::Module &module, const host::Machine &machine, const host::Variant &variant);
  ~JitFunction();
  JitFunction(const JitFunction &) = delete;
  JitFunction &operator=(const JitFunction &) = delete;

  pit_function entry() const { return entry_; }
  const std::vector<std::string> &messages() const { return messages_; }
  const std::vector<std::pair<std::string, ir::StageKind>> &stages() const { return stages_; }

 private:
  struct Library;
  std::unique_ptr<Library> library_;
  pit_function entry_ = nullptr;
  std::vector<std::string> messages_;
  std::vector<std::pair<std::string, ir::StageKind>> stages_;
};

}  // namespace pit::emit
