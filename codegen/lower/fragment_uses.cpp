#include "fragment_uses.h"

#include <algorithm>
#include <vector>

#include "codegen/ir/mutator.h"
#include "slice.h"

namespace pit::lower {
namespace {

using ir::Stmt;

/// The fragments that a statement names, with its indices into them.
struct Use {
  const StorageNode *tile;
  std::vector<Expr> indices;
};

std::vector<Use> uses_of(const Stmt &s, const FragmentTiles &fragments) {
  std::vector<Use> found;
  ir::walk_expressions(s, [&](const Expr &e) {
    walk(e, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      if (load && fragments.contains(load->storage.get()))
        found.push_back({load->storage.get(), load->indices});
      return true;
    });
  });
  const auto *store = s.as<ir::Store>();
  if (store && fragments.contains(store->storage.get()))
    found.push_back({store->storage.get(), store->indices});
  return found;
}

/// Two iterations of the store that differ in `axis` store different elements.
bool apart(const ir::Store &store, const VarPtr &axis) {
  return std::ranges::any_of(store.indices, [&](const Expr &index) {
    if (!uses(index, axis)) return false;
    bool linear = true;
    walk(index, [&](const Expr &part) {
      const auto *variable = part.as<Variable>();
      const auto *binary = part.as<Binary>();
      linear =
          linear &&
          (part.as<IntImm>() || part.as<Extent>() ||
           (variable && (variable->var == axis || variable->var->role != VarRole::Axis)) ||
           (binary &&
            (binary->op == BinaryOp::Add || binary->op == BinaryOp::Sub ||
             (binary->op == BinaryOp::Mul && !(uses(binary->a, axis) || uses(binary->b, axis))))));
      return linear;
    });
    return linear;
  });
}

bool of_rows(const Use &use, const FragmentTiles &fragments) {
  return fragments.at(use.tile).layout.kind == ir::Layout::Kind::Rows;
}

/// The threads that have an element of one have that of the other, or of its row.
bool spread_alike(const FragmentTile &a, const FragmentTile &b) {
  const auto plain = [](ir::Layout layout) {
    if (layout.kind != ir::Layout::Kind::Blocked) layout.kind = ir::Layout::Kind::Accumulator;
    return layout;
  };
  const std::size_t common = std::min(a.extents.size(), b.extents.size());
  return plain(a.layout) == plain(b.layout) &&
         std::equal(a.extents.begin(), a.extents.begin() + static_cast<std::ptrdiff_t>(common),
                    b.extents.begin());
}

/// What a statement may store to another fragment.
std::string destination_error(const ir::Store &store, const FragmentTile &tile, bool whole_rows,
                              const std::vector<Use> &found, const FragmentTiles &fragments) {
  const std::string name = store.storage->name;
  using Kind = ir::Layout::Kind;
  const bool reads_itself = std::ranges::count_if(found, [&](const Use &use) {
                              return use.tile == store.storage.get();
                            }) > 1;
  if (tile.layout.kind == Kind::OperandA && (store.combiner != Combiner::Assign || reads_itself))
    return "the operand " + name + " is changed in place";
  for (const Use &use : found) {
    if (use.tile != store.storage.get() && fragments.at(use.tile).layout.kind == Kind::OperandA)
      return "the operand " + use.tile->name + " is read element by element";
  }
  if (tile.layout.kind != Kind::Rows || whole_rows) return "";
  if (store.combiner == Combiner::Assign || reads_itself)
    return "several elements of a row are stored to " + name;
  return tile.layout.warps_n == 1 ? "" : "the rows of " + name + " are those of several warps";
}

std::string error_of(const Stmt &s, const std::vector<Use> &found, const FragmentTiles &fragments) {
  const auto matrix =
      std::ranges::find_if(found, [&](const Use &use) { return !of_rows(use, fragments); });
  const bool rows_alone = matrix == found.end();
  const Use &first = rows_alone ? found.front() : *matrix;
  const std::string name = first.tile->name;
  const auto *store = s.as<ir::Store>();
  if (store == nullptr) return "a bound or a condition reads the products " + name;
  std::vector<VarPtr> axes;
  for (const Expr &index : first.indices) {
    const auto *variable = index.as<Variable>();
    if (variable == nullptr || std::ranges::find(store->axes, variable->var) == store->axes.end() ||
        std::ranges::find(axes, variable->var) != axes.end())
      return "the products " + name + " are not read at one element of each iteration";
    axes.push_back(variable->var);
  }
  if (store->axes.size() != axes.size())
    return "a statement over the products " + name + " has other loops than their rows and columns";
  for (const Use &use : found) {
    if (!spread_alike(fragments.at(use.tile), fragments.at(first.tile)))
      return "the products " + name + " and " + use.tile->name + " are spread differently";
    for (std::size_t d = 0; d < use.indices.size(); ++d) {
      const auto *variable = use.indices[d].as<Variable>();
      if (variable == nullptr || variable->var != axes[d])
        return "the products " + name + " and " + use.tile->name + " meet at different elements";
    }
  }
  if (const auto tile = fragments.find(store->storage.get()); tile != fragments.end())
    return destination_error(*store, tile->second, rows_alone, found, fragments);
  if (store->storage->space == Space::Tile)
    return "the products " + name + " go into the tile " + store->storage->name;
  if (store->combiner == Combiner::Assign || store->atomic) return "";
  for (const VarPtr &axis : axes) {
    if (!apart(*store, axis)) {
      return "elements of the products " + name + " meet in one of " + store->storage->name +
             ", and atomic() is not said";
    }
  }
  return "";
}

}  // namespace

std::string fragment_use_error(const Stmt &body, const FragmentTiles &fragments) {
  std::string error;
  ir::walk_statements(body, [&](const Stmt &s) {
    if (s.as<ir::Mma>()) return error.empty();
    const std::vector<Use> found = uses_of(s, fragments);
    if (error.empty() && !found.empty()) error = error_of(s, found, fragments);
    if (const auto *prefix = s.as<ir::Prefix>(); prefix && error.empty()) {
      for (const StoragePtr &tile : {prefix->source, prefix->destination})
        if (fragments.contains(tile.get())) error = "a prefix sum of the products " + tile->name;
    }
    return error.empty();
  });
  return error;
}

}  // namespace pit::lower
