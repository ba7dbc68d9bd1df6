// Addresses, loads, stores and updates.
#include <algorithm>

#include "dsl/error.h"
#include "function_emitter.h"

namespace pit::code {

namespace {

using llvm::Value;

llvm::AtomicRMWInst::BinOp atomic_operation(Combiner combiner, Type type) {
  using Rmw = llvm::AtomicRMWInst;
  switch (combiner) {
    case Combiner::Sum:
      return type.is_float() ? Rmw::FAdd : Rmw::Add;
    case Combiner::Min:
      return type.is_float() ? Rmw::BAD_BINOP : type.is_int() ? Rmw::Min : Rmw::UMin;
    case Combiner::Max:
      return type.is_float() ? Rmw::BAD_BINOP : type.is_int() ? Rmw::Max : Rmw::UMax;
    case Combiner::And:
      return Rmw::And;
    case Combiner::Or:
      return Rmw::Or;
    case Combiner::Assign:
      return Rmw::Xchg;
    default:
      return Rmw::BAD_BINOP;
  }
}

}  // namespace

StorageValue &FunctionEmitter::storage(const StoragePtr &s) {
  const auto it = env_.storages.find(s.get());
  internal_check(it != env_.storages.end(), "storage '" + s->name + "' is used outside its place");
  return it->second;
}

llvm::Value *FunctionEmitter::address(const StoragePtr &s, const std::vector<Expr> &indices) {
  const StorageValue v = storage(s);
  Value *offset = nullptr;
  const auto add = [&](Value *part) { offset = offset ? b.CreateNSWAdd(offset, part) : part; };
  const auto add_scaled = [&](Value *i, Value *stride) {
    const auto *constant = llvm::dyn_cast<llvm::ConstantInt>(stride);
    add(constant && constant->isOne() ? i : b.CreateNSWMul(i, stride));
  };
  for (std::size_t d = 0; d < indices.size(); ++d) {
    add_scaled(index(indices[d]), v.strides[d]);
  }
  if (!offset) return v.base;
  return b.CreateInBoundsGEP(memory_type(context_, v.type), v.base, offset, s->name + ".at");
}

llvm::Value *FunctionEmitter::load(const StoragePtr &s, llvm::Value *address) {
  const StorageValue &v = storage(s);
  auto *access = b.CreateAlignedLoad(memory_type(context_, v.type), address,
                                     llvm::Align(v.alignment), s->name);
  describe_access(access, s.get());
  return from_memory(b, floats_, v.type, access);
}

llvm::Value *FunctionEmitter::load_element(const Load &e) {
  return load(e.storage, address(e.storage, e.indices));
}

void FunctionEmitter::store(const StoragePtr &s, llvm::Value *address, llvm::Value *v) {
  const StorageValue &to = storage(s);
  auto *access =
      b.CreateAlignedStore(to_memory(b, floats_, to.type, v), address, llvm::Align(to.alignment));
  describe_access(access, s.get());
}

// Elements of tensors are taken to be aligned here: the machine has no atomic access that crosses
// cache lines.
void FunctionEmitter::update_atomically(const ir::Store &s, llvm::Value *address, llvm::Value *v) {
  const Type type = s.storage->type;
  const llvm::Align alignment(static_cast<std::uint64_t>(type.bytes()));
  const auto operation = atomic_operation(s.combiner, type);
  const bool direct =
      operation != llvm::AtomicRMWInst::BAD_BINOP && !(type.is_float() && type.bits == 16);
  if (direct) {
    b.CreateAtomicRMW(operation, address, to_memory(b, floats_, type, v), alignment,
                      llvm::AtomicOrdering::Monotonic);
    return;
  }
  llvm::Type *word = b.getIntNTy(type.bits);
  auto *seen = b.CreateAlignedLoad(word, address, alignment);
  seen->setAtomic(llvm::AtomicOrdering::Monotonic);
  llvm::BasicBlock *before = b.GetInsertBlock();
  llvm::Function *function = before->getParent();
  auto *retry = llvm::BasicBlock::Create(context_, "retry", function);
  auto *done = llvm::BasicBlock::Create(context_, "done", function);
  b.CreateBr(retry);
  b.SetInsertPoint(retry);
  auto *old_bits = b.CreatePHI(word, 2);
  old_bits->addIncoming(seen, before);
  llvm::Type *memory = memory_type(context_, type);
  Value *old = from_memory(b, floats_, type, b.CreateBitCast(old_bits, memory));
  Value *updated = to_memory(b, floats_, type, combine(s.combiner, type, old, v, false));
  auto *exchange =
      b.CreateAtomicCmpXchg(address, old_bits, b.CreateBitCast(updated, word), alignment,
                            llvm::AtomicOrdering::Monotonic, llvm::AtomicOrdering::Monotonic);
  old_bits->addIncoming(b.CreateExtractValue(exchange, 0), b.GetInsertBlock());
  b.CreateCondBr(b.CreateExtractValue(exchange, 1), done, retry);
  b.SetInsertPoint(done);
}

void FunctionEmitter::describe_access(llvm::Instruction *, const StorageNode *) {}

// max(v, 0); a constant stays one.
llvm::Value *FunctionEmitter::not_negative(llvm::Value *v) {
  if (const auto *constant = llvm::dyn_cast<llvm::ConstantInt>(v))
    return constant->isNegative() ? i64(0) : v;
  return b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, v, i64(0));
}

