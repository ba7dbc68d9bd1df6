// What every sparse index lists: its kind, groups and predicates.

#include <algorithm>
#include <functional>

#include "dsl/error.h"
#include "dsl/loop_names.h"
#include "host_sizes.h"
#include "interval.h"
#include "loops.h"

namespace pit::lower {
namespace {

Expr ceil_div(const Expr &a, std::int64_t b) {
  return b == 1 ? a : (a + make_int(int64, b - 1)) / make_int(int64, b);
}

class IndexPlanner {
 public:
  IndexPlanner(Plan *plan, IndexPlan *index)
      : plan_(plan),
        index_(index),
        def_(index->stage->definitions.at(static_cast<std::size_t>(index->definition))) {}

  void run() {
    index_->predicates = def_.predicates;
    find_axis();
    find_group();
    find_covered();
    choose_kind();
    index_->exact = wants_real_lists();
    index_->totalled = index_->exact || is_asked_for(*plan_, *index_, true);
    size_lists();
    make_storages();
    explain();
  }

 private:
  Plan *plan_;
  IndexPlan *index_;
  const PlannedDefinition &def_;

  [[noreturn]] void fail(const std::string &message) const {
    throw CompileError("index " + index_->name() + " of " +
                           definition_name(*index_->stage->func, index_->definition) + ": " +
                           message,
                       index_->node->where);
  }

  /// Range of a variable of the definition; for a reduction variable it may read other variables.
  Range range_of(const VarPtr &v) const {
    const auto &args = index_->stage->func->args;
    if (auto it = std::find(args.begin(), args.end(), v); it != args.end()) {
      const auto position = static_cast<std::size_t>(it - args.begin());
      if (index_->stage->region.size() <= position ||
          !index_->stage->region[position].min.defined()) {
        fail("the range of " + v->name + " is not known because " + index_->stage->name() +
             " is computed at a tile; declare it: " + index_->stage->name() + ".bound(" + v->name +
             ", 0, extent)");
      }
      return index_->stage->region[position];
    }
    for (const ReductionDim &dim : def_.domain) {
      if (dim.var == v) return {to_int64(dim.min), to_int64(dim.extent)};
    }
    fail(v->name + " is not a variable of the definition");
  }

  bool is_reduction(const VarPtr &v) const {
    return std::any_of(def_.domain.begin(), def_.domain.end(),
                       [&](const ReductionDim &d) { return d.var == v; });
  }

  bool predicates_read(const VarPtr &v) const {
    auto tested = [&](const VarPtr &x) {
      return std::any_of(index_->predicates.begin(), index_->predicates.end(),
                         [&](const Expr &p) { return uses(p, x); });
    };
    if (tested(v)) return true;
    // A reduction variable that is tested brings the variables of its bounds.
    return std::any_of(def_.domain.begin(), def_.domain.end(), [&](const ReductionDim &dim) {
      return !is_axis_part(dim.var) && tested(dim.var) && (uses(dim.min, v) || uses(dim.extent, v));
    });
  }

  bool is_axis_part(const VarPtr &v) const {
    return std::find(index_->axis_parts.begin(), index_->axis_parts.end(), v) !=
           index_->axis_parts.end();
  }

  void find_axis() {
    const Schedule schedule = plan_->pipeline->schedule();
    index_->axis_parts =
        fused_from(index_->axis, *index_->stage->func, index_->definition, schedule.directives);
    Expr extent = make_int(int64, 1);
    for (const VarPtr &part : index_->axis_parts) {
      Range range = range_of(part);
      range.extent = not_negative(range.extent);
      index_->axis_part_ranges.push_back(range);
      extent = extent * range.extent;
    }
    index_->axis_range = {
        index_->axis_parts.size() == 1 ? index_->axis_part_ranges[0].min : make_int(int64, 0),
        extent};
    index_->micro = micro_extent(*index_->node, index_->axis);
    for (const auto &[v, size] : index_->node->micro) {
      if (size > kLargestTile) {
        fail("a micro-tile of " + std::to_string(size) + " of " + v->name + " is larger than " +
             std::to_string(kLargestTile));
      }
    }
    for (const VarPtr &v : free_variables(index_->axis_range.min + index_->axis_range.extent)) {
      index_->data_dependent_range |= v->role == VarRole::Pure || v->role == VarRole::Reduction;
    }
    if (index_->data_dependent_range && index_->axis_parts.size() > 1) {
      fail("a fused axis needs bounds that do not depend on other variables");
    }
  }

