// The eight programs that fix the language by example (the seventh with two schedules). Each is
// built with or without its schedule, so that tests compare the two, and of any element type.
#pragma once

#include <pit/pipeline.h>

#include <string>
#include <vector>

namespace pit::test {

struct Program {
  std::string name;
  Pipeline (*build_as)(bool scheduled, Type type);
  Type type;  ///< that it is written with

  Pipeline build(bool scheduled) const { return build_as(scheduled, type); }
};

/// C = A B with zeros of A skipped along k; bias and ReLU in the consumer.
inline Pipeline build_spmm(bool scheduled, Type type) {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni"), kt("kt");
  TensorParam A(type, 2, "A"), B(type, 2, "B"), bias(float32, 1, "bias");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), Out("Out");
  C(m, n) += f32(A(m, k)) * f32(B(k, n));
  Out(m, n) = cast(type, max(C(m, n) + bias(n), 0));
  if (scheduled) {
    SparseIndex live = C.update().index({.axis = k, .micro = {{m, 128}, {k, 1}}}).named("live");
    live.store_values(A);
    Out.tile(m, n, mo, no, mi, ni, 128, 256).gpu_blocks(mo, no).persistent();
    C.compute_at(Out, no);
    C.update()
        .pit_tile(kt, {.dense = {{k, 64}}, .index = live})
        .software_pipeline(kt, 3)
        .warp_specialize({});
  }
  return Pipeline({Out}, {}, "spmm");
}

/// Mixture of experts: top-2 routing, SwiGLU, two matmuls in expert order, combine through the
/// inverse index.
inline Pipeline build_moe(bool scheduled, Type type) {
  Var t("t"), s("s"), f("f"), d("d"), ev("e"), ts("ts"), up("up"), down("down");
  TensorParam X(type, 2, "X"), Wg(type, 2, "Wg"), W1(type, 3, "W1"), W3(type, 3, "W3"),
      W2(type, 3, "W2");
  RDom c(0, X.extent(1), "c"), e(0, Wg.extent(1), "e"), r(0, W1.extent(2), "r"), u(0, 2, "u");

  Func logit("logit"), route("route"), prob("prob");
  logit(t, ev) += f32(X(t, c)) * f32(Wg(c, ev));
  route(t, s) = top_k(e, logit(t, e), s);
  prob(t, s) = exp(route(t, s)[0] - route(t, 0)[0]) / sum(u, exp(route(t, u)[0] - route(t, 0)[0]));
  auto expert = [&](Expr t_, Expr s_) { return route(t_, s_)[1]; };

  Func GU("GU"), H("H"), Acc("Acc"), Dn("Dn"), Y("Y"), Out("Out");
  GU(t, s, f) = Tuple(0.f, 0.f);
  GU(t, s, f) +=
      Tuple(f32(X(t, c)) * f32(W1(expert(t, s), c, f)), f32(X(t, c)) * f32(W3(expert(t, s), c, f)));
  H(t, s, f) = cast(type, silu(GU(t, s, f)[0]) * GU(t, s, f)[1]);
  Acc(t, s, d) += f32(H(t, s, r)) * f32(W2(expert(t, s), r, d));
  Dn(t, s, d) = cast(type, Acc(t, s, d));
  Y(t, d) += prob(t, u) * f32(Dn(t, u, d));
  Out(t, d) = cast(type, Y(t, d));
  if (scheduled) {
    Var xo("xo"), xi("xi"), ro("ro"), ri("ri");
    H.fuse(t, s, ts);
    SparseIndex by_expert = H.index({.axis = ts, .group = expert(t, s)}).named("by_expert");
    H.pit_tile(up, {.dense = {{ts, 128}, {f, 128}}, .index = by_expert})
        .cluster({{ts, 2}})
        .persistent();
    H.store_compact(by_expert);
    GU.compute_at(H, up);
    GU.update()
        .split(c, xo, xi, 64)
        .sread(X, {.vector_bytes = 16})
        .software_pipeline(xo, 3)
        .warp_specialize({.producer_warps = 4, .consumer_warpgroups = 2});
    Dn.fuse(t, s, ts)
        .pit_tile(down, {.dense = {{ts, 128}, {d, 256}}, .index = by_expert})
        .persistent();
    Dn.store_compact(by_expert);
    Acc.compute_at(Dn, down);
    Acc.update().split(r, ro, ri, 64).software_pipeline(ro, 3).warp_specialize({});
    Out.gpu_blocks(t).gpu_threads(d);
  }
  return Pipeline({Out}, {}, "moe");
}

