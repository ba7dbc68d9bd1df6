// Buffers of data for tests.
#pragma once

#include <functional>
#include <random>

#include "dsl/buffer.h"

namespace pit {

/// A buffer whose elements are make(coordinates).
template <class T, int Rank>
Buffer<T, Rank> filled(const Shape &extents, const std::function<double(const Shape &)> &make) {
  const Buffer<T, Rank> b(extents);
  for_each_coordinate(extents, [&](const Shape &at) { b.set_number(at, make(at)); });
  return b;
}

/// Reproducible numbers in [-1, 1), some of them 0.
template <class T, int Rank>
Buffer<T, Rank> random(const Shape &extents, unsigned seed, double zeros = 0) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-1, 1), chance(0, 1);
  return filled<T, Rank>(extents, [&](const Shape &) {
    const double value = uniform(generator);
    return chance(generator) < zeros ? 0.0 : value;
  });
}

}  // namespace pit
