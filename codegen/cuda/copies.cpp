// Copies into shared tiles: lines of 16 bytes of the contiguous dimension, shared out among the
// threads.
#include <algorithm>
#include <array>
#include <numeric>

#include "codegen/ir/mutator.h"
#include "codegen/llvm/access.h"
#include "dsl/error.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using llvm::Value;

constexpr unsigned kGlobal = 1, kShared = 3;
constexpr std::int64_t kChunk = 16;         // bytes that a swizzle keeps together
constexpr std::int64_t kRowsOfSwizzle = 8;  // after which its exchanges repeat

bool reads_any(const Expr &e) {
  bool reads = false;
  walk(e, [&](const Expr &part) { return !(reads = reads || part.as<Load>()); });
  return reads;
}

/// What e reads, of memory or of tiles, it takes as multiples of n.
bool reads_multiples(const Expr &e, std::int64_t n) {
  if (!reads_any(e)) return true;
  if (const auto *conversion = e.as<Cast>()) return reads_multiples(conversion->a, n);
  const auto *binary = e.as<Binary>();
  if (binary == nullptr) return false;
  std::int64_t c = 0;
  if (binary->op == BinaryOp::Mul)
    return (is_const_int(binary->a, &c) || is_const_int(binary->b, &c)) && c % n == 0;
  return (binary->op == BinaryOp::Add || binary->op == BinaryOp::Sub) &&
         reads_multiples(binary->a, n) && reads_multiples(binary->b, n);
}

/// From one value of `v` to the next, e grows by the same.
bool is_affine(const Expr &e, const VarPtr &v) {
  if (!uses(e, v) || e.as<Variable>()) return true;
  if (e.as<Cast>()) return e.type() == int64 && is_affine(e.as<Cast>()->a, v);
  const auto *binary = e.as<Binary>();
  if (binary == nullptr) return false;
  if (binary->op == BinaryOp::Mul && uses(binary->a, v) && uses(binary->b, v)) return false;
  return (binary->op == BinaryOp::Add || binary->op == BinaryOp::Sub ||
          binary->op == BinaryOp::Mul) &&
         is_affine(binary->a, v) && is_affine(binary->b, v);
}

/// e with zero in place of everything that it reads.
Expr without_reads(const Expr &e) {
  return rewrite(e,
                 [](const Expr &part) { return part.as<Load>() ? make_zero(part.type()) : part; });
}

}  // namespace

bool reads_memory(const Expr &e) {
  bool reads = false;
  walk(e, [&](const Expr &part) {
    const auto *load = part.as<Load>();
    reads = reads || (load && load->storage->space != Space::Tile);
    return !reads;
  });
  return reads;
}

KernelEmitter::Line KernelEmitter::line_of(const ir::Copy &s) const {
  const SharedTile &tile = tiles_.at(s.storage.get());
  const std::int64_t element = s.storage->type.bytes();
  const auto contiguous = static_cast<std::size_t>(tile.layout.dimension);
  Line line;
  line.copy = &s;
  line.elements = kChunk / element;
  line.swizzle = tile.layout.swizzle;
  line.lines_of_row = tile.extents[contiguous] * element / kChunk;
  for (std::size_t d = 0; d < tile.extents.size(); ++d) {
    const auto *axis = s.indices[tile.index_of(d)].as<Variable>();
    // A part of a cluster's: see bulk_copies.cpp.
    internal_check(axis != nullptr || s.multicast, "a copy is of a part of its tile");
    if (d == contiguous) {
      line.along = axis->var;
      continue;
    }
    if (axis) line.others.push_back(axis->var);
    line.extents.push_back(tile.extents[d]);
    line.rows *= tile.extents[d];
  }
  for (const Expr &guard : s.guards) {
    const auto *less = guard.as<Binary>();
    const auto *variable = less && less->op == BinaryOp::Lt ? less->a.as<Variable>() : nullptr;
    if (variable && variable->var == line.along && !uses(less->b, line.along)) {
      line.bounds.push_back(less->b);
      continue;
    }
    if (less && uses(guard, line.along)) line.ends.push_back(less->b);
    line.guards.push_back(guard);
  }
  return line;
}

