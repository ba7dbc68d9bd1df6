// Emitted operators through their C interface: a program with the runtime and without a compiler.
#include <block_attention.h>
#include <doctest/doctest.h>
#include <moe.h>
#include <pit_cuda.h>
#include <pit_runtime.h>
#include <spmm.h>
#include <spmm_cuda.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

std::uint16_t bfloat16(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float number(std::uint16_t value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value) << 16;
  float result = 0;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

constexpr DLDataType kBfloat16{kDLBfloat, 16, 1}, kFloat{kDLFloat, 32, 1}, kInt{kDLInt, 32, 1},
    kByte{kDLUInt, 8, 1};

/// A row-major tensor of the host with its memory.
template <class T>
struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<T> data;
  DLTensor tensor{};

  Tensor(DLDataType type, std::vector<std::int64_t> extents) : shape(std::move(extents)) {
    std::int64_t size = 1;
    for (const std::int64_t extent : shape) size *= extent;
    data.resize(static_cast<std::size_t>(size));
    tensor.data = data.data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = static_cast<int>(shape.size());
    tensor.dtype = type;
    tensor.shape = shape.data();
  }
  Tensor(const Tensor &) = delete;
  Tensor &operator=(const Tensor &) = delete;
  T &operator()(std::int64_t i, std::int64_t j) {
    return data[static_cast<std::size_t>(i * shape[1] + j)];
  }
  const DLTensor *operator&() const { return &tensor; }  // NOLINT: what operators take
};

using Half = Tensor<std::uint16_t>;

/// Small whole numbers, whose products and sums are exact; `zeros` of them are 0.
void fill(std::vector<std::uint16_t> *data, unsigned seed, double zeros = 0) {
  std::mt19937 generator(seed);
  std::bernoulli_distribution zero(zeros);
  std::uniform_int_distribution<int> value(-2, 2);
  for (std::uint16_t &v : *data)
    v = bfloat16(zero(generator) ? 0.F : static_cast<float>(value(generator)));
}

struct Product {
  Half a{kBfloat16, {100, 70}}, b{kBfloat16, {70, 50}}, out{kBfloat16, {100, 50}};
  Tensor<float> bias{kFloat, {50}};

  explicit Product(unsigned seed = 1) {
    fill(&a.data, seed, 0.9);
    fill(&b.data, seed + 1);
    for (std::size_t i = 0; i < bias.data.size(); ++i) bias.data[i] = static_cast<float>(i % 3);
    poison();
  }
  void poison() { std::memset(out.data.data(), 0xff, out.data.size() * 2); }
  std::int64_t wrong() {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < 100; ++i) {
      for (std::int64_t j = 0; j < 50; ++j) {
        float sum = bias.data[static_cast<std::size_t>(j)];
        for (std::int64_t k = 0; k < 70; ++k) sum += number(a(i, k)) * number(b(k, j));
        count += number(out(i, j)) == number(bfloat16(std::max(sum, 0.F))) ? 0 : 1;
      }
    }
    return count;
  }
  bool untouched() const {
    for (const std::uint16_t v : out.data) {
      if (v != 0xffff) return false;
    }
    return true;
  }
};

TEST_CASE("library: no compiler is in the address space") {
  std::ifstream maps("/proc/self/maps");
  std::string line, all;
  while (std::getline(maps, line)) all += line + "\n";
  REQUIRE(all.find("libc") != std::string::npos);
  CHECK(all.find("LLVM") == std::string::npos);
  CHECK(all.find("tbb") == std::string::npos);
}

TEST_CASE("library: a sparse product is right, for any layout of its tensors") {
  Product p;
  CHECK(spmm(&p.a, &p.b, &p.bias, &p.out, nullptr) == PIT_OK);
  CHECK(p.wrong() == 0);
  // B by columns.
  Half columns(kBfloat16, {50, 70});
  for (std::int64_t k = 0; k < 70; ++k) {
    for (std::int64_t n = 0; n < 50; ++n) columns(n, k) = p.b(k, n);
  }
  DLTensor b = columns.tensor;
  std::int64_t shape[] = {70, 50}, strides[] = {1, 70};
  b.shape = shape;
  b.strides = strides;
  p.poison();
  CHECK(spmm(&p.a, &b, &p.bias, &p.out, nullptr) == PIT_OK);
  CHECK(p.wrong() == 0);
}

