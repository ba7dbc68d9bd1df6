#include "operators.h"

#include <algorithm>

namespace pit::bench::cuda {

namespace {

// Rows and columns of the tiles of a product, and the steps of its sum.
constexpr std::int64_t kRows = 128, kColumns = 256, kStep = 64;
// Stages of tiles that have a step or two: they leave shared memory for the sums, by rows of 512
// bytes, which are then added by bulk reductions.
constexpr int kShortPipeline = 3;

// Of the sums whose index is timed.
const char *name_of_sum(bool ordered) { return ordered ? "indexed_sum" : "unordered_sum"; }
constexpr const char *kTimedIndex = "live";

// `atom`: what multiplies; empty: the best that rounds nothing.
Pipeline product_without_zeros(Type type, const Micro &micro, const std::string &name,
                               const std::string &atom) {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni"), mt("mt"), kt("kt");
  TensorParam A(type, 2, "A"), B(type, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), Out("Out");
  C(m, n) += f32(A(m, k)) * f32(B(k, n));
  Out(m, n) = cast(type, C(m, n));

  if (micro.rows == 1 && micro.columns > 1) {
    // Flat micro-tiles: of micro.columns columns the rows that are not zero come together, so that
    // they share the rows of B. Their sums are scattered, in whatever order they come.
    C.compute_root().gpu_blocks(m).gpu_threads(n);
    C.update()
        .pit_tile(mt, {.axis = m,
                       .micro = {{m, 1}, {k, micro.columns}},
                       .dense = {{m, kRows}, {n, kColumns}}})
        .swrite(C)
        .atomic()
        .software_pipeline(mt, kShortPipeline);
    Out.gpu_blocks(m).gpu_threads(n);
    return Pipeline({Out}, {}, name);
  }
  SparseIndex live =
      C.update().index({.axis = k, .micro = {{m, micro.rows}, {k, micro.columns}}}).named("live");
  // A column of A is scattered in memory: what is kept of it is better packed while it is read.
  if (micro.columns == 1) live.store_values(A);
  const std::int64_t step = std::max(kStep, micro.columns);
  // Tensor cores' sums fill the registers of two warpgroups: fewer rows, more columns, for which A
  // is loaded once.
  const bool few_rows = type == bfloat16 && micro.rows == kRows / 2;
  const std::int64_t columns = few_rows ? 2 * kColumns : kColumns;
  Out.tile(m, n, mo, no, mi, ni, micro.rows, columns).gpu_blocks(mo, no).persistent();
  C.compute_at(Out, no);
  C.update().pit_tile(kt, {.dense = {{k, step}}, .index = live}).warp_specialize({});
  if (!atom.empty()) C.update().atom(atom);
  // Of few long micro-tiles strips of rows hold rather different numbers. Of more the differences
  // are less than what ranking takes.
  if (micro.columns > kStep) Out.tile_order(TileOrder::LongestFirst);
  return Pipeline({Out}, {}, name);
}

}  // namespace

Pipeline dense_product(Type type) {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni");
  RVar ko("ko"), ki("ki");
  TensorParam A(type, 2, "A"), B(type, 2, "B");
  RDom k(0, A.extent(1), "k");
  Func C("C"), Out("Out");
  C(m, n) += f32(A(m, k)) * f32(B(k, n));
  Out(m, n) = cast(type, C(m, n));

  Out.tile(m, n, mo, no, mi, ni, kRows, kColumns).gpu_blocks(mo, no).persistent();
  C.compute_at(Out, no);
  C.update().split(k, ko, ki, kStep).warp_specialize({});
  return Pipeline({Out}, {}, "dense_product");
}

Pipeline sparse_product(Type type, const Micro &micro, const std::string &name) {
  return product_without_zeros(type, micro, name, "");
}

Pipeline tf32_product(const Micro &micro) {
  return product_without_zeros(float32, micro, "tf32_product", "sm_80.float32.tf32.16x8x8");
}

Pipeline gathered_rows(Rows rows) {
  Var i("i"), n("n"), tile("tile");
  RVar ko("ko"), ki("ki");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W"), keep(uint8, 1, "keep");
  TensorParam offsets(int32, 1, "offsets"), list(int32, 1, "rows");
  RDom k(0, X.extent(1), "k");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(W(k, n));
  Y(i, n) = bf16(C(i, n));
  Y.where(keep(i) != 0);

  SparseIndex kept = Y.index({.axis = i}).named("kept");
  if (rows == Rows::Given) kept.given(offsets, list);
  Y.pit_tile(tile, {.dense = {{i, kRows}, {n, kColumns}}, .index = kept}).persistent();
  C.compute_at(Y, tile);
  C.update().split(k, ko, ki, kStep).warp_specialize({});
  return Pipeline({Y}, {}, rows == Rows::Given ? "given_rows" : "gathered_rows");
}

Pipeline sparse_activations() {
  Var t("t"), d("d"), d_out("do"), d_in("di"), ft("ft");
  TensorParam H(bfloat16, 2, "H"), W2(bfloat16, 2, "W2");
  RDom r(0, H.extent(1), "r");
  r.where(H(t, r) != 0);
  Func Y("Y"), Out("Out");
  Y(t, d) += f32(H(t, r)) * f32(W2(r, d));
  Out(t, d) = bf16(Y(t, d));

  constexpr int kParts = 16;
  Out.split(d, d_out, d_in, kColumns).gpu_blocks(t, d_out);
  Y.compute_at(Out, d_out);
  Y.update()
      .pit_tile(ft, {.axis = r, .micro = {{t, 1}, {r, 1}}, .dense = {{r, kStep}}})
      .split_reduction(ft, kParts);
  return Pipeline({Out}, {}, "sparse_activations");
}

Pipeline block_attention(std::int64_t channels) {
  Var h("h"), i("i"), d("d"), jv("jv"), io("io"), ii("ii"), jt("jt"), tile("tile");
  TensorParam Q(bfloat16, 3, "Q"), K(bfloat16, 3, "K"), V(bfloat16, 3, "V"), mask(uint8, 3, "mask");
  RDom j(0, K.extent(1), "j"), c(0, channels, "c");
  j.where(mask(h, i / kAttentionBlock, j / kAttentionBlock) != 0);
  Func S("S"), P("P"), O("O");
  S(h, i, jv) = kAttentionScale * sum(c, f32(Q(h, i, c)) * f32(K(h, jv, c)));
  P(h, i, d) += softmax_term(S(h, i, j), V(h, j, d));
  O(h, i, d) = bf16(softmax_value(P(h, i, d)));

  O.bound(d, 0, channels);
  // Head by head, whose keys and values the cache may keep, and long tiles before short ones.
  O.split(i, io, ii, kAttentionBlock)
      .fuse(h, io, tile)
      .gpu_blocks(tile)
      .persistent()
      .tile_order(TileOrder::LongestFirst);
  P.compute_at(O, tile);
  P.update()
      .pit_tile(jt, {.axis = j,
                     .micro = {{i, kAttentionBlock}, {j, kAttentionBlock}},
                     .dense = {{j, kAttentionBlock}}})
      .warp_specialize({});
  S.compute_at(P, jt);
  return Pipeline({O}, {}, "block_attention");
}

Pipeline gated_experts(int slots) {
  Var t("t"), s("s"), f("f"), d("d"), ts("ts"), up("up"), down("down");
  RVar co("co"), ci("ci"), ro("ro"), ri("ri");
  TensorParam X(bfloat16, 2, "X"), id(int32, 2, "id"), weight(float32, 2, "weight"),
      W1(bfloat16, 3, "W1"), W3(bfloat16, 3, "W3"), W2(bfloat16, 3, "W2");
  RDom c(0, X.extent(1), "c"), r(0, W1.extent(2), "r"), u(0, slots, "u");
  Func GU("GU"), H("H"), Acc("Acc"), Dn("Dn"), Y("Y"), Out("Out");
  GU(t, s, f) = Tuple(0.f, 0.f);
  GU(t, s, f) +=
      Tuple(f32(X(t, c)) * f32(W1(id(t, s), c, f)), f32(X(t, c)) * f32(W3(id(t, s), c, f)));
  H(t, s, f) = bf16(silu(GU(t, s, f)[0]) * GU(t, s, f)[1]);
  Acc(t, s, d) += f32(H(t, s, r)) * f32(W2(id(t, s), r, d));
  Dn(t, s, d) = bf16(Acc(t, s, d));
  Y(t, d) += weight(t, u) * f32(Dn(t, u, d));
  Out(t, d) = bf16(Y(t, d));

  // The tokens of one expert come together and stay so until their results are added. All of them
  // are multiplied by some columns of its matrices before these are by others: each is then read
  // from memory once.
  SparseIndex by_expert =
      H.fuse(t, s, ts).index({.axis = ts, .group = id(t, s)}).named("by_expert");
  H.pit_tile(up, {.dense = {{ts, kRows}, {f, kColumns / 2}}, .index = by_expert})
      .persistent()
      .tile_order(TileOrder::ColumnMajor);
  H.store_compact(by_expert);
  GU.compute_at(H, up);
  GU.update().split(c, co, ci, kStep).warp_specialize({});
  Dn.fuse(t, s, ts)
      .pit_tile(down, {.dense = {{ts, kRows}, {d, kColumns}}, .index = by_expert})
      .persistent()
      .tile_order(TileOrder::ColumnMajor);
  Dn.store_compact(by_expert);
  Acc.compute_at(Dn, down);
  Acc.update().split(r, ro, ri, kStep).warp_specialize({});
  // A thread adds up an element of the result in registers.
  Out.gpu_blocks(t).gpu_threads(d);
  Y.compute_at(Out, d);
  return Pipeline({Out}, {}, "gated_experts");
}

Pipeline switch_experts() {
  Var t("t"), f("f"), d("d"), up("up"), down("down");
  RVar co("co"), ci("ci"), ro("ro"), ri("ri");
  TensorParam X(bfloat16, 2, "X"), id(int32, 1, "id"), weight(float32, 1, "weight"),
      W1(bfloat16, 3, "W1"), W2(bfloat16, 3, "W2");
  RDom c(0, X.extent(1), "c"), r(0, W1.extent(2), "r");
  Func Up("Up"), H("H"), Down("Down"), Out("Out");
  Up(t, f) += f32(X(t, c)) * f32(W1(id(t), c, f));
  H(t, f) = bf16(max(Up(t, f), 0));
  Down(t, d) += f32(H(t, r)) * f32(W2(id(t), r, d));
  Out(t, d) = bf16(weight(t) * Down(t, d));

  // An expert has few tokens; tiles of more rows would be mostly empty.
  constexpr std::int64_t kFewRows = 64;
  SparseIndex by_expert = H.index({.axis = t, .group = id(t)}).named("by_expert");
  H.pit_tile(up, {.dense = {{t, kFewRows}, {f, kColumns}}, .index = by_expert}).persistent();
  Out.pit_tile(down, {.dense = {{t, kFewRows}, {d, kColumns}}, .index = by_expert}).persistent();
  H.store_compact(by_expert);
  Up.compute_at(H, up);
  Down.compute_at(Out, down);
  Up.update().split(c, co, ci, kStep).warp_specialize({});
  Down.update().split(r, ro, ri, kStep).warp_specialize({});
  return Pipeline({Out}, {}, "switch_experts");
}

Pipeline indexed_sum(const Micro &micro, bool ordered) {
  Var m("m"), kt("kt");
  TensorParam A(bfloat16, 2, "A");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func Out("Out");
  Out(m) += f32(A(m, k));

  SparseIndex live = Out.update()
                         .index({.axis = k, .micro = {{m, micro.rows}, {k, micro.columns}}})
                         .named(kTimedIndex);
  if (!ordered) live.unordered();
  Out.update().pit_tile(kt, {.dense = {{k, std::max(kStep, micro.columns)}}, .index = live});
  return Pipeline({Out}, {}, name_of_sum(ordered));
}

Pipeline routed_rows(bool ordered) {
  Var t("t"), tile("tile");
  TensorParam X(float32, 1, "X"), W(float32, 1, "W"), id(int32, 1, "id");
  Func Out("Out");
  Out(t) = X(t) * W(id(t));

  SparseIndex live = Out.index({.axis = t, .group = id(t)}).named(kTimedIndex);
  if (!ordered) live.unordered();
  Out.pit_tile(tile, {.dense = {{t, 256}}, .index = live});
  return Pipeline({Out}, {}, ordered ? "routed_rows" : "unordered_rows");
}

std::string index_kernels(const Pipeline &pipeline) {
  return "pit_" + pipeline.name() + "_" + kTimedIndex + "_";
}

}  // namespace pit::bench::cuda
