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

#ifdef __cplusplus
}
#endif
#endif
