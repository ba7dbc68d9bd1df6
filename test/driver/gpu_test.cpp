// The runtime on real devices, where there are some: PTX written by hand, for any device and for
// sm_90a alone, whose kernel reports by the contract of pit_device_status.

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <thread>

#include "test/driver/child.h"
#include "test/driver/image.h"
#include "test/driver_api.h"

using namespace pit_test;  // NOLINT: the test's own words

namespace {

// report(status blocks, value): fills value into block [1] as a failure of Check 1, unless value is
// 0; count(memory): every thread adds 1; fault(): writes to an address that nobody has.
std::string ptx_for(const std::string &target) {
  return ".version 8.0\n.target " + target + "\n.address_size 64\n" + R"(
.visible .global .align 8 .u64 pit_cuda_image_number;
.visible .entry report(.param .u64 blocks, .param .u64 value) {
  .reg .pred %p;
  .reg .b32 %old, %status, %none;
  .reg .b64 %blocks, %value, %number;
  ld.param.u64 %blocks, [blocks];
  ld.param.u64 %value, [value];
  setp.eq.u64 %p, %value, 0;
  @%p ret;
  mov.b32 %status, 2;
  mov.b32 %none, -1;
  atom.global.cas.b32 %old, [%blocks], 0, %status;
  setp.ne.b32 %p, %old, 0;
  @%p ret;
  atom.global.cas.b32 %old, [%blocks+88], 0, %status;
  setp.ne.b32 %p, %old, 0;
  @%p ret;
  mov.b32 %old, 1;
  st.global.b32 [%blocks+92], %old;
  st.global.b32 [%blocks+96], %none;
  st.global.b64 [%blocks+104], %value;
  ld.global.b64 %number, [pit_cuda_image_number];
  st.global.b64 [%blocks+168], %number;
  ret;
}
.visible .entry count(.param .u64 memory) {
  .reg .b64 %memory;
  ld.param.u64 %memory, [memory];
  red.global.add.u32 [%memory], 1;
  ret;
}
.visible .entry fault() {
  .reg .b64 %nowhere;
  mov.b64 %nowhere, 8;
  st.global.u32 [%nowhere], 1;
  ret;
}
)";
}

enum Kernel : std::int32_t { kReport, kCount, kFault };

// An operator of those kernels.
class Real {
 public:
  explicit Real(const char *name, std::string ptx = ptx_for("sm_80"), int architecture = 80,
                int specific = 0)
      : ptx_(std::move(ptx)), image_(name, ptx_.c_str()) {
    image_->architecture = architecture;
    image_->architecture_specific = specific;
    image_->kernels = kernels_.data();
    image_->kernel_count = static_cast<int>(kernels_.size());
  }
  pit_cuda_image *get() { return image_.get(); }

  // One launch of 10 blocks of 32 threads; the status of the call.
  std::int32_t run(Kernel kernel, void *memory, int device, void *stream = nullptr) {
    pit_call call = call_on(device, stream);
    pit_cuda_begin(&call, get(), 1);
    void *arguments[] = {&memory};
    pit_cuda_launch(&call, get(), kernel, 10, 32, 0, 1, 0, arguments);
    pit_cuda_end(&call);
    return call.status;
  }

 private:
  std::string ptx_;
  Image image_;
  std::array<const char *, 3> kernels_ = {"report", "count", "fault"};
};

// A context of the user's own on a device, beside its primary one; current while this lives.
class OwnContext {
 public:
  explicit OwnContext(int number) {
    int device = 0;
    driver_.call("cuDeviceGet", &device, number);
    driver_.call("cuCtxCreate_v2", &context_, 0U, device);
  }
  ~OwnContext() {
    try {
      driver_.call("cuCtxDestroy_v2", context_);
    } catch (const pit::RuntimeError &error) {
      EXPECT_PART("", std::string(error.what()));
    }
  }
  OwnContext(const OwnContext &) = delete;
  OwnContext &operator=(const OwnContext &) = delete;
  bool is_current() const {
    void *current = nullptr;
    driver_.call("cuCtxGetCurrent", &current);
    return current == context_;
  }
  void set_current(bool current) const {
    void *popped = nullptr;
    if (current) {
      driver_.call("cuCtxPushCurrent_v2", context_);
    } else {
      driver_.call("cuCtxPopCurrent_v2", &popped);
    }
  }
  const pit::test::Driver &driver() const { return driver_; }

 private:
  pit::test::Driver driver_;
  void *context_ = nullptr;
};

