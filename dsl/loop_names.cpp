#include "loop_names.h"

#include <algorithm>

#include "error.h"

namespace pit {

namespace {

bool contains(const std::vector<VarPtr> &vars, const VarPtr &v) {
  return std::ranges::find(vars, v) != vars.end();
}

std::string list(const std::vector<VarPtr> &vars) {
  std::string text;
  for (const VarPtr &v : vars) text += (text.empty() ? "" : ", ") + v->name;
  return text.empty() ? "none" : text;
}

bool said_of(const Directive &d, const FuncNode &func, int definition) {
  return d.func.lock().get() == &func && d.definition == definition;
}

// The loops of one definition while its directives are applied one by one.
class Loops {
 public:
  Loops(const FuncNode &func, int definition, const std::vector<Directive> &directives)
      : func_(func),
        definition_(definition),
        directives_(directives),
        loops_(variables_of(func, definition)),
        ever_(loops_) {}

  const std::vector<VarPtr> &loops() const { return loops_; }

  void apply(const Directive &d) {
    directive_ = &d;
    switch (d.kind) {
      case DirectiveKind::Split:
        split(d.vars[0], d.vars[1], d.vars[2]);
        break;
      case DirectiveKind::Tile:
        split(d.vars[0], d.vars[2], d.vars[4]);
        split(d.vars[1], d.vars[3], d.vars[5]);
        reorder({d.vars[2], d.vars[3], d.vars[4], d.vars[5]});
        break;
      case DirectiveKind::Fuse:
        fuse(d.vars[0], d.vars[1], d.vars[2]);
        break;
      case DirectiveKind::Reorder:
        reorder(d.vars);
        break;
      case DirectiveKind::PitTile:
        pit_tile(d.vars[0], *d.index);
        break;
      default:
        break;
    }
  }

 private:
  [[noreturn]] void fail(const std::string &problem) const {
    throw CompileError(
        definition_name(func_, definition_) + "." + to_string(directive_->kind) + ": " + problem,
        directive_->where);
  }

  // Where loop v is; fails when it is not there.
  std::size_t place(const VarPtr &v) const {
    const auto it = std::ranges::find(loops_, v);
    if (it != loops_.end()) return static_cast<std::size_t>(it - loops_.begin());
    std::string why;
    if (contains(ever_, v)) {
      why = "; an earlier directive has replaced it";
    } else if (std::ranges::any_of(loops_,
                                   [&](const VarPtr &loop) { return loop->name == v->name; })) {
      why = " (the loop " + v->name +
            " is another Var of that name: two Vars are the same only if copied)";
    }
    fail(v->name + " is not a loop of " + definition_name(func_, definition_) + " here" + why +
         "; the loops are " + list(loops_));
  }

  // A loop that a directive makes must be new, so that a name means one loop in errors and saved
  // schedules.
  void make(const VarPtr &v) {
    for (const VarPtr &other : ever_) {
      if (other == v || other->name == v->name) {
        fail("the new loop " + v->name + " has the name of a variable or an earlier loop of " +
             definition_name(func_, definition_) + " (" + list(ever_) +
             "); give it a Var with a new name");
      }
    }
    ever_.push_back(v);
  }

  void replace(std::size_t first, std::size_t count, const std::vector<VarPtr> &by) {
    const auto begin = loops_.begin() + static_cast<std::ptrdiff_t>(first);
    loops_.insert(loops_.erase(begin, begin + static_cast<std::ptrdiff_t>(count)), by.begin(),
                  by.end());
  }

  void split(const VarPtr &v, const VarPtr &outer, const VarPtr &inner) {
    const std::size_t at = place(v);
    make(outer);
    make(inner);
    replace(at, 1, {outer, inner});
  }

  void fuse(const VarPtr &outer, const VarPtr &inner, const VarPtr &fused) {
    const std::size_t at = place(outer);
    if (place(inner) != at + 1) {
      fail("only adjacent loops fuse, the outer one first, and " + inner->name +
           " does not follow " + outer->name + "; the loops are " + list(loops_) +
           ": reorder them first");
    }
    make(fused);
    replace(at, 2, {fused});
  }

