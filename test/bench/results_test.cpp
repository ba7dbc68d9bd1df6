// The benchmark's command line, and what it makes of measurements.
#include <doctest/doctest.h>

#include <sstream>

// A program's parts are in no library.
#include "apps/bench/options.cpp"  // NOLINT(bugprone-suspicious-include)
#include "apps/bench/picture.cpp"  // NOLINT(bugprone-suspicious-include)
#include "apps/bench/report.cpp"   // NOLINT(bugprone-suspicious-include)
#include "apps/bench/row.cpp"      // NOLINT(bugprone-suspicious-include)
#include "test/program/command_words.h"

using namespace pit::bench;

namespace {

Options parsed(const std::vector<std::string> &words) {
  return pit::test::parsed(parse_options, words);
}

std::string refusal(const std::vector<std::string> &words) {
  return pit::test::refusal(parse_options, words);
}

Row product(const std::string &micro, double sparsity, const std::string &system, double time) {
  Row row{.case_name = "spmm/" + micro + "/f32/x", .type = "float32", .micro = micro};
  row.system = system;
  row.sparsity = sparsity;
  row.total_us = row.best_us = time;
  row.index_us = 0;
  return row;
}

// How often `part` occurs in `text`.
int count(const std::string &text, const std::string &part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("the benchmark's options") {
  const Options options =
      parsed({"--case=spmm/*", "--json", "-", "--svg", "a.svg", "--markdown", "a.md", "--threads",
              "2", "--seed", "9", "--seconds", "4", "--target", "x86-64-linux-avx2"});
  CHECK(options.cases == "spmm/*");
  CHECK(options.json == "-");
  CHECK(options.svg == "a.svg");
  CHECK(options.markdown == "a.md");
  CHECK(options.threads == 2);
  CHECK(options.seed == 9U);
  CHECK(options.budget.seconds == 4);
  CHECK(options.target == pit::Target("x86-64-linux-avx2"));
  CHECK(!parsed({}).seed);
  CHECK(parsed({"--small"}).budget.seconds == 0);
  CHECK(parsed({"--quick"}).budget.seconds == 0.4);
  CHECK(parsed({"--quick", "--seconds", "3"}).budget.seconds == 3);
  CHECK(parsed({"--target", "cuda"}).target.is_cuda());
  CHECK(parsed({"--target", "x86-64-linux-cuda"}).budget.seconds == 0.5);
  CHECK(parsed({"--from", "a.json", "--case", "moe*"}).from == "a.json");
}

TEST_CASE("the command line is kept as a shell reads it") {
  CHECK(parsed({"--case", "spmm/*", "--seconds=0", "--json", "it's.json"}).command ==
        "program --case 'spmm/*' --seconds=0 --json 'it'\\''s.json'");
}

TEST_CASE("--quick leaves out cases without a target, unless a pattern names them") {
  const std::vector<std::string> all{"attention/a", "compile/spmm", "moe/mixtral-8x7b"};
  const auto chosen = [&](std::vector<std::string> words) {
    words.insert(words.end(), {"--target", "x86-64-linux-cuda"});
    return chosen_cases(parsed(words), all);
  };
  CHECK(chosen({}).names == all);
  CHECK(chosen({}).left_out.empty());
  CHECK(chosen({"--quick"}).names == std::vector<std::string>{"compile/spmm", "moe/mixtral-8x7b"});
  CHECK(chosen({"--quick"}).left_out == std::vector<std::string>{"attention/a"});
  CHECK(chosen({"--quick", "--case", "attention*"}).names ==
        std::vector<std::string>{"attention/a"});
  CHECK(chosen({"--quick", "--case", "attention*"}).left_out.empty());
  CHECK_THROWS_WITH_AS(chosen({"--case", "none"}),
                       "no case matches 'none'; the cases are\n  attention/a\n  compile/spmm\n  "
                       "moe/mixtral-8x7b",
                       pit::program::UsageError);
}

TEST_CASE("what is wrong on the benchmark's command line is named") {
  CHECK(refusal({"--nonsense"}) == "unknown option --nonsense");
  CHECK(refusal({"spmm"}) == "unknown option spmm");
  CHECK(refusal({"--json"}) == "--json needs a value");
  CHECK(refusal({"--svg="}) == "--svg needs a file");
  CHECK(refusal({"--threads", "0"}).find("--threads needs a whole number from 1 on") == 0);
  CHECK(refusal({"--target", "potato"}).find("--target: Target 'potato'") == 0);
  CHECK(refusal({"--target", "x86-64-linux-cuda", "--threads", "2"}).find("--threads is about") ==
        0);
  CHECK(refusal({"--from", "a.json", "--seed", "1"}).find("--from shows what was") == 0);
  CHECK(refusal({"--from", "a.json", "--json", "b.json"}).find("--from shows what was") == 0);
}

TEST_CASE("results are read as they were written") {
  Results results{.machine = {{"z", "first"}, {"a", "\"second\""}}, .rows = {}};
  Row row{.case_name = "c", .type = "float32", .micro = "64x1", .system = "pit", .threads = 2};
  row.sparsity = 0.95;
  row.index_us = 1.5;
  row.total_us = 12;
  row.versus = "OpenBLAS";
  row.ratio = 7.25;
  row.rounds = 11;
  row.device = "a device";
  row.kernels = 6.5;
  results.rows = {row, {.case_name = "c", .system = "oneDNN", .note = "not found"}};
  const Results read = from_json(to_json(results));
  CHECK(to_json(read) == to_json(results));
  CHECK(read.machine == results.machine);
  REQUIRE(read.rows.size() == 2);
  CHECK(read.rows[0].sparsity == 0.95);
  CHECK(read.rows[0].ratio == 7.25);
  CHECK(read.rows[0].threads == 2);
  CHECK(read.rows[0].device == "a device");
  CHECK(read.rows[0].kernels == 6.5);
  CHECK(read.rows[1].device.empty());
  CHECK(!read.rows[0].rel_err);
  CHECK(read.rows[1].note == "not found");
  CHECK(!read.rows[1].total_us);
  CHECK_THROWS_AS(from_json("[]"), std::runtime_error);
  CHECK_THROWS_AS(from_json("not JSON"), std::runtime_error);
}

TEST_CASE("targets are judged by the rows that they are about") {
  Row row{.case_name = "dense/f32", .system = "pit", .threads = 1};
  row.total_us = 10;
  row.versus = "OpenBLAS";
  row.ratio = 0.9;
  Row other = row;
  other.versus = "oneDNN";
  other.ratio = 0.1;
  Row call{.case_name = "call/one-element", .system = "pit"};
  call.total_us = 0.75;
  CHECK(targets_text({.machine = {}, .rows = {row, other, call}}) ==
        "met      dense float32 product, beside OpenBLAS (dense/f32, 1 thread): 0.90x, wanted at "
        "least 0.85x\n"
        "not met  calling an operator (call/one-element, 1 thread): 0.75 us, wanted at most 0.50 "
        "us\n");
  row.ratio = 0.84;
  CHECK(targets_text({.machine = {}, .rows = {row}}).starts_with("not met "));
}

TEST_CASE("rows of a device are judged by its own targets, a time once") {
  Row row{.case_name = "spmm/128x1/bf16/90%", .system = "pit", .threads = 0, .device = "a device"};
  row.total_us = 57;
  row.versus = "cuBLAS";
  row.ratio = 3;
  Row other = row;
  other.versus = "pit dense";
  Row gather{.case_name = "gather/8192of8192-n8192-k8192",
             .system = "pit",
             .threads = 0,
             .device = "a device"};
  gather.total_us = 1500;
  gather.versus = "pit dense + index";
  gather.ratio = 0.9;
  CHECK(
      targets_text({.machine = {}, .rows = {row, other, gather}}) ==
      "met      product with zeros, index included (spmm/128x1/bf16/90%, on the device): 57.0 us, "
      "wanted at most 58.0 us\n"
      "not met  all rows gathered, beside the dense schedule and the index "
      "(gather/8192of8192-n8192-k8192, on the device): 0.90x, wanted at least 0.95x\n");
  const std::string page = report({.machine = {}, .rows = {row, other}}, "");
  CHECK(page.starts_with("# A CUDA device"));
  CHECK(page.find("| spmm/128x1/bf16/90% |  | pit | ") != page.npos);
}

TEST_CASE("the report has the machine, the targets, the picture and a line a system") {
  Row row{.case_name = "moe/equal", .system = "pit", .threads = 2};
  row.total_us = row.best_us = 81000;
  row.index_us = 5;
  row.workspace_bytes = 13.1e6;
  row.rel_err = 4e-7;
  row.versus = "OpenBLAS, gathered rows";
  row.ratio = 0.7;
  Row again = row;
  again.versus = "another";
  again.ratio = 3;
  again.note = "ratio of medians";
  const std::string page = report({.machine = {{"cores", "2"}}, .rows = {row, again}}, "host.svg");
  CHECK(page.find("| cores | 2 |") != page.npos);
  CHECK(page.find("![Time of sparse products over sparsity](host.svg)") != page.npos);
  CHECK(page.find("| moe/equal | 2 | at least 0.83x | 0.70x | **not met** |") != page.npos);
  CHECK(page.find("| moe/equal | 2 | pit | OpenBLAS, gathered rows | 0.70x | at least 0.83x | "
                  "**not met** |\n"
                  "| moe/equal | 2 | pit | another | 3.00x, ratio of medians | | |\n") !=
        page.npos);
  CHECK(page.find("| moe/equal | 2 | pit | 81.0 ms | 81.0 ms | 5.00 us | 13.1 MB | 4.0e-07 | "
                  "OpenBLAS, gathered rows 0.70x, another 3.00x |") != page.npos);
  CHECK(report({.machine = {}, .rows = {row}}, "").find("![") == std::string::npos);
}

TEST_CASE("the picture has a diagram a micro-tile, a line a system, and every point in its frame") {
  Results results;
  for (const char *micro : {"64x1", "1x1"}) {
    for (const double sparsity : {0., 0.5, 0.99}) {
      results.rows.push_back(product(micro, sparsity, "pit", 1e6 * (1 - sparsity)));
      results.rows.push_back(product(micro, sparsity, "a < b", 2000));
      results.rows.push_back(results.rows.back());
      results.rows.back().threads = 2;
    }
  }
  // A system may be timed after all others.
  for (const char *micro : {"64x1", "1x1"}) {
    for (const double sparsity : {0., 0.99})
      results.rows.push_back(product(micro, sparsity, "late", 3000));
  }
  const std::string svg = picture(results);
  CHECK(svg.starts_with("<svg xmlns"));
  CHECK(count(svg, ">micro-tiles ") == 2);
  CHECK(count(svg, "<polyline") == 6);
  CHECK(count(svg, "a &lt; b") == 1);
  CHECK(count(svg, "nan") + count(svg, "inf") + count(svg, "\"-") == 0);
  CHECK(picture({}).find("</svg>") != std::string::npos);
}

TEST_CASE("the picture tells element types apart and names the device") {
  Results results;
  for (const char *type : {"bfloat16", "float32"}) {
    for (const double sparsity : {0.9, 0.99}) {
      for (const char *system : {"pit", "cuBLAS"}) {
        Row &row = results.rows.emplace_back(product("32x1", sparsity, system, 60));
        row.type = type;
        row.threads = 0;
        row.device = "a device";
      }
    }
  }
  const std::string svg = picture(results);
  CHECK(count(svg, ">micro-tiles 32x1, bfloat16<") == 1);
  CHECK(count(svg, ">micro-tiles 32x1, float32<") == 1);
  CHECK(count(svg, "a device, over the share") == 1);
  CHECK(count(svg, ">10 us<") == 2);
  // Systems that multiply zeros are dashed.
  CHECK(count(svg, "stroke-dasharray") == 2);
}

TEST_CASE("numbers in three digits") {
  CHECK(three_digits(0.0634) == "0.063");
  CHECK(three_digits(0.5) == "0.50");
  CHECK(three_digits(9.999) == "10.0");
  CHECK(three_digits(123.4) == "123");
  CHECK(duration(0.25) == "0.25 us");
  CHECK(duration(2460) == "2.46 ms");
  CHECK(duration(3e6) == "3.00 s");
}
