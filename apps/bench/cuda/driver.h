// The CUDA device that is measured: memory, one stream, recorded work and its times, through the
// driver's C interface, which is opened at run time.
#pragma once

#include <pit/pit.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

namespace pit::bench::cuda {

/// There is nothing to measure on: no driver, or no device that pit compiles for.
class NoDevice : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Opens the first of `names` that exists, also in the CUDA Toolkit's usual folder; null: none.
void *open_library(std::initializer_list<const char *> names);

struct Driver;

/// Work of the stream that was recorded once and is replayed. Kernels and memory that it uses must
/// live as long.
class Graph {
 public:
  Graph() = default;
  /// Enqueues the work.
  void replay() const;
  /// Launches of a replay.
  int kernels() const { return kernels_; }

 private:
  friend class Device;
  std::shared_ptr<void> executable_;
  int kernels_ = 0;
  const Driver *driver_ = nullptr;
  void *stream_ = nullptr;
};

/// A point of the stream, whose time the device notes.
class Event {
 public:
  void record() const;
  /// Microseconds from `earlier` to this; waits for both.
  double since(const Event &earlier) const;

 private:
  friend class Device;
  std::shared_ptr<void> event_;
  const Driver *driver_ = nullptr;
  void *stream_ = nullptr;
};

/// The first device that pit compiles for. Errors of the driver are std::runtime_errors. To be used
/// by one thread, whose current context it makes the device's primary one, the context of pit's
/// operators.
class Device {
 public:
  /// NoDevice says why there is none.
  Device();

  const std::string &name() const { return name_; }
  /// The one whose code suits the device best.
  const Target &target() const { return target_; }
  /// "13.0": the newest CUDA that the driver knows.
  std::string driver_version() const;
  /// Of the L2 cache, which all multiprocessors share.
  std::int64_t cache_bytes() const;
  /// Everything here is in the order of this stream (CUstream).
  void *stream() const { return stream_; }

  /// Memory that is not initialised.
  AnyBuffer allocate(Type type, Shape extents) const;
  /// A copy of a compact buffer of the host.
  AnyBuffer upload(const AnyBuffer &host) const;
  /// Copies `bytes` from the device to the host, after what is in the stream.
  void download(void *to, const void *from, std::int64_t bytes) const;
  /// Enqueues a copy within the device.
  void copy(void *to, const void *from, std::int64_t bytes) const;
  /// Enqueues: every byte becomes `byte`.
  void fill(const AnyBuffer &buffer, int byte) const;
  void synchronise() const;

  /// Records what `enqueue` puts into the stream, without the kernels whose names `wanted` refuses;
  /// none: with all of them.
  Graph record(const std::function<void()> &enqueue,
               const std::function<bool(const std::string &kernel)> &wanted = {}) const;
  Event event() const;

 private:
  const Driver *driver_;
  std::string name_;
  Target target_;
  int number_ = 0;
  int device_ = 0;  // CUdevice
  void *stream_ = nullptr;

  std::string kernel_of(void *node) const;
};

}  // namespace pit::bench::cuda
