// Packing of an Mma's operands into the order in which micro-kernels read them.
#pragma once

#include "micro_kernel.h"

namespace pit::host {

// Blocks of an Mma whose operands are packed: a panel of kBlockK numbers deep stays in the
// first-level cache.
inline constexpr std::int64_t kBlockK = 256;
inline constexpr std::int64_t kBlockColumns = 512;
inline constexpr std::int64_t kBlockRows = 128;

/// Which stride of a source is known to be 1.
enum class UnitStride { None, Row, Column };

/// void f(ptr to, ptr from, i64 k_stride, i64 column_stride, i64 k, i64 columns): to = panels of
/// `atom`'s columns, k rows each; elements of `from` are widened to the atom's type. What a last
/// panel has too much is not written.
llvm::Function *pack_columns_function(llvm::Module &module, const Machine &machine,
                                      const Atom &atom, Type from, UnitStride unit,
                                      const FunctionMaker &make);

/// void f(ptr to, ptr from, i64 row_stride, i64 k_stride, i64 rows, i64 k): to[i * kBlockK + l] =
/// from, widened.
llvm::Function *pack_rows_function(llvm::Module &module, const Machine &machine, const Atom &atom,
                                   Type from, UnitStride unit, const FunctionMaker &make);

}  // namespace pit::host
