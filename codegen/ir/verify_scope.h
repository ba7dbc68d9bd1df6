// What is defined where the verifier stands, and the rules of expressions there.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir.h"

namespace pit::ir {

inline bool contains(const std::vector<VarPtr> &list, const VarPtr &var) {
  return std::find(list.begin(), list.end(), var) != list.end();
}

/// The part of the verifier that knows names. A rule that is broken is an InternalError with the
/// statement that breaks it.
class ScopeRules {
 protected:
  ScopeRules(const Module &module, const std::string &pass) : module_(module), pass_(pass) {}

  [[noreturn]] void fail(const std::string &rule) const;
  void require(bool condition, const std::string &rule) const;
  /// For a rule whose text holds an expression, which is written only when the rule is broken: the
  /// texts of all parts of a long expression are far longer than the expression.
  void require(bool condition, const char *before, const Expr &e, const std::string &after) const;
  void define_once(const void *identity, const std::string &name) {
    require(defined_.insert(identity).second, name + " is defined twice");
  }
  void define(const StoragePtr &s, std::vector<Expr> extents) {
    define_once(s.get(), s->name);
    storages_[s.get()] = std::move(extents);
  }

  /// e may read the axes in `axes` and no others.
  void verify(const Expr &e, const std::vector<VarPtr> &axes) const;
  void verify_types(const Expr &e, const Unary &unary) const;
  void verify_types(const Expr &e, const Binary &binary) const;
  void verify_variable(const VarPtr &var, const std::vector<VarPtr> &axes) const;
  void verify_axis(const VarPtr &axis) const;
  void verify_exists(const StoragePtr &s) const;
  void verify_integral(const Expr &e, const std::vector<VarPtr> &axes, const char *what) const;
  void verify_bool(const Expr &e, const std::vector<VarPtr> &axes, const char *what) const;
  /// The largest value of an index, where it is known (-1: an axis has no iteration).
  std::optional<std::int64_t> last_of(const Expr &index) const;
  void verify_access(const StoragePtr &s, const std::vector<Expr> &indices,
                     const std::vector<VarPtr> &axes) const;
  void verify_listed(const std::vector<VarPtr> &axes) const;

  const Module &module_;
  const std::string &pass_;
  const Stmt *statement_ = nullptr;                ///< under way
  std::unordered_set<const void *> defined_;       ///< everything defined anywhere so far
  std::unordered_set<const VarNode *> variables_;  ///< in scope, but axes
  std::unordered_map<const VarNode *, AxisBinding> axes_;
  std::unordered_map<const StorageNode *, std::vector<Expr>>
      storages_;  ///< in scope, with extents where allocated
  std::unordered_set<const ParamNode *> params_;
};

}  // namespace pit::ir
