/* Device memory: workspaces of calls from a pool of the runtime, and buffers of users. */
#include <inttypes.h>
#include <stdlib.h>

#include "cuda_call.h"
#include "error.h"
#include "operator.h"
#include "overlap.h"

/* --- workspaces --- */

/* The device's pool, made on first use. It keeps what is released to it until pit_trim: memory that
 * goes back to the device at every synchronisation costs milliseconds to get again. */
static CUresult find_pool(pit_device *device, int32_t number, CUmemoryPool *result) {
  const pit_driver *d = pit_opened_driver();
  *result = __atomic_load_n(&device->pool, __ATOMIC_ACQUIRE);
  if (*result) return CUDA_SUCCESS;
  CUresult error = CUDA_SUCCESS;
  pthread_mutex_lock(&device->mutex);
  if (!device->pool) {
    const CUmemPoolProps properties = {
        .allocation_type = CU_MEM_ALLOCATION_TYPE_PINNED,
        .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = number}};
    uint64_t everything = UINT64_MAX;
    CUmemoryPool pool = NULL;
    const int mode = pit_relax_capture();
    error = d->pool_create(&pool, &properties);
    if (error == CUDA_SUCCESS) {
      error = d->pool_set_attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &everything);
    }
    pit_restore_capture(mode);
    if (error == CUDA_SUCCESS) __atomic_store_n(&device->pool, pool, __ATOMIC_RELEASE);
  }
  *result = device->pool;
  pthread_mutex_unlock(&device->mutex);
  return error;
}

void pit_trim_pools(void) {
  const pit_driver *d = pit_opened_driver();
  if (!d) return;
  for (int32_t i = 0; i < d->device_count; ++i) {
    CUmemoryPool pool = __atomic_load_n(&d->devices[i].pool, __ATOMIC_ACQUIRE);
    if (pool) d->pool_trim(pool, 0);
  }
}

static const char *operator_of(const pit_call *call) {
  return call->cuda->module->state->image->name;
}

/* As pit_report, with a message that names the device. */
static void no_memory(pit_call *call, int64_t bytes, CUresult error) {
  call->error = pit_set_error(
      "operator %s: no memory for a workspace of %" PRId64 " bytes on %s: %s", operator_of(call),
      bytes, pit_describe_device(call->device).text, pit_describe_result(error).text);
  pit_report(call, PIT_ERROR_MEMORY, -1, &bytes, 1);
}

void pit_take_memory(pit_call *call) {
  struct pit_cuda_call *c = call->cuda;
  pit_device *device = c->entered.context->device;
  if (!device->has_pools) {
    pit_fail_call(call, operator_of(call), PIT_ERROR_DEVICE,
                  "it needs workspaces, and %s has no memory pools (stream-ordered allocation); "
                  "use a device or a driver that has them",
                  pit_describe_device(call->device).text);
    return;
  }
  CUmemoryPool pool;
  CUresult error = find_pool(device, call->device, &pool);
  if (error == CUDA_SUCCESS) {
    error = pit_opened_driver()->mem_alloc_from_pool(&c->memory, (size_t)call->needed, pool,
                                                     call->stream);
  }
  if (error == CUDA_SUCCESS) {
    call->given = (pit_stack){(char *)(uintptr_t)c->memory, call->needed, 0};
    return;
  }
  c->memory = 0;
  if (error == CUDA_ERROR_OUT_OF_MEMORY) {
    no_memory(call, call->needed, error);
  } else {
    pit_call_failed(call, error, "taking a workspace");
  }
}

void pit_release_memory(pit_call *call) {
  struct pit_cuda_call *c = call->cuda;
  pit_call_failed(call, pit_opened_driver()->mem_free_async(c->memory, call->stream),
                  "releasing a workspace");
  c->memory = 0;
  call->given = (pit_stack){NULL, 0, 0};
}

void *pit_cuda_workspace(pit_call *call, int64_t bytes) {
  enum { kAlignment = PIT_CUDA_WORKSPACE_ALIGNMENT };
  if (!call->cuda || __atomic_load_n(&call->status, __ATOMIC_RELAXED) != PIT_OK) return NULL;
  pit_stack *stack = &call->given;
  const int64_t rest = stack->bytes - stack->used;
  const int64_t size = bytes > 0 ? bytes : 1;
  if (bytes < 0 || size > rest || (size + kAlignment - 1) / kAlignment * kAlignment > rest) {
    no_memory(call, bytes, CUDA_ERROR_OUT_OF_MEMORY);
    return NULL;
  }
  char *memory = stack->memory + stack->used;
  stack->used += (size + kAlignment - 1) / kAlignment * kAlignment;
  if (stack->used > call->peak_workspace_bytes) call->peak_workspace_bytes = stack->used;
  if (call->sizing) call->needed = call->peak_workspace_bytes;
  return memory;
}

void pit_cuda_workspace_release(pit_call *call, void *memory) {
  if (call->cuda && memory) call->given.used = (char *)memory - call->given.memory;
}

/* --- buffers --- */

static int32_t finish(const pit_entered *entered, int32_t device, CUresult error,
                      const char *what) {
  pit_leave(entered);
  if (error == CUDA_SUCCESS) return PIT_OK;
  pit_set_error("%s %s failed with %s", what, pit_describe_device(device).text,
                pit_describe_result(error).text);
  return error == CUDA_ERROR_OUT_OF_MEMORY ? PIT_ERROR_MEMORY : PIT_ERROR_CUDA;
}

