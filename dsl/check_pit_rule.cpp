// Rules of PIT rules, of the indices they build, and of what is gathered and kept by them.
#include <algorithm>

#include "directive_context.h"
#include "error.h"

namespace pit {

namespace {

class PitRuleCheck : DirectiveContext {
 public:
  using DirectiveContext::DirectiveContext;

  void run() const {
    switch (d_.kind) {
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
      case DirectiveKind::StoreCompact:
        store_compact();
        break;
      default:
        throw InternalError("not a directive about an index");
    }
  }

 private:
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
    if (!owner) {
      fail("the Func that the index " + index.name +
           " lists iterations of is gone; keep it, or make the index of " + name());
    }
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
};

}  // namespace

void check_pit_rule(const Directive &d, const std::vector<Directive> &before) {
  PitRuleCheck(d, before).run();
}

}  // namespace pit
