#include "test/correctness/agreement.h"

#include <exception>

namespace pit::test {
namespace {

constexpr std::int64_t kBefore = 1, kAfter = 3;

/// Memory with room around a box of these extents.
AnyBuffer surroundings(Type type, const Shape &extents, int byte) {
  Shape larger = extents;
  for (std::int64_t &e : larger) e += kBefore + kAfter;
  const AnyBuffer buffer(type, larger);
  buffer.fill_bytes(byte);
  return buffer;
}

AnyBuffer inside(AnyBuffer larger) {
  for (int d = 0; d < larger.rank(); ++d)
    larger = larger.sliced(d, kBefore, larger.extent(d) - kAfter);
  return larger;
}

/// What the reference computes for one data set under one interface.
struct Expected {
  std::map<std::string, AnyBuffer> outputs, bounds;
};

Expected expect(const Pipeline &pipeline, const Problem &problem) {
  Expected expected{poisoned_outputs(pipeline, problem), {}};
  Reference(pipeline, problem.inputs, problem.scalars).run(expected.outputs, &expected.bounds);
  return expected;
}

/// A schedule may change the interface: compact outputs.
std::string interface_of(const Pipeline &pipeline) {
  std::string text;
  for (const Argument &a : pipeline.signature())
    text += a.name + "/" + std::to_string(a.rank) + " ";
  return text;
}

}  // namespace

AnyBuffer guarded(const AnyBuffer &buffer, int byte) {
  const AnyBuffer view = inside(surroundings(buffer.type(), buffer.extents(), byte));
  view.copy_from(buffer);
  return view;
}

Problem guarded(const Problem &problem) {
  Problem result = problem;
  for (auto &[name, buffer] : result.inputs) buffer = guarded(buffer, 0xFF);
  return result;
}

GuardedOutputs::GuardedOutputs(const Pipeline &pipeline, const Problem &problem) {
  for (const auto &[name, output] : poisoned_outputs(pipeline, problem)) {
    const AnyBuffer around = surroundings(output.type(), output.extents(), 0xA5);
    around_.emplace(name, around);
    views_.emplace(name, inside(around));
  }
}

bool GuardedOutputs::intact() const {
  for (const auto &[name, around] : around_) {
    const AnyBuffer copy = around.copy();
    inside(copy).fill_bytes(0xA5);
    const auto *bytes = static_cast<const unsigned char *>(copy.data());
    for (std::int64_t i = 0; i < copy.size() * copy.type().bytes(); ++i) {
      if (bytes[i] != 0xA5) return false;
    }
  }
  return true;
}

void check_agreement(const Agreement &agreement) {
  std::map<std::string, std::vector<Expected>> by_interface;
  for (const std::string &text : agreement.schedules) {
    CAPTURE(text);
    try {
      const Pipeline pipeline =
          agreement.algorithm.with(Schedule::parse(agreement.algorithm, text));
      std::vector<Expected> &expected = by_interface[interface_of(pipeline)];
      for (std::size_t i = expected.size(); i < agreement.data.size(); ++i) {
        expected.push_back(expect(pipeline, agreement.data[i].problem));
      }

      bool right = true;  // after a failure the other data sets of the schedule tell nothing new
      const auto check_engine = [&](Engine engine, const Target &target) {
        const Runner runner(pipeline, engine, target);
        for (std::size_t i = 0; i < agreement.data.size(); ++i) {
          const Data &data = agreement.data[i];
          if (!right || (engine != Engine::Compiled && !data.interpret)) continue;
          const std::string where =
              data.name + (engine == Engine::Compiled ? " on " + target.to_string()
                           : engine == Engine::CudaTileInterpreter
                               ? " interpreted, lowered for " + target.to_string()
                               : " interpreted");
          CAPTURE(where);
          const auto check_outputs = [&](const std::map<std::string, AnyBuffer> &outputs) {
            const Comparison result =
                compare(outputs, expected[i].outputs, expected[i].bounds, data.exact, agreement.c);
            right = right && result.different == 0;
            CHECK_MESSAGE(result.different == 0, result.different, " of ", result.elements,
                          " differ: ", result.first);
          };
          const GuardedOutputs outputs(pipeline, data.problem);
          runner(guarded(data.problem), outputs.views());
          check_outputs(outputs.views());
          CHECK(outputs.intact());
          if (engine == Engine::Compiled) {
            const std::map<std::string, AnyBuffer> compact =
                poisoned_outputs(pipeline, data.problem);
            runner(data.problem, compact);
            check_outputs(compact);
          }
        }
      };
      if (target_under_test().is_cuda()) {
        // On a machine for that: the other engines run where there is no device.
        check_engine(Engine::Compiled, target_under_test());
        continue;
      }
      check_engine(Engine::TileInterpreter, agreement.targets.front());
      for (const Target &target : agreement.interpreted_for)
        check_engine(Engine::CudaTileInterpreter, target);
      for (const Target &target : agreement.targets) check_engine(Engine::Compiled, target);
    } catch (const std::exception &e) {
      FAIL_CHECK(std::string(e.what()));
    }
  }
}

}  // namespace pit::test
