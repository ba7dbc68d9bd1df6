#include "reference_index.h"

#include <algorithm>

#include "error.h"
#include "func.h"
#include "loop_names.h"

namespace pit::reference {

std::int64_t IndexLists::axis_extent() const {
  std::int64_t extent = 1;
  for (const RangedVar &part : axis) extent *= part.extent;
  return extent;
}

std::int64_t IndexLists::position(std::int64_t g, std::int64_t coordinate) const {
  if (g < 0 || g >= groups()) return -1;
  const auto first = coordinates.begin() + offsets[static_cast<std::size_t>(g)];
  const auto last = first + counts[static_cast<std::size_t>(g)];
  const auto entry = std::upper_bound(first, last, coordinate);
  if (entry == first || coordinate - *(entry - 1) >= micro) return -1;
  return entry - 1 - coordinates.begin();
}

namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

template <class V>
class Builder {
 public:
  Builder(const IndexNode &index, const std::vector<Directive> &directives,
          const DimensionExtent &extent_of, Environment<V> &environment)
      : index_(index),
        directives_(directives),
        extent_of_(extent_of),
        environment_(environment),
        func_(index.func.lock()) {
    internal_check(func_ != nullptr, "an index outlived its Func");
    definition_ = &func_->definitions.at(static_cast<std::size_t>(index.definition));
    for (const Expr &p : func_->predicates) predicates_.push_back(p);
    for (const Expr &p : definition_->predicates) predicates_.push_back(p);
    for (const VarPtr &v : variables_of(*func_, index.definition)) scope_.slot(v);
    for (const Expr &p : predicates_) tests_.push_back(compile(p, scope_, environment_));
  }

  IndexLists build(std::int64_t groups) {
    lists_.micro = micro_extent(index_, index_.axis);
    axis_ = fused_from(index_.axis, *func_, index_.definition, directives_);
    if (index_.given_offsets) {
      take_given();
    } else if (has_key()) {
      build_keyed(groups);
    } else {
      build_listed();
    }
    return std::move(lists_);
  }

 private:
  using Values = std::vector<std::int64_t>;

  // --- what the index ranges over ---

  const ReductionDim *domain_of(const VarPtr &v) const {
    for (const ReductionDim &dim : definition_->domain) {
      if (dim.var == v) return &dim;
    }
    return nullptr;
  }

  /// The range of a variable, with the variables that its bounds read having their values in the
  /// frame.
  RangedVar range_of(const VarPtr &v) {
    if (const ReductionDim *dim = domain_of(v)) {
      return {v, evaluate(dim->min), std::max<std::int64_t>(evaluate(dim->extent), 0)};
    }
    const auto it = std::find(func_->args.begin(), func_->args.end(), v);
    internal_check(it != func_->args.end(),
                   "an index over " + v->name + ", which is no variable of its definition");
    RangedVar range = extent_of_(*func_, static_cast<int>(it - func_->args.begin()));
    range.var = v;
    return range;
  }

  std::int64_t evaluate(const Expr &e) { return compile(e, scope_, environment_)->integer(frame_); }
  std::int64_t &value(const VarPtr &v) {
    return frame_.slots[static_cast<std::size_t>(scope_.slots.at(v.get()))];
  }

  bool in_axis(const VarPtr &v) const {
    return std::find(axis_.begin(), axis_.end(), v) != axis_.end();
  }

  bool axis_bounds_read(const VarPtr &v) const {
    return std::any_of(axis_.begin(), axis_.end(), [&](const VarPtr &part) {
      const ReductionDim *dim = domain_of(part);
      return dim != nullptr && (uses(dim->min, v) || uses(dim->extent, v));
    });
  }
  bool predicates_read(const VarPtr &v) const {
    return std::any_of(predicates_.begin(), predicates_.end(),
                       [&](const Expr &p) { return uses(p, v); });
  }

  bool has_key() const {
    return index_.group.defined() &&
           std::any_of(axis_.begin(), axis_.end(),
                       [&](const VarPtr &part) { return uses(index_.group, part); });
  }