  void add_group_var(const VarPtr &v, std::int64_t micro) {
    GroupVar g;
    g.var = v;
    g.micro = micro;
    g.reduction = is_reduction(v);
    g.range = range_of(v);
    g.range.extent = not_negative(g.range.extent);
    for (const VarPtr &other : free_variables(g.range.min + g.range.extent)) {
      if (other->role == VarRole::Pure || other->role == VarRole::Reduction) {
        fail("the bounds of " + v->name + ", a variable of the group, depend on " + other->name);
      }
    }
    g.groups = ceil_div(g.range.extent, micro);
    index_->group.push_back(g);
  }

  void find_group() {
    const Expr &key = index_->node->group;
    if (key.defined()) {
      if (const Call *call = key.as<Call>(); call && call->func->segment_offsets) {
        index_->segment_offsets = call->func->segment_offsets;
        check_micro_of_axis_alone();
        return;
      }
      bool reads_axis = false;
      for (const VarPtr &part : index_->axis_parts) reads_axis |= uses(key, part);
      if (reads_axis) {
        index_->key = inlined_key(key);
        for (const VarPtr &v : free_variables(index_->key)) {
          if (!is_axis_part(v)) {
            fail("the key " + to_string(key) + " reads " + v->name + " besides the axis " +
                 index_->axis->name +
                 "; a key says the group of a position, so it may only read the axis: fuse " +
                 v->name + " into it");
          }
        }
        check_micro_of_axis_alone();
        set_aside_unlisted();
        return;
      }
      std::int64_t c = 1;
      const Binary *b = key.as<Binary>();
      const Variable *v = key.as<Variable>();
      if (b && b->op == BinaryOp::Div && is_const_int(b->b, &c) && c > 0) v = b->a.as<Variable>();
      if (!v)
        fail("group = " + to_string(key) +
             " neither reads the axis (a key) nor is a variable or variable / constant");
      add_group_var(v->var, c);
      for (const VarPtr &other : variables_of(*index_->stage->func, index_->definition)) {
        const bool read = predicates_read(other) || uses(index_->axis_range.min, other) ||
                          uses(index_->axis_range.extent, other);
        if (!read || other == v->var || is_axis_part(other) || is_reduction(other)) continue;
        fail("the predicates read " + other->name + ", which group = " + to_string(key) +
             " does not hold; leave .group away, or add " + other->name + " to it");
      }
      return;
    }
    for (const VarPtr &v : variables_of(*index_->stage->func, index_->definition)) {
      if (is_axis_part(v)) continue;
      bool read = predicates_read(v) || uses(index_->axis_range.min, v) ||
                  uses(index_->axis_range.extent, v);
      const bool given = std::any_of(index_->node->micro.begin(), index_->node->micro.end(),
                                     [&](const auto &m) { return m.first == v; });
      if (read && (given || !is_reduction(v))) add_group_var(v, micro_extent(*index_->node, v));
    }
  }

  /// Positions that a key or a segment brings together have nothing beside them.
  void check_micro_of_axis_alone() const {
    for (const auto &[v, size] : index_->node->micro) {
      if (size == 1 || v == index_->axis || is_axis_part(v)) continue;
      fail("micro-tiles of " + std::to_string(size) + " of " + v->name +
           " beside group = " + to_string(index_->node->group) + ", which groups positions of " +
           index_->axis->name + " alone; leave " + v->name + " out of micro");
    }
  }

