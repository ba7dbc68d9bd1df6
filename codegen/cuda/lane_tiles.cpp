// Small tiles of numbers that every warp of a role keeps for itself: element e is in lane e % 32,
// register e / 32. A warp stores and looks up without waiting for the others.
#include <llvm/Analysis/ValueTracking.h>
#include <llvm/IR/IntrinsicsNVPTX.h>
#include <llvm/Support/KnownBits.h>

#include <algorithm>

#include "dsl/error.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using llvm::Value;

constexpr std::int64_t kLanes = 32;

}  // namespace

void KernelEmitter::allocate_lane_tile(const ir::Allocate &s) {
  std::int64_t extent = 0;
  is_const_int(s.extents[0], &extent);
  LaneTile tile;
  for (std::int64_t first = 0; first < extent; first += kLanes) {
    tile.elements.push_back(local(b.getInt32Ty(), s.storage->name.c_str()));
    b.CreateStore(b.getInt32(0), tile.elements.back());
  }
  lane_tiles_[s.storage.get()] = std::move(tile);
}

void KernelEmitter::store_lane_tile(const ir::Store &s) {
  const LaneTile &tile = lane_tiles_.at(s.storage.get());
  const VarPtr axis = s.axes[0];
  Value *extent = env_.axes.at(axis.get()).extent;
  for (std::size_t part = 0; part < tile.elements.size(); ++part) {
    const Memo memo(*this, true);
    Value *at = b.CreateAdd(lane_, i64(static_cast<std::int64_t>(part) * kLanes));
    env_.variables[axis.get()] = at;
    lane_part_ = {axis.get(), part};
    const std::function<void(std::size_t)> guarded = [&](std::size_t i) {
      if (i == s.guards.size()) {
        Value *v = value(s.value);
        b.CreateStore(v->getType()->isFloatTy() ? b.CreateBitCast(v, b.getInt32Ty()) : v,
                      tile.elements[part]);
        return;
      }
      when(value(s.guards[i]), [&] { guarded(i + 1); });
    };
    when(b.CreateICmpSLT(at, extent), [&] { guarded(0); });
    lane_part_ = {};
  }
}

llvm::Value *KernelEmitter::look_up(const LaneTile &tile, Type type, const Expr &index_expression) {
  const auto typed = [&](Value *bits) {
    return type.is_float() ? b.CreateBitCast(bits, b.getFloatTy()) : bits;
  };
  const auto *variable = index_expression.as<Variable>();
  if (variable && variable->var.get() == lane_part_.axis)
    return typed(b.CreateLoad(b.getInt32Ty(), tile.elements[lane_part_.part]));
  Value *at = b.CreateTrunc(index(index_expression), b.getInt32Ty());
  Value *part = b.CreateLShr(at, 5);
  const llvm::KnownBits known = llvm::computeKnownBits(part, llvm_.getDataLayout());
  Value *found = nullptr;
  for (std::size_t i = 0; i < tile.elements.size(); ++i) {
    if (known.isConstant() && known.getConstant() != i) continue;
    Value *here =
        b.CreateIntrinsic(llvm::Intrinsic::nvvm_shfl_sync_idx_i32, {},
                          {b.getInt32(0xffffffffU), b.CreateLoad(b.getInt32Ty(), tile.elements[i]),
                           at, b.getInt32(31)});
    found = found ? b.CreateSelect(b.CreateICmpEQ(part, b.getInt32(static_cast<std::uint32_t>(i))),
                                   here, found)
                  : here;
  }
  return typed(found);
}

void KernelEmitter::look_up_all(const std::vector<Expr> &expressions) {
  for (const Expr &e : expressions) {
    walk(e, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      if (!load) return true;
      const auto tile = lane_tiles_.find(load->storage.get());
      if (tile == lane_tiles_.end()) return true;
      const auto same = std::ranges::find_if(row_values_, [&](const auto &known) {
        return known.first->storage == load->storage &&
               equal(known.first->indices[0], load->indices[0]);
      });
      row_values_[load] = same != row_values_.end()
                              ? same->second
                              : look_up(tile->second, load->storage->type, load->indices[0]);
      return true;
    });
  }
}

}  // namespace pit::cuda
