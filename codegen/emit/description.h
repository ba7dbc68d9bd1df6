// What an operator is, as the runtime's C structures say it.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "codegen/ir/ir.h"
#include "codegen/llvm/entry.h"
#include "dsl/callable.h"
#include "dsl/target.h"
#include "runtime/pit_runtime.h"

namespace pit::emit {

/// An operator without code, and the description of its code for each target that is added. Owns
/// all that the structures point to.
class Description {
 public:
  explicit Description(const OperatorInfo &info);
  Description(const Description &) = delete;
  Description &operator=(const Description &) = delete;

  /// Behind those that are there. `entry`: of either function.
  void add(const Target &target, const ir::Module &module, const code::Entry &entry,
           pit_function row_major = nullptr, pit_function any = nullptr);

  /// Valid until the next `add`, and as long as this object.
  const pit_operator &op() const { return op_; }

 private:
  const char *keep(std::string text) { return texts_.emplace_back(std::move(text)).c_str(); }

  /// Null: none is declared.
  const std::int64_t *keep_declared(std::vector<std::int64_t> numbers, std::int32_t rank);

  pit_operator op_{};
  std::vector<pit_argument> arguments_;
  std::vector<pit_code> codes_;
  std::deque<std::string> texts_;
  std::deque<std::vector<std::int64_t>> declared_;
  std::deque<std::vector<const char *>> lists_;
  std::deque<std::vector<pit_stage>> stages_;
  std::deque<std::vector<pit_note>> notes_;
};

}  // namespace pit::emit
