// Tiles that layouts distribute over the registers of a role's threads: matrix instructions that
// accumulate in them, and statements over their elements.
//
// A fragment is an array of each thread, and every index into it is a constant: LLVM then makes
// registers of it.
#include <llvm/IR/IntrinsicsNVPTX.h>

#include <algorithm>
#include <array>

#include "codegen/ir/mutator.h"
#include "codegen/llvm/access.h"
#include "dsl/error.h"
#include "fragment_shape.h"
#include "kernel_emitter.h"
#include "wgmma.h"

namespace pit::cuda {

namespace {

using llvm::Value;

constexpr int kLanes = 32, kWarpsOfGroup = 4, kRowsOfWarp = 16, kBeside = 2, kUnitColumns = 8;
constexpr std::int64_t kWidest = 16;  // bytes of a store
constexpr unsigned kGlobal = 1;       // address space

std::int64_t own_columns(const ir::Layout &layout, const ir::Coordinates &extents) {
  return extents[1] / layout.warps_n;
}
std::int64_t repetitions(const ir::Layout &layout, const ir::Coordinates &extents) {
  return extents[0] / (kRowsOfWarp * layout.warps_m);
}

bool is_constant(const Expr &e) { return e.as<FloatImm>() || e.as<IntImm>(); }

bool of_warpgroups(const ir::Layout &layout) {
  return layout.kind == ir::Layout::Kind::Accumulator && layout.together == kWarpsOfGroup;
}

}  // namespace

void KernelEmitter::allocate_fragment(const ir::Allocate &s) {
  Fragment f{s.placement.layout, {}, nullptr, 0, s.storage->type};
  for (const Expr &e : s.extents) is_const_int(e, &f.extents.emplace_back());
  const bool matrix = f.layout.kind == ir::Layout::Kind::Accumulator && f.type == float32;
  const bool blocked = f.layout.kind == ir::Layout::Kind::Blocked && f.type.is_float();
  internal_check((matrix || blocked) && f.extents.size() == 2 && !s.placement.buffered,
                 "the fragment " + s.storage->name + " is no matrix of accumulators");
  f.count = ir::elements_per_thread(f.layout, f.extents);
  f.elements = local(llvm::ArrayType::get(code::register_type(context_, f.type),
                                          static_cast<std::uint64_t>(f.count)),
                     s.storage->name.c_str());
  fragments_[s.storage.get()] = f;
}

llvm::Value *KernelEmitter::fragment_element(const Fragment &fragment, int number) {
  return b.CreateConstInBoundsGEP2_32(fragment.elements->getAllocatedType(), fragment.elements, 0,
                                      static_cast<unsigned>(number));
}

void KernelEmitter::after_fragments(const std::string &text) {
  std::vector<Value *> places, values;
  for (const auto &[storage, fragment] : fragments_) {
    for (int i = 0; i < fragment.count; ++i) places.push_back(fragment_element(fragment, i));
  }
  // More operands than an instruction of PTX takes: they are tied in parts, behind `text`.
  assembly(text, "");
  constexpr std::size_t kMost = 128;
  for (std::size_t first = 0; first < places.size(); first += kMost) {
    const std::size_t count = std::min(kMost, places.size() - first);
    values.clear();
    for (std::size_t i = 0; i < count; ++i)
      values.push_back(b.CreateLoad(b.getFloatTy(), places[first + i]));
    const std::vector<llvm::Type *> types(count, b.getFloatTy());
    llvm::Type *type = count == 1 ? b.getFloatTy() : llvm::StructType::get(context_, types);
    Value *tied = assembly("", tied_registers(static_cast<std::int64_t>(count)), values, type);
    for (std::size_t i = 0; i < count; ++i) {
      b.CreateStore(count == 1 ? tied : b.CreateExtractValue(tied, static_cast<unsigned>(i)),
                    places[first + i]);
    }
  }
}

// --- statements over the elements ---

const KernelEmitter::Fragment *KernelEmitter::fragment_of(const ir::Store &s,
                                                          FragmentElement *axes) {
  if (fragments_.empty()) return nullptr;
  const Fragment *found = nullptr;
  const auto visit = [&](const StorageNode *storage, const std::vector<Expr> &indices) {
    const auto it = fragments_.find(storage);
    if (it == fragments_.end()) return;
    const auto *row = indices[0].as<Variable>(), *column = indices[1].as<Variable>();
    const bool first = found == nullptr;
    internal_check(row && column, "an index of a fragment is no axis");
    if (first) {
      found = &it->second;
      *axes = {row->var, column->var, -1};
    }
    internal_check(row->var == axes->row && column->var == axes->column &&
                       it->second.layout == found->layout && it->second.extents == found->extents,
                   "fragments of different layouts meet in one statement");
  };
  visit(s.storage.get(), s.indices);
  const auto visit_loads = [&](const Expr &e) {
    walk(e, [&](const Expr &part) {
      if (const auto *load = part.as<Load>()) visit(load->storage.get(), load->indices);
      return true;
    });
  };
  for (const Expr &e : s.guards) visit_loads(e);
  for (const Expr &e : s.indices) visit_loads(e);
  visit_loads(s.value);
  if (!found) return nullptr;
  const auto listed = [&](const VarPtr &v) { return std::ranges::find(s.axes, v) != s.axes.end(); };
  internal_check(s.axes.size() == 2 && listed(axes->row) && listed(axes->column),
                 "a statement over the fragment " + s.storage->name + " has other axes");
  return found;
}

bool KernelEmitter::reads_fragment(const Expr &e) const {
  bool reads = false;
  walk(e, [&](const Expr &part) {
    const auto *load = part.as<Load>();
    reads = reads || (load && fragments_.contains(load->storage.get()));
    return !reads;
  });
  return reads;
}

llvm::Value *KernelEmitter::load_element(const Load &e) {
  if (const auto known = row_values_.find(&e); known != row_values_.end()) return known->second;
  if (const auto tile = lane_tiles_.find(e.storage.get()); tile != lane_tiles_.end())
    return look_up(tile->second, e.storage->type, e.indices[0]);
  if (const auto it = wide_.find(&e); it != wide_.end()) return it->second;
  const auto it = fragments_.find(e.storage.get());
  if (it == fragments_.end()) return FunctionEmitter::load_element(e);
  internal_check(element_.number >= 0, "a fragment is read outside of its statements");
  return b.CreateLoad(code::register_type(context_, it->second.type),
                      fragment_element(it->second, element_.number));
}

void KernelEmitter::store_fragments(const ir::Store &statement, const Fragment &fragment,
                                    const FragmentElement &axes) {
  // Guards of whole rows, as far as they come first, are tested once a row.
  ir::Store s = statement;
  const auto of_element = std::ranges::find_if(s.guards, [&](const Expr &guard) {
    return uses(guard, axes.column) || reads_fragment(guard);
  });
  const std::vector<Expr> of_row(s.guards.begin(), of_element);
  s.guards.erase(s.guards.begin(), of_element);
  internal_check(s.storage->space != Space::Tile || fragments_.contains(s.storage.get()),
                 "the elements of a fragment are stored to the tile " + s.storage->name);
  Hazards::Accesses own;
  own.add(ir::make<ir::Store>(s));
  order(std::move(own));
  const FragmentShape shape(fragment.layout, fragment.extents);
  Value *warp = forgotten(warp_), *lane = forgotten(lane_);
  Value *warp_m = b.CreateURem(warp, i64(fragment.layout.warps_m)),
        *warp_n = b.CreateUDiv(warp, i64(fragment.layout.warps_m));
  Value *group = b.CreateUDiv(warp_m, i64(shape.together)),
        *member = b.CreateURem(warp_m, i64(shape.together));
  Value *first_row =
      b.CreateAdd(b.CreateMul(group, i64(shape.group_rows)),
                  b.CreateAdd(b.CreateMul(member, i64(shape.member_rows)),
                              b.CreateMul(b.CreateUDiv(lane, i64(shape.lanes)), i64(shape.run))));
  Value *first_column =
      b.CreateAdd(b.CreateMul(warp_n, i64(shape.columns)),
                  b.CreateMul(b.CreateURem(lane, i64(shape.lanes)), i64(shape.beside)));
  const auto kept_of = [&](Value *row) {
    look_up_all(of_row);
    Value *extent = env_.axes.at(axes.row.get()).extent;
    const auto *rows = llvm::dyn_cast<llvm::ConstantInt>(extent);
    Value *kept = rows && rows->getSExtValue() == fragment.extents[0]
                      ? nullptr
                      : b.CreateICmpSLT(row, extent);
    if (!of_row.empty()) kept = kept ? b.CreateAnd(kept, holds(of_row)) : holds(of_row);
    return kept;
  };
  const auto row_number = [&](std::size_t i) {
    Value *row = b.CreateAdd(first_row, i64(shape.rows[i]));
    env_.variables[axes.row.get()] = row;
    return row;
  };
  // What guards read of memory is waited for together, before the first row is stored.
  std::vector<Value *> kept_rows;
  if (std::ranges::any_of(of_row, reads_memory)) {
    for (std::size_t i = 0; i < shape.rows.size(); ++i) {
      const Memo memo(*this, true);
      kept_rows.push_back(kept_of(row_number(i)));
      row_values_.clear();
    }
  }
  for (std::size_t i = 0; i < shape.rows.size(); ++i) {
    const Memo memo(*this, true);
    Value *row = row_number(i);
    env_.variables[axes.column.get()] = forgotten(first_column);
    Value *kept = kept_rows.empty() ? kept_of(row) : kept_rows[i];
    look_up_all(s.guards);
    look_up_all(s.indices);
    look_up_all({s.value});
    fragment_row(s, fragment, shape, axes, i, kept);
    row_values_.clear();
  }
}

llvm::Value *KernelEmitter::forgotten(Value *v) {
  return assembly("mov.b64 $0, $1;", "=l,l", {v}, b.getInt64Ty());
}

llvm::Value *KernelEmitter::in_own_register(Value *v) {
  return assembly("mov.b32 $0, $1;", "=f,f", {v}, b.getFloatTy());
}

// One row's elements of a thread. `kept`: whether the row is stored; null: it is.
void KernelEmitter::fragment_row(const ir::Store &s, const Fragment &fragment,
                                 const FragmentShape &shape, FragmentElement element,
                                 std::size_t number_of_row, Value *kept) {
  const auto where_kept = [&](const Body &body) { kept ? when(kept, body) : body(); };
  const auto columns = static_cast<int>(shape.columns);
  const int first = shape.number(number_of_row, 0);
  Value *first_column = env_.variables.at(element.column.get());
  Value *extent = env_.axes.at(element.column.get()).extent;
  const auto each = [&](bool checked) {
    // Else the columns of all elements are kept, because both ways of storing them need them.
    Value *from = forgotten(first_column);
    for (std::size_t unit = 0; unit < shape.units.size(); ++unit) {
      for (int beside = 0; beside < shape.beside; ++beside) {
        const Memo memo(*this, true);
        Value *column = b.CreateAdd(from, i64(shape.units[unit] + beside));
        env_.variables[element.column.get()] = column;
        element_ = element;
        element_.number = shape.number(number_of_row, unit) + beside;
        if (!checked) {
          store_element(s);
        } else {
          when(b.CreateICmpSLT(column, extent), [&] { store_element(s); });
        }
      }
    }
    element_ = {};
    env_.variables[element.column.get()] = first_column;
  };
  Value *whole = b.CreateICmpEQ(extent, i64(fragment.extents[1]));
  const auto *known = llvm::dyn_cast<llvm::ConstantInt>(whole);
  const int bytes = s.storage->type.bytes();
  const bool memory = s.storage->space != Space::Tile;
  const bool plain = memory && s.combiner == Combiner::Assign && !s.atomic && s.guards.empty() &&
                     code::movement(s.indices, element.column, storage(s.storage).unit_dimension) ==
                         code::Movement::Unit;
  const bool exchanged = bytes == 2 && fragment.layout.kind == ir::Layout::Kind::Accumulator &&
                         columns % (4 * kUnitColumns) == 0;
  if (adds_together(s, fragment, element, columns)) {
    Value *at = nullptr;
    {
      const Memo memo(*this, true);
      env_.variables[element.column.get()] = first_added(first_column);
      at = b.CreateAddrSpaceCast(address(s.storage, s.indices),
                                 llvm::PointerType::get(context_, kGlobal));
      env_.variables[element.column.get()] = first_column;
    }
    return when(
        together_in_warp(b.CreateAnd(whole, is_multiple(at, kWidest)), kept),
        [&] { add_row(s, element, first, columns, at, kept); },
        [&] { where_kept([&] { each(true); }); });
  }
  const std::int64_t unit_bytes = bytes * shape.beside;
  // Sums of matrix instructions leave no registers for another way of storing them.
  const bool vectors = fragment.layout.kind == ir::Layout::Kind::Blocked && shape.beside > 1 &&
                       unit_bytes <= kWidest;
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
    at = address(s.storage, s.indices);
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
        [&] { store_row_vectors(s, shape, element, number_of_row, at); }, [&] { each(true); });
  });
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