  /// What reads more than the axis cannot drop a position as a whole: it is tested inside the tile.
  void set_aside_unlisted() {
    std::erase_if(index_->predicates, [&](const Expr &p) {
      const std::vector<VarPtr> read = free_variables(p);
      const bool more =
          std::any_of(read.begin(), read.end(), [&](const VarPtr &v) { return !is_axis_part(v); });
      if (more) index_->unlisted.push_back(p);
      return more;
    });
    std::vector<VarPtr> variables = variables_of(*index_->stage->func, index_->definition);
    std::vector<Expr> readers = index_->unlisted;
    while (!variables.empty()) {  // bounds read what stands before
      const VarPtr v = variables.back();
      variables.pop_back();
      const bool read = std::any_of(readers.begin(), readers.end(),
                                    [&](const Expr &reader) { return uses(reader, v); });
      if (!read || is_axis_part(v)) continue;
      const Range range = range_of(v);
      readers.insert(readers.end(), {range.min, range.extent});
      index_->beyond_axis.insert(index_->beyond_axis.begin(), {v, range});
    }
  }

  /// The key with inlined Funcs substituted: it is found again in the stages' accesses.
  Expr inlined_key(const Expr &key) const {
    return rewrite(key, [&](const Expr &node) {
      const Call *call = node.as<Call>();
      if (!call || plan_->stage_of.contains(call->func)) return node;
      std::vector<Expr> args;
      args.reserve(call->args.size());
      for (const Expr &arg : call->args) args.push_back(to_int64(arg));
      return inlined_key(substitute(
          call->func->definitions.at(0).values.at(static_cast<std::size_t>(call->component)),
          call->func->args, args));
    });
  }

  void find_covered() {
    drop_irregular();
    for (const ReductionDim &dim : def_.domain) {
      const bool in_group = std::any_of(index_->group.begin(), index_->group.end(),
                                        [&](const GroupVar &g) { return g.var == dim.var; });
      if (!is_axis_part(dim.var) && !in_group && predicates_read(dim.var))
        index_->covered.push_back(dim);
    }
    for (const GroupVar &g : index_->group) {
      // A list must be one for the whole micro-tile: bounds of the axis may only vary between
      // micro-tiles.
      if (g.micro == 1) continue;
      for (const Expr &bound : {index_->axis_range.min, index_->axis_range.extent})
        check_uniform(bound, g);
    }
  }

  /// A conjunct over a variable whose bounds vary inside a micro-tile or along the axis is not
  /// listed but tested in the tile.
  void drop_irregular() {
    auto varies = [&](const ReductionDim &dim) {
      auto reads = [&](const VarPtr &v) { return uses(dim.min, v) || uses(dim.extent, v); };
      return std::any_of(index_->axis_parts.begin(), index_->axis_parts.end(), reads) ||
             std::any_of(index_->group.begin(), index_->group.end(),
                         [&](const GroupVar &g) { return g.micro > 1 && reads(g.var); });
    };
    for (const ReductionDim &dim : def_.domain) {
      const bool in_group = std::any_of(index_->group.begin(), index_->group.end(),
                                        [&](const GroupVar &g) { return g.var == dim.var; });
      if (is_axis_part(dim.var) || in_group || !varies(dim)) continue;
      std::erase_if(index_->predicates, [&](const Expr &p) {
        if (!uses(p, dim.var)) return false;
        if (is_output(*plan_, *index_) || index_->wants_position) {
          fail("the predicate " + to_string(p) + " reads " + dim.var->name +
               ", whose bounds vary along " + index_->axis->name +
               ", so it says nothing of a whole micro-tile; an index that is an output or orders a "
               "Func cannot leave it out");
        }
        return true;
      });
    }
  }

  /// `bound` reads g.var only through a division by a multiple of its micro extent.
  void check_uniform(const Expr &bound, const GroupVar &g) const {
    bool uniform = true;
    std::string through;
    auto visit = [&](auto &&self, const Expr &e) -> void {
      std::int64_t c = 0;
      const Binary *b = e.as<Binary>();
      if (b && b->op == BinaryOp::Div && is_const_int(b->b, &c)) {
        const Variable *v = b->a.as<Variable>();
        if (!v && b->a.as<Cast>()) v = b->a.as<Cast>()->a.as<Variable>();
        if (v && v->var == g.var) {
          if (c % g.micro != 0) {
            uniform = false;
            through = to_string(e);
          }
          return;
        }
      }
      if (const Variable *v = e.as<Variable>(); v && v->var == g.var) {
        uniform = false;
        through = v->var->name;
      }
      for (const Expr &operand : operands(e)) self(self, operand);
    };
    visit(visit, bound);
    if (!uniform) {
      fail("the domain of " + index_->axis->name + " depends on " + through +
           ", so one list cannot serve a micro-tile of " + std::to_string(g.micro) + " of " +
           g.var->name + "; use a micro extent that divides the block on which the domain depends");
    }
  }

