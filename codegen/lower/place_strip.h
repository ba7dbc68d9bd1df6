// Marked candidates become entries of a sparse index, strip by strip, in one kernel.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "codegen/ir/ir.h"

namespace pit::lower {

/// A sparse index that strips of candidates are placed in; its storages are ir::IndexPlace's (no
/// position where no group has a candidate).
struct PlacedIndex {
  std::string name;
  Expr groups, micro;
  Expr strips;    ///< of a group, at least 1; strip s of group g is part g * strips + s
  Expr capacity;  ///< entries that there is room for; undefined: there is room for all
  /// Entries from the first of a group to the first of the next, enough for all candidates and
  /// their padding; undefined: groups follow each other closely.
  Expr spacing;
  std::int64_t align = 1;
  bool ordered = true;  ///< coordinates ascend within a group
  StoragePtr first, offsets, counts, coordinates, position, full;
  /// What strips tell each other: see ir::SumBefore; of one that takes any place `progress` alone,
  /// which says how many places are taken. Null until make_progress has made them, and where there
  /// is nothing to tell.
  StoragePtr progress, group_progress;
};

/// Candidates of a strip whose marks come from memory: tiles of them share a block's memory.
constexpr std::int64_t kMarkedStrip = 2048;

/// Whether a strip's entries stand where there is room when its block comes, for which the index
/// needs no order. Those of a group stand together, so that one room is shared by all strips of a
/// group that has its own, or by all strips if the group is the only one, or by groups that are one
/// strip each. (A group of one strip with room of its own has nothing to share.)
bool takes_any_place(const PlacedIndex &index);

/// Consecutive candidates of a group.
struct Strip {
  Expr group, number;
  Expr start;                ///< number of the group's first candidate, among those of all groups
  Expr first;                ///< number of the strip's first candidate, in its group
  Expr length;               ///< candidates, perhaps none
  std::int64_t maximum = 0;  ///< of length
  /// Tiles of bool with `maximum` elements: whether a candidate is kept, and whether only a part of
  /// it passes (null: not known).
  StoragePtr marks, partial;
};

/// The kept candidates of a strip: where they stand.
struct KeptEntries {
  Expr count;       ///< int64
  Expr entry;       ///< of the first, int64
  StoragePtr list;  ///< tile: numbers in the strip, ascending
  Expr capacity;    ///< as PlacedIndex's
};

/// Gives the index its progress.
void make_progress(PlacedIndex *index);

/// Allocates the progress around `body`, before which a kernel clears it, and stores what is known
/// of the lists before any of them.
ir::Stmt with_progress(const PlacedIndex &index, const ir::Stmt &body);

/// What the block of a strip does when its marks are there: counts, learns the place of its first
/// entry from the strips before it, those of its group if groups are spaced (ir::SumBefore), or
/// takes the next places (ir::FetchAdd), and stores its entries and what the index says of its
/// group. Strips must be parts of Parallel loops that ascend by group, then number. `more`
/// makes statements that use the entries; those from the capacity on may not be stored.
ir::Stmt place_strip(const PlacedIndex &index, const Strip &strip,
                     const std::function<ir::Stmt(const KeptEntries &)> &more = {});

/// The same for a whole group whose number of candidates is data: its block goes through it twice,
/// in strips of at most `maximum`. `load` makes the statements that fill the tiles of a strip.
struct RaggedGroup {
  Expr group, start, length;
  std::int64_t maximum = 0;
  bool has_partial = false;
  std::function<ir::Stmt(const Strip &)> load;
};
ir::Stmt place_group(const PlacedIndex &index, const RaggedGroup &group);

}  // namespace pit::lower