llvm::Value *KernelEmitter::buffer_address(const ir::Copy &s) {
  const SharedTile &tile = tiles_.at(s.storage.get());
  llvm::Type *i32 = b.getInt32Ty();
  const std::int64_t bytes = ir::buffer_bytes(tile.extents, s.storage->type.bytes());
  Value *start = b.CreateAdd(b.CreatePtrToInt(shared_memory(), i32),
                             b.getInt32(static_cast<std::uint32_t>(tile.offset)));
  if (!tile.buffered) return start;
  return b.CreateAdd(start, b.CreateMul(b.CreateTrunc(index(s.indices[0]), i32),
                                        b.getInt32(static_cast<std::uint32_t>(bytes))));
}

// See ir::Layout.
llvm::Value *KernelEmitter::line_offset(const Line &line, Value *row, Value *chunk) {
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  const std::int64_t chunks = line.swizzle / kChunk;
  Value *exchange = b.CreateAnd(b.CreateLShr(b.CreateMul(row, number(line.swizzle)), number(7)),
                                number(chunks - 1));
  Value *within = b.CreateXor(b.CreateURem(chunk, number(chunks)), exchange);
  Value *block = b.CreateMul(b.CreateUDiv(chunk, number(chunks)), number(line.rows * line.swizzle));
  return b.CreateAdd(b.CreateAdd(block, b.CreateMul(row, number(line.swizzle))),
                     b.CreateMul(within, number(kChunk)));
}

void KernelEmitter::set_line(const Line &line, Value *row, Value *chunk) {
  Value *rest = row;
  for (std::size_t d = line.others.size(); d-- > 0;) {
    Value *extent = b.getInt32(static_cast<std::uint32_t>(line.extents[d]));
    Value *coordinate = d == 0 ? rest : b.CreateURem(rest, extent);
    if (d > 0) rest = b.CreateUDiv(rest, extent);
    env_.variables[line.others[d].get()] = b.CreateZExt(coordinate, b.getInt64Ty());
  }
  Value *first = b.CreateMul(chunk, b.getInt32(static_cast<std::uint32_t>(line.elements)));
  env_.variables[line.along.get()] = b.CreateZExt(first, b.getInt64Ty());
}

void KernelEmitter::emit(const ir::Copy &s) {
  if (s.engine == ir::CopyEngine::Bulk) return emit_bulk(s);
  const auto prepared = line_copies_.find(&s);
  const Line line = prepared == line_copies_.end() ? line_of(s) : prepared->second.line;
  Value *buffer = buffer_address(s);
  const bool async = s.engine == ir::CopyEngine::Async;
  internal_check(!async || s.bytes == kChunk, "a copy is of other than 16 bytes");
  // In roles, whose barriers wait for the copies. A Sync orders what threads stored themselves.
  const auto note_stored = [&] {
    if (stored_) b.CreateStore(b.getTrue(), stored_);
  };
  Value *possible = async ? whole_lines(line) : b.getFalse();
  if (const auto *known = llvm::dyn_cast<llvm::ConstantInt>(possible); known && known->isZero()) {
    if (async) note_stored();
    return copy_by_threads(line, buffer);
  }
  const Body asynchronous = [&] {
    prepared == line_copies_.end() ? copy_async(line, buffer)
                                   : copy_async(prepared->second, buffer);
  };
  when(possible, asynchronous, [&] {
    note_stored();
    copy_by_threads(line, buffer);
  });
}

// Lines start at multiples of their size, and no bound cuts one: else the threads copy.
llvm::Value *KernelEmitter::whole_lines(const Line &line) {
  const auto *source = line.copy->value.as<Load>();
  const code::StorageValue from = storage(source->storage);
  const auto last = source->indices.size() - 1;
  if (from.unit_dimension != static_cast<int>(last) ||
      !reads_multiples(source->indices[last], line.elements))
    return b.getFalse();
  Value *bits = b.CreatePtrToInt(from.base, b.getInt64Ty());
  const std::int64_t element = line.copy->storage->type.bytes();
  const auto add = [&](Value *elements) {
    bits = b.CreateOr(bits, b.CreateMul(elements, i64(element)));
  };
  for (std::size_t d = 0; d < last; ++d) add(from.strides[d]);
  {
    const Memo memo(*this, true);
    env_.variables[line.along.get()] = i64(0);
    add(index(without_reads(source->indices[last])));
  }
  for (const Expr &bound : line.bounds) add(index(bound));
  for (const Expr &end : line.ends) add(index(end));
  return b.CreateICmpEQ(b.CreateAnd(bits, i64(kChunk - 1)), i64(0));
}

