/* What a CUDA call under way needs beside its pit_call. */
#ifndef PIT_RUNTIME_CUDA_CALL_H
#define PIT_RUNTIME_CUDA_CALL_H

#include "cuda_module.h"

/* Used again by the next call of the thread: a steady state allocates nothing. */
struct pit_cuda_call {
  pit_entered entered;
  pit_module *module;
  pit_stream *stream;
  int in_range;                 /* of the profiler */
  CUdeviceptr memory;           /* of all workspaces, from the pool; 0: none, or the caller's */
  int after_kernel;             /* what the call enqueued last is a kernel */
  struct pit_event_set *events; /* null: no profile is taken */
};

/* Records a failure with the operator's name before the message, which becomes the last error. */
__attribute__((format(printf, 4, 5))) void pit_fail_call(pit_call *call, const char *operator_name,
                                                         int32_t status, const char *format, ...);

/* The same as PIT_ERROR_CUDA if the result is an error, and whether it is: "WHAT on DEVICE failed
 * with RESULT; the last operator on the stream...". */
int pit_call_failed(pit_call *call, CUresult result, const char *what);

/* cuda_profile.c */
void pit_profile_begin(pit_call *call);
void pit_profile_end(pit_call *call);

/* cuda_nvtx.c: ranges of the profiler on this thread; 0: there is none. */
int pit_range_begin(const char *name);
void pit_range_end(void);

/* cuda_memory.c */
/* The memory of all workspaces of the call, call->needed bytes, in stream order. A failure is
 * recorded in the call. */
void pit_take_memory(pit_call *call);
void pit_release_memory(pit_call *call);
/* Gives back what the pools of all devices keep. */
void pit_trim_pools(void);

/* cuda_check.c: " of the operator 'NAME'" of the image that the stream was used by last. */
typedef struct pit_operator_text {
  char text[256];
} pit_operator_text;
pit_operator_text pit_describe_last_operator(const pit_stream *stream);

#endif
