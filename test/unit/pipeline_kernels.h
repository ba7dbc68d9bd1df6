// Kernels of the logical level for the tests of software pipelining, and data for them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "codegen/ir/interpret.h"
#include "dsl/half.h"
#include "ir_arguments.h"

namespace pit::ir {

/// C[r, n] = sum over k of A[r, k] B[k, n] for the listed rows r.
inline const char *const kGatheredRows = R"(
module gathered_rows(A: bfloat16[2], B: bfloat16[2], rows: int32[1], count: int32[1])
  -> (C: bfloat16[2]) {
  stage compute C {
    launch gathered_rows threads 128 grid mo < (rows.extent(0) + 63) / 64, no < (B.extent(1) + 15) / 16 {
      let kept: int64 = int64(count(0))
      axes mi < min(64, kept - mo * 64) max 64, ni < min(16, B.extent(1) - no * 16) max 16
      tile %row: int32[64]
      load mi: %row[mi] = rows(mo * 64 + mi)
      tile %acc: float32[64, 16]
      fill mi, ni: %acc[mi, ni] = 0.0
      for kt < (A.extent(1) + 15) / 16 {
        axes k < min(16, A.extent(1) - kt * 16) max 16
        tile %a: bfloat16[64, 16]
        tile %b: bfloat16[16, 16]
        sread mi, k: %a[mi, k] = A(int64(%row[mi]), kt * 16 + k)
        load ni, k: %b[k, ni] = B(kt * 16 + k, no * 16 + ni)
        mma m(mi) n(ni) k(k): %acc[mi, ni] += %a[mi, k] * %b[k, ni]
      }
      swrite mi, ni: C[int64(%row[mi]), no * 16 + ni] = bfloat16(max(%acc[mi, ni], 0.0))
    }
  }
})";

/// C[m, n] = sum over the listed k of strip m / 64, whose values are packed: [entry, m % 64].
inline const char *const kGatheredK = R"(
module gathered_k(values: bfloat16[2], B: bfloat16[2], coordinates: int32[1], offsets: int32[1], bias: float32[1])
  -> (C: float32[2]) {
  stage compute C {
    launch gathered_k threads 128 grid mo < (C.extent(0) + 63) / 64, no < (B.extent(1) + 15) / 16 {
      axes mi < min(64, C.extent(0) - mo * 64) max 64, ni < min(16, B.extent(1) - no * 16) max 16
      tile %acc: float32[64, 16]
      fill mi, ni: %acc[mi, ni] = 0.0
      let first: int64 = int64(offsets(mo))
      let count: int64 = int64(offsets(mo + 1)) - int64(offsets(mo))
      for kt < (count + 15) / 16 {
        let entry: int64 = first + kt * 16
        axes k < min(16, count - kt * 16) max 16
        tile %column: int32[16]
        load k: %column[k] = coordinates(entry + k)
        tile %a: bfloat16[64, 16]
        tile %b: bfloat16[16, 16]
        load mi, k: %a[mi, k] = values(entry + k, mi)
        sread k, ni: %b[k, ni] = B(int64(%column[k]), no * 16 + ni)
        mma m(mi) n(ni) k(k): %acc[mi, ni] += %a[mi, k] * %b[k, ni]
      }
      store mi, ni: C[mo * 64 + mi, no * 16 + ni] = %acc[mi, ni] + bias(no * 16 + ni)
    }
  }
})";

/// H[entry, f] = max(sum X W1, 0) * sum X W3 over the tokens of each expert, the tiles of which are
/// counted in memory.
inline const char *const kExperts = R"(
module experts(X: bfloat16[2], W1: bfloat16[3], W3: bfloat16[3], tokens: int32[1], offsets: int32[1])
  -> (H: float32[2]) {
  stage compute H {
    launch experts threads 128 grid group < W1.extent(0), fo < (W1.extent(2) + 15) / 16 {
      let first: int64 = int64(offsets(group))
      let count: int64 = int64(offsets(group + 1)) - first
      for up < (count + 63) / 64 {
        let entry: int64 = first + up * 64
        axes t < min(64, count - up * 64) max 64, f < min(16, W1.extent(2) - fo * 16) max 16
        tile %token: int32[64]
        load t: %token[t] = tokens(entry + t)
        tile %gate: float32[64, 16]
        tile %up: float32[64, 16]
        fill t, f: %gate[t, f] = 0.0
        fill t, f: %up[t, f] = 0.0
        for xo < (X.extent(1) + 15) / 16 {
          axes x < min(16, X.extent(1) - xo * 16) max 16
          tile %x: bfloat16[64, 16]
          tile %w1: bfloat16[16, 16]
          tile %w3: bfloat16[16, 16]
          sread t, x: %x[t, x] = X(int64(%token[t]) / 2, xo * 16 + x) bytes 16
          load x, f: %w1[x, f] = select(group >= 0 && group < W1.extent(0), W1(group, xo * 16 + x, fo * 16 + f), 0.0)
          mma m(t) n(f) k(x): %gate[t, f] += %x[t, x] * %w1[x, f]
          load x, f: %w3[x, f] = W3(group, xo * 16 + x, fo * 16 + f)
          mma m(t) n(f) k(x): %up[t, f] += %x[t, x] * %w3[x, f]
        }
        store t, f: H[entry + t, fo * 16 + f] = max(%gate[t, f], 0.0) * %up[t, f]
      }
    }
  }
})";

/// bfloat16 elements that are small whole numbers, so that sums are exact in any order.
struct BFloatTensor : TestTensor<std::uint16_t> {
  BFloatTensor(std::vector<std::int64_t> e, int seed) : TestTensor<std::uint16_t>(std::move(e)) {
    TestTensor<float> values({static_cast<std::int64_t>(data.size())});
    values.fill_with_pattern(seed);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = float_to_bfloat16_bits(values.data[i]);
  }
};

}  // namespace pit::ir
