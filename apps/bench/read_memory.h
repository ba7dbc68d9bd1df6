// The rate at which this machine reads memory.
#pragma once

#include <cstdint>

namespace pit::bench {

/// Reads `bytes` bytes once, 64-byte aligned, on the threads that operators use, as fast as it can.
void read_memory(const void *memory, std::int64_t bytes);

}  // namespace pit::bench
