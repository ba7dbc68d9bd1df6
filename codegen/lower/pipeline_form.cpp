#include "pipeline_form.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <optional>
#include <set>
#include <utility>

#include "box_loads.h"
#include "codegen/ir/mutator.h"
#include "dependence.h"
#include "fragment_uses.h"
#include "linear.h"
#include "product_loops.h"
#include "run_length.h"
#include "slice.h"
#include "under_guards.h"

namespace pit::lower {
namespace {

using ir::Coordinates;
using ir::Layout;
using ir::Stmt;

constexpr int kLanes = 32, kWarpsOfGroup = 4;
/// Bytes that are copied together.
constexpr std::int64_t kLine = 16;

/// Leaves the recognition.
struct NotOfTheForm {
  std::string reason;
};
[[noreturn]] void refuse(std::string reason) { throw NotOfTheForm{std::move(reason)}; }
void require(bool condition, const std::string &reason) {
  if (!condition) refuse(reason);
}

bool is_zero_constant(const Expr &e) {
  const auto *real = e.as<FloatImm>();
  const auto *integer = e.as<IntImm>();
  return (real && real->value == 0) || (integer && integer->value == 0);
}

class Finder {
 public:
  Finder(const ir::Launch &launch, const PipelineOptions &options, PipelineForm *form)
      : launch_(launch), options_(options), form_(*form) {}

  void find() {
    check_options();
    ir::walk_statements(launch_.body, [&](const Stmt &s) {
      require(s->kind < ir::StmtKind::Barriers, "the kernel is of the staged level already");
      if (const auto *axes = s.as<ir::Axes>()) {
        for (const ir::AxisBinding &axis : axes->axes) form_.axes[axis.var.get()] = axis;
      } else if (const auto *allocate = s.as<ir::Allocate>()) {
        allocations_[allocate->storage.get()] = allocate;
      }
      return true;
    });
    find_loop();
    look_into_loop();
    for (const ir::Mma *product : form_.products) {
      if (computed_in_loop(product->a.tile)) computed_.insert(product->a.tile.get());
    }
    find_row_sums();
    for (const ir::Mma *product : form_.products) {
      for (const auto *role : {&product->m, &product->n, &product->k}) {
        for (const VarPtr &axis : *role) pad(axis);
      }
      require(product->batch.empty(), "a matrix multiplication has batch axes");
      require(product->m.size() == 1 && product->n.size() == 1 && product->k.size() == 1,
              "rows, columns or what is summed over are several loops");
      add_operand(product->a, product->k);
      add_operand(product->b, product->k);
      find_accumulator(*product, find_atom(*product));
    }
    find_fragments();
    if (!specialised()) check_registers();
    check_loads();
    form_.first_ahead = first_is_apart();
    if (launch_.cluster.var) share_operands();
    check_products();
  }

 private:
  const ir::Launch &launch_;
  const PipelineOptions &options_;
  PipelineForm &form_;
  std::map<const StorageNode *, const ir::Allocate *> allocations_;
  std::set<const StorageNode *> in_loop_;  // allocated there
  std::map<const StorageNode *, std::vector<const ir::Store *>> loop_stores_, other_stores_;
  std::set<const ir::StmtNode *> under_conditions_;  // stores in the loop
  std::set<const StorageNode *> computed_;           // left operands that the loop makes of tiles
  bool whole_rows_ = false;                          // each warp has all columns of its rows

  bool specialised() const { return options_.producer_warps > 0; }
  int multiplying_warps() const {
    return specialised() ? options_.consumer_warpgroups * kWarpsOfGroup
                         : static_cast<int>(launch_.threads / kLanes);
  }

  void check_options() const {
    require(options_.stages >= 1, "a pipeline has at least one stage");
    require(options_.cluster == 1 || (options_.bulk && specialised()),
            "a cluster shares bulk copies of producer warps, of which there are none");
    require(!launch_.cluster.var || options_.cluster > 1, "the kernel has clusters");
    if (specialised()) {
      require(options_.consumer_warpgroups >= 1, "no warpgroup multiplies");
      // A warpgroup starts at a multiple of four warps.
      require(options_.producer_warps % kWarpsOfGroup == 0,
              "producers are " + std::to_string(options_.producer_warps) +
                  " warps, and no whole warpgroups of four");
      require((options_.producer_warps + multiplying_warps()) * kLanes <= 1024,
              "producers and consumers are more than the 1024 threads of a block");
    } else {
      require(launch_.threads % kLanes == 0, "the block has no whole warps");
    }
  }