llvm::Value *KernelEmitter::holds(const std::vector<Expr> &guards, std::size_t first) {
  if (first == guards.size()) return b.getTrue();
  Value *guard = value(guards[first]);
  if (first + 1 == guards.size()) return guard;
  const bool lazy = std::any_of(guards.begin() + static_cast<std::ptrdiff_t>(first) + 1,
                                guards.end(), reads_memory);
  if (!lazy) return b.CreateAnd(guard, holds(guards, first + 1));
  return either(
      guard, b.getInt1Ty(), [&] { return holds(guards, first + 1); },
      [&]() -> Value * { return b.getFalse(); });
}

void KernelEmitter::copy_line(Value *destination, std::int64_t offset, Value *address, Value *ok) {
  Value *skip = b.CreateZExt(b.CreateNot(ok), b.getInt32Ty());
  const std::string place = offset == 0 ? "[$0]" : "[$0+" + std::to_string(offset) + "]";
  assembly(
      "{.reg .pred skip; setp.ne.b32 skip, $2, 0; "
      "cp.async.cg.shared.global.L2::128B " +
          place + ", [$1], 16, skip;}",
      "r,l,r", {destination, address, skip});
}

llvm::Value *KernelEmitter::source_address(const Line &line) {
  const auto *source = line.copy->value.as<Load>();
  return b.CreateAddrSpaceCast(address(source->storage, source->indices),
                               llvm::PointerType::get(context_, kGlobal));
}

void KernelEmitter::look_up_line(const Line &line) {
  row_values_.clear();
  look_up_all(line.copy->guards);
  look_up_all(line.copy->value.as<Load>()->indices);
}

// --- any tile, any number of threads ---

// All of a line or nothing.
void KernelEmitter::copy_async(const Line &line, Value *buffer) {
  const auto *source = line.copy->value.as<Load>();
  const std::int64_t lines = line.rows * line.lines_of_row;
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  Value *thread = b.CreateTrunc(thread_, b.getInt32Ty());
  const bool lazy = std::ranges::any_of(source->indices, reads_memory);
  for (std::int64_t first = 0; first < lines; first += threads_) {
    const Memo memo(*this, true);
    Value *at = b.CreateAdd(thread, number(first));
    Value *row = b.CreateUDiv(at, number(line.lines_of_row)),
          *chunk = b.CreateURem(at, number(line.lines_of_row));
    set_line(line, row, chunk);
    look_up_line(line);
    Value *destination = b.CreateAdd(buffer, line_offset(line, row, chunk));
    const Body copy = [&] {
      Value *ok = holds(line.guards);
      for (const Expr &bound : line.bounds) {
        ok = b.CreateAnd(ok, b.CreateICmpSLT(env_.variables.at(line.along.get()), index(bound)));
      }
      Value *base = b.CreateAddrSpaceCast(storage(source->storage).base,
                                          llvm::PointerType::get(context_, kGlobal));
      Value *from = lazy ? either(
                               ok, base->getType(), [&] { return source_address(line); },
                               [&] { return base; })
                         : source_address(line);
      copy_line(destination, 0, from, ok);
    };
    if (first + threads_ <= lines)
      copy();
    else
      when(b.CreateICmpULT(at, number(lines)), copy);
    row_values_.clear();
  }
}

