/* Workspaces in memory that the caller gives.
 *
 * The thread of the call uses it as a stack. A parallel loop cuts what is left into lanes, one for
 * each thread that may take part; a lane is a stack of its own, and runs iterations one after the
 * other. A loop inside a lane stays in it, so that lanes are never cut again, and how much memory a
 * call takes follows from its extents and the number of threads. */
#include <stdatomic.h>

#include "call.h"

enum { kAlignment = PIT_WORKSPACE_ALIGNMENT };

typedef struct lane {
  const pit_call *call;
  pit_stack stack;
  struct lane *outer; /* of another call that this thread is inside of */
} lane;

static _Thread_local lane *innermost;

static pit_stack *stack_of(pit_call *call) {
  for (lane *l = innermost; l; l = l->outer) {
    if (l->call == call) return &l->stack;
  }
  return &call->given;
}

void *pit_take_given(pit_call *call, int64_t bytes) {
  pit_stack *stack = stack_of(call);
  const int64_t rest = stack->bytes - stack->used;
  if (bytes > rest || (bytes + kAlignment - 1) / kAlignment * kAlignment > rest) return NULL;
  char *memory = stack->memory + stack->used;
  stack->used += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return memory;
}

void pit_return_given(pit_call *call, const void *memory) {
  pit_stack *stack = stack_of(call);
  stack->used = (const char *)memory - stack->memory;
}

typedef struct sharing {
  pit_call *call;
  pit_loop_body body;
  void *closure;
  int64_t n;
  pit_stack rest; /* `bytes` of one lane, the first of which is at `memory` */
  _Atomic int64_t next;
} sharing;

static void run_lane(void *closure, int64_t i) {
  sharing *s = closure;
  lane here = {.call = s->call,
               .stack = {.memory = s->rest.memory + i * s->rest.bytes, .bytes = s->rest.bytes},
               .outer = innermost};
  innermost = &here;
  for (;;) {
    const int64_t k = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
    if (k >= s->n) break;
    s->body(s->closure, k);
  }
  innermost = here.outer;
}

void pit_for_each_lane(pit_call *call, int64_t n, pit_loop_body body, void *closure) {
  const pit_stack *stack = stack_of(call);
  int64_t lanes = stack == &call->given ? pit_threads() : 1;
  if (lanes > n) lanes = n;
  if (lanes == 1) {
    for (int64_t i = 0; i < n; ++i) body(closure, i);
    return;
  }
  sharing s = {.call = call, .body = body, .closure = closure, .n = n};
  s.rest.memory = stack->memory + stack->used;
  s.rest.bytes = (stack->bytes - stack->used) / lanes / kAlignment * kAlignment;
  call->parallel(call->parallel_user, lanes, run_lane, &s);
}
