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
class Evaluator {
 public:
  /// The place of a variable's value; made when it is first asked for.
  Value &variable(const VarPtr &var) {
    return variables_[slot(&variable_slots_, &variables_, var.get())];
  }
  Value &parameter(const ParamPtr &param) {
    return parameters_[slot(&parameter_slots_, &parameters_, param.get())];
  }
  /// Which buffer a storage is now; null = none.
  std::unique_ptr<Buffer> &buffer_slot(const StoragePtr &storage) {
    return buffers_[slot(&buffer_slots_, &buffers_, storage.get())];
  }
  /// The buffer of a storage; AccessError when it does not exist here.
  Buffer &buffer(const StoragePtr &storage);

  ParallelIterations iterations;

  /// Evaluates e. AccessError for what the module may not do.
  Value operator()(const Expr &e) { return evaluate(compiled(e)); }

  struct Code;
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
  /// After a failed Check results are discarded: undefined elements read as they are.
  bool allow_undefined = false;

 private:
  std::unordered_map<const void *, std::size_t> variable_slots_, parameter_slots_, buffer_slots_;
  std::vector<Value> variables_, parameters_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::unordered_map<const ExprNode *, std::unique_ptr<const Code>> codes_;

  template <class T>
  static std::size_t slot(std::unordered_map<const void *, std::size_t> *slots,
                          std::vector<T> *values, const void *identity) {
    const auto [found, is_new] = slots->emplace(identity, values->size());
    if (is_new) values->emplace_back();
    return found->second;
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
