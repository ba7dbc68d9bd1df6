/* What the files of the runtime and the JIT share about operators. */
#ifndef PIT_RUNTIME_OPERATOR_H
#define PIT_RUNTIME_OPERATOR_H

#include "pit_call.h"

#ifdef __cplusplus
extern "C" {
#endif

int32_t pit_input_count(const pit_operator *op);
int32_t pit_tensor_count(const pit_operator *op);

/* One if the code for tensors whose last strides are 1 and whose outputs share no memory with
 * inputs may run; the tensors passed pit_operator_check. */
int pit_is_row_major(const pit_operator *op, const DLTensor *const *tensors);

/* Calls `function`, the code's for these tensors, with `call`, which pit_call_initialise and the
 * caller have filled. Returns the status; the message of a failure is the thread's last error, and
 * the error handler has had it. */
int32_t pit_operator_run(const pit_operator *op, const pit_code *code, pit_function function,
                         pit_call *call, const DLTensor *const *tensors,
                         const void *const *scalars);

/* Where the driver says that memory is. */
typedef enum pit_place_kind {
  PIT_PLACE_UNKNOWN = 0, /* it does not know the address: the host's own memory, or none at all */
  PIT_PLACE_PINNED = 1,  /* the host's, pinned by CUDA */
  PIT_PLACE_MANAGED = 2, /* wherever it is used */
  PIT_PLACE_DEVICE = 3
} pit_place_kind;

typedef struct pit_cuda_place {
  pit_place_kind kind;
  int32_t
      device; /* of PIT_PLACE_DEVICE, and the one that PIT_PLACE_MANAGED was made for; else -1 */
} pit_cuda_place;

/* The first tensor that has an element and whose memory is neither of the device that it names nor
 * managed, and where it is instead; -1: none. One question to the driver a tensor; nothing is put
 * into a stream, which may be captured. Without a driver or such a device, and when the context is
 * lost, nothing is found: the call says so itself. While `stream` is captured an address may be one
 * that the graph allocates, of which the driver knows nothing yet. The tensors passed what
 * pit_operator_check looks at before. */
int32_t pit_cuda_find_misplaced(const DLTensor *const *tensors, int32_t count, void *stream,
                                pit_cuda_place *place);

/* Whether all tensors, which passed pit_operator_check for a CUDA device, are where they say. */
int32_t pit_check_places(const pit_operator *op, const DLTensor *const *tensors, void *stream);

#ifdef __cplusplus
}
#endif
#endif
