// Dense and sparse products of square matrices.
#include <algorithm>
#include <memory>

#include "operators.h"
#include "subjects.h"

namespace pit::bench::cuda {

namespace {

std::string type_name(Type type) { return type == bfloat16 ? "bf16" : "f32"; }

std::string percent(double share) {
  return std::to_string(static_cast<int>(share * 100 + 0.5)) + "%";
}

// The factors of all data sets.
struct Factors {
  std::shared_ptr<const Pool> pool;
  std::vector<BlockMatrix> matrices{};   // A
  std::vector<std::int64_t> b_starts{};  // of B in the pool
  std::vector<AnyBuffer> a{}, b{};       // on the device

  std::vector<Inputs> inputs() const {
    std::vector<Inputs> list;
    for (std::size_t i = 0; i < a.size(); ++i) list.push_back({{"A", a[i]}, {"B", b[i]}});
    return list;
  }
};

Factors random_factors(const Device &device, const Settings &settings, Type type, std::int64_t size,
                       const Pattern &pattern, Random &random) {
  Factors factors{.pool = std::make_shared<const Pool>(device, type, random)};
  const int sets = sets_past_cache({.used = 3 * size * size * type.bytes()}, device, settings);
  for (int i = 0; i < sets; ++i) {
    factors.a.push_back(
        factors.matrices.emplace_back(factors.pool, size, size, pattern, random).upload(device));
    factors.b_starts.push_back(factors.pool->start(random));
    factors.b.push_back(factors.pool->tensor(factors.b_starts.back(), {size, size}));
  }
  return factors;
}

// `rounding`: its length and output are those of the factors.
std::function<std::vector<Expected>(int)> expected_product(const Factors &factors, Random &random,
                                                           Rounding rounding = {}) {
  const std::int64_t size = factors.matrices.front().rows();
  const auto samples = sampled(size, size, random);
  rounding.length = size;
  rounding.output = factors.pool->type();
  return [=](int set) {
    const auto i = static_cast<std::size_t>(set);
    const std::int64_t start = factors.b_starts[i];
    std::vector<Expected> expected;
    for (const auto &[row, column] : samples) {
      expected.push_back(expected_sum(
          row, column, [&](std::int64_t m, std::int64_t k) { return factors.matrices[i].at(m, k); },
          [&](std::int64_t k, std::int64_t n) {
            return static_cast<double>(*factors.pool->numbers(start + k * size + n));
          },
          rounding));
    }
    return expected;
  };
}

Subject operator_subject(const std::string &system, const Pipeline &pipeline,
                         const Factors &factors, const Device &device, const Settings &settings) {
  const std::int64_t size = factors.matrices.front().rows();
  return pit_subject(system,
                     std::make_shared<const Operator>(pipeline, device, settings, factors.inputs(),
                                                      factors.pool->type(), Shape{size, size}));
}

Subject cublas_product(const Factors &factors, const Device &device, Random &random) {
  Subject subject = cublas_subject(device, "cuBLAS", factors.a, factors.b);
  subject.expected = expected_product(factors, random, {.parts = true});
  return subject;
}

// cuSPARSE on factors that were converted beforehand: elements in float32, or blocks.
Subject cusparse_subject(const std::string &system, const Factors &factors, bool blocks,
                         const Device &device) {
  const CuSparse *library = CuSparse::instance(device);
  if (library == nullptr) return missing_subject(system, "not found");
  struct Set {
    BlockMatrix::Compressed a;
    AnyBuffer b;
    std::unique_ptr<SparseProduct> product;
  };
  auto sets = std::make_shared<std::vector<Set>>();
  Subject subject{.system = system};
  try {
    for (std::size_t i = 0; i < factors.a.size(); ++i) {
      const BlockMatrix &matrix = factors.matrices[i];
      const Shape extents{matrix.rows(), matrix.columns()};
      Set &set = sets->emplace_back(
          Set{blocks ? matrix.blocks(device) : matrix.elements(device),
              blocks ? factors.b[i] : factors.pool->wide_tensor(factors.b_starts[i], extents),
              nullptr});
      subject.outputs.push_back(device.allocate(set.b.type(), extents));
      set.product = library->product(set.a, matrix.columns(), set.b, subject.outputs.back());
    }
  } catch (const std::runtime_error &error) {
    return missing_subject(system, error.what());
  }
  subject.enqueue = [sets](int set) { (*sets)[static_cast<std::size_t>(set)].product->enqueue(); };
  subject.workspace_bytes = [sets] {
    return static_cast<double>(sets->front().product->workspace_bytes());
  };
  return subject;
}

// The conversion that such a product needs of data that are new: dense float32 A to elements.
Subject conversion_subject(const std::string &system, const Factors &factors,
                           const Device &device) {
  const CuSparse *library = CuSparse::instance(device);
  if (library == nullptr) return missing_subject(system, "not found");
  struct Set {
    AnyBuffer dense;
    std::unique_ptr<Conversion> conversion;
  };
  const BlockMatrix &matrix = factors.matrices.front();
  auto set = std::make_shared<Set>(Set{factors.a.front(), nullptr});
  try {
    set->conversion = library->conversion(set->dense, matrix.elements(device));
  } catch (const std::runtime_error &error) {
    return missing_subject(system, error.what());
  }
  Subject subject{.system = system};
  // The library counts on the host in between: it cannot be recorded.
  subject.sample_us = [set, begin = device.event(), end = device.event()] {
    begin.record();
    set->conversion->enqueue();
    end.record();
    return end.since(begin);
  };
  subject.workspace_bytes = [set] {
    return static_cast<double>(set->conversion->workspace_bytes());
  };
  return subject;
}

Problem dense_problem(Type type, std::int64_t size, const Device &device,
                      const Settings &settings) {
  Random random(settings.seed);
  const Factors factors =
      random_factors(device, settings, type, settings.small ? size / 32 : size, {}, random);
  Problem problem{.type = type, .sets = static_cast<int>(factors.a.size())};
  problem.expected = expected_product(factors, random);
  problem.subjects.push_back(
      operator_subject("pit", dense_product(type), factors, device, settings));
  problem.subjects.front().versus = {{"cuBLAS"}};
  problem.subjects.push_back(cublas_product(factors, device, random));
  return problem;
}

// A product whose factor A has zero micro-tiles of one size, and the size that is looked for.
struct Sparse {
  Type type;
  Micro zero, found;
  double zeros;
  std::int64_t size = 4096;
};

Problem sparse_problem(const Sparse &sparse, const Device &device, const Settings &settings) {
  Random random(settings.seed);
  const Pattern pattern{sparse.zero.rows, sparse.zero.columns, sparse.zeros};
  const Factors factors =
      random_factors(device, settings, sparse.type, settings.small ? sparse.size / 16 : sparse.size,
                     pattern, random);
  const BlockMatrix &first = factors.matrices.front();
  Problem problem{.type = sparse.type,
                  .micro = sparse.zero.text(),
                  .sparsity = sparse.zeros,
                  .fill = first.fill(sparse.found.rows, sparse.found.columns),
                  .sets = static_cast<int>(factors.a.size())};
  problem.expected = expected_product(factors, random);
  problem.subjects.push_back(operator_subject("pit", sparse_product(sparse.type, sparse.found),
                                              factors, device, settings));
  problem.subjects.front().versus = {{"cuBLAS"},         {"cuBLAS tf32"},  {"cuSPARSE CSR, f32"},
                                     {"cuSPARSE CSR"},   {"cuSPARSE BSR"}, {"pit dense"},
                                     {"pit dense", true}};
  problem.subjects.push_back(
      operator_subject("pit dense", dense_product(sparse.type), factors, device, settings));
  problem.subjects.push_back(cublas_product(factors, device, random));
  if (sparse.type == float32) {
    const auto expected_rounded = expected_product(factors, random, {.product = 0x1p-10});
    Subject rounded =
        operator_subject("pit tf32", tf32_product(sparse.found), factors, device, settings);
    rounded.expected = expected_rounded;
    rounded.versus = {{"cuBLAS tf32"}, {"pit"}};
    problem.subjects.push_back(std::move(rounded));
    rounded = cublas_subject(device, "cuBLAS tf32", factors.a, factors.b, true);
    rounded.expected = expected_rounded;
    problem.subjects.push_back(std::move(rounded));
  }
  // Compressed rows of elements are for few of them.
  constexpr double kFew = 0.9;
  if (sparse.zeros >= kFew) {
    problem.subjects.push_back(cusparse_subject(
        sparse.type == float32 ? "cuSPARSE CSR" : "cuSPARSE CSR, f32", factors, false, device));
    if (sparse.type == float32)
      problem.subjects.push_back(conversion_subject("cuSPARSE conversion", factors, device));
  }
  if (sparse.zero.rows > 1 && sparse.zero.rows == sparse.zero.columns)
    problem.subjects.push_back(cusparse_subject("cuSPARSE BSR", factors, true, device));
  return problem;
}

Case sparse_case(const std::string &group, const Sparse &sparse) {
  return {.name = group + "/" + sparse.zero.text() + "/" + type_name(sparse.type) + "/" +
                  percent(sparse.zeros),
          .make = [sparse](const Device &device, const Settings &settings) {
            return sparse_problem(sparse, device, settings);
          }};
}

}  // namespace

void add_dense_cases(std::vector<Case> &cases) {
  for (const std::int64_t size : {std::int64_t{4096}, std::int64_t{8192}}) {
    cases.push_back({.name = "dense/bf16/" + std::to_string(size),
                     .make = [size](const Device &device, const Settings &settings) {
                       return dense_problem(bfloat16, size, device, settings);
                     }});
  }
}

void add_spmm_cases(std::vector<Case> &cases) {
  constexpr double kZeros[] = {0, 0.5, 0.9, 0.95, 0.99};
  // A tensor core multiplies 64 rows: what is zero in 32 of them is looked for in 64.
  constexpr std::pair<Micro, Micro> kMicro[] = {{{128, 1}, {128, 1}}, {{128, 128}, {128, 128}},
                                                {{64, 64}, {64, 64}}, {{64, 1}, {64, 1}},
                                                {{32, 1}, {64, 1}},   {{1, 64}, {1, 64}}};
  for (const auto &[zero, found] : kMicro) {
    for (const double zeros : kZeros)
      cases.push_back(sparse_case("spmm", {bfloat16, zero, found, zeros}));
  }
  for (const double zeros : kZeros)
    cases.push_back(sparse_case("spmm", {float32, {32, 1}, {32, 1}, zeros}));
  cases.push_back(sparse_case("spmm-8192", {bfloat16, {128, 1}, {128, 1}, 0, 8192}));
}

}  // namespace pit::bench::cuda
