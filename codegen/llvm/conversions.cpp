#include "conversions.h"

#include <llvm/IR/Intrinsics.h>

namespace pit::code {

namespace {

using llvm::IRBuilderBase;
using llvm::Value;

// Type of v's shape (scalar or vector) with another element type.
llvm::Type *like(Value *v, llvm::Type *element) {
  if (auto *vector = llvm::dyn_cast<llvm::VectorType>(v->getType())) {
    return llvm::VectorType::get(element, vector->getElementCount());
  }
  return element;
}

class Bits {
 public:
  Bits(IRBuilderBase &builder, Value *example) : b(builder), like_(example) {}
  llvm::Type *i16() const { return like(like_, b.getInt16Ty()); }
  llvm::Type *i32() const { return like(like_, b.getInt32Ty()); }
  llvm::Type *f32() const { return like(like_, b.getFloatTy()); }
  Value *word(std::uint32_t v) const { return llvm::ConstantInt::get(i32(), v); }
  Value *as_float(Value *v) const { return b.CreateBitCast(v, f32()); }
  Value *as_bits(Value *v) const { return b.CreateBitCast(v, i32()); }

  IRBuilderBase &b;

 private:
  Value *like_;
};

Value *widen_bfloat16(const Bits &t, Value *v) {
  return t.as_float(t.b.CreateShl(t.b.CreateZExt(v, t.i32()), 16));
}

Value *narrow_bfloat16(const Bits &t, Value *v) {
  IRBuilderBase &b = t.b;
  Value *bits = t.as_bits(v);
  Value *odd = b.CreateAnd(b.CreateLShr(bits, 16), t.word(1));
  Value *rounded = b.CreateAdd(bits, b.CreateAdd(odd, t.word(0x7fff)));
  Value *quiet = b.CreateOr(bits, t.word(0x00400000));
  Value *result = b.CreateSelect(b.CreateFCmpUNO(v, v), quiet, rounded);
  return b.CreateTrunc(b.CreateLShr(result, 16), t.i16());
}

// With the exponent and fraction moved to their places the value is too small by 2^112, denormals
// included.
Value *widen_float16(const Bits &t, Value *v) {
  IRBuilderBase &b = t.b;
  Value *bits = b.CreateZExt(v, t.i32());
  Value *sign = b.CreateShl(b.CreateAnd(bits, t.word(0x8000)), 16);
  Value *magnitude = b.CreateShl(b.CreateAnd(bits, t.word(0x7fff)), 13);
  Value *scaled = b.CreateFMul(t.as_float(magnitude), llvm::ConstantFP::get(t.f32(), 0x1p112));
  Value *special = b.CreateICmpUGE(magnitude, t.word(0x0f800000));
  Value *result =
      b.CreateSelect(special, b.CreateOr(magnitude, t.word(0x7f800000)), t.as_bits(scaled));
  return t.as_float(b.CreateOr(result, sign));
}

Value *narrow_float16(const Bits &t, Value *v) {
  IRBuilderBase &b = t.b;
  Value *bits = t.as_bits(v);
  Value *sign = b.CreateAnd(b.CreateLShr(bits, 16), t.word(0x8000));
  Value *magnitude = b.CreateAnd(bits, t.word(0x7fffffff));
  // Normal results: rebias and round by addition; a carry into the exponent is right, up to
  // infinity.
  Value *odd = b.CreateAnd(b.CreateLShr(magnitude, 13), t.word(1));
  Value *normal = b.CreateLShr(b.CreateAdd(b.CreateAdd(magnitude, t.word(0xc8000fffU)), odd), 13);
  // Denormal results: adding 0.5 puts the last place of the result in the last place of the sum.
  Value *sum = b.CreateFAdd(t.as_float(magnitude), llvm::ConstantFP::get(t.f32(), 0.5));
  Value *denormal = b.CreateSub(t.as_bits(sum), t.word(0x3f000000));
  Value *result = b.CreateSelect(b.CreateICmpULT(magnitude, t.word(0x38800000)), denormal, normal);
  // 65520 and more is infinity.
  result = b.CreateSelect(b.CreateICmpUGE(magnitude, t.word(0x477ff000)), t.word(0x7c00), result);
  // NaN stays NaN.
  result = b.CreateSelect(
      b.CreateICmpUGT(magnitude, t.word(0x7f800000)),
      b.CreateOr(t.word(0x7e00), b.CreateAnd(b.CreateLShr(magnitude, 13), t.word(0x3ff))), result);
  return b.CreateTrunc(b.CreateOr(result, sign), t.i16());
}

// Rounds a double towards the float whose last bit is odd, unless it is exact: a second rounding to
// fewer bits then gives what one rounding would.
Value *round_to_odd(const Bits &t, Value *v) {
  IRBuilderBase &b = t.b;
  Value *near = b.CreateFPTrunc(v, t.f32());
  Value *back = b.CreateFPExt(near, v->getType());
  Value *inexact = b.CreateFCmpONE(back, v);
  Value *above = b.CreateFCmpOGT(b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, back),
                                 b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, v));
  Value *bits = t.as_bits(near);
  Value *below = b.CreateSub(bits, b.CreateZExt(above, t.i32()));
  return t.as_float(b.CreateSelect(inexact, b.CreateOr(below, t.word(1)), bits));
}

