// The order in which a kernel's blocks take its tiles.
#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "codegen/ir/text.h"
#include "codegen/lower/lower.h"
#include "sparse_product.h"
#include "test/filecheck.h"
#include "test/harness.h"

namespace pit::test {
namespace {

const char *const kTarget = "x86-64-linux-cuda-sm_90a";

/// A's strips of `rows` rows hold very different numbers of micro-tiles, some none.
Problem uneven(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t rows,
               std::int64_t columns) {
  std::mt19937 generator(11);
  Problem problem;
  const AnyBuffer a = random_values(bfloat16, {m, k}, generator, true);
  const std::int64_t blocks = (k + columns - 1) / columns;
  auto *element = static_cast<std::uint16_t *>(a.data());
  for (std::int64_t i = 0; i < m; ++i) {
    const std::int64_t kept = i / rows * 5 % (blocks + 1);
    for (std::int64_t j = 0; j < k; ++j) {
      if ((j / columns * 7 + i / rows) % blocks >= kept) element[i * k + j] = 0;
    }
  }
  problem.inputs.emplace("A", a);
  problem.inputs.emplace("B", random_values(bfloat16, {k, n}, generator, true));
  problem.outputs.emplace("Y", Shape{m, n});
  return problem;
}

void check_results(const Pipeline &pipeline, const Problem &problem) {
  const bool device = target_under_test().is_cuda();
  const Comparison result =
      check(pipeline, problem, device ? Engine::Compiled : Engine::CudaTileInterpreter, true);
  CHECK_MESSAGE(result.different == 0, result.first);
}

TEST_CASE("cuda order - a kernel before the product ranks rows by the lengths of their lists") {
  const ir::Module module =
      lower::lower(of_micro_tiles(64, 64, 64, TileOrder::LongestFirst), Target(kTarget));
  CHECK_TEXT(ir::print(module), R"(
    CHECK: heap Y.order: int32[max((Y.extent(0) + 63) / 64, 0)]
    CHECK: launch Y.order threads 256 grid window <
    CHECK: load row: %length[row] = int64(live.counts[window * 256 + row])
    CHECK: reduce row, other: %rank[row] += select(%length[other] > %length[row] || %length[other] == %length[row] && other < row, 1, 0)
    CHECK: swrite row: Y.order[window * 256 + int64(%rank[row])] = int32(window * 256 + row)
    CHECK: launch Y threads
    CHECK: let place: int64 = int64(%place.next[])
    CHECK: let mo: int64 = int64(Y.order[
  )");
}

TEST_CASE("cuda order - results are those of any order") {
  for (const TileOrder order : {TileOrder::RowMajor, TileOrder::LongestFirst}) {
    check_results(of_micro_tiles(64, 64, 64, order), uneven(700, 520, 330, 64, 64));
    check_results(of_micro_tiles(128, 128, 128, order), uneven(1030, 264, 650, 128, 128));
    check_results(of_micro_tiles(64, 64, 64, order), uneven(60, 40, 50, 64, 64));
  }
}

TEST_CASE("cuda order - rows beyond a window are ranked among themselves") {
  // Kernels whose blocks have one tile each take them in the order, too.
  check_results(of_micro_tiles(16, 16, 16, TileOrder::LongestFirst),
                uneven(16 * 260, 8, 64, 16, 16));
}

TEST_CASE("cuda order - where all rows take as many steps they stay as they are") {
  Var i("i"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W");
  RDom k(0, X.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(W(k, n));
  Y(i, n) = bf16(C(i, n));
  Y.tile(i, n, mo, no, mi, ni, 128, 256).gpu_blocks(mo, no).tile_order(TileOrder::LongestFirst);
  C.compute_at(Y, no);
  C.update().split(k, ko, ki, 64).warp_specialize({});
  const std::string text = ir::print(lower::lower(Pipeline({Y}, {}, "dense"), Target(kTarget)));
  CHECK(text.find("order") == std::string::npos);
}

}  // namespace
}  // namespace pit::test
