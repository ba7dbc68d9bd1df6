#include "mma_plan.h"

#include <algorithm>

#include "codegen/ir/mutator.h"
#include "codegen/llvm/access.h"

namespace pit::host {

using code::axis_bounds;
using code::Movement;
using code::movement;

namespace {

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

class Planner {
 public:
  Planner(const ir::Module &module, const Machine &machine, const Variant &variant)
      : machine_(machine),
        bounds_(axis_bounds(module.body)),
        packed_(find_packed_operands(module.body)) {
    std::size_t place = 0;
    for (const auto *list : {&module.inputs, &module.outputs}) {
      for (const StoragePtr &s : *list)
        unit_dimension_[s.get()] = unit_dimension(*s, variant.unit_dimension.at(place++));
    }
    ir::walk_statements(module.body, [&](const ir::Stmt &s) {
      if (const auto *allocate = s.as<ir::Allocate>())
        shapes_[allocate->storage.get()] = &allocate->extents;
      if (const auto *axes = s.as<ir::Axes>()) {
        for (const ir::AxisBinding &axis : axes->axes) extents_[axis.var.get()] = axis.extent;
      }
      return true;
    });
  }

  bool has_kernel(const ir::Mma &s) const { return host::has_kernel(s, bounds_); }

  MmaPlan plan(const ir::Mma &s) const {
    MmaPlan p;
    p.roles = roles_of(s);
    p.atom = &select_atom(types_of(s), machine_, s.atom);
    p.blocks = blocks_of(*p.atom, machine_);
    p.left = without_conditions(value_of(p.roles.left), s, &p.conditions);
    p.right = without_conditions(value_of(p.roles.right), s, &p.conditions);
    p.outer = s.batch;
    p.column = s.accumulator.axes.back();
    p.column_bound = bounds_.at(p.column.get());
    for (const VarPtr &v : p.roles.columns) {
      if (v != p.column) p.outer.push_back(v);
    }
    const auto nested = [&](const VarPtr &x, const VarPtr &y) { return is_nested(s, x, y); };
    const auto always = [](const VarPtr &, const VarPtr &) { return true; };
    std::vector<VarPtr> rows = p.roles.rows;
    std::ranges::stable_sort(rows, {}, [&](const VarPtr &v) { return dimension(s, v); });
    p.rows = group(rows, p.blocks.rows, nested, &p.outer);
    p.k = group(s.k, p.blocks.k, always, &p.outer);
    p.source = source_of(p);
    p.some_few = p.source == RightSource::Rows;
    p.all_few = p.some_few && p.rows.bound > 0 && p.rows.bound <= kFewRows;
    measure(s, &p);
    return p;
  }

 private:
  static int unit_dimension(const StorageNode &s, int of_variant) {
    if (of_variant >= 0) return of_variant;
    for (std::size_t d = s.declared_strides.size(); d-- > 0;) {
      if (s.declared_strides[d] == 1) return static_cast<int>(d);
    }
    return -1;
  }

  Expr value_of(const ir::TileOperand &operand) const {
    if (const auto it = packed_.find(operand.tile.get()); it != packed_.end())
      return it->second->value;
    std::vector<Expr> indices;
    for (const VarPtr &v : operand.axes) indices.push_back(make_variable(v));
    return make_load(operand.tile, indices);
  }

  // `e`, but for `select(c, x, 0)` whose condition reads none of the axes: then x, and c is one of
  // the conditions.
  static Expr without_conditions(Expr e, const ir::Mma &s, std::vector<Expr> *conditions) {
    while (const auto *select = e.as<Select>()) {
      bool varies = !is_zero(select->false_value);
      for (const auto *list : {&s.batch, &s.m, &s.n, &s.k}) {
        for (const VarPtr &v : *list) varies = varies || uses(select->condition, v);
      }
      if (varies) break;
      conditions->push_back(select->condition);
      e = select->true_value;
    }
    return e;
  }

  // All axes when a block surely holds them, else the largest; the others become loops around it.
  template <class Nested>
  MmaGroup group(const std::vector<VarPtr> &axes, std::int64_t block, const Nested &nested,
                 std::vector<VarPtr> *outer) const {
    if (axes.empty()) return {};
    std::int64_t product = 1;
    bool joined = true;
    for (std::size_t i = 0; i < axes.size(); ++i) {
      product = std::min<std::int64_t>(product * bounds_.at(axes[i].get()), INT32_MAX);
      joined = joined && (i == 0 || nested(axes[i - 1], axes[i]));
    }
    if (axes.size() == 1 || (joined && product > 0 && product <= block)) return {axes, product};
    const VarPtr largest = *std::ranges::max_element(axes, {}, [&](const VarPtr &v) {
      const std::int64_t bound = bounds_.at(v.get());
      return bound == 0 ? INT64_MAX : bound;
    });
    for (const VarPtr &v : axes) {
      if (v != largest) outer->push_back(v);
    }
    return {{largest}, bounds_.at(largest.get())};
  }

  static std::ptrdiff_t dimension(const ir::Mma &s, const VarPtr &v) {
    return std::ranges::find(s.accumulator.axes, v) - s.accumulator.axes.begin();
  }

  // True when stepping `outer` once in the accumulator is stepping `inner` through its extent.
  bool is_nested(const ir::Mma &s, const VarPtr &outer, const VarPtr &inner) const {
    const auto shape = shapes_.find(s.accumulator.tile.get());
    if (dimension(s, inner) != dimension(s, outer) + 1 || shape == shapes_.end()) return false;
    const Expr &held = shape->second->at(static_cast<std::size_t>(dimension(s, inner)));
    const Expr &walked = extents_.at(inner.get());
    std::int64_t x = 0, y = 0;
    if (is_const_int(held, &x) && is_const_int(walked, &y)) return x == y;
    return equal(held, walked);
  }

