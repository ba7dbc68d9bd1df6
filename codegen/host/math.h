// Mathematical functions as straight-line LLVM code, so that the loop vectoriser can widen them.
//
// float32 results are within 2 units in the last place; infinities, NaN, overflow and denormal
// numbers follow the C library. float64 goes through the C library.
#pragma once

#include <llvm/IR/IRBuilder.h>

#include "dsl/expr.h"
#include "machine.h"

namespace pit::host {

/// Exp, Log, Tanh, Erf, Sin or Cos of a float or double.
llvm::Value *emit_function(llvm::IRBuilderBase &b, UnaryOp op, llvm::Value *x);

/// a to the power b, of floats or doubles.
llvm::Value *emit_pow(llvm::IRBuilderBase &b, llvm::Value *x, llvm::Value *y);

}  // namespace pit::host
