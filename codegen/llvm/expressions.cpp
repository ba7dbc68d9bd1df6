#include <llvm/IR/Intrinsics.h>

#include "conversions.h"
#include "dsl/error.h"
#include "function_emitter.h"
#include "math.h"

namespace pit::code {

namespace {

using llvm::Value;
using llvm::Intrinsic::ID;

/// 1 + exp(...), and the like: not below 1, if it is a number.
bool exceeds_one(const Expr &e) {
  const auto *sum = e.as<Binary>();
  if (sum == nullptr || sum->op != BinaryOp::Add) return false;
  const auto is_exp = [](const Expr &part) {
    const auto *function = part.as<Unary>();
    return function && function->op == UnaryOp::Exp;
  };
  const auto is_at_least_one = [](const Expr &part) {
    const auto *constant = part.as<FloatImm>();
    return constant && constant->value >= 1;
  };
  return (is_at_least_one(sum->a) && is_exp(sum->b)) || (is_exp(sum->a) && is_at_least_one(sum->b));
}

bool is_leaf(const Expr &e) {
  return e->kind == ExprKind::IntImm || e->kind == ExprKind::FloatImm ||
         e->kind == ExprKind::Variable || e->kind == ExprKind::Param || e->kind == ExprKind::Extent;
}

}  // namespace

llvm::Value *FunctionEmitter::value(const Expr &e) {
  internal_check(e.defined(), "an expression is missing");
  if (is_leaf(e)) return compute(e);
  for (auto scope = memo_.rbegin(); scope != memo_.rend(); ++scope) {
    if (const auto it = scope->find(e.get()); it != scope->end()) return it->second;
  }
  Value *v = compute(e);
  if (!memo_.empty()) memo_.back()[e.get()] = v;
  return v;
}

llvm::Value *FunctionEmitter::index(const Expr &e) {
  return convert(b, floats_, e.type(), int64, value(e));
}

llvm::Value *FunctionEmitter::compute(const Expr &e) {
  llvm::Type *type = register_type(context_, e.type());
  switch (e->kind) {
    case ExprKind::IntImm:
      return llvm::ConstantInt::get(type, static_cast<std::uint64_t>(e.as<IntImm>()->value), true,
                                    true);
    case ExprKind::FloatImm:
      return llvm::ConstantFP::get(type, e.as<FloatImm>()->value);
    case ExprKind::Variable: {
      const auto it = env_.variables.find(e.as<Variable>()->var.get());
      internal_check(it != env_.variables.end(),
                     "variable '" + e.as<Variable>()->var->name + "' has no value here");
      return it->second;
    }
    case ExprKind::Param: {
      const auto it = env_.parameters.find(e.as<ParamRef>()->param.get());
      internal_check(it != env_.parameters.end(),
                     "parameter '" + e.as<ParamRef>()->param->name + "' is not bound");
      return it->second;
    }
    case ExprKind::Extent:
      return storage(e.as<Extent>()->storage)
          .extents.at(static_cast<std::size_t>(e.as<Extent>()->dimension));
    case ExprKind::Load:
      return load_element(*e.as<Load>());
    case ExprKind::Unary:
      return compute(*e.as<Unary>());
    case ExprKind::Binary:
      return compute(*e.as<Binary>());
    case ExprKind::Select:
      return compute(*e.as<Select>());
    case ExprKind::Cast:
      return convert(b, floats_, e.as<Cast>()->a.type(), e.type(), value(e.as<Cast>()->a));
    case ExprKind::Call:
    case ExprKind::IndexQuery:
      break;
  }
  throw InternalError("an expression of the language reached the back end: " + to_string(e));
}

llvm::Value *FunctionEmitter::compute(const Unary &e) {
  Value *a = value(e.a);
  const Type type = e.a.type();
  const bool is_float = type.is_float();
  const auto intrinsic = [&](ID id) { return b.CreateUnaryIntrinsic(id, a); };
  switch (e.op) {
    case UnaryOp::Neg:
      return is_float ? b.CreateFNeg(a) : b.CreateNeg(a);
    case UnaryOp::Not:
      return b.CreateNot(a);
    case UnaryOp::Abs:
      if (is_float) return intrinsic(llvm::Intrinsic::fabs);
      return type.is_int() ? b.CreateBinaryIntrinsic(llvm::Intrinsic::abs, a, b.getFalse()) : a;
    case UnaryOp::Sqrt:
      return intrinsic(llvm::Intrinsic::sqrt);
    case UnaryOp::Rsqrt:
      return b.CreateFDiv(llvm::ConstantFP::get(a->getType(), 1), intrinsic(llvm::Intrinsic::sqrt));
    case UnaryOp::Floor:
      return is_float ? intrinsic(llvm::Intrinsic::floor) : a;
    case UnaryOp::Ceil:
      return is_float ? intrinsic(llvm::Intrinsic::ceil) : a;
    case UnaryOp::Round:
      return is_float ? intrinsic(llvm::Intrinsic::roundeven) : a;
    case UnaryOp::IsNan:
      return is_float ? b.CreateFCmpUNO(a, a) : b.getFalse();
    case UnaryOp::IsFinite:
      if (!is_float) return b.getTrue();
      return b.CreateFCmpOLT(intrinsic(llvm::Intrinsic::fabs),
                             llvm::ConstantFP::getInfinity(a->getType()));
    default:
      return emit_function(b, library_prefix_, e.op, a);
  }
}

// Cheap and without effect when its value is not wanted.
bool FunctionEmitter::may_be_speculated(const Expr &e, bool where_wanted, int *budget) {
  if (--*budget < 0) return false;
  switch (e->kind) {
    case ExprKind::Load:
      if (is_at_hand(*e.as<Load>())) return true;
      if (!where_wanted || !reads_where_wanted(*e.as<Load>())) return false;
      break;
    case ExprKind::Unary: {
      const UnaryOp op = e.as<Unary>()->op;
      if ((op == UnaryOp::Exp || op == UnaryOp::Exp2) && avoids_branches()) break;
      if (op == UnaryOp::Exp || op == UnaryOp::Exp2 || op == UnaryOp::Log || op == UnaryOp::Tanh ||
          op == UnaryOp::Erf || op == UnaryOp::Sin || op == UnaryOp::Cos || op == UnaryOp::Sqrt ||
          op == UnaryOp::Rsqrt) {
        return false;
      }
      break;
    }
    case ExprKind::Binary: {
      const BinaryOp op = e.as<Binary>()->op;
      if (op == BinaryOp::Div && e.type() == float32 && avoids_branches()) break;
      const bool by_constant =
          where_wanted && !e.type().is_float() && e.as<Binary>()->b.as<IntImm>();
      if (by_constant && (op == BinaryOp::Div || op == BinaryOp::Mod)) break;
      if (op == BinaryOp::Div || op == BinaryOp::Mod || op == BinaryOp::Pow) return false;
      break;
    }
    default:
      break;
  }
  for (const Expr &operand : operands(e)) {
    if (!may_be_speculated(operand, where_wanted, budget)) return false;
  }
  return true;
}

bool FunctionEmitter::may_be_speculated(const Expr &e) {
  int budget = 8;
  return may_be_speculated(e, false, &budget);
}

// Cheap, but that it reads memory, which it can do without a branch.
bool FunctionEmitter::may_be_computed_together(const Expr &e) {
  int budget = 32;
  return avoids_branches() && may_be_speculated(e, true, &budget);
}

// Anything where `wanted` does not hold.
llvm::Value *FunctionEmitter::value_where(Value *wanted, const Expr &e) {
  const Memo memo(*this);
  Value *const outside = wanted_;
  wanted_ = outside ? b.CreateAnd(outside, wanted) : wanted;
  Value *v = value(e);
  wanted_ = outside;
  return v;
}

// then_value or else_value, whichever the condition chooses; the other is not computed.
llvm::Value *FunctionEmitter::either(llvm::Value *condition, llvm::Type *type,
                                     const std::function<llvm::Value *()> &then_value,
                                     const std::function<llvm::Value *()> &else_value) {
  Value *results[2];
  llvm::BasicBlock *ends[2];
  when(
      condition, [&] { results[0] = then_value(), ends[0] = b.GetInsertBlock(); },
      [&] { results[1] = else_value(), ends[1] = b.GetInsertBlock(); });
  auto *phi = b.CreatePHI(type, 2);
  phi->addIncoming(results[0], ends[0]);
  phi->addIncoming(results[1], ends[1]);
  return phi;
}

llvm::Value *FunctionEmitter::compute(const Select &e) {
  Value *condition = value(e.condition);
  if (may_be_speculated(e.true_value) && may_be_speculated(e.false_value)) {
    return b.CreateSelect(condition, value(e.true_value), value(e.false_value));
  }
  if (may_be_computed_together(e.true_value) && may_be_computed_together(e.false_value)) {
    Value *v = value_where(condition, e.true_value);
    return b.CreateSelect(condition, v, value_where(b.CreateNot(condition), e.false_value));
  }
  return either(
      condition, register_type(context_, e.type), [&] { return value(e.true_value); },
      [&] { return value(e.false_value); });
}

// Euclidean: the remainder is not negative. Anything by zero is zero.
llvm::Value *FunctionEmitter::divide(const Binary &e, llvm::Value *a, llvm::Value *d) {
  const bool remainder = e.op == BinaryOp::Mod;
  const Type type = e.a.type();
  llvm::Type *t = a->getType();
  Value *zero = llvm::ConstantInt::get(t, 0), *one = llvm::ConstantInt::get(t, 1);
  const auto *constant = llvm::dyn_cast<llvm::ConstantInt>(d);
  if (constant && constant->isZero()) return zero;
  const auto nothing_by_zero = [&](Value *result) {
    return constant ? result : b.CreateSelect(b.CreateICmpEQ(d, zero), zero, result);
  };
  if (!type.is_int()) {
    Value *safe = constant ? d : b.CreateBinaryIntrinsic(llvm::Intrinsic::umax, d, one);
    return nothing_by_zero(remainder ? b.CreateURem(a, safe) : b.CreateUDiv(a, safe));
  }
  if (constant && constant->getValue().isPowerOf2() && !constant->isNegative()) {
    // An arithmetic shift rounds down, which is Euclidean for a positive divisor.
    if (remainder) return b.CreateAnd(a, b.CreateSub(d, one));
    return b.CreateAShr(a, llvm::ConstantInt::get(t, constant->getValue().logBase2()));
  }
  // The machine's division traps on the smallest number by -1.
  Value *minus_one = llvm::ConstantInt::getAllOnesValue(t);
  Value *is_minus_one = b.CreateICmpEQ(d, minus_one);
  Value *unsafe = b.CreateOr(b.CreateICmpEQ(d, zero), is_minus_one);
  Value *safe = b.CreateSelect(unsafe, one, d);
  Value *r = b.CreateSRem(a, safe);
  Value *magnitude = b.CreateBinaryIntrinsic(llvm::Intrinsic::abs, safe, b.getFalse());
  Value *negative = b.CreateICmpSLT(r, zero);
  Value *positive_r = b.CreateSelect(negative, b.CreateAdd(r, magnitude), r);
  if (remainder) return nothing_by_zero(positive_r);  // modulo 1 it is 0 for -1 as well
  Value *q = b.CreateSDiv(a, safe);
  Value *step = b.CreateSelect(b.CreateICmpSGT(safe, zero), minus_one, one);
  q = b.CreateSelect(negative, b.CreateAdd(q, step), q);
  return nothing_by_zero(b.CreateSelect(is_minus_one, b.CreateNeg(a), q));
}

llvm::Value *FunctionEmitter::compute(const Binary &e) {
  const Type type = e.a.type();
  if (e.op == BinaryOp::And || e.op == BinaryOp::Or) {
    Value *a = value(e.a);
    const bool is_and = e.op == BinaryOp::And;
    if (may_be_speculated(e.b))
      return is_and ? b.CreateAnd(a, value(e.b)) : b.CreateOr(a, value(e.b));
    if (may_be_computed_together(e.b)) {
      Value *second = value_where(is_and ? a : b.CreateNot(a), e.b);
      return is_and ? b.CreateLogicalAnd(a, second) : b.CreateLogicalOr(a, second);
    }
    const auto second = [&] { return value(e.b); };
    if (is_and) return either(a, b.getInt1Ty(), second, [&]() -> Value * { return b.getFalse(); });
    return either(a, b.getInt1Ty(), [&]() -> Value * { return b.getTrue(); }, second);
  }
  Value *x = value(e.a), *y = value(e.b);
  const bool is_float = type.is_float(), is_signed = type.is_int();
  switch (e.op) {
    case BinaryOp::Add:
      return is_float ? b.CreateFAdd(x, y) : b.CreateAdd(x, y);
    case BinaryOp::Sub:
      return is_float ? b.CreateFSub(x, y) : b.CreateSub(x, y);
    case BinaryOp::Mul:
      return is_float ? b.CreateFMul(x, y) : b.CreateMul(x, y);
    case BinaryOp::Div:
      if (is_float && is_one(e.a) && exceeds_one(e.b)) return emit_reciprocal(b, y);
      return is_float ? b.CreateFDiv(x, y) : divide(e, x, y);
    case BinaryOp::Mod:
      internal_check(!is_float, "remainder of floats");
      return divide(e, x, y);
    case BinaryOp::Min:
      return combine(Combiner::Min, type, x, y, false);
    case BinaryOp::Max:
      return combine(Combiner::Max, type, x, y, false);
    case BinaryOp::Pow:
      return emit_pow(b, library_prefix_, x, y);
    case BinaryOp::BitAnd:
      return b.CreateAnd(x, y);
    case BinaryOp::BitOr:
      return b.CreateOr(x, y);
    case BinaryOp::BitXor:
      return b.CreateXor(x, y);
    case BinaryOp::Shl:
    case BinaryOp::Shr: {
      // Beyond the width nothing is left, but for the sign of a right shift.
      Value *most = llvm::ConstantInt::get(y->getType(), type.bits - 1U);
      Value *inside = b.CreateICmpULE(y, most);
      if (e.op == BinaryOp::Shr && is_signed)
        return b.CreateAShr(x, b.CreateSelect(inside, y, most));
      Value *count = b.CreateAnd(y, most);
      Value *shifted = e.op == BinaryOp::Shl ? b.CreateShl(x, count) : b.CreateLShr(x, count);
      return b.CreateSelect(inside, shifted, llvm::ConstantInt::get(x->getType(), 0));
    }
    case BinaryOp::Eq:
      return is_float ? b.CreateFCmpOEQ(x, y) : b.CreateICmpEQ(x, y);
    case BinaryOp::Ne:
      return is_float ? b.CreateFCmpUNE(x, y) : b.CreateICmpNE(x, y);
    case BinaryOp::Lt:
      return is_float    ? b.CreateFCmpOLT(x, y)
             : is_signed ? b.CreateICmpSLT(x, y)
                         : b.CreateICmpULT(x, y);
    case BinaryOp::Le:
      return is_float    ? b.CreateFCmpOLE(x, y)
             : is_signed ? b.CreateICmpSLE(x, y)
                         : b.CreateICmpULE(x, y);
    case BinaryOp::Gt:
      return is_float    ? b.CreateFCmpOGT(x, y)
             : is_signed ? b.CreateICmpSGT(x, y)
                         : b.CreateICmpUGT(x, y);
    case BinaryOp::Ge:
      return is_float    ? b.CreateFCmpOGE(x, y)
             : is_signed ? b.CreateICmpSGE(x, y)
                         : b.CreateICmpUGE(x, y);
    case BinaryOp::And:
    case BinaryOp::Or:
      break;
  }
  throw InternalError("unknown operator");
}

llvm::Value *FunctionEmitter::combine(Combiner combiner, Type type, llvm::Value *a, llvm::Value *v,
                                      bool reassociate) {
  const llvm::IRBuilderBase::FastMathFlagGuard guard(b);
  llvm::FastMathFlags flags = b.getFastMathFlags();
  flags.setAllowReassoc(reassociate);
  flags.setNoSignedZeros(reassociate);
  const bool is_float = type.is_float();
  switch (combiner) {
    case Combiner::Sum:
      b.setFastMathFlags(flags);
      return is_float ? b.CreateFAdd(a, v) : b.CreateAdd(a, v);
    case Combiner::Product:
      b.setFastMathFlags(flags);
      return is_float ? b.CreateFMul(a, v) : b.CreateMul(a, v);
    case Combiner::Min:
    case Combiner::Max: {
      const bool min = combiner == Combiner::Min;
      if (!is_float) {
        const ID id = type.is_int() ? (min ? llvm::Intrinsic::smin : llvm::Intrinsic::smax)
                                    : (min ? llvm::Intrinsic::umin : llvm::Intrinsic::umax);
        return b.CreateBinaryIntrinsic(id, a, v);
      }
      // The order of the two zeros is not said; with NaN left to the other operand one instruction
      // does it.
      if (const auto *constant = llvm::dyn_cast<llvm::ConstantFP>(v);
          constant && !constant->isNaN()) {
        Value *better = min ? b.CreateFCmpOLT(v, a) : b.CreateFCmpOGT(v, a);
        return b.CreateSelect(better, v, a);
      }
      flags.setAllowReassoc(false);
      flags.setNoSignedZeros(true);
      b.setFastMathFlags(flags);
      return b.CreateBinaryIntrinsic(min ? llvm::Intrinsic::minimum : llvm::Intrinsic::maximum, a,
                                     v);
    }
    case Combiner::And:
      return b.CreateAnd(a, v);
    case Combiner::Or:
      return b.CreateOr(a, v);
    default:
      throw InternalError("a Store has the combiner " + to_string(combiner));
  }
}

}  // namespace pit::code
