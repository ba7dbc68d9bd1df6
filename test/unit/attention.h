// Block-sparse attention for the tests of kernels.
#pragma once

#include <cstdint>
#include <string>

#include "test/harness.h"

namespace pit::test {

struct AttentionShape {
  std::int64_t queries = 128, keys = 128;  ///< of a tile
  std::int64_t block = 64;                 ///< of the mask
  std::int64_t channels = 128;
  bool causal = false;
};

/// Attention of each head of Q, two of which share keys and values, with the logarithm of the sums
/// of weights. `atom`: of the product with the values; empty: the back end's choice.
inline Pipeline attention(const AttentionShape &shape, const std::string &atom) {
  Var h("h"), i("i"), d("d"), jv("jv"), io("io"), ii("ii"), jt("jt");
  TensorParam Q(bfloat16, 3, "Q"), K(bfloat16, 3, "K"), V(bfloat16, 3, "V"), mask(uint8, 3, "mask");
  RDom j(0, K.extent(1), "j"), c(0, Q.extent(2), "c");
  j.where(mask(h, i / shape.block, j / shape.block) != 0);
  if (shape.causal) j.where(j <= i);
  Func S("S"), P("P"), O("O"), L("L");
  S(h, i, jv) = 0.125f * sum(c, f32(Q(h, i, c)) * f32(K(h / 2, jv, c)));
  P(h, i, d) += softmax_term(S(h, i, j), V(h / 2, j, d));
  O(h, i, d) = bf16(softmax_value(P(h, i, d)));
  L(h, i) = log_sum_exp(P(h, i, 0));
  Q.dim(2).extent(shape.channels);
  O.bound(d, 0, shape.channels);
  O.split(i, io, ii, shape.queries).gpu_blocks(h, io);
  P.compute_at(O, io);
  P.update().pit_tile(
      jt, {.axis = j, .micro = {{i, shape.queries}, {j, shape.block}}, .dense = {{j, shape.keys}}});
  if (!atom.empty()) P.update().atom(atom);
  S.compute_at(P, jt);
  L.compute_with(O, io);
  return Pipeline({O, L}, {}, "attention");
}

}  // namespace pit::test
