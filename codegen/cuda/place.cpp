// What index building needs of a device beyond loops: a block numbers the marked elements of a
// tile, and blocks sum over those before them while all run.
#include <llvm/IR/IntrinsicsNVPTX.h>

#include <algorithm>

#include "codegen/llvm/tile_nest.h"
#include "dsl/error.h"
#include "kernel_emitter.h"
#include "runtime/pit_cuda.h"

namespace pit::cuda {

namespace {

using llvm::Value;

constexpr std::int64_t kWarp = 32;
/// Marks that a thread takes at a time: the bytes of one access.
constexpr int kMarks = 8;
/// Parts before it that a lane looks at together: their loads wait together.
constexpr int kLooks = 8;
/// Iterations of an ordered fetch_add that a lane has before it is the next warp's turn.
constexpr std::int64_t kIterationsInTurn = 4;

}  // namespace

Value *KernelEmitter::sum_of_lanes_below(Value *v) {
  Value *sum = v;
  for (int step = 1; step < kWarp; step *= 2) {
    Value *other = b.CreateIntrinsic(llvm::Intrinsic::nvvm_shfl_sync_up_i32, {},
                                     {b.getInt32(0xffffffffU), sum,
                                      b.getInt32(static_cast<std::uint32_t>(step)), b.getInt32(0)});
    sum = b.CreateAdd(sum, b.CreateSelect(b.CreateICmpSGE(lane_, i64(step)), other, b.getInt32(0)));
  }
  return b.CreateSub(sum, v);
}

// The marks of a thread are the bytes of a word, so that counting them is one instruction. Threads
// take their words in order; the sums inside warps go through shuffles, those of warps through
// memory.
void KernelEmitter::emit(const ir::Compact &s) {
  internal_check(!in_thread_, "a compaction inside a thread loop");
  llvm::Type *i32 = b.getInt32Ty(), *word_type = b.getInt64Ty();
  Value *marks = storage(s.marks).base, *list = storage(s.list).base;
  Value *length = not_negative(index(s.length));
  llvm::AllocaInst *carry = local(i32, "carry"), *word = local(word_type, "word");
  b.CreateStore(b.getInt32(0), carry);
  loop(i64(0), length, i64(threads_ * kMarks), "part", code::LoopStyle::NotVectorized,
       [&](Value *start) {
         Value *first = b.CreateNSWAdd(start, b.CreateNSWMul(thread_, i64(kMarks)), "first");
         b.CreateStore(b.getInt64(0), word);
         // Memory behind the last mark is the tile's own up to the word's end, but undefined.
         when(b.CreateICmpSLT(first, length), [&] {
           Value *at = b.CreateInBoundsGEP(b.getInt8Ty(), marks, first);
           Value *bytes = b.CreateAlignedLoad(word_type, at, llvm::Align(kMarks));
           Value *beyond = b.CreateNSWMul(
               b.CreateBinaryIntrinsic(llvm::Intrinsic::smax,
                                       b.CreateNSWSub(b.CreateNSWAdd(first, i64(kMarks)), length),
                                       i64(0)),
               i64(8));
           b.CreateStore(b.CreateAnd(bytes, b.CreateLShr(b.getInt64(0x0101010101010101U), beyond)),
                         word);
         });
         Value *mine = b.CreateLoad(word_type, word);
         Value *count =
             b.CreateTrunc(b.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, mine), i32, "count");
         Value *below = sum_of_lanes_below(count);
         barrier();  // behind the last reading of this memory
         when(b.CreateICmpEQ(lane_, i64(kWarp - 1)), [&] {
           b.CreateStore(b.CreateZExt(b.CreateAdd(below, count), word_type), scratch(warp_));
         });
         barrier();
         Value *before = b.CreateLoad(i32, carry), *all = before;
         for (std::int64_t w = 0; w < (threads_ + kWarp - 1) / kWarp; ++w) {
           Value *part = b.CreateTrunc(b.CreateLoad(word_type, scratch(i64(w))), i32);
           before = b.CreateAdd(
               before, b.CreateSelect(b.CreateICmpSLT(i64(w), warp_), part, b.getInt32(0)));
           all = b.CreateAdd(all, part);
         }
         b.CreateStore(all, carry);
         when(b.CreateICmpNE(mine, b.getInt64(0)), [&] {
           Value *position = b.CreateAdd(before, below);
           for (int k = 0; k < kMarks; ++k) {
             Value *mark =
                 b.CreateAnd(b.CreateLShr(mine, static_cast<std::uint64_t>(8 * k)), b.getInt64(1));
             when(b.CreateICmpNE(mark, b.getInt64(0)), [&] {
               Value *j = b.CreateTrunc(b.CreateNSWAdd(first, i64(k)), i32);
               b.CreateAlignedStore(
                   j, b.CreateInBoundsGEP(i32, list, b.CreateZExt(position, word_type)),
                   llvm::Align(4));
             });
             position = b.CreateAdd(position, b.CreateTrunc(mark, i32));
           }
         });
       });
  store(s.count, storage(s.count).base, b.CreateLoad(i32, carry));
}

