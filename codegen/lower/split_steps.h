// Steps of a product in parts.
#pragma once

#include "codegen/ir/ir.h"

namespace pit::lower {

/// `kernel` with each step of its loop of products in `parts` steps of as many k's, so that more of
/// them fit the memory that loads go to while others are multiplied:
///   before   for s < S { axes k < 128 { load m, k: %a[m, k] = A(m, at[s] + k) ... mma k(k) } }
///   after    for t < S * 2 { let s = t / 2
///                            axes k < 64 { load m, k: %a[m, k] = A(m, at[s] + t % 2 * 64 + k)
///                                          ... mma k(k) } }
/// The same sum in the same order. Null where the loop has another form: k is not one axis that is
/// as long as its maximum, parts would be no whole lines of memory, or other statements use it.
ir::Stmt split_steps(const ir::Stmt &kernel, int parts);

}  // namespace pit::lower
