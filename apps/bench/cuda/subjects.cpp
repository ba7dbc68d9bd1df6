#include "subjects.h"

namespace pit::bench::cuda {

Operator::Operator(const Pipeline &pipeline, const Device &device, const Settings &settings,
                   std::vector<Inputs> sets, Type type, const Shape &extents)
    : callable_(pipeline.compile(settings.target).on(device.stream())), inputs_(std::move(sets)) {
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    outputs_.push_back(device.allocate(type, extents));
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    std::vector<CallArgument> &arguments = arguments_.emplace_back();
    for (const Argument &argument : callable_.signature()) {
      const bool input = argument.kind == Argument::Kind::InputTensor;
      arguments.emplace_back(input ? inputs_[i].at(argument.name) : outputs_[i]);
    }
  }
}

void Operator::enqueue(int set) const { callable_.call(arguments_[static_cast<std::size_t>(set)]); }

RunStatistics Operator::measured(int set) const {
  RunStatistics statistics;
  callable_.call(arguments_[static_cast<std::size_t>(set)], &statistics);
  return statistics;
}

Subject pit_subject(const std::string &system, std::shared_ptr<const Operator> compiled) {
  auto workspace = std::make_shared<double>(0);
  Subject subject{.system = system, .outputs = compiled->outputs()};
  subject.enqueue = [compiled](int set) { compiled->enqueue(set); };
  subject.index_us = [compiled, workspace] {
    const RunStatistics statistics = compiled->measured(0);
    *workspace = static_cast<double>(statistics.peak_workspace_bytes);
    return statistics.index_us;
  };
  subject.workspace_bytes = [workspace] { return *workspace; };
  return subject;
}

Subject missing_subject(const std::string &system, const std::string &why) {
  return {.system = system, .missing = why};
}

Subject cublas_subject(const Device &device, const std::string &system,
                       const std::vector<AnyBuffer> &a, const std::vector<AnyBuffer> &b,
                       bool tf32) {
  const CuBlas *library = CuBlas::instance(device);
  if (library == nullptr) return missing_subject(system, "not found");
  Subject subject{.system = system};
  for (std::size_t i = 0; i < a.size(); ++i) {
    subject.outputs.push_back(device.allocate(a[i].type(), {a[i].extent(0), b[i].extent(1)}));
  }
  subject.enqueue = [library, a, b, tf32, outputs = subject.outputs](int set) {
    const auto i = static_cast<std::size_t>(set);
    library->multiply(a[i], b[i], outputs[i], tf32);
  };
  subject.workspace_bytes = [library] { return static_cast<double>(library->workspace_bytes()); };
  return subject;
}

}  // namespace pit::bench::cuda
