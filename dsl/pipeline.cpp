#include "pipeline.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "error.h"
#include "loop_names.h"

namespace pit {

namespace {

// Every expression of a Func's definitions: what decides whether an iteration runs first, then what
// it does.
template <class Visit>
void for_each_expr(const FuncNode &func, const Visit &visit) {
  for (const Expr &e : func.predicates) visit(e);
  for (const DefinitionData &definition : func.definitions) {
    for (const ReductionDim &dim : definition.domain) {
      visit(dim.min);
      visit(dim.extent);
    }
    for (const Expr &e : definition.predicates) visit(e);
    for (const Expr &e : definition.args) visit(e);
    for (const Expr &e : definition.values) visit(e);
  }
}

template <class Visit>
void for_each_expr(const Directive &directive, const Visit &visit) {
  for (const Expr &e : directive.exprs) visit(e);
  if (directive.index) {
    if (directive.index->group.defined()) visit(directive.index->group);
    if (directive.index->capacity.defined()) visit(directive.index->capacity);
  }
}

// The Funcs that must be computed before `e` is: those it calls, and for an index it asks those
// that decide what the index lists.
void add_reads(const Expr &e, std::vector<FuncPtr> *reads) {
  walk(e, [&](const Expr &node) {
    if (const Call *call = node.as<Call>(); call && call->owner) {
      if (std::ranges::find(*reads, call->owner) == reads->end()) reads->push_back(call->owner);
    }
    if (const IndexQuery *query = node.as<IndexQuery>()) {
      if (query->index->group.defined()) add_reads(query->index->group, reads);
      if (const FuncPtr func = query->index->func.lock()) {
        for (const Expr &condition : conditions_of(*func, query->index->definition))
          add_reads(condition, reads);
      }
    }
    return true;
  });
}

// Orders Funcs so that producers come before consumers, by depth-first search from the outputs.
class Order {
 public:
  // `directives_of` gives the directives said of a Func.
  using DirectivesOf = std::function<std::vector<Directive>(const FuncNode &)>;
  explicit Order(DirectivesOf directives_of) : directives_of_(std::move(directives_of)) {}

  void visit(const FuncPtr &func) {
    if (done_.contains(func.get())) return;
    if (!open_.insert(func.get()).second) {
      throw CompileError(
          "Func " + func->name + " reads a Func that reads " + func->name +
              ", perhaps through a directive; Funcs may not read each other in a circle",
          func->where);
    }
    std::vector<FuncPtr> reads;
    for_each_expr(*func, [&](const Expr &e) { add_reads(e, &reads); });
    for (const Directive &d : directives_of_(*func)) {
      for_each_expr(d, [&](const Expr &e) { add_reads(e, &reads); });
    }
    for (const FuncPtr &read : reads) {
      if (read != func) visit(read);
    }
    open_.erase(func.get());
    done_.insert(func.get());
    funcs_.push_back(func);
  }

  const std::vector<FuncPtr> &funcs() const { return funcs_; }

 private:
  DirectivesOf directives_of_;
  std::set<const FuncNode *> open_, done_;
  std::vector<FuncPtr> funcs_;
};

// Gathers what the fluent calls have recorded in the Funcs.
//
// Consumers come before producers, each Func's directives in the order in which they were said; a
// directive that uses an index waits for the directives of the index's Func up to the one that
// declares it. Indices are copied.
class Collector {
 public:
  explicit Collector(const std::vector<FuncPtr> &funcs) : funcs_(funcs) {}

  Schedule collect() {
    for (auto func = funcs_.rbegin(); func != funcs_.rend(); ++func)
      emit(**func, (*func)->directives.size());
    return std::move(schedule_);
  }