  void find_loop() {
    ir::walk_statements(launch_.body, [&](const Stmt &s) {
      const auto *loop = s.as<ir::For>();
      require(!loop || loop->loop_kind != ir::ForKind::GpuThread || !holds_product(loop->body),
              "each thread multiplies by itself in the loop " + (loop ? loop->var->name : ""));
      return true;
    });
    const std::vector<const ir::For *> loops = product_loops(launch_.body);
    require(!loops.empty(), "no loop holds a matrix multiplication");
    require(loops.size() == 1, "several loops hold matrix multiplications");
    form_.loop = loops.front();
    require(form_.loop->loop_kind == ir::ForKind::Serial,
            "the loop " + form_.loop->var->name + " is not serial");
    int outside = 0;
    ir::walk_statements(launch_.body, [&](const Stmt &s) {
      if (s.get() == form_.loop) return false;
      outside += s.as<ir::Mma>() != nullptr;
      return true;
    });
    require(outside == 0, "a matrix multiplication is outside of the loop");
  }

  void look_into_loop() {
    const std::string name = form_.loop->var->name;
    ir::walk_statements(form_.loop->body, [&](const Stmt &s) {
      if (const auto *allocate = s.as<ir::Allocate>()) {
        in_loop_.insert(allocate->storage.get());
      } else if (const auto *product = s.as<ir::Mma>()) {
        form_.products.push_back(product);
      } else if (const auto *store = s.as<ir::Store>()) {
        require(store->storage->space == Space::Tile,
                "the loop over " + name + " also stores to " + store->storage->name);
        loop_stores_[store->storage.get()].push_back(store);
      } else if (s.as<ir::If>()) {
        require(!holds_product(s),
                "a condition in the loop over " + name + " is around a matrix multiplication");
        ir::walk_statements(s, [&](const Stmt &part) {
          if (part.as<ir::Store>()) under_conditions_.insert(part.get());
          return true;
        });
      } else {
        require(s.as<ir::Block>() || s.as<ir::Axes>() || s.as<ir::Let>(),
                "the loop over " + name + " holds more than loads and matrix multiplications");
      }
      return true;
    });
    ir::walk_statements(launch_.body, [&](const Stmt &s) {
      if (s.get() == form_.loop) return false;
      if (const auto *store = s.as<ir::Store>())
        other_stores_[store->storage.get()].push_back(store);
      return true;
    });
  }

  /// The loop makes the tile of others, element by element.
  bool computed_in_loop(const StoragePtr &tile) const {
    const auto stores = loop_stores_.find(tile.get());
    if (stores == loop_stores_.end() || stores->second.size() != 1) return false;
    bool tiles = false;
    walk(stores->second.front()->value, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      tiles = tiles || (load && load->storage->space == Space::Tile && load->storage->rank == 2);
      return !tiles;
    });
    return tiles;
  }

  /// Where a row's elements meet in one value, its warp has them all; and so has the warp that
  /// multiplies them again.
  void find_row_sums() {
    whole_rows_ = !computed_.empty();
    for (const auto *stores : {&loop_stores_, &other_stores_}) {
      for (const auto &[tile, list] : *stores) {
        for (const ir::Store *store : list) {
          if (tile->space != Space::Tile || tile->rank != 1 || store->axes.size() != 2) continue;
          walk(store->value, [&](const Expr &part) {
            const auto *load = part.as<Load>();
            whole_rows_ = whole_rows_ ||
                          (load && load->storage->space == Space::Tile && load->storage->rank == 2);
            return !whole_rows_;
          });
        }
      }
    }
  }

  void pad(const VarPtr &axis) {
    if (form_.padded.count(axis.get()) != 0) return;
    const ir::AxisBinding &binding = form_.axes.at(axis.get());
    std::int64_t size = binding.maximum;
    if (size == 0) is_const_int(binding.extent, &size);
    require(size > 0, "the axis " + axis->name + " has no bound that is known when compiling");
    form_.padded[axis.get()] = {ir::make_axis_variable(axis->name), make_int(int64, size), size};
  }
  std::int64_t size_of(const VarPtr &axis) const { return form_.padded.at(axis.get()).maximum; }

