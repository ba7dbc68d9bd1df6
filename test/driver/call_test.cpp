// Calls on a device: launches, workspaces, stages, and what kernels report. See fake_cuda.h.

#include <doctest/doctest.h>

#include <cstring>
#include <thread>

#include "test/driver/child.h"
#include "test/driver/image.h"

using namespace pit_test;  // NOLINT: the test's own words

namespace {

void *stream(std::uintptr_t number) { return reinterpret_cast<void *>(number * 0x1000); }

// What the next kernels report, by compare-and-swap as the contract of pit_device_status says.
pit_device_status to_report;

void report(const fake_launch_record *launch) {
  if (to_report.status == PIT_OK) return;
  auto *blocks = *static_cast<pit_device_status **>(launch->arguments[0]);
  if (blocks[0].status != PIT_OK) return;
  blocks[0].status = to_report.status;
  if (blocks[1].status != PIT_OK) return;
  blocks[1] = to_report;
  blocks[1].image = *launch->image_number;
}

// A call of two kernels that report.
pit_call run_reporting(pit_cuda_image *image, void *on = nullptr, std::int32_t device = 0) {
  fake().run = report;
  pit_call call = call_on(device, on);
  if (pit_cuda_begin(&call, image, 1) != PIT_OK) return call;
  void *arguments[] = {&call.device_status};
  pit_cuda_launch(&call, image, 0, 4, 128, 0, 1, 0, arguments);
  pit_cuda_launch(&call, image, 1, 4, 128, 0, 1, 0, arguments);
  pit_cuda_end(&call);
  return call;
}

}  // namespace

TEST_CASE("a steady state makes three calls of the driver a launch and takes no memory") {
  CHECK(in_child([] {
          Image image;
          run(image.get());
          const int launches = count("cuLaunchKernelEx"), clears = count("cuMemsetD32Async");
          const std::int64_t allocated = fake().allocated;
          push_context_of(0);
          const int pushes = count("cuCtxPushCurrent");
          for (int i = 0; i < 10; ++i) EXPECT(run(image.get()).status == PIT_OK);
          EXPECT(count("cuLaunchKernelEx") == launches + 10);
          EXPECT(count("cuMemsetD32Async") == clears + 10);
          EXPECT(count("cuCtxPushCurrent") == pushes);
          EXPECT(count("cuStreamSynchronize") == 2);  // of the first load
          EXPECT(fake().allocated == allocated);
        }) == "");
}

TEST_CASE("a launch is handed on as it is") {
  static fake_launch_record seen;
  CHECK(in_child([] {
          fake().run = [](const fake_launch_record *launch) { seen = *launch; };
          Image image;
          pit_call call = call_on(1, stream(3));
          EXPECT(pit_cuda_begin(&call, image.get(), 0) == PIT_OK);
          EXPECT(call.device_status == nullptr);
          void *arguments[] = {&call};
          pit_cuda_launch(&call, image.get(), 1, 264, 384, 1000, 2, 0, arguments);
          EXPECT(std::string(seen.kernel) == "second");
          EXPECT(seen.config.grid_x == 264);
          EXPECT(seen.config.grid_y * seen.config.grid_z == 1);
          EXPECT(seen.config.block_x == 384);
          EXPECT(seen.config.shared_bytes == 1000);
          EXPECT(seen.config.stream == stream(3));
          EXPECT(seen.cluster == 2);
          EXPECT(seen.arguments == arguments);
          pit_cuda_launch(&call, image.get(), 1, 0, 384, 1000, 2, 0, arguments);  // nothing to do
          EXPECT(count("cuLaunchKernelEx") == 1);
          pit_cuda_end(&call);
        }) == "");
}

