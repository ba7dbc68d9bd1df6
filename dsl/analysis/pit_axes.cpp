#include "dsl/analysis/pit_axes.h"

#include <algorithm>
#include <numeric>

#include "dsl/analysis/races.h"
#include "dsl/analysis/separable.h"
#include "dsl/loop_names.h"

namespace pit {

namespace {

bool contains(const std::vector<VarPtr> &vars, const VarPtr &v) {
  return std::find(vars.begin(), vars.end(), v) != vars.end();
}

std::string list_of(const std::vector<VarPtr> &vars) {
  std::string text;
  for (std::size_t i = 0; i < vars.size(); ++i) {
    if (i > 0) text += i + 1 == vars.size() ? " and " : ", ";
    text += vars[i]->name;
  }
  return text;
}

/// Without the conversion to int64 that definitions put around arguments and bounds.
std::string as_written(const Expr &e) {
  const auto *conversion = e.as<Cast>();
  return to_string(conversion != nullptr && e.type() == int64 ? conversion->a : e);
}

/// Direct reads are all there are: a Func that reads itself through another one has no definition.
bool reads(const Expr &e, const FuncNode *func) {
  bool found = false;
  walk(e, [&](const Expr &part) {
    const auto *call = part.as<Call>();
    found = found || (call != nullptr && call->func == func);
    return !found;
  });
  return found;
}

/// One question: the axis of one definition. The checks return the reason why not, or an empty
/// text.
class Axis {
 public:
  Axis(const FuncNode &func, int definition, const AxisChoice &choice)
      : func_(func),
        data_(func.definitions.at(static_cast<std::size_t>(definition))),
        choice_(choice),
        name_(definition_name(func, definition)),
        vars_(choice.fused_from) {
    if (vars_.empty()) vars_ = {choice.axis};
    group_ = find_group(definition);
  }

  AxisReport report() {
    AxisReport report;
    report.axis = choice_.axis;
    const bool reduces = std::any_of(vars_.begin(), vars_.end(),
                                     [](const VarPtr &v) { return v->role == VarRole::Reduction; });
    report.kind = reduces ? AxisKind::Reduction : AxisKind::Free;
    report.needs_combine = needs_combine(data_, vars_, group_, partitioned_);
    for (auto check : {&Axis::check_self_reference, &Axis::check_order, &Axis::check_accesses}) {
      report.reason = (this->*check)();
      if (!report.reason.empty()) return report;
    }
    report.is_pit = true;
    report.period = period_;
    report.proof = proof(report);
    return report;
  }

 private:
  const FuncNode &func_;
  const DefinitionData &data_;
  const AxisChoice &choice_;
  std::string name_;
  std::vector<VarPtr> vars_;   // what the axis is made of
  std::vector<VarPtr> group_;  // without those
  bool partitioned_ = false;
  std::int64_t period_ = 0;
  std::vector<std::string> gathered_;  // accesses that hold the axis

  /// Predicates and domain bounds: what decides which iterations run.
  std::vector<Expr> conditions() const {
    std::vector<Expr> all = func_.predicates;
    all.insert(all.end(), data_.predicates.begin(), data_.predicates.end());
    for (const ReductionDim &dim : data_.domain) {
      all.push_back(dim.min);
      all.push_back(dim.extent);
    }
    return all;
  }

  std::vector<VarPtr> find_group(int definition) {
    std::vector<VarPtr> read;
    if (choice_.group.defined()) {
      read = free_variables(choice_.group);
      partitioned_ = std::any_of(read.begin(), read.end(),
                                 [&](const VarPtr &v) { return contains(vars_, v); });
    } else {
      for (const Expr &e : conditions()) {
        for (const VarPtr &v : free_variables(e)) read.push_back(v);
      }
    }
    std::vector<VarPtr> group;
    for (const VarPtr &v : variables_of(func_, definition)) {
      if (contains(read, v) && !contains(vars_, v)) group.push_back(v);
    }
    return group;
  }

  std::string check_self_reference() {
    for (const std::vector<Expr> *exprs : {&data_.values, &data_.args}) {
      for (const Expr &e : *exprs) {
        if (!reads(e, &func_)) continue;
        return name_ + " reads " + func_.name + " in `" + as_written(e) +
               "`: the iterations of a scan or of an update that refers to itself need their "
               "order. Write it as a "
               "reduction (+=, *=, min, max, &&, ||), or read another Func";
      }
    }
    for (const Expr &e : conditions()) {
      if (!reads(e, &func_)) continue;
      return "`" + as_written(e) + "`, which decides what runs, reads " + func_.name + ", which " +
             name_ +
             " updates: predicates and bounds must not depend on the order of the iterations. "
             "Compute them from "
             "another Func";
    }
    return {};
  }

  std::string left_hand_side() const {
    std::string text = func_.name + "(";
    for (std::size_t i = 0; i < data_.args.size(); ++i)
      text += (i > 0 ? ", " : "") + as_written(data_.args[i]);
    return text + ")";
  }

