// Some rows of a matrix times another matrix, results scattered to the rows' places.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>

#include "operators.h"
#include "subjects.h"

namespace pit::bench::cuda {

namespace {

struct Sizes {
  std::int64_t rows, all, n, k;  ///< so many of all rows, times a matrix of k x n
};

constexpr Sizes kSizes[] = {{4096, 16384, 4096, 4096}, {16384, 65536, 14336, 4096},
                            {8192, 8192, 8192, 8192},  {3000, 10000, 5632, 2880},
                            {4096, 32768, 1024, 2048}, {517, 2048, 1001, 1003}};

// `count` of the numbers below `all`, in order.
std::vector<std::int32_t> some_of(std::int64_t count, std::int64_t all, Random &random) {
  std::vector<std::int32_t> chosen;
  for (std::int64_t i = 0; i < all; ++i) {
    if (random.below(all - i) >= count - static_cast<std::int64_t>(chosen.size())) continue;
    chosen.push_back(static_cast<std::int32_t>(i));
  }
  return chosen;
}

// One data set.
struct Gather {
  std::int64_t x_start = 0, w_start = 0;
  std::vector<std::int32_t> rows;
  AnyBuffer x{}, w{}, packed{};
  Inputs inputs{};
};

Gather random_gather(const Device &device, const Sizes &sizes, const Pool &pool, Random &random) {
  Gather made{.x_start = pool.start(random),
              .w_start = pool.start(random),
              .rows = some_of(sizes.rows, sizes.all, random)};
  made.x = pool.tensor(made.x_start, {sizes.all, sizes.k});
  made.w = pool.tensor(made.w_start, {sizes.k, sizes.n});
  made.packed = device.allocate(bfloat16, {sizes.rows, sizes.k});
  const std::int64_t bytes = sizes.k * bfloat16.bytes();
  const Buffer<std::uint8_t, 1> keep({sizes.all});
  for (std::size_t i = 0; i < made.rows.size(); ++i) {
    keep(made.rows[i]) = 1;
    device.copy(static_cast<char *>(made.packed.data()) + static_cast<std::int64_t>(i) * bytes,
                static_cast<const char *>(made.x.data()) + made.rows[i] * bytes, bytes);
  }
  const Buffer<std::int32_t, 1> offsets({2}, {0, static_cast<std::int32_t>(sizes.rows)});
  made.inputs = {{"X", made.x},
                 {"W", made.w},
                 {"keep", device.upload(keep)},
                 {"offsets", device.upload(offsets)},
                 {"rows", device.upload(AnyBuffer(made.rows.data(), int32, {sizes.rows}))}};
  return made;
}

// Of row `row` of the product of the packed rows, at row `place` of an output. `parts`: see
// Rounding.
Expected expected_element(const Pool &pool, const Sizes &sizes, const Gather &data,
                          std::int64_t row, std::int64_t column, std::int64_t place, bool parts) {
  const std::int64_t i = data.rows[static_cast<std::size_t>(row)];
  Expected expected = expected_sum(
      i, column,
      [&](std::int64_t r, std::int64_t k) { return *pool.numbers(data.x_start + r * sizes.k + k); },
      [&](std::int64_t k, std::int64_t n) { return *pool.numbers(data.w_start + k * sizes.n + n); },
      {.length = sizes.k, .output = bfloat16, .parts = parts});
  expected.at = {place, column};
  return expected;
}

Problem gather_problem(Sizes sizes, const Device &device, const Settings &settings) {
  if (settings.small) {
    for (std::int64_t *size : {&sizes.rows, &sizes.all, &sizes.n, &sizes.k})
      *size = std::max<std::int64_t>(*size / 16, 1);
  }
  Random random(settings.seed);
  const auto pool = std::make_shared<Pool>(device, bfloat16, random);
  const std::int64_t bytes = 2 * (sizes.rows * sizes.k + sizes.k * sizes.n + sizes.rows * sizes.n),
                     held = 2 * (sizes.all * sizes.k + sizes.k * sizes.n + sizes.all * sizes.n);
  Problem problem{.type = bfloat16,
                  .sets = sets_past_cache({.used = bytes, .held = held}, device, settings)};
  problem.sparsity = 1 - static_cast<double>(sizes.rows) / static_cast<double>(sizes.all);
  const auto data = std::make_shared<std::vector<Gather>>();
  std::vector<Inputs> inputs;
  std::vector<AnyBuffer> packed, w;
  for (int i = 0; i < problem.sets; ++i) {
    const Gather &set = data->emplace_back(random_gather(device, sizes, *pool, random));
    inputs.push_back(set.inputs);
    packed.push_back(set.packed);
    w.push_back(set.w);
  }

  const auto samples = sampled(sizes.rows, sizes.n, random);
  problem.expected = [=](int set) {
    const Gather &chosen = (*data)[static_cast<std::size_t>(set)];
    std::vector<Expected> expected;
    for (const auto &[row, column] : samples) {
      const std::int64_t place = chosen.rows[static_cast<std::size_t>(row)];
      expected.push_back(expected_element(*pool, sizes, chosen, row, column, place, false));
      const bool next_is_kept = std::binary_search(chosen.rows.begin(), chosen.rows.end(),
                                                   static_cast<std::int32_t>(place + 1));
      if (place + 1 < sizes.all && !next_is_kept)
        expected.push_back({{place + 1, column}, std::numeric_limits<double>::quiet_NaN(), 0});
    }
    return expected;
  };

  const Shape extents{sizes.all, sizes.n};
  const std::vector<Versus> versus{{"cuBLAS, packed rows"}, {"pit dense"}, {"pit dense", true}};
  const auto add = [&](const std::string &system, Rows rows, const Settings &own) {
    problem.subjects.push_back(
        pit_subject(system, std::make_shared<const Operator>(gathered_rows(rows), device, own,
                                                             inputs, bfloat16, extents)));
    problem.subjects.back().versus = versus;
  };
  add("pit", Rows::Marked, settings);
  add("pit, rows given", Rows::Given, settings);
  Settings believing = settings;
  believing.target = settings.target.with("no_asserts");
  add("pit, rows given, no asserts", Rows::Given, believing);

  Subject cublas = cublas_subject(device, "cuBLAS, packed rows", packed, w);
  cublas.expected = [=](int set) {
    const Gather &chosen = (*data)[static_cast<std::size_t>(set)];
    std::vector<Expected> expected;
    for (const auto &[row, column] : samples)
      expected.push_back(expected_element(*pool, sizes, chosen, row, column, row, true));
    return expected;
  };
  problem.subjects.push_back(std::move(cublas));
  if (sizes.rows == sizes.all) {
    std::vector<Inputs> factors;
    for (const Gather &set : *data) factors.push_back({{"A", set.x}, {"B", set.w}});
    problem.subjects.push_back(pit_subject(
        "pit dense", std::make_shared<const Operator>(dense_product(bfloat16), device, settings,
                                                      factors, bfloat16, extents)));
  }
  return problem;
}

}  // namespace

void add_gather_cases(std::vector<Case> &cases) {
  for (const Sizes &sizes : kSizes) {
    cases.push_back({.name = "gather/" + std::to_string(sizes.rows) + "of" +
                             std::to_string(sizes.all) + "-n" + std::to_string(sizes.n) + "-k" +
                             std::to_string(sizes.k),
                     .make = [sizes](const Device &device, const Settings &settings) {
                       return gather_problem(sizes, device, settings);
                     }});
  }
}

}  // namespace pit::bench::cuda
