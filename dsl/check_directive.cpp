// Rules of one directive, and of directives among each other, that need no analysis of the
// algorithm.
#include <algorithm>
#include <set>

#include "define.h"
#include "error.h"
#include "func.h"
#include "loop_names.h"
#include "schedule.h"

namespace pit {

namespace {

using Pairs = std::vector<std::pair<VarPtr, std::int64_t>>;

bool contains(const std::vector<VarPtr> &vars, const VarPtr &v) {
  return std::ranges::find(vars, v) != vars.end();
}

std::string list(const std::vector<VarPtr> &vars) {
  std::string text;
  for (const VarPtr &v : vars) text += (text.empty() ? "" : ", ") + v->name;
  return text.empty() ? "none" : text;
}

// Checks one directive of a definition against those said before it.
class Check {
 public:
  Check(const Directive &d, const std::vector<Directive> &before)
      : d_(d), before_(before), func_(d.func.lock()) {
    internal_check(func_ != nullptr, "a directive outlived its Func");
    internal_check(d.definition >= 0 && d.definition < static_cast<int>(func_->definitions.size()),
                   "a directive of a definition that " + func_->name + " does not have");
    for (const VarPtr &v : d.vars) {
      if (!v) fail("a loop is missing: an argument is an empty VarOrRVar");
    }
    variables_ = variables_of(*func_, d.definition);
    loops_ = loops_of(*func_, d.definition, before, d.specialization);
  }

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
        fuse();
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
        index(*d_.index);
        break;
      case DirectiveKind::PitTile:
        pit_tile();
        break;
      case DirectiveKind::SRead:
      case DirectiveKind::SWrite:
        gather();
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
      case DirectiveKind::StoreCompact:
        store_compact();
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
  [[noreturn]] void fail(const std::string &problem) const {
    throw CompileError(name() + "." + to_string(d_.kind) + ": " + problem, d_.where);
  }

  std::string name() const { return definition_name(*func_, d_.definition); }
  const DefinitionData &definition() const {
    return func_->definitions[static_cast<std::size_t>(d_.definition)];
  }
  Combiner combiner() const { return definition().combiner; }

  std::string what_combiner() const {
    return d_.definition == 0
               ? name() + " is a pure definition"
               : name() + " is a plain store, whose iterations must run in the order written";
  }

  bool same_definition(const Directive &other) const {
    return other.func.lock() == func_ && other.definition == d_.definition;
  }

  bool said(DirectiveKind kind) const {
    return std::ranges::any_of(before_, [&](const Directive &other) {
      return other.kind == kind && same_definition(other) &&
             (other.specialization == 0 || other.specialization == d_.specialization);
    });
  }

  // `before_` with this directive: what loops_of applies.
  std::vector<Directive> with_this() const {
    std::vector<Directive> all = before_;
    all.push_back(d_);
    return all;
  }

  // loops_of reports loops that are not there and new loops that are not new.
  std::vector<VarPtr> loops_after() const {
    return loops_of(*func_, d_.definition, with_this(), d_.specialization);
  }

  bool is_reduction(const VarPtr &loop) const {
    const std::vector<VarPtr> originals = originals_of(loop, *func_, d_.definition, before_);
    return std::ranges::any_of(originals, [&](const VarPtr &v) {
      return std::ranges::any_of(definition().domain,
                                 [&](const ReductionDim &dim) { return dim.var == v; });
    });
  }

  void positive(std::int64_t value, const std::string &what) const {
    if (value <= 0)
      fail("the " + what + " is " + std::to_string(value) + "; it must be at least 1");
  }

  void positive_ints(const std::string &what) const {
    for (const std::int64_t value : d_.ints) positive(value, what);
  }

  void existing_loop(const VarPtr &v) const {
    if (contains(loops_, v)) return;
    std::string why;
    if (std::ranges::any_of(loops_, [&](const VarPtr &loop) { return loop->name == v->name; })) {
      why = " (the loop " + v->name +
            " is another Var of that name: two Vars are the same only if copied)";
    } else if (!originals_of(v, *func_, d_.definition, before_).empty()) {
      why = "; an earlier directive has replaced it";
    }
    fail(v->name + " is not a loop of " + name() + " here" + why + "; the loops are " +
         list(loops_));
  }

  void existing_loops() const {
    for (const VarPtr &v : d_.vars) existing_loop(v);
  }

