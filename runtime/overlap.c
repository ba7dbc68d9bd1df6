/* Byte addresses of a are a0 + sum x_d * s_d + u with 0 <= u < bytes(a), those of b likewise. They
 * meet when sum t_i * w_i lies in an interval around b0 - a0, where each t_i runs over a range of
 * integers. Weights are taken largest first; what the smaller ones can still add bounds the choices
 * for each, so for the nested strides of slices and transpositions there are at most two choices a
 * level. */
#include "overlap.h"

#include <string.h>

enum { kMostTerms = 64, kMostSteps = 2000 };

/* One term t * weight, 0 <= t <= limit, weight > 0. */
typedef struct term {
  int64_t weight, limit;
} term;

typedef struct search {
  term terms[kMostTerms];
  int64_t reach[kMostTerms + 1]; /* the largest sum of terms i, i + 1, ... */
  int count, steps, too_many;
} search;

/* Whether low <= sum t_i * weight_i <= high has a solution in the terms from `first` on. */
static int solve(search *s, int first, int64_t low, int64_t high) {
  if (low > s->reach[first] || high < 0) return 0;
  if (first == s->count) return 1;
  if (++s->steps > kMostSteps) return 1;
  const term t = s->terms[first];
  const int64_t least = low - s->reach[first + 1]; /* of count * weight */
  int64_t count = least <= 0 ? 0 : (least + t.weight - 1) / t.weight;
  const int64_t last = high / t.weight < t.limit ? high / t.weight : t.limit;
  for (; count <= last; ++count) {
    if (solve(s, first + 1, low - count * t.weight, high - count * t.weight)) return 1;
  }
  return 0;
}

/* Terms stay sorted, the largest weight first. */
static void add(search *s, int64_t weight, int64_t limit) {
  int at = 0;
  while (at < s->count && s->terms[at].weight > weight) ++at;
  if (at < s->count && s->terms[at].weight == weight) {
    s->terms[at].limit += limit;
    return;
  }
  if (s->count == kMostTerms) {
    s->too_many = 1;
    return;
  }
  memmove(s->terms + at + 1, s->terms + at, (size_t)(s->count - at) * sizeof(term));
  s->terms[at] = (term){weight, limit};
  ++s->count;
}

int pit_is_empty(const DLTensor *t) {
  for (int d = 0; d < t->ndim; ++d) {
    if (t->shape[d] == 0) return 1;
  }
  return 0;
}

static int64_t bytes(const DLTensor *t) { return t->dtype.bits / 8; }

/* The first byte of its elements and the one behind them; 0 when there is no memory so large. */
static int ends(const DLTensor *t, int64_t *low, int64_t *high) {
  *low = (int64_t)((uintptr_t)t->data + t->byte_offset);
  int too_large = __builtin_add_overflow(*low, bytes(t), high);
  int64_t compact = 1;
  for (int d = t->ndim; d-- > 0 && !too_large;) {
    int64_t span = 0;
    too_large |=
        __builtin_mul_overflow(t->shape[d] - 1, t->strides ? t->strides[d] : compact, &span);
    too_large |= __builtin_mul_overflow(span, bytes(t), &span);
    int64_t *end = span < 0 ? low : high;
    too_large |= __builtin_add_overflow(*end, span, end);
    if (!t->strides) too_large |= __builtin_mul_overflow(compact, t->shape[d], &compact);
  }
  return !too_large;
}

static void add_dimensions(search *s, const DLTensor *t) {
  int64_t compact = 1;
  for (int d = t->ndim; d-- > 0;) {
    if (t->shape[d] == 1) continue;
    const int64_t stride = (t->strides ? t->strides[d] : compact) * bytes(t);
    if (!t->strides) compact *= t->shape[d];
    if (stride != 0) add(s, stride < 0 ? -stride : stride, t->shape[d] - 1);
  }
}

int pit_memory_overlaps(const DLTensor *a, const DLTensor *b) {
  if (pit_is_empty(a) || pit_is_empty(b)) return 0;
  int64_t low_a, low_b, high_a, high_b;
  if (!ends(a, &low_a, &high_a) || !ends(b, &low_b, &high_b)) return 1;
  if (high_a <= low_b || high_b <= low_a) return 0;

  /* Terms of a count upwards from its lowest address. b's are mirrored, so that they count upwards
   * too: an address of b is its highest one minus such a sum. Then a sum of both equals (highest of
   * b) - (lowest of a), but for the bytes inside the elements. */
  search s;
  s.count = s.steps = s.too_many = 0;
  add_dimensions(&s, a);
  add_dimensions(&s, b);
  if (s.too_many) return 1;
  s.reach[s.count] = 0;
  for (int i = s.count; i-- > 0;)
    s.reach[i] = s.reach[i + 1] + s.terms[i].weight * s.terms[i].limit;
  const int64_t distance = high_b - bytes(b) - low_a;
  return solve(&s, 0, distance - bytes(a) + 1, distance + bytes(b) - 1);
}
