// Which accesses of a block's threads wait for each other. Analysis of the IR only.
#pragma once

#include <unordered_set>

#include "codegen/ir/ir.h"

namespace pit::cuda {

/// The memory that the block's threads have accessed since their last barrier. The threads run on
/// their own between barriers, so a statement that reads what another thread may have written, or
/// writes what another may still read or write, needs a barrier before it.
class Hazards {
 public:
  using Storages = std::unordered_set<const StorageNode *>;

  /// The accesses of one statement.
  struct Accesses {
    Storages reads, writes;
    void add(const Expr &e);
    /// Those of s and of what is in it.
    void add(const ir::Stmt &s);
  };

  bool need_barrier(const Accesses &next) const;
  void add(const Accesses &done);
  void barrier() { *this = {}; }
  bool none() const { return pending_.reads.empty() && pending_.writes.empty(); }
  /// What is pending after either of two ways.
  void join(const Hazards &other);

 private:
  Accesses pending_;
};

}  // namespace pit::cuda
