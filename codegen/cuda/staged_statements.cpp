// Roles, barriers, and what is under way: statements of the staged level that are one instruction
// or two.
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/IntrinsicsNVPTX.h>

#include "codegen/ir/mutator.h"
#include "dsl/error.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using llvm::Value;

constexpr std::int64_t kWarp = 32, kWarpgroup = 128, kBarrierBytes = 8;

}  // namespace

llvm::Value *KernelEmitter::assembly(const std::string &text, const std::string &constraints,
                                     const std::vector<Value *> &operands, llvm::Type *result) {
  std::vector<llvm::Type *> types;
  for (Value *v : operands) types.push_back(v->getType());
  auto *type = llvm::FunctionType::get(result ? result : b.getVoidTy(), types, false);
  auto *code = llvm::InlineAsm::get(
      type, text, constraints.empty() ? "~{memory}" : constraints + ",~{memory}", true);
  llvm::CallInst *call = b.CreateCall(type, code, operands);
  call->setConvergent();
  return call;
}

bool KernelEmitter::emit_staged(const ir::Stmt &s) {
  if (s->kind < ir::StmtKind::Barriers) return false;
  const Memo memo(*this, true);
  if (const auto *barriers = s.as<ir::Barriers>()) {
    emit(*barriers);
  } else if (const auto *arrive = s.as<ir::Arrive>()) {
    emit(*arrive);
  } else if (const auto *wait = s.as<ir::Wait>()) {
    emit(*wait);
  } else if (const auto *copy = s.as<ir::Copy>()) {
    timed(Work::Gather, [&] { emit(*copy); });
  } else if (const auto *commit = s.as<ir::Commit>()) {
    assembly(commit->engine == ir::Engine::Copies ? "cp.async.commit_group;"
                                                  : "wgmma.commit_group.sync.aligned;",
             "");
  } else if (const auto *drain = s.as<ir::Drain>()) {
    timed(drain->engine == ir::Engine::Copies ? Work::Gather : Work::Compute,
          [&] { emit(*drain); });
  } else if (const auto *sync = s.as<ir::Sync>()) {
    if (sync->cluster) {
      assembly("barrier.cluster.arrive.release.aligned;", "");
      assembly("barrier.cluster.wait.acquire.aligned;", "");
    } else {
      barrier();
    }
  } else if (const auto *fence = s.as<ir::Fence>()) {
    emit(*fence);
  } else {
    emit(*s.as<ir::Roles>());
  }
  return true;
}

void KernelEmitter::emit(const ir::Barriers &s) {
  const std::int64_t offset = placement_->barriers.at(s.barrier.get());
  Value *base = b.CreatePtrToInt(shared_memory(), b.getInt32Ty());
  when(b.CreateICmpEQ(thread_, i64(0)), [&] {
    for (int slot = 0; slot < s.barrier->slots; ++slot) {
      Value *at =
          b.CreateAdd(base, b.getInt32(static_cast<std::uint32_t>(offset + slot * kBarrierBytes)));
      assembly("mbarrier.init.shared::cta.b64 [$0], $1;", "r,r",
               {at, b.getInt32(static_cast<std::uint32_t>(s.barrier->arrivals))});
    }
  });
  emit(s.body);
}

llvm::Value *KernelEmitter::barrier_address(const ir::BarrierSlot &at) {
  llvm::Type *i32 = b.getInt32Ty();
  const std::int64_t offset = placement_->barriers.at(at.barrier.get());
  Value *base = b.CreateAdd(b.CreatePtrToInt(shared_memory(), i32),
                            b.getInt32(static_cast<std::uint32_t>(offset)));
  return b.CreateAdd(base, b.CreateMul(b.CreateTrunc(index(at.slot), i32),
                                       b.getInt32(static_cast<std::uint32_t>(kBarrierBytes))));
}

void KernelEmitter::emit(const ir::Arrive &s) {
  Value *at = barrier_address(s.at);
  if (s.bytes.defined()) {
    is_const_int(s.bytes, &bulk_bytes_);
    // Without tensor maps a thread arrives behind the copies: see emit_bulk.
    return when(b.CreateAnd(arguments_.bulk, b.CreateICmpEQ(thread_, i64(0))), [&] {
      assembly("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "r,r",
               {at, b.getInt32(static_cast<std::uint32_t>(bulk_bytes_))});
    });
  }
  if (s.after_copies) {
    const auto own = [&] {
      assembly("cp.async.wait_all;", "");
      assembly("fence.proxy.async.shared::cta;", "");
      assembly("mbarrier.arrive.shared::cta.b64 _, [$0];", "r", {at});
      b.CreateStore(b.getFalse(), stored_);
    };
    return when(b.CreateLoad(b.getInt1Ty(), stored_), own, [&] {
      assembly("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [$0];", "r", {at});
    });
  }
  const Body arrive = [&] { assembly("mbarrier.arrive.shared::cta.b64 _, [$0];", "r", {at}); };
  const auto by_first_of = [&](std::int64_t threads) {
    Value *number = b.CreateAnd(thread_, i64(threads - 1));
    if (!s.cluster) return when(b.CreateICmpEQ(number, i64(0)), arrive);
    // A thread for each block of the cluster.
    when(b.CreateICmpSLT(number, i64(cluster_)), [&] {
      assembly(
          "{.reg .b32 there; mapa.shared::cluster.u32 there, $0, $1; "
          "mbarrier.arrive.shared::cluster.b64 _, [there];}",
          "r,r", {at, b.CreateTrunc(number, b.getInt32Ty())});
    });
  };
  internal_check(!s.cluster || s.each == ir::Arrivals::Warp || s.each == ir::Arrivals::Warpgroup,
                 "a role arrives in a cluster by other than warps or warpgroups");
  switch (s.each) {
    case ir::Arrivals::Thread:
      return arrive();
    case ir::Arrivals::Warp:
      b.CreateIntrinsic(llvm::Intrinsic::nvvm_bar_warp_sync, {}, {b.getInt32(0xffffffffU)});
      return by_first_of(kWarp);
    case ir::Arrivals::Warpgroup:
      return by_first_of(kWarpgroup);
    case ir::Arrivals::Once:
      return when(b.CreateICmpEQ(thread_, i64(0)), arrive);
  }
}

