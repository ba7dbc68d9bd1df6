// Statements over the elements of fragments that store them to memory: what lies beside each other
// together, where it can be.
#include <llvm/IR/IntrinsicsNVPTX.h>

#include <algorithm>
#include <array>

#include "codegen/llvm/access.h"
#include "dsl/error.h"
#include "fragment_shape.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using Kind = ir::Layout::Kind;
using llvm::Value;

constexpr int kBeside = 2, kUnitColumns = 8;
constexpr std::int64_t kWidest = 16;  // bytes of a store
constexpr unsigned kGlobal = 1;       // address space

bool is_constant(const Expr &e) { return e.as<FloatImm>() || e.as<IntImm>(); }

bool of_warpgroups(const ir::Layout &layout) {
  constexpr int kWarpsOfGroup = 4;
  return layout.kind == Kind::Accumulator && layout.together == kWarpsOfGroup;
}

}  // namespace

void KernelEmitter::store_fragments(const ir::Store &statement, const FragmentUse &use) {
  const Fragment &fragment = *use.matrix;
  const FragmentShape shape(fragment.layout, fragment.extents);
  StoredRows rows{
      statement, {}, fragment, shape, first_element(fragment, shape), {use.row, use.column}};
  // Guards of whole rows, as far as they come first, are tested once a row.
  std::vector<Expr> &guards = rows.s.guards;
  const auto of_element = std::ranges::find_if(
      guards, [&](const Expr &guard) { return uses(guard, use.column) || reads_fragment(guard); });
  rows.guards.assign(guards.begin(), of_element);
  guards.erase(guards.begin(), of_element);
  // What guards read of memory is waited for together, before the first row is stored.
  if (std::ranges::any_of(rows.guards, reads_memory)) {
    std::vector<Value *> kept;
    for (std::size_t i = 0; i < shape.rows.size(); ++i) {
      const Memo memo(*this, true);
      kept.push_back(is_kept(rows, go_to_row(rows, i)));
      row_values_.clear();
    }
    rows.kept = std::move(kept);
  }
  if (goes_through_strip(rows)) return store_through_strip(rows);
  for (std::size_t i = 0; i < shape.rows.size(); ++i)
    for_row(rows, i, [&](const StoredRow &row) { fragment_row(rows, i, row.kept); });
}

llvm::Value *KernelEmitter::go_to_row(const StoredRows &rows, std::size_t number) {
  Value *row = b.CreateAdd(rows.first.row, i64(rows.shape.rows[number]));
  env_.variables[rows.axes.row.get()] = row;
  return row;
}

// Null: it is.
llvm::Value *KernelEmitter::is_kept(const StoredRows &rows, Value *row) {
  look_up_all(rows.guards);
  Value *extent = env_.axes.at(rows.axes.row.get()).extent;
  const auto *all = llvm::dyn_cast<llvm::ConstantInt>(extent);
  Value *kept = all && all->getSExtValue() == rows.fragment.extents[0]
                    ? nullptr
                    : b.CreateICmpSLT(row, extent);
  if (!rows.guards.empty())
    kept = kept ? b.CreateAnd(kept, holds(rows.guards)) : holds(rows.guards);
  return kept;
}

void KernelEmitter::for_row(const StoredRows &rows, std::size_t number,
                            const std::function<void(const StoredRow &)> &body) {
  const Memo memo(*this, true);
  Value *row = go_to_row(rows, number);
  env_.variables[rows.axes.column.get()] = forgotten_column(rows.first.column, rows.shape);
  Value *kept = rows.kept.empty() ? is_kept(rows, row) : rows.kept[number];
  look_up_all(rows.s.guards);
  look_up_all(rows.s.indices);
  look_up_all({rows.s.value});
  body({kept, row_values_});
  row_values_.clear();
}

