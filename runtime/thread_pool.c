/* The runtime's own threads.
 *
 * A loop is a job in a list. Its caller takes iterations from a shared counter like everyone else,
 * so a loop ends even when no worker ever looks at it. A caller waits only for workers that are
 * inside its own job, and those wait only for the loops they started inside it: waiting goes from
 * outer to inner loops and cannot form a cycle. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "pit_call.h"

enum { kMaxThreads = 1024, kSpins = 2000 };

typedef struct job {
  pit_loop_body body;
  void *closure;
  int64_t n, grain;
  _Atomic int64_t next;
  int inside;          /* workers; guarded by the mutex */
  pthread_cond_t done; /* inside became 0 */
  struct job *following;
} job;

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t work;
  job *jobs; /* guarded by the mutex; newest first: inner loops before the outer loops that wait for
                them */
  int started;             /* workers that exist */
  _Atomic int threads;     /* with the caller; 0 = not yet asked for */
  _Atomic unsigned posted; /* counts jobs, for workers that spin a moment before they sleep */
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

static int cores(void) {
  cpu_set_t set;
  int count = 0;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  if (count <= 0) count = (int)sysconf(_SC_NPROCESSORS_ONLN);
  return count <= 0 ? 1 : count > kMaxThreads ? kMaxThreads : count;
}

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void run_iterations(job *j) {
  for (;;) {
    int64_t begin = atomic_fetch_add_explicit(&j->next, j->grain, memory_order_relaxed);
    if (begin >= j->n) return;
    int64_t end = j->n - begin < j->grain ? j->n : begin + j->grain;
    for (int64_t i = begin; i < end; ++i) j->body(j->closure, i);
  }
}

static job *find_job(void) {
  for (job *j = pool.jobs; j; j = j->following) {
    if (atomic_load_explicit(&j->next, memory_order_relaxed) < j->n) return j;
  }
  return NULL;
}

static void *work(void *argument) {
  int number = (int)(intptr_t)argument;
  pthread_mutex_lock(&pool.mutex);
  for (;;) {
    /* A worker beyond the number of threads asked for sleeps until it is wanted again. */
    job *j = number < atomic_load_explicit(&pool.threads, memory_order_relaxed) ? find_job() : NULL;
    if (!j) {
      pthread_cond_wait(&pool.work, &pool.mutex);
      continue;
    }
    ++j->inside;
    pthread_mutex_unlock(&pool.mutex);
    run_iterations(j);
    pthread_mutex_lock(&pool.mutex);
    if (--j->inside == 0) pthread_cond_signal(&j->done);
    if (find_job()) continue;

    unsigned seen = atomic_load_explicit(&pool.posted, memory_order_relaxed);
    pthread_mutex_unlock(&pool.mutex);
    for (int i = 0; i < kSpins; ++i) {
      if (atomic_load_explicit(&pool.posted, memory_order_relaxed) != seen) break;
      pause_briefly();
    }
    pthread_mutex_lock(&pool.mutex);
  }
  return NULL;
}

/* A forked child has none of the threads, and perhaps a mutex that one of them held. */
static void forget_threads(void) {
  pool.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
  pool.work = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
  pool.jobs = NULL;
  pool.started = 0;
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, forget_threads); }

/* With the mutex held. A thread that the system refuses is done without. */
static void start_workers(int threads) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  while (pool.started < threads - 1) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, (void *)(intptr_t)(pool.started + 1)) != 0) return;
    pthread_detach(thread);
    ++pool.started;
  }
}

void pit_set_threads(int32_t threads) {
  if (threads <= 0) threads = cores();
  if (threads > kMaxThreads) threads = kMaxThreads;
  atomic_store_explicit(&pool.threads, threads, memory_order_relaxed);
  pthread_mutex_lock(&pool.mutex);
  pthread_cond_broadcast(&pool.work);
  pthread_mutex_unlock(&pool.mutex);
}

int32_t pit_threads(void) {
  int threads = atomic_load_explicit(&pool.threads, memory_order_relaxed);
  if (threads == 0) {
    int wanted = cores();
    if (atomic_compare_exchange_strong(&pool.threads, &threads, wanted)) threads = wanted;
  }
  return threads;
}

void pit_thread_pool_for(void *user, int64_t n, pit_loop_body body, void *closure) {
  (void)user;
  int threads = pit_threads();
  if (n <= 1 || threads == 1) {
    for (int64_t i = 0; i < n; ++i) body(closure, i);
    return;
  }

  /* Iterations are taken in small bundles when there are very many of them. */
  int64_t grain = n / ((int64_t)threads * 64);
  job j = {.body = body,
           .closure = closure,
           .n = n,
           .grain = grain < 1 ? 1 : grain,
           .done = PTHREAD_COND_INITIALIZER};
  pthread_mutex_lock(&pool.mutex);
  if (pool.started < threads - 1) start_workers(threads);
  j.following = pool.jobs;
  pool.jobs = &j;
  atomic_fetch_add_explicit(&pool.posted, 1, memory_order_relaxed);
  if (n - 1 < pool.started && pool.started < threads) {
    for (int64_t i = 1; i < n; ++i) pthread_cond_signal(&pool.work);
  } else { /* also when a signal could wake a worker that is not wanted now */
    pthread_cond_broadcast(&pool.work);
  }
  pthread_mutex_unlock(&pool.mutex);

  run_iterations(&j);

  pthread_mutex_lock(&pool.mutex);
  job **link = &pool.jobs;
  while (*link && *link != &j) link = &(*link)->following;
  if (*link) *link = j.following; /* a body that forked has emptied the child's list */
  while (j.inside > 0) pthread_cond_wait(&j.done, &pool.mutex);
  pthread_mutex_unlock(&pool.mutex);
  pthread_cond_destroy(&j.done);
}
