// Attention of one head at the staged level, as text: the products on tensor cores, and the softmax
// between them in registers.
#pragma once

#include <string>

#include "staged_kernels.h"

namespace pit::ir {

/// A block: so many rows (64 a warpgroup) by keys by channels.
struct AttentionTile {
  int rows = 128, keys = 128, channels = 128;
};

/// O[i] = sum over j of exp(S[i, j] - most[i]) V[j] / sum over j of exp(S[i, j] - most[i]), where
/// S[i, j] = 0.25 * Q[i] . K[j], or -inf where mask(i, j) = 0; most[i] = max over j of S[i, j].
/// L[i] = most[i] + log(that sum). whole(io, jt): mask has no zero in the tile.
inline std::string attention_text(const AttentionTile &tile, std::string kernel) {
  // One step, with the products as the kernel says.
  const std::string step = R"(
            let columns: int64 = min(KEYS, K.extent(0) - jt * KEYS)
            axes jv < columns max KEYS
            let plain: bool = whole(io, jt) != 0
            registers %score: float32[ROWS, KEYS] accumulator(SPREAD)
            registers %weight: float32[ROWS, KEYS] accumulator(SPREAD)
            registers %peak: float32[ROWS] rows(SPREAD)
            registers %shrink: float32[ROWS] rows(SPREAD)
            map iv, jv: %s[iv, jv] = 0.25 * %sum[iv, jv]
            if plain { map iv, jv: %score[iv, jv] = %s[iv, jv] }
            else { map iv, jv: %score[iv, jv] = select(mask(io * ROWS + iv, jt * KEYS + jv) != 0, %s[iv, jv], -inf) }
            map iv: %peak[iv] = %most[iv]
            reduce iv, jv: %peak[iv] max= %score[iv, jv]
            map iv: %shrink[iv] = select(%most[iv] == %peak[iv], 1.0, exp(%most[iv] - %peak[iv]))
            map iv, jv: %weight[iv, jv] = select(%score[iv, jv] == -inf, 0.0, exp(%score[iv, jv] - %peak[iv]))
            map iv: %total[iv] = %total[iv] * %shrink[iv]
            reduce iv, jv: %total[iv] += %weight[iv, jv]
            map iv, c: %o[iv, c] = %o[iv, c] * %shrink[iv]
            fill i, j: %left[i, j] = bfloat16(0.0)
            map iv, jv: %left[iv, jv] = bfloat16(%weight[iv, jv])
            map iv: %most[iv] = %peak[iv]
)";
  const std::string state = R"(
          let rows: int64 = min(ROWS, Q.extent(0) - io * ROWS)
          axes iv < rows max ROWS
          registers %most: float32[ROWS] rows(SPREAD)
          registers %total: float32[ROWS] rows(SPREAD)
          registers %o: float32[ROWS, CHANNELS] accumulator(SPREAD)
          fill i: %most[i] = -inf
          fill i: %total[i] = 0.0
          fill i, c: %o[i, c] = 0.0
)";
  const std::string result = R"(
          store iv, c: O[io * ROWS + iv, c] = bfloat16(select(%total[iv] == 0.0, 0.0, %o[iv, c] / %total[iv]))
          store iv: L[io * ROWS + iv] = %most[iv] + log(%total[iv])
)";
  const std::string sums = R"(
            registers %sum: float32[ROWS, KEYS] accumulator(SPREAD)
            registers %s: float32[ROWS, KEYS] accumulator(SPREAD)
            registers %left: bfloat16[ROWS, KEYS] operand_a(SPREAD)
            fill i, j: %sum[i, j] = 0.0
)";
  kernel = replaced(kernel, "STATE", state);
  kernel = replaced(kernel, "SUMS", sums);
  kernel = replaced(kernel, "SOFTMAX", step);
  kernel = replaced(kernel, "RESULT", result);
  kernel = replaced(kernel, "ROWS", std::to_string(tile.rows));
  kernel = replaced(kernel, "KEYS", std::to_string(tile.keys));
  kernel = replaced(kernel, "CHANNELS", std::to_string(tile.channels));
  kernel = replaced(kernel, "LINE", std::to_string(tile.channels >= 64 ? 128 : 2 * tile.channels));
  return "module attention(Q: bfloat16[2], K: bfloat16[2], V: bfloat16[2], mask: uint8[2], whole: "
         "uint8[2]) -> (O: bfloat16[2], L: float32[1]) {" +
         kernel + "}";
}

