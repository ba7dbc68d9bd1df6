#include "options.h"

#include "apps/program/command_line.h"
#include "apps/program/target.h"

namespace pit::demo {

Options parse_options(int count, char **arguments) {
  Options options;
  program::CommandLine line(count, arguments);
  while (line.next()) {
    if (line.is("--case")) {
      options.cases = line.value();
    } else if (line.is("--json")) {
      options.json = line.path("a file, or - for standard output");
    } else if (line.is("--text")) {
      options.data.text = line.path("a file");
    } else if (line.is("--threads")) {
      options.threads = line.number(1);
    } else if (line.is("--seed")) {
      options.data.seed = line.number(0U);
    } else if (line.is("--target")) {
      options.target = program::target_of(line);
    } else if (line.is_flag("--list")) {
      options.list = true;
    } else if (line.is_flag("--help") || line.is_flag("-h")) {
      options.help = true;
    } else {
      line.refuse();
    }
  }
  return options;
}

std::string help_text() {
  return R"(usage: pit_demo [options]

Three operators with dynamic sparsity, compiled in this process and run on made-up data: a product with a
sparse matrix, a mixture-of-experts layer, and a transformer feed-forward layer over the sentences of a text.
Each is timed under its sparse schedule and under our own dense one, and compared with the interpreter.

options:
  --case PATTERN   only the cases whose names match; * stands for any characters, ? for one
  --list           print the names of the cases and stop
  --text FILE      the text of the feed-forward cases (default: apps/demo/text.txt)
  --json FILE      also write the results as a JSON array, one row a line; - writes them to standard output
                   and everything else to standard error
  --target TARGET  what to compile for (default: host, this machine's CPU, and beside it the first CUDA device
                   if there is one)
  --threads N      run on N cores (default: all)
  --seed N         of the made-up data (default: 1)
  --help           print this

columns:
  density    share of the dense schedule's work that is in the micro-tiles which are kept
  fill       share of the work in kept micro-tiles that is needed
  index us   median time in microseconds to find the sparsity
  run us     median time of everything else
  total us   median time of the whole call
  dense us   the same for the dense schedule
  speed-up   dense us / total us
  error      largest difference from the interpreter / its largest magnitude, over sampled elements

exit status: 0 all results are right, 1 a result is wrong or something failed, 2 the command line is wrong
)";
}

}  // namespace pit::demo
