// Kernels of the staged level as text, from which tests break one thing at a time.
#pragma once

#include <string>

#include "dsl/error.h"

namespace pit::ir {

/// `text` with `from`, which it holds, replaced by `to` everywhere.
inline std::string replaced(std::string text, const std::string &from, const std::string &to) {
  internal_check(text.find(from) != std::string::npos, "the text does not hold: " + from);
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

/// C[rows(i), n] = sum over k of A(rows(i), k) B(k, n): rows gathered by cp.async and B by bulk
/// copies, `stages` buffers, one producer warp and one consumer warpgroup.
inline std::string producer_and_consumer(int stages) {
  const std::string text = R"(
module gathered(A: float32[2], B: float32[2], rows: int32[1]) -> (C: float32[2]) {
  stage compute C {
    launch gathered threads 256 grid mo < (rows.extent(0) + 63) / 64, no < (B.extent(1) + 7) / 8 {
      barrier full[STAGES] arrivals 129
      barrier empty[STAGES] arrivals 1
      shared %a: float32[STAGES, 64, 8] buffers swizzle(32, 1)
      shared %b: float32[STAGES, 8, 8] buffers swizzle(32, 1)
      fence barriers
      sync
      let steps: int64 = (A.extent(1) + 7) / 8
      axes m < 64 max 64, n < 8 max 8, k < 8 max 8
      roles {
        role producer warps 4 registers 56 {
          for kt < steps {
            wait empty[kt % STAGES] parity (kt / STAGES + 1) % 2
            arrive full[kt % STAGES] each role expect 256
            copy bulk k, n: %b[kt % STAGES, k, n] = B(kt * 8 + k, no * 8 + n) where kt * 8 + k < B.extent(0), no * 8 + n < B.extent(1) on full[kt % STAGES]
            copy async m, k: %a[kt % STAGES, m, k] = A(int64(rows(mo * 64 + m)), kt * 8 + k) where mo * 64 + m < rows.extent(0), kt * 8 + k < A.extent(1) bytes 16
            arrive full[kt % STAGES] each thread after_copies
          }
        }
        role consumer warps 4 registers 224 {
          registers %acc: float32[64, 8] accumulator(1, 4, 1, 4)
          fill m, n: %acc[m, n] = 0.0
          for ct < steps {
            wait full[ct % STAGES] parity ct / STAGES % 2
            fence async
            mma async m(m) n(n) k(k): %acc[m, n] += %a(ct % STAGES)[m, k] * %b(ct % STAGES)[k, n]
            commit matrix
            drain matrix pending 0
            arrive empty[ct % STAGES] each warpgroup
          }
          axes mv < min(64, rows.extent(0) - mo * 64) max 64, nv < min(8, B.extent(1) - no * 8) max 8
          swrite mv, nv: C[int64(rows(mo * 64 + mv)), no * 8 + nv] = %acc[mv, nv]
        }
      }
    }
  }
})";
  return replaced(text, "STAGES", std::to_string(stages));
}

/// The same with two stages, and with a strip by which the consumers store.
inline std::string through_strip() {
  const std::string kernel = producer_and_consumer(2);
  return replaced(
      replaced(kernel, "registers %acc",
               "shared %strip: float32[4, 16, 40]\n          "
               "registers %other: float32[64, 8] accumulator(1, 4, 1, 4)\n          "
               "axes w < 4 max 4, r < 16 max 16, c < 40 max 40\n          registers %acc"),
      "= %acc[mv, nv]", "= %acc[mv, nv] through %strip");
}

// Groups of cp.async in one role, as on sm_80: two buffers.
inline const char *const kGroups = R"(module groups(A: float32[2]) -> (C: float32[2]) {
  stage compute C {
    launch groups threads 64 {
      axes i < A.extent(1) max 8
      shared %a: float32[2, 8] buffers
      copy async i: %a[0, i] = A(0, i)
      commit copies
      for t < A.extent(0) {
        if t + 1 < A.extent(0) { copy async i: %a[(t + 1) % 2, i] = A(t + 1, i) }
        commit copies
        drain copies pending 1
        sync
        store i: C[t, i] = %a[t % 2, 7 - i]
        sync
      }
    }
  }
})";

// Both blocks of a cluster read half of B each and give it to both.
inline const char *const kCluster = R"(module cluster(B: float32[1]) -> (C: float32[2]) {
  stage compute C {
    launch cluster threads 64 cluster rank < 2 {
      axes i < 4 max 4, j < 8 max 8
      barrier full[1] arrivals 1
      barrier empty[1] arrivals 2
      shared %b: float32[8]
      fence barriers
      sync cluster
      roles {
        role producer warps 1 {
          for t < 3 {
            wait empty[0] parity (t + 1) % 2
            arrive full[0] each role expect 32
            copy bulk i: %b[rank * 4 + i] = B(t * 8 + rank * 4 + i) on full[0] multicast
          }
        }
        role consumer warps 1 {
          for u < 3 {
            wait full[0] parity u % 2
            store j: C[rank, u * 8 + j] = %b[j]
            arrive empty[0] each warp cluster
          }
        }
      }
      sync cluster
    }
  }
})";

}  // namespace pit::ir
