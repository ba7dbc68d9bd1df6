// A simple tokenizer: text becomes sentences of numbered words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pit::demo {

/// Sentences as the numbers of their tokens, each a place in `vocabulary`.
struct Tokens {
  std::vector<std::vector<std::int32_t>> sentences;  ///< none is empty
  std::vector<std::string> vocabulary;               ///< distinct, in order of first use
};

/// Splits text into tokens and sentences.
///
/// A token is a run of letters, digits, apostrophes and bytes outside ASCII (so UTF-8 stays whole),
/// with ASCII letters in lower case, or any other single character that is not a space. A sentence
/// ends after `.`, `!` or `?` and the quotes or brackets that follow it, if a space comes next; at
/// an empty line; and after `longest` tokens, as the context of a model does.
Tokens tokenize(std::string_view text, std::size_t longest);

}  // namespace pit::demo
