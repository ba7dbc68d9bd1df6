#include "dsl/analysis/races.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "dsl/analysis/separable.h"

namespace pit {

namespace {

bool contains(const std::vector<VarPtr> &vars, const VarPtr &v) {
  return std::find(vars.begin(), vars.end(), v) != vars.end();
}

/// What the written element tells: a growing set of atoms (see LinearIndex) with known values.
class Told {
 public:
  explicit Told(const DefinitionData &definition) : definition_(definition) {
    for (const Expr &arg : definition.args) sums_.push_back(linear_index(arg));
    while (learn()) {
    }
  }

  std::vector<VarPtr> variables() const {
    std::vector<VarPtr> vars;
    for (const Expr &e : told_) {
      if (const auto *variable = e.as<Variable>()) vars.push_back(variable->var);
    }
    return vars;
  }

 private:
  const DefinitionData &definition_;
  std::vector<LinearIndex> sums_;
  std::vector<Expr> told_;

  /// A value is told when it is an atom that is, or computed from variables that are.
  bool is_told(const Expr &atom) const {
    if (std::any_of(told_.begin(), told_.end(), [&](const Expr &e) { return equal(e, atom); }))
      return true;
    if (atom.as<Variable>() != nullptr) return false;
    const std::vector<VarPtr> vars = free_variables(atom);
    return std::all_of(vars.begin(), vars.end(),
                       [&](const VarPtr &v) { return is_told(make_variable(v)); });
  }

  bool learn() {
    for (const LinearIndex &sum : sums_) {
      std::vector<LinearIndex::Term> unknown;
      for (const LinearIndex::Term &term : sum.terms) {
        if (!is_told(term.atom)) unknown.push_back(term);
      }
      // A factor may be 0 at run time.
      if (unknown.empty() || std::any_of(unknown.begin(), unknown.end(),
                                         [](const auto &t) { return t.factor.defined(); })) {
        continue;
      }
      if (unknown.size() > 1 && !is_positional(unknown)) continue;
      for (const LinearIndex::Term &term : unknown) told_.push_back(term.atom);
      return true;
    }
    return false;
  }

  /// The number of values of a variable whose domain is constant.
  std::optional<std::int64_t> extent_of(const Expr &atom) const {
    const auto *variable = atom.as<Variable>();
    if (variable == nullptr) return std::nullopt;
    for (const ReductionDim &dim : definition_.domain) {
      std::int64_t min = 0, extent = 0;
      if (dim.var == variable->var && is_const_int(dim.min, &min) &&
          is_const_int(dim.extent, &extent)) {
        return std::max<std::int64_t>(extent, 1);
      }
    }
    return std::nullopt;
  }

  /// Digits of a number: every coefficient is larger than all that the smaller ones can add up to.
  bool is_positional(std::vector<LinearIndex::Term> terms) const {
    const auto size = [](const LinearIndex::Term &t) {
      return t.coefficient < 0 ? -t.coefficient : t.coefficient;
    };
    std::sort(terms.begin(), terms.end(),
              [&](const auto &a, const auto &b) { return size(a) < size(b); });
    std::int64_t spread = 0;  // of the smaller terms' sum
    for (std::size_t i = 0; i < terms.size(); ++i) {
      if (size(terms[i]) <= spread) return false;
      if (i + 1 == terms.size()) break;
      const std::optional<std::int64_t> extent = extent_of(terms[i].atom);
      std::int64_t width = 0;
      if (!extent || __builtin_mul_overflow(size(terms[i]), *extent - 1, &width) ||
          __builtin_add_overflow(spread, width, &spread)) {
        return false;
      }
    }
    return true;
  }
};

}  // namespace

std::vector<VarPtr> determined_variables(const DefinitionData &definition) {
  return Told(definition).variables();
}

SelfReads self_reads(const FuncNode &func, int definition) {
  SelfReads result;
  const DefinitionData &data = func.definitions.at(static_cast<std::size_t>(definition));
  std::vector<bool> agrees(data.args.size(), true);
  std::vector<Expr> all = data.args;
  for (const std::vector<Expr> *list : {&data.values, &data.predicates, &func.predicates})
    all.insert(all.end(), list->begin(), list->end());
  for (const ReductionDim &dim : data.domain) all.insert(all.end(), {dim.min, dim.extent});
  for (const Expr &e : all) {
    walk(e, [&](const Expr &node) {
      const auto *call = node.as<Call>();
      if (call == nullptr || call->func != &func) return true;
      if (!result.read.defined()) result.read = node;
      for (std::size_t i = 0; i < agrees.size(); ++i)
        agrees[i] = agrees[i] && equal(call->args[i], data.args[i]);
      return true;
    });
  }
  if (!result.read.defined()) return result;
  std::vector<Expr> args;
  for (std::size_t i = 0; i < agrees.size(); ++i) {
    if (agrees[i]) args.push_back(data.args[i]);
  }
  DefinitionData shared = data;
  shared.args = std::move(args);
  result.apart = determined_variables(shared);
  return result;
}

Race race_along(const DefinitionData &definition, const std::vector<VarPtr> &axis) {
  const std::vector<VarPtr> told = determined_variables(definition);
  if (std::all_of(axis.begin(), axis.end(), [&](const VarPtr &v) { return contains(told, v); }))
    return Race::None;
  const bool written =
      std::any_of(definition.args.begin(), definition.args.end(), [&](const Expr &arg) {
        return std::any_of(axis.begin(), axis.end(), [&](const VarPtr &v) { return uses(arg, v); });
      });
  return written ? Race::Colliding : Race::SharedAccumulator;
}

bool needs_combine(const DefinitionData &definition, const std::vector<VarPtr> &axis,
                   const std::vector<VarPtr> &group, bool partitioned) {
  const Race along = race_along(definition, axis);
  if (along == Race::Colliding || (partitioned && along == Race::SharedAccumulator)) return true;
  const std::vector<VarPtr> told = determined_variables(definition);
  return !std::all_of(group.begin(), group.end(),
                      [&](const VarPtr &v) { return contains(told, v); });
}

}  // namespace pit
