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

/* Memory that is taken from one end and given back in the opposite order. */
typedef struct pit_stack {
  char *memory;
  int64_t bytes, used;
} pit_stack;

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
  int32_t profile; /* non-zero: fill the next two; pit_cuda_begin clears it in a capture */
  int64_t stage_nanoseconds[PIT_MAX_STAGES];
  double
      statistics[PIT_MAX_STAGES]; /* what the module records, e.g. kept and candidate micro-tiles */

  /* Where the call runs. */
  int32_t device; /* the number of a CUDA device; default -1: the host */
  void *stream;   /* a CUstream; null: the legacy default stream */

  /* The caller's memory for workspaces, which is then not allocated. Parallel loops share out what
   * is left of it among as many threads as pit_threads() says, each with a part of its own, in
   * which loops inside of theirs run one iteration after the other. memory null: none. */
  pit_stack given;
  /* Non-zero: generated code only says how much of it a call takes at most. The host's: `needed`
   * bytes and needed_by_thread more for each thread; a CUDA device's: `needed`. A call on a device
   * with no memory given takes `needed` bytes when it begins. */
  int32_t sizing;
  int64_t needed, needed_by_thread;

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

/* Workspaces. NULL after reporting PIT_ERROR_MEMORY. bytes 0 gives a valid pointer. Thread-safe.
 * Each takes PIT_WORKSPACE_ALIGNMENT bytes more than it has, rounded up to their multiple, of given
 * memory; a thread releases its workspaces in the opposite order. */
void *pit_workspace(pit_call *call, int64_t bytes);
void pit_workspace_release(pit_call *call, void *memory);
#define PIT_WORKSPACE_ALIGNMENT 64
void pit_parallel_for(pit_call *call, int64_t n, pit_loop_body body, void *closure);

int64_t pit_nanoseconds(void); /* monotonic clock */

/* The statements IndexPlace, IndexSort and Prefix of the tile IR; see codegen/ir/ir.h for the
 * contract. Null pointers: not given or not wanted. Return the total number of entries including
 * padding, or -1 after reporting, with check -1 and index_name set: PIT_ERROR_CAPACITY {needed,
 * capacity}, where entries and coordinates must also fit int32, or PIT_ERROR_DATA {key, position,
 * groups} for the first key out of range. After a failure the arrays hold no index. The workspace
 * that they take has at most PIT_PLACE_WORKSPACE bytes for so many candidates, or
 * PIT_SORT_WORKSPACE. */
#define PIT_PLACE_WORKSPACE(candidates) ((candidates) / 512 + 128)
#define PIT_SORT_WORKSPACE(length, groups) (5 * (length) + 12 * (groups) + 64)
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
