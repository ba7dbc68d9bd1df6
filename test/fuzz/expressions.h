// Random expressions whose indices are in range and whose values stay small integers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "choices.h"
#include "program.h"

namespace pit::fuzz {

/// An integer expression with 0 <= e < size wherever it may be evaluated.
struct IndexTerm {
  Expr e;
  std::int64_t size = 0;
};

/// What may be read at a place: loop variables, and data that predicates have proved to be in
/// range.
struct Scope {
  std::vector<IndexTerm> variables;  ///< plain variables
  std::vector<IndexTerm> proved;     ///< guarded keys
};

/// A number of known size.
struct Value {
  Expr e;
  double bound = 0;   ///< of the absolute value
  bool exact = true;  ///< an integer: what reads it may depend on it in jumps
};

class Expressions {
 public:
  Expressions(Choices *choices, DrawnProgram *program) : choices_(*choices), program_(*program) {}

  /// An expression in [0, limit), or in any range when limit < 0.
  IndexTerm index(const Scope &scope, std::int64_t limit, int depth = 1);
  /// An element of an input; `must` (if defined) is among the indices.
  Expr load(const Scope &scope, Type type, Content content, std::int64_t limit,
            const IndexTerm *must = nullptr);
  Value value(const Scope &scope, int depth);
  /// A value that is exact: for comparisons, keys and integers.
  Value exact_value(const Scope &scope, int depth);
  /// A bool expression; `must` occurs in it if given.
  Expr condition(const Scope &scope, int depth, const IndexTerm *must = nullptr);
  /// The Func's value where its args are drawn; a component that is a number.
  Value call(const Scope &scope, std::size_t func);
  /// A domain over a new dimension; predicates may follow. Its variables join the scope.
  RDom domain(Scope *scope, bool plain);
  /// e as `type`, small enough that `terms` of them are summed exactly.
  Value as_type(const Value &v, Type type, double terms);

  std::string name(const std::string &prefix);
  Type number_type();
  std::int64_t size();

 private:
  /// Arguments in range of an earlier Func.
  std::vector<Expr> arguments(const Scope &scope, std::size_t func);
  RDom new_domain(Scope *scope, bool plain);
  Value leaf(const Scope &scope);
  Value tame(const Value &v, double most);
  Value combine(const Scope &scope, int depth);
  Value reduction(const Scope &scope);

  Choices &choices_;
  DrawnProgram &program_;
  int names_ = 0;
  int reductions_ = 0;
};

/// The number of iterations that a domain of drawn size may have at most.
inline constexpr double kMostTerms = 600;

}  // namespace pit::fuzz
