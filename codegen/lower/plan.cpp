#include "plan.h"

#include <algorithm>
#include <functional>

#include "dsl/error.h"
#include "dsl/loop_names.h"

namespace pit::lower {

bool PlannedDefinition::has(DirectiveKind kind) const {
  return std::any_of(directives.begin(), directives.end(),
                     [&](const Directive &d) { return d.kind == kind; });
}

std::string PlannedDefinition::name_under(const FuncNode &func,
                                          const std::vector<Directive> &under) const {
  std::string name = definition_name(func, number);
  for (std::size_t i = 0; i < specializations.size(); ++i) {
    if (&specializations[i].second == &under)
      name += ".specialization(" + std::to_string(i + 1) + ")";
  }
  return name;
}

bool PlannedStage::is_top_k() const {
  return func->definitions.size() > 1 && func->definitions[1].combiner == Combiner::TopK;
}
bool PlannedStage::is_softmax() const {
  return func->definitions.size() > 1 && func->definitions[1].combiner == Combiner::Softmax;
}

void Plan::explain(const std::string &subject, const std::string &topic,
                   const std::string &text) const {
  if (explanation) explanation->push_back({subject, topic, text});
}

Expr Plan::name_value(const std::string &name, const Expr &value) {
  if (value.as<IntImm>() || value.as<Variable>() || value.as<Extent>()) return value;
  const VarPtr v = ir::make_let_variable(name, value.type());
  lets.push_back({v, value});
  return make_variable(v);
}

namespace {

/// Says where each Func is computed and substitutes those that are computed nowhere.
class Planner {
 public:
  Planner(const Pipeline &pipeline, const Target &target, Plan *plan)
      : pipeline_(pipeline), schedule_(pipeline.schedule()), plan_(plan) {
    plan_->pipeline = &pipeline;
    plan_->target = &target;
  }

  void run() {
    check_schedule(schedule_);
    funcs_ = pipeline_.funcs();
    for (const FuncPtr &func : funcs_) {
      if (!is_inlined(*func)) add_stage(func);
    }
    for (const auto &stage : plan_->stages) fill_definitions(stage.get());
    for (const auto &stage : plan_->stages) place(stage.get());
    add_indices();
    for (const auto &stage : plan_->stages) attach_storage(stage.get());
  }

 private:
  const Pipeline &pipeline_;
  Schedule schedule_;
  Plan *plan_;
  std::vector<FuncPtr> funcs_;
  static constexpr int kMostInlinings = 20000;
  mutable int inlinings_ = 0;  ///< into the definition under way

  bool is_output(const FuncNode &func) const {
    return std::any_of(pipeline_.outputs().begin(), pipeline_.outputs().end(),
                       [&](const FuncPtr &f) { return f.get() == &func; });
  }

  const Directive *find(const FuncNode &func, std::initializer_list<DirectiveKind> kinds) const {
    const Directive *found = nullptr;
    for (const Directive &d : schedule_.directives) {
      if (d.func.lock().get() == &func &&
          std::find(kinds.begin(), kinds.end(), d.kind) != kinds.end())
        found = &d;
    }
    return found;
  }

  bool is_inlined(const FuncNode &func) const {
    if (func.inline_reduction || !func.is_pure() || is_output(func)) return false;
    // Where a Func has no value cannot be seen any more once it is inlined.
    if (!func.predicates.empty()) return false;
    const Directive *level = find(
        func, {DirectiveKind::ComputeAt, DirectiveKind::ComputeRoot, DirectiveKind::ComputeInline,
               DirectiveKind::StoreCompact, DirectiveKind::PitTile, DirectiveKind::ComputeWith,
               DirectiveKind::ReorderStorage});
    return !level || level->kind == DirectiveKind::ComputeInline;
  }

  void add_stage(const FuncPtr &func) {
    auto stage = std::make_unique<PlannedStage>();
    stage->func = func;
    stage->is_output = is_output(*func);
    stage->where = func->where;
    plan_->stage_of[func.get()] = stage.get();
    plan_->stages.push_back(std::move(stage));
  }

