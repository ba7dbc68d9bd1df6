// Element types in LLVM: how values are held in registers and in memory, and conversions between
// them.
//
// In registers bool is i1, and 16-bit floats are held widened, as float. In memory bool is a byte,
// and 16-bit floats are their bits, i16.
#pragma once

#include <llvm/IR/IRBuilder.h>

#include "dsl/type.h"
#include "float_unit.h"

namespace pit::code {

llvm::Type *register_type(llvm::LLVMContext &context, Type type);
llvm::Type *memory_type(llvm::LLVMContext &context, Type type);

/// Widens exactly what was loaded; bool: any byte but 0 is true. Narrows what is stored: floats to
/// nearest even.
llvm::Value *from_memory(llvm::IRBuilderBase &b, FloatUnit unit, Type type, llvm::Value *v);
llvm::Value *to_memory(llvm::IRBuilderBase &b, FloatUnit unit, Type type, llvm::Value *v);

/// The conversion of dsl's Cast, between values in registers.
llvm::Value *convert(llvm::IRBuilderBase &b, FloatUnit unit, Type from, Type to, llvm::Value *v);

}  // namespace pit::code
