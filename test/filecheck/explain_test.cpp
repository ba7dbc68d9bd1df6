// What Pipeline::explain says of the programs: for every rule its proof, the kind of its index, and
// whether anything is masked.
#include <pit/pipeline.h>

#include "lowered.h"

namespace pit::test {
namespace {

struct Explained {
  Pipeline (*build)(bool scheduled);
  const char *checks;
};

TEST_CASE("explain - rule, proof, kind of index and mask of every program") {
  const Explained cases[] = {
      {build_spmm, R"(
        CHECK:      index live
        CHECK-NEXT: index: list built from the predicate; A(m, k) != 0.0; one list for each m/128
        CHECK:      C.update(0)
        CHECK:      rule: axis k, {{.*}}128 of m, dense 64 of k, index live
        CHECK-NEXT: proof: k is reduced by +=, which is associative and commutative; separable accesses: A(m, k), B(k, n)
        CHECK-NEXT: mask: none: {{.*}}identity
      )"},
      {build_moe, R"(
        CHECK:     index by_expert
        CHECK:     index: positions sorted by key
        CHECK-DAG: rule: axis ts, {{.*}}dense 128 of ts x 128 of f, index by_expert
        CHECK-DAG: rule: axis ts, {{.*}}dense 128 of ts x 256 of d, index by_expert
        CHECK-DAG: proof: every iteration of ts writes elements of its own
        CHECK-DAG: mask: none: every listed position passes the predicate
      )"},
      {build_encoder, R"(
        CHECK-DAG: demand: needed only where t < {{.*}}len(b)
        CHECK-DAG: index: list built from the predicate; t < {{.*}}len(b)
        CHECK-DAG: rule: axis bt, {{.*}}dense 128 of bt x 256 of f, index tokens
        CHECK-DAG: rule: axis bt, {{.*}}dense 128 of bt x 256 of d, index tokens
        CHECK-DAG: proof: every iteration of bt writes elements of its own
        CHECK-DAG: mask: none: every listed position passes the predicate
        CHECK-NOT: mask: tested
      )"},
      {build_block_attention, R"(
        CHECK:     index: list built from the predicate; mask(h, i / 64, j / 64) != 0; j <= i; one list for each h i/128
        CHECK:     rule: axis j, micro-tile 64{{.*}}128 of i, dense 128 of j
        CHECK:     proof: j is reduced by the softmax state, which is associative and commutative
        CHECK:     mask: tested {{.*}}: mask(h, i / 64, j / 64) != 0 && j <= i
      )"},
      {build_vertical_slash_attention, R"(
        CHECK-DAG: index: list built from the predicate; {{.*}}blk.y <= i; one list for each h i/64
        CHECK-DAG: index: contiguous range, nothing to build; one list for each h i/64
        CHECK-DAG: rule: axis blk.x, {{.*}}dense 2 of blk.x
        CHECK-DAG: rule: axis col, {{.*}}dense 128 of col
        CHECK-DAG: proof: col is reduced by the softmax state
        CHECK-DAG: mask: tested {{.*}}blk.y <= i
        CHECK-DAG: mask: none: every listed position passes the predicate
      )"},
      {build_sddmm, R"(
        CHECK-DAG: index: list built from the predicate; {{.*}}; one list for each i/128
        CHECK-DAG: index: list built from the predicate; {{.*}}; one list for each i/32
        CHECK-DAG: rule: axis j, micro-tile 32{{.*}}dense 128 of i x 256 of j, index strips
        CHECK-DAG: proof: every iteration of j writes elements of its own
        CHECK-DAG: mask: tested {{.*}}: mask(i / 32, j / 32) != 0
      )"},
      {build_convolution, R"(
        CHECK:     index: list built from the predicate; nbr(p, o) >= 0; one list for each p/128
        CHECK:     rule: axis o, {{.*}}128 of p, dense 1 of o x 64 of ci
        CHECK:     proof: o is reduced by +=, {{.*}}X(nbr(p, o), ci)
        CHECK:     mask: tested {{.*}}: nbr(p, o) >= 0
      )"},
      {build_scatter_convolution, R"(
        CHECK:     index: list built from the predicate; nbr(p, o) >= 0; one list for each o
        CHECK:     rule: axis p, {{.*}}dense 128 of p x 64 of co x 64 of ci
        CHECK-DAG: proof: every iteration of p writes elements of its own
        CHECK-DAG: races:
        CHECK-DAG: mask: none: every listed position passes the predicate
      )"},
      {build_opt, R"(
        CHECK:     index active
        CHECK:     index: list built from the predicate; H(t, r) != 0.0; one list for each t/64
        CHECK:     A2.update(0)
        CHECK:     rule: axis r, {{.*}}64 of t, dense 64 of r, index active
        CHECK:     proof: r is reduced by +=, which is associative and commutative; separable accesses: H(t, r), W2(r, d)
        CHECK:     mask: none: {{.*}}identity
      )"},
  };
  CHECK(std::size(cases) == programs().size());
  for (const Explained &c : cases) {
    const Pipeline pipeline = c.build(true);
    CAPTURE(pipeline.name());
    CHECK_TEXT(pipeline.explain(), c.checks);
  }
}

TEST_CASE("explain - the kernel of every matrix product is named") {
  for (const Program &program : programs()) {
    CAPTURE(program.name);
    CHECK_TEXT(program.build(true).explain(), "CHECK: atom: {{[a-z0-9_]+\\.[a-z0-9.]+}}");
  }
}

TEST_CASE("explain - whether an index that may have any order has it, and why not") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B"), W(float32, 3, "W"),
      expert(int32, 1, "expert"), ends(int64, 1, "ends"), offsets(int32, 1, "off"),
      coordinates(int32, 1, "at");
  Func C("C"), D("D"), E("E"), F("F"), G("G"), P("P"), H("H");
  RDom k(0, B.extent(0), "k"), c(0, A.extent(1), "c"), s(0, ends(m), "s"), few(0, 64, "few");
  k.where(A(m, k) != 0);
  C(m, n) += A(m, k) * B(k, n);
  D(m, n) += A(m, c) * W(expert(m), c, n);
  s.where(A(m, s) != 0);
  E(m, n) += A(m, s) * B(s, n);
  few.where(A(m, few) != 0);
  F(m, n) += A(m, few) * B(few, n);
  RDom k2(0, B.extent(0), "k");
  k2.where(B(k2, 0) != 0);
  G(m, n) += A(m, k2) * B(k2, n);
  P(m, n) = A(m, n) * W(expert(m), 0, n);
  P.where(expert(m) >= 0);
  H(m, n) = select(expert(m) >= 0, P(m, n), 0.f);
  const std::string index = "live = C.update(0).index(axis=k, micro={m:16, k:1}).unordered()",
                    tile = "\nC.update(0).pit_tile(kt, dense={k:16}, index=live)\n";
  const Target gpu("x86-64-linux-cuda-sm_90a"), host("x86-64-linux-avx2");
  struct Row {
    const Func &output;
    std::string schedule;
    Target target;
    const char *order;
  };
  const Row rows[] = {
      {C, index + tile, gpu, "any: blocks take places as they come"},
      {C, index + tile, host, "ascending, though any is allowed: a CPU places them so"},
      {C, index + ".align(4)" + tile, gpu, "any: blocks take places as they come"},
      {C, index + ".capacity(A.extent(1))" + tile, gpu,
       "ascending, though any is allowed: its capacity is declared"},
      // There is one group, whose strips share its room whatever that is.
      {G,
       "live = G.update(0).index(axis=k, micro={k:1}).unordered().capacity(A.extent(1))\n"
       "G.update(0).pit_tile(kt, dense={k:16}, index=live)\n",
       gpu, "any: blocks take places as they come"},
      {C, index + tile + "C.update(0).specialize(live.density() < 0.5)\n", gpu,
       "ascending, though any is allowed: a condition asks how much is kept"},
      {F,
       "live = F.update(0).index(axis=few, micro={m:16, few:1}).unordered()\n"
       "F.update(0).pit_tile(ft, dense={few:16}, index=live)\n",
       gpu, "ascending, though any is allowed: one block lists a group"},
      {E,
       "live = E.update(0).index(axis=s, micro={m:1, s:1}).unordered().capacity(A.extent(1))\n"
       "E.update(0).pit_tile(st, dense={s:16}, index=live)\n",
       gpu, "any: blocks take places as they come"},
      {E,
       "live = E.update(0).index(axis=s, micro={m:1, s:1}).unordered().capacity(A.extent(1))\n"
       "E.update(0).pit_tile(st, dense={s:16}, index=live)\n",
       host, "ascending, though any is allowed: a CPU places them so"},
      {D,
       "live = D.update(0).index(axis=m, group=expert(m), micro={m:1}).unordered()\n"
       "D.update(0).pit_tile(mt, dense={m:16}, index=live)\n",
       gpu, "any: blocks take places as they come"},
      // A Func in the order of the index shows it if it is an output, and not if it is read back.
      {H,
       "live = P.index(axis=m, group=expert(m)).unordered()\n"
       "P.pit_tile(mt, dense={m:16}, index=live)\nP.store_compact(live)\n",
       gpu, "any: blocks take places as they come"},
      {P,
       "live = P.index(axis=m, group=expert(m)).unordered()\n"
       "P.pit_tile(mt, dense={m:16}, index=live)\nP.store_compact(live)\n",
       gpu, "ascending, though any is allowed: its order is seen"},
      {P,
       "live = P.index(axis=m, group=expert(m)).unordered()\n"
       "P.pit_tile(mt, dense={m:16}, index=live)\nP.store_compact(live)\n",
       host, "ascending, though any is allowed: a CPU places them so"},
  };
  for (const Row &row : rows) {
    CAPTURE(row.schedule);
    const Pipeline pipeline({row.output}, {}, "orders");
    CHECK_TEXT(
        pipeline.with(Schedule::parse(pipeline, row.schedule)).explain(row.target),
        std::string("CHECK: {{^}}index live\nCHECK-NEXT: index:\nCHECK-NEXT: order: ") + row.order);
  }
  const Pipeline opt = build_opt(true);
  std::string schedule = opt.schedule().to_string();
  const std::string made = ".index(axis=r, micro={t:64, r:1})";
  REQUIRE(schedule.find(made) != std::string::npos);
  schedule.insert(schedule.find(made) + made.size(), ".unordered()");
  CHECK_TEXT(opt.with(Schedule::parse(opt, schedule)).explain(gpu),
             "CHECK: order: any: blocks take places as they come");
  SparseIndex given = C.update().index({.axis = k, .micro = {{m, 16}, {k, 1}}});
  given.unordered().given(offsets, coordinates);
  C.update().pit_tile(Var("kt"), {.dense = {{k, 16}}, .index = given});
  CHECK_TEXT(C.explain(gpu), "CHECK: order: the caller's");
}

TEST_CASE("explain - without a schedule there is no rule to explain") {
  for (const Program &program : programs()) {
    CAPTURE(program.name);
    CHECK_TEXT("explained: " + program.build(false).explain(), R"(
      CHECK:     explained:
      CHECK-NOT: {{rule|index|mask|atom}}:
    )");
  }
}

}  // namespace
}  // namespace pit::test