TEST_CASE("launches that no device or not this one can do are refused by the kernel's name") {
  struct Case {
    std::int32_t kernel;
    std::int64_t blocks;
    std::int32_t threads;
    std::int64_t shared;
    std::int32_t cluster, status;
    const char *part;
  };
  const Case cases[] = {
      {0, 1, 128, 232449, 1, PIT_ERROR_CUDA,
       "operator spmm: kernel first needs 232449 bytes of shared memory in a block (0 fixed and "
       "232449 dynamic), and device 0 (Fake GPU) has 232448; use smaller tiles or fewer pipeline "
       "stages"},
      {3, 1, 128, 232448, 1, PIT_ERROR_CUDA,
       "needs 233472 bytes of shared memory in a block (1024"},
      {0, 1, 128, -1, 1, PIT_ERROR_CUDA, "kernel first needs -1 bytes"},
      {2, 1, 257, 0, 1, PIT_ERROR_CUDA, "kernel heavy cannot run with 257 threads"},
      {0, 1, 0, 0, 1, PIT_ERROR_CUDA, "cannot run with 0 threads"},
      {0, std::int64_t{1} << 31, 128, 0, 1, PIT_ERROR_CUDA,
       "kernel first cannot be launched with 2147483648 blocks"},
      {0, -1, 128, 0, 1, PIT_ERROR_CUDA, "cannot be launched with -1 blocks"},
      {0, 3, 128, 0, 2, PIT_ERROR_CUDA, "a multiple of the cluster (2)"},
      {4, 1, 128, 0, 1, PIT_ERROR_ARGUMENT, "kernel 4 is none of the 4 kernels"},
  };
  for (const Case &c : cases) {
    CAPTURE(c.part);
    CHECK(in_child([&] {
            Image image;
            pit_call call = call_on(0);
            pit_cuda_begin(&call, image.get(), 0);
            pit_cuda_launch(&call, image.get(), c.kernel, c.blocks, c.threads, c.shared, c.cluster,
                            0, nullptr);
            EXPECT(call.status == c.status);
            EXPECT_PART(call.error, c.part);
            EXPECT(count("cuLaunchKernelEx") == 0);
            // The first error stays, and nothing more is done.
            pit_cuda_launch(&call, image.get(), 0, 1, 1, 0, 1, 0, nullptr);
            EXPECT(count("cuLaunchKernelEx") == 0);
            EXPECT_PART(call.error, c.part);
            pit_cuda_end(&call);
          }) == "");
  }
  CHECK(in_child([] {
          fake().architecture = 86;
          Image image;
          pit_call call = call_on(0);
          pit_cuda_begin(&call, image.get(), 0);
          pit_cuda_launch(&call, image.get(), 0, 2, 128, 0, 2, 0, nullptr);
          EXPECT(call.status == PIT_ERROR_DEVICE);
          EXPECT_PART(call.error, "runs in clusters of 2 blocks, and device 0 (Fake GPU) is sm_86");
          pit_cuda_end(&call);
        }) == "");
}

TEST_CASE("shared memory and large clusters are asked for once") {
  CHECK(in_child([] {
          Image image;
          pit_call call = call_on(0);
          pit_cuda_begin(&call, image.get(), 0);
          for (int i = 0; i < 3; ++i) {
            pit_cuda_launch(&call, image.get(), 0, 1, 128, 200000, 1, 0, nullptr);
            pit_cuda_launch(&call, image.get(), 0, 1, 128, 100000, 1, 0, nullptr);
          }
          EXPECT(count("cuFuncSetAttribute") == 1);
          for (int i = 0; i < 3; ++i) {
            pit_cuda_launch(&call, image.get(), 1, 16, 128, 0, 16, 0, nullptr);
          }
          EXPECT(count("cuFuncSetAttribute") == 2);
          EXPECT(call.status == PIT_OK);
          pit_cuda_end(&call);
        }) == "");
}

