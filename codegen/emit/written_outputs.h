// What a failed call has left behind.
#pragma once

#include <map>
#include <string>

#include "codegen/ir/ir.h"

namespace pit::emit {

/// Which outputs a call has written when it fails. A check of what is computed can come behind the
/// stage of another output; then that output has been written.
class WrittenOutputs {
 public:
  explicit WrittenOutputs(const ir::Module &module);

  /// What to add to the message of a failure: "; the output 'L' has been written before", or
  /// nothing when no output has been.
  std::string after_check(const std::string &message) const;
  /// By the index whose build fails.
  const std::map<std::string, std::string> &after_indices() const { return of_index_; }
  /// When there is no memory, anywhere.
  const std::string &after_memory() const { return of_memory_; }

 private:
  std::map<std::string, std::string> of_check_, of_index_;
  std::string of_memory_;
};

}  // namespace pit::emit
