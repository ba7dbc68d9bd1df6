// The CUDA driver's streams and graphs, for tests that capture operators; opened as the runtime
// opens it, so nothing of CUDA is needed to build.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "dsl/error.h"

namespace pit::test {

/// Calls of libcuda.so.1 in the first device's primary context. RuntimeError when a call fails.
class Driver {
 public:
  using Pointer = void *;  ///< CUstream, CUevent, CUgraph, CUgraphExec

  Driver() {
    library_ = ::dlopen("libcuda.so.1", RTLD_NOW);
    if (!library_) throw RuntimeError("there is no libcuda.so.1");
    call<int>("cuInit", 0U);
    int device = 0;
    call<int>("cuDeviceGet", &device, 0);
    Pointer context = nullptr;
    call<int>("cuDevicePrimaryCtxRetain", &context, device);
    call<int>("cuCtxSetCurrent", context);
  }

  /// Calls the function `name` of the driver, whose result is 0 when all is well.
  template <class Result = int, class... Arguments>
  void call(const char *name, Arguments... arguments) const {
    auto *function = reinterpret_cast<Result (*)(Arguments...)>(::dlsym(library_, name));
    if (!function) throw RuntimeError(std::string("the driver has no ") + name);
    const Result result = function(arguments...);
    if (result != 0)
      throw RuntimeError(std::string(name) + " failed with " + std::to_string(result));
  }

  Pointer stream() const {
    Pointer stream = nullptr;
    constexpr unsigned kNonBlocking = 1;
    call("cuStreamCreate", &stream, kNonBlocking);
    return stream;
  }

  /// What `work` puts into the stream, as a graph that can be launched.
  template <class Work>
  Pointer captured(Pointer stream, const Work &work) const {
    constexpr int kGlobal = 0;
    call("cuStreamBeginCapture_v2", stream, kGlobal);
    work();
    Pointer graph = nullptr, executable = nullptr;
    call("cuStreamEndCapture", stream, &graph);
    constexpr unsigned long long kNoFlags = 0;
    call("cuGraphInstantiateWithFlags", &executable, graph, kNoFlags);
    return executable;
  }
  void launch(Pointer graph, Pointer stream) const { call("cuGraphLaunch", graph, stream); }
  void wait(Pointer stream) const { call("cuStreamSynchronize", stream); }

  void to_device(void *device, const void *host, std::size_t bytes) const {
    call("cuMemcpyHtoD_v2", reinterpret_cast<std::uintptr_t>(device), host, bytes);
  }

 private:
  void *library_ = nullptr;
};

}  // namespace pit::test
