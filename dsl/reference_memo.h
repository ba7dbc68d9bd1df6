// Values by coordinates: a dense array that grows with what is asked for, and a hash table where it
// would be sparse.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "error.h"

namespace pit::reference {

inline constexpr int kMaxRank = 10;

/// `width` cells for each coordinate that was inserted. Coordinates may be negative.
template <class Cell>
class Memo {
 public:
  Memo(int rank, int width) : rank_(rank), width_(width) {
    internal_check(rank <= kMaxRank,
                   "the reference interpreter handles Funcs of up to 10 dimensions");
    extents_.fill(rank == 0 ? 1 : 0);
    if (rank == 0) grow({});
  }

  /// The cells of a coordinate, or null. Valid until the next insert.
  Cell *find(const std::int64_t *at) {
    std::int64_t place = 0;
    if (dense_place(at, &place)) {
      return present_[static_cast<std::size_t>(place)] ? cells_at(place) : nullptr;
    }
    if (scattered_.empty()) return nullptr;
    const auto found = scattered_.find(key(at));
    return found == scattered_.end() ? nullptr : found->second.data();
  }

  /// The cells of a coordinate, made if they are not there.
  Cell *insert(const std::int64_t *at) {
    std::int64_t place = 0;
    if (dense_place(at, &place) || (make_room(at) && dense_place(at, &place))) {
      auto &present = present_[static_cast<std::size_t>(place)];
      count_ += !present;
      present = 1;
      return cells_at(place);
    }
    auto &cells = scattered_[key(at)];
    cells.resize(static_cast<std::size_t>(width_));
    return cells.data();
  }

 private:
  using Coordinates = std::array<std::int64_t, kMaxRank>;
  struct Hash {
    std::size_t operator()(const Coordinates &at) const {
      std::uint64_t h = 0;
      for (const std::int64_t c : at)
        h = (h ^ static_cast<std::uint64_t>(c)) * 0x9E3779B97F4A7C15u + (h >> 29);
      return static_cast<std::size_t>(h ^ (h >> 32));
    }
  };

  Coordinates key(const std::int64_t *at) const {
    Coordinates k{};
    std::copy(at, at + rank_, k.begin());
    return k;
  }

  Cell *cells_at(std::int64_t place) { return cells_.data() + place * width_; }

  bool dense_place(const std::int64_t *at, std::int64_t *place) const {
    std::int64_t p = 0;
    for (int d = 0; d < rank_; ++d) {
      const std::int64_t extent = extents_[static_cast<std::size_t>(d)];
      if (static_cast<std::uint64_t>(at[d]) >= static_cast<std::uint64_t>(extent)) return false;
      p = p * extent + at[d];
    }
    *place = p;
    return true;
  }

  /// Doubles the dense array's extents until it holds `at`. False when it would stay mostly empty.
  bool make_room(const std::int64_t *at) {
    if (!scattered_.empty()) return false;  // what lies there stays there
    Coordinates wanted = extents_;
    std::int64_t size = 1;
    const std::int64_t limit = std::max<std::int64_t>(1 << 20, 64 * count_);
    for (int d = 0; d < rank_; ++d) {
      auto &extent = wanted[static_cast<std::size_t>(d)];
      if (at[d] < 0 || at[d] >= limit) return false;
      if (at[d] >= extent)
        extent = std::max({at[d] + 1, std::min(2 * extent, limit), std::int64_t{4}});
      if (size > limit / extent) return false;
      size *= extent;
    }
    grow(wanted);
    return true;
  }

  void grow(const Coordinates &wanted) {
    std::int64_t size = 1;
    for (int d = 0; d < rank_; ++d) size *= wanted[static_cast<std::size_t>(d)];
    std::vector<Cell> cells(static_cast<std::size_t>(size * width_));
    std::vector<std::uint8_t> present(static_cast<std::size_t>(size), 0);
    Coordinates at{};
    for (std::size_t from = 0; from < present_.size(); ++from) {
      if (present_[from]) {
        std::int64_t to = 0;
        for (int d = 0; d < rank_; ++d)
          to = to * wanted[static_cast<std::size_t>(d)] + at[static_cast<std::size_t>(d)];
        present[static_cast<std::size_t>(to)] = 1;
        std::copy_n(cells_at(static_cast<std::int64_t>(from)), width_, cells.data() + to * width_);
      }
      for (int d = rank_; d-- > 0;) {
        const auto u = static_cast<std::size_t>(d);
        if (++at[u] < extents_[u]) break;
        at[u] = 0;
      }
    }
    if (rank_ > 0) extents_ = wanted;
    cells_ = std::move(cells);
    present_ = std::move(present);
  }

  int rank_, width_;
  std::int64_t count_ = 0;
  Coordinates extents_{};
  std::vector<Cell> cells_;
  std::vector<std::uint8_t> present_;
  std::unordered_map<Coordinates, std::vector<Cell>, Hash> scattered_;
};

}  // namespace pit::reference
