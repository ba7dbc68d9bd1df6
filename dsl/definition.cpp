// The fluent directives: each says what it is, has it checked, and leaves it with its Func.
#include <utility>

#include "define.h"
#include "error.h"
#include "func.h"
#include "loop_names.h"
#include "schedule.h"

namespace pit {

namespace {

std::vector<std::pair<VarPtr, std::int64_t>> by_node(const Extents &extents) {
  std::vector<std::pair<VarPtr, std::int64_t>> result;
  for (const auto &[v, extent] : extents) result.emplace_back(v.node(), extent);
  return result;
}

std::vector<VarPtr> nodes(std::initializer_list<VarOrRVar> vars) {
  std::vector<VarPtr> result;
  for (const VarOrRVar &v : vars) result.push_back(v.node());
  return result;
}

IndexPtr make_index(const FuncPtr &func, int definition, const VarOrRVar &axis, const Expr &group,
                    const Extents &micro, std::source_location where) {
  auto index = std::make_shared<IndexNode>();
  index->name = new_index_name(*func, func->directives);
  index->func = func;
  index->definition = definition;
  index->axis = axis.node();
  index->group = weaken_self_calls(group, func.get());
  index->micro = by_node(micro);
  index->where = where;
  return index;
}

}  // namespace

Directive Definition::directive(DirectiveKind kind, Location where) const {
  if (func_->definitions.empty()) {
    throw CompileError("Func " + func_->name + " is scheduled before it has a definition; write " +
                           to_string(kind) + "(...) after " + func_->name + "(...) = ...",
                       where);
  }
  Directive result;
  result.kind = kind;
  result.func = func_;
  result.definition = definition_;
  result.specialization = specialization_;
  result.where = where;
  return result;
}

void Definition::record(Directive directive) {
  check_directive(directive, func_->directives);
  func_->directives.push_back(std::move(directive));
}

Definition &Definition::record(DirectiveKind kind, std::vector<VarPtr> vars,
                               std::vector<std::int64_t> ints, Location where) {
  Directive d = directive(kind, where);
  d.vars = std::move(vars);
  d.ints = std::move(ints);
  record(std::move(d));
  return *this;
}

SparseIndex Definition::index(IndexSpec spec, Location where) {
  Directive d = directive(DirectiveKind::Index, where);
  d.index = make_index(func_, definition_, spec.axis, spec.group, spec.micro, where);
  SparseIndex result(d.index);
  record(std::move(d));
  return result;
}

Definition &Definition::pit_tile(const Var &tile, PitTile spec, Location where) {
  Directive d = directive(DirectiveKind::PitTile, where);
  d.vars = {tile.node()};
  d.dense = by_node(spec.dense);
  d.index_named = spec.index.defined();
  if (d.index_named) {
    if (spec.axis.defined() || spec.group.defined() || !spec.micro.empty()) {
      throw CompileError(
          "pit_tile of Func " + func_->name + ": .index = " + spec.index.node()->name +
              " already says axis, group and micro-tile; give .dense and .index only",
          where);
    }
    d.index = spec.index.node();
  } else {
    d.index = make_index(func_, definition_, spec.axis, spec.group, spec.micro, where);
  }
  record(std::move(d));
  return *this;
}

Definition &Definition::pit_tile(PitTile spec, Location where) {
  return pit_tile(Var("tile"), std::move(spec), where);
}

Definition &Definition::sread(const TensorParam &x, ReadOptions options, Location where) {
  Directive d = directive(DirectiveKind::SRead, where);
  d.tensor = x.storage();
  d.ints = {options.vector_bytes};
  record(std::move(d));
  return *this;
}

Definition &Definition::sread(const Func &x, ReadOptions options, Location where) {
  Directive d = directive(DirectiveKind::SRead, where);
  d.other = x.func();
  d.ints = {options.vector_bytes};
  record(std::move(d));
  return *this;
}

Definition &Definition::swrite(const Func &y, WriteOptions options, Location where) {
  Directive d = directive(DirectiveKind::SWrite, where);
  d.other = y.func();
  d.ints = {options.vector_bytes};
  record(std::move(d));
  return *this;
}

Definition &Definition::split(VarOrRVar v, VarOrRVar outer, VarOrRVar inner, std::int64_t factor,
                              Location where) {
  return record(DirectiveKind::Split, nodes({v, outer, inner}), {factor}, where);
}

Definition &Definition::tile(VarOrRVar x, VarOrRVar y, VarOrRVar xo, VarOrRVar yo, VarOrRVar xi,
                             VarOrRVar yi, std::int64_t x_factor, std::int64_t y_factor,
                             Location where) {
  return record(DirectiveKind::Tile, nodes({x, y, xo, yo, xi, yi}), {x_factor, y_factor}, where);
}

Definition &Definition::fuse(VarOrRVar outer, VarOrRVar inner, VarOrRVar fused, Location where) {
  return record(DirectiveKind::Fuse, nodes({outer, inner, fused}), {}, where);
}

Definition &Definition::reorder(std::vector<VarOrRVar> order, Location where) {
  std::vector<VarPtr> vars;
  for (const VarOrRVar &v : order) vars.push_back(v.node());
  return record(DirectiveKind::Reorder, std::move(vars), {}, where);
}

Definition &Definition::reorder(VarOrRVar a, VarOrRVar b, Location where) {
  return reorder({a, b}, where);
}
Definition &Definition::reorder(VarOrRVar a, VarOrRVar b, VarOrRVar c, Location where) {
  return reorder({a, b, c}, where);
}
Definition &Definition::reorder(VarOrRVar a, VarOrRVar b, VarOrRVar c, VarOrRVar d,
                                Location where) {
  return reorder({a, b, c, d}, where);
}
Definition &Definition::reorder(VarOrRVar a, VarOrRVar b, VarOrRVar c, VarOrRVar d, VarOrRVar e,
                                Location where) {
  return reorder({a, b, c, d, e}, where);
}
Definition &Definition::reorder(VarOrRVar a, VarOrRVar b, VarOrRVar c, VarOrRVar d, VarOrRVar e,
                                VarOrRVar f, Location where) {
  return reorder({a, b, c, d, e, f}, where);
}

Definition &Definition::vectorize(VarOrRVar v, Location where) {
  return record(DirectiveKind::Vectorize, nodes({v}), {}, where);
}
Definition &Definition::vectorize(VarOrRVar v, std::int64_t width, Location where) {
  return record(DirectiveKind::Vectorize, nodes({v}), {width}, where);
}
Definition &Definition::unroll(VarOrRVar v, Location where) {
  return record(DirectiveKind::Unroll, nodes({v}), {}, where);
}
Definition &Definition::unroll(VarOrRVar v, std::int64_t factor, Location where) {
  return record(DirectiveKind::Unroll, nodes({v}), {factor}, where);
}
Definition &Definition::parallel(VarOrRVar v, Location where) {
  return record(DirectiveKind::Parallel, nodes({v}), {}, where);
}
Definition &Definition::gpu_blocks(VarOrRVar a, Location where) {
  return record(DirectiveKind::GpuBlocks, nodes({a}), {}, where);
}
Definition &Definition::gpu_blocks(VarOrRVar a, VarOrRVar b, Location where) {
  return record(DirectiveKind::GpuBlocks, nodes({a, b}), {}, where);
}
Definition &Definition::gpu_blocks(VarOrRVar a, VarOrRVar b, VarOrRVar c, Location where) {
  return record(DirectiveKind::GpuBlocks, nodes({a, b, c}), {}, where);
}
Definition &Definition::gpu_threads(VarOrRVar a, Location where) {
  return record(DirectiveKind::GpuThreads, nodes({a}), {}, where);
}
Definition &Definition::gpu_threads(VarOrRVar a, VarOrRVar b, Location where) {
  return record(DirectiveKind::GpuThreads, nodes({a, b}), {}, where);
}
Definition &Definition::gpu_threads(VarOrRVar a, VarOrRVar b, VarOrRVar c, Location where) {
  return record(DirectiveKind::GpuThreads, nodes({a, b, c}), {}, where);
}

Definition &Definition::software_pipeline(VarOrRVar loop, int stages, Location where) {
  return record(DirectiveKind::SoftwarePipeline, nodes({loop}), {stages}, where);
}
Definition &Definition::warp_specialize(Roles roles, Location where) {
  return record(DirectiveKind::WarpSpecialize, {},
                {roles.producer_warps, roles.consumer_warpgroups}, where);
}

Definition &Definition::cluster(Extents shape, Location where) {
  Directive d = directive(DirectiveKind::Cluster, where);
  d.dense = by_node(shape);
  record(std::move(d));
  return *this;
}

Definition &Definition::persistent(Location where) {
  return record(DirectiveKind::Persistent, {}, {}, where);
}

Definition &Definition::tile_order(TileOrder order, Location where) {
  return record(DirectiveKind::TileOrder, {}, {static_cast<std::int64_t>(order)}, where);
}
Definition &Definition::split_reduction(VarOrRVar loop, int parts, Location where) {
  return record(DirectiveKind::SplitReduction, nodes({loop}), {parts}, where);
}

Definition &Definition::atom(std::string name, Location where) {
  Directive d = directive(DirectiveKind::Atom, where);
  d.text = std::move(name);
  record(std::move(d));
  return *this;
}

Definition &Definition::atomic(Location where) {
  return record(DirectiveKind::Atomic, {}, {}, where);
}
Definition &Definition::strict(Location where) {
  return record(DirectiveKind::Strict, {}, {}, where);
}

Definition Definition::specialize(const Expr &condition, Location where) {
  Directive d = directive(DirectiveKind::Specialize, where);
  if (specialization_ != 0) {
    throw CompileError(
        "specialize of a specialization of Func " + func_->name +
            "; write each as a specialization of the definition itself, with && between conditions",
        where);
  }
  int number = 1;
  for (const Directive &said : func_->directives) {
    number += said.kind == DirectiveKind::Specialize && said.definition == definition_ ? 1 : 0;
  }
  d.exprs = {weaken_self_calls(condition, func_.get())};
  d.ints = {number};
  record(std::move(d));
  return {func_, definition_, number};
}

Definition &Definition::compute_with(const Definition &other, VarOrRVar v, Location where) {
  Directive d = directive(DirectiveKind::ComputeWith, where);
  d.other = other.func();
  d.other_definition = other.number();
  d.vars = nodes({v});
  record(std::move(d));
  return *this;
}

Func &Func::bound(const Var &v, const Expr &min, const Expr &extent, Location where) {
  Directive d = directive(DirectiveKind::Bound, where);
  d.vars = {v.node()};
  d.exprs = {min, extent};
  record(std::move(d));
  return *this;
}

Func &Func::compute_at(const Definition &consumer, VarOrRVar loop, Location where) {
  Directive d = directive(DirectiveKind::ComputeAt, where);
  d.other = consumer.func();
  d.other_definition = consumer.number();
  d.vars = nodes({loop});
  record(std::move(d));
  return *this;
}

Func &Func::compute_root(Location where) {
  record(DirectiveKind::ComputeRoot, {}, {}, where);
  return *this;
}

Func &Func::compute_inline(Location where) {
  record(DirectiveKind::ComputeInline, {}, {}, where);
  return *this;
}

Func &Func::store_compact(const SparseIndex &index, Location where) {
  Directive d = directive(DirectiveKind::StoreCompact, where);
  if (!index.defined()) {
    throw CompileError(
        "store_compact of Func " + name() + " with a SparseIndex that is not made by index(...)",
        where);
  }
  d.index = index.node();
  record(std::move(d));
  return *this;
}

Func &Func::reorder_storage(std::initializer_list<Var> order, Location where) {
  std::vector<VarPtr> vars;
  for (const Var &v : order) vars.push_back(v.node());
  record(DirectiveKind::ReorderStorage, std::move(vars), {}, where);
  return *this;
}

}  // namespace pit
