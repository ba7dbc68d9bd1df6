// Calls of operators on streams of a CUDA device.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "test/driver_api.h"
#include "test/harness.h"

namespace pit::test {

/// The arguments of a call in the memory of the first device.
class DeviceCall {
 public:
  /// Tensors of the layouts of `problem`, with its inputs; the outputs are poisoned. Copies are
  /// made in `stream`.
  DeviceCall(const Pipeline &pipeline, const Problem &problem, void *stream = nullptr)
      : outputs_(poisoned_outputs(pipeline, problem)) {
    for (const Argument &a : pipeline.signature()) {
      if (a.kind == Argument::Kind::Scalar) {
        arguments_.push_back(scalar_argument(a.type, problem.scalars.at(a.name)));
        continue;
      }
      const bool is_input = a.kind == Argument::Kind::InputTensor;
      const AnyBuffer &here = is_input ? problem.inputs.at(a.name) : outputs_.at(a.name);
      arguments_.emplace_back(
          there_.try_emplace(a.name, a.name, here, stream).first->second.buffer());
    }
  }
  DeviceCall(const DeviceCall &) = delete;
  DeviceCall &operator=(const DeviceCall &) = delete;

  const std::vector<CallArgument> &arguments() const { return arguments_; }

  /// Copies inputs of the same layouts there, and poisons the outputs again. Scalars stay.
  void give(const Problem &problem) const {
    for (const auto &[name, buffer] : problem.inputs) there_.at(name).upload(buffer);
    for (const auto &[name, buffer] : outputs_) there_.at(name).upload(buffer);
  }

  /// The outputs, once what writes them is done. WroteBeside if anything around a tensor was
  /// written.
  std::map<std::string, AnyBuffer> results() const {
    std::map<std::string, AnyBuffer> here;
    for (const auto &[name, tensor] : there_) {
      const auto output = outputs_.find(name);
      if (output == outputs_.end()) {
        tensor.check_margins();
        continue;
      }
      const AnyBuffer &like = output->second;
      const AnyBuffer &result =
          here.emplace(name, AnyBuffer(like.type(), like.extents())).first->second;
      tensor.download(result);
    }
    return here;
  }

 private:
  std::map<std::string, AnyBuffer> outputs_;
  std::map<std::string, DeviceTensor> there_;
  std::vector<CallArgument> arguments_;
};

/// Puts `count` calls of an operator, each with outputs of its own, behind each other into a new
/// stream; what they gave, once all are done.
inline std::vector<std::map<std::string, AnyBuffer>> results_of_calls(const Pipeline &pipeline,
                                                                      const Callable &callable,
                                                                      const Problem &problem,
                                                                      int count) {
  const Driver driver;
  const Driver::Pointer stream = driver.stream();
  const Callable here = callable.on(stream);
  std::vector<std::unique_ptr<DeviceCall>> calls;
  for (int i = 0; i < count; ++i)
    calls.push_back(std::make_unique<DeviceCall>(pipeline, problem, stream));
  for (const auto &call : calls) here.call(call->arguments());
  driver.wait(stream);
  pit::check(stream);
  std::vector<std::map<std::string, AnyBuffer>> results;
  for (const auto &call : calls) results.push_back(call->results());
  return results;
}

}  // namespace pit::test
