/* Tensor maps, the descriptions of tensors that the bulk copy engine (TMA) reads. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cuda_call.h"

enum { kMostRank = 5, kMapBytes = 128 };

static int64_t element_bytes(int32_t type) {
  switch (type) {
    case PIT_CUDA_UINT8:
      return 1;
    case PIT_CUDA_UINT16:
    case PIT_CUDA_FLOAT16:
    case PIT_CUDA_BFLOAT16:
      return 2;
    case PIT_CUDA_UINT32:
    case PIT_CUDA_INT32:
    case PIT_CUDA_FLOAT32:
    case PIT_CUDA_TFLOAT32:
      return 4;
    case PIT_CUDA_UINT64:
    case PIT_CUDA_INT64:
    case PIT_CUDA_FLOAT64:
      return 8;
    default:
      return 0;
  }
}

/* CUtensorMapSwizzle; -1: there is none such. */
static int swizzle_of(int32_t bytes) {
  switch (bytes) {
    case 0:
      return 0;
    case 32:
      return 1;
    case 64:
      return 2;
    case 128:
      return 3;
    default:
      return -1;
  }
}

/* Reports a rule of the hardware that the tensor breaks; dimension -1: in none. */
static int refuse(pit_call *call, const char *rule, int64_t value, int32_t dimension) {
  char where[32] = "";
  if (dimension >= 0) snprintf(where, sizeof where, " (dimension %d)", dimension);
  pit_fail_call(call, call->cuda->module->state->image->name, PIT_ERROR_ARGUMENT,
                "no bulk copy (TMA) of a tensor whose %s %" PRId64 "%s; choose another copy for it",
                rule, value, where);
  return 0;
}

static int is_legal(pit_call *call, const void *base, int32_t type, int32_t rank,
                    const int64_t *extents, const int64_t *strides_bytes, const int32_t *box,
                    int32_t swizzle_bytes) {
  const int64_t element = element_bytes(type);
  if (element == 0) return refuse(call, "element type is none of pit_cuda_element's but", type, -1);
  if (rank < 1 || rank > kMostRank) return refuse(call, "rank is not 1 to 5 but", rank, -1);
  if (swizzle_of(swizzle_bytes) < 0) {
    return refuse(call, "swizzle is not 0, 32, 64 or 128 bytes but", swizzle_bytes, -1);
  }
  const int64_t address = (int64_t)(uintptr_t)base;
  if (address % 16 != 0) return refuse(call, "address is no multiple of 16 but", address, -1);
  for (int32_t d = 0; d < rank; ++d) {
    if (extents[d] < 0 || extents[d] > (int64_t)1 << 32) {
      return refuse(call, "extent is not 0 to 2^32 but", extents[d], d);
    }
    if (box[d] < 1 || box[d] > 256) return refuse(call, "box is not 1 to 256 but", box[d], d);
    if (d == rank - 1 || extents[d] <= 1) continue; /* its stride is never used */
    if (strides_bytes[d] <= 0 || strides_bytes[d] % 16 != 0 ||
        strides_bytes[d] >= (int64_t)1 << 40) {
      return refuse(call, "stride in bytes is no multiple of 16 below 2^40 but", strides_bytes[d],
                    d);
    }
  }
  if (extents[rank - 1] > 1 && strides_bytes[rank - 1] != element) {
    return refuse(call, "innermost stride in bytes is not that of an element but",
                  strides_bytes[rank - 1], rank - 1);
  }
  const int64_t row = box[rank - 1] * element;
  if (row % 16 != 0 || (swizzle_bytes > 0 && row > swizzle_bytes)) {
    return refuse(
        call, "innermost row of the box is no multiple of 16 bytes up to the swizzle's width but",
        row, rank - 1);
  }
  return 1;
}

void pit_cuda_tensor_map(pit_call *call, void *map, void *base, int32_t element_type, int32_t rank,
                         const int64_t *extents, const int64_t *strides_bytes, const int32_t *box,
                         int32_t swizzle_bytes) {
  if (!call->cuda || __atomic_load_n(&call->status, __ATOMIC_RELAXED) != PIT_OK) return;
  if (call->sizing) return;
  if (!is_legal(call, base, element_type, rank, extents, strides_bytes, box, swizzle_bytes)) return;
  /* As the driver takes them: the innermost first, whose stride is not given. */
  uint64_t sizes[kMostRank], strides[kMostRank];
  uint32_t boxes[kMostRank], steps[kMostRank];
  for (int32_t i = 0; i < rank; ++i) {
    const int32_t d = rank - 1 - i;
    if (extents[d] == 0) {
      memset(map, 0, kMapBytes);
      return;
    }
    sizes[i] = (uint64_t)extents[d];
    boxes[i] = (uint32_t)box[d];
    steps[i] = 1;
    if (i > 0) strides[i - 1] = (uint64_t)(extents[d] > 1 ? strides_bytes[d] : 16);
  }
  pit_call_failed(call,
                  pit_opened_driver()->tensor_map_encode(
                      map, element_type, (uint32_t)rank, base, sizes, strides, boxes, steps, 0,
                      swizzle_of(swizzle_bytes), CU_TENSOR_MAP_L2_PROMOTION_L2_128B, 0),
                  "describing a tensor for bulk copies");
}