void KernelEmitter::in_row(const StoredRows &rows, std::size_t number, const StoredRow &row,
                           const Body &body) {
  const Memo memo(*this, true);
  go_to_row(rows, number);
  env_.variables[rows.axes.column.get()] = forgotten_column(rows.first.column, rows.shape);
  row_values_ = row.values;
  body();
  row_values_.clear();
}

// Whether a row's elements are stored beside each other, and nothing is asked of one of them.
bool KernelEmitter::is_plain(const StoredRows &rows) {
  const ir::Store &s = rows.s;
  return s.storage->space != Space::Tile && s.combiner == Combiner::Assign && !s.atomic &&
         s.guards.empty() &&
         code::movement(s.indices, rows.axes.column, storage(s.storage).unit_dimension) ==
             code::Movement::Unit;
}

// Whether the tile has all its columns.
llvm::Value *KernelEmitter::is_whole(const StoredRows &rows) {
  return b.CreateICmpEQ(env_.axes.at(rows.axes.column.get()).extent, i64(rows.fragment.extents[1]));
}

// One by one. `checked`: those whose columns are kept; else all of them are.
void KernelEmitter::row_elements(const StoredRows &rows, std::size_t number, bool checked) {
  const ir::Store &s = rows.s;
  const FragmentShape &shape = rows.shape;
  FragmentElement element = rows.axes;
  element.row_number = static_cast<int>(number);
  Value *first_column = env_.variables.at(element.column.get());
  // Else the columns of all elements are kept, because both ways of storing them need them.
  Value *from = forgotten_column(first_column, shape), *start = nullptr;
  Value *left = checked ? b.CreateSub(env_.axes.at(element.column.get()).extent, from) : nullptr;
  if (is_plain(rows)) {
    const Memo memo(*this, true);
    env_.variables[element.column.get()] = from;
    start = address(s.storage, s.indices);
  }
  for (std::size_t unit = 0; unit < shape.units.size(); ++unit) {
    for (int beside = 0; beside < shape.beside; ++beside) {
      const Memo memo(*this, true);
      const std::int64_t further = shape.units[unit] + beside;
      env_.variables[element.column.get()] = b.CreateAdd(from, i64(further));
      element_ = element;
      element_.number = shape.number(number, unit) + beside;
      const Body store_it = [&] {
        if (!start) return store_element(s);
        // Places at constant distances: LLVM would look for what they have in common at length.
        Value *at = b.CreateConstGEP1_64(code::memory_type(context_, s.storage->type), start,
                                         static_cast<std::uint64_t>(further));
        store(s.storage, at, value(s.value));
      };
      checked ? when(b.CreateICmpSGT(left, i64(further)), store_it) : store_it();
    }
  }
  element_ = {};
  env_.variables[element.column.get()] = first_column;
}

