// Sparse times dense: which elements of A are zero is found in every call.
#include "operators.h"

namespace pit::demo {

Pipeline sparse_matmul(Type type, std::int64_t micro_rows, std::int64_t micro_columns,
                       const Target &target) {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni"), kt("kt");
  TensorParam A(type, 2, "A"), B(type, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), Out("Out");
  C(m, n) += f32(A(m, k)) * f32(B(k, n));
  Out(m, n) = cast(type, C(m, n));

  // A strip of micro_rows rows has one list of its columns that are not all zero. The columns come
  // together 64 at a time, to be multiplied as if they were neighbours.
  SparseIndex live =
      C.update().index({.axis = k, .micro = {{m, micro_rows}, {k, micro_columns}}}).named("live");
  Out.tile(m, n, mo, no, mi, ni, micro_rows, TileSizes(type, target).columns)
      .parallel(mo)
      .parallel(no);
  C.compute_at(Out, no);
  C.update().pit_tile(kt, {.dense = {{k, 64}}, .index = live});
  return Pipeline({Out}, {}, "sparse_matmul");
}

Pipeline dense_matmul(Type type, const Target &target) {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni");
  TensorParam A(type, 2, "A"), B(type, 2, "B");
  RDom k(0, A.extent(1), "k");
  Func C("C"), Out("Out");
  C(m, n) += f32(A(m, k)) * f32(B(k, n));
  Out(m, n) = cast(type, C(m, n));

  const TileSizes tile(type, target);
  Out.tile(m, n, mo, no, mi, ni, tile.rows, tile.columns).parallel(mo).parallel(no);
  C.compute_at(Out, no);
  return Pipeline({Out}, {}, "dense_matmul");
}

}  // namespace pit::demo