  std::string check_order() {
    const std::string axis = choice_.axis->name;
    if (data_.combiner == Combiner::TopK) {
      const VarPtr &slot = func_.args.back();
      if (!contains(vars_, slot)) return {};
      return slot->name + " is the slot of top_k in " + name_ +
             ": the slots are found together. Permute another axis";
    }
    if (is_permutable(data_.combiner)) return {};
    const std::string legal =
        ". Use +=, *=, min or max, or give every iteration an element of its own";
    switch (race_along(data_, vars_)) {
      case Race::SharedAccumulator:
        return name_ + " stores with = and all iterations of " + axis + " write one element, " +
               left_hand_side() + ": the last one would win" + legal;
      case Race::Colliding:
        return name_ + " is a scattered plain store: two iterations of " + axis +
               " may write one element of " + left_hand_side() + ", and the last one would win" +
               legal;
      case Race::None:
        break;
    }
    const std::vector<VarPtr> told = determined_variables(data_);
    for (const VarPtr &v : group_) {
      if (contains(told, v)) continue;
      return name_ + " stores with = and the groups of " + axis + ", one for each " + v->name +
             ", may write one element of " + left_hand_side() + legal;
    }
    return {};
  }

  std::string check_accesses() {
    for (const Expr &arg : data_.args) {
      std::string reason = check_index(arg, left_hand_side());
      if (!reason.empty()) return reason;
    }
    for (const std::vector<Expr> *exprs : {&data_.args, &data_.values}) {
      for (const Expr &e : *exprs) {
        std::string reason;
        walk(e, [&](const Expr &part) {
          if (!reason.empty()) return false;
          const auto *load = part.as<Load>();
          const auto *call = part.as<Call>();
          if (load != nullptr || call != nullptr)
            reason = check_access(part, load ? load->indices : call->args);
          return reason.empty();
        });
        if (!reason.empty()) return reason;
      }
    }
    return {};
  }

  std::string check_access(const Expr &access, const std::vector<Expr> &indices) {
    const std::string text = to_string(access);
    bool holds = false;
    for (const Expr &index : indices) {
      std::string reason = check_index(index, text);
      if (!reason.empty()) return reason;
      holds = holds || std::any_of(vars_.begin(), vars_.end(),
                                   [&](const VarPtr &v) { return uses(index, v); });
    }
    if (holds && std::find(gathered_.begin(), gathered_.end(), text) == gathered_.end())
      gathered_.push_back(text);
    return {};
  }

  /// Micro-tiles begin at the axis's minimum, the runs of an index at multiples of its period.
  std::int64_t period_from_minimum(std::int64_t period) const {
    for (const ReductionDim &dim : data_.domain) {
      std::int64_t min = 0;
      if (dim.var != vars_.front() || period == 0) continue;
      return is_const_int(dim.min, &min) ? std::gcd(period, min) : 1;
    }
    return period;
  }

  std::string check_index(const Expr &index, const std::string &access) {
    AxisForm form = axis_form(index, vars_);
    if (!form.depends) return {};
    form.period = period_from_minimum(form.period);
    const std::string axis = choice_.axis->name,
                      text = "index `" + as_written(index) + "` of " + access;
    std::vector<VarPtr> mixed;
    for (const VarPtr &v : form.joint) {
      if (!contains(group_, v)) mixed.push_back(v);
    }
    if (!mixed.empty()) {
      return text + " mixes " + axis + " with " + list_of(mixed) + " in `" + to_string(form.part) +
             "`: the access is not separable, g(axis, group) + h(rest). Put " + list_of(mixed) +
             (mixed.size() == 1 ? " in the group, or fuse it with "
                                : " in the group, or fuse them with ") +
             axis;
    }
    if (choice_.micro > 1 && form.period != 0 && form.period % choice_.micro != 0) {
      return text + " is not affine in " + axis + " within a micro-tile of " +
             std::to_string(choice_.micro) + ": the micro extent of " + axis +
             (form.period == 1 ? " must be 1" : " must divide " + std::to_string(form.period));
    }
    period_ = std::gcd(period_, form.period);
    return {};
  }

  std::string proof(const AxisReport &report) const {
    const std::string axis = choice_.axis->name;
    std::string text;
    const Race race = race_along(data_, vars_);
    if (race == Race::None) {
      text = "every iteration of " + axis + " writes elements of its own";
    } else if (data_.combiner == Combiner::TopK) {
      text = "top_k over " + axis + " breaks ties by coordinate, so it has no order";
    } else {
      const std::string combiner =
          data_.combiner == Combiner::Softmax ? "the softmax state" : to_string(data_.combiner);
      text = axis + " is reduced by " + combiner + ", which is associative and commutative";
    }
    if (gathered_.empty()) {
      text += "; no access holds it";
    } else {
      text += "; separable accesses: ";
      for (std::size_t i = 0; i < gathered_.size(); ++i) text += (i > 0 ? ", " : "") + gathered_[i];
    }
    if (report.needs_combine) text += "; tiles may meet in one element and are combined";
    return text;
  }
};

}  // namespace

AxisReport pit_axis(const FuncNode &func, int definition, const AxisChoice &choice) {
  return Axis(func, definition, choice).report();
}

std::vector<AxisReport> pit_axes(const Definition &definition) {
  std::vector<AxisReport> reports;
  const FuncNode &func = *definition.func();
  for (const VarPtr &axis : variables_of(func, definition.number())) {
    reports.push_back(pit_axis(func, definition.number(), {.axis = axis}));
  }
  return reports;
}

}  // namespace pit
