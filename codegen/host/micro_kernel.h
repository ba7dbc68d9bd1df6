// The inner functions of an Mma.
#pragma once

#include "atoms.h"
#include "kernel.h"
#include "machine.h"

namespace pit::host {

/// Sizes of the blocks in which an Mma is computed, from the machine's caches: a panel of the right
/// operand, k deep, stays in the first-level cache while rows of the left operand pass by; a block
/// of either operand stays in the second-level cache.
struct Blocks {
  std::int64_t k, rows, columns;  // numbers; k is a multiple of the atom's group
};
Blocks blocks_of(const Atom &atom, const Machine &machine);

/// Units from one row of a packed left operand to the next: constant, so that all rows of a kernel
/// are at constant distances, and odd in cache lines, so that they do not meet in one set.
std::int64_t left_stride(const Atom &atom, const Machine &machine);

/// The kernel that multiplies any number of packed rows by one packed panel of `atom`:
///   void f(i64 m, i64 units, ptr a, ptr b, ptr c, i64 c_row, i64 n)
/// c[i * c_row + j] += sum over l < units of a[i * left_stride + l] * b[l * atom.columns + j], i <
/// m, j < min(n, atom.columns). b is read atom.columns wide; c has `accumulator` elements. With
/// `offset` numbers of a were stored 128 too large (a signed operand of DotInt8). c shares no
/// memory with a and b. m, n >= 0, units > 0.
Kernel rows_kernel(const Machine &machine, const Atom &atom, bool offset, Type accumulator);

/// The kernel that multiplies atom.rows rows by a panel that it packs meanwhile, group 1:
///   void f(i64 k, ptr a, ptr panel, ptr c, i64 c_row, i64 n, ptr rows, i64 column)
/// panel[l * atom.columns + j] = rows[l][column + j], j < atom.columns <= n, where rows is a table
/// of pointers to elements of the atom's type; else as rows_kernel with atom.rows rows.
Kernel packing_rows_kernel(const Machine &machine, const Atom &atom, Type accumulator);

/// The kernel that multiplies one row by a right operand where it lies, for few rows:
///   void f(i64 k, ptr a, ptr rows, ptr c, i64 n)
/// c[j] += sum over l < k of a[l] * rows[l][j], j < n. a has elements of compute_type(accumulator),
/// to which the `right` elements of rows[l] are converted; rows is a table of pointers.
Kernel row_kernel(const Machine &machine, Type right, Type accumulator);

}  // namespace pit::host
