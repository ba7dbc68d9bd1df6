#include "read_memory.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <atomic>

namespace pit::bench {

namespace {

// A vector of 64 bytes: the compiler splits it into what the processor has.
using Line = std::uint64_t __attribute__((vector_size(64)));

}  // namespace

void read_memory(const void *memory, std::int64_t bytes) {
  constexpr std::int64_t kPart = 1 << 20;
  static std::atomic<std::uint64_t> unused;
  const auto *lines = static_cast<const Line *>(memory);
  const std::int64_t count = bytes / static_cast<std::int64_t>(sizeof(Line));
  tbb::parallel_for(
      tbb::blocked_range<std::int64_t>(0, count, kPart / static_cast<std::int64_t>(sizeof(Line))),
      [&](const tbb::blocked_range<std::int64_t> &range) {
        Line a{}, b{}, c{}, d{};
        std::int64_t i = range.begin();
        for (; i + 4 <= range.end(); i += 4) {
          a |= lines[i];
          b |= lines[i + 1];
          c |= lines[i + 2];
          d |= lines[i + 3];
        }
        for (; i < range.end(); ++i) a |= lines[i];
        a |= b | c | d;
        unused.fetch_or(a[0] | a[1] | a[2] | a[3] | a[4] | a[5] | a[6] | a[7],
                        std::memory_order_relaxed);
      });
}

}  // namespace pit::bench
