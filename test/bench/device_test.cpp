// The benchmark's part for CUDA devices, as far as it shows without one.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "apps/bench/cuda/case.h"
#include "apps/bench/cuda/data.h"
#include "apps/bench/cuda/driver.h"
#include "apps/bench/cuda/operators.h"
#include "apps/bench/cuda/subjects.h"
#include "apps/bench/report.h"
#include "apps/program/command_line.h"
#include "codegen/cuda/placement.h"
#include "codegen/emit/listing.h"
#include "codegen/lower/lower.h"
#include "test/harness.h"

using namespace pit::bench;
using pit::Pipeline;
using pit::test::Engine;

namespace {

// Both back ends' loops on small integers, whose sums are exact: a schedule changes nothing.
void check_operator(const Pipeline &pipeline, const pit::test::Problem &problem,
                    const std::vector<Engine> &engines = {Engine::CudaTileInterpreter,
                                                          Engine::Compiled}) {
  for (const Engine engine : engines) {
    const pit::test::Comparison result = pit::test::check(pipeline, problem, engine, true);
    CAPTURE(pipeline.name());
    CHECK_MESSAGE(result.different == 0, result.first);
    CHECK(result.elements > 0);
  }
}

pit::test::Problem product(pit::Type type, double zeros) {
  std::mt19937 generator(1);
  pit::test::Problem problem;
  problem.inputs.emplace("A", pit::test::random_values(type, {70, 130}, generator, true, zeros));
  problem.inputs.emplace("B", pit::test::random_values(type, {130, 20}, generator, true));
  problem.outputs.emplace("Out", pit::Shape{70, 20});
  return problem;
}

pit::AnyBuffer integers(const std::vector<std::int32_t> &values) {
  const pit::Buffer<std::int32_t, 1> buffer({static_cast<std::int64_t>(values.size())});
  std::copy(values.begin(), values.end(), buffer.data());
  return buffer;
}

}  // namespace

TEST_CASE("the device's cases have names of their own") {
  const std::vector<std::string> names = cuda::case_names();
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
  int with_target = 0;
  for (const std::string &name : names) with_target += has_target(name, true) ? 1 : 0;
  CHECK(with_target > 20);
  CHECK(!has_target("spmm/64x1/bf16/0%", true));
  CHECK(has_target("spmm/64x1/f32/95%", false));
}

TEST_CASE("every target of the device is about a case") {
  const std::vector<std::string> names = cuda::case_names();
  for (const std::string &pattern : target_cases(true)) {
    CAPTURE(pattern);
    CHECK(std::any_of(names.begin(), names.end(), [&](const std::string &name) {
      return pit::program::matches(pattern, name);
    }));
  }
}

TEST_CASE("the device's products are products") {
  check_operator(cuda::dense_product(pit::bfloat16), product(pit::bfloat16, 0));
  for (const cuda::Micro &micro : {cuda::Micro{128, 1}, cuda::Micro{32, 1}, cuda::Micro{64, 64},
                                   cuda::Micro{128, 128}, cuda::Micro{1, 64}}) {
    check_operator(cuda::sparse_product(pit::bfloat16, micro), product(pit::bfloat16, 0.99));
  }
  check_operator(cuda::sparse_product(pit::float32, {32, 1}), product(pit::float32, 0.9));
  // Its atom is one of CUDA's: compiled where PIT_TEST_TARGET names a device.
  std::vector<Engine> engines{Engine::CudaTileInterpreter};
  if (pit::test::target_under_test().is_cuda()) engines.push_back(Engine::Compiled);
  check_operator(cuda::tf32_product({32, 1}), product(pit::float32, 0.9), engines);
}

TEST_CASE("the device's operators on chosen rows leave the other rows alone") {
  std::mt19937 generator(2);
  pit::test::Problem problem;
  problem.inputs.emplace("X", pit::test::random_values(pit::bfloat16, {9, 70}, generator, true));
  problem.inputs.emplace("W", pit::test::random_values(pit::bfloat16, {70, 12}, generator, true));
  const pit::Buffer<std::uint8_t, 1> keep({9}, {0, 1, 1, 0, 0, 0, 1, 0, 1});
  problem.inputs.emplace("keep", keep);
  problem.outputs.emplace("Y", pit::Shape{9, 12});
  check_operator(cuda::gathered_rows(cuda::Rows::Marked), problem);
  problem.inputs.emplace("offsets", integers({0, 4}));
  problem.inputs.emplace("rows", integers({1, 2, 6, 8}));
  check_operator(cuda::gathered_rows(cuda::Rows::Given), problem);
}

