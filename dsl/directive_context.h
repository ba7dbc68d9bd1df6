// What the rules of one directive are checked against: the definition, and what was said of it
// before.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "func.h"
#include "loop_names.h"
#include "schedule.h"

namespace pit {

/// One directive in its place; the base of the classes that check rules.
class DirectiveContext {
 public:
  DirectiveContext(const Directive &d, const std::vector<Directive> &before);

 protected:
  static bool contains(const std::vector<VarPtr> &vars, const VarPtr &v);
  /// "m, n, k", or "none".
  static std::string list(const std::vector<VarPtr> &vars);

  using Pairs = std::vector<std::pair<VarPtr, std::int64_t>>;

  /// CompileError "C.update(0).split: problem" at the user's line.
  [[noreturn]] void fail(const std::string &problem) const;

  /// "C.update(0)".
  std::string name() const;
  const DefinitionData &definition() const;
  Combiner combiner() const { return definition().combiner; }
  /// Why a definition whose combiner is not permutable is none.
  std::string what_combiner() const;

  bool same_definition(const Directive &other) const;
  /// True when a directive of this kind was said of the definition (in the general case or this
  /// specialization).
  bool said(DirectiveKind kind) const;
  /// The loops after this directive; CompileError when it names one that is not there or makes one
  /// that is.
  std::vector<VarPtr> loops_after() const;
  bool is_reduction(const VarPtr &loop) const;
  /// Why the iterations of this loop must run in the order written, as "C.update(0) is a plain
  /// store ..."; empty when any order gives the result.
  std::string order_reason(const VarPtr &loop) const;

  /// From 1 to kMostExtent.
  void positive(std::int64_t value, const std::string &what) const;
  void positive_ints(const std::string &what) const;
  void existing_loop(const VarPtr &v) const;
  void existing_loops() const;
  void distinct_vars() const;
  /// Every variable is there, once.
  void distinct(const Pairs &extents, const std::string &field) const;

  const Directive &d_;
  const std::vector<Directive> &before_;
  FuncPtr func_;
  std::vector<VarPtr> variables_, loops_;
};

/// The rules of Index, PitTile, SRead, SWrite and StoreCompact.
void check_pit_rule(const Directive &d, const std::vector<Directive> &before);

}  // namespace pit