  /// e with calls of inlined Funcs replaced by their values, until none is left, and declared
  /// extents by their numbers.
  Expr inlined(const Expr &e) const {
    return rewrite(e, [&](const Expr &node) {
      if (const auto *extent = node.as<Extent>()) {
        const auto &declared = extent->storage->declared_extents;
        const auto d = static_cast<std::size_t>(extent->dimension);
        return d < declared.size() && declared[d] >= 0 ? make_int(int64, declared[d]) : node;
      }
      const Call *call = node.as<Call>();
      if (!call || plan_->stage_of.contains(call->func)) return node;
      if (++inlinings_ > kMostInlinings) {
        throw CompileError(
            call->func->name + " would be inlined more than " + std::to_string(kMostInlinings) +
                " times into one definition; give it, or a Func that reads it, compute_root()",
            call->func->where);
      }
      const DefinitionData &pure = call->func->definitions.at(0);
      std::vector<Expr> args;
      for (const Expr &arg : call->args) args.push_back(cast(int64, arg));
      return inlined(substitute(pure.values.at(static_cast<std::size_t>(call->component)),
                                call->func->args, args));
    });
  }

  std::vector<Expr> inlined(const std::vector<Expr> &exprs) const {
    std::vector<Expr> result;
    for (const Expr &e : exprs) result.push_back(inlined(e));
    return result;
  }

  void fill_definitions(PlannedStage *stage) {
    const FuncNode &func = *stage->func;
    for (std::size_t i = 0; i < func.definitions.size(); ++i) {
      const DefinitionData &source = func.definitions[i];
      PlannedDefinition def;
      inlinings_ = 0;
      def.number = static_cast<int>(i);
      def.source = &source;
      def.args = inlined(source.args);
      def.values = inlined(source.values);
      def.combiner = source.combiner;
      for (const ReductionDim &dim : source.domain) {
        def.domain.push_back({dim.var, inlined(dim.min), inlined(dim.extent)});
      }
      def.predicates = predicates_over(func, source, i > 0);
      attach_directives(func, &def);
      stage->definitions.push_back(std::move(def));
    }
  }

  /// Func::where in the Vars of the left-hand side, then the domain's conjuncts.
  std::vector<Expr> predicates_over(const FuncNode &func, const DefinitionData &source,
                                    bool is_update) const {
    std::vector<Expr> predicates;
    for (const Expr &p : func.predicates) {
      predicates.push_back(is_update ? substitute(p, func.args, source.args) : p);
    }
    for (const Expr &p : source.predicates) predicates.push_back(p);
    return inlined(predicates);
  }

  void attach_directives(const FuncNode &func, PlannedDefinition *def) const {
    for (const Directive &d : schedule_.directives) {
      if (d.func.lock().get() != &func || d.definition != def->number ||
          d.kind == DirectiveKind::Index)
        continue;
      if (d.kind == DirectiveKind::Specialize) {
        def->specializations.push_back({inlined(d.exprs.at(0)), def->directives});
        continue;
      }
      if (d.specialization == 0) {
        def->directives.push_back(d);
      } else {
        def->specializations.at(static_cast<std::size_t>(d.specialization - 1)).second.push_back(d);
      }
    }
  }

  /// Funcs that share a loop take turns in it, so neither may need the other's values, and both
  /// need storage of their own.
  void check_shares_loops(const PlannedStage &stage, const PlannedStage &other,
                          std::source_location where) const {
    const std::string what = stage.name() + ".compute_with: ";
    if (!stage.is_output) {
      throw CompileError(
          what + stage.name() +
              " is not an output; outputs share loops, and a Func that a consumer needs is "
              "computed with compute_at(consumer, loop)",
          where);
    }
    for (const auto &[reader, read] : {std::pair{&stage, &other}, std::pair{&other, &stage}}) {
      if (!depends_on(*reader, *read)) continue;
      throw CompileError(what + reader->name() + " reads " + read->name() +
                             ", so the two cannot take turns in one loop; leave compute_with out",
                         where);
    }
  }

