// The functions of Pipeline that need a compiler.
#include "atoms_text.h"
#include "codegen/lower/dump.h"
#include "dsl/callable.h"
#include "dsl/pipeline.h"
#include "operator.h"
#include "signature.h"

namespace pit {

namespace {

Callable compile_for(const Pipeline &pipeline, std::vector<Argument> signature,
                     const Target &target) {
  lower::StepTimer timer(pipeline.name());
  ir::Module module = emit::lower_with(pipeline, signature, target);
  timer.step_ends("lowering");
  OperatorInfo info{pipeline.name(), std::move(signature), emit::is_elementwise(pipeline),
                    target.is_cuda()};
  return Callable(emit::make_operator(std::move(info), module, target));
}

}  // namespace

Callable Pipeline::compile(const Target &target) const {
  return compile_for(*this, signature(), target);
}

Callable Pipeline::compile(const std::vector<std::string> &inputs, const Target &target,
                           std::source_location where) const {
  return compile_for(*this, emit::signature_with(*this, inputs, "compile", where), target);
}

std::string Pipeline::explain(const Target &target) const {
  std::vector<lower::Explanation> lines;
  const ir::Module module = emit::lower_for(*this, target, &lines);
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