  /// The constant extents of a tile, which are those of its axes.
  Coordinates extents_of(const ir::TileOperand &operand) const {
    const auto found = allocations_.find(operand.tile.get());
    require(found != allocations_.end(), operand.tile->name + " is not made in the kernel");
    Coordinates extents;
    for (std::size_t d = 0; d < operand.axes.size(); ++d) {
      std::int64_t extent = 0;
      require(
          is_const_int(found->second->extents[d], &extent) && extent == size_of(operand.axes[d]),
          "dimension " + std::to_string(d) + " of " + operand.tile->name +
              " is not as long as the axis " + operand.axes[d]->name);
      extents.push_back(extent);
    }
    return extents;
  }

  const ir::Atom &find_atom(const ir::Mma &product) {
    std::string reason;
    const ir::Atom *atom =
        ir::select_atom(product.accumulator.tile->type, product.a.tile->type, product.b.tile->type,
                        specialised(), product.atom, &reason);
    require(atom != nullptr, reason);
    std::int64_t depth = 1;
    for (const VarPtr &axis : product.k) depth *= size_of(axis);
    require(depth % atom->k == 0, "the steps of k (" + std::to_string(depth) +
                                      ") are no multiple of " + std::to_string(atom->k) +
                                      ", those of the atom " + atom->name);
    // A sum and the element of a 2-byte operand that is made of it are in the same thread.
    require(computed_.count(product.a.tile.get()) == 0 || atom->operand.bytes() == 2,
            "the operand " + product.a.tile->name + " is computed, not loaded, and " + atom->name +
                " does not take it from registers");
    form_.atoms.push_back(atom);
    return *atom;
  }

  /// The layouts that the warps' sums may have, when warps_m x warps_n of them divide the tile.
  /// Vectors of operands that threads multiply run along the rows or columns where these are
  /// contiguous; along k they are of one row or column, and neighbours' are in other banks.
  std::vector<Layout> accumulator_layouts(const ir::Mma &product, const ir::Atom &atom, int warps_m,
                                          int warps_n) const {
    const auto rows = static_cast<int>(product.m.size());
    if (atom.kind != ir::AtomKind::MultiplyAdd)
      return {Layout::fragment(Layout::Kind::Accumulator, rows, warps_m, warps_n,
                               specialised() ? kWarpsOfGroup : 1)};
    constexpr int kVector = 16;
    const auto longest = [&](const ir::TileOperand &operand, const std::vector<VarPtr> &axes) {
      const auto contiguous =
          static_cast<std::size_t>(form_.operand(operand.tile)->placement.layout.dimension);
      const bool along =
          std::find(axes.begin(), axes.end(), operand.axes[contiguous]) != axes.end();
      return along ? kVector / atom.operand.bytes() : 1;
    };
    std::vector<Layout> layouts;
    for (int down = longest(product.a, product.m); down >= 1; down /= 2) {
      for (int across = longest(product.b, product.n); across >= 1; across /= 2)
        layouts.push_back(Layout::blocked(rows, warps_m, warps_n, down, across));
    }
    return layouts;
  }

  /// A thread has sums in registers, and needs others beside them.
  void check_registers() const {
    constexpr std::int64_t kRegisters = 64 * 1024, kMost = 255, kOthers = 80, kBytes = 4;
    std::int64_t sums = 0;
    for (const auto &[tile, placement] : form_.accumulators) {
      std::int64_t bytes = tile->type.bytes();
      for (const Expr &extent : allocations_.at(tile)->extents) {
        std::int64_t n = 0;
        is_const_int(extent, &n);
        bytes *= n;
      }
      sums += bytes / kBytes / launch_.threads;
    }
    const std::int64_t most = std::min(kMost, kRegisters / launch_.threads) - kOthers;
    require(sums <= most, "the sums take " + std::to_string(sums) +
                              " registers of each thread, and there are " + std::to_string(most) +
                              " for them; use smaller tiles or more threads");
  }

