#include "measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <sstream>

#include "apps/program/median.h"

#include "peers.h"

namespace pit::bench {

namespace {

double least(const std::vector<double> &values) {
  return *std::min_element(values.begin(), values.end());
}

// What the rounds say about one system: a number for each round.
struct Times {
  std::vector<double> index, total;
  double workspace = -1;
  double error = -1;
};

class Bench {
 public:
  Bench(std::string name, const Problem &problem, int threads, std::vector<std::string> &wrong)
      : name_(std::move(name)),
        problem_(problem),
        threads_(threads),
        wrong_(wrong),
        times_(problem.subjects.size()) {
    if (!problem.expected) return;
    for (int set = 0; set < problem.sets; ++set) expected_.push_back(problem.expected(set));
  }

  void warm_up(const std::function<void(const std::string &)> &progress) {
    for (std::size_t i = 0; i < times_.size(); ++i) {
      const Subject &subject = problem_.subjects[i];
      if (!subject.run) continue;
      progress("checking " + subject.system);
      for (int set = 0; set < problem_.sets; ++set) {
        if (!subject.outputs.empty()) output(subject, set).fill_bytes(0xFF);
        subject.run(set);
        check(i, set);
      }
    }
  }

  void run_rounds(const Budget &budget) {
    using Clock = std::chrono::steady_clock;
    double spent = 0;
    int set = 0;
    while (rounds_ < budget.fewest || (rounds_ < budget.most && spent < 1e6 * budget.seconds)) {
      set = rounds_ % problem_.sets;
      for (std::size_t turn = 0; turn < times_.size(); ++turn) {
        const std::size_t i = (turn + static_cast<std::size_t>(rounds_)) % times_.size();
        const Subject &subject = problem_.subjects[i];
        if (!subject.run) continue;
        if (threads_ > 1) wait_for_quiet();
        const Clock::time_point start = Clock::now();
        subject.run(set);
        const std::chrono::duration<double, std::micro> elapsed = Clock::now() - start;
        record(i, elapsed.count() / subject.calls);
        spent += elapsed.count();
      }
      ++rounds_;
    }
    for (std::size_t i = 0; i < times_.size(); ++i) check(i, set);
  }

  std::vector<Row> rows() const {
    std::vector<Row> rows;
    for (std::size_t i = 0; i < times_.size(); ++i) {
      const Subject &subject = problem_.subjects[i];
      Row row = row_of(i);
      std::vector<Row> compared;
      for (const Versus &versus : subject.versus) compare(i, versus, row, compared);
      if (compared.empty()) compared.push_back(row);
      rows.insert(rows.end(), compared.begin(), compared.end());
    }
    return rows;
  }

 private:
  std::string name_;
  const Problem &problem_;
  int threads_;
  std::vector<std::string> &wrong_;
  std::vector<Times> times_;
  std::vector<std::vector<Expected>> expected_;
  int rounds_ = 0;

  static const AnyBuffer &output(const Subject &subject, int set) {
    return subject.outputs[static_cast<std::size_t>(set)];
  }

  void record(std::size_t i, double elapsed) {
    const Subject &subject = problem_.subjects[i];
    Times &times = times_[i];
    times.total.push_back(subject.measured_us ? subject.measured_us() : elapsed);
    times.index.push_back(subject.index_us ? subject.index_us() : 0);
    if (subject.workspace_bytes)
      times.workspace = std::max(times.workspace, subject.workspace_bytes());
  }

  void check(std::size_t i, int set) {
    const Subject &subject = problem_.subjects[i];
    if (!subject.run || subject.outputs.empty() || expected_.empty()) return;
    double largest = 0, difference = 0;
    bool right = true;
    for (const auto &[at, value, allowed] : expected_[static_cast<std::size_t>(set)]) {
      const Shape place = subject.locate ? subject.locate(set, at) : at;
      const double got = output(subject, set).number(place), off = std::fabs(got - value);
      largest = std::max(largest, std::fabs(value));
      difference = std::max(difference, off);
      if (off <= allowed || !right) continue;  // false for NaN
      right = false;
      std::ostringstream text;
      text << name_ << ", " << threads_ << (threads_ == 1 ? " thread: " : " threads: ")
           << subject.system << ": element " << to_string(at) << " is " << got << " and should be "
           << value << " within " << allowed;
      wrong_.push_back(text.str());
    }
    const double error = largest > 0 ? difference / largest : difference;
    times_[i].error = std::max(times_[i].error, right ? error : std::nan(""));
  }

  Row row_of(std::size_t i) const {
    const Subject &subject = problem_.subjects[i];
    const Times &times = times_[i];
    Row row{.case_name = name_,
            .type = to_string(problem_.type),
            .micro = problem_.micro,
            .system = subject.system,
            .threads = threads_,
            .sparsity = problem_.sparsity,
            .fill = problem_.fill,
            .note = subject.missing};
    if (problem_.sparsity) row.density = 1 - *problem_.sparsity;
    if (times.total.empty()) return row;
    row.rounds = rounds_;
    row.total_us = program::median(times.total);
    row.best_us = least(times.total);
    row.index_us = program::median(times.index);
    row.run_us = *row.total_us - *row.index_us;
    if (times.workspace >= 0) row.workspace_bytes = times.workspace;
    if (!(times.error < 0)) row.rel_err = times.error;
    return row;
  }

  // Appends `row`, of system i, as compared with `versus`, if both were run.
  void compare(std::size_t i, const Versus &versus, Row row, std::vector<Row> &compared) const {
    for (std::size_t other = 0; other < times_.size(); ++other) {
      if (problem_.subjects[other].system != versus.system || times_[other].total.empty() ||
          times_[i].total.empty()) {
        continue;
      }
      std::vector<double> theirs = times_[other].total, ratios;
      for (std::size_t r = 0; r < theirs.size(); ++r) {
        if (versus.plus_index) theirs[r] += times_[i].index[r];
        ratios.push_back(theirs[r] / times_[i].total[r]);
      }
      row.versus = versus.system + (versus.plus_index ? " + index" : "");
      row.ratio = program::median(ratios);
      row.best_ratio = least(theirs) / least(times_[i].total);
      compared.push_back(row);
    }
  }
};

}  // namespace

std::vector<Row> measure(const std::string &name, const Problem &problem, int threads,
                         const Budget &budget,
                         const std::function<void(const std::string &)> &progress,
                         std::vector<std::string> &wrong) {
  set_threads(threads);
  progress("computing what is right");
  Bench bench(name, problem, threads, wrong);
  bench.warm_up(progress);
  progress("timing");
  wait_for_quiet();
  bench.run_rounds(budget);
  return bench.rows();
}

}  // namespace pit::bench
