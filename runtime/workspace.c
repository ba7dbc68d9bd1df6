/* Workspaces of a call, counted; and the allocator behind them when the caller gives none.
 *
 * A large block that malloc returns to the system costs a page fault for every 4 KB the next time,
 * often more than the operator's own work. So the default allocator keeps a few large blocks for
 * the calls to come. */
#include <pthread.h>
#include <stdlib.h>

#include "call.h"
#include "cuda_call.h"

#pragma weak pit_trim_pools /* there where operators for CUDA are */

enum { kAlignment = PIT_WORKSPACE_ALIGNMENT, kMaxKept = 16 };

/* Stands before every block, one alignment wide, and remembers its size: release does not say it.
 */
typedef struct block {
  size_t bytes; /* with the header */
} block;

/* --- the default allocator --- */

static const size_t kSmallestKept = 64 << 10; /* below it malloc itself keeps memory */
static const size_t kMostKept = (size_t)256 << 20;

static pthread_mutex_t kept_mutex = PTHREAD_MUTEX_INITIALIZER;
static block *kept[kMaxKept];
static int kept_count;
static size_t kept_bytes;

/* Returns a kept block that fits and is not more than twice as large, the smallest such, or null.
 */
static block *take_kept(size_t bytes) {
  int best = -1;
  pthread_mutex_lock(&kept_mutex);
  for (int i = 0; i < kept_count; ++i) {
    if (kept[i]->bytes < bytes || kept[i]->bytes / 2 > bytes) continue;
    if (best < 0 || kept[i]->bytes < kept[best]->bytes) best = i;
  }
  block *found = NULL;
  if (best >= 0) {
    found = kept[best];
    kept_bytes -= found->bytes;
    kept[best] = kept[--kept_count];
  }
  pthread_mutex_unlock(&kept_mutex);
  return found;
}

static int keep(block *b) {
#ifdef __SANITIZE_ADDRESS__
  (void)b, (void)kMostKept; /* so that uses after the release are seen */
  return 0;
#else
  if (b->bytes < kSmallestKept) return 0;
  pthread_mutex_lock(&kept_mutex);
  int fits = kept_count < kMaxKept && kept_bytes + b->bytes <= kMostKept;
  if (fits) {
    kept[kept_count++] = b;
    kept_bytes += b->bytes;
  }
  pthread_mutex_unlock(&kept_mutex);
  return fits;
#endif
}

static void free_kept(void) {
  pthread_mutex_lock(&kept_mutex);
  while (kept_count > 0) free(kept[--kept_count]);
  kept_bytes = 0;
  pthread_mutex_unlock(&kept_mutex);
}

void *pit_default_allocate(void *user, size_t bytes) {
  (void)user;
  if (bytes > SIZE_MAX - 2 * kAlignment) return NULL;
  size_t size = (bytes + 2 * kAlignment - 1) / kAlignment * kAlignment;
  block *b = size >= kSmallestKept ? take_kept(size) : NULL;
  if (!b) {
    b = aligned_alloc(kAlignment, size);
    if (!b) {
      free_kept();
      b = aligned_alloc(kAlignment, size);
    }
    if (!b) return NULL;
    b->bytes = size;
  }
  return (char *)b + kAlignment;
}

void pit_default_release(void *user, void *memory) {
  (void)user;
  if (!memory) return;
  block *b = (block *)((char *)memory - kAlignment);
  if (!keep(b)) free(b);
}

void pit_trim(void) {
  free_kept();
  if (pit_trim_pools) pit_trim_pools();
}

/* --- workspaces --- */

void *pit_workspace(pit_call *call, int64_t bytes) {
  block *b = NULL;
  if (bytes >= 0 && bytes <= INT64_MAX - kAlignment) {
    b = call->given.memory ? pit_take_given(call, bytes + kAlignment)
                           : call->allocate(call->allocate_user, (size_t)bytes + kAlignment);
  }
  if (!b) {
    pit_report(call, PIT_ERROR_MEMORY, -1, &bytes, 1);
    return NULL;
  }
  b->bytes = (size_t)bytes;
  int64_t now = __atomic_add_fetch(&call->workspace_bytes, bytes, __ATOMIC_RELAXED);
  int64_t peak = __atomic_load_n(&call->peak_workspace_bytes, __ATOMIC_RELAXED);
  while (now > peak && !__atomic_compare_exchange_n(&call->peak_workspace_bytes, &peak, now, 0,
                                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return (char *)b + kAlignment;
}

void pit_workspace_release(pit_call *call, void *memory) {
  if (!memory) return;
  block *b = (block *)((char *)memory - kAlignment);
  __atomic_sub_fetch(&call->workspace_bytes, (int64_t)b->bytes, __ATOMIC_RELAXED);
  if (call->given.memory) {
    pit_return_given(call, b);
  } else {
    call->release(call->allocate_user, b);
  }
}