  /// The caller, a compact storage or a value reads the lists themselves.
  bool wants_real_lists() const {
    return is_output(*plan_, *index_) || index_->wants_position ||
           is_asked_for(*plan_, *index_, false);
  }

  void choose_kind() {
    if (index_->node->given_offsets)
      index_->kind = IndexKind::Given;
    else if (index_->key.defined())
      index_->kind = IndexKind::Keyed;
    else if (index_->segment_offsets || index_->predicates.empty())
      index_->kind = IndexKind::Range;
    else
      index_->kind = IndexKind::List;
    if (index_->kind == IndexKind::Range && !index_->segment_offsets && wants_real_lists()) {
      index_->kind = IndexKind::List;
    }
    if (index_->key.defined() && index_->micro != 1) {
      fail("a key partitions single positions: the micro extent of " + index_->axis->name +
           " must be 1");
    }
  }

  void size_lists() {
    if (index_->key.defined()) {
      VariableRanges ranges;
      for (std::size_t i = 0; i < index_->axis_parts.size(); ++i) {
        const Range &r = index_->axis_part_ranges[i];
        ranges[index_->axis_parts[i].get()] = {r.min, r.min + r.extent - make_int(int64, 1)};
      }
      const Interval keys = interval_of(index_->key, ranges, *plan_, false);
      Expr groups = keys.high.defined() ? keys.high + make_int(int64, 1) : groups_from_uses();
      index_->groups = plan_->name_value(index_->name() + ".groups", groups);
    } else if (index_->segment_offsets) {
      index_->groups = make_extent(index_->segment_offsets, 0) - make_int(int64, 1);
    } else {
      Expr groups = make_int(int64, 1);
      for (const GroupVar &g : index_->group) groups = groups * g.groups;
      index_->groups = plan_->name_value(index_->name() + ".groups", groups);
    }
    if (plan_->target->is_cuda()) bound_index(plan_, index_);
    if (!index_->data_dependent_range && !index_->length.defined()) {
      index_->length = plan_->name_value(index_->name() + ".length",
                                         ceil_div(index_->axis_range.extent, index_->micro));
    }
  }

  /// A key that comes from data has as many groups as the dimension that it indexes.
  Expr groups_from_uses() const {
    Expr groups;
    for (const auto &stage : plan_->stages) {
      for (const PlannedDefinition &def : stage->definitions) {
        for (const Expr &value : def.values) {
          walk(value, [&](const Expr &node) {
            const Load *load = node.as<Load>();
            for (std::size_t i = 0; load && i < load->indices.size(); ++i) {
              if (!groups.defined() && same_key(load->indices[i]))
                groups = make_extent(load->storage, static_cast<int>(i));
            }
            return !groups.defined();
          });
        }
      }
    }
    if (!groups.defined()) {
      fail("the number of groups of key " + to_string(index_->node->group) +
           " is not known: no tensor is indexed by it; write it as min(key, groups - 1) or index a "
           "tensor with it");
    }
    return groups;
  }

  /// Up to widening, and up to the names under which a producer sees the coordinates.
  bool same_key(const Expr &index) const { return same_shape(strip(index), strip(index_->key)); }

  static Expr strip(const Expr &e) {
    const Cast *c = e.as<Cast>();
    return c && c->a.type().is_integral() ? strip(c->a) : e;
  }

  static bool same_shape(const Expr &a, const Expr &b) {
    const Expr x = strip(a), y = strip(b);
    if (x->kind != y->kind) return false;
    if (const Load *l = x.as<Load>(); l && l->storage != y.as<Load>()->storage) return false;
    if (const Call *l = x.as<Call>();
        l && (l->func != y.as<Call>()->func || l->component != y.as<Call>()->component))
      return false;
    if (x.as<Variable>()) return true;
    const std::vector<Expr> p = operands(x), q = operands(y);
    if (p.empty()) return equal(x, y);
    for (std::size_t i = 0; i < p.size() && i < q.size(); ++i) {
      if (!same_shape(p[i], q[i])) return false;
    }
    return p.size() == q.size();
  }

