// Expressions of the IR, compiled to trees of slots and evaluated on the interpreter's memory.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "dsl/expr.h"
#include "memory.h"
#include "value.h"

namespace pit::ir {

/// What expressions read: the values of variables and parameters, and the storages that exist now.
/// A copy starts with the same values and storages and then has its own, for a part of the program
/// that runs interleaved with others; iterations, compiled code and failure are shared.
class Evaluator {
 public:
  /// The place of a variable's value; made when it is first asked for.
  Value &variable(const VarPtr &var) {
    return at(&variables_, slot(&shared_->variable_slots, var.get()));
  }
  Value &parameter(const ParamPtr &param) {
    return at(&parameters_, slot(&shared_->parameter_slots, param.get()));
  }
  /// Which buffer a storage is now; null = none.
  std::shared_ptr<Buffer> &buffer_slot(const StoragePtr &storage) {
    return at(&buffers_, slot(&shared_->buffer_slots, storage.get()));
  }
  /// The buffer of a storage; AccessError when it does not exist here.
  Buffer &buffer(const StoragePtr &storage);

  /// Evaluates e. AccessError for what the module may not do.
  Value operator()(const Expr &e) { return evaluate(compiled(e)); }

  struct Code;

 private:
  struct Shared {
    std::unordered_map<const void *, std::size_t> variable_slots, parameter_slots, buffer_slots;
    std::unordered_map<const ExprNode *, std::unique_ptr<const Code>> codes;
    ParallelIterations iterations;
    bool allow_undefined = false;
    ~Shared();
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();

 public:
  ParallelIterations &iterations = shared_->iterations;
  /// After a failed Check results are discarded: undefined elements read as they are.
  bool &allow_undefined = shared_->allow_undefined;

  /// The compiled form of e, which must stay alive; compiled once.
  const Code &compiled(const Expr &e);
  Value evaluate(const Code &code);
  /// The place of storage[indices]; the indices are evaluated.
  Place place(Buffer &buffer, const std::vector<const Code *> &indices);

  /// While set, an iteration of statement execution `store_execution` runs, which stores this
  /// element of this buffer; loads of other elements may not be of those that it stores elsewhere.
  const Buffer *stored_buffer = nullptr;
  std::int64_t stored_element = 0;
  std::uint32_t store_execution = 0;

 private:
  std::vector<Value> variables_, parameters_;
  std::vector<std::shared_ptr<Buffer>> buffers_;

  static std::size_t slot(std::unordered_map<const void *, std::size_t> *slots,
                          const void *identity) {
    return slots->emplace(identity, slots->size()).first->second;
  }
  template <class T>
  static T &at(std::vector<T> *values, std::size_t slot) {
    if (slot >= values->size()) values->resize(slot + 1);
    return (*values)[slot];
  }
  std::unique_ptr<const Code> compile(const Expr &e);
  Buffer &existing(std::size_t slot, const StorageNode &storage);
  Value load(const Code &code);
};

struct Evaluator::Code {
  ExprKind kind;
  Type type;
  Type operand_type{};  ///< Unary, Binary, Cast: the first operand's
  UnaryOp unary{};
  BinaryOp binary{};
  std::size_t slot = 0;  ///< of the variable, parameter or storage
  const StorageNode *storage = nullptr;
  int dimension = 0;
  Value constant = integer_value(0);
  std::vector<std::unique_ptr<const Code>> operands;
};

/// The largest rank that the interpreter handles.
inline constexpr std::size_t kMaxRank = 16;

}  // namespace pit::ir