// A warp has a run of iterations, 32 at a time. Which of its lanes mean the same counter they find
// out by themselves, so that the first of these adds for all; only that is done by one warp after
// the other. It is an atomic operation, although nobody else is there: one instruction, for whose
// result the next one does not wait.
void KernelEmitter::fetch_in_order(const ir::FetchAdd &s) {
  llvm::Type *i32 = b.getInt32Ty(), *type = code::register_type(context_, s.counters->type);
  const Iterations all = iterations_of(s.axes);
  const std::int64_t needed =
      all.bound > 0 ? (all.bound + threads_ - 1) / threads_ : kIterationsInTurn;
  const std::int64_t own = std::min(needed, kIterationsInTurn);  // of a lane
  Value *counters = storage(s.counters).base, *added = value(s.value), *none = b.getInt32(~0U);
  Value *every_lane = b.getInt32(0xffffffffU);
  Value *lanes_below = b.CreateIntrinsic(llvm::Intrinsic::nvvm_read_ptx_sreg_lanemask_lt, {});
  const auto number = [&](std::int64_t n) {
    return llvm::ConstantInt::get(all.type, static_cast<std::uint64_t>(n));
  };
  const auto times = [&](Value *count) {
    return b.CreateMul(b.CreateZExtOrTrunc(count, type), added);
  };
  const auto counted = [&](Value *lanes) {
    return b.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, lanes);
  };
  struct Iteration {
    Value *number, *counter, *same;    ///< lanes that mean the same counter
    llvm::AllocaInst *meant, *before;  ///< the counter's number, and what was in it
  };
  std::vector<Iteration> mine(static_cast<std::size_t>(own));
  for (Iteration &m : mine) {
    m.meant = local(i32, "counter");
    m.before = local(type, "before");
  }
  Value *first = b.CreateTrunc(b.CreateNSWAdd(b.CreateNSWMul(warp_, i64(kWarp * own)), lane_),
                               all.type, "first");
  loop(number(0), all.total, number(threads_ * own), "part", code::LoopStyle::NotVectorized,
       [&](Value *start) {
         for (std::size_t k = 0; k < mine.size(); ++k) {
           Iteration &m = mine[k];
           m.number = b.CreateNSWAdd(b.CreateNSWAdd(start, first),
                                     number(kWarp * static_cast<std::int64_t>(k)));
           b.CreateStore(none, m.meant);
           when(b.CreateICmpSLT(m.number, all.total), [&] {
             go_to(all, m.number);
             code::TileNest(*this, {}, s.guards).run([&] {
               b.CreateStore(b.CreateTrunc(index(s.at), i32), m.meant);
             });
           });
           m.counter = b.CreateLoad(i32, m.meant);
           m.same = b.CreateIntrinsic(llvm::Intrinsic::nvvm_match_any_sync_i32, {},
                                      {every_lane, m.counter});
         }
         loop(i64(threads_ / kWarp), "turn", code::LoopStyle::NotVectorized, [&](Value *turn) {
           when(b.CreateICmpEQ(warp_, turn), [&] {
             for (const Iteration &m : mine) {
               Value *is_first = b.CreateICmpEQ(b.CreateAnd(m.same, lanes_below), b.getInt32(0));
               when(b.CreateAnd(b.CreateICmpNE(m.counter, none), is_first), [&] {
                 Value *at = b.CreateInBoundsGEP(code::memory_type(context_, s.counters->type),
                                                 counters, b.CreateZExt(m.counter, b.getInt64Ty()));
                 Value *before = b.CreateAtomicRMW(
                     llvm::AtomicRMWInst::Add, at, times(counted(m.same)),
                     llvm::Align(static_cast<std::uint64_t>(s.counters->type.bytes())),
                     llvm::AtomicOrdering::Monotonic,
                     llvm_.getContext().getOrInsertSyncScopeID("block"));
                 b.CreateStore(before, m.before);
               });
               b.CreateIntrinsic(llvm::Intrinsic::nvvm_bar_warp_sync, {}, {every_lane});
             }
           });
           barrier();
         });
         for (const Iteration &m : mine) {
           Value *from = b.CreateBinaryIntrinsic(llvm::Intrinsic::cttz, m.same, b.getTrue());
           Value *before = shuffle(llvm::Intrinsic::nvvm_shfl_sync_idx_i32,
                                   b.CreateLoad(type, m.before), from, 31);
           before = b.CreateAdd(before, times(counted(b.CreateAnd(m.same, lanes_below))));
           when(b.CreateICmpNE(m.counter, none), [&] {
             go_to(all, m.number);
             store(s.destination, address(s.destination, s.indices), before);
           });
         }
       });
}

