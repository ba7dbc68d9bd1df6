// What the printer and the parser of schedules share: the shape of the arguments of the simple
// directives.
//
//     line      := [ name '=' ] subject '.' directive '(' arguments ')' { '.' index-setting }
//     subject   := func [ '.update(' i ')' ] [ '.specialization(' n ')' ]
//     arguments := positional loops, then positional integers; expressions as at to_string(Expr);
//     extents as
//                  '{' var ':' n, ... '}'; options as  key '=' value
//
// A line that is empty or starts with '#' is skipped.
#pragma once

#include "schedule.h"

namespace pit {

/// Directives whose arguments are loops, then integers.
struct DirectiveShape {
  DirectiveKind kind;
  int min_vars, max_vars;
  int old_vars;  ///< how many of them name loops that exist; the others are made by the directive
  int min_ints, max_ints;
};

inline constexpr int kAnyNumber = 1 << 20;

inline constexpr DirectiveShape kDirectiveShapes[] = {
    {DirectiveKind::Split, 3, 3, 1, 1, 1},
    {DirectiveKind::Tile, 6, 6, 2, 2, 2},
    {DirectiveKind::Fuse, 3, 3, 2, 0, 0},
    {DirectiveKind::Reorder, 2, kAnyNumber, kAnyNumber, 0, 0},
    {DirectiveKind::Vectorize, 1, 1, 1, 0, 1},
    {DirectiveKind::Unroll, 1, 1, 1, 0, 1},
    {DirectiveKind::Parallel, 1, 1, 1, 0, 0},
    {DirectiveKind::GpuBlocks, 1, 3, 3, 0, 0},
    {DirectiveKind::GpuThreads, 1, 3, 3, 0, 0},
    {DirectiveKind::SoftwarePipeline, 1, 1, 1, 1, 1},
    {DirectiveKind::SplitReduction, 1, 1, 1, 1, 1},
    {DirectiveKind::ReorderStorage, 1, kAnyNumber, kAnyNumber, 0, 0},
    {DirectiveKind::Persistent, 0, 0, 0, 0, 0},
    {DirectiveKind::Atomic, 0, 0, 0, 0, 0},
    {DirectiveKind::Strict, 0, 0, 0, 0, 0},
    {DirectiveKind::ComputeRoot, 0, 0, 0, 0, 0},
    {DirectiveKind::ComputeInline, 0, 0, 0, 0, 0},
};

constexpr const DirectiveShape *shape_of(DirectiveKind kind) {
  for (const DirectiveShape &shape : kDirectiveShapes) {
    if (shape.kind == kind) return &shape;
  }
  return nullptr;
}

/// The names of TileOrder's enumerators, in order.
inline constexpr const char *kTileOrders[] = {"row_major", "column_major", "swizzled",
                                              "longest_first"};

}  // namespace pit
