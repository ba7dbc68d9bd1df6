#include "distribute.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "clone.h"
#include "codegen/ir/mutator.h"
#include "dependence.h"
#include "slice.h"

namespace pit::lower {
namespace {

using ir::Stmt;

/// What is between a kernel's begin and its points: lets, axes and conditions, outermost first.
struct Around {
  std::vector<Stmt> list;
  Stmt inside;
};

Around around_points(const ir::Launch &launch) {
  Around found{{}, launch.body};
  while (found.inside.defined()) {
    const Stmt s = found.inside;
    if (const auto *let = s.as<ir::Let>()) {
      found.inside = let->body;
    } else if (const auto *axes = s.as<ir::Axes>()) {
      found.inside = axes->body;
    } else if (const auto *branch = s.as<ir::If>(); branch && !branch->else_body.defined()) {
      found.inside = branch->then_body;
    } else {
      break;
    }
    found.list.push_back(s);
  }
  return found;
}

Stmt with_body(const Stmt &s, const Stmt &body) {
  if (const auto *let = s.as<ir::Let>()) return ir::make<ir::Let>(let->var, let->value, body);
  if (const auto *axes = s.as<ir::Axes>()) return ir::make<ir::Axes>(axes->axes, body);
  return ir::make<ir::If>(s.as<ir::If>()->condition, body);
}

/// Points outside of the grid neither load nor store what depends on `on`.
class InsideOnly final : public ir::Mutator {
 public:
  InsideOnly(Dependence depends, Expr inside)
      : depends_(std::move(depends)), inside_(std::move(inside)) {}

 protected:
  using Mutator::visit;
  Stmt visit(const ir::Store &node, const Stmt &self) override {
    bool memory = node.storage->space != Space::Tile;
    for_each_read(self,
                  [&](const StoragePtr &read) { memory = memory || read->space != Space::Tile; });
    if (!memory || !depends_(node)) return self;
    std::vector<Expr> guards{inside_};
    guards.insert(guards.end(), node.guards.begin(), node.guards.end());
    return ir::make<ir::Store>(node.axes, std::move(guards), node.storage, node.indices,
                               node.combiner, node.value, node.atomic, node.vector_bytes);
  }

 private:
  Dependence depends_;
  Expr inside_;
};

/// What is left of parallel loops around products is one block's.
class Serial final : public ir::Mutator {
 protected:
  using Mutator::visit;
  Stmt visit(const ir::For &loop, const Stmt &self) override {
    const Stmt body = mutate(loop.body);
    const bool parallel =
        loop.loop_kind == ir::ForKind::Parallel || loop.loop_kind == ir::ForKind::GpuBlock;
    const auto kind =
        parallel && mentions_product(loop.body) ? ir::ForKind::Serial : loop.loop_kind;
    if (kind == loop.loop_kind && body.same_as(loop.body)) return self;
    return ir::make<ir::For>(loop.var, loop.min, loop.extent, kind, body);
  }

 private:
  static bool mentions_product(const Stmt &s) {
    bool found = false;
    ir::walk_statements(s, [&](const Stmt &part) {
      found = found || part.as<ir::Mma>();
      return !found;
    });
    return found;
  }
};

/// Rows become pairs (or more) of neighbours, of which each block of a cluster makes one.
Stmt make_clusters(const ir::Launch &launch, int blocks) {
  const ir::For *loop = parallel_loop(launch);
  const VarPtr row = loop ? loop->var : launch.grid[0].var;
  const Expr rows = cast(int64, loop ? loop->extent : launch.grid[0].extent);
  const Expr first = loop ? cast(int64, loop->min) : make_int(int64, 0);
  const VarPtr rank = ir::make_loop_variable("rank"),
               cluster = ir::make_loop_variable(row->name + ".cluster"),
               point = ir::make_let_variable(row->name, int64);
  const Stmt points = loop ? loop->body : launch.body;
  const Expr number = make_variable(cluster) * blocks + make_variable(rank);
  InsideOnly inside(Dependence(points, row), make_variable(row) < first + rows);
  const Stmt own = ir::make<ir::Let>(point, loop && !is_zero(loop->min) ? first + number : number,
                                     clone(inside(points), {row}, {make_variable(point)}));
  const Expr clusters = (rows + (blocks - 1)) / blocks;
  const ir::GridAxis ranks{rank, make_int(int64, blocks)};
  if (loop) {
    const Stmt body =
        with_loop(launch.body, loop,
                  ir::make<ir::For>(cluster, make_int(int64, 0), clusters, loop->loop_kind, own));
    return ir::make<ir::Launch>(launch.name, launch.grid, launch.threads, body, ranks);
  }
  std::vector<ir::GridAxis> grid = launch.grid;
  grid[0] = {cluster, clusters};
  return ir::make<ir::Launch>(launch.name, std::move(grid), launch.threads, own, ranks);
}

/// Numbers of points are 32-bit: dividing them takes many times less than dividing 64-bit numbers,
/// and a point is a tile of the result at least.
const Type kNumber = uint32;

/// Makes the body of a persistent kernel.
class Persistent {
 public:
  Persistent(const ir::Launch &launch, const PipelineOptions &options)
      : launch_(launch), options_(options), loop_(parallel_loop(launch)) {}

