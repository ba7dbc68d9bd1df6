#include "layout.h"

#include <algorithm>

#include "codegen/ir/mutator.h"

namespace pit::host {

namespace {

bool contains(const std::vector<VarPtr> &list, const VarPtr &v) {
  return std::ranges::find(list, v) != list.end();
}

// What a module does with a tile.
struct Uses {
  bool other = false;  // is loaded, accumulated into, or an accumulator
  bool stored = false;
  std::vector<const ir::Mma *> left, right;
};

std::unordered_map<const StorageNode *, Uses> find_uses(const ir::Stmt &body) {
  std::unordered_map<const StorageNode *, Uses> uses;
  ir::walk_statements(body, [&](const ir::Stmt &s) {
    ir::walk_expressions(s, [&](const Expr &e) {
      walk(e, [&](const Expr &part) {
        if (const auto *load = part.as<Load>()) uses[load->storage.get()].other = true;
        return true;
      });
    });
    if (const auto *store = s.as<ir::Store>()) {
      Uses &u = uses[store->storage.get()];
      u.stored = true;
      if (store->combiner != Combiner::Assign) u.other = true;
    }
    if (const auto *mma = s.as<ir::Mma>()) {
      const MmaRoles roles = roles_of(*mma);
      uses[roles.left.tile.get()].left.push_back(mma);
      uses[roles.right.tile.get()].right.push_back(mma);
      uses[mma->accumulator.tile.get()].other = true;
    }
    return true;
  });
  return uses;
}

// The dimensions of `operand` by the part their axes play; false when they cannot lie in panels.
bool sort_dimensions(const ir::Mma &mma, TileLayout *layout) {
  const MmaRoles roles = roles_of(mma);
  int columns = 0;
  for (std::size_t d = 0; d < roles.right.axes.size(); ++d) {
    const VarPtr &axis = roles.right.axes[d];
    const int dimension = static_cast<int>(d);
    if (contains(roles.columns, axis)) {
      layout->column_dimension = dimension;
      ++columns;
    } else if (contains(mma.k, axis)) {
      layout->k_dimensions.push_back(dimension);
    } else {
      layout->batch_dimensions.push_back(dimension);
    }
  }
  return columns == 1 && roles.columns.size() == 1;
}

}  // namespace

MmaRoles roles_of(const ir::Mma &mma) {
  const bool swap = !mma.accumulator.axes.empty() && contains(mma.m, mma.accumulator.axes.back());
  if (swap) return {mma.b, mma.a, mma.n, mma.m};
  return {mma.a, mma.b, mma.m, mma.n};
}

std::unordered_map<const StorageNode *, TileLayout> choose_layouts(const ir::Stmt &body,
                                                                   const Machine &machine) {
  std::unordered_map<const StorageNode *, TileLayout> layouts;
  for (const auto &[storage, use] : find_uses(body)) {
    if (storage->space != Space::Tile || use.other || !use.stored) continue;
    std::vector<const ir::Mma *> mmas = use.left;
    mmas.insert(mmas.end(), use.right.begin(), use.right.end());
    if (mmas.empty()) continue;
    TileLayout layout;
    layout.stored = compute_type(mmas.front()->accumulator.tile->type);
    const bool agree = std::ranges::all_of(mmas, [&](const ir::Mma *mma) {
      return compute_type(mma->accumulator.tile->type) == layout.stored &&
             mma->atom == mmas.front()->atom;
    });
    if (!agree) continue;
    if (use.left.empty()) {
      TileLayout panels = layout;
      bool possible = sort_dimensions(*mmas.front(), &panels);
      for (const ir::Mma *mma : mmas) {
        TileLayout same = layout;
        possible = possible && sort_dimensions(*mma, &same) &&
                   same.column_dimension == panels.column_dimension &&
                   same.k_dimensions == panels.k_dimensions;
      }
      if (possible) {
        layout = panels;
        layout.atom = &select_atom(layout.stored, machine, mmas.front()->atom);
        layout.panel_columns = layout.atom->columns;
      }
    }
    layouts.emplace(storage, layout);
  }
  return layouts;
}

std::int64_t bound_of(const ir::AxisBinding &axis) {
  std::int64_t extent = 0;
  if (is_const_int(axis.extent, &extent)) return std::max<std::int64_t>(extent, 1);
  return axis.maximum;
}

}  // namespace pit::host
