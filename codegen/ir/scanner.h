// The words of the IR's text.
#pragma once

#include <cstdint>
#include <string>

#include "dsl/expr_parser.h"

namespace pit::ir {

/// Walks through a text from word to word. Space and comments (// to the end of the line) mean
/// nothing but the end of a word. What does not fit is an InternalError with line and column.
class Scanner {
 public:
  explicit Scanner(const std::string &text);

  [[noreturn]] void fail(const std::string &message) const { fail(message, position_); }
  /// `where`: a place that `here` gave.
  [[noreturn]] void fail(const std::string &message, std::size_t where) const;

  /// The place of the next word.
  std::size_t here();
  void go_to(std::size_t place) { position_ = place; }
  bool at_end() { return here() == text_.size(); }
  /// Whether `token` is next, as a whole word if it ends in a letter.
  bool at(const std::string &token);
  /// The same, and goes behind it.
  bool accept(const std::string &token);
  void expect(const std::string &token);

  std::string name();    ///< with the '%' of tiles; "" where there is none
  std::string symbol();  ///< a name, which must be there
  std::string quoted();  ///< "text"
  std::string word() { return at("\"") ? quoted() : symbol(); }
  std::int64_t number();
  Type element_type();
  Expr expression(ExprSymbols *symbols);

  /// Calls `element` at each element of a list with commas, which ends with `close`.
  template <class Element>
  void listed(const std::string &close, const Element &element) {
    if (accept(close)) return;
    do {
      element();
    } while (accept(","));
    expect(close);
  }
  template <class Element>
  void parenthesised(const Element &element) {
    expect("(");
    listed(")", element);
  }

 private:
  std::string text_;
  std::size_t position_ = 0;
};

}  // namespace pit::ir
