#include "options.h"

#include <filesystem>

#include "apps/program/command_line.h"
#include "apps/program/target.h"
#include "report.h"

namespace pit::bench {

namespace {

// A word as a shell reads it.
std::string quoted(const std::string &word) {
  const std::string plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,:=+@%";
  if (!word.empty() && word.find_first_not_of(plain) == word.npos) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

std::string command_text(int count, char **arguments) {
  std::string text = std::filesystem::path(arguments[0]).filename().string();
  for (int i = 1; i < count; ++i) text += " " + quoted(arguments[i]);
  return text;
}

}  // namespace

Options parse_options(int count, char **arguments) {
  Options options;
  options.command = command_text(count, arguments);
  bool measures = false, has_seconds = false;
  program::CommandLine line(count, arguments);
  while (line.next()) {
    if (line.is("--json")) {
      options.json = line.path("a file, or - for standard output");
    } else if (line.is("--svg")) {
      options.svg = line.path("a file");
    } else if (line.is("--markdown")) {
      options.markdown = line.path("a file");
    } else if (line.is("--from")) {
      options.from = line.path("a file");
    } else if (line.is_flag("--list")) {
      options.list = true;
    } else if (line.is_flag("--help") || line.is_flag("-h")) {
      options.help = true;
    } else {
      // What follows is about measuring, which --from does not do.
      measures = true;
      if (line.is("--case")) {
        options.cases = line.value();
        measures = false;
      } else if (line.is("--threads")) {
        options.threads = line.number(1);
      } else if (line.is("--seed")) {
        options.seed = line.number(0U);
      } else if (line.is("--seconds")) {
        options.budget.seconds = line.number(0);
        has_seconds = true;
      } else if (line.is("--target")) {
        options.target = program::target_of(line);
      } else if (line.is_flag("--small")) {
        options.small = true;
      } else if (line.is_flag("--quick")) {
        options.quick = true;
      } else {
        line.refuse();
      }
    }
  }
  if (!options.from.empty() && (measures || !options.json.empty())) {
    throw program::UsageError(
        "--from shows what was measured before: of the other options it "
        "takes --case, --svg and --markdown");
  }
  if (options.target.is_cuda()) {
    if (options.threads > 0)
      throw program::UsageError("--threads is about the host, not " + options.target.to_string());
    if (!has_seconds) options.budget.seconds = 0.5;
    options.budget.most = 500;
  }
  if (options.quick && !has_seconds) options.budget.seconds /= 5;
  if (options.small) options.budget = {.seconds = 0, .fewest = 2};
  return options;
}

Chosen chosen_cases(const Options &options, const std::vector<std::string> &all) {
  const bool narrows = options.quick && options.cases == Options().cases;
  Chosen chosen;
  std::string known;
  for (const std::string &name : all) {
    known += "\n  " + name;
    if (!program::matches(options.cases, name)) continue;
    const bool kept = !narrows || has_target(name, options.target.is_cuda());
    (kept ? chosen.names : chosen.left_out).push_back(name);
  }
  if (chosen.names.empty())
    throw program::UsageError("no case matches '" + options.cases + "'; the cases are" + known);
  return chosen;
}

std::string help_text() {
  return R"(usage: pit_bench [options]

Times operators that pit compiles, and those libraries that are installed of OpenBLAS, oneDNN and Eigen, or on
a CUDA device of cuBLAS and cuSPARSE, on the same random data, in turn, in one process. Sampled elements of every
result are compared with float64 arithmetic.

options:
  --case PATTERN   only the cases whose names match; * stands for any characters, ? for one
  --list           print the names of the cases and stop
  --json FILE      also write the results; - writes them to standard output and the table to standard error
  --svg FILE       also draw the times of the sparse products over their sparsity
  --markdown FILE  also write a report: machine, targets and whether they are met, table
  --from FILE      measure nothing; show the results of FILE, which --json wrote
  --target TARGET  what to compile for (default: host, this machine); cuda: the first CUDA device, which has cases
                   of its own
  --threads N      run on N threads (default: first on one, then on two)
  --seconds N      time every case for N seconds at least (default: 2; on a CUDA device a half)
  --seed N         of the random data (default: another one each time, which is printed)
  --quick          a fifth of the time, and without --case only the cases that have targets; says which it leaves out
  --small          tiny sizes and few runs: shows that everything works, not how fast it is
  --help           print this

columns:
  best, median   time of one operation, everything included
  index          the part of it that finds the sparsity or converts the format, median
  memory         workspace at its peak, where it is known
  error          largest difference from float64 arithmetic / its largest magnitude, over sampled elements
  speed-up       median over the rounds of: time of the other system / time of this one

exit status: 0 all results are right, 1 a result is wrong or something failed, 2 the command line is wrong,
77 there is no CUDA device for the target
)";
}

}  // namespace pit::bench
