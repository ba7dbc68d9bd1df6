/* The tensors of a call against what the operator takes. Nothing is written here. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "operator.h"
#include "overlap.h"

/* As in operator.c: programs without code for CUDA are linked without it. */
#pragma weak pit_cuda_find_misplaced

/* More than an address space holds: only a broadcast or an empty tensor can have such extents.
 * Lowering relies on the limit. */
static const int64_t kLargestExtent = (int64_t)1 << 47;

typedef struct text {
  char of[512];
} text;

__attribute__((format(printf, 1, 2))) static text say(const char *format, ...) {
  text t;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(t.of, sizeof t.of, format, arguments);
  va_end(arguments);
  return t;
}

static const char *type_name(DLDataType type) {
  if (type.lanes != 1) return NULL;
  static const struct {
    uint8_t code, bits;
    const char *name;
  } types[] = {{kDLInt, 8, "int8"},        {kDLInt, 16, "int16"},     {kDLInt, 32, "int32"},
               {kDLInt, 64, "int64"},      {kDLUInt, 8, "uint8"},     {kDLUInt, 16, "uint16"},
               {kDLUInt, 32, "uint32"},    {kDLUInt, 64, "uint64"},   {PIT_DL_BOOL, 8, "bool"},
               {kDLFloat, 16, "float16"},  {kDLFloat, 32, "float32"}, {kDLFloat, 64, "float64"},
               {kDLBfloat, 16, "bfloat16"}};
  for (size_t i = 0; i < sizeof types / sizeof *types; ++i) {
    if (types[i].code == type.code && types[i].bits == type.bits) return types[i].name;
  }
  return NULL;
}

static text type_text(DLDataType type) {
  const char *name = type_name(type);
  if (name) return say("%s", name);
  return say("DLPack type code %d of %d bits and %d lanes", type.code, type.bits, type.lanes);
}

static text device_text(DLDevice device) {
  switch (device.device_type) {
    case kDLCPU:
      return say("the host's memory");
    case kDLCUDA:
      return say("CUDA device %d", device.device_id);
    case kDLCUDAHost:
      return say("memory pinned by CUDA");
    case kDLCUDAManaged:
      return say("memory managed by CUDA");
    case kDLROCM:
      return say("ROCm device %d", device.device_id);
    default:
      return say("DLPack device type %d", (int)device.device_type);
  }
}

/* "(2, 3)" */
static text numbers(const int64_t *of, int32_t count) {
  text t = say("(");
  size_t length = 1;
  for (int32_t i = 0; i < count && length + 32 < sizeof t.of; ++i) {
    length += (size_t)snprintf(t.of + length, sizeof t.of - length, "%s%" PRId64, i > 0 ? ", " : "",
                               of[i]);
  }
  snprintf(t.of + length, sizeof t.of - length, ")");
  return t;
}

static text extents_text(const DLTensor *t) {
  const text shape = numbers(t->shape, t->ndim);
  return say("extents %.480s", shape.of);
}

typedef struct check {
  const pit_operator *op;
  const DLTensor *const *tensors;
} check;

/* Tensor number `tensor` is the argument of this number. */
static int32_t argument_of(const pit_operator *op, int32_t tensor) {
  int32_t at = 0;
  for (;; ++at) {
    if (op->arguments[at].kind != PIT_SCALAR && tensor-- == 0) return at;
  }
}

static int32_t refuse(const check *c, int32_t tensor, const char *what, text expected, text got) {
  const int32_t at = argument_of(c->op, tensor);
  pit_set_error("operator %s: argument %d '%s': %s; expected %s; got %s", c->op->name, at + 1,
                c->op->arguments[at].name, what, expected.of, got.of);
  return PIT_ERROR_ARGUMENT;
}

static uintptr_t first_byte(const DLTensor *t) { return (uintptr_t)t->data + t->byte_offset; }

static int32_t check_device(const check *c, int32_t i, int32_t on_cuda) {
  const DLTensor *t = c->tensors[i];
  if (!on_cuda) {
    if (t->device.device_type == kDLCPU) return PIT_OK;
    return refuse(c, i, "not in the host's memory", say("a host tensor: copy it to the host first"),
                  device_text(t->device));
  }
  if (t->device.device_type != kDLCUDA) {
    return refuse(c, i, "not in the memory of a CUDA device",
                  say("a tensor on one: see AnyBuffer::to_cuda"), device_text(t->device));
  }
  if (t->device.device_id != c->tensors[0]->device.device_id) {
    const text what = say("on another device than argument %d", argument_of(c->op, 0) + 1);
    return refuse(c, i, what.of, device_text(c->tensors[0]->device), device_text(t->device));
  }
  const uintptr_t element = t->dtype.bits >= 8 ? t->dtype.bits / 8 : 1;
  if (first_byte(t) % element != 0) {
    return refuse(c, i, "misaligned", say("elements at multiples of their size on a CUDA device"),
                  say("data %d bytes past one", (int)(first_byte(t) % element)));
  }
  return PIT_OK;
}

