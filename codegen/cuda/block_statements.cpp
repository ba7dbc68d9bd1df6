// Statements whose iterations the threads of a block share out.
#include <llvm/IR/IntrinsicsNVPTX.h>

#include <algorithm>
#include <utility>

#include "codegen/ir/block_memory.h"
#include "codegen/llvm/access.h"
#include "codegen/llvm/tile_nest.h"
#include "dsl/error.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using code::register_type;
using llvm::Value;

constexpr std::int64_t kWarp = 32;
constexpr unsigned kShared = 3;
/// Elements of a list that a thread loads before it stores them.
constexpr std::int64_t kLoadsAtOnce = 8;

}  // namespace

KernelEmitter::Iterations KernelEmitter::iterations_of(const std::vector<VarPtr> &axes) {
  Iterations all{.axes = axes, .bound = 1};
  for (const VarPtr &axis : axes) {
    if (__builtin_mul_overflow(all.bound, env_.axes.at(axis.get()).bound, &all.bound))
      all.bound = 0;
  }
  // Numbers of iterations are 32-bit where that is known to do: their division is much cheaper.
  const bool narrow = all.bound > 0 && all.bound <= (std::int64_t{1} << 30);
  all.type = narrow ? b.getInt32Ty() : b.getInt64Ty();
  all.total = llvm::ConstantInt::get(all.type, 1);
  for (const VarPtr &axis : axes) {
    all.extents.push_back(b.CreateTrunc(not_negative(env_.axes.at(axis.get()).extent), all.type));
    all.total = b.CreateNSWMul(all.total, all.extents.back());
  }
  return all;
}

void KernelEmitter::go_to(const Iterations &all, Value *i) {
  Value *rest = i;
  for (std::size_t d = all.axes.size(); d-- > 0;) {
    Value *at = d == 0 ? rest : b.CreateURem(rest, all.extents[d]);
    if (d > 0) rest = b.CreateUDiv(rest, all.extents[d]);
    env_.variables[all.axes[d].get()] = b.CreateZExt(at, b.getInt64Ty(), all.axes[d]->name);
  }
}

void KernelEmitter::share_out(const std::vector<VarPtr> &axes, Value *first, Value *step,
                              const Body &body) {
  const Iterations all = iterations_of(axes);
  loop(b.CreateTrunc(first, all.type), all.total, b.CreateTrunc(step, all.type), "share",
       code::LoopStyle::Batched, [&](Value *i) {
         go_to(all, i);
         body();
       });
}

void KernelEmitter::emit(const ir::Store &s) {
  if (failed_ && s.storage->space != Space::Tile) {
    learn_status();
    llvm::AllocaInst *failed = std::exchange(failed_, nullptr);
    when(b.CreateNot(b.CreateLoad(b.getInt1Ty(), failed)), [&] { emit(s); });
    failed_ = failed;
    return;
  }
  if (in_thread_) return FunctionEmitter::emit(s);
  if (lane_tiles_.contains(s.storage.get()))
    return timed(Work::Gather, [&] { store_lane_tile(s); });
  if (const auto use = fragments_of(s)) {
    const bool leaves = s.storage->space != Space::Tile;
    return timed(leaves ? Work::Scatter : Work::Compute, [&] { emit_over_fragments(s, *use); });
  }
  if (s.axes.empty()) {
    // Memory of their own all threads write, so that it is equal in all of them.
    if (is_local(s.storage)) return FunctionEmitter::emit(s);
    return when(b.CreateICmpEQ(thread_, i64(0)), [&] { FunctionEmitter::emit(s); });
  }
  if (mark_columns(s) || copy_wide(s) || load_at_once(s)) return;
  store_elements(s);
}

