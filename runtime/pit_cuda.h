/* The CUDA part of the runtime: C11, no CUDA header and no CUDA library is needed to build it. The
 * driver, libcuda.so.1, is opened on first use; where there is none, every function here reports
 * that and the host goes on.
 *
 * Environment, read on first use:
 *   PIT_CUDA_DRIVER   the driver's library in place of libcuda.so.1
 *   PIT_NVJITLINK     the library that compiles PTX in place of libnvJitLink.so.13 or .12; empty:
 *                     the driver compiles it
 *   PIT_CACHE_DIR     where compiled PTX is kept, in place of $XDG_CACHE_HOME/pit or ~/.cache/pit;
 *                     empty: nowhere. PTX with setmaxnreg is the driver's to compile, and kept
 *                     where CUDA_CACHE_PATH says
 *   NVTX_INJECTION64_PATH   set by profilers: each call of an operator is a range with its name
 *
 * Contexts: a function with a device works in the caller's current context if that is one of the
 * device, and otherwise in the device's primary context, which is retained once and kept. The
 * caller's current context is the same after every function, and after pit_cuda_end.
 *
 * Functions that return int32_t return a pit_status; a message then stands in pit_last_error. All
 * are thread-safe; one pit_call is used by one thread from pit_cuda_begin to pit_cuda_end. */
#ifndef PIT_CUDA_H
#define PIT_CUDA_H

#include "pit_call.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- what generated code carries and calls --- */

/* The kernels of one operator. Made by generated code or by the JIT; all pointers stay valid until
 * pit_cuda_image_release. Everything but `state` is constant. */
typedef struct pit_cuda_image {
  const char *name;  /* of the operator: errors, NVTX, profiler */
  const char *ptx;   /* NUL-terminated; null: none */
  const void *cubin; /* null: none; for exactly `architecture` */
  size_t cubin_bytes;
  int32_t architecture;          /* 80 = sm_80: what the PTX needs at least */
  int32_t architecture_specific; /* non-zero: sm_90a and the like: runs on exactly this one */
  const char *const *kernels;    /* entry points, by number */
  int32_t kernel_count;
  const char *const *messages; /* of Checks, by number, with {0}..{7} for values */
  int32_t message_count;
  const char *const *index_names; /* of sparse indices, by number */
  int32_t index_count;
  struct pit_cuda_state *state; /* the runtime's; null at first */
} pit_cuda_image;

/* What kernels report into, in device memory: `device_status` of a call points to two of them, [0]
 * of the call under way and [1] the record that pit_check reads.
 *
 * A kernel that has found a failure does compare-and-swap on [0].status from PIT_OK to its
 * pit_status. If that succeeds it does the same on [1].status, and if that succeeds too it writes
 * the other fields of [1] (those of [0] are never read). So the first failure of a call is the
 * call's, and the first since the last pit_check is the record. Later kernels of the call that see
 * [0].status other than PIT_OK write nothing. Nothing has to be ordered: the host reads [1] after
 * the stream has been waited for.
 *
 * The values of a status are those that pit_report takes: PIT_ERROR_DATA with `check` and the
 * Check's values; PIT_ERROR_DATA with check -1 and {key, position, groups}; PIT_ERROR_CAPACITY with
 * check -1 and {needed, capacity}. */
typedef struct pit_device_status {
  int32_t status; /* pit_status */
  int32_t check;  /* which Check of the image, or -1 */
  int32_t index;  /* which sparse index of the image, or -1 */
  int32_t reserved;
  int64_t values[PIT_MAX_VALUES];
  uint64_t image; /* the value of the module's variable PIT_CUDA_IMAGE_VARIABLE */
} pit_device_status;

/* A module whose kernels report declares this variable,
 * `.visible .global .align 8 .u64 pit_cuda_image_number;`, and copies its value into
 * pit_device_status.image. The runtime sets it when it loads the module: no kernel parameter is
 * needed, and no number is used twice, so that an image that is gone is known to be gone. */
