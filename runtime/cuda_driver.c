/* Opens the CUDA driver and lists its devices. */
#include "cuda_driver.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* The first with cuCtxGetId, cuLaunchKernelEx and cuOccupancyMaxActiveClusters. */
enum { kOldestVersion = 12000 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pit_driver driver;
static pit_driver *opened; /* null: not yet, or of no use; accessed atomically */
static char why_not[1024];

static int find_functions(void *library, const char *path) {
  int version = 0;
  CUresult (*get_version)(int *) = NULL;
  void *symbol = dlsym(library, "cuDriverGetVersion");
  memcpy(&get_version, &symbol, sizeof symbol); /* an object pointer may not be cast to it */
  if (get_version) get_version(&version);
  if (version < kOldestVersion) {
    snprintf(
        why_not, sizeof why_not,
        "the CUDA driver (%s) knows CUDA %d.%d and at least %d.%d is needed; update the NVIDIA "
        "driver",
        path, version / 1000, version % 1000 / 10, kOldestVersion / 1000,
        kOldestVersion % 1000 / 10);
    return 0;
  }
  driver.version = version;
#define X(member, name, parameters)                                                     \
  symbol = dlsym(library, name);                                                        \
  if (!symbol) {                                                                        \
    snprintf(why_not, sizeof why_not,                                                   \
             "the CUDA driver (%s) has no function %s; update or reinstall the NVIDIA " \
             "driver",                                                                  \
             path, name);                                                               \
    return 0;                                                                           \
  }                                                                                     \
  memcpy(&driver.member, &symbol, sizeof symbol);
  PIT_DRIVER_FUNCTIONS(X)
#undef X
  return 1;
}

static CUresult describe(pit_device *device, int number) {
  pit_cuda_device *info = &device->info;
  pthread_mutex_init(&device->mutex, NULL);
  CUresult result = driver.device_get(&device->handle, number);
  if (result == CUDA_SUCCESS) {
    result = driver.device_get_name(info->name, (int)sizeof info->name, device->handle);
  }
  size_t memory = 0;
  if (result == CUDA_SUCCESS) result = driver.device_total_mem(&memory, device->handle);
  info->memory_bytes = (int64_t)memory;
  info->driver_version = driver.version;
  int major = 0, minor = 0, shared = 0, l2 = 0;
  const struct {
    int attribute;
    int *to;
  } attributes[] = {{CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &major},
                    {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &minor},
                    {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &info->multiprocessors},
                    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &shared},
                    {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, &l2},
                    {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, &device->has_pools}};
  for (size_t i = 0; i < sizeof attributes / sizeof *attributes && result == CUDA_SUCCESS; ++i) {
    result = driver.device_get_attribute(attributes[i].to, attributes[i].attribute, device->handle);
  }
  info->architecture = major * 10 + minor;
  info->shared_bytes = shared;
  info->l2_bytes = l2;
  return result;
}

static int list_devices(const char *path) {
  const char *doing = "did not start";
  CUresult result = driver.init(0);
  int count = 0;
  if (result == CUDA_SUCCESS) {
    doing = "did not list its devices";
    result = driver.device_get_count(&count);
  }
  if (result == CUDA_ERROR_NO_DEVICE || (result == CUDA_SUCCESS && count == 0)) {
    snprintf(why_not, sizeof why_not,
             "the CUDA driver (%s) sees no device; check nvidia-smi and CUDA_VISIBLE_DEVICES",
             path);
    return 0;
  }
  if (result == CUDA_SUCCESS) {
    driver.devices = calloc((size_t)count, sizeof *driver.devices);
    if (!driver.devices) result = CUDA_ERROR_OUT_OF_MEMORY;
  }
  for (int i = 0; i < count && result == CUDA_SUCCESS; ++i)
    result = describe(&driver.devices[i], i);
  if (result != CUDA_SUCCESS) {
    snprintf(why_not, sizeof why_not, "the CUDA driver (%s) %s: %s", path, doing,
             pit_describe_result(result).text);
    return 0;
  }
  driver.device_count = count;
  return 1;
}

