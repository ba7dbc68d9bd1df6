#include "share_loop.h"

#include <utility>
#include <vector>

#include "clone.h"
#include "codegen/ir/mutator.h"

namespace pit::lower {
namespace {

using ir::Stmt;

Expr number(std::int64_t n) { return make_int(int64, n); }

bool is_parallel(const ir::For &loop) {
  return loop.loop_kind == ir::ForKind::Parallel || loop.loop_kind == ir::ForKind::GpuBlock;
}

bool holds_mma(const Stmt &s) {
  bool found = false;
  ir::walk_statements(s, [&](const Stmt &part) {
    found = found || part.as<ir::Mma>();
    return !found;
  });
  return found;
}

class Serial final : public ir::Mutator {
 protected:
  using Mutator::visit;
  Stmt visit(const ir::For &loop, const Stmt &self) override {
    const Stmt body = mutate(loop.body);
    const auto kind =
        is_parallel(loop) && holds_mma(loop.body) ? ir::ForKind::Serial : loop.loop_kind;
    if (kind == loop.loop_kind && body.same_as(loop.body)) return self;
    return ir::make<ir::For>(loop.var, loop.min, loop.extent, kind, body);
  }
};

/// The loop that is shared out, in what only computes around it.
class Sharer {
 public:
  Sharer(VarPtr part, Expr parts) : part_(std::move(part)), parts_(std::move(parts)) {}
  bool found() const { return found_; }

  Stmt operator()(const Stmt &s) {
    if (const auto *let = s.as<ir::Let>())
      return ir::make<ir::Let>(let->var, let->value, (*this)(let->body));
    if (const auto *axes = s.as<ir::Axes>())
      return ir::make<ir::Axes>(axes->axes, (*this)(axes->body));
    if (const auto *branch = s.as<ir::If>(); branch && !branch->else_body.defined())
      return ir::make<ir::If>(branch->condition, (*this)(branch->then_body));
    const auto *loop = s.as<ir::For>();
    if (loop == nullptr || !is_parallel(*loop) || !holds_mma(loop->body)) return s;
    found_ = true;
    const VarPtr turn = ir::make_loop_variable(loop->var->name + ".turn"),
                 at = ir::make_let_variable(loop->var->name, int64);
    const Expr first = make_variable(part_),
               turns = (cast(int64, loop->extent) - first + (parts_ - 1)) / parts_;
    const Stmt body = clone(loop->body, {loop->var}, {make_variable(at)});
    return ir::make<ir::For>(
        turn, number(0), turns, ir::ForKind::Serial,
        ir::make<ir::Let>(at, cast(int64, loop->min) + first + make_variable(turn) * parts_, body));
  }

 private:
  VarPtr part_;
  Expr parts_;
  bool found_ = false;
};

}  // namespace

Stmt share_parallel_loop(const ir::Launch &launch, int blocks) {
  Expr points = number(1);
  for (const ir::GridAxis &axis : launch.grid) points = points * cast(int64, axis.extent);
  const Expr parts = number(blocks) / max(points, number(1)) + 1;
  const VarPtr part = ir::make_loop_variable("part");
  Sharer share(part, parts);
  std::vector<ir::GridAxis> grid = launch.grid;
  Stmt body = share(launch.body);
  if (share.found()) grid.push_back({part, parts});
  return ir::make<ir::Launch>(launch.name, std::move(grid), launch.threads, Serial()(body),
                              launch.cluster);
}

}  // namespace pit::lower
