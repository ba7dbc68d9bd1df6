#include "parallel.h"

#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

namespace pit::host {

namespace {

// ThreadSanitizer does not see how oneTBB, which is not instrumented, synchronises: what comes
// before the loop happens before its iterations, and these before what comes after it.
#ifdef PIT_THREAD_SANITIZER
extern "C" void __tsan_acquire(void *address);
extern "C" void __tsan_release(void *address);
void acquire(void *address) { __tsan_acquire(address); }
void release(void *address) { __tsan_release(address); }
#else
void acquire(void *) {}
void release(void *) {}
#endif

void run(std::int64_t n, pit_loop_body body, void *closure) {
  release(closure);
  tbb::parallel_for(tbb::blocked_range<std::int64_t>(0, n),
                    [&](const tbb::blocked_range<std::int64_t> &range) {
                      acquire(closure);
                      for (std::int64_t i = range.begin(); i < range.end(); ++i) body(closure, i);
                      release(closure);
                    });
  acquire(closure);
}

// Arenas are kept: making one for each loop costs more than a small loop.
tbb::task_arena &arena_of(int threads) {
  static std::mutex mutex;
  static std::map<int, std::unique_ptr<tbb::task_arena>> arenas;
  const std::scoped_lock lock(mutex);
  std::unique_ptr<tbb::task_arena> &arena = arenas[threads];
  if (!arena) arena = std::make_unique<tbb::task_arena>(threads);
  return *arena;
}

}  // namespace

void tbb_parallel_for(void *, std::int64_t n, pit_loop_body body, void *closure) {
  // More than TBB may start would only make it print so.
  using Limit = tbb::global_control;
  const auto most = static_cast<int>(Limit::active_value(Limit::max_allowed_parallelism));
  const int threads = std::min(pit_threads(), most);
  if (threads == 1) {
    for (std::int64_t i = 0; i < n; ++i) body(closure, i);
  } else if (threads == tbb::this_task_arena::max_concurrency()) {
    run(n, body, closure);
  } else {
    arena_of(threads).execute([&] { run(n, body, closure); });
  }
}

}  // namespace pit::host