  Stmt run() {
    const bool resident = options_.persistent_blocks <= 0;
    const VarPtr blocks = resident ? ir::make_loop_variable("blocks") : nullptr;
    const Expr count =
        resident ? make_variable(blocks) : make_int(int64, options_.persistent_blocks);
    blocks_ = cast(kNumber, count);
    divide_grid();
    Stmt body = points();
    const VarPtr block = ir::make_loop_variable("block");
    body = clone(body, {block_}, {make_variable(block)});
    return ir::make<ir::Launch>(launch_.name, std::vector<ir::GridAxis>{{block, count}},
                                launch_.threads, body, launch_.cluster, blocks);
  }

 private:
  const ir::Launch &launch_;
  const PipelineOptions &options_;
  const ir::For *const loop_;
  const VarPtr block_ = ir::make_loop_variable("block");
  Expr blocks_;
  std::vector<ir::GridAxis> outer_, inner_;

  /// The number of rows depends on the outer dimensions.
  void divide_grid() {
    const Around around = around_points(launch_);
    for (const ir::GridAxis &axis : launch_.grid) {
      bool depends = false;
      if (loop_) {
        const Dependence on(launch_.body, axis.var);
        depends = on(loop_->min) || on(loop_->extent);
        for (const Stmt &s : around.list) {
          if (const auto *branch = s.as<ir::If>()) depends = depends || on(branch->condition);
        }
      }
      (depends ? outer_ : inner_).push_back(axis);
    }
  }

  static Expr number(const Expr &e) { return cast(kNumber, e); }
  static Expr constant(std::int64_t n) { return cast(kNumber, make_int(int64, n)); }

  Stmt points() {
    Around around;
    if (loop_)
      around = around_points(launch_);
    else
      around.inside = launch_.body;
    // What depends on the inner dimensions comes inside of the point.
    std::vector<Stmt> before, behind;
    for (const Stmt &s : around.list) {
      const bool late = std::any_of(inner_.begin(), inner_.end(), [&](const ir::GridAxis &axis) {
        const Dependence on(launch_.body, axis.var);
        bool depends = false;
        if (const auto *let = s.as<ir::Let>()) depends = on(let->value);
        if (const auto *axes = s.as<ir::Axes>()) {
          for (const ir::AxisBinding &each : axes->axes) depends = depends || on(each.extent);
        }
        return depends;
      });
      (late ? behind : before).push_back(s);
    }
    Stmt body = loop_ ? loop_->body : launch_.body;
    for (auto it = behind.rbegin(); it != behind.rend(); ++it) body = with_body(*it, body);
    // Where the blocks together stopped: the number of points so far, modulo the blocks.
    const StoragePtr done = ir::make_storage("points.done", kNumber, 0, Space::Tile);
    const auto set = [&](const Expr &value) {
      return ir::make<ir::Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, done,
                                 std::vector<Expr>{}, Combiner::Assign, value);
    };
    const Expr so_far = make_load(done, {});
    const VarPtr total = ir::make_let_variable("points", kNumber);
    body = turns(body, total, outer_.empty() ? Expr() : so_far);
    if (!outer_.empty()) {
      body = ir::make_block({body, set((so_far + make_variable(total)) % blocks_)});
    }
    body = ir::make<ir::Let>(total, total_points(), body);
    if (outer_.size() == 1) {
      body = loading_ahead(outer_.front(), before, body);
    } else {
      for (auto it = before.rbegin(); it != before.rend(); ++it) body = with_body(*it, body);
      if (outer_.empty()) return body;
      for (auto it = outer_.rbegin(); it != outer_.rend(); ++it)
        body =
            ir::make<ir::For>(it->var, make_int(int64, 0), it->extent, ir::ForKind::Serial, body);
    }
    return ir::make<ir::Allocate>(done, std::vector<Expr>{},
                                  ir::make_block({set(constant(0)), body}));
  }

