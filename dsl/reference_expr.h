// Expressions of the language compiled for the reference interpreter: a tree of nodes with
// variables in slots.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "buffer.h"
#include "expr.h"
#include "reference_value.h"

namespace pit::reference {

inline constexpr int kMaxSlots = 48;

/// The variables of one evaluation, and the value that the definition being evaluated has so far at
/// its coordinate.
template <class V>
struct Frame {
  std::array<std::int64_t, kMaxSlots> slots;
  const Cell<V> *state = nullptr;
};

/// A compiled expression: integer() for integers and bools, number() for floats. Others are not
/// called.
template <class V>
class Code {
 public:
  virtual ~Code() = default;
  virtual std::int64_t integer(Frame<V> &frame) const;
  virtual V number(Frame<V> &frame) const;
};
template <class V>
using CodePtr = std::unique_ptr<const Code<V>>;

/// Something with values at coordinates: a Func, or the state of the Func being evaluated.
template <class V>
class Values {
 public:
  virtual ~Values() = default;
  virtual Cell<V> at(const std::int64_t *coordinates, int component) = 0;
};

/// An index out of range, before it is known where in the program: see FuncValues.
struct IndexOutOfRange {
  std::string message;
};

/// What the free names of expressions mean.
template <class V>
class Environment {
 public:
  virtual ~Environment() = default;
  virtual const AnyBuffer &tensor(const StorageNode &storage) = 0;
  virtual double scalar(const ParamNode &param) = 0;
  virtual Values<V> &values(FuncNode &func) = 0;
  /// The IndexQuery's answer; `arguments` as in the expression.
  virtual double query(const IndexQuery &query, const std::vector<std::int64_t> &arguments) = 0;
};

/// Slots of the variables in sight and, inside an update, what a call of its own Func means.
template <class V>
struct Scope {
  std::map<const VarNode *, int> slots{};
  const FuncNode *self = nullptr;
  std::vector<Expr> self_args{};     ///< a self call with these arguments reads Frame::state ...
  Values<V> *self_values = nullptr;  ///< ... any other, or any at all when self_args is empty and
                                     ///< rank is not 0, reads this

  /// The slot of a variable, made when it has none.
  int slot(const VarPtr &var);
};

template <class V>
CodePtr<V> compile(const Expr &e, const Scope<V> &scope, Environment<V> &environment);

}  // namespace pit::reference
