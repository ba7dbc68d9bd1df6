// Buffers on CUDA devices, and what users ask of streams.
#include "dsl/buffer.h"
#include "dsl/callable.h"
#include "dsl/error.h"
#include "runtime/pit_cuda.h"

namespace pit {

namespace {

void require(std::int32_t status) {
  if (status != PIT_OK) throw RuntimeError(pit_last_error());
}

std::size_t bytes_of(const AnyBuffer &b) {
  return static_cast<std::size_t>(b.size() * b.type().bytes());
}

const void *compact_data(const AnyBuffer &b) {
  if (!b.is_compact()) {
    throw RuntimeError("buffer: extents " + to_string(b.extents()) + " with strides " +
                       to_string(b.strides()) +
                       " are copied from a device only when they are compact");
  }
  return b.data();
}

bool is_on_cuda(const AnyBuffer &b) { return b.device().device_type == kDLCUDA; }

}  // namespace

AnyBuffer AnyBuffer::to_cuda(int device) const {
  const AnyBuffer from = is_on_host() ? (is_compact() ? *this : copy()) : *this;
  void *memory = pit_cuda_allocate(device, bytes_of(from));
  if (memory == nullptr) throw RuntimeError(pit_last_error());
  const std::shared_ptr<void> owner(memory, [device](void *p) { pit_cuda_free(device, p); });
  const int copies_on = is_on_cuda(from) ? from.device().device_id : device;
  require(pit_cuda_copy(copies_on, nullptr, memory, compact_data(from), bytes_of(from)));
  require(pit_cuda_synchronise(copies_on, nullptr));
  return {memory, type(), extents(), {kDLCUDA, device}, owner};
}

AnyBuffer AnyBuffer::to_host() const {
  if (!is_on_cuda(*this)) return copy();
  AnyBuffer to(type(), extents());
  const int device = device_.device_id;
  require(pit_cuda_copy(device, nullptr, to.data(), compact_data(*this), bytes_of(*this)));
  require(pit_cuda_synchronise(device, nullptr));
  return to;
}

std::vector<CudaDevice> cuda_devices() {
  std::vector<CudaDevice> devices;
  const std::int32_t count = pit_cuda_device_count();
  for (std::int32_t number = 0; number < count; ++number) {
    pit_cuda_device device;
    require(pit_cuda_get_device(number, &device));
    if (device.architecture < 80) continue;
    devices.push_back({number, device.name,
                       Target(device.architecture == 90 ? "x86-64-linux-cuda-sm_90a"
                                                        : "x86-64-linux-cuda-sm_80")});
  }
  return devices;
}

void check(void *stream, int device) { require(pit_check(stream, device)); }

}  // namespace pit