  /// The variables of a group without a key: those of `.group = v / c`, else those that the
  /// predicates and the axis's bounds read. An RVar is one of them only if its micro extent is
  /// given; otherwise a micro-tile covers it.
  void find_group() {
    if (index_.group.defined()) {
      const Binary *division = index_.group.as<Binary>();
      std::int64_t micro = 1;
      const bool divided =
          division != nullptr && division->op == BinaryOp::Div && is_const_int(division->b, &micro);
      const Variable *v = (divided ? division->a : index_.group).as<Variable>();
      internal_check(v != nullptr, "a group that is neither a key nor a variable");
      lists_.group.push_back(range_of(v->var));
      lists_.group.back().micro = micro;
      return;
    }
    for (const VarPtr &v : variables_of(*func_, index_.definition)) {
      const bool given = std::any_of(index_.micro.begin(), index_.micro.end(),
                                     [&](const auto &m) { return m.first == v; });
      if (in_axis(v) || !(predicates_read(v) || axis_bounds_read(v)) ||
          (domain_of(v) != nullptr && !given))
        continue;
      lists_.group.push_back(range_of(v));
      lists_.group.back().micro = micro_extent(index_, v);
    }
  }

  // --- passing ---

  bool predicates_hold() {
    return std::all_of(tests_.begin(), tests_.end(),
                       [&](const auto &test) { return test->integer(frame_) != 0; });
  }

  /// Whether any values of the covered variables pass, the others being fixed.
  bool any_covered_passes(std::size_t next) {
    if (next == covered_.size()) return predicates_hold();
    const RangedVar range = range_of(covered_[next]);
    for (std::int64_t i = 0; i < range.extent; ++i) {
      value(covered_[next]) = range.min + i;
      if (any_covered_passes(next + 1)) return true;
    }
    return false;
  }

  void set_axis(std::int64_t coordinate) {
    if (lists_.axis.size() == 1) {
      value(lists_.axis[0].var) = coordinate;
      return;
    }
    for (std::size_t part = lists_.axis.size(); part-- > 0;) {  // a fused coordinate counts from 0
      const RangedVar &range = lists_.axis[part];
      value(range.var) = range.min + coordinate % range.extent;
      coordinate /= range.extent;
    }
  }

  /// Whether any iteration of the micro-tile at axis coordinate `begin` passes; group[next...]
  /// start at `corner`.
  bool tile_passes(const Values &corner, std::size_t next, std::int64_t begin, std::int64_t end) {
    if (next < lists_.group.size()) {
      const RangedVar &g = lists_.group[next];
      const std::int64_t last = std::min(corner[next] + g.micro, g.min + g.extent);
      for (std::int64_t i = corner[next]; i < last; ++i) {
        value(g.var) = i;
        if (tile_passes(corner, next + 1, begin, end)) return true;
      }
      return false;
    }
    for (std::int64_t a = begin; a < end; ++a) {
      set_axis(a);
      if (any_covered_passes(0)) return true;
    }
    return false;
  }

  // --- lists ---

  void find_axis_and_covered() {
    lists_.axis.clear();
    for (const VarPtr &part : axis_) lists_.axis.push_back(range_of(part));
  }

  void close_group(std::int64_t count) {
    while (lists_.coordinates.size() % static_cast<std::size_t>(index_.align) != 0)
      lists_.coordinates.push_back(-1);
    lists_.counts.push_back(count);
    lists_.kept += count;
    lists_.offsets.push_back(static_cast<std::int64_t>(lists_.coordinates.size()));
  }

  void build_listed() {
    find_group();
    for (const ReductionDim &dim : definition_->domain) {
      const bool in_group = std::any_of(lists_.group.begin(), lists_.group.end(),
                                        [&](const RangedVar &g) { return g.var == dim.var; });
      if (!in_axis(dim.var) && !in_group && predicates_read(dim.var)) covered_.push_back(dim.var);
    }
    std::int64_t groups = 1;
    for (const RangedVar &g : lists_.group) groups *= ceil_div(g.extent, g.micro);
    lists_.offsets = {0};
    Values corner(lists_.group.size());
    for (std::int64_t g = 0; g < groups; ++g) {
      std::int64_t rest = g;
      for (std::size_t i = lists_.group.size(); i-- > 0;) {
        const RangedVar &range = lists_.group[i];
        const std::int64_t n = ceil_div(range.extent, range.micro);
        corner[i] = range.min + rest % n * range.micro;
        rest /= n;
        value(range.var) = corner[i];
      }
      find_axis_and_covered();  // the axis's bounds may depend on the group
      const std::int64_t first = lists_.axis.size() == 1 ? lists_.axis[0].min : 0;
      const std::int64_t end = first + lists_.axis_extent();
      std::int64_t count = 0;
      for (std::int64_t a = first; a < end; a += lists_.micro) {
        ++lists_.candidates;
        if (!tile_passes(corner, 0, a, std::min(a + lists_.micro, end))) continue;
        lists_.coordinates.push_back(a);
        ++count;
      }
      close_group(count);
    }
    if (groups == 0) {
      for (const VarPtr &part : axis_) lists_.axis.push_back({part});
    }
  }

