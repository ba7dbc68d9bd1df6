// The runtime on a real device, where there is one: PTX written by hand, for any device and for
// sm_90a alone, whose kernel reports by the contract of pit_device_status.

#include <doctest/doctest.h>

#include <string>

#include "test/driver/child.h"
#include "test/driver/image.h"

using namespace pit_test;  // NOLINT: the test's own words

namespace {

// report(status blocks, value): fills value into block [1] as a failure of Check 1, unless value is
// 0; count(memory, shared words): every thread adds 1.
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
)";
}

void run_on_device(const std::string &ptx, int architecture, int specific) {
  Image whole("real", ptx.c_str());
  pit_cuda_image *image = whole.get();
  const char *kernels[] = {"report", "count"};
  image->architecture = architecture;
  image->architecture_specific = specific;
  image->kernels = kernels;
  image->kernel_count = 2;
  pit_call call = call_on(0);
  call.profile = 1;
  call.needed = PIT_CUDA_WORKSPACE_ALIGNMENT;
  EXPECT(pit_cuda_begin(&call, image, 1) == PIT_OK);
  pit_cuda_stage_begin(&call, 0);
  void *memory = pit_cuda_workspace(&call, 4);
  EXPECT(pit_cuda_fill(0, nullptr, memory, 0, 4) == PIT_OK);
  void *arguments[] = {&memory};
  pit_cuda_launch(&call, image, 1, 100, 256, 64 << 10, 1, 0, arguments);
  const std::int32_t cluster = specific ? 2 : 1;
  EXPECT(pit_cuda_resident_blocks(&call, image, 1, 256, 64 << 10, cluster) >= cluster);
  pit_cuda_launch(&call, image, 1, 100, 256, 0, cluster, 0, arguments);
  std::int64_t value = 41;
  void *report[] = {&call.device_status, &value};
  pit_cuda_launch(&call, image, 0, 1, 32, 0, 1, 0, report);
  std::int32_t counted = 0;
  EXPECT(pit_cuda_copy(0, nullptr, &counted, memory, 4) == PIT_OK);
  EXPECT(pit_cuda_device_of(memory) == 0);
  pit_cuda_stage_end(&call, 0);
  pit_cuda_end(&call);
  EXPECT(call.status == PIT_OK);
  if (call.error) EXPECT_PART("", std::string(call.error));
  EXPECT(counted == 2 * 100 * 256);
  EXPECT(call.stage_nanoseconds[0] > 0);
  EXPECT(pit_check(nullptr, 0) == PIT_ERROR_DATA);
  EXPECT_PART(pit_last_error(), "operator real: k is 41");
  EXPECT(pit_check(nullptr, 0) == PIT_OK);
  pit_trim();
  pit_cuda_image_release(image);
}

// Returns when there is no device, or one without what the test needs.
void run_if_possible(const std::string &target, int architecture, int specific) {
  pit_cuda_device device;
  if (pit_cuda_device_count() == 0) return;
  EXPECT(pit_cuda_get_device(0, &device) == PIT_OK);
  if (specific ? device.architecture != architecture : device.architecture < architecture) return;
  const std::string ptx = ptx_for(target);
  run_on_device(ptx, architecture, specific);
  run_on_device(ptx + "// once more\n", architecture, specific);
}

}  // namespace

TEST_CASE("a real device, if there is one, does what the stand-in does") {
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
                  run_if_possible("sm_80", 80, 0);
                  run_if_possible("sm_90a", 90, 1);
                },
                {{"PIT_CUDA_DRIVER", "libcuda.so.1"},
                 {"PIT_CACHE_DIR", folder.path() + "/" + c.variable},
                 {c.variable, c.value}}) == "");
    }
  }
}