TEST_CASE("the device's layers of experts add what each expert makes of a token") {
  std::mt19937 generator(3);
  const auto random = [&](pit::Type type, const pit::Shape &extents) {
    return pit::test::random_values(type, extents, generator, true);
  };
  pit::test::Problem problem;
  problem.inputs.emplace("X", random(pit::bfloat16, {6, 5}));
  problem.inputs.emplace("W1", random(pit::bfloat16, {3, 5, 7}));
  problem.inputs.emplace("W2", random(pit::bfloat16, {3, 7, 5}));
  problem.outputs.emplace("Out", pit::Shape{6, 5});
  pit::test::Problem one_slot = problem;
  one_slot.inputs.emplace("id", integers({2, 0, 0, 1, 2, 2}));
  one_slot.inputs.emplace("weight", random(pit::float32, {6}));
  check_operator(cuda::switch_experts(), one_slot);

  problem.inputs.emplace("W3", random(pit::bfloat16, {3, 5, 7}));
  problem.inputs.emplace("id", integers({2, 0, 0, 1, 2, 1, 1, 0, 0, 2, 1, 2}).reshaped({6, 2}));
  problem.inputs.emplace("weight", random(pit::float32, {6, 2}));
  for (const Engine engine : {Engine::CudaTileInterpreter, Engine::Compiled}) {
    const pit::test::Comparison result =
        pit::test::check(cuda::gated_experts(2), problem, engine, false);
    CHECK_MESSAGE(result.different == 0, result.first);
  }
}

TEST_CASE("the sums whose index is timed are those of the rows") {
  std::mt19937 generator(4);
  pit::test::Problem problem;
  problem.inputs.emplace("A",
                         pit::test::random_values(pit::bfloat16, {66, 130}, generator, true, 0.9));
  problem.outputs.emplace("Out", pit::Shape{66});
  for (const cuda::Micro &micro :
       {cuda::Micro{64, 64}, cuda::Micro{32, 1}, cuda::Micro{1, 64}, cuda::Micro{1, 1}}) {
    check_operator(cuda::indexed_sum(micro, true), problem);
    check_operator(cuda::indexed_sum(micro, false), problem);
  }
}

TEST_CASE("a graph without some kernels leaves out what they do") {
  std::optional<cuda::Device> device;
  try {
    device.emplace();
  } catch (const cuda::NoDevice &error) {
    MESSAGE("skipped: " << std::string(error.what()));
    return;
  }
  constexpr std::int64_t kSize = 256;
  std::mt19937 generator(5);
  const pit::AnyBuffer a =
      pit::test::random_values(pit::bfloat16, {kSize, kSize}, generator, true, 0.9);
  const pit::Pipeline pipeline = cuda::indexed_sum({32, 1}, true);
  const cuda::Operator sums(pipeline, *device, {.target = device->target()},
                            {{{"A", device->upload(a)}}}, pit::float32, {kSize});
  const pit::AnyBuffer &out = sums.outputs().front();
  sums.enqueue(0);  // what is loaded or compiled at the first call is so before it is recorded
  const cuda::Graph all = device->record([&] { sums.enqueue(0); });
  const std::string of_index = cuda::index_kernels(pipeline);
  const cuda::Graph index =
      device->record([&] { sums.enqueue(0); },
                     [&](const std::string &kernel) { return kernel.starts_with(of_index); });
  CHECK(index.kernels() == 2);
  CHECK(all.kernels() > index.kernels());

  const pit::Buffer<float, 1> got({kSize});
  const auto run = [&](const cuda::Graph &graph) {
    device->fill(out, 0xFF);
    graph.replay();
    device->download(got.data(), out.data(), kSize * pit::float32.bytes());
    pit::check(device->stream());
  };
  run(index);
  for (std::int64_t m = 0; m < kSize; ++m) CHECK(std::isnan(got(m)));
  run(all);
  for (std::int64_t m = 0; m < kSize; ++m) {
    double sum = 0;
    for (std::int64_t k = 0; k < kSize; ++k) sum += a.number(pit::Shape{m, k});
    CHECK(static_cast<double>(got(m)) == sum);
  }
}

