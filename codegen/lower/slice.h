// The part of a program that does some of its work: what a role executes, or what is done a step
// ahead.
#pragma once

#include <functional>

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `s` with every statement that holds no others (Store, Mma, Check ...) replaced by what `leaf`
/// returns, and without what is then empty: loops, conditions and definitions around nothing.
/// `allocate` gives a tile its place.
ir::Stmt slice(const ir::Stmt &s, const std::function<ir::Stmt(const ir::Stmt &)> &leaf,
               const std::function<ir::Placement(const ir::Allocate &)> &allocate = {});

/// `s` without the lets, axes and tiles that nothing in their scope names.
ir::Stmt prune(const ir::Stmt &s);

/// `s` with another statement in place of the loop.
ir::Stmt with_loop(const ir::Stmt &s, const ir::For *loop, const ir::Stmt &by);

/// True when s names the variable or the storage outside of its definitions.
bool mentions(const ir::Stmt &s, const VarPtr &var);
bool mentions(const ir::Stmt &s, const StoragePtr &storage);

/// Calls `visit` on every storage of which an expression of s, or a Mma, reads elements; not in
/// sub-statements.
void for_each_read(const ir::Stmt &s, const std::function<void(const StoragePtr &)> &visit);

}  // namespace pit::lower