TEST_CASE("the blocks that run at once are counted once for each way to launch") {
  CHECK(in_child([] {
          Image image;
          pit_call call = call_on(0);
          EXPECT(pit_cuda_resident_blocks(&call, image.get(), 0, 128, 0, 1) == 0);  // not begun
          pit_cuda_begin(&call, image.get(), 0);
          for (int i = 0; i < 3; ++i) {
            EXPECT(pit_cuda_resident_blocks(&call, image.get(), 0, 128, 60000, 1) == 264);
            EXPECT(pit_cuda_resident_blocks(&call, image.get(), 0, 128, 60000, 2) == 120);
            EXPECT(pit_cuda_resident_blocks(&call, image.get(), 0, 256, 60000, 1) == 264);
          }
          EXPECT(count("cuOccupancyMaxActiveBlocksPerMultiprocessor") == 2);
          EXPECT(count("cuOccupancyMaxActiveClusters") == 1);
          EXPECT(pit_cuda_resident_blocks(&call, image.get(), 0, 128, 1 << 20, 1) == 0);
          EXPECT(call.status == PIT_ERROR_CUDA);
          pit_cuda_end(&call);
          pit_cuda_image_release(image.get());
        }) == "");
}

TEST_CASE("workspaces are parts of one block, taken when the call begins") {
  static fake_launch_record seen;
  CHECK(in_child([] {
          fake().run = [](const fake_launch_record *launch) { seen = *launch; };
          Image image;
          pit_call call = call_on(1);
          call.needed = 1024 + 512;
          pit_cuda_begin(&call, image.get(), 0);
          auto *a = static_cast<char *>(pit_cuda_workspace(&call, 1000));
          pit_cuda_launch(&call, image.get(), 0, 4, 128, 0, 1, 1, nullptr);
          EXPECT(!seen.overlaps);
          auto *b = static_cast<char *>(pit_cuda_workspace(&call, 0));
          EXPECT(a && b == a + 1024);
          // Nothing is put between the kernels.
          pit_cuda_launch(&call, image.get(), 0, 4, 128, 0, 1, 1, nullptr);
          EXPECT(seen.overlaps);
          pit_cuda_workspace_release(&call, b);
          pit_cuda_workspace_release(&call, nullptr);
          EXPECT(pit_cuda_workspace(&call, 512) == b);
          EXPECT(call.peak_workspace_bytes == 1024 + 512);
          EXPECT(fake().pool_allocated == 1024 + 512);
          pit_cuda_end(&call);
          EXPECT(call.given.memory == nullptr);
          EXPECT(fake().pool_allocated == 0);
          EXPECT(count("cuMemAllocFromPoolAsync") == 1);
          EXPECT(count("cuMemFreeAsync") == 1);
          EXPECT(count("cuMemPoolCreate") == 1);
          pit_trim();
          EXPECT(count("cuMemPoolTrimTo") == 1);
        }) == "");
}

TEST_CASE("a call that asks for its size puts nothing into the stream, and given memory suffices") {
  CHECK(in_child([] {
          Image image;
          run(image.get());
          const int launches = count("cuLaunchKernelEx"), clears = count("cuMemsetD32Async");
          // Parts of 1000, 4096 (a multiple of the alignment, last) and 0 bytes.
          const auto work = [&](pit_call *call) {
            if (pit_cuda_begin(call, image.get(), 1) != PIT_OK) return;
            void *a = pit_cuda_workspace(call, 1000);
            void *empty = pit_cuda_workspace(call, 0);
            pit_cuda_launch(call, image.get(), 0, 4, 128, 0, 1, 0, nullptr);
            pit_cuda_workspace_release(call, empty);
            void *b = pit_cuda_workspace(call, 4096);
            EXPECT(call->status != PIT_OK || (a && empty && b && a != b));
            pit_cuda_workspace_release(call, b);
            pit_cuda_workspace_release(call, a);
            pit_cuda_end(call);
          };
          pit_call asking = call_on(0);
          asking.sizing = 1;
          asking.given = {reinterpret_cast<char *>(PIT_CUDA_WORKSPACE_ALIGNMENT), INT64_MAX / 2, 0};
          work(&asking);
          EXPECT(asking.status == PIT_OK);
          EXPECT(asking.needed == 1024 + 4096);
          EXPECT(asking.given.used == 0);
          EXPECT(count("cuLaunchKernelEx") == launches);
          EXPECT(count("cuMemsetD32Async") == clears);
          alignas(256) static char memory[1024 + 4096];
          pit_call given = call_on(0);
          given.given = {memory, sizeof memory, 0};
          work(&given);
          EXPECT(given.status == PIT_OK);
          EXPECT(given.peak_workspace_bytes == 1024 + 4096);
          EXPECT(count("cuLaunchKernelEx") == launches + 1);
          EXPECT(fake().pool_allocated == 0);
          EXPECT(count("cuMemPoolCreate") == 0);
          pit_call small = call_on(0);
          small.given = {memory, sizeof memory - 1, 0};
          work(&small);
          EXPECT(small.status == PIT_ERROR_MEMORY);
        }) == "");
}