// A list whose elements are in memory: those of a thread are loaded before one is stored. Beyond
// the end several threads have the last element, so that no load waits for a condition.
bool KernelEmitter::load_at_once(const ir::Store &s) {
  const auto reads = [&](const Expr &e) {
    bool found = false;
    walk(e, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      return !(found = found || (load && load->storage == s.storage));
    });
    return found;
  };
  if (staged_ || s.combiner != Combiner::Assign || s.storage->space != Space::Tile ||
      s.axes.size() != 1 || !s.guards.empty() || !reads_memory(s.value) || reads(s.value) ||
      std::ranges::any_of(s.indices, reads)) {
    return false;
  }
  const Iterations all = iterations_of(s.axes);
  const std::int64_t passes = (all.bound + threads_ - 1) / threads_;
  if (passes < 2 || passes > kLoadsAtOnce) return false;
  const auto number = [&](std::int64_t n) {
    return llvm::ConstantInt::get(all.type, static_cast<std::uint64_t>(n));
  };
  when(b.CreateICmpSGT(all.total, number(0)), [&] {
    Value *last = b.CreateSub(all.total, number(1));
    std::vector<std::pair<Value *, Value *>> loaded;  // where to, and what
    for (std::int64_t pass = 0; pass < passes; ++pass) {
      const Memo memo(*this);
      Value *own = b.CreateNSWAdd(b.CreateTrunc(thread_, all.type), number(pass * threads_));
      go_to(all, b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, own, last));
      Value *v = value(s.value);
      loaded.emplace_back(address(s.storage, s.indices), v);
    }
    for (const auto &[place, v] : loaded) store(s.storage, place, v);
  });
  return true;
}

void KernelEmitter::store_elements(const ir::Store &s) {
  if (ir::reduces_to_one_element(s)) return reduce_by_block(s);
  // Updates of one element are one thread's, in their order.
  std::vector<VarPtr> kept, reduced;
  std::int64_t bound = 1;
  const auto bound_of = [&](const VarPtr &axis) { return env_.axes.at(axis.get()).bound; };
  const std::vector<VarPtr> distinct = code::distinct_axes(s.indices, s.axes, bound_of);
  for (const VarPtr &axis : code::TileNest(*this, s.axes, s.guards).order_for(s)) {
    const bool apart =
        s.combiner == Combiner::Assign || std::ranges::find(distinct, axis) != distinct.end();
    (apart ? kept : reduced).push_back(axis);
    if (apart && __builtin_mul_overflow(bound, bound_of(axis), &bound)) bound = 0;
  }
  // What is summed into one element may be summed by a warp; what may be several elements may not.
  const bool one_element = std::ranges::none_of(s.indices, [&](const Expr &index) {
    return std::ranges::any_of(reduced, [&](const VarPtr &axis) { return uses(index, axis); });
  });
  if (kept.empty()) {
    return when(b.CreateICmpEQ(thread_, i64(0)),
                [&] { code::TileNest(*this, reduced, s.guards).store(s); });
  }
  if (one_element && !reduced.empty() && bound > 0 && bound <= threads_ / 8)
    return reduce_by_warps(s, kept, reduced);
  share_out(kept, thread_, i64(threads_),
            [&] { code::TileNest(*this, reduced, s.guards).store(s); });
}

void KernelEmitter::emit(const ir::Mma &s) {
  if (staged_) {
    const ir::Atom *atom = ir::find_atom(s.atom);
    internal_check(atom != nullptr, "a matrix multiplication names no atom");
    return timed(Work::Compute, [&] {
      switch (atom->kind) {
        case ir::AtomKind::WarpgroupMatrix:
          emit_wgmma(s);
          return follow_products(ir::make<ir::Mma>(s), &under_way_);
        case ir::AtomKind::WarpMatrix:
          return emit_mma_sync(s, *atom);
        case ir::AtomKind::MultiplyAdd:
          return emit_multiply_add(s);
      }
    });
  }
  // As the definition says: the store that this makes is shared out.
  FunctionEmitter::emit(s);
}

// --- reductions ---

llvm::Value *KernelEmitter::partial(const ir::Store &s, const std::vector<VarPtr> &reduced,
                                    Value *first, Value *step, Value **held) {
  const Type type = s.storage->type;
  llvm::Type *register_t = register_type(context_, type);
  llvm::AllocaInst *sum = local(register_t, "sum");
  llvm::AllocaInst *any = local(b.getInt8Ty(), "held");
  // -0 is the number that every sum leaves as it is.
  b.CreateStore(s.combiner == Combiner::Sum && type.is_float()
                    ? llvm::ConstantFP::getNegativeZero(register_t)
                    : value(identity_of(s.combiner, type)),
                sum);
  b.CreateStore(b.getInt8(0), any);
  share_out(reduced, first, step, [&] {
    code::TileNest(*this, {}, s.guards).run([&] {
      b.CreateStore(b.getInt8(1), any);
      b.CreateStore(combine(s.combiner, type, b.CreateLoad(register_t, sum), value(s.value), true),
                    sum);
    });
  });
  *held = b.CreateICmpNE(b.CreateLoad(b.getInt8Ty(), any), b.getInt8(0));
  return b.CreateLoad(register_t, sum);
}

