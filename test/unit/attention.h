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
  int stages = 0;  ///< 0: the back end's choice
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
  if (shape.stages > 0) P.update().software_pipeline(jt, shape.stages);
  S.compute_at(P, jt);
  L.compute_with(O, io);
  return Pipeline({O, L}, {}, "attention");
}

/// Attention to ranges of 64 keys that start anywhere and to single keys, which tensors list for
/// each 64 queries: two updates of one state. A tile has `ranges` ranges, or `keys` single ones.
struct VerticalSlashShape {
  std::int64_t queries = 64, ranges = 1, keys = 64;  ///< of a tile
  std::int64_t channels = 128;
};

inline Pipeline vertical_slash(const VerticalSlashShape &shape, const std::string &atom) {
  Var h("h"), i("i"), d("d"), jv("jv"), io("io"), ii("ii"), bt("bt"), ct("ct");
  TensorParam Q(bfloat16, 3, "Q"), K(bfloat16, 3, "K"), V(bfloat16, 3, "V");
  TensorParam nb(int32, 2, "block_count"), ob(int32, 3, "block_offset"),
      nc(int32, 2, "column_count"), oc(int32, 3, "column_index");
  RDom blk(0, nb(h, i / 64), 0, 64, "blk"), col(0, nc(h, i / 64), "col"), c(0, Q.extent(2), "c");
  const Expr jb = ob(h, i / 64, blk.x) + blk.y, jc = oc(h, i / 64, col);
  blk.where(jb <= i);
  Func S("S"), P("P"), O("O");
  S(h, i, jv) = 0.125f * sum(c, f32(Q(h, i, c)) * f32(K(h, jv, c)));
  P(h, i, d) += softmax_term(S(h, i, jb), V(h, jb, d));
  P(h, i, d) += softmax_term(S(h, i, jc), V(h, jc, d));
  O(h, i, d) = bf16(softmax_value(P(h, i, d)));
  Q.dim(2).extent(shape.channels);
  O.bound(d, 0, shape.channels);
  O.split(i, io, ii, shape.queries).gpu_blocks(h, io);
  P.compute_at(O, io);
  P.update(0).pit_tile(
      bt,
      {.axis = blk.x, .micro = {{i, shape.queries}, {blk.x, 1}}, .dense = {{blk.x, shape.ranges}}});
  P.update(1).pit_tile(
      ct, {.axis = col, .micro = {{i, shape.queries}, {col, 1}}, .dense = {{col, shape.keys}}});
  for (const int update : {0, 1})
    if (!atom.empty()) P.update(update).atom(atom);
  S.compute_at(P, bt);
  return Pipeline({O}, {}, "vertical_slash");
}

}  // namespace pit::test
