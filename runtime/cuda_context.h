/* The contexts that calls run in, and what is kept for each of them and for its streams. */
#ifndef PIT_RUNTIME_CUDA_CONTEXT_H
#define PIT_RUNTIME_CUDA_CONTEXT_H

#include "cuda_driver.h"

/* A stream of a context. Never freed: its status blocks must stay where kernels and graphs may
 * still write. A later stream with the same handle takes it over. */
typedef struct pit_stream {
  struct pit_stream *next;
  const void *key;
  CUdeviceptr status; /* two pit_device_status; 0: none yet; accessed atomically */
  uint64_t image;     /* the number of the image that was called last; accessed atomically */
} pit_stream;

enum { kStreamBuckets = 64 };

/* A context that was met. Known by the driver's number for it, which is not used twice: another
 * context may get the same handle later. Never freed. */
typedef struct pit_context {
  struct pit_context *next;
  CUcontext handle;
  unsigned long long id;
  int32_t number; /* of the device */
  pit_device *device;
  pit_stream
      *streams[kStreamBuckets]; /* lists that only grow at the head; read without the mutex */
  pthread_mutex_t mutex;        /* of changes */
  CUdeviceptr free_blocks;      /* where the next status blocks of a stream are taken from */
  int32_t free_block_count;
  struct pit_event_set *event_sets; /* of no call at the moment; see cuda_profile.c */
} pit_context;

typedef struct pit_entered {
  pit_context *context;
  int pushed;
} pit_entered;

/* Makes the context of the device that the header of pit_cuda.h names current. Returns a pit_status
 * with the last error set; after PIT_OK pit_leave must follow. */
int32_t pit_enter(int32_t device, pit_entered *entered);
/* As it was before pit_enter. */
void pit_leave(const pit_entered *entered);

/* The stream's record, made if there is none and `make` is set; null: no memory on the host, or
 * none made. The context is entered. */
pit_stream *pit_find_stream(pit_context *context, void *stream, int make);
/* Gives the stream its status blocks, cleared, if it has none. Works while streams are captured. */
CUresult pit_give_status(pit_context *context, pit_stream *stream);

/* Allows on this thread what captures of other streams forbid, and back. */
int pit_relax_capture(void);
void pit_restore_capture(int mode);

#endif