// Threads share out the iterations: how many add to one counter at a time is the hardware's to
// order. Without axes the block adds once, and all its threads get the number.
void KernelEmitter::emit(const ir::FetchAdd &s) {
  internal_check(!in_thread_ && !staged_, "a fetch_add inside a thread loop or a staged kernel");
  if (s.ordered) return fetch_in_order(s);
  const char *scope = s.counters->space == Space::Tile ? "block" : "device";
  const auto add = [&]() -> Value * {
    Value *counter = address(s.counters, {s.at});
    return b.CreateAtomicRMW(llvm::AtomicRMWInst::Add, counter, value(s.value),
                             llvm::Align(static_cast<std::uint64_t>(s.counters->type.bytes())),
                             llvm::AtomicOrdering::Monotonic,
                             llvm_.getContext().getOrInsertSyncScopeID(scope));
  };
  const auto keep = [&](Value *before) {
    store(s.destination, address(s.destination, s.indices), before);
  };
  if (!s.axes.empty()) {
    return share_out(s.axes, thread_, i64(threads_),
                     [&] { code::TileNest(*this, {}, s.guards).run([&] { keep(add()); }); });
  }
  code::TileNest(*this, {}, s.guards).run([&] {
    barrier();  // behind the last reading of this memory
    when(b.CreateICmpEQ(thread_, i64(0)), [&] { b.CreateStore(add(), scratch(i64(0))); });
    barrier();
    Value *before = b.CreateLoad(code::register_type(context_, s.counters->type), scratch(i64(0)));
    is_local(s.destination) ? keep(before)
                            : when(b.CreateICmpEQ(thread_, i64(0)), [&] { keep(before); });
  });
}

