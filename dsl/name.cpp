#include <algorithm>
#include <atomic>

#include "error.h"
#include "expr.h"

namespace pit {

void check_name(const std::string &what, const std::string &name, std::source_location where) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto is_word = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); };
  if (name.empty() || !is_letter(name[0]) || !std::all_of(name.begin(), name.end(), is_word)) {
    throw CompileError(what + " has the name '" + name +
                           "'; names appear in saved schedules and in C headers: use letters, "
                           "digits and '_', and do "
                           "not begin with a digit",
                       where);
  }
  if (is_reserved_word(name)) {
    throw CompileError(
        what + " has the name '" + name +
            "', which is a function, type or constant of the language; choose another name",
        where);
  }
}

std::string made_up_name(const std::string &prefix) {
  static std::atomic<int> count{0};
  return prefix + "$" + std::to_string(++count);
}

}  // namespace pit