// `kept`: whether the row is stored; null: it is.
void KernelEmitter::fragment_row(const StoredRows &rows, std::size_t number, Value *kept) {
  const ir::Store &s = rows.s;
  const FragmentShape &shape = rows.shape;
  FragmentElement element = rows.axes;
  element.row_number = static_cast<int>(number);
  const auto where_kept = [&](const Body &body) { kept ? when(kept, body) : body(); };
  const auto each = [&](bool checked) { row_elements(rows, number, checked); };
  const auto columns = static_cast<int>(shape.columns);
  const int first = shape.number(number, 0);
  Value *first_column = env_.variables.at(element.column.get());
  Value *whole = is_whole(rows);
  const bool plain = is_plain(rows);
  const auto *known = llvm::dyn_cast<llvm::ConstantInt>(whole);
  const int bytes = s.storage->type.bytes();
  const bool exchanged =
      bytes == 2 && rows.fragment.layout.kind != Kind::Blocked && columns % (4 * kUnitColumns) == 0;
  if (adds_together(s, rows.fragment, element, columns)) {
    Value *at = nullptr;
    {
      const Memo memo(*this, true);
      env_.variables[element.column.get()] = first_added(first_column);
      at = in_global(address_in_row(s, kept));
      env_.variables[element.column.get()] = first_column;
    }
    return when(
        together_in_warp(b.CreateAnd(whole, is_multiple(at, kWidest)), kept),
        [&] { add_row(s, element, first, columns, at, kept); },
        [&] { where_kept([&] { each(true); }); });
  }
  const std::int64_t unit_bytes = bytes * shape.beside;
  // Sums of matrix instructions leave no registers for another way of storing them.
  const bool vectors =
      rows.fragment.layout.kind == Kind::Blocked && shape.beside > 1 && unit_bytes <= kWidest;
  if (!plain || (!exchanged && !vectors)) {
    return where_kept([&] {
      if (known) return each(known->isZero());
      when(whole, [&] { each(false); }, [&] { each(true); });
    });
  }
  // Elements beside each other are stored together. Of 2-byte elements, four lanes of a row
  // exchange theirs before, so that each has eight.
  Value *at = nullptr;
  {
    const Memo memo(*this, true);
    if (exchanged) {
      Value *quad = b.CreateMul(b.CreateAnd(lane_, i64(3)), i64(kUnitColumns - kBeside));
      env_.variables[element.column.get()] = b.CreateAdd(first_column, quad);
    }
    at = address_in_row(s, kept);
    env_.variables[element.column.get()] = first_column;
  }
  if (exchanged) {
    return when(
        together_in_warp(b.CreateAnd(whole, is_multiple(at, kWidest)), kept),
        [&] { store_row_wide(s, element, first, columns, at, kept); },
        [&] { where_kept([&] { each(true); }); });
  }
  where_kept([&] {
    when(
        b.CreateAnd(whole, is_multiple(at, unit_bytes)),
        [&] { store_row_vectors(s, shape, element, number, at); }, [&] { each(true); });
  });
}

llvm::Value *KernelEmitter::in_global(Value *address) {
  return b.CreateAddrSpaceCast(address, llvm::PointerType::get(context_, kGlobal));
}

// Where the row is not kept its indices may not be computed if they read memory.
llvm::Value *KernelEmitter::address_in_row(const ir::Store &s, Value *kept) {
  if (!kept || std::ranges::none_of(s.indices, reads_memory)) return address(s.storage, s.indices);
  llvm::PointerType *pointer = b.getPtrTy();
  return either(
      kept, pointer, [&] { return b.CreateAddrSpaceCast(address(s.storage, s.indices), pointer); },
      [&]() -> Value * { return llvm::ConstantPointerNull::get(pointer); });
}

llvm::Value *KernelEmitter::is_multiple(Value *address, std::int64_t bytes) {
  Value *rest = b.CreateAnd(b.CreatePtrToInt(address, b.getInt64Ty()), i64(bytes - 1));
  return b.CreateICmpEQ(rest, i64(0));
}

// Whether `possible` holds in all lanes whose row is kept. All lanes of a warp then go the same
// way: instructions that exchange between lanes are slow where only some take part.
llvm::Value *KernelEmitter::together_in_warp(Value *possible, Value *kept) {
  if (kept) possible = b.CreateOr(possible, b.CreateNot(kept));
  return b.CreateIntrinsic(llvm::Intrinsic::nvvm_vote_all_sync, {},
                           {b.getInt32(0xffffffffU), possible});
}

