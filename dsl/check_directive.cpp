// Rules of one directive that need no analysis of the algorithm.
#include <algorithm>
#include <iterator>

#include "define.h"
#include "directive_context.h"
#include "error.h"

namespace pit {

namespace {

class Check : DirectiveContext {
 public:
  using DirectiveContext::DirectiveContext;

  void run() const {
    for (const Expr &e : d_.exprs) {
      if (e.defined()) check_reads_no(*func_, e, name() + "." + to_string(d_.kind), d_.where);
    }
    switch (d_.kind) {
      case DirectiveKind::Split:
      case DirectiveKind::Tile:
        split();
        break;
      case DirectiveKind::Fuse:
        loops_after();
        break;
      case DirectiveKind::Reorder:
        reorder();
        break;
      case DirectiveKind::Vectorize:
        vectorize();
        break;
      case DirectiveKind::Unroll:
        existing_loops();
        positive_ints("factor");
        break;
      case DirectiveKind::Parallel:
      case DirectiveKind::GpuBlocks:
      case DirectiveKind::GpuThreads:
        parallel();
        break;
      case DirectiveKind::SoftwarePipeline:
        existing_loops();
        positive_ints("number of stages");
        break;
      case DirectiveKind::WarpSpecialize:
        positive_ints("number of warps");
        break;
      case DirectiveKind::Cluster:
        cluster();
        break;
      case DirectiveKind::SplitReduction:
        split_reduction();
        break;
      case DirectiveKind::Atom:
        if (d_.text.empty()) fail("the name of the inner kernel is empty");
        break;
      case DirectiveKind::Atomic:
        if (!is_permutable(combiner())) {
          fail("it combines nothing: " + what_combiner() +
               "; only updates such as += have stores to combine");
        }
        break;
      case DirectiveKind::Specialize:
        specialize();
        break;
      case DirectiveKind::Index:
      case DirectiveKind::PitTile:
      case DirectiveKind::SRead:
      case DirectiveKind::SWrite:
      case DirectiveKind::StoreCompact:
        check_pit_rule(d_, before_);
        break;
      case DirectiveKind::ComputeAt:
      case DirectiveKind::ComputeRoot:
      case DirectiveKind::ComputeInline:
        compute();
        break;
      case DirectiveKind::ComputeWith:
        compute_with();
        break;
      case DirectiveKind::Bound:
        bound();
        break;
      case DirectiveKind::ReorderStorage:
        reorder_storage();
        break;
      case DirectiveKind::Persistent:
      case DirectiveKind::TileOrder:
      case DirectiveKind::Strict:
        break;
    }
  }

 private:
  // --- loops

  // Loops whose iterations must run in the order written stay in their order. `after`: the loops
  // that there are, a split one in two.
  void same_order(const std::vector<VarPtr> &after) const {
    std::vector<VarPtr> ordered, old_order, new_order;
    std::string reason;
    bool all_reductions = true;
    for (const VarPtr &v : loops_) {
      const std::string why = order_reason(v);
      if (why.empty()) continue;
      if (reason.empty()) reason = why;
      all_reductions &= is_reduction(v);
      ordered.push_back(v);
      for (const VarPtr &part : parts(v)) old_order.push_back(part);
    }
    std::ranges::copy_if(after, std::back_inserter(new_order),
                         [&](const VarPtr &v) { return contains(old_order, v); });
    if (old_order != new_order) {
      fail(std::string("the ") + (all_reductions ? "reduction " : "") + "loops " + list(ordered) +
           " would run in another order, but " + reason +
           "; keep their order, or write the update with a combiner such as +=, min, max that does "
           "not read " +
           func_->name);
    }
  }

  // The loops that this tile makes of loop v, or v.
  std::vector<VarPtr> parts(const VarPtr &v) const {
    if (d_.kind == DirectiveKind::Tile && v == d_.vars[0]) return {d_.vars[2], d_.vars[4]};
    if (d_.kind == DirectiveKind::Tile && v == d_.vars[1]) return {d_.vars[3], d_.vars[5]};
    return {v};
  }

  // Loops whose iterations may run in any order, for messages.
  std::string free_loops() const {
    std::vector<VarPtr> free;
    std::ranges::copy_if(loops_, std::back_inserter(free), [&](const VarPtr &v) {
      return !is_reduction(v) && order_reason(v).empty();
    });
    return list(free);
  }

  void split() const {
    positive_ints("factor");
    if (d_.kind == DirectiveKind::Tile && d_.vars[0] == d_.vars[1])
      fail(d_.vars[0]->name + " is named twice");
    const std::vector<VarPtr> after = loops_after();
    if (d_.kind == DirectiveKind::Tile) same_order(after);
  }

  void reorder() const {
    if (d_.vars.size() < 2) fail("it needs at least two loops");
    same_order(loops_after());
  }

  void vectorize() const {
    existing_loops();
    positive_ints("width");
    if (const std::string why = order_reason(d_.vars[0]); !why.empty()) {
      fail(d_.vars[0]->name + " is a " + (is_reduction(d_.vars[0]) ? "reduction " : "") +
           "loop whose iterations keep their order: " + why +
           "; vectorize a pure loop: " + free_loops());
    }
  }

