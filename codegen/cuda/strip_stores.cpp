// Accumulators that go to memory by way of shared memory, so that whole lines of it are written
// together. A warp passes 16 rows at a time through its strip, and waits for no other: in
// registers four lanes have a row, in the strip its elements lie beside each other.
#include <llvm/IR/IntrinsicsNVPTX.h>

#include <algorithm>
#include <array>

#include "codegen/ir/strip.h"
#include "codegen/llvm/access.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using llvm::Value;

constexpr std::int64_t kUnitColumns = 8, kBeside = 2;  // of an accumulator
constexpr std::int64_t kHalfRows = 8, kLanes = 32, kLanesOfRow = 4;
constexpr std::int64_t kWidest = 16;  // bytes of a store
constexpr unsigned kGlobal = 1;       // address space

}  // namespace

bool KernelEmitter::goes_through_strip(const StoredRows &rows) {
  const ir::Store &s = rows.s;
  if (!s.through || rows.fragment.layout.kind != ir::Layout::Kind::Accumulator) return false;
  if (adds_together(s, rows.fragment, rows.axes, rows.shape.columns)) return true;
  // Lanes that have a row of the strip together have 64 bytes of it at least.
  const std::int64_t bytes = s.storage->type.bytes();
  return is_plain(rows) && rows.shape.columns * bytes % (kLanesOfRow * kWidest) == 0;
}

KernelEmitter::Strip KernelEmitter::strip_of(const ir::Store &s) {
  const SharedTile &tile = tiles_.at(s.through.get());
  const std::int64_t bytes = s.through->type.bytes(), pitch = tile.extents[2] * bytes;
  // Else its places would be kept in registers while others are needed.
  Value *warp = forgotten(warp_), *lane = forgotten(lane_);
  Value *start = b.CreateInBoundsGEP(b.getInt8Ty(),
                                     field(shared_memory(), static_cast<std::size_t>(tile.offset)),
                                     b.CreateMul(warp, i64(ir::kStripRows * pitch)));
  const bool matrices = bytes == 2 && device_.architecture >= 90;
  // A lane says where a row of one of four matrices begins, or has two elements of one.
  const std::int64_t lanes = matrices ? kLanes / 2 : kLanesOfRow;
  Value *row = matrices ? b.CreateURem(lane, i64(lanes)) : b.CreateUDiv(lane, i64(lanes)),
        *place = matrices ? b.CreateUDiv(lane, i64(lanes)) : b.CreateURem(lane, i64(lanes));
  Value *own = b.CreateAdd(b.CreateMul(row, i64(pitch)),
                           b.CreateMul(place, i64(bytes * (matrices ? kUnitColumns : kBeside))));
  return {lane, start, b.CreateInBoundsGEP(b.getInt8Ty(), start, own),
          tile.extents[2] - ir::kStripPadding, pitch};
}

void KernelEmitter::warp_sync() {
  b.CreateIntrinsic(llvm::Intrinsic::nvvm_bar_warp_sync, {}, {b.getInt32(0xffffffffU)});
}

