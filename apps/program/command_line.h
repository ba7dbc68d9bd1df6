// Options of the programs in apps/.
#pragma once

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace pit::program {

/// The command line is wrong; the message says how.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads a command line option by option: `--name`, `--name value` or `--name=value`.
///
///   while (line.next()) {
///     if (line.is("--case")) options.cases = line.value();
///     else if (line.is_flag("--list")) options.list = true;
///     else line.refuse();
///   }
///
/// All throw UsageError where the words do not fit.
class CommandLine {
 public:
  CommandLine(int count, char **arguments) : words_(arguments + 1, arguments + count) {}

  /// Goes to the next option; false at the end.
  bool next();
  /// Whether this is the option `name`.
  bool is(const std::string &name) const { return name_ == name; }
  /// Whether this is the option `name`, and without a value.
  bool is_flag(const std::string &name) const { return name_ == name && !attached_; }
  [[noreturn]] void refuse() const;
  const std::string &name() const { return name_; }
  /// Whether this is no option but a word, which name() is.
  bool is_word() const { return !name_.starts_with("-"); }

  /// The value of this option.
  std::string value();
  /// The same for a path, which is not empty; `what` names it: "a file".
  std::string path(const std::string &what);
  /// The same for a whole number from `least` on.
  int number(int least);
  unsigned number(unsigned least);
  /// The same for a number from 0 on.
  double amount();

 private:
  std::vector<std::string> words_;
  std::size_t at_ = 0;
  std::string name_;
  std::optional<std::string> attached_;
};

/// The exit status of a program: that of `work`; 2 after a UsageError, 1 after another exception,
/// whose message goes to standard error behind `name`.
int exit_status(const std::string &name, const std::function<int()> &work);

/// Whether `text` is described by `pattern`, in which * stands for any characters and ? for one.
bool matches(const std::string &pattern, const std::string &text);

}  // namespace pit::program
