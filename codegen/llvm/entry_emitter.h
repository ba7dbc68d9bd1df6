// Emits the entry of an operator: a function of type pit_function that runs on the host, binds its
// arguments and executes the module's outermost statements.
#pragma once

#include <compare>
#include <string>
#include <utility>
#include <vector>

#include "function_emitter.h"

namespace pit::code {

/// What generated code takes for granted about the memory of its tensors. Code is right only for
/// calls that keep it.
struct Variant {
  /// For each input, then each output: the dimension whose stride is 1 (or whose extent is at most
  /// 1), or -1.
  std::vector<int> unit_dimension;
  /// False: no output shares memory with an input.
  bool outputs_overlap_inputs = false;

  auto operator<=>(const Variant &) const = default;
};

/// The variant for compact row-major tensors.
Variant row_major_variant(const ir::Module &module);

/// An entry and what its calls report.
struct Entry {
  std::string symbol;
  std::vector<std::string> messages;  ///< of Checks, by pit_call::check
  /// Stages in the order of pit_call::stage_nanoseconds.
  std::vector<std::pair<std::string, ir::StageKind>> stages;
};

/// "pit_" and the module's name as an identifier of C.
std::string symbol_of(const ir::Module &module);

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
