// Matrix instructions of single warps: their operands from swizzled tiles in shared memory to
// registers, and mma.sync into the accumulators.
#include <llvm/IR/IntrinsicsNVPTX.h>

#include <array>

#include "dsl/error.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using llvm::Value;

constexpr std::int64_t kChunk = 16;               // bytes that a swizzle keeps together
constexpr std::int64_t kRowsOfSwizzle = 8;        // after which it repeats
constexpr std::int64_t kMatrix = 8;               // rows of what ldmatrix loads, a chunk each
constexpr std::int64_t kStepBytes = 2 * kChunk;   // of k, of one instruction
constexpr std::int64_t kRows = 16, kColumns = 8;  // of an instruction's accumulators

}  // namespace

KernelEmitter::SharedOperand KernelEmitter::shared_operand(const ir::Mma &s,
                                                           const ir::TileOperand &operand) {
  const auto it = tiles_.find(operand.tile.get());
  internal_check(it != tiles_.end() && s.batch.empty() && s.m.size() == 1 && s.n.size() == 1 &&
                     s.k.size() == 1 && operand.axes.size() == 2 &&
                     it->second.layout.kind == ir::Layout::Kind::Swizzled,
                 "the operand " + operand.tile->name + " is no matrix in shared memory");
  const SharedTile &tile = it->second;
  const int bytes = operand.tile->type.bytes(), k = operand.axes[0] == s.k[0] ? 0 : 1;
  Value *slot =
      operand.slot.defined() ? b.CreateTrunc(index(operand.slot), b.getInt32Ty()) : b.getInt32(0);
  const auto size = static_cast<std::uint32_t>(ir::buffer_bytes(tile.extents, bytes));
  Value *start = b.CreateAdd(b.CreateMul(slot, b.getInt32(size)),
                             b.getInt32(static_cast<std::uint32_t>(tile.offset)));
  return {&tile, start, bytes, k, tile.extents[static_cast<std::size_t>(k)]};
}

// See ir::Layout. What is a constant stays out of the sums that depend on the thread, so that one
// register and an immediate offset are many addresses.
llvm::Value *KernelEmitter::shared_address(const SharedOperand &o, Value *row,
                                           std::int64_t more_rows, Value *byte,
                                           std::int64_t more_bytes) {
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  const ir::Layout &layout = o.tile->layout;
  const std::int64_t line = layout.swizzle,
                     rows = o.tile->extents[static_cast<std::size_t>(1 - layout.dimension)];
  std::int64_t fixed = 0;
  if (more_rows % kRowsOfSwizzle == 0)
    fixed += more_rows * line;
  else
    row = b.CreateAdd(row, number(more_rows));
  if (more_bytes % line == 0)
    fixed += more_bytes * rows;
  else
    byte = b.CreateAdd(byte, number(more_bytes));
  Value *exchange = b.CreateAnd(b.CreateLShr(b.CreateMul(row, number(line)), number(7)),
                                number(line / kChunk - 1));
  Value *within =
      b.CreateXor(b.CreateAnd(byte, number(line - 1)), b.CreateMul(exchange, number(kChunk)));
  Value *block = b.CreateMul(b.CreateUDiv(byte, number(line)), number(rows * line));
  Value *at = b.CreateAdd(o.start, b.CreateMul(row, number(line)));
  at = b.CreateAdd(b.CreateAdd(at, block), within);
  Value *place =
      b.CreateInBoundsGEP(b.getInt8Ty(), shared_memory(), b.CreateZExt(at, b.getInt64Ty()));
  return b.CreateInBoundsGEP(b.getInt8Ty(), place, i64(fixed));
}

std::pair<llvm::Value *, llvm::Value *> KernelEmitter::warp_place(const ir::Layout &layout) {
  // The same in all threads of a warp: uniform registers then hold it.
  Value *warp = b.CreateIntrinsic(llvm::Intrinsic::nvvm_shfl_sync_idx_i32, {},
                                  {b.getInt32(0xffffffffU), b.CreateTrunc(warp_, b.getInt32Ty()),
                                   b.getInt32(0), b.getInt32(31)});
  Value *warps = b.getInt32(static_cast<std::uint32_t>(layout.warps_m));
  return {b.CreateURem(warp, warps), b.CreateUDiv(warp, warps)};
}