/* Extents are not negative, every element has an address, and there is data if there is an
 * element. */
static int32_t check_memory(const check *c, int32_t i) {
  const DLTensor *t = c->tensors[i];
  int empty = 0, overflow = 0;
  for (int d = 0; d < t->ndim; ++d) {
    if (t->shape[d] < 0) return refuse(c, i, "negative extent", say("0 or more"), extents_text(t));
    if (t->shape[d] > kLargestExtent) {
      return refuse(c, i, "an extent is too large", say("extents up to 2^47"), extents_text(t));
    }
    empty |= t->shape[d] == 0;
  }
  if (empty) return PIT_OK;
  const int64_t element = t->dtype.bits / 8;
  int64_t elements = 1, span = element;
  for (int d = t->ndim; d-- > 0 && !overflow;) {
    int64_t distance = 0;
    const int64_t stride = t->strides ? t->strides[d] : elements;
    overflow |= __builtin_mul_overflow(stride, element, &distance);
    overflow |= __builtin_mul_overflow(distance, t->shape[d] - 1, &distance);
    overflow |= distance == INT64_MIN; /* it has no opposite */
    if (overflow) break;
    overflow |= __builtin_add_overflow(span, distance < 0 ? -distance : distance, &span);
    overflow |= __builtin_mul_overflow(elements, t->shape[d], &elements);
  }
  if (overflow)
    return refuse(c, i, "elements out of the address space", say("smaller extents or strides"),
                  numbers(t->shape, t->ndim));
  if (!t->data)
    return refuse(c, i, "null data", say("memory for %.480s", extents_text(t).of),
                  say("a null pointer"));
  return PIT_OK;
}

static int32_t check_declared(const check *c, int32_t i, const pit_argument *declared) {
  const DLTensor *t = c->tensors[i];
  for (int d = 0; declared->extents && d < t->ndim; ++d) {
    const int64_t wanted = declared->extents[d];
    if (wanted == PIT_ANY_EXTENT || t->shape[d] == wanted) continue;
    const text what = say("extent of dimension %d is declared", d);
    return refuse(c, i, what.of, say("%" PRId64, wanted), say("%" PRId64, t->shape[d]));
  }
  int64_t compact = 1;
  for (int d = t->ndim; declared->strides && d-- > 0;) {
    const int64_t stride = t->strides ? t->strides[d] : compact, wanted = declared->strides[d];
    /* Extents of an empty tensor may be any; their product counts for no element. */
    if (__builtin_mul_overflow(compact, t->shape[d] > 1 ? t->shape[d] : 1, &compact)) compact = 0;
    if (wanted == PIT_ANY_STRIDE || stride == wanted || t->shape[d] <= 1) continue;
    const text what = say("stride of dimension %d is declared", d);
    return refuse(c, i, what.of, say("%" PRId64 " elements", wanted), say("%" PRId64, stride));
  }
  const uintptr_t alignment = declared->alignment > 1 ? (uintptr_t)declared->alignment : 1;
  if (first_byte(t) % alignment != 0) {
    return refuse(c, i, "alignment is declared",
                  say("data at a multiple of %d bytes", declared->alignment),
                  say("%d bytes past one", (int)(first_byte(t) % alignment)));
  }
  return PIT_OK;
}

static int32_t check_tensor(const check *c, int32_t i, int32_t on_cuda) {
  const pit_argument *expected = &c->op->arguments[argument_of(c->op, i)];
  const DLTensor *t = c->tensors[i];
  if (!t) {
    return refuse(c, i, "is a tensor",
                  say("%s of rank %d", type_name(expected->type), expected->rank),
                  say("a null pointer"));
  }
  if (memcmp(&t->dtype, &expected->type, sizeof t->dtype) != 0)
    return refuse(c, i, "wrong element type", type_text(expected->type), type_text(t->dtype));
  if (t->ndim > 0 && !t->shape) {
    return refuse(c, i, "null shape", say("an extent for each dimension"),
                  say("%d dimensions and a null pointer", t->ndim));
  }
  if (t->ndim < 0) return refuse(c, i, "wrong rank", say("%d", expected->rank), say("%d", t->ndim));
  if (t->ndim != expected->rank) {
    const text shape = numbers(t->shape, t->ndim);
    return refuse(c, i, "wrong rank", say("%d", expected->rank),
                  say("%d, extents %.400s", t->ndim, shape.of));
  }
  int32_t status = check_device(c, i, on_cuda);
  if (status == PIT_OK) status = check_memory(c, i);
  if (status == PIT_OK) status = check_declared(c, i, expected);
  return status;
}

typedef struct dimension {
  int64_t stride, extent;
} dimension;

/* Every element of an output has an address of its own: each stride steps over what the smaller
 * ones span. */
