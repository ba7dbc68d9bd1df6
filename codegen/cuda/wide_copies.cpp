// Copies whose destination is contiguous along one of the axes: a thread stores 16 bytes at a time,
// from one load where the source is contiguous too, else from elements that it collects. Rows of
// global memory go to shared memory by cp.async. Whether all is aligned shows at run time; where it
// is not elements are copied one by one.
#include <algorithm>

#include "codegen/llvm/access.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using code::Movement;
using llvm::Value;

constexpr std::int64_t kWarp = 32, kAccessBytes = 16;
constexpr unsigned kGlobal = 1, kShared = 3;  // address spaces
/// Lines of a thread that are copied without a loop.
constexpr std::int64_t kMostPasses = 32;
/// Lines of a thread whose loads wait together: copied by one load, and collected.
constexpr std::int64_t kCopiesAtOnce = 8, kCollectedAtOnce = 2;

}  // namespace

struct KernelEmitter::WideCopy {
  const ir::Store &to;
  const Load &from;
  VarPtr along = nullptr;        ///< the axis of the contiguous elements
  std::vector<VarPtr> others{};  ///< outermost first
  std::int64_t width = 0;        ///< elements of a line, which is one access
  std::int64_t lines = 0;        ///< at most, along the axis
  bool collects = false;         ///< elements of `from` that lie apart
};

bool KernelEmitter::copy_wide(const ir::Store &s) {
  const auto *from = s.value.as<Load>();
  if (staged_ || !from || s.combiner != Combiner::Assign || s.axes.size() < 2 ||
      s.storage == from->storage || s.storage->type != from->storage->type) {
    return false;
  }
  WideCopy copy{s, *from};
  copy.width = kAccessBytes / s.storage->type.bytes();
  const auto moves = [&](const StoragePtr &at, const std::vector<Expr> &indices,
                         const VarPtr &axis) {
    return code::movement(indices, axis, storage(at).unit_dimension);
  };
  for (const VarPtr &axis : s.axes) {
    if (!copy.along && moves(s.storage, s.indices, axis) == Movement::Unit) {
      copy.along = axis;
    } else {
      copy.others.push_back(axis);
    }
  }
  if (!copy.along || !lies_wide(copy, s.storage, s.indices) ||
      std::ranges::any_of(s.guards, [&](const Expr &guard) { return uses(guard, copy.along); })) {
    return false;
  }
  copy.collects = moves(from->storage, from->indices, copy.along) != Movement::Unit ||
                  !lies_wide(copy, from->storage, from->indices);
  // The places of all axes but the outermost are divided by constants.
  const auto bound_of = [&](const VarPtr &axis) { return env_.axes.at(axis.get()).bound; };
  const std::int64_t bound = bound_of(copy.along);
  if (bound < copy.width || bound % copy.width != 0 ||
      !std::all_of(
          copy.others.begin() + 1, copy.others.end(),
          [&](const VarPtr &axis) { return bound_of(axis) > 0; })) {
    return false;
  }
  Value *wide = b.CreateICmpEQ(
      b.CreateAnd(env_.axes.at(copy.along.get()).extent, i64(copy.width - 1)), i64(0));
  wide = b.CreateAnd(wide, is_aligned(copy, s.storage, s.indices));
  if (!copy.collects) wide = b.CreateAnd(wide, is_aligned(copy, from->storage, from->indices));
  copy.lines = bound / copy.width;
  when(wide, [&] { copy_lines(copy); }, [&] { store_elements(s); });
  return true;
}

// Whether accesses of `width` elements start at multiples of it in the contiguous dimension,
// whatever the other axes are, if the first of all does.
bool KernelEmitter::lies_wide(const WideCopy &copy, const StoragePtr &at,
                              const std::vector<Expr> &indices) {
  const int unit = storage(at).unit_dimension;
  if (unit < 0) return false;
  const Expr &index = indices[static_cast<std::size_t>(unit)];
  return std::ranges::all_of(copy.others, [&](const VarPtr &axis) {
    const auto step = code::growth(index, axis);
    return step && *step % copy.width == 0;
  });
}

