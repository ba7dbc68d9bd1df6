// Whether two strided tensors share memory.
//
// Byte addresses of a are a0 + sum x_d * s_d + u with 0 <= u < bytes(a), those of b likewise. They
// meet when sum t_i * w_i lies in an interval around b0 - a0, where each t_i runs over a range of
// integers. Weights are taken largest first; what the smaller ones can still add bounds the choices
// for each, so for the nested strides of slices and transpositions there are at most two choices a
// level.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "callable.h"

namespace pit {
namespace {

/// One term t * weight, 0 <= t <= limit, weight > 0.
struct Term {
  std::int64_t weight, limit;
};

class OverlapSearch {
 public:
  /// Whether low <= sum t_i * weight_i <= high has a solution.
  bool solve(std::size_t term, std::int64_t low, std::int64_t high) {
    if (low > reach_[term] || high < 0) return false;
    if (term == terms_.size()) return true;
    if (++steps_ > kMaximumSteps) return true;
    const auto [weight, limit] = terms_[term];
    const std::int64_t rest = reach_[term + 1];
    const std::int64_t least = low - rest;  // of t * weight
    const std::int64_t first = least <= 0 ? 0 : (least + weight - 1) / weight;
    const std::int64_t last = std::min(limit, high / weight);
    for (std::int64_t t = first; t <= last; ++t) {
      if (solve(term + 1, low - t * weight, high - t * weight)) return true;
    }
    return false;
  }

  void add(std::int64_t weight, std::int64_t limit) {
    for (Term &term : terms_) {
      if (term.weight == weight) {
        term.limit += limit;
        return;
      }
    }
    terms_.push_back({weight, limit});
  }

  void prepare() {
    std::sort(terms_.begin(), terms_.end(),
              [](const Term &x, const Term &y) { return x.weight > y.weight; });
    reach_.assign(terms_.size() + 1, 0);
    for (std::size_t i = terms_.size(); i-- > 0;)
      reach_[i] = reach_[i + 1] + terms_[i].weight * terms_[i].limit;
  }

 private:
  static constexpr int kMaximumSteps = 2000;
  std::vector<Term> terms_;
  std::vector<std::int64_t> reach_;  ///< the largest sum of terms i, i + 1, ...
  int steps_ = 0;
};

std::int64_t start(const DLTensor &t) {
  return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(t.data) + t.byte_offset);
}

bool is_empty(const DLTensor &t) {
  return std::find(t.shape, t.shape + t.ndim, 0) != t.shape + t.ndim;
}

std::int64_t bytes(const DLTensor &t) { return std::int64_t{t.dtype.bits} / 8; }

/// The first byte of its elements and the one behind them; false when there is no memory so large.
bool ends(const DLTensor &t, std::int64_t *low, std::int64_t *high) {
  *low = start(t);
  bool too_large = __builtin_add_overflow(*low, bytes(t), high);
  std::int64_t compact = 1;
  for (int d = t.ndim; d-- > 0 && !too_large;) {
    std::int64_t span = 0;
    too_large |= __builtin_mul_overflow(t.shape[d] - 1,
                                        t.strides != nullptr ? t.strides[d] : compact, &span);
    too_large |= __builtin_mul_overflow(span, bytes(t), &span);
    std::int64_t *end = span < 0 ? low : high;
    too_large |= __builtin_add_overflow(*end, span, end);
    if (t.strides == nullptr) too_large |= __builtin_mul_overflow(compact, t.shape[d], &compact);
  }
  return !too_large;
}

}  // namespace

bool memory_overlaps(const DLTensor &a, const DLTensor &b) {
  if (is_empty(a) || is_empty(b)) return false;
  std::int64_t low_end[2], high_end[2];
  if (!ends(a, &low_end[0], &high_end[0]) || !ends(b, &low_end[1], &high_end[1])) return true;
  if (high_end[0] <= low_end[1] || high_end[1] <= low_end[0]) return false;

  // Terms of a count upwards from its lowest address. b's are mirrored, so that they count upwards
  // too: an address of b is its highest one minus such a sum. Then a sum of both equals (highest of
  // b) - (lowest of a), but for the bytes inside the elements.
  OverlapSearch search;
  for (const DLTensor *t : {&a, &b}) {
    std::int64_t compact = 1;
    for (int d = t->ndim; d-- > 0;) {
      if (t->shape[d] == 1) continue;
      const std::int64_t stride = (t->strides != nullptr ? t->strides[d] : compact) * bytes(*t);
      if (t->strides == nullptr) compact *= t->shape[d];
      if (stride != 0) search.add(stride < 0 ? -stride : stride, t->shape[d] - 1);
    }
  }
  search.prepare();
  const std::int64_t distance = high_end[1] - bytes(b) - low_end[0];
  return search.solve(0, distance - bytes(a) + 1, distance + bytes(b) - 1);
}

}  // namespace pit
