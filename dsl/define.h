// Making definitions: the checks and rewrites between what a user writes and a DefinitionData.
#pragma once

#include <source_location>
#include <string>
#include <vector>

#include "func.h"

namespace pit {

/// The factors of a predicate, in order: a && b is two. CompileError, beginning with `what`, unless
/// it is a bool.
std::vector<Expr> conjuncts(const std::string &what, const Expr &predicate,
                            std::source_location where);

/// Arguments of a Func, as int64. CompileError unless they are integers.
std::vector<Expr> call_arguments(const FuncNode &func, std::vector<Expr> args,
                                 std::source_location where);

/// `e` with its calls of `self` made weak: what a Func keeps of itself must not keep it alive.
Expr weaken_self_calls(const Expr &e, FuncNode *self);

/// CompileError, beginning with `what`, when `e` reads `func`, directly or through other Funcs.
void check_reads_no(const FuncNode &func, const Expr &e, const std::string &what,
                    std::source_location where);

/// Gives an undefined Func its pure definition.
void define_pure(FuncNode *func, const std::vector<Expr> &args, std::vector<Expr> values,
                 std::source_location where);

/// Gives an undefined Func the identity of `combiner` as pure definition, for an update with these
/// arguments: an argument that is no plain Var (or repeats one) has a fresh Var in its place.
void define_identity(FuncNode *func, const std::vector<Expr> &args, const std::vector<Type> &types,
                     Combiner combiner, std::source_location where);

/// Adds an update definition; gathers the RDoms that it uses. Returns its definition number.
int define_update(FuncNode *func, std::vector<Expr> args, std::vector<Expr> values,
                  Combiner combiner, std::source_location where);

/// When `values` are those of `func` at `args` combined with values that do not read `func`, the
/// combiner, and `values` become what is combined; else Assign.
Combiner recognise_combiner(const FuncNode &func, const std::vector<Expr> &args,
                            std::vector<Expr> *values);

}  // namespace pit