// `at`: the address of the row's first unit.
void KernelEmitter::store_row_vectors(const ir::Store &s, const FragmentShape &shape,
                                      const FragmentElement &axes, std::size_t row, Value *at) {
  Value *first_column = env_.variables.at(axes.column.get());
  const std::int64_t bytes = s.storage->type.bytes();
  llvm::Type *type = code::memory_type(context_, s.storage->type);
  auto *vector_type = llvm::FixedVectorType::get(type, static_cast<unsigned>(shape.beside));
  for (std::size_t unit = 0; unit < shape.units.size(); ++unit) {
    Value *together = llvm::PoisonValue::get(vector_type);
    for (int beside = 0; beside < shape.beside; ++beside) {
      const Memo memo(*this, true);
      env_.variables[axes.column.get()] =
          b.CreateAdd(first_column, i64(shape.units[unit] + beside));
      element_ = axes;
      element_.number = shape.number(row, unit) + beside;
      together = b.CreateInsertElement(together,
                                       code::to_memory(b, floats_, s.storage->type, value(s.value)),
                                       static_cast<std::uint64_t>(beside));
    }
    Value *place = b.CreateInBoundsGEP(b.getInt8Ty(), at, i64(shape.units[unit] * bytes));
    auto *access = b.CreateAlignedStore(
        together, place, llvm::Align(static_cast<std::uint64_t>(bytes * shape.beside)));
    describe_access(access, s.storage.get());
  }
  element_ = {};
  env_.variables[axes.column.get()] = first_column;
}

// An element in registers behind the statement, whose value there is v.
llvm::Value *KernelEmitter::updated(const ir::Store &s, Value *v) {
  const Fragment &to = fragments_.at(s.storage.get());
  if (s.combiner != Combiner::Assign)
    return combine(s.combiner, to.type, read_fragment(to), v, true);
  return is_constant(s.value) && of_warpgroups(to.layout) ? in_own_register(v) : v;
}

void KernelEmitter::store_element(const ir::Store &s) {
  const Body store_it = [&] {
    Value *v = value(s.value);
    const auto fragment = fragments_.find(s.storage.get());
    if (fragment != fragments_.end()) return write_fragment(fragment->second, updated(s, v));
    Value *at = address(s.storage, s.indices);
    if (s.atomic) return update_atomically(s, at, v);
    if (s.combiner != Combiner::Assign)
      v = combine(s.combiner, s.storage->type, load(s.storage, at), v, true);
    store(s.storage, at, v);
  };
  const std::function<void(std::size_t)> guarded = [&](std::size_t i) {
    if (i == s.guards.size()) return store_it();
    when(value(s.guards[i]), [&] { guarded(i + 1); });
  };
  guarded(0);
}

// What is stored at an element and the one beside it, in a word.
llvm::Value *KernelEmitter::word_at(const ir::Store &s, FragmentElement element, Value *column) {
  llvm::Type *i16 = b.getInt16Ty();
  // Two numbers are rounded by one instruction.
  const auto *conversion = s.value.as<Cast>();
  const bool small_float = s.storage->type == bfloat16 || s.storage->type == float16;
  const Cast *rounded =
      conversion && small_float && conversion->a.type() == float32 ? conversion : nullptr;
  Value *pair = llvm::PoisonValue::get(llvm::FixedVectorType::get(
      rounded ? b.getFloatTy() : static_cast<llvm::Type *>(i16), kBeside));
  Value *outside = env_.variables[element.column.get()];
  for (int beside = 0; beside < kBeside; ++beside) {
    const Memo memo(*this, true);
    env_.variables[element.column.get()] = b.CreateAdd(column, i64(beside));
    element_ = element;
    element_.number += beside;
    Value *half = rounded ? value(rounded->a)
                          : b.CreateBitCast(
                                code::to_memory(b, floats_, s.storage->type, value(s.value)), i16);
    pair = b.CreateInsertElement(pair, half, static_cast<std::uint64_t>(beside));
  }
  element_ = {};
  env_.variables[element.column.get()] = outside;
  if (rounded) pair = code::to_memory(b, floats_, s.storage->type, pair);
  return b.CreateBitCast(pair, b.getInt32Ty());
}

