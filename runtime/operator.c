/* Calls of operators: which code runs, where, and what a failure is told as. */
#include "operator.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "error.h"
#include "overlap.h"
#include "pit_cuda.h"

/* Programs whose operators have code for the host alone are linked without what is for CUDA: only
 * the code of operators for CUDA refers to it strongly. */
#pragma weak pit_cuda_get_device
#pragma weak pit_cuda_device_of

/* --- defaults of the process --- */

static struct {
  pthread_rwlock_t lock;
  pit_parallel_hook parallel;
  void *parallel_user;
  void *(*allocate)(void *user, size_t bytes);
  void (*release)(void *user, void *memory);
  void *allocate_user;
  pit_error_handler handler;
  void *handler_user;
} defaults = {.lock = PTHREAD_RWLOCK_INITIALIZER};

void pit_set_parallel(pit_parallel_hook parallel, void *user) {
  pthread_rwlock_wrlock(&defaults.lock);
  defaults.parallel = parallel;
  defaults.parallel_user = user;
  pthread_rwlock_unlock(&defaults.lock);
}

void pit_set_allocator(void *(*allocate)(void *user, size_t bytes),
                       void (*release)(void *user, void *memory), void *user) {
  pthread_rwlock_wrlock(&defaults.lock);
  defaults.allocate = allocate && release ? allocate : NULL;
  defaults.release = release;
  defaults.allocate_user = user;
  pthread_rwlock_unlock(&defaults.lock);
}

void pit_set_error_handler(pit_error_handler handler, void *user) {
  pthread_rwlock_wrlock(&defaults.lock);
  defaults.handler = handler;
  defaults.handler_user = user;
  pthread_rwlock_unlock(&defaults.lock);
}

/* The status, after the error handler has had it. */
static int32_t told(int32_t status) {
  if (status == PIT_OK) return status;
  pthread_rwlock_rdlock(&defaults.lock);
  const pit_error_handler handler = defaults.handler;
  void *user = defaults.handler_user;
  pthread_rwlock_unlock(&defaults.lock);
  if (handler) handler(user, status, pit_last_error());
  return status;
}

static void set_defaults(pit_call *call) {
  pit_call_initialise(call);
  pthread_rwlock_rdlock(&defaults.lock);
  if (defaults.parallel) {
    call->parallel = defaults.parallel;
    call->parallel_user = defaults.parallel_user;
  }
  if (defaults.allocate) {
    call->allocate = defaults.allocate;
    call->release = defaults.release;
    call->allocate_user = defaults.allocate_user;
  }
  pthread_rwlock_unlock(&defaults.lock);
}

int32_t pit_abi_version(void) { return PIT_ABI_VERSION; }

/* --- which code --- */

static pthread_once_t features_once = PTHREAD_ONCE_INIT;
static char features[128];

static void find_features(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const int avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                     __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vl");
  const struct {
    int there;
    const char *name;
  } all[] = {{__builtin_cpu_supports("sse4.1"), "sse41"},
             {avx2, "avx2"},
             {avx512, "avx512"},
             {avx512 && __builtin_cpu_supports("avx512bf16"), "avx512_bf16"},
             {avx512 && __builtin_cpu_supports("avx512vnni"), "avx512_vnni"}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    if (!all[i].there) continue;
    if (*features) strcat(features, ",");
    strcat(features, all[i].name);
  }
#endif
}

const char *pit_cpu_features(void) {
  pthread_once(&features_once, find_features);
  return features;
}

/* One if `list`, separated by commas, has the word of `length` letters. */
static int has_word(const char *list, const char *word, size_t length) {
  while (*list) {
    const size_t here = strcspn(list, ",");
    if (here == length && strncmp(list, word, length) == 0) return 1;
    list += here + (list[here] == ',');
  }
  return 0;
}

/* The first feature that the CPU lacks; its length 0: none. */
static const char *missing_feature(const char *wanted, size_t *length) {
  while (*wanted) {
    *length = strcspn(wanted, ",");
    if (!has_word(pit_cpu_features(), wanted, *length)) return wanted;
    wanted += *length + (wanted[*length] == ',');
  }
  *length = 0;
  return wanted;
}

