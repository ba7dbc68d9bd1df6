#include "driver.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace pit::bench::cuda {

// CUDA_KERNEL_NODE_PARAMS_v2.
struct KernelNode {
  void *function;
  unsigned grid[3], block[3], shared_bytes;
  void **parameters, **more;
  void *kernel, *context;
};

// Parts of the driver's C interface, declared here so that no header is needed. Handles are
// pointers, device memory is a 64-bit number, results are 0 for success.
#define PIT_BENCH_DRIVER(X)                                                                \
  X(get_error_name, "cuGetErrorName", (int, const char **))                                \
  X(init, "cuInit", (unsigned))                                                            \
  X(version, "cuDriverGetVersion", (int *))                                                \
  X(device_get, "cuDeviceGet", (int *, int))                                               \
  X(device_attribute, "cuDeviceGetAttribute", (int *, int, int))                           \
  X(retain_context, "cuDevicePrimaryCtxRetain", (void **, int))                            \
  X(set_context, "cuCtxSetCurrent", (void *))                                              \
  X(allocate, "cuMemAlloc_v2", (std::uint64_t *, std::size_t))                             \
  X(free, "cuMemFree_v2", (std::uint64_t))                                                 \
  X(to_device, "cuMemcpyHtoDAsync_v2", (std::uint64_t, const void *, std::size_t, void *)) \
  X(to_host, "cuMemcpyDtoHAsync_v2", (void *, std::uint64_t, std::size_t, void *))         \
  X(copy, "cuMemcpyDtoDAsync_v2", (std::uint64_t, std::uint64_t, std::size_t, void *))     \
  X(fill, "cuMemsetD8Async", (std::uint64_t, unsigned char, std::size_t, void *))          \
  X(stream_create, "cuStreamCreate", (void **, unsigned))                                  \
  X(stream_synchronise, "cuStreamSynchronize", (void *))                                   \
  X(begin_capture, "cuStreamBeginCapture_v2", (void *, int))                               \
  X(end_capture, "cuStreamEndCapture", (void *, void **))                                  \
  X(instantiate, "cuGraphInstantiateWithFlags", (void **, void *, unsigned long long))     \
  X(graph_launch, "cuGraphLaunch", (void *, void *))                                       \
  X(graph_nodes, "cuGraphGetNodes", (void *, void **, std::size_t *))                      \
  X(node_type, "cuGraphNodeGetType", (void *, int *))                                      \
  X(kernel_parameters, "cuGraphKernelNodeGetParams_v2", (void *, KernelNode *))            \
  X(kernel_name, "cuFuncGetName", (const char **, void *))                                 \
  X(set_enabled, "cuGraphNodeSetEnabled", (void *, void *, unsigned))                      \
  X(graph_destroy, "cuGraphDestroy", (void *))                                             \
  X(executable_destroy, "cuGraphExecDestroy", (void *))                                    \
  X(event_create, "cuEventCreate", (void **, unsigned))                                    \
  X(event_destroy, "cuEventDestroy_v2", (void *))                                          \
  X(event_record, "cuEventRecord", (void *, void *))                                       \
  X(event_synchronise, "cuEventSynchronize", (void *))                                     \
  X(event_elapsed, "cuEventElapsedTime", (float *, void *, void *))

struct Driver {
#define X(member, symbol, parameters) int(*member) parameters = nullptr;
  PIT_BENCH_DRIVER(X)
#undef X

  void require(int result, const std::string &what) const {
    if (result == 0) return;
    const char *name = nullptr;
    get_error_name(result, &name);
    throw std::runtime_error(
        what + " failed: " + (name != nullptr ? name : "error " + std::to_string(result)));
  }
};

namespace {

constexpr unsigned kNonBlocking = 1;  // CU_STREAM_NON_BLOCKING
constexpr int kRelaxed = 2;           // CU_STREAM_CAPTURE_MODE_RELAXED: an operator may allocate
constexpr int kKernelNode = 0;        // CU_GRAPH_NODE_TYPE_KERNEL
constexpr int kL2CacheSize = 38;      // CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE

std::uint64_t address(const void *memory) { return reinterpret_cast<std::uintptr_t>(memory); }

// The library that pit's runtime opens, too.
const Driver &open_driver() {
  static const Driver driver = [] {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
    const char *chosen = std::getenv("PIT_CUDA_DRIVER");
    void *library = dlopen(chosen != nullptr ? chosen : "libcuda.so.1", RTLD_NOW);
    // NOLINTNEXTLINE(concurrency-mt-unsafe): of glibc, where each thread has its own text
    if (library == nullptr) throw NoDevice(std::string("there is no CUDA driver: ") + dlerror());
    Driver d;
#define X(member, symbol, parameters)                                     \
  d.member = reinterpret_cast<int(*) parameters>(dlsym(library, symbol)); \
  if (d.member == nullptr) throw NoDevice("the CUDA driver is too old: it has no " symbol);
    PIT_BENCH_DRIVER(X)
#undef X
    return d;
  }();
  return driver;
}

}  // namespace

