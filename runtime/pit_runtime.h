/* Compiled operators, as programs call them: C11, no C++ runtime, no compiler.
 *
 * An operator is a constant `pit_operator`, made by the compiler, that says what it takes and holds
 * its code for one or several targets. NAME.h, which is emitted with it, declares a function for
 * each; the functions here serve all operators, of whatever build.
 *
 * Functions that return int32_t return a pit_status. After another one than PIT_OK the message, a
 * sentence that names the operator and the argument, stands in pit_last_error. All functions are
 * thread-safe. */
#ifndef PIT_RUNTIME_H
#define PIT_RUNTIME_H

#include <dlpack/dlpack.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of what this header declares and of what generated code calls. An operator of another version is
 * refused when it is called. */
#define PIT_ABI_VERSION 1

typedef enum pit_status {
  PIT_OK = 0,
  PIT_ERROR_ARGUMENT = 1, /* rank, type, shape, stride, device, null */
  PIT_ERROR_DATA = 2,     /* a Check of the pipeline failed: key out of range, bounds */
  PIT_ERROR_CAPACITY = 3, /* a sparse index did not fit */
  PIT_ERROR_MEMORY = 4,   /* no workspace */
  PIT_ERROR_DEVICE = 5,   /* no code for this CPU or device, no driver, no such device */
  PIT_ERROR_CUDA = 6,     /* the CUDA driver refused or failed, or a kernel did */
  PIT_ERROR_VERSION = 7   /* the operator belongs to another version of the runtime */
} pit_status;

/* What went wrong in the last function of the runtime that failed on this thread and that has a
 * message: a sentence, "" at first. Never null. Valid until the next failure on this thread. */
const char *pit_last_error(void);

/* --- what an operator is --- */

typedef enum pit_argument_kind {
  PIT_INPUT = 0,
  PIT_SCALAR = 1,
  PIT_OUTPUT = 2,
  PIT_OUTPUT_INDEX = 3 /* offsets, coordinates or the count of a sparse index: int32 */
} pit_argument_kind;

#define PIT_ANY_STRIDE (-1)
#define PIT_ANY_EXTENT (-1)
/* DLPack's code of bool, 8 bits, which its older headers lack. */
#define PIT_DL_BOOL 6

typedef struct pit_argument {
  const char *name;
  int32_t kind; /* pit_argument_kind */
  int32_t rank; /* 0 for scalars */
  DLDataType type;
  int32_t alignment;      /* the data is at a multiple of so many bytes; 1: anywhere */
  const int64_t *strides; /* in elements, where declared, else PIT_ANY_STRIDE; null: all any */
  const int64_t *extents; /* where declared, else PIT_ANY_EXTENT; null: all any */
} pit_argument;

typedef enum pit_stage_kind {
  PIT_STAGE_CHECK = 0,
  PIT_STAGE_INDEX = 1,
  PIT_STAGE_COMPUTE = 2
} pit_stage_kind;

/* A part of an operator that is timed. */
typedef struct pit_stage {
  const char *name;
  int32_t kind; /* pit_stage_kind */
} pit_stage;

/* What to add to a message: outputs that have been written before. */
typedef struct pit_note {
  const char *about; /* the name of a sparse index */
  const char *text;
} pit_note;

struct pit_call;
/* Generated code; see pit_call.h. */
typedef int32_t (*pit_function)(struct pit_call *call, const DLTensor *const *tensors,
                                const void *const *scalars);

/* An operator's code for one target. */
typedef struct pit_code {
  const char *target; /* "x86-64-linux-avx512", "x86-64-linux-cuda-sm_90a" */
  /* Features that the CPU must have, as in targets: "avx2", "avx512,avx512_bf16"; "": none. */
  const char *cpu_features;
  int32_t architecture; /* of the CUDA device, 80 = sm_80 and all later ones; 0: the host's */
  int32_t architecture_specific; /* of exactly this architecture */
  /* For tensors with last strides of 1 (or last extents of at most 1) whose outputs share no memory
   * with inputs. */
  pit_function row_major;
  pit_function any;            /* for all */
  const char *const *messages; /* of Checks, by number, with {0}..{7} for values */
  const pit_stage *stages;
  const char *const *statistics; /* "live.kept", "live.candidates" */
  const pit_note *notes;         /* for failures of indices */
  const char *memory_note;       /* for PIT_ERROR_MEMORY; "": none */
  int32_t message_count, stage_count, statistic_count, note_count;
} pit_code;

/* Constant. Arguments are in the order of a call. */
typedef struct pit_operator {
  int32_t abi_version; /* PIT_ABI_VERSION of the compiler that made it */
  int32_t flags;       /* of PIT_ELEMENTWISE */
  const char *name;
  const pit_argument *arguments;
  const pit_code *codes; /* best first */
  int32_t argument_count, code_count;
} pit_operator;

/* Every output element depends only on the input elements at its own coordinate, which are read
 * before it is written: an output may then be an input, whole. */
#define PIT_ELEMENTWISE 1

/* --- calling it --- */

