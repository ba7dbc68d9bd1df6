// A tensor of the host in the memory of a CUDA device, laid out as it is on the host.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "dsl/buffer.h"
#include "dsl/error.h"
#include "runtime/pit_cuda.h"

namespace pit::test {

/// Bytes around a tensor on a device are not what they were.
struct WroteBeside : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The memory from the lowest to the highest address that a buffer's strides reach.
struct Span {
  char *first = nullptr;
  std::size_t bytes = 0;
  std::size_t data_at = 0;  ///< byte of the span where data() points

  explicit Span(const AnyBuffer &buffer) {
    std::int64_t low = 0, high = 0;
    for (int d = 0; d < buffer.rank() && buffer.size() > 0; ++d) {
      const std::int64_t reach = (buffer.extent(d) - 1) * buffer.stride(d);
      low += std::min<std::int64_t>(reach, 0);
      high += std::max<std::int64_t>(reach, 0);
    }
    const std::int64_t element = buffer.type().bytes();
    data_at = static_cast<std::size_t>(-low * element);
    bytes = buffer.size() > 0 ? static_cast<std::size_t>((high - low + 1) * element) : 0;
    first = static_cast<char *>(buffer.data()) - data_at;
  }
};

/// The span of a tensor on the first CUDA device, with the strides that the tensor has on the host
/// and at its address modulo 256, so that operators meet there what they meet here. What lies
/// between the elements goes there and comes back with them. The bytes around the span are NaN as
/// floats of any width; after a call they must be so still.
class DeviceTensor {
 public:
  /// Copies are made in `stream`, which is waited for.
  DeviceTensor(std::string name, const AnyBuffer &here, void *stream = nullptr)
      : name_(std::move(name)), stream_(stream), bytes_(Span(here).bytes) {
    const Span span(here);
    const std::size_t before = margin() + reinterpret_cast<std::uintptr_t>(span.first) % kAlignment;
    memory_ = std::shared_ptr<void>(allocated(before + bytes_ + margin()),
                                    [](void *memory) { pit_cuda_free(kDevice, memory); });
    first_ = static_cast<char *>(memory_.get()) + before;
    data_at_ = span.data_at;
    for (char *edge : margins())
      require(pit_cuda_fill(kDevice, stream_, edge, kMarginByte, margin()));
    upload(here);
    DLTensor there = here.dl_tensor();
    there.data = first_ + data_at_;
    there.device = {kDLCUDA, kDevice};
    buffer_ = AnyBuffer::from_dlpack(&there);
  }
  DeviceTensor(const DeviceTensor &) = delete;
  DeviceTensor &operator=(const DeviceTensor &) = delete;

  /// Valid while this object is.
  const AnyBuffer &buffer() const { return buffer_; }

  /// Copies the span of a tensor of the same layout there.
  void upload(const AnyBuffer &from) const {
    require(pit_cuda_copy(kDevice, stream_, first_, span_of(from).first, bytes_));
    require(pit_cuda_synchronise(kDevice, stream_));
  }

  /// Copies the span to a tensor of the same layout, once what writes it is done. WroteBeside if
  /// the bytes around it have changed.
  void download(const AnyBuffer &to) const {
    require(pit_cuda_copy(kDevice, stream_, span_of(to).first, first_, bytes_));
    check_margins();
  }

  void check_margins() const {
    std::vector<unsigned char> bytes(margin());
    for (const char *edge : margins()) {
      require(pit_cuda_copy(kDevice, stream_, bytes.data(), edge, margin()));
      require(pit_cuda_synchronise(kDevice, stream_));
      const auto is_other = [](unsigned char byte) { return byte != kMarginByte; };
      const auto other = std::ranges::find_if(bytes, is_other);
      if (other == bytes.end()) continue;
      throw WroteBeside("tensor " + name_ + " of " + std::to_string(bytes_) +
                        " bytes: " + std::to_string(std::ranges::count_if(bytes, is_other)) +
                        " bytes beside it were written, the first at byte " +
                        std::to_string(edge - first_ + (other - bytes.begin())));
    }
  }

 private:
  static constexpr int kDevice = 0, kMarginByte = 0xFF;
  static constexpr std::size_t kAlignment = 256;  ///< of what pit_cuda_allocate gives

  /// Bytes on each side: PIT_TEST_MARGIN, a multiple of 256, or 4096. With 0 a tensor ends where
  /// its memory does, which is what tools that watch every access need.
  static std::size_t margin() {
    static const std::size_t bytes = [] {
      // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
      const char *variable = std::getenv("PIT_TEST_MARGIN");
      const std::size_t given = variable != nullptr ? std::strtoul(variable, nullptr, 10) : 4096;
      if (given % kAlignment != 0)
        throw RuntimeError("PIT_TEST_MARGIN is " + std::string(variable) +
                           "; expected a multiple of 256");
      return given;
    }();
    return bytes;
  }

  static void require(std::int32_t status) {
    if (status != PIT_OK) throw RuntimeError(pit_last_error());
  }
  static void *allocated(std::size_t bytes) {
    void *memory = pit_cuda_allocate(kDevice, bytes);
    if (memory == nullptr) throw RuntimeError(pit_last_error());
    return memory;
  }

  std::vector<char *> margins() const { return {first_ - margin(), first_ + bytes_}; }

  Span span_of(const AnyBuffer &buffer) const {
    const Span span(buffer);
    if (span.bytes != bytes_ || span.data_at != data_at_)
      throw std::logic_error("tensor " + name_ + " has another layout on the device");
    return span;
  }

  std::string name_;
  void *stream_;
  std::size_t bytes_, data_at_ = 0;
  std::shared_ptr<void> memory_;
  char *first_ = nullptr;
  AnyBuffer buffer_;
};

}  // namespace pit::test
