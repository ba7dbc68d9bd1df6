/* The kernels of images, loaded into contexts. */
#ifndef PIT_RUNTIME_CUDA_MODULE_H
#define PIT_RUNTIME_CUDA_MODULE_H

#include "cuda_context.h"

/* The most blocks at once of a kernel launched in one way. */
typedef struct pit_residence {
  struct pit_residence *next;
  int32_t threads, cluster;
  int64_t shared_bytes, blocks;
} pit_residence;

typedef struct pit_kernel {
  const char *name;
  CUfunction function;
  int32_t static_shared;  /* bytes */
  int32_t most_threads;   /* in a block */
  int64_t allowed_shared; /* dynamic shared memory the driver was told of; accessed atomically */
  int32_t allows_large_clusters; /* accessed atomically */
  pit_residence *residences;     /* grows at the head; read without a lock */
} pit_kernel;

/* An image in a context. */
typedef struct pit_module {
  struct pit_module *next;
  pit_context *context;
  struct pit_cuda_state *state;
  CUmodule handle;
  pit_kernel kernels[];
} pit_module;

/* The runtime's part of an image. */
struct pit_cuda_state {
  uint64_t number; /* never used twice, not 0 */
  pit_cuda_image *image;
  pthread_mutex_t mutex; /* of loading, and of changes to kernels */
  pit_module *modules;   /* grows at the head; read without the mutex */
  struct pit_cuda_state *next_state;
};

/* The image's kernels in the entered context, loaded on first use; null: *status and the last error
 * say why (without the operator's name). */
pit_module *pit_find_module(pit_context *context, pit_cuda_image *image, int32_t *status);

/* Calls body(closure, image) with the image of that number, or with null if it is gone; it is not
 * released meanwhile. */
void pit_with_image(uint64_t number, void (*body)(void *closure, const pit_cuda_image *image),
                    void *closure);

#endif