TEST_CASE("no memory for workspaces is reported, and the call ends cleanly") {
  CHECK(in_child([] {
          Image image;
          pit_call call = call_on(0);
          call.needed = std::int64_t{1} << 40;
          EXPECT(pit_cuda_begin(&call, image.get(), 0) == PIT_ERROR_MEMORY);
          EXPECT(call.values[0] == std::int64_t{1} << 40);
          EXPECT_PART(call.error,
                      "operator spmm: no memory for a workspace of 1099511627776 bytes on device 0 "
                      "(Fake GPU): CUDA_ERROR_OUT_OF_MEMORY");
          EXPECT_PART(call.error, "call pit_trim()");
          EXPECT(pit_cuda_workspace(&call, 8) == nullptr);
          pit_cuda_end(&call);
          EXPECT(fake().pool_allocated == 0);
          EXPECT(fake().pushed == 0);
          EXPECT(pit_cuda_allocate(0, std::size_t{1} << 40) == nullptr);
          EXPECT_PART(pit_last_error(), "no 1099511627776 bytes of memory on device 0 (Fake GPU)");
          EXPECT(run(image.get()).status == PIT_OK);
        }) == "");
  // More than the call said that it needs.
  CHECK(in_child([] {
          Image image;
          pit_call call = call_on(0);
          call.needed = 1024;
          EXPECT(pit_cuda_begin(&call, image.get(), 0) == PIT_OK);
          EXPECT(pit_cuda_workspace(&call, 1000) != nullptr);
          EXPECT(pit_cuda_workspace(&call, 1) == nullptr);
          EXPECT(call.status == PIT_ERROR_MEMORY);
          EXPECT_PART(call.error, "operator spmm: no memory for a workspace of 1 bytes");
          pit_cuda_end(&call);
          EXPECT(fake().pool_allocated == 0);
        }) == "");
  CHECK(in_child([] {
          fake().has_pools = 0;
          Image image;
          EXPECT(run(image.get()).status == PIT_OK);
          pit_call call = call_on(0);
          call.needed = 8;
          EXPECT(pit_cuda_begin(&call, image.get(), 0) == PIT_ERROR_DEVICE);
          EXPECT_PART(call.error, "device 0 (Fake GPU) has no memory pools");
        }) == "");
}

TEST_CASE("buffers are taken, filled, copied and given back") {
  CHECK(in_child([] {
          auto *memory = static_cast<unsigned char *>(pit_cuda_allocate(1, 64));
          unsigned char host[64] = {};
          EXPECT(fake().allocated == 64);
          EXPECT(pit_cuda_fill(1, nullptr, memory, 0xAB, 64) == PIT_OK);
          EXPECT(pit_cuda_copy(1, nullptr, host, memory, 64) == PIT_OK);
          EXPECT(pit_cuda_synchronise(1, nullptr) == PIT_OK);
          EXPECT(host[0] == 0xAB && host[63] == 0xAB);
          EXPECT(pit_cuda_free(1, memory) == PIT_OK);
          EXPECT(pit_cuda_free(1, nullptr) == PIT_OK);
          EXPECT(fake().allocated == 0);
          EXPECT(fake().pushed == 0);
        }) == "");
}

