/* Messages of failures: sentences, kept for each thread. */
#ifndef PIT_RUNTIME_ERROR_H
#define PIT_RUNTIME_ERROR_H

#include "pit_call.h"

/* Makes the text the thread's last error, cut to what fits (4 KB), and returns it. The arguments
 * may be the last error. */
__attribute__((format(printf, 1, 2))) const char *pit_set_error(const char *format, ...);

/* What a failed Check, index or workspace is told as, without the operator's name. */
typedef struct pit_failure {
  int32_t status;         /* pit_status */
  const char *check;      /* the message of the Check with {0}..{7}; null: it was no Check */
  const char *index_name; /* null: none */
  const int64_t *values;  /* PIT_MAX_VALUES */
} pit_failure;

/* Writes at most `bytes` with the final NUL. The wording is that of operators on the host. */
void pit_describe_failure(const pit_failure *failure, char *text, size_t bytes);

#endif