void *pit_cuda_allocate(int32_t device, size_t bytes) {
  pit_entered entered;
  if (pit_enter(device, &entered) != PIT_OK) return NULL;
  CUdeviceptr memory = 0;
  const CUresult error = pit_opened_driver()->mem_alloc(&memory, bytes > 0 ? bytes : 1);
  pit_leave(&entered);
  if (error == CUDA_SUCCESS) return (void *)(uintptr_t)memory;
  pit_set_error("no %zu bytes of memory on %s: %s", bytes, pit_describe_device(device).text,
                pit_describe_result(error).text);
  return NULL;
}

int32_t pit_cuda_free(int32_t device, void *memory) {
  if (!memory) return PIT_OK;
  pit_entered entered;
  const int32_t status = pit_enter(device, &entered);
  if (status != PIT_OK) return status;
  const CUresult error = pit_opened_driver()->mem_free((CUdeviceptr)(uintptr_t)memory);
  return finish(&entered, device, error, "freeing memory of");
}

int32_t pit_cuda_copy(int32_t device, void *stream, void *destination, const void *source,
                      size_t bytes) {
  pit_entered entered;
  const int32_t status = pit_enter(device, &entered);
  if (status != PIT_OK) return status;
  CUresult error = CUDA_SUCCESS;
  if (bytes > 0) {
    error = pit_opened_driver()->memcpy_async((CUdeviceptr)(uintptr_t)destination,
                                              (CUdeviceptr)(uintptr_t)source, bytes, stream);
  }
  return finish(&entered, device, error, "copying memory with");
}

int32_t pit_cuda_fill(int32_t device, void *stream, void *destination, int32_t value,
                      size_t bytes) {
  pit_entered entered;
  const int32_t status = pit_enter(device, &entered);
  if (status != PIT_OK) return status;
  CUresult error = CUDA_SUCCESS;
  if (bytes > 0) {
    error = pit_opened_driver()->memset_bytes((CUdeviceptr)(uintptr_t)destination,
                                              (unsigned char)value, bytes, stream);
  }
  return finish(&entered, device, error, "filling memory of");
}

int32_t pit_cuda_synchronise(int32_t device, void *stream) {
  pit_entered entered;
  const int32_t status = pit_enter(device, &entered);
  if (status != PIT_OK) return status;
  const CUresult error = pit_opened_driver()->stream_synchronize(stream);
  return finish(&entered, device, error, "waiting for a stream of");
}

/* --- where memory is --- */

/* Asks the driver. An error that is not the pointer's is returned: of a context that is lost. */
static CUresult find_place(const pit_driver *d, uintptr_t address, pit_cuda_place *place) {
  unsigned type = 0, managed = 0;
  int device = -1;
  int attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED,
                      CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
  void *values[] = {&type, &managed, &device};
  const CUresult error = d->pointer_get_attributes(3, attributes, values, address);
  *place = (pit_cuda_place){PIT_PLACE_UNKNOWN, -1};
  if (error == CUDA_ERROR_INVALID_VALUE || error == CUDA_ERROR_INVALID_CONTEXT)
    return CUDA_SUCCESS; /* an address that no context has */
  if (error != CUDA_SUCCESS) return error;
  if (managed) {
    *place = (pit_cuda_place){PIT_PLACE_MANAGED, device};
  } else if (type == CU_MEMORYTYPE_DEVICE) {
    *place = (pit_cuda_place){PIT_PLACE_DEVICE, device};
  } else if (type == CU_MEMORYTYPE_HOST) {
    place->kind = PIT_PLACE_PINNED;
  }
  return CUDA_SUCCESS;
}

static int is_capturing(const pit_driver *d, void *stream) {
  int status = CU_STREAM_CAPTURE_STATUS_NONE;
  return d->stream_is_capturing(stream, &status) == CUDA_SUCCESS &&
         status != CU_STREAM_CAPTURE_STATUS_NONE;
}

int32_t pit_cuda_find_misplaced(const DLTensor *const *tensors, int32_t count, void *stream,
                                pit_cuda_place *place) {
  const pit_driver *d = pit_open_driver();
  if (!d) return -1;
  int32_t found = -1;
  CUresult error = CUDA_SUCCESS;
  const int mode = pit_relax_capture();
  for (int32_t i = 0; i < count && found < 0 && error == CUDA_SUCCESS; ++i) {
    const DLTensor *t = tensors[i];
    const int32_t device = t->device.device_id;
    if (device < 0 || device >= d->device_count || pit_is_empty(t)) continue;
    error = find_place(d, (uintptr_t)t->data + t->byte_offset, place);
    const int here = place->kind == PIT_PLACE_MANAGED ||
                     (place->kind == PIT_PLACE_DEVICE && place->device == device) ||
                     (place->kind == PIT_PLACE_UNKNOWN && is_capturing(d, stream));
    if (error == CUDA_SUCCESS && !here) found = i;
  }
  pit_restore_capture(mode);
  return found;
}

int32_t pit_cuda_device_of(const void *memory) {
  const pit_driver *d = pit_open_driver();
  pit_cuda_place place;
  if (!d || !memory || find_place(d, (uintptr_t)memory, &place) != CUDA_SUCCESS) return -1;
  return place.device;
}
