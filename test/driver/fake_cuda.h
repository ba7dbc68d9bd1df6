/* A stand-in for the CUDA driver's library: device memory is host memory, kernels are a function of
 * the test, and every entry point is counted and can be told to fail. */
#ifndef PIT_TEST_FAKE_CUDA_H
#define PIT_TEST_FAKE_CUDA_H

#include "runtime/cuda_driver.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fake_launch_record {
  const char *kernel;
  CUlaunchConfig config;
  uint32_t cluster;
  int32_t overlaps;       /* may begin while the kernel before it ends */
  uint64_t *image_number; /* the module's variable; null: it has none */
  void **arguments;
} fake_launch_record;

typedef struct fake_cuda {
  /* What the driver and its devices are like; read by cuInit and after. */
  int version, device_count, architecture, multiprocessors, shared_bytes, has_pools;
  int capturing;
  int loads_ptx; /* else machine code alone: PTX must be linked */
  size_t free_bytes;
  /* The entry point that fails from now on, and with what. */
  const char *failing;
  CUresult result;
  void (*run)(const fake_launch_record *launch);

  int pushed;  /* pushes less pops, of all threads */
  int modules; /* loaded now */
  int64_t allocated;
  int64_t pool_allocated;
  char last_push[64];
  char last_loaded[16]; /* what the module made last begins with */
} fake_cuda;

/* Memory that the driver knows of, never freed. */
typedef enum fake_memory {
  FAKE_MEMORY_DEVICE,
  FAKE_MEMORY_PINNED,
  FAKE_MEMORY_MANAGED
} fake_memory;

typedef fake_cuda *(*fake_state_function)(void);
typedef int (*fake_count_function)(const char *entry_point);
typedef void (*fake_reset_function)(int device);
typedef void *(*fake_allocate_function)(size_t bytes, fake_memory kind, int device);

#ifdef __cplusplus
}
#endif
#endif
