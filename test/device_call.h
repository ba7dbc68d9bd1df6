// The arguments of one call in the memory of a CUDA device.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "test/driver_api.h"
#include "test/harness.h"

namespace pit::test {

class DeviceCall {
 public:
  /// Tensors of the extents of `problem`, with its inputs; the outputs are poisoned.
  DeviceCall(const Pipeline &pipeline, const Problem &problem)
      : outputs_(poisoned_outputs(pipeline, problem)) {
    for (const Argument &a : pipeline.signature()) {
      const bool is_input = a.kind == Argument::Kind::InputTensor;
      const AnyBuffer &here = is_input ? problem.inputs.at(a.name) : outputs_.at(a.name);
      arguments_.emplace_back(there_.emplace(a.name, here.to_cuda()).first->second);
    }
  }
  DeviceCall(const DeviceCall &) = delete;
  DeviceCall &operator=(const DeviceCall &) = delete;

  const std::vector<CallArgument> &arguments() const { return arguments_; }
  AnyBuffer &tensor(const std::string &name) { return there_.at(name); }

  /// Copies inputs of the same extents there, and poisons the outputs again.
  void give(const Driver &driver, const Problem &problem) {
    for (const auto &[name, buffer] : problem.inputs) copy(driver, name, buffer);
    for (const auto &[name, buffer] : outputs_) copy(driver, name, buffer);
  }

  /// The outputs, once what writes them is done.
  std::map<std::string, AnyBuffer> results() const {
    std::map<std::string, AnyBuffer> here;
    for (const auto &[name, buffer] : outputs_) here.emplace(name, there_.at(name).to_host());
    return here;
  }

 private:
  std::map<std::string, AnyBuffer> outputs_, there_;
  std::vector<CallArgument> arguments_;

  void copy(const Driver &driver, const std::string &name, const AnyBuffer &from) {
    driver.to_device(there_.at(name).data(), from.data(),
                     static_cast<std::size_t>(from.size() * from.type().bytes()));
  }
};

}  // namespace pit::test