void KernelEmitter::store_element(const ir::Store &s) {
  const Body store_it = [&] {
    Value *v = value(s.value);
    const auto fragment = fragments_.find(s.storage.get());
    if (fragment != fragments_.end()) {
      Value *place = fragment_element(fragment->second, element_.number);
      if (s.combiner != Combiner::Assign)
        v = combine(s.combiner, fragment->second.type,
                    b.CreateLoad(code::register_type(context_, fragment->second.type), place), v,
                    true);
      else if (is_constant(s.value) && of_warpgroups(fragment->second.layout))
        v = in_own_register(v);
      b.CreateStore(v, place);
      return;
    }
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

// The row's elements of this lane, two in a word, in units of eight columns that four lanes have.
std::vector<llvm::Value *> KernelEmitter::words_of_row(const ir::Store &s,
                                                       const FragmentElement &axes, int first,
                                                       int columns) {
  Value *first_column = env_.variables.at(axes.column.get());
  llvm::Type *i32 = b.getInt32Ty(), *i16 = b.getInt16Ty();
  // Two numbers are rounded by one instruction.
  const auto *conversion = s.value.as<Cast>();
  const bool small_float = s.storage->type == bfloat16 || s.storage->type == float16;
  const Cast *rounded =
      conversion && small_float && conversion->a.type() == float32 ? conversion : nullptr;
  std::vector<Value *> words;
  for (int unit = 0; unit < columns / kUnitColumns; ++unit) {
    Value *pair = llvm::PoisonValue::get(llvm::FixedVectorType::get(
        rounded ? b.getFloatTy() : static_cast<llvm::Type *>(i16), kBeside));
    for (int beside = 0; beside < kBeside; ++beside) {
      const Memo memo(*this, true);
      env_.variables[axes.column.get()] =
          b.CreateAdd(first_column, i64(unit * kUnitColumns + beside));
      element_ = axes;
      element_.number = first + unit * 2 * kBeside + beside;
      Value *element =
          rounded
              ? value(rounded->a)
              : b.CreateBitCast(code::to_memory(b, floats_, s.storage->type, value(s.value)), i16);
      pair = b.CreateInsertElement(pair, element, static_cast<std::uint64_t>(beside));
    }
    if (rounded) pair = code::to_memory(b, floats_, s.storage->type, pair);
    words.push_back(b.CreateBitCast(pair, i32));
  }
  element_ = {};
  env_.variables[axes.column.get()] = first_column;
  return words;
}

// `at`: the address of this lane's first eight elements. Lane q of four has elements 2q and 2q + 1
// of each unit of eight; behind the exchange it has unit q of each four. All lanes of the warp take
// part, those whose row is not kept too.
void KernelEmitter::store_row_wide(const ir::Store &s, const FragmentElement &axes, int first,
                                   int columns, Value *at, Value *kept) {
  llvm::Type *i32 = b.getInt32Ty();
  const auto where_kept = [&](const Body &body) { kept ? when(kept, body) : body(); };
  std::vector<Value *> words;
  if (kept && reads_memory(s.value)) {
    std::vector<llvm::AllocaInst *> places(static_cast<std::size_t>(columns / kUnitColumns));
    for (llvm::AllocaInst *&place : places) {
      place = local(i32, "word");
      b.CreateStore(b.getInt32(0), place);
    }
    when(kept, [&] {
      words = words_of_row(s, axes, first, columns);
      for (std::size_t i = 0; i < words.size(); ++i) b.CreateStore(words[i], places[i]);
    });
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = b.CreateLoad(i32, places[i]);
  } else {
    words = words_of_row(s, axes, first, columns);
  }
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

// --- matrix instructions ---

namespace {

WgmmaOperand wgmma_operand(const ir::Layout &layout, const ir::Coordinates &extents,
                           const ir::TileOperand &operand, const ir::Mma &s) {
  return {layout, extents, operand.axes[0] == s.k[0] ? 0 : 1};
}

}  // namespace

// In units of 16 bytes, which are a descriptor's.
std::pair<llvm::Value *, llvm::Value *> KernelEmitter::first_operands(const ir::Mma &s) {
  const Fragment &fragment = fragments_.at(s.accumulator.tile.get());
  const SharedTile &a = tiles_.at(s.a.tile.get()), &c = tiles_.at(s.b.tile.get());
  const WgmmaOperand left = wgmma_operand(a.layout, a.extents, s.a, s),
                     right = wgmma_operand(c.layout, c.extents, s.b, s);
  const ir::Layout &layout = fragment.layout;
  llvm::Type *i32 = b.getInt32Ty();
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  const auto start = [&](const SharedTile &tile, const ir::TileOperand &o) {
    const std::int64_t bytes = ir::buffer_bytes(tile.extents, static_cast<int>(kWgmmaElementBytes));
    // Above these bits an address says which block of the cluster it is in.
    constexpr std::int64_t kAddressBits = 0x3ffff;
    Value *base =
        b.CreateAnd(b.CreateAdd(b.CreatePtrToInt(shared_memory(), i32), number(tile.offset)),
                    number(kAddressBits));
    Value *slot = b.CreateMul(b.CreateTrunc(index(o.slot), i32), number(bytes / 16));
    return b.CreateAdd(b.CreateLShr(base, number(4)), slot);
  };
  Value *group =
      b.CreateUDiv(b.CreateURem(uniform_warp_, number(layout.warps_m)), number(kWarpsOfGroup));
  Value *warp_n = b.CreateUDiv(uniform_warp_, number(layout.warps_m));
  const std::int64_t blocks = repetitions(layout, fragment.extents),
                     columns = own_columns(layout, fragment.extents),
                     group_offset = left.offset(blocks * kWgmmaRows, 0),
                     column_offset = layout.warps_n > 1 ? right.offset(columns, 0) : 0;
  internal_check(group_offset >= 0 && column_offset >= 0,
                 "the part of a warpgroup starts inside of a line");
  return {b.CreateAdd(start(a, s.a), b.CreateMul(group, number(group_offset / 16))),
          b.CreateAdd(start(c, s.b), b.CreateMul(warp_n, number(column_offset / 16)))};
}

// Where the operands of the loop's next step start is computed before that is waited for.
void KernelEmitter::prepare_products(const ir::For &loop) {
  const std::function<void(const ir::Stmt &)> visit = [&](const ir::Stmt &s) {
    if (!s.defined() || s.as<ir::For>()) return;
    const auto *product = s.as<ir::Mma>();
    const auto is_local_slot = [&](const ir::TileOperand &o) {
      const auto *slot = o.slot.defined() ? o.slot.as<Load>() : nullptr;
      return slot && is_local(slot->storage) && env_.storages.contains(slot->storage.get());
    };
    if (product && product->asynchronous && is_local_slot(product->a) &&
        is_local_slot(product->b)) {
      product_starts_[product] = {local(b.getInt32Ty(), "a.start"),
                                  local(b.getInt32Ty(), "b.start")};
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
    const auto [a, c] = first_operands(*product);
    b.CreateStore(a, found->second.first);
    b.CreateStore(c, found->second.second);
    return true;
  });
}

void KernelEmitter::emit_wgmma(const ir::Mma &s) {
  const auto fragment_it = fragments_.find(s.accumulator.tile.get());
  const auto a_it = tiles_.find(s.a.tile.get()), b_it = tiles_.find(s.b.tile.get());
  const Type type = s.a.tile->type;
  internal_check(s.asynchronous && fragment_it != fragments_.end() && a_it != tiles_.end() &&
                     b_it != tiles_.end() && s.batch.empty() && s.m.size() == 1 &&
                     s.n.size() == 1 && s.k.size() == 1 && s.b.tile->type == type &&
                     (type == bfloat16 || type == float16),
                 "a matrix multiplication is not one of wgmma's");
  const Fragment &fragment = fragment_it->second;
  const WgmmaOperand left = wgmma_operand(a_it->second.layout, a_it->second.extents, s.a, s),
                     right = wgmma_operand(b_it->second.layout, b_it->second.extents, s.b, s);
  const ir::Layout &layout = fragment.layout;
  const std::int64_t columns = own_columns(layout, fragment.extents),
                     blocks = repetitions(layout, fragment.extents),
                     depth = left.extents[static_cast<std::size_t>(left.k)];
  llvm::Type *i32 = b.getInt32Ty(), *word = b.getInt64Ty();
  const auto running = product_starts_.find(&s);
  const auto [a_start, b_start] =
      running == product_starts_.end()
          ? first_operands(s)
          : std::pair<Value *, Value *>{b.CreateLoad(i32, running->second.first),
                                        b.CreateLoad(i32, running->second.second)};
  const auto descriptor = [&](const WgmmaOperand &o, Value *from, std::int64_t offset) {
    internal_check(offset >= 0, "a matrix instruction starts inside of a line");
    Value *at = b.CreateAdd(b.CreateZExt(from, word), i64(offset / 16));
    return b.CreateOr(at, b.getInt64(o.descriptor()));
  };
  assembly("wgmma.fence.sync.aligned;", "");
  for (std::int64_t block = 0; block < blocks; ++block) {
    for (std::int64_t column = 0; column < columns; column += kWgmmaColumns) {
      const std::int64_t wide = std::min(kWgmmaColumns, columns - column), count = wide / 2;
      const int first = static_cast<int>((block * columns + column) / 2);
      const std::string text = wgmma_text(wide, type, !left.k_major(), !right.k_major());
      const std::vector<llvm::Type *> types(static_cast<std::size_t>(count), b.getFloatTy());
      llvm::Type *result = llvm::StructType::get(context_, types);
      for (std::int64_t k = 0; k < depth / kWgmmaDepth; ++k) {
        std::vector<Value *> operands;
        for (int i = 0; i < count; ++i) {
          operands.push_back(b.CreateLoad(b.getFloatTy(), fragment_element(fragment, first + i)));
        }
        operands.push_back(descriptor(left, a_start, left.offset(block * kWgmmaRows, k)));
        operands.push_back(descriptor(right, b_start, right.offset(column, k)));
        Value *sums = assembly(text, wgmma_constraints(count), operands, result);
        for (int i = 0; i < count; ++i) {
          b.CreateStore(b.CreateExtractValue(sums, static_cast<unsigned>(i)),
                        fragment_element(fragment, first + i));
        }
      }
    }
  }
}

}  // namespace pit::cuda
