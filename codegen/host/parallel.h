// Parallel loops of generated code on oneTBB.
#pragma once

#include <cstdint>

#include "runtime/pit_call.h"

namespace pit::host {

/// A pit_parallel_hook: the iterations run on oneTBB's workers, as many threads at once as
/// pit_threads() says. May be called from several threads, and from inside a body.
void tbb_parallel_for(void *user, std::int64_t n, pit_loop_body body, void *closure);

}  // namespace pit::host
