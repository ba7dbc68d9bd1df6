#include "operators.h"

namespace pit::bench {

namespace {

Type sum_type(Type type) { return type.is_float() ? float32 : int32; }
Type output_type(Type type) { return type.is_float() ? type : int32; }

}  // namespace

Pipeline dense_product(Type type) {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni");
  TensorParam A(type, 2, "A"), B(type, 2, "B");
  RDom k(0, A.extent(1), "k");
  Func C("C"), Out("Out");
  C(m, n) += cast(sum_type(type), A(m, k)) * cast(sum_type(type), B(k, n));
  Out(m, n) = cast(output_type(type), C(m, n));

  Out.tile(m, n, mo, no, mi, ni, 256, 256).parallel(mo).parallel(no);
  C.compute_at(Out, no);
  return Pipeline({Out}, {}, "dense_product");
}

Pipeline sparse_product(std::int64_t micro_rows, std::int64_t micro_columns,
                        const std::string &name) {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni"), mt("mt"), kt("kt");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), Out("Out");
  C(m, n) += A(m, k) * B(k, n);
  Out(m, n) = C(m, n);

  if (micro_rows == 1 && micro_columns > 1) {
    // Flat micro-tiles: of micro_columns columns the rows that are not zero come together, so that
    // they share the rows of B. Their sums are scattered.
    C.update().pit_tile(
        mt, {.axis = m, .micro = {{m, 1}, {k, micro_columns}}, .dense = {{m, 128}, {n, 256}}});
    return Pipeline({C}, {}, name);
  }
  Out.tile(m, n, mo, no, mi, ni, micro_rows, 256).parallel(mo).parallel(no);
  C.compute_at(Out, no);
  C.update().pit_tile(
      kt, {.axis = k, .micro = {{m, micro_rows}, {k, micro_columns}}, .dense = {{k, 64}}});
  return Pipeline({Out}, {}, name);
}

Pipeline routed_feed_forward() {
  Var t("t"), f("f"), d("d"), up("up"), down("down");
  TensorParam X(float32, 2, "X"), id(int32, 1, "id"), W1(float32, 3, "W1"), W2(float32, 3, "W2");
  RDom c(0, X.extent(1), "c"), r(0, W1.extent(2), "r");
  Func Up("Up"), H("H"), Down("Down"), Out("Out");
  Up(t, f) += X(t, c) * W1(id(t), c, f);
  H(t, f) = max(Up(t, f), 0);
  Down(t, d) += H(t, r) * W2(id(t), r, d);
  Out(t, d) = Down(t, d);

  // The tokens of one expert come together, and stay so between the two matrices.
  SparseIndex by_expert = H.index({.axis = t, .group = id(t)}).named("by_expert");
  H.pit_tile(up, {.dense = {{t, 128}, {f, 256}}, .index = by_expert});
  Out.pit_tile(down, {.dense = {{t, 128}, {d, 256}}, .index = by_expert});
  H.store_compact(by_expert);
  Up.compute_at(H, up);
  Down.compute_at(Out, down);
  return Pipeline({Out}, {}, "routed_feed_forward");
}

Pipeline copy_elements() {
  Var i("i");
  TensorParam A(float32, 1, "A");
  Func Out("Out");
  Out(i) = A(i);
  return Pipeline({Out}, {}, "copy_elements");
}

}  // namespace pit::bench
