#include "options.h"

#include <charconv>
#include <functional>
#include <sstream>

#include "apps/program/command_line.h"

namespace pit::run {

namespace {

using program::CommandLine;
using program::UsageError;

template <class Number>
Number number(const std::string &option, const std::string &text) {
  Number value{};
  const char *end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end)
    throw UsageError(option + ": '" + text + "' is no number");
  return value;
}

/// "NAME=TEXT": calls `take` with both.
void named(CommandLine *line, const std::string &form,
           const std::function<void(const std::string &, const std::string &)> &take) {
  const std::string option = line->name(), word = line->value();
  const std::size_t equals = word.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == word.size())
    throw UsageError(option + " needs " + form + ", not '" + word + "'");
  take(word.substr(0, equals), word.substr(equals + 1));
}

void file(CommandLine *line, std::map<std::string, std::string> *files) {
  named(line, "ARGUMENT=FILE",
        [&](const std::string &name, const std::string &path) { (*files)[name] = path; });
}

Shape shape_of(const std::string &option, const std::string &text) {
  Shape shape;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, 'x');) {
    shape.push_back(number<std::int64_t>(option, part));
    if (shape.back() < 0) throw UsageError(option + ": " + part + " is negative");
  }
  return shape;
}

std::optional<int> device_of(const std::string &text) {
  if (text == "host") return {};
  if (text == "cuda") return 0;
  const std::string prefix = "cuda:";
  if (!text.starts_with(prefix))
    throw UsageError("--device needs host, cuda or cuda:NUMBER, not '" + text + "'");
  return number<int>("--device", text.substr(prefix.size()));
}

/// What takes the name of an argument and something of it; whether this is such an option.
bool of_argument(CommandLine *line, Options *options) {
  const std::string &option = line->name();
  if (line->is("--shape")) {
    named(line, "ARGUMENT=EXTENTxEXTENT...", [&](const std::string &name, const std::string &text) {
      options->shapes[name] = shape_of(option, text);
    });
  } else if (line->is("--range")) {
    named(line, "ARGUMENT=LOW:HIGH", [&](const std::string &name, const std::string &text) {
      const std::size_t colon = text.find(':');
      if (colon == std::string::npos) throw UsageError("--range needs ARGUMENT=LOW:HIGH");
      const Range range{number<double>(option, text.substr(0, colon)),
                        number<double>(option, text.substr(colon + 1))};
      if (!(range.low <= range.high)) throw UsageError("--range: " + text + " is empty");
      options->ranges.insert_or_assign(name, range);
    });
  } else if (line->is("--sparsity")) {
    named(line, "ARGUMENT=SHARE[:BLOCK]", [&](const std::string &name, const std::string &text) {
      const std::size_t colon = text.find(':');
      Sparsity sparsity{number<double>(option, text.substr(0, colon))};
      if (!(sparsity.zeros >= 0 && sparsity.zeros <= 1))
        throw UsageError("--sparsity: " + text + " is no share from 0 to 1");
      if (colon != std::string::npos) sparsity.block = shape_of(option, text.substr(colon + 1));
      for (const std::int64_t extent : sparsity.block) {
        if (extent == 0) throw UsageError("--sparsity: a block of " + text + " is empty");
      }
      options->sparsity[name] = sparsity;
    });
  } else if (line->is("--scalar")) {
    named(line, "ARGUMENT=NUMBER", [&](const std::string &name, const std::string &text) {
      options->scalars[name] = number<double>(option, text);
    });
  } else if (line->is("--input")) {
    file(line, &options->inputs);
  } else if (line->is("--output")) {
    file(line, &options->outputs);
  } else if (line->is("--expect")) {
    file(line, &options->expected);
  } else {
    return false;
  }
  return true;
}

}  // namespace

Options parse_options(int count, char **arguments) {
  Options options;
  CommandLine line(count, arguments);
  while (line.next()) {
    if (line.is_word()) {
      options.libraries.push_back(line.name());
    } else if (of_argument(&line, &options)) {
      continue;
    } else if (line.is("--operator")) {
      options.op = line.value();
    } else if (line.is("--tolerance")) {
      options.tolerance = line.amount();
    } else if (line.is("--seed")) {
      options.seed = line.number(0U);
    } else if (line.is("--device")) {
      options.device = device_of(line.value());
    } else if (line.is("--threads")) {
      options.threads = line.number(1);
    } else if (line.is("--seconds")) {
      options.seconds = line.amount();
    } else if (line.is("--json")) {
      options.json = line.path("a file, or - for standard output");
    } else if (line.is_flag("--benchmark")) {
      options.benchmark = true;
    } else if (line.is_flag("--workspace")) {
      options.workspace = true;
    } else if (line.is_flag("--describe")) {
      options.describe = true;
    } else if (line.is_flag("--help") || line.is_flag("-h")) {
      options.help = true;
    } else {
      line.refuse();
    }
  }
  if (options.libraries.empty() && !options.help)
    throw UsageError("name a library: a shared object, an archive or an object");
  if (!options.json.empty() && !options.benchmark)
    throw UsageError("--json is of --benchmark, which is not there");
  return options;
}

std::string help_text() {
  return R"(usage: pit-run LIBRARY... [options]

Runs an operator that was compiled ahead of time, on made-up inputs or on those in files, and checks or times
it. A LIBRARY is a shared object, or an archive or an object as generators of pit write them; the C compiler
(CC, or cc) makes a shared object of these first.

  --describe               only print what the operators take and their targets
  --operator NAME          which operator, where there are several

  --shape NAME=64x32       extents of a tensor that no file gives; those of outputs must be named, too
  --input NAME=FILE        an input from a .npy file, or from a DLPack tensor that TVM or DGL saved; elements
                           are converted to the operator's
  --scalar NAME=NUMBER     a scalar (default: 1)
  --range NAME=LOW:HIGH    made-up values, bounds included (default: -1:1, of integers 0:1)
  --sparsity NAME=0.9      share of zeros among made-up values; 0.9:32x1: of blocks of 32 rows and 1 column of
                           the last dimensions
  --seed N                 of made-up values (default: 1)

  --device DEVICE          host, cuda or cuda:NUMBER (default: host)
  --threads N              of the host (default: one a core)
  --workspace              call with a workspace of the size that the operator asks for, so that it allocates
                           nothing

  --output NAME=FILE       write an output as .npy; bfloat16 as float32
  --expect NAME=FILE       compare an output with a .npy file
  --tolerance T            elements agree when they differ by no more than T (1 + |expected|) (default: 1e-9 of
                           float64, 1e-4 of float32, 2e-2 of 16-bit floats, 0 of integers)

  --benchmark              time calls: the median and the least, in microseconds, and what of it is the index
  --seconds S              for so long (default: 1)
  --json FILE              also write the result as a line of JSON; -: to standard output, all else to standard
                           error
  --help                   print this

exit status: 0; 1 the operator or a file failed, 2 the command line is wrong, 3 an output is not as expected
)";
}

}  // namespace pit::run
