// The three kinds of error.
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>

namespace pit {

/// The user's program or schedule is not legal. The message carries the user's file and line, the
/// Func or operator, the rule that is broken and what would be legal.
class CompileError : public std::runtime_error {
 public:
  CompileError(const std::string &message, std::source_location where);
  std::source_location where() const { return where_; }

 private:
  std::source_location where_;
};

/// Data or device does not fit the operator at a call. The message carries the operator's name.
/// Outputs are untouched unless the message says otherwise.
class RuntimeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A bug in pit. The message carries our file and line.
class InternalError : public std::logic_error {
 public:
  InternalError(const std::string &message,
                std::source_location where = std::source_location::current());
};

/// Throws InternalError when `condition` is false.
void internal_check(bool condition, const std::string &message,
                    std::source_location where = std::source_location::current());

}  // namespace pit
