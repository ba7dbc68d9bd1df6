#include "data.h"

#include <algorithm>
#include <cstring>

#include "test/harness.h"

namespace pit::fuzz {

namespace {

constexpr int kPoison = 0xA5;

// The elements of all tensors come from one drawn seed: a smaller seed is not a simpler tensor, so
// nothing is gained by making every element a decision.
class Elements {
 public:
  Elements(std::uint32_t seed, double zeros) : choices_(seed, &record_), zeros_(zeros) {}

  void fill(const DrawnTensor &t, const AnyBuffer &b) {
    if (t.content == Content::Offsets) {
      offsets(t, b);
      return;
    }
    for_each_coordinate(b.extents(), [&](const Shape &at) { b.set_number(at, element(t)); });
  }

 private:
  double number() {
    record_.count = 0;
    return choices_.below(1 << 20) / double(1 << 20);
  }

  double element(const DrawnTensor &t) {
    const double u = number(), v = number();
    switch (t.content) {
      case Content::Index:
        return std::floor(u * static_cast<double>(t.limit));
      case Content::Key:
        return v < zeros_ / 2 ? -1 : std::floor(u * static_cast<double>(t.limit));
      default: {
        const double value = v < zeros_ ? 0 : std::floor(u * 7) - 3;
        return t.param.type().is_uint() ? std::abs(value) : value;
      }
    }
  }

  void offsets(const DrawnTensor &t, const AnyBuffer &b) {
    std::vector<double> cuts{0};
    while (static_cast<std::int64_t>(cuts.size()) < b.extent(0)) {
      cuts.push_back(std::floor(number() * static_cast<double>(t.limit + 1)));
    }
    std::ranges::sort(cuts);
    for (std::int64_t i = 0; i < b.extent(0); ++i) {
      b.set_number(Shape{i}, cuts[static_cast<std::size_t>(i)]);
    }
  }

  ChoiceRecord record_;
  Choices choices_;
  double zeros_;
};

}  // namespace

GuardedBuffer allocate(Choices *choices, Type type, const Shape &extents) {
  const auto rank = extents.size();
  const int layout = choices->weighted({60, 15, 15, 10});
  std::vector<std::size_t> order(rank);  // dimensions, outermost first
  for (std::size_t d = 0; d < rank; ++d) order[d] = layout == 1 ? rank - 1 - d : d;
  Shape strides(rank, 1);
  std::int64_t size = layout == 2 ? 2 : 1;  // gaps between the elements of a row, and between rows
  for (std::size_t i = rank; i-- > 0;) {
    strides[order[i]] = size;
    size *= extents[order[i]];
    if (layout == 2) size += 3;
  }
  // Elements on a device lie at multiples of their size.
  const std::int64_t shift = test::target_under_test().is_cuda() ? type.bytes() : 1;
  const std::int64_t before = 64 + (layout == 3 ? shift : 0);
  const std::int64_t bytes = std::max<std::int64_t>(size, 1) * type.bytes();
  AnyBuffer memory(uint8, {before + bytes + 64});
  memory.fill_bytes(kPoison);
  AnyBuffer view(static_cast<char *>(memory.data()) + before, type, extents, strides);
  return {memory, view};
}

Data draw_data(Choices *choices, const DrawnProgram &program) {
  static const std::vector<double> shares = {0.5, 0, 0.9, 0.2, 1};
  const double zeros = choices->pick(shares);
  Elements elements(choices->below(1 << 16), zeros);
  Data data;
  for (const DrawnTensor &t : program.tensors) {
    const GuardedBuffer b = allocate(choices, t.param.type(), t.extents);
    elements.fill(t, b.view);
    data.inputs.emplace(t.param.name(), b);
  }
  for (const auto &[param, value] : program.scalars) data.scalars.emplace(param->name, value);
  return data;
}

}  // namespace pit::fuzz