TEST_CASE("stages have the times between their events, and none in a graph") {
  CHECK(in_child([] {
          Image image;
          pit_call call = call_on(0);
          call.profile = 1;
          pit_cuda_begin(&call, image.get(), 0);
          pit_cuda_stage_begin(&call, 2);  // the clock of the stand-in: 1 ms an event
          pit_cuda_stage_begin(&call, 5);
          pit_cuda_stage_end(&call, 5);
          pit_cuda_stage_end(&call, 2);
          for (int i = 0; i < 20; ++i) {
            pit_cuda_stage_begin(&call, 0);
            pit_cuda_stage_end(&call, 0);
          }
          pit_cuda_stage_begin(&call, PIT_MAX_STAGES);
          pit_cuda_stage_end(&call, PIT_MAX_STAGES);
          pit_cuda_end(&call);
          EXPECT(call.status == PIT_OK);
          EXPECT(call.stage_nanoseconds[2] == 3000000);
          EXPECT(call.stage_nanoseconds[5] == 1000000);
          EXPECT(call.stage_nanoseconds[0] == 20000000);
          const int events = count("cuEventCreate");
          EXPECT(events == 44);
          pit_call again = call_on(0);
          again.profile = 1;
          pit_cuda_begin(&again, image.get(), 0);
          pit_cuda_stage_begin(&again, 1);
          pit_cuda_stage_end(&again, 1);
          pit_cuda_end(&again);
          EXPECT(again.stage_nanoseconds[1] == 1000000);
          EXPECT(count("cuEventCreate") == events);
          fake().capturing = 1;
          pit_call captured = call_on(0);
          captured.profile = 1;
          pit_cuda_begin(&captured, image.get(), 0);
          pit_cuda_stage_begin(&captured, 1);
          pit_cuda_stage_end(&captured, 1);
          pit_cuda_end(&captured);
          EXPECT(captured.status == PIT_OK);
          EXPECT(captured.stage_nanoseconds[1] == 0);
          EXPECT(captured.profile == 0);  // generated code copies no statistics
        }) == "");
}

TEST_CASE("what kernels report is told once, in the words of the host") {
  struct Case {
    pit_device_status record;
    const char *text;
  };
  const Case cases[] = {
      {{PIT_ERROR_DATA, 0, -1, 0, {7, -3}, 0}, "operator spmm: rows of A are 7, of B -3"},
      {{PIT_ERROR_CAPACITY, -1, 1, 0, {900, 512}, 0},
       "operator spmm: sparse index 'experts': 900 entries are needed and the capacity is 512"},
      {{PIT_ERROR_DATA, -1, 0, 0, {64, 5, 64}, 0},
       "operator spmm: sparse index 'live': the key at position 5 is 64, outside [0, 64); exclude "
       "positions of no group by a predicate, e.g. where(key >= 0)"},
      {{PIT_ERROR_DATA, -1, 0, 0, {-2, 5, 64}, 0}, "the key at position 5 is -1, outside"},
      {{PIT_ERROR_DATA, -1, 77, 0, {9, 5, 8}, 0}, "operator spmm: the key at position 5 is 9"},
  };
  for (const Case &c : cases) {
    CAPTURE(c.text);
    CHECK(in_child([&] {
            Image image;
            EXPECT(pit_check(nullptr, 0) == PIT_OK);
            to_report = c.record;
            EXPECT(run_reporting(image.get()).status == PIT_OK);
            to_report.status = PIT_OK;
            EXPECT(run_reporting(image.get()).status == PIT_OK);  // the record outlives the call
            EXPECT(pit_check(nullptr, 0) == c.record.status);
            EXPECT_PART(pit_last_error(), c.text);
            EXPECT(pit_check(nullptr, 0) == PIT_OK);
          }) == "");
  }
}

