// Equality of statements and modules.
#pragma once

#include "ir.h"

namespace pit::ir {

/// True for the same tree up to renaming: variables, storages and parameters correspond one to one,
/// with equal roles, types, ranks, spaces and declared strides and alignments; their names do not
/// count. Names that are not identities (of stages, indices, atoms, statistics, modules) and
/// messages do count.
bool equal(const Stmt &a, const Stmt &b);
bool equal(const Module &a, const Module &b);

}  // namespace pit::ir