static const pit_code *host_code(const pit_operator *op) {
  const char *missing = "";
  size_t length = 0;
  for (int32_t i = 0; i < op->code_count; ++i) {
    if (op->codes[i].architecture != 0) continue;
    missing = missing_feature(op->codes[i].cpu_features, &length);
    if (length == 0) return &op->codes[i];
  }
  if (length > 0) {
    pit_set_error(
        "operator %s: it was compiled for a CPU with %.*s, which this CPU has not; compile "
        "it for an older CPU, too",
        op->name, (int)length, missing);
  } else {
    pit_set_error(
        "operator %s: it has no code for the host, where its tensors are; compile it for "
        "a host target, too, or copy the tensors to a CUDA device",
        op->name);
  }
  return NULL;
}

static const pit_code *cuda_code(const pit_operator *op, int32_t device) {
  int32_t newest = 0;
  for (int32_t i = 0; i < op->code_count; ++i) newest |= op->codes[i].architecture;
  if (newest == 0) {
    pit_set_error(
        "operator %s: it has no code for CUDA, where its tensors are; compile it for a "
        "CUDA target, too, or copy the tensors to the host",
        op->name);
    return NULL;
  }
  pit_cuda_device here;
  if (pit_cuda_get_device(device, &here) != PIT_OK) {
    char reason[1024];
    snprintf(reason, sizeof reason, "%s", pit_last_error());
    pit_set_error("operator %s: %s", op->name, reason);
    return NULL;
  }
  const char *last = "";
  for (int32_t i = 0; i < op->code_count; ++i) {
    const pit_code *code = &op->codes[i];
    if (code->architecture == 0) continue;
    last = code->target;
    const int runs = code->architecture_specific ? here.architecture == code->architecture
                                                 : here.architecture >= code->architecture;
    if (runs) return code;
  }
  pit_set_error(
      "operator %s: device %d (%s) is sm_%d, and the operator was compiled for %s; compile "
      "it for that architecture, too",
      op->name, device, here.name, here.architecture, last);
  return NULL;
}

const pit_code *pit_operator_code(const pit_operator *op, DLDevice device) {
  return device.device_type == kDLCUDA ? cuda_code(op, device.device_id) : host_code(op);
}

/* --- a call --- */

int pit_is_row_major(const pit_operator *op, const DLTensor *const *tensors) {
  const int32_t count = pit_tensor_count(op), inputs = pit_input_count(op);
  for (int32_t i = 0; i < count; ++i) {
    const DLTensor *t = tensors[i];
    const int last = t->ndim - 1;
    if (last >= 0 && t->strides && t->strides[last] != 1 && t->shape[last] > 1) return 0;
  }
  if (!(op->flags & PIT_ELEMENTWISE)) return 1;
  /* Such outputs overlap inputs only whole. */
  for (int32_t o = inputs; o < count; ++o) {
    for (int32_t i = 0; i < inputs; ++i) {
      if ((const char *)tensors[o]->data + tensors[o]->byte_offset ==
          (const char *)tensors[i]->data + tensors[i]->byte_offset) {
        return 0;
      }
    }
  }
  return 1;
}

/* No output has an element: whatever is read on the way there need not exist. */
static int nothing_to_write(const pit_operator *op, const DLTensor *const *tensors) {
  const int32_t count = pit_tensor_count(op);
  for (int32_t o = pit_input_count(op); o < count; ++o) {
    if (!pit_is_empty(tensors[o])) return 0;
  }
  return 1;
}

static const char *note_about(const pit_code *code, const char *index) {
  for (int32_t i = 0; i < code->note_count; ++i) {
    if (strcmp(code->notes[i].about, index) == 0) return code->notes[i].text;
  }
  return "";
}

static void describe(const pit_operator *op, const pit_code *code, const pit_call *call) {
  if (call->error) return; /* it is the thread's last error */
  const int has_check = call->check >= 0 && call->check < code->message_count;
  const pit_failure failure = {.status = call->status,
                               .check = has_check ? code->messages[call->check] : NULL,
                               .index_name = call->index_name,
                               .values = call->values};
  char text[3072];
  pit_describe_failure(&failure, text, sizeof text);
  const char *note = call->status == PIT_ERROR_MEMORY ? (call->sizing ? "" : code->memory_note)
                     : call->index_name               ? note_about(code, call->index_name)
                                                      : "";
  pit_set_error("operator %s: %s%s", op->name, text, note);
}