bool is_16_bit_float(Type type) { return type.is_float() && type.bits == 16; }

}  // namespace

llvm::Type *register_type(llvm::LLVMContext &context, Type type) {
  if (type.is_bool()) return llvm::Type::getInt1Ty(context);
  if (!type.is_float()) return llvm::Type::getIntNTy(context, type.bits);
  return type.bits == 64 ? llvm::Type::getDoubleTy(context) : llvm::Type::getFloatTy(context);
}

llvm::Type *memory_type(llvm::LLVMContext &context, Type type) {
  if (type.is_float() && type.bits >= 32) return register_type(context, type);
  return llvm::Type::getIntNTy(context, type.bits);
}

llvm::Value *from_memory(llvm::IRBuilderBase &b, FloatUnit unit, Type type, llvm::Value *v) {
  const Bits t(b, v);
  if (type.is_bool()) return b.CreateICmpNE(v, llvm::ConstantInt::get(v->getType(), 0));
  // Widening bfloat16 is a shift, which is what such instructions do, too.
  if (type == bfloat16) return widen_bfloat16(t, v);
  if (type == float16) {
    if (!unit.half) return widen_float16(t, v);
    return b.CreateFPExt(b.CreateBitCast(v, like(v, b.getHalfTy())), t.f32());
  }
  return v;
}

llvm::Value *to_memory(llvm::IRBuilderBase &b, FloatUnit unit, Type type, llvm::Value *v) {
  const Bits t(b, v);
  if (type.is_bool()) return b.CreateZExt(v, like(v, b.getInt8Ty()));
  if (type == bfloat16) {
    if (!unit.bfloat) return narrow_bfloat16(t, v);
    return b.CreateBitCast(b.CreateFPTrunc(v, like(v, b.getBFloatTy())), t.i16());
  }
  if (type == float16) {
    if (!unit.half) return narrow_float16(t, v);
    return b.CreateBitCast(b.CreateFPTrunc(v, like(v, b.getHalfTy())), t.i16());
  }
  return v;
}

llvm::Value *convert(llvm::IRBuilderBase &b, FloatUnit unit, Type from, Type to, llvm::Value *v) {
  llvm::Type *target = like(v, register_type(b.getContext(), to));
  if (to.is_bool()) {
    llvm::Value *zero = llvm::Constant::getNullValue(v->getType());
    return from.is_float() ? b.CreateFCmpUNE(v, zero) : b.CreateICmpNE(v, zero);
  }
  if (is_16_bit_float(to)) {
    if (from == to) return v;
    if (from == float64) v = round_to_odd(Bits(b, v), v);
    if (!from.is_float()) {
      // Integers of 24 bits are floats; wider ones go through double, which holds 53.
      const bool wide = from.bits > 16;
      llvm::Type *between = like(v, wide ? b.getDoubleTy() : b.getFloatTy());
      v = from.is_int() ? b.CreateSIToFP(v, between) : b.CreateUIToFP(v, between);
      if (wide) v = round_to_odd(Bits(b, v), v);
    }
    return from_memory(b, unit, to, to_memory(b, unit, to, v));
  }
  if (to.is_float()) {
    if (from.is_int()) return b.CreateSIToFP(v, target);
    if (!from.is_float()) return b.CreateUIToFP(v, target);
    return from == float64 && to != float64 ? b.CreateFPTrunc(v, target) : b.CreateFPExt(v, target);
  }
  if (from.is_float()) {
    return b.CreateIntrinsic(
        to.is_int() ? llvm::Intrinsic::fptosi_sat : llvm::Intrinsic::fptoui_sat,
        {target, v->getType()}, {v});
  }
  return from.is_int() ? b.CreateSExtOrTrunc(v, target) : b.CreateZExtOrTrunc(v, target);
}

}  // namespace pit::code