void KernelEmitter::store_through_strip(const StoredRows &rows) {
  const ir::Store &s = rows.s;
  const Strip strip = strip_of(s);
  const std::int64_t bytes = s.storage->type.bytes(), columns = rows.shape.columns;
  if (s.atomic) added_.insert(s.through.get());
  for (std::size_t number = 0; number < rows.shape.rows.size(); number += 2) {
    StripRows own;
    Value *together = b.getTrue();
    for (std::size_t half = 0; half < own.size(); ++half) {
      for_row(rows, number + half, [&](const StoredRow &row) {
        Value *first_column = env_.variables.at(rows.axes.column.get());
        Value *before = b.CreateMul(b.CreateURem(strip.lane, i64(kLanesOfRow)), i64(kBeside));
        env_.variables[rows.axes.column.get()] = b.CreateSub(first_column, before);
        own[half] = {row, in_global(address_in_row(s, row.kept))};
        env_.variables[rows.axes.column.get()] = first_column;
        Value *possible = b.CreateAnd(is_whole(rows), is_multiple(own[half].at, kWidest));
        if (row.kept) possible = b.CreateOr(possible, b.CreateNot(row.kept));
        together = b.CreateAnd(together, possible);
      });
    }
    const auto by_lines = [&] {
      std::vector<Value *> to;  // the rows that the lane writes
      std::int64_t lanes_before = 0;
      for (std::int64_t column = 0, width = strip.columns; column < columns; column += width) {
        while (column + width > columns) width /= 2;
        if (s.atomic) assembly("cp.async.bulk.wait_group.read 0;", "");
        warp_sync();
        fill_strip(rows, own, number, strip, column, width);
        if (s.atomic) {
          add_strip(own, strip, column, width);
          continue;
        }
        warp_sync();
        const std::int64_t lanes_of_row = width * bytes / kWidest;
        if (lanes_of_row != lanes_before) to = rows_of_lane(own, strip, lanes_of_row);
        lanes_before = lanes_of_row;
        empty_strip(rows, strip, to, !own[0].row.kept && !own[1].row.kept, column, lanes_of_row);
      }
    };
    const auto by_elements = [&] {
      for (std::size_t half = 0; half < own.size(); ++half) {
        const StoredRow &row = own[half].row;
        const Body each = [&] {
          in_row(rows, number + half, row, [&] { row_elements(rows, number + half, true); });
        };
        row.kept ? when(row.kept, each) : each();
      }
    };
    const Body store_rows = [&] {
      when(together_in_warp(together, nullptr), by_lines, by_elements);
    };
    Value *low = own[0].row.kept, *high = own[1].row.kept;
    if (!low || !high) {
      store_rows();
      continue;
    }
    // Warps that store nothing go on: last tiles have many.
    when(b.CreateNot(together_in_warp(b.CreateNot(b.CreateOr(low, high)), nullptr)), store_rows);
  }
}

// `width` columns from `column` on of 16 rows, of which the lane has elements of two.
void KernelEmitter::fill_strip(const StoredRows &rows, const StripRows &own, std::size_t number,
                               const Strip &strip, std::int64_t column, std::int64_t width) {
  const ir::Store &s = rows.s;
  const std::int64_t bytes = s.storage->type.bytes(), units = width / kUnitColumns;
  std::array<std::vector<Value *>, 2> values;  // of a unit: two elements
  for (std::size_t half = 0; half < own.size(); ++half) {
    const StoredRow &row = own[half].row;
    in_row(rows, number + half, row, [&] {
      FragmentElement element = rows.axes;
      element.row_number = static_cast<int>(number + half);
      element.number =
          rows.shape.number(number + half, static_cast<std::size_t>(column / kUnitColumns));
      Value *&at = env_.variables.at(element.column.get());
      at = b.CreateAdd(at, i64(column));
      values[half] =
          bytes == 2 ? words_of_row(s, element, element.number, static_cast<int>(width), row.kept)
                     : pairs_of_row(rows, element, units, row.kept);
    });
  }
  const auto place = [&](std::int64_t offset) {
    return b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), strip.own,
                                        static_cast<std::uint64_t>(offset));
  };
  if (bytes == 2 && device_.architecture >= 90) {
    for (std::size_t unit = 0; unit < values[0].size(); unit += 2) {
      Value *to = place(static_cast<std::int64_t>(unit) * kUnitColumns * bytes);
      b.CreateIntrinsic(
          llvm::Intrinsic::nvvm_stmatrix_sync_aligned_m8n8_x4_b16, {to->getType()},
          {to, values[0][unit], values[1][unit], values[0][unit + 1], values[1][unit + 1]});
    }
    return;
  }
  for (std::size_t half = 0; half < own.size(); ++half) {
    for (std::size_t unit = 0; unit < values[half].size(); ++unit) {
      Value *to = place(static_cast<std::int64_t>(half) * kHalfRows * strip.pitch +
                        static_cast<std::int64_t>(unit) * kUnitColumns * bytes);
      b.CreateAlignedStore(values[half][unit], to,
                           llvm::Align(static_cast<std::uint64_t>(kBeside * bytes)));
    }
  }
}