// Whether the address where all axes are 0, and strides, are multiples of an access's size.
llvm::Value *KernelEmitter::is_aligned(const WideCopy &copy, const StoragePtr &at,
                                       const std::vector<Expr> &indices) {
  const code::StorageValue v = storage(at);
  const Memo memo(*this, true);
  for (const VarPtr &axis : copy.to.axes) env_.variables[axis.get()] = i64(0);
  Value *crooked = b.CreatePtrToInt(v.base, b.getInt64Ty());
  const auto add = [&](Value *elements) {
    crooked = b.CreateOr(crooked, b.CreateMul(elements, i64(v.type.bytes())));
  };
  for (std::size_t d = 0; d < indices.size(); ++d)
    add(static_cast<int>(d) == v.unit_dimension ? index(indices[d]) : v.strides[d]);
  return b.CreateICmpEQ(b.CreateAnd(crooked, i64(copy.width * v.type.bytes() - 1)), i64(0));
}

/// Where the axes are in an access, and whether that is an iteration.
struct KernelEmitter::LinePlace {
  std::vector<Value *> others;
  Value *along, *inside;
};

// Lines are numbered along the contiguous elements, then along the other axes. Where elements are
// collected 32 numbers of the outermost other axis come first: what the lanes of a warp collect
// then lies in one row of a tile, in different banks.
KernelEmitter::LinePlace KernelEmitter::line_place(const WideCopy &copy, Value *number) {
  const auto take = [&](std::int64_t extent) {
    Value *at = b.CreateURem(number, i64(extent));
    number = b.CreateUDiv(number, i64(extent));
    return at;
  };
  LinePlace place{std::vector<Value *>(copy.others.size()), nullptr, nullptr};
  Value *row = copy.collects ? take(kWarp) : nullptr;
  place.along = b.CreateNSWMul(take(copy.lines), i64(copy.width));
  for (std::size_t d = copy.others.size(); d-- > 1;)
    place.others[d] = take(env_.axes.at(copy.others[d].get()).bound);
  place.others[0] = row ? b.CreateNSWAdd(b.CreateNSWMul(number, i64(kWarp)), row) : number;
  const auto is_inside = [&](Value *at, const VarPtr &axis) {
    return b.CreateICmpSLT(at, env_.axes.at(axis.get()).extent);
  };
  place.inside = is_inside(place.along, copy.along);
  for (std::size_t d = 0; d < copy.others.size(); ++d)
    place.inside = b.CreateAnd(place.inside, is_inside(place.others[d], copy.others[d]));
  return place;
}

// The axes have their values at the place in `body`.
void KernelEmitter::at_line(const WideCopy &copy, const LinePlace &place, const Body &body) {
  const Memo memo(*this, true);
  for (std::size_t d = 0; d < copy.others.size(); ++d)
    env_.variables[copy.others[d].get()] = place.others[d];
  env_.variables[copy.along.get()] = place.along;
  body();
}

// Rows of a tile in shared memory: a thread has the same place in every so many of them, whose
// copies are all under way at once.
bool KernelEmitter::copy_rows_async(const WideCopy &copy) {
  const StoragePtr &to = copy.to.storage, &from = copy.from.storage;
  const auto space_of = [&](const StoragePtr &s) {
    return storage(s).base->getType()->getPointerAddressSpace();
  };
  const VarPtr &axis = copy.others[0];
  const std::int64_t step = threads_ / copy.lines, bound = env_.axes.at(axis.get()).bound,
                     passes = (bound + step - 1) / std::max<std::int64_t>(step, 1);
  const auto is_affine = [&](const StoragePtr &s, const std::vector<Expr> &indices) {
    return code::movement(indices, axis, storage(s).unit_dimension) != Movement::Irregular;
  };
  if (copy.collects || copy.others.size() != 1 || !copy.to.guards.empty() ||
      space_of(to) != kShared || space_of(from) != kGlobal || threads_ % copy.lines != 0 ||
      passes < 1 || passes > kMostPasses || !is_affine(to, copy.to.indices) ||
      !is_affine(from, copy.from.indices)) {
    return false;
  }
  const auto addresses_at = [&](Value *row, Value *along) {
    std::pair<Value *, Value *> addresses;
    at_line(copy, {{row}, along, nullptr}, [&] {
      addresses = {b.CreatePtrToInt(address(to, copy.to.indices), b.getInt32Ty()),
                   b.CreatePtrToInt(address(from, copy.from.indices), b.getInt64Ty())};
    });
    return addresses;
  };
  Value *row = b.CreateUDiv(thread_, i64(copy.lines)),
        *along = b.CreateNSWMul(b.CreateURem(thread_, i64(copy.lines)), i64(copy.width));
  auto [destination, source] = addresses_at(row, along);
  const auto [next_destination, next_source] = addresses_at(b.CreateNSWAdd(row, i64(step)), along);
  Value *destination_step = b.CreateSub(next_destination, destination),
        *source_step = b.CreateSub(next_source, source);
  // No row where the thread has no place.
  Value *rows = b.CreateSelect(
      b.CreateICmpSLT(along, env_.axes.at(copy.along.get()).extent),
      b.CreateTrunc(b.CreateNSWSub(env_.axes.at(axis.get()).extent, row), b.getInt32Ty()),
      b.getInt32(0));
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    assembly(
        "{ .reg .pred p; setp.gt.s32 p, $2, $3; @p cp.async.cg.shared.global [$0], [$1], 16; }",
        "r,l,r,n",
        {destination, source, rows, b.getInt32(static_cast<std::uint32_t>(pass * step))});
    destination = b.CreateAdd(destination, destination_step);
    source = b.CreateAdd(source, source_step);
  }
  assembly("cp.async.wait_all;", "");
  return true;
}

