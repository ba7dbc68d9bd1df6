#include "data.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace pit::bench::cuda {

namespace {

constexpr std::int64_t kPeriod = 16777213;  // the largest prime below 2^24

AnyBuffer upload_integers(const Device &device, std::vector<std::int32_t> &values) {
  return device.upload(AnyBuffer(values.data(), int32, {static_cast<std::int64_t>(values.size())}));
}

}  // namespace

Pool::Pool(const Device &device, Type type, Random &random, float scale)
    : device_(&device), type_(type), typed_(type, {kPeriod + kRun}) {
  wide_ = type == float32 ? typed_ : AnyBuffer(float32, {kPeriod + kRun});
  auto *wide = static_cast<float *>(wide_.data());
  auto *narrow = static_cast<bfloat16_t *>(typed_.data());
  for (std::int64_t i = 0; i < kPeriod; ++i) {
    const float number = random.symmetric();
    const float value = std::copysign(scale / 16 + std::fabs(number) * scale * 15 / 16, number);
    if (type == float32) {
      wide[i] = value;
    } else {
      narrow[i] = bfloat16_t(value);
      wide[i] = narrow[i];
    }
  }
  const auto repeat = [](const AnyBuffer &numbers) {
    auto *bytes = static_cast<char *>(numbers.data());
    const std::int64_t size = numbers.type().bytes();
    std::memcpy(bytes + kPeriod * size, bytes, static_cast<std::size_t>(kRun * size));
  };
  repeat(typed_);
  if (type != float32) repeat(wide_);
  typed_there_ = device.upload(typed_.sliced(0, 0, kPeriod));
  wide_there_ = type == float32 ? typed_there_ : device.upload(wide_.sliced(0, 0, kPeriod));
}

std::int64_t Pool::start(Random &random) const { return random.below(kPeriod); }

AnyBuffer Pool::tensor(std::int64_t start, const Shape &extents) const {
  return filled(typed_there_, start, extents);
}

AnyBuffer Pool::wide_tensor(std::int64_t start, const Shape &extents) const {
  return filled(wide_there_, start, extents);
}

AnyBuffer Pool::filled(const AnyBuffer &from, std::int64_t start, const Shape &extents) const {
  AnyBuffer result = device_->allocate(from.type(), extents);
  const std::int64_t size = from.type().bytes(), all = result.size();
  for (std::int64_t done = 0; done < all;) {
    const std::int64_t place = (start + done) % kPeriod;
    const std::int64_t count = std::min(kPeriod - place, all - done);
    device_->copy(static_cast<char *>(result.data()) + done * size,
                  static_cast<const char *>(from.data()) + place * size, count * size);
    done += count;
  }
  return result;
}

const float *Pool::numbers(std::int64_t place) const {
  return static_cast<const float *>(wide_.data()) + place % kPeriod;
}

const void *Pool::typed_numbers(std::int64_t place) const {
  return static_cast<const char *>(typed_.data()) + place % kPeriod * type_.bytes();
}

BlockMatrix::BlockMatrix(std::shared_ptr<const Pool> pool, std::int64_t rows, std::int64_t columns,
                         const Pattern &pattern, Random &random)
    : pool_(std::move(pool)),
      rows_(rows),
      columns_(columns),
      start_(pool_->start(random)),
      pattern_(pattern) {
  std::int64_t left = rows / pattern.rows * (columns / pattern.columns);
  auto zeros = static_cast<std::int64_t>(std::llround(pattern.zeros * static_cast<double>(left)));
  keep_.resize(static_cast<std::size_t>(left));
  for (std::uint8_t &keep : keep_) {
    keep = random.below(left--) >= zeros ? 1 : 0;
    zeros -= 1 - keep;
  }
}

AnyBuffer BlockMatrix::upload(const Device &device) const {
  const std::int64_t size = pool_->type().bytes();
  AnyBuffer here(pool_->type(), {rows_, columns_});
  for (std::int64_t row = 0; row < rows_; ++row) {
    char *to = static_cast<char *>(here.data()) + row * columns_ * size;
    for (std::int64_t k = 0; k < columns_; k += Pool::kRun) {
      std::memcpy(to + k * size, pool_->typed_numbers(start_ + row * columns_ + k),
                  static_cast<std::size_t>(std::min(Pool::kRun, columns_ - k) * size));
    }
    for (std::int64_t block = 0; block < columns_ / pattern_.columns; ++block) {
      if (kept(row / pattern_.rows, block)) continue;
      std::memset(to + block * pattern_.columns * size, 0,
                  static_cast<std::size_t>(pattern_.columns * size));
    }
  }
  return device.upload(here);
}

