#include "measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <sstream>

#include "apps/program/median.h"

namespace pit::bench::cuda {

namespace {

double least(const std::vector<double> &values) {
  return *std::min_element(values.begin(), values.end());
}

// A subject under way: what the rounds say about it, a number for each.
struct Course {
  const Subject *subject;
  std::string failure{};
  Graph graph{}, timed{};  // of all its work, and of what counts
  Event begin{}, end{};
  std::vector<std::vector<Expected>> expected{};  // of every data set
  std::vector<double> total{};
  double index = 0;
  double workspace = -1;
  double error = -1;

  bool runs() const { return subject->missing.empty() && failure.empty(); }
};

class Bench {
 public:
  Bench(const Device &device, std::string name, const Problem &problem,
        std::vector<std::string> &wrong)
      : device_(device), name_(std::move(name)), problem_(problem), wrong_(wrong) {
    std::vector<std::vector<Expected>> expected;
    for (int set = 0; problem_.expected && set < problem_.sets; ++set)
      expected.push_back(problem_.expected(set));
    for (const Subject &subject : problem_.subjects) {
      Course &course = courses_.emplace_back(Course{.subject = &subject});
      course.expected = expected;
      if (!subject.expected) continue;
      course.expected.clear();
      for (int set = 0; set < problem_.sets; ++set)
        course.expected.push_back(subject.expected(set));
    }
  }

  void warm_up(const std::function<void(const std::string &)> &progress) {
    for (Course &course : courses_) {
      if (!course.runs()) continue;
      progress("checking " + course.subject->system);
      attempt(course, [&] {
        if (!course.subject->enqueue) return;
        compute_and_check(course, [&] { enqueue_all(course); });
        course.graph = device_.record([&] { enqueue_all(course); });
        course.timed = course.graph;
        if (course.subject->counted)
          course.timed = device_.record([&] { enqueue_all(course); }, course.subject->counted);
        course.begin = device_.event();
        course.end = device_.event();
      });
    }
  }

  void run_rounds(const Budget &budget) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    const auto spent = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
    const auto more = [&] {
      // Of operations that last seconds, few rounds say enough.
      if (rounds_ >= kFewestLong && spent() > kLong) return false;
      return rounds_ < budget.fewest || (rounds_ < budget.most && spent() < budget.seconds);
    };
    while (more()) {
      std::vector<Course *> turn;
      for (std::size_t i = 0; i < courses_.size(); ++i) {
        Course &course = courses_[(i + static_cast<std::size_t>(rounds_)) % courses_.size()];
        if (course.runs()) turn.push_back(&course);
      }
      for (Course *course : turn) {
        if (course->subject->sample_us)
          attempt(*course, [&] { course->total.push_back(course->subject->sample_us()); });
      }
      replay_in_turn(turn);
      ++rounds_;
    }
  }

  void finish() {
    for (Course &course : courses_) {
      if (!course.runs()) continue;
      attempt(course, [&] {
        find_index_time(course);
        if (course.subject->enqueue) compute_and_check(course, [&] { course.graph.replay(); });
      });
    }
  }

  std::vector<Row> rows() const {
    std::vector<Row> rows;
    for (const Course &course : courses_) {
      const Row row = row_of(course);
      std::vector<Row> compared;
      for (const Versus &versus : course.subject->versus) compare(course, versus, row, compared);
      if (compared.empty()) compared.push_back(row);
      rows.insert(rows.end(), compared.begin(), compared.end());
    }
    return rows;
  }

 private:
  const Device &device_;
  std::string name_;
  const Problem &problem_;
  std::vector<std::string> &wrong_;
  std::vector<Course> courses_;
  int rounds_ = 0;
  static constexpr int kFewestLong = 2;
  static constexpr double kLong = 4;  // seconds

  // A failure is the end of this subject, not of the others.
  template <class Work>
  void attempt(Course &course, const Work &work) {
    try {
      work();
    } catch (const std::exception &error) {
      course.failure = error.what();
      wrong_.push_back(name_ + ": " + course.subject->system + ": " + course.failure);
    }
  }

  void enqueue_all(const Course &course) const {
    for (int set = 0; set < problem_.sets; ++set) course.subject->enqueue(set);
  }

  // What an operator of pit found wrong on the device is thrown, too.
  void wait() const {
    device_.synchronise();
    pit::check(device_.stream());
  }

  template <class Compute>
  void compute_and_check(Course &course, const Compute &compute) {
    for (const AnyBuffer &output : course.subject->outputs) device_.fill(output, 0xFF);
    compute();
    wait();
    for (std::size_t set = 0; set < course.subject->outputs.size(); ++set) {
      if (set < course.expected.size())
        check(course, course.subject->outputs[set], course.expected[set]);
    }
  }

