/* Which context a call runs in. */
#include "cuda_context.h"

#include <stdlib.h>

#include "error.h"

static pit_context *contexts; /* only grows at the head; read without the mutex */
static pthread_mutex_t contexts_mutex = PTHREAD_MUTEX_INITIALIZER;

static pit_context *known(unsigned long long id) {
  pit_context *c = __atomic_load_n(&contexts, __ATOMIC_ACQUIRE);
  while (c && c->id != id) c = c->next;
  return c;
}

/* The record of a context that is current. */
static CUresult record_of(const pit_driver *d, CUcontext handle, pit_context **result) {
  unsigned long long id = 0;
  CUresult error = d->ctx_get_id(handle, &id);
  if (error != CUDA_SUCCESS) return error;
  *result = known(id);
  if (*result) return CUDA_SUCCESS;
  CUdevice device = 0;
  error = d->ctx_get_device(&device);
  if (error != CUDA_SUCCESS) return error;
  int32_t number = 0;
  while (number < d->device_count && d->devices[number].handle != device) ++number;
  if (number == d->device_count) return CUDA_ERROR_INVALID_CONTEXT;
  pthread_mutex_lock(&contexts_mutex);
  *result = known(id);
  if (!*result) {
    pit_context *made = calloc(1, sizeof *made);
    if (made) {
      made->handle = handle;
      made->id = id;
      made->number = number;
      made->device = &d->devices[number];
      made->next = contexts;
      pthread_mutex_init(&made->mutex, NULL);
      __atomic_store_n(&contexts, made, __ATOMIC_RELEASE);
    }
    *result = made;
  }
  pthread_mutex_unlock(&contexts_mutex);
  return *result ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* Pushes the device's primary context. `again`: the one that was retained is of no use any more,
 * since someone has reset the device. */
static CUresult push_primary(const pit_driver *d, pit_device *device, int again,
                             pit_context **result) {
  CUcontext primary = __atomic_load_n(&device->primary, __ATOMIC_ACQUIRE);
  CUresult error = CUDA_SUCCESS;
  if (!primary || again) {
    pthread_mutex_lock(&device->mutex);
    if (again || !device->primary) {
      error = d->primary_retain(&primary, device->handle);
      if (error == CUDA_SUCCESS) __atomic_store_n(&device->primary, primary, __ATOMIC_RELEASE);
    } else {
      primary = device->primary;
    }
    pthread_mutex_unlock(&device->mutex);
  }
  if (error == CUDA_SUCCESS) error = d->ctx_push(primary);
  if (error != CUDA_SUCCESS) return error;
  error = record_of(d, primary, result);
  if (error != CUDA_SUCCESS) d->ctx_pop(&primary);
  return error;
}

int32_t pit_enter(int32_t device, pit_entered *entered) {
  pit_device *found = pit_find_device(device);
  if (!found) return PIT_ERROR_DEVICE;
  const pit_driver *d = pit_opened_driver();
  CUcontext current = NULL;
  CUresult error = d->ctx_get_current(&current);
  if (error == CUDA_SUCCESS && current) {
    entered->pushed = 0;
    error = record_of(d, current, &entered->context);
    if (error == CUDA_SUCCESS && entered->context->device == found) return PIT_OK;
  }
  entered->pushed = 1;
  error = push_primary(d, found, 0, &entered->context);
  if (error == CUDA_ERROR_INVALID_CONTEXT || error == CUDA_ERROR_CONTEXT_IS_DESTROYED) {
    error = push_primary(d, found, 1, &entered->context);
  }
  if (error == CUDA_SUCCESS) return PIT_OK;
  pit_set_error("the context of %s cannot be used: %s", pit_describe_device(device).text,
                pit_describe_result(error).text);
  return PIT_ERROR_CUDA;
}

void pit_leave(const pit_entered *entered) {
  CUcontext popped;
  if (entered->pushed) pit_opened_driver()->ctx_pop(&popped);
}

int pit_relax_capture(void) {
  int mode = CU_STREAM_CAPTURE_MODE_RELAXED;
  pit_opened_driver()->exchange_capture_mode(&mode);
  return mode;
}

void pit_restore_capture(int mode) { pit_opened_driver()->exchange_capture_mode(&mode); }

/* --- streams --- */

/* What tells streams of a context apart. CU_STREAM_LEGACY (1) is the null stream;
 * CU_STREAM_PER_THREAD (2) is another stream on each thread. */
static const void *key_of(void *stream) {
  static _Thread_local char this_thread;
  switch ((uintptr_t)stream) {
    case 1:
      return NULL;
    case 2:
      return &this_thread;
    default:
      return stream;
  }
}

static pit_stream *listed(pit_stream *const *list, const void *key) {
  pit_stream *s = __atomic_load_n(list, __ATOMIC_ACQUIRE);
  while (s && s->key != key) s = s->next;
  return s;
}

pit_stream *pit_find_stream(pit_context *context, void *stream, int make) {
  const void *key = key_of(stream);
  const uint64_t mixed = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15u;
  pit_stream **list = &context->streams[mixed >> 58];
  pit_stream *s = listed(list, key);
  if (s || !make) return s;
  pthread_mutex_lock(&context->mutex);
  s = listed(list, key);
  if (!s) {
    s = calloc(1, sizeof *s);
    if (s) {
      s->key = key;
      s->next = *list;
      __atomic_store_n(list, s, __ATOMIC_RELEASE);
    }
  }
  pthread_mutex_unlock(&context->mutex);
  return s;
}

/* Room for the status blocks of so many streams is taken at a time. */
enum { kStreamsAtATime = 64, kStatusBytes = 256 };
_Static_assert(2 * sizeof(pit_device_status) <= kStatusBytes, "");

/* In a stream of its own: the null stream may not be used while others are captured. */
static CUresult more_blocks(const pit_driver *d, pit_context *context) {
  const size_t bytes = (size_t)kStreamsAtATime * kStatusBytes;
  CUdeviceptr memory = 0;
  CUstream stream = NULL;
  CUresult error = d->stream_create(&stream, CU_STREAM_NON_BLOCKING);
  if (error != CUDA_SUCCESS) return error;
  error = d->mem_alloc(&memory, bytes);
  if (error == CUDA_SUCCESS) error = d->memset_bytes(memory, 0, bytes, stream);
  if (error == CUDA_SUCCESS) error = d->stream_synchronize(stream);
  d->stream_destroy(stream);
  if (error == CUDA_SUCCESS) {
    context->free_blocks = memory;
    context->free_block_count = kStreamsAtATime;
  } else if (memory) {
    d->mem_free(memory);
  }
  return error;
}

CUresult pit_give_status(pit_context *context, pit_stream *stream) {
  if (__atomic_load_n(&stream->status, __ATOMIC_ACQUIRE)) return CUDA_SUCCESS;
  CUresult error = CUDA_SUCCESS;
  pthread_mutex_lock(&context->mutex);
  if (!stream->status && context->free_block_count == 0) {
    const int mode = pit_relax_capture();
    error = more_blocks(pit_opened_driver(), context);
    pit_restore_capture(mode);
  }
  if (!stream->status && error == CUDA_SUCCESS) {
    __atomic_store_n(&stream->status, context->free_blocks, __ATOMIC_RELEASE);
    context->free_blocks += kStatusBytes;
    --context->free_block_count;
  }
  pthread_mutex_unlock(&context->mutex);
  return error;
}