  void make_storages() {
    const std::string &n = index_->name();
    auto heap = [&](const char *what, Type type) {
      return ir::make_storage(n + "." + what, type, 1, Space::Heap);
    };
    if (index_->kind == IndexKind::Range) return;
    if (index_->kind == IndexKind::Given) {
      index_->offsets = index_->node->given_offsets;
      index_->coordinates = index_->node->given_coordinates;
    } else {
      index_->offsets = heap("offsets", int32);
      index_->counts = heap("counts", int32);
      index_->coordinates = heap("coordinates", int32);
      if (index_->kind == IndexKind::List) index_->marks = heap("marks", uint8);
    }
    if (index_->node->align > 1 && index_->kind != IndexKind::Given)
      index_->kept = heap("kept", int64);
    if (index_->wants_position) index_->position = heap("position", int32);
    if (index_->data_dependent_range) index_->starts = heap("starts", int64);
    const bool shifted = !is_zero(index_->axis_range.min) && index_->kind == IndexKind::List;
    if (index_->data_dependent_range || shifted) index_->first = heap("first", int64);
    if (index_->node->stored_values) {
      index_->values =
          ir::make_storage(n + ".values", index_->node->stored_values->type, 2, Space::Heap);
    }
  }

  void explain() const {
    static const char *const kKinds[] = {"list built from the predicate", "positions sorted by key",
                                         "contiguous range, nothing to build",
                                         "given by the caller"};
    std::string text = kKinds[static_cast<int>(index_->kind)];
    if (index_->key.defined()) text += " " + to_string(index_->node->group);
    for (const Expr &p : index_->predicates) text += "; " + to_string(p);
    if (!index_->group.empty()) text += "; one list for each";
    for (const GroupVar &g : index_->group) {
      text += " " + g.var->name + (g.micro > 1 ? "/" + std::to_string(g.micro) : "");
    }
    plan_->explain("index " + index_->name(), "index", text);
  }
};

}  // namespace

bool is_output(const Plan &plan, const IndexPlan &index) {
  const auto &outputs = plan.pipeline->output_indices();
  return std::any_of(outputs.begin(), outputs.end(),
                     [&](const IndexPtr &p) { return identity_of(p) == identity_of(index.node); });
}

namespace {

/// Whether an expression asks something of the index that `counts`.
bool is_asked(const Plan &plan, const IndexPlan &index, bool in_conditions,
              const std::function<bool(IndexQueryKind)> &counts) {
  bool asked = false;
  auto look = [&](const Expr &e) {
    walk(e, [&](const Expr &node) {
      const IndexQuery *query = node.as<IndexQuery>();
      asked |=
          query && identity_of(query->index) == identity_of(index.node) && counts(query->query);
      return !asked;
    });
  };
  for (const auto &stage : plan.stages) {
    for (const PlannedDefinition &def : stage->definitions) {
      std::for_each(def.values.begin(), def.values.end(), look);
      std::for_each(def.predicates.begin(), def.predicates.end(), look);
      std::for_each(def.args.begin(), def.args.end(), look);
      for (const ReductionDim &dim : def.domain) {
        look(dim.min);
        look(dim.extent);
      }
      for (const auto &[condition, directives] : def.specializations) {
        if (in_conditions) look(condition);
      }
    }
  }
  return asked;
}

}  // namespace

bool is_asked_for(const Plan &plan, const IndexPlan &index, bool in_conditions) {
  return is_asked(plan, index, in_conditions, [](IndexQueryKind) { return true; });
}

bool order_is_seen(const Plan &plan, const IndexPlan &index) {
  const auto is_compact_output = [&](const auto &stage) {
    return stage->compact == &index && stage->is_output;
  };
  return is_output(plan, index) || std::ranges::any_of(plan.stages, is_compact_output) ||
         is_asked(plan, index, true,
                  [](IndexQueryKind kind) { return kind == IndexQueryKind::Position; });
}

void plan_indices(Plan *plan) {
  for (const auto &index : plan->indices) IndexPlanner(plan, index.get()).run();
}

}  // namespace pit::lower