void KernelEmitter::copy_by_threads(const Line &line, Value *buffer) {
  const std::int64_t lines = line.rows * line.lines_of_row,
                     turns = (lines + threads_ - 1) / threads_;
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  // Unknown to LLVM, which else keeps the addresses of all lines from step to step: more than the
  // registers of a producer.
  Value *thread =
      assembly("mov.b32 $0, $1;", "=r,r", {b.CreateTrunc(thread_, b.getInt32Ty())}, b.getInt32Ty());
  // All lanes take all turns, so that they look up together; what they load in some turns waits
  // together, where a thread has registers for that.
  const int few_registers = fragments_.empty() ? 96 : 128;
  constexpr int kMost = 255;
  int left = registers_ > 0 ? registers_ : kMost;
  for (const auto &[storage, fragment] : fragments_) left -= fragment.count;
  const bool few = left < few_registers;
  const std::int64_t together = few ? 1 : turns % 4 == 0 ? 4 : turns % 2 == 0 ? 2 : 1;
  loop(number(0), number(turns), number(together), "line", code::LoopStyle::NotVectorized,
       [&](Value *turn) {
         std::vector<std::array<Value *, 3>> copied;  // destination, line, whether there is one
         for (std::int64_t t = 0; t < together; ++t) {
           const Memo memo(*this, true);
           Value *at =
               b.CreateAdd(thread, b.CreateMul(b.CreateAdd(turn, number(t)), number(threads_)));
           Value *row = b.CreateUDiv(at, number(line.lines_of_row)),
                 *chunk = b.CreateURem(at, number(line.lines_of_row));
           set_line(line, row, chunk);
           Value *active = lines % threads_ == 0 ? b.getTrue() : b.CreateICmpULT(at, number(lines));
           Value *destination = b.CreateAdd(buffer, line_offset(line, row, chunk));
           copied.push_back({destination, load_line(line, active), active});
         }
         for (const auto &[destination, elements, active] : copied) {
           Value *to = b.CreateIntToPtr(destination, llvm::PointerType::get(context_, kShared));
           when(active, [&, v = elements] { b.CreateAlignedStore(v, to, llvm::Align(kChunk)); });
         }
       });
}

// The line's elements, one by one; zero where a guard fails.
llvm::Value *KernelEmitter::load_line(const Line &line, Value *active) {
  const auto *source = line.copy->value.as<Load>();
  llvm::Type *type = b.getIntNTy(8 * static_cast<unsigned>(line.copy->storage->type.bytes()));
  const bool lazy = std::ranges::any_of(source->indices, reads_memory);
  Value *start = env_.variables.at(line.along.get());
  Value *zero = llvm::Constant::getNullValue(type);
  Value *elements = llvm::Constant::getNullValue(
      llvm::FixedVectorType::get(type, static_cast<unsigned>(line.elements)));
  const auto add = [&](std::int64_t e, Value *element) {
    elements = b.CreateInsertElement(elements, element, static_cast<std::uint64_t>(e));
  };
  if (std::vector<Expr> of_line, ends; runs_on(line, &of_line, &ends)) {
    // One address, and so many elements from there on.
    look_up_line(line);
    Value *inside = i64(line.elements);
    for (const Expr &end : ends) {
      const auto &less = *end.as<Binary>();
      inside = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, inside,
                                       b.CreateSub(index(less.b), index(less.a)));
    }
    inside = b.CreateTrunc(b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, inside, i64(0)),
                           b.getInt32Ty());
    Value *some = b.CreateAnd(active, b.CreateICmpNE(inside, b.getInt32(0)));
    if (!of_line.empty()) {
      some = either(
          some, b.getInt1Ty(), [&] { return holds(of_line); },
          [&]() -> Value * { return b.getFalse(); });
    }
    llvm::Type *pointer = llvm::PointerType::get(context_, kGlobal);
    Value *from = lazy ? either(
                             some, pointer, [&] { return source_address(line); },
                             [&]() -> Value * { return llvm::PoisonValue::get(pointer); })
                       : source_address(line);
    for (std::int64_t e = 0; e < line.elements; ++e) {
      Value *ok =
          b.CreateAnd(some, b.CreateICmpUGT(inside, b.getInt32(static_cast<std::uint32_t>(e))));
      add(e, load_where(ok, b.CreateConstGEP1_64(type, from, static_cast<std::uint64_t>(e)), type));
    }
    row_values_.clear();
    return elements;
  }
  for (std::int64_t e = 0; e < line.elements; ++e) {
    const Memo memo(*this, true);
    env_.variables[line.along.get()] = b.CreateAdd(start, i64(e));
    look_up_line(line);
    const auto load_it = [&](Value *ok) {
      return load_where(ok, address(source->storage, source->indices), type);
    };
    Value *ok = either(
        active, b.getInt1Ty(), [&] { return holds(line.copy->guards); },
        [&]() -> Value * { return b.getFalse(); });
    add(e, lazy ? either(
                      ok, type, [&] { return load_it(b.getTrue()); },
                      [&]() -> Value * { return zero; })
                : load_it(ok));
  }
  row_values_.clear();
  return elements;
}

