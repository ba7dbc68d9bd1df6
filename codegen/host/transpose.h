// Turning blocks of numbers, so that columns that lie along k in memory come to lie across panels.
#pragma once

#include "micro_kernel.h"

namespace pit::host {

/// How many numbers of each column go through the buffer at a time.
inline constexpr std::int64_t kTurnBlock = 64;

/// void f(ptr to, ptr from, i64 k): to[l * atom.columns + j] = from[j * kTurnBlock + l], j <
/// atom.columns, l < k <= kTurnBlock. All of `from` is readable. Made once a module.
llvm::Function *transpose_function(llvm::Module &module, const Atom &atom,
                                   const FunctionMaker &make);

}  // namespace pit::host