TEST_CASE("the first failure on a stream stays, and streams, devices and threads are apart") {
  CHECK(in_child([] {
          Image first("first"), second("second");
          to_report = {PIT_ERROR_DATA, 1, -1, 0, {1}, 0};
          run_reporting(first.get(), stream(1));
          to_report.values[0] = 2;
          run_reporting(second.get(), stream(1));
          run_reporting(second.get(), stream(2));
          run_reporting(second.get(), stream(1), 1);
          EXPECT(pit_check(nullptr, 0) == PIT_OK);
          EXPECT(pit_check(stream(1), 0) == PIT_ERROR_DATA);
          EXPECT_PART(pit_last_error(), "operator first: k is 1");
          EXPECT(pit_check(stream(1), 0) == PIT_OK);
          EXPECT(pit_check(stream(2), 0) == PIT_ERROR_DATA);
          EXPECT_PART(pit_last_error(), "operator second: k is 2");
          EXPECT(pit_check(stream(1), 1) == PIT_ERROR_DATA);
          // CU_STREAM_LEGACY is the null stream, CU_STREAM_PER_THREAD another one on each thread.
          run_reporting(first.get(), reinterpret_cast<void *>(1));
          EXPECT(pit_check(nullptr, 0) == PIT_ERROR_DATA);
          void *per_thread = reinterpret_cast<void *>(2);
          run_reporting(first.get(), per_thread);
          int elsewhere = -1;
          std::thread([&] { elsewhere = pit_check(per_thread, 0); }).join();
          EXPECT(elsewhere == PIT_OK);
          EXPECT(pit_check(per_thread, 0) == PIT_ERROR_DATA);
        }) == "");
}

TEST_CASE("many streams have status blocks of their own") {
  CHECK(in_child([] {
          Image image;
          for (std::uintptr_t s = 1; s <= 300; ++s) {
            to_report = {s % 3 == 0 ? PIT_ERROR_DATA : PIT_OK, 1, -1, 0,
                         {static_cast<std::int64_t>(s)},       0};
            run_reporting(image.get(), stream(s));
          }
          for (std::uintptr_t s = 1; s <= 300; ++s) {
            EXPECT(pit_check(stream(s), 0) == (s % 3 == 0 ? PIT_ERROR_DATA : PIT_OK));
            if (s % 3 == 0) EXPECT_PART(pit_last_error(), "k is " + std::to_string(s));
          }
        }) == "");
}

TEST_CASE("an operator that is gone is not looked into") {
  CHECK(in_child([] {
          auto image = std::make_unique<Image>();
          to_report = {PIT_ERROR_DATA, 1, -1, 0, {41}, 0};
          run_reporting(image->get());
          pit_cuda_image_release(image->get());
          EXPECT(fake().modules == 0);
          std::memset(static_cast<void *>(image->get()), 0xEE, sizeof(pit_cuda_image));
          EXPECT(pit_check(nullptr, 0) == PIT_ERROR_DATA);
          EXPECT_PART(pit_last_error(), "an operator that has been released failed: status 2");
          EXPECT_PART(pit_last_error(), "values 41");
        }) == "");
}

TEST_CASE("a kernel's fault is told with the operator, at the next call and at the check") {
  CHECK(in_child([] {
          Image culprit("culprit"), victim("victim");
          EXPECT(run(culprit.get()).status == PIT_OK);
          fake().failing = "cuMemsetD32Async";
          fake().result = CUDA_ERROR_ILLEGAL_ADDRESS;
          const pit_call call = run(victim.get());
          EXPECT(call.status == PIT_ERROR_CUDA);
          EXPECT_PART(call.error,
                      "operator victim: starting on device 0 (Fake GPU) failed with "
                      "CUDA_ERROR_ILLEGAL_ADDRESS (what the driver says of it); a kernel that ran "
                      "before failed");
          EXPECT_PART(call.error, "compute-sanitizer");
          EXPECT_PART(call.error, "what ran last on the stream is operator culprit");
          EXPECT(fake().pushed == 0);
          fake().failing = "cuStreamSynchronize";
          EXPECT(pit_check(nullptr, 0) == PIT_ERROR_CUDA);
          EXPECT_PART(pit_last_error(), "what ran last on the stream is operator culprit");
          EXPECT(pit_cuda_synchronise(0, nullptr) == PIT_ERROR_CUDA);
        }) == "");
}

