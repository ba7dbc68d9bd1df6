/* A call of an operator on a CUDA device, from the host's side. */
#include "cuda_call.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* --- failures --- */

void pit_fail_call(pit_call *call, const char *operator_name, int32_t status, const char *format,
                   ...) {
  if (__atomic_load_n(&call->status, __ATOMIC_RELAXED) != PIT_OK) return;
  char text[4096];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  call->error = pit_set_error("operator %s: %s", operator_name, text);
  pit_report(call, status, -1, NULL, 0);
}

static const char *name_of(const pit_call *call) { return call->cuda->module->state->image->name; }

int pit_call_failed(pit_call *call, CUresult result, const char *what) {
  if (result == CUDA_SUCCESS) return 0;
  const struct pit_cuda_call *c = call->cuda;
  char last[320] = "";
  if (pit_is_kernel_fault(result)) {
    snprintf(last, sizeof last, "; what ran last on the stream is %s",
             pit_describe_last_operator(c->stream).text);
  }
  pit_fail_call(call, name_of(call), PIT_ERROR_CUDA, "%s on %s failed with %s%s", what,
                pit_describe_device(call->device).text, pit_describe_result(result).text, last);
  return 1;
}

static int failed(const pit_call *call) {
  return __atomic_load_n(&call->status, __ATOMIC_RELAXED) != PIT_OK;
}

/* --- the records of calls --- */

static _Thread_local struct pit_cuda_call *spare; /* the thread's, while no call uses it */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_thread_end;

static void make_key(void) { pthread_key_create(&at_thread_end, free); }

static struct pit_cuda_call *take_record(void) {
  struct pit_cuda_call *c = spare;
  if (!c) return calloc(1, sizeof *c);
  spare = NULL;
  return c;
}

static void give_record(struct pit_cuda_call *c) {
  if (spare) { /* of a call within a call */
    free(c);
    return;
  }
  spare = c;
  pthread_once(&once, make_key);
  pthread_setspecific(at_thread_end, c);
}

/* --- begin and end --- */

int32_t pit_cuda_begin(pit_call *call, pit_cuda_image *image, int32_t needs_status) {
  call->device_status = NULL;
  call->cuda = NULL;
  if (failed(call)) return call->status;
  struct pit_cuda_call *c = take_record();
  if (!c) {
    pit_fail_call(call, image->name, PIT_ERROR_MEMORY, "no memory on the host for a call");
    return call->status;
  }
  int32_t status = pit_enter(call->device, &c->entered);
  if (status != PIT_OK) {
    pit_fail_call(call, image->name, status, "%s", pit_last_error());
    give_record(c);
    return status;
  }
  c->module = pit_find_module(c->entered.context, image, &status);
  if (c->module) {
    c->stream = pit_find_stream(c->entered.context, call->stream, 1);
    if (!c->stream) {
      status = PIT_ERROR_MEMORY;
      pit_set_error("no memory on the host for a call");
    }
  }
  if (status != PIT_OK) {
    pit_fail_call(call, image->name, status, "%s", pit_last_error());
    pit_leave(&c->entered);
    give_record(c);
    return status;
  }
  call->cuda = c;
  c->after_kernel = 0;
  c->in_range = 0;
  if (call->sizing) return PIT_OK;
  c->in_range = pit_range_begin(image->name);
  if (needs_status) {
    CUresult error = pit_give_status(c->entered.context, c->stream);
    if (error == CUDA_SUCCESS) {
      const CUdeviceptr blocks = c->stream->status;
      call->device_status = (void *)(uintptr_t)blocks;
      /* The status is the block's first word, and tells whether the rest means anything. */
      if (needs_status == 1) {
        error = pit_opened_driver()->memset_words(blocks, 0, 1, call->stream);
      }
    }
    pit_call_failed(call, error, "starting");
  }
  if (!call->given.memory && call->needed > 0 && !failed(call)) pit_take_memory(call);
  if (call->profile && !failed(call)) pit_profile_begin(call);
  if (failed(call)) {
    pit_cuda_end(call);
    return call->status;
  }
  __atomic_store_n(&c->stream->image, c->module->state->number, __ATOMIC_RELAXED);
  return PIT_OK;
}

void pit_cuda_end(pit_call *call) {
  struct pit_cuda_call *c = call->cuda;
  if (!c) return;
  if (c->memory) pit_release_memory(call);
  if (c->events) pit_profile_end(call);
  if (c->in_range) pit_range_end();
  pit_leave(&c->entered);
  call->cuda = NULL;
  call->device_status = NULL;
  give_record(c);
}

/* --- kernels --- */

