// Dense and sparse products of matrices.
#include <memory>

#include "case.h"
#include "operators.h"
#include "subjects.h"

namespace pit::bench {

namespace {

std::string type_name(Type type) {
  return type == bfloat16 ? "bf16" : type == float16 ? "f16" : type == float32 ? "f32" : "int8";
}

std::string percent(double share) {
  return std::to_string(static_cast<int>(share * 100 + 0.5)) + "%";
}

std::vector<Factors> random_factors(Type type, std::int64_t size, int sets, const Pattern &pattern,
                                    Random &random) {
  std::vector<Factors> factors;
  for (int i = 0; i < sets; ++i) {
    Matrix a = random_matrix(type, size, size, random, pattern);
    factors.push_back({a, random_matrix(type, size, size, random)});
  }
  return factors;
}

std::vector<Inputs> inputs_of(const std::vector<Factors> &factors) {
  std::vector<Inputs> inputs;
  for (const auto &[a, b] : factors) inputs.push_back({{"A", a.typed}, {"B", b.typed}});
  return inputs;
}

// What every product has in common: the data and what is right.
Problem product_problem(Type type, const std::vector<Factors> &factors, const Random &random) {
  Problem problem{.type = type, .sets = static_cast<int>(factors.size())};
  problem.expected = [=, rows = std::make_shared<Random>(random)](int set) {
    const auto &[a, b] = factors[static_cast<std::size_t>(set)];
    return expected_product(a.wide, b.wide, product_type(type), *rows);
  };
  return problem;
}

constexpr int kSets = 3;
std::int64_t size_of(const Settings &settings) { return settings.small ? 96 : 2048; }

Problem dense_problem(Type type, const Settings &settings) {
  Random random(settings.seed);
  const std::int64_t size = size_of(settings);
  const std::vector<Factors> factors = random_factors(type, size, kSets, {}, random);
  Problem problem = product_problem(type, factors, random);
  problem.subjects.push_back(pit_subject("pit", dense_product(type), settings.target,
                                         inputs_of(factors), product_type(type), {size, size}));
  problem.subjects.front().versus = {{"OpenBLAS"}, {"oneDNN"}};
  add_onednn(problem.subjects, factors);
  add_openblas(problem.subjects, factors);
  return problem;
}

Problem sparse_problem(const Pattern &pattern, const Settings &settings) {
  Random random(settings.seed);
  const std::int64_t size = size_of(settings);
  const std::vector<Factors> factors = random_factors(float32, size, kSets, pattern, random);
  Problem problem = product_problem(float32, factors, random);
  problem.micro = std::to_string(pattern.rows) + "x" + std::to_string(pattern.columns);
  problem.sparsity = pattern.zeros;
  problem.fill = 1;
  const std::vector<Inputs> inputs = inputs_of(factors);
  problem.subjects.push_back(pit_subject("pit", sparse_product(pattern.rows, pattern.columns),
                                         settings.target, inputs, float32, {size, size}));
  problem.subjects.front().versus = {{"OpenBLAS"},
                                     {"Eigen CSR"},
                                     {"Eigen CSR with conversion"},
                                     {"pit dense"},
                                     {"pit dense", true}};
  problem.subjects.push_back(pit_subject("pit dense", dense_product(float32), settings.target,
                                         inputs, float32, {size, size}));
  add_openblas(problem.subjects, factors);
  add_eigen(problem.subjects, factors);
  return problem;
}

}  // namespace

void add_dense_cases(std::vector<Case> &cases) {
  for (const Type type : {float32, bfloat16, float16, int8}) {
    cases.push_back({.name = "dense/" + type_name(type), .make = [type](const Settings &settings) {
                       return dense_problem(type, settings);
                     }});
  }
}

void add_spmm_cases(std::vector<Case> &cases) {
  constexpr std::pair<std::int64_t, std::int64_t> kMicro[] = {
      {64, 1}, {32, 1}, {1, 64}, {64, 64}, {1, 1}};
  for (const auto &[rows, columns] : kMicro) {
    for (const double zeros : {0., 0.5, 0.9, 0.95, 0.99}) {
      const Pattern pattern{rows, columns, zeros};
      cases.push_back({.name = "spmm/" + std::to_string(rows) + "x" + std::to_string(columns) +
                               "/f32/" + percent(zeros),
                       .make = [pattern](const Settings &settings) {
                         return sparse_problem(pattern, settings);
                       }});
    }
  }
}

}  // namespace pit::bench