  /// Whether computing `stage` needs values of `read`, directly or through other stages.
  bool depends_on(const PlannedStage &stage, const PlannedStage &read) const {
    std::vector<const PlannedStage *> seen{&stage};
    for (std::size_t i = 0; i < seen.size(); ++i) {
      auto look = [&](const Expr &e) {
        walk(e, [&](const Expr &node) {
          if (const Call *call = node.as<Call>()) {
            const PlannedStage *next = plan_->stage(*call);
            if (std::find(seen.begin(), seen.end(), next) == seen.end()) seen.push_back(next);
          }
          return true;
        });
      };
      for (const PlannedDefinition &def : seen[i]->definitions) {
        for (const auto *list : {&def.values, &def.args, &def.predicates})
          std::for_each(list->begin(), list->end(), look);
        for (const ReductionDim &dim : def.domain) {
          look(dim.min);
          look(dim.extent);
        }
      }
    }
    return std::find(seen.begin() + 1, seen.end(), &read) != seen.end();
  }

  void place(PlannedStage *stage) {
    const FuncNode &func = *stage->func;
    if (func.inline_reduction) {
      stage->level = stage->is_top_k() ? Level::Root : Level::Innermost;
      return;
    }
    const Directive *at = find(
        func, {DirectiveKind::ComputeAt, DirectiveKind::ComputeWith, DirectiveKind::ComputeRoot});
    if (!at || at->kind == DirectiveKind::ComputeRoot) return;
    const FuncPtr consumer = at->other.lock();
    const std::string what = at->kind == DirectiveKind::ComputeAt ? "compute_at" : "compute_with";
    if (!consumer || !plan_->stage_of.contains(consumer.get())) {
      throw CompileError(
          func.name + "." + what + ": " + (consumer ? consumer->name : "the consumer") +
              " is computed inline or is not part of this pipeline, so it has no loops; "
              "give it compute_root() or name the Func that it is inlined into",
          at->where);
    }
    if (at->kind == DirectiveKind::ComputeAt && stage->is_output) {
      throw CompileError(
          func.name +
              ".compute_at: an output is computed at root; compute another Func at the tile and "
              "let the output copy it",
          at->where);
    }
    if (at->kind == DirectiveKind::ComputeWith)
      check_shares_loops(*stage, *plan_->stage_of.at(consumer.get()), at->where);
    stage->level = at->kind == DirectiveKind::ComputeAt ? Level::At : Level::With;
    stage->consumer = plan_->stage_of.at(consumer.get());
    stage->consumer_loop = at->vars.at(0);
    stage->where = at->where;
    for (const PlannedStage *s = stage->consumer; s; s = s->consumer) {
      if (s != stage) continue;
      throw CompileError(func.name + "." + what + ": " + func.name + " and " + consumer->name +
                             " are each computed inside the other; compute one of them at root",
                         at->where);
    }
    stage->consumer_definition = definition_with_loop(*consumer, stage->consumer_loop,
                                                      schedule_.directives, at->other_definition);
    internal_check(stage->consumer_definition >= 0, "check_schedule let a missing loop pass");
    if (stage->level == Level::With && !func.is_pure()) {
      throw CompileError(func.name + ".compute_with: only a pure Func can share another's loops; " +
                             func.name + " has updates",
                         at->where);
    }
  }

  IndexPlan *add_index(const IndexPtr &node) {
    const IndexNode *id = identity_of(node);
    if (auto it = plan_->index_of.find(id); it != plan_->index_of.end()) return it->second;
    auto index = std::make_unique<IndexPlan>();
    index->node = node;
    auto stage_of = [&](const FuncPtr &func, const std::string &what) {
      const auto it = plan_->stage_of.find(func.get());
      if (it != plan_->stage_of.end()) return it->second;
      throw CompileError("index " + node->name + " " + what + " " + (func ? func->name : "a Func") +
                             ", which is computed inline or is not part of this pipeline, so it "
                             "has no definition to list; "
                             "give it compute_root()",
                         node->where);
    };
    index->stage = stage_of(node->func.lock(), "lists iterations of");
    index->definition = node->definition;
    index->axis = node->axis;
    if (const FuncPtr mark = node->mark_func.lock()) {
      index->mark_stage = stage_of(mark, "is marked in");
      index->mark_loop = node->mark_loop;
    }
    IndexPlan *result = index.get();
    plan_->index_of[id] = result;
    plan_->indices.push_back(std::move(index));
    return result;
  }