 private:
  void emit(const FuncNode &func, std::size_t count) {
    std::size_t &next = next_[&func];
    while (next < count) {
      const Directive &d = func.directives[next++];
      if (d.kind != DirectiveKind::Index) {
        if (d.index) declare(d.index);
        for_each_expr(d, [&](const Expr &e) {
          walk(e, [&](const Expr &node) {
            if (const IndexQuery *query = node.as<IndexQuery>()) declare(query->index);
            return true;
          });
        });
      }
      schedule_.directives.push_back(d);
      if (d.index) schedule_.directives.back().index = copy(d.index);
    }
  }

  // Emits the directives up to the declaration of `index`, when it has one.
  void declare(const IndexPtr &index) {
    const FuncPtr func = index->func.lock();
    if (!func) {
      throw CompileError("the Func that the index " + index->name +
                             " lists iterations of is gone; an index is of a Func of the pipeline",
                         index->where);
    }
    if (std::ranges::find(funcs_, func) == funcs_.end()) {
      throw CompileError("the index " + index->name + " is of " +
                             definition_name(*func, index->definition) +
                             ", and no output of the pipeline reads " + func->name,
                         index->where);
    }
    const auto declares = [&](const Directive &d) {
      return d.kind == DirectiveKind::Index && d.index == index;
    };
    const auto it = std::ranges::find_if(func->directives, declares);
    if (it != func->directives.end())
      emit(*func, static_cast<std::size_t>(it - func->directives.begin()) + 1);
  }

  IndexPtr copy(const IndexPtr &index) {
    IndexPtr &copied = copies_[index.get()];
    if (!copied) {
      copied = std::make_shared<IndexNode>(*index);
      copied->origin = index;
    }
    return copied;
  }

  const std::vector<FuncPtr> &funcs_;
  std::map<const FuncNode *, std::size_t> next_;
  std::map<const IndexNode *, IndexPtr> copies_;
  Schedule schedule_;
};

// The input tensors and scalars, each once, in the order in which they are met.
class Inputs {
 public:
  void add(const Expr &e) {
    walk(e, [&](const Expr &node) {
      if (const Load *load = node.as<Load>()) add(load->storage);
      if (const Extent *extent = node.as<Extent>()) add(extent->storage);
      if (const ParamRef *ref = node.as<ParamRef>()) add(ref->param);
      return true;
    });
  }

  void add(const StoragePtr &tensor) {
    if (!tensor || !seen_.insert(tensor.get()).second) return;
    arguments_.push_back({.kind = Argument::Kind::InputTensor,
                          .name = tensor->name,
                          .type = tensor->type,
                          .rank = tensor->rank,
                          .tensor = tensor});
  }

  std::vector<Argument> take() { return std::move(arguments_); }

 private:
  void add(const ParamPtr &param) {
    if (!seen_.insert(param.get()).second) return;
    arguments_.push_back(
        {.kind = Argument::Kind::Scalar, .name = param->name, .type = param->type, .param = param});
  }

