// The loops that a definition has after its directives, by simulation: names only, no bounds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "func.h"
#include "schedule.h"

namespace pit {

/// The largest factor, extent of a tile, or padding of a directive: products of two stay far inside
/// int64.
inline constexpr std::int64_t kMostExtent = 2'147'483'647;

/// The loops of definition `definition` of `func`, outermost first, after those of `directives`
/// that are said of it (others are skipped): its pure Vars in argument order, then the dimensions
/// of its domain, then
///
///   split(v, outer, inner)   v -> outer, inner
///   tile(x, y, xo, yo, xi, yi)   both split, then reorder(xo, yo, xi, yi)
///   fuse(outer, inner, fused)    outer, inner -> fused
///   reorder(...)             the named loops take each other's places
///   pit_tile(tile, rule)     the group's own loops, tile, all other loops; both parts in their old
///   order split_reduction          no loop that can be named
///
/// "The group's own loops" are those of the Vars of the group (see group_vars) whose micro extent
/// is 1. Loops over micro-tiles of the group and over dense tiles of other Vars are outside `tile`
/// and have no name.
///
/// Specialization n starts from the loops of the general case at the place of its specialize().
/// CompileError (with the location of the directive) when a directive names a loop that is not
/// there.
std::vector<VarPtr> loops_of(const FuncNode &func, int definition,
                             const std::vector<Directive> &directives, int specialization = 0);

/// "C" for the pure definition, "C.update(0)" for the first update: as in errors and saved
/// schedules.
std::string definition_name(const FuncNode &func, int definition);

/// The variables of the definition itself, before any directive: the pure Vars, then its domain's.
std::vector<VarPtr> variables_of(const FuncNode &func, int definition);

/// The expressions that decide which iterations of the definition run: predicates of the Func and
/// of the definition, and the bounds of its domain.
std::vector<Expr> conditions_of(const FuncNode &func, int definition);

/// The definition of `func` that has `loop` after `directives` (in a specialization, perhaps):
/// `preferred` when it does, else the first; -1 if none. compute_at(P, loop) of a Func P names a
/// loop of any of P's definitions.
int definition_with_loop(const FuncNode &func, const VarPtr &loop,
                         const std::vector<Directive> &directives, int preferred = 0);

/// The variables that `loop` is made of: those that were fused into it (through several fuses), or
/// itself. A loop that a split or pit_tile made stands for itself. A fuse said of this definition
/// counts before those said of others.
std::vector<VarPtr> fused_from(const VarPtr &loop, const FuncNode &func, int definition,
                               const std::vector<Directive> &directives);

/// The variables of the definition whose iterations `loop` runs over, through splits, fuses and
/// pit_tile; itself if it is one. Empty for what is no loop of the definition.
std::vector<VarPtr> originals_of(const VarPtr &loop, const FuncNode &func, int definition,
                                 const std::vector<Directive> &directives);

/// The variables of the group of `index`: without `.group` those that the predicates and domain
/// bounds of its definition read, with it those that the key reads; in the order of variables_of,
/// without the axis and what the axis is fused from. `directives` give the meaning of a fused axis.
/// Predicates that consumers impose are not seen.
std::vector<VarPtr> group_vars(const IndexNode &index, const std::vector<Directive> &directives);

/// A name for a new index of `func` that no index in `directives` has: "C.index", "C.index.2", ...
std::string new_index_name(const FuncNode &func, const std::vector<Directive> &directives);

/// Extent of `v` in the micro-tile of `index`: 1 when it is not said.
std::int64_t micro_extent(const IndexNode &index, const VarPtr &v);

/// Rank of `func` kept by store_compact(index): one for the position in the lists, one for each
/// argument that the index does not cover (neither in the axis, nor in the group, nor in the
/// micro-tile), one for each covered Var with a micro extent over 1.
int compact_rank(const FuncNode &func, const IndexNode &index,
                 const std::vector<Directive> &directives);

}  // namespace pit
