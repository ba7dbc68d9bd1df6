// What the threads of a block share, and where they come together. Analysis of a kernel that the
// passes, the interpreter and the back end agree on.
#pragma once

#include <unordered_set>

#include "staged.h"

namespace pit::ir {

using Storages = std::unordered_set<const StorageNode *>;

/// What a statement reads and writes.
struct Accesses {
  Storages reads, writes;
  void add(const Expr &e);
  /// Those of s itself.
  void add_own(const Stmt &s);
  /// Those of s and of what is in it.
  void add(const Stmt &s);
  void add(const Accesses &other);
};

/// Whether a kernel, or a part of one, is of the staged level: places tiles or holds its
/// statements. Every kernel may hold Syncs of the block: one alone is none of the staged level.
bool is_staged(const Stmt &s);

/// Whether the tile is in the lanes of each warp: a short list of 4-byte numbers that copies,
/// other such lists and statements over rows of fragments read. A lookup is by all lanes together,
/// so it is only where all of them come along. `kernel` has the tile.
bool is_in_lanes(const Allocate &s, const Stmt &kernel);

/// Whether the store reduces all its axes into one element.
bool reduces_to_one_element(const Store &s);

/// What the threads of a kernel's blocks share.
class BlockMemory {
 public:
  explicit BlockMemory(const Stmt &kernel);

  /// Whether Syncs put the accesses to `s` in order: through it threads see what others did. Scalar
  /// tiles, what a thread loop allocates, and tiles that are spread over registers (fragments,
  /// lanes) are a thread's own. In a kernel of the staged level copies, barriers and Syncs of the
  /// program order shared tiles, so they are not among these, nor is memory that it only reads.
  bool is_synced(const StorageNode *s) const { return synced_.contains(s); }

  /// Whether all threads come together inside the statement, so that what precedes it in one thread
  /// happens before what it stores in another: a sum over parts, one addition to a counter,
  /// numbering or adding up of elements of which there is one for certain, and, but for the staged
  /// level, a reduction to one element.
  bool joins_threads(const Stmt &s) const;

 private:
  bool staged_;
  Storages synced_;
};

}  // namespace pit::ir
