// Copies of statements with identities of their own.
#pragma once

#include <vector>

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `s` with every variable and storage that it defines replaced by a new one of the same name, so
/// that the copy and the original can stand in one module. `from` are free variables that `to`
/// replaces.
ir::Stmt clone(const ir::Stmt &s, const std::vector<VarPtr> &from = {},
               const std::vector<Expr> &to = {});

/// `s` with the loads of, and stores to, each storage of `from` going to that of `to`.
ir::Stmt with_storages(const ir::Stmt &s, const std::vector<StoragePtr> &from,
                       const std::vector<StoragePtr> &to);

}  // namespace pit::lower
