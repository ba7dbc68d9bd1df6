// A drawn program as C++-like text, for people who look for the bug.
#include <algorithm>
#include <set>

#include "program.h"

namespace pit::fuzz {

namespace {

std::string join(const std::vector<std::string> &parts) {
  std::string text;
  for (const std::string &p : parts) text += (text.empty() ? "" : ", ") + p;
  return text;
}

std::string join(const std::vector<Expr> &parts) {
  std::vector<std::string> texts;
  for (const Expr &e : parts) texts.push_back(to_string(e));
  return join(texts);
}

std::string domain_text(const DefinitionData &definition) {
  std::string text;
  std::set<const RDomNode *> seen;
  for (const ReductionDim &dim : definition.domain) {
    const auto domain = dim.var->domain.lock();
    text += "    over " + dim.var->name + " in [" + to_string(dim.min) + ", +" +
            to_string(dim.extent) + ")\n";
    if (!domain || !seen.insert(domain.get()).second) continue;
    for (const Expr &p : domain->predicates) text += "    where " + to_string(p) + "\n";
  }
  return text;
}

std::string func_text(const FuncNode &func) {
  std::string text;
  for (const DefinitionData &d : func.definitions) {
    const std::string values = d.combiner == Combiner::Softmax
                                   ? "softmax_term(" + join(d.values) + ")"
                               : d.combiner == Combiner::TopK ? "top_k(" + join(d.values) + ")"
                               : d.values.size() > 1          ? "Tuple(" + join(d.values) + ")"
                                                              : join(d.values);
    text += func.name + "(" + join(d.args) + ") " + to_string(d.combiner) + " " + values + ";";
    if (d.implicit) text += "  // implicit";
    text += "\n" + domain_text(d);
  }
  for (const Expr &p : func.predicates) text += func.name + ".where(" + to_string(p) + ");\n";
  return text;
}

std::string content_text(const DrawnTensor &t) {
  switch (t.content) {
    case Content::Small:
      return "small numbers";
    case Content::Index:
      return "in [0, " + std::to_string(t.limit) + ")";
    case Content::Key:
      return "in [-1, " + std::to_string(t.limit) + ")";
    case Content::Offsets:
      return "offsets up to " + std::to_string(t.limit);
  }
  return "";
}

}  // namespace

std::string to_text(const DrawnProgram &program) {
  const Pipeline pipeline = program.pipeline();
  std::set<std::string> used;
  for (const Argument &a : pipeline.signature()) used.insert(a.name);
  std::string text;
  for (const DrawnTensor &t : program.tensors) {
    if (!used.contains(t.param.name())) continue;
    text += "TensorParam " + t.param.name() + "(" + to_string(t.param.type()) + ", " +
            std::to_string(t.param.rank()) + ");  // " + to_string(t.extents) + ", " +
            content_text(t) + "\n";
    const auto &declared = t.param.storage()->declared_extents;
    for (std::size_t d = 0; d < declared.size(); ++d) {
      if (declared[d] < 0) continue;
      text += t.param.name() + ".dim(" + std::to_string(d) + ").extent(" +
              std::to_string(declared[d]) + ");\n";
    }
  }
  for (const auto &[param, value] : program.scalars) {
    if (!used.contains(param->name)) continue;
    text += "Param " + param->name + "(" + to_string(param->type) + ");  // " +
            std::to_string(value) + "\n";
  }
  for (const FuncPtr &f : pipeline.funcs()) text += func_text(*f);
  for (std::size_t i = 0; i < program.outputs.size(); ++i) {
    text += "output " + program.funcs[program.outputs[i]].func.name() + "  // " +
            to_string(program.output_extents[i]) + "\n";
  }
  return text + "// schedule\n" + pipeline.schedule().to_string();
}

}  // namespace pit::fuzz