/// The feed-forward half of an encoder layer on sentences of different lengths.
inline Pipeline build_encoder(bool scheduled, Type type) {
  Var b("b"), t("t"), d("d"), f("f"), bt("bt"), one("one"), two("two");
  TensorParam X(type, 3, "X"), W1(type, 2, "W1"), W2(type, 2, "W2"), b1(float32, 1, "b1"),
      b2(float32, 1, "b2"), len(int32, 1, "len");
  RDom c(0, X.extent(2), "c"), r(0, W1.extent(1), "r"), q(0, X.extent(2), "q");
  Func mean("mean"), A1("A1"), H("H"), A2("A2"), Out("Out");
  mean(b, t) += f32(X(b, t, q)) / 768;
  A1(b, t, f) += (f32(X(b, t, c)) - mean(b, t)) * f32(W1(c, f));
  H(b, t, f) = cast(type, gelu(A1(b, t, f) + b1(f)));
  A2(b, t, d) += f32(H(b, t, r)) * f32(W2(r, d));
  Out(b, t, d) = cast(type, A2(b, t, d) + b2(d) + f32(X(b, t, d)));
  Out.where(t < len(b));
  if (scheduled) {
    Out.fuse(b, t, bt);
    SparseIndex tokens = Out.index({.axis = bt}).named("tokens");
    H.fuse(b, t, bt).pit_tile(one, {.dense = {{bt, 128}, {f, 256}}, .index = tokens});
    H.store_compact(tokens);
    A1.compute_at(H, one);
    Out.pit_tile(two, {.dense = {{bt, 128}, {d, 256}}, .index = tokens});
    A2.compute_at(Out, two);
  }
  return Pipeline({Out}, {}, "encoder");
}

/// Block-sparse attention, a mask per head, causal, with log-sum-exp.
inline Pipeline build_block_attention(bool scheduled, Type type) {
  Var h("h"), i("i"), d("d"), jv("jv"), io("io"), ii("ii"), jt("jt");
  TensorParam Q(type, 3, "Q"), K(type, 3, "K"), V(type, 3, "V"), mask(uint8, 3, "mask");
  Param<float> scale("scale");
  RDom j(0, K.extent(1), "j"), c(0, Q.extent(2), "c");
  j.where(mask(h, i / 64, j / 64) != 0);
  j.where(j <= i);
  Func S("S"), P("P"), O("O"), L("L");
  S(h, i, jv) = scale * sum(c, f32(Q(h, i, c)) * f32(K(h / 4, jv, c)));
  P(h, i, d) += softmax_term(S(h, i, j), f32(V(h / 4, j, d)));
  O(h, i, d) = cast(type, softmax_value(P(h, i, d)));
  L(h, i) = log_sum_exp(P(h, i, 0));
  if (scheduled) {
    O.split(i, io, ii, 128).gpu_blocks(h, io);
    P.compute_at(O, io);
    P.update()
        .pit_tile(jt, {.axis = j, .micro = {{i, 128}, {j, 64}}, .dense = {{j, 128}}})
        .software_pipeline(jt, 2)
        .warp_specialize({});
    S.compute_at(P, jt);
    L.compute_with(O, io);
  }
  return Pipeline({O, L}, {}, "block_attention");
}

