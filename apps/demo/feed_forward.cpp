// The feed-forward half of a transformer layer: how long the sentences are is known at the call.
#include "operators.h"

namespace pit::demo {

Pipeline sparse_feed_forward(Type type, const Target &target) {
  Var b("b"), t("t"), d("d"), f("f"), bt("bt"), one("one"), two("two");
  TensorParam X(type, 3, "X"), W1(type, 2, "W1"), W2(type, 2, "W2"), b1(float32, 1, "b1"),
      b2(float32, 1, "b2"), len(int32, 1, "len");
  RDom c(0, X.extent(2), "c"), r(0, W1.extent(1), "r"), q(0, X.extent(2), "q");
  Func mean("mean"), variance("variance"), norm("norm"), A1("A1"), H("H"), A2("A2"), Out("Out");
  mean(b, t) += f32(X(b, t, q)) / f32(X.extent(2));
  Expr centred = f32(X(b, t, q)) - mean(b, t);
  variance(b, t) += centred * centred / f32(X.extent(2));
  norm(b, t, d) = cast(type, (f32(X(b, t, d)) - mean(b, t)) * rsqrt(variance(b, t) + 1e-5f));
  A1(b, t, f) += f32(norm(b, t, c)) * f32(W1(c, f));
  H(b, t, f) = cast(type, gelu(A1(b, t, f) + b1(f)));
  A2(b, t, d) += f32(H(b, t, r)) * f32(W2(r, d));
  Out(b, t, d) = cast(type, A2(b, t, d) + b2(d) + f32(X(b, t, d)));
  Out.where(t < len(b));  // written once: what Out needs is computed only there, too

  // The words of all sentences come together, 128 at a time, and stay so between the two matrices.
  SparseIndex words = Out.fuse(b, t, bt).index({.axis = bt}).named("words");
  const std::int64_t columns = TileSizes(type, target).columns;
  H.fuse(b, t, bt).pit_tile(one, {.dense = {{bt, 128}, {f, columns}}, .index = words});
  H.store_compact(words);
  A1.compute_at(H, one);
  if (target.is_cuda()) norm.compute_root();  // what tensor cores multiply is loaded
  Out.pit_tile(two, {.dense = {{bt, 128}, {d, columns}}, .index = words});
  A2.compute_at(Out, two);
  mean.update().parallel(b);
  variance.update().parallel(b);
  return Pipeline({Out}, {}, "sparse_feed_forward");
}

Pipeline dense_feed_forward(Type type, const Target &target) {
  Var b("b"), t("t"), d("d"), f("f"), bt("bt"), o("o"), i("i"), fo("fo"), fi("fi"), dt("dt"),
      di("di");
  TensorParam X(type, 3, "X"), W1(type, 2, "W1"), W2(type, 2, "W2"), b1(float32, 1, "b1"),
      b2(float32, 1, "b2");
  RDom c(0, X.extent(2), "c"), r(0, W1.extent(1), "r"), q(0, X.extent(2), "q");
  Func mean("mean"), variance("variance"), norm("norm"), A1("A1"), H("H"), A2("A2"), Out("Out");
  mean(b, t) += f32(X(b, t, q)) / f32(X.extent(2));
  Expr centred = f32(X(b, t, q)) - mean(b, t);
  variance(b, t) += centred * centred / f32(X.extent(2));
  norm(b, t, d) = cast(type, (f32(X(b, t, d)) - mean(b, t)) * rsqrt(variance(b, t) + 1e-5f));
  A1(b, t, f) += f32(norm(b, t, c)) * f32(W1(c, f));
  H(b, t, f) = cast(type, gelu(A1(b, t, f) + b1(f)));
  A2(b, t, d) += f32(H(b, t, r)) * f32(W2(r, d));
  Out(b, t, d) = cast(type, A2(b, t, d) + b2(d) + f32(X(b, t, d)));

  norm.compute_root().parallel(b);
  mean.update().parallel(b);
  variance.update().parallel(b);
  const TileSizes tile(type, target);
  H.compute_root()
      .fuse(b, t, bt)
      .tile(bt, f, o, fo, i, fi, tile.rows, tile.columns)
      .parallel(o)
      .parallel(fo);
  A1.compute_at(H, fo);
  Out.fuse(b, t, bt).tile(bt, d, o, dt, i, di, tile.rows, tile.columns).parallel(o).parallel(dt);
  A2.compute_at(Out, dt);
  return Pipeline({Out}, {}, "dense_feed_forward");
}

}  // namespace pit::demo
