// The functions of Pipeline that need a compiler.
#include <algorithm>

#include "atoms_text.h"
#include "check_atoms.h"
#include "codegen/lower/dump.h"
#include "codegen/lower/lower.h"
#include "dsl/callable.h"
#include "dsl/error.h"
#include "dsl/pipeline.h"
#include "operator.h"

namespace pit {

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

// One pure output whose every element comes from the inputs' elements at its coordinate.
bool is_elementwise(const Pipeline &pipeline) {
  if (pipeline.outputs().size() != 1 || !pipeline.output_indices().empty()) return false;
  const FuncNode &f = *pipeline.outputs().front();
  if (!f.is_pure() || f.types.size() != 1) return false;
  const auto only = [&](const Expr &e) { return reads_only_at(e, f.args); };
  return std::ranges::all_of(f.definitions.front().values, only) &&
         std::ranges::all_of(f.predicates, only);
}

template <class T>
void reorder(std::vector<T> *list, const std::vector<T> &order) {
  internal_check(std::ranges::is_permutation(*list, order),
                 "the module has other inputs than the signature");
  *list = order;
}

ir::Module lower_for(const Pipeline &pipeline, const Target &target,
                     std::vector<lower::Explanation> *explanation = nullptr) {
  emit::check_atoms(pipeline.schedule(), target);
  return lower::lower(pipeline, target, explanation);
}

Callable compile_for(const Pipeline &pipeline, std::vector<Argument> signature,
                     const Target &target) {
  lower::StepTimer timer(pipeline.name());
  ir::Module module = lower_for(pipeline, target);
  timer.step_ends("lowering");
  std::vector<StoragePtr> inputs;
  std::vector<ParamPtr> scalars;
  for (const Argument &a : signature) {
    if (a.kind == Argument::Kind::InputTensor) inputs.push_back(a.tensor);
    if (a.kind == Argument::Kind::Scalar) scalars.push_back(a.param);
  }
  reorder(&module.inputs, inputs);
  reorder(&module.scalars, scalars);
  OperatorInfo info{pipeline.name(), std::move(signature), is_elementwise(pipeline),
                    target.is_cuda()};
  return Callable(emit::make_operator(std::move(info), module, target));
}

bool is_input(const Argument &a) {
  return a.kind == Argument::Kind::InputTensor || a.kind == Argument::Kind::Scalar;
}

}  // namespace

Callable Pipeline::compile(const Target &target) const {
  return compile_for(*this, signature(), target);
}

Callable Pipeline::compile(const std::vector<std::string> &inputs, const Target &target,
                           std::source_location where) const {
  const std::vector<Argument> arguments = signature();
  std::string known;
  for (const Argument &a : arguments) {
    if (is_input(a)) known += (known.empty() ? "" : ", ") + a.name;
  }
  const auto refuse = [&](const std::string &problem) {
    throw CompileError("pipeline " + name() + ": compile(inputs) " + problem +
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
  return compile_for(*this, std::move(ordered), target);
}

std::string Pipeline::explain(const Target &target) const {
  std::vector<lower::Explanation> lines;
  const ir::Module module = lower_for(*this, target, &lines);
  std::string text, subject;
  for (const lower::Explanation &line : lines) {
    if (line.subject != subject) text += line.subject + "\n";
    subject = line.subject;
    text += "  " + line.topic + ": " + line.text + "\n";
  }
  return target.is_cuda() ? text : text + emit::atoms_text(module, target);
}

std::string Func::explain(const Target &target) const { return Pipeline({*this}).explain(target); }
std::string Func::explain() const { return explain(Target()); }

}  // namespace pit