/// Vertical-slash attention: ranges of 64 keys at any start, and single keys, from four index
/// tensors.
inline Pipeline build_vertical_slash_attention(bool scheduled, Type type) {
  Var h("h"), i("i"), d("d"), jv("jv"), io("io"), ii("ii"), bt("bt"), ct("ct");
  TensorParam Q(type, 3, "Q"), K(type, 3, "K"), V(type, 3, "V");
  TensorParam nb(int32, 2, "block_count"), ob(int32, 3, "block_offset"),
      nc(int32, 2, "column_count"), oc(int32, 3, "column_index");
  Param<float> scale("scale");
  RDom blk(0, nb(h, i / 64), 0, 64, "blk"), col(0, nc(h, i / 64), "col"), c(0, Q.extent(2), "c");
  Expr jb = ob(h, i / 64, blk.x) + blk.y, jc = oc(h, i / 64, col);
  blk.where(jb <= i);
  Func S("S"), P("P"), O("O");
  S(h, i, jv) = scale * sum(c, f32(Q(h, i, c)) * f32(K(h, jv, c)));
  P(h, i, d) += softmax_term(S(h, i, jb), f32(V(h, jb, d)));
  P(h, i, d) += softmax_term(S(h, i, jc), f32(V(h, jc, d)));
  O(h, i, d) = cast(type, softmax_value(P(h, i, d)));
  if (scheduled) {
    O.split(i, io, ii, 64).gpu_blocks(h, io);
    P.compute_at(O, io);
    P.update(0)
        .pit_tile(bt, {.axis = blk.x, .micro = {{i, 64}, {blk.x, 1}}, .dense = {{blk.x, 2}}})
        .software_pipeline(bt, 2);
    P.update(1)
        .pit_tile(ct, {.axis = col, .micro = {{i, 64}, {col, 1}}, .dense = {{col, 128}}})
        .software_pipeline(ct, 2);
    S.compute_at(P, bt);
  }
  return Pipeline({O}, {}, "vertical_slash_attention");
}

/// S = (A B^T) at the blocks of a mask; scheduled, the result is stored as block CSR and the index
/// is an output.
inline Pipeline build_sddmm(bool scheduled, Type type) {
  Var i("i"), j("j"), st("st");
  TensorParam A(type, 2, "A"), B(type, 2, "B"), mask(uint8, 2, "mask");
  RDom c(0, A.extent(1), "c");
  Func Acc("Acc"), S("S");
  Acc(i, j) += f32(A(i, c)) * f32(B(j, c));
  S(i, j) = cast(type, Acc(i, j));
  S.where(mask(i / 32, j / 32) != 0);
  if (!scheduled) return Pipeline({S}, {}, "sddmm");

  SparseIndex strips = S.index({.axis = j, .micro = {{i, 128}, {j, 32}}}).named("strips");
  SparseIndex blocks = S.index({.axis = j, .micro = {{i, 32}, {j, 32}}}).named("blocks");
  S.pit_tile(st, {.dense = {{i, 128}, {j, 256}}, .index = strips});
  S.store_compact(blocks);
  Acc.compute_at(S, st);
  return Pipeline({S}, {blocks}, "sddmm");
}

/// Sparse convolution by neighbour table, output-stationary: absent neighbours are zero-filled
/// rows.
inline Pipeline build_convolution(bool scheduled, Type type) {
  Var p("p"), co("co"), po("po"), cb("cb"), pi("pi"), cc("cc"), ot("ot");
  TensorParam X(type, 2, "X"), W(type, 3, "W"), nbr(int32, 2, "nbr");
  RDom o(0, W.extent(0), "o"), ci(0, X.extent(1), "ci");
  o.where(nbr(p, o) >= 0);
  Func Z("Z"), Out("Out");
  Z(p, co) += f32(X(nbr(p, o), ci)) * f32(W(o, ci, co));
  Out(p, co) = max(Z(p, co), 0);
  if (scheduled) {
    Out.tile(p, co, po, cb, pi, cc, 128, 64).gpu_blocks(po, cb);
    Z.compute_at(Out, cb);
    Z.update().pit_tile(ot, {.axis = o, .micro = {{p, 128}, {o, 1}}, .dense = {{o, 1}, {ci, 64}}});
  }
  return Pipeline({Out}, {}, "convolution");
}