/* for i in [0, n): body(closure, i), in any order, in parallel; returns when all are done. May be
 * called from body. */
typedef void (*pit_loop_body)(void *closure, int64_t i);
typedef void (*pit_parallel_hook)(void *user, int64_t n, pit_loop_body body, void *closure);

#define PIT_MAX_STAGES 64

/* What a call took; times in nanoseconds. */
typedef struct pit_statistics {
  int64_t total, check, index, compute; /* check: of arguments and data */
  int64_t peak_workspace_bytes;
  int64_t stages[PIT_MAX_STAGES];    /* of pit_code::stages */
  double statistics[PIT_MAX_STAGES]; /* of pit_code::statistics */
  const pit_code *code;              /* the code that ran */
} pit_statistics;

/* How one call runs; zeros are the defaults. Owned by the caller. */
typedef struct pit_options {
  void *stream; /* a CUstream of the tensors' device; null: the legacy default stream */
  /* Threads of the host; null: pit_set_parallel's, by default the runtime's own thread pool. */
  pit_parallel_hook parallel;
  void *parallel_user;
  /* Workspaces on the host; null: pit_set_allocator's. `allocate`: 64-byte aligned. */
  void *(*allocate)(void *user, size_t bytes);
  void (*release)(void *user, void *memory);
  void *allocate_user;
  /* null: the call is not measured. A call that is captured into a graph has no times of stages and
   * no statistics: zeros. */
  pit_statistics *statistics;
  /* Memory for all workspaces, where the tensors are: the call then allocates nothing. At a
   * multiple of 64 bytes, on a CUDA device of 256, and of at least as many bytes as
   * pit_operator_workspace_size says, else nothing is written and the status is PIT_ERROR_ARGUMENT
   * or PIT_ERROR_MEMORY. For one call at a time; on a device, for calls on one stream. null: what
   * `allocate` gives, or on a device the runtime's pool. */
  void *workspace;
  int64_t workspace_bytes;
} pit_options;

/* Runs the operator with its tensors (inputs, then outputs) and its scalars, each in the order of
 * the arguments, by the first code that this CPU and the tensors' device can run. The tensors are
 * all in the host's memory or all on one CUDA device. options may be null.
 *
 * On CUDA the call returns when its kernels are in the stream, unless it is measured; what they
 * find wrong with the data pit_check tells. Before anything is written every tensor is checked:
 * element type, rank, extents, device, data, declared strides and alignment; on a device, that the
 * driver knows the first element's memory as that device's, or as managed (or nothing of it while
 * the stream is captured: a graph may allocate it); that no two elements of
 * an output are one; that no output overlaps another tensor, except an elementwise operator's
 * output that is an input, whole. On such an error outputs are untouched. */
int32_t pit_operator_call(const pit_operator *op, const DLTensor *const *tensors,
                          const void *const *scalars, const pit_options *options);

/* How many bytes of workspace a call with these tensors, scalars and options takes at most: they
 * depend on extents and layouts, not on elements, and on the host on pit_threads(). The function
 * NAME_workspace_size of NAME.h does the same. Fails as a call does before it writes anything, and
 * with PIT_ERROR_MEMORY where the size of a workspace is known only from the data. */
int32_t pit_operator_workspace_size(const pit_operator *op, const DLTensor *const *tensors,
                                    const void *const *scalars, const pit_options *options,
                                    int64_t *bytes);

/* The checks of tensors alone. `on_cuda`: the tensors must be on a CUDA device, else in the host's
 * memory as they say; a call asks the driver, too. */
int32_t pit_operator_check(const pit_operator *op, int32_t on_cuda, const DLTensor *const *tensors);

/* The code that a call with tensors on `device` would run; null with a message that says what this
 * machine lacks. */
const pit_code *pit_operator_code(const pit_operator *op, DLDevice device);

/* --- the process --- */

int32_t pit_abi_version(void);

/* Defaults of calls that follow, for all operators of the process; null: the runtime's own. */
void pit_set_parallel(pit_parallel_hook parallel, void *user);
void pit_set_allocator(void *(*allocate)(void *user, size_t bytes),
                       void (*release)(void *user, void *memory), void *user);
/* Called with each failure of a call, on its thread, beside the status; null: nothing. */
typedef void (*pit_error_handler)(void *user, int32_t status, const char *message);
void pit_set_error_handler(pit_error_handler handler, void *user);

/* The runtime's own thread pool (pthread): pit_set_threads(0) = one per core. Workers start on
 * first use. A loop inside a loop runs on the calling thread or on idle workers; never deadlocks.
 * Two callers share the workers. */
void pit_set_threads(int32_t threads);
int32_t pit_threads(void);
void pit_thread_pool_for(void *user, int64_t n, pit_loop_body body, void *closure);

/* Gives the memory that the default allocator keeps for later calls (at most 256 MB) back to the
 * system, and what the pools of workspaces on CUDA devices keep back to the devices. */
void pit_trim(void);

/* The features that operators ask for and this CPU has, separated by commas. */
const char *pit_cpu_features(void);

#ifdef __cplusplus
}
#endif
#endif
