#include <algorithm>

#include "codegen/ir/mutator.h"
#include "conversions.h"
#include "dsl/error.h"
#include "generator.h"
#include "runtime/pit_runtime.h"

namespace pit::host {

namespace {

using llvm::Value;

// Vectors and register blocks may be read a little beyond the end of a tile; what is read there is
// not used.
constexpr std::int64_t kSlack = 512;
constexpr std::int64_t kCacheLine = 64;
// What one function keeps on the stack; the rest is a workspace.
constexpr std::int64_t kMostStack = 128 << 10;

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

StorageValue &Generator::storage(const StoragePtr &s) {
  const auto it = env_.storages.find(s.get());
  internal_check(it != env_.storages.end(), "storage '" + s->name + "' is used outside its place");
  return it->second;
}

llvm::Value *Generator::address(const StoragePtr &s, const std::vector<Expr> &indices) {
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

void Generator::describe_access(llvm::Instruction *access, const StorageNode *s) {
  const auto it = alias_scopes_.find(s);
  if (it == alias_scopes_.end()) return;
  access->setMetadata(llvm::LLVMContext::MD_alias_scope, it->second.own);
  access->setMetadata(llvm::LLVMContext::MD_noalias, it->second.others);
  if (!variant_.outputs_overlap_inputs && llvm::isa<llvm::LoadInst>(access) &&
      is_input_.contains(s)) {
    access->setMetadata(llvm::LLVMContext::MD_invariant_load, llvm::MDNode::get(context_, {}));
  }
}

llvm::Value *Generator::load(const StoragePtr &s, llvm::Value *address) {
  const StorageValue &v = storage(s);
  auto *access = b.CreateAlignedLoad(memory_type(context_, v.type), address,
                                     llvm::Align(v.alignment), s->name);
  describe_access(access, s.get());
  return from_memory(b, machine_, v.type, access);
}

void Generator::store(const StoragePtr &s, llvm::Value *address, llvm::Value *v) {
  const StorageValue &to = storage(s);
  auto *access =
      b.CreateAlignedStore(to_memory(b, machine_, to.type, v), address, llvm::Align(to.alignment));
  describe_access(access, s.get());
}

// Elements of tensors are taken to be aligned here: the machine has no atomic access that crosses
// cache lines.
void Generator::update_atomically(const ir::Store &s, llvm::Value *address, llvm::Value *v) {
  const Type type = s.storage->type;
  const llvm::Align alignment(static_cast<std::uint64_t>(type.bytes()));
  const auto operation = atomic_operation(s.combiner, type);
  const bool direct =
      operation != llvm::AtomicRMWInst::BAD_BINOP && !(type.is_float() && type.bits == 16);
  if (direct) {
    b.CreateAtomicRMW(operation, address, to_memory(b, machine_, type, v), alignment,
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
  Value *old = from_memory(b, machine_, type, b.CreateBitCast(old_bits, memory));
  Value *updated = to_memory(b, machine_, type, combine(s.combiner, type, old, v, false));
  auto *exchange =
      b.CreateAtomicCmpXchg(address, old_bits, b.CreateBitCast(updated, word), alignment,
                            llvm::AtomicOrdering::Monotonic, llvm::AtomicOrdering::Monotonic);
  old_bits->addIncoming(b.CreateExtractValue(exchange, 0), b.GetInsertBlock());
  b.CreateCondBr(b.CreateExtractValue(exchange, 1), done, retry);
  b.SetInsertPoint(done);
}

// --- memory of Allocate ---

// max(v, 0); a constant stays one.
llvm::Value *Generator::not_negative(llvm::Value *v) {
  if (const auto *constant = llvm::dyn_cast<llvm::ConstantInt>(v))
    return constant->isNegative() ? i64(0) : v;
  return b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, v, i64(0));
}

// An extent that is read from memory is zero once the call has failed: what would have written it,
// or said that it is there, may not have run.
llvm::Value *Generator::allocated_extent(const Expr &e) {
  bool loads = false;
  walk(e, [&](const Expr &part) {
    loads |= part.as<Load>() != nullptr;
    return !loads;
  });
  if (!loads) return not_negative(index(e));
  llvm::AllocaInst *extent = local(b.getInt64Ty(), "extent");
  b.CreateStore(i64(0), extent);
  when(b.CreateICmpEQ(status(), b.getInt32(PIT_OK)),
       [&] { b.CreateStore(not_negative(index(e)), extent); });
  return b.CreateLoad(b.getInt64Ty(), extent);
}

// Everything of the storage but its base.
StorageValue Generator::shape_of(const ir::Allocate &s) {
  StorageValue v;
  v.type = s.storage->type;
  v.alignment = static_cast<unsigned>(v.type.bytes());
  const std::size_t rank = s.extents.size();
  for (const Expr &e : s.extents) v.extents.push_back(allocated_extent(e));
  v.strides.resize(rank);
  Value *size = i64(1);
  for (std::size_t d = rank; d-- > 0;) {
    v.strides[d] = size;
    size = b.CreateNSWMul(size, v.extents[d]);
  }
  v.unit_dimension = static_cast<int>(rank) - 1;
  return v;
}

// a * b and a + b of sizes, at most the largest number: memory of that size there is none.
llvm::Value *Generator::multiply_sizes(llvm::Value *a, llvm::Value *c) {
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

llvm::Value *Generator::add_sizes(llvm::Value *a, llvm::Value *c) {
  const auto *x = llvm::dyn_cast<llvm::ConstantInt>(a), *y = llvm::dyn_cast<llvm::ConstantInt>(c);
  if (!x || !y) return b.CreateBinaryIntrinsic(llvm::Intrinsic::sadd_sat, a, c);
  std::int64_t sum = 0;
  const bool overflows = __builtin_add_overflow(x->getSExtValue(), y->getSExtValue(), &sum);
  return i64(overflows ? INT64_MAX : sum);
}

llvm::Value *Generator::bytes_of(const ir::Allocate &s) { return bytes_of(s, shape_of(s)); }

llvm::Value *Generator::bytes_of(const ir::Allocate &s, const StorageValue &v) {
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
  const std::int64_t slack = s.storage->space == Space::Tile ? kSlack : 0;
  return b.CreateAnd(add_sizes(bytes, i64(slack + kCacheLine - 1)), i64(-kCacheLine));
}

std::optional<std::int64_t> Generator::static_bytes_of(const ir::Allocate &s) {
  for (const Expr &e : s.extents) {
    std::int64_t extent = 0;
    if (!is_const_int(e, &extent)) return {};
  }
  // With constant extents the size is a constant, too.
  return llvm::cast<llvm::ConstantInt>(bytes_of(s))->getSExtValue();
}

// True when e can be computed here and now: it reads no memory and knows its variables.
bool Generator::evaluable(const Expr &e) {
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

void Generator::with_workspace(llvm::Value *bytes, const std::function<void(llvm::Value *)> &body) {
  llvm::Type *pointer = b.getPtrTy();
  auto reserve = runtime("pit_workspace", pointer, {pointer, b.getInt64Ty()});
  llvm::cast<llvm::Function>(reserve.getCallee())->setReturnDoesNotAlias();
  Value *memory = b.CreateCall(reserve, {env_.call, bytes}, "workspace");
  // Without memory the failure has been reported, and what needs it is left out.
  when(b.CreateIsNotNull(memory), [&] {
    b.CreateAlignmentAssumption(llvm_.getDataLayout(), memory, kCacheLine);
    body(memory);
    b.CreateCall(runtime("pit_workspace_release", b.getVoidTy(), {pointer, pointer}),
                 {env_.call, memory});
  });
}

void Generator::with_reservations(const ir::Stmt &statements, const Body &body) {
  struct Part {
    const ir::StmtNode *owner;
    Value *bytes;
  };
  std::vector<Part> parts;
  ir::walk_statements(statements, [&](const ir::Stmt &s) {
    if (env_.reserved.contains(s.get())) return true;
    if (const auto *loop = s.as<ir::For>()) {
      const bool parallel =
          loop->loop_kind == ir::ForKind::Parallel || loop->loop_kind == ir::ForKind::GpuBlock;
      return !(parallel && machine_.threads);
    }
    std::optional<std::int64_t> size;
    Value *bytes = nullptr;
    if (const auto *allocate = s.as<ir::Allocate>()) {
      if (packed_operands_.contains(allocate->storage.get())) return true;
      if (!std::ranges::all_of(allocate->extents, [&](const Expr &e) { return evaluable(e); }))
        return true;
      size = static_bytes_of(*allocate);
      bytes = size ? i64(*size) : bytes_of(*allocate);
    } else if (const auto *mma = s.as<ir::Mma>()) {
      const auto plan = mma_plans_.find(mma);
      if (plan == mma_plans_.end()) return true;
      size = plan->second.bytes();
      bytes = i64(*size);
    } else {
      return true;
    }
    if (size && *size <= kMostStack - stack_bytes_) {
      stack_bytes_ += *size;
      env_.reserved[s.get()] =
          local(llvm::ArrayType::get(b.getInt8Ty(), static_cast<std::uint64_t>(*size)), "reserved",
                kCacheLine);
    } else {
      parts.push_back({s.get(), bytes});
    }
    return true;
  });
  if (parts.empty()) return body();
  Value *total = i64(0);
  for (const Part &part : parts) total = add_sizes(total, part.bytes);
  with_workspace(total, [&](Value *memory) {
    for (const Part &part : parts) {
      env_.reserved[part.owner] = memory;
      memory = b.CreateInBoundsGEP(b.getInt8Ty(), memory, part.bytes);
    }
    body();
  });
  // The memory is gone; a statement that comes again must not find it.
  for (const Part &part : parts) env_.reserved.erase(part.owner);
}

void Generator::emit(const ir::Allocate &s) {
  if (packed_operands_.contains(s.storage.get())) return emit(s.body);
  StorageValue v = shape_of(s);
  const auto run = [&](Value *base) {
    v.base = base;
    env_.storages[s.storage.get()] = v;
    emit(s.body);
  };
  if (const auto it = env_.reserved.find(&s); it != env_.reserved.end()) return run(it->second);
  with_workspace(bytes_of(s, v), run);
}

}  // namespace pit::host
