// Whether two strided tensors share memory.
#include "runtime/overlap.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "dsl/buffer.h"

namespace pit {
namespace {

bool overlaps(const DLTensor &a, const DLTensor &b) { return pit_memory_overlaps(&a, &b) != 0; }

TEST_CASE("runtime: overlap of memory takes extents and strides of any size") {
  float memory[4] = {};
  const std::int64_t huge = std::int64_t{1} << 40;
  const auto tensor = [&](std::int64_t *shape, std::int64_t *strides) {
    return DLTensor{memory, {kDLCPU, 0}, 2, to_dlpack(float32), shape, strides, 0};
  };
  std::int64_t large[] = {huge, huge}, empty[] = {huge, 0}, one[] = {1, 2}, zero[] = {0, 0},
               far[] = {huge, huge}, near[] = {1, 1};
  CHECK(overlaps(tensor(large, nullptr), tensor(one, nullptr)));
  CHECK(overlaps(tensor(large, far), tensor(one, near)));
  CHECK(overlaps(tensor(large, zero), tensor(one, near)));
  CHECK_FALSE(overlaps(tensor(empty, nullptr), tensor(large, nullptr)));
  CHECK_FALSE(overlaps(tensor(one, near), tensor(empty, far)));
}

TEST_CASE("runtime: overlap of memory is exact for slices and transpositions") {
  // Against all elements of all pairs of a family of views on one memory.
  const Buffer<std::int32_t, 2> m({6, 10});
  std::vector<AnyBuffer> views;
  for (std::int64_t r = 0; r < 5; r += 2) {
    for (std::int64_t c = 0; c < 9; c += 3) {
      views.push_back(m.sliced(0, r, r + 2).sliced(1, c, c + 2));
      views.push_back(m.sliced(0, r, r + 2).sliced(1, c, c + 3).transposed());
      views.push_back(AnyBuffer(&m(r, c), int32, {3}, {2}));
      if (r >= 2) views.push_back(AnyBuffer(&m(r, c), int32, {3}, {-7}));
      views.push_back(AnyBuffer(reinterpret_cast<std::int16_t *>(&m(r, c)) + 1, int16, {2}, {4}));
    }
  }
  const char *base = reinterpret_cast<const char *>(m.data());
  const auto touched = [&](const AnyBuffer &b) {
    std::vector<bool> bits(6 * 10 * 4, false);
    for_each_coordinate(b.extents(), [&](const Shape &at) {
      const auto first = static_cast<std::size_t>(static_cast<const char *>(b.address(at)) - base);
      for (std::size_t i = 0; i < static_cast<std::size_t>(b.type().bytes()); ++i)
        bits[first + i] = true;
    });
    return bits;
  };
  int overlapping = 0;
  for (const AnyBuffer &a : views) {
    for (const AnyBuffer &b : views) {
      bool expected = false;
      const auto in_a = touched(a), in_b = touched(b);
      for (std::size_t i = 0; i < in_a.size(); ++i) expected |= in_a[i] && in_b[i];
      overlapping += expected;
      CHECK(overlaps(a.dl_tensor(), b.dl_tensor()) == expected);
    }
  }
  CHECK(overlapping > 0);
  CHECK(overlapping < static_cast<int>(views.size() * views.size()));
  CHECK_FALSE(overlaps(m.dl_tensor(), m.sliced(0, 1, 1).dl_tensor()));
}

}  // namespace
}  // namespace pit
