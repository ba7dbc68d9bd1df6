// Reading expressions back from the text that to_string writes; the grammar is at to_string in
// expr.h.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "expr.h"

namespace pit {

/// What names mean, said by the one who parses. An undefined Expr means "there is no such name".
class ExprSymbols {
 public:
  virtual ~ExprSymbols() = default;
  /// `name`: a variable or a scalar parameter.
  virtual Expr variable(const std::string &name) = 0;
  /// `name(args)` and `name(args)[component]`: a Func call or a load of a tensor. component is -1
  /// when not written.
  virtual Expr call(const std::string &name, const std::vector<Expr> &args, int component) = 0;
  /// `name[indices]`: a load of a storage that is no tensor.
  virtual Expr load(const std::string &name, const std::vector<Expr> &indices) = 0;
  /// `name.extent(dimension)`.
  virtual Expr extent(const std::string &name, int dimension) = 0;
  /// `name.density()`, `name.count()`, `name.position(args)`.
  virtual Expr index_query(const std::string &name, IndexQueryKind query,
                           const std::vector<Expr> &args) = 0;
};

/// The text is no expression, or a name is unknown. `position` is that of the offending character.
class ExprSyntaxError : public std::runtime_error {
 public:
  ExprSyntaxError(const std::string &message, std::size_t where)
      : std::runtime_error(message), position(where) {}
  std::size_t position;
};

/// Reads the longest expression of `text` from *position on and moves *position past it and the
/// blanks after it. It is built with the operators and functions of expr.h, so types are matched
/// and constants folded. A name may start with '%' (tiles of the IR): where an operand is expected
/// that is not the operator.
Expr parse_expr(const std::string &text, std::size_t *position, ExprSymbols *symbols);

/// Reads all of `text`.
Expr parse_expr(const std::string &text, ExprSymbols *symbols);

/// Reads a name of the grammar, with its '%' if it has one, at *position; empty when there is none.
std::string parse_name(const std::string &text, std::size_t *position);

}  // namespace pit
