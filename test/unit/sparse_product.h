// A sparse product for the tests of kernels.
#pragma once

#include <cstdint>

#include "test/harness.h"

namespace pit::test {

/// C = A B of the micro-tiles of A that are not zero, `rows` x `columns` each, of which a step
/// takes `step` columns.
inline Pipeline of_micro_tiles(std::int64_t rows, std::int64_t columns, std::int64_t step,
                               TileOrder order = TileOrder::Swizzled) {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni"), kt("kt");
  TensorParam A(bfloat16, 2, "A"), B(bfloat16, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), Y("Y");
  C(m, n) += f32(A(m, k)) * f32(B(k, n));
  Y(m, n) = bf16(C(m, n));
  SparseIndex live =
      C.update().index({.axis = k, .micro = {{m, rows}, {k, columns}}}).named("live");
  Y.tile(m, n, mo, no, mi, ni, rows, 256).gpu_blocks(mo, no).persistent().tile_order(order);
  C.compute_at(Y, no);
  C.update().pit_tile(kt, {.dense = {{k, step}}, .index = live}).warp_specialize({});
  return Pipeline({Y}, {}, "of_micro_tiles");
}

}  // namespace pit::test