// The lane's elements of 4 bytes of a row, two together.
std::vector<llvm::Value *> KernelEmitter::pairs_of_row(const StoredRows &rows,
                                                       const FragmentElement &element,
                                                       std::int64_t units, Value *kept) {
  const ir::Store &s = rows.s;
  Value *first_column = env_.variables.at(element.column.get());
  llvm::Type *type = llvm::FixedVectorType::get(code::memory_type(context_, s.storage->type), 2);
  return values_where(kept, s, type, static_cast<std::size_t>(units), [&] {
    std::vector<Value *> pairs;
    for (std::int64_t unit = 0; unit < units; ++unit) {
      Value *&pair = pairs.emplace_back(llvm::PoisonValue::get(type));
      for (std::int64_t beside = 0; beside < kBeside; ++beside) {
        const Memo memo(*this, true);
        env_.variables[element.column.get()] =
            b.CreateAdd(first_column, i64(unit * kUnitColumns + beside));
        element_ = element;
        element_.number += static_cast<int>(unit * 2 * kBeside + beside);
        pair = b.CreateInsertElement(pair,
                                     code::to_memory(b, floats_, s.storage->type, value(s.value)),
                                     static_cast<std::uint64_t>(beside));
      }
    }
    element_ = {};
    env_.variables[element.column.get()] = first_column;
    return pairs;
  });
}

// So many lanes write a row of the strip, the same ones of each turn another. The addresses of
// this lane's 16 bytes in memory, of the strip's first columns; null: the row is not kept. A row's
// address is known to the four lanes that have its elements.
std::vector<llvm::Value *> KernelEmitter::rows_of_lane(const StripRows &own, const Strip &strip,
                                                       std::int64_t lanes_of_row) {
  llvm::Type *i32 = b.getInt32Ty();
  std::array<std::array<Value *, 2>, 2> words{};  // of the addresses of both rows
  for (std::size_t half = 0; half < own.size(); ++half) {
    Value *at = b.CreatePtrToInt(own[half].at, b.getInt64Ty());
    if (own[half].row.kept) at = b.CreateSelect(own[half].row.kept, at, i64(0));
    words[half] = {b.CreateTrunc(at, i32), b.CreateTrunc(b.CreateLShr(at, 32), i32)};
  }
  const std::int64_t rows_of_turn = kLanes / lanes_of_row;
  Value *row = b.CreateUDiv(strip.lane, i64(lanes_of_row)),
        *offset = b.CreateMul(b.CreateURem(strip.lane, i64(lanes_of_row)), i64(kWidest));
  std::vector<Value *> to;
  for (std::int64_t first = 0; first < ir::kStripRows; first += rows_of_turn) {
    const auto half = static_cast<std::size_t>(first / kHalfRows);
    Value *holder =
        b.CreateTrunc(b.CreateMul(b.CreateAdd(row, i64(first % kHalfRows)), i64(kLanesOfRow)), i32);
    std::array<Value *, 2> found{};
    for (std::size_t word = 0; word < found.size(); ++word) {
      found[word] = b.CreateZExt(
          b.CreateIntrinsic(llvm::Intrinsic::nvvm_shfl_sync_idx_i32, {},
                            {b.getInt32(0xffffffffU), words[half][word], holder, b.getInt32(31)}),
          b.getInt64Ty());
    }
    Value *at = b.CreateOr(found[0], b.CreateShl(found[1], 32));
    Value *there = b.CreateAdd(at, offset);
    if (own[half].row.kept) there = b.CreateSelect(b.CreateICmpEQ(at, i64(0)), i64(0), there);
    to.push_back(there);
  }
  return to;
}

