#include "measure.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <sstream>

#include "apps/program/median.h"

namespace pit::demo {

namespace {

/// A compiled schedule with its arguments, where its target wants them, and the times of its runs.
class Subject {
 public:
  Subject(const Pipeline &pipeline, const Problem &problem, const Target &target)
      : callable_(pipeline.compile(target)), output_(problem.type, problem.extents) {
    if (target.is_cuda()) output_ = output_.to_cuda();
    inputs_.reserve(callable_.signature().size());  // arguments refer to them
    for (const Argument &argument : callable_.signature()) {
      if (argument.kind != Argument::Kind::InputTensor) {
        arguments_.emplace_back(output_);
        continue;
      }
      const AnyBuffer &input = problem.inputs.at(argument.name);
      inputs_.push_back(target.is_cuda() ? input.to_cuda() : input);
      arguments_.emplace_back(inputs_.back());
    }
  }

  /// Returns the statistics of the run, which counts if `timed`.
  RunStatistics run(bool timed) {
    RunStatistics statistics;
    callable_.call(arguments_, &statistics);
    if (!output_.is_on_host()) check(nullptr, output_.device().device_id);
    if (timed) {
      index_.push_back(statistics.index_us);
      run_.push_back(statistics.compute_us);
      total_.push_back(statistics.total_us);
    }
    return statistics;
  }

  Times times() const {
    return {program::median(index_), program::median(run_), program::median(total_)};
  }
  AnyBuffer output() const { return output_.is_on_host() ? output_ : output_.to_host(); }

 private:
  Callable callable_;
  AnyBuffer output_;
  std::vector<AnyBuffer> inputs_;
  std::vector<CallArgument> arguments_;
  std::vector<double> index_, run_, total_;
};

double statistic(const RunStatistics &statistics, const std::string &name) {
  for (const auto &[key, value] : statistics.statistics) {
    if (key == name) return value;
  }
  throw std::runtime_error("the operator counts no " + name);
}

struct Sample {
  Shape at;
  Reference::Bounded expected;
};

std::vector<Sample> interpret(const Problem &problem) {
  const Pipeline pipeline = problem.sparse(Target());
  const Func output(pipeline.outputs().front());
  Reference reference(pipeline, problem.inputs, {}, {{output.name(), problem.extents}});
  std::vector<Sample> samples;
  for (const Shape &at : problem.samples) samples.push_back({at, reference.bounded(output, at)});
  return samples;
}

// How often the system took a core from this process for another.
double interruptions() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_nivcsw);
}

Deviation compare(const AnyBuffer &output, const std::vector<Sample> &samples, double longest_sum) {
  // See Reference::bounded: rounding errors of a sum grow with the square root of its length.
  const double factor = std::max(4., std::sqrt(longest_sum)) * 0x1p-24;
  Deviation result;
  double largest = 0, difference = 0;
  for (const auto &[at, expected] : samples) {
    const double value = output.number(at), off = std::fabs(value - expected.value);
    largest = std::max(largest, std::fabs(expected.value));
    difference = std::max(difference, off);
    if (off <= factor * expected.bound || !result.wrong.empty()) continue;  // false for NaN
    std::ostringstream text;
    text << "element " << to_string(at) << " is " << value << ", the interpreter's is "
         << expected.value << ", and they may differ by " << factor * expected.bound;
    result.wrong = text.str();
  }
  result.relative = largest > 0 ? difference / largest : difference;
  return result;
}

}  // namespace

Measurement measure(const std::string &name, const Problem &problem, const Target &target,
                    const std::function<void(const std::string &)> &progress) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kTime(800);
  constexpr int kFewest = 7, kMost = 101;

  progress("compiling");
  Subject sparse(problem.sparse(target), problem, target),
      dense(problem.dense(target), problem, target);

  progress("running");
  Measurement result{.name = name, .about = problem.about};
  const RunStatistics statistics = sparse.run(false);
  dense.run(false);
  const double interruptions_before = interruptions();
  const Clock::time_point start = Clock::now();
  while (result.runs < kFewest || (result.runs < kMost && Clock::now() - start < kTime)) {
    sparse.run(true);
    dense.run(true);
    ++result.runs;
  }
  result.interruptions = (interruptions() - interruptions_before) /
                         std::chrono::duration<double>(Clock::now() - start).count();
  result.sparse = sparse.times();
  result.dense = dense.times();
  const double kept = statistic(statistics, problem.index + ".kept") * problem.micro_size;
  result.density = kept / problem.dense_iterations;
  result.fill = kept > 0 ? problem.passing / kept : 1;
  result.dense_fill = problem.passing / problem.dense_iterations;

  progress("interpreting " + std::to_string(problem.samples.size()) + " elements");
  const std::vector<Sample> samples = interpret(problem);
  result.compared = samples.size();
  result.sparse_error = compare(sparse.output(), samples, problem.longest_sum);
  result.dense_error = compare(dense.output(), samples, problem.longest_sum);
  return result;
}

}  // namespace pit::demo