  double number(const AnyBuffer &output, const Shape &at) const {
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < at.size(); ++d) offset += at[d] * output.strides()[d];
    const AnyBuffer element(output.type(), {1});
    const std::int64_t bytes = output.type().bytes();
    device_.download(element.data(), static_cast<const char *>(output.data()) + offset * bytes,
                     bytes);
    return element.number(Shape{0});
  }

  void check(Course &course, const AnyBuffer &output, const std::vector<Expected> &expected) {
    double largest = 0, difference = 0;
    bool right = true;
    for (const auto &[at, value, allowed] : expected) {
      const double got = number(output, at);
      if (std::isnan(value) && std::isnan(got)) continue;
      const double off = std::fabs(got - value);
      largest = std::max(largest, std::fabs(value));
      difference = std::max(difference, off);
      if (off <= allowed || !right) continue;  // false for NaN
      right = false;
      std::ostringstream text;
      text << name_ << ": " << course.subject->system << ": element " << to_string(at) << " is "
           << got << " and should be ";
      if (std::isnan(value)) {
        text << "left as it was";
      } else {
        text << value << " within " << allowed;
      }
      wrong_.push_back(text.str());
    }
    const double error = largest > 0 ? difference / largest : difference;
    course.error = right ? std::max(course.error, error) : std::nan("");
  }

  void replay_in_turn(const std::vector<Course *> &turn) {
    std::vector<Course *> replayed;
    for (Course *course : turn) {
      if (course->runs() && !course->subject->sample_us) replayed.push_back(course);
    }
    if (replayed.empty()) return;
    // The device is busy with this one until the host has enqueued what is timed.
    replayed.back()->timed.replay();
    for (const Course *course : replayed) {
      course->begin.record();
      course->timed.replay();
      course->end.record();
    }
    wait();
    for (Course *course : replayed)
      course->total.push_back(course->end.since(course->begin) / problem_.sets);
  }

  void find_index_time(Course &course) const {
    const Subject &subject = *course.subject;
    if (!subject.index_us) return;
    constexpr int kCalls = 5;
    constexpr double kLongCall = 1e5;  // microseconds: one is exact enough
    const bool few = !course.total.empty() && least(course.total) > kLongCall;
    std::vector<double> times;
    for (int i = 0; i < (few ? 1 : kCalls); ++i) {
      // Enqueued behind a replay, the stages do not wait for the host.
      if (subject.enqueue) course.graph.replay();
      times.push_back(subject.index_us());
    }
    course.index = program::median(subject.counted ? course.total : times);
  }

  Row row_of(const Course &course) const {
    const Subject &subject = *course.subject;
    Row row{.case_name = name_,
            .type = to_string(problem_.type),
            .micro = problem_.micro,
            .system = subject.system,
            .threads = 0,
            .device = device_.name(),
            .sparsity = problem_.sparsity,
            .fill = problem_.fill,
            .note = subject.missing.empty() ? course.failure : subject.missing};
    if (problem_.sparsity) row.density = 1 - *problem_.sparsity;
    if (!course.runs() || course.total.empty()) return row;
    row.rounds = rounds_;
    row.total_us = program::median(course.total);
    row.best_us = least(course.total);
    row.index_us = course.index;
    row.run_us = *row.total_us - course.index;
    row.workspace_bytes = subject.workspace_bytes ? subject.workspace_bytes() : 0;
    if (subject.kernels > 0) row.kernels = subject.kernels;
    if (subject.enqueue) row.kernels = static_cast<double>(course.timed.kernels()) / problem_.sets;
    if (!(course.error < 0)) row.rel_err = course.error;
    return row;
  }

  // Appends `row`, of `course`, as compared with `versus`, if both were run.
  void compare(const Course &course, const Versus &versus, Row row,
               std::vector<Row> &compared) const {
    for (const Course &other : courses_) {
      if (other.subject->system != versus.system || !other.runs() || !course.runs() ||
          other.total.empty() || other.total.size() != course.total.size()) {
        continue;
      }
      std::vector<double> theirs = other.total, ratios;
      for (std::size_t r = 0; r < theirs.size(); ++r) {
        if (versus.plus_index) theirs[r] += course.index;
        ratios.push_back(theirs[r] / course.total[r]);
      }
      row.versus = versus.system + (versus.plus_index ? " + index" : "");
      row.ratio = program::median(ratios);
      row.best_ratio = least(theirs) / least(course.total);
      compared.push_back(row);
    }
  }
};

}  // namespace

std::vector<Row> measure(const Device &device, const std::string &name, const Problem &problem,
                         const Budget &budget,
                         const std::function<void(const std::string &)> &progress,
                         std::vector<std::string> &wrong) {
  progress("computing what is right");
  Bench bench(device, name, problem, wrong);
  bench.warm_up(progress);
  progress("timing");
  bench.run_rounds(budget);
  bench.finish();
  return bench.rows();
}

}  // namespace pit::bench::cuda
