#include "launches.h"

#include <algorithm>
#include <set>

#include "codegen/ir/mutator.h"

namespace pit::lower {
namespace {

/// Threads of a block. Enough to keep four warp schedulers busy, few enough to leave each thread
/// its registers.
constexpr std::int64_t kThreads = 256;

bool reads_memory(const Expr &e) {
  bool found = false;
  walk(e, [&](const Expr &part) { return !(found = found || part.as<Load>() != nullptr); });
  return found;
}

/// True when the statement and what is in it read and write no memory.
bool touches_no_memory(const ir::Stmt &s) {
  bool touches = false;
  ir::walk_statements(s, [&](const ir::Stmt &part) {
    ir::walk_expressions(part, [&](const Expr &e) { touches = touches || reads_memory(e); });
    touches = touches || part.as<ir::Store>() || part.as<ir::Mma>() || part.as<ir::Prefix>() ||
              part.as<ir::Compact>() || part.as<ir::SumBefore>() || part.as<ir::FetchAdd>() ||
              part.as<ir::Allocate>();
    return !touches;
  });
  return !touches;
}

/// True when there is something in s that the threads of a block can share out.
bool has_work_for_threads(const ir::Stmt &s) {
  bool found = false;
  ir::walk_statements(s, [&](const ir::Stmt &part) {
    if (const auto *loop = part.as<ir::For>())
      found = found || loop->loop_kind == ir::ForKind::GpuThread;
    if (const auto *tile = part.as<ir::Allocate>()) found = found || tile->storage->rank > 0;
    found = found || part.as<ir::Axes>() || part.as<ir::Mma>() || part.as<ir::Prefix>() ||
            part.as<ir::Compact>() || part.as<ir::SumBefore>() || part.as<ir::FetchAdd>();
    return !found;
  });
  return found;
}

bool is_grid(ir::ForKind kind) {
  return kind == ir::ForKind::Parallel || kind == ir::ForKind::GpuBlock;
}

Expr number(std::int64_t n) { return make_int(int64, n); }

class Former {
 public:
  explicit Former(std::string stage) : stage_(std::move(stage)) {}

  ir::Stmt form(const ir::Stmt &s) {
    if (!s.defined() || touches_no_memory(s)) return s;
    if (const auto *block = s.as<ir::Block>()) {
      std::vector<ir::Stmt> parts;
      for (const ir::Stmt &part : block->stmts) parts.push_back(form(part));
      return ir::make_block(std::move(parts));
    }
    if (const auto *let = s.as<ir::Let>(); let && !reads_memory(let->value))
      return ir::make<ir::Let>(let->var, let->value, form(let->body));
    if (const auto *branch = s.as<ir::If>(); branch && !reads_memory(branch->condition)) {
      return ir::make<ir::If>(branch->condition, form(branch->then_body), form(branch->else_body));
    }
    if (const auto *allocate = s.as<ir::Allocate>(); allocate && on_host(*allocate))
      return ir::make<ir::Allocate>(allocate->storage, allocate->extents, form(allocate->body));
    return kernel(s);
  }

 private:
  static bool on_host(const ir::Allocate &allocate) {
    return allocate.storage->space == Space::Heap &&
           std::ranges::none_of(allocate.extents, reads_memory);
  }

  ir::Stmt kernel(ir::Stmt s) {
    std::vector<ir::GridAxis> grid;
    std::vector<std::pair<VarPtr, Expr>> starts;  // of loops that do not start at zero
    while (const auto *loop = (s = with_axes_inside(s)).as<ir::For>()) {
      const auto depends = [&](const Expr &e) {
        return reads_memory(e) || std::ranges::any_of(grid, [&](const ir::GridAxis &axis) {
                 return uses(e, axis.var);
               });
      };
      if (!is_grid(loop->loop_kind) || depends(loop->min) || depends(loop->extent)) break;
      std::int64_t extent = 0;
      if (is_const_int(loop->extent, &extent) && extent == 1) {
        s = rename(loop->body, loop->var, loop->min);
        continue;
      }
      if (is_zero(loop->min)) {
        grid.push_back({loop->var, loop->extent});
      } else {
        const VarPtr counter = ir::make_loop_variable(loop->var->name + ".count");
        grid.push_back({counter, loop->extent});
        starts.emplace_back(loop->var, loop->min);
      }
      s = loop->body;
    }
    for (std::size_t i = starts.size(); i-- > 0;) {
      const auto counter = std::ranges::find_if(grid, [&](const ir::GridAxis &axis) {
        return axis.var->name == starts[i].first->name + ".count";
      });
      const VarPtr moved = ir::make_let_variable(starts[i].first->name, int64);
      s = rename(s, starts[i].first, make_variable(moved));
      s = ir::make<ir::Let>(moved, starts[i].second + make_variable(counter->var), s);
    }
    if (!grid.empty() && !has_work_for_threads(s)) return by_threads(grid, s);
    return ir::make<ir::Launch>(name(), std::move(grid), kThreads, s);
  }

