/* Times of a call's stages on the device: an event before and after each run of a stage. */
#include <stdlib.h>

#include "cuda_call.h"

typedef struct stage_run {
  int32_t stage;
  int ended;
  CUevent begin, end;
} stage_run;

/* Kept by the context from call to call. */
typedef struct pit_event_set {
  struct pit_event_set *next;
  stage_run *runs; /* the first `made` have events */
  int32_t count, made, room;
} pit_event_set;

void pit_profile_begin(pit_call *call) {
  const pit_driver *d = pit_opened_driver();
  pit_context *context = call->cuda->entered.context;
  int capturing = CU_STREAM_CAPTURE_STATUS_NONE;
  if (pit_call_failed(call, d->stream_is_capturing(call->stream, &capturing),
                      "asking about the stream")) {
    return;
  }
  if (capturing != CU_STREAM_CAPTURE_STATUS_NONE) {
    /* A graph has no times, and every replay of a copy of statistics would write the call's record,
     * which is gone then: generated code does not copy them either. */
    call->profile = 0;
    return;
  }
  pthread_mutex_lock(&context->mutex);
  pit_event_set *set = context->event_sets;
  if (set) context->event_sets = set->next;
  pthread_mutex_unlock(&context->mutex);
  if (!set) set = calloc(1, sizeof *set);
  if (set) set->count = 0;
  call->cuda->events = set; /* null: no memory, no profile */
}

static int record(pit_call *call, CUevent event) {
  call->cuda->after_kernel = 0;
  return !pit_call_failed(call, pit_opened_driver()->event_record(event, call->stream),
                          "taking the time");
}

static int has_profile(const pit_call *call) {
  return call->cuda && call->cuda->events &&
         __atomic_load_n(&call->status, __ATOMIC_RELAXED) == PIT_OK;
}

void pit_cuda_stage_begin(pit_call *call, int32_t stage) {
  if (!has_profile(call) || stage < 0 || stage >= PIT_MAX_STAGES) return;
  const pit_driver *d = pit_opened_driver();
  pit_event_set *set = call->cuda->events;
  if (set->count == set->room) {
    const int32_t room = set->room ? 2 * set->room : 16;
    stage_run *runs = realloc(set->runs, (size_t)room * sizeof *runs);
    if (!runs) return;
    set->runs = runs;
    set->room = room;
  }
  stage_run *run = &set->runs[set->count];
  if (set->count == set->made) {
    if (pit_call_failed(call, d->event_create(&run->begin, CU_EVENT_DEFAULT), "making an event")) {
      return;
    }
    if (pit_call_failed(call, d->event_create(&run->end, CU_EVENT_DEFAULT), "making an event")) {
      d->event_destroy(run->begin);
      return;
    }
    ++set->made;
  }
  run->stage = stage;
  run->ended = 0;
  if (record(call, run->begin)) ++set->count;
}

void pit_cuda_stage_end(pit_call *call, int32_t stage) {
  if (!has_profile(call)) return;
  pit_event_set *set = call->cuda->events;
  for (int32_t i = set->count; i-- > 0;) {
    stage_run *run = &set->runs[i];
    if (run->stage != stage || run->ended) continue;
    run->ended = record(call, run->end);
    return;
  }
}

void pit_profile_end(pit_call *call) {
  const pit_driver *d = pit_opened_driver();
  pit_context *context = call->cuda->entered.context;
  pit_event_set *set = call->cuda->events;
  for (int32_t i = 0; i < set->count && has_profile(call); ++i) {
    const stage_run *run = &set->runs[i];
    float milliseconds = 0;
    if (!run->ended ||
        pit_call_failed(call, d->event_synchronize(run->end), "waiting for a stage") ||
        pit_call_failed(call, d->event_elapsed(&milliseconds, run->begin, run->end),
                        "taking the time")) {
      continue;
    }
    call->stage_nanoseconds[run->stage] += (int64_t)((double)milliseconds * 1e6);
  }
  call->cuda->events = NULL;
  pthread_mutex_lock(&context->mutex);
  set->next = context->event_sets;
  context->event_sets = set;
  pthread_mutex_unlock(&context->mutex);
}
