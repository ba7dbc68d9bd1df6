// Short ways to make the statements of index building.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "codegen/ir/ir.h"

namespace pit::lower::build {

inline Expr number(std::int64_t c) { return make_int(int64, c); }
inline Expr number32(std::int64_t c) { return make_int(int32, c); }
inline Expr ceil_div(const Expr &a, std::int64_t b) { return (a + number(b - 1)) / number(b); }
inline Expr at(const StoragePtr &storage, const Expr &i) { return make_load(storage, {i}); }
inline Expr value_of(const StoragePtr &scalar) { return make_load(scalar, {}); }
inline Expr wide(const Expr &e) { return cast(int64, e); }

/// A loop variable, and its value.
struct Loop {
  VarPtr var = nullptr;
  Expr value;
  explicit Loop(const char *name) : var(ir::make_loop_variable(name)), value(make_variable(var)) {}
};

/// An axis with its extent, and its value.
struct Axis {
  ir::AxisBinding binding;
  Expr value;
  Axis(const char *name, Expr extent, std::int64_t maximum)
      : binding{ir::make_axis_variable(name), std::move(extent), maximum},
        value(make_variable(binding.var)) {}
};

inline ir::Stmt parallel(const Loop &loop, const Expr &extent, ir::Stmt body) {
  return ir::make<ir::For>(loop.var, number(0), extent, ir::ForKind::Parallel, std::move(body));
}
inline ir::Stmt serial(const Loop &loop, const Expr &extent, ir::Stmt body) {
  return ir::make<ir::For>(loop.var, number(0), extent, ir::ForKind::Serial, std::move(body));
}
/// A kernel of one block.
inline ir::Stmt one_block(ir::Stmt body) {
  return parallel(Loop("once"), number(1), std::move(body));
}

inline ir::Stmt over(const std::vector<Axis> &axes, std::vector<ir::Stmt> body) {
  std::vector<ir::AxisBinding> bindings;
  for (const Axis &axis : axes) bindings.push_back(axis.binding);
  return ir::make<ir::Axes>(bindings, ir::make_block(std::move(body)));
}

inline std::vector<VarPtr> variables(const std::vector<Axis> &axes) {
  std::vector<VarPtr> vars;
  vars.reserve(axes.size());
  for (const Axis &axis : axes) vars.push_back(axis.binding.var);
  return vars;
}

/// for axes: if guards: storage[index] combiner= value; no index for a tile of rank 0.
inline ir::Stmt store(const std::vector<Axis> &axes, std::vector<Expr> guards,
                      const StoragePtr &storage, const Expr &index, const Expr &value,
                      Combiner combiner = Combiner::Assign, bool atomic = false) {
  std::vector<Expr> indices;
  if (index.defined()) indices.push_back(index);
  return ir::make<ir::Store>(variables(axes), std::move(guards), storage, indices, combiner, value,
                             atomic);
}
/// for axes: if guards: destination[index] = counters[at]; counters[at] += value; no index for a
/// tile of rank 0.
inline ir::Stmt fetch_add(const std::vector<Axis> &axes, std::vector<Expr> guards,
                          const StoragePtr &destination, const Expr &index,
                          const StoragePtr &counters, const Expr &at, const Expr &value,
                          bool ordered = false) {
  std::vector<Expr> indices;
  if (index.defined()) indices.push_back(index);
  return ir::make<ir::FetchAdd>(variables(axes), std::move(guards), destination, indices, counters,
                                at, value, ordered);
}
inline ir::Stmt set(const StoragePtr &storage, const Expr &index, const Expr &value) {
  return store({}, {}, storage, index, value);
}
inline ir::Stmt add(const StoragePtr &scalar, const Expr &value) {
  return store({}, {}, scalar, {}, value, Combiner::Sum);
}

/// Storages of `sizes` (rank 1; 0 = a scalar) around `body`.
inline ir::Stmt with_tiles(const std::vector<std::pair<StoragePtr, std::int64_t>> &tiles,
                           ir::Stmt body) {
  for (auto it = tiles.rbegin(); it != tiles.rend(); ++it) {
    std::vector<Expr> extents;
    if (it->first->rank == 1) extents.push_back(number(it->second));
    body = ir::make<ir::Allocate>(it->first, extents, body);
  }
  return body;
}

inline ir::Stmt let(const VarPtr &var, const Expr &value, ir::Stmt body) {
  return ir::make<ir::Let>(var, value, std::move(body));
}

inline StoragePtr make_tile(const std::string &name, Type type, int rank = 1) {
  return ir::make_storage(name, type, rank, Space::Tile);
}

}  // namespace pit::lower::build