// A fragment is made of matrices of 8 rows and 16 bytes, one a register: of an instruction's left
// operand the rows m below each other, then k; of the right operand k, then the columns n of a
// second instruction (ir::ldmatrix_row). Lane l gives ldmatrix the address of row l % 8 of matrix
// l / 8. Where n or m is contiguous, the stored rows are those of k, and ldmatrix transposes, which
// it does for 2-byte elements; larger ones are loaded one by one.
std::vector<std::vector<Value *>> KernelEmitter::load_matrices(const SharedOperand &o, bool left,
                                                               Value *warp, std::int64_t own,
                                                               std::int64_t step) {
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  llvm::Type *i32 = b.getInt32Ty();
  Value *lane = b.CreateTrunc(lane_, i32);
  const std::int64_t per_chunk = kChunk / o.bytes, size = left ? kRows : kColumns;
  const std::size_t registers = left ? 4 : 2;
  std::vector<std::vector<Value *>> result;
  Value *first = b.CreateMul(warp, number(own));
  if (!o.k_contiguous() && o.bytes != 2) {
    // Thread l has (m or n = l / 4 [+ 8], k = l % 4 [+ 4]).
    Value *byte = b.CreateMul(b.CreateAdd(first, b.CreateLShr(lane, number(2))), number(o.bytes)),
          *row = b.CreateAnd(lane, number(3));
    for (std::int64_t at = 0; at < own; at += size) {
      std::vector<Value *> &loaded = result.emplace_back();
      for (std::size_t r = 0; r < registers; ++r) {
        const std::int64_t beside = left ? static_cast<std::int64_t>(r % 2) * kMatrix : 0,
                           deeper = static_cast<std::int64_t>(left ? r / 2 : r) * per_chunk;
        Value *place =
            shared_address(o, row, step * 2 * per_chunk + deeper, byte, (at + beside) * o.bytes);
        loaded.push_back(b.CreateAlignedLoad(i32, place, llvm::Align(4)));
      }
    }
    return result;
  }
  Value *within = b.CreateAnd(lane, number(7)),
        *lower = b.CreateAnd(b.CreateLShr(lane, number(3)), number(1)),
        *upper = b.CreateLShr(lane, number(4));
  Value *beside = left ? lower : upper, *deeper = left ? upper : lower;  // by 8, by a chunk
  Value *row = nullptr, *byte = nullptr;
  if (o.k_contiguous()) {
    row = b.CreateAdd(b.CreateAdd(first, b.CreateMul(beside, number(kMatrix))), within);
    byte = b.CreateMul(deeper, number(kChunk));
  } else {
    row = b.CreateAdd(b.CreateMul(deeper, number(kMatrix)), within);
    byte = b.CreateAdd(b.CreateMul(first, number(o.bytes)), b.CreateMul(beside, number(kChunk)));
  }
  const bool transposed = !o.k_contiguous();
  for (std::int64_t at = 0; at < own; at += kRows) {
    // The last instruction may have no second one beside it.
    const bool half = !left && at + kColumns == own;
    Value *place = o.k_contiguous()
                       ? shared_address(o, row, at, byte, step * kStepBytes)
                       : shared_address(o, row, step * 2 * kMatrix, byte, at * o.bytes);
    using namespace llvm::Intrinsic;
    const auto two = transposed ? nvvm_ldmatrix_sync_aligned_m8n8_x2_trans_b16
                                : nvvm_ldmatrix_sync_aligned_m8n8_x2_b16,
               four = transposed ? nvvm_ldmatrix_sync_aligned_m8n8_x4_trans_b16
                                 : nvvm_ldmatrix_sync_aligned_m8n8_x4_b16;
    Value *all = b.CreateIntrinsic(half ? two : four, {place->getType()}, {place});
    for (unsigned r = 0; r < (half ? 2U : 4U); ++r) {
      if (r % registers == 0) result.emplace_back();
      result.back().push_back(b.CreateExtractValue(all, r));
    }
  }
  return result;
}

