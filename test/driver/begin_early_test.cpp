// Kernels of compiled operators that begin while the one before them ends, and those that do not.
// See fake_cuda.h.

#include <doctest/doctest.h>
#include <pit/pit.h>

#include <array>
#include <map>
#include <string>

#include "test/driver/child.h"

using namespace pit;       // NOLINT: the language's words
using namespace pit_test;  // NOLINT: the test's own words

namespace {

constexpr std::int64_t kRows = 128, kColumns = 256, kStep = 64;

/// Out = (X W1) W2 in bfloat16, by two persistent kernels of tiles of kRows x kColumns.
Pipeline two_products() {
  Var m("m"), f("f"), n("n");
  TensorParam X(bfloat16, 2, "X"), W1(bfloat16, 2, "W1"), W2(bfloat16, 2, "W2");
  RDom c(0, X.extent(1), "c"), r(0, W1.extent(1), "r");
  Func Up("Up"), H("H"), Down("Down"), Out("Out");
  Up(m, f) += f32(X(m, c)) * f32(W1(c, f));
  H(m, f) = bf16(Up(m, f));
  Down(m, n) += f32(H(m, r)) * f32(W2(r, n));
  Out(m, n) = bf16(Down(m, n));
  const auto schedule = [](Func &result, Func &sum, const Var &row, const Var &column,
                           const RVar &k) {
    Var ro("ro"), co("co"), ri("ri"), ci("ci");
    RVar ko("ko"), ki("ki");
    result.tile(row, column, ro, co, ri, ci, kRows, kColumns).gpu_blocks(ro, co).persistent();
    sum.compute_at(result, co);
    sum.update().split(k, ko, ki, kStep).warp_specialize({});
  };
  H.compute_root();
  schedule(H, Up, m, f, c);
  schedule(Out, Down, m, n, r);
  return Pipeline({Out}, {}, "two_products");
}

std::map<std::string, bool> overlaps_of_kernel;

/// Which of the kernels may begin early, of a call with so many rows.
void call_with(const Callable &operator_of_rows, std::int64_t rows) {
  overlaps_of_kernel.clear();
  fake().run = [](const fake_launch_record *launch) {
    overlaps_of_kernel[launch->kernel] = launch->overlaps != 0;
  };
  std::array<std::int64_t, 2> tall{rows, kColumns}, square{kColumns, kColumns};
  std::vector<AnyBuffer> buffers;
  for (auto *shape : {&tall, &square, &square, &tall}) {
    const auto elements = static_cast<std::size_t>((*shape)[0] * (*shape)[1]);
    DLTensor tensor{.data = allocate(2 * elements, FAKE_MEMORY_DEVICE, 0),
                    .device = {kDLCUDA, 0},
                    .ndim = 2,
                    .dtype = {kDLBfloat, 16, 1},
                    .shape = shape->data()};
    buffers.push_back(AnyBuffer::from_dlpack(&tensor));
  }
  operator_of_rows(buffers[0], buffers[1], buffers[2], buffers[3]);
}

}  // namespace

TEST_CASE("a persistent kernel of many turns begins when the one before it has ended") {
  CHECK(in_child([] {
          fake().loads_ptx = 1;
          fake().multiprocessors = 2;
          const Callable products = two_products().compile(Target("x86-64-linux-cuda-sm_90a"));
          // The stand-in runs two blocks on each multiprocessor at a time.
          constexpr std::int64_t kBlocks = 4;
          for (const auto &[rows, early] : {std::pair{kRows, true},
                                            {32 * kBlocks * kRows, true},
                                            {33 * kBlocks * kRows, false}}) {
            call_with(products, rows);
            EXPECT(overlaps_of_kernel.size() == 2);
            EXPECT(overlaps_of_kernel.contains("pit_two_products_Out"));
            EXPECT(overlaps_of_kernel["pit_two_products_Out"] == early);
          }
        }) == "");
}
