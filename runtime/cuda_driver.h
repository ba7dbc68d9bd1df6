/* The CUDA driver: its types and entry points as we declare them, its devices, and what its error
 * codes are told as. libcuda.so.1 is opened on first use and never closed. */
#ifndef PIT_RUNTIME_CUDA_DRIVER_H
#define PIT_RUNTIME_CUDA_DRIVER_H

#include <pthread.h>

#include "pit_cuda.h"

/* --- the driver's binary interface, which never changes for a given symbol --- */

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUmemPoolHandle_st *CUmemoryPool;
typedef struct CUlinkState_st *CUlinkState;

enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_DEINITIALIZED = 4,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_INVALID_PTX = 218,
  CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
  CUDA_ERROR_LAUNCH_TIMEOUT = 702,
  CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
  CUDA_ERROR_ASSERT = 710,
  CUDA_ERROR_HARDWARE_STACK_ERROR = 714,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
  CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD = 908
};

enum {
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
  CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
  CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
  CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED = 115
};

enum {
  CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 0,
  CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1,
  CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
  CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED = 14
};

enum {
  CU_JIT_INFO_LOG_BUFFER = 3,
  CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES = 4,
  CU_JIT_ERROR_LOG_BUFFER = 5,
  CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6,
  CU_JIT_TARGET = 9,
  CU_JIT_INPUT_PTX = 1,
  CU_COMPUTE_ACCELERATED_TARGET_BASE = 0x10000
};

enum {
  CU_STREAM_NON_BLOCKING = 1,
  CU_STREAM_CAPTURE_MODE_RELAXED = 2,
  CU_STREAM_CAPTURE_STATUS_NONE = 0,
  CU_EVENT_DEFAULT = 0,
  CU_MEM_ALLOCATION_TYPE_PINNED = 1,
  CU_MEM_LOCATION_TYPE_DEVICE = 1,
  CU_MEMPOOL_ATTR_RELEASE_THRESHOLD = 4,
  CU_MEMORYTYPE_HOST = 1,
  CU_MEMORYTYPE_DEVICE = 2,
  CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2,
  CU_POINTER_ATTRIBUTE_IS_MANAGED = 8,
  CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9,
  CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION = 4,
  CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION = 6,
  CU_TENSOR_MAP_L2_PROMOTION_L2_128B = 2
};

typedef struct CUlaunchAttribute {
  int32_t id;
  char padding[4];
  union {
    char room[64];
    struct {
      uint32_t x, y, z;
    } cluster;
    int32_t programmatic_serialization;
  } value;
} CUlaunchAttribute;

typedef struct CUlaunchConfig {
  uint32_t grid_x, grid_y, grid_z;
  uint32_t block_x, block_y, block_z;
  uint32_t shared_bytes;
  CUstream stream;
  CUlaunchAttribute *attributes;
  uint32_t attribute_count;
} CUlaunchConfig;

typedef struct CUmemPoolProps {
  int32_t allocation_type;
  int32_t handle_types;
  struct {
    int32_t type, id;
  } location;
  void *security_attributes;
  size_t most_bytes;
  uint16_t usage;
  unsigned char reserved[54];
} CUmemPoolProps;

