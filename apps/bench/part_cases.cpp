// Parts of an operator's life: building its index, compiling it, calling it.
#include <chrono>
#include <memory>
#include <numeric>

#include "case.h"
#include "operators.h"
#include "read_memory.h"
#include "subjects.h"

namespace pit::bench {

namespace {

Problem index_problem(const Pattern &pattern, const Settings &settings) {
  constexpr int kSets = 2;
  // Larger than caches, and a B that makes everything but the index short.
  const std::int64_t size = settings.small ? 128 : 4096, columns = 16;
  Random random(settings.seed);
  std::vector<Factors> factors;
  std::vector<Inputs> inputs;
  for (int i = 0; i < kSets; ++i) {
    Matrix a = random_matrix(float32, size, size, random, pattern);
    factors.push_back({a, random_matrix(float32, size, columns, random)});
    inputs.push_back({{"A", a.typed}, {"B", factors.back().b.typed}});
  }
  Problem problem{.type = float32, .sets = kSets};
  problem.micro = std::to_string(pattern.rows) + "x" + std::to_string(pattern.columns);
  problem.sparsity = pattern.zeros;
  problem.expected = [=, rows = std::make_shared<Random>(random)](int set) {
    const auto &[a, b] = factors[static_cast<std::size_t>(set)];
    return expected_product(a.wide, b.wide, float32, *rows);
  };
  Subject index = pit_subject("pit index", sparse_product(pattern.rows, pattern.columns),
                              settings.target, inputs, float32, {size, columns});
  index.measured_us = index.index_us;
  index.versus = {{"memory read"}};
  problem.subjects.push_back(std::move(index));
  problem.subjects.push_back({.system = "memory read", .run = [factors](int set) {
                                const AnyBuffer &a = factors[static_cast<std::size_t>(set)].a.typed;
                                read_memory(a.data(), a.size() * a.type().bytes());
                              }});
  return problem;
}

Problem compile_problem(const Settings &settings) {
  Problem problem{.type = float32, .micro = "64x1"};
  auto count = std::make_shared<int>(0);
  // Another name each time: equal pipelines share their code.
  problem.subjects.push_back({.system = "pit", .run = [count, settings](int) {
                                const std::string name = "product_" + std::to_string((*count)++);
                                sparse_product(64, 1, name).compile(settings.target);
                              }});
  return problem;
}

Problem call_problem(const Settings &settings) {
  constexpr int kCalls = 20000;
  Problem problem{.type = float32};
  const Buffer<float, 1> from({1}, {3}), to({1});
  Subject subject{.system = "pit", .calls = kCalls, .outputs = {to}};
  subject.run = [=, copy = copy_elements().compile(settings.target)](int) {
    for (int i = 0; i < kCalls; ++i) copy(from, to);
  };
  problem.subjects.push_back(std::move(subject));
  problem.expected = [](int) { return std::vector<Expected>{{{0}, 3, 0}}; };
  return problem;
}

}  // namespace

void add_part_cases(std::vector<Case> &cases) {
  constexpr std::pair<std::int64_t, std::int64_t> kMicro[] = {
      {64, 1}, {32, 1}, {1, 64}, {64, 64}, {1, 1}};
  for (const auto &[rows, columns] : kMicro) {
    const Pattern pattern{rows, columns, 0.95};
    cases.push_back(
        {.name = "index/" + std::to_string(rows) + "x" + std::to_string(columns) + "/f32/95%",
         .make = [pattern](const Settings &settings) { return index_problem(pattern, settings); }});
  }
  cases.push_back({.name = "compile/spmm", .threaded = false, .make = compile_problem});
  cases.push_back({.name = "call/one-element", .threaded = false, .make = call_problem});
}

}  // namespace pit::bench