/// For sm_90a: a producer that asks for boxes, and a consumer warpgroup for each 64 rows. `slot`:
/// its buffer is a value of each thread, as lowering has it.
inline std::string attention_of_roles(const AttentionTile &tile) {
  std::string text = attention_text(tile, R"(
  stage compute O {
    launch attention threads THREADS grid io < (Q.extent(0) + ROWS - 1) / ROWS {
      barrier standing[1] arrivals 1
      barrier full[2] arrivals 1
      barrier empty[2] arrivals GROUPS
      shared %q: bfloat16[ROWS, CHANNELS] swizzle(LINE, 1)
      shared %k: bfloat16[2, CHANNELS, KEYS] buffers swizzle(LINE, 0)
      shared %v: bfloat16[2, KEYS, CHANNELS] buffers swizzle(LINE, 1)
      fence barriers
      sync
      let count: int64 = (K.extent(0) + KEYS - 1) / KEYS
      axes i < ROWS max ROWS, j < KEYS max KEYS, c < CHANNELS max CHANNELS
      roles {
        role producer warps 4 registers 24 {
          arrive standing[0] each role expect 2 * ROWS * CHANNELS
          copy bulk i, c: %q[i, c] = Q(io * ROWS + i, c) where io * ROWS + i < Q.extent(0) on standing[0]
          for pt < count {
            wait empty[pt % 2] parity (pt / 2 + 1) % 2
            arrive full[pt % 2] each role expect 4 * KEYS * CHANNELS
            copy bulk j, c: %k[pt % 2, c, j] = K(pt * KEYS + j, c) where pt * KEYS + j < K.extent(0) on full[pt % 2]
            copy bulk j, c: %v[pt % 2, j, c] = V(pt * KEYS + j, c) where pt * KEYS + j < V.extent(0) on full[pt % 2]
          }
        }
        role consumer warps WARPS registers 240 {
          registers %slot: int64[]
          registers %phase: int64[]
          fill %slot[] = 0
          fill %phase[] = 0
          STATE
          wait standing[0] parity 0
          for jt < count {
            SUMS
            wait full[%slot[]] parity %phase[]
            mma async m(i) n(j) k(c): %sum[i, j] += %q[i, c] * %k(%slot[])[c, j] atom "sm_90a.float32.bfloat16.64x256x16"
            commit matrix
            drain matrix pending 0
            SOFTMAX
            mma async m(i) n(c) k(j): %o[i, c] += %left[i, j] * %v(%slot[])[j, c] atom "sm_90a.float32.bfloat16.64x256x16"
            commit matrix
            drain matrix pending 0
            arrive empty[%slot[]] each warpgroup
            store %slot[] = %slot[] + 1
            if %slot[] == 2 { store %slot[] = 0 store %phase[] = 1 - %phase[] }
          }
          RESULT
        }
      }
    }
  }
)");
  const int groups = tile.rows / 64;
  text = replaced(text, "SPREAD", "1, " + std::to_string(4 * groups) + ", 1, 4");
  text = replaced(text, "GROUPS", std::to_string(groups));
  text = replaced(text, "WARPS", std::to_string(4 * groups));
  return replaced(text, "THREADS", std::to_string(128 * (groups + 1)));
}

/// The same, but a step's last product is drained in the next step, or behind the loop.
inline std::string attention_drained_late(const AttentionTile &tile) {
  std::string text = attention_of_roles(tile);
  text = replaced(text, R"(            commit matrix
            drain matrix pending 0
            arrive empty[%slot[]] each warpgroup
)",
                  "            commit matrix\n");
  // What a product under way reads does not end with the step.
  const std::string left = "registers %left: bfloat16[" + std::to_string(tile.rows) + ", " +
                           std::to_string(tile.keys) + "] operand_a(1, " +
                           std::to_string(tile.rows / 16) + ", 1, 4)\n";
  text = replaced(text, left, "");
  text = replaced(text, "          for jt < count {",
                  "          " + left + R"(          for jt < count {
            drain matrix pending 0
            if 0 < jt { arrive empty[1 - %slot[]] each warpgroup }
)");
  return replaced(text, "          store iv, c: O[", R"(          drain matrix pending 0
          if 0 < count { arrive empty[1 - %slot[]] each warpgroup }
          store iv, c: O[)");
}

/// For sm_80: all warps copy, 16 rows each.
inline std::string attention_of_groups(const AttentionTile &tile) {
  const std::string next = R"({
            copy async j, c: %k[SLOT, c, j] = K(STEP * KEYS + j, c) where STEP * KEYS + j < K.extent(0) bytes 16
            copy async j, c: %v[SLOT, j, c] = V(STEP * KEYS + j, c) where STEP * KEYS + j < V.extent(0) bytes 16
          })";
  std::string text = R"(
  stage compute O {
    launch attention threads THREADS grid io < (Q.extent(0) + ROWS - 1) / ROWS {
      shared %q: bfloat16[ROWS, CHANNELS] swizzle(LINE, 1)
      shared %k: bfloat16[2, CHANNELS, KEYS] buffers swizzle(LINE, 0)
      shared %v: bfloat16[2, KEYS, CHANNELS] buffers swizzle(LINE, 1)
      let count: int64 = (K.extent(0) + KEYS - 1) / KEYS
      axes i < ROWS max ROWS, j < KEYS max KEYS, c < CHANNELS max CHANNELS
          STATE
          copy async i, c: %q[i, c] = Q(io * ROWS + i, c) where io * ROWS + i < Q.extent(0) bytes 16
          if 0 < count FIRST
          commit copies
          for jt < count {
            if jt + 1 < count NEXT
            commit copies
            drain copies pending 1
            sync
            SUMS
            mma m(i) n(j) k(c): %sum[i, j] += %q[i, c] * %k(jt % 2)[c, j] atom "sm_80.float32.bfloat16.16x8x16"
            SOFTMAX
            mma m(i) n(c) k(j): %o[i, c] += %left[i, j] * %v(jt % 2)[j, c] atom "sm_80.float32.bfloat16.16x8x16"
            sync
          }
          RESULT
    }
  }
)";
  text = replaced(text, "FIRST", replaced(replaced(next, "SLOT", "0"), "STEP", "0"));
  text =
      replaced(text, "NEXT", replaced(replaced(next, "SLOT", "(jt + 1) % 2"), "STEP", "(jt + 1)"));
  text = attention_text(tile, text);
  const int warps = tile.rows / 16;
  text = replaced(text, "SPREAD", "1, " + std::to_string(warps) + ", 1, 1");
  return replaced(text, "THREADS", std::to_string(32 * warps));
}

}  // namespace pit::ir
