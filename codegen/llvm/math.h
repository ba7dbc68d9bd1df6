// Mathematical functions as straight-line LLVM code, so that the loop vectoriser can widen them.
//
// float32 results are within 2 units in the last place; infinities, NaN, overflow and denormal
// numbers follow the C library. float64, and powers, are calls of a library.
#pragma once

#include <llvm/IR/IRBuilder.h>

#include <string>

#include "dsl/expr.h"

namespace pit::code {

/// Exp, Log, Tanh, Erf, Sin or Cos of a float or double. Functions of the library are called by
/// their names in C behind `prefix`: "" for the C library, "__nv_" for libdevice.
llvm::Value *emit_function(llvm::IRBuilderBase &b, const std::string &prefix, UnaryOp op,
                           llvm::Value *x);

/// 1 / x of floats or doubles, x being at least 1 or NaN. In float32 on a GPU without the branches
/// of its division, between which nothing of other elements is computed.
llvm::Value *emit_reciprocal(llvm::IRBuilderBase &b, llvm::Value *x);

/// a to the power b, of floats or doubles.
llvm::Value *emit_pow(llvm::IRBuilderBase &b, const std::string &prefix, llvm::Value *x,
                      llvm::Value *y);

}  // namespace pit::code
