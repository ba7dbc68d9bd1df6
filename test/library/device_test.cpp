// Emitted operators with code for the host and for CUDA devices, on the first device; where there
// is none, what they say.
#include <block_attention_everywhere.h>
#include <doctest/doctest.h>
#include <moe_everywhere.h>
#include <pit_cuda.h>
#include <spmm_cuda.h>
#include <spmm_everywhere.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "operators.h"
#include "test/driver_api.h"

using namespace library;

namespace {

bool has_device() {
  if (pit_cuda_device_count() > 0) return true;
  MESSAGE(std::string(pit_last_error()));
  return false;
}

std::size_t bytes_of(const DLTensor &t) {
  std::size_t bytes = t.dtype.bits / 8U;
  for (int d = 0; d < t.ndim; ++d) bytes *= static_cast<std::size_t>(t.shape[d]);
  return bytes;
}

/// Memory of the first device.
class Memory {
 public:
  explicit Memory(std::size_t bytes) : data_(pit_cuda_allocate(0, bytes)) {
    REQUIRE(data_ != nullptr);
  }
  ~Memory() { pit_cuda_free(0, data_); }
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;
  void *get() const { return data_; }

 private:
  void *data_;
};

/// A case whose tensors are on the first device.
class OnDevice {
 public:
  explicit OnDevice(Case *c, void *stream = nullptr) : case_(c), stream_(stream) {
    for (const DLTensor *t : c->tensors()) {
      memory_.push_back(std::make_unique<Memory>(bytes_of(*t)));
      tensors_.push_back(*t);
      tensors_.back().data = memory_.back()->get();
      tensors_.back().device = {kDLCUDA, 0};
      copy(tensors_.back().data, t->data, bytes_of(*t));
    }
    for (const DLTensor &t : tensors_) pointers_.push_back(&t);
  }
  std::int32_t size(const pit_operator &op, std::int64_t *bytes) const {
    return pit_operator_workspace_size(&op, pointers_.data(), case_->scalars().data(), nullptr,
                                       bytes);
  }
  /// The status of the call, or else what the device says of it.
  std::int32_t call(const pit_operator &op, pit_options options = {}) {
    options.stream = stream_;
    const std::int32_t status =
        pit_operator_call(&op, pointers_.data(), case_->scalars().data(), &options);
    return status != PIT_OK ? status : pit_check(stream_, 0);
  }
  /// Elements of the output that are wrong.
  std::int64_t wrong() {
    copy(case_->output().data.data(), tensors_.back().data, bytes_of(tensors_.back()));
    if (pit_cuda_synchronise(0, stream_) != PIT_OK) return -1;
    return case_->wrong();
  }
  void poison() {
    pit_cuda_fill(0, stream_, tensors_.back().data, 0xff, bytes_of(tensors_.back()));
  }

 private:
  Case *case_;
  void *stream_;
  std::vector<std::unique_ptr<Memory>> memory_;
  std::vector<DLTensor> tensors_;
  std::vector<const DLTensor *> pointers_;

