// Polynomials are near-minimax (Chebyshev) fits, made in high precision and rounded to float.
#include "math.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsNVPTX.h>
#include <llvm/IR/Module.h>

#include <cmath>
#include <limits>
#include <span>

#include "dsl/error.h"

namespace pit::code {

namespace {

using llvm::IRBuilderBase;
using llvm::Value;

// Shorthands for arithmetic on values of one type.
class Arithmetic {
 public:
  explicit Arithmetic(IRBuilderBase &builder) : b(builder) {}

  Value *number(Value *like, double v) { return llvm::ConstantFP::get(like->getType(), v); }
  Value *bits(Value *like, std::uint64_t v) { return llvm::ConstantInt::get(like->getType(), v); }
  Value *fma(Value *x, Value *y, Value *z) {
    return b.CreateIntrinsic(llvm::Intrinsic::fmuladd, {x->getType()}, {x, y, z});
  }
  Value *fma(Value *x, double y, Value *z) { return fma(x, number(x, y), z); }
  Value *fma(Value *x, Value *y, double z) { return fma(x, y, number(x, z)); }
  Value *unary(llvm::Intrinsic::ID id, Value *x) { return b.CreateUnaryIntrinsic(id, x); }
  Value *absolute(Value *x) { return unary(llvm::Intrinsic::fabs, x); }
  Value *copysign(Value *magnitude, Value *sign) {
    return b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, magnitude, sign);
  }
  Value *to_bits(Value *x) {
    return b.CreateBitCast(x, b.getIntNTy(x->getType()->getScalarSizeInBits()));
  }
  Value *to_float(Value *x) { return b.CreateBitCast(x, b.getFloatTy()); }
  // coefficients[0] + coefficients[1] * x + ...
  Value *polynomial(Value *x, std::span<const float> coefficients) {
    Value *sum = number(x, coefficients.back());
    for (std::size_t i = coefficients.size() - 1; i-- > 0;) sum = fma(sum, x, coefficients[i]);
    return sum;
  }