  Movement moves(const Load &load, const VarPtr &v) const {
    const auto it = unit_dimension_.find(load.storage.get());
    return movement(load.indices, v,
                    it == unit_dimension_.end() ? load.storage->rank - 1 : it->second);
  }

  // Irregular along k, and no index reads both a row and k.
  bool is_gathered_left(const MmaPlan &p) const {
    const auto *load = p.left.as<Load>();
    if (!load) return false;
    const auto uses_any = [](const Expr &e, const std::vector<VarPtr> &axes) {
      return std::ranges::any_of(axes, [&](const VarPtr &v) { return uses(e, v); });
    };
    for (const Expr &e : load->indices) {
      if (uses_any(e, p.k.axes) && uses_any(e, p.rows.axes)) return false;
    }
    return std::ranges::any_of(
        p.k.axes, [&](const VarPtr &v) { return moves(*load, v) == Movement::Irregular; });
  }

  RightSource source_of(const MmaPlan &p) const {
    if (const auto *load = p.right.as<Load>()) {
      if (moves(*load, p.column) == Movement::Unit) return RightSource::Rows;
      if (p.k.axes.size() == 1 && moves(*load, p.k.axes.front()) == Movement::Unit)
        return RightSource::Columns;
    }
    if (const auto *select = p.right.as<Select>()) {
      const auto *load = select->true_value.as<Load>();
      const bool zeros = is_zero(select->false_value) && !uses(select->condition, p.column);
      if (load && zeros && moves(*load, p.column) == Movement::Unit) return RightSource::Rows;
    }
    return RightSource::Other;
  }

  void measure(const ir::Mma &s, MmaPlan *p) const {
    const auto capped = [](std::int64_t bound, std::int64_t block) {
      return bound == 0 ? block : std::min(bound, block);
    };
    const Atom &atom = *p->atom;
    const auto rank = [](std::size_t n) { return static_cast<int>(n); };
    const Type sum = compute_type(s.accumulator.tile->type);
    const std::string name = p->roles.left.tile->name;
    const std::size_t left_rank = p->rows.axes.size() + p->k.axes.size();
    p->by_panels = p->source == RightSource::Rows && p->right.as<Load>() &&
                   p->right.type() == atom.right && atom.group == 1 && p->rows.bound > 0 &&
                   p->rows.bound <= p->blocks.rows;
    p->gathered = p->by_panels && std::ranges::any_of(p->k.axes, [&](const VarPtr &v) {
                    return moves(*p->right.as<Load>(), v) == Movement::Irregular;
                  });
    p->left_gathered = is_gathered_left(*p);
    p->blocks.rows = capped(p->rows.bound, p->blocks.rows);
    p->blocks.columns = round_up(capped(p->column_bound, p->blocks.columns), atom.columns);
    // Packed rows of numbers that are multiplied as they are serve both ways.
    if (p->some_few && (p->all_few || atom.kind != AtomKind::MultiplyAdd)) {
      p->few_left = ir::make_storage(name + ".few", sum, rank(left_rank), Space::Tile);
      p->left_bytes = kFewRows * p->blocks.k * sum.bytes();
    }
    if (!p->all_few) {
      const std::int64_t unit = atom.type.bytes();
      p->packed_left = ir::make_storage(name + ".packed", atom.left, rank(left_rank), Space::Tile);
      p->left_bytes = std::max(p->left_bytes, p->blocks.rows * left_stride(atom, machine_) * unit);
      const std::int64_t columns = p->blocks.columns;
      p->right_bytes = round_up(columns * p->blocks.k / atom.group * unit, 64);
    }
    p->left_bytes = round_up(p->left_bytes, 64);
    const bool by_columns = p->source == RightSource::Columns;
    if (p->left_gathered) {
      p->rows_bytes = round_up(8 * std::max(p->blocks.rows, kFewRows), 64);
      p->places_bytes = round_up(8 * p->blocks.k, 64);
    }
    p->table_bytes = round_up(8 * (by_columns ? p->blocks.columns : p->blocks.k), 64);
    if (p->source == RightSource::Other) {
      p->buffer = ir::make_storage(p->roles.right.tile->name + ".rows", p->right.type(),
                                   rank(p->k.axes.size() + 1), Space::Tile);
      p->buffer_bytes = round_up(p->blocks.k * p->blocks.columns * p->right.type().bytes(), 64);
    }
  }

  const Machine &machine_;
  std::unordered_map<const VarNode *, std::int64_t> bounds_;
  std::unordered_map<const VarNode *, Expr> extents_;
  std::unordered_map<const StorageNode *, const ir::Store *> packed_;
  std::unordered_map<const StorageNode *, int> unit_dimension_;  // of tensors
  std::unordered_map<const StorageNode *, const std::vector<Expr> *> shapes_;
};

}  // namespace

std::unordered_map<const ir::StmtNode *, MmaPlan> plan_mmas(const ir::Module &module,
                                                            const Machine &machine,
                                                            const Variant &variant) {
  std::unordered_map<const ir::StmtNode *, MmaPlan> plans;
  const Planner planner(module, machine, variant);
  ir::walk_statements(module.body, [&](const ir::Stmt &s) {
    const auto *mma = s.as<ir::Mma>();
    if (mma && planner.has_kernel(*mma)) plans.emplace(mma, planner.plan(*mma));
    return true;
  });
  return plans;
}

}  // namespace pit::host
