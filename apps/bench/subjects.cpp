#include "subjects.h"

#include <chrono>
#include <memory>

#include "peers.h"

namespace pit::bench {

namespace {

Subject missing(const std::string &system, const std::string &why) {
  return {.system = system, .missing = why};
}

std::vector<AnyBuffer> outputs_of(const std::vector<Factors> &sets, Type type) {
  std::vector<AnyBuffer> outputs;
  for (const auto &[a, b] : sets) {
    outputs.emplace_back(type, Shape{a.typed.extent(0), b.typed.extent(1)});
  }
  return outputs;
}

std::size_t place(int set) { return static_cast<std::size_t>(set); }

// A compiled pipeline with the arguments of its calls, which point into the buffers.
struct Compiled {
  Callable callable;
  std::vector<Inputs> inputs;
  std::vector<AnyBuffer> outputs;
  std::vector<std::vector<CallArgument>> arguments;
  RunStatistics last;
};

}  // namespace

Subject pit_subject(const std::string &system, const Pipeline &pipeline, const Target &target,
                    const std::vector<Inputs> &sets, Type type, const Shape &extents) {
  auto compiled = std::make_shared<Compiled>();
  compiled->callable = pipeline.compile(target);
  compiled->inputs = sets;
  for (std::size_t i = 0; i < sets.size(); ++i) compiled->outputs.emplace_back(type, extents);
  for (std::size_t i = 0; i < sets.size(); ++i) {
    std::vector<CallArgument> &arguments = compiled->arguments.emplace_back();
    for (const Argument &argument : compiled->callable.signature()) {
      const bool input = argument.kind == Argument::Kind::InputTensor;
      arguments.emplace_back(input ? compiled->inputs[i].at(argument.name) : compiled->outputs[i]);
    }
  }
  Subject subject{.system = system, .outputs = compiled->outputs};
  subject.run = [compiled](int set) {
    compiled->last = {};
    compiled->callable.call(compiled->arguments[place(set)], &compiled->last);
  };
  subject.index_us = [compiled] { return compiled->last.index_us; };
  subject.workspace_bytes = [compiled] {
    return static_cast<double>(compiled->last.peak_workspace_bytes);
  };
  return subject;
}

void add_openblas(std::vector<Subject> &subjects, const std::vector<Factors> &sets) {
  const OpenBlas *library = OpenBlas::instance();
  if (library == nullptr) {
    subjects.push_back(missing("OpenBLAS", "not found"));
    return;
  }
  Subject subject{.system = "OpenBLAS", .outputs = outputs_of(sets, float32)};
  subject.run = [library, sets, outputs = subject.outputs](int set) {
    const auto &[a, b] = sets[place(set)];
    library->multiply(a.wide, b.wide, outputs[place(set)]);
  };
  subjects.push_back(std::move(subject));
}

void add_onednn(std::vector<Subject> &subjects, const std::vector<Factors> &sets) {
  const OneDnn *library = OneDnn::instance();
  if (library == nullptr) {
    subjects.push_back(missing("oneDNN", "not found"));
    return;
  }
  const Type type = sets.front().a.typed.type();
  Subject subject{.system = "oneDNN", .outputs = outputs_of(sets, product_type(type))};
  if (!library->can_multiply(sets.front().a.typed, sets.front().b.typed, subject.outputs.front())) {
    subjects.push_back(missing("oneDNN", "has no " + to_string(type) + " product here"));
    return;
  }
  subject.run = [library, sets, outputs = subject.outputs](int set) {
    const auto &[a, b] = sets[place(set)];
    library->multiply(a.typed, b.typed, outputs[place(set)]);
  };
  subjects.push_back(std::move(subject));
}

void add_eigen(std::vector<Subject> &subjects, const std::vector<Factors> &sets) {
  const EigenSparse *library = EigenSparse::instance();
  if (library == nullptr) {
    subjects.push_back(missing("Eigen CSR", "not found"));
    return;
  }
  auto matrices = std::make_shared<std::vector<std::unique_ptr<EigenMatrix>>>();
  for (const auto &[a, b] : sets) matrices->push_back(library->compressed(a.wide));
  Subject alone{.system = "Eigen CSR", .outputs = outputs_of(sets, float32)};
  alone.run = [matrices, sets, outputs = alone.outputs](int set) {
    (*matrices)[place(set)]->multiply(sets[place(set)].b.wide, outputs[place(set)]);
  };
  Subject whole{.system = "Eigen CSR with conversion", .outputs = outputs_of(sets, float32)};
  auto conversion = std::make_shared<double>(0);
  whole.run = [library, conversion, sets, outputs = whole.outputs](int set) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    const auto matrix = library->compressed(sets[place(set)].a.wide);
    *conversion = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
    matrix->multiply(sets[place(set)].b.wide, outputs[place(set)]);
  };
  whole.index_us = [conversion] { return *conversion; };
  subjects.push_back(std::move(alone));
  subjects.push_back(std::move(whole));
}

}  // namespace pit::bench