void KernelEmitter::emit(const ir::Wait &s) {
  Value *parity = b.CreateTrunc(index(s.parity), b.getInt32Ty());
  assembly(
      "{.reg .pred done; again: mbarrier.try_wait.parity.shared::cta.b64 done, [$0], $1; "
      "@done bra complete; bra again; complete: }",
      "r,r", {barrier_address(s.at), parity});
}

void KernelEmitter::emit(const ir::Drain &s) {
  const std::string pending = std::to_string(s.pending);
  if (s.engine == ir::Engine::Copies) {
    assembly("cp.async.wait_group " + pending + ";", "");
  } else if (s.pending > 0) {
    assembly("wgmma.wait_group.sync.aligned " + pending + ";", "");
  } else {
    learn_status();
    assembly("wgmma.wait_group.sync.aligned 0;", "");
    tie(std::exchange(under_way_, {}));
  }
}

void KernelEmitter::emit(const ir::Fence &s) {
  if (s.fence == ir::FenceKind::Async) return (void)assembly("fence.proxy.async.shared::cta;", "");
  when(b.CreateICmpEQ(thread_, i64(0)),
       [&] { assembly("fence.mbarrier_init.release.cluster;", ""); });
}

void KernelEmitter::emit(const ir::Roles &s) {
  std::int64_t first_warp = 0;
  busy_ = {};  // its threads are those of the roles
  // One role after the other: if it is this warp's. The last takes what is left.
  const std::function<void(std::size_t)> from = [&](std::size_t i) {
    const ir::Role &role = s.roles[i];
    const std::int64_t first = first_warp;
    first_warp += role.warps;
    const bool is_last = i + 1 == s.roles.size();
    const auto own = [&] { emit_role(role, static_cast<unsigned>(i) + 1, first, is_last); };
    if (is_last) return own();
    when(b.CreateICmpSLT(warp_, i64(first_warp)), own, [&] { from(i + 1); });
  };
  from(0);
}

void KernelEmitter::emit_role(const ir::Role &role, unsigned number, std::int64_t first_warp,
                              bool is_last) {
  const auto outside =
      std::tuple(thread_, warp_, threads_, role_, first_warp_, registers_, under_way_);
  if (role.registers > 0) {
    // The registers that a thread starts with: all, shared out in eights.
    constexpr std::int64_t kRegisters = 64 * 1024, kStep = 8;
    const std::int64_t given = kRegisters / threads_ / kStep * kStep;
    assembly(std::string("setmaxnreg.") + (role.registers < given ? "dec" : "inc") +
                 ".sync.aligned.u32 " + std::to_string(role.registers) + ";",
             "");
  }
  if (first_warp > 0) {
    thread_ = b.CreateNSWSub(thread_, i64(first_warp * kWarp));
    warp_ = b.CreateNSWSub(warp_, i64(first_warp));
  }
  threads_ = role.warps * kWarp;
  role_ = number;
  registers_ = role.registers;
  first_warp_ = first_warp;
  under_way_ = {};
  // Instructions of a warpgroup take it from uniform registers.
  uniform_warp_ = b.CreateIntrinsic(llvm::Intrinsic::nvvm_shfl_sync_idx_i32, {},
                                    {b.getInt32(0xffffffffU), b.CreateTrunc(warp_, b.getInt32Ty()),
                                     b.getInt32(0), b.getInt32(31)});
  stored_ = local(b.getInt1Ty(), "stored");
  b.CreateStore(b.getFalse(), stored_);
  bool stores = false;
  ir::walk_statements(role.body, [&](const ir::Stmt &s) {
    const auto *store = s.as<ir::Store>();
    return !(stores = stores || (store && store->storage->space != Space::Tile));
  });
  if (ahead_ && stores) {
    status_known_ = local(b.getInt1Ty(), "status.known");
    failed_ = local(b.getInt1Ty(), "failed");
    b.CreateStore(b.getFalse(), status_known_);
    b.CreateStore(b.getFalse(), failed_);
  }
  const auto profile_outside = std::tuple(busy_, begun_);
  begin_profile();
  emit(role.body);
  end_profile(is_last);
  std::tie(busy_, begun_) = profile_outside;
  // Who waits for this kernel waits for those before it.
  learn_status();
  failed_ = nullptr;
  std::tie(thread_, warp_, threads_, role_, first_warp_, registers_, under_way_) = outside;
}

}  // namespace pit::cuda
