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
  /// Decisions [begin, end) that are about one part of the case, nested; end 0: never ended.
  struct Part {
    std::uint32_t begin = 0, end = 0;
  };
  std::uint32_t part_count = 0;
  Part parts[kMostChoices] = {};
};

/// In place of all decisions of a part: every one of them is 0.
inline constexpr std::uint32_t kSimplestPart = 0xFFFFFFFFU;

/// A source of small decisions. A case is a function of them, and 0 is always the simplest: a case
/// is made smaller by deleting decisions and by making them smaller, without knowing what they
/// mean.
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

  /// While it lives, decisions are about one part, which can be deleted or made the simplest on its
  /// own.
  class Part {
   public:
    explicit Part(Choices *choices);
    ~Part();
    Part(const Part &) = delete;
    Part &operator=(const Part &) = delete;

   private:
    Choices &choices_;
    std::uint32_t number_;
    bool simplest_;
  };

 private:
  void record(std::uint32_t value);

  std::uint64_t next();

  std::uint64_t state_ = 0;
  bool replay_ = false;
  std::vector<std::uint32_t> given_;
  std::size_t used_ = 0;
  int simplest_ = 0;  ///< parts around this place all of whose decisions are 0
  ChoiceRecord *record_;
};

}  // namespace pit::fuzz