  void parallel() const {
    existing_loops();
    distinct_vars();
    for (const VarPtr &v : d_.vars) {
      if (const std::string why = order_reason(v); !why.empty()) {
        fail(v->name + " is a " + (is_reduction(v) ? "reduction " : "") +
             "loop whose iterations keep their order: " + why +
             "; use a pure loop: " + free_loops());
      }
      if (!is_reduction(v)) continue;
      if (!said(DirectiveKind::Atomic)) {
        fail("iterations of the reduction loop " + v->name +
             " update the same elements; use a pure loop (" + free_loops() +
             "), split_reduction, or say atomic() before, which gives up repeatability");
      }
    }
  }

  void cluster() const {
    if (d_.dense.empty()) fail("the shape is empty; write for example {{m, 2}}");
    distinct(d_.dense, "the shape");
    for (const auto &[v, extent] : d_.dense) {
      existing_loop(v);
      positive(extent, "cluster extent of " + v->name);
    }
  }

  void split_reduction() const {
    existing_loops();
    positive_ints("number of parts");
    if (!is_reduction(d_.vars[0]))
      fail(d_.vars[0]->name + " is not a reduction loop; split it with split instead");
    if (const std::string why = order_reason(d_.vars[0]); !why.empty())
      fail(why + "; only combiners such as += have partial results");
  }

  static constexpr std::ptrdiff_t kMostSpecializations = 16;

  void specialize() const {
    const Expr &condition = d_.exprs.at(0);
    if (!condition.defined() || !condition.type().is_bool())
      fail("the condition must be a bool, and it is " +
           (condition.defined() ? to_string(condition) + " of type " + to_string(condition.type())
                                : std::string("an undefined Expr")) +
           "; write a comparison, e.g. A.extent(0) < 64");
    if (const std::vector<VarPtr> free = free_variables(condition); !free.empty()) {
      fail("the condition " + to_string(condition) + " reads the loop " + free.front()->name +
           "; it is evaluated once, before the loops: use parameters, extents, or an index's "
           "density() and count()");
    }
    const auto so_far = std::ranges::count_if(before_, [&](const Directive &other) {
      return other.kind == DirectiveKind::Specialize && same_definition(other);
    });
    if (so_far >= kMostSpecializations) {
      fail("it has " + std::to_string(so_far) +
           " specializations, and each is compiled apart; keep to those that pay, or make the rest "
           "schedules of their own with Pipeline::with");
    }
  }

  // --- where Funcs are computed and kept

  void compute() const {
    for (const DirectiveKind kind :
         {DirectiveKind::ComputeAt, DirectiveKind::ComputeRoot, DirectiveKind::ComputeInline}) {
      if (said(kind))
        fail(to_string(kind) + " is already said of " + func_->name +
             "; a Func is computed at one place");
    }
    if (d_.kind == DirectiveKind::ComputeInline && !func_->is_pure()) {
      fail(
          func_->name +
          " has update definitions; only a Func with nothing but a pure definition can be inlined: "
          "use compute_at or compute_root");
    }
    if (d_.kind == DirectiveKind::ComputeAt && d_.other.lock() == func_) {
      fail("a Func cannot be computed inside its own loops; name a consumer");
    }
  }

  void compute_with() const {
    if (d_.other.lock() == func_ && d_.other_definition == d_.definition) {
      fail("a definition always runs with itself; name another");
    }
  }

  void bound() const {
    const VarPtr &v = d_.vars.at(0);
    if (!contains(func_->args, v)) {
      fail(v->name + " is not a dimension of " + func_->name + "; they are " + list(func_->args));
    }
    for (const Expr &e : d_.exprs) {
      if (!e.defined()) fail("min or extent is an undefined Expr; give it a value first");
      if (!e.type().is_integral()) {
        fail("min and extent are integers, and " + to_string(e) + " is " + to_string(e.type()) +
             "; cast it, e.g. i64(...)");
      }
      if (const std::vector<VarPtr> free = free_variables(e); !free.empty()) {
        fail("the bound " + to_string(e) + " reads the variable " + free.front()->name +
             "; bounds are of constants, parameters and extents");
      }
    }
    std::int64_t extent = 0;
    if (is_const_int(d_.exprs.at(1), &extent) && extent < 0) {
      fail("the extent is " + std::to_string(extent) + "; it may not be negative");
    }
  }

  void reorder_storage() const {
    distinct_vars();
    for (const VarPtr &v : d_.vars) {
      if (!contains(func_->args, v)) {
        fail(v->name + " is not a dimension of " + func_->name + "; they are " + list(func_->args));
      }
    }
    if (d_.vars.size() != func_->args.size()) {
      fail("it must name every dimension of " + func_->name + " once: " + list(func_->args));
    }
  }
};

}  // namespace

void check_directive(const Directive &directive, const std::vector<Directive> &before) {
  Check(directive, before).run();
}

}  // namespace pit
