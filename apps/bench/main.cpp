// Times compiled operators beside libraries: see --help.
#include <pit/pit.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <random>

#include "apps/bench/cuda/case.h"
#include "apps/bench/cuda/driver.h"
#include "apps/bench/cuda/run.h"
#include "apps/program/command_line.h"
#include "apps/program/progress.h"
#include "case.h"
#include "machine.h"
#include "measure.h"
#include "options.h"
#include "peers.h"
#include "picture.h"
#include "report.h"
#include "row.h"
#include "table.h"

namespace pit::bench {

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_dense_cases(cases);
  add_spmm_cases(cases);
  add_moe_cases(cases);
  add_part_cases(cases);
  return cases;
}

namespace {

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const Case &c : all_cases()) names.push_back(c.name);
  return names;
}

// Of the cases for the target.
Chosen chosen_cases(const Options &options) {
  return chosen_cases(options, options.target.is_cuda() ? cuda::case_names() : case_names());
}

std::string left_out_text(const std::vector<std::string> &names) {
  if (names.empty()) return "";
  std::string text = "--quick leaves out " + std::to_string(names.size()) +
                     " cases that have no target; --case 'PATTERN' keeps those it names:";
  for (const std::string &name : names) text += " " + name;
  return text + "\n\n";
}

std::vector<int> thread_counts(const Options &options) {
  const int cores = available_cores();
  if (options.target.has("no_threads")) return {1};
  if (options.threads > cores) {
    throw program::UsageError("--threads " + std::to_string(options.threads) + ": there are " +
                              std::to_string(cores) + " cores");
  }
  if (options.threads > 0) return {options.threads};
  return cores > 1 ? std::vector<int>{1, 2} : std::vector<int>{1};
}

// A file to write, opened first: that it cannot be written should not show after minutes of work.
class Output {
 public:
  explicit Output(std::string path) : path_(std::move(path)) {
    if (path_.empty() || path_ == "-") return;
    file_.open(path_);
    if (!file_) throw std::runtime_error("cannot write " + path_ + ": " + std::strerror(errno));
  }
  void write(const std::string &text) {
    if (path_.empty()) return;
    std::ostream &out = path_ == "-" ? std::cout : file_;
    out << text << std::flush;
    if (!out) throw std::runtime_error("cannot write " + path_);
  }

 private:
  std::string path_;
  std::ofstream file_;
};

Results read_results(const std::string &path, const std::string &pattern) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + path + ": " + std::strerror(errno));
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  Results results = from_json(text);
  std::erase_if(results.rows,
                [&](const Row &row) { return !program::matches(pattern, row.case_name); });
  if (results.rows.empty())
    throw program::UsageError("no case of " + path + " matches '" + pattern + "'");
  return results;
}

// Shows rows that were read; of one case and number of threads at a time.
void show(const Results &results) {
  std::vector<std::string> names;
  for (const Row &row : results.rows) names.push_back(row.case_name);
  Table table(std::cout, names);
  table.header();
  std::vector<Row> group;
  for (const Row &row : results.rows) {
    if (!group.empty() &&
        (group.front().case_name != row.case_name || group.front().threads != row.threads)) {
      table.rows(group);
      group.clear();
    }
    group.push_back(row);
  }
  table.rows(group);
}

Results measure_all(const std::vector<std::string> &names, const Options &options,
                    std::ostream &out, std::vector<std::string> &wrong) {
  const std::vector<int> threads = thread_counts(options);
  const Settings settings{.target = options.target,
                          .seed = options.seed ? *options.seed : std::random_device()(),
                          .small = options.small};
  Results results{.machine = {{"command", options.command}}};
  for (const auto &part : describe_machine()) results.machine.push_back(part);
  results.machine.emplace_back("target", settings.target.to_string());
  results.machine.emplace_back("seed", std::to_string(settings.seed));
  if (settings.small) results.machine.emplace_back("sizes", "tiny: no measure of speed");
  for (const auto &[what, value] : results.machine) out << what << ": " << value << '\n';
  out << '\n';

  std::vector<Case> cases = all_cases();
  std::erase_if(cases, [&](const Case &c) {
    return std::find(names.begin(), names.end(), c.name) == names.end();
  });
  Table table(out, names);
  table.header();
  program::Progress progress("pit_bench");
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Case &c = cases[i];
    progress.start(std::to_string(i + 1) + "/" + std::to_string(cases.size()) + " " + c.name);
    progress.step("making data");
    const Problem problem = c.make(settings);
    for (const int count : threads) {
      if (!c.threaded && count != threads.front()) continue;
      const std::vector<Row> rows = measure(
          c.name, problem, c.threaded ? count : 1, options.budget,
          [&](const std::string &what) { progress.step(what); }, wrong);
      progress.clear();
      table.rows(rows);
      results.rows.insert(results.rows.end(), rows.begin(), rows.end());
    }
  }
  return results;
}

int run(const Options &options) {
  if (options.list) {
    for (const std::string &name : chosen_cases(options).names) std::cout << name << '\n';
    return 0;
  }
  ignore_environment();
  Chosen chosen;
  if (options.from.empty()) chosen = chosen_cases(options);
  std::optional<cuda::Device> device;
  if (options.from.empty() && options.target.is_cuda()) device.emplace();
  Output json(options.json), svg(options.svg), markdown(options.markdown);
  std::vector<std::string> wrong;
  Results results;
  if (options.from.empty()) {
    std::ostream &out = options.json == "-" ? std::cerr : std::cout;
    out << left_out_text(chosen.left_out);
    results = device ? cuda::measure_all(*device, chosen.names, options, out, wrong)
                     : measure_all(chosen.names, options, out, wrong);
    if (!options.small) out << '\n' << targets_text(results);
  } else {
    results = read_results(options.from, options.cases);
    show(results);
    std::cout << '\n' << targets_text(results);
  }
  if (!options.json.empty()) json.write(to_json(results));
  if (!options.svg.empty()) svg.write(picture(results));
  if (!options.markdown.empty()) {
    const auto picture_name = std::filesystem::path(options.svg).filename();
    markdown.write(report(results, picture_name));
  }
  for (const std::string &line : wrong) std::cerr << "pit_bench: wrong result: " << line << '\n';
  return wrong.empty() ? 0 : 1;
}

}  // namespace

}  // namespace pit::bench

int main(int count, char **arguments) {
  return pit::program::exit_status("pit_bench", [&] {
    const pit::bench::Options options = pit::bench::parse_options(count, arguments);
    if (options.help) {
      std::cout << pit::bench::help_text();
      return 0;
    }
    try {
      return pit::bench::run(options);
    } catch (const pit::bench::cuda::NoDevice &error) {
      // Not a failure: scripts that run everywhere leave it out.
      constexpr int kSkipped = 77;
      std::cerr << "pit_bench: " << error.what() << '\n';
      return kSkipped;
    }
  });
}