/// The same sum as gather, matmul, scatter-add: one offset a group.
inline Pipeline build_scatter_convolution(bool scheduled, Type type) {
  Var p("p"), co("co"), gt("gt");
  TensorParam X(type, 2, "X"), W(type, 3, "W"), nbr(int32, 2, "nbr");
  RDom o(0, W.extent(0), "o"), ci(0, X.extent(1), "ci");
  o.where(nbr(p, o) >= 0);
  Func Z("Z");
  Z(p, co) += f32(X(nbr(p, o), ci)) * f32(W(o, ci, co));
  if (scheduled) {
    Z.compute_root();
    Z.update()
        .pit_tile(gt, {.axis = p, .group = o, .dense = {{p, 128}, {co, 64}, {ci, 64}}})
        .sread(X)
        .swrite(Z)
        .atomic();
  }
  return Pipeline({Z}, {}, "scatter_convolution");
}

/// The feed-forward half of an OPT layer with ReLU, the index marked in the producer's epilogue.
inline Pipeline build_opt(bool scheduled, Type type) {
  Var t("t"), f("f"), d("d"), to("to"), fo("fo"), ti("ti"), fi("fi"), tt("tt"), dt("dt"), t2("t2"),
      d2("d2"), ft("ft");
  TensorParam X(type, 2, "X"), W1(type, 2, "W1"), W2(type, 2, "W2"), b1(float32, 1, "b1");
  RDom c(0, X.extent(1), "c"), r(0, W2.extent(0), "r");
  Func A1("A1"), H("H"), A2("A2"), Y("Y");
  A1(t, f) += f32(X(t, c)) * f32(W1(c, f));
  H(t, f) = cast(type, max(A1(t, f) + b1(f), 0));
  r.where(H(t, r) != 0);
  A2(t, d) += f32(H(t, r)) * f32(W2(r, d));
  Y(t, d) = cast(type, A2(t, d));
  if (scheduled) {
    H.tile(t, f, to, fo, ti, fi, 128, 256).gpu_blocks(to, fo);
    H.compute_root().reorder_storage({f, t});
    A1.compute_at(H, fo);
    SparseIndex active = A2.update().index({.axis = r, .micro = {{t, 64}, {r, 1}}}).named("active");
    active.compute_at(H, fo);
    Y.tile(t, d, tt, dt, t2, d2, 64, 256).gpu_blocks(tt, dt);
    A2.compute_at(Y, dt);
    A2.update().pit_tile(ft, {.dense = {{r, 64}}, .index = active}).software_pipeline(ft, 4);
  }
  return Pipeline({Y}, {}, "opt");
}

// With the type that they are written with.
inline Pipeline build_spmm(bool scheduled) { return build_spmm(scheduled, bfloat16); }
inline Pipeline build_moe(bool scheduled) { return build_moe(scheduled, bfloat16); }
inline Pipeline build_encoder(bool scheduled) { return build_encoder(scheduled, bfloat16); }
inline Pipeline build_block_attention(bool scheduled) {
  return build_block_attention(scheduled, bfloat16);
}
inline Pipeline build_vertical_slash_attention(bool scheduled) {
  return build_vertical_slash_attention(scheduled, bfloat16);
}
inline Pipeline build_sddmm(bool scheduled) { return build_sddmm(scheduled, bfloat16); }
inline Pipeline build_convolution(bool scheduled) { return build_convolution(scheduled, float16); }
inline Pipeline build_scatter_convolution(bool scheduled) {
  return build_scatter_convolution(scheduled, float16);
}
inline Pipeline build_opt(bool scheduled) { return build_opt(scheduled, bfloat16); }

inline std::vector<Program> programs() {
  return {{"spmm", build_spmm, bfloat16},
          {"moe", build_moe, bfloat16},
          {"encoder", build_encoder, bfloat16},
          {"block_attention", build_block_attention, bfloat16},
          {"vertical_slash_attention", build_vertical_slash_attention, bfloat16},
          {"sddmm", build_sddmm, bfloat16},
          {"convolution", build_convolution, float16},
          {"scatter_convolution", build_scatter_convolution, float16},
          {"opt", build_opt, bfloat16}};
}

}  // namespace pit::test