/* One run of the code, whose failure becomes the thread's last error. */
static int32_t run_code(const pit_operator *op, const pit_code *code, pit_function function,
                        pit_call *call, const DLTensor *const *tensors,
                        const void *const *scalars) {
  const int32_t status = function(call, tensors, scalars);
  if (status == PIT_OK) return PIT_OK;
  describe(op, code, call);
  return told(status);
}

/* The memory that a call like `like` takes at most, found by one that does nothing else. A failure
 * leaves *bytes as it is. */
static int32_t find_size(const pit_operator *op, const pit_code *code, pit_function function,
                         const pit_call *like, const DLTensor *const *tensors,
                         const void *const *scalars, int64_t *bytes) {
  if (nothing_to_write(op, tensors)) {
    *bytes = 0;
    return PIT_OK;
  }
  const int on_cuda = like->device >= 0;
  pit_call call = *like;
  call.sizing = 1;
  call.profile = 0;
  if (on_cuda) { /* addresses from which nothing is read */
    call.given.memory = (char *)(uintptr_t)PIT_CUDA_WORKSPACE_ALIGNMENT;
    call.given.bytes = INT64_MAX / 2;
  }
  const int32_t status = run_code(op, code, function, &call, tensors, scalars);
  if (status != PIT_OK) return status;
  int64_t all = 0;
  int overflow = __builtin_mul_overflow(call.needed_by_thread, (int64_t)pit_threads(), &all);
  overflow |= __builtin_add_overflow(all, call.needed, &all);
  if (on_cuda && like->profile) {
    const int64_t statistics = (int64_t)sizeof(double) * code->statistic_count;
    overflow |= __builtin_add_overflow(all, statistics + PIT_CUDA_WORKSPACE_ALIGNMENT, &all);
  }
  if (overflow || all == INT64_MAX) {
    pit_set_error("operator %s: no address space for its workspace; use smaller tensors", op->name);
    return told(PIT_ERROR_MEMORY);
  }
  *bytes = all;
  return PIT_OK;
}

int32_t pit_operator_run(const pit_operator *op, const pit_code *code, pit_function function,
                         pit_call *call, const DLTensor *const *tensors,
                         const void *const *scalars) {
  if (nothing_to_write(op, tensors)) return PIT_OK;
  if (call->device >= 0 && !call->given.memory) {
    const int32_t status = find_size(op, code, function, call, tensors, scalars, &call->needed);
    if (status != PIT_OK) return status;
  }
  return run_code(op, code, function, call, tensors, scalars);
}

static void measure(const pit_code *code, const pit_call *call, int64_t start, int64_t checked,
                    pit_statistics *s) {
  memset(s, 0, sizeof *s);
  s->code = code;
  s->total = pit_nanoseconds() - start;
  s->check = checked - start;
  s->peak_workspace_bytes = call->peak_workspace_bytes;
  for (int32_t i = 0; i < code->stage_count && i < PIT_MAX_STAGES; ++i) {
    s->stages[i] = call->stage_nanoseconds[i];
    int64_t *of_kind = code->stages[i].kind == PIT_STAGE_CHECK   ? &s->check
                       : code->stages[i].kind == PIT_STAGE_INDEX ? &s->index
                                                                 : &s->compute;
    *of_kind += call->stage_nanoseconds[i];
  }
  memcpy(s->statistics, call->statistics, sizeof s->statistics);
}

/* What a call begins with, for `op` and these tensors: its code and its record, filled. */
typedef struct prepared {
  const pit_code *code;
  pit_function function;
  pit_call call;
  int on_cuda;
} prepared;

