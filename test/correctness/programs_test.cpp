// The programs that fix the language by example, with the schedules that they come with.
#include <sstream>

#include "test/correctness/program_data.h"

using namespace pit;
using namespace pit::test;

namespace {

/// Data of the sizes that also the interpreters and the reference take in little time.
std::vector<Data> data_of(const ProgramCase &c, Type type, const std::vector<Size> &sizes) {
  const auto make = [&](const Size &size, double zeros, bool exact, std::mt19937 &generator) {
    return c.make(type, size, zeros, exact, generator);
  };
  return c.rounded ? inexact(sweep(sizes, make, true)) : sweep(sizes, make);
}

/// Both builds of a program are the same algorithm: the schedule travels as text.
void check_program(const std::string &name) {
  const ProgramCase &c = program_case(name);
  check_agreement({c.program.build(false),
                   {"", c.program.build(true).schedule().to_string()},
                   data_of(c, c.program.type, c.sizes),
                   every_host(),
                   32,
                   every_cuda()});
}

/// A schedule without its numbers of stages: as many are made as there is room for.
std::string without_pipelines(const std::string &schedule) {
  std::string kept, line;
  for (std::istringstream lines(schedule); std::getline(lines, line);) {
    if (line.find(".software_pipeline(") == std::string::npos) kept += line + "\n";
  }
  return kept;
}

}  // namespace

TEST_CASE("program: sparse matmul") { check_program("spmm"); }

TEST_CASE("program: mixture of experts") { check_program("moe"); }

TEST_CASE("program: encoder layer on sentences") { check_program("encoder"); }

TEST_CASE("program: block-sparse attention with grouped heads") {
  check_program("block_attention");
}

TEST_CASE("program: vertical-slash attention") { check_program("vertical_slash_attention"); }

TEST_CASE("program: sampled dense-dense product stored as block CSR") {
  const ProgramCase &c = program_case("sddmm");
  const std::vector<Data> compact = data_of(c, c.program.type, c.sizes);
  std::vector<Data> dense = compact;
  for (Data &d : dense) {
    const auto &in = d.problem.inputs;
    d.problem.outputs["S"] = {in.at("A").extent(0), in.at("B").extent(0)};
  }
  check_agreement({c.program.build(false), {""}, dense, every_host(), 16, every_cuda()});
  // The index is an output too, so the scheduled build is the algorithm.
  const Pipeline scheduled = c.program.build(true);
  check_agreement(
      {scheduled, {scheduled.schedule().to_string()}, compact, every_host(), 16, every_cuda()});
}

TEST_CASE("program: convolutions by neighbour table") {
  for (const char *name : {"convolution", "scatter_convolution"}) check_program(name);
}

TEST_CASE("program: OPT feed-forward with the index marked in the producer") {
  check_program("opt");
}

// The types that no program is written with; every size is ragged.
TEST_CASE("every program in the element types that it is not written with") {
  for (const ProgramCase &c : program_cases()) {
    for (const Type type : {float16, bfloat16, float32}) {
      if (type == c.program.type) continue;
      const std::string what = c.program.name + " of " + to_string(type);
      CAPTURE(what);
      const Pipeline scheduled = c.program.build_as(true, type);
      std::string schedule = scheduled.schedule().to_string();
      if (type.bits > c.program.type.bits) schedule = without_pipelines(schedule);
      check_agreement(
          {scheduled, {schedule}, data_of(c, type, {c.sizes[1]}), {target_under_test()}, 32});
    }
  }
}
