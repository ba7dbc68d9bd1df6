// Matrix instructions of warpgroups, which multiply while their threads go on: the right operand
// from shared memory, the left one from there or from registers.
#include <algorithm>

#include "codegen/ir/mutator.h"
#include "dsl/error.h"
#include "kernel_emitter.h"
#include "wgmma.h"

namespace pit::cuda {

namespace {

using llvm::Value;

constexpr std::int64_t kUnit = 16;  // bytes, of places in descriptors
constexpr std::int64_t kWarpsOfGroup = 4, kRowsOfWarp = 16, kWordsOfStep = 4;

WgmmaOperand wgmma_operand(const ir::Layout &layout, const ir::Coordinates &extents,
                           const ir::TileOperand &operand, const ir::Mma &s) {
  return {layout, extents, operand.axes[0] == s.k[0] ? 0 : 1};
}

}  // namespace

KernelEmitter::Sums KernelEmitter::sums_of(const ir::Mma &s) const {
  const auto found = fragment_allocates_.find(s.accumulator.tile.get());
  internal_check(found != fragment_allocates_.end(),
                 "the sums of " + s.accumulator.tile->name + " are in no registers");
  const ir::Layout &layout = found->second->placement.layout;
  std::int64_t rows = 0, columns = 0;
  is_const_int(found->second->extents.at(0), &rows);
  is_const_int(found->second->extents.at(1), &columns);
  return {layout, rows / (kRowsOfWarp * layout.warps_m), columns / layout.warps_n};
}

llvm::Value *KernelEmitter::start_of(const ir::TileOperand &operand) {
  const SharedTile &tile = tiles_.at(operand.tile.get());
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  // Above these bits an address says which block of the cluster it is in.
  constexpr std::int64_t kAddressBits = 0x3ffff;
  Value *base = b.CreateAnd(
      b.CreateAdd(b.CreatePtrToInt(shared_memory(), b.getInt32Ty()), number(tile.offset)),
      number(kAddressBits));
  Value *start = b.CreateLShr(base, number(4));
  if (!operand.slot.defined()) return start;
  const std::int64_t bytes = ir::buffer_bytes(tile.extents, static_cast<int>(kWgmmaElementBytes));
  Value *slot = b.CreateTrunc(index(operand.slot), b.getInt32Ty());
  return b.CreateAdd(start, b.CreateMul(slot, number(bytes / kUnit)));
}

llvm::Value *KernelEmitter::first_left(const ir::Mma &s) {
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  const Sums sums = sums_of(s);
  const SharedTile &tile = tiles_.at(s.a.tile.get());
  const std::int64_t offset =
      wgmma_operand(tile.layout, tile.extents, s.a, s).offset(sums.repetitions * kWgmmaRows, 0);
  internal_check(offset >= 0, "the part of a warpgroup starts inside of a line");
  Value *group =
      b.CreateUDiv(b.CreateURem(uniform_warp_, number(sums.layout.warps_m)), number(kWarpsOfGroup));
  return b.CreateAdd(start_of(s.a), b.CreateMul(group, number(offset / kUnit)));
}

llvm::Value *KernelEmitter::first_right(const ir::Mma &s) {
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  const Sums sums = sums_of(s);
  const SharedTile &tile = tiles_.at(s.b.tile.get());
  const std::int64_t offset =
      sums.layout.warps_n > 1
          ? wgmma_operand(tile.layout, tile.extents, s.b, s).offset(sums.columns, 0)
          : 0;
  internal_check(offset >= 0, "the part of a warpgroup starts inside of a line");
  Value *warp_n = b.CreateUDiv(uniform_warp_, number(sums.layout.warps_m));
  return b.CreateAdd(start_of(s.b), b.CreateMul(warp_n, number(offset / kUnit)));
}

// Where the operands of the loop's next step start is computed before that is waited for.
void KernelEmitter::prepare_products(const ir::For &loop) {
  const std::function<void(const ir::Stmt &)> visit = [&](const ir::Stmt &s) {
    if (!s.defined() || s.as<ir::For>()) return;
    const auto *product = s.as<ir::Mma>();
    const auto is_local_slot = [&](const ir::TileOperand &o) {
      const auto *slot = o.slot.as<Load>();
      return slot && is_local(slot->storage) && env_.storages.contains(slot->storage.get());
    };
    // An operand that has no buffers is where it is.
    const auto moves = [](const ir::TileOperand &o) { return o.slot.defined(); };
    if (product && product->asynchronous && (moves(product->a) || moves(product->b)) &&
        (!moves(product->a) || is_local_slot(product->a)) &&
        (!moves(product->b) || is_local_slot(product->b))) {
      ProductStarts &starts = product_starts_[product];
      if (moves(product->a)) starts.left = local(b.getInt32Ty(), "a.start");
      if (moves(product->b)) starts.right = local(b.getInt32Ty(), "b.start");
    }
    bool first = true;
    ir::walk_statements(s, [&](const ir::Stmt &part) {
      if (std::exchange(first, false)) return true;
      visit(part);
      return false;
    });
  };
  visit(loop.body);
  start_products(loop);
}

void KernelEmitter::start_products(const ir::For &loop) {
  ir::walk_statements(loop.body, [&](const ir::Stmt &s) {
    const auto *product = s.as<ir::Mma>();
    const auto found = product ? product_starts_.find(product) : product_starts_.end();
    if (found == product_starts_.end()) return true;
    const Memo memo(*this, true);
    if (found->second.left) b.CreateStore(first_left(*product), found->second.left);
    if (found->second.right) b.CreateStore(first_right(*product), found->second.right);
    return true;
  });
}

void KernelEmitter::emit_wgmma(const ir::Mma &s) {
  const auto sums_it = fragments_.find(s.accumulator.tile.get()),
             a_fragment = fragments_.find(s.a.tile.get());
  const auto a_it = tiles_.find(s.a.tile.get()), b_it = tiles_.find(s.b.tile.get());
  const bool in_registers = a_fragment != fragments_.end();
  const Type type = s.a.tile->type;
  internal_check(s.asynchronous && sums_it != fragments_.end() &&
                     (in_registers || a_it != tiles_.end()) && b_it != tiles_.end() &&
                     s.batch.empty() && s.m.size() == 1 && s.n.size() == 1 && s.k.size() == 1 &&
                     s.b.tile->type == type && (type == bfloat16 || type == float16),
                 "a matrix multiplication is not one of wgmma's");
  Fragment &fragment = sums_it->second;
  const bool from_zero = std::exchange(fragment.zero, false);
  fresh_.erase(s.accumulator.tile.get());
  if (in_registers) check_left(s, a_fragment->second, fragment);
  const Sums sums = sums_of(s);
  const WgmmaOperand right = wgmma_operand(b_it->second.layout, b_it->second.extents, s.b, s);
  std::optional<WgmmaOperand> left;
  if (!in_registers) left = wgmma_operand(a_it->second.layout, a_it->second.extents, s.a, s);
  const std::int64_t depth = right.extents[static_cast<std::size_t>(right.k)];
  llvm::Type *i32 = b.getInt32Ty(), *word = b.getInt64Ty();
  const auto running = product_starts_.find(&s);
  const ProductStarts starts = running == product_starts_.end() ? ProductStarts{} : running->second;
  Value *a_start = in_registers  ? nullptr
                   : starts.left ? b.CreateLoad(i32, starts.left)
                                 : first_left(s);
  Value *b_start = starts.right ? b.CreateLoad(i32, starts.right) : first_right(s);
  // A place never reaches the fields above it, so that the upper word is a constant.
  const auto descriptor = [&](const WgmmaOperand &o, Value *from, std::int64_t offset) {
    internal_check(offset >= 0, "a matrix instruction starts inside of a line");
    const std::uint64_t fields = o.descriptor();
    Value *lower = b.CreateAdd(from, b.getInt32(static_cast<std::uint32_t>(fields) +
                                                static_cast<std::uint32_t>(offset / kUnit)));
    return b.CreateOr(b.CreateZExt(lower, word), b.getInt64(fields >> 32 << 32));
  };
  // The registers have their values before the fence, not only before they are used.
  if (in_registers) tie({s.a.tile.get(), s.accumulator.tile.get()});
  assembly("wgmma.fence.sync.aligned;", "");
  for (std::int64_t block = 0; block < sums.repetitions; ++block) {
    for (std::int64_t column = 0; column < sums.columns; column += kWgmmaColumns) {
      const std::int64_t wide = std::min(kWgmmaColumns, sums.columns - column), count = wide / 2;
      const int first = static_cast<int>((block * sums.columns + column) / 2);
      const WgmmaInstructions instructions{.columns = wide,
                                           .type = type,
                                           .a_in_registers = in_registers,
                                           .a_transposed = left && !left->k_major(),
                                           .b_transposed = !right.k_major(),
                                           .steps = depth / kWgmmaDepth,
                                           .adds = !from_zero};
      std::vector<Value *> operands;
      for (int i = 0; instructions.adds && i < count; ++i)
        operands.push_back(load_register(fragment, first + i));
      for (std::int64_t k = 0; k < instructions.steps; ++k) {
        if (in_registers) {
          const std::int64_t words = (block * instructions.steps + k) * kWordsOfStep;
          for (std::int64_t i = 0; i < kWordsOfStep; ++i)
            operands.push_back(load_register(a_fragment->second, static_cast<int>(words + i)));
        } else {
          operands.push_back(descriptor(*left, a_start, left->offset(block * kWgmmaRows, k)));
        }
        operands.push_back(descriptor(right, b_start, right.offset(column, k)));
      }
      const std::vector<llvm::Type *> types(static_cast<std::size_t>(count), b.getFloatTy());
      Value *added = assembly(instructions.text(), instructions.constraints(), operands,
                              llvm::StructType::get(context_, types));
      for (int i = 0; i < count; ++i) {
        b.CreateStore(b.CreateExtractValue(added, static_cast<unsigned>(i)),
                      fragment_register(fragment, first + i));
      }
    }
  }
}

// A left operand in registers, which each warp multiplies the rows of that it adds to.
void KernelEmitter::check_left(const ir::Mma &s, const Fragment &left, const Fragment &sums) {
  internal_check(left.in_words() && sums.layout.kind == ir::Layout::Kind::Accumulator &&
                     s.a.axes[0] == s.m[0] && left.extents[0] == sums.extents[0] &&
                     left.layout.warps_m == sums.layout.warps_m && left.layout.warps_n == 1 &&
                     sums.layout.warps_n == 1 && left.layout.together == sums.layout.together,
                 "the left operand " + s.a.tile->name +
                     " is not spread over the warps as the rows of " + s.accumulator.tile->name);
}

}  // namespace pit::cuda