/* Nothing is written but the message of a failure, which the error handler has had. */
static int32_t prepare(const pit_operator *op, const DLTensor *const *tensors,
                       const pit_options *options, prepared *p) {
  if (op->abi_version != PIT_ABI_VERSION) {
    pit_set_error(
        "this operator is of version %d of pit's binary interface, and the runtime of "
        "version %d; compile the operator and link the runtime from one release",
        op->abi_version, PIT_ABI_VERSION);
    return told(PIT_ERROR_VERSION);
  }
  const DLTensor *first = pit_tensor_count(op) > 0 ? tensors[0] : NULL;
  p->on_cuda = first && first->device.device_type == kDLCUDA;
  const int32_t status = pit_operator_check(op, p->on_cuda, tensors);
  if (status != PIT_OK) return told(status);
  const DLDevice device = first ? first->device : (DLDevice){kDLCPU, 0};
  p->code = pit_operator_code(op, device);
  if (!p->code) return told(PIT_ERROR_DEVICE);
  p->function = pit_is_row_major(op, tensors) ? p->code->row_major : p->code->any;
  set_defaults(&p->call);
  if (options->parallel) {
    p->call.parallel = options->parallel;
    p->call.parallel_user = options->parallel_user;
  }
  if (options->allocate && options->release) {
    p->call.allocate = options->allocate;
    p->call.release = options->release;
    p->call.allocate_user = options->allocate_user;
  }
  if (!p->on_cuda) return PIT_OK;
  p->call.device = device.device_id;
  p->call.stream = options->stream;
  return told(pit_check_places(op, tensors, options->stream));
}

int32_t pit_operator_workspace_size(const pit_operator *op, const DLTensor *const *tensors,
                                    const void *const *scalars, const pit_options *options,
                                    int64_t *bytes) {
  static const pit_options usual;
  prepared p;
  const int32_t status = prepare(op, tensors, options ? options : &usual, &p);
  if (status != PIT_OK) return status;
  p.call.profile = 1; /* it may be */
  return find_size(op, p.code, p.function, &p.call, tensors, scalars, bytes);
}

/* The caller's workspace becomes the call's. */
static int32_t give_workspace(const pit_operator *op, prepared *p, const DLTensor *const *tensors,
                              const void *const *scalars, const pit_options *options) {
  const int alignment = p->on_cuda ? PIT_CUDA_WORKSPACE_ALIGNMENT : PIT_WORKSPACE_ALIGNMENT;
  if ((uintptr_t)options->workspace % (uintptr_t)alignment != 0) {
    pit_set_error("operator %s: its workspace is not at a multiple of %d bytes", op->name,
                  alignment);
    return told(PIT_ERROR_ARGUMENT);
  }
  if (p->on_cuda && pit_cuda_device_of(options->workspace) != p->call.device) {
    pit_set_error(
        "operator %s: its workspace is not in the memory of CUDA device %d, where its "
        "tensors are",
        op->name, p->call.device);
    return told(PIT_ERROR_ARGUMENT);
  }
  int64_t needed = 0;
  const int32_t status = find_size(op, p->code, p->function, &p->call, tensors, scalars, &needed);
  if (status != PIT_OK) return status;
  if (options->workspace_bytes < needed) {
    pit_set_error("operator %s: its workspace has %" PRId64
                  " bytes, and these tensors need %" PRId64 ", as %s_workspace_size says",
                  op->name, options->workspace_bytes, needed, op->name);
    return told(PIT_ERROR_MEMORY);
  }
  p->call.given.memory = options->workspace;
  p->call.given.bytes = options->workspace_bytes;
  return PIT_OK;
}

int32_t pit_operator_call(const pit_operator *op, const DLTensor *const *tensors,
                          const void *const *scalars, const pit_options *options) {
  static const pit_options usual;
  if (!options) options = &usual;
  const int64_t start = options->statistics ? pit_nanoseconds() : 0;
  prepared p;
  int32_t status = prepare(op, tensors, options, &p);
  p.call.profile = options->statistics != NULL;
  if (status == PIT_OK && options->workspace)
    status = give_workspace(op, &p, tensors, scalars, options);
  if (status != PIT_OK) return status;
  const int64_t checked = options->statistics ? pit_nanoseconds() : 0;
  status = pit_operator_run(op, p.code, p.function, &p.call, tensors, scalars);
  if (options->statistics) measure(p.code, &p.call, start, checked, options->statistics);
  return status;
}