void run_on_device(int device, const std::string &ptx, int architecture, int specific) {
  Real operators("real", ptx, architecture, specific);
  pit_cuda_image *image = operators.get();
  pit_call call = call_on(device);
  call.profile = 1;
  call.needed = PIT_CUDA_WORKSPACE_ALIGNMENT;
  EXPECT(pit_cuda_begin(&call, image, 1) == PIT_OK);
  pit_cuda_stage_begin(&call, 0);
  void *memory = pit_cuda_workspace(&call, 4);
  EXPECT(pit_cuda_fill(device, nullptr, memory, 0, 4) == PIT_OK);
  void *arguments[] = {&memory};
  pit_cuda_launch(&call, image, kCount, 100, 256, 64 << 10, 1, 0, arguments);
  const std::int32_t cluster = specific ? 2 : 1;
  EXPECT(pit_cuda_resident_blocks(&call, image, kCount, 256, 64 << 10, cluster) >= cluster);
  pit_cuda_launch(&call, image, kCount, 100, 256, 0, cluster, 0, arguments);
  std::int64_t value = 41 + device;
  void *report[] = {&call.device_status, &value};
  pit_cuda_launch(&call, image, kReport, 1, 32, 0, 1, 0, report);
  std::int32_t counted = 0;
  EXPECT(pit_cuda_copy(device, nullptr, &counted, memory, 4) == PIT_OK);
  EXPECT(pit_cuda_device_of(memory) == device);
  pit_cuda_stage_end(&call, 0);
  pit_cuda_end(&call);
  EXPECT(call.status == PIT_OK);
  if (call.error) EXPECT_PART("", std::string(call.error));
  EXPECT(counted == 2 * 100 * 256);
  EXPECT(call.stage_nanoseconds[0] > 0);
  EXPECT(pit_check(nullptr, device) == PIT_ERROR_DATA);
  EXPECT_PART(pit_last_error(), "operator real: k is " + std::to_string(41 + device));
  EXPECT(pit_check(nullptr, device) == PIT_OK);
  pit_trim();
  pit_cuda_image_release(image);
}

// Nothing on a device without what the test needs.
void run_if_possible(int number, const std::string &target, int architecture, int specific) {
  pit_cuda_device device;
  EXPECT(pit_cuda_get_device(number, &device) == PIT_OK);
  if (specific ? device.architecture != architecture : device.architecture < architecture) return;
  const std::string ptx = ptx_for(target);
  run_on_device(number, ptx, architecture, specific);
  run_on_device(number, ptx + "// once more\n", architecture, specific);
}

void run_what_is_possible(int number) {
  run_if_possible(number, "sm_80", 80, 0);
  run_if_possible(number, "sm_90a", 90, 1);
}

int devices() { return std::min(pit_cuda_device_count(), 4); }

// On all devices, a thread each.
void run_on_all() {
  std::vector<std::thread> threads;
  const int count = devices();
  threads.reserve(static_cast<std::size_t>(count));
  for (int number = 0; number < count; ++number) threads.emplace_back(run_what_is_possible, number);
  for (std::thread &thread : threads) thread.join();
}

// An operator of the host, called through the runtime's threads.
std::int32_t add_one(pit_call *call, const DLTensor *const *tensors, const void *const *) {
  const auto add = [](void *closure, std::int64_t i) {
    const auto *const *t = static_cast<const DLTensor *const *>(closure);
    static_cast<float *>(t[1]->data)[i] = static_cast<const float *>(t[0]->data)[i] + 1;
  };
  pit_parallel_for(call, tensors[1]->shape[0], add, const_cast<DLTensor **>(tensors));
  return call->status;
}

DLTensor vector_at(void *data, DLDevice device, std::int64_t *extent) {
  DLTensor t{.device = device};
  t.data = data;
  t.ndim = 1;
  t.dtype = {kDLFloat, 32, 1};
  t.shape = extent;
  return t;
}

void run_on_host() {
  const OneCode add("add", 1, false, add_one);
  std::array<float, 100> x{}, y{};
  x[99] = 6;
  std::int64_t extent = 100;
  const DLDevice host{kDLCPU, 0};
  EXPECT(add.call(vector_at(x.data(), host, &extent), vector_at(y.data(), host, &extent)) ==
         PIT_OK);
  EXPECT(y[0] == 1);
  EXPECT(y[99] == 7);
}

// Counts in its output.
std::int32_t count_in_output(pit_call *call, const DLTensor *const *tensors, const void *const *) {
  static Real counting("counting");
  if (pit_cuda_begin(call, counting.get(), 1) != PIT_OK) return call->status;
  void *memory = tensors[1]->data;
  void *arguments[] = {&memory};
  pit_cuda_launch(call, counting.get(), kCount, 10, 32, 0, 1, 0, arguments);
  pit_cuda_end(call);
  return call->status;
}

std::int32_t counted_at(void *memory, int device) {
  std::int32_t counted = -1;
  EXPECT(pit_cuda_copy(device, nullptr, &counted, memory, 4) == PIT_OK);
  EXPECT(pit_cuda_synchronise(device, nullptr) == PIT_OK);
  return counted;
}

