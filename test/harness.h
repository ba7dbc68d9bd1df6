// Runs a pipeline on every engine and compares with the reference interpreter.
#pragma once

#include <pit/pit.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "codegen/ir/interpret.h"
#include "codegen/lower/lower.h"
#include "test/device_tensor.h"

namespace pit::test {

/// A pipeline with data. Names are those of Pipeline::signature().
struct Problem {
  std::map<std::string, AnyBuffer> inputs;
  std::map<std::string, double> scalars;
  std::map<std::string, Shape> outputs;  ///< extents
};

/// The tile IR lowered for the CPU or for a GPU and interpreted, or compiled code.
enum class Engine { TileInterpreter, CudaTileInterpreter, Compiled };

/// What a run produced against what it should have.
struct Comparison {
  std::int64_t elements = 0;   ///< compared
  std::int64_t different = 0;  ///< not equal, or outside the bound
  double worst = 0;            ///< largest |y - ref| / (2^-24 * bound)
  std::string first;           ///< the first difference, for the message
};

/// Tensors of the names in `a` have the same bytes in both; all are compact.
inline bool same_bytes(const std::map<std::string, AnyBuffer> &a,
                       const std::map<std::string, AnyBuffer> &b) {
  for (const auto &[name, buffer] : a) {
    if (std::memcmp(buffer.data(), b.at(name).data(),
                    static_cast<std::size_t>(buffer.size() * buffer.type().bytes())) != 0)
      return false;
  }
  return true;
}

/// Outputs filled with a pattern that no test computes, so that what is left alone is seen.
inline std::map<std::string, AnyBuffer> poisoned_outputs(const Pipeline &pipeline,
                                                         const Problem &problem) {
  std::map<std::string, AnyBuffer> outputs;
  for (const Argument &a : pipeline.signature()) {
    if (a.kind == Argument::Kind::InputTensor || a.kind == Argument::Kind::Scalar) continue;
    AnyBuffer buffer(a.type, problem.outputs.at(a.name));
    std::memset(buffer.data(), 0xA5, static_cast<std::size_t>(buffer.size() * a.type.bytes()));
    outputs.emplace(a.name, buffer);
  }
  return outputs;
}

inline ir::TensorArgument tensor_argument(const AnyBuffer &b) {
  return {b.data(), b.extents(), b.strides()};
}

inline CallArgument scalar_argument(Type type, double value) {
  if (type == float32) return CallArgument(static_cast<float>(value));
  if (type == int32) return CallArgument(static_cast<std::int32_t>(value));
  if (type == int64) return CallArgument(static_cast<std::int64_t>(value));
  return CallArgument(value);
}

/// A generator of test data: every `number` gives other data, and `setting`, that of PIT_TEST_SEED
/// (a number; null: none is set), other data again.
inline std::mt19937 generator_of(const char *setting, unsigned number) {
  if (setting == nullptr) return std::mt19937(number);
  char *end = nullptr;
  const unsigned long seed = std::strtoul(setting, &end, 10);
  if (end == setting || *end != 0) {
    throw RuntimeError("PIT_TEST_SEED is '" + std::string(setting) +
                       "'; expected a number or \"random\"");
  }
  std::seed_seq both{static_cast<unsigned>(seed), number};
  return std::mt19937(both);
}

/// The generator of this process: of fixed data, or of PIT_TEST_SEED. A seed is printed, so that
/// what fails with "random" can be repeated.
inline std::mt19937 test_generator(unsigned number) {
  static const std::string setting = [] {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
    const char *variable = std::getenv("PIT_TEST_SEED");
    std::string seed = variable != nullptr ? variable : "";
    if (seed == "random") seed = std::to_string(std::random_device{}());
    if (!seed.empty()) std::fprintf(stderr, "PIT_TEST_SEED=%s\n", seed.c_str());
    return seed;
  }();
  return generator_of(setting.empty() ? nullptr : setting.c_str(), number);
}

/// What compiled code is made for where a test does not say it: this machine's CPU, or what
/// PIT_TEST_TARGET names: a target, or "cuda", the first CUDA device.
inline Target target_under_test() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
  const char *variable = std::getenv("PIT_TEST_TARGET");
  const std::string named = variable != nullptr ? variable : "";
  if (named != "cuda") return named.empty() ? Target() : Target(named);
  const std::vector<CudaDevice> devices = cuda_devices();
  if (devices.empty()) throw RuntimeError("PIT_TEST_TARGET=cuda, but there is no CUDA device");
  return devices.front().target;
}

/// A pipeline made ready once for an engine, to run on problems of any size.
class Runner {
 public:
  Runner(const Pipeline &pipeline, Engine engine, const Target &target = target_under_test())
      : signature_(pipeline.signature()) {
    if (engine == Engine::Compiled)
      callable_ = pipeline.compile(target);
    else
      module_ = lower::lower(pipeline, engine == Engine::TileInterpreter || target.is_cuda()
                                           ? target
                                           : Target("x86-64-linux-cuda-sm_90a"));
  }

