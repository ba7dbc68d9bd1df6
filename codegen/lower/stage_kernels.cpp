#include "stage_kernels.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "codegen/ir/atoms.h"
#include "codegen/ir/mutator.h"
#include "columns_apart.h"
#include "dsl/error.h"
#include "hoist_loads.h"
#include "join_loops.h"
#include "longest_first.h"
#include "matrix_units.h"
#include "merge_axes.h"
#include "one_step.h"
#include "pipeline.h"
#include "split_steps.h"
#include "tile_positions.h"

namespace pit::lower {
namespace {

using ir::Stmt;

// Where the schedule says nothing: as libraries choose for tiles of these sizes.
constexpr int kStages = 4, kProducerWarps = 4;
constexpr std::int64_t kRowsOfTwoWarpgroups = 128;
// Of kernels whose warps all copy and multiply. A warp's part of a tile is as large as leaves
// registers for what is loaded; few warps have half of that, so that some work while others wait.
constexpr int kStagesOfAll = 3, kLanes = 32, kFewWarps = 4, kMostWarps = 16;
constexpr std::int64_t kSumBytesOfWarp = std::int64_t{4} * 64 * 32;
/// Of a block on devices without asynchronous matrix instructions.
constexpr std::int64_t kSharedBytes = 163 * 1024;

/// The products of a kernel, and what schedules say of them.
struct Products {
  bool any = false;
  std::int64_t rows = 0;            ///< of the largest tile, where that is known
  std::int64_t sum_bytes = 0;       ///< of the tiles of sums, where that is known
  const ir::Atom *named = nullptr;  ///< by the schedule
  std::vector<const SumChoice *> choices;
};

struct Attempt {
  PipelineOptions options;
  PipelineResult result;
  bool done() const { return result.reason.empty(); }
};

/// The kernel in the form that is pipelined, where it can have it.
Stmt rewritten(const Stmt &launch) {
  const Stmt loops = join_loops(merge_axes(tile_positions(launch)));
  return columns_apart(hoist_loads(one_step(loops)));
}

/// With as many stages as there is room for, where not exactly `options.stages` are wanted.
Attempt attempt(const Stmt &launch, PipelineOptions options, bool exactly) {
  PipelineResult result = pipeline(launch, options);
  while (!exactly && result.wanted_bytes > 0 && options.stages > 1) {
    --options.stages;
    result = pipeline(launch, options);
  }
  return {options, result};
}

/// The same; where there is no room for as many stages steps are divided, because what is loaded
/// while few large ones are multiplied comes late.
Attempt attempt_in_parts(const Stmt &launch, const PipelineOptions &options, bool exactly) {
  Attempt best = attempt(launch, options, exactly);
  const auto has_too_few = [&] {
    return best.done() ? best.options.stages < options.stages : best.result.wanted_bytes > 0;
  };
  for (int parts = 2; !exactly && has_too_few(); parts *= 2) {
    const Stmt divided = split_steps(launch, parts);
    if (!divided.defined()) break;
    const Attempt tried = attempt(divided, options, exactly);
    if (best.done() && (!tried.done() || tried.options.stages <= best.options.stages)) break;
    best = tried;
  }
  return best;
}

std::string count(int n, const std::string &what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

class Pass final : public ir::Mutator {
 public:
  Pass(const ProductChoices &choices, const KernelChoices &kernels, const Target &target,
       std::vector<Explanation> *explanation)
      : choices_(choices),
        kernels_(kernels),
        unit_(matrix_unit_of(target)),
        explanation_(explanation) {}

 protected:
  using Mutator::visit;
  Stmt visit(const ir::Launch &launch, const Stmt &self) override {
    Products products = products_of(launch.body);
    if (!products.any) return self;
    const Stmt merged = rewritten(self);
    measure(merged, &products);
    const KernelChoice kernel = kernel_of(launch.body);
    OrderedRows ordered;
    if (kernel.longest_first) ordered = longest_first(*merged.as<ir::Launch>());
    const Attempt chosen = choose(ordered.order ? ordered.launch : merged, products, kernel);
    const PipelineOptions &options = chosen.options;
    if (!chosen.done()) {
      for (const SumChoice *choice : products.choices) {
        if (choice->atom.empty()) continue;
        throw CompileError(choice->definition + ".atom(\"" + choice->atom + "\"): the kernel " +
                               launch.name + " cannot use it: " + chosen.result.reason,
                           choice->where);
      }
      explain(products, launch, "by threads: " + chosen.result.reason);
      return self;
    }
    const std::string stages = ": " + count(options.stages, "stage") + ", ";
    const auto warps = static_cast<int>(chosen.result.launch.as<ir::Launch>()->threads / kLanes);
    explain(
        products, launch,
        options.producer_warps > 0
            ? std::string("by ") + unit_->name + stages +
                  count(options.producer_warps, "producer warp") + ", " +
                  count(options.consumer_warpgroups, "consumer warpgroup") +
                  (options.cluster > 1 ? ", clusters of " + std::to_string(options.cluster) : "")
            : "by " + atom_of(chosen.result.launch) + stages + count(warps, "warp"));
    return ordered.order ? with_order(ordered, chosen.result.launch) : chosen.result.launch;
  }

 public:
  /// Around all kernels: between them memory would keep one from beginning while another ends.
  Stmt with_orders(Stmt body) const {
    for (const OrderedRows &each : orders_)
      body = ir::make<ir::Allocate>(each.order, std::vector<Expr>{each.rows}, body);
    return body;
  }

 private:
  std::vector<OrderedRows> orders_;

  Stmt with_order(const OrderedRows &ordered, const Stmt &launch) {
    const Stmt both = ir::make_block({ordered.kernel, launch});
    if (!free_variables(ordered.rows).empty())
      return ir::make<ir::Allocate>(ordered.order, std::vector<Expr>{ordered.rows}, both);
    orders_.push_back(ordered);
    return both;
  }

  const ProductChoices &choices_;
  const KernelChoices &kernels_;
  const MatrixUnit *unit_;
  std::vector<Explanation> *explanation_;

  static std::string atom_of(const Stmt &launch) {
    std::string name;
    ir::walk_statements(launch, [&](const Stmt &s) {
      if (const auto *mma = s.as<ir::Mma>()) name = mma->atom;
      return name.empty();
    });
    return name;
  }

  /// `body` as schedules know its tiles.
  Products products_of(const Stmt &body) const {
    Products products;
    ir::walk_statements(body, [&](const Stmt &s) {
      const auto *mma = s.as<ir::Mma>();
      if (mma == nullptr) return true;
      products.any = true;
      if (!mma->atom.empty()) products.named = ir::find_atom(mma->atom);
      if (const auto choice = choices_.find(mma->a.tile); choice != choices_.end())
        products.choices.push_back(&choice->second);
      return true;
    });
    return products;
  }

  /// `kernel` as it is pipelined.
  static void measure(const Stmt &kernel, Products *products) {
    std::map<const VarNode *, std::int64_t> bounds;
    std::set<const StorageNode *> sums;
    ir::walk_statements(kernel, [&](const Stmt &s) {
      if (const auto *axes = s.as<ir::Axes>()) {
        for (const ir::AxisBinding &axis : axes->axes) bounds[axis.var.get()] = axis.maximum;
      }
      const auto *mma = s.as<ir::Mma>();
      if (mma == nullptr) return true;
      std::int64_t rows = 1, columns = 1;
      for (const VarPtr &axis : mma->m) rows *= bounds[axis.get()];
      for (const VarPtr &axis : mma->n) columns *= bounds[axis.get()];
      products->rows = std::max(products->rows, rows);
      const std::int64_t bytes = rows * columns * mma->accumulator.tile->type.bytes();
      if (sums.insert(mma->accumulator.tile.get()).second) products->sum_bytes += bytes;
      return true;
    });
  }

  /// What schedules say of the definitions that the kernel stores.
  KernelChoice kernel_of(const Stmt &body) const {
    KernelChoice choice;
    ir::walk_statements(body, [&](const Stmt &s) {
      const auto *store = s.as<ir::Store>();
      const auto found = store ? kernels_.find(store->storage) : kernels_.end();
      if (found == kernels_.end()) return true;
      if (found->second.cluster > 1) choice.cluster = found->second.cluster;
      if (found->second.tile_rows) choice.tile_rows = found->second.tile_rows;
      choice.longest_first = choice.longest_first || found->second.longest_first;
      return true;
    });
    return choice;
  }

  /// Says it once of each definition whose products the kernel holds.
  void explain(const Products &products, const ir::Launch &launch, const std::string &text) const {
    if (explanation_ == nullptr) return;
    std::set<std::string> said;
    for (const SumChoice *choice : products.choices) {
      if (said.insert(choice->definition).second)
        explanation_->push_back(
            {choice->definition, "kernel", launch.name + " multiplies " + text});
    }
  }

  Attempt choose(const Stmt &launch, const Products &products, const KernelChoice &kernel) const {
    const bool warpgroups =
        !products.named || products.named->kind == ir::AtomKind::WarpgroupMatrix;
    if (unit_ == nullptr || !warpgroups) return by_all_warps(launch, products);
    const Attempt specialised = with_roles(launch, products, kernel);
    if (specialised.done() || products.named) return specialised;
    Attempt all = by_all_warps(launch, products);
    if (!all.done()) all.result.reason = specialised.result.reason + "; " + all.result.reason;
    return all;
  }

  /// Every warp copies and multiplies.
  static Attempt by_all_warps(const Stmt &launch, const Products &products) {
    const SumChoice *pipelined = nullptr;
    for (const SumChoice *choice : products.choices)
      if (pipelined == nullptr && choice->stages > 0) pipelined = choice;
    PipelineOptions options;
    options.stages = pipelined ? pipelined->stages : kStagesOfAll;
    options.shared_bytes = kSharedBytes;
    int most = 1;
    while (most < kMostWarps && most * kSumBytesOfWarp < products.sum_bytes) most *= 2;
    while (most < kFewWarps && most * kSumBytesOfWarp <= products.sum_bytes) most *= 2;
    std::optional<Attempt> first, too_large;
    Stmt wanted;
    for (const int warps : {most, 2 * most, most / 2, 4 * most, 1}) {
      if (warps < 1 || warps > kMostWarps) continue;
      const ir::Launch &given = *launch.as<ir::Launch>();
      const Stmt sized =
          ir::make<ir::Launch>(given.name, given.grid, warps * kLanes, given.body, given.cluster);
      const Attempt tried = attempt_in_parts(sized, options, pipelined != nullptr);
      if (tried.done()) return tried;
      if (!first) first = tried;
      if (too_large || tried.result.wanted_bytes == 0) continue;
      too_large = tried;
      wanted = sized;
    }
    if (pipelined && too_large) refuse(*pipelined, wanted, *too_large);
    return *first;
  }

  Attempt with_roles(const Stmt &launch, const Products &products,
                     const KernelChoice &kernel) const {
    const SumChoice *pipelined = nullptr, *specialised = nullptr;
    for (const SumChoice *choice : products.choices) {
      if (pipelined == nullptr && choice->stages > 0) pipelined = choice;
      if (specialised == nullptr && choice->producer_warps > 0) specialised = choice;
    }
    PipelineOptions options;
    options.unit = unit_;
    options.shared_bytes = unit_->shared_bytes;
    // Blocks go on from tile to tile: what is loaded next is then under way while results are
    // stored.
    options.persistent_blocks = -1;
    options.bulk = unit_->asynchronous;
    options.cluster = unit_->asynchronous ? kernel.cluster : 1;
    if (kernel.tile_rows) options.tile_rows = *kernel.tile_rows;
    options.back_and_forth = kernel.longest_first;
    options.stages = pipelined ? pipelined->stages : kStages;
    options.producer_warps = specialised ? specialised->producer_warps : kProducerWarps;
    std::vector<int> consumers{1, 2, 3};
    if (products.rows >= kRowsOfTwoWarpgroups) consumers = {2, 1, 3};
    if (specialised) consumers = {specialised->consumer_warpgroups};
    std::optional<Attempt> first, too_large;
    // Without clusters where nothing is shared in one.
    for (const int blocks : {options.cluster, 1}) {
      options.cluster = blocks;
      for (const int number : consumers) {
        options.consumer_warpgroups = number;
        const Attempt tried = attempt_in_parts(launch, options, pipelined != nullptr);
        if (tried.done()) return tried;
        if (!first) first = tried;
        if (!too_large && tried.result.wanted_bytes > 0) too_large = tried;
      }
      if (blocks == 1) break;
      first.reset();
    }
    if (pipelined && too_large) refuse(*pipelined, launch, *too_large);
    return *first;
  }

  [[noreturn]] static void refuse(const SumChoice &choice, const Stmt &launch,
                                  const Attempt &wanted) {
    const Attempt fewer = attempt(launch, wanted.options, false);
    throw CompileError(choice.definition + ".software_pipeline: " + wanted.result.reason + "; " +
                           (fewer.done() ? "ask for at most " + std::to_string(fewer.options.stages)
                                         : std::string("make its tiles smaller")),
                       choice.pipelined_at);
  }
};

}  // namespace

ir::Module stage_kernels(const ir::Module &module, const ProductChoices &choices,
                         const KernelChoices &kernels, const Target &target,
                         std::vector<Explanation> *explanation) {
  ir::Module result = module;
  Pass pass(choices, kernels, target, explanation);
  result.body = pass(module.body);
  result.body = pass.with_orders(result.body);
  return result;
}

}  // namespace pit::lower
