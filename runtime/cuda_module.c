/* Loads images: machine code if the image has some for the device, else PTX, compiled at most once
 * for a machine if there is a folder to keep the result. */
#include "cuda_module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_compile.h"
#include "error.h"

enum { kLogBytes = 3072 };

/* --- images, by number --- */

static struct pit_cuda_state *states;
static uint64_t last_number;
static pthread_mutex_t states_mutex = PTHREAD_MUTEX_INITIALIZER;

static struct pit_cuda_state *state_of(pit_cuda_image *image) {
  struct pit_cuda_state *state = __atomic_load_n(&image->state, __ATOMIC_ACQUIRE);
  if (state) return state;
  pthread_mutex_lock(&states_mutex);
  state = image->state;
  if (!state && (state = calloc(1, sizeof *state))) {
    state->number = ++last_number;
    state->image = image;
    pthread_mutex_init(&state->mutex, NULL);
    state->next_state = states;
    states = state;
    __atomic_store_n(&image->state, state, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&states_mutex);
  return state;
}

void pit_with_image(uint64_t number, void (*body)(void *closure, const pit_cuda_image *image),
                    void *closure) {
  pthread_mutex_lock(&states_mutex);
  const struct pit_cuda_state *state = states;
  while (state && state->number != number) state = state->next_state;
  body(closure, state ? state->image : NULL);
  pthread_mutex_unlock(&states_mutex);
}

static void unload(pit_module *module) {
  const pit_driver *d = pit_opened_driver();
  CUcontext popped;
  /* It fails if the context or the process is going: then the module goes with it. */
  if (d->ctx_push(module->context->handle) == CUDA_SUCCESS) {
    unsigned long long id = 0;
    if (d->ctx_get_id(module->context->handle, &id) == CUDA_SUCCESS && id == module->context->id) {
      d->ctx_synchronize();
      d->module_unload(module->handle);
    }
    d->ctx_pop(&popped);
  }
}

void pit_cuda_image_release(pit_cuda_image *image) {
  pthread_mutex_lock(&states_mutex);
  struct pit_cuda_state *state = image->state, **at = &states;
  if (state) {
    while (*at != state) at = &(*at)->next_state;
    *at = state->next_state;
    __atomic_store_n(&image->state, NULL, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&states_mutex);
  if (!state) return;
  while (state->modules) {
    pit_module *module = state->modules;
    state->modules = module->next;
    unload(module);
    for (int32_t k = 0; k < image->kernel_count; ++k) {
      while (module->kernels[k].residences) {
        pit_residence *r = module->kernels[k].residences;
        module->kernels[k].residences = r->next;
        free(r);
      }
    }
    free(module);
  }
  pthread_mutex_destroy(&state->mutex);
  free(state);
}

/* --- machine code --- */

/* Refuses an image that cannot run on the device. */
static int32_t check_architecture(const pit_context *context, const pit_cuda_image *image) {
  const int32_t device = context->device->info.architecture;
  const int same = device == image->architecture;
  const int runs = image->architecture_specific ? same : device >= image->architecture;
  if (runs && (image->ptx || (image->cubin && same))) return PIT_OK;
  char advice[96] = "run it on a newer device or compile it for the target \"host\"";
  if (device >= 80) {
    snprintf(advice, sizeof advice, "compile it for the target \"x86-64-linux-cuda-sm_%d%s\"",
             device, device == 90 ? "a" : "");
  }
  pit_set_error("it was compiled for sm_%d%s, and %s is sm_%d; %s", image->architecture,
                image->architecture_specific ? "a alone"
                : image->ptx                 ? " or newer"
                                             : " alone",
                pit_describe_device(context->number).text, device, advice);
  return PIT_ERROR_DEVICE;
}

static CUresult load(const void *code, CUmodule *module, char *log, size_t log_bytes) {
  int options[2] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[2] = {log, (void *)(uintptr_t)log_bytes};
  log[0] = 0;
  return pit_opened_driver()->module_load(module, code, 2, options, values);
}

/* Machine code that was made or kept, if there is some. */
static int load_cubin(const pit_cubin *cubin, CUmodule *module, CUresult *result) {
  char log[kLogBytes];
  if (!cubin->data) return 0;
  *result = load(cubin->data, module, log, sizeof log);
  return *result == CUDA_SUCCESS;
}

static int32_t load_ptx(const pit_context *context, const pit_cuda_image *image, CUmodule *module) {
  const pit_architecture architecture = {context->device->info.architecture,
                                         image->architecture_specific};
  CUresult result = CUDA_SUCCESS;
  if (pit_wants_whole_program(image->ptx)) {
    /* The driver compiles what it loads as a whole, and has a cache of its own. */
    char log[kLogBytes];
    if (load(image->ptx, module, log, sizeof log) == CUDA_SUCCESS) return PIT_OK;
  }
  pit_cubin cubin = pit_read_cache(image->ptx, architecture);
  int loaded = load_cubin(&cubin, module, &result);
  free(cubin.data);
  if (loaded) return PIT_OK;

  char toolkit_log[kLogBytes / 2], driver_log[kLogBytes / 2] = "";
  cubin = pit_compile_with_nvjitlink(image->ptx, architecture, toolkit_log, sizeof toolkit_log);
  loaded = load_cubin(&cubin, module, &result);
  if (!loaded) {
    /* Machine code of a toolkit newer than the driver is refused; the driver's own may do. */
    if (cubin.data) {
      snprintf(toolkit_log, sizeof toolkit_log, "the driver refused its machine code with %s",
               pit_describe_result(result).text);
    }
    free(cubin.data);
    cubin =
        pit_compile_with_driver(image->ptx, architecture, driver_log, sizeof driver_log, &result);
    loaded = load_cubin(&cubin, module, &result);
  }
  if (loaded) pit_write_cache(image->ptx, architecture, &cubin);
  free(cubin.data);
  if (loaded) return PIT_OK;
  pit_set_error("its PTX does not load on %s: %s%s%s%s%s",
                pit_describe_device(context->number).text, pit_describe_result(result).text,
                driver_log[0] ? "; the driver's log: " : "", driver_log,
                toolkit_log[0] ? "; nvJitLink's log: " : "", toolkit_log);
  return PIT_ERROR_CUDA;
}

static int32_t load_image(const pit_context *context, const pit_cuda_image *image,
                          CUmodule *module) {
  int32_t status = check_architecture(context, image);
  if (status != PIT_OK) return status;
  if (image->cubin && context->device->info.architecture == image->architecture) {
    char log[kLogBytes];
    const CUresult result = load(image->cubin, module, log, sizeof log);
    if (result == CUDA_SUCCESS) return PIT_OK;
    if (!image->ptx) {
      pit_set_error("its machine code does not load on %s: %s%s%s",
                    pit_describe_device(context->number).text, pit_describe_result(result).text,
                    log[0] ? "; the driver's log: " : "", log);
      return PIT_ERROR_CUDA;
    }
  }
  return load_ptx(context, image, module);
}

/* --- modules --- */

static CUresult find_kernel(const pit_driver *d, CUmodule handle, const char *name,
                            pit_kernel *kernel) {
  int threads = 0, shared = 0;
  kernel->name = name;
  CUresult error = d->module_get_function(&kernel->function, handle, name);
  if (error == CUDA_SUCCESS) {
    error =
        d->func_get_attribute(&threads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel->function);
  }
  if (error == CUDA_SUCCESS) {
    error = d->func_get_attribute(&shared, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, kernel->function);
  }
  kernel->most_threads = threads;
  kernel->static_shared = shared;
  return error;
}

/* Tells the module which image it is of. */
static CUresult write_number(const pit_driver *d, CUmodule handle, uint64_t number) {
  CUdeviceptr variable = 0;
  size_t bytes = 0;
  if (d->module_get_global(&variable, &bytes, handle, PIT_CUDA_IMAGE_VARIABLE) != CUDA_SUCCESS) {
    return CUDA_SUCCESS; /* its kernels report nothing */
  }
  /* In a stream of its own: the null stream may not be used while others are captured. */
  CUstream stream = NULL;
  CUresult error = d->stream_create(&stream, CU_STREAM_NON_BLOCKING);
  if (error != CUDA_SUCCESS) return error;
  error = d->memcpy_async(variable, (CUdeviceptr)(uintptr_t)&number, sizeof number, stream);
  if (error == CUDA_SUCCESS) error = d->stream_synchronize(stream);
  d->stream_destroy(stream);
  return error;
}

static pit_module *make_module(pit_context *context, struct pit_cuda_state *state,
                               int32_t *status) {
  const pit_driver *d = pit_opened_driver();
  const pit_cuda_image *image = state->image;
  pit_module *module =
      calloc(1, sizeof *module + (size_t)image->kernel_count * sizeof *module->kernels);
  if (!module) {
    *status = PIT_ERROR_MEMORY;
    pit_set_error("no memory on the host to load its kernels");
    return NULL;
  }
  module->context = context;
  module->state = state;
  *status = load_image(context, image, &module->handle);
  if (*status != PIT_OK) {
    free(module);
    return NULL;
  }
  const char *what = PIT_CUDA_IMAGE_VARIABLE;
  CUresult error = write_number(d, module->handle, state->number);
  for (int32_t k = 0; k < image->kernel_count && error == CUDA_SUCCESS; ++k) {
    what = image->kernels[k];
    error = find_kernel(d, module->handle, what, &module->kernels[k]);
  }
  if (error == CUDA_SUCCESS) return module;
  pit_set_error("%s of its module cannot be used on %s: %s", what,
                pit_describe_device(context->number).text, pit_describe_result(error).text);
  *status = PIT_ERROR_CUDA;
  d->module_unload(module->handle);
  free(module);
  return NULL;
}

static pit_module *listed(struct pit_cuda_state *state, const pit_context *context) {
  pit_module *m = __atomic_load_n(&state->modules, __ATOMIC_ACQUIRE);
  while (m && m->context != context) m = m->next;
  return m;
}

pit_module *pit_find_module(pit_context *context, pit_cuda_image *image, int32_t *status) {
  struct pit_cuda_state *state = state_of(image);
  if (!state) {
    *status = PIT_ERROR_MEMORY;
    pit_set_error("no memory on the host to load its kernels");
    return NULL;
  }
  pit_module *module = listed(state, context);
  if (module) return module;
  pthread_mutex_lock(&state->mutex);
  module = listed(state, context);
  if (!module) {
    const int mode = pit_relax_capture();
    module = make_module(context, state, status);
    pit_restore_capture(mode);
    if (module) {
      module->next = state->modules;
      __atomic_store_n(&state->modules, module, __ATOMIC_RELEASE);
    }
  }
  pthread_mutex_unlock(&state->mutex);
  return module;
}
