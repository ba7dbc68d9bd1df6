#include "schedule_names.h"

#include <algorithm>
#include <stdexcept>

#include "loop_names.h"
#include "nearest_word.h"

namespace pit {

namespace {

template <class Node>
std::string known_names(const std::string &word, const std::multimap<std::string, Node> &named) {
  std::vector<std::string> names;
  for (const auto &[name, node] : named) {
    if (names.empty() || names.back() != name) names.push_back(name);
  }
  return known_words(word, names);
}

template <class Node>
Node find(const std::multimap<std::string, Node> &named, const std::string &what,
          const std::string &name) {
  const auto [first, last] = named.equal_range(name);
  if (first == last) return nullptr;
  if (std::next(first) != last) {
    throw std::runtime_error("the pipeline has several " + what + " named " + name +
                             "; give them distinct names");
  }
  return first->second;
}

IndexPtr find(const std::map<std::string, IndexPtr> &indices, const std::string &name) {
  const auto it = indices.find(name);
  return it == indices.end() ? nullptr : it->second;
}

}  // namespace

ScheduleNames::ScheduleNames(const Pipeline &pipeline) {
  for (const FuncPtr &func : pipeline.funcs()) {
    // Each call of segment() makes a hidden Func, and those over the same offsets are equal: one
    // will do.
    const auto same = funcs_.find(func->name);
    const bool repeated = same != funcs_.end() && func->segment_offsets &&
                          same->second->segment_offsets == func->segment_offsets;
    if (!repeated) funcs_.emplace(func->name, func);
    for (const Directive &d : func->directives) {
      if (d.index) originals_.emplace(d.index->name, d.index);
    }
  }
  for (const IndexPtr &index : pipeline.output_indices()) originals_.emplace(index->name, index);
  for (const Argument &argument : pipeline.signature()) {
    if (argument.tensor) tensors_.emplace(argument.name, argument.tensor);
    if (argument.param) params_.emplace(argument.name, argument.param);
  }
}

FuncPtr ScheduleNames::func(const std::string &name) const { return find(funcs_, "Funcs", name); }

StoragePtr ScheduleNames::tensor(const std::string &name) const {
  return find(tensors_, "tensors", name);
}

ParamPtr ScheduleNames::param(const std::string &name) const {
  return find(params_, "parameters", name);
}

std::string ScheduleNames::known_funcs(const std::string &name) const {
  return known_names(name, funcs_);
}

std::string ScheduleNames::known_tensors(const std::string &name) const {
  return known_names(name, tensors_);
}

VarPtr ScheduleNames::made_loop(const std::string &name) {
  VarPtr &loop = made_[name];
  if (!loop) loop = std::make_shared<VarNode>(VarNode{name});
  return loop;
}

VarPtr ScheduleNames::loop(const FuncNode &func, int definition, const std::string &name) {
  for (int i = 0; i < static_cast<int>(func.definitions.size()); ++i) {
    if (definition >= 0 && i != definition) continue;
    if (VarPtr v = variable(func, i, name)) return v;
  }
  return made_loop(name);
}

VarPtr ScheduleNames::variable(const FuncNode &func, int definition,
                               const std::string &name) const {
  for (const VarPtr &v : variables_of(func, definition)) {
    if (v->name == name) return v;
  }
  return nullptr;
}

IndexPtr ScheduleNames::make_index(const std::string &name, const FuncPtr &func, int definition,
                                   std::source_location where) const {
  auto index = std::make_shared<IndexNode>();
  index->name = name;
  index->func = func;
  index->definition = definition;
  index->where = where;
  const IndexPtr original = find(originals_, name);
  if (original && original->func.lock() == func && original->definition == definition)
    index->origin = original;
  return index;
}

bool ScheduleNames::declare(const IndexPtr &index) {
  return declared_.emplace(index->name, index).second;
}

IndexPtr ScheduleNames::declared(const std::string &name) const { return find(declared_, name); }

IndexPtr ScheduleNames::queried(const std::string &name) const {
  const IndexPtr index = declared(name);
  if (!index) return find(originals_, name);
  return index->origin ? index->origin : index;
}

Expr DefinitionSymbols::variable(const std::string &name) {
  if (const VarPtr v = names_.variable(func_, definition_, name)) return make_variable(v);
  const ParamPtr param = names_.param(name);
  return param ? Expr(std::make_shared<ParamRef>(param)) : Expr();
}

Expr DefinitionSymbols::call(const std::string &name, const std::vector<Expr> &args,
                             int component) {
  if (const FuncPtr func = names_.func(name)) {
    const FuncRef ref = Func(func)(args);
    return component < 0 ? Expr(ref) : ref[component];
  }
  const StoragePtr tensor = names_.tensor(name);
  if (!tensor) return {};
  if (args.size() != static_cast<std::size_t>(tensor->rank) || component >= 0) {
    throw std::runtime_error(name + " has rank " + std::to_string(tensor->rank));
  }
  return make_load(tensor, args);
}

Expr DefinitionSymbols::load(const std::string &, const std::vector<Expr> &) { return {}; }

Expr DefinitionSymbols::extent(const std::string &name, int dimension) {
  const StoragePtr tensor = names_.tensor(name);
  if (!tensor) return {};
  if (dimension < 0 || dimension >= tensor->rank) {
    throw std::runtime_error(name + " has rank " + std::to_string(tensor->rank));
  }
  return make_extent(tensor, dimension);
}

Expr DefinitionSymbols::index_query(const std::string &name, IndexQueryKind query,
                                    const std::vector<Expr> &args) {
  const IndexPtr index = names_.queried(name);
  if (!index) return {};
  const SparseIndex handle(index);
  switch (query) {
    case IndexQueryKind::Density:
      return handle.density();
    case IndexQueryKind::Count:
      return handle.count();
    case IndexQueryKind::Position:
      return handle.position(args);
  }
  return {};
}

}  // namespace pit
