#include "options.h"

#include <charconv>
#include <vector>

namespace pit::demo {

namespace {

template <class Number>
Number number(const std::string &option, const std::string &text, Number least) {
  Number value{};
  const char *end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < least) {
    throw UsageError(option + " needs a whole number from " + std::to_string(least) + " on, not '" +
                     text + "'");
  }
  return value;
}

}  // namespace

Options parse_options(int count, char **arguments) {
  Options options;
  std::vector<std::string> words(arguments + 1, arguments + count);
  for (std::size_t i = 0; i < words.size(); ++i) {
    // --name=value is --name value.
    std::string name = words[i];
    std::optional<std::string> attached;
    if (const std::size_t equals = name.find('='); name.starts_with("--") && equals != name.npos) {
      attached = name.substr(equals + 1);
      name.resize(equals);
    }
    const auto value = [&]() -> std::string {
      if (attached) return *attached;
      if (i + 1 == words.size()) throw UsageError(name + " needs a value");
      return words[++i];
    };
    if (name == "--case") {
      options.cases = value();
    } else if (name == "--json") {
      options.json = value();
      if (options.json.empty()) throw UsageError("--json needs a file, or - for standard output");
    } else if (name == "--text") {
      options.data.text = value();
      if (options.data.text.empty()) throw UsageError("--text needs a file");
    } else if (name == "--threads") {
      options.threads = number<int>(name, value(), 1);
    } else if (name == "--seed") {
      options.data.seed = number<unsigned>(name, value(), 0);
    } else if (name == "--target") {
      const std::string target = value();
      try {
        options.target = Target(target);
      } catch (const CompileError &error) {
        // Where in this program the target is made says nothing to its user.
        const std::string message = error.what(),
                          line = std::to_string(error.where().line()) + ": ";
        const std::size_t place = message.find(line);
        throw UsageError("--target: " +
                         message.substr(place == message.npos ? 0 : place + line.size()));
      }
    } else if (attached) {
      throw UsageError("unknown option " + words[i]);
    } else if (name == "--list") {
      options.list = true;
    } else if (name == "--help" || name == "-h") {
      options.help = true;
    } else {
      throw UsageError("unknown option " + name);
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
  --target TARGET  what to compile for (default: host, this machine)
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

bool matches(const std::string &pattern, const std::string &text) {
  // Where the last * was met: on a mismatch it takes one more character.
  std::size_t p = 0, t = 0, star = std::string::npos, taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p, ++t;
    } else if (star != std::string::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace pit::demo
