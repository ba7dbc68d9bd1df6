// The state of code generation for a host CPU, shared by the files that emit its parts:
//   generator.cpp   the module             statements.cpp  stores and the statements of indices
//   storages.cpp    workspaces             loops.cpp       parallel loops
//   mma.cpp         Mma                    mma_plan.cpp    what of it is done how
//   micro_kernel.cpp, pack.cpp, gather.cpp its inner functions
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "codegen/ir/ir.h"
#include "codegen/llvm/entry_emitter.h"
#include "generate.h"
#include "machine.h"
#include "mma_plan.h"
#include "workspace_size.h"

namespace pit::host {

using code::Environment;
using code::LoopStyle;
using code::StorageValue;

class Generator : public code::EntryEmitter {
 public:
  Generator(const ir::Module &module, const Machine &machine, const Variant &variant,
            GeneratedModule &result);
  void emit_module();

 private:
  friend class MmaEmitter;

  // generator.cpp
  llvm::Function *make_function(llvm::FunctionType *type, const std::string &name, bool external);
  llvm::Function *kernel(const Kernel &kernel);
  void make_alias_scopes();
  void describe_access(llvm::Instruction *access, const StorageNode *s) override;
  void emit_body() override;

  // statements.cpp, mma.cpp
  using EntryEmitter::emit;
  void emit(const ir::Store &s) override;
  void emit(const ir::Mma &s) override;
  void emit(const ir::IndexPlace &s) override;
  void emit(const ir::IndexSort &s) override;
  void emit(const ir::Prefix &s) override;

  // storages.cpp
  void emit(const ir::Allocate &s) override;
  StorageValue shape_of(const ir::Allocate &s);
  llvm::Value *allocated_extent(const Expr &e);
  llvm::Value *bytes_of(const ir::Allocate &s);
  llvm::Value *bytes_of(const ir::Allocate &s, const StorageValue &v);
  std::optional<std::int64_t> static_bytes_of(const ir::Allocate &s);
  /// What a call that only asks for sizes does in place of the module's body.
  void emit_size();
  llvm::Value *size_of(const std::vector<WorkspacePart> &parts);
  void with_workspace(llvm::Value *bytes, const std::function<void(llvm::Value *)> &body);
  /// Reserves the memory of what `statements` allocate, as far as its size is known here, for the
  /// time of `body`.
  void with_reservations(const ir::Stmt &statements, const Body &body);

  // loops.cpp
  void emit(const ir::For &s) override;
  void parallel(const ir::For &s);

  const Machine &machine_;
  GeneratedModule &result_;
  /// Memory that was reserved outside of loops: of Allocates, and of Mmas for packed operands.
  using Reserved = std::unordered_map<const ir::StmtNode *, llvm::Value *>;
  Reserved reserved_;
  std::unordered_map<const ir::StmtNode *, MmaPlan> mma_plans_;
  std::unordered_map<const StorageNode *, const ir::Store *> packed_operands_;
  struct AliasScope {
    llvm::MDNode *own, *others;
  };
  std::unordered_map<const StorageNode *, AliasScope> alias_scopes_;
  std::unordered_map<const StorageNode *, bool> is_input_;
  std::int64_t stack_bytes_ = 0;  // of the current function
  int bodies_ = 0;                // functions of parallel loops
};

}  // namespace pit::host