  /// for axis: around: body, where what `around` reads from memory for an iteration is read in the
  /// one before: most blocks have few points of each.
  static Stmt loading_ahead(const ir::GridAxis &axis, const std::vector<Stmt> &around,
                            const Stmt &body) {
    std::vector<StoragePtr> next;
    std::vector<Stmt> loads, now;
    for (const Stmt &s : around) {
      const auto *let = s.as<ir::Let>();
      bool reads = false;
      if (let != nullptr)
        walk(let->value, [&](const Expr &e) { return !(reads = reads || e.as<Load>()); });
      if (reads) {
        next.push_back(
            ir::make_storage(let->var->name + ".next", let->value.type(), 0, Space::Tile));
        loads.push_back(ir::make<ir::Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, next.back(),
                                            std::vector<Expr>{}, Combiner::Assign,
                                            make_variable(let->var)));
        now.push_back(ir::make<ir::Let>(let->var, make_load(next.back(), {}), body));
      } else {
        now.push_back(s);
      }
    }
    const auto load = [&](const Expr &at) {
      Stmt s = ir::make_block(loads);
      for (auto it = around.rbegin(); it != around.rend(); ++it) {
        if (it->as<ir::Let>()) s = with_body(*it, s);
      }
      return clone(s, {axis.var}, {at});
    };
    const Expr extent = cast(int64, axis.extent), one = make_int(int64, 1);
    Stmt inside = body;
    if (!next.empty())
      inside = ir::make_block({load(min(make_variable(axis.var) + one, extent - one)), body});
    for (auto it = now.rbegin(); it != now.rend(); ++it) inside = with_body(*it, inside);
    Stmt s =
        ir::make<ir::For>(axis.var, make_int(int64, 0), axis.extent, ir::ForKind::Serial, inside);
    if (next.empty()) return s;
    const Expr first = make_int(int64, 0);
    s = ir::make_block({ir::make<ir::If>(first < extent, load(first)), s});
    for (const StoragePtr &tile : next) s = ir::make<ir::Allocate>(tile, std::vector<Expr>{}, s);
    return s;
  }

  Expr rows() const {
    const Expr count = loop_ ? loop_->extent : inner_.front().extent;
    return number(max(cast(int64, count), make_int(int64, 0)));
  }
  /// The dimensions of a point besides its row.
  std::vector<ir::GridAxis> columns() const {
    std::vector<ir::GridAxis> list = inner_;
    if (!loop_) list.erase(list.begin());
    return list;
  }
  Expr total_columns() const {
    Expr count = constant(1);
    bool first = true;
    for (const ir::GridAxis &axis : columns()) {
      const Expr extent = number(max(cast(int64, axis.extent), make_int(int64, 0)));
      count = std::exchange(first, false) ? extent : count * extent;
    }
    return count;
  }
  Expr total_points() const { return columns().empty() ? rows() : rows() * total_columns(); }

  /// This block's points, of `total`. Dividing the number of a point takes as long as a step of a
  /// product: it is done while the point before is worked on.
  Stmt turns(const Stmt &body, const VarPtr &total, const Expr &so_far) const {
    const VarPtr turn = ir::make_loop_variable("turn"),
                 start = ir::make_let_variable("start", kNumber);
    const Expr block = number(make_variable(block_)), begin = make_variable(start),
               all = make_variable(total), whole = all / blocks_;
    const Expr first = so_far.defined() ? (block + blocks_ - so_far) % blocks_ : block;
    // Blocks may take their places in every other turn from the last to the first.
    const bool to_and_fro = options_.back_and_forth && !so_far.defined();
    const auto place_in = [&](const Expr &t) {
      return to_and_fro
                 ? select(t % constant(2) == constant(0), begin, blocks_ - constant(1) - begin)
                 : begin;
    };
    const Expr turns = to_and_fro
                           ? cast(int64, whole) + select(place_in(whole) < all - whole * blocks_,
                                                         make_int(int64, 1), make_int(int64, 0))
                           : cast(int64, (all + (blocks_ - constant(1)) - begin) / blocks_);
    Decoded point;
    const Stmt first_point = decode(begin, &point);
    const Expr following = number(make_variable(turn) + make_int(int64, 1)),
               next = following * blocks_ + place_in(following);
    std::vector<VarPtr> from, now;
    std::vector<Expr> to;
    for (const auto &[var, tile] : point.coordinates) {
      now.push_back(ir::make_let_variable(var->name, int64));
      from.push_back(var);
      to.push_back(make_variable(now.back()));
    }
    Stmt s = ir::make_block({clone(body, from, to), decode(next, &point)});
    for (std::size_t i = 0; i < now.size(); ++i) {
      Expr value = cast(int64, make_load(point.coordinates[i].second, {}));
      if (loop_ && from[i] == loop_->var && !is_zero(loop_->min))
        value = cast(int64, loop_->min) + value;
      s = ir::make<ir::Let>(now[i], value, s);
    }
    s = ir::make<ir::For>(turn, make_int(int64, 0), turns, ir::ForKind::Serial, s);
    s = ir::make_block({ir::make<ir::If>(begin < all, first_point), s});
    for (auto tile = point.tiles.rbegin(); tile != point.tiles.rend(); ++tile) {
      s = ir::make<ir::Allocate>(*tile, std::vector<Expr>{}, s);
    }
    return ir::make<ir::Let>(start, first, s);
  }

