/* What generated code calls, and the record of a call: C11, no C++ runtime, no LLVM.
 *
 * Generated code has the signature pit_function and uses only what is declared here. */
#ifndef PIT_CALL_H
#define PIT_CALL_H

#include "pit_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PIT_MAX_VALUES 8

/* One call of a pipeline. Owned by the caller; used by one call at a time. pit_call_initialise sets
 * the defaults. */
typedef struct pit_call {
  pit_parallel_hook parallel; /* default: the runtime's own thread pool */
  void *parallel_user;
  void *(*allocate)(void *user, size_t bytes); /* 64-byte aligned; default: aligned_alloc */
  void (*release)(void *user, void *memory);
  void *allocate_user;

  /* Result. The first report stays (reports race safely). */
  int32_t status; /* pit_status; accessed atomically while running */
  int32_t check;  /* which Check of the module: an index into its messages */
  int64_t values[PIT_MAX_VALUES];
  const char
      *index_name; /* for PIT_ERROR_CAPACITY and key errors: the index; points into the module */

  /* Statistics. */
  int64_t workspace_bytes, peak_workspace_bytes;
  int32_t profile; /* non-zero: fill the next two */
  int64_t stage_nanoseconds[PIT_MAX_STAGES];
  double
      statistics[PIT_MAX_STAGES]; /* what the module records, e.g. kept and candidate micro-tiles */

  /* Where the call runs. */
  int32_t device; /* the number of a CUDA device; default -1: the host */
  void *stream;   /* a CUstream; null: the legacy default stream */

  /* The CUDA part of the runtime fills the rest; see pit_cuda.h. */
  void *device_status; /* in device memory: two pit_device_status of the stream */
  const char *error;   /* the whole message, if it is more than the fields above say; the text of
                          pit_last_error of the thread that called */
  struct pit_cuda_call *cuda;
} pit_call;

void pit_call_initialise(pit_call *call);

/* Records a failure if none is recorded yet. Thread-safe. values: count <= PIT_MAX_VALUES. */
void pit_report(pit_call *call, int32_t status, int32_t check, const int64_t *values,
                int32_t count);

/* Workspaces. NULL after reporting PIT_ERROR_MEMORY. bytes 0 gives a valid pointer. Thread-safe. */
void *pit_workspace(pit_call *call, int64_t bytes);
void pit_workspace_release(pit_call *call, void *memory);
void pit_parallel_for(pit_call *call, int64_t n, pit_loop_body body, void *closure);

int64_t pit_nanoseconds(void); /* monotonic clock */

/* The statements IndexPlace, IndexSort and Prefix of the tile IR; see codegen/ir/ir.h for the
 * contract. Null pointers: not given or not wanted. Return the total number of entries including
 * padding, or -1 after reporting, with check -1 and index_name set: PIT_ERROR_CAPACITY {needed,
 * capacity}, where entries and coordinates must also fit int32, or PIT_ERROR_DATA {key, position,
 * groups} for the first key out of range. After a failure the arrays hold no index. */
int64_t pit_index_place(pit_call *call, const char *index_name, const uint8_t *marks,
                        const int64_t *mark_offsets, const int64_t *first, int64_t groups,
                        int64_t length, int64_t micro, int64_t align, int64_t capacity,
                        int32_t *offsets, int32_t *counts, int32_t *coordinates, int32_t *position,
                        uint8_t *full);
int64_t pit_index_sort(pit_call *call, const char *index_name, const int64_t *keys, int64_t length,
                       int64_t groups, int64_t align, int64_t capacity, int32_t *offsets,
                       int32_t *counts, int32_t *coordinates, int32_t *position);
void pit_prefix(int64_t *destination, const int64_t *source, int64_t length);

#ifdef __cplusplus
}
#endif
#endif
