// Emitted operators through their C interface: a program with the runtime and without a compiler.
#include <block_attention.h>
#include <doctest/doctest.h>
#include <increment.h>
#include <moe.h>
#include <pit_cuda.h>
#include <spmm.h>
#include <spmm_cuda.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>

#include "operators.h"

using namespace library;

namespace {

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
  Experts e;
  CHECK(moe(&e.x, &e.expert, &e.weight, &e.w1, &e.w3, &e.w2, &e.out, nullptr) == PIT_OK);
  CHECK(e.wrong() == 0);
  Attention a;
  CHECK(block_attention(&a.q, &a.k, &a.v, &a.mask, a.scale, &a.out, nullptr) == PIT_OK);
  CHECK(a.wrong() == 0);
}

// What a call is made of, to be spoiled.
struct Arguments {
  DLTensor a, b, bias, out;
  const DLTensor *tensors[4] = {&a, &b, &bias, &out};
  pit_options options{};
  const pit_operator *op = &pit_operator_spmm;

  explicit Arguments(const Product &p)
      : a(p.a.tensor), b(p.b.tensor), bias(p.bias.tensor), out(p.out.tensor) {}
};

TEST_CASE("library: what is wrong with a call is named, and nothing is written") {
  struct Row {
    const char *name;
    std::function<void(Arguments *)> spoil;
    std::int32_t status;
    const char *part;
  };
  static std::int64_t shape3[] = {100, 70, 1}, negative[] = {-1, 70}, narrow[] = {99, 70},
                      zero[] = {0, 1};
  alignas(64) static char memory[256];
  // A driver that opens knows whether memory is the device's.
  const bool has_device = pit_cuda_device_count() > 0;
  const auto on_device = [](Arguments *x) {
    for (DLTensor *t : {&x->a, &x->b, &x->bias, &x->out}) t->device = {kDLCUDA, 0};
  };
  const Row rows[] = {
      {"rank", [](auto *x) { x->a.ndim = 3, x->a.shape = shape3; }, PIT_ERROR_ARGUMENT,
       "operator spmm: argument 1 'A': wrong rank; expected 2; got 3, extents (100, 70, 1)"},
      {"type", [](auto *x) { x->a.dtype = kFloat; }, PIT_ERROR_ARGUMENT,
       "operator spmm: argument 1 'A': wrong element type; expected bfloat16; got float32"},
      {"negative extent", [](auto *x) { x->a.shape = negative; }, PIT_ERROR_ARGUMENT,
       "operator spmm: argument 1 'A': negative extent"},
      {"shape", [](auto *x) { x->a.shape = narrow; }, PIT_ERROR_DATA,
       "operator spmm: Out reads input 'A' at 0 to 99 in dimension 0, which goes from 0 to 98"},
      {"stride", [](auto *x) { x->out.strides = zero; }, PIT_ERROR_ARGUMENT,
       "operator spmm: argument 4 'Out': elements of an output overlap"},
      {"null tensor", [](auto *x) { x->tensors[1] = nullptr; }, PIT_ERROR_ARGUMENT,
       "operator spmm: argument 2 'B': is a tensor"},
      {"null data", [](auto *x) { x->bias.data = nullptr; }, PIT_ERROR_ARGUMENT,
       "operator spmm: argument 3 'bias': null data"},
      {"null shape", [](auto *x) { x->bias.shape = nullptr; }, PIT_ERROR_ARGUMENT,
       "operator spmm: argument 3 'bias': null shape"},
      {"one tensor on a device", [](auto *x) { x->bias.device = {kDLCUDA, 0}; }, PIT_ERROR_ARGUMENT,
       "operator spmm: argument 3 'bias': not in the host's memory"},
      {"overlap", [](auto *x) { x->out.data = x->a.data; }, PIT_ERROR_ARGUMENT,
       "operator spmm: argument 4 'Out': overlaps argument 1 'A'"},
      {"no code for the device", on_device, PIT_ERROR_DEVICE,
       "operator spmm: it has no code for CUDA, where its tensors are; compile it for a CUDA "
       "target, too, or copy the tensors to the host"},
      {"no code for the host", [](auto *x) { x->op = &pit_operator_spmm_cuda; }, PIT_ERROR_DEVICE,
       "operator spmm_cuda: it has no code for the host, where its tensors are; compile it for a "
       "host target, too, or copy the tensors to a CUDA device"},
      {"no device", [&](auto *x) { on_device(x), x->op = &pit_operator_spmm_cuda; },
       PIT_ERROR_DEVICE, "operator spmm_cuda: "},
      {"small workspace",
       [](auto *x) { x->options.workspace = memory, x->options.workspace_bytes = sizeof memory; },
       PIT_ERROR_MEMORY, "operator spmm: its workspace has 256 bytes, and these tensors need "},
      {"misplaced workspace",
       [](auto *x) { x->options.workspace = memory + 1, x->options.workspace_bytes = 1 << 30; },
       PIT_ERROR_ARGUMENT, "operator spmm: its workspace is not at a multiple of 64 bytes"},
  };
  for (const Row &row : rows) {
    CAPTURE(std::string(row.name));
    if (has_device && std::string(row.name) == "no device") continue;
    Product p;
    Arguments x(p);
    row.spoil(&x);
    CHECK(pit_operator_call(x.op, x.tensors, nullptr, &x.options) == row.status);
    const std::string message = pit_last_error();
    CAPTURE(message);
    CHECK(message.find(row.part) == 0);
    CHECK(p.untouched());
    // What is wrong with tensors is so without a call, too.
    std::int64_t bytes = -1;
    if (x.options.workspace == nullptr) {
      CHECK(pit_operator_workspace_size(x.op, x.tensors, nullptr, &x.options, &bytes) ==
            (row.status == PIT_ERROR_DATA ? PIT_OK : row.status));
    }
    CHECK(p.call(pit_operator_spmm) == PIT_OK);
    CHECK(p.wrong() == 0);
  }
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

TEST_CASE("library: what a call costs beside the operator's work is told") {
  Tensor<float> x(kFloat, {1}), y(kFloat, {1});
  std::vector<double> times;
  int failures = 0;
  for (int sample = 0; sample < 31; ++sample) {
    constexpr int kCalls = 1000;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) failures += increment(&x, &y, nullptr) == PIT_OK ? 0 : 1;
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
    times.push_back(time.count() / kCalls);
  }
  CHECK(failures == 0);
  std::ranges::sort(times);
  CHECK(y.data[0] == 1);
  MESSAGE("a call: median ", times[times.size() / 2], " us, least ", times.front(), " us");
}

}  // namespace
