// Sums of matrix instructions that are added to memory where others add to it too, from registers:
// of kernels whose shared memory leaves no strip for them (strip_stores.cpp).
#include <llvm/IR/IntrinsicsNVPTX.h>

#include <array>

#include "codegen/llvm/access.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using llvm::Value;

constexpr int kUnitColumns = 8, kBeside = 2, kTogether = 4;

}  // namespace

// sm_90 adds several numbers of a row by one instruction.
bool KernelEmitter::adds_together(const ir::Store &s, const Fragment &fragment,
                                  const FragmentElement &axes, std::int64_t columns) {
  return device_.architecture >= 90 && s.atomic && s.combiner == Combiner::Sum &&
         s.storage->type == float32 && s.storage->space != Space::Tile && s.guards.empty() &&
         fragment.layout.kind == ir::Layout::Kind::Accumulator &&
         columns % (2 * kUnitColumns) == 0 &&
         code::movement(s.indices, axes.column, storage(s.storage).unit_dimension) ==
             code::Movement::Unit;
}

// The columns of a lane's first four elements: two lanes of four have a unit of eight columns, the
// other two the next one.
llvm::Value *KernelEmitter::first_added(Value *first_column) {
  Value *odd = b.CreateAnd(lane_, i64(1)), *upper = b.CreateAnd(lane_, i64(2));
  // A lane's own columns are two, and the first of all is twice its number in the four.
  Value *own = b.CreateMul(b.CreateAnd(lane_, i64(3)), i64(kBeside));
  Value *there =
      b.CreateAdd(b.CreateMul(upper, i64(kTogether / 2)), b.CreateMul(odd, i64(kUnitColumns)));
  return b.CreateAdd(b.CreateSub(first_column, own), there);
}

// `at`: the address of this lane's first four elements. Neighbouring lanes exchange two of theirs,
// so that each has four of one unit. All lanes of the warp take part, those whose row is not kept
// too.
void KernelEmitter::add_row(const ir::Store &s, const FragmentElement &axes, int first,
                            std::int64_t columns, Value *at, Value *kept_row) {
  Value *first_column = env_.variables.at(axes.column.get());
  Value *lane = b.CreateTrunc(lane_, b.getInt32Ty());
  Value *odd = b.CreateICmpNE(b.CreateAnd(lane, b.getInt32(1)), b.getInt32(0));
  const auto element = [&](std::int64_t unit, int beside) {
    const Memo memo(*this, true);
    env_.variables[axes.column.get()] =
        b.CreateAdd(first_column, i64(unit * kUnitColumns + beside));
    element_ = axes;
    element_.number = first + static_cast<int>(unit) * 2 * kBeside + beside;
    if (!kept_row || !reads_memory(s.value)) return value(s.value);
    return either(
        kept_row, b.getFloatTy(), [&] { return value(s.value); },
        [&]() -> Value * { return llvm::ConstantFP::get(b.getFloatTy(), 0); });
  };
  for (std::int64_t unit = 0; unit < columns / kUnitColumns; unit += 2) {
    std::array<Value *, kBeside> kept{}, moved{};
    for (int beside = 0; beside < kBeside; ++beside) {
      Value *low = element(unit, beside), *high = element(unit + 1, beside);
      const auto i = static_cast<std::size_t>(beside);
      kept[i] = b.CreateSelect(odd, high, low);
      moved[i] = b.CreateIntrinsic(
          llvm::Intrinsic::nvvm_shfl_sync_bfly_f32, {},
          {b.getInt32(0xffffffffU), b.CreateSelect(odd, low, high), b.getInt32(1), b.getInt32(31)});
    }
    constexpr std::int64_t kBytes = 4;
    std::vector<Value *> operands{
        b.CreateInBoundsGEP(b.getInt8Ty(), at, i64(unit * kUnitColumns * kBytes))};
    for (std::size_t i = 0; i < kBeside; ++i)
      operands.push_back(b.CreateSelect(odd, moved[i], kept[i]));
    for (std::size_t i = 0; i < kBeside; ++i)
      operands.push_back(b.CreateSelect(odd, kept[i], moved[i]));
    const Body add = [&] {
      assembly("red.relaxed.gpu.global.add.v4.f32 [$0], {$1, $2, $3, $4};", "l,f,f,f,f", operands);
    };
    kept_row ? when(kept_row, add) : add();
  }
  element_ = {};
  env_.variables[axes.column.get()] = first_column;
}

}  // namespace pit::cuda