  void reorder(const std::vector<VarPtr> &order) {
    std::vector<std::size_t> places;
    for (const VarPtr &v : order) {
      const std::size_t at = place(v);
      if (std::ranges::find(places, at) != places.end())
        fail("the loop " + v->name + " is named twice");
      places.push_back(at);
    }
    std::ranges::sort(places);
    for (std::size_t i = 0; i < order.size(); ++i) loops_[places[i]] = order[i];
  }

  void pit_tile(const VarPtr &tile, const IndexNode &index) {
    place(index.axis);
    make(tile);
    const std::vector<VarPtr> group = group_vars(index, directives_);
    std::vector<VarPtr> outside, inside;
    for (const VarPtr &loop : loops_) {
      const bool own = contains(group, loop) && micro_extent(index, loop) == 1;
      (own ? outside : inside).push_back(loop);
    }
    loops_ = std::move(outside);
    loops_.push_back(tile);
    loops_.insert(loops_.end(), inside.begin(), inside.end());
  }

  const FuncNode &func_;
  int definition_;
  const std::vector<Directive> &directives_;
  std::vector<VarPtr> loops_, ever_;
  const Directive *directive_ = nullptr;
};

}  // namespace

std::string definition_name(const FuncNode &func, int definition) {
  return definition == 0 ? func.name
                         : func.name + ".update(" + std::to_string(definition - 1) + ")";
}

std::vector<VarPtr> variables_of(const FuncNode &func, int definition) {
  const DefinitionData &data = func.definitions.at(static_cast<std::size_t>(definition));
  std::vector<VarPtr> vars;
  if (definition == 0) {
    vars = func.args;
  } else {
    // An update loops over the Vars that its own left-hand side reads: F(x, 0) = ... has no loop
    // over y.
    for (const Expr &arg : data.args) {
      for (const VarPtr &v : free_variables(arg)) {
        if (v->role == VarRole::Pure && !contains(vars, v)) vars.push_back(v);
      }
    }
  }
  for (const ReductionDim &dim : data.domain) vars.push_back(dim.var);
  return vars;
}

std::vector<Expr> conditions_of(const FuncNode &func, int definition) {
  const DefinitionData &data = func.definitions.at(static_cast<std::size_t>(definition));
  std::vector<Expr> conditions = func.predicates;
  conditions.insert(conditions.end(), data.predicates.begin(), data.predicates.end());
  for (const ReductionDim &dim : data.domain) {
    conditions.push_back(dim.min);
    conditions.push_back(dim.extent);
  }
  return conditions;
}

std::vector<VarPtr> loops_of(const FuncNode &func, int definition,
                             const std::vector<Directive> &directives, int specialization) {
  Loops loops(func, definition, directives);
  bool general = true;  // whether the general case's directives still belong to this specialization
  for (const Directive &d : directives) {
    if (!said_of(d, func, definition)) continue;
    if (d.kind == DirectiveKind::Specialize) {
      general = general && (specialization == 0 || d.ints.at(0) != specialization);
    } else if (d.specialization == specialization || (d.specialization == 0 && general)) {
      loops.apply(d);
    }
  }
  return loops.loops();
}

int definition_with_loop(const FuncNode &func, const VarPtr &loop,
                         const std::vector<Directive> &directives, int preferred) {
  const auto has_loop = [&](int definition) {
    if (contains(loops_of(func, definition, directives), loop)) return true;
    return std::ranges::any_of(directives, [&](const Directive &d) {
      return d.kind == DirectiveKind::Specialize && said_of(d, func, definition) &&
             contains(loops_of(func, definition, directives, static_cast<int>(d.ints.at(0))), loop);
    });
  };
  if (has_loop(preferred)) return preferred;
  for (int i = 0; i < static_cast<int>(func.definitions.size()); ++i) {
    if (has_loop(i)) return i;
  }
  return -1;
}

std::vector<VarPtr> fused_from(const VarPtr &loop, const FuncNode &func, int definition,
                               const std::vector<Directive> &directives) {
  const auto makes_it = [&](const Directive &d) {
    return d.kind == DirectiveKind::Fuse && d.vars[2] == loop;
  };
  auto it = std::ranges::find_if(
      directives, [&](const Directive &d) { return makes_it(d) && said_of(d, func, definition); });
  if (it == directives.end()) it = std::ranges::find_if(directives, makes_it);
  if (it == directives.end()) return {loop};
  std::vector<VarPtr> vars = fused_from(it->vars[0], func, definition, directives);
  for (const VarPtr &v : fused_from(it->vars[1], func, definition, directives)) vars.push_back(v);
  return vars;
}

std::vector<VarPtr> originals_of(const VarPtr &loop, const FuncNode &func, int definition,
                                 const std::vector<Directive> &directives) {
  if (contains(variables_of(func, definition), loop)) return {loop};
  for (const Directive &d : directives) {
    if (!said_of(d, func, definition)) continue;
    std::vector<VarPtr> from;
    switch (d.kind) {
      case DirectiveKind::Split:
        if (loop == d.vars[1] || loop == d.vars[2]) from = {d.vars[0]};
        break;
      case DirectiveKind::Tile:
        if (loop == d.vars[2] || loop == d.vars[4]) from = {d.vars[0]};
        if (loop == d.vars[3] || loop == d.vars[5]) from = {d.vars[1]};
        break;
      case DirectiveKind::Fuse:
        if (loop == d.vars[2]) from = {d.vars[0], d.vars[1]};
        break;
      case DirectiveKind::PitTile:
        if (loop == d.vars[0]) from = {d.index->axis};
        break;
      default:
        break;
    }
    std::vector<VarPtr> originals;
    for (const VarPtr &v : from) {
      for (const VarPtr &original : originals_of(v, func, definition, directives))
        originals.push_back(original);
    }
    if (!originals.empty()) return originals;
  }
  return {};
}

std::vector<VarPtr> group_vars(const IndexNode &index, const std::vector<Directive> &directives) {
  const FuncPtr func = index.func.lock();
  internal_check(func != nullptr, "an index outlived its Func");
  std::vector<VarPtr> read;
  const std::vector<Expr> sources = index.group.defined() ? std::vector<Expr>{index.group}
                                                          : conditions_of(*func, index.definition);
  for (const Expr &e : sources) {
    for (const VarPtr &v : free_variables(e)) read.push_back(v);
  }
  const std::vector<VarPtr> axis = fused_from(index.axis, *func, index.definition, directives);
  std::vector<VarPtr> group;
  for (const VarPtr &v : variables_of(*func, index.definition)) {
    if (contains(read, v) && !contains(axis, v) && v != index.axis) group.push_back(v);
  }
  return group;
}

std::string new_index_name(const FuncNode &func, const std::vector<Directive> &directives) {
  const std::string base = func.name + ".index";
  const auto taken = [&](const std::string &name) {
    return std::ranges::any_of(
        directives, [&](const Directive &d) { return d.index && d.index->name == name; });
  };
  std::string name = base;
  for (int i = 2; taken(name); ++i) name = base + "." + std::to_string(i);
  return name;
}

std::int64_t micro_extent(const IndexNode &index, const VarPtr &v) {
  const auto it =
      std::ranges::find_if(index.micro, [&](const auto &entry) { return entry.first == v; });
  return it == index.micro.end() ? 1 : it->second;
}

int compact_rank(const FuncNode &func, const IndexNode &index,
                 const std::vector<Directive> &directives) {
  const FuncPtr owner = index.func.lock();
  internal_check(owner != nullptr, "an index outlived its Func");
  std::vector<VarPtr> covered = fused_from(index.axis, *owner, index.definition, directives);
  for (const VarPtr &v : group_vars(index, directives)) covered.push_back(v);
  int rank = 1;
  for (const auto &[v, extent] : index.micro) {
    covered.push_back(v);
    if (extent > 1) ++rank;
  }
  for (const VarPtr &v : func.args) {
    if (!contains(covered, v)) ++rank;
  }
  return rank;
}

}  // namespace pit