TEST_CASE("library: a mixture of experts and block-sparse attention are right") {
  constexpr std::int64_t kTokens = 37, kExperts = 5, kIn = 24, kHidden = 40;
  Half x(kBfloat16, {kTokens, kIn}), w1(kBfloat16, {kExperts, kIn, kHidden}),
      w3(kBfloat16, {kExperts, kIn, kHidden}), w2(kBfloat16, {kExperts, kHidden, kIn}),
      out(kBfloat16, {kTokens, kIn});
  Tensor<std::int32_t> expert(kInt, {kTokens, 2});
  Tensor<float> weight(kFloat, {kTokens, 2});
  fill(&x.data, 1);
  for (std::uint16_t &value : x.data) value = bfloat16(number(value) / 16);
  fill(&w1.data, 2);
  fill(&w3.data, 3);
  fill(&w2.data, 4);
  std::mt19937 generator(5);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    expert(t, 0) = static_cast<std::int32_t>(generator() % kExperts);
    expert(t, 1) = (expert(t, 0) + 1) % static_cast<std::int32_t>(kExperts);
    weight(t, 0) = 0.75F;
    weight(t, 1) = 0.25F;
  }
  CHECK(moe(&x, &expert, &weight, &w1, &w3, &w2, &out, nullptr) == PIT_OK);
  double worst = 0;
  const auto of = [](Half &w, std::int64_t e, std::int64_t i, std::int64_t j) {
    return static_cast<double>(
        number(w.data[static_cast<std::size_t>((e * w.shape[1] + i) * w.shape[2] + j)]));
  };
  for (std::int64_t t = 0; t < kTokens; ++t) {
    std::vector<double> sum(kIn);
    for (std::int64_t s = 0; s < 2; ++s) {
      const std::int64_t e = expert(t, s);
      for (std::int64_t h = 0; h < kHidden; ++h) {
        double gate = 0, up = 0;
        for (std::int64_t c = 0; c < kIn; ++c) {
          gate += number(x(t, c)) * of(w1, e, c, h);
          up += number(x(t, c)) * of(w3, e, c, h);
        }
        const double hidden = gate / (1 + std::exp(-gate)) * up;
        for (std::int64_t d = 0; d < kIn; ++d)
          sum[static_cast<std::size_t>(d)] +=
              static_cast<double>(weight(t, s)) * hidden * of(w2, e, h, d);
      }
    }
    for (std::int64_t d = 0; d < kIn; ++d) {
      const double wanted = sum[static_cast<std::size_t>(d)];
      worst = std::max(worst, std::abs(static_cast<double>(number(out(t, d))) - wanted) /
                                  (1 + std::abs(wanted)));
    }
  }
  CHECK(worst < 0.05);  // hidden values and results are bfloat16

  constexpr std::int64_t kLength = 130, kChannels = 16;
  Half q(kBfloat16, {2, kLength, kChannels}), k(kBfloat16, {2, kLength, kChannels}),
      v(kBfloat16, {2, kLength, kChannels}), o(kBfloat16, {2, kLength, kChannels});
  Tensor<std::uint8_t> mask(kByte, {2, 3, 3});
  fill(&q.data, 6);
  fill(&k.data, 7);
  fill(&v.data, 8);
  for (std::size_t i = 0; i < mask.data.size(); ++i) mask.data[i] = i % 4 != 3 || i % 9 % 4 == 0;
  CHECK(block_attention(&q, &k, &v, &mask, 0.25F, &o, nullptr) == PIT_OK);
  const auto at = [](Half &tensor, std::int64_t h, std::int64_t i, std::int64_t d) {
    return static_cast<double>(
        number(tensor.data[static_cast<std::size_t>((h * kLength + i) * kChannels + d)]));
  };
  double error = 0;
  for (std::int64_t h = 0; h < 2; ++h) {
    for (std::int64_t i = 0; i < kLength; ++i) {
      std::vector<double> sum(kChannels);
      double total = 0;
      for (std::int64_t j = 0; j <= i; ++j) {
        if (!mask.data[static_cast<std::size_t>(h * 9 + i / 64 * 3 + j / 64)]) continue;
        double score = 0;
        for (std::int64_t c = 0; c < kChannels; ++c) score += at(q, h, i, c) * at(k, h, j, c);
        const double share = std::exp(0.25 * score);
        total += share;
        for (std::int64_t d = 0; d < kChannels; ++d)
          sum[static_cast<std::size_t>(d)] += share * at(v, h, j, d);
      }
      for (std::int64_t d = 0; d < kChannels && total > 0; ++d)
        error =
            std::max(error, std::abs(at(o, h, i, d) - sum[static_cast<std::size_t>(d)] / total));
    }
  }
  CHECK(error < 0.03);
}