void KernelEmitter::copy_lines(const WideCopy &copy) {
  if (copy_rows_async(copy)) return;
  const std::int64_t together = copy.collects ? kWarp : 1,
                     at_once = copy.collects ? kCollectedAtOnce : kCopiesAtOnce;
  std::int64_t inner = copy.lines;  // lines at a place of the outermost axis
  for (std::size_t i = 1; i < copy.others.size(); ++i)
    inner *= env_.axes.at(copy.others[i].get()).bound;
  Value *rows = not_negative(env_.axes.at(copy.others[0].get()).extent);
  Value *groups = b.CreateUDiv(b.CreateAdd(rows, i64(together - 1)), i64(together));
  const auto store_guarded = [&](Value *line) {
    Value *holds = b.getTrue();
    for (const Expr &guard : copy.to.guards) holds = b.CreateAnd(holds, value(guard));
    when(holds, [&] { store_line(copy, line); });
  };
  loop(thread_, b.CreateNSWMul(groups, i64(together * inner)), i64(threads_ * at_once), "line",
       code::LoopStyle::NotVectorized, [&](Value *first) {
         std::vector<LinePlace> places;
         Value *all = b.getTrue();
         for (std::int64_t u = 0; u < at_once; ++u) {
           places.push_back(line_place(copy, b.CreateNSWAdd(first, i64(u * threads_))));
           all = b.CreateAnd(all, places.back().inside);
         }
         const auto at_the_same_time = [&] {
           std::vector<Value *> lines;
           for (const LinePlace &place : places)
             at_line(copy, place, [&] { lines.push_back(load_line(copy)); });
           for (std::size_t u = 0; u < places.size(); ++u)
             at_line(copy, places[u], [&] { store_guarded(lines[u]); });
         };
         const auto one_by_one = [&] {
           for (const LinePlace &place : places) {
             when(place.inside,
                  [&] { at_line(copy, place, [&] { store_guarded(load_line(copy)); }); });
           }
         };
         when(all, at_the_same_time, one_by_one);
       });
}

// The line where the axes are now, as it is in memory.
llvm::Value *KernelEmitter::load_line(const WideCopy &copy) {
  const StoragePtr &from = copy.from.storage;
  const auto load = [&](llvm::Type *type, std::int64_t alignment) {
    auto *access = b.CreateAlignedLoad(type, address(from, copy.from.indices),
                                       llvm::Align(static_cast<std::uint64_t>(alignment)));
    describe_access(access, from.get());
    return access;
  };
  llvm::Type *element = code::memory_type(context_, from->type);
  auto *line = llvm::FixedVectorType::get(element, static_cast<unsigned>(copy.width));
  if (!copy.collects) return load(line, kAccessBytes);
  Value *first = env_.variables.at(copy.along.get()), *result = llvm::PoisonValue::get(line);
  for (std::int64_t k = 0; k < copy.width; ++k) {
    const Memo memo(*this, true);
    env_.variables[copy.along.get()] = b.CreateNSWAdd(first, i64(k));
    result = b.CreateInsertElement(result, load(element, storage(from).alignment),
                                   static_cast<std::uint64_t>(k));
  }
  env_.variables[copy.along.get()] = first;
  return result;
}

void KernelEmitter::store_line(const WideCopy &copy, Value *line) {
  b.CreateAlignedStore(line, address(copy.to.storage, copy.to.indices), llvm::Align(kAccessBytes));
}

}  // namespace pit::cuda