  /// Axes around a loop of the grid are declared inside of it instead.
  static ir::Stmt with_axes_inside(const ir::Stmt &s) {
    const auto *axes = s.as<ir::Axes>();
    if (!axes) return s;
    const ir::Stmt body = with_axes_inside(axes->body);
    const auto *loop = body.as<ir::For>();
    const auto known = [](const ir::AxisBinding &axis) { return !reads_memory(axis.extent); };
    if (!loop || !is_grid(loop->loop_kind) || !std::ranges::all_of(axes->axes, known)) return s;
    return ir::make<ir::For>(loop->var, loop->min, loop->extent, loop->loop_kind,
                             ir::make<ir::Axes>(axes->axes, loop->body));
  }

  /// A thread for each point: blocks of kThreads consecutive ones.
  ir::Stmt by_threads(const std::vector<ir::GridAxis> &grid, ir::Stmt s) {
    Expr points = number(1);
    for (const ir::GridAxis &axis : grid) points = points * max(axis.extent, number(0));
    const VarPtr block = ir::make_loop_variable("block"), thread = ir::make_loop_variable("thread"),
                 point = ir::make_let_variable("point", int64);
    Expr rest = make_variable(point);
    for (std::size_t i = grid.size(); i-- > 0;) {
      const VarPtr var = ir::make_let_variable(grid[i].var->name, int64);
      s = rename(s, grid[i].var, make_variable(var));
      // The outermost let is the last: its value may read no other.
      s = ir::make<ir::Let>(var, i == 0 ? rest : rest % grid[i].extent, s);
      if (i > 0) rest = rest / grid[i].extent;
    }
    const Expr first = make_variable(block) * number(kThreads);
    s = ir::make<ir::Let>(point, first + make_variable(thread), s);
    s = ir::make<ir::For>(thread, number(0), min(number(kThreads), points - first),
                          ir::ForKind::GpuThread, s);
    return ir::make<ir::Launch>(
        name(),
        std::vector<ir::GridAxis>{{block, (points + number(kThreads - 1)) / number(kThreads)}},
        kThreads, s);
  }

  static ir::Stmt rename(const ir::Stmt &s, const VarPtr &from, const Expr &to) {
    struct Renamer final : ir::Mutator {
      std::vector<VarPtr> from;
      std::vector<Expr> to;
      Expr expr(const Expr &e) override { return substitute(e, from, to); }
    };
    Renamer renamer;
    renamer.from = {from};
    renamer.to = {to};
    return renamer(s);
  }

  std::string name() {
    return ++kernels_ == 1 ? stage_ : stage_ + "." + std::to_string(kernels_ - 1);
  }

  const std::string stage_;
  int kernels_ = 0;
};

class Pass final : public ir::Mutator {
  using Mutator::visit;
  ir::Stmt visit(const ir::Stage &node, const ir::Stmt &) override {
    // Stages may have one name; kernels may not.
    std::string name = node.name;
    for (int i = 1; !names_.insert(name).second; ++i) name = node.name + "_" + std::to_string(i);
    return ir::make<ir::Stage>(node.name, node.stage_kind, Former(name).form(node.body));
  }
  std::set<std::string> names_;
};

}  // namespace

ir::Module form_launches(const ir::Module &module) {
  ir::Module result = module;
  result.body = Pass()(module.body);
  return result;
}

}  // namespace pit::lower