  void operator()(const Problem &problem, const std::map<std::string, AnyBuffer> &outputs) const {
    if (callable_.defined()) {
      callable_.compiled().info().on_cuda ? on_cuda(problem, outputs)
                                          : callable_.call(arguments(problem, outputs));
      return;
    }
    std::vector<ir::TensorArgument> in, out;
    std::vector<double> scalars;
    for (const Argument &a : signature_) {
      if (a.kind == Argument::Kind::InputTensor)
        in.push_back(tensor_argument(problem.inputs.at(a.name)));
      else if (a.kind == Argument::Kind::Scalar)
        scalars.push_back(problem.scalars.at(a.name));
      else
        out.push_back(tensor_argument(outputs.at(a.name)));
    }
    ir::interpret(module_, in, scalars, out);
  }

  /// Compiled code only: the arguments of a call, and the operator to call with them.
  std::vector<CallArgument> arguments(const Problem &problem,
                                      const std::map<std::string, AnyBuffer> &outputs) const {
    std::vector<CallArgument> arguments;
    for (const Argument &a : signature_) {
      if (a.kind == Argument::Kind::InputTensor)
        arguments.push_back(CallArgument(problem.inputs.at(a.name)));
      else if (a.kind == Argument::Kind::Scalar)
        arguments.push_back(scalar_argument(a.type, problem.scalars.at(a.name)));
      else
        arguments.push_back(CallArgument(outputs.at(a.name)));
    }
    return arguments;
  }
  const Callable &callable() const { return callable_; }

 private:
  /// Everything on a CUDA device, laid out as here, and back. The spans of outputs do not overlap.
  /// WroteBeside if anything around the tensors was written.
  void on_cuda(const Problem &problem, const std::map<std::string, AnyBuffer> &outputs) const {
    std::map<std::string, DeviceTensor> inputs, results;
    Problem there = problem;
    for (auto &[name, buffer] : there.inputs)
      buffer = inputs.try_emplace(name, name, buffer).first->second.buffer();
    std::map<std::string, AnyBuffer> outputs_there;
    for (const auto &[name, buffer] : outputs)
      outputs_there.emplace(name, results.try_emplace(name, name, buffer).first->second.buffer());
    callable_.call(arguments(there, outputs_there));
    pit::check();
    for (const auto &[name, tensor] : inputs) tensor.check_margins();
    for (const auto &[name, tensor] : results) tensor.download(outputs.at(name));
  }

  std::vector<Argument> signature_;
  ir::Module module_;
  Callable callable_;
};

inline void run(const Pipeline &pipeline, const Problem &problem, Engine engine,
                const Target &target, const std::map<std::string, AnyBuffer> &outputs) {
  Runner(pipeline, engine, target)(problem, outputs);
}

/// `exact`: bytes are equal, which small integers give in any order of summation. Otherwise the
/// bound of the reference holds with factor `c` (Reference::bounded).
inline Comparison compare(const std::map<std::string, AnyBuffer> &got,
                          const std::map<std::string, AnyBuffer> &expected,
                          const std::map<std::string, AnyBuffer> &bounds, bool exact, double c) {
  Comparison result;
  for (const auto &[name, reference] : expected) {
    const AnyBuffer &ours = got.at(name);
    const auto bound = bounds.find(name);
    for_each_coordinate(reference.extents(), [&, name = name](const Shape &at) {
      ++result.elements;
      const double y = ours.number(at), r = reference.number(at);
      const auto bytes = static_cast<std::size_t>(reference.type().bytes());
      const bool same = std::memcmp(ours.address(at), reference.address(at), bytes) == 0;
      if (same || (std::isnan(y) && std::isnan(r))) return;
      double allowed = 0;
      if (!exact && bound != bounds.end()) {
        allowed = std::ldexp(bound->second.number(at), -24);
        if (allowed > 0) result.worst = std::max(result.worst, std::abs(y - r) / allowed);
      }
      if (y == r || std::abs(y - r) <= c * allowed) return;
      if (result.different++ == 0) {
        result.first = name + to_string(at) + " is " + std::to_string(y) + ", not " +
                       std::to_string(r) + " (allowed difference " + std::to_string(c * allowed) +
                       ")";
      }
    });
  }
  return result;
}

inline Comparison check(const Pipeline &pipeline, const Problem &problem, Engine engine, bool exact,
                        double c = 64, const Target &target = target_under_test()) {
  const std::map<std::string, AnyBuffer> expected = poisoned_outputs(pipeline, problem),
                                         got = poisoned_outputs(pipeline, problem);
  std::map<std::string, AnyBuffer> bounds;
  Reference reference(pipeline, problem.inputs, problem.scalars);
  reference.run(expected, &bounds);
  run(pipeline, problem, engine, target, got);
  return compare(got, expected, bounds, exact, c);
}

/// Numbers of `type`: integers in [-3, 3] (exact sums) or reals in [-1, 1), a share `zeros` of them
/// 0.
inline AnyBuffer random_values(Type type, const Shape &extents, std::mt19937 &generator,
                               bool integers, double zeros = 0) {
  AnyBuffer b(type, extents);
  std::uniform_real_distribution<double> unit(0, 1);
  for_each_coordinate(extents, [&](const Shape &at) {
    const double u = unit(generator),
                 v = integers || !type.is_float() ? std::floor(u * 7) - 3 : 2 * u - 1;
    const double value = unit(generator) < zeros ? 0 : v;
    b.set_number(at, type.is_uint() || type.is_bool() ? std::abs(value) : value);
  });
  return b;
}

}  // namespace pit::test
