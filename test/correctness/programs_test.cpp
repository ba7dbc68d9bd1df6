// The programs that fix the language by example, with the schedules that they come with.
#include "test/programs.h"

#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

namespace {

/// Both builds of a program are the same algorithm: the schedule travels as text.
void check_program(Pipeline (*build)(bool), const std::vector<Data> &data) {
  check_agreement({build(false), {"", build(true).schedule().to_string()}, data, every_host(), 32});
}

/// Tensors by type and extents, then what is particular.
Problem dense_inputs(const std::vector<std::tuple<std::string, Type, Shape>> &tensors, bool exact,
                     std::mt19937 &generator) {
  Problem p;
  for (const auto &[name, type, extents] : tensors)
    p.inputs[name] = random_values(type, extents, generator, exact);
  return p;
}

}  // namespace

TEST_CASE("program: sparse matmul") {
  check_program(build_spmm,
                sweep({{3, 5, 7}, {130, 33, 70}, {200, 300, 90}},
                      [](const Size &s, double zeros, bool exact, std::mt19937 &g) {
                        Problem p = dense_inputs(
                            {{"B", bfloat16, {s[2], s[1]}}, {"bias", float32, {s[1]}}}, exact, g);
                        p.inputs["A"] = random_values(bfloat16, {s[0], s[2]}, g, exact, zeros);
                        p.outputs = {{"Out", {s[0], s[1]}}};
                        return p;
                      }));
}

TEST_CASE("program: mixture of experts") {
  // tokens, experts, channels, features
  check_program(build_moe, inexact(sweep(
                               {{1, 2, 3, 4}, {40, 5, 9, 20}, {150, 8, 16, 40}},
                               [](const Size &s, double zeros, bool, std::mt19937 &g) {
                                 // Real logits: with integers the experts would be chosen among
                                 // ties, which is another test's idea.
                                 Problem p = dense_inputs({{"Wg", bfloat16, {s[2], s[1]}},
                                                           {"W1", bfloat16, {s[1], s[2], s[3]}},
                                                           {"W3", bfloat16, {s[1], s[2], s[3]}},
                                                           {"W2", bfloat16, {s[1], s[3], s[2]}}},
                                                          false, g);
                                 p.inputs["X"] =
                                     random_values(bfloat16, {s[0], s[2]}, g, false, zeros);
                                 p.outputs = {{"Out", {s[0], s[2]}}};
                                 return p;
                               },
                               true)));
}

TEST_CASE("program: encoder layer on sentences") {
  // sentences, tokens, channels, features
  check_program(build_encoder,
                inexact(sweep(
                    {{1, 1, 3, 4}, {3, 50, 9, 20}, {2, 140, 12, 40}},
                    [](const Size &s, double zeros, bool, std::mt19937 &g) {
                      Problem p = dense_inputs({{"X", bfloat16, {s[0], s[1], s[2]}},
                                                {"W1", bfloat16, {s[2], s[3]}},
                                                {"W2", bfloat16, {s[3], s[2]}},
                                                {"b1", float32, {s[3]}},
                                                {"b2", float32, {s[2]}}},
                                               false, g);
                      const auto longest =
                          static_cast<std::int64_t>((1 - zeros) * static_cast<double>(s[1]));
                      p.inputs["len"] = random_integers(int32, {s[0]}, g, 0, longest + 1);
                      p.outputs = {{"Out", {s[0], s[1], s[2]}}};
                      return p;
                    },
                    true)));
}

TEST_CASE("program: block-sparse attention with grouped heads") {
  // key heads, positions, depth
  check_program(build_block_attention,
                inexact(sweep(
                    {{1, 5, 3}, {2, 70, 4}, {1, 150, 8}},
                    [](const Size &s, double zeros, bool exact, std::mt19937 &g) {
                      const std::int64_t blocks = (s[1] + 63) / 64;
                      Problem p = dense_inputs({{"Q", bfloat16, {4 * s[0], s[1], s[2]}},
                                                {"K", bfloat16, {s[0], s[1], s[2]}},
                                                {"V", bfloat16, {s[0], s[1], s[2]}}},
                                               exact, g);
                      p.inputs["mask"] = random_mask(uint8, {4 * s[0], blocks, blocks}, g, zeros);
                      p.scalars["scale"] = 0.25;
                      p.outputs = {{"O", {4 * s[0], s[1], s[2]}}, {"L", {4 * s[0], s[1]}}};
                      return p;
                    },
                    true)));
}