// What `compute` gives, of which there is one for each of `count`. Where the row is not kept the
// value may not be computed if it reads memory.
std::vector<llvm::Value *> KernelEmitter::values_where(
    Value *kept, const ir::Store &s, llvm::Type *type, std::size_t count,
    const std::function<std::vector<Value *>()> &compute) {
  if (!kept || !reads_memory(s.value)) return compute();
  std::vector<llvm::AllocaInst *> places(count);
  for (llvm::AllocaInst *&place : places) {
    place = local(type, "kept");
    b.CreateStore(llvm::Constant::getNullValue(type), place);
  }
  when(kept, [&] {
    const std::vector<Value *> values = compute();
    for (std::size_t i = 0; i < count; ++i) b.CreateStore(values[i], places[i]);
  });
  std::vector<Value *> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = b.CreateLoad(type, places[i]);
  return values;
}

// The row's elements of this lane, two in a word, in units of eight columns that four lanes have.
std::vector<llvm::Value *> KernelEmitter::words_of_row(const ir::Store &s,
                                                       const FragmentElement &axes, int first,
                                                       int columns, Value *kept) {
  Value *first_column = env_.variables.at(axes.column.get());
  const auto units = static_cast<std::size_t>(columns / kUnitColumns);
  return values_where(kept, s, b.getInt32Ty(), units, [&] {
    std::vector<Value *> words;
    for (int unit = 0; unit < columns / kUnitColumns; ++unit) {
      FragmentElement element = axes;
      element.number = first + unit * 2 * kBeside;
      words.push_back(word_at(s, element, b.CreateAdd(first_column, i64(unit * kUnitColumns))));
    }
    return words;
  });
}

// `at`: the address of this lane's first eight elements. Lane q of four has elements 2q and 2q + 1
// of each unit of eight; behind the exchange it has unit q of each four. All lanes of the warp take
// part, those whose row is not kept too.
void KernelEmitter::store_row_wide(const ir::Store &s, const FragmentElement &axes, int first,
                                   int columns, Value *at, Value *kept) {
  llvm::Type *i32 = b.getInt32Ty();
  const auto where_kept = [&](const Body &body) { kept ? when(kept, body) : body(); };
  std::vector<Value *> words = words_of_row(s, axes, first, columns, kept);
  Value *lane = b.CreateTrunc(lane_, i32);
  Value *odd = b.CreateICmpNE(b.CreateAnd(lane, b.getInt32(1)), b.getInt32(0)),
        *upper = b.CreateICmpNE(b.CreateAnd(lane, b.getInt32(2)), b.getInt32(0));
  // The lanes whose number differs by `mask` exchange x of one and y of the other.
  const auto exchange = [&](Value *which, Value *&x, Value *&y, std::uint32_t mask) {
    Value *moved = b.CreateIntrinsic(
        llvm::Intrinsic::nvvm_shfl_sync_bfly_i32, {},
        {b.getInt32(0xffffffffU), b.CreateSelect(which, x, y), b.getInt32(mask), b.getInt32(31)});
    Value *new_x = b.CreateSelect(which, moved, x);
    y = b.CreateSelect(which, y, moved);
    x = new_x;
  };
  for (std::size_t unit = 0; unit < words.size(); unit += 4) {
    exchange(odd, words[unit], words[unit + 1], 1);
    exchange(odd, words[unit + 2], words[unit + 3], 1);
    exchange(upper, words[unit], words[unit + 2], 2);
    exchange(upper, words[unit + 1], words[unit + 3], 2);
  }
  where_kept([&] {
    for (std::size_t unit = 0; unit < words.size(); unit += 4) {
      Value *together = llvm::PoisonValue::get(llvm::FixedVectorType::get(i32, 4));
      for (std::size_t i = 0; i < 4; ++i)
        together = b.CreateInsertElement(together, words[unit + i], static_cast<std::uint64_t>(i));
      constexpr std::int64_t kBytes = 2;
      Value *place = b.CreateInBoundsGEP(
          b.getInt8Ty(), at, i64(static_cast<std::int64_t>(unit) * kUnitColumns * kBytes));
      auto *access = b.CreateAlignedStore(together, place, llvm::Align(16));
      describe_access(access, s.storage.get());
    }
  });
}

}  // namespace pit::cuda
