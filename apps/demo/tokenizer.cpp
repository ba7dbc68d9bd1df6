#include "tokenizer.h"

#include <unordered_map>

namespace pit::demo {

namespace {

// Character classes of ASCII, whatever the locale.
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '\'' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool ends_sentence(char c) { return c == '.' || c == '!' || c == '?'; }

bool may_follow_end(char c) {
  return ends_sentence(c) || c == '"' || c == '\'' || c == ')' || c == ']';
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

class Tokenizer {
 public:
  explicit Tokenizer(std::size_t longest) : longest_(longest) {}

  Tokens run(std::string_view text) {
    std::size_t at = 0;
    bool ended = false;  // an end mark was read, and since then only what may follow it
    while (at < text.size()) {
      if (is_space(text[at])) {
        const std::size_t first = at;
        while (at < text.size() && is_space(text[at])) ++at;
        if (ended || lines(text.substr(first, at - first)) > 1) end_sentence();
        ended = false;
        continue;
      }
      const std::size_t first = at++;
      if (is_word(text[first])) {
        while (at < text.size() && is_word(text[at])) ++at;
      }
      add(text.substr(first, at - first));
      const char c = text[first];
      ended = ends_sentence(c) || (ended && may_follow_end(c) && at == first + 1);
    }
    end_sentence();
    return std::move(tokens_);
  }

 private:
  std::size_t longest_;
  Tokens tokens_;
  std::unordered_map<std::string, std::int32_t> numbers_;
  std::vector<std::int32_t> sentence_;

  static int lines(std::string_view space) {
    int count = 0;
    for (const char c : space) count += c == '\n';
    return count;
  }

  void add(std::string_view characters) {
    std::string word(characters);
    for (char &c : word) c = lower(c);
    const auto next = static_cast<std::int32_t>(tokens_.vocabulary.size());
    const auto [entry, is_new] = numbers_.emplace(word, next);
    if (is_new) tokens_.vocabulary.push_back(word);
    sentence_.push_back(entry->second);
    if (sentence_.size() == longest_) end_sentence();
  }

  void end_sentence() {
    if (!sentence_.empty()) tokens_.sentences.push_back(std::move(sentence_));
    sentence_.clear();
  }
};

}  // namespace

Tokens tokenize(std::string_view text, std::size_t longest) { return Tokenizer(longest).run(text); }

}  // namespace pit::demo
