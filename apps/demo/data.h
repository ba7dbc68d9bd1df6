// Made-up numbers that depend on nothing but a seed.
#pragma once

#include <pit/pit.h>

#include <random>

namespace pit::demo {

/// Numbers for the cases. The same seed gives the same numbers everywhere.
class Data {
 public:
  explicit Data(unsigned seed) : generator_(seed) {}

  /// Uniform in [0, 1).
  double uniform() { return generator_() * 0x1p-32; }

  /// A tensor of float32 or bfloat16 with elements uniform in [-scale, scale).
  AnyBuffer tensor(Type type, const Shape &extents, double scale);

 private:
  std::mt19937 generator_;
};

}  // namespace pit::demo
