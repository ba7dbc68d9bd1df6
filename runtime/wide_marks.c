#include "wide_marks.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl,bmi2,popcnt")))

bool pit_has_wide_marks(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("popcnt");
}

/* Bit k: that of marks[k], k < n <= 64. */
WIDE static inline uint64_t kept_bits(const uint8_t *marks, int64_t n) {
  __mmask64 some = n >= 64 ? ~UINT64_C(0) : _bzhi_u64(~UINT64_C(0), (unsigned)n);
  return _mm512_test_epi8_mask(_mm512_maskz_loadu_epi8(some, marks), _mm512_set1_epi8(1));
}

WIDE int64_t pit_count_wide(const uint8_t *marks, int64_t n) {
  int64_t total = 0;
  for (int64_t k = 0; k < n; k += 64) total += _mm_popcnt_u64(kept_bits(marks + k, n - k));
  return total;
}

/* Whole vectors are stored where there is room: stores under a mask take several times as long. */
WIDE static inline int32_t *store_kept(__mmask16 kept, __m512i coordinates, int32_t *at,
                                       const int32_t *end) {
  unsigned count = (unsigned)_mm_popcnt_u32(kept);
  __m512i packed = _mm512_maskz_compress_epi32(kept, coordinates);
  if (end - at >= 16) {
    _mm512_storeu_si512(at, packed);
  } else {
    _mm512_mask_storeu_epi32(at, (__mmask16)_bzhi_u32(0xffff, count), packed);
  }
  return at + count;
}

WIDE int64_t pit_place_wide(const uint8_t *marks, int64_t n, int64_t first, int64_t step,
                            int32_t *to, int64_t room) {
  /* Coordinates fit 32 bits; the arithmetic may wrap in lanes that are not kept. */
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i steps = _mm512_mullo_epi32(lanes, _mm512_set1_epi32((int32_t)step));
  const __m512i stride = _mm512_set1_epi32((int32_t)(16 * (uint32_t)step));
  __m512i coordinates = _mm512_add_epi32(_mm512_set1_epi32((int32_t)first), steps);
  int32_t *at = to;
  for (int64_t k = 0; k < n; k += 64) {
    uint64_t bits = kept_bits(marks + k, n - k);
    for (int part = 0; part < 64; part += 16) {
      at = store_kept((__mmask16)(bits >> part), coordinates, at, to + room);
      coordinates = _mm512_add_epi32(coordinates, stride);
    }
  }
  return at - to;
}

#else

bool pit_has_wide_marks(void) { return false; }

int64_t pit_count_wide(const uint8_t *marks, int64_t n) {
  (void)marks, (void)n;
  return 0;
}

int64_t pit_place_wide(const uint8_t *marks, int64_t n, int64_t first, int64_t step, int32_t *to,
                       int64_t room) {
  (void)marks, (void)n, (void)first, (void)step, (void)to, (void)room;
  return 0;
}

#endif
