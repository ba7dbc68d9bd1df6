// The state of code generation, shared by the files that emit its parts:
//   generator.cpp    the module and its entry          expressions.cpp  scalar values
//   statements.cpp   statements without axes           storages.cpp     addresses, loads and
//   stores, workspaces loops.cpp        loops, serial and parallel        tile_nest.cpp    the loop
//   nest of a statement with axes mma.cpp          Mma; micro_kernel.cpp, pack.cpp   its inner
//   functions; mma_plan.cpp   what of them
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "codegen/ir/ir.h"
#include "generate.h"
#include "machine.h"
#include "mma_plan.h"

namespace pit::host {

/// A storage as generated code sees it. Element i is at base + (i[0] * strides[0] + ...) elements
/// of `type`.
struct StorageValue {
  Type type;
  llvm::Value *base = nullptr;
  std::vector<llvm::Value *> extents, strides;  // i64
  int unit_dimension = -1;
  unsigned alignment = 1;  // of an element
};

struct AxisValue {
  llvm::Value *extent;
  std::int64_t bound;  // 0 = not known
};

/// What names mean at a place of a function.
struct Environment {
  std::unordered_map<const VarNode *, llvm::Value *> variables;
  std::unordered_map<const VarNode *, AxisValue> axes;
  std::unordered_map<const StorageNode *, StorageValue> storages;
  std::unordered_map<const ParamNode *, llvm::Value *> parameters;
  /// Memory that was reserved outside of loops: of Allocates, and of Mmas for packed operands.
  std::unordered_map<const ir::StmtNode *, llvm::Value *> reserved;
  llvm::Value *call = nullptr;
  bool in_parallel = false;
};

enum class LoopStyle { Plain, Unrolled, NotVectorized };

class Generator {
 public:
  Generator(const ir::Module &module, const Machine &machine, const Variant &variant,
            GeneratedModule &result);
  void emit_module();

 private:
  friend class TileNest;
  friend class MmaEmitter;
  using Body = std::function<void()>;

  // generator.cpp
  void emit_entry();
  llvm::Value *status();  // of the call, so far
  StorageValue bind_tensor(llvm::Value *tensor, const StoragePtr &storage, int unit_dimension);
  llvm::Function *make_function(llvm::FunctionType *type, const std::string &name, bool external);
  llvm::Function *kernel(const Kernel &kernel);
  llvm::FunctionCallee runtime(const char *name, llvm::Type *result,
                               std::vector<llvm::Type *> parameters);
  void make_alias_scopes();

  // statements.cpp
  void emit(const ir::Stmt &s);
  void emit(const ir::For &s);
  void emit(const ir::Axes &s);
  void emit(const ir::Allocate &s);
  void emit(const ir::Check &s);
  void emit(const ir::IndexPlace &s);
  void emit(const ir::IndexSort &s);
  void emit(const ir::Prefix &s);
  void emit(const ir::Stage &s);
  void emit(const ir::Store &s);
  void emit(const ir::Mma &s);
  void report(const ir::Check &s);

  // expressions.cpp
  llvm::Value *value(const Expr &e);
  llvm::Value *index(const Expr &e);  // as i64
  llvm::Value *compute(const Expr &e);
  llvm::Value *compute(const Unary &e);
  llvm::Value *compute(const Binary &e);
  llvm::Value *compute(const Select &e);
  llvm::Value *divide(const Binary &e, llvm::Value *a, llvm::Value *b);
  llvm::Value *either(llvm::Value *condition, llvm::Type *type,
                      const std::function<llvm::Value *()> &then_value,
                      const std::function<llvm::Value *()> &else_value);
  llvm::Value *combine(Combiner combiner, Type type, llvm::Value *a, llvm::Value *b,
                       bool reassociate);

  // storages.cpp
  StorageValue &storage(const StoragePtr &s);
  llvm::Value *address(const StoragePtr &s, const std::vector<Expr> &indices);
  llvm::Value *load(const StoragePtr &s, llvm::Value *address);
  void store(const StoragePtr &s, llvm::Value *address, llvm::Value *v);
  void update_atomically(const ir::Store &s, llvm::Value *address, llvm::Value *v);
  void describe_access(llvm::Instruction *access, const StorageNode *s);
  llvm::Value *not_negative(llvm::Value *v);
  StorageValue shape_of(const ir::Allocate &s);
  llvm::Value *multiply_sizes(llvm::Value *a, llvm::Value *c);
  llvm::Value *add_sizes(llvm::Value *a, llvm::Value *c);
  llvm::Value *allocated_extent(const Expr &e);
  llvm::Value *bytes_of(const ir::Allocate &s);
  llvm::Value *bytes_of(const ir::Allocate &s, const StorageValue &v);
  std::optional<std::int64_t> static_bytes_of(const ir::Allocate &s);
  bool evaluable(const Expr &e);
  void with_workspace(llvm::Value *bytes, const std::function<void(llvm::Value *)> &body);
  /// Reserves the memory of what `statements` allocate, as far as its size is known here, for the
  /// time of `body`.
  void with_reservations(const ir::Stmt &statements, const Body &body);

  // loops.cpp
  llvm::AllocaInst *local(llvm::Type *type, const char *name, unsigned alignment = 0);
  void when(llvm::Value *condition, const Body &then_body, const Body &else_body = {});
  /// for i in [0, extent).
  void loop(llvm::Value *extent, const std::string &name, LoopStyle style,
            const std::function<void(llvm::Value *)> &body);
  /// `loops`, from which a Check that fails leaves at once.
  void until_failure(const Body &loops);
  void parallel(const ir::For &s);
  Environment captured(const std::vector<ir::Stmt> &statements,
                       const std::vector<Expr> &expressions) const;

  /// A scope in which values of expressions are remembered; `fresh` scopes do not see what is
  /// outside.
  class Memo {
   public:
    explicit Memo(Generator &g, bool fresh = false);
    ~Memo();
    Memo(const Memo &) = delete;
    Memo &operator=(const Memo &) = delete;

   private:
    Generator &g_;
    std::vector<std::unordered_map<const ExprNode *, llvm::Value *>> outside_;
    bool fresh_;
  };

  llvm::Value *i64(std::int64_t v) { return b.getInt64(static_cast<std::uint64_t>(v)); }
  llvm::Value *field(llvm::Value *structure, std::size_t offset);

  const ir::Module &module_;
  const Machine &machine_;
  const Variant &variant_;
  GeneratedModule &result_;
  llvm::LLVMContext &context_;
  llvm::Module &llvm_;
  llvm::IRBuilder<> b;
  Environment env_;
  std::vector<std::unordered_map<const ExprNode *, llvm::Value *>> memo_;
  std::unordered_map<const ir::StmtNode *, MmaPlan> mma_plans_;
  std::unordered_map<const StorageNode *, const ir::Store *> packed_operands_;
  struct AliasScope {
    llvm::MDNode *own, *others;
  };
  std::unordered_map<const StorageNode *, AliasScope> alias_scopes_;
  std::unordered_map<const StorageNode *, bool> is_input_;
  llvm::BasicBlock *left_ = nullptr;  // where a Check that fails goes on; null: behind itself
  std::int64_t stack_bytes_ = 0;      // of the current function
  int bodies_ = 0;                    // functions of parallel loops
};

}  // namespace pit::host