  IRBuilderBase &b;
};

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool is_gpu(IRBuilderBase &b) {
  return b.GetInsertBlock()->getModule()->getTargetTriple().isNVPTX();
}

// Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
constexpr double kShift = 12582912.0;

// On a GPU, which has 2^f: e^x = 2^n 2^f, |f| <= 1/2 where n is not at an end of the exponents.
Value *emit_exp_by_unit(Arithmetic a, Value *x) {
  IRBuilderBase &b = a.b;
  constexpr double kLog2E = 1.4426950408889634074;
  constexpr auto kHigh = static_cast<float>(kLog2E);
  constexpr double kLow = kLog2E - static_cast<double>(kHigh);
  constexpr double kLeast = -126, kExponents = 253, kBias = 127;
  // (x log2 e - kLeast) / kExponents, which stops at 0 and 1; NaN becomes 0, but comes back with f.
  Value *part =
      b.CreateIntrinsic(llvm::Intrinsic::nvvm_fma_rn_sat_f, {},
                        {x, a.number(x, kLog2E / kExponents), a.number(x, -kLeast / kExponents)});
  // The integer n + kBias is left in the low bits.
  Value *shifted = a.fma(part, kExponents, a.number(x, kShift + kLeast + kBias));
  Value *n = b.CreateFSub(shifted, a.number(x, kShift + kBias));
  Value *f = a.fma(x, kHigh, b.CreateFNeg(n));
  f = a.fma(x, kLow, f);
  Value *power = b.CreateUnaryIntrinsic(llvm::Intrinsic::nvvm_ex2_approx_ftz, f);
  return b.CreateFMul(power, a.to_float(b.CreateShl(a.to_bits(shifted), 23)));
}

// e^r by a polynomial, for |r| <= ln 2 / 2.
Value *e_to_the(Arithmetic a, Value *r) {
  IRBuilderBase &b = a.b;
  constexpr float kP[] = {0.5f, 0.1666657627f, 0.04166655242f, 0.008363292553f, 0.001392632606f};
  Value *p = a.fma(b.CreateFMul(r, r), a.polynomial(r, kP), r);
  return b.CreateFAdd(p, a.number(r, 1));
}

// p 2^n, for n + kShift.
Value *power_times(Arithmetic a, Value *shifted, Value *p) {
  IRBuilderBase &b = a.b;
  Value *n = b.CreateSub(a.to_bits(shifted), b.getInt32(0x4b400000));
  Value *half = b.CreateAShr(n, 1);
  Value *rest = b.CreateSub(n, half);
  const auto power = [&](Value *e) {
    return a.to_float(b.CreateShl(b.CreateAdd(e, b.getInt32(127)), 23));
  };
  return b.CreateFMul(b.CreateFMul(p, power(half)), power(rest));
}

// x = n ln 2 + r; e^r by a polynomial; times 2^n in two steps, so that results may be denormal or
// overflow.
Value *emit_exp(Arithmetic a, Value *x) {
  IRBuilderBase &b = a.b;
  if (is_gpu(b)) return emit_exp_by_unit(a, x);
  // Beyond these bounds the result no longer changes. Ordered comparisons let NaN through.
  x = b.CreateSelect(b.CreateFCmpOLT(x, a.number(x, -105)), a.number(x, -105), x);
  x = b.CreateSelect(b.CreateFCmpOGT(x, a.number(x, 90)), a.number(x, 90), x);
  Value *shifted = a.fma(x, 1.44269504088896341, a.number(x, kShift));
  Value *count = b.CreateFSub(shifted, a.number(x, kShift));
  Value *r = a.fma(count, -0.693359375, x);
  r = a.fma(count, 0.000212194440055, r);
  return power_times(a, shifted, e_to_the(a, r));
}

// As emit_exp, with no ln 2 to be exact in.
Value *emit_exp2(Arithmetic a, Value *x) {
  IRBuilderBase &b = a.b;
  if (is_gpu(b)) return b.CreateUnaryIntrinsic(llvm::Intrinsic::nvvm_ex2_approx_ftz, x);
  x = b.CreateSelect(b.CreateFCmpOLT(x, a.number(x, -151)), a.number(x, -151), x);
  x = b.CreateSelect(b.CreateFCmpOGT(x, a.number(x, 129)), a.number(x, 129), x);
  Value *shifted = b.CreateFAdd(x, a.number(x, kShift));
  Value *count = b.CreateFSub(shifted, a.number(x, kShift));
  Value *r = b.CreateFMul(b.CreateFSub(x, count), a.number(x, 0.69314718055994531));
  return power_times(a, shifted, e_to_the(a, r));
}

// x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt 2; log(1 + f) = f - f^2/2 + f^3 P(f).
Value *emit_log(Arithmetic a, Value *x) {
  IRBuilderBase &b = a.b;
  Value *denormal = b.CreateFCmpOLT(x, a.number(x, std::numeric_limits<float>::min()));
  Value *scaled = b.CreateSelect(denormal, b.CreateFMul(x, a.number(x, 33554432.0)), x);  // 2^25
  Value *bias = b.CreateSelect(denormal, a.number(x, -25), a.number(x, 0));
  Value *bits = a.to_bits(scaled);
  Value *exponent = b.CreateAShr(b.CreateSub(bits, b.getInt32(0x3f3504f3)), 23);
  Value *f = b.CreateFSub(a.to_float(b.CreateSub(bits, b.CreateShl(exponent, 23))), a.number(x, 1));
  Value *e = b.CreateFAdd(b.CreateSIToFP(exponent, b.getFloatTy()), bias);
  constexpr float kP[] = {0.3333333135f,  -0.2499999702f, 0.2000071555f,
                          -0.1666780263f, 0.1424905807f,  -0.1242568716f,
                          0.1168541983f,  -0.1147973388f, 0.06971611828f};
  Value *square = b.CreateFMul(f, f);
  Value *tail = b.CreateFMul(b.CreateFMul(square, f), a.polynomial(f, kP));
  tail = a.fma(e, -0.000212194440055, tail);
  tail = a.fma(square, -0.5, tail);
  Value *result = a.fma(e, 0.693359375, b.CreateFAdd(f, tail));
  result = b.CreateSelect(b.CreateFCmpOEQ(x, a.number(x, kInfinity)), x, result);
  result = b.CreateSelect(b.CreateFCmpOEQ(x, a.number(x, 0)), a.number(x, -kInfinity), result);
  // x < 0, and NaN.
  return b.CreateSelect(b.CreateFCmpULT(x, a.number(x, 0)), a.number(x, std::nan("")), result);
}

Value *emit_tanh(Arithmetic a, Value *x) {
  IRBuilderBase &b = a.b;
  Value *t = a.absolute(x);
  Value *square = b.CreateFMul(x, x);
  constexpr float kP[] = {-0.3333332837f, 0.1333276927f, -0.05385090783f, 0.02099717967f,
                          -0.006096714176f};
  Value *small = a.fma(b.CreateFMul(square, x), a.polynomial(square, kP), x);
  Value *e = emit_exp(a, b.CreateFAdd(t, t));
  Value *quotient =
      b.CreateFMul(a.number(x, 2), emit_reciprocal(b, b.CreateFAdd(e, a.number(x, 1))));
  Value *large = a.copysign(b.CreateFSub(a.number(x, 1), quotient), x);
  return b.CreateSelect(b.CreateFCmpOLT(t, a.number(x, 0.625)), small, large);
}

// |x| < 7/8: x + x P(x^2); else 1 - e^-Q(|x|).
Value *emit_erf(Arithmetic a, Value *x) {
  IRBuilderBase &b = a.b;
  Value *t = a.absolute(x);
  Value *square = b.CreateFMul(x, x);
  constexpr float kP[] = {0.128379107f,   -0.3761255443f,  0.112824969f,
                          -0.0267929472f, 0.005034370814f, -0.0006214585155f};
  Value *small = a.fma(x, a.polynomial(square, kP), x);
  // erf(4) is 1 in float.
  Value *bounded = b.CreateSelect(b.CreateFCmpOGT(t, a.number(x, 4)), a.number(x, 4), t);
  constexpr float kQ[] = {-0.0003297181975f, 1.130300403f,    0.6316507459f,     0.1103202105f,
                          -0.02661641128f,   0.004858971108f, -0.0006287887809f, 5.238356607e-5f,
                          -2.338841114e-6f,  3.34194965e-8f};
  Value *complement = emit_exp(a, b.CreateFNeg(a.polynomial(bounded, kQ)));
  Value *large = a.copysign(b.CreateFSub(a.number(x, 1), complement), x);
  return b.CreateSelect(b.CreateFCmpOLT(t, a.number(x, 0.875)), small, large);
}

// |x| = q pi/2 + r, |r| <= pi/4.
struct Reduced {
  Value *quadrant;  // q mod 4, int32
  Value *r;         // float
};

// |x| < 2^30: in double, with pi/2 in four pieces of 23 bits, so that q times a piece is exact.
Reduced reduce_moderate(Arithmetic a, Value *t) {
  IRBuilderBase &b = a.b;
  Value *wide = b.CreateFPExt(t, b.getDoubleTy());
  Value *q = a.unary(llvm::Intrinsic::roundeven,
                     b.CreateFMul(wide, a.number(wide, 0.63661977236758134308)));
  Value *r = wide;
  for (const double piece : {0x1.921fb4p+0, 0x1.4442dp-24, 0x1.846988p-48, 0x1.8cc514p-72})
    r = a.fma(q, -piece, r);
  return {b.CreateFPToSI(q, b.getInt32Ty()), b.CreateFPTrunc(r, b.getFloatTy())};
}

// |x| = m 2^j, m an integer: x * 2/pi modulo 4 is m times a window of the bits of 2/pi, in fixed
// point.
Reduced reduce_large(Arithmetic a, Value *t) {
  IRBuilderBase &b = a.b;
  llvm::Type *i64 = b.getInt64Ty();
  constexpr std::uint64_t kTwoOverPi[] = {0xa2f9836e4e441529, 0xfc2757d1f534ddc0,
                                          0xdb6295993c439041, 0xfe5163abdebbc561};
  const auto word = [&](int i) -> Value * { return b.getInt64(kTwoOverPi[i]); };
  Value *bits = b.CreateZExt(a.to_bits(t), i64);
  Value *m = b.CreateOr(b.CreateAnd(bits, b.getInt64(0x7fffff)), b.getInt64(0x800000));
  // The bit of weight 2 after multiplication by 2^j is number j - 2, and j = exponent - 150.
  Value *start = b.CreateSub(b.CreateLShr(bits, 23), b.getInt64(152));
  Value *second = b.CreateICmpSGE(start, b.getInt64(64));
  Value *w0 = b.CreateSelect(second, word(1), word(0));
  Value *w1 = b.CreateSelect(second, word(2), word(1));
  Value *w2 = b.CreateSelect(second, word(3), word(2));
  Value *shift = b.CreateAnd(start, b.getInt64(63));
  Value *window = b.CreateIntrinsic(llvm::Intrinsic::fshl, {i64}, {w0, w1, shift});
  Value *next = b.CreateLShr(b.CreateIntrinsic(llvm::Intrinsic::fshl, {i64}, {w1, w2, shift}), 32);
  Value *product = b.CreateAdd(b.CreateMul(m, window), b.CreateLShr(b.CreateMul(m, next), 32));
  // Two integer bits, 62 of fraction; rounded to the nearest integer.
  Value *q = b.CreateLShr(b.CreateAdd(product, b.getInt64(std::uint64_t{1} << 61)), 62);
  Value *fraction = b.CreateSub(product, b.CreateShl(q, 62));
  Value *r = b.CreateFMul(b.CreateSIToFP(fraction, b.getDoubleTy()),
                          llvm::ConstantFP::get(b.getDoubleTy(), 1.57079632679489661923 * 0x1p-62));
  return {b.CreateTrunc(q, b.getInt32Ty()), b.CreateFPTrunc(r, b.getFloatTy())};
}

Value *emit_sine(Arithmetic a, Value *x, bool cosine) {
  IRBuilderBase &b = a.b;
  Value *t = a.absolute(x);
  Value *is_large = b.CreateFCmpOGE(t, a.number(x, 0x1p30));
  const Reduced moderate = reduce_moderate(a, b.CreateSelect(is_large, a.number(x, 0), t));
  const Reduced large = reduce_large(a, b.CreateSelect(is_large, t, a.number(x, 0x1p30)));
  Value *quadrant = b.CreateSelect(is_large, large.quadrant, moderate.quadrant);
  Value *r = b.CreateSelect(is_large, large.r, moderate.r);
  // cos x = sin(x + pi/2); sin is odd, cos is even.
  if (cosine) quadrant = b.CreateAdd(quadrant, b.getInt32(1));
  Value *square = b.CreateFMul(r, r);
  constexpr float kSine[] = {-0.1666666418f, 0.008332747035f, -0.0001958763896f};
  constexpr float kCosine[] = {0.04166666418f, -0.001388830133f, 2.454768946e-5f};
  Value *sine = a.fma(b.CreateFMul(square, r), a.polynomial(square, kSine), r);
  Value *half = a.fma(square, -0.5, a.number(x, 1));
  Value *even = a.fma(b.CreateFMul(square, square), a.polynomial(square, kCosine), half);
  Value *odd_quadrant = b.CreateICmpNE(b.CreateAnd(quadrant, b.getInt32(1)), b.getInt32(0));
  Value *value = b.CreateSelect(odd_quadrant, even, sine);
  Value *sign = b.CreateShl(b.CreateAnd(quadrant, b.getInt32(2)), 30);
  if (!cosine) sign = b.CreateXor(sign, b.CreateAnd(a.to_bits(x), b.getInt32(0x80000000)));
  Value *result = a.to_float(b.CreateXor(a.to_bits(value), sign));
  // inf - inf and NaN - NaN are NaN.
  Value *finite = b.CreateFCmpOLT(t, a.number(x, kInfinity));
  return b.CreateSelect(finite, result, a.number(x, std::nan("")));
}

// A function of the library that only reads its arguments.
Value *call_library(IRBuilderBase &b, const std::string &name,
                    std::initializer_list<Value *> arguments) {
  llvm::SmallVector<Value *, 2> list(arguments);
  llvm::SmallVector<llvm::Type *, 2> types(list.size(), list[0]->getType());
  llvm::Module *module = b.GetInsertBlock()->getModule();
  auto callee = module->getOrInsertFunction(name, llvm::FunctionType::get(types[0], types, false));
  auto *function = llvm::cast<llvm::Function>(callee.getCallee());
  function->setDoesNotAccessMemory();
  function->setDoesNotThrow();
  function->setWillReturn();
  return b.CreateCall(callee, list);
}

}  // namespace

