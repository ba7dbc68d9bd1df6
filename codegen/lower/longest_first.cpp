#include "longest_first.h"

#include <set>
#include <utility>
#include <vector>

#include "clone.h"
#include "codegen/ir/mutator.h"
#include "product_loops.h"
#include "statements.h"

namespace pit::lower {
namespace {

using namespace build;
using ir::Stmt;

/// Rows that are compared with each other: their tiles fill the device several times, and a block
/// compares them in a microsecond.
constexpr std::int64_t kWindow = 256, kThreads = 256;

bool reads_memory(const Expr &e) {
  bool reads = false;
  walk(e, [&](const Expr &part) { return !(reads = reads || part.as<Load>()); });
  return reads;
}

/// Finds the number of steps of the outermost loop around products that is data.
class Steps {
 public:
  /// By what is known outside of all lets; null where there is no such loop.
  Expr of(const Stmt &s) {
    if (!s.defined() || !holds_product(s)) return {};
    if (const auto *let = s.as<ir::Let>()) {
      const Expr value = outside(let->value);
      vars_.push_back(let->var);
      values_.push_back(value);
      return of(let->body);
    }
    if (const auto *loop = s.as<ir::For>()) {
      const Expr steps = cast(int64, outside(loop->extent));
      return reads_memory(steps) ? steps : of(loop->body);
    }
    if (const auto *axes = s.as<ir::Axes>()) return of(axes->body);
    if (const auto *allocate = s.as<ir::Allocate>()) return of(allocate->body);
    if (const auto *branch = s.as<ir::If>()) {
      const Expr steps = of(branch->then_body);
      return steps.defined() ? steps : of(branch->else_body);
    }
    if (const auto *block = s.as<ir::Block>()) {
      for (const Stmt &part : block->stmts) {
        if (const Expr steps = of(part); steps.defined()) return steps;
      }
    }
    return {};
  }

 private:
  std::vector<VarPtr> vars_;
  std::vector<Expr> values_;

  Expr outside(const Expr &e) const { return substitute(e, vars_, values_); }
};

/// Whether `steps` is found by the row alone, from what the kernel does not store.
bool is_of_row(const Expr &steps, const ir::Launch &launch) {
  std::set<const StorageNode *> stored;
  std::set<const VarNode *> defined;
  for (std::size_t d = 1; d < launch.grid.size(); ++d) defined.insert(launch.grid[d].var.get());
  ir::walk_statements(launch.body, [&](const Stmt &s) {
    if (const auto *store = s.as<ir::Store>()) stored.insert(store->storage.get());
    if (const auto *loop = s.as<ir::For>()) defined.insert(loop->var.get());
    if (const auto *let = s.as<ir::Let>()) defined.insert(let->var.get());
    if (const auto *axes = s.as<ir::Axes>()) {
      for (const ir::AxisBinding &axis : axes->axes) defined.insert(axis.var.get());
    }
    return true;
  });
  bool good = true;
  walk(steps, [&](const Expr &e) {
    if (const auto *load = e.as<Load>())
      good = good && load->storage->space != Space::Tile && stored.count(load->storage.get()) == 0;
    if (const auto *variable = e.as<Variable>())
      good = good && defined.count(variable->var.get()) == 0;
    return good;
  });
  return good && uses(steps, launch.grid[0].var);
}

/// order[first + rank of a row] = row, for the rows of each window.
Stmt ranking(const ir::Launch &launch, const Expr &rows, const Expr &steps,
             const StoragePtr &order) {
  const Loop window("window");
  const Expr first = window.value * number(kWindow), here = min(number(kWindow), rows - first);
  const Axis row("row", here, kWindow), other("other", here, kWindow);
  const StoragePtr length = make_tile("length", int64), rank = make_tile("rank", int32);
  const Expr mine = at(length, row.value), theirs = at(length, other.value);
  const Expr comes_before = theirs > mine || (theirs == mine && other.value < row.value);
  const Stmt body = over(
      {row, other},
      {store({row}, {}, length, row.value,
             substitute(steps, {launch.grid[0].var}, {first + row.value})),
       store({row}, {}, rank, row.value, number32(0)),
       store({row, other}, {}, rank, row.value, select(comes_before, number32(1), number32(0)),
             Combiner::Sum),
       store({row}, {}, order, first + wide(at(rank, row.value)), cast(int32, first + row.value))});
  return ir::make<ir::Launch>(launch.name + ".order",
                              std::vector<ir::GridAxis>{{window.var, ceil_div(rows, kWindow)}},
                              kThreads, with_tiles({{length, kWindow}, {rank, kWindow}}, body));
}

}  // namespace

OrderedRows longest_first(const ir::Launch &launch) {
  if (launch.grid.empty() || launch.cluster.var) return {};
  const Expr steps = Steps().of(launch.body);
  if (!steps.defined() || !is_of_row(steps, launch)) return {};
  const ir::GridAxis &rows = launch.grid[0];
  OrderedRows ordered;
  ordered.rows = max(cast(int64, rows.extent), number(0));
  ordered.order = ir::make_storage(launch.name + ".order", int32, 1, Space::Heap);
  ordered.kernel = ranking(launch, ordered.rows, steps, ordered.order);
  std::vector<ir::GridAxis> grid = launch.grid;
  const VarPtr place = ir::make_loop_variable("place"),
               row = ir::make_let_variable(rows.var->name, int64);
  grid[0].var = place;
  const Stmt body = clone(launch.body, {rows.var}, {make_variable(row)});
  ordered.launch =
      ir::make<ir::Launch>(launch.name, std::move(grid), launch.threads,
                           let(row, wide(at(ordered.order, make_variable(place))), body));
  return ordered;
}

}  // namespace pit::lower