  void find_accumulator(const ir::Mma &product, const ir::Atom &atom) {
    const ir::TileOperand &accumulator = product.accumulator;
    const StorageNode *tile = accumulator.tile.get();
    form_.sums_in_step = form_.sums_in_step || in_loop_.count(tile) != 0;
    std::vector<VarPtr> wanted = product.m;
    wanted.insert(wanted.end(), product.n.begin(), product.n.end());
    require(accumulator.axes == wanted && !product.m.empty() && !product.n.empty(),
            "the accumulator " + tile->name + " does not hold rows, then columns");
    const Coordinates extents = extents_of(accumulator);
    std::optional<Layout> best;
    std::int64_t best_shape = 0;
    std::string error;
    const int warps = multiplying_warps(), together = specialised() ? kWarpsOfGroup : 1;
    for (int warps_m = together; warps_m <= warps; warps_m += together) {
      if (warps % warps_m != 0 || (whole_rows_ && warps_m != warps)) continue;
      for (const Layout &layout : accumulator_layouts(product, atom, warps_m, warps / warps_m)) {
        const std::string why = ir::layout_error(layout, extents, tile->type.bytes());
        if (!why.empty()) {
          error = why;
          continue;
        }
        std::int64_t m = 1, n = 1;
        for (std::size_t d = 0; d < extents.size(); ++d)
          (d < product.m.size() ? m : n) *= extents[d];
        // Of a warp's rows and columns its lanes have a fourth and an eighth.
        if (layout.kind == Layout::Kind::Blocked) m *= 2;
        // Warpgroups share the columns' operand; warps and threads want a square part.
        const std::int64_t shape =
            specialised() ? layout.warps_n : std::abs(m / layout.warps_m - n / layout.warps_n);
        if (!best || shape < best_shape) {
          best = layout;
          best_shape = shape;
        }
      }
    }
    require(best.has_value(), "the accumulator " + tile->name + " does not fit " +
                                  std::to_string(warps) + " warps: " + error);
    form_.accumulators[tile] = {ir::Memory::Registers, false, *best};
    bool filled = false;
    ir::walk_statements(launch_.body, [&](const Stmt &s) {
      const auto *store = s.as<ir::Store>();
      if (store && store->storage.get() == tile) {
        require(filled || store->value.as<IntImm>() || store->value.as<FloatImm>(),
                "the accumulator " + tile->name + " does not start from a constant");
        filled = true;
      }
      return true;
    });
    require(filled, "the accumulator " + tile->name + " does not start from a constant");
  }

  void add_operand(const ir::TileOperand &operand, const std::vector<VarPtr> &k) {
    if (form_.operand(operand.tile) != nullptr || computed_.count(operand.tile.get()) != 0) return;
    const std::string name = operand.tile->name;
    PipelinedOperand made;
    made.tile = operand.tile;
    made.standing = in_loop_.count(operand.tile.get()) == 0;
    const auto &places = made.standing ? other_stores_ : loop_stores_;
    const auto stores = places.find(operand.tile.get());
    require(stores != places.end(), "the operand " + name + " is not loaded");
    require(stores->second.size() == 1, "the operand " + name + " is stored more than once");
    require(!made.standing || loop_stores_.count(operand.tile.get()) == 0,
            "the loop carries the operand " + name + " from step to step");
    made.load = stores->second.front();
    require(under_conditions_.count(made.load) == 0,
            "the operand " + name + " is loaded under a condition");
    require(!made.standing || in_scope_at_loop(*made.load),
            "the operand " + name + " is loaded where the loop is not");
    made.extents = extents_of(operand);
    find_load(operand, &made);
    const int contiguous = contiguous_dimension(made);
    const bool lines = contiguous >= 0;
    made.engine = lines && options_.copy_bytes > 0 && guarded_in_lines(made, contiguous)
                      ? ir::CopyEngine::Async
                      : ir::CopyEngine::Threads;
    if (options_.bulk && specialised() && is_box(&made, contiguous))
      made.engine = ir::CopyEngine::Bulk;
    const auto dimension = lines ? contiguous : static_cast<int>(made.extents.size()) - 1;
    const std::int64_t bytes =
        made.extents[static_cast<std::size_t>(dimension)] * operand.tile->type.bytes();
    const int swizzle = bytes % 128 == 0 ? 128 : bytes % 64 == 0 ? 64 : 32;
    made.placement = {ir::Memory::Shared, !made.standing, Layout::swizzled(swizzle, dimension)};
    const std::string error =
        ir::layout_error(made.placement.layout, made.extents, operand.tile->type.bytes());
    require(error.empty(), "the operand " + name + " has no layout in shared memory: " + error);
    const VarPtr &along = operand.axes[static_cast<std::size_t>(dimension)];
    require(!specialised() || operand.tile->type.bytes() <= 2 ||
                std::find(k.begin(), k.end(), along) != k.end(),
            "the operand " + name + " of 4-byte elements is not contiguous along k");
    made.buffers = ir::make_storage(name, operand.tile->type,
                                    operand.tile->rank + (made.standing ? 0 : 1), Space::Tile);
    form_.operands.push_back(std::move(made));
  }

