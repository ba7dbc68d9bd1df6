// The inner functions of an Mma.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <string>

#include "atoms.h"

namespace pit::host {

/// Makes a function with internal linkage for the target machine.
using FunctionMaker =
    std::function<llvm::Function *(llvm::FunctionType *, const std::string &name)>;

/// The function that multiplies any number of rows by one panel of `atom`:
///   void f(i64 m, i64 k, ptr a, i64 a_row, i64 a_k, ptr b, i64 b_k, ptr c, i64 c_row, i64 n)
/// c[i * c_row + j] += sum over l < k of a[i * a_row + l * a_k] * b[l * b_k + j], i < m, j < min(n,
/// atom.columns). Elements of a and b have the atom's type; b is read atom.columns wide; c has
/// `accumulator` elements. c shares no memory with a and b. Strides count elements; m, k, n >= 0.
/// Made once a module.
llvm::Function *rows_function(llvm::Module &module, const Machine &machine, const Atom &atom,
                              Type accumulator, const FunctionMaker &make);

}  // namespace pit::host
