// Several streams at once on a CUDA device: each has workspaces, lists and reports of its own.
#include <future>
#include <vector>

#include "test/correctness/program_data.h"
#include "test/device_call.h"

namespace pit::test {
namespace {

/// Calls on 1 to 4 streams, each by a thread of its own and with data of its own, many behind each
/// other: every one gives the bits of a call that was alone.
void check_streams(const Pipeline &pipeline, const std::vector<Problem> &problems, bool exact) {
  constexpr int kCalls = 12;
  const Callable callable = pipeline.compile(target_under_test());
  std::vector<std::map<std::string, AnyBuffer>> alone;
  for (const Problem &problem : problems) {
    alone.push_back(results_of_calls(pipeline, callable, problem, 1).front());
    const std::map<std::string, AnyBuffer> expected = poisoned_outputs(pipeline, problem);
    std::map<std::string, AnyBuffer> bounds;
    Reference(pipeline, problem.inputs, problem.scalars).run(expected, &bounds);
    const Comparison result = compare(alone.back(), expected, bounds, exact, 64);
    CHECK_MESSAGE(result.different == 0, result.first);
  }
  for (std::size_t streams = 1; streams <= problems.size(); ++streams) {
    CAPTURE(streams);
    std::vector<std::future<int>> threads;
    for (std::size_t s = 0; s < streams; ++s) {
      threads.push_back(std::async(std::launch::async, [&, s] {
        int different = 0;
        for (const auto &results : results_of_calls(pipeline, callable, problems[s], kCalls))
          different += !same_bytes(alone[s], results);
        return different;
      }));
    }
    for (std::future<int> &thread : threads) CHECK(thread.get() == 0);
  }
}

}  // namespace

// Of integers and of reals; of rows that bulk copies take and of rows that they do not.
TEST_CASE("streams - every program on one to four streams") {
  if (!target_under_test().is_cuda()) return;
  for (const ProgramCase &c : program_cases()) {
    for (const Size &size : {c.sizes.back(), c.wide}) {
      for (const bool integers : {true, false}) {
        if (!integers && !c.repeatable()) continue;
        const std::string what =
            c.program.name + " " + to_string(size) + (integers ? " integers" : " reals");
        CAPTURE(what);
        std::mt19937 generator = test_generator(1);
        std::vector<Problem> problems;
        for (const double zeros : {0.99, 0.5, 1.0, 0.9})
          problems.push_back(c.make(c.program.type, size, zeros, integers, generator));
        check_streams(c.program.build(true), problems, c.exact(integers));
      }
    }
  }
}

}  // namespace pit::test