  /// What the load names is known before the loop.
  bool in_scope_at_loop(const ir::Store &load) const {
    std::set<const VarNode *> known;
    const std::function<bool(const Stmt &, std::vector<const VarNode *>)> find =
        [&](const Stmt &s, std::vector<const VarNode *> made) {
          if (s.get() == form_.loop) {
            known.insert(made.begin(), made.end());
            return true;
          }
          if (const auto *let = s.as<ir::Let>()) made.push_back(let->var.get());
          if (const auto *loop = s.as<ir::For>()) made.push_back(loop->var.get());
          if (const auto *axes = s.as<ir::Axes>()) {
            for (const ir::AxisBinding &axis : axes->axes) made.push_back(axis.var.get());
          }
          bool found = false, first = true;
          ir::walk_statements(s, [&](const Stmt &part) {
            if (std::exchange(first, false)) return true;
            found = found || find(part, made);
            return false;
          });
          return found;
        };
    std::vector<const VarNode *> grid;
    for (const auto &axis : launch_.grid) grid.push_back(axis.var.get());
    if (launch_.cluster.var) grid.push_back(launch_.cluster.var.get());
    find(launch_.body, grid);
    std::vector<Expr> named = load.guards;
    named.insert(named.end(), load.indices.begin(), load.indices.end());
    named.push_back(load.value);
    return std::ranges::all_of(named, [&](const Expr &e) {
      return std::ranges::all_of(free_variables(e),
                                 [&](const VarPtr &v) { return known.count(v.get()) != 0; });
    });
  }

  void find_load(const ir::TileOperand &operand, PipelinedOperand *made) const {
    const ir::Store &load = *made->load;
    const std::string name = operand.tile->name;
    require(load.combiner == Combiner::Assign, "the operand " + name + " is reduced in the loop");
    require(load.axes.size() == operand.axes.size(), "the operand " + name + " is loaded in parts");
    for (std::size_t d = 0; d < operand.axes.size(); ++d) {
      const auto *index = load.indices[d].as<Variable>();
      require(index && index->var == operand.axes[d],
              "the operand " + name + " is loaded along other axes than it is multiplied along");
    }
    for (const VarPtr &axis : operand.axes) {
      const ir::AxisBinding &binding = form_.axes.at(axis.get());
      std::int64_t extent = 0;
      if (!is_const_int(binding.extent, &extent) || extent != size_of(axis))
        made->guards.push_back(make_variable(axis) < cast(int64, binding.extent));
    }
    made->guards.insert(made->guards.end(), load.guards.begin(), load.guards.end());
    made->value = load.value;
    while (const auto *choice = made->value.as<Select>()) {
      const bool when_true = is_zero_constant(choice->false_value);
      require(when_true || is_zero_constant(choice->true_value),
              "the operand " + name + " is a choice of two loads");
      made->guards.push_back(when_true ? choice->condition : !choice->condition);
      made->value = when_true ? choice->true_value : choice->false_value;
    }
    made->value = under_guards(made->value, made->guards);
    for (Expr &guard : made->guards) guard = bound_on_axis(guard, operand.axes);
    const auto *element = made->value.as<Load>();
    require(element && element->storage->space != Space::Tile,
            "the operand " + name + " is computed, not loaded");
  }

  /// The dimension of the tile whose elements are beside each other in memory, or -1.
  static int contiguous_dimension(const PipelinedOperand &operand) {
    const auto *element = operand.value.as<Load>();
    if (element->indices.empty()) return -1;
    const auto strides = element->storage->declared_strides;
    if (!strides.empty() && strides.back() != 1 && strides.back() != -1) return -1;
    for (std::size_t d = 0; d < operand.extents.size(); ++d) {
      const VarPtr &axis = operand.axis(d);
      bool elsewhere = false;
      for (std::size_t i = 0; i + 1 < element->indices.size(); ++i)
        elsewhere |= uses(element->indices[i], axis);
      bool alone = true;
      for (const VarPtr &other : operand.load->axes)
        alone &= other == axis || !uses(element->indices.back(), other);
      const std::int64_t run = run_length(element->indices.back(), axis);
      const bool in_lines = run == kEndlessRun || run * element->type.bytes() % kLine == 0;
      if (!elsewhere && alone && run > 0 && in_lines) return static_cast<int>(d);
    }
    return -1;
  }

