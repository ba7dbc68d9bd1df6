// Cycles that the threads of a kernel spend, by what they spend them on: see codegen/ir/profile.h.
// One thread of a role is looked at.
#include <utility>

#include "kernel_emitter.h"

namespace pit::cuda {

using llvm::Value;

// 32 bits of it: a statement takes less than 2^32 cycles.
llvm::Value *KernelEmitter::clock() {
  return assembly("mov.u32 $0, %clock;", "=r", {}, b.getInt32Ty());
}

void KernelEmitter::timed(Work work, const Body &body) {
  llvm::AllocaInst *cycles = busy_[static_cast<std::size_t>(work)];
  if (!cycles) return body();
  const auto busy = std::exchange(busy_, {});  // of the whole statement, once
  Value *before = clock();
  body();
  busy_ = busy;
  Value *taken = b.CreateZExt(b.CreateSub(clock(), before), b.getInt64Ty());
  b.CreateStore(b.CreateAdd(b.CreateLoad(b.getInt64Ty(), cycles), taken), cycles);
}

void KernelEmitter::begin_profile() {
  if (!arguments_.profile) return;
  for (llvm::AllocaInst *&cycles : busy_) {
    cycles = local(b.getInt64Ty(), "busy");
    b.CreateStore(i64(0), cycles);
  }
  begun_ = assembly("mov.u64 $0, %clock64;", "=l", {}, b.getInt64Ty());
}

void KernelEmitter::end_profile(bool last) {
  if (!busy_.front()) return;
  Value *wanted = b.CreateIsNotNull(arguments_.profile);
  when(b.CreateAnd(wanted, b.CreateICmpEQ(thread_, i64(0))), [&] {
    const auto add = [&](int slot, Value *cycles) {
      b.CreateAtomicRMW(llvm::AtomicRMWInst::FAdd,
                        field(arguments_.profile, sizeof(double) * static_cast<std::size_t>(slot)),
                        b.CreateUIToFP(cycles, b.getDoubleTy()), llvm::Align(8),
                        llvm::AtomicOrdering::Monotonic);
    };
    for (int i = 0; i < kKindsOfWork; ++i)
      add(i, b.CreateLoad(b.getInt64Ty(), busy_[static_cast<std::size_t>(i)]));
    if (!last) return;
    Value *now = assembly("mov.u64 $0, %clock64;", "=l", {}, b.getInt64Ty());
    add(kKindsOfWork, b.CreateSub(now, begun_));
  });
}

}  // namespace pit::cuda
