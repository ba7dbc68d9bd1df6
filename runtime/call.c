/* One call of a pipeline: its defaults, its result and the clock. */
#include "call.h"

#include <string.h>
#include <time.h>

void pit_call_initialise(pit_call *call) {
  memset(call, 0, sizeof *call);
  call->parallel = pit_thread_pool_for;
  call->allocate = pit_default_allocate;
  call->release = pit_default_release;
  call->check = -1;
  call->device = -1;
}

/* The thread that turns `status` from PIT_OK owns the other fields of the result. They are read
 * after the loops of the call have ended, which orders them after these writes. */
static void report(pit_call *call, const char *index_name, int32_t status, int32_t check,
                   const int64_t *values, int32_t count) {
  int32_t expected = PIT_OK;
  if (!__atomic_compare_exchange_n(&call->status, &expected, status, 0, __ATOMIC_RELAXED,
                                   __ATOMIC_RELAXED)) {
    return;
  }
  call->check = check;
  call->index_name = index_name;
  if (count > PIT_MAX_VALUES) count = PIT_MAX_VALUES;
  for (int32_t i = 0; i < count; ++i) call->values[i] = values[i];
}

void pit_report(pit_call *call, int32_t status, int32_t check, const int64_t *values,
                int32_t count) {
  report(call, NULL, status, check, values, count);
}

void pit_report_index(pit_call *call, const char *index_name, int32_t status, const int64_t *values,
                      int32_t count) {
  report(call, index_name, status, -1, values, count);
}

void pit_parallel_for(pit_call *call, int64_t n, pit_loop_body body, void *closure) {
  if (n <= 0) return;
  if (n == 1) {
    body(closure, 0);
  } else if (call->given.memory) {
    pit_for_each_lane(call, n, body, closure);
  } else {
    call->parallel(call->parallel_user, n, body, closure);
  }
}

int64_t pit_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