/* X(member, symbol of the library, parameters): each returns CUresult. */
#define PIT_DRIVER_FUNCTIONS(X)                                                                   \
  X(get_error_name, "cuGetErrorName", (CUresult, const char **))                                  \
  X(get_error_string, "cuGetErrorString", (CUresult, const char **))                              \
  X(init, "cuInit", (unsigned))                                                                   \
  X(driver_get_version, "cuDriverGetVersion", (int *))                                            \
  X(device_get_count, "cuDeviceGetCount", (int *))                                                \
  X(device_get, "cuDeviceGet", (CUdevice *, int))                                                 \
  X(device_get_name, "cuDeviceGetName", (char *, int, CUdevice))                                  \
  X(device_get_attribute, "cuDeviceGetAttribute", (int *, int, CUdevice))                         \
  X(device_total_mem, "cuDeviceTotalMem_v2", (size_t *, CUdevice))                                \
  X(primary_retain, "cuDevicePrimaryCtxRetain", (CUcontext *, CUdevice))                          \
  X(ctx_get_current, "cuCtxGetCurrent", (CUcontext *))                                            \
  X(ctx_get_device, "cuCtxGetDevice", (CUdevice *))                                               \
  X(ctx_get_id, "cuCtxGetId", (CUcontext, unsigned long long *))                                  \
  X(ctx_push, "cuCtxPushCurrent_v2", (CUcontext))                                                 \
  X(ctx_pop, "cuCtxPopCurrent_v2", (CUcontext *))                                                 \
  X(ctx_synchronize, "cuCtxSynchronize", (void))                                                  \
  X(module_load, "cuModuleLoadDataEx", (CUmodule *, const void *, unsigned, int *, void **))      \
  X(module_unload, "cuModuleUnload", (CUmodule))                                                  \
  X(module_get_function, "cuModuleGetFunction", (CUfunction *, CUmodule, const char *))           \
  X(module_get_global, "cuModuleGetGlobal_v2", (CUdeviceptr *, size_t *, CUmodule, const char *)) \
  X(link_create, "cuLinkCreate_v2", (unsigned, int *, void **, CUlinkState *))                    \
  X(link_add_data, "cuLinkAddData_v2",                                                            \
    (CUlinkState, int, void *, size_t, const char *, unsigned, int *, void **))                   \
  X(link_complete, "cuLinkComplete", (CUlinkState, void **, size_t *))                            \
  X(link_destroy, "cuLinkDestroy", (CUlinkState))                                                 \
  X(func_get_attribute, "cuFuncGetAttribute", (int *, int, CUfunction))                           \
  X(func_set_attribute, "cuFuncSetAttribute", (CUfunction, int, int))                             \
  X(launch, "cuLaunchKernelEx", (const CUlaunchConfig *, CUfunction, void **, void **))           \
  X(most_active_blocks, "cuOccupancyMaxActiveBlocksPerMultiprocessor",                            \
    (int *, CUfunction, int, size_t))                                                             \
  X(most_active_clusters, "cuOccupancyMaxActiveClusters",                                         \
    (int *, CUfunction, const CUlaunchConfig *))                                                  \
  X(mem_alloc, "cuMemAlloc_v2", (CUdeviceptr *, size_t))                                          \
  X(mem_free, "cuMemFree_v2", (CUdeviceptr))                                                      \
  X(mem_alloc_from_pool, "cuMemAllocFromPoolAsync",                                               \
    (CUdeviceptr *, size_t, CUmemoryPool, CUstream))                                              \
  X(mem_free_async, "cuMemFreeAsync", (CUdeviceptr, CUstream))                                    \
  X(pool_create, "cuMemPoolCreate", (CUmemoryPool *, const CUmemPoolProps *))                     \
  X(pool_set_attribute, "cuMemPoolSetAttribute", (CUmemoryPool, int, void *))                     \
  X(pool_trim, "cuMemPoolTrimTo", (CUmemoryPool, size_t))                                         \
  X(memcpy_async, "cuMemcpyAsync", (CUdeviceptr, CUdeviceptr, size_t, CUstream))                  \
  X(memset_bytes, "cuMemsetD8Async", (CUdeviceptr, unsigned char, size_t, CUstream))              \
  X(memset_words, "cuMemsetD32Async", (CUdeviceptr, unsigned, size_t, CUstream))                  \
  X(pointer_get_attributes, "cuPointerGetAttributes", (unsigned, int *, void **, CUdeviceptr))    \
  X(stream_create, "cuStreamCreate", (CUstream *, unsigned))                                      \
  X(stream_destroy, "cuStreamDestroy_v2", (CUstream))                                             \
  X(stream_synchronize, "cuStreamSynchronize", (CUstream))                                        \
  X(stream_is_capturing, "cuStreamIsCapturing", (CUstream, int *))                                \
  X(exchange_capture_mode, "cuThreadExchangeStreamCaptureMode", (int *))                          \
  X(event_create, "cuEventCreate", (CUevent *, unsigned))                                         \
  X(event_destroy, "cuEventDestroy_v2", (CUevent))                                                \
  X(event_record, "cuEventRecord", (CUevent, CUstream))                                           \
  X(event_synchronize, "cuEventSynchronize", (CUevent))                                           \
  X(event_elapsed, "cuEventElapsedTime", (float *, CUevent, CUevent))                             \
  X(tensor_map_encode, "cuTensorMapEncodeTiled",                                                  \
    (void *, int, uint32_t, void *, const uint64_t *, const uint64_t *, const uint32_t *,         \
     const uint32_t *, int, int, int, int))

/* --- what is made of it --- */

typedef struct pit_device {
  CUdevice handle;
  pit_cuda_device info;
  int32_t has_pools;
  pthread_mutex_t mutex; /* of the next two while they are made */
  CUcontext primary;     /* null: not retained yet; accessed atomically */
  CUmemoryPool pool;     /* of workspaces; null: none yet; accessed atomically */
} pit_device;

typedef struct pit_driver {
#define X(member, symbol, parameters) CUresult(*member) parameters;
  PIT_DRIVER_FUNCTIONS(X)
#undef X
  int32_t version;
  int32_t device_count; /* at least 1 */
  pit_device *devices;
} pit_driver;

/* The driver, opened on first use; null after setting the last error if there is none or it is of
 * no use. Afterwards one load. */
const pit_driver *pit_open_driver(void);
/* The driver if it is open. */
const pit_driver *pit_opened_driver(void);

/* Null after setting the last error. */
pit_device *pit_find_device(int32_t device);

/* "device 0 (NVIDIA H100 80GB HBM3)", and "CUDA_ERROR_INVALID_VALUE (invalid argument)" followed by
 * what to do about it where that is known. */
typedef struct pit_driver_text {
  char text[768];
} pit_driver_text;
pit_driver_text pit_describe_device(int32_t device);
pit_driver_text pit_describe_result(CUresult result);

/* A fault of a kernel: everything in the context fails from then on. */
int pit_is_kernel_fault(CUresult result);

#endif