TEST_CASE("library: wrong arguments are named, and nothing is written") {
  struct Case {
    const char *name;
    std::function<void(DLTensor *a, DLTensor *bias, DLTensor *out)> change;
    std::int32_t status;
    const char *part;
  };
  static std::int64_t shape3[] = {100, 70, 1}, negative[] = {-1, 70}, narrow[] = {99, 70},
                      zero[] = {0, 1};
  const std::vector<Case> cases = {
      {"rank", [](auto *a, auto *, auto *) { a->ndim = 3, a->shape = shape3; }, PIT_ERROR_ARGUMENT,
       "operator spmm: argument 1 'A': wrong rank; expected 2; got 3, extents (100, 70, 1)"},
      {"type", [](auto *a, auto *, auto *) { a->dtype = kFloat; }, PIT_ERROR_ARGUMENT,
       "operator spmm: argument 1 'A': wrong element type; expected bfloat16; got float32"},
      {"negative", [](auto *a, auto *, auto *) { a->shape = negative; }, PIT_ERROR_ARGUMENT,
       "argument 1 'A': negative extent"},
      {"shape", [](auto *a, auto *, auto *) { a->shape = narrow; }, PIT_ERROR_DATA,
       "operator spmm: "},
      {"stride", [](auto *, auto *, auto *out) { out->strides = zero; }, PIT_ERROR_ARGUMENT,
       "argument 4 'Out': elements of an output overlap"},
      {"null data", [](auto *, auto *bias, auto *) { bias->data = nullptr; }, PIT_ERROR_ARGUMENT,
       "argument 3 'bias': null data"},
      {"null shape", [](auto *, auto *bias, auto *) { bias->shape = nullptr; }, PIT_ERROR_ARGUMENT,
       "argument 3 'bias': null shape"},
      {"device", [](auto *, auto *bias, auto *) { bias->device = {kDLCUDA, 0}; },
       PIT_ERROR_ARGUMENT, "argument 3 'bias': not in the host's memory"},
      {"overlap", [](auto *a, auto *, auto *out) { out->data = a->data; }, PIT_ERROR_ARGUMENT,
       "argument 4 'Out': overlaps argument 1 'A'"},
  };
  for (const Case &c : cases) {
    CAPTURE(c.name);
    Product p;
    DLTensor a = p.a.tensor, bias = p.bias.tensor, out = p.out.tensor;
    c.change(&a, &bias, &out);
    CHECK(spmm(&a, &p.b, &bias, &out, nullptr) == c.status);
    CHECK(std::string(pit_last_error()).find(c.part) != std::string::npos);
    CHECK(p.untouched());
    CHECK(spmm(&p.a, &p.b, &p.bias, &p.out, nullptr) == PIT_OK);
    CHECK(p.wrong() == 0);
  }
  Product p;
  CHECK(spmm(&p.a, nullptr, &p.bias, &p.out, nullptr) == PIT_ERROR_ARGUMENT);
  CHECK(std::string(pit_last_error()).find("argument 2 'B': is a tensor") != std::string::npos);
}

TEST_CASE("library: an operator for CUDA alone says that the host has no code") {
  Product p;
  CHECK(spmm_cuda(&p.a, &p.b, &p.bias, &p.out, nullptr) == PIT_ERROR_DEVICE);
  CHECK(std::string(pit_last_error()) ==
        "operator spmm_cuda: it has no code for the host, where its tensors are; compile it for a "
        "host target, too, or copy the tensors to a CUDA device");
  CHECK(p.untouched());
}