// A number of up to 64 bits from another lane, `which` of them the instruction says.
llvm::Value *KernelEmitter::shuffle(llvm::Intrinsic::ID instruction, Value *v, Value *which,
                                    int clamp) {
  llvm::Type *type = v->getType(), *i32 = b.getInt32Ty();
  const unsigned bits = type->getPrimitiveSizeInBits();
  const auto word = [&](Value *x) -> Value * {
    return b.CreateIntrinsic(
        instruction, {},
        {b.getInt32(0xffffffffU), x, which, b.getInt32(static_cast<std::uint32_t>(clamp))});
  };
  Value *x = b.CreateBitCast(v, b.getIntNTy(bits));
  if (bits <= 32) {
    Value *moved = b.CreateTrunc(word(b.CreateZExt(x, i32)), b.getIntNTy(bits));
    return b.CreateBitCast(moved, type);
  }
  Value *low = b.CreateZExt(word(b.CreateTrunc(x, i32)), b.getInt64Ty());
  Value *high = b.CreateZExt(word(b.CreateTrunc(b.CreateLShr(x, 32), i32)), b.getInt64Ty());
  return b.CreateBitCast(b.CreateOr(low, b.CreateShl(high, 32)), type);
}

// The value of the lane whose number differs by the bits of `mask`.
llvm::Value *KernelEmitter::exchange(Value *v, int mask) {
  return shuffle(llvm::Intrinsic::nvvm_shfl_sync_bfly_i32, v,
                 b.getInt32(static_cast<std::uint32_t>(mask)), 31);
}

llvm::Value *KernelEmitter::from_lane_below(Value *v, int distance) {
  return shuffle(llvm::Intrinsic::nvvm_shfl_sync_up_i32, v,
                 b.getInt32(static_cast<std::uint32_t>(distance)), 0);
}

llvm::Value *KernelEmitter::combine_in_warp(const ir::Store &s, Value *v) {
  for (int mask = 16; mask > 0; mask /= 2)
    v = combine(s.combiner, s.storage->type, v, exchange(v, mask), true);
  return v;
}

llvm::Value *KernelEmitter::any_in_warp(Value *held) {
  for (int mask = 16; mask > 0; mask /= 2) held = b.CreateOr(held, exchange(held, mask));
  return held;
}

// element combiner= v
void KernelEmitter::update(const ir::Store &s, Value *v) {
  Value *at = address(s.storage, s.indices);
  if (s.atomic) return update_atomically(s, at, v);
  store(s.storage, at, combine(s.combiner, s.storage->type, load(s.storage, at), v, false));
}

void KernelEmitter::reduce_by_warps(const ir::Store &s, const std::vector<VarPtr> &kept,
                                    const std::vector<VarPtr> &reduced) {
  share_out(kept, warp_, i64(threads_ / kWarp), [&] {
    Value *held = nullptr;
    Value *v = combine_in_warp(s, partial(s, reduced, lane_, i64(kWarp), &held));
    held = any_in_warp(held);
    when(b.CreateAnd(held, b.CreateICmpEQ(lane_, i64(0))), [&] { update(s, v); });
  });
}

