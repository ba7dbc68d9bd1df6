#include "signature.h"

#include <algorithm>

#include "check_atoms.h"
#include "dsl/error.h"

namespace pit::emit {

namespace {

// True when e reads tensors only at `args`, in their order, and Funcs only so, too.
bool reads_only_at(const Expr &e, const std::vector<VarPtr> &args) {
  const auto is_here = [&](const std::vector<Expr> &indices) {
    return std::ranges::equal(indices, args, [](const Expr &index, const VarPtr &v) {
      const auto *variable = index.as<Variable>();
      return variable && variable->var == v;
    });
  };
  bool only = true;
  walk(e, [&](const Expr &part) {
    if (part.as<Call>() || part.as<IndexQuery>()) only = false;
    if (const auto *load = part.as<Load>()) only = only && is_here(load->indices);
    return only;
  });
  return only;
}

template <class T>
void reorder(std::vector<T> *list, const std::vector<T> &order) {
  internal_check(std::ranges::is_permutation(*list, order),
                 "the module has other inputs than the signature");
  *list = order;
}

bool is_input(const Argument &a) {
  return a.kind == Argument::Kind::InputTensor || a.kind == Argument::Kind::Scalar;
}

}  // namespace

std::vector<Argument> signature_with(const Pipeline &pipeline,
                                     const std::vector<std::string> &inputs,
                                     const std::string &directive, std::source_location where) {
  const std::vector<Argument> arguments = pipeline.signature();
  std::string known;
  for (const Argument &a : arguments) {
    if (is_input(a)) known += (known.empty() ? "" : ", ") + a.name;
  }
  const auto refuse = [&](const std::string &problem) {
    throw CompileError("pipeline " + pipeline.name() + ": " + directive + "(inputs) " + problem +
                           "; name each of these once: " + known,
                       where);
  };
  std::vector<Argument> ordered;
  for (const std::string &input : inputs) {
    const auto named = [&](const Argument &a) { return is_input(a) && a.name == input; };
    const auto it = std::ranges::find_if(arguments, named);
    if (it == arguments.end()) refuse("names '" + input + "', which is not an input");
    if (std::ranges::any_of(ordered, named)) refuse("names '" + input + "' twice");
    ordered.push_back(*it);
  }
  if (ordered.size() != static_cast<std::size_t>(std::ranges::count_if(arguments, is_input)))
    refuse("leaves inputs out");
  std::ranges::copy_if(arguments, std::back_inserter(ordered),
                       [](const Argument &a) { return !is_input(a); });
  return ordered;
}

bool is_elementwise(const Pipeline &pipeline) {
  if (pipeline.outputs().size() != 1 || !pipeline.output_indices().empty()) return false;
  const FuncNode &f = *pipeline.outputs().front();
  if (!f.is_pure() || f.types.size() != 1) return false;
  const auto only = [&](const Expr &e) { return reads_only_at(e, f.args); };
  return std::ranges::all_of(f.definitions.front().values, only) &&
         std::ranges::all_of(f.predicates, only);
}

ir::Module lower_for(const Pipeline &pipeline, const Target &target,
                     std::vector<lower::Explanation> *explanation) {
  check_atoms(pipeline.schedule(), target);
  return lower::lower(pipeline, target, explanation);
}

ir::Module lower_with(const Pipeline &pipeline, const std::vector<Argument> &signature,
                      const Target &target) {
  ir::Module module = lower_for(pipeline, target);
  std::vector<StoragePtr> inputs;
  std::vector<ParamPtr> scalars;
  for (const Argument &a : signature) {
    if (a.kind == Argument::Kind::InputTensor) inputs.push_back(a.tensor);
    if (a.kind == Argument::Kind::Scalar) scalars.push_back(a.param);
  }
  reorder(&module.inputs, inputs);
  reorder(&module.scalars, scalars);
  return module;
}

}  // namespace pit::emit
