#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "codegen/ir/equal.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/text.h"
#include "codegen/ir/verify.h"
#include "codegen/lower/pipeline.h"
#include "codegen/lower/place_barriers.h"
#include "dsl/error.h"
#include "pipeline_kernels.h"
#include "staged_kernels.h"
#include "test/filecheck.h"

namespace pit::lower {
namespace {

using ir::BFloatTensor;
using ir::Landing;
using ir::Module;
using ir::Stmt;
using ir::TestTensor;

/// The module with its kernel pipelined; *reason says why not.
Module pipelined(const Module &module, const PipelineOptions &options, std::string *reason) {
  class AtLaunch final : public ir::Mutator {
   public:
    AtLaunch(const PipelineOptions &o, std::string *r) : options_(o), reason_(r) {}

   protected:
    using Mutator::visit;
    Stmt visit(const ir::Launch &, const Stmt &self) override {
      PipelineResult result = pipeline(self, options_);
      *reason_ = result.reason;
      return result.launch;
    }

   private:
    const PipelineOptions &options_;
    std::string *reason_;
  };
  Module changed = module;
  changed.body = AtLaunch(options, reason)(module.body);
  return changed;
}

using Arguments = std::vector<ir::TensorArgument>;

/// The kernel in both forms computes what the logical module does, bit for bit.
template <class Output>
void check_agrees(const char *text, const Arguments &inputs, Output output, PipelineOptions options,
                  int seeds = 2) {
  const Module module = ir::parse(text);
  Output expected = output;
  ir::interpret(place_barriers(module), inputs, {}, {expected.argument()});
  for (const bool roles : {false, true}) {
    if (!roles && options.bulk) continue;
    options.producer_warps = roles ? 4 : 0;
    options.consumer_warpgroups = roles ? 1 : 0;
    std::string reason;
    const Module staged = place_barriers(pipelined(module, options, &reason));
    REQUIRE(reason == "");
    const std::string printed = ir::print(staged);
    CAPTURE(printed);
    REQUIRE_NOTHROW(ir::verify(staged, "pipeline"));
    CHECK(ir::equal(ir::parse(printed), staged));
    for (const Landing landing : {Landing::Late, Landing::AtOnce, Landing::Random}) {
      for (int seed = 0; seed < seeds; ++seed) {
        Output result = output;
        REQUIRE_NOTHROW(ir::interpret(staged, inputs, {}, {result.argument()}, nullptr,
                                      {static_cast<std::uint32_t>(seed), landing}));
        CHECK(result.data == expected.data);
      }
    }
  }
}

struct GatheredRows {
  BFloatTensor a, b;
  TestTensor<std::int32_t> rows, count;
  TestTensor<std::uint16_t> c;
  GatheredRows(int kept, int n, int k)
      : a({100, k}, 1), b({k, n}, 2), rows({90}), count({1}, kept), c({100, n}, 77) {
    for (int i = 0; i < 90; ++i) rows(i) = i < kept ? (i * 37 + 5) % 100 : -1;
  }
  Arguments inputs() { return {a.argument(), b.argument(), rows.argument(), count.argument()}; }
};

TEST_CASE("pipeline - gathered rows, ragged in every extent, one to four stages") {
  for (int stages = 1; stages <= 4; ++stages) {
    for (const auto &[kept, n, k] :
         {std::array{70, 19, 45}, {64, 16, 64}, {1, 1, 1}, {0, 5, 20}, {70, 5, 0}}) {
      CAPTURE(stages);
      CAPTURE(kept);
      GatheredRows data(kept, n, k);
      check_agrees(ir::kGatheredRows, data.inputs(), data.c, {.stages = stages});
    }
  }
}

TEST_CASE("pipeline - a persistent kernel goes on with its slots from point to point") {
  for (const int blocks : {-1, 1, 3}) {
    for (const auto &[kept, n, k] : {std::array{70, 37, 45}, {70, 37, 16}, {70, 37, 0}}) {
      GatheredRows data(kept, n, k);
      for (const int rows : {0, 1, 2, 16}) {
        for (const bool back_and_forth : {false, true}) {
          check_agrees(ir::kGatheredRows, data.inputs(), data.c,
                       {.stages = 3,
                        .persistent_blocks = blocks,
                        .tile_rows = rows,
                        .back_and_forth = back_and_forth});
        }
      }
    }
  }
}

TEST_CASE("pipeline - tensors of any alignment are copied by the threads") {
  GatheredRows data(70, 19, 45);
  check_agrees(ir::kGatheredRows, data.inputs(), data.c, {.stages = 3, .copy_bytes = 0});
}

TEST_CASE("pipeline - boxes are copied in bulk, and by all blocks of a cluster in parts") {
  for (int stages = 1; stages <= 4; ++stages) {
    for (const auto &[kept, n, k] :
         {std::array{90, 19, 45}, {64, 16, 64}, {70, 5, 0}, {90, 37, 16}}) {
      CAPTURE(stages);
      GatheredRows data(kept, n, k);
      check_agrees(ir::kGatheredRows, data.inputs(), data.c, {.stages = stages, .bulk = true});
      check_agrees(ir::kGatheredRows, data.inputs(), data.c,
                   {.stages = stages, .bulk = true, .cluster = 2});
    }
  }
  GatheredRows data(90, 37, 45);
  check_agrees(ir::kGatheredRows, data.inputs(), data.c,
               {.stages = 3, .bulk = true, .cluster = 2, .persistent_blocks = 2});
  // The third block has a neighbour outside of the grid.
  const std::string three = ir::replaced(ir::kGatheredRows, "(rows.extent(0) + 63) / 64", "3");
  check_agrees(three.c_str(), data.inputs(), data.c, {.stages = 2, .bulk = true, .cluster = 2});
}

TEST_CASE("pipeline - a condition of single elements of a line makes the threads copy") {
  GatheredRows data(70, 19, 45);
  const std::string odd = ir::replaced(ir::kGatheredRows, "= B(kt * 16 + k, no * 16 + ni)",
                                       "= select(ni % 3 != 1, B(kt * 16 + k, no * 16 + ni), 0.0)");
  check_agrees(odd.c_str(), data.inputs(), data.c, {.stages = 2});
  std::string reason;
  const std::string text = ir::print(pipelined(ir::parse(odd), {}, &reason));
  CHECK(text.find("copy threads ni") != std::string::npos);
  CHECK(text.find("copy async mi") != std::string::npos);
}

struct GatheredK {
  BFloatTensor values, b;
  TestTensor<std::int32_t> coordinates, offsets;
  TestTensor<float> bias, c;
  explicit GatheredK(std::vector<int> counts, int n)
      : values({200, 64}, 3),
        b({50, n}, 4),
        coordinates({200}, -1),
        offsets({4}),
        bias({n}),
        c({150, n}, -7.0f) {
    bias.fill_with_pattern(5);
    std::int32_t entry = 0;
    for (int g = 0; g < 3; ++g) {
      offsets(g) = entry;
      for (int i = 0; i < counts[static_cast<std::size_t>(g)]; ++i)
        coordinates(entry++) = (i * 7 + g) % 50;
    }
    offsets(3) = entry;
  }
  Arguments inputs() {
    return {values.argument(), b.argument(), coordinates.argument(), offsets.argument(),
            bias.argument()};
  }
};

TEST_CASE("pipeline - gathered k reads nothing past the end of a list") {
  for (int stages = 1; stages <= 4; ++stages) {
    CAPTURE(stages);
    GatheredK data({33, 0, 48}, 21);
    check_agrees(ir::kGatheredK, data.inputs(), data.c, {.stages = stages});
  }
  GatheredK data({5, 100, 16}, 16);
  check_agrees(ir::kGatheredK, data.inputs(), data.c, {.stages = 2, .persistent_blocks = 2});
}

struct Experts {
  BFloatTensor x, w1, w3;
  TestTensor<std::int32_t> tokens, offsets;
  TestTensor<float> h;
  explicit Experts(int k)
      : x({60, k}, 6),
        w1({3, k, 21}, 7),
        w3({3, k, 21}, 8),
        tokens({120}),
        offsets({4}),
        h({120, 21}, -7.0f) {
    for (int i = 0; i < 120; ++i) tokens(i) = (i * 53 + 7) % 120;
    const int ends[] = {0, 75, 75, 120};
    for (int g = 0; g < 4; ++g) offsets(g) = ends[g];
  }
  Arguments inputs() {
    return {x.argument(), w1.argument(), w3.argument(), tokens.argument(), offsets.argument()};
  }
};

TEST_CASE("pipeline - two products share an operand, tiles are counted in memory") {
  for (int stages = 1; stages <= 4; ++stages) {
    CAPTURE(stages);
    Experts data(37);
    check_agrees(ir::kExperts, data.inputs(), data.h, {.stages = stages});
  }
  Experts data(16);
  check_agrees(ir::kExperts, data.inputs(), data.h, {.stages = 2, .persistent_blocks = 2});
}

TEST_CASE("pipeline - tiles that are counted in memory are points of a persistent kernel") {
  // Of each expert as many as it has tokens, one expert after the other.
  const std::string counted = ir::replaced(ir::kExperts, "for up <", "parallel up <");
  for (const int k : {37, 16}) {
    Experts data(k);
    for (const int blocks : {0, 2, 5}) {
      CAPTURE(blocks);
      check_agrees(counted.c_str(), data.inputs(), data.h,
                   {.stages = 2, .persistent_blocks = blocks});
      check_agrees(counted.c_str(), data.inputs(), data.h,
                   {.stages = 2, .bulk = true, .persistent_blocks = blocks, .tile_rows = 1});
    }
  }
  // One list, whose tiles and columns of tiles are points together; in clusters, too.
  std::string rows = ir::replaced(ir::kGatheredRows, "mo < (rows.extent(0) + 63) / 64, ", "");
  rows = ir::replaced(rows.c_str(), "axes mi <", "parallel mo < (kept + 63) / 64 {\n axes mi <");
  rows = ir::replaced(rows.c_str(), "max(%acc[mi, ni], 0.0))\n", "max(%acc[mi, ni], 0.0))\n}\n");
  for (const auto &[kept, n, k] : {std::array{90, 37, 45}, {64, 16, 16}, {70, 37, 0}, {0, 9, 20}}) {
    GatheredRows data(kept, n, k);
    for (const int cluster : {1, 2}) {
      CAPTURE(cluster);
      check_agrees(rows.c_str(), data.inputs(), data.c,
                   {.stages = 3, .bulk = true, .cluster = cluster});
    }
  }
}

TEST_CASE("pipeline - the staged kernels are as the prototypes") {
  std::string reason;
  const Module module = ir::parse(ir::kGatheredK);
  const std::string roles = ir::print(
      pipelined(module, {.stages = 4, .producer_warps = 4, .consumer_warpgroups = 1}, &reason));
  CHECK_TEXT(roles, R"(
    CHECK: launch gathered_k threads 256
    CHECK: barrier full[4] arrivals 128
    CHECK: barrier empty[4] arrivals 1
    CHECK: shared %a: bfloat16[4, 64, 16] buffers swizzle(128, 0)
    CHECK: shared %b: bfloat16[4, 16, 16] buffers swizzle(32, 1)
    CHECK: role producer warps 4 registers 112
    CHECK: if (count + 15) / 16 > 0
    CHECK: load [[K:.*]]: %column.next
    CHECK: for kt
    CHECK: map {{.*}}: %column[{{.*}}] = %column.next
    CHECK: load {{.*}}: %column.next
    CHECK: wait empty[%producer.slot[]] parity 1 - %producer.phase[]
    CHECK: copy async mi{{.*}}: %a[%producer.slot[]{{.*}}where mi{{.*}} bytes 16
    CHECK: copy async k{{.*}}: %b[%producer.slot[]{{.*}}where k{{.*}} bytes 16
    CHECK: arrive full[%producer.slot[]] each thread after_copies
    CHECK: role consumer warps 4 registers 240
    CHECK: registers %acc{{.*}}: float32[64, 16] accumulator(1, 4, 1, 4)
    CHECK: wait full[%consumer.slot[]] parity %consumer.phase[]
    CHECK-NEXT: fence async
    CHECK-NEXT: mma async
    CHECK-NEXT: commit matrix
    CHECK: drain matrix pending 1
    CHECK: arrive empty[%consumer.previous[]] each warpgroup
    CHECK: drain matrix pending 0
    CHECK: store
  )");
  const std::string groups = ir::print(pipelined(module, {.stages = 3}, &reason));
  CHECK_TEXT(groups, R"(
    CHECK: launch gathered_k threads 128
    CHECK: unrolled ahead < 2
    CHECK: commit copies
    CHECK: for kt
    CHECK-NEXT: drain copies pending 1
    CHECK-NEXT: sync
    CHECK: copy async
    CHECK: commit copies
    CHECK: mma m(
    CHECK: drain copies pending 0
    CHECK-NEXT: sync
    CHECK-NOT: role
  )");
}

TEST_CASE("pipeline - a cluster multicasts what its blocks share") {
  std::string reason;
  const std::string text = ir::print(pipelined(
      ir::parse(ir::kGatheredRows),
      {.stages = 4, .producer_warps = 4, .consumer_warpgroups = 1, .bulk = true, .cluster = 2},
      &reason));
  CHECK_TEXT(text, R"(
    CHECK: launch gathered_rows threads 256 grid mo.cluster < {{.*}}, no < {{.*}} cluster rank < 2
    CHECK: barrier full[4] arrivals 129
    CHECK: barrier empty[4] arrivals 2
    CHECK: sync cluster
    CHECK: axes {{.*}}k.part < 8 max 8
    CHECK: arrive full[%producer.slot[]] each role expect 512
    CHECK: copy async mi{{.*}} bytes 16
    CHECK: copy bulk ni{{.*}}, k.part{{.*}}: %b[%producer.slot[], rank * 8 + k.part, {{.*}} on full[%producer.slot[]] multicast
    CHECK: arrive full[%producer.slot[]] each thread after_copies
    CHECK: arrive empty[%consumer.previous[]] each warpgroup cluster
    CHECK: sync cluster
  )");
}

TEST_CASE("pipeline - what a step computes of sums stays in registers") {
  GatheredK data({33, 20, 48}, 21);
  // Rows' sums of all that was added so far, at every step.
  const std::string text =
      ir::replaced(ir::replaced(ir::kGatheredK, "tile %acc: float32[64, 16]",
                                "tile %seen: float32[64] fill mi: %seen[mi] = 0.0\n"
                                "tile %acc: float32[64, 16]"),
                   "mma m(mi) n(ni) k(k): %acc[mi, ni] += %a[mi, k] * %b[k, ni]",
                   "mma m(mi) n(ni) k(k): %acc[mi, ni] += %a[mi, k] * %b[k, ni]\n"
                   "reduce mi, ni: %seen[mi] += abs(%acc[mi, ni])\n"
                   "map mi, ni: %acc[mi, ni] = select(%seen[mi] < 0.0, 0.0, %acc[mi, ni])");
  const Module module = ir::parse(text);
  std::string reason;
  const Module roles =
      pipelined(module, {.stages = 2, .producer_warps = 4, .consumer_warpgroups = 1}, &reason);
  CHECK_TEXT(ir::print(roles), R"(
    CHECK: registers %seen: float32[64] rows(1, 4, 1, 4)
    CHECK: registers %acc: float32[64, 16] accumulator(1, 4, 1, 4)
    CHECK: mma async
    CHECK: commit matrix
    CHECK-NEXT: drain matrix pending 0
    CHECK: reduce {{.*}}: %seen
    CHECK: arrive empty[%consumer.slot[]] each warpgroup
  )");
  for (int stages = 1; stages <= 3; ++stages)
    check_agrees(text.c_str(), data.inputs(), data.c, {.stages = stages});
}

TEST_CASE("pipeline - bugs put into what the pass makes are found") {
  GatheredK data({33, 20, 48}, 21);
  std::string reason;
  const Module module = ir::parse(ir::kGatheredK);
  const std::string roles = ir::print(place_barriers(
      pipelined(module, {.stages = 2, .producer_warps = 4, .consumer_warpgroups = 1}, &reason)));
  const std::string groups = ir::print(place_barriers(pipelined(module, {.stages = 2}, &reason)));
  const struct {
    const std::string *text;
    const char *from, *to;
  } bugs[] = {
      {&roles, "wait empty[%producer.slot[]] parity 1 - %producer.phase[]", ""},
      {&roles, "parity 1 - %producer.phase[]", "parity %producer.phase[]"},
      {&roles, "wait full[%consumer.slot[]] parity %consumer.phase[]", ""},
      {&roles, "parity %consumer.phase[]", "parity 1 - %consumer.phase[]"},
      {&roles, "fence async", ""},
      {&roles, "arrivals 128", "arrivals 129"},
      {&roles, "arrivals 128", "arrivals 127"},
      {&roles, "drain matrix pending 1", "drain matrix pending 2"},
      {&roles, "drain matrix pending 0", ""},
      {&roles, "arrive empty[%consumer.previous[]]", "arrive empty[%consumer.slot[]]"},
      {&roles, "map %producer.phase[] = 1 - %producer.phase[]", ""},
      {&groups, "drain copies pending 0", ""},
      {&groups, "drain copies pending 0\n          sync\n", ""},
      {&groups, "commit copies", ""},
  };
  for (const auto &bug : bugs) {
    CAPTURE(std::string(bug.from));
    CAPTURE(std::string(bug.to));
    for (const Landing landing : {Landing::Late, Landing::AtOnce, Landing::Random}) {
      TestTensor<float> result = data.c;
      CHECK_THROWS_AS(ir::interpret(ir::parse(ir::replaced(*bug.text, bug.from, bug.to)),
                                    data.inputs(), {}, {result.argument()}, nullptr, {1, landing}),
                      InternalError);
    }
  }
}

TEST_CASE("pipeline - kernels of another form are left alone, with the reason") {
  const std::string rows = ir::kGatheredRows, k = ir::kGatheredK;
  const struct {
    std::string text;
    PipelineOptions options;
    const char *reason;
  } cases[] = {
      {ir::producer_and_consumer(2), {}, "the kernel is of the staged level already"},
      {ir::replaced(rows, "mma m(mi) n(ni) k(k): %acc[mi, ni] += %a[mi, k] * %b[k, ni]", ""),
       {},
       "no loop holds a matrix multiplication"},
      {ir::replaced(rows, "for kt", "unrolled kt"), {}, "the loop kt is not serial"},
      {ir::replaced(rows, "ni < min(16, B.extent(1) - no * 16) max 16",
                    "ni < min(16, B.extent(1) - no * 16)"),
       {},
       "the axis ni has no bound that is known when compiling"},
      {ir::replaced(rows, "load ni, k: %b[k, ni] = B(kt * 16 + k, no * 16 + ni)",
                    "if kt == 0 { load ni, k: %b[k, ni] = B(kt * 16 + k, no * 16 + ni) }"),
       {},
       "the operand b is loaded under a condition"},
      {ir::replaced(rows, "mma m(mi) n(ni) k(k): %acc[mi, ni] += %a[mi, k] * %b[k, ni]",
                    "if kt == 0 { mma m(mi) n(ni) k(k): %acc[mi, ni] += %a[mi, k] * %b[k, ni] }"),
       {},
       "a condition in the loop over kt is around a matrix multiplication"},
      {ir::replaced(rows, "= B(kt * 16 + k, no * 16 + ni)",
                    "= B(kt * 16 + k, no * 16 + ni) + B(0, 0)"),
       {},
       "the operand b is computed, not loaded"},
      {ir::replaced(rows, "fill mi, ni: %acc[mi, ni] = 0.0",
                    "load mi, ni: %acc[mi, ni] = float32(A(mi, ni))"),
       {},
       "the accumulator acc does not start from a constant"},
      {ir::replaced(rows, "mma m(mi)", "store C[0, 0] = 0.0 mma m(mi)"),
       {},
       "the loop over kt also stores to C"},
      {ir::replaced(rows, "swrite mi, ni: C",
                    "tile %column: float32[16] fill ni: %column[ni] = 0.0 "
                    "reduce mi, ni: %column[ni] max= %acc[mi, ni] swrite mi, ni: C"),
       {},
       "the products acc go into the tile column"},
      {ir::replaced(
           rows, "swrite mi, ni: C",
           "tile %last: float32[64] map mi, ni: %last[mi] = %acc[mi, ni] swrite mi, ni: C"),
       {},
       "several elements of a row are stored to last"},
      {ir::replaced(ir::replaced(rows, "fill mi, ni",
                                 "tile %sum: float32[64] fill mi: %sum[mi] = 0.0 "
                                 "fill mi, ni"),
                    "mma m(mi)", "reduce mi, k: %sum[mi] += float32(%a[mi, k]) mma m(mi)"),
       {},
       "the loop carries the tile sum from step to step"},
      {k, {.stages = 4, .shared_bytes = 4096}, "4 stages need 12416 bytes of shared memory"},
      {k,
       {.producer_warps = 4, .consumer_warpgroups = 3},
       "the accumulator acc does not fit 12 warps"},
      {k,
       {.producer_warps = 4, .consumer_warpgroups = 1, .bulk = true, .cluster = 2},
       "is read from memory for each block of a cluster"},
      {rows,
       {.producer_warps = 4, .consumer_warpgroups = 1, .cluster = 2},
       "a cluster shares bulk copies of producer warps"},
      {k, {.producer_warps = 4, .consumer_warpgroups = 8}, "more than the 1024 threads"},
  };
  for (const auto &c : cases) {
    const Module module = ir::parse(c.text);
    std::string reason;
    const Module same = pipelined(module, c.options, &reason);
    CAPTURE(reason);
    CAPTURE(std::string(c.reason));
    const bool found = reason.find(c.reason) != std::string::npos;
    CHECK(found);
    CHECK(same.body.same_as(module.body));
  }
}

}  // namespace
}  // namespace pit::lower
