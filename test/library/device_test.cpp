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
#include <cstddef>
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
  /// The status of the call, without waiting for the device.
  std::int32_t start(const pit_operator &op, pit_options options = {}) {
    options.stream = stream_;
    return pit_operator_call(&op, pointers_.data(), case_->scalars().data(), &options);
  }
  /// The status of the call, or else what the device says of it.
  std::int32_t call(const pit_operator &op, const pit_options &options = {}) {
    const std::int32_t status = start(op, options);
    return status != PIT_OK ? status : pit_check(stream_, 0);
  }
  DLTensor &tensor(std::size_t number) { return tensors_.at(number); }
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

/// Memory of another kind, for `there`; the driver keeps it.
void *special_memory(const pit::test::Driver &driver, const std::string &kind, std::size_t bytes) {
  void *memory = nullptr;
  if (kind == "pinned") driver.call("cuMemAllocHost_v2", &memory, bytes);
  constexpr unsigned kOfAllStreams = 1;
  if (kind == "managed") driver.call("cuMemAllocManaged", &memory, bytes, kOfAllStreams);
  if (kind == "device 1") memory = pit_cuda_allocate(1, bytes);
  REQUIRE(memory != nullptr);
  return memory;
}

TEST_CASE("library: memory that is not on the device is refused, and the device goes on") {
  if (!has_device()) return;
  const pit::test::Driver driver;
  for (const Row &row : rows(4)) {
    CAPTURE(std::string(row.op.name));
    OnDevice there(row.arguments.get());
    CHECK(there.call(row.op) == PIT_OK);  // kernels are loaded
    there.poison();
    DLTensor &first = there.tensor(0);
    void *good = first.data;
    const std::size_t bytes = bytes_of(first);
    std::vector<std::max_align_t> host(bytes / sizeof(std::max_align_t) + 1);
    struct Place {
      void *memory;
      const char *got;
    };
    std::vector<Place> places = {
        {host.data(), "got the host's memory, or memory that was freed"},
        {special_memory(driver, "pinned", bytes), "got the host's memory, pinned by CUDA"}};
    if (pit_cuda_device_count() > 1)
      places.push_back({special_memory(driver, "device 1", bytes), "got memory of CUDA device 1"});
    for (const Place &place : places) {
      first.data = place.memory;
      CHECK(there.call(row.op) == PIT_ERROR_ARGUMENT);
      const std::string message = pit_last_error();
      CAPTURE(message);
      CHECK(message.find("operator " + std::string(row.op.name) + ": argument 1 ") == 0);
      CHECK(message.find("not in the memory of CUDA device 0, as the tensor says") !=
            std::string::npos);
      CHECK(message.find(place.got) != std::string::npos);
    }
    first.data = special_memory(driver, "managed", bytes);
    CHECK(pit_cuda_copy(0, nullptr, first.data, good, bytes) == PIT_OK);
    CHECK(there.call(row.op) == PIT_OK);
    CHECK(there.wrong() == 0);
    first.data = good;
    there.poison();
    CHECK(there.call(row.op) == PIT_OK);
    CHECK(there.wrong() == 0);
  }
}

/// What `work` puts into the stream, and how many copies are among it.
template <class Work>
void *captured(const pit::test::Driver &driver, void *stream, const Work &work, int *copies) {
  constexpr int kGlobal = 0, kCopy = 1;
  void *graph = nullptr, *executable = nullptr;
  driver.call("cuStreamBeginCapture_v2", stream, kGlobal);
  work();
  driver.call("cuStreamEndCapture", stream, &graph);
  std::size_t count = 0;
  driver.call("cuGraphGetNodes", graph, static_cast<void **>(nullptr), &count);
  std::vector<void *> nodes(count);
  driver.call("cuGraphGetNodes", graph, nodes.data(), &count);
  *copies = 0;
  for (void *node : nodes) {
    int kind = -1;
    driver.call("cuGraphNodeGetType", node, &kind);
    *copies += kind == kCopy ? 1 : 0;
  }
  constexpr unsigned long long kNoFlags = 0;
  driver.call("cuGraphInstantiateWithFlags", &executable, graph, kNoFlags);
  return executable;
}

TEST_CASE("library: a measured call on a device can be captured, and its graph copies nothing") {
  if (!has_device()) return;
  const pit::test::Driver driver;
  void *stream = driver.stream();
  for (const Row &row : rows(5)) {
    CAPTURE(std::string(row.op.name));
    OnDevice there(row.arguments.get(), stream);
    pit_statistics statistics;
    pit_options options{};
    options.statistics = &statistics;
    CHECK(there.call(row.op, options) == PIT_OK);
    CHECK(statistics.compute > 0);
    std::int32_t status = -1;
    int copies = -1;
    void *graph = captured(driver, stream, [&] { status = there.start(row.op, options); }, &copies);
    CHECK(status == PIT_OK);
    CHECK(copies == 0);
    CHECK(statistics.compute == 0);
    CHECK(std::ranges::all_of(statistics.statistics, [](double value) { return value == 0; }));
    for (int replay = 0; replay < 2; ++replay) {
      there.poison();
      driver.launch(graph, stream);
      CHECK(pit_check(stream, 0) == PIT_OK);
      CHECK(there.wrong() == 0);
    }
  }
}

TEST_CASE("library: memory that a graph on a device allocates is a tensor's") {
  if (!has_device()) return;
  const pit::test::Driver driver;
  void *stream = driver.stream();
  for (const Row &row : rows(6)) {
    CAPTURE(std::string(row.op.name));
    OnDevice there(row.arguments.get(), stream);
    CHECK(there.call(row.op) == PIT_OK);
    DLTensor &first = there.tensor(0);
    void *given = first.data;
    const std::size_t bytes = bytes_of(first);
    std::int32_t status = -1;
    int copies = -1;
    void *graph = captured(
        driver, stream,
        [&] {
          driver.call("cuMemAllocAsync", &first.data, bytes, stream);
          pit_cuda_copy(0, stream, first.data, given, bytes);
          status = there.start(row.op);
          driver.call("cuMemFreeAsync", first.data, stream);
        },
        &copies);
    CAPTURE(std::string(pit_last_error()));
    CHECK(status == PIT_OK);
    CHECK(copies == 1);
    there.poison();
    driver.launch(graph, stream);
    CHECK(pit_check(stream, 0) == PIT_OK);
    CHECK(there.wrong() == 0);
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
