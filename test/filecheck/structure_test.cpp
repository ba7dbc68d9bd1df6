// The structure that lowering must give to the programs that fix the language. Names of loops and
// sizes of tiles are read from the text where they do not matter.
#include "lowered.h"

namespace pit::test {
namespace {

TEST_CASE("structure - spmm builds one list for each strip of rows") {
  CHECK_TEXT(stages(lowered(build_spmm(true)), "index live"), R"(
    CHECK:      parallel [[G:[^ ]+]] < ({{.*}} + 127) / 128 {
    CHECK:      reduce {{.*}}: live.marks{{\[}}[[G]] * A.extent(1) + [[K:[^ ]+]]] max= {{.*}}A([[G]] * 128 + {{.*}}, [[K]]) != 0.0
    CHECK:      index_place live(marks = live.marks, {{.*}}micro = 1,
    CHECK-SAME: coordinates = live.coordinates
  )");
}

TEST_CASE("structure - spmm gathers rows of B along k and masks nothing") {
  const std::string compute = stages(lowered(build_spmm(true)), "compute Out");
  CHECK_TEXT(compute, R"(
    CHECK:      gpu_block [[MO:[^ ]+]] <
    CHECK:      gpu_block [[NO:[^ ]+]] <
    CHECK:      tile %C: float32[128, 256]
    CHECK-NEXT: fill {{.*}}: %C[{{.*}}] = 0.0
    CHECK:      for kt < ([[COUNT:[^ ]+]] + 63) / 64 {
    CHECK:      axes [[K:[^ ]+]] < min(64, [[COUNT]] - kt * 64) max 64
    CHECK:      load [[K]]: %[[AT:.*coordinates]][{{.*}}] = live.coordinates[
    CHECK-DAG:  {{load|sread}} {{.*}}: %[[A:.*]][{{.*}}] = {{A\(.*coordinates\[|live.values\[}}
    CHECK-DAG:  sread {{.*}}: %[[B:.*]][{{.*}}] = B({{.*}}%[[AT]]{{\[}}[[K]]]),
    CHECK:      mma m({{.*}}) n({{.*}}) k([[K]]): %C[{{.*}}] += %[[A]][{{.*}}] * %[[B]][
    CHECK:      store {{.*}}: Out[{{.*}}] = bfloat16(max(%C[{{.*}}] + bias({{.*}}), 0.0))
  )");
  CHECK_TEXT(compute, R"(
    CHECK-NOT: select(
    CHECK-NOT: where
    CHECK-NOT: {{^ *if }}
  )");
}

TEST_CASE("structure - an expert's weights are one matrix of the tile, tokens are gathered once") {
  const std::string up = stages(lowered(build_moe(true)), "compute H");
  CHECK_TEXT(up, R"(
    CHECK:      [[GROUP:group[.0-9]*]] < by_expert.groups
    CHECK:      int64(by_expert.offsets{{\[}}[[GROUP:group[.0-9]*]]])
    CHECK:      up < ({{.*}} + 127) / 128 {
    CHECK:      load [[TS:[^ ]+]]: %[[AT:.*coordinates]][{{.*}}] = by_expert.coordinates[
    CHECK:      for xo <
    CHECK-DAG:  sread {{.*}}: %[[X:[A-Za-z0-9_.$]+]][{{.*}}] = X(int64(%[[AT]]{{\[}}[[TS]]]) / 2,
    CHECK-DAG:  load {{.*}}: %[[W1:[A-Za-z0-9_.$]+]][{{.*}}] = {{.*}}W1({{[^,%]*}}[[GROUP]]{{[^,%]*}},
    CHECK-DAG:  load {{.*}}: %[[W3:[A-Za-z0-9_.$]+]][{{.*}}] = {{.*}}W3({{[^,%]*}}[[GROUP]]{{[^,%]*}},
    CHECK-DAG:  mma {{.*}}: %GU.0[{{.*}}%[[W1]]
    CHECK-DAG:  mma {{.*}}: %GU.1[{{.*}}%[[W3]]
    CHECK:      store {{.*}}: H[
  )");
  // One gather of X for two accumulators; none of W1 and W3, whose first index is the group.
  CHECK_TEXT(up, R"(
    CHECK-COUNT-1: = X(
    CHECK-NOT:     = X(
  )");
  CHECK_TEXT(up, R"(
    CHECK-NOT: {{sread .*W[13]\(}}
    CHECK-NOT: {{W[13]\([^,]*coordinates}}
  )");
}

TEST_CASE("structure - the second matmul reads rows in expert order, the combine by the inverse") {
  const std::string module = lowered(build_moe(true));
  CHECK_TEXT(stages(module, "index by_expert"), R"(
    CHECK:      index_sort by_expert(keys = [[KEYS:[^,]+]],
    CHECK-SAME: position = [[POSITION:by_expert.position[^,)]*]]
  )");
  // The entries of a tile are neighbours in H: nothing is gathered and nothing is scattered.
  const std::string down = stages(module, "compute Dn");
  CHECK_TEXT(down, R"(
    CHECK:      let [[ENTRY:[^ ]+]]: int64 = {{.*}} down * 128
    CHECK:      load {{.*}} = H{{\[}}[[ENTRY]] + {{[^,]+}},
    CHECK:      mma {{.*}}: %Acc[
    CHECK:      store {{.*}}: Dn{{\[}}[[ENTRY]] +
  )");
  CHECK_TEXT(down, R"(
    CHECK-NOT: sread
    CHECK-NOT: swrite
  )");
  CHECK_TEXT(stages(module, "compute Y"), R"(
    CHECK: reduce_store Y[{{.*}} Dn[int64(by_expert.position{{.*}}[{{.*}} * 2 + {{.*}}]),
  )");
}

TEST_CASE("structure - no tile of a batch of sentences is over padding") {
  const std::string module = lowered(build_encoder(true));
  CHECK_TEXT(stages(module, "index tokens"), R"(
    CHECK: tokens.marks[{{.*}}] max= select({{.*}} < int64(len({{.*}})), uint8(1), uint8(0))
    CHECK: index_place tokens(
  )");
  // The number of tiles is that of the listed tokens, and the extents do not come in.
  const std::string up = stages(module, "compute H");
  CHECK_TEXT(up, R"(
    CHECK:     let [[COUNT:[^ ]+]]: int64 = int64(tokens.counts[
    CHECK:     one < ([[COUNT]] + 127) / 128 {
    CHECK:     [[BT:[^ ]+]] < min(128, [[COUNT]] - one * 128) max 128
    CHECK:     load [[BT]]: %[[AT:[A-Za-z0-9_.$]+]][{{.*}}] = tokens.coordinates[
    CHECK:     X(int64(%[[AT]]{{\[}}[[BT]]]) / {{.*}}, int64(%[[AT]]{{\[}}[[BT]]]) % {{.*}},
    CHECK:     mma {{.*}}: %A1[
    CHECK:     store {{.*}}: H{{\[}}[[ENTRY:[^ ]+]] + [[BT]],
  )");
  CHECK_TEXT(up, "CHECK-NOT: len(");
  const std::string down = stages(module, "compute Out");
  CHECK_TEXT(down, R"(
    CHECK:     let [[COUNT:[^ ]+]]: int64 = int64(tokens.counts[
    CHECK:     two < ([[COUNT]] + 127) / 128 {
    CHECK:     load {{.*}} = H[
    CHECK:     mma {{.*}}: %A2[
    CHECK:     swrite {{.*}}: Out[int64(%[[AT:[A-Za-z0-9_.$]+]][{{.*}}]) / {{.*}}
  )");
  CHECK_TEXT(down, "CHECK-NOT: len(");
  // Rows of H have no padding either, and its producer's sum is never stored.
  CHECK_TEXT(module, R"(
    CHECK:     heap H: bfloat16[int64(tokens.offsets[{{.*}}]),
    CHECK-NOT: heap {{A1|A2}}
  )");
}

TEST_CASE("structure - attention masks scores, only in tiles with a partial block") {
  const std::string module = lowered(build_block_attention(true));
  CHECK_TEXT(stages(module, "index P.index"), R"(
    CHECK: P.index.marks[{{.*}}] max= select(mask(
    CHECK: index_place P.index(marks = P.index.marks, {{.*}}full = P.index.full
  )");
  CHECK_TEXT(stages(module, "compute O"), R"(
    CHECK:      tile %[[M:P[^:]*]]: float32[128]
    CHECK:      fill {{.*}}: %[[M]][{{.*}}] = -inf
    CHECK:      for jt <
    CHECK:      let [[FULL:[A-Za-z0-9_.$]+]]: bool = P.index.full[
    CHECK:      if [[FULL]] {
    CHECK-NOT:  mask(
    CHECK:      sread {{.*}} = K(
    CHECK-NOT:  mask(
    CHECK:      mma {{.*}}: %sum$c[
    CHECK-NOT:  mask(
    CHECK:      mma {{.*}}: %P.2[
    CHECK-NOT:  mask(
    CHECK:      } else {
    CHECK-NOT:  mask(
    CHECK:      mma {{.*}}: %sum$c
    CHECK-NOT:  mask(
    CHECK:      map {{.*}}: %P.score{{.*}} = select({{.*}}mask({{.*}}, %S{{.*}}, -inf)
    CHECK-NOT:  mask(
    CHECK:      mma {{.*}}: %P.2[
    CHECK-NOT:  mask(
    CHECK:      store {{.*}}: O[
    CHECK:      store {{.*}}: L[
  )");
  // The state lives in the tile, and scores are never stored.
  CHECK_TEXT(module, "CHECK-NOT: {{heap (P|S|sum)[.0-9a-z$]*: float32}}");
}

TEST_CASE("structure - two updates of one softmax keep one state, each with its own gather") {
  const std::string module = lowered(build_vertical_slash_attention(true));
  CHECK_TEXT(stages(module, "compute O"), R"(
    CHECK-COUNT-1: fill {{.*}}: %P.0[{{.*}}] = -inf
    CHECK:         for bt <
    CHECK:         sread {{.*}}block_offset(
    CHECK:         mma {{.*}}: %P.2[
    CHECK-NOT:     fill {{.*}}%P.
    CHECK:         for ct <
    CHECK:         sread {{.*}}column_index(
    CHECK-NOT:     map {{.*}}: %P.score{{.*}}select(
    CHECK:         mma {{.*}}: %P.2[
    CHECK:         store {{.*}}: O[
  )");
  // A range needs no index: nothing is built for the columns.
  CHECK_TEXT(module, R"(
    CHECK-COUNT-1: index_place
    CHECK-NOT:     {{index_place|index_sort}}
  )");
}

TEST_CASE("structure - sampled products are computed in strips and stored by block position") {
  const std::string module = lowered(build_sddmm(true));
  CHECK_TEXT(module, R"(
    CHECK:     index_place strips(
    CHECK-NOT: position = strips
    CHECK:     index_place blocks({{.*}}position = [[POSITION:blocks.position[^,)]*]]
    CHECK:     stage check blocks.room
    CHECK-DAG: check S.extent(0) >= int64(blocks.offsets
    CHECK-DAG: check blocks.coordinates.extent(0) >= int64(blocks.offsets
    CHECK:     stage compute S {
    CHECK:     let [[COUNT:[^ ]+]]: int64 = int64(strips.counts[
    CHECK:     st < ([[COUNT]] + 7) / 8 {
    CHECK:     load {{.*}} = strips.coordinates[
    CHECK:     sread {{.*}} = B(
    CHECK:     mma {{.*}}: %Acc
    CHECK:     swrite {{.*}}: S[int64([[POSITION]][{{.*}} / 32 * blocks.length + {{.*}}]), {{.*}} % 32, {{.*}} % 32] =
    CHECK:     stage index blocks
    CHECK:     store blocks.coordinates
  )");
}

TEST_CASE("structure - an absent neighbour is a zero row of the gathered operand only") {
  const std::string compute = stages(lowered(build_convolution(true)), "compute Out");
  CHECK_TEXT(compute, R"(
    CHECK:      for ot <
    CHECK:      [[O:[^ ]+]]: int64 = int64(Z.index.coordinates[
    CHECK-DAG:  sread {{.*}}X(int64(nbr({{.*}}, [[O]]))
    CHECK-DAG:  load {{.*}} = W([[O]],
    CHECK:      mma {{.*}}: %Z[
    CHECK:      sread {{.*}} = select(nbr({{.*}}) >= 0, {{.*}}X(int64(nbr({{.*}}, 0.0)
    CHECK:      mma {{.*}}: %Z[
    CHECK:      store {{.*}}: Out[{{.*}}] = max(%Z[
  )");
  CHECK_TEXT(compute, "CHECK-NOT: {{select\\(nbr.* W\\(}}");
}

TEST_CASE("structure - the scattered convolution adds its tiles to memory") {
  CHECK_TEXT(stages(lowered(build_scatter_convolution(true)), "compute Z"), R"(
    CHECK:      store Z[{{.*}}] = 0.0
    CHECK:      for [[O:o[.0-9]*]] < W.extent(0) {
    CHECK:      load {{.*}}: %[[AT:[A-Za-z0-9_.$]+]][{{.*}}] = Z.index.coordinates[
    CHECK-DAG:  sread {{.*}}X(int64(nbr(int64(%[[AT]][{{.*}}]), [[O]]))
    CHECK-DAG:  load {{.*}} = W([[O]],
    CHECK:      mma
    CHECK:      reduce_store {{.*}}: Z{{.*}}%[[AT]][{{.*}} +=
  )");
}

TEST_CASE("structure - the index is marked where the producer is stored, and placed after it") {
  const std::string module = lowered(build_opt(true));
  CHECK_TEXT(module, R"(
    CHECK:      stage compute H {
    CHECK:      mma {{.*}}: %A1[
    CHECK:      store {{.*}}: H{{\[}}{{.*}}] = bfloat16(max(
    CHECK:      reduce_store {{.*}}: active.marks[{{.*}}] max= select({{.*}} != 0.0, uint8(1), uint8(0))
    CHECK:      stage index active {
    CHECK-NOT:  H[
    CHECK:      index_place active(
    CHECK:      stage compute Y {
    CHECK-DAG:  sread {{.*}} = H[int64(%[[AT:.*coordinates]][{{.*}}]), {{.*}}
    CHECK-DAG:  sread {{.*}} = W2(int64(%{{.*coordinates}}[{{.*}}]),
    CHECK:      mma {{.*}}: %A2[
  )");
  // Marking costs no other pass over H.
  CHECK_TEXT(module, R"(
    CHECK-COUNT-1: active.marks[{{.*}} max=
    CHECK-NOT:     active.marks[{{.*}} max=
  )");
}

TEST_CASE("structure - without a schedule there is no PIT tile and no index") {
  for (const Program &program : programs()) {
    CAPTURE(program.name);
    CHECK_TEXT(lowered(program.build(false)), R"(
      CHECK-NOT: {{^ *(index_place|index_sort|prefix) }}
      CHECK-NOT: stage index
      CHECK-NOT: coordinates
      CHECK-NOT: offsets
    )");
  }
}

}  // namespace
}  // namespace pit::test