StorageValue FunctionEmitter::compact(Type type, std::vector<Value *> extents) {
  StorageValue v;
  v.type = type;
  v.alignment = static_cast<unsigned>(type.bytes());
  v.extents = std::move(extents);
  v.strides.resize(v.extents.size());
  Value *size = i64(1);
  for (std::size_t d = v.extents.size(); d-- > 0;) {
    v.strides[d] = size;
    size = b.CreateNSWMul(size, v.extents[d]);
  }
  v.unit_dimension = static_cast<int>(v.extents.size()) - 1;
  return v;
}

bool FunctionEmitter::evaluable(const Expr &e) {
  bool possible = true;
  walk(e, [&](const Expr &part) {
    if (part.as<Load>()) possible = false;
    if (const auto *v = part.as<Variable>())
      possible = possible && env_.variables.contains(v->var.get());
    if (const auto *x = part.as<Extent>())
      possible = possible && env_.storages.contains(x->storage.get());
    if (const auto *p = part.as<ParamRef>())
      possible = possible && env_.parameters.contains(p->param.get());
    return possible;
  });
  return possible;
}

// a * b and a + b of sizes, at most the largest number: memory of that size there is none.
llvm::Value *FunctionEmitter::multiply_sizes(llvm::Value *a, llvm::Value *c) {
  const auto *x = llvm::dyn_cast<llvm::ConstantInt>(a), *y = llvm::dyn_cast<llvm::ConstantInt>(c);
  if (x && x->isOne()) return c;
  if (y && y->isOne()) return a;
  if (x && y) {
    std::int64_t product = 0;
    const bool overflows = __builtin_mul_overflow(x->getSExtValue(), y->getSExtValue(), &product);
    return i64(overflows ? INT64_MAX : product);
  }
  Value *result = b.CreateBinaryIntrinsic(llvm::Intrinsic::smul_with_overflow, a, c);
  return b.CreateSelect(b.CreateExtractValue(result, 1), i64(INT64_MAX),
                        b.CreateExtractValue(result, 0));
}

llvm::Value *FunctionEmitter::add_sizes(llvm::Value *a, llvm::Value *c) {
  const auto *x = llvm::dyn_cast<llvm::ConstantInt>(a), *y = llvm::dyn_cast<llvm::ConstantInt>(c);
  if (!x || !y) return b.CreateBinaryIntrinsic(llvm::Intrinsic::sadd_sat, a, c);
  std::int64_t sum = 0;
  const bool overflows = __builtin_add_overflow(x->getSExtValue(), y->getSExtValue(), &sum);
  return i64(overflows ? INT64_MAX : sum);
}

llvm::Value *FunctionEmitter::bytes_of(const StorageValue &v) {
  Value *bytes = i64(v.type.bytes());
  for (Value *extent : v.extents) bytes = multiply_sizes(bytes, extent);
  // Zero in one dimension makes an empty storage, whatever the product of others has come to.
  for (Value *extent : v.extents) {
    if (const auto *constant = llvm::dyn_cast<llvm::ConstantInt>(extent)) {
      if (constant->isZero()) bytes = i64(0);
    } else {
      bytes = b.CreateSelect(b.CreateICmpEQ(extent, i64(0)), i64(0), bytes);
    }
  }
  return bytes;
}

}  // namespace pit::code
