// Three operators with dynamic sparsity, timed against dense schedules and checked: see --help.
#include <pit/pit.h>

#include <sched.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "apps/program/command_line.h"
#include "apps/program/progress.h"
#include "cases.h"
#include "measure.h"
#include "options.h"
#include "table.h"

namespace pit::demo {

namespace {

// Keeps the process on `wanted` of the cores that it may use (0: all), which is how many threads
// operators then run on. Returns their number.
int use_cores(int wanted) {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) {
    throw std::runtime_error(std::string("cannot ask for the cores: ") + std::strerror(errno));
  }
  const int available = CPU_COUNT(&cores);
  if (wanted == 0) return available;
  if (wanted > available) {
    throw program::UsageError("--threads " + std::to_string(wanted) + ": there are " +
                              std::to_string(available) + " cores");
  }
  int left = wanted;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &cores) && left-- <= 0) CPU_CLR(core, &cores);
  }
  if (sched_setaffinity(0, sizeof cores, &cores) != 0) {
    throw std::runtime_error(std::string("cannot choose the cores: ") + std::strerror(errno));
  }
  return wanted;
}

std::vector<Case> chosen_cases(const std::string &pattern) {
  std::vector<Case> chosen;
  std::string names;
  for (const Case &c : all_cases()) {
    if (program::matches(pattern, c.name)) chosen.push_back(c);
    names += "\n  " + c.name;
  }
  if (chosen.empty())
    throw program::UsageError("no case matches '" + pattern + "'; the cases are" + names);
  return chosen;
}

std::vector<std::string> names_of(const std::vector<Case> &cases) {
  std::vector<std::string> names;
  for (const Case &c : cases) names.push_back(c.name);
  return names;
}

// By what they are called in the table.
std::vector<std::pair<std::string, Target>> chosen_targets(const Options &options) {
  if (options.target) return {{options.target->to_string(), *options.target}};
  std::vector<std::pair<std::string, Target>> targets{{"host", Target()}};
  if (const auto devices = cuda_devices(); !devices.empty())
    targets.emplace_back("cuda", devices.front().target);
  return targets;
}

// Says what is wrong; returns whether all is right.
bool judge(const Measurement &m) {
  if (!m.sparse_error.wrong.empty()) {
    std::cerr << "pit_demo: " << m.name << ": wrong result: " << m.sparse_error.wrong << '\n';
  }
  if (!m.dense_error.wrong.empty()) {
    std::cerr << "pit_demo: " << m.name
              << ": wrong result of the dense schedule: " << m.dense_error.wrong << '\n';
  }
  return m.sparse_error.wrong.empty() && m.dense_error.wrong.empty();
}

void summarise(std::ostream &out, const std::vector<Measurement> &measurements) {
  std::size_t faster = 0, compared = 0;
  int fewest = measurements.front().runs;
  double interruptions = 0;
  std::string about;
  out << '\n';
  for (const Measurement &m : measurements) {
    faster += m.speed_up() > 1;
    compared += m.compared;
    fewest = std::min(fewest, m.runs);
    interruptions += m.interruptions / static_cast<double>(measurements.size());
    if (m.about != about) out << m.about << '\n';
    about = m.about;
  }
  out << "sparse is faster than dense in " << faster << " of " << measurements.size()
      << " cases; times are medians of at least " << fewest << " runs; errors are from " << compared
      << " elements compared with the interpreter\n";
  // Short runs slip between interruptions, long ones do not: the speed-up then is too high.
  constexpr double kDisturbed = 30;
  if (interruptions > kDisturbed) {
    out << "other programs took cores away " << static_cast<int>(interruptions)
        << " times a second: times are too long, those of long runs most, and so are speed-ups\n";
  }
}

int run(const Options &options) {
  const std::vector<Case> cases = chosen_cases(options.cases);
  if (options.list) {
    for (const Case &c : cases) std::cout << c.name << '\n';
    return 0;
  }
  int threads = use_cores(options.threads);
  const std::vector<std::pair<std::string, Target>> targets = chosen_targets(options);
  if (targets.front().second.has("no_threads")) threads = 1;

  // Opened first: that a file cannot be written should not show after a minute of work.
  const bool json_to_stdout = options.json == "-";
  std::ofstream file;
  if (!options.json.empty() && !json_to_stdout) {
    file.open(options.json);
    if (!file)
      throw std::runtime_error("cannot write " + options.json + ": " + std::strerror(errno));
  }

  std::ostream &out = json_to_stdout ? std::cerr : std::cout;
  for (const auto &[name, target] : targets)
    out << (targets.size() > 1 ? name + ": " : "") << "target " << target.to_string() << '\n';
  out << "threads " << threads << ", seed " << options.data.seed << "\n\n";
  std::vector<std::string> target_names;
  for (const auto &[name, target] : targets) target_names.push_back(name);
  Table table(out, names_of(cases), target_names);
  table.header();

  program::Progress progress("pit_demo");
  std::vector<Measurement> measurements;
  bool right = true;
  for (const Case &c : cases) {
    progress.start(c.name);
    progress.step("making data");
    const Problem problem = c.make(options.data);
    for (const auto &[name, target] : targets) {
      measurements.push_back(
          measure(c.name, problem, target, [&](const std::string &what) { progress.step(what); }));
      measurements.back().target = name;
      progress.clear();
      table.row(measurements.back());
      right = judge(measurements.back()) && right;
    }
  }
  summarise(out, measurements);

  if (!options.json.empty()) {
    std::ostream &json = json_to_stdout ? std::cout : file;
    write_json(json, measurements, threads);
    json.flush();
    if (!json) throw std::runtime_error("cannot write " + options.json);
  }
  return right ? 0 : 1;
}

}  // namespace

}  // namespace pit::demo

int main(int count, char **arguments) {
  return pit::program::exit_status("pit_demo", [&] {
    const pit::demo::Options options = pit::demo::parse_options(count, arguments);
    if (!options.help) return pit::demo::run(options);
    std::cout << pit::demo::help_text();
    return 0;
  });
}