static int32_t check_distinct_elements(const check *c, int32_t i) {
  enum { kMostDimensions = 64 };
  const DLTensor *t = c->tensors[i];
  if (!t->strides || pit_is_empty(t)) return PIT_OK;
  dimension dims[kMostDimensions]; /* the smallest stride first */
  int count = 0;
  for (int d = 0; d < t->ndim && count < kMostDimensions; ++d) {
    if (t->shape[d] == 1) continue;
    const int64_t stride = t->strides[d] < 0 ? -t->strides[d] : t->strides[d];
    int at = count++;
    for (; at > 0 && dims[at - 1].stride > stride; --at) dims[at] = dims[at - 1];
    dims[at] = (dimension){stride, t->shape[d]};
  }
  int64_t span = 0;
  for (int d = 0; d < count; ++d) {
    if (dims[d].stride <= span) {
      const text strides = numbers(t->strides, t->ndim), shape = numbers(t->shape, t->ndim);
      return refuse(c, i, "elements of an output overlap",
                    say("strides that step over the inner dimensions"),
                    say("strides %.200s for extents %.200s", strides.of, shape.of));
    }
    span += dims[d].stride * (dims[d].extent - 1);
  }
  return PIT_OK;
}

static int same_elements(const DLTensor *a, const DLTensor *b) {
  if (first_byte(a) != first_byte(b) || a->ndim != b->ndim || a->dtype.bits != b->dtype.bits)
    return 0;
  int64_t compact = 1;
  for (int d = a->ndim; d-- > 0;) {
    const int64_t stride_a = a->strides ? a->strides[d] : compact,
                  stride_b = b->strides ? b->strides[d] : compact;
    if (a->shape[d] != b->shape[d] || (a->shape[d] > 1 && stride_a != stride_b)) return 0;
    compact *= a->shape[d];
  }
  return 1;
}

static int32_t check_output(const check *c, int32_t i, int32_t inputs, int32_t count) {
  const int32_t status = check_distinct_elements(c, i);
  if (status != PIT_OK) return status;
  const int elementwise = (c->op->flags & PIT_ELEMENTWISE) != 0;
  for (int32_t j = 0; j < count; ++j) {
    if (j == i || (j >= inputs && j > i)) continue;
    if (!pit_memory_overlaps(c->tensors[i], c->tensors[j])) continue;
    const int replaced = j < inputs && elementwise;
    if (replaced && same_elements(c->tensors[i], c->tensors[j])) continue;
    const int32_t at = argument_of(c->op, j);
    const text what = say("overlaps argument %d '%s'", at + 1, c->op->arguments[at].name);
    return refuse(c, i, what.of,
                  say(replaced ? "memory of its own, or exactly that argument's elements"
                               : "memory of its own"),
                  say("shared memory"));
  }
  return PIT_OK;
}

int32_t pit_input_count(const pit_operator *op) {
  int32_t inputs = 0;
  for (int32_t i = 0; i < op->argument_count; ++i) inputs += op->arguments[i].kind == PIT_INPUT;
  return inputs;
}

int32_t pit_tensor_count(const pit_operator *op) {
  int32_t tensors = 0;
  for (int32_t i = 0; i < op->argument_count; ++i) tensors += op->arguments[i].kind != PIT_SCALAR;
  return tensors;
}

int32_t pit_operator_check(const pit_operator *op, int32_t on_cuda,
                           const DLTensor *const *tensors) {
  const check c = {op, tensors};
  const int32_t inputs = pit_input_count(op), count = pit_tensor_count(op);
  int32_t status = PIT_OK;
  for (int32_t i = 0; i < count && status == PIT_OK; ++i) status = check_tensor(&c, i, on_cuda);
  for (int32_t i = inputs; i < count && status == PIT_OK; ++i)
    status = check_output(&c, i, inputs, count);
  return status;
}

/* What tensors say of their device is not believed: a kernel that reads the host's memory, or
 * another device's, is a fault that ends the context for everybody. */
int32_t pit_check_places(const pit_operator *op, const DLTensor *const *tensors, void *stream) {
  const check c = {op, tensors};
  pit_cuda_place place;
  if (!pit_cuda_find_misplaced) return PIT_OK;
  const int32_t i = pit_cuda_find_misplaced(tensors, pit_tensor_count(op), stream, &place);
  if (i < 0) return PIT_OK;
  const text said = device_text(tensors[i]->device);
  const text what = say("not in the memory of %.100s, as the tensor says", said.of);
  const text expected =
      say("memory of that device, or managed memory: copy it there first (pit_cuda_copy, "
          "AnyBuffer::to_cuda)");
  if (place.kind == PIT_PLACE_DEVICE)
    return refuse(&c, i, what.of, expected, say("memory of CUDA device %d", place.device));
  return refuse(
      &c, i, what.of, expected,
      say(place.kind == PIT_PLACE_PINNED ? "the host's memory, pinned by CUDA"
                                         : "the host's memory, or memory that was freed"));
}
