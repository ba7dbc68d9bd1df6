// Parts of an operator's life: building its index, compiling it, launching it.
#include <chrono>
#include <memory>

#include "operators.h"
#include "subjects.h"

namespace pit::bench::cuda {

namespace {

constexpr const char *kSameBytes = "copy of half of the matrix";

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
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
  const auto add = [&](const std::string &system, bool ordered) {
    const auto compiled =
        std::make_shared<const Operator>(indexed_sum(micro, ordered), device, settings,
                                         std::vector<Inputs>{{{"A", a}}}, float32, Shape{size});
    Subject subject = pit_subject(system, compiled);
    subject.counted = [kernels = index_kernels(ordered)](const std::string &kernel) {
      return kernel.starts_with(kernels);
    };
    subject.versus = {{kSameBytes}, {"pit index, unordered"}};
    problem.subjects.push_back(std::move(subject));
  };
  add("pit index", true);
  add("pit index, unordered", false);
  // Reading half of it and writing that moves as many bytes as reading all.
  const std::int64_t half = a.size() * a.type().bytes() / 2;
  problem.subjects.push_back({.system = kSameBytes,
                              .enqueue = [&device, a, half, to = device.allocate(uint8, {half})](
                                             int) { device.copy(to.data(), a.data(), half); }});
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
  cases.push_back({.name = "compile/spmm", .make = compile_problem});
  cases.push_back({.name = "launch/spmm", .make = launch_problem});
}

}  // namespace pit::bench::cuda
