/* What kernels recorded, told to the user. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cuda_call.h"
#include "error.h"

static void copy_name(void *closure, const pit_cuda_image *image) {
  pit_operator_text *to = closure;
  if (image) {
    snprintf(to->text, sizeof to->text, "operator %s", image->name);
  } else {
    snprintf(to->text, sizeof to->text, "an operator that has been released");
  }
}

pit_operator_text pit_describe_last_operator(const pit_stream *stream) {
  pit_operator_text result;
  snprintf(result.text, sizeof result.text, "no operator");
  const uint64_t image = stream ? __atomic_load_n(&stream->image, __ATOMIC_RELAXED) : 0;
  if (image) pit_with_image(image, copy_name, &result);
  return result;
}

static void tell(void *closure, const pit_cuda_image *image) {
  const pit_device_status *record = closure;
  if (!image) {
    pit_set_error("an operator that has been released failed: status %d, check %d, values %" PRId64
                  ", %" PRId64 ", %" PRId64 "; check the stream before the operator is released",
                  record->status, record->check, record->values[0], record->values[1],
                  record->values[2]);
    return;
  }
  const int has_check = record->check >= 0 && record->check < image->message_count;
  const int has_index = record->index >= 0 && record->index < image->index_count;
  const pit_failure failure = {.status = record->status,
                               .check = has_check ? image->messages[record->check] : NULL,
                               .index_name = has_index ? image->index_names[record->index] : NULL,
                               .values = record->values};
  char text[3072];
  pit_describe_failure(&failure, text, sizeof text);
  pit_set_error("operator %s: %s", image->name, text);
}

static int32_t check(pit_context *context, void *stream, int32_t device) {
  const pit_driver *d = pit_opened_driver();
  const pit_stream *s = pit_find_stream(context, stream, 0);
  const CUdeviceptr blocks = s ? __atomic_load_n(&s->status, __ATOMIC_ACQUIRE) : 0;
  const CUdeviceptr at = blocks + sizeof(pit_device_status);
  pit_device_status record;
  memset(&record, 0, sizeof record);
  CUresult error = CUDA_SUCCESS;
  if (blocks) {
    error = d->memcpy_async((CUdeviceptr)(uintptr_t)&record, at, sizeof record, stream);
  }
  if (error == CUDA_SUCCESS) error = d->stream_synchronize(stream);
  if (error == CUDA_SUCCESS && record.status != PIT_OK) {
    error = d->memset_bytes(at, 0, sizeof record, stream);
  }
  if (error != CUDA_SUCCESS) {
    pit_set_error("waiting for a stream of %s failed with %s; what ran last on the stream is %s",
                  pit_describe_device(device).text, pit_describe_result(error).text,
                  pit_describe_last_operator(s).text);
    return PIT_ERROR_CUDA;
  }
  if (record.status != PIT_OK) pit_with_image(record.image, tell, &record);
  return record.status;
}

int32_t pit_check(void *stream, int32_t device) {
  pit_entered entered;
  int32_t status = pit_enter(device, &entered);
  if (status != PIT_OK) return status;
  status = check(entered.context, stream, device);
  pit_leave(&entered);
  return status;
}
