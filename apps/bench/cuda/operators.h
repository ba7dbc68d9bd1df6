// The operators that are measured on a CUDA device, scheduled for one with tensor cores.
#pragma once

#include <pit/pit.h>

#include <string>

namespace pit::bench::cuda {

/// Extents of a micro-tile of A[m, k].
struct Micro {
  std::int64_t rows = 1, columns = 1;

  std::string text() const { return std::to_string(rows) + "x" + std::to_string(columns); }
};

/// Out[m, n] = A[m, k] B[k, n], all of `type`, summed in float32.
Pipeline dense_product(Type type);

/// The same without the products in which A is zero, which is found in blocks of `micro`.
Pipeline sparse_product(Type type, const Micro &micro, const std::string &name = "sparse_product");

/// The same in float32, whose factors the tensor cores round to tf32.
Pipeline tf32_product(const Micro &micro);

/// How gathered_rows learns which rows it is about.
enum class Rows {
  Marked,  ///< uint8 keep[i] != 0
  Given,   ///< the same and their list: int32 offsets[2], rows[...]
};

/// Y[i, n] = X[i, :] W[:, n] of some rows i; the others of Y are left as they are. bfloat16, summed
/// in float32.
Pipeline gathered_rows(Rows rows);

/// Out[t, d] = H[t, r] W2[r, d] of the activations that are not zero, for few tokens t: rows of W2
/// are read by element, parts of the sum by different blocks. bfloat16, summed in float32.
Pipeline sparse_activations();

/// O[h, i] = the rows V[h, j] weighted by softmax over j of kAttentionScale Q[h, i] K[h, j], of the
/// blocks of kAttentionBlock positions that `mask`[h, i / block, j / block] marks. bfloat16, as are
/// the weights when they are multiplied.
Pipeline block_attention(std::int64_t channels);
constexpr std::int64_t kAttentionBlock = 128;
constexpr float kAttentionScale = 0x1.6ap-4F;  ///< of 128 channels

/// A layer of experts with SwiGLU: Out[t] = sum over the slots s of weight[t, s] times what expert
/// id[t, s] makes of X[t]. X[token, channel], W1 and W3[expert, channel, hidden],
/// W2[expert, hidden, channel] and Out are bfloat16, id int32, weight float32.
Pipeline gated_experts(int slots);

/// The same with ReLU in place of SwiGLU, without W3, for one slot: id[t], weight[t].
Pipeline switch_experts();

/// Out[m] = sum of row m of A[m, k], which is bfloat16, in float32: little more than the sparse
/// index of A != 0.
Pipeline indexed_sum(const Micro &micro, bool ordered);

/// Out[t] = X[t] * W[id[t]], float32 with int32 ids: little more than the positions of each id.
Pipeline routed_rows(bool ordered);

/// What the names of those kernels of the two begin with that build the index.
std::string index_kernels(const Pipeline &pipeline);

}  // namespace pit::bench::cuda
