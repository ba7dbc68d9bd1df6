// Packing of numbers that lie anywhere in their rows.
#pragma once

#include "kernel.h"
#include "machine.h"

namespace pit::host {

/// void f(ptr to, i64 to_row, ptr rows, i64 m, ptr places, i64 k): to[i * to_row + l] =
/// rows[i][places[l]], i < m, l < k, for elements of `bytes`; rows is a table of pointers, places
/// of 64-bit numbers of elements. to shares no memory with the others.
Kernel gather_kernel(int bytes);

}  // namespace pit::host
