#include "split_steps.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "clone.h"
#include "codegen/ir/mutator.h"
#include "product_loops.h"
#include "slice.h"

namespace pit::lower {
namespace {

using ir::Stmt;

bool contains(const std::vector<VarPtr> &axes, const VarPtr &axis) {
  return std::ranges::find(axes, axis) != axes.end();
}

/// The loop, the axis of its sums and the tiles that it multiplies.
struct Steps {
  const ir::For *loop = nullptr;
  VarPtr k = nullptr;
  std::int64_t length = 0;  ///< of a step
  std::set<const StorageNode *> operands{};
};

bool made_in(const Stmt &s, const StoragePtr &tile) {
  bool found = false;
  ir::walk_statements(s, [&](const Stmt &part) {
    const auto *allocate = part.as<ir::Allocate>();
    return !(found = found || (allocate && allocate->storage == tile));
  });
  return found;
}

/// What the one loop of products sums over; the loop is null where that is not one whole axis.
Steps find_steps(const Stmt &kernel) {
  const std::vector<const ir::For *> loops = product_loops(kernel);
  if (loops.size() != 1) return {};
  Steps steps{loops.front()};
  bool good = true;
  ir::walk_statements(steps.loop->body, [&](const Stmt &s) {
    const auto *mma = s.as<ir::Mma>();
    if (mma == nullptr) return true;
    // Sums that the step makes itself are whole behind it.
    good = good && !made_in(steps.loop->body, mma->accumulator.tile);
    good = good && mma->k.size() == 1 && (steps.k == nullptr || steps.k == mma->k[0]);
    if (good) steps.k = mma->k[0];
    steps.operands.insert({mma->a.tile.get(), mma->b.tile.get()});
    return true;
  });
  ir::walk_statements(steps.loop->body, [&](const Stmt &s) {
    const auto *axes = s.as<ir::Axes>();
    for (const ir::AxisBinding &axis : axes ? axes->axes : std::vector<ir::AxisBinding>{}) {
      std::int64_t n = 0;
      if (axis.var == steps.k && is_const_int(axis.extent, &n) && n == axis.maximum)
        steps.length = n;
    }
    return true;
  });
  return good && steps.length > 0 ? steps : Steps{};
}

/// Only loads of operands and products go over the axis, and only products read the operands.
bool only_products_use(const Steps &steps) {
  bool good = true;
  ir::walk_statements(steps.loop->body, [&](const Stmt &s) {
    const auto *store = s.as<ir::Store>();
    const bool load = store && steps.operands.count(store->storage.get()) != 0;
    if (load) {
      good = good && contains(store->axes, steps.k) && store->combiner == Combiner::Assign;
      for (const Expr &index : store->indices)
        good = good && (index.as<Variable>() || !uses(index, steps.k));
      return true;
    }
    if (store) good = good && !contains(store->axes, steps.k);
    ir::walk_expressions(s, [&](const Expr &e) {
      good = good && !uses(e, steps.k);
      walk(e, [&](const Expr &part) {
        const auto *read = part.as<Load>();
        good = good && !(read && steps.operands.count(read->storage.get()) != 0);
        return good;
      });
    });
    return true;
  });
  return good;
}

/// The body of the loop in parts: element k of a part is element first + k of the step.
class InParts final : public ir::Mutator {
 public:
  InParts(const Steps &steps, std::int64_t length, Expr first)
      : steps_(steps), length_(length), first_(std::move(first)) {
    ir::walk_statements(steps.loop->body, [&](const Stmt &s) {
      const auto *store = s.as<ir::Store>();
      if (store && steps.operands.count(store->storage.get()) != 0) loads_.push_back(store);
      return true;
    });
  }

 protected:
  using Mutator::visit;
  Stmt visit(const ir::Axes &node, const Stmt &) override {
    std::vector<ir::AxisBinding> axes = node.axes;
    for (ir::AxisBinding &axis : axes) {
      if (axis.var == steps_.k) axis = {axis.var, make_int(int64, length_), length_};
    }
    return ir::make<ir::Axes>(std::move(axes), mutate(node.body));
  }
  Stmt visit(const ir::Allocate &node, const Stmt &) override {
    std::vector<Expr> extents = node.extents;
    for (const ir::Store *load : loads_) {
      if (load->storage != node.storage) continue;
      for (std::size_t d = 0; d < extents.size(); ++d) {
        if (uses(load->indices[d], steps_.k)) extents[d] = make_int(int64, length_);
      }
    }
    return ir::make<ir::Allocate>(node.storage, std::move(extents), mutate(node.body),
                                  node.placement);
  }
  Stmt visit(const ir::Store &node, const Stmt &self) override {
    if (std::ranges::find(loads_, &node) == loads_.end()) return self;
    const auto moved = [&](const Expr &e) {
      return substitute(e, {steps_.k}, {first_ + make_variable(steps_.k)});
    };
    std::vector<Expr> guards;
    for (const Expr &guard : node.guards) guards.push_back(moved(guard));
    return ir::make<ir::Store>(node.axes, std::move(guards), node.storage, node.indices,
                               node.combiner, moved(node.value), node.atomic, node.vector_bytes);
  }

 private:
  const Steps &steps_;
  std::int64_t length_;
  Expr first_;
  std::vector<const ir::Store *> loads_;
};

}  // namespace

Stmt split_steps(const Stmt &kernel, int parts) {
  // Lines of swizzled tiles, in elements of two bytes.
  constexpr std::int64_t kLine = 64;
  const Steps steps = find_steps(kernel);
  if (steps.loop == nullptr || steps.length % (parts * kLine) != 0 || !only_products_use(steps))
    return {};
  const ir::For &loop = *steps.loop;
  const std::int64_t length = steps.length / parts;
  const Expr count = make_int(int64, parts);
  const VarPtr part = ir::make_loop_variable(loop.var->name + ".part"),
               step = ir::make_let_variable(loop.var->name, int64);
  const Expr at = make_variable(part), first = at % count * make_int(int64, length);
  const Stmt body =
      clone(InParts(steps, length, first)(loop.body), {loop.var}, {make_variable(step)});
  const Expr number = is_zero(loop.min) ? at / count : loop.min + at / count;
  return with_loop(kernel, &loop,
                   ir::make<ir::For>(part, make_int(int64, 0),
                                     max(cast(int64, loop.extent), make_int(int64, 0)) * count,
                                     loop.loop_kind, ir::make<ir::Let>(step, number, body)));
}

}  // namespace pit::lower
