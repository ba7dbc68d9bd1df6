// The driver, its contexts and the modules in them, without a GPU: see fake_cuda.h.

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "test/driver/child.h"
#include "test/driver/image.h"

using namespace pit_test;  // NOLINT: the test's own words

TEST_CASE("without a driver everything says so and nothing breaks") {
  CHECK(in_child(
            [] {
              EXPECT(pit_cuda_device_count() == 0);
              EXPECT_PART(pit_last_error(), "there is no CUDA driver");
              EXPECT_PART(pit_last_error(), "/nowhere/libcuda.so.1");
              Image image;
              pit_call call = call_on(0);
              EXPECT(pit_cuda_begin(&call, image.get(), 1) == PIT_ERROR_DEVICE);
              EXPECT_PART(call.error, "operator spmm: there is no CUDA driver");
              EXPECT_PART(call.error, "install the NVIDIA driver, or choose the target \"host\"");
              EXPECT(call.status == PIT_ERROR_DEVICE);
              pit_cuda_launch(&call, image.get(), 0, 1, 1, 0, 1, 0, nullptr);
              EXPECT(pit_cuda_workspace(&call, 8) == nullptr);
              pit_cuda_end(&call);
              EXPECT(pit_check(nullptr, 0) == PIT_ERROR_DEVICE);
              EXPECT(pit_cuda_allocate(0, 8) == nullptr);
              EXPECT(pit_cuda_device_of(&image) == -1);
              pit_trim();
              pit_cuda_image_release(image.get());
            },
            {{"PIT_CUDA_DRIVER", "/nowhere/libcuda.so.1"}}) == "");
}

TEST_CASE("a driver that is too old, or without a device, is refused by its name") {
  CHECK(in_child([] {
          fake().version = 11080;
          EXPECT(pit_cuda_device_count() == 0);
          EXPECT_PART(pit_last_error(), "knows CUDA 11.8 and at least 12.0 is needed; update");
        }) == "");
  CHECK(in_child([] {
          fake().device_count = 0;
          EXPECT(pit_cuda_device_count() == 0);
          EXPECT_PART(pit_last_error(),
                      "sees no device; check nvidia-smi and CUDA_VISIBLE_DEVICES");
        }) == "");
  CHECK(in_child([] {
          fake().failing = "cuInit";
          fake().result = 803;
          EXPECT(pit_cuda_device_count() == 0);
          EXPECT_PART(pit_last_error(), "did not start: CUDA error 803");
        }) == "");
  CHECK(in_child([] {
          EXPECT(pit_cuda_device_count() == 2);
          Image image;
          EXPECT(run(image.get(), 2).status == PIT_ERROR_DEVICE);
          EXPECT_PART(pit_last_error(),
                      "operator spmm: there is no CUDA device 2; the driver sees 2");
          EXPECT(run(image.get(), -1).status == PIT_ERROR_DEVICE);
          EXPECT(run(image.get(), 1).status == PIT_OK);
        }) == "");
}

TEST_CASE("what a device is like is known") {
  CHECK(in_child([] {
          pit_cuda_device device;
          EXPECT(pit_cuda_get_device(1, &device) == PIT_OK);
          EXPECT(std::string(device.name) == "Fake GPU");
          EXPECT(device.architecture == 90);
          EXPECT(device.multiprocessors == 132);
          EXPECT(device.shared_bytes == 232448);
          EXPECT(device.memory_bytes == std::int64_t{80} << 30);
          EXPECT(device.driver_version == 13000);
          EXPECT(pit_cuda_get_device(5, &device) == PIT_ERROR_DEVICE);
        }) == "");
}

TEST_CASE("the caller's context is used if it is the device's, and is always left as it was") {
  CHECK(in_child([] {
          Image image;
          EXPECT(run(image.get(), 0).status == PIT_OK);
          EXPECT(fake().pushed == 0);
          EXPECT(count("cuCtxPushCurrent") == 1);

          CUcontext other = push_context_of(1);
          const int pushes = count("cuCtxPushCurrent");
          EXPECT(run(image.get(), 1).status == PIT_OK);
          EXPECT(count("cuCtxPushCurrent") == pushes);
          EXPECT(run(image.get(), 0).status == PIT_OK);
          EXPECT(count("cuCtxPushCurrent") == pushes + 1);
          EXPECT(fake().pushed == 1);
          EXPECT(current_context() == other);

          fake().failing = "cuLaunchKernelEx";
          fake().result = CUDA_ERROR_INVALID_VALUE;
          EXPECT(run(image.get(), 0).status == PIT_ERROR_CUDA);
          EXPECT(pit_check(nullptr, 0) == PIT_OK);
          EXPECT(fake().pushed == 1);
        }) == "");
}