static void open_driver(void) {
  const char *path = getenv("PIT_CUDA_DRIVER");
  if (!path || !*path) path = "libcuda.so.1";
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *reason = dlerror();
    snprintf(
        why_not, sizeof why_not,
        "there is no CUDA driver (%s); install the NVIDIA driver, or choose the target \"host\"",
        reason ? reason : path);
    return;
  }
  if (find_functions(library, path) && list_devices(path)) {
    __atomic_store_n(&opened, &driver, __ATOMIC_RELEASE);
  }
}

const pit_driver *pit_opened_driver(void) { return __atomic_load_n(&opened, __ATOMIC_ACQUIRE); }

const pit_driver *pit_open_driver(void) {
  const pit_driver *d = pit_opened_driver();
  if (d) return d;
  pthread_once(&once, open_driver);
  d = pit_opened_driver();
  if (!d) pit_set_error("%s", why_not);
  return d;
}

pit_device *pit_find_device(int32_t device) {
  const pit_driver *d = pit_open_driver();
  if (!d) return NULL;
  if (device < 0 || device >= d->device_count) {
    pit_set_error("there is no CUDA device %d; the driver sees %d, numbered from 0", device,
                  d->device_count);
    return NULL;
  }
  return &d->devices[device];
}

pit_driver_text pit_describe_device(int32_t device) {
  pit_driver_text result;
  snprintf(result.text, sizeof result.text, "device %d (%s)", device,
           driver.devices[device].info.name);
  return result;
}

int pit_is_kernel_fault(CUresult result) {
  return result == CUDA_ERROR_ILLEGAL_ADDRESS || result == CUDA_ERROR_LAUNCH_TIMEOUT ||
         result == CUDA_ERROR_ASSERT ||
         (result >= CUDA_ERROR_HARDWARE_STACK_ERROR && result <= CUDA_ERROR_LAUNCH_FAILED);
}

static const char *advice(CUresult result) {
  if (pit_is_kernel_fault(result)) {
    return "; a kernel that ran before failed, and with it the context is lost: everything in it "
           "fails from now on, on every stream. End the process, and run it under "
           "compute-sanitizer to find the kernel";
  }
  if (result >= CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED &&
      result <= CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD) {
    return "; this cannot be done while a stream is captured into a graph";
  }
  switch (result) {
    case CUDA_ERROR_OUT_OF_MEMORY:
      return "; free memory of the device, call pit_trim(), or work on smaller tensors";
    case CUDA_ERROR_INVALID_CONTEXT:
    case CUDA_ERROR_INVALID_HANDLE:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
      return "; the stream must be alive and belong to the context in which the operator runs: the "
             "caller's current context if that is one of this device, else the device's primary "
             "one";
    case CUDA_ERROR_NO_BINARY_FOR_GPU:
    case CUDA_ERROR_INVALID_PTX:
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
      return "; if the driver is older than the compiler that made the kernels, update it, or "
             "install the CUDA Toolkit's nvJitLink";
    case CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES:
      return "; the kernel needs more registers or shared memory than a block may have: use fewer "
             "threads or smaller tiles";
    case CUDA_ERROR_DEINITIALIZED:
      return "; the process is ending";
    default:
      return "";
  }
}

pit_driver_text pit_describe_result(CUresult result) {
  const char *name = NULL, *text = NULL;
  if (driver.get_error_name) driver.get_error_name(result, &name);
  if (driver.get_error_string) driver.get_error_string(result, &text);
  pit_driver_text described;
  if (name && text) {
    snprintf(described.text, sizeof described.text, "%s (%s)%s", name, text, advice(result));
  } else {
    snprintf(described.text, sizeof described.text, "CUDA error %d%s", result, advice(result));
  }
  return described;
}

int32_t pit_cuda_device_count(void) {
  const pit_driver *d = pit_open_driver();
  return d ? d->device_count : 0;
}

int32_t pit_cuda_get_device(int32_t device, pit_cuda_device *result) {
  const pit_device *found = pit_find_device(device);
  if (!found) return PIT_ERROR_DEVICE;
  *result = found->info;
  return PIT_OK;
}
