// The decisions that a case is made of.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

namespace pit::fuzz {

/// The longest list of decisions that a case may need.
inline constexpr std::size_t kMostChoices = 8192;

/// More decisions than that.
struct TooManyChoices : std::runtime_error {
  TooManyChoices() : std::runtime_error("a case of too many decisions") {}
};

/// The decisions of one case, in memory that outlives the process that draws them.
struct ChoiceRecord {
  std::uint32_t count = 0;
  std::uint32_t values[kMostChoices] = {};
};

/// A source of small decisions. A case is a function of them, and 0 is always the simplest: a case is
/// made smaller by deleting decisions and by making them smaller, without knowing what they mean.
class Choices {
 public:
  /// Draws from `seed`. Every decision is appended to `record`.
  Choices(std::uint64_t seed, ChoiceRecord *record) : state_(seed), record_(record) {}
  /// Repeats `given`, then 0 for ever. Those that are out of range become the largest in range.
  Choices(std::span<const std::uint32_t> given, ChoiceRecord *record)
      : replay_(true), given_(given.begin(), given.end()), record_(record) {}

  /// A number in [0, n), n >= 1. Nothing is recorded where there is no choice.
  std::uint32_t below(std::uint32_t n);
  /// A number in [low, high]; low is the simplest.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + below(static_cast<std::uint32_t>(high - low + 1));
  }
  /// True in `percent` of a hundred; false is simpler.
  bool chance(std::uint32_t percent) { return below(100) >= 100 - percent; }
  /// One of `values`, the first being the simplest.
  template <class List>
  const auto &pick(const List &values) {
    return *(values.begin() + below(static_cast<std::uint32_t>(values.size())));
  }
  /// One of the numbers 0, 1, ... with these weights.
  int weighted(std::initializer_list<int> weights);

 private:
  std::uint64_t next();

  std::uint64_t state_ = 0;
  bool replay_ = false;
  std::vector<std::uint32_t> given_;
  std::size_t used_ = 0;
  ChoiceRecord *record_;
};

}  // namespace pit::fuzz