  void distinct_vars() const {
    for (std::size_t i = 0; i < d_.vars.size(); ++i) {
      if (std::find(d_.vars.begin(), d_.vars.begin() + static_cast<std::ptrdiff_t>(i),
                    d_.vars[i]) != d_.vars.begin() + static_cast<std::ptrdiff_t>(i)) {
        fail(d_.vars[i]->name + " is named twice");
      }
    }
  }

  // --- loops
  // --------------------------------------------------------------------------------------------------------

  // The reduction loops must stay in the order written unless the combiner does not care.
  void reduction_order(const std::vector<VarPtr> &after) const {
    if (is_permutable(combiner())) return;
    std::vector<VarPtr> old_order, new_order;
    std::ranges::copy_if(loops_, std::back_inserter(old_order),
                         [&](const VarPtr &v) { return is_reduction(v); });
    std::ranges::copy_if(after, std::back_inserter(new_order),
                         [&](const VarPtr &v) { return is_reduction(v); });
    if (old_order != new_order) {
      fail("the reduction loops " + list(old_order) + " would run in another order, but " +
           what_combiner() +
           "; keep their order, or write the update with a combiner such as +=, min, max");
    }
  }

  void split() const {
    positive_ints("factor");
    if (d_.kind == DirectiveKind::Tile && d_.vars[0] == d_.vars[1])
      fail(d_.vars[0]->name + " is named twice");
    loops_after();
    if (d_.kind == DirectiveKind::Tile && !is_permutable(combiner()) && is_reduction(d_.vars[0]) &&
        is_reduction(d_.vars[1])) {
      fail("the reduction loops " + d_.vars[0]->name + " and " + d_.vars[1]->name +
           " would run in another order, but " + what_combiner());
    }
  }

  void fuse() const {
    loops_after();
    if (is_reduction(d_.vars[0]) != is_reduction(d_.vars[1])) {
      const VarPtr &reduction = is_reduction(d_.vars[0]) ? d_.vars[0] : d_.vars[1];
      const VarPtr &pure = is_reduction(d_.vars[0]) ? d_.vars[1] : d_.vars[0];
      fail(reduction->name + " is a reduction loop and " + pure->name +
           " is not; fuse loops of one kind");
    }
  }

  void reorder() const {
    if (d_.vars.size() < 2) fail("it needs at least two loops");
    reduction_order(loops_after());
  }

  void vectorize() const {
    existing_loops();
    positive_ints("width");
    if (is_reduction(d_.vars[0]) && !is_permutable(combiner())) {
      fail(d_.vars[0]->name + " is a reduction loop, but " + what_combiner() +
           "; vectorize a pure loop: " + pure_loops());
    }
  }

  void parallel() const {
    existing_loops();
    distinct_vars();
    for (const VarPtr &v : d_.vars) {
      if (!is_reduction(v)) continue;
      if (!is_permutable(combiner())) {
        fail(v->name + " is a reduction loop, but " + what_combiner() +
             "; use a pure loop: " + pure_loops());
      }
      if (!said(DirectiveKind::Atomic)) {
        fail("iterations of the reduction loop " + v->name +
             " update the same elements; use a pure loop (" + pure_loops() +
             "), split_reduction, or say atomic() before, which gives up repeatability");
      }
    }
  }

  std::string pure_loops() const {
    std::vector<VarPtr> pure;
    std::ranges::copy_if(loops_, std::back_inserter(pure),
                         [&](const VarPtr &v) { return !is_reduction(v); });
    return list(pure);
  }

  void cluster() const {
    if (d_.dense.empty()) fail("the shape is empty; write for example {{m, 2}}");
    for (const auto &[v, extent] : d_.dense) {
      existing_loop(v);
      positive(extent, "cluster extent of " + v->name);
    }
    distinct(d_.dense, "shape");
  }

  void split_reduction() const {
    existing_loops();
    positive_ints("number of parts");
    if (!is_reduction(d_.vars[0]))
      fail(d_.vars[0]->name + " is not a reduction loop; split it with split instead");
    if (!is_permutable(combiner()))
      fail(what_combiner() + "; only combiners such as += have partial results");
  }

  void specialize() const {
    const Expr &condition = d_.exprs.at(0);
    if (!condition.defined() || !condition.type().is_bool())
      fail("the condition must be a bool expression");
    if (const std::vector<VarPtr> free = free_variables(condition); !free.empty()) {
      fail("the condition " + to_string(condition) + " reads the loop " + free.front()->name +
           "; it is evaluated once, before the loops: use parameters, extents, or an index's "
           "density() and count()");
    }
  }

  // --- PIT rule
  // -----------------------------------------------------------------------------------------------------