#define PIT_CUDA_IMAGE_VARIABLE "pit_cuda_image_number"

/* With call->sizing nothing is put into the stream: kernels are loaded, and workspaces counted.
 *
 * Opens a CUDA call: call->device and call->stream say where, the kernels of `image` are loaded if
 * they are not. needs_status: 0, or the kernels report; call->device_status is then set, and its
 * block [0] cleared in the stream (1), or else the first kernel of the call clears its status (2):
 * clearing takes the device longer than a small kernel. Returns PIT_OK or the error that is
 * recorded in the call, one of an earlier step too; only after PIT_OK must pit_cuda_end follow, on
 * the same thread (otherwise it does nothing). A call on a stream that is being captured is
 * recorded into the graph; replays report to the stream that was captured, and graphs captured from
 * one stream must not run at the same time if they report.
 *
 * If the caller gave no memory, it takes call->needed bytes for all workspaces of the call from a
 * pool of the runtime, in stream order: once, for every allocation costs the host as much as a
 * launch, and keeps a kernel from beginning while the one before it ends. */
int32_t pit_cuda_begin(pit_call *call, pit_cuda_image *image, int32_t needs_status);
/* Releases the memory of the workspaces. With call->profile it waits for the stages and adds their
 * times to stage_nanoseconds; otherwise it does not wait. */
void pit_cuda_end(pit_call *call);

/* Launches kernel number `kernel` of the image of pit_cuda_begin on a grid of `blocks` x 1 x 1.
 * shared_bytes: dynamic shared memory; cluster: blocks in a cluster, 0 or 1: none; overlaps: the
 * kernel may begin while the one before it ends, on multiprocessors in any order, and waits for
 * that one itself (griddepcontrol.wait); arguments: a pointer to each parameter. Nothing is done if
 * an error is recorded, or for blocks 0. Errors are recorded in the call. */
void pit_cuda_launch(pit_call *call, pit_cuda_image *image, int32_t kernel, int64_t blocks,
                     int32_t threads, int64_t shared_bytes, int32_t cluster, int32_t overlaps,
                     void **arguments);

/* The most blocks of the kernel that the device runs at once, a multiple of cluster: the grid of a
 * persistent kernel. Remembered, so cheap after the first time. At least 1 (cluster), unless an
 * error is recorded: then 0. */
int64_t pit_cuda_resident_blocks(pit_call *call, pit_cuda_image *image, int32_t kernel,
                                 int32_t threads, int64_t shared_bytes, int32_t cluster);

/* A part of the call's memory for the kernels that it launches between the two, released in the
 * opposite order; 256-byte aligned; counted in peak_workspace_bytes, rounded up to the alignment.
 * Null after reporting PIT_ERROR_MEMORY {bytes}, and null if an error is recorded. bytes 0 gives a
 * valid pointer. Releasing null does nothing. */
#define PIT_CUDA_WORKSPACE_ALIGNMENT 256
void *pit_cuda_workspace(pit_call *call, int64_t bytes);
void pit_cuda_workspace_release(pit_call *call, void *memory);

/* Around the launches of a stage, which may be run several times. Nothing unless call->profile; not
 * while the stream is captured. */
void pit_cuda_stage_begin(pit_call *call, int32_t stage);
void pit_cuda_stage_end(pit_call *call, int32_t stage);

/* Element types of a tensor map: the numbers of CUtensorMapDataType. */
typedef enum pit_cuda_element {
  PIT_CUDA_UINT8 = 0,
  PIT_CUDA_UINT16 = 1,
  PIT_CUDA_UINT32 = 2,
  PIT_CUDA_INT32 = 3,
  PIT_CUDA_UINT64 = 4,
  PIT_CUDA_INT64 = 5,
  PIT_CUDA_FLOAT16 = 6,
  PIT_CUDA_FLOAT32 = 7,
  PIT_CUDA_FLOAT64 = 8,
  PIT_CUDA_BFLOAT16 = 9,
  PIT_CUDA_TFLOAT32 = 11 /* float32 in memory, rounded to tf32 on the way */
} pit_cuda_element;

