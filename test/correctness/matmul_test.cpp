// Matrix products whose zeros are found at run time: along k, rows, both factors, batched.
#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

namespace {

/// Out = ReLU(A B + bias), zeros of A skipped.
Pipeline matmul() {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B"), bias(float32, 1, "bias");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C"), Out("Out");
  C(m, n) += A(m, k) * B(k, n);
  Out(m, n) = max(C(m, n) + bias(n), 0);
  return Pipeline({Out}, {}, "matmul");
}

Problem matmul_data(const Size &s, double zeros, bool exact, std::mt19937 &generator) {
  return {{{"A", random_values(float32, {s[0], s[2]}, generator, exact, zeros)},
           {"B", random_values(float32, {s[2], s[1]}, generator, exact)},
           {"bias", random_values(float32, {s[1]}, generator, exact)}},
          {},
          {{"Out", {s[0], s[1]}}}};
}

/// m, n, k.
const std::vector<Size> kSizes = {{0, 2, 3}, {2, 0, 3},    {2, 3, 0},    {1, 1, 1},
                                  {5, 7, 3}, {37, 29, 45}, {64, 32, 64}, {130, 70, 129}};

}  // namespace

TEST_CASE("matmul with zeros skipped along k, for many micro and dense tiles") {
  const auto rule = [](int m, int k, int dense_m, int dense_k) {
    return "C.update(0).pit_tile(kt, axis=k, micro={m:" + std::to_string(m) +
           ", k:" + std::to_string(k) + "}, dense={m:" + std::to_string(dense_m) +
           ", k:" + std::to_string(dense_k) + "})\n";
  };
  check_agreement({matmul(),
                   {"", rule(1, 1, 1, 8), rule(1, 1, 1, 1), rule(32, 1, 32, 16), rule(32, 1, 8, 64),
                    rule(1, 64, 1, 64), rule(64, 64, 64, 64), rule(64, 64, 32, 128),
                    rule(8, 4, 8, 4), rule(128, 1, 128, 64)},
                   sweep(kSizes, matmul_data),
                   every_host()});
}

TEST_CASE("matmul inside tiles of its consumer") {
  check_agreement({matmul(),
                   {"Out.tile(m, n, mo, no, mi, ni, 32, 16)\nC.compute_at(Out, no)\n"
                    "C.update(0).pit_tile(kt, axis=k, micro={m:32, k:1}, dense={k:16})\n",
                    "Out.tile(m, n, mo, no, mi, ni, 8, 32)\nOut.gpu_blocks(mo, "
                    "no)\nOut.persistent()\nC.compute_at(Out, no)\n"
                    "C.update(0).pit_tile(kt, axis=k, micro={m:64, k:8}, dense={m:8, "
                    "k:8})\nC.update(0).software_pipeline(kt, 3)\n",
                    "Out.split(m, mo, mi, 16)\nOut.parallel(mo)\nC.compute_at(Out, mo)\n"
                    "C.update(0).pit_tile(kt, axis=k, micro={m:16, k:4}, dense={n:16, k:32})\n",
                    "live = C.update(0).index(axis=k, micro={m:16, "
                    "k:1}).store_values(A)\nOut.tile(m, n, mo, no, mi, ni, 16, 64)\n"
                    "C.compute_at(Out, no)\nC.update(0).pit_tile(kt, dense={k:16}, "
                    "index=live)\nC.update(0).strict()\n",
                    "C.update(0).pit_tile(kt, axis=k, micro={m:32, k:2}, "
                    "dense={k:32})\nC.update(0).split_reduction(kt, 4)\n",
                    "C.update(0).split(k, ko, ki, 8)\nC.update(0).reorder(ko, m, n, "
                    "ki)\nC.update(0).unroll(ki)\nOut.vectorize(n, 8)\n",
                    "C.update(0).reorder(k, m, n)\nC.update(0).vectorize(n)\n"},
                   sweep(kSizes, matmul_data),
                   every_host()});
}