// A look-back. The block says its value, and its first warp goes back over the parts before until
// one knows its sum; then the block says its own sum. What is said fits one word, so no other
// memory is ordered by it.
void KernelEmitter::emit(const ir::SumBefore &s) {
  internal_check(!in_thread_, "a sum over parts inside a thread loop");
  llvm::Type *i32 = b.getInt32Ty(), *word = b.getInt64Ty();
  Value *first = index(s.first), *part = index(s.part), *value = index(s.value);
  Value *progress = storage(s.progress).base;
  const auto at = [&](Value *p) { return b.CreateInBoundsGEP(word, progress, p); };
  const auto say = [&](Value *sum, std::uint64_t state) {
    auto *store = b.CreateAlignedStore(b.CreateOr(b.CreateShl(sum, 2), b.getInt64(state)), at(part),
                                       llvm::Align(8));
    store->setAtomic(llvm::AtomicOrdering::Monotonic,
                     llvm_.getContext().getOrInsertSyncScopeID("device"));
  };
  const auto look = [&](Value *p) -> Value * {
    auto *load = b.CreateAlignedLoad(word, at(p), llvm::Align(8));
    load->setAtomic(llvm::AtomicOrdering::Monotonic,
                    llvm_.getContext().getOrInsertSyncScopeID("device"));
    return load;
  };
  Value *is_first = b.CreateICmpEQ(part, first);
  barrier();  // behind the last reading of this memory
  when(b.CreateICmpEQ(warp_, i64(0)), [&] {
    Value *speaks = b.CreateICmpEQ(lane_, i64(0));
    when(b.CreateAnd(speaks, b.CreateNot(is_first)), [&] { say(value, 1); });
    llvm::AllocaInst *sum = local(word, "sum"), *end = local(word, "end");
    b.CreateStore(b.getInt64(0), sum);
    b.CreateStore(part, end);
    llvm::Function *function = b.GetInsertBlock()->getParent();
    const auto block = [&](const char *name) {
      return llvm::BasicBlock::Create(context_, name, function);
    };
    llvm::BasicBlock *waits = block("waits"), *known = block("known");
    b.CreateCondBr(is_first, known, waits);
    b.SetInsertPoint(waits);
    // Of few parts no more are looked at than there are: who waits takes turns with who works.
    llvm::BasicBlock *near = block("near"), *far = block("far");
    b.CreateCondBr(b.CreateICmpSLE(b.CreateNSWSub(part, first), i64(kWarp)), near, far);
    const auto look_back = [&](llvm::BasicBlock *back, int looks) {
      auto *add = block("add");
      // The nearest parts before `end`; again while one of them has said nothing.
      b.SetInsertPoint(back);
      std::vector<Value *> said;
      Value *all_said = b.getTrue();
      Value *last = b.CreateLoad(word, end);
      for (int i = 0; i < looks; ++i) {
        Value *p = b.CreateNSWSub(b.CreateNSWSub(last, i64(1 + i * kWarp)), lane_);
        // Before the first part the sum is known to be 0.
        Value *is_part = b.CreateICmpSGE(p, first);
        Value *seen = look(b.CreateSelect(is_part, p, first));
        said.push_back(b.CreateSelect(is_part, seen, b.getInt64(2)));
        all_said = b.CreateAnd(all_said, b.CreateICmpNE(said.back(), b.getInt64(0)));
      }
      Value *go_on = b.CreateIntrinsic(llvm::Intrinsic::nvvm_vote_all_sync, {},
                                       {b.getInt32(0xffffffffU), all_said});
      if (!arguments_.failed_before) {
        b.CreateCondBr(go_on, add, back);
      } else {
        // Blocks that begin after a failure say nothing.
        llvm::BasicBlock *again = block("again");
        b.CreateCondBr(go_on, add, again);
        b.SetInsertPoint(again);
        Value *status = b.CreateLoad(i32, arguments_.status, true);
        Value *failed = b.CreateIntrinsic(
            llvm::Intrinsic::nvvm_vote_any_sync, {},
            {b.getInt32(0xffffffffU), b.CreateICmpNE(status, b.getInt32(PIT_OK))});
        b.CreateCondBr(failed, known, back);
      }
      b.SetInsertPoint(add);
      Value *mine = b.getInt64(0), *found = b.getFalse();
      for (Value *v : said) {
        Value *knows = b.CreateICmpEQ(b.CreateAnd(v, b.getInt64(3)), b.getInt64(2));
        Value *those = b.CreateIntrinsic(llvm::Intrinsic::nvvm_vote_ballot_sync, {},
                                         {b.getInt32(0xffffffffU), knows});
        // Lanes up to the first that knows its sum.
        Value *up_to = b.CreateXor(those, b.CreateSub(those, b.getInt32(1)));
        Value *here = b.CreateICmpNE(
            b.CreateAnd(b.CreateLShr(up_to, b.CreateTrunc(lane_, i32)), b.getInt32(1)),
            b.getInt32(0));
        Value *counts = b.CreateAnd(here, b.CreateNot(found));
        mine = b.CreateAdd(
            mine, b.CreateSelect(counts, b.CreateLShr(v, std::uint64_t{2}), b.getInt64(0)));
        found = b.CreateOr(found, b.CreateICmpNE(those, b.getInt32(0)));
      }
      for (int mask = 16; mask > 0; mask /= 2) mine = b.CreateAdd(mine, exchange(mine, mask));
      b.CreateStore(b.CreateAdd(b.CreateLoad(word, sum), mine), sum);
      b.CreateStore(b.CreateNSWSub(last, i64(looks * kWarp)), end);
      b.CreateCondBr(found, known, back);
    };
    look_back(near, 1);
    look_back(far, kLooks);
    b.SetInsertPoint(known);
    Value *before = b.CreateLoad(word, sum);
    when(speaks, [&] {
      say(b.CreateAdd(before, value), 2);
      b.CreateStore(before, scratch(i64(0)));
    });
  });
  barrier();
  store(s.sum, storage(s.sum).base, b.CreateLoad(word, scratch(i64(0))));
}

}  // namespace pit::cuda