  /// Every guard holds for all of a line of the contiguous dimension, or for its beginning.
  static bool guarded_in_lines(const PipelinedOperand &operand, int contiguous) {
    const VarPtr &along = operand.axis(static_cast<std::size_t>(contiguous));
    const std::int64_t run = run_length(operand.value.as<Load>()->indices.back(), along);
    return std::all_of(operand.guards.begin(), operand.guards.end(), [&](const Expr &guard) {
      if (!uses(guard, along)) return true;
      const auto *less = guard.as<Binary>();
      if (less == nullptr || less->op != BinaryOp::Lt || uses(less->b, along)) return false;
      const auto *variable = less->a.as<Variable>();
      return (variable && variable->var == along) || run_length(less->a, along) == run;
    });
  }

  /// The tiles whose elements their holders compute of those of accumulators: a matrix for each
  /// element of one, or a value for each row.
  void find_fragments() {
    bool more = true;
    while (std::exchange(more, false)) {
      for (const auto *stores : {&loop_stores_, &other_stores_}) {
        for (const auto &[tile, list] : *stores) {
          if (tile->space != Space::Tile || is_placed(tile)) continue;
          for (const ir::Store *store : list) {
            if (const Layout *layout = layout_read(*store); layout && !is_placed(tile))
              more = place_fragment(*store, *layout) || more;
          }
        }
      }
    }
    for (const StorageNode *tile : computed_) {
      require(form_.fragments.count(tile) != 0,
              "the operand " + tile->name + " is computed of what is not in registers");
    }
  }
  bool is_placed(const StorageNode *tile) const {
    return form_.accumulators.count(tile) != 0 || form_.fragments.count(tile) != 0;
  }
  /// Of the first fragment that the store reads.
  const Layout *layout_read(const ir::Store &store) const {
    const Layout *layout = nullptr;
    walk(store.value, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      if (layout || load == nullptr) return layout == nullptr;
      for (const auto *placed : {&form_.accumulators, &form_.fragments}) {
        const auto found = placed->find(load->storage.get());
        if (found != placed->end()) layout = &found->second.layout;
      }
      return layout == nullptr;
    });
    return layout;
  }
  bool place_fragment(const ir::Store &store, const Layout &like) {
    if (like.kind == Layout::Kind::Blocked) return false;
    const auto found = allocations_.find(store.storage.get());
    if (found == allocations_.end()) return false;
    Coordinates extents;
    for (const Expr &extent : found->second->extents) {
      std::int64_t n = 0;
      if (!is_const_int(extent, &n)) return false;
      extents.push_back(n);
    }
    Layout layout = like;
    layout.dimension = 1;
    if (store.storage->rank == 1)
      layout.kind = Layout::Kind::Rows;
    else if (computed_.count(store.storage.get()) != 0)
      layout.kind = Layout::Kind::OperandA;
    else
      layout.kind = Layout::Kind::Accumulator;
    const bool of_columns = store.storage->rank == 2 && like.kind == Layout::Kind::Rows;
    if (of_columns || !ir::layout_error(layout, extents, store.storage->type.bytes()).empty())
      return false;
    form_.fragments[store.storage.get()] = {ir::Memory::Registers, false, layout};
    return true;
  }

  /// The loop makes and fills the first product's sums, which are its own.
  bool first_is_apart() const {
    const ir::Mma &first = *form_.products.front();
    const StorageNode *sums = first.accumulator.tile.get();
    const auto shared = std::ranges::count_if(form_.products, [&](const ir::Mma *product) {
      return product->accumulator.tile.get() == sums;
    });
    if (!form_.sums_in_step || form_.products.size() < 2 || shared > 1 ||
        in_loop_.count(sums) == 0 || computed_.count(first.a.tile.get()) != 0)
      return false;
    const auto fills = std::ranges::count_if(
        loop_stores_.at(sums), [](const ir::Store *store) { return is_fill(*store); });
    return fills == 1 && !read_behind_products(sums);
  }
  /// Something reads the tile behind the last product of a step.
  bool read_behind_products(const StorageNode *tile) const {
    bool behind = false, reads = false;
    ir::walk_statements(form_.loop->body, [&](const Stmt &s) {
      if (behind) {
        for_each_read(s, [&](const StoragePtr &read) { reads = reads || read.get() == tile; });
        const auto *store = s.as<ir::Store>();
        reads = reads || (store && store->storage.get() == tile);
      }
      behind = behind || s.get() == form_.products.back();
      return true;
    });
    return reads;
  }

