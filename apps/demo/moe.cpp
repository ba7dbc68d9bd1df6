// A mixture of experts: the gate decides in every call which expert computes which token.
#include "operators.h"

namespace pit::demo {

Pipeline sparse_moe(Type type, int slots, const Target &target) {
  Var t("t"), s("s"), f("f"), d("d"), ev("ev"), ts("ts"), up("up"), down("down"), to("to"),
      ti("ti");
  TensorParam X(type, 2, "X"), Wg(type, 2, "Wg"), W1(type, 3, "W1"), W3(type, 3, "W3"),
      W2(type, 3, "W2");
  RDom c(0, X.extent(1), "c"), e(0, Wg.extent(1), "e"), r(0, W1.extent(2), "r"), u(0, slots, "u");

  Func logit("logit"), route("route"), weight("weight");
  logit(t, ev) += f32(X(t, c)) * f32(Wg(c, ev));
  route(t, s) = top_k(e, logit(t, e), s);  // (logit, expert) of slot s
  weight(t, s) = exp(route(t, s)[0] - route(t, 0)[0]) / sum(e, exp(logit(t, e) - route(t, 0)[0]));
  auto expert = [&](const Expr &token, const Expr &slot) { return route(token, slot)[1]; };

  Func GU("GU"), H("H"), Acc("Acc"), Dn("Dn"), Y("Y"), Out("Out");
  GU(t, s, f) = Tuple(0.f, 0.f);
  GU(t, s, f) +=
      Tuple(f32(X(t, c)) * f32(W1(expert(t, s), c, f)), f32(X(t, c)) * f32(W3(expert(t, s), c, f)));
  H(t, s, f) = cast(type, silu(GU(t, s, f)[0]) * GU(t, s, f)[1]);
  Acc(t, s, d) += f32(H(t, s, r)) * f32(W2(expert(t, s), r, d));
  Dn(t, s, d) = cast(type, Acc(t, s, d));
  Y(t, d) += weight(t, u) * f32(Dn(t, u, d));
  Out(t, d) = cast(type, Y(t, d));

  // The tokens of one expert come together, 128 at a time, and stay so between the two matrices.
  SparseIndex by_expert =
      H.fuse(t, s, ts).index({.axis = ts, .group = expert(t, s)}).named("by_expert");
  const std::int64_t of_two = TileSizes(type, target, 2).columns,
                     of_one = TileSizes(type, target).columns;
  H.pit_tile(up, {.dense = {{ts, 128}, {f, of_two}}, .index = by_expert});
  Dn.fuse(t, s, ts).pit_tile(down, {.dense = {{ts, 128}, {d, of_one}}, .index = by_expert});
  H.store_compact(by_expert);
  Dn.store_compact(by_expert);
  GU.compute_at(H, up);
  Acc.compute_at(Dn, down);
  logit.update().split(t, to, ti, 64).parallel(to).vectorize(ti).vectorize(ev);
  weight.compute_root();
  Out.split(t, to, ti, 64).parallel(to);
  Y.compute_at(Out, to);
  return Pipeline({Out}, {}, "sparse_moe");
}

Pipeline dense_moe(Type type, int slots, const Target &target) {
  Var t("t"), s("s"), f("f"), d("d"), ev("ev"), to("to"), ti("ti"), fo("fo"), fi("fi"), dt("dt"),
      di("di");
  TensorParam X(type, 2, "X"), Wg(type, 2, "Wg"), W1(type, 3, "W1"), W3(type, 3, "W3"),
      W2(type, 3, "W2");
  RDom c(0, X.extent(1), "c"), e(0, Wg.extent(1), "e"), r(0, W1.extent(2), "r"), u(0, slots, "u");

  Func logit("logit"), route("route"), weight("weight"), chosen("chosen");
  logit(t, ev) += f32(X(t, c)) * f32(Wg(c, ev));
  route(t, s) = top_k(e, logit(t, e), s);
  weight(t, s) = exp(route(t, s)[0] - route(t, 0)[0]) / sum(e, exp(logit(t, e) - route(t, 0)[0]));
  chosen(t, ev) = sum(u, select(route(t, u)[1] == ev, weight(t, u), 0.f));

  Func GU("GU"), H("H"), Acc("Acc"), Dn("Dn"), Y("Y"), Out("Out");
  GU(ev, t, f) = Tuple(0.f, 0.f);
  GU(ev, t, f) += Tuple(f32(X(t, c)) * f32(W1(ev, c, f)), f32(X(t, c)) * f32(W3(ev, c, f)));
  H(ev, t, f) = cast(type, silu(GU(ev, t, f)[0]) * GU(ev, t, f)[1]);
  Acc(ev, t, d) += f32(H(ev, t, r)) * f32(W2(ev, r, d));
  Dn(ev, t, d) = cast(type, Acc(ev, t, d));
  Y(t, d) += chosen(t, e) * f32(Dn(e, t, d));
  Out(t, d) = cast(type, Y(t, d));

  logit.update().split(t, to, ti, 64).parallel(to).vectorize(ti).vectorize(ev);
  weight.compute_root();
  chosen.compute_root();
  const TileSizes two(type, target, 2), one(type, target);
  H.compute_root()
      .tile(t, f, to, fo, ti, fi, two.rows, two.columns)
      .parallel(ev)
      .parallel(to)
      .parallel(fo);
  Dn.compute_root()
      .tile(t, d, to, dt, ti, di, one.rows, one.columns)
      .parallel(ev)
      .parallel(to)
      .parallel(dt);
  GU.compute_at(H, fo);
  Acc.compute_at(Dn, dt);
  Out.split(t, to, ti, 64).parallel(to);
  Y.compute_at(Out, to);
  return Pipeline({Out}, {}, "dense_moe");
}

}  // namespace pit::demo
