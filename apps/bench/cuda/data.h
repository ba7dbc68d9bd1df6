// Random tensors on the device whose elements the host knows without a copy of them.
#pragma once

#include <pit/pit.h>

#include <functional>
#include <memory>
#include <vector>

#include "apps/bench/matrix.h"
#include "apps/bench/random.h"
#include "case.h"
#include "driver.h"

namespace pit::bench::cuda {

/// Random numbers of one type, none of them zero, that tensors are filled with: element i of a
/// tensor that starts at s is number s + i, modulo a period. The period is a prime, so that no two
/// matrices of a tensor are alike.
class Pool {
 public:
  /// bfloat16 or float32 numbers with magnitudes from scale / 16 to scale.
  Pool(const Device &device, Type type, Random &random, float scale = 1);

  Type type() const { return type_; }
  /// A random place to start from.
  std::int64_t start(Random &random) const;
  /// A tensor of the numbers from `start` on, on the device.
  AnyBuffer tensor(std::int64_t start, const Shape &extents) const;
  /// The same values in float32.
  AnyBuffer wide_tensor(std::int64_t start, const Shape &extents) const;

  /// Numbers from `place` on, `place` not negative; so many follow each other there.
  static constexpr std::int64_t kRun = 32768;
  const float *numbers(std::int64_t place) const;
  const void *typed_numbers(std::int64_t place) const;

 private:
  const Device *device_;
  Type type_;
  AnyBuffer typed_, wide_;              // on the host, a run longer than the period
  AnyBuffer typed_there_, wide_there_;  // a period on the device; of float32 the same

  AnyBuffer filled(const AnyBuffer &from, std::int64_t start, const Shape &extents) const;
};

/// A matrix of the numbers of a pool of which some blocks are zero.
class BlockMatrix {
 public:
  /// `pattern` as for random_matrix. rows and columns are multiples of its blocks'.
  BlockMatrix(std::shared_ptr<const Pool> pool, std::int64_t rows, std::int64_t columns,
              const Pattern &pattern, Random &random);

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  double at(std::int64_t row, std::int64_t column) const {
    return kept(row / pattern_.rows, column / pattern_.columns)
               ? static_cast<double>(*pool_->numbers(start_ + row * columns_ + column))
               : 0;
  }
  AnyBuffer upload(const Device &device) const;

  /// Share of non-zeros in those blocks of rows x columns that have any.
  double fill(std::int64_t rows, std::int64_t columns) const;

  /// Compressed rows of blocks: values are of the pool's type, or float32.
  struct Compressed {
    std::int64_t block_rows = 1, block_columns = 1;
    AnyBuffer offsets, columns;  ///< int32
    AnyBuffer values;            ///< [block][row][column]
  };
  /// Elements in float32, on the device.
  Compressed elements(const Device &device) const;
  /// The pattern's blocks in the pool's type, on the device.
  Compressed blocks(const Device &device) const;

 private:
  std::shared_ptr<const Pool> pool_;
  std::int64_t rows_, columns_, start_;
  Pattern pattern_;
  std::vector<std::uint8_t> keep_;  // of every block

  bool kept(std::int64_t block_row, std::int64_t block_column) const {
    return keep_[static_cast<std::size_t>(block_row * (columns_ / pattern_.columns) +
                                          block_column)] != 0;
  }
};

/// What rounding may do to sums of a length in float32 that are stored as `output`.
struct Rounding {
  std::int64_t length = 1;
  Type output{};
  /// Of each product, relative to it, where the factors are rounded first.
  double product = 0;
  /// Sums of parts are rounded to the output's type before they are added.
  bool parts = false;

  /// Of a sum whose terms have the magnitudes `magnitude` together.
  double allowed(double value, double magnitude) const;
};

/// Element (row, column) of sum over k of a(row, k) b(k, column).
Expected expected_sum(std::int64_t row, std::int64_t column,
                      const std::function<double(std::int64_t, std::int64_t)> &a,
                      const std::function<double(std::int64_t, std::int64_t)> &b,
                      const Rounding &rounding);

/// Some elements of a matrix: corners, and some columns of some rows.
std::vector<std::pair<std::int64_t, std::int64_t>> sampled(std::int64_t rows, std::int64_t columns,
                                                           Random &random);

/// Bytes of a data set.
struct SetSize {
  std::int64_t used = 0;  ///< read and written in one run
  std::int64_t held = 0;  ///< allocated; 0: not more
};
/// So many data sets that a run of all of them uses four times as much as the cache holds: of a set
/// nothing is in the cache when its turn comes again. But at most 64, of 16 GB altogether.
int sets_past_cache(const SetSize &size, std::int64_t cache_bytes);
/// The same for the cache of the device; of tiny sizes, which are no measure of speed, two.
int sets_past_cache(const SetSize &size, const Device &device, const Settings &settings);

}  // namespace pit::bench::cuda
