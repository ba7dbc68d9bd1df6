// Copies into shared tiles: lines of 16 bytes of the contiguous dimension, shared out among the
// threads.
#include <algorithm>

#include "codegen/ir/mutator.h"
#include "dsl/error.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using llvm::Value;

constexpr unsigned kGlobal = 1, kShared = 3;
constexpr std::int64_t kChunk = 16;  // bytes that a swizzle keeps together

/// e reads memory, which it must not where a guard fails.
bool reads_memory(const Expr &e) {
  bool reads = false;
  walk(e, [&](const Expr &part) {
    const auto *load = part.as<Load>();
    reads = reads || (load && load->storage->space != Space::Tile);
    return !reads;
  });
  return reads;
}

}  // namespace

void KernelEmitter::emit(const ir::Copy &s) {
  internal_check(s.engine != ir::CopyEngine::Bulk && !s.multicast, "bulk copies are not emitted");
  Hazards::Accesses own;
  ir::walk_expressions(ir::make<ir::Copy>(s), [&](const Expr &e) { own.add(e); });
  order(std::move(own));
  const SharedTile &tile = tiles_.at(s.storage.get());
  const std::int64_t element = s.storage->type.bytes();
  const auto contiguous = static_cast<std::size_t>(tile.layout.dimension);
  Line line{&s, nullptr, {}, kChunk / element, {}, {}};
  std::int64_t rows = 1;
  std::vector<std::int64_t> extents;  // of the rows' axes
  for (std::size_t d = 0; d < tile.extents.size(); ++d) {
    const auto *axis = s.indices[d + 1].as<Variable>();
    internal_check(axis != nullptr, "a copy is of a part of its tile");
    if (d == contiguous) {
      line.along = axis->var;
      continue;
    }
    line.others.push_back(axis->var);
    extents.push_back(tile.extents[d]);
    rows *= tile.extents[d];
  }
  const bool async = s.engine == ir::CopyEngine::Async;
  internal_check(!async || s.bytes == kChunk, "a copy is of other than 16 bytes");
  for (const Expr &guard : s.guards) {
    const auto *less = guard.as<Binary>();
    const auto *variable = less && less->op == BinaryOp::Lt ? less->a.as<Variable>() : nullptr;
    if (variable && variable->var == line.along && !uses(less->b, line.along))
      line.bounds.push_back(less->b);
    else
      line.guards.push_back(guard);
  }
  llvm::Type *i32 = b.getInt32Ty();
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  const std::int64_t bytes = ir::buffer_bytes(tile.extents, static_cast<int>(element)),
                     lines_of_row = tile.extents[contiguous] * element / kChunk,
                     lines = rows * lines_of_row, swizzle = tile.layout.swizzle;
  Value *buffer =
      b.CreateAdd(b.CreateAdd(b.CreatePtrToInt(shared_memory(), i32), number(tile.offset)),
                  b.CreateMul(b.CreateTrunc(index(s.indices[0]), i32), number(bytes)));
  // Unknown to LLVM, which else keeps the addresses of all lines from step to step: more than the
  // registers of a producer.
  Value *thread = assembly("mov.b32 $0, $1;", "=r,r", {b.CreateTrunc(thread_, i32)}, i32);
  // `at`: the number of the line. Lines of a row follow each other.
  const auto copy = [&](Value *at, bool together) {
    const Memo memo(*this, true);
    Value *chunk = b.CreateURem(at, number(lines_of_row)),
          *row = b.CreateUDiv(at, number(lines_of_row));
    Value *rest = row;
    for (std::size_t d = line.others.size(); d-- > 0;) {
      Value *coordinate = d == 0 ? rest : b.CreateURem(rest, number(extents[d]));
      if (d > 0) rest = b.CreateUDiv(rest, number(extents[d]));
      env_.variables[line.others[d].get()] = b.CreateZExt(coordinate, b.getInt64Ty());
    }
    env_.variables[line.along.get()] =
        b.CreateZExt(b.CreateMul(chunk, number(line.elements)), b.getInt64Ty());
    // See ir::Layout.
    const std::int64_t chunks = swizzle / kChunk;
    Value *exchange =
        b.CreateAnd(b.CreateLShr(b.CreateMul(row, number(swizzle)), number(7)), number(chunks - 1));
    Value *within = b.CreateXor(b.CreateURem(chunk, number(chunks)), exchange);
    Value *block = b.CreateMul(b.CreateUDiv(chunk, number(chunks)), number(rows * swizzle));
    Value *offset = b.CreateAdd(b.CreateAdd(block, b.CreateMul(row, number(swizzle))),
                                b.CreateMul(within, number(kChunk)));
    Value *destination = b.CreateAdd(buffer, offset);
    together ? copy_line(line, destination) : copy_line_by_thread(line, destination);
  };
  const Body by_threads = [&] {
    loop(thread, number(lines), number(threads_), "line", code::LoopStyle::NotVectorized,
         [&](Value *at) { copy(at, false); });
  };
  // In roles, whose barriers wait for the copies. A Sync orders what threads stored themselves.
  const auto note_stored = [&] {
    if (stored_) b.CreateStore(b.getTrue(), stored_);
  };
  Value *possible = async ? whole_lines(line) : b.getFalse();
  if (const auto *known = llvm::dyn_cast<llvm::ConstantInt>(possible); known && known->isZero()) {
    if (async) note_stored();
    return by_threads();
  }
  const Body asynchronous = [&] {
    for (std::int64_t first = 0; first < lines; first += threads_) {
      Value *at = b.CreateAdd(thread, number(first));
      if (first + threads_ <= lines)
        copy(at, true);
      else
        when(b.CreateICmpULT(at, number(lines)), [&] { copy(at, true); });
    }
  };
  when(possible, asynchronous, [&] {
    note_stored();
    by_threads();
  });
}

