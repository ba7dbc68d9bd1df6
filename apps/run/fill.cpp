#include "fill.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace pit::run {

namespace {

/// Which elements are zero. Blocks are drawn in the order in which they are met.
class Zeros {
 public:
  Zeros(const Array &array, const Sparsity &sparsity, std::mt19937_64 *generator)
      : shape_(array.shape()),
        block_(shape_.size(), 1),
        draw_(sparsity.zeros),
        generator_(generator) {
    const std::size_t rank = shape_.size(), blocked = sparsity.block.size();
    for (std::size_t d = 0; d < rank && d < blocked; ++d)
      block_[rank - 1 - d] = sparsity.block[blocked - 1 - d];
    std::size_t count = 1;
    for (std::size_t d = 0; d < rank; ++d)
      count *= static_cast<std::size_t>((shape_[d] + block_[d] - 1) / block_[d]);
    blocks_.assign(count, State::New);
  }
  bool operator()(std::int64_t i) {
    std::int64_t number = 0, step = 1;
    for (std::size_t d = shape_.size(); d-- > 0;) {
      number += i % shape_[d] / block_[d] * step;
      step *= (shape_[d] + block_[d] - 1) / block_[d];
      i /= shape_[d];
    }
    State &state = blocks_[static_cast<std::size_t>(number)];
    if (state == State::New) state = draw_(*generator_) ? State::Zero : State::Kept;
    return state == State::Zero;
  }

 private:
  enum class State : std::uint8_t { New, Zero, Kept };
  Shape shape_, block_;
  std::bernoulli_distribution draw_;
  std::mt19937_64 *generator_;
  std::vector<State> blocks_;
};

}  // namespace

void fill(Array *array, const Range &range, const Sparsity &sparsity, std::mt19937_64 *generator) {
  const DLDataType type = array->type();
  const bool whole = type.code != kDLFloat && type.code != kDLBfloat;
  std::uniform_real_distribution<double> real(range.low, range.high);
  const auto first = static_cast<std::int64_t>(std::ceil(range.low));
  const auto last = static_cast<std::int64_t>(std::floor(range.high));
  std::uniform_int_distribution<std::int64_t> integer(first, std::max(first, last));
  Zeros is_zero(*array, sparsity, generator);
  for (std::int64_t i = 0; i < array->size(); ++i) {
    const double value = whole ? static_cast<double>(integer(*generator)) : real(*generator);
    array->set(i, sparsity.zeros > 0 && is_zero(i) ? 0 : value);
  }
}

}  // namespace pit::run
