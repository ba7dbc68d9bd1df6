/* What the files of the runtime share about a call. */
#ifndef PIT_RUNTIME_CALL_H
#define PIT_RUNTIME_CALL_H

#include "pit_call.h"

/* pit_report for a failure that belongs to an index: check is -1 and index_name tells which. */
void pit_report_index(pit_call *call, const char *index_name, int32_t status, const int64_t *values,
                      int32_t count);

/* Memory that the call was given, of the part that the calling thread has. Null: not enough. */
void *pit_take_given(pit_call *call, int64_t bytes);
/* Back to before `memory` was taken. */
void pit_return_given(pit_call *call, const void *memory);
/* pit_parallel_for of a call with given memory. */
void pit_for_each_lane(pit_call *call, int64_t n, pit_loop_body body, void *closure);

/* The defaults of pit_call; see workspace.c. */
void *pit_default_allocate(void *user, size_t bytes);
void pit_default_release(void *user, void *memory);

#endif
