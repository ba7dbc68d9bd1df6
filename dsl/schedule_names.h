// What the names of a saved schedule stand for.
#pragma once

#include <map>
#include <source_location>
#include <string>

#include "expr_parser.h"
#include "func.h"
#include "pipeline.h"
#include "schedule.h"

namespace pit {

/// The Funcs, tensors, parameters and indices of a pipeline by name, and the loops and indices that
/// a schedule makes.
///
/// A name of a loop that directives make is one Var in the whole schedule, as users write them (an
/// index over a fused loop is shared by definitions that fuse it under one name), and may be used
/// before the line that makes it.
class ScheduleNames {
 public:
  explicit ScheduleNames(const Pipeline &pipeline);

  /// Null when there is none; std::runtime_error when there are several.
  FuncPtr func(const std::string &name) const;
  StoragePtr tensor(const std::string &name) const;
  ParamPtr param(const std::string &name) const;

  /// The known names, with the one nearest to `name`.
  std::string known_funcs(const std::string &name) const;
  std::string known_tensors(const std::string &name) const;

  VarPtr made_loop(const std::string &name);
  /// A variable of the definition (-1: of any of the Func's definitions), or a made loop.
  VarPtr loop(const FuncNode &func, int definition, const std::string &name);
  /// A variable of the definition itself; null when there is none.
  VarPtr variable(const FuncNode &func, int definition, const std::string &name) const;

  /// A fresh index node; its origin is the pipeline's own index of that name.
  IndexPtr make_index(const std::string &name, const FuncPtr &func, int definition,
                      std::source_location where) const;
  /// False when the name is declared already.
  bool declare(const IndexPtr &index);
  IndexPtr declared(const std::string &name) const;
  /// What expressions hold: the node of the user's handle, where there is one.
  IndexPtr queried(const std::string &name) const;

 private:
  std::multimap<std::string, FuncPtr> funcs_;
  std::multimap<std::string, StoragePtr> tensors_;
  std::multimap<std::string, ParamPtr> params_;
  std::map<std::string, VarPtr> made_;
  std::map<std::string, IndexPtr> originals_, declared_;
};

/// Names inside the expressions of one definition's directives.
class DefinitionSymbols final : public ExprSymbols {
 public:
  DefinitionSymbols(const ScheduleNames &names, const FuncNode &func, int definition)
      : names_(names), func_(func), definition_(definition) {}

  Expr variable(const std::string &name) override;
  Expr call(const std::string &name, const std::vector<Expr> &args, int component) override;
  Expr load(const std::string &name, const std::vector<Expr> &indices) override;
  Expr extent(const std::string &name, int dimension) override;
  Expr index_query(const std::string &name, IndexQueryKind query,
                   const std::vector<Expr> &args) override;

 private:
  const ScheduleNames &names_;
  const FuncNode &func_;
  int definition_;
};

}  // namespace pit
