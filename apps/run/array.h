// A tensor in the host's memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/pit_runtime.h"

namespace pit::run {

using Shape = std::vector<std::int64_t>;

/// "float32", "bfloat16"; "" for types that pit does not know.
std::string type_name(DLDataType type);
/// "100x70"; "scalar" for rank 0.
std::string to_string(const Shape &shape);

/// Owns its memory, which is aligned and, but for `strides`, compact.
class Array {
 public:
  /// Elements are 0. `order`: dimensions from the outermost to the innermost in memory; empty:
  /// row-major. std::runtime_error where there is no such memory.
  Array(DLDataType type, Shape shape, std::vector<int> order = {}, std::size_t alignment = 64);
  Array(Array &&) = default;
  Array &operator=(Array &&) = default;

  DLDataType type() const { return type_; }
  const Shape &shape() const { return shape_; }
  const Shape &strides() const { return strides_; }  ///< in elements
  std::int64_t size() const { return size_; }        ///< elements
  std::size_t bytes() const;
  std::byte *data() { return data_; }
  const std::byte *data() const { return data_; }

  /// Element number `i`, counted in row-major order, as a double; integers of 64 bits lose digits.
  double operator[](std::int64_t i) const;
  /// Rounds to the nearest, ties to even, saturating where integers end.
  void set(std::int64_t i, double value);
  /// Row-major coordinates of element number `i`.
  Shape coordinates(std::int64_t i) const;

  /// With these elements in another type, layout and alignment.
  Array converted(DLDataType type, std::vector<int> order = {}, std::size_t alignment = 64) const;

  /// Describes this memory, or a copy of it at `data` on a device. Valid as long as this object.
  DLTensor tensor(void *data, DLDevice device) const;
  DLTensor tensor() { return tensor(data_, {kDLCPU, 0}); }

 private:
  DLDataType type_;
  Shape shape_, strides_;
  std::int64_t size_ = 1;
  std::vector<std::byte> memory_;
  std::byte *data_ = nullptr;

  std::byte *place(std::int64_t i) const;
};

}  // namespace pit::run