TEST_CASE("library: an operator of another version is refused") {
  pit_operator other = pit_operator_spmm;
  other.abi_version = PIT_ABI_VERSION + 1;
  const DLTensor *none[] = {nullptr, nullptr, nullptr, nullptr};
  CHECK(pit_operator_call(&other, none, nullptr, nullptr) == PIT_ERROR_VERSION);
  CHECK(std::string(pit_last_error()).find("from one release") != std::string::npos);
  CHECK(pit_abi_version() == PIT_ABI_VERSION);
}

TEST_CASE("library: what an operator takes can be read") {
  const pit_operator &op = pit_operator_block_attention;
  CHECK(std::string(op.name) == "block_attention");
  REQUIRE(op.argument_count == 6);
  CHECK(std::string(op.arguments[4].name) == "scale");
  CHECK(op.arguments[4].kind == PIT_SCALAR);
  CHECK(op.arguments[5].kind == PIT_OUTPUT);
  CHECK(op.arguments[3].rank == 3);
  CHECK(op.arguments[3].type.code == kDLUInt);
  // The best for its kind comes first.
  REQUIRE(pit_operator_spmm.code_count == 3);
  CHECK(std::string(pit_operator_spmm.codes[0].target) == "x86-64-linux-avx512");
  CHECK(std::string(pit_operator_spmm.codes[2].cpu_features).empty());
  const pit_code *code = pit_operator_code(&pit_operator_spmm, {kDLCPU, 0});
  REQUIRE(code != nullptr);
  const std::string features = pit_cpu_features();
  const char *wanted = features.find("avx512") != std::string::npos ? "x86-64-linux-avx512"
                       : features.find("avx2") != std::string::npos ? "x86-64-linux-avx2"
                                                                    : "x86-64-linux";
  CHECK(std::string(code->target) == wanted);
}

TEST_CASE("library: memory, threads, errors and measurements are the caller's, if it wants") {
  struct Counts {
    std::atomic<int> allocated = 0, released = 0, loops = 0, errors = 0;
  } counts;
  pit_statistics statistics;
  pit_options options{};
  options.allocate_user = options.parallel_user = &counts;
  options.allocate = [](void *user, std::size_t bytes) {
    ++static_cast<Counts *>(user)->allocated;
    return std::aligned_alloc(64, (bytes + 64) / 64 * 64);
  };
  options.release = [](void *user, void *memory) {
    ++static_cast<Counts *>(user)->released;
    std::free(memory);  // NOLINT: of aligned_alloc
  };
  options.parallel = [](void *user, std::int64_t n, pit_loop_body body, void *closure) {
    ++static_cast<Counts *>(user)->loops;
    for (std::int64_t i = 0; i < n; ++i) body(closure, i);
  };
  options.statistics = &statistics;
  Product p;
  CHECK(spmm(&p.a, &p.b, &p.bias, &p.out, &options) == PIT_OK);
  CHECK(p.wrong() == 0);
  CHECK(counts.allocated > 0);
  CHECK(counts.allocated == counts.released);
  CHECK(counts.loops > 0);
  CHECK(statistics.total >= statistics.index + statistics.compute);
  CHECK(statistics.compute > 0);
  CHECK(statistics.peak_workspace_bytes > 0);
  REQUIRE(statistics.code != nullptr);
  CHECK(statistics.code->stage_count > 0);

  options.allocate = [](void *, std::size_t) -> void * { return nullptr; };
  p.poison();
  pit_set_error_handler(
      [](void *user, std::int32_t status, const char *message) {
        static_cast<Counts *>(user)->errors += status == PIT_ERROR_MEMORY && *message != 0;
      },
      &counts);
  CHECK(spmm(&p.a, &p.b, &p.bias, &p.out, &options) == PIT_ERROR_MEMORY);
  pit_set_error_handler(nullptr, nullptr);
  CHECK(counts.errors == 1);
  CHECK(std::string(pit_last_error()).find("operator spmm: no memory for a workspace of") == 0);
}

TEST_CASE("library: threads call one operator at once") {
  std::atomic<std::int64_t> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; ++t) {
    threads.emplace_back([t, &wrong] {
      Product p(t + 10);
      for (int i = 0; i < 20; ++i) {
        p.poison();
        if (spmm(&p.a, &p.b, &p.bias, &p.out, nullptr) != PIT_OK) ++wrong;
        wrong += p.wrong();
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
  CHECK(wrong == 0);
}

}  // namespace