TEST_CASE("a device that was reset is used again") {
  CHECK(in_child([] {
          Image image;
          EXPECT(run(image.get()).status == PIT_OK);
          reset_device(0);
          EXPECT(run(image.get()).status == PIT_OK);
          EXPECT(count("cuDevicePrimaryCtxRetain") == 2);
          EXPECT(fake().modules == 2);
          EXPECT(fake().pushed == 0);
        }) == "");
}

TEST_CASE("kernels are loaded once for each device, by whichever thread comes first") {
  CHECK(in_child([] {
          Image image;
          std::vector<std::thread> threads;
          std::vector<int> good(8);
          for (std::size_t t = 0; t < good.size(); ++t) {
            threads.emplace_back([&, t] {
              for (int i = 0; i < 20; ++i) {
                good[t] += run(image.get(), i % 2, reinterpret_cast<void *>(t)).status == PIT_OK;
              }
            });
          }
          for (std::thread &t : threads) t.join();
          for (const int n : good) EXPECT(n == 20);
          EXPECT(count("cuLinkCreate") == 2);
          EXPECT(count("cuModuleLoadDataEx") == 2);
          EXPECT(count("cuLaunchKernelEx") == 160);
          EXPECT(fake().pushed == 0);
          pit_cuda_image_release(image.get());
          EXPECT(fake().modules == 0);
          EXPECT(image->state == nullptr);
          EXPECT(run(image.get()).status == PIT_OK);
          EXPECT(fake().modules == 1);
        }) == "");
}

namespace {

std::vector<std::filesystem::path> files_of(const std::string &folder) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::exists(folder)) return files;
  for (const auto &entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path());
  }
  return files;
}

std::string contents(const std::filesystem::path &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// How often a new process that runs the image compiles.
std::string expect_links(int links, const Environment &environment, const char *ptx = kPtx) {
  return in_child(
      [&] {
        Image image("spmm", ptx);
        EXPECT(run(image.get()).status == PIT_OK);
        EXPECT(count("cuLinkCreate") == links);
      },
      environment);
}

}  // namespace

TEST_CASE("PTX is compiled once for a machine") {
  const Folder folder;
  const std::string cache = folder.path() + "/a/b";
  const Environment environment = {{"PIT_CACHE_DIR", cache}};
  CHECK(expect_links(1, environment) == "");
  REQUIRE(files_of(cache).size() == 1);
  CHECK(files_of(cache)[0].filename().string().find("-sm_90-13000.cubin") != std::string::npos);
  CHECK(expect_links(0, environment) == "");
  CHECK(expect_links(1, environment, ".version first second heavy static, another text") == "");
  CHECK(files_of(cache).size() == 2);
  CHECK(in_child(
            [] {
              fake().version = 13010;
              Image image;
              EXPECT(run(image.get()).status == PIT_OK);
              EXPECT(count("cuLinkCreate") == 1);
            },
            environment) == "");
}

TEST_CASE("a damaged file of the cache is ignored and written again") {
  const Folder folder;
  const Environment environment = {{"PIT_CACHE_DIR", folder.path()}};
  CHECK(expect_links(1, environment) == "");
  REQUIRE(files_of(folder.path()).size() == 1);
  const std::filesystem::path file = files_of(folder.path())[0];
  const std::string good = contents(file);
  std::string flipped = good;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  for (const std::string &bad : {std::string(), good.substr(0, 20), good.substr(0, 40), flipped,
                                 good + "x", std::string(500, '\xff')}) {
    std::ofstream(file, std::ios::binary) << bad;
    CHECK(expect_links(1, environment) == "");
    CHECK(contents(file) == good);
  }
  CHECK(expect_links(0, environment) == "");
  CHECK(files_of(folder.path()).size() == 1);  // no temporary file is left
}

TEST_CASE("the cache's folder follows the environment") {
  const Folder folder;
  const Environment base = {{"XDG_CACHE_HOME", folder.path()}, {"PIT_CACHE_DIR", ""}};
  CHECK(expect_links(1, base) == "");
  CHECK(files_of(folder.path()).empty());
  CHECK(in_child(
            [] {
              unsetenv("PIT_CACHE_DIR");
              Image image;
              EXPECT(run(image.get()).status == PIT_OK);
            },
            base) == "");
  CHECK(files_of(folder.path() + "/pit").size() == 1);
  // A folder that cannot be made is no folder.
  CHECK(expect_links(1, {{"PIT_CACHE_DIR", "/proc/nothing/here"}}) == "");
}