TEST_CASE("matmul of the rows that a mask keeps") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B"), keep(uint8, 1, "keep");
  RDom k(0, A.extent(1), "k");
  Func C("C"), Out("Out");
  C(m, n) += A(m, k) * B(k, n);
  Out(m, n) = C(m, n) + 1;
  Out.where(keep(m) != 0);
  check_agreement(
      {Pipeline({Out}, {}, "masked_rows"),
       {"", "Out.pit_tile(mt, axis=m, dense={m:32, n:16})\nC.compute_at(Out, mt)\n",
        "Out.pit_tile(mt, axis=m, dense={m:1})\nC.compute_at(Out, mt)\n",
        "Out.pit_tile(mt, axis=m, micro={m:8}, dense={m:16, n:64})\nC.compute_at(Out, "
        "mt)\nC.update(0).split(k, ko, ki, 16)\n",
        "Out.pit_tile(mt, axis=m, micro={m:64}, dense={m:64, n:32})\nC.compute_at(Out, mt)\n",
        "Out.pit_tile(mt, axis=m, dense={m:8, n:8})\n"},
       sweep(kSizes,
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               return {{{"A", random_values(float32, {s[0], s[2]}, generator, exact)},
                        {"B", random_values(float32, {s[2], s[1]}, generator, exact)},
                        {"keep", random_mask(uint8, {s[0]}, generator, zeros)}},
                       {},
                       {{"Out", {s[0], s[1]}}}};
             }),
       every_host()});
}

TEST_CASE("matmul of two sparse factors: the lists are intersected") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0 && B(k, n) != 0);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  check_agreement(
      {Pipeline({C}, {}, "both_sparse"),
       {"", "C.update(0).pit_tile(kt, axis=k, micro={m:16, n:16, k:1}, dense={k:8})\n",
        "C.update(0).pit_tile(kt, axis=k, micro={m:1, n:64, k:1}, dense={k:64})\n",
        "C.update(0).pit_tile(kt, axis=k, micro={m:8, n:4, k:4}, dense={m:8, n:2, k:16})\n",
        "C.update(0).pit_tile(kt, axis=k, micro={m:1, n:1, k:1}, dense={k:4})\n"},
       sweep(kSizes,
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               return {{{"A", random_values(float32, {s[0], s[2]}, generator, exact, zeros)},
                        {"B", random_values(float32, {s[2], s[1]}, generator, exact, zeros)}},
                       {},
                       {{"C", {s[0], s[1]}}}};
             })});
}

TEST_CASE("batched matmul: each batch has its own zeros, or is skipped as a whole") {
  Var b("b"), m("m"), n("n");
  TensorParam A(float32, 3, "A"), B(float32, 3, "B"), keep(boolean, 1, "keep");
  RDom k(0, A.extent(2), "k");
  k.where(A(b, m, k) != 0);
  Func C("C"), Out("Out");
  C(b, m, n) += A(b, m, k) * B(b, k, n);
  Out(b, m, n) = C(b, m, n);
  Out.where(keep(b));
  check_agreement(
      {Pipeline({Out}, {}, "batched"),
       {"", "C.update(0).pit_tile(kt, axis=k, micro={m:8, k:1}, dense={k:16})\n",
        "Out.tile(m, n, mo, no, mi, ni, 16, 16)\nC.compute_at(Out, no)\n"
        "C.update(0).pit_tile(kt, axis=k, micro={m:16, k:2}, dense={k:16})\n",
        "Out.pit_tile(bt, axis=b, dense={b:1, m:16, n:16})\nC.compute_at(Out, bt)\n",
        "C.update(0).pit_tile(kt, axis=k, micro={b:1, m:1, k:1}, dense={k:32})\n"},
       sweep({{1, 1, 1, 1}, {3, 9, 17, 11}, {5, 33, 20, 40}},
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               return {{{"A", random_values(float32, {s[0], s[1], s[3]}, generator, exact, zeros)},
                        {"B", random_values(float32, {s[0], s[3], s[2]}, generator, exact)},
                        {"keep", random_mask(boolean, {s[0]}, generator, 0.3)}},
                       {},
                       {{"Out", {s[0], s[1], s[2]}}}};
             })});
}