  std::set<const void *> seen_;
  std::vector<Argument> arguments_;
};

}  // namespace

Pipeline::Pipeline(std::initializer_list<Func> outputs, std::initializer_list<SparseIndex> indices,
                   std::string name, std::source_location where)
    : Pipeline(std::vector<Func>(outputs), std::vector<SparseIndex>(indices), std::move(name),
               where) {}

Pipeline::Pipeline(const std::vector<Func> &outputs, const std::vector<SparseIndex> &indices,
                   std::string name, std::source_location where)
    : name_(std::move(name)) {
  if (outputs.empty()) throw CompileError("a Pipeline needs at least one output Func", where);
  if (!name_.empty()) check_name("Pipeline", name_, where);
  for (const Func &output : outputs) {
    if (!output.defined()) {
      throw CompileError("Pipeline: the output " + output.name() + " has no definition; write " +
                             output.name() + "(...) = ... first",
                         where);
    }
    if (std::ranges::find(outputs_, output.func()) != outputs_.end()) {
      throw CompileError(
          "Pipeline: the output " + output.name() + " is listed twice; outputs are distinct Funcs",
          where);
    }
    outputs_.push_back(output.func());
  }
  if (name_.empty()) name_ = outputs_.front()->name;
  const std::vector<FuncPtr> reached = funcs();  // finds circles
  for (const SparseIndex &index : indices) {
    if (!index.defined()) {
      throw CompileError(
          "Pipeline " + name_ + ": an output index is empty; it is made by F.index({.axis = ...})",
          where);
    }
    if (std::ranges::find(indices_, index.node()) != indices_.end()) {
      throw CompileError(
          "Pipeline " + name_ + ": the output index " + index.node()->name + " is listed twice",
          where);
    }
    if (std::ranges::find(reached, index.node()->func.lock()) == reached.end()) {
      throw CompileError("Pipeline " + name_ + ": the output index " + index.node()->name +
                             " is of a Func that no output reads",
                         where);
    }
    indices_.push_back(index.node());
  }
}

std::vector<FuncPtr> Pipeline::funcs() const {
  Order order([this](const FuncNode &func) {
    if (!schedule_) return func.directives;
    std::vector<Directive> said;
    for (const Directive &d : schedule_->directives) {
      if (d.func.lock().get() == &func) said.push_back(d);
    }
    return said;
  });
  for (const FuncPtr &output : outputs_) order.visit(output);
  return order.funcs();
}

std::vector<Argument> Pipeline::signature() const {
  const Schedule current = schedule();
  Inputs inputs;
  for (const FuncPtr &func : funcs()) for_each_expr(*func, [&](const Expr &e) { inputs.add(e); });
  for (const Directive &d : current.directives) {
    for_each_expr(d, [&](const Expr &e) { inputs.add(e); });
    if (d.index) {
      inputs.add(d.index->given_offsets);
      inputs.add(d.index->given_coordinates);
    }
  }
  std::vector<Argument> arguments = inputs.take();

  for (const FuncPtr &output : outputs_) {
    int rank = static_cast<int>(output->args.size());
    for (const Directive &d : current.directives) {
      if (d.kind == DirectiveKind::StoreCompact && d.func.lock() == output) {
        rank = compact_rank(*output, *d.index, current.directives);
      }
    }
    const bool tuple = output->types.size() > 1;
    for (std::size_t i = 0; i < output->types.size(); ++i) {
      arguments.push_back({.kind = Argument::Kind::OutputTensor,
                           .name = tuple ? output->name + "." + std::to_string(i) : output->name,
                           .type = output->types[i],
                           .rank = rank,
                           .func = output,
                           .component = static_cast<int>(i)});
    }
  }
  for (const IndexPtr &index : indices_) {
    const auto add = [&](Argument::Kind kind, const char *what) {
      arguments.push_back({.kind = kind,
                           .name = index->name + "." + what,
                           .type = int32,
                           .rank = 1,
                           .index = index});
    };
    add(Argument::Kind::IndexOffsets, "offsets");
    add(Argument::Kind::IndexCoordinates, "coordinates");
    add(Argument::Kind::IndexCount, "count");
  }

  std::set<std::string> names;
  for (const Argument &argument : arguments) {
    if (!names.insert(argument.name).second) {
      throw CompileError("Pipeline " + name_ + ": two arguments are named " + argument.name +
                             "; give inputs and outputs distinct names",
                         outputs_.front()->where);
    }
  }
  return arguments;
}

Schedule Pipeline::schedule() const {
  return schedule_ ? *schedule_ : Collector(funcs()).collect();
}

Pipeline Pipeline::with(const Schedule &schedule) const {
  const std::vector<FuncPtr> known = funcs();
  for (const Directive &d : schedule.directives) {
    const FuncPtr func = d.func.lock();
    if (!func || std::ranges::find(known, func) == known.end()) {
      throw CompileError("Pipeline " + name_ + ": with(): the directive " + to_string(d.kind) +
                             " is said of " + (func ? func->name : "a Func that is gone") +
                             ", which is not in this pipeline",
                         d.where);
    }
  }
  check_schedule(schedule);
  Pipeline result = *this;
  result.schedule_ = schedule;
  return result;
}

}  // namespace pit