// The line's elements lie side by side, and guards hold for those before an end: `of_line` are the
// guards that are the same for all of them, `ends` those that say where it is.
bool KernelEmitter::runs_on(const Line &line, std::vector<Expr> *of_line, std::vector<Expr> *ends) {
  const auto *source = line.copy->value.as<Load>();
  const int unit = storage(source->storage).unit_dimension;
  if (code::movement(source->indices, line.along, unit) != code::Movement::Unit) return false;
  for (const Expr &guard : line.copy->guards) {
    if (!uses(guard, line.along)) {
      of_line->push_back(guard);
      continue;
    }
    const auto *less = guard.as<Binary>();
    if (less == nullptr || less->op != BinaryOp::Lt || reads_memory(guard) ||
        uses(less->b, line.along) ||
        code::movement({less->a}, line.along, 0) != code::Movement::Unit)
      return false;
    ends->push_back(guard);
  }
  return true;
}

// Zero where `ok` is false. There is no branch around the load, so that it is waited for together
// with others.
llvm::Value *KernelEmitter::load_where(Value *ok, Value *address, llvm::Type *type) {
  const unsigned bits = type->getIntegerBitWidth();
  Value *place = b.CreateAddrSpaceCast(address, llvm::PointerType::get(context_, kGlobal));
  Value *wanted = b.CreateZExt(ok, b.getInt32Ty());
  // Bytes are loaded into registers of 16 bits.
  llvm::Type *loaded = bits == 8 ? b.getInt16Ty() : type;
  const std::string size = std::to_string(std::max(bits, 16U));
  const char *register_kind = bits == 64 ? "l" : bits == 32 ? "r" : "h";
  Value *v =
      assembly("{.reg .pred wanted; setp.ne.b32 wanted, $2, 0; mov.b" + size +
                   " $0, 0; @wanted ld.global." + (bits == 8 ? "u8" : "b" + size) + " $0, [$1];}",
               std::string("=&") + register_kind + ",l,r", {place, wanted}, loaded);
  return b.CreateTrunc(v, type);
}

// --- lines that each thread copies in every step ---
//
// Line p of a thread is in row first_row + p * rows_between, at the same chunk. What of it is the
// same in all steps is computed before the loop, in few registers. The source that a producer
// copies from moves on behind each step: off the way from a buffer that becomes free to the next
// copies into it.

void KernelEmitter::prepare_copies(const ir::For &loop) {
  std::vector<const StorageNode *> stored;
  ir::walk_statements(loop.body, [&](const ir::Stmt &s) {
    if (const auto *store = s.as<ir::Store>()) stored.push_back(store->storage.get());
    return true;
  });
  std::vector<const ir::Let *> lets;
  const std::function<void(const ir::Stmt &)> visit = [&](const ir::Stmt &s) {
    if (!s.defined() || s.as<ir::For>()) return;
    if (const auto *copy = s.as<ir::Copy>()) return prepare_copy(*copy, loop, lets, stored);
    const std::size_t outside = lets.size();
    if (const auto *let = s.as<ir::Let>()) lets.push_back(let);
    bool first = true;
    ir::walk_statements(s, [&](const ir::Stmt &part) {
      if (std::exchange(first, false)) return true;
      visit(part);
      return false;
    });
    lets.resize(outside);
  };
  visit(loop.body);
}