// From the strip to memory, 16 bytes a lane.
void KernelEmitter::empty_strip(const StoredRows &rows, const Strip &strip,
                                const std::vector<Value *> &to, bool all_kept, std::int64_t column,
                                std::int64_t lanes_of_row) {
  constexpr std::size_t kAtOnce = 4;  // loads on whose results the lane waits together
  auto *line = llvm::FixedVectorType::get(b.getInt32Ty(), 4);
  const std::int64_t bytes = rows.s.storage->type.bytes();
  Value *row = b.CreateUDiv(strip.lane, i64(lanes_of_row)),
        *place = b.CreateURem(strip.lane, i64(lanes_of_row));
  Value *from = b.CreateInBoundsGEP(
      b.getInt8Ty(), strip.start,
      b.CreateAdd(b.CreateMul(row, i64(strip.pitch)), b.CreateMul(place, i64(kWidest))));
  const std::int64_t between = kLanes / lanes_of_row * strip.pitch;
  for (std::size_t first = 0; first < to.size(); first += kAtOnce) {
    const std::size_t last = std::min(first + kAtOnce, to.size());
    std::vector<Value *> lines;
    for (std::size_t turn = first; turn < last; ++turn) {
      Value *at = b.CreateConstInBoundsGEP1_64(
          b.getInt8Ty(), from,
          static_cast<std::uint64_t>(static_cast<std::int64_t>(turn) * between));
      lines.push_back(b.CreateAlignedLoad(line, at, llvm::Align(kWidest)));
    }
    for (std::size_t turn = first; turn < last; ++turn) {
      const Body write = [&] {
        Value *at = b.CreateIntToPtr(b.CreateAdd(to[turn], i64(column * bytes)),
                                     llvm::PointerType::get(context_, kGlobal));
        auto *access = b.CreateAlignedStore(lines[turn - first], at, llvm::Align(kWidest));
        describe_access(access, rows.s.storage.get());
      };
      all_kept ? write() : when(b.CreateICmpNE(to[turn], i64(0)), write);
    }
  }
}

// From the strip to memory by bulk reductions, of a row each. Two of the four lanes that have two
// rows' elements begin one each, and it is they who wait for them.
void KernelEmitter::add_strip(const StripRows &own, const Strip &strip, std::int64_t column,
                              std::int64_t width) {
  constexpr std::int64_t kBytes = 4;
  assembly("fence.proxy.async.shared::cta;", "");
  warp_sync();
  Value *number = b.CreateURem(strip.lane, i64(kLanesOfRow)),
        *first = b.CreateICmpEQ(number, i64(0));
  Value *begins = b.CreateICmpULT(number, i64(2));
  const auto kept_of = [&](const StripRow &row) {
    return row.row.kept ? row.row.kept : b.getTrue();
  };
  begins = b.CreateAnd(begins, b.CreateSelect(first, kept_of(own[0]), kept_of(own[1])));
  when(begins, [&] {
    Value *row = b.CreateAdd(b.CreateUDiv(strip.lane, i64(kLanesOfRow)),
                             b.CreateMul(number, i64(kHalfRows)));
    Value *from =
        b.CreateInBoundsGEP(b.getInt8Ty(), strip.start, b.CreateMul(row, i64(strip.pitch)));
    Value *to =
        b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), b.CreateSelect(first, own[0].at, own[1].at),
                                     static_cast<std::uint64_t>(column * kBytes));
    assembly("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [$0], [$1], $2;", "l,r,r",
             {to, b.CreatePtrToInt(from, b.getInt32Ty()),
              b.getInt32(static_cast<std::uint32_t>(width * kBytes))});
  });
  assembly("cp.async.bulk.commit_group;", "");
}

}  // namespace pit::cuda