void *open_library(std::initializer_list<const char *> names) {
  for (const char *name : names) {
    for (const std::string folder : {"", "/usr/local/cuda/lib64/"}) {
      if (void *library = dlopen((folder + name).c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    }
  }
  return nullptr;
}

void Graph::replay() const {
  driver_->require(driver_->graph_launch(executable_.get(), stream_), "replaying a graph");
}

void Event::record() const {
  driver_->require(driver_->event_record(event_.get(), stream_), "recording an event");
}

double Event::since(const Event &earlier) const {
  driver_->require(driver_->event_synchronise(event_.get()), "waiting for the device");
  float milliseconds = 0;
  driver_->require(driver_->event_elapsed(&milliseconds, earlier.event_.get(), event_.get()),
                   "timing on the device");
  return 1000. * static_cast<double>(milliseconds);
}

Device::Device() : driver_(&open_driver()) {
  const std::vector<CudaDevice> devices = cuda_devices();
  if (devices.empty()) {
    throw NoDevice("there is no CUDA device of compute capability 8.0 or later");
  }
  name_ = devices.front().name;
  target_ = devices.front().target;
  number_ = devices.front().number;
  driver_->require(driver_->init(0), "starting CUDA");
  driver_->require(driver_->device_get(&device_, number_), "finding " + name_);
  void *context = nullptr;
  driver_->require(driver_->retain_context(&context, device_), "starting " + name_);
  driver_->require(driver_->set_context(context), "starting " + name_);
  driver_->require(driver_->stream_create(&stream_, kNonBlocking), "making a stream");
}

std::string Device::driver_version() const {
  int version = 0;
  driver_->require(driver_->version(&version), "asking the driver's version");
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::int64_t Device::cache_bytes() const {
  int bytes = 0;
  driver_->require(driver_->device_attribute(&bytes, kL2CacheSize, device_),
                   "asking for the size of the cache");
  return bytes;
}

AnyBuffer Device::allocate(Type type, Shape extents) const {
  std::int64_t bytes = type.bytes();
  for (const std::int64_t extent : extents) bytes *= extent;
  std::uint64_t memory = 0;
  driver_->require(
      driver_->allocate(&memory, static_cast<std::size_t>(std::max(bytes, std::int64_t{1}))),
      "allocating " + std::to_string(bytes) + " bytes");
  const Driver *driver = driver_;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): addresses of the driver are numbers
  void *pointer = reinterpret_cast<void *>(static_cast<std::uintptr_t>(memory));
  return {pointer,
          type,
          std::move(extents),
          {kDLCUDA, number_},
          std::shared_ptr<void>(pointer, [driver](void *p) { driver->free(address(p)); })};
}

AnyBuffer Device::upload(const AnyBuffer &host) const {
  AnyBuffer there = allocate(host.type(), host.extents());
  const auto bytes = static_cast<std::size_t>(host.size() * host.type().bytes());
  driver_->require(driver_->to_device(address(there.data()), host.data(), bytes, stream_),
                   "copying to the device");
  synchronise();
  return there;
}

void Device::download(void *to, const void *from, std::int64_t bytes) const {
  driver_->require(driver_->to_host(to, address(from), static_cast<std::size_t>(bytes), stream_),
                   "copying from the device");
  synchronise();
}

void Device::copy(void *to, const void *from, std::int64_t bytes) const {
  driver_->require(
      driver_->copy(address(to), address(from), static_cast<std::size_t>(bytes), stream_),
      "copying on the device");
}

void Device::fill(const AnyBuffer &buffer, int byte) const {
  const auto bytes = static_cast<std::size_t>(buffer.size() * buffer.type().bytes());
  driver_->require(
      driver_->fill(address(buffer.data()), static_cast<unsigned char>(byte), bytes, stream_),
      "filling memory");
}

void Device::synchronise() const {
  driver_->require(driver_->stream_synchronise(stream_), "waiting for the device");
}

std::string Device::kernel_of(void *node) const {
  KernelNode parameters{};
  driver_->require(driver_->kernel_parameters(node, &parameters), "asking for a graph's kernel");
  const char *name = nullptr;
  driver_->require(driver_->kernel_name(&name, parameters.function), "asking for a kernel's name");
  return name;
}

Graph Device::record(const std::function<void()> &enqueue,
                     const std::function<bool(const std::string &kernel)> &wanted) const {
  driver_->require(driver_->begin_capture(stream_, kRelaxed), "beginning to record a graph");
  void *recorded = nullptr;
  try {
    enqueue();
  } catch (...) {
    driver_->end_capture(stream_, &recorded);
    if (recorded != nullptr) driver_->graph_destroy(recorded);
    throw;
  }
  driver_->require(driver_->end_capture(stream_, &recorded), "recording a graph");
  const Driver *driver = driver_;
  const std::shared_ptr<void> owner(recorded, [driver](void *g) { driver->graph_destroy(g); });
  std::size_t count = 0;
  driver_->require(driver_->graph_nodes(recorded, nullptr, &count), "asking for a graph's nodes");
  std::vector<void *> nodes(count);
  if (count > 0) {
    driver_->require(driver_->graph_nodes(recorded, nodes.data(), &count),
                     "asking for a graph's nodes");
  }
  Graph graph;
  std::vector<void *> refused;
  for (void *node : nodes) {
    int type = -1;
    driver_->require(driver_->node_type(node, &type), "asking for a graph's nodes");
    if (type != kKernelNode) continue;
    if (wanted && !wanted(kernel_of(node))) {
      refused.push_back(node);
    } else {
      ++graph.kernels_;
    }
  }
  void *executable = nullptr;
  driver_->require(driver_->instantiate(&executable, recorded, 0), "making a graph");
  graph.executable_ =
      std::shared_ptr<void>(executable, [driver](void *e) { driver->executable_destroy(e); });
  for (void *node : refused)
    driver_->require(driver_->set_enabled(executable, node, 0), "leaving a kernel out of a graph");
  graph.driver_ = driver_;
  graph.stream_ = stream_;
  return graph;
}

Event Device::event() const {
  void *made = nullptr;
  driver_->require(driver_->event_create(&made, 0), "making an event");
  Event event;
  const Driver *driver = driver_;
  event.event_ = std::shared_ptr<void>(made, [driver](void *e) { driver->event_destroy(e); });
  event.driver_ = driver_;
  event.stream_ = stream_;
  return event;
}

}  // namespace pit::bench::cuda