/* Fills the 128 bytes at `map`, 64-byte aligned, with a tensor map (TMA): a kernel parameter. The
 * tensor is given as everywhere in pit, the innermost dimension last: extents[rank] in elements,
 * strides_bytes[rank] (the last must be the element's size), box[rank] in elements, rank 1 to 5.
 * The kernel's instructions take coordinates innermost first. What lies outside the tensor reads as
 * zero and is not written. swizzle_bytes: 0, 32, 64 or 128. The hardware's rules (base aligned to
 * 16 bytes, strides multiples of 16 bytes, boxes of at most 256 a dimension whose innermost row has
 * a multiple of 16 bytes and at most swizzle_bytes) are checked and reported as
 * PIT_ERROR_ARGUMENT. A tensor with an extent 0 gives 128 zero bytes, which no kernel may use. */
void pit_cuda_tensor_map(pit_call *call, void *map, void *base, int32_t element_type, int32_t rank,
                         const int64_t *extents, const int64_t *strides_bytes, const int32_t *box,
                         int32_t swizzle_bytes);

/* Unloads the kernels everywhere and forgets the image, after waiting for the devices that have
 * them. No call of it may be under way and no graph with its kernels be used afterwards. The image
 * may be used again as a new one. */
void pit_cuda_image_release(pit_cuda_image *image);

/* --- for compilers --- */

/* The folder of what was compiled before: PIT_CACHE_DIR, else pit in XDG_CACHE_HOME, else
 * .cache/pit in HOME. It may be removed at any time. 0: there is to be none, as for an empty
 * PIT_CACHE_DIR. */
int32_t pit_cache_folder(char *path, size_t bytes);

/* --- for users --- */

/* Waits for the stream (CUstream; null: the legacy default stream) of the device and returns the
 * first failure that operators on it recorded since the last check, then forgets it; PIT_OK: none.
 * PIT_ERROR_CUDA: a kernel did what it may not, and the process has lost the device, with all
 * streams on it; the host and other devices go on. Two threads that check one stream at a time may
 * both see a failure. CU_STREAM_PER_THREAD is checked on the thread that called. */
int32_t pit_check(void *stream, int32_t device);

/* 0 where there is no driver, and no device; pit_last_error then says why. */
int32_t pit_cuda_device_count(void);

typedef struct pit_cuda_device {
  char name[256];
  int32_t architecture;    /* 90 = sm_90 */
  int32_t multiprocessors; /* SMs */
  int32_t driver_version;  /* 13000 = CUDA 13.0: the newest CUDA that the driver knows */
  int32_t reserved;
  int64_t memory_bytes;
  int64_t shared_bytes; /* the most shared memory a block can have */
  int64_t l2_bytes;
} pit_cuda_device;
int32_t pit_cuda_get_device(int32_t device, pit_cuda_device *result);

/* Which device memory belongs to, -1: the host's (or unknown to the driver, or no driver). */
int32_t pit_cuda_device_of(const void *memory);

/* Device memory of buffers, 256-byte aligned. Null on failure. bytes 0 gives a valid pointer.
 * Freeing waits for the device; freeing null does nothing. */
void *pit_cuda_allocate(int32_t device, size_t bytes);
int32_t pit_cuda_free(int32_t device, void *memory);
/* Between any two of host and device memory, in stream order. Host memory must stay as it is until
 * the stream has been waited for, unless it is pageable: then it has been read (or written, after
 * the copy has waited) on return. */
int32_t pit_cuda_copy(int32_t device, void *stream, void *destination, const void *source,
                      size_t bytes);
/* Every byte becomes `value`. */
int32_t pit_cuda_fill(int32_t device, void *stream, void *destination, int32_t value, size_t bytes);
/* Waits for the stream; does not look at the record of pit_check. */
int32_t pit_cuda_synchronise(int32_t device, void *stream);

#ifdef __cplusplus
}
#endif
#endif