  void distinct(const Pairs &extents, const std::string &field) const {
    std::set<VarPtr> seen;
    for (const auto &[v, extent] : extents) {
      if (!seen.insert(v).second) fail(field + " names " + v->name + " twice");
    }
  }

  bool is_made_by_split(const VarPtr &loop) const {
    return !contains(variables_, loop) &&
           fused_from(loop, *func_, d_.definition, before_) == std::vector<VarPtr>{loop};
  }

  // A directive's context for fused axes: an index of another Func brings the fuse of its own
  // definition.
  std::vector<Directive> context(const IndexNode &index) const {
    std::vector<Directive> all = before_;
    if (const FuncPtr owner = index.func.lock(); owner && owner != func_) {
      all.insert(all.end(), owner->directives.begin(), owner->directives.end());
    }
    return all;
  }

  std::vector<VarPtr> axis_parts(const IndexNode &index) const {
    return fused_from(index.axis, *func_, d_.definition, context(index));
  }

  void not_part_of_axis(const IndexNode &index, const VarPtr &v, const std::string &field) const {
    if (v == index.axis || !contains(axis_parts(index), v)) return;
    fail(field + " names " + v->name + ", which is part of the axis " + index.axis->name +
         "; write {" + index.axis->name + ", n}");
  }

  void axis(const IndexNode &index) const {
    if (!index.axis)
      fail("no axis: give .axis, or .index with the index to use; the loops are " + list(loops_));
    existing_loop(index.axis);
    if (is_made_by_split(index.axis)) {
      fail("the axis " + index.axis->name +
           " is part of a split loop; the axis is a Var, an RVar or a fused loop of " + name() +
           ": say it before the split");
    }
    if (is_reduction(index.axis) && !is_permutable(combiner())) {
      fail("the iterations of the axis " + index.axis->name +
           " may not be permuted: " + what_combiner() +
           "; an axis is a pure Var, or an RVar of an update with a combiner such as +=, min, max");
    }
  }

  void index(const IndexNode &index) const {
    axis(index);
    if (index.group.defined()) {
      if (!index.group.type().is_integral()) {
        fail("the group key " + to_string(index.group) + " has type " +
             to_string(index.group.type()) + "; keys are integers");
      }
      for (const VarPtr &v : free_variables(index.group)) {
        if (!contains(variables_, v)) {
          fail("the group key " + to_string(index.group) + " reads " + v->name +
               ", which is no variable of " + name() + "; write it in " + list(variables_));
        }
      }
    }
    distinct(index.micro, ".micro");
    for (const auto &[v, extent] : index.micro) {
      if (!contains(variables_, v) && !contains(loops_, v)) {
        fail(".micro names " + v->name + ", which is no variable of " + name() + "; they are " +
             list(variables_));
      }
      not_part_of_axis(index, v, ".micro");
      positive(extent, "micro extent of " + v->name);
    }
    check_index_settings(index, d_.where);
  }

  // An index of another definition fits when everything it speaks of means the same here.
  void foreign_index(const IndexNode &index) const {
    const FuncPtr owner = index.func.lock();
    internal_check(owner != nullptr, "an index outlived its Func");
    const std::string subject =
        "the index " + index.name + " is of " + definition_name(*owner, index.definition);
    if (!contains(loops_, index.axis)) {
      fail(subject + ", and its axis " + index.axis->name + " is not a loop of " + name() +
           " here; an index is shared by definitions over the same Vars (fuse them in the same way "
           "first); the loops are " +
           list(loops_));
    }
    std::vector<VarPtr> needed = group_vars(index, context(index));
    for (const auto &[v, extent] : index.micro) needed.push_back(v);
    for (const VarPtr &v : needed) {
      if (!contains(variables_, v) && !contains(loops_, v)) {
        fail(subject + " and reads " + v->name + ", which " + name() +
             " does not have; an index is shared by definitions over the same Vars");
      }
    }
  }

  void pit_tile() const {
    if (said(DirectiveKind::PitTile)) {
      fail("this definition has a pit_tile already; a definition has one PIT axis");
    }
    internal_check(d_.index != nullptr, "a pit_tile without an index node");
    const IndexNode &rule = *d_.index;
    if (d_.index_named && (rule.func.lock() != func_ || rule.definition != d_.definition)) {
      foreign_index(rule);
      axis(rule);
    } else {
      index(rule);
    }
    dense(rule);
    loops_after();
  }

