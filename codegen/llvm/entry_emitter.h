// Emits the entry of an operator: a function of type pit_function that runs on the host, binds its
// arguments and executes the module's outermost statements.
#pragma once

#include "entry.h"
#include "function_emitter.h"

namespace pit::code {

/// Tensors and scalars of the entry come in the order of module.inputs, module.outputs and
/// module.scalars.
class EntryEmitter : public FunctionEmitter {
 protected:
  EntryEmitter(const ir::Module &module, const Variant &variant, Entry *entry,
               llvm::Module &llvm_module, FloatUnit floats);

  using FunctionEmitter::emit;
  void emit(const ir::Store &s) override;
  void emit(const ir::Check &s) override;
  void emit(const ir::Stage &s) override;
  void emit(const ir::For &s) override;

  static llvm::FunctionType *entry_type(llvm::LLVMContext &context);
  /// The body of `function`, of entry_type.
  void emit_entry(llvm::Function *function);
  /// What surrounds the module's body in the entry.
  virtual void emit_body() { emit(module_.body); }
  /// What a stage is timed around.
  virtual void emit_timed(std::size_t stage, const Body &body);
  llvm::Value *status();  ///< of the call, so far
  llvm::FunctionCallee runtime(const char *name, llvm::Type *result,
                               std::vector<llvm::Type *> parameters);
  /// Calls pit_report with the number of the check's message and its values.
  void report(const ir::Check &s);
  /// `loops`, from which a Check that fails leaves at once.
  void until_failure(const Body &loops);
  /// True when nothing would be missed if a Check that fails left `s` at once.
  static bool only_checks(const ir::Stmt &s);

  const ir::Module &module_;
  const Variant &variant_;
  Entry &entry_;
  llvm::Value *call_ = nullptr;
  llvm::BasicBlock *left_ = nullptr;  // where a Check that fails goes on; null: behind itself

 private:
  StorageValue bind_tensor(llvm::Value *tensor, const StoragePtr &storage, int unit_dimension);
};

}  // namespace pit::code
