// Emits the body of a function: values of expressions, memory, and statements as one thread
// executes them. What a back end does otherwise it overrides.
//   function_emitter.cpp  statements, loops     expressions.cpp  values
//   memory.cpp            addresses, loads, stores, updates
//   captured.cpp          environments          tile_nest.cpp    statements with axes
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "codegen/ir/ir.h"
#include "conversions.h"

namespace pit::code {

/// A storage as generated code sees it. Element i is at base + (i[0] * strides[0] + ...) elements
/// of `type`. The base's address space is that of the memory.
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
  bool in_parallel =
      false;  ///< other threads may run the same statement: atomic updates are needed
};

/// The values in it that are not constants, all of one function, in its order.
std::vector<llvm::Value **> values_of(Environment *environment);

/// Batched: not vectorised, but several iterations at a time, so that their loads wait together.
enum class LoopStyle { Plain, Unrolled, NotVectorized, Batched };

class FunctionEmitter {
 public:
  using Body = std::function<void()>;

  /// `library_prefix`: see emit_function. `innermost`: of the innermost loops of tile statements.
  FunctionEmitter(llvm::Module &module, FloatUnit floats, std::string library_prefix,
                  LoopStyle innermost = LoopStyle::Plain);
  virtual ~FunctionEmitter() = default;
  FunctionEmitter(const FunctionEmitter &) = delete;
  FunctionEmitter &operator=(const FunctionEmitter &) = delete;

 protected:
  friend class TileNest;

  // Statements: those of one thread here; a back end adds the others. The default of what is pure
  // virtual there is an InternalError.
  virtual void emit(const ir::Stmt &s);
  virtual void emit(const ir::For &s);
  virtual void emit(const ir::Axes &s);
  virtual void emit(const ir::Store &s);
  virtual void emit(const ir::Mma &s);  ///< loops
  virtual void emit(const ir::Allocate &s) = 0;
  virtual void emit(const ir::Check &s) = 0;
  virtual void emit(const ir::IndexPlace &s);
  virtual void emit(const ir::IndexSort &s);
  virtual void emit(const ir::Prefix &s);
  virtual void emit(const ir::Compact &s);
  virtual void emit(const ir::SumBefore &s);
  virtual void emit(const ir::FetchAdd &s);
  virtual void emit(const ir::Stage &s);
  virtual void emit(const ir::Launch &s);

  // expressions.cpp
  llvm::Value *value(const Expr &e);
  llvm::Value *index(const Expr &e);  ///< as i64
  llvm::Value *either(llvm::Value *condition, llvm::Type *type,
                      const std::function<llvm::Value *()> &then_value,
                      const std::function<llvm::Value *()> &else_value);
  llvm::Value *combine(Combiner combiner, Type type, llvm::Value *a, llvm::Value *b,
                       bool reassociate);

  // memory.cpp
  StorageValue &storage(const StoragePtr &s);
  llvm::Value *address(const StoragePtr &s, const std::vector<Expr> &indices);
  llvm::Value *load(const StoragePtr &s, llvm::Value *address);
  /// The element that an expression reads.
  virtual llvm::Value *load_element(const Load &e);
  /// Such an element is in a register, or as near as that: reading it is cheap and has no effect.
  virtual bool is_at_hand(const Load &) { return false; }
  /// load_element reads such an element only if `wanted_` holds, without a branch.
  virtual bool reads_where_wanted(const Load &) { return false; }
  /// Here a branch costs more than an exponential or a quotient.
  virtual bool avoids_branches() { return false; }
  void store(const StoragePtr &s, llvm::Value *address, llvm::Value *v);
  void update_atomically(const ir::Store &s, llvm::Value *address, llvm::Value *v);
  /// Tells LLVM what is known of a load or store of the storage.
  virtual void describe_access(llvm::Instruction *access, const StorageNode *s);
  llvm::Value *not_negative(llvm::Value *v);
  /// Extents and strides of compact memory; no base.
  StorageValue compact(Type type, std::vector<llvm::Value *> extents);
  /// The size of compact memory; INT64_MAX when it is larger than that.
  llvm::Value *bytes_of(const StorageValue &v);
  llvm::Value *multiply_sizes(llvm::Value *a, llvm::Value *c);
  llvm::Value *add_sizes(llvm::Value *a, llvm::Value *c);
  /// True when e can be computed here and now: it reads no memory and knows its variables.
  bool evaluable(const Expr &e);

  /// The part of the environment that `statements` and `expressions` use.
  Environment captured(const std::vector<ir::Stmt> &statements,
                       const std::vector<Expr> &expressions) const;

  llvm::AllocaInst *local(llvm::Type *type, const char *name, unsigned alignment = 0);
  void when(llvm::Value *condition, const Body &then_body, const Body &else_body = {});
  /// for i in [0, extent).
  void loop(llvm::Value *extent, const std::string &name, LoopStyle style,
            const std::function<void(llvm::Value *)> &body);
  /// for (i = first; i < extent; i += step); the values are of one type.
  void loop(llvm::Value *first, llvm::Value *extent, llvm::Value *step, const std::string &name,
            LoopStyle style, const std::function<void(llvm::Value *)> &body);

  /// A scope in which values of expressions are remembered; `fresh` scopes do not see what is
  /// outside.
  class Memo {
   public:
    explicit Memo(FunctionEmitter &g, bool fresh = false);
    ~Memo();
    Memo(const Memo &) = delete;
    Memo &operator=(const Memo &) = delete;

   private:
    FunctionEmitter &g_;
    std::vector<std::unordered_map<const ExprNode *, llvm::Value *>> outside_;
    bool fresh_;
  };

  llvm::Value *i64(std::int64_t v) { return b.getInt64(static_cast<std::uint64_t>(v)); }
  llvm::Value *field(llvm::Value *structure, std::size_t offset) {
    return b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), structure, offset);
  }

  llvm::LLVMContext &context_;
  llvm::Module &llvm_;
  llvm::IRBuilder<> b;
  Environment env_;
  const FloatUnit floats_;
  /// What is computed here is only wanted where this holds; null: it is.
  llvm::Value *wanted_ = nullptr;

 private:
  llvm::Value *compute(const Expr &e);
  llvm::Value *compute(const Unary &e);
  llvm::Value *compute(const Binary &e);
  llvm::Value *compute(const Select &e);
  bool may_be_speculated(const Expr &e);
  bool may_be_speculated(const Expr &e, bool where_wanted, int *budget);
  bool may_be_computed_together(const Expr &e);
  llvm::Value *value_where(llvm::Value *wanted, const Expr &e);
  llvm::Value *divide(const Binary &e, llvm::Value *a, llvm::Value *b);

  const std::string library_prefix_;
  const LoopStyle innermost_;
  std::vector<std::unordered_map<const ExprNode *, llvm::Value *>> memo_;
};

}  // namespace pit::code