  void add_indices() {
    for (const Directive &d : schedule_.directives) {
      if (!d.index || !uses_index(d)) continue;
      IndexPlan *index = add_index(d.index);
      if (d.kind == DirectiveKind::StoreCompact || is_asked(d.index, {IndexQueryKind::Position}))
        index->wants_position = true;
    }
    for (const IndexPtr &output : pipeline_.output_indices()) {
      bool found = plan_->index_of.contains(identity_of(output));
      if (!found) add_index(output);
    }
  }

  /// An index that is only declared costs nothing, unless an expression asks for its density or
  /// positions.
  bool uses_index(const Directive &d) const {
    return d.kind != DirectiveKind::Index ||
           is_asked(d.index,
                    {IndexQueryKind::Density, IndexQueryKind::Count, IndexQueryKind::Position});
  }

  bool is_asked(const IndexPtr &index, const std::vector<IndexQueryKind> &kinds) const {
    bool used = false;
    auto look = [&](const Expr &e) {
      walk(e, [&](const Expr &node) {
        const IndexQuery *query = node.as<IndexQuery>();
        used |= query && identity_of(query->index) == identity_of(index) &&
                std::find(kinds.begin(), kinds.end(), query->query) != kinds.end();
        return true;
      });
    };
    for (const auto &stage : plan_->stages) {
      for (const PlannedDefinition &def : stage->definitions) {
        for (const auto *list : {&def.args, &def.values, &def.predicates}) {
          for (const Expr &e : *list) look(e);
        }
        for (const auto &[condition, directives] : def.specializations) look(condition);
        for (const ReductionDim &dim : def.domain) {
          look(dim.min);
          look(dim.extent);
        }
      }
    }
    return used;
  }

  void attach_storage(PlannedStage *stage) {
    const FuncNode &func = *stage->func;
    for (std::size_t i = 0; i < func.args.size(); ++i)
      stage->storage_order.push_back(static_cast<int>(i));
    if (const Directive *order = find(func, {DirectiveKind::ReorderStorage})) {
      if (stage->is_output) {
        throw CompileError(func.name + ".reorder_storage: " + func.name +
                               " is an output, whose layout is the caller's buffer; pass a buffer "
                               "with other strides",
                           order->where);
      }
      stage->storage_order.clear();
      for (const VarPtr &v : order->vars) {
        stage->storage_order.push_back(
            static_cast<int>(std::find(func.args.begin(), func.args.end(), v) - func.args.begin()));
      }
    }
    if (const Directive *compact = find(func, {DirectiveKind::StoreCompact})) {
      stage->compact = plan_->index_of.at(identity_of(compact->index));
      if (stage->is_softmax()) {
        throw CompileError(
            func.name + ".store_compact: " + func.name +
                " is the state of a softmax; keep a Func of softmax_value in index order instead",
            compact->where);
      }
      if (stage->level != Level::Root) {
        throw CompileError(func.name +
                               ".store_compact: only a Func at root is kept in index order; " +
                               func.name + " is computed at a tile of " + stage->consumer->name() +
                               ", whose storage is the tile",
                           compact->where);
      }
    }
    for (const Directive &d : schedule_.directives) {
      if (d.kind == DirectiveKind::Bound && d.func.lock().get() == &func) {
        stage->declared_bounds[d.vars.at(0).get()] = {cast(int64, inlined(d.exprs.at(0))),
                                                      cast(int64, inlined(d.exprs.at(1)))};
      }
    }
  }
};

}  // namespace

Plan make_plan(const Pipeline &pipeline, const Target &target) {
  Plan plan;
  Planner(pipeline, target, &plan).run();
  return plan;
}

}  // namespace pit::lower
