#include "scanner.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "dsl/error.h"

namespace pit::ir {

namespace {

bool in_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '$';
}

/// `text` with comments (outside of strings) made blank.
std::string without_comments(std::string text) {
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && in_string)
      ++i;
    else if (text[i] == '"')
      in_string = !in_string;
    else if (!in_string && text.compare(i, 2, "//") == 0) {
      while (i < text.size() && text[i] != '\n') text[i++] = ' ';
    }
  }
  return text;
}

}  // namespace

Scanner::Scanner(const std::string &text) : text_(without_comments(text)) {}

void Scanner::fail(const std::string &message, std::size_t where) const {
  where = std::min(where, text_.size());
  const std::string before = text_.substr(0, where);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t column = where - (before.rfind('\n') + 1) + 1;
  throw InternalError("IR text, line " + std::to_string(line) + ", column " +
                      std::to_string(column) + ": " + message);
}

std::size_t Scanner::here() {
  while (position_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[position_])))
    ++position_;
  return position_;
}

bool Scanner::at(const std::string &token) {
  if (text_.compare(here(), token.size(), token) != 0) return false;
  const std::size_t end = position_ + token.size();
  return !in_word(token.back()) || end >= text_.size() || !in_word(text_[end]);
}

bool Scanner::accept(const std::string &token) {
  if (!at(token)) return false;
  position_ += token.size();
  return true;
}

void Scanner::expect(const std::string &token) {
  if (!accept(token)) fail("expected '" + token + "'");
}

std::string Scanner::name() {
  here();
  return parse_name(text_, &position_);
}

std::string Scanner::symbol() {
  std::string found = name();
  if (found.empty()) fail("expected a name");
  return found;
}

std::string Scanner::quoted() {
  expect("\"");
  std::string out;
  while (position_ < text_.size() && text_[position_] != '"') {
    char c = text_[position_++];
    if (c == '\\' && position_ < text_.size()) {
      c = text_[position_++];
      if (c == 'n') c = '\n';
    }
    out += c;
  }
  expect("\"");
  return out;
}

std::int64_t Scanner::number() {
  std::int64_t value = 0;
  const auto [end, error] =
      std::from_chars(text_.data() + here(), text_.data() + text_.size(), value);
  if (error != std::errc()) fail("expected a number");
  position_ = static_cast<std::size_t>(end - text_.data());
  return value;
}

Type Scanner::element_type() {
  const std::size_t start = here();
  Type type;
  if (!parse_type(symbol(), &type)) fail("expected an element type", start);
  return type;
}

Expr Scanner::expression(ExprSymbols *symbols) {
  try {
    return parse_expr(text_, &position_, symbols);
  } catch (const ExprSyntaxError &error) {
    fail(error.what(), error.position);
  }
}

}  // namespace pit::ir
