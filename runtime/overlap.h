/* Whether two strided tensors share memory. */
#ifndef PIT_RUNTIME_OVERLAP_H
#define PIT_RUNTIME_OVERLAP_H

#include "pit_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Non-zero: some byte of an element of `a` is one of an element of `b`. Exact unless strides are so
 * irregular that the search is given up, or there is no memory as large as a tensor says; then it
 * is non-zero. Extents are not negative. */
int pit_memory_overlaps(const DLTensor *a, const DLTensor *b);

#ifdef __cplusplus
}
#endif
#endif
