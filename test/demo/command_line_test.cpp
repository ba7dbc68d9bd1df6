// The demonstration's command line and what it writes.
#include <doctest/doctest.h>

#include <sstream>

// A program's parts are in no library.
#include "apps/demo/options.cpp"  // NOLINT(bugprone-suspicious-include)
#include "apps/demo/table.cpp"    // NOLINT(bugprone-suspicious-include)
#include "test/program/command_words.h"

using namespace pit::demo;

namespace {

Options parsed(const std::vector<std::string> &words) {
  return pit::test::parsed(parse_options, words);
}

std::string refusal(const std::vector<std::string> &words) {
  return pit::test::refusal(parse_options, words);
}

}  // namespace

TEST_CASE("options take their value as the next word or after =") {
  const Options options = parsed({"--case", "moe*", "--threads=2", "--json", "-", "--seed=7",
                                  "--text=a=b", "--target", "x86-64-linux-avx2"});
  CHECK(options.cases == "moe*");
  CHECK(options.threads == 2);
  CHECK(options.json == "-");
  CHECK(options.data.seed == 7);
  CHECK(options.data.text == "a=b");
  CHECK(options.target == pit::Target("x86-64-linux-avx2"));
  CHECK(!options.help);
  CHECK(parsed({"-h"}).help);
  CHECK(parsed({}).cases == "*");
}

TEST_CASE("what is wrong on the command line is named") {
  CHECK(refusal({"--nonsense"}) == "unknown option --nonsense");
  CHECK(refusal({"words"}) == "unknown option words");
  CHECK(refusal({"--help=no"}) == "unknown option --help=no");
  CHECK(refusal({"--seed"}) == "--seed needs a value");
  CHECK(refusal({"--json="}).find("--json needs a file") == 0);
  for (const char *threads : {"0", "-1", "two", "2x", "", "99999999999"}) {
    CAPTURE(threads);
    CHECK(refusal({"--threads", threads}).find("--threads needs a whole number from 1 on") == 0);
  }
  const std::string target = refusal({"--target", "potato"});
  CHECK(target.find("--target: Target 'potato'") == 0);
}

TEST_CASE("a measurement is two rows of JSON") {
  Measurement m;
  m.name = "case";
  m.target = "host";
  m.density = 0.25;
  m.fill = 0.5;
  m.dense_fill = 0.125;
  m.sparse = {1, 2, 4};
  m.dense = {0, 9, 10};
  m.sparse_error.relative = 1e-7;
  m.dense_error.relative = std::nan("");
  std::ostringstream json;
  write_json(json, {m}, 3);
  CHECK(json.str() ==
        "[\n"
        "{\"case\": \"case\", \"system\": \"pit\", \"target\": \"host\", \"threads\": 3, "
        "\"density\": 0.25, \"fill\": 0.5, "
        "\"index_us\": 1, \"run_us\": 2, \"total_us\": 4, \"vs\": \"dense\", \"ratio\": 2.5, "
        "\"rel_err\": 1e-07},\n"
        "{\"case\": \"case\", \"system\": \"dense\", \"target\": \"host\", \"threads\": 3, "
        "\"density\": 1, \"fill\": "
        "0.125, "
        "\"index_us\": 0, \"run_us\": 9, \"total_us\": 10, \"vs\": null, \"ratio\": null, "
        "\"rel_err\": null}\n"
        "]\n");
}

TEST_CASE("the columns of the table stay under their titles") {
  Measurement m;
  m.name = "a";
  m.dense.total = 123456;
  m.sparse.total = 100;
  std::ostringstream out;
  Table table(out, {"a", "longer"}, {"host"});
  table.header();
  table.row(m);
  const std::string text = out.str();
  const std::size_t first = text.find('\n');
  CHECK(first != std::string::npos);
  CHECK(text.size() == 2 * (first + 1));
  CHECK(text.substr(0, 6) == "case  ");
  CHECK(text.find("target") == std::string::npos);
}

TEST_CASE("with two targets each row says which one it is of") {
  Measurement m;
  m.name = "a";
  std::ostringstream out;
  Table table(out, {"a"}, {"host", "cuda"});
  table.header();
  for (const char *target : {"host", "cuda"}) {
    m.target = target;
    table.row(m);
  }
  const std::string text = out.str();
  const std::size_t first = text.find('\n');
  CHECK(text.size() == 3 * (first + 1));
  CHECK(text.find("  target") < first);
  CHECK(text.find("    host") == text.find("  target") + first + 1);
  CHECK(text.find("    cuda") == text.find("  target") + 2 * (first + 1));
}