TEST_CASE("the device's operators compile for tensor cores of both generations") {
  for (const char *target : {"x86-64-linux-cuda-sm_80", "x86-64-linux-cuda-sm_90a"}) {
    CHECK_NOTHROW(cuda::dense_product(pit::bfloat16).compile(target));
    CHECK_NOTHROW(cuda::sparse_product(pit::bfloat16, {128, 1}).compile(target));
    CHECK_NOTHROW(cuda::gathered_rows(cuda::Rows::Given).compile(target));
    CHECK_NOTHROW(cuda::gated_experts(8).compile(target));
    CHECK_NOTHROW(cuda::switch_experts().compile(target));
  }
}

TEST_CASE("what rounding may do to a sum grows with its length and its terms") {
  const cuda::Rounding sum{.length = 4096, .output = pit::float32};
  CHECK(sum.allowed(0, 100) == doctest::Approx(64 * 0x1p-23 * 100));
  const cuda::Rounding stored{.length = 4096, .output = pit::bfloat16};
  CHECK(stored.allowed(256, 0) == doctest::Approx(1.0625));
  const cuda::Rounding parts{.length = 4096, .output = pit::bfloat16, .parts = true};
  CHECK(parts.allowed(0, 64) == doctest::Approx(64 * 64 * 0x1p-23 + 4 * 0x1.1p-8));
  const Expected expected = cuda::expected_sum(
      2, 3, [](std::int64_t m, std::int64_t k) { return static_cast<double>(m + k); },
      [](std::int64_t k, std::int64_t n) { return static_cast<double>(n - k); },
      {.length = 5, .output = pit::float32});
  // 2*3 + 3*2 + 4*1 + 5*0 + 6*-1
  CHECK(expected.value == 10);
  CHECK(expected.at == pit::Shape{2, 3});
  CHECK(expected.allowed == doctest::Approx(std::sqrt(5) * 0x1p-23 * 22 + 10 * 0x1p-23));
}

TEST_CASE("samples of a matrix are inside and have its corners") {
  Random random(7);
  const auto places = cuda::sampled(3, 1000, random);
  CHECK(places.size() > 100);
  CHECK(std::find(places.begin(), places.end(), std::pair<std::int64_t, std::int64_t>{2, 999}) !=
        places.end());
  for (const auto &[row, column] : places) {
    CHECK((row >= 0 && row < 3));
    CHECK((column >= 0 && column < 1000));
  }
}

TEST_CASE("data sets are four times as large as the cache, and at most 64 or 16 GB") {
  constexpr std::int64_t kCache = 50 << 20, kGiga = 1 << 30;
  CHECK(cuda::sets_past_cache({.used = 4 * kGiga}, kCache) == 1);
  CHECK(cuda::sets_past_cache({.used = 200 << 20}, kCache) == 1);
  CHECK(cuda::sets_past_cache({.used = (200 << 20) - 1}, kCache) == 2);
  CHECK(cuda::sets_past_cache({.used = 4 << 20}, kCache) == 50);
  CHECK(cuda::sets_past_cache({.used = 1}, kCache) == 64);
  CHECK(cuda::sets_past_cache({.used = 4 << 20, .held = kGiga}, kCache) == 16);
  CHECK(cuda::sets_past_cache({.used = 4 << 20, .held = 20 * kGiga}, kCache) == 1);
}

TEST_CASE("the kernels of an index alone are told from those of the sums behind it") {
  // A sort of keys has three kernels, in order or not, and one that finds them before it.
  struct Row {
    pit::Pipeline pipeline;
    std::size_t of_index;
  };
  const Row rows[] = {{cuda::indexed_sum({32, 1}, true), 2},
                      {cuda::indexed_sum({32, 1}, false), 2},
                      {cuda::routed_rows(true), 4},
                      {cuda::routed_rows(false), 4}};
  for (const auto &[pipeline, expected] : rows) {
    CAPTURE(pipeline.name());
    for (const char *target : {"x86-64-linux-cuda-sm_80", "x86-64-linux-cuda-sm_90a"}) {
      const pit::ir::Module module = pit::lower::lower(pipeline, pit::Target(target));
      const pit::emit::Ptx ptx =
          pit::emit::ptx_of(module, pit::cuda::device_of(pit::Target(target)));
      std::set<std::string> of_index, others;
      for (const std::string &kernel : ptx.kernels)
        (kernel.starts_with(cuda::index_kernels(pipeline)) ? of_index : others).insert(kernel);
      CHECK(of_index.size() == expected);
      CHECK(others.size() == 3);
    }
  }
}