  void dense(const IndexNode &rule) const {
    distinct(d_.dense, ".dense");
    const std::vector<VarPtr> group = group_vars(rule, context(rule));
    for (const auto &[v, extent] : d_.dense) {
      not_part_of_axis(rule, v, ".dense");
      if (!contains(loops_, v)) {
        fail(".dense names " + v->name + ", which is not a loop of " + name() +
             " here; the loops are " + list(loops_));
      }
      positive(extent, "dense extent of " + v->name);
      const std::int64_t micro = micro_extent(rule, v);
      const bool has_micro =
          contains(group, v) ||
          std::ranges::any_of(rule.micro, [&](const auto &entry) { return entry.first == v; });
      if (v == rule.axis) {
        if (extent % micro != 0) {
          fail("the dense extent " + std::to_string(extent) + " of the axis " + v->name +
               " is not a multiple of its micro-tile of " + std::to_string(micro) +
               "; a dense tile is filled with whole micro-tiles");
        }
      } else if (has_micro && micro % extent != 0) {
        fail("the dense extent " + std::to_string(extent) + " of " + v->name +
             " does not divide its micro-tile of " + std::to_string(micro) +
             "; for Vars other than the axis (" + rule.axis->name +
             ") dense equals micro or divides it: write .micro = {{" + v->name + ", " +
             std::to_string(extent) + "}, ...}");
      }
    }
  }

  // --- gathered operands
  // --------------------------------------------------------------------------------------------

  void gather() const {
    for (const std::int64_t bytes : d_.ints) {
      if (bytes < 1 || bytes > 128 || (bytes & (bytes - 1)) != 0) {
        fail("vector_bytes is " + std::to_string(bytes) +
             "; it must be a power of two from 1 to 128");
      }
    }
    const bool reading = d_.kind == DirectiveKind::SRead;
    const FuncPtr other = d_.other.lock();
    const std::string operand = d_.tensor ? d_.tensor->name : other->name;
    if (!reading && other != func_)
      fail(operand + " is not stored by " + name() + "; write swrite(" + func_->name + ")");

    std::vector<std::vector<Expr>> accesses;
    if (reading) {
      for (const Expr &value : definition().values) {
        walk(value, [&](const Expr &e) {
          if (const Load *load = e.as<Load>(); load && d_.tensor && load->storage == d_.tensor) {
            accesses.push_back(load->indices);
          }
          if (const Call *call = e.as<Call>(); call && !d_.tensor && call->func == other.get()) {
            accesses.push_back(call->args);
          }
          return true;
        });
      }
      if (accesses.empty()) fail("the value of " + name() + " does not read " + operand);
    } else {
      accesses.push_back(definition().args);
    }
    // The tile may also be that of a consumer; then check_schedule looks for it.
    const auto tile = std::ranges::find_if(before_, [&](const Directive &other_directive) {
      return other_directive.kind == DirectiveKind::PitTile && same_definition(other_directive);
    });
    if (tile == before_.end()) return;
    const std::vector<VarPtr> parts = axis_parts(*tile->index);
    const bool held = std::ranges::any_of(accesses, [&](const std::vector<Expr> &access) {
      return std::ranges::any_of(access, [&](const Expr &e) {
        return std::ranges::any_of(parts, [&](const VarPtr &v) { return uses(e, v); });
      });
    });
    if (!held) {
      fail("no access of " + operand + " holds the axis " + tile->index->axis->name +
           ", so nothing of it is " + (reading ? "gathered" : "scattered") +
           "; leave the directive out");
    }
  }

  // --- where Funcs are computed and kept
  // ----------------------------------------------------------------------------

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
      if (!e.defined() || !e.type().is_integral()) fail("min and extent must be integers");
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

  void store_compact() const {
    if (!d_.index)
      fail("the index is empty; it is made by " + func_->name + ".index({.axis = ...})");
    if (said(DirectiveKind::StoreCompact))
      fail(func_->name + " is stored in the order of an index already");
    const IndexNode &order = *d_.index;
    std::vector<VarPtr> covered = axis_parts(order);
    for (const VarPtr &v : group_vars(order, context(order))) covered.push_back(v);
    for (const VarPtr &v : covered) {
      if (!contains(func_->args, v)) {
        fail("the index " + order.name + " lists positions of " + list(covered) + ", and " +
             v->name + " is not a dimension of " + func_->name + "; they are " + list(func_->args));
      }
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

  const Directive &d_;
  const std::vector<Directive> &before_;
  FuncPtr func_;
  std::vector<VarPtr> variables_, loops_;
};

}  // namespace

void check_directive(const Directive &directive, const std::vector<Directive> &before) {
  Check(directive, before).run();
}

}  // namespace pit
