// Packing of the right operand of an Mma into panels, the order in which micro-kernels read it: for
// each group of atom.columns columns, all steps of k one after the other.
#pragma once

#include "micro_kernel.h"

namespace pit::host {

/// void f(ptr to, ptr rows, i64 k, i64 columns, i64 first): to = panels of the `from` elements
/// rows[l][first + j], l < k, j < columns, where rows is a table of pointers. Elements are
/// converted to atom.right. A last unit that k does not fill ends in zeros; columns that a last
/// panel has too much hold anything.
Kernel pack_rows_kernel(const Machine &machine, const Atom &atom, Type from);

/// void f(ptr to, ptr columns, i64 k, i64 columns): the same of columns[j][l], for operands that
/// lie along k. The table has a readable column for every column of the last panel.
Kernel pack_columns_kernel(const Machine &machine, const Atom &atom, Type from);

}  // namespace pit::host
