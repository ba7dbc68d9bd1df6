// The three operators of the demonstration, each with its sparse schedule, and our own dense
// schedule of the same computation to compare with. Tiles are as large as the caches of a CPU's
// core, or the registers of a GPU's multiprocessor, hold them.
#pragma once

#include <pit/pit.h>

namespace pit::demo {

/// Rows and columns of a tile of sums on `target`, where `sums` tiles are summed at once.
struct TileSizes {
  TileSizes(Type type, const Target &target, int sums = 1)
      : rows(target.is_cuda() ? 128 : 256),
        columns(!target.is_cuda() ? 256 : (type.bytes() == 2 ? 256 : 128) / sums) {}
  std::int64_t rows, columns;
};

/// Out = A B, without the products in which A is zero.
///
/// Inputs A[m, k] and B[k, n] of `type`; Out[m, n] of `type`, summed in float32. Zeros are skipped
/// in blocks of micro_rows x micro_columns elements of A that are zero altogether; 64 is a multiple
/// of both.
Pipeline sparse_matmul(Type type, std::int64_t micro_rows, std::int64_t micro_columns,
                       const Target &target = {});
/// The same product of all elements.
Pipeline dense_matmul(Type type, const Target &target = {});

/// A mixture-of-experts feed-forward layer: every token goes to the `slots` experts for which its
/// gate gives the highest softmax probability, and their results are added, weighted by it.
///
/// Inputs of `type`: X[token, channel], the gate Wg[channel, expert], and for every expert the
/// matrices of SwiGLU, W1[expert, channel, hidden], W3 like W1, W2[expert, hidden, channel].
/// Out[token, channel] of `type`.
Pipeline sparse_moe(Type type, int slots, const Target &target = {});
/// The same layer; every expert computes every token, and those not chosen get the weight 0.
Pipeline dense_moe(Type type, int slots, const Target &target = {});

/// The feed-forward half of a transformer layer on sentences of different lengths:
/// Out = X + W2 gelu(W1 norm(X) + b1) + b2 at the words t < len(b) of every sentence b.
///
/// Inputs of `type`: X[sentence, word, channel], padded to the longest sentence, W1[channel,
/// hidden], W2[hidden, channel]; float32 b1[hidden], b2[channel]; int32 len[sentence].
/// Out[sentence, word, channel] of `type`; its bytes past the end of a sentence are left alone.
Pipeline sparse_feed_forward(Type type, const Target &target = {});
/// The same layer computed for the padding, too; without the input len.
Pipeline dense_feed_forward(Type type, const Target &target = {});

}  // namespace pit::demo