  /// Everything else that the loop stores, and that nothing that is loaded is stored.
  void check_loads() {
    std::set<const StorageNode *> stored;
    ir::walk_statements(launch_.body, [&](const Stmt &s) {
      const auto *store = s.as<ir::Store>();
      if (store && store->storage->space != Space::Tile) stored.insert(store->storage.get());
      if (store && in_loop(*store) && form_.operand(store->storage) == nullptr) {
        if (form_.in_registers(store->storage)) {
          form_.sums_in_step = true;
          return true;
        }
        require(in_loop_.count(store->storage.get()) != 0,
                "the loop carries the tile " + store->storage->name + " from step to step");
        form_.index_loads.push_back(store);
      }
      return true;
    });
    for (const PipelinedOperand &operand : form_.operands) {
      const StoragePtr &source = operand.value.as<Load>()->storage;
      require(stored.count(source.get()) == 0,
              "the kernel stores to " + source->name + ", which it loads");
    }
    for (const auto &[tile, allocate] : allocations_) {
      for (const Expr &extent : allocate->extents) {
        std::int64_t n = 0;
        require(is_const_int(extent, &n),
                "the tile " + tile->name + " has extents that are not known when compiling");
      }
    }
  }

  /// Blocks of a cluster take the same steps; operands that are the same in all are shared.
  void share_operands() {
    const Dependence differs(launch_.body, launch_.cluster.var);
    ir::walk_statements(launch_.body, [&](const Stmt &s) {
      // A block that starts behind another's report would leave that one alone.
      require(!s.as<ir::Check>(), "the kernel checks data, and blocks of a cluster cannot");
      if (const auto *loop = s.as<ir::For>()) {
        require(!holds_product(loop->body) || !(differs(loop->min) || differs(loop->extent)),
                "the loop " + loop->var->name + " takes other steps in each block of a cluster");
      } else if (const auto *branch = s.as<ir::If>()) {
        require(!holds_product(s) || !differs(branch->condition),
                "a condition differs between the blocks of a cluster");
      } else if (const auto *let = s.as<ir::Let>(); let && differs(let->value)) {
        // The point may lie outside of the grid.
        bool reads = false;
        walk(let->value, [&](const Expr &e) { return !(reads = reads || e.as<Load>()); });
        require(!reads, "the value of " + let->var->name +
                            " is read from memory for each block of a cluster");
      }
      return true;
    });
    bool any = false;
    for (PipelinedOperand &operand : form_.operands) {
      if (operand.engine == ir::CopyEngine::Bulk && !operand.standing && !differs(*operand.load))
        any |= share(&operand);
    }
    require(any, "no operand is the same in the blocks of a cluster");
  }
  /// Divides the copies of an operand among the blocks, in whole repetitions of the swizzle.
  bool share(PipelinedOperand *operand) const {
    constexpr int kRowsOfSwizzle = 8;
    for (std::size_t d = 0; d < operand->extents.size(); ++d) {
      const std::int64_t extent = operand->extents[d];
      if (static_cast<int>(d) == operand->placement.layout.dimension ||
          extent % (kRowsOfSwizzle * options_.cluster) != 0)
        continue;
      const std::int64_t size = extent / options_.cluster;
      operand->shared_dimension = static_cast<int>(d);
      operand->part = {ir::make_axis_variable(operand->axis(d)->name + ".part"),
                       make_int(int64, size), size};
      return true;
    }
    return false;
  }

  /// The unit multiplies these, the threads have registers for the sums, and those who hold them do
  /// all else with them.
  void check_products() {
    const MatrixUnit *unit = options_.unit;
    FragmentTiles fragments;
    std::int64_t registers = 0;
    for (const auto &[tile, placement] : form_.accumulators) {
      const ir::Allocate &allocate = *allocations_.at(tile);
      FragmentTile &fragment = fragments[tile] = {placement.layout, {}};
      for (const Expr &extent : allocate.extents)
        is_const_int(extent, &fragment.extents.emplace_back());
      registers += ir::elements_per_thread(placement.layout, fragment.extents);
    }
    for (const auto &[tile, placement] : form_.fragments) {
      FragmentTile &fragment = fragments[tile] = {placement.layout, {}};
      for (const Expr &extent : allocations_.at(tile)->extents)
        is_const_int(extent, &fragment.extents.emplace_back());
      // Others are as short-lived as what is computed of them.
      if (placement.layout.kind == Layout::Kind::OperandA)
        registers += ir::elements_per_thread(placement.layout, fragment.extents) / 2;
    }
    if (unit) {
      require(unit->asynchronous == specialised(),
              std::string(unit->name) + (specialised() ? " is not issued by warps of their own"
                                                       : " is issued by warps of their own, with "
                                                         "others that copy"));
      for (const ir::Mma *product : form_.products) check_product(*unit, *product, fragments);
      find_producer_registers(registers);
    }
    const std::string error = fragment_use_error(launch_.body, fragments);
    require(error.empty(), error);
  }

