#include "reference_program.h"

#include <algorithm>
#include <limits>

#include "error.h"

namespace pit::reference {

template <class V>
Program<V>::Program(const Pipeline &pipeline, const std::map<std::string, AnyBuffer> &inputs,
                    const std::map<std::string, double> &scalars,
                    std::map<const FuncNode *, Shape> extents,
                    std::map<const IndexNode *, std::int64_t> index_groups)
    : name_(pipeline.name()),
      inputs_(inputs),
      scalars_(scalars),
      extents_(std::move(extents)),
      index_groups_(std::move(index_groups)),
      directives_(pipeline.schedule().directives) {}

template <class V>
FuncValues<V> &Program<V>::func(FuncNode &func) {
  auto &values = funcs_[&func];
  if (values == nullptr) {
    const auto extents = extents_.find(&func);
    values = std::make_unique<FuncValues<V>>(func, *this,
                                             extents == extents_.end() ? Shape{} : extents->second);
  }
  return *values;
}

template <class V>
const AnyBuffer &Program<V>::tensor(const StorageNode &storage) {
  const auto it = inputs_.find(storage.name);
  if (it == inputs_.end())
    throw RuntimeError("operator " + name_ + ": the input " + storage.name + " is not given");
  const AnyBuffer &buffer = it->second;
  if (buffer.type() != storage.type || buffer.rank() != storage.rank || !buffer.is_on_host()) {
    throw RuntimeError("operator " + name_ + ": input " + storage.name + "; expected " +
                       to_string(storage.type) + " of rank " + std::to_string(storage.rank) +
                       " on the host; got " + to_string(buffer.type()) + " of rank " +
                       std::to_string(buffer.rank()));
  }
  return buffer;
}

template <class V>
double Program<V>::scalar(const ParamNode &param) {
  const auto it = scalars_.find(param.name);
  if (it == scalars_.end())
    throw RuntimeError("operator " + name_ + ": the scalar " + param.name + " is not given");
  return it->second;
}

template <class V>
const IndexLists &Program<V>::lists(const IndexPtr &index) {
  const IndexNode *identity = identity_of(index);
  const auto known = lists_.find(identity);
  if (known != lists_.end()) return known->second;
  const auto groups = index_groups_.find(identity);
  const DimensionExtent extent_of = [this](const FuncNode &f, int dimension) {
    return range_of(f, dimension);
  };
  IndexLists lists = build_index(
      *index, directives_, groups == index_groups_.end() ? -1 : groups->second, extent_of, *this);
  return lists_.emplace(identity, std::move(lists)).first->second;
}

template <class V>
double Program<V>::query(const IndexQuery &query, const std::vector<std::int64_t> &arguments) {
  const IndexLists &index = lists(query.index);
  switch (query.query) {
    case IndexQueryKind::Count:
      return static_cast<double>(index.kept);
    case IndexQueryKind::Density:
      return index.candidates == 0
                 ? 0
                 : static_cast<double>(index.kept) / static_cast<double>(index.candidates);
    case IndexQueryKind::Position:
      break;
  }
  const std::size_t group_rank = index.group.empty() ? arguments.size() - 1 : index.group.size();
  if (arguments.size() != group_rank + 1) {
    throw RuntimeError("position() of index " + query.index->name + " takes " +
                       std::to_string(group_rank) +
                       " coordinates of the group and one of the axis");
  }
  std::int64_t g = 0;
  for (std::size_t i = 0; i < group_rank; ++i) {
    if (index.group.empty()) {
      g = arguments[i];  // the key is the group's only coordinate
      continue;
    }
    const std::int64_t n =
        (index.group[i].extent + index.group[i].micro - 1) / index.group[i].micro;
    if (arguments[i] < 0 || arguments[i] >= n) return -1;
    g = g * n + arguments[i];
  }
  const std::int64_t first = index.axis.size() == 1 ? index.axis[0].min : 0;
  return static_cast<double>(index.position(g, first + arguments.back() * index.micro));
}

template <class V>
RangedVar Program<V>::range_of(const FuncNode &func, int dimension) {
  const auto d = static_cast<std::size_t>(dimension);
  const VarPtr &var = func.args.at(d);
  if (const auto it = extents_.find(&func); it != extents_.end()) return {var, 0, it->second.at(d)};
  Frame<V> frame{};
  for (const Directive &directive : directives_) {
    if (directive.kind != DirectiveKind::Bound || directive.func.lock().get() != &func ||
        directive.vars.at(0) != var)
      continue;
    const Scope<V> scope;
    return {var, compile(directive.exprs.at(0), scope, *this)->integer(frame),
            compile(directive.exprs.at(1), scope, *this)->integer(frame)};
  }
  const std::int64_t extent = indexed_extent(func, var);
  if (extent == std::numeric_limits<std::int64_t>::max()) {
    throw RuntimeError("operator " + name_ + ": the range of " + var->name + " in " + func.name +
                       " is not known: no tensor is indexed by it; declare it with " + func.name +
                       ".bound(" + var->name + ", 0, extent)");
  }
  return {var, 0, extent};
}

/// The smallest extent of a dimension that is indexed by `var` in the Func's definitions, or in
/// those of the Funcs that they call with it; the largest number when there is none.
template <class V>
std::int64_t Program<V>::indexed_extent(const FuncNode &func, const VarPtr &var) {
  std::int64_t extent = std::numeric_limits<std::int64_t>::max();
  const auto is_var = [&](Expr e) {
    while (const Cast *c = e.as<Cast>()) e = c->a;
    const Variable *v = e.as<Variable>();
    return v != nullptr && v->var == var;
  };
  const auto look = [&](const Expr &e) {
    walk(e, [&](const Expr &node) {
      const Load *load = node.as<Load>();
      for (std::size_t d = 0; load != nullptr && d < load->indices.size(); ++d) {
        if (is_var(load->indices[d]))
          extent = std::min(extent, tensor(*load->storage).extent(static_cast<int>(d)));
      }
      const Call *call = node.as<Call>();
      for (std::size_t d = 0; call != nullptr && call->func != &func && d < call->args.size();
           ++d) {
        if (is_var(call->args[d]))
          extent = std::min(extent, indexed_extent(*call->func, call->func->args[d]));
      }
      return true;
    });
  };
  for (const Expr &e : func.predicates) look(e);
  for (const DefinitionData &definition : func.definitions) {
    for (const Expr &e : definition.values) look(e);
    for (const Expr &e : definition.predicates) look(e);
  }
  return extent;
}

template class Program<double>;
template class Program<Bounded>;

}  // namespace pit::reference
