// Multiplications by the threads: outer products of vectors that each thread reads from swizzled
// tiles in shared memory, into the sums that it holds in registers.
#include <llvm/IR/IntrinsicsNVPTX.h>

#include "dsl/error.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using llvm::Value;

constexpr std::int64_t kChunk =
    16;  // bytes that are read at once, and that a swizzle keeps together

/// Steps of k and sums of a thread whose instructions are written out one after the other; further
/// steps are a loop.
constexpr std::int64_t kMostAtOnce = 1024;

}  // namespace

void KernelEmitter::emit_multiply_add(const ir::Mma &s) {
  const Fragment &fragment = fragments_.at(s.accumulator.tile.get());
  const SharedOperand left = shared_operand(s, s.a), right = shared_operand(s, s.b);
  internal_check(fragment.layout.kind == ir::Layout::Kind::Blocked &&
                     left.bytes == fragment.type.bytes() && right.bytes == left.bytes,
                 "the sums of " + s.accumulator.tile->name + " are not blocked by threads");
  const FragmentShape shape(fragment.layout, fragment.extents);
  const std::int64_t bytes = left.bytes, depth = left.depth, chunk = kChunk / bytes;
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  llvm::Type *type = code::register_type(context_, fragment.type);
  const auto [warp_m, warp_n] = warp_place(fragment.layout);
  Value *lane = b.CreateTrunc(lane_, b.getInt32Ty());
  Value *first_row =
      b.CreateAdd(b.CreateMul(warp_m, number(shape.group_rows)),
                  b.CreateMul(b.CreateUDiv(lane, number(shape.lanes)), number(shape.run)));
  Value *first_column =
      b.CreateAdd(b.CreateMul(warp_n, number(shape.columns)),
                  b.CreateMul(b.CreateURem(lane, number(shape.lanes)), number(shape.beside)));
  // Where runs of consecutive rows or columns of the thread begin.
  std::vector<std::int64_t> row_runs;
  for (std::size_t i = 0; i < shape.rows.size(); i += static_cast<std::size_t>(shape.run))
    row_runs.push_back(shape.rows[i]);
  /// The elements of `chunk` steps from k + `later` on: [step][row or column].
  using Elements = std::vector<std::vector<Value *>>;
  const auto load = [&](const SharedOperand &o, Value *k, std::int64_t later, Value *first,
                        const std::vector<std::int64_t> &runs, int run) {
    Elements elements(static_cast<std::size_t>(chunk));
    const auto vector = [&](Value *place, std::int64_t count) {
      auto *vector_type = llvm::FixedVectorType::get(type, static_cast<unsigned>(count));
      return b.CreateAlignedLoad(vector_type, place,
                                 llvm::Align(static_cast<std::uint64_t>(count * bytes)));
    };
    if (o.k_contiguous()) {
      Value *byte = b.CreateMul(k, number(bytes));
      for (const std::int64_t from : runs) {
        for (int i = 0; i < run; ++i) {
          Value *loaded = vector(shared_address(o, first, from + i, byte, later * bytes), chunk);
          for (std::size_t step = 0; step < elements.size(); ++step)
            elements[step].push_back(b.CreateExtractElement(loaded, step));
        }
      }
      return elements;
    }
    Value *byte = b.CreateMul(first, number(bytes));
    for (std::size_t step = 0; step < elements.size(); ++step) {
      for (const std::int64_t from : runs) {
        Value *place =
            shared_address(o, k, later + static_cast<std::int64_t>(step), byte, from * bytes);
        Value *loaded = vector(place, run);
        for (int i = 0; i < run; ++i)
          elements[step].push_back(b.CreateExtractElement(loaded, static_cast<std::uint64_t>(i)));
      }
    }
    return elements;
  };
  const auto steps = [&](Value *k, std::int64_t count) {
    for (std::int64_t later = 0; later < count; later += chunk) {
      const Elements a = load(left, k, later, first_row, row_runs, shape.run),
                     c = load(right, k, later, first_column, shape.units, shape.beside);
      for (std::size_t step = 0; step < a.size(); ++step) {
        for (std::size_t i = 0; i < a[step].size(); ++i) {
          for (std::size_t j = 0; j < c[step].size(); ++j) {
            const auto unit = j / static_cast<std::size_t>(shape.beside);
            Value *place = fragment_register(
                fragment, shape.number(i, unit) +
                              static_cast<int>(j % static_cast<std::size_t>(shape.beside)));
            Value *sum = b.CreateIntrinsic(llvm::Intrinsic::fma, {type},
                                           {a[step][i], c[step][j], b.CreateLoad(type, place)});
            b.CreateStore(sum, place);
          }
        }
      }
    }
  };
  std::int64_t at_once = chunk;
  while (at_once * 2 * fragment.count <= kMostAtOnce && depth % (at_once * 2) == 0) at_once *= 2;
  if (at_once == depth) return steps(number(0), depth);
  loop(number(0), number(depth), number(at_once), "k", code::LoopStyle::NotVectorized,
       [&](Value *k) { steps(k, at_once); });
}

}  // namespace pit::cuda
