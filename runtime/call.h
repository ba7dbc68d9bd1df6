/* What the files of the runtime share about a call. */
#ifndef PIT_RUNTIME_CALL_H
#define PIT_RUNTIME_CALL_H

#include "pit_call.h"

/* pit_report for a failure that belongs to an index: check is -1 and index_name tells which. */
void pit_report_index(pit_call *call, const char *index_name, int32_t status, const int64_t *values,
                      int32_t count);

/* The defaults of pit_call; see workspace.c. */
void *pit_default_allocate(void *user, size_t bytes);
void pit_default_release(void *user, void *memory);

#endif
