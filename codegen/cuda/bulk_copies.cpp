// Copies of boxes by the tensor memory accelerator. Where it cannot read a tensor, the threads of
// the role copy, and one of them arrives in its place.
#include "bulk_copies.h"

#include <algorithm>

#include "dsl/error.h"
#include "kernel_emitter.h"

namespace pit::cuda {

namespace {

using llvm::Value;

/// The copy's axis in e; null: none.
VarPtr axis_of(const ir::Copy &copy, const Expr &e) {
  const auto found =
      std::ranges::find_if(copy.axes, [&](const VarPtr &axis) { return uses(e, axis); });
  return found == copy.axes.end() ? nullptr : *found;
}

}  // namespace

BulkBox bulk_box(const ir::Copy &copy, const ir::Allocate &tile, std::int64_t blocks) {
  const auto &source = *copy.value.as<Load>();
  const ir::Layout &layout = tile.placement.layout;
  BulkBox box{std::vector<std::int32_t>(source.indices.size(), 1),
              std::vector<Expr>(source.indices.size()),
              {},
              1,
              layout.swizzle};
  const std::int64_t line = layout.swizzle / copy.storage->type.bytes();
  const std::size_t first = tile.placement.buffered ? 1 : 0;
  for (std::size_t d = first; d < copy.indices.size(); ++d) {
    std::int64_t size = 0;
    is_const_int(tile.extents[d], &size);
    const VarPtr axis = axis_of(copy, copy.indices[d]);
    if (copy.multicast && !copy.indices[d].as<Variable>()) size /= blocks;
    if (static_cast<int>(d - first) == layout.dimension) {
      box.parts = size / line;
      size = line;
    }
    for (std::size_t i = 0; i < source.indices.size(); ++i) {
      if (uses(source.indices[i], axis)) box.sizes[i] = static_cast<std::int32_t>(size);
    }
  }
  for (const Expr &guard : copy.guards) {
    if (!axis_of(copy, guard)) {
      box.conditions.push_back(guard);
      continue;
    }
    const auto *less = guard.as<Binary>();
    const auto index = std::ranges::find_if(
        source.indices, [&](const Expr &e) { return less && equal(e, less->a); });
    internal_check(less && less->op == BinaryOp::Lt && index != source.indices.end(),
                   "a guard of a bulk copy is no bound of its source");
    box.extents[static_cast<std::size_t>(index - source.indices.begin())] = less->b;
  }
  return box;
}

void KernelEmitter::emit_bulk(const ir::Copy &s) {
  const auto map = std::ranges::find(arguments_.maps, &s, &TensorMap::copy);
  internal_check(map != arguments_.maps.end(), "a bulk copy has no tensor map");
  const std::int64_t bytes =
      ir::buffer_bytes(tiles_.at(s.storage.get()).extents, s.storage->type.bytes());
  bulk_bytes_ -= bytes;
  const bool last = bulk_bytes_ == 0;
  Value *buffer = buffer_address(s);
  when(
      arguments_.bulk,
      [&] { when(b.CreateICmpEQ(thread_, i64(0)), [&] { copy_boxes(s, *map, buffer); }); },
      [&] {
        // Of a cluster's part: all of it.
        ir::Copy whole = s;
        if (s.multicast) whole = without_parts(s);
        copy_by_threads(line_of(whole), buffer);
        if (!last) return;
        assembly("fence.proxy.async.shared::cta;", "");
        barrier();
        when(b.CreateICmpEQ(thread_, i64(0)), [&] {
          assembly("mbarrier.arrive.shared::cta.b64 _, [$0];", "r", {barrier_address(s.completes)});
        });
      });
}

// The same copy by one block: the axis of the part goes through the whole dimension.
ir::Copy KernelEmitter::without_parts(const ir::Copy &s) {
  ir::Copy whole = s;
  whole.multicast = false;
  for (std::size_t d = tiles_.at(s.storage.get()).index_of(0); d < s.indices.size(); ++d) {
    if (s.indices[d].as<Variable>()) continue;
    const VarPtr part = axis_of(s, s.indices[d]), all = ir::make_axis_variable(part->name);
    // The index is part + what comes before it.
    const Expr before = substitute(s.indices[d], {part}, {make_int(int64, 0)});
    const Expr at = make_variable(all) - before;
    std::ranges::replace(whole.axes, part, all);
    whole.indices[d] = make_variable(all);
    for (Expr &guard : whole.guards) guard = substitute(guard, {part}, {at});
    whole.value = substitute(whole.value, {part}, {at});
  }
  return whole;
}

void KernelEmitter::copy_boxes(const ir::Copy &s, const TensorMap &map, Value *buffer) {
  const auto &source = *s.value.as<Load>();
  const SharedTile &tile = tiles_.at(s.storage.get());
  llvm::Type *i32 = b.getInt32Ty();
  const auto number = [&](std::int64_t n) { return b.getInt32(static_cast<std::uint32_t>(n)); };
  const Memo memo(*this, true);
  for (const VarPtr &axis : s.axes) env_.variables[axis.get()] = i64(0);
  // The first row that this block copies.
  Value *row = number(0);
  std::int64_t rows = 1;
  for (std::size_t d = 0; d < tile.extents.size(); ++d) {
    if (static_cast<int>(d) == tile.layout.dimension) continue;
    row = b.CreateAdd(b.CreateMul(row, number(tile.extents[d])),
                      b.CreateTrunc(index(s.indices[tile.index_of(d)]), i32));
    rows *= tile.extents[d];
  }
  Value *to = b.CreateAdd(buffer, b.CreateMul(row, number(map.box.swizzle)));
  std::vector<Value *> at;
  for (const Expr &e : source.indices) at.push_back(b.CreateTrunc(index(e), i32));
  if (!map.box.conditions.empty()) {
    // Outside of the tensor all is zero.
    at[0] = b.CreateSelect(holds(map.box.conditions), at[0], number(-map.box.sizes[0]));
  }
  const std::size_t rank = at.size();
  const std::int64_t line = map.box.swizzle / s.storage->type.bytes();
  std::string text = "cp.async.bulk.tensor." + std::to_string(rank) +
                     "d.shared::cluster.global.mbarrier::complete_tx::bytes" +
                     (s.multicast ? ".multicast::cluster" : "") + " [$0], [$1, {";
  std::string constraints = "r,l";
  for (std::size_t d = 0; d < rank; ++d) {
    text += (d > 0 ? ", $" : "$") + std::to_string(d + 2);
    constraints += ",r";
  }
  text += "}], [$" + std::to_string(rank + 2) + "]";
  constraints += ",r";
  if (s.multicast) {
    text += ", $" + std::to_string(rank + 3);
    constraints += ",h";
  }
  text += ";";
  for (std::int64_t part = 0; part < map.box.parts; ++part) {
    std::vector<Value *> operands{b.CreateAdd(to, number(part * rows * map.box.swizzle)),
                                  b.CreatePtrToInt(map.map, b.getInt64Ty())};
    for (std::size_t d = rank; d-- > 0;) {
      operands.push_back(d + 1 == rank ? b.CreateAdd(at[d], number(part * line)) : at[d]);
    }
    operands.push_back(barrier_address(s.completes));
    if (s.multicast) {
      operands.push_back(
          b.getInt16(static_cast<std::uint16_t>((1U << static_cast<unsigned>(cluster_)) - 1)));
    }
    assembly(text, constraints, operands);
  }
}

}  // namespace pit::cuda