  /// The variables besides the axis that the predicates read, and those of their bounds, outermost
  /// first.
  std::vector<VarPtr> read_beyond_axis() const {
    std::vector<VarPtr> read, variables = variables_of(*func_, index_.definition);
    while (!variables.empty()) {  // bounds read what stands before
      const VarPtr v = variables.back();
      variables.pop_back();
      const bool in_bounds = std::any_of(read.begin(), read.end(), [&](const VarPtr &r) {
        const ReductionDim *dim = domain_of(r);
        return dim != nullptr && (uses(dim->min, v) || uses(dim->extent, v));
      });
      if (!in_axis(v) && (in_bounds || predicates_read(v))) read.insert(read.begin(), v);
    }
    return read;
  }

  /// Positions by the value of the key. A negative key, or a predicate that fails, drops the
  /// position.
  void build_keyed(std::int64_t groups) {
    find_axis_and_covered();
    covered_ = read_beyond_axis();
    const CodePtr<V> key = compile(index_.group, scope_, environment_);
    const std::int64_t first = lists_.axis.size() == 1 ? lists_.axis[0].min : 0;
    std::vector<Values> members(static_cast<std::size_t>(std::max<std::int64_t>(groups, 0)));
    for (std::int64_t a = first; a < first + lists_.axis_extent(); ++a) {
      set_axis(a);
      ++lists_.candidates;
      if (!any_covered_passes(0)) continue;
      const std::int64_t g = key->integer(frame_);
      if (g < 0) continue;
      if (groups < 0 && g >= static_cast<std::int64_t>(members.size()))
        members.resize(static_cast<std::size_t>(g) + 1);
      if (g >= static_cast<std::int64_t>(members.size())) {
        throw RuntimeError("index " + index_.name + ": key " + std::to_string(g) + " at position " +
                           std::to_string(a) + " is out of range; there are " +
                           std::to_string(groups) + " groups");
      }
      members[static_cast<std::size_t>(g)].push_back(a);
    }
    lists_.offsets = {0};
    for (const Values &list : members) {
      lists_.coordinates.insert(lists_.coordinates.end(), list.begin(), list.end());
      close_group(static_cast<std::int64_t>(list.size()));
    }
  }

  void take_given() {
    find_group();
    find_axis_and_covered();
    const AnyBuffer &offsets = environment_.tensor(*index_.given_offsets);
    const AnyBuffer &coordinates = environment_.tensor(*index_.given_coordinates);
    for (std::int64_t g = 0; g < offsets.extent(0); ++g) {
      lists_.offsets.push_back(static_cast<std::int64_t>(offsets.number(std::span(&g, 1))));
    }
    for (std::int64_t e = 0; e < coordinates.extent(0); ++e) {
      lists_.coordinates.push_back(static_cast<std::int64_t>(coordinates.number(std::span(&e, 1))));
    }
    for (std::size_t g = 0; g + 1 < lists_.offsets.size(); ++g) {
      lists_.counts.push_back(lists_.offsets[g + 1] - lists_.offsets[g]);
      lists_.kept += lists_.counts.back();
    }
    lists_.candidates = lists_.groups() * ceil_div(lists_.axis_extent(), lists_.micro);
  }

  const IndexNode &index_;
  const std::vector<Directive> &directives_;
  const DimensionExtent &extent_of_;
  Environment<V> &environment_;
  FuncPtr func_;
  const DefinitionData *definition_ = nullptr;
  std::vector<Expr> predicates_;
  std::vector<CodePtr<V>> tests_;
  std::vector<VarPtr> axis_, covered_;
  Scope<V> scope_;
  Frame<V> frame_{};
  IndexLists lists_;
};

}  // namespace

template <class V>
IndexLists build_index(const IndexNode &index, const std::vector<Directive> &directives,
                       std::int64_t groups, const DimensionExtent &extent_of,
                       Environment<V> &environment) {
  try {
    return Builder<V>(index, directives, extent_of, environment).build(groups);
  } catch (const IndexOutOfRange &error) {
    throw RuntimeError(error.message + ", in the predicates of index " + index.name);
  }
}

template IndexLists build_index(const IndexNode &, const std::vector<Directive> &, std::int64_t,
                                const DimensionExtent &, Environment<double> &);
template IndexLists build_index(const IndexNode &, const std::vector<Directive> &, std::int64_t,
                                const DimensionExtent &, Environment<Bounded> &);

}  // namespace pit::reference