/* The kernel in the call's context; null if the call has failed, or now does. */
static pit_kernel *find_kernel(pit_call *call, pit_cuda_image *image, int32_t kernel) {
  struct pit_cuda_call *c = call->cuda;
  if (!c || failed(call)) return NULL;
  if (c->module->state->image != image || kernel < 0 || kernel >= image->kernel_count) {
    pit_fail_call(call, image->name, PIT_ERROR_ARGUMENT,
                  "kernel %d is none of the %d kernels of the image that the call began with",
                  kernel, image->kernel_count);
    return NULL;
  }
  return &c->module->kernels[kernel];
}

/* More than the 48 KB of dynamic shared memory that every kernel may have. */
static int allow_shared(pit_call *call, pit_kernel *kernel, int64_t bytes) {
  const pit_cuda_device *device = &call->cuda->entered.context->device->info;
  if (bytes < 0 || bytes > device->shared_bytes - kernel->static_shared) {
    pit_fail_call(call, name_of(call), PIT_ERROR_CUDA,
                  "kernel %s needs %" PRId64
                  " bytes of shared memory in a block (%d fixed and "
                  "%" PRId64 " dynamic), and %s has %" PRId64
                  "; use smaller tiles or fewer pipeline stages",
                  kernel->name, bytes + kernel->static_shared, kernel->static_shared, bytes,
                  pit_describe_device(call->device).text, device->shared_bytes);
    return 0;
  }
  struct pit_cuda_state *state = call->cuda->module->state;
  CUresult error = CUDA_SUCCESS;
  pthread_mutex_lock(&state->mutex); /* two threads must not lower it */
  if (bytes > kernel->allowed_shared) {
    error = pit_opened_driver()->func_set_attribute(
        kernel->function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)bytes);
    if (error == CUDA_SUCCESS) __atomic_store_n(&kernel->allowed_shared, bytes, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&state->mutex);
  return !pit_call_failed(call, error, "raising a kernel's shared memory");
}

/* Clusters of more than 8 blocks: hardware of the same kind need not have them. */
static int allow_large_clusters(pit_call *call, pit_kernel *kernel) {
  if (__atomic_load_n(&kernel->allows_large_clusters, __ATOMIC_ACQUIRE)) return 1;
  const CUresult error = pit_opened_driver()->func_set_attribute(
      kernel->function, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1);
  if (error == CUDA_SUCCESS) __atomic_store_n(&kernel->allows_large_clusters, 1, __ATOMIC_RELEASE);
  return !pit_call_failed(call, error, "allowing clusters of more than 8 blocks");
}

/* Whether a block of the kernel fits the device; makes what must be asked for allowed. */
static int allow(pit_call *call, pit_kernel *kernel, int32_t threads, int64_t shared_bytes,
                 int32_t cluster) {
  if (threads < 1 || threads > kernel->most_threads) {
    pit_fail_call(
        call, name_of(call), PIT_ERROR_CUDA,
        "kernel %s cannot run with %d threads in a block: its registers and its own bound "
        "allow 1 to %d on %s; use fewer threads or smaller tiles",
        kernel->name, threads, kernel->most_threads, pit_describe_device(call->device).text);
    return 0;
  }
  const int32_t architecture = call->cuda->entered.context->device->info.architecture;
  if (cluster > 1 && architecture < 90) {
    pit_fail_call(call, name_of(call), PIT_ERROR_DEVICE,
                  "kernel %s runs in clusters of %d blocks, and %s is sm_%d, which has none (sm_90 "
                  "and newer have)",
                  kernel->name, cluster, pit_describe_device(call->device).text, architecture);
    return 0;
  }
  if (shared_bytes != 0 &&
      (shared_bytes < 0 ||
       shared_bytes > __atomic_load_n(&kernel->allowed_shared, __ATOMIC_ACQUIRE)) &&
      !allow_shared(call, kernel, shared_bytes)) {
    return 0;
  }
  return cluster <= 8 || allow_large_clusters(call, kernel);
}

enum { MOST_ATTRIBUTES = 2 };

/* `attributes`, room for MOST_ATTRIBUTES, must live as long as the configuration that is returned.
 */
static CUlaunchConfig launch_config(int64_t blocks, int32_t threads, int64_t shared_bytes,
                                    int32_t cluster, int overlaps, CUstream stream,
                                    CUlaunchAttribute *attributes) {
  CUlaunchConfig config = {.grid_x = (uint32_t)blocks,
                           .grid_y = 1,
                           .grid_z = 1,
                           .block_x = (uint32_t)threads,
                           .block_y = 1,
                           .block_z = 1,
                           .shared_bytes = (uint32_t)shared_bytes,
                           .stream = stream,
                           .attributes = attributes};
  if (cluster > 1) {
    CUlaunchAttribute *attribute = &attributes[config.attribute_count++];
    attribute->id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute->value.cluster.x = (uint32_t)cluster;
    attribute->value.cluster.y = attribute->value.cluster.z = 1;
  }
  if (overlaps) {
    CUlaunchAttribute *attribute = &attributes[config.attribute_count++];
    attribute->id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attribute->value.programmatic_serialization = 1;
  }
  return config;
}