// The context of stream `on` is lost; `culprit` is what ran last on it.
void expect_lost(Real *loaded, const OneCode &counting, void *memory, void *on, void *other) {
  EXPECT(pit_check(on, 0) == PIT_ERROR_CUDA);
  EXPECT_PART(pit_last_error(), "CUDA_ERROR_ILLEGAL_ADDRESS");
  EXPECT_PART(pit_last_error(), "the context is lost");
  EXPECT_PART(pit_last_error(), "what ran last on the stream is operator culprit");
  for (void *stream : {on, other, static_cast<void *>(nullptr)}) {
    EXPECT(loaded->run(kCount, memory, 0, stream) == PIT_ERROR_CUDA);
    EXPECT_PART(pit_last_error(), "operator loaded: ");
    EXPECT_PART(pit_last_error(), "the context is lost");
  }
  Real fresh("fresh", ptx_for("sm_80") + "// not loaded before\n");
  EXPECT(fresh.run(kCount, memory, 0) == PIT_ERROR_CUDA);
  EXPECT_PART(pit_last_error(), "operator fresh: ");
  EXPECT_PART(pit_last_error(), "the context is lost");
  std::int64_t extent = 1;
  auto *words = static_cast<char *>(memory);
  EXPECT(counting.call(vector_at(words, {kDLCUDA, 0}, &extent),
                       vector_at(words + 4, {kDLCUDA, 0}, &extent)) == PIT_ERROR_CUDA);
  EXPECT_PART(pit_last_error(), "operator counting: ");
  EXPECT_PART(pit_last_error(), "the context is lost");
  EXPECT(pit_check(other, 0) == PIT_ERROR_CUDA);
  EXPECT(pit_cuda_synchronise(0, nullptr) == PIT_ERROR_CUDA);
  EXPECT(pit_cuda_allocate(0, 8) == nullptr);
}

}  // namespace

TEST_CASE("real devices, if there are some, do what the stand-in does") {
  const Folder folder;
  struct Compiler {
    const char *variable, *value;
  };
  // With nvJitLink where it can be found, then by the driver; then from the cache.
  for (const Compiler &c : {Compiler{"PIT_UNUSED", "1"}, Compiler{"PIT_NVJITLINK", ""}}) {
    for (int i = 0; i < 2; ++i) {
      CHECK(in_child(
                [&] {
                  if (std::string(c.variable) == "PIT_UNUSED") unsetenv("PIT_NVJITLINK");
                  run_on_all();
                },
                {{"PIT_CUDA_DRIVER", "libcuda.so.1"},
                 {"PIT_CACHE_DIR", folder.path() + "/" + c.variable},
                 {c.variable, c.value}}) == "");
    }
  }
}

TEST_CASE("a real device works in a context of the user's own, and without it again") {
  CHECK(in_child(
            [] {
              for (int number = 0; number < devices(); ++number) {
                {
                  const OwnContext own(number);
                  run_what_is_possible(number);
                  EXPECT(own.is_current());
                  // Another device's primary context, and back.
                  run_what_is_possible((number + 1) % devices());
                  EXPECT(own.is_current());
                }
                run_what_is_possible(number);
              }
            },
            {{"PIT_CUDA_DRIVER", "libcuda.so.1"}}) == "");
}

// Seen on an H100: other contexts of the process on that device are lost, too.
TEST_CASE("a fault on a real device is named, and the process and other devices go on") {
  CHECK(in_child(
            [] {
              if (devices() == 0) return;
              pit_cuda_device device;
              EXPECT(pit_cuda_get_device(0, &device) == PIT_OK);
              if (device.architecture < 80) return;
              const OwnContext own(0);
              Real loaded("loaded"), culprit("culprit");
              void *beside = pit_cuda_allocate(0, 4);
              EXPECT(pit_cuda_fill(0, nullptr, beside, 0, 4) == PIT_OK);
              EXPECT(loaded.run(kCount, beside, 0) == PIT_OK);
              EXPECT(counted_at(beside, 0) == 320);

              own.set_current(false);  // the device's primary context
              auto *memory = static_cast<char *>(pit_cuda_allocate(0, 8));
              void *on = own.driver().stream(), *other = own.driver().stream();
              const OneCode counting("counting", 1, true, count_in_output);
              std::int64_t extent = 1;
              EXPECT(counting.call(vector_at(memory, {kDLCUDA, 0}, &extent),
                                   vector_at(memory + 4, {kDLCUDA, 0}, &extent)) == PIT_OK);
              EXPECT(loaded.run(kCount, memory, 0, other) == PIT_OK);
              EXPECT(pit_check(other, 0) == PIT_OK);
              EXPECT(culprit.run(kFault, nullptr, 0, on) == PIT_OK);
              expect_lost(&loaded, counting, memory, on, other);
              run_on_host();
              pit_trim();
              pit_cuda_image_release(culprit.get());

              own.set_current(true);
              EXPECT(loaded.run(kCount, beside, 0) != PIT_OK);
              EXPECT_PART(pit_last_error(), "operator loaded: ");
              if (devices() > 1) run_what_is_possible(1);
            },
            {{"PIT_CUDA_DRIVER", "libcuda.so.1"}}) == "");
}
