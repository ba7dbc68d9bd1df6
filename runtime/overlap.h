/* Where the elements of strided tensors are: whether there are any, and whether two share memory.
 */
#ifndef PIT_RUNTIME_OVERLAP_H
#define PIT_RUNTIME_OVERLAP_H

#include "pit_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Non-zero: the tensor has no element. */
int pit_is_empty(const DLTensor *t);

/* Non-zero: some byte of an element of `a` is one of an element of `b`. Exact unless strides are so
 * irregular that the search is given up, or there is no memory as large as a tensor says; then it
 * is non-zero. Extents are not negative. */
int pit_memory_overlaps(const DLTensor *a, const DLTensor *b);

#ifdef __cplusplus
}
#endif
#endif