  // Of pageable memory: done on return.
  void copy(void *to, const void *from, std::size_t bytes) {
    if (pit_cuda_copy(0, stream_, to, from, bytes) != PIT_OK) FAIL(pit_last_error());
  }
};

struct Row {
  const pit_operator &op;
  std::unique_ptr<Case> arguments;
};

std::vector<Row> rows(unsigned seed) {
  std::vector<Row> list;
  list.push_back({pit_operator_spmm_everywhere, std::make_unique<Product>(seed)});
  list.push_back({pit_operator_spmm_everywhere, std::make_unique<Product>(seed, 512, 768, 384)});
  list.push_back({pit_operator_moe_everywhere, std::make_unique<Experts>(seed)});
  list.push_back({pit_operator_moe_everywhere, std::make_unique<Experts>(seed, 300, 4, 128, 256)});
  list.push_back({pit_operator_block_attention_everywhere, std::make_unique<Attention>(seed)});
  list.push_back(
      {pit_operator_block_attention_everywhere, std::make_unique<Attention>(seed, 384, 64)});
  list.push_back({pit_operator_spmm_cuda, std::make_unique<Product>(seed, 130, 200, 72)});
  return list;
}

TEST_CASE("library: operators with code for devices run on the host") {
  for (const Row &row : rows(1)) {
    if (&row.op == &pit_operator_spmm_cuda) continue;
    CAPTURE(std::string(row.op.name));
    CHECK(row.op.code_count == 3);
    CHECK(row.arguments->call(row.op) == PIT_OK);
    CHECK(row.arguments->wrong() == 0);
  }
}

TEST_CASE("library: operators run on a device, or say that there is none") {
  const bool device = has_device();
  for (const Row &row : rows(2)) {
    CAPTURE(std::string(row.op.name));
    if (device) {
      OnDevice there(row.arguments.get());
      there.poison();
      CHECK(there.call(row.op) == PIT_OK);
      CHECK(there.wrong() == 0);
      continue;
    }
    std::vector<DLTensor> tensors;
    for (const DLTensor *t : row.arguments->tensors()) {
      tensors.push_back(*t);
      tensors.back().device = {kDLCUDA, 0};
    }
    std::vector<const DLTensor *> pointers;
    for (const DLTensor &t : tensors) pointers.push_back(&t);
    CHECK(pit_operator_call(&row.op, pointers.data(), row.arguments->scalars().data(), nullptr) ==
          PIT_ERROR_DEVICE);
    const std::string message = pit_last_error();
    CAPTURE(message);
    CHECK(message.find("operator " + std::string(row.op.name) + ": ") == 0);
    CHECK(message.find("CUDA") != std::string::npos);
    CHECK(row.arguments->untouched());
  }
}

TEST_CASE("library: on a device a workspace of the size that is asked for suffices") {
  if (!has_device()) return;
  for (const Row &row : rows(3)) {
    CAPTURE(std::string(row.op.name));
    OnDevice there(row.arguments.get());
    std::int64_t bytes = -1;
    REQUIRE(there.size(row.op, &bytes) == PIT_OK);
    REQUIRE(bytes > 0);
    const auto size = static_cast<std::size_t>(bytes);
    const Memory memory(size + 256);
    std::vector<unsigned char> behind(256);
    pit_cuda_fill(0, nullptr, memory.get(), 'u', size + 256);
    pit_statistics statistics;
    pit_options options{};
    options.workspace = memory.get();
    options.workspace_bytes = bytes;
    for (const bool measured : {false, true}) {
      options.statistics = measured ? &statistics : nullptr;
      there.poison();
      CHECK(there.call(row.op, options) == PIT_OK);
      CHECK(there.wrong() == 0);
    }
    CHECK(statistics.peak_workspace_bytes <= bytes);
    pit_cuda_copy(0, nullptr, behind.data(), static_cast<char *>(memory.get()) + size, 256);
    pit_cuda_synchronise(0, nullptr);
    CHECK(std::ranges::all_of(behind, [](unsigned char c) { return c == 'u'; }));
    // Too small, and in the wrong place.
    options.workspace_bytes = bytes - 1;
    there.poison();
    CHECK(there.call(row.op, options) == PIT_ERROR_MEMORY);
    CHECK(there.wrong() != 0);
    alignas(256) static char on_host[256];
    options.workspace = on_host;
    options.workspace_bytes = bytes;
    CHECK(there.call(row.op, options) == PIT_ERROR_ARGUMENT);
    CHECK(std::string(pit_last_error()).find("not in the memory of CUDA device 0") !=
          std::string::npos);
  }
}

TEST_CASE("library: eight threads call operators on eight streams of a device") {
  if (!has_device()) return;
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(test_seconds()));
  std::atomic<std::int64_t> wrong = 0, calls = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      void *stream = pit::test::Driver().stream();
      const std::vector<Row> mine = rows(t + 20);
      std::vector<std::unique_ptr<OnDevice>> there;
      for (const Row &row : mine)
        there.push_back(std::make_unique<OnDevice>(row.arguments.get(), stream));
      do {
        for (std::size_t i = 0; i < mine.size(); ++i) {
          there[i]->poison();
          if (there[i]->call(mine[i].op) != PIT_OK) ++wrong;
          wrong += there[i]->wrong() == 0 ? 0 : 1;
          ++calls;
        }
      } while (Clock::now() < end);
    });
  }
  for (std::thread &thread : threads) thread.join();
  CHECK(wrong == 0);
  MESSAGE(calls.load(), " calls");
}

}  // namespace