/* Whether a kernel that may begin while the one before it ends does so: nothing else is between
 * them. Graphs have known such edges since CUDA 12.3. */
static int may_overlap(const pit_call *call, int32_t overlaps) {
  enum { OLDEST_VERSION = 12030 };
  return overlaps && call->cuda->after_kernel && pit_opened_driver()->version >= OLDEST_VERSION &&
         call->cuda->entered.context->device->info.architecture >= 90;
}

void pit_cuda_launch(pit_call *call, pit_cuda_image *image, int32_t kernel, int64_t blocks,
                     int32_t threads, int64_t shared_bytes, int32_t cluster, int32_t overlaps,
                     void **arguments) {
  pit_kernel *k = find_kernel(call, image, kernel);
  if (!k || blocks == 0 || call->sizing) return;
  if (blocks < 0 || blocks > INT32_MAX || (cluster > 1 && blocks % cluster != 0)) {
    pit_fail_call(call, image->name, PIT_ERROR_CUDA,
                  "kernel %s cannot be launched with %" PRId64
                  " blocks: a grid has 1 to %d, a multiple of the cluster (%d); use larger tiles, "
                  "or a persistent kernel",
                  k->name, blocks, INT32_MAX, cluster > 1 ? cluster : 1);
    return;
  }
  if (!allow(call, k, threads, shared_bytes, cluster)) return;
  CUlaunchAttribute attributes[MOST_ATTRIBUTES];
  const CUlaunchConfig config =
      launch_config(blocks, threads, shared_bytes, cluster, may_overlap(call, overlaps),
                    call->stream, attributes);
  const CUresult error = pit_opened_driver()->launch(&config, k->function, arguments, NULL);
  call->cuda->after_kernel = 1;
  if (error == CUDA_SUCCESS) return;
  char what[512];
  snprintf(what, sizeof what,
           "launching kernel %s (%" PRId64 " blocks of %d threads and %" PRId64
           " bytes of shared memory, clusters of %d)",
           k->name, blocks, threads, shared_bytes, cluster > 1 ? cluster : 1);
  pit_call_failed(call, error, what);
}

static const pit_residence *known_residence(const pit_kernel *kernel, int32_t threads,
                                            int64_t shared_bytes, int32_t cluster) {
  const pit_residence *r = __atomic_load_n(&kernel->residences, __ATOMIC_ACQUIRE);
  while (r && (r->threads != threads || r->shared_bytes != shared_bytes || r->cluster != cluster)) {
    r = r->next;
  }
  return r;
}

static CUresult count_resident(const pit_call *call, const pit_kernel *kernel, int32_t threads,
                               int64_t shared_bytes, int32_t cluster, int64_t *blocks) {
  const pit_driver *d = pit_opened_driver();
  int count = 0;
  CUresult error;
  if (cluster > 1) {
    CUlaunchAttribute attributes[MOST_ATTRIBUTES];
    const CUlaunchConfig config =
        launch_config(cluster, threads, shared_bytes, cluster, 0, NULL, attributes);
    error = d->most_active_clusters(&count, kernel->function, &config);
    *blocks = (int64_t)count * cluster;
  } else {
    error = d->most_active_blocks(&count, kernel->function, threads, (size_t)shared_bytes);
    *blocks = (int64_t)count * call->cuda->entered.context->device->info.multiprocessors;
  }
  return error;
}

int64_t pit_cuda_resident_blocks(pit_call *call, pit_cuda_image *image, int32_t kernel,
                                 int32_t threads, int64_t shared_bytes, int32_t cluster) {
  pit_kernel *k = find_kernel(call, image, kernel);
  if (!k) return 0;
  const pit_residence *known = known_residence(k, threads, shared_bytes, cluster);
  if (known) return known->blocks;
  if (!allow(call, k, threads, shared_bytes, cluster)) return 0;
  int64_t blocks = 0;
  const CUresult error = count_resident(call, k, threads, shared_bytes, cluster, &blocks);
  if (pit_call_failed(call, error, "counting the blocks that run at once")) return 0;
  if (blocks == 0) {
    pit_fail_call(call, image->name, PIT_ERROR_CUDA,
                  "no block of kernel %s (%d threads, %" PRId64
                  " bytes of dynamic shared memory, clusters of %d) fits %s; use smaller tiles",
                  k->name, threads, shared_bytes, cluster > 1 ? cluster : 1,
                  pit_describe_device(call->device).text);
    return 0;
  }
  pit_residence *made = malloc(sizeof *made);
  if (made) {
    *made = (pit_residence){NULL, threads, cluster, shared_bytes, blocks};
    struct pit_cuda_state *state = call->cuda->module->state;
    pthread_mutex_lock(&state->mutex);
    made->next = k->residences; /* twice, if two threads counted */
    __atomic_store_n(&k->residences, made, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&state->mutex);
  }
  return blocks;
}