llvm::Value *emit_function(llvm::IRBuilderBase &b, const std::string &prefix, UnaryOp op,
                           llvm::Value *x) {
  const bool single = x->getType()->isFloatTy();
  const Arithmetic a(b);
  switch (op) {
    case UnaryOp::Exp:
      return single ? emit_exp(a, x) : call_library(b, prefix + "exp", {x});
    case UnaryOp::Exp2:
      return single ? emit_exp2(a, x) : call_library(b, prefix + "exp2", {x});
    case UnaryOp::Log:
      return single ? emit_log(a, x) : call_library(b, prefix + "log", {x});
    case UnaryOp::Tanh:
      return single ? emit_tanh(a, x) : call_library(b, prefix + "tanh", {x});
    case UnaryOp::Erf:
      return single ? emit_erf(a, x) : call_library(b, prefix + "erf", {x});
    case UnaryOp::Sin:
      return single ? emit_sine(a, x, false) : call_library(b, prefix + "sin", {x});
    case UnaryOp::Cos:
      return single ? emit_sine(a, x, true) : call_library(b, prefix + "cos", {x});
    default:
      throw InternalError("not a mathematical function");
  }
}

// One step of Newton's behind what the unit for it gives, which flushes denormal numbers: x is made
// smaller and the result again. Of infinity, the step would make NaN; minnum leaves the zero.
llvm::Value *emit_reciprocal(llvm::IRBuilderBase &b, llvm::Value *x) {
  Arithmetic a(b);
  if (!x->getType()->isFloatTy() || !is_gpu(b)) return b.CreateFDiv(a.number(x, 1), x);
  constexpr double kScale = 0x1p-32;
  Value *scaled = b.CreateFMul(x, a.number(x, kScale));
  Value *y = b.CreateIntrinsic(llvm::Intrinsic::nvvm_rcp_approx_ftz_f, {}, {scaled});
  Value *error = a.fma(b.CreateFNeg(scaled), y, 1);
  error = b.CreateBinaryIntrinsic(llvm::Intrinsic::minnum, error, a.number(x, 1));
  return b.CreateFMul(a.fma(y, error, y), a.number(x, kScale));
}

llvm::Value *emit_pow(llvm::IRBuilderBase &b, const std::string &prefix, llvm::Value *x,
                      llvm::Value *y) {
  return call_library(b, prefix + (x->getType()->isFloatTy() ? "powf" : "pow"), {x, y});
}

}  // namespace pit::code
