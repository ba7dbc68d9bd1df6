// Random numbers, fast enough for hundreds of megabytes of them.
#pragma once

#include <cstdint>

namespace pit::bench {

/// The generator xorshift64* (S. Vigna, "An experimental exploration of Marsaglia's xorshift
/// generators, scrambled").
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {
    for (int i = 0; i < 8; ++i) next();
  }

  std::uint32_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<std::uint32_t>((state_ * 0x2545F4914F6CDD1DU) >> 32);
  }
  double uniform() { return next() * 0x1p-32; }                        ///< in [0, 1)
  float symmetric() { return static_cast<float>(2 * uniform() - 1); }  ///< in [-1, 1)
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>((std::uint64_t{next()} * static_cast<std::uint64_t>(n)) >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace pit::bench