// Warps leave their parts in memory, from where every thread combines them in one order.
void KernelEmitter::reduce_by_block(const ir::Store &s) {
  Value *held = nullptr;
  if (s.combiner == Combiner::Or && s.storage->type == boolean && role_ == 0) {
    // One barrier tells all threads whether the condition holds for any.
    Value *mine = partial(s, s.axes, thread_, i64(threads_), &held);
    Value *any = b.CreateIntrinsic(llvm::Intrinsic::nvvm_barrier_cta_red_or_aligned_all, {},
                                   {b.getInt32(0), b.CreateAnd(held, mine)});
    return when(is_local(s.storage) ? any : b.CreateAnd(any, b.CreateICmpEQ(thread_, i64(0))),
                [&] { update(s, any); });
  }
  Value *v = combine_in_warp(s, partial(s, s.axes, thread_, i64(threads_), &held));
  held = any_in_warp(held);
  llvm::Type *type = v->getType();
  const std::int64_t warps = (threads_ + kWarp - 1) / kWarp;
  barrier();  // behind the last reading of this memory
  when(b.CreateICmpEQ(lane_, i64(0)), [&] {
    b.CreateStore(v, scratch(warp_));
    b.CreateStore(held, scratch(b.CreateAdd(warp_, i64(kWarp))));
  });
  barrier();
  v = b.CreateLoad(type, scratch(i64(0)));
  held = b.CreateLoad(b.getInt1Ty(), scratch(i64(kWarp)));
  for (std::int64_t w = 1; w < warps; ++w) {
    v = combine(s.combiner, s.storage->type, v, b.CreateLoad(type, scratch(i64(w))), true);
    held = b.CreateOr(held, b.CreateLoad(b.getInt1Ty(), scratch(i64(kWarp + w))));
  }
  Value *writes = is_local(s.storage) ? held : b.CreateAnd(held, b.CreateICmpEQ(thread_, i64(0)));
  when(writes, [&] { update(s, v); });
}

llvm::Value *KernelEmitter::scratch(Value *slot) {
  auto *type = llvm::ArrayType::get(b.getInt64Ty(), 2 * kWarp);
  if (!scratch_) {
    scratch_ = new llvm::GlobalVariable(llvm_, type, false, llvm::GlobalValue::InternalLinkage,
                                        llvm::UndefValue::get(type), "pit_scratch", nullptr,
                                        llvm::GlobalValue::NotThreadLocal, kShared);
  }
  // Roles have parts of their own.
  return b.CreateInBoundsGEP(b.getInt64Ty(), scratch_, b.CreateAdd(slot, i64(first_warp_)));
}

// destination[i + 1] = the sum of max(source[j], 0), j <= i: a warp at a time by shuffles, the
// warps' sums through memory, blocks of threads_ elements one after the other.
void KernelEmitter::emit(const ir::Prefix &s) {
  internal_check(!in_thread_, "a prefix sum inside a thread loop");
  llvm::Type *i64_type = b.getInt64Ty();
  const Type from = s.source->type, to = s.destination->type;
  const auto at = [&](const StoragePtr &array, Value *i) {
    return b.CreateInBoundsGEP(code::memory_type(context_, array->type), storage(array).base, i);
  };
  const auto store_at = [&](Value *i, Value *v) {
    store(s.destination, at(s.destination, i), code::convert(b, floats_, int64, to, v));
  };
  Value *length = index(s.length);
  when(b.CreateICmpEQ(thread_, i64(0)), [&] { store_at(i64(0), i64(0)); });
  llvm::AllocaInst *carry = local(i64_type, "carry"), *element = local(i64_type, "element");
  b.CreateStore(i64(0), carry);
  loop(i64(0), length, i64(threads_), "part", code::LoopStyle::NotVectorized, [&](Value *start) {
    Value *i = b.CreateNSWAdd(start, thread_);
    Value *inside = b.CreateICmpSLT(i, length);
    b.CreateStore(i64(0), element);
    when(inside, [&] {
      Value *v = code::convert(b, floats_, from, int64, load(s.source, at(s.source, i)));
      b.CreateStore(not_negative(v), element);
    });
    Value *sum = b.CreateLoad(i64_type, element);
    for (int step = 1; step < kWarp; step *= 2) {
      Value *other = from_lane_below(sum, step);
      sum = b.CreateAdd(sum, b.CreateSelect(b.CreateICmpSGE(lane_, i64(step)), other, i64(0)));
    }
    barrier();
    when(b.CreateICmpEQ(lane_, i64(kWarp - 1)), [&] { b.CreateStore(sum, scratch(warp_)); });
    barrier();
    Value *before = b.CreateLoad(i64_type, carry), *all = before;
    for (std::int64_t w = 0; w < threads_ / kWarp; ++w) {
      Value *part = b.CreateLoad(i64_type, scratch(i64(w)));
      before = b.CreateAdd(before, b.CreateSelect(b.CreateICmpSLT(i64(w), warp_), part, i64(0)));
      all = b.CreateAdd(all, part);
    }
    b.CreateStore(all, carry);
    when(inside, [&] { store_at(b.CreateNSWAdd(i, i64(1)), b.CreateAdd(before, sum)); });
  });
}

}  // namespace pit::cuda