void KernelEmitter::prepare_copy(const ir::Copy &s, const ir::For &loop,
                                 const std::vector<const ir::Let *> &lets,
                                 const std::vector<const StorageNode *> &stored) {
  if (s.engine != ir::CopyEngine::Async) return;
  const Line line = line_of(s);
  const auto *source = s.value.as<Load>();
  const std::int64_t lines = line.rows * line.lines_of_row;
  if (line.others.size() != 1 || threads_ % line.lines_of_row != 0 || lines % threads_ != 0 ||
      std::ranges::any_of(source->indices, reads_memory) ||
      std::ranges::any_of(s.guards, reads_memory))
    return;
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  LineCopy made;
  made.line = line;
  made.passes = lines / threads_;
  made.rows_between = threads_ / line.lines_of_row;
  made.period = kRowsOfSwizzle / std::gcd(kRowsOfSwizzle, made.rows_between);
  // The mask tells LLVM how large a number of a thread is.
  Value *thread = b.CreateTrunc(thread_, b.getInt32Ty());
  if ((threads_ & (threads_ - 1)) == 0) thread = b.CreateAnd(thread, number(threads_ - 1));
  made.first_row = b.CreateUDiv(thread, number(line.lines_of_row));
  made.chunk = b.CreateURem(thread, number(line.lines_of_row));
  for (std::int64_t p = 0; p < std::min(made.period, made.passes); ++p) {
    made.offsets.push_back(
        line_offset(line, b.CreateAdd(made.first_row, number(p * made.rows_between)), made.chunk));
  }
  // How often an expression counts the steps: -1 when not a whole number of times, or when it is
  // another from step to step for other reasons.
  const VarPtr row = line.others[0];
  const auto varies = [&](const Expr &e) {
    bool found = false;
    walk(e, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      found = found || (load && std::ranges::find(stored, load->storage.get()) != stored.end());
      return !found;
    });
    return found;
  };
  const std::function<int(const Expr &)> degree = [&](const Expr &e) -> int {
    if (const auto *variable = e.as<Variable>()) {
      if (variable->var == loop.var) return 1;
      for (const ir::Let *let : lets) {
        if (let->var == variable->var) return degree(let->value);
      }
      return 0;
    }
    if (varies(e)) return -1;
    int most = 0, sum = 0, factors = 0;
    bool rows = false;
    for (const Expr &operand : operands(e)) {
      const int d = degree(operand);
      if (d < 0) return -1;
      most = std::max(most, d);
      sum += d;
      factors += d == 0;
      rows = rows || uses(operand, row) || uses(operand, line.along);
    }
    if (most == 0) return 0;
    const auto *binary = e.as<Binary>();
    if (e.as<Cast>()) return e.type() == int64 ? most : -1;
    if (binary == nullptr) return -1;
    if (binary->op == BinaryOp::Add || binary->op == BinaryOp::Sub) return most;
    return binary->op == BinaryOp::Mul && sum == 1 && factors == 1 && !rows ? 1 : -1;
  };
  const bool steady =
      std::ranges::all_of(source->indices, [&](const Expr &e) { return degree(e) >= 0; });
  const Memo memo(*this, true);
  const auto at_step = [&](Value *step) {
    env_.variables[loop.var.get()] = step;
    for (const ir::Let *let : lets) {
      if (degree(let->value) >= 0) env_.variables[let->var.get()] = value(let->value);
    }
  };
  for (const Expr &guard : line.guards) {
    (degree(guard) == 0 ? made.steady : made.changing).push_back(guard);
  }
  const auto saved = env_.variables;
  Value *first = index(loop.min);
  if (steady) {
    const bool apart =
        std::ranges::all_of(source->indices, [&](const Expr &e) { return is_affine(e, row); });
    const auto start_of = [&](Value *step, std::int64_t p) {
      const Memo here(*this, true);
      at_step(step);
      set_line(line, b.CreateAdd(made.first_row, number(p * made.rows_between)), made.chunk);
      look_up_line(line);
      Value *address = b.CreatePtrToInt(source_address(line), b.getInt64Ty());
      row_values_.clear();
      return address;
    };
    if (apart && made.passes > 1)
      made.row_step = b.CreateSub(start_of(first, 1), start_of(first, 0));
    // Threads that multiply too have no registers for running values.
    made.running = role_ != 0;
    if (made.running)
      made.step = b.CreateSub(start_of(b.CreateAdd(first, i64(1)), 0), start_of(first, 0));
    for (std::int64_t p = 0; made.running && p < (apart ? 1 : made.passes); ++p) {
      made.sources.push_back(local(b.getInt64Ty(), "source"));
      b.CreateStore(start_of(first, p), made.sources.back());
    }
  }
  if (!made.steady.empty()) {
    // One bit a line.
    at_step(first);
    made.kept = b.getInt32(0);
    for (std::int64_t p = 0; p < made.passes; ++p) {
      const Memo here(*this, true);
      set_line(line, b.CreateAdd(made.first_row, number(p * made.rows_between)), made.chunk);
      look_up_all(made.steady);
      Value *ok = b.CreateZExt(holds(made.steady), b.getInt32Ty());
      made.kept = b.CreateOr(made.kept, b.CreateShl(ok, number(p)));
      row_values_.clear();
    }
  }
  env_.variables = saved;
  constexpr std::int64_t kMostPasses = 32;
  if (made.passes <= kMostPasses) line_copies_[&s] = std::move(made);
}