double BlockMatrix::fill(std::int64_t rows, std::int64_t columns) const {
  // Blocks of this matrix are as large as those asked for, or divide them, in each dimension.
  const std::int64_t down = std::max<std::int64_t>(1, rows / pattern_.rows),
                     across = std::max<std::int64_t>(1, columns / pattern_.columns);
  std::int64_t used = 0, all = 0;
  for (std::int64_t row = 0; row < rows_ / pattern_.rows; row += down) {
    for (std::int64_t column = 0; column < columns_ / pattern_.columns; column += across) {
      std::int64_t inside = 0;
      for (std::int64_t i = 0; i < down; ++i) {
        for (std::int64_t j = 0; j < across; ++j) inside += kept(row + i, column + j) ? 1 : 0;
      }
      used += inside;
      all += inside > 0 ? down * across : 0;
    }
  }
  return all > 0 ? static_cast<double>(used) / static_cast<double>(all) : 1;
}

BlockMatrix::Compressed BlockMatrix::elements(const Device &device) const {
  std::vector<std::int32_t> offsets{0}, columns;
  std::vector<float> values;
  for (std::int64_t row = 0; row < rows_; ++row) {
    for (std::int64_t block = 0; block < columns_ / pattern_.columns; ++block) {
      if (!kept(row / pattern_.rows, block)) continue;
      for (std::int64_t k = 0; k < pattern_.columns; ++k) {
        const std::int64_t column = block * pattern_.columns + k;
        columns.push_back(static_cast<std::int32_t>(column));
        values.push_back(*pool_->numbers(start_ + row * columns_ + column));
      }
    }
    offsets.push_back(static_cast<std::int32_t>(columns.size()));
  }
  return {
      1, 1, upload_integers(device, offsets), upload_integers(device, columns),
      device.upload(AnyBuffer(values.data(), float32, {static_cast<std::int64_t>(values.size())}))};
}

BlockMatrix::Compressed BlockMatrix::blocks(const Device &device) const {
  const std::int64_t size = pool_->type().bytes();
  std::vector<std::int32_t> offsets{0}, columns;
  std::vector<char> values;
  for (std::int64_t block_row = 0; block_row < rows_ / pattern_.rows; ++block_row) {
    for (std::int64_t block = 0; block < columns_ / pattern_.columns; ++block) {
      if (!kept(block_row, block)) continue;
      columns.push_back(static_cast<std::int32_t>(block));
      for (std::int64_t i = 0; i < pattern_.rows; ++i) {
        const auto *row = static_cast<const char *>(pool_->typed_numbers(
            start_ + (block_row * pattern_.rows + i) * columns_ + block * pattern_.columns));
        values.insert(values.end(), row, row + pattern_.columns * size);
      }
    }
    offsets.push_back(static_cast<std::int32_t>(columns.size()));
  }
  const std::int64_t count = static_cast<std::int64_t>(values.size()) / size;
  return {pattern_.rows, pattern_.columns, upload_integers(device, offsets),
          upload_integers(device, columns),
          device.upload(AnyBuffer(values.data(), pool_->type(), {count}))};
}

double Rounding::allowed(double value, double magnitude) const {
  const double sum = std::sqrt(static_cast<double>(length)) * 0x1p-23 + product;
  // Half the distance of two numbers, and a bit for the value between them that is rounded.
  const double store = output == bfloat16 ? 0x1.1p-8 : 0x1p-23;
  // A random sum of the terms is about as large as their magnitudes / the root of their number.
  const double part = parts ? 4 * store * magnitude / std::sqrt(static_cast<double>(length)) : 0;
  return sum * magnitude + part + store * std::fabs(value);
}

Expected expected_sum(std::int64_t row, std::int64_t column,
                      const std::function<double(std::int64_t, std::int64_t)> &a,
                      const std::function<double(std::int64_t, std::int64_t)> &b,
                      const Rounding &rounding) {
  double value = 0, magnitude = 0;
  for (std::int64_t k = 0; k < rounding.length; ++k) {
    const double product = a(row, k) * b(k, column);
    value += product;
    magnitude += std::fabs(product);
  }
  return {{row, column}, value, rounding.allowed(value, magnitude)};
}

std::vector<std::pair<std::int64_t, std::int64_t>> sampled(std::int64_t rows, std::int64_t columns,
                                                           Random &random) {
  constexpr int kRows = 8, kColumns = 24;
  std::vector<std::pair<std::int64_t, std::int64_t>> places{
      {0, 0}, {0, columns - 1}, {rows - 1, 0}, {rows - 1, columns - 1}};
  for (int i = 0; i < kRows; ++i) {
    const std::int64_t row = random.below(rows);
    for (int j = 0; j < kColumns; ++j) places.emplace_back(row, random.below(columns));
  }
  return places;
}

int sets_past_cache(const SetSize &size, std::int64_t cache_bytes) {
  constexpr std::int64_t kMost = 64, kMostBytes = std::int64_t{16} << 30;
  const std::int64_t wanted = (4 * cache_bytes + size.used - 1) / size.used,
                     fit = std::min(kMost, kMostBytes / std::max(size.used, size.held));
  return static_cast<int>(std::max(std::min(wanted, fit), std::int64_t{1}));
}

int sets_past_cache(const SetSize &size, const Device &device, const Settings &settings) {
  return settings.small ? 2 : sets_past_cache(size, device.cache_bytes());
}

}  // namespace pit::bench::cuda