TEST_CASE("kernels that cannot run on the device are refused with what would") {
  CHECK(in_child([] {
          Image image;
          image->architecture = 100;
          EXPECT(run(image.get()).status == PIT_ERROR_DEVICE);
          EXPECT_PART(
              pit_last_error(),
              "operator spmm: it was compiled for sm_100 or newer, and device 0 (Fake GPU) is "
              "sm_90; compile it for the target \"x86-64-linux-cuda-sm_90a\"");
          Image specific;
          specific->architecture_specific = 1;
          EXPECT(run(specific.get()).status == PIT_ERROR_DEVICE);
          EXPECT_PART(pit_last_error(), "compiled for sm_80a alone");
          EXPECT(fake().pushed == 0);
        }) == "");
}

TEST_CASE("machine code is preferred where it fits, and PTX takes its place where not") {
  CHECK(in_child([] {
          const std::string code = "cubin: first second heavy static";
          Image image;
          image->cubin = code.c_str();
          image->cubin_bytes = code.size() + 1;
          EXPECT(run(image.get()).status == PIT_OK);  // of sm_80
          EXPECT(count("cuLinkCreate") == 1);
          Image fits;
          fits->architecture = 90;
          fits->cubin = code.c_str();
          EXPECT(run(fits.get()).status == PIT_OK);
          EXPECT(count("cuLinkCreate") == 1);
          Image broken;
          broken->architecture = 90;
          broken->cubin = "no code";
          EXPECT(run(broken.get()).status == PIT_OK);
          EXPECT(count("cuLinkCreate") == 2);
          broken->ptx = nullptr;
          pit_cuda_image_release(broken.get());
          EXPECT(run(broken.get()).status == PIT_ERROR_CUDA);
          EXPECT_PART(pit_last_error(), "its machine code does not load on device 0 (Fake GPU)");
          EXPECT_PART(pit_last_error(), "the driver's log: neither machine code nor PTX");
        }) == "");
}

TEST_CASE("PTX that moves registers between warps is compiled as a whole, by the driver") {
  const Folder folder;
  static const std::string ptx = std::string(kPtx) + " setmaxnreg.inc.sync.aligned.u32 232;";
  const Environment environment = {{"PIT_CACHE_DIR", folder.path()}};
  CHECK(in_child(
            [] {
              Image image("spmm", ptx.c_str());
              EXPECT(run(image.get()).status == PIT_OK);
              EXPECT(count("cuModuleLoadDataEx") == 1);
              EXPECT(count("cuLinkCreate") == 0);
            },
            environment) == "");
  CHECK(files_of(folder.path()).empty());  // the driver's own cache has it
  // A driver that refuses the whole is given a unit of one.
  CHECK(in_child(
            [] {
              fake().loads_ptx = 0;
              Image image("spmm", ptx.c_str());
              EXPECT(run(image.get()).status == PIT_OK);
              EXPECT(count("cuModuleLoadDataEx") == 2);
              EXPECT(count("cuLinkCreate") == 1);
            },
            environment) == "");
  CHECK(files_of(folder.path()).size() == 1);
  // What the linker made is not preferred to a driver that compiles the whole.
  CHECK(in_child(
            [] {
              Image image("spmm", ptx.c_str());
              EXPECT(run(image.get()).status == PIT_OK);
              EXPECT(count("cuModuleLoadDataEx") == 1);
              EXPECT(std::string(fake().last_loaded).find("cubin:") == std::string::npos);
            },
            environment) == "");
}

TEST_CASE("PTX that does not load is reported with the log") {
  CHECK(in_child([] {
          Image image("spmm", "garbage");
          EXPECT(run(image.get()).status == PIT_ERROR_CUDA);
          EXPECT_PART(pit_last_error(),
                      "operator spmm: its PTX does not load on device 0 (Fake GPU): "
                      "CUDA_ERROR_INVALID_PTX (what the driver says of it)");
          EXPECT_PART(pit_last_error(), "the driver's log: ptxas line 7: what is this?");
          Image without("spmm", ".version first second heavy");
          EXPECT(run(without.get()).status == PIT_ERROR_CUDA);
          EXPECT_PART(pit_last_error(), "static of its module cannot be used");
          EXPECT(fake().modules == 0);
        }) == "");
}

TEST_CASE("a profiler sees each call as a range with the operator's name") {
  CHECK(in_child(
            [] {
              Image image;
              pit_call call = call_on(0);
              EXPECT(pit_cuda_begin(&call, image.get(), 0) == PIT_OK);
              EXPECT(std::string(fake().last_push) == "spmm");
              pit_cuda_end(&call);
              EXPECT(std::string(fake().last_push).empty());
            },
            {{"NVTX_INJECTION64_PATH", stand_in()}}) == "");
}
