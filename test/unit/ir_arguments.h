// Tensors as arguments of the IR interpreter.
#pragma once

#include <cstdint>
#include <vector>

#include "codegen/ir/interpret.h"

namespace pit::ir {

/// A dense row-major tensor with its own elements.
template <class T>
struct TestTensor {
  std::vector<std::int64_t> extents;
  std::vector<T> data;

  explicit TestTensor(std::vector<std::int64_t> e, T value = T()) : extents(std::move(e)) {
    std::int64_t size = 1;
    for (std::int64_t extent : extents) size *= extent;
    data.assign(static_cast<std::size_t>(size), value);
  }

  TensorArgument argument() {
    std::vector<std::int64_t> strides(extents.size(), 1);
    for (std::size_t d = extents.size(); d-- > 1;) strides[d - 1] = strides[d] * extents[d];
    return {data.data(), extents, strides};
  }

  T &operator()(std::int64_t i) { return data.at(static_cast<std::size_t>(i)); }
  T &operator()(std::int64_t i, std::int64_t j) {
    return data.at(static_cast<std::size_t>(i * extents[1] + j));
  }

  /// Small whole numbers, so that float sums are exact in any order.
  TestTensor &fill_with_pattern(int seed) {
    std::uint32_t state = static_cast<std::uint32_t>(seed) * 2654435761u + 1u;
    for (T &element : data) {
      state = state * 1664525u + 1013904223u;
      element = T(static_cast<float>(static_cast<int>(state >> 24) % 9 - 4));
    }
    return *this;
  }
};

}  // namespace pit::ir
