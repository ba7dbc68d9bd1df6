#include "test/correctness/program_data.h"

#include <algorithm>
#include <tuple>

namespace pit::test {
namespace {

/// Tensors by type and extents, then what is particular.
Problem dense_inputs(const std::vector<std::tuple<std::string, Type, Shape>> &tensors, bool exact,
                     std::mt19937 &generator) {
  Problem p;
  for (const auto &[name, type, extents] : tensors)
    p.inputs[name] = random_values(type, extents, generator, exact);
  return p;
}

bool happens(double share, std::mt19937 &g) {
  return std::uniform_real_distribution<double>(0, 1)(g) < share;
}

/// rows, columns, channels
Problem spmm_data(Type type, const Size &s, double zeros, bool exact, std::mt19937 &g) {
  Problem p = dense_inputs({{"B", type, {s[2], s[1]}}, {"bias", float32, {s[1]}}}, exact, g);
  p.inputs["A"] = random_values(type, {s[0], s[2]}, g, exact, zeros);
  p.outputs = {{"Out", {s[0], s[1]}}};
  return p;
}

/// tokens, experts, channels, features. Real logits: with integers the experts would be chosen
/// among ties, which is another test's idea.
Problem moe_data(Type type, const Size &s, double zeros, bool, std::mt19937 &g) {
  Problem p = dense_inputs({{"Wg", type, {s[2], s[1]}},
                            {"W1", type, {s[1], s[2], s[3]}},
                            {"W3", type, {s[1], s[2], s[3]}},
                            {"W2", type, {s[1], s[3], s[2]}}},
                           false, g);
  p.inputs["X"] = random_values(type, {s[0], s[2]}, g, false, zeros);
  p.outputs = {{"Out", {s[0], s[2]}}};
  return p;
}

/// sentences, tokens, channels, features
Problem encoder_data(Type type, const Size &s, double zeros, bool, std::mt19937 &g) {
  Problem p = dense_inputs({{"X", type, {s[0], s[1], s[2]}},
                            {"W1", type, {s[2], s[3]}},
                            {"W2", type, {s[3], s[2]}},
                            {"b1", float32, {s[3]}},
                            {"b2", float32, {s[2]}}},
                           false, g);
  const auto longest = static_cast<std::int64_t>((1 - zeros) * static_cast<double>(s[1]));
  p.inputs["len"] = random_integers(int32, {s[0]}, g, 0, longest + 1);
  p.outputs = {{"Out", {s[0], s[1], s[2]}}};
  return p;
}

/// key heads, positions, depth
Problem block_attention_data(Type type, const Size &s, double zeros, bool exact, std::mt19937 &g) {
  const std::int64_t blocks = (s[1] + 63) / 64;
  Problem p = dense_inputs({{"Q", type, {4 * s[0], s[1], s[2]}},
                            {"K", type, {s[0], s[1], s[2]}},
                            {"V", type, {s[0], s[1], s[2]}}},
                           exact, g);
  p.inputs["mask"] = random_mask(uint8, {4 * s[0], blocks, blocks}, g, zeros);
  p.scalars["scale"] = 0.25;
  p.outputs = {{"O", {4 * s[0], s[1], s[2]}}, {"L", {4 * s[0], s[1]}}};
  return p;
}

/// heads, positions, depth
Problem vertical_slash_data(Type type, const Size &s, double zeros, bool exact, std::mt19937 &g) {
  const std::int64_t strips = (s[1] + 63) / 64, ranges = 2, columns = 9;
  Problem p = dense_inputs({{"Q", type, s}, {"K", type, s}, {"V", type, s}}, exact, g);
  const auto share = [&](std::int64_t n) {
    return 1 + static_cast<std::int64_t>((1 - zeros) * static_cast<double>(n));
  };
  p.inputs["block_count"] = random_integers(int32, {s[0], strips}, g, 0, share(ranges));
  p.inputs["block_offset"] = random_integers(int32, {s[0], strips, ranges}, g, 0, s[1]);
  p.inputs["column_count"] = random_integers(int32, {s[0], strips}, g, 0, share(columns));
  p.inputs["column_index"] = random_integers(int32, {s[0], strips, columns}, g, 0, s[1]);
  p.scalars["scale"] = 0.25;
  p.outputs = {{"O", s}};
  return p;
}

/// rows, columns, channels. S is that of the scheduled build, blocks of a block CSR.
Problem sddmm_data(Type type, const Size &s, double zeros, bool exact, std::mt19937 &g) {
  const std::int64_t rows = (s[0] + 31) / 32, columns = (s[1] + 31) / 32;
  Problem p = dense_inputs({{"A", type, {s[0], s[2]}}, {"B", type, {s[1], s[2]}}}, exact, g);
  p.inputs["mask"] = random_mask(uint8, {rows, columns}, g, zeros);
  p.outputs["S"] = {rows * columns, 32, 32};
  p.outputs["blocks.offsets"] = {rows + 1};
  p.outputs["blocks.coordinates"] = {rows * columns};
  p.outputs["blocks.count"] = {1};
  return p;
}

/// points, offsets, channels, features
Problem convolution_data(Type type, const Size &s, double zeros, bool exact, std::mt19937 &g) {
  Problem p = dense_inputs({{"X", type, {s[0], s[2]}}, {"W", type, {s[1], s[2], s[3]}}}, exact, g);
  const AnyBuffer nbr = random_integers(int32, {s[0], s[1]}, g, 0, s[0]);
  for_each_coordinate(nbr.extents(), [&](const Shape &at) {
    if (happens(zeros, g)) nbr.set_number(at, -1);
  });
  p.inputs["nbr"] = nbr;
  p.outputs = {{"Out", {s[0], s[3]}}, {"Z", {s[0], s[3]}}};
  return p;
}

/// tokens, channels, features
Problem opt_data(Type type, const Size &s, double zeros, bool exact, std::mt19937 &g) {
  Problem p = dense_inputs({{"X", type, {s[0], s[1]}},
                            {"W1", type, {s[1], s[2]}},
                            {"W2", type, {s[2], s[1]}},
                            {"b1", float32, {s[2]}}},
                           exact, g);
  // A large negative bias silences a neuron.
  for (std::int64_t f = 0; f < s[2]; ++f) {
    if (happens(zeros, g)) p.inputs["b1"].set_number(Shape{f}, -1000);
  }
  p.outputs = {{"Y", {s[0], s[1]}}};
  return p;
}

struct Made {
  const char *name;
  decltype(ProgramCase::make) make;
  bool rounded;
  std::vector<Size> sizes;
  Size wide;
};

const std::vector<Made> kMade = {
    {"spmm", spmm_data, false, {{3, 5, 7}, {130, 33, 70}, {200, 300, 90}}, {300, 520, 200}},
    {"moe", moe_data, true, {{1, 2, 3, 4}, {20, 3, 9, 20}, {150, 8, 16, 40}}, {120, 5, 64, 72}},
    {"encoder",
     encoder_data,
     true,
     {{1, 1, 3, 4}, {3, 50, 9, 20}, {2, 140, 12, 40}},
     {3, 150, 64, 136}},
    {"block_attention",
     block_attention_data,
     true,
     {{1, 5, 3}, {2, 70, 4}, {1, 150, 8}},
     {1, 200, 64}},
    {"vertical_slash_attention",
     vertical_slash_data,
     true,
     {{1, 5, 3}, {2, 100, 8}, {1, 150, 16}},
     {2, 200, 64}},
    {"sddmm", sddmm_data, false, {{5, 7, 3}, {100, 70, 9}, {130, 300, 20}}, {200, 520, 136}},
    {"convolution",
     convolution_data,
     false,
     {{1, 3, 2, 5}, {150, 9, 5, 7}, {200, 27, 8, 10}},
     {200, 9, 64, 72}},
    {"scatter_convolution",
     convolution_data,
     false,
     {{1, 3, 2, 5}, {150, 9, 5, 7}, {200, 27, 8, 10}},
     {200, 9, 64, 72}},
    {"opt", opt_data, false, {{1, 2, 3}, {70, 9, 40}, {130, 16, 300}}, {200, 72, 520}}};

}  // namespace

bool ProgramCase::repeatable() const {
  return program.build(true).schedule().to_string().find(".atomic(") == std::string::npos;
}

const std::vector<ProgramCase> &program_cases() {
  static const std::vector<ProgramCase> cases = [] {
    std::vector<ProgramCase> made;
    for (const Program &program : programs()) {
      const auto data = std::ranges::find(kMade, program.name, &Made::name);
      if (data == kMade.end()) throw InternalError("there is no data for program " + program.name);
      made.push_back({program, data->make, data->rounded, data->sizes, data->wide});
    }
    return made;
  }();
  return cases;
}

const ProgramCase &program_case(const std::string &name) {
  for (const ProgramCase &c : program_cases()) {
    if (c.program.name == name) return c;
  }
  throw InternalError("there is no program " + name);
}

}  // namespace pit::test
