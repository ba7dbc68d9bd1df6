// Random algorithms under random schedules, against the reference interpreter.
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "case.h"

namespace pit::fuzz {

namespace {

constexpr const char *kUsage = R"(usage: pit_fuzz [options]

Draws programs, schedules and data, runs them on the interpreter of the IR and compiled, and compares
with the reference. The first failure is made smaller, printed with the way to repeat it, and ends the run.

  --seconds N, --minutes N   how long (default: 20 seconds)
  --seed S                   another list of cases; `random` for one that was never run (default: 1)
  --replay S                 runs the one case with this seed and prints it
  --case FILE                runs a case that was made smaller and saved
  --save FOLDER              where failing cases are saved (default: the current folder)
  --keep-going               prints each kind of failure once and goes on
  --jobs N                   processes at a time (default: one a processor)
  --cases N                  no more than N cases (default: as many as the time allows)
  --limit N                  seconds that one case may take (default: 60)
  --shrink N                 seconds for making a failure smaller (default: 60)
  --help                     prints this
)";

struct Options {
  double seconds = 20, shrink_seconds = 60;
  std::uint64_t cases = ~std::uint64_t{0};
  std::uint64_t seed = 1;
  bool replay = false, keep_going = false;
  std::uint64_t replay_seed = 0;
  std::string case_file, folder = ".";
  int jobs = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  unsigned limit = 60;
};

[[noreturn]] void usage_error(const std::string &problem) {
  std::cerr << "pit_fuzz: " << problem << "\n" << kUsage;
  std::exit(2);
}

template <class T>
T number(const std::string &option, const std::string &text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    usage_error(option + " needs a number, not '" + text + "'");
  return value;
}

Options parse(int argc, char **argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto argument = [&]() -> std::string {
      if (i + 1 == argc) usage_error(option + " needs an argument");
      return argv[++i];
    };
    if (option == "--help" || option == "-h") {
      std::cout << kUsage;
      std::exit(0);
    } else if (option == "--seconds") {
      o.seconds = number<double>(option, argument());
    } else if (option == "--minutes") {
      o.seconds = 60 * number<double>(option, argument());
    } else if (option == "--seed") {
      const std::string s = argument();
      o.seed = s == "random" ? std::random_device()() : number<std::uint64_t>(option, s);
    } else if (option == "--replay") {
      o.replay = true;
      o.replay_seed = number<std::uint64_t>(option, argument());
    } else if (option == "--case") {
      o.case_file = argument();
    } else if (option == "--save") {
      o.folder = argument();
    } else if (option == "--keep-going") {
      o.keep_going = true;
    } else if (option == "--jobs") {
      o.jobs = std::max(1, number<int>(option, argument()));
    } else if (option == "--cases") {
      o.cases = number<std::uint64_t>(option, argument());
    } else if (option == "--limit") {
      o.limit = number<unsigned>(option, argument());
    } else if (option == "--shrink") {
      o.shrink_seconds = number<double>(option, argument());
    } else {
      usage_error("unknown option '" + option + "'");
    }
  }
  return o;
}

void print_case(const CaseRecord &record) {
  if (record.refusals[0] != 0)
    std::printf("// steps that were refused and taken back\n%s\n", record.refusals);
  std::printf("%s\n%s in phase '%s'", record.program, to_string(record.outcome), record.phase);
  std::printf(record.message[0] != 0 ? ":\n%s\n" : "\n", record.message);
}

class Statistics {
 public:
  void add(const CaseInput &input, const CaseRecord &record) {
    ++outcomes_[static_cast<std::size_t>(record.outcome)];
    ++cases;
    if (record.outcome == Outcome::Passed) {
      exact_ += record.exact ? 1 : 0;
      directives_ += record.directives;
      scheduled_ += record.directives > 0 ? 1 : 0;
    }
    for (std::size_t s = 0; s < kSteps; ++s) {
      steps_[s].accepted += record.steps[s].accepted;
      steps_[s].refused_at_call += record.steps[s].refused_at_call;
      steps_[s].refused_by_lowering += record.steps[s].refused_by_lowering;
    }
    if (record.outcome == Outcome::Refused || record.outcome == Outcome::Invalid) {
      const auto it = refusals_.try_emplace(signature(record), 0, input.seed).first;
      ++it->second.first;
    }
  }

