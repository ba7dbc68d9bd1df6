// What a failed call has left behind.
#pragma once

#include <map>
#include <string>

#include "codegen/ir/ir.h"
#include "runtime/pit_runtime.h"

namespace pit::emit {

/// Which outputs a call has written when it fails. A check of what is computed can come behind the
/// stage of another output; then that output has been written.
class WrittenOutputs {
 public:
  explicit WrittenOutputs(const ir::Module &module);

  /// "; the output 'L' has been written before" for the report of a failed call whose message, with
  /// its places for values, is `message`; empty when no output has been written.
  std::string text(const pit_call &call, const std::string &message) const;

 private:
  // What to say of a failure in a check with this message, in the build of this index, anywhere.
  std::map<std::string, std::string> of_check_, of_index_;
  std::string of_memory_;
};

}  // namespace pit::emit