TEST_CASE("program: vertical-slash attention") {
  check_program(
      build_vertical_slash_attention,
      inexact(sweep(
          {{1, 5, 3}, {2, 100, 8}, {1, 150, 16}},
          [](const Size &s, double zeros, bool exact, std::mt19937 &g) {
            const std::int64_t strips = (s[1] + 63) / 64, ranges = 2, columns = 9;
            Problem p = dense_inputs({{"Q", bfloat16, s}, {"K", bfloat16, s}, {"V", bfloat16, s}},
                                     exact, g);
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
          },
          true)));
}

TEST_CASE("program: sampled dense-dense product stored as block CSR") {
  const auto data = [](bool compact) {
    return sweep({{5, 7, 3}, {100, 70, 9}, {130, 300, 20}},
                 [=](const Size &s, double zeros, bool exact, std::mt19937 &g) {
                   const std::int64_t rows = (s[0] + 31) / 32, columns = (s[1] + 31) / 32;
                   Problem p = dense_inputs(
                       {{"A", bfloat16, {s[0], s[2]}}, {"B", bfloat16, {s[1], s[2]}}}, exact, g);
                   p.inputs["mask"] = random_mask(uint8, {rows, columns}, g, zeros);
                   p.outputs["S"] = compact ? Shape{rows * columns, 32, 32} : Shape{s[0], s[1]};
                   p.outputs["blocks.offsets"] = {rows + 1};
                   p.outputs["blocks.coordinates"] = {rows * columns};
                   p.outputs["blocks.count"] = {1};
                   return p;
                 });
  };
  check_agreement({build_sddmm(false), {""}, data(false), every_host()});
  // The index is an output too, so the scheduled build is the algorithm.
  const Pipeline scheduled = build_sddmm(true);
  check_agreement({scheduled, {scheduled.schedule().to_string()}, data(true), every_host()});
}

TEST_CASE("program: convolutions by neighbour table") {
  for (const auto build : {build_convolution, build_scatter_convolution}) {
    const std::string out = build(false).outputs()[0]->name;
    check_program(build,
                  sweep({{1, 3, 2, 5}, {150, 9, 5, 7}, {200, 27, 8, 10}},
                        [&](const Size &s, double zeros, bool exact, std::mt19937 &g) {
                          Problem p = dense_inputs(
                              {{"X", float16, {s[0], s[2]}}, {"W", float16, {s[1], s[2], s[3]}}},
                              exact, g);
                          const AnyBuffer nbr = random_integers(int32, {s[0], s[1]}, g, 0, s[0]);
                          for_each_coordinate(nbr.extents(), [&](const Shape &at) {
                            if (std::uniform_real_distribution<double>(0, 1)(g) < zeros)
                              nbr.set_number(at, -1);
                          });
                          p.inputs["nbr"] = nbr;
                          p.outputs = {{out, {s[0], s[3]}}};
                          return p;
                        }));
  }
}

TEST_CASE("program: OPT feed-forward with the index marked in the producer") {
  // tokens, channels, features
  check_program(build_opt, sweep({{1, 2, 3}, {70, 9, 40}, {130, 16, 300}},
                                 [](const Size &s, double zeros, bool exact, std::mt19937 &g) {
                                   Problem p = dense_inputs({{"X", bfloat16, {s[0], s[1]}},
                                                             {"W1", bfloat16, {s[1], s[2]}},
                                                             {"W2", bfloat16, {s[2], s[1]}},
                                                             {"b1", float32, {s[2]}}},
                                                            exact, g);
                                   // A large negative bias silences a neuron.
                                   for (std::int64_t f = 0; f < s[2]; ++f) {
                                     if (std::uniform_real_distribution<double>(0, 1)(g) < zeros)
                                       p.inputs["b1"].set_number(Shape{f}, -1000);
                                   }
                                   p.outputs = {{"Y", {s[0], s[1]}}};
                                   return p;
                                 }));
}