void KernelEmitter::emit_mma_sync(const ir::Mma &s, const ir::Atom &atom) {
  const Fragment &fragment = fragments_.at(s.accumulator.tile.get());
  fresh_.erase(s.accumulator.tile.get());
  const auto a_fragment = fragments_.find(s.a.tile.get());
  const bool in_registers = a_fragment != fragments_.end();
  std::optional<SharedOperand> left;
  if (in_registers) {
    check_left(s, a_fragment->second, fragment);
  } else {
    left = shared_operand(s, s.a);
  }
  const SharedOperand right = shared_operand(s, s.b);
  internal_check(fragment.layout.kind == ir::Layout::Kind::Accumulator &&
                     fragment.layout.together == 1 && right.depth % atom.k == 0,
                 "the sums of " + s.accumulator.tile->name + " are no fragments of mma.sync");
  const auto [warp_m, warp_n] = warp_place(fragment.layout);
  const std::int64_t rows = fragment.extents[0] / fragment.layout.warps_m,
                     columns = fragment.extents[1] / fragment.layout.warps_n;
  const auto intrinsic =
      atom.operand == float16    ? llvm::Intrinsic::nvvm_mma_m16n8k16_row_col_f32_f32
      : atom.operand == bfloat16 ? llvm::Intrinsic::nvvm_mma_m16n8k16_row_col_bf16
                                 : llvm::Intrinsic::nvvm_mma_m16n8k8_row_col_tf32;
  const auto operands = [&](std::vector<std::vector<Value *>> matrices) {
    for (auto &matrix : matrices) {
      for (Value *&v : matrix) {
        if (atom.operand == float16) {
          v = b.CreateBitCast(v, llvm::FixedVectorType::get(b.getHalfTy(), 2));
        } else if (atom.operand == float32) {
          // To the nearest; the instruction itself would cut bits off.
          v = b.CreateIntrinsic(llvm::Intrinsic::nvvm_f2tf32_rna, {},
                                {b.CreateBitCast(v, b.getFloatTy())});
        }
      }
    }
    return matrices;
  };
  const FragmentShape shape(fragment.layout, fragment.extents);
  const std::int64_t steps = right.depth / atom.k;
  const auto left_matrices = [&](std::int64_t step) {
    if (left) return load_matrices(*left, true, warp_m, rows, step);
    constexpr std::int64_t kWords = 4;
    std::vector<std::vector<Value *>> matrices;
    for (std::int64_t block = 0; block < rows / kRows; ++block) {
      std::vector<Value *> &words = matrices.emplace_back();
      for (std::int64_t i = 0; i < kWords; ++i) {
        const std::int64_t word = (block * steps + step) * kWords + i;
        words.push_back(load_register(a_fragment->second, static_cast<int>(word)));
      }
    }
    return matrices;
  };
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto a = operands(left_matrices(step)),
               c = operands(load_matrices(right, false, warp_n, columns, step));
    for (std::size_t i = 0; i < a.size(); ++i) {
      for (std::size_t j = 0; j < c.size(); ++j) {
        std::vector<Value *> given = a[i];
        given.insert(given.end(), c[j].begin(), c[j].end());
        const int first = shape.number(2 * i, j);
        for (int e = 0; e < 4; ++e)
          given.push_back(b.CreateLoad(b.getFloatTy(), fragment_register(fragment, first + e)));
        Value *sums = b.CreateIntrinsic(intrinsic, {}, given);
        for (int e = 0; e < 4; ++e) {
          b.CreateStore(b.CreateExtractValue(sums, static_cast<unsigned>(e)),
                        fragment_register(fragment, first + e));
        }
      }
    }
  }
}

}  // namespace pit::cuda
