/* The message of the last failure on a thread, and what a failure of data is told as. */
#include "error.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { kMessageBytes = 4096 };

static _Thread_local char last_error[kMessageBytes];

const char *pit_last_error(void) { return last_error; }

const char *pit_set_error(const char *format, ...) {
  char text[kMessageBytes];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  memcpy(last_error, text, strlen(text) + 1);
  return last_error;
}

/* {i} becomes values[i]. */
static void with_values(const char *message, const int64_t *values, char *text, size_t bytes) {
  size_t length = 0;
  while (*message && length + 1 < bytes) {
    const int place = message[0] == '{' && message[1] >= '0' && message[1] < '0' + PIT_MAX_VALUES &&
                      message[2] == '}';
    if (!place) {
      text[length++] = *message++;
      continue;
    }
    const int written =
        snprintf(text + length, bytes - length, "%" PRId64, values[message[1] - '0']);
    length += (size_t)written < bytes - length ? (size_t)written : bytes - length - 1;
    message += 3;
  }
  text[length] = 0;
}

void pit_describe_failure(const pit_failure *failure, char *text, size_t bytes) {
  char index[256] = "";
  if (failure->index_name) {
    snprintf(index, sizeof index, "sparse index '%s': ", failure->index_name);
  }
  char message[kMessageBytes];
  if (failure->status == PIT_ERROR_CAPACITY) {
    snprintf(message, sizeof message, "%s{0} entries are needed and the capacity is {1}", index);
  } else if (failure->status == PIT_ERROR_MEMORY && !failure->check) {
    snprintf(message, sizeof message, "no memory for a workspace of {0} bytes");
  } else if (failure->check) {
    snprintf(message, sizeof message, "%s", failure->check);
  } else {
    /* To the sort -1 is no group, so its negative keys are one lower than the user's. */
    int64_t values[PIT_MAX_VALUES];
    memcpy(values, failure->values, sizeof values);
    if (values[0] < 0) ++values[0];
    snprintf(message, sizeof message,
             "%sthe key at position {1} is {0}, outside [0, {2}); exclude positions of no group by "
             "a predicate, e.g. where(key >= 0)",
             index);
    with_values(message, values, text, bytes);
    return;
  }
  with_values(message, failure->values, text, bytes);
}