void KernelEmitter::copy_async(const LineCopy &copy, Value *buffer) {
  const Line &line = copy.line;
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  const VarPtr row = line.others[0];
  // Bounds of tiles are small: 32 bits do.
  const auto small = [&](const Expr &bound, std::int64_t extent) {
    Value *v = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, index(bound), i64(0));
    return b.CreateTrunc(b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, v, i64(extent)),
                         b.getInt32Ty());
  };
  Value *inside = b.getTrue();
  for (const Expr &bound : line.bounds) {
    Value *first = b.CreateMul(copy.chunk, number(line.elements));
    inside = b.CreateAnd(inside,
                         b.CreateICmpSLT(first, small(bound, line.lines_of_row * line.elements)));
  }
  std::vector<Value *> rows_left;  // of bounds on the row, behind the first row
  std::vector<Expr> others;
  for (const Expr &guard : copy.changing) {
    const auto *less = guard.as<Binary>();
    const auto *variable = less && less->op == BinaryOp::Lt ? less->a.as<Variable>() : nullptr;
    if (variable && variable->var == row && !uses(less->b, row) && !uses(less->b, line.along))
      rows_left.push_back(b.CreateSub(small(less->b, line.rows), copy.first_row));
    else
      others.push_back(guard);
  }
  Value *kept = copy.kept ? b.CreateSelect(inside, copy.kept, number(0)) : nullptr;
  Value *from = nullptr;
  for (std::int64_t p = 0; p < copy.passes; ++p) {
    const Memo memo(*this, true);
    const std::int64_t period = p % copy.period;
    set_line(line, b.CreateAdd(copy.first_row, number(p * copy.rows_between)), copy.chunk);
    Value *ok =
        kept ? b.CreateICmpNE(b.CreateAnd(kept, number(std::int64_t{1} << p)), number(0)) : inside;
    for (Value *left : rows_left)
      ok = b.CreateAnd(ok, b.CreateICmpSGT(left, number(p * copy.rows_between)));
    const bool beside = p > 0 && copy.row_step, computed = !beside && !copy.running;
    if (computed || !others.empty()) look_up_line(line);
    if (!others.empty()) ok = b.CreateAnd(ok, holds(others));
    if (beside)
      from = b.CreateAdd(from, copy.row_step);
    else if (copy.running)
      from = b.CreateLoad(b.getInt64Ty(), copy.sources[static_cast<std::size_t>(p)]);
    else
      from = b.CreatePtrToInt(source_address(line), b.getInt64Ty());
    row_values_.clear();
    Value *destination = b.CreateAdd(buffer, copy.offsets[static_cast<std::size_t>(period)]);
    copy_line(destination, (p - period) * copy.rows_between * line.swizzle, from, ok);
  }
}

void KernelEmitter::advance_copies(const ir::For &loop) {
  ir::walk_statements(loop.body, [&](const ir::Stmt &s) {
    const auto *copy = s.as<ir::Copy>();
    const auto found = copy ? line_copies_.find(copy) : line_copies_.end();
    if (found == line_copies_.end()) return true;
    for (llvm::AllocaInst *place : found->second.sources) {
      b.CreateStore(b.CreateAdd(b.CreateLoad(b.getInt64Ty(), place), found->second.step), place);
    }
    line_copies_.erase(found);
    return true;
  });
}

}  // namespace pit::cuda