TEST_CASE("a launch that the driver refuses names kernel and shape") {
  CHECK(in_child([] {
          Image image;
          fake().failing = "cuLaunchKernelEx";
          fake().result = CUDA_ERROR_OUT_OF_MEMORY;
          const pit_call call = run(image.get(), 0, nullptr, 1);
          EXPECT(call.status == PIT_ERROR_CUDA);
          EXPECT_PART(call.error,
                      "operator spmm: launching kernel second (7 blocks of 128 threads and 0 bytes "
                      "of shared memory, clusters of 1) on device 0 (Fake GPU) failed with "
                      "CUDA_ERROR_OUT_OF_MEMORY");
        }) == "");
}

TEST_CASE("tensor maps are given innermost last, and the hardware's rules are checked") {
  CHECK(in_child([] {
          Image image;
          pit_call call = call_on(0);
          pit_cuda_begin(&call, image.get(), 0);
          alignas(64) std::uint64_t map[16] = {};
          auto *base = reinterpret_cast<void *>(0x10000);
          const std::int64_t extents[] = {100, 64}, strides[] = {128, 2}, none[] = {0, 64};
          const std::int32_t box[] = {128, 32};
          pit_cuda_tensor_map(&call, map, base, PIT_CUDA_BFLOAT16, 2, extents, strides, box, 64);
          const std::uint64_t expected[] = {9, 2, 0x10000, 64, 100, 128, 32, 128, 2};
          for (int i = 0; i < 9; ++i) EXPECT(map[i] == expected[i]);
          pit_cuda_tensor_map(&call, map, nullptr, PIT_CUDA_BFLOAT16, 2, none, strides, box, 64);
          for (const std::uint64_t word : map) EXPECT(word == 0);
          EXPECT(call.status == PIT_OK);
          pit_cuda_end(&call);
        }) == "");
  struct Case {
    std::uintptr_t base;
    std::int64_t row_stride, element_stride;
    std::int32_t box, swizzle;
    const char *part;
  };
  const Case cases[] = {
      {0x10002, 128, 2, 32, 64, "address is no multiple of 16 but 65538"},
      {0x10000, 130, 2, 32, 64,
       "stride in bytes is no multiple of 16 below 2^40 but 130 (dimension 0)"},
      {0x10000, 128, 4, 32, 64, "innermost stride in bytes is not that of an element but 4"},
      {0x10000, 128, 2, 7, 0, "no multiple of 16 bytes up to the swizzle's width but 14"},
      {0x10000, 128, 2, 64, 64, "up to the swizzle's width but 128"},
      {0x10000, 128, 2, 512, 0, "box is not 1 to 256 but 512"},
      {0x10000, 128, 2, 32, 48, "swizzle is not 0, 32, 64 or 128 bytes but 48"},
  };
  for (const Case &c : cases) {
    CAPTURE(c.part);
    CHECK(in_child([&] {
            Image image;
            pit_call call = call_on(0);
            pit_cuda_begin(&call, image.get(), 0);
            alignas(64) char map[128];
            const std::int64_t extents[] = {100, 64}, strides[] = {c.row_stride, c.element_stride};
            const std::int32_t box[] = {128, c.box};
            pit_cuda_tensor_map(&call, map, reinterpret_cast<void *>(c.base), PIT_CUDA_FLOAT16, 2,
                                extents, strides, box, c.swizzle);
            EXPECT(call.status == PIT_ERROR_ARGUMENT);
            EXPECT_PART(call.error, "operator spmm: no bulk copy (TMA) of a tensor whose ");
            EXPECT_PART(call.error, c.part);
            pit_cuda_end(&call);
          }) == "");
  }
}
