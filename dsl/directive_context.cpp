#include "directive_context.h"

#include <algorithm>
#include <set>

#include "analysis/races.h"
#include "error.h"

namespace pit {

bool DirectiveContext::contains(const std::vector<VarPtr> &vars, const VarPtr &v) {
  return std::ranges::find(vars, v) != vars.end();
}

std::string DirectiveContext::list(const std::vector<VarPtr> &vars) {
  std::string text;
  for (const VarPtr &v : vars) text += (text.empty() ? "" : ", ") + v->name;
  return text.empty() ? "none" : text;
}

DirectiveContext::DirectiveContext(const Directive &d, const std::vector<Directive> &before)
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

void DirectiveContext::fail(const std::string &problem) const {
  throw CompileError(name() + "." + to_string(d_.kind) + ": " + problem, d_.where);
}

std::string DirectiveContext::name() const { return definition_name(*func_, d_.definition); }
const DefinitionData &DirectiveContext::definition() const {
  return func_->definitions[static_cast<std::size_t>(d_.definition)];
}

std::string DirectiveContext::what_combiner() const {
  return d_.definition == 0
             ? name() + " is a pure definition"
             : name() + " is a plain store, whose iterations must run in the order written";
}

bool DirectiveContext::same_definition(const Directive &other) const {
  return other.func.lock() == func_ && other.definition == d_.definition;
}

bool DirectiveContext::said(DirectiveKind kind) const {
  return std::ranges::any_of(before_, [&](const Directive &other) {
    return other.kind == kind && same_definition(other) &&
           (other.specialization == 0 || other.specialization == d_.specialization);
  });
}

std::vector<VarPtr> DirectiveContext::loops_after() const {
  std::vector<Directive> all = before_;
  all.push_back(d_);
  return loops_of(*func_, d_.definition, all, d_.specialization);
}

bool DirectiveContext::is_reduction(const VarPtr &loop) const {
  const std::vector<VarPtr> originals = originals_of(loop, *func_, d_.definition, before_);
  return std::ranges::any_of(originals, [&](const VarPtr &v) {
    return std::ranges::any_of(definition().domain,
                               [&](const ReductionDim &dim) { return dim.var == v; });
  });
}

std::string DirectiveContext::order_reason(const VarPtr &loop) const {
  if (is_reduction(loop) && !is_permutable(combiner())) return what_combiner();
  const std::vector<VarPtr> originals = originals_of(loop, *func_, d_.definition, before_);
  const SelfReads self = self_reads(*func_, d_.definition);
  const bool apart =
      std::ranges::all_of(originals, [&](const VarPtr &v) { return contains(self.apart, v); });
  if (!self.read.defined() || apart) return {};
  return name() + " reads " + to_string(self.read) + ", which other iterations write";
}

void DirectiveContext::positive(std::int64_t value, const std::string &what) const {
  if (value <= 0) fail("the " + what + " is " + std::to_string(value) + "; it must be at least 1");
  if (value > kMostExtent) {
    fail("the " + what + " is " + std::to_string(value) + "; it must be at most " +
         std::to_string(kMostExtent));
  }
}

void DirectiveContext::positive_ints(const std::string &what) const {
  for (const std::int64_t value : d_.ints) positive(value, what);
}

void DirectiveContext::existing_loop(const VarPtr &v) const {
  if (contains(loops_, v)) return;
  std::string why;
  if (std::ranges::any_of(loops_, [&](const VarPtr &loop) { return loop->name == v->name; })) {
    why = " (the loop " + v->name +
          " is another Var of that name: two Vars are the same only if copied)";
  } else if (!originals_of(v, *func_, d_.definition, before_).empty()) {
    why = "; an earlier directive has replaced it";
  }
  fail(v->name + " is not a loop of " + name() + " here" + why + "; the loops are " + list(loops_));
}

void DirectiveContext::existing_loops() const {
  for (const VarPtr &v : d_.vars) existing_loop(v);
}

void DirectiveContext::distinct_vars() const {
  for (std::size_t i = 0; i < d_.vars.size(); ++i) {
    if (std::find(d_.vars.begin(), d_.vars.begin() + static_cast<std::ptrdiff_t>(i), d_.vars[i]) !=
        d_.vars.begin() + static_cast<std::ptrdiff_t>(i)) {
      fail(d_.vars[i]->name + " is named twice");
    }
  }
}

void DirectiveContext::distinct(const Pairs &extents, const std::string &field) const {
  std::set<VarPtr> seen;
  for (const auto &[v, extent] : extents) {
    if (!v) fail(field + " has an entry without a loop: an empty VarOrRVar");
    if (!seen.insert(v).second) fail(field + " names " + v->name + " twice");
  }
}

}  // namespace pit