  /// As many as copies are made fast with, or as they can be made with where the sums need more.
  void find_producer_registers(std::int64_t sums) {
    // What addresses, loop counters and the statements behind the loop take at the least.
    constexpr int kOther = 40, kOfBulkCopies = 56;
    const bool bulk = std::ranges::all_of(form_.operands, [](const PipelinedOperand &operand) {
      return operand.engine == ir::CopyEngine::Bulk;
    });
    int has = consumer_registers(options_, form_.producer_registers);
    if (bulk && sums + kOther > has) {
      form_.producer_registers = kOfBulkCopies;
      has = consumer_registers(options_, kOfBulkCopies);
    }
    require(sums + kOther <= has, "a thread holds " + std::to_string(sums) + " sums, and has " +
                                      std::to_string(has) + " registers; make the tile smaller");
  }

  void check_product(const MatrixUnit &unit, const ir::Mma &product,
                     const FragmentTiles &fragments) const {
    const auto what = [](const StoragePtr &tile) {
      return tile->name + " of " + to_string(tile->type);
    };
    require(
        unit.multiplies(product.a.tile->type, product.b.tile->type, product.accumulator.tile->type),
        std::string(unit.name) + " does not multiply " + what(product.a.tile) + " by " +
            what(product.b.tile) + " into " + to_string(product.accumulator.tile->type));
    const auto operand = [&](const ir::TileOperand &tile) {
      const PipelinedOperand &found = *form_.operand(tile.tile);
      return OperandInMemory{found.placement.layout, found.extents,
                             tile.axes[0] == product.k[0] ? 0 : 1};
    };
    const FragmentTile &sums = fragments.at(product.accumulator.tile.get());
    std::optional<OperandInMemory> left;  // else in registers
    if (computed_.count(product.a.tile.get()) == 0) left = operand(product.a);
    const std::string error = cannot_multiply(unit, sums.layout, sums.extents,
                                              left ? &*left : nullptr, operand(product.b));
    require(error.empty(), std::string(unit.name) + " cannot multiply " + product.a.tile->name +
                               " by " + product.b.tile->name + ": " + error);
  }

  bool in_loop(const ir::Store &store) const {
    const auto found = loop_stores_.find(store.storage.get());
    return found != loop_stores_.end() &&
           std::find(found->second.begin(), found->second.end(), &store) != found->second.end();
  }
};

}  // namespace

const PipelinedOperand *PipelineForm::operand(const StoragePtr &tile) const {
  for (const PipelinedOperand &each : operands)
    if (each.tile == tile) return &each;
  return nullptr;
}
const PipelinedOperand *PipelineForm::loaded_by(const Stmt &s) const {
  for (const PipelinedOperand &each : operands)
    if (each.load == s.get()) return &each;
  return nullptr;
}

bool is_fill(const ir::Store &store) {
  return store.combiner == Combiner::Assign &&
         (store.value.as<IntImm>() || store.value.as<FloatImm>());
}

int consumer_registers(const PipelineOptions &options, int producer_registers) {
  constexpr int kRegisters = 64 * 1024, kMost = 240, kStep = 8;
  const int producers = options.producer_warps * kLanes,
            consumers = options.consumer_warpgroups * kWarpsOfGroup * kLanes;
  // A block has no more to share out than its threads start with: who asks for more waits for ever.
  const int threads = producers + consumers, each = kRegisters / threads / kStep * kStep;
  const int left = (each * threads - producer_registers * producers) / consumers;
  return std::min(kMost, left / kStep * kStep);
}

std::string find_pipeline(const ir::Launch &launch, const PipelineOptions &options,
                          PipelineForm *form) {
  try {
    Finder(launch, options, form).find();
  } catch (const NotOfTheForm &error) {
    return error.reason;
  }
  return "";
}

}  // namespace pit::lower