  /// The numbers of a point, and which of them are coordinates.
  struct Decoded {
    std::vector<StoragePtr> tiles;
    std::vector<std::pair<VarPtr, StoragePtr>> coordinates;
  };

  /// Stores the row and the columns that number `at` of a point stands for in tiles, which it makes
  /// when `point` has none. So many rows are gone through together for each column: what blocks at
  /// work at a time load stays in the cache.
  Stmt decode(const Expr &at, Decoded *point) const {
    const bool make = point->tiles.empty();
    std::vector<Stmt> stores;
    const auto set = [&](const std::string &name, const Expr &value) {
      if (make) point->tiles.push_back(ir::make_storage(name, kNumber, 0, Space::Tile));
      const StoragePtr &tile = point->tiles[stores.size()];
      stores.push_back(ir::make<ir::Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, tile,
                                           std::vector<Expr>{}, Combiner::Assign, value));
      return make_load(tile, {});
    };
    const std::int64_t together =
        options_.tile_rows <= 0 ? 0 : std::max(1, options_.tile_rows / options_.cluster);
    const Expr number_of_point = set("point", at);
    Expr row, column;
    if (columns().empty()) {
      row = number_of_point;
    } else if (together == 1) {
      const Expr width = total_columns();
      row = set("point.row", number_of_point / width);
      column = set("point.column", number_of_point - row * width);
    } else if (together == 0) {
      const Expr height = rows();
      column = set("point.column", number_of_point / height);
      row = set("point.row", number_of_point - column * height);
    } else {
      const Expr size = total_columns() * constant(together);
      const Expr strip = set("strip", number_of_point / size);
      const Expr height =
          set("strip.rows", min(rows() - strip * constant(together), constant(together)));
      const Expr within = set("strip.point", number_of_point - strip * size);
      column = set("point.column", within / height);
      row = set("point.row", strip * constant(together) + (within - column * height));
    }
    const auto becomes = [&](const VarPtr &var, const Expr &value) {
      set(var->name + ".next", value);
      if (make) point->coordinates.emplace_back(var, point->tiles.back());
    };
    const std::vector<ir::GridAxis> rest = columns();
    for (std::size_t d = rest.size(); d-- > 0;) {
      const Expr extent = number(cast(int64, rest[d].extent));
      becomes(rest[d].var, d == 0 ? column : column % extent);
      if (d > 0) column = set("point.column", column / extent);
    }
    becomes(loop_ ? loop_->var : inner_.front().var, row);
    return ir::make_block(std::move(stores));
  }
};

}  // namespace

const ir::For *parallel_loop(const ir::Launch &launch) {
  const auto *loop = around_points(launch).inside.as<ir::For>();
  const bool parallel = loop && (loop->loop_kind == ir::ForKind::Parallel ||
                                 loop->loop_kind == ir::ForKind::GpuBlock);
  return parallel ? loop : nullptr;
}

Stmt distribute(const ir::Launch &launch, const PipelineOptions &options) {
  Stmt result = ir::make<ir::Launch>(launch);
  const bool points = !launch.grid.empty() || parallel_loop(launch);
  if (options.cluster > 1 && points)
    result = make_clusters(*result.as<ir::Launch>(), options.cluster);
  // What is counted in memory has no grid.
  if ((options.persistent_blocks != 0 && points) || parallel_loop(launch))
    result = Persistent(*result.as<ir::Launch>(), options).run();
  return Serial()(result);
}

}  // namespace pit::lower
