// A program's options from words, as its tests give them.
#pragma once

#include <string>
#include <vector>

#include "apps/program/command_line.h"

namespace pit::test {

/// What `parse(count, arguments)` makes of a command line of `words`, the program's name not among
/// them.
template <class Parse>
auto parsed(Parse &&parse, std::vector<std::string> words) {
  words.insert(words.begin(), "program");
  std::vector<char *> arguments;
  for (std::string &word : words) arguments.push_back(word.data());
  return parse(static_cast<int>(arguments.size()), arguments.data());
}

/// The message of the UsageError with which `parse` refuses `words`; empty if it takes them.
template <class Parse>
std::string refusal(Parse &&parse, const std::vector<std::string> &words) {
  try {
    parsed(parse, words);
  } catch (const program::UsageError &error) {
    return error.what();
  }
  return "";
}

}  // namespace pit::test
