// Parts of an operator's life: building its index, compiling it, launching it.
#include <chrono>
#include <cmath>
#include <memory>
#include <utility>

#include "operators.h"
#include "subjects.h"

namespace pit::bench::cuda {

namespace {

constexpr const char *kSameBytes = "copy of half of the matrix";
constexpr const char *kUnordered = "pit index, unordered";

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

/// The kernels that build the index of an operator whose output is `size` numbers.
Subject index_subject(const Pipeline &pipeline, bool ordered, const Inputs &inputs,
                      std::int64_t size, const Device &device, const Settings &settings) {
  Subject subject = pit_subject(
      ordered ? "pit index" : kUnordered,
      std::make_shared<const Operator>(pipeline, device, settings, std::vector<Inputs>{inputs},
                                       float32, Shape{size}));
  subject.counted = [kernels = index_kernels(pipeline)](const std::string &kernel) {
    return kernel.starts_with(kernels);
  };
  return subject;
}

Problem index_problem(const Micro &micro, const Device &device, const Settings &settings) {
  const std::int64_t size = settings.small ? 512 : 16384;
  constexpr double kZeros = 0.95;
  Random random(settings.seed);
  const auto pool = std::make_shared<const Pool>(device, bfloat16, random);
  const auto matrix = std::make_shared<const BlockMatrix>(
      pool, size, size, Pattern{micro.rows, micro.columns, kZeros}, random);
  const AnyBuffer a = matrix->upload(device);  // larger than the cache: one data set is enough
  Problem problem{.type = bfloat16, .micro = micro.text(), .sparsity = kZeros, .fill = 1};
  problem.expected = [=, rows = random](int) mutable {
    std::vector<Expected> expected;
    for (int i = 0; i < 16; ++i) {
      const std::int64_t row = rows.below(size);
      expected.push_back(expected_sum(
          row, 0, [&](std::int64_t m, std::int64_t k) { return matrix->at(m, k); },
          [](std::int64_t, std::int64_t) { return 1.; }, {.length = size, .output = float32}));
      expected.back().at = {row};
    }
    return expected;
  };
  for (const bool ordered : {true, false}) {
    problem.subjects.push_back(
        index_subject(indexed_sum(micro, ordered), ordered, {{"A", a}}, size, device, settings));
    problem.subjects.back().versus = {{kSameBytes}, {kUnordered}};
  }
  // Reading half of it and writing that moves as many bytes as reading all.
  const std::int64_t half = a.size() * a.type().bytes() / 2;
  problem.subjects.push_back({.system = kSameBytes,
                              .enqueue = [&device, a, half, to = device.allocate(uint8, {half})](
                                             int) { device.copy(to.data(), a.data(), half); }});
  return problem;
}

Problem routing_problem(std::int64_t positions, std::int64_t experts, const Device &device,
                        const Settings &settings) {
  const std::int64_t size = settings.small ? 4096 : positions;
  Random random(settings.seed);
  const AnyBuffer x(float32, {size}), w(float32, {experts}), id(int32, {size});
  for (std::int64_t i = 0; i < size; ++i) {
    x.set_number(Shape{i}, random.symmetric());
    id.set_number(Shape{i}, static_cast<double>(random.below(experts)));
  }
  for (std::int64_t i = 0; i < experts; ++i) w.set_number(Shape{i}, random.symmetric());
  Problem problem{.type = float32};
  problem.expected = [=, rows = random](int) mutable {
    std::vector<Expected> expected;
    for (int i = 0; i < 16; ++i) {
      const std::int64_t at = rows.below(size);
      const double value =
          x.number(Shape{at}) * w.number(Shape{static_cast<std::int64_t>(id.number(Shape{at}))});
      expected.push_back({{at}, value, 0x1p-23 * std::abs(value)});
    }
    return expected;
  };
  const Inputs inputs{{"X", device.upload(x)}, {"W", device.upload(w)}, {"id", device.upload(id)}};
  for (const bool ordered : {true, false}) {
    problem.subjects.push_back(
        index_subject(routed_rows(ordered), ordered, inputs, size, device, settings));
    problem.subjects.back().versus = {{kUnordered}};
  }
  return problem;
}

Problem compile_problem(const Device &, const Settings &settings) {
  Problem problem{.type = bfloat16, .micro = "128x1"};
  // Another name each time: equal pipelines share their code.
  problem.subjects.push_back({.system = "pit", .sample_us = [settings, count = 0]() mutable {
                                const std::string name = "product_" + std::to_string(count++);
                                const Clock::time_point start = Clock::now();
                                sparse_product(bfloat16, {128, 1}, name).compile(settings.target);
                                return microseconds_since(start);
                              }});
  return problem;
}

// The host's time for work that the device has done before the host has enqueued the next.
Problem launch_problem(const Device &device, const Settings &settings) {
  constexpr std::int64_t kSize = 512;
  constexpr int kCalls = 50;
  Random random(settings.seed);
  const auto pool = std::make_shared<const Pool>(device, bfloat16, random);
  const BlockMatrix matrix(pool, kSize, kSize, {128, 1, 0.9}, random);
  const Inputs inputs{{"A", matrix.upload(device)},
                      {"B", pool->tensor(pool->start(random), {kSize, kSize})}};
  const auto compiled =
      std::make_shared<const Operator>(sparse_product(bfloat16, {128, 1}), device, settings,
                                       std::vector<Inputs>{inputs}, bfloat16, Shape{kSize, kSize});
  compiled->enqueue(0);
  const Graph graph = device.record([&] { compiled->enqueue(0); });

  const auto workspace = static_cast<double>(compiled->measured(0).peak_workspace_bytes);
  Problem problem{.type = bfloat16, .micro = "128x1"};
  const auto add = [&](const std::string &system, int parts, const std::function<void()> &enqueue) {
    problem.subjects.push_back({.system = system,
                                .sample_us =
                                    [=, &device] {
                                      device.synchronise();
                                      const Clock::time_point start = Clock::now();
                                      for (int i = 0; i < kCalls; ++i) enqueue();
                                      return microseconds_since(start) / kCalls / parts;
                                    },
                                .workspace_bytes = [workspace] { return workspace; }});
  };
  add("pit, a kernel of a call", graph.kernels(), [compiled] { compiled->enqueue(0); });
  problem.subjects.back().kernels = graph.kernels();
  add("pit, a replay of a graph", 1, [graph] { graph.replay(); });
  return problem;
}

}  // namespace

void add_part_cases(std::vector<Case> &cases) {
  for (const Micro &micro : {Micro{64, 64}, Micro{32, 1}, Micro{1, 64}, Micro{1, 1}}) {
    cases.push_back({.name = "index/" + micro.text() + "/bf16/95%",
                     .make = [micro](const Device &device, const Settings &settings) {
                       return index_problem(micro, device, settings);
                     }});
  }
  for (const auto &[positions, experts] : {std::pair{16384, 64}, {1048576, 64}, {1048576, 4096}}) {
    cases.push_back({.name = "routing/" + std::to_string(positions) + "-" + std::to_string(experts),
                     .make = [=](const Device &device, const Settings &settings) {
                       return routing_problem(positions, experts, device, settings);
                     }});
  }
  cases.push_back({.name = "compile/spmm", .make = compile_problem});
  cases.push_back({.name = "launch/spmm", .make = launch_problem});
}

}  // namespace pit::bench::cuda
