// Operators in files that were compiled ahead of time.
#pragma once

#include <string>
#include <vector>

#include "runtime/pit_runtime.h"

namespace pit::run {

/// Shared objects that are loaded for the rest of the process, and the operators in them.
class Library {
 public:
  /// Loads each of `paths`, shared objects, or archives and objects, which the system's C compiler
  /// ($CC, else cc) makes a shared object of first. std::runtime_error says what is wrong with
  /// which file.
  explicit Library(const std::vector<std::string> &paths);

  /// At least one.
  const std::vector<const pit_operator *> &operators() const { return operators_; }
  /// The one of this name; with "" the only one. std::runtime_error names those that there are.
  const pit_operator &find(const std::string &name) const;

 private:
  std::vector<const pit_operator *> operators_;

  void load(const std::string &path, const std::string &shown);
};

/// Names of the data that the ELF file exports and that begin with `prefix`. std::runtime_error
/// where it is no such file.
std::vector<std::string> exported_data(const std::string &path, const std::string &prefix);

}  // namespace pit::run
