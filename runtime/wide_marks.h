/* Counting and placing marks with vectors of 64 bytes, where the CPU has them. Internal. */
#ifndef PIT_RUNTIME_WIDE_MARKS_H
#define PIT_RUNTIME_WIDE_MARKS_H

#include <stdbool.h>
#include <stdint.h>

/* True when the CPU can run the functions below. */
bool pit_has_wide_marks(void);

/* How many of n marks have bit 0. */
int64_t pit_count_wide(const uint8_t *marks, int64_t n);

/* to[0 ..] = first + k * step for the marks k < n with bit 0, in order; returns how many, at most
 * `room`. What is behind them in to[0 .. room) may hold anything afterwards. */
int64_t pit_place_wide(const uint8_t *marks, int64_t n, int64_t first, int64_t step, int32_t *to,
                       int64_t room);

#endif
