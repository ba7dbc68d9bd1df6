// "Did you mean ...": the known word that a mistyped one is nearest to.
#pragma once

#include <string>
#include <vector>

namespace pit {

/// The element of `known` with the smallest edit distance to `word`, when that is small enough to
/// be a slip of the pen (at most a third of the word, at least 1); else "".
std::string nearest_word(const std::string &word, const std::vector<std::string> &known);

/// "a, b, c", then " (did you mean b?)" when `word` is near one of them.
std::string known_words(const std::string &word, const std::vector<std::string> &known);

}  // namespace pit