// Lines start at multiples of their size, and no bound cuts one: else the threads copy.
llvm::Value *KernelEmitter::whole_lines(const Line &line) {
  const auto *source = line.copy->value.as<Load>();
  const code::StorageValue from = storage(source->storage);
  const auto last = source->indices.size() - 1;
  if (from.unit_dimension != static_cast<int>(last) || reads_memory(source->indices[last]))
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
    add(index(source->indices[last]));
  }
  for (const Expr &bound : line.bounds) add(index(bound));
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

// All of the line or nothing.
void KernelEmitter::copy_line(const Line &line, Value *destination) {
  const auto *source = line.copy->value.as<Load>();
  Value *ok = holds(line.guards);
  Value *left = nullptr;  // elements before the nearest bound
  Value *at = env_.variables.at(line.along.get());
  for (const Expr &bound : line.bounds) {
    Value *here = b.CreateNSWSub(index(bound), at);
    left = left ? b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, left, here) : here;
  }
  if (left) ok = b.CreateAnd(ok, b.CreateICmpSGT(left, i64(0)));
  const bool lazy = std::ranges::any_of(source->indices, reads_memory);
  const auto from = [&] {
    return b.CreateAddrSpaceCast(address(source->storage, source->indices),
                                 llvm::PointerType::get(context_, kGlobal));
  };
  Value *base = b.CreateAddrSpaceCast(storage(source->storage).base,
                                      llvm::PointerType::get(context_, kGlobal));
  Value *address = lazy ? either(ok, base->getType(), from, [&] { return base; }) : from();
  Value *skip = b.CreateZExt(b.CreateNot(ok), b.getInt32Ty());
  assembly(
      "{.reg .pred skip; setp.ne.b32 skip, $2, 0; "
      "cp.async.cg.shared.global.L2::128B [$0], [$1], 16, skip;}",
      "r,l,r", {destination, address, skip});
}

void KernelEmitter::copy_line_by_thread(const Line &line, Value *destination) {
  const auto *source = line.copy->value.as<Load>();
  llvm::Type *type = code::memory_type(context_, line.copy->storage->type);
  Value *start = env_.variables.at(line.along.get());
  Value *to = b.CreateIntToPtr(destination, llvm::PointerType::get(context_, kShared));
  auto *vector_type = llvm::FixedVectorType::get(type, static_cast<unsigned>(line.elements));
  Value *together = llvm::Constant::getNullValue(vector_type);
  for (std::int64_t e = 0; e < line.elements; ++e) {
    const Memo memo(*this, true);
    env_.variables[line.along.get()] = b.CreateAdd(start, i64(e));
    Value *element = either(
        holds(line.copy->guards), type,
        [&]() -> Value * {
          auto *access = b.CreateAlignedLoad(type, address(source->storage, source->indices),
                                             llvm::Align(storage(source->storage).alignment));
          describe_access(access, source->storage.get());
          return access;
        },
        [&]() -> Value * { return llvm::Constant::getNullValue(type); });
    together = b.CreateInsertElement(together, element, static_cast<std::uint64_t>(e));
  }
  b.CreateAlignedStore(together, to, llvm::Align(kChunk));
}

}  // namespace pit::cuda