  void print() const {
    std::printf("\n%lld cases:", static_cast<long long>(cases));
    for (std::size_t i = 0; i < outcomes_.size(); ++i) {
      if (outcomes_[i] > 0)
        std::printf(" %lld %s,", static_cast<long long>(outcomes_[i]),
                    to_string(static_cast<Outcome>(i)));
    }
    const auto passed = static_cast<double>(std::max<std::int64_t>(outcomes_[0], 1));
    std::printf(" of those that passed %.0f%% exact, %.0f%% scheduled, %.1f directives each\n",
                100 * static_cast<double>(exact_) / passed,
                100 * static_cast<double>(scheduled_) / passed,
                static_cast<double>(directives_) / passed);
    std::printf("%-16s %9s %9s %9s %9s\n", "step", "accepted", "share", "at call", "lowering");
    for (std::size_t s = 0; s < kSteps; ++s) {
      const StepCounts &c = steps_[s];
      const std::uint32_t all = c.accepted + c.refused_at_call + c.refused_by_lowering;
      if (all == 0) continue;
      std::printf("%-16s %9u %8.0f%% %9u %9u\n", to_string(static_cast<Step>(s)), c.accepted,
                  100.0 * c.accepted / all, c.refused_at_call, c.refused_by_lowering);
    }
    for (const auto &[reason, seen] : refusals_) {
      std::printf("%6lld  %s (seed %llu)\n", static_cast<long long>(seen.first), reason.c_str(),
                  static_cast<unsigned long long>(seen.second));
    }
  }

  std::int64_t cases = 0;

 private:
  std::array<std::int64_t, static_cast<std::size_t>(Outcome::Timeout) + 1> outcomes_{};
  std::int64_t exact_ = 0, directives_ = 0, scheduled_ = 0;
  ScheduleCounts steps_{};
  std::map<std::string, std::pair<std::int64_t, std::uint64_t>> refusals_;  ///< count, first seed
};

std::vector<std::uint32_t> read_case(const std::string &file) {
  std::ifstream in(file);
  std::vector<std::uint32_t> choices;
  for (std::uint32_t v = 0; in >> v;) choices.push_back(v);
  if (!in.eof()) usage_error("cannot read the case " + file);
  return choices;
}

// Prints a failure, first as it was found and then made smaller.
void report(Runner *runner, const Options &options, const CaseInput &input,
            const CaseRecord &failed) {
  std::printf("\nFAILED: seed %llu: %s\n%s\n", static_cast<unsigned long long>(input.seed),
              signature(failed).c_str(), failed.message);
  std::fflush(stdout);
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  runner->quiet = true;
  const auto progress = [&](std::size_t left) {
    if (!terminal) return;
    std::printf("\r\033[Kmaking it smaller: %zu decisions", left);
    std::fflush(stdout);
  };
  const CaseInput small = shrink(runner, failed, options.shrink_seconds, progress);
  const std::string file = options.folder + "/pit_fuzz-" + std::to_string(input.seed) + ".case";
  std::ofstream out(file);
  for (const std::uint32_t c : small.choices) out << c << ' ';
  out.close();
  std::printf("%smade smaller, to %zu decisions:\n\n", terminal ? "\r\033[K" : "",
              small.choices.size());
  print_case(runner->run(small));
  runner->quiet = false;
  std::printf("\nrepeat: pit_fuzz --replay %llu, or made smaller: pit_fuzz --case %s\n",
              static_cast<unsigned long long>(input.seed),
              out ? file.c_str() : "(it could not be saved)");
  std::fflush(stdout);
}

int run(const Options &options) {
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  Runner one(1, options.limit);
  if (options.replay || !options.case_file.empty()) {
    const CaseInput input = options.replay ? CaseInput{options.replay_seed}
                                           : CaseInput{0, true, read_case(options.case_file)};
    const CaseRecord &record = one.run(input);
    print_case(record);
    return is_failure(record.outcome) ? 1 : 0;
  }

  Runner many(options.jobs, options.limit);
  Statistics statistics;
  std::vector<std::pair<CaseInput, CaseRecord>> failures;
  std::set<std::string> seen;
  const auto finished = [&](const CaseInput &input, const CaseRecord &record) {
    statistics.add(input, record);
    if (is_failure(record.outcome) && seen.insert(signature(record)).second)
      failures.emplace_back(input, record);
  };
  std::printf("pit_fuzz --seed %llu, %.0f seconds\n", static_cast<unsigned long long>(options.seed),
              options.seconds);
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  double shown = 0;
  std::size_t reported = 0;
  for (std::uint64_t i = 0; i < options.cases && elapsed() < options.seconds; ++i) {
    many.start({options.seed * 1000000 + i}, finished);
    if (terminal && elapsed() > shown + 0.2) {
      shown = elapsed();
      std::printf("\r\033[K%.0f s, %lld cases, %zu failures", shown,
                  static_cast<long long>(statistics.cases), failures.size());
      std::fflush(stdout);
    }
    if (failures.size() > reported) {
      many.finish(finished);
      for (; reported < failures.size(); ++reported) {
        report(&one, options, failures[reported].first, failures[reported].second);
        if (!options.keep_going) break;
      }
      if (!options.keep_going) break;
    }
  }
  many.finish(finished);
  for (; options.keep_going && reported < failures.size(); ++reported) {
    report(&one, options, failures[reported].first, failures[reported].second);
  }
  if (!options.keep_going && reported == 0 && !failures.empty())
    report(&one, options, failures[0].first, failures[0].second);
  statistics.print();
  return failures.empty() ? 0 : 1;
}

}  // namespace

}  // namespace pit::fuzz

int main(int argc, char **argv) { return pit::fuzz::run(pit::fuzz::parse(argc, argv)); }
