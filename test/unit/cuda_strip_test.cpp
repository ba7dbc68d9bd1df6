// Sums that go from registers to memory by way of strips of shared memory: which they are, what of
// it shows without a device, and that the interpreter, or the device that PIT_TEST_TARGET names,
// gives the reference's results.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

#include "codegen/emit/listing.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/text.h"
#include "codegen/ir/verify.h"
#include "codegen/lower/lower.h"
#include "codegen/lower/store_through.h"
#include "test/harness.h"
#include "test/ptxas.h"

namespace pit::test {
namespace {

const char *const kTarget = "x86-64-linux-cuda-sm_90a";
const char *const kOlderTarget = "x86-64-linux-cuda-sm_80";

struct Options {
  Type type = bfloat16;  ///< of the result
  std::int64_t rows = 128, columns = 256;
  int stages = 0;                 ///< 0: not said
  std::int64_t step = 64;         ///< of k
  bool marked = false;            ///< only the rows that `keep` marks
  bool added = false;             ///< `bias`, a number a row, is added to the product
  bool elements = false;          ///< only the elements that `mask` marks
  bool gathered_columns = false;  ///< Y[i, columns[n]]
};

/// Y = X W, in tiles.
Pipeline product(const Options &o) {
  Var i("i"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni"), tile("tile");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W"), keep(uint8, 1, "keep"),
      mask(uint8, 2, "mask"), bias(float32, 1, "bias");
  RDom k(0, X.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(W(k, n));
  Expr result = C(i, n);
  if (o.added) result = result + bias(i);
  if (o.type != float32) result = cast(o.type, result);
  Y(i, n) = result;
  if (o.elements) Y.where(mask(i, n) != 0);
  if (o.marked || o.gathered_columns) {
    Y.where(keep(o.gathered_columns ? n : i) != 0);
    Y.pit_tile(tile, {.axis = o.gathered_columns ? n : i, .dense = {{i, o.rows}, {n, o.columns}}});
    C.compute_at(Y, tile);
  } else {
    Y.tile(i, n, mo, no, mi, ni, o.rows, o.columns).gpu_blocks(mo, no);
    C.compute_at(Y, no);
  }
  C.update().split(k, ko, ki, o.step);
  if (o.stages > 0) C.update().software_pipeline(ko, o.stages);
  return Pipeline({Y}, {}, "product");
}

using Strips = std::vector<std::vector<std::int64_t>>;

/// The extents of the strips through which a module stores.
Strips strips_of(const ir::Module &module) {
  Strips strips;
  std::vector<StoragePtr> through;
  ir::walk_statements(module.body, [&](const ir::Stmt &s) {
    const auto *store = s.as<ir::Store>();
    if (store && store->through) through.push_back(store->through);
    return true;
  });
  ir::walk_statements(module.body, [&](const ir::Stmt &s) {
    const auto *allocate = s.as<ir::Allocate>();
    if (!allocate || std::ranges::find(through, allocate->storage) == through.end()) return true;
    std::vector<std::int64_t> &extents = strips.emplace_back();
    for (const Expr &extent : allocate->extents) is_const_int(extent, &extents.emplace_back());
    return true;
  });
  return strips;
}

Strips strips_of(const Pipeline &pipeline, const char *target) {
  return strips_of(lower::lower(pipeline, Target(target)));
}

std::string text_of(const Pipeline &pipeline, const char *target) {
  const ir::Module module = lower::lower(pipeline, Target(target));
  return emit::ptx_of(module, cuda::device_of(Target(target))).text;
}

void check_text(const std::string &ptx, const std::string &architecture,
                const std::vector<const char *> &parts, const std::vector<const char *> &absent) {
  for (const char *part : parts) CHECK_MESSAGE(ptx.find(part) != std::string::npos, part);
  for (const char *part : absent) CHECK_MESSAGE(ptx.find(part) == std::string::npos, part);
  const auto cubin = assembled(ptx, architecture);
  if (!cubin) return;
  CAPTURE(cubin->said);
  CHECK(cubin->status == 0);
  CHECK(!cubin->warns());
  CHECK(cubin->spilled() == 0);
}

TEST_CASE("cuda strips - they are as wide as the memory that is left allows") {
  // Four stages of 48 KB leave 32 KB.
  CHECK(strips_of(product({}), kTarget) == Strips{{8, 16, 72}});
  CHECK(strips_of(product({.type = float32}), kTarget) == Strips{{8, 16, 40}});
  CHECK(strips_of(product({.type = float32, .columns = 128}), kTarget) == Strips{{8, 16, 72}});
  CHECK(strips_of(product({.rows = 64}), kTarget) == Strips{{4, 16, 72}});
  CHECK(strips_of(product({.marked = true}), kTarget) == Strips{{8, 16, 72}});
  // Nine stages of 24 KB leave 8.
  CHECK(strips_of(product({.stages = 9, .step = 32}), kTarget).empty());
}

TEST_CASE("cuda strips - a device of sm_80 runs as many blocks as without them") {
  // Five stages of 24 KB: one block on compute capability 8.0, none on 8.6.
  CHECK(strips_of(product({.stages = 5, .step = 32}), kOlderTarget) == Strips{{8, 16, 72}});
  // Two of 48 KB: one block on both, but not with strips.
  CHECK(strips_of(product({.stages = 2}), kOlderTarget).empty());
  // Three leave a block 16 KB.
  CHECK(strips_of(product({.stages = 3}), kOlderTarget).empty());
}

TEST_CASE("cuda strips - stores of which no whole rows lie in lines go without") {
  CHECK(strips_of(product({.elements = true}), kTarget).empty());
  CHECK(strips_of(product({.columns = 128, .gathered_columns = true}), kTarget).empty());
  // Rows of 64 bytes.
  CHECK(strips_of(product({.columns = 32}), kTarget).empty());
}

TEST_CASE("cuda strips - which stores of a kernel go through one") {
  // STORES stands for statements over an accumulator of 64 columns. There is one block at a time.
  const std::string kernel =
      R"(module kernel(A: float32[2]) -> (C: float32[2], D: float32[2], E: bfloat16[2], G: float32[3], L: float32[1]) {
  stage compute C {
    launch kernel threads 128 {
      axes m < 64 max 64, n < 64 max 64
      shared %most: bfloat16[64, 1024]
      registers %acc: float32[64, 64] accumulator(1, 4, 1, 1)
      registers %rows: float32[64] rows(1, 4, 1, 1)
      fill m, n: %acc[m, n] = 1.0
      fill m: %rows[m] = 1.0
      STORES
    }
  }
})";
  const auto through = [&](const std::string &stores, const char *target) {
    std::string text = kernel;
    text.replace(text.find("STORES"), 6, stores);
    const ir::Module module = lower::store_through(ir::parse(text), Target(target));
    ir::verify(module, "strips");
    return strips_of(module);
  };
  const std::vector<std::int64_t> strip{4, 16, 72}, wide{4, 16, 136};
  const struct {
    const char *stores;
    Strips strips, older;  ///< for sm_90a, for sm_80
  } cases[] = {
      {"store m, n: C[m, n] = %acc[m, n]", {strip}, {strip}},
      {"store m, n: C[m, n + 3] = %acc[m, n] * %rows[m] where m < 9, A(m, 0) < 1.0",
       {strip},
       {strip}},
      // One for all stores of a type.
      {"store m, n: C[m, n] = %acc[m, n] store m, n: D[m, n] = %acc[m, n]", {strip}, {strip}},
      {"store m, n: C[m, n] = %acc[m, n] store m, n: E[m, n] = bfloat16(%acc[m, n])",
       {strip, strip},
       {strip, strip}},
      {"reduce_store m, n: C[m, n] += %acc[m, n] atomic", {wide}, {}},
      {"reduce_store m, n: C[m, n] += %acc[m, n] atomic store m, n: D[m, n] = %acc[m, n]",
       {strip, wide},
       {strip}},
      // A bulk reduction may come later than its statement ends.
      {"reduce_store m, n: C[m, n] += %acc[m, n] atomic sync store m: L[m] = C[m, 0]", {}, {}},
      {"reduce_store m, n: C[m, n] += %acc[m, n] atomic "
       "reduce_store m, n: C[m, n] += %acc[m, n] atomic",
       {},
       {}},
      // Nothing adds anything but sums, and none that nobody else adds to.
      {"reduce_store m, n: C[m, n] max= %acc[m, n] atomic", {}, {}},
      {"reduce_store m, n: C[m, n] += %acc[m, n]", {}, {}},
      {"store m, n: C[m, n] = %acc[m, n] where n < 9", {}, {}},
      {"store m, n: C[m, n] = %acc[m, n] where %acc[m, n] > 0.0", {}, {}},
      {"store m, n: C[m, n] = %acc[m, n] where %rows[m] > 0.0", {}, {}},
      {"store m, n: C[n, m] = %acc[m, n]", {}, {}},
      {"store m, n: C[m, 2 * n] = %acc[m, n]", {}, {}},
      {"store m, n: G[n, m, n] = %acc[m, n]", {}, {}},
      {"store m: L[m] = %rows[m]", {}, {}},
  };
  for (const auto &c : cases) {
    CAPTURE(c.stores);
    CHECK(through(c.stores, kTarget) == c.strips);
    CHECK(through(c.stores, kOlderTarget) == c.older);
  }
}

TEST_CASE("cuda strips - 2-byte results by stmatrix, and by words where there is none") {
  check_text(text_of(product({}), kTarget), "sm_90a",
             {"stmatrix.sync.aligned.m8n8.x4.shared.b16", "bar.warp.sync", "ld.shared.v4.b32",
              "st.global.v4.b32"},
             {"shfl.sync.bfly"});
  check_text(text_of(product({.marked = true}), kTarget), "sm_90a",
             {"stmatrix.sync.aligned.m8n8.x4.shared.b16", "st.global.v4.b32"}, {});
  check_text(text_of(product({.stages = 5, .step = 32}), kOlderTarget), "sm_80",
             {"st.shared.b32", "bar.warp.sync", "ld.shared.v4.b32", "st.global.v4.b32"},
             {"stmatrix", "shfl.sync.bfly"});
}

TEST_CASE("cuda strips - 4-byte results two at a time") {
  for (const std::int64_t columns : {256, 128}) {
    CAPTURE(columns);
    check_text(text_of(product({.type = float32, .columns = columns}), kTarget), "sm_90a",
               {"st.shared.v2", "bar.warp.sync", "ld.shared.v4.b32", "st.global.v4.b32"},
               {"stmatrix"});
  }
}

TEST_CASE("cuda strips - rows that are not stored are not looked up") {
  const struct {
    const char *most, *store;  ///< how much shared memory is taken; what is stored
    bool strip;
  } cases[] = {
      {"1024", "store m, n: C[int64(I(m)), n] = %acc[m, n]", true},
      {"1024", "store m, n: D[int64(I(m)), n] = bfloat16(%acc[m, n])", true},
      {"1024", "reduce_store m, n: C[int64(I(m)), n] += %acc[m, n] atomic", true},
      {"1792", "store m, n: D[int64(I(m)), n] = bfloat16(%acc[m, n])", false},
      {"1792", "reduce_store m, n: C[int64(I(m)), n] += %acc[m, n] atomic", false},
  };
  for (const auto &c : cases) {
    CAPTURE(c.store);
    CAPTURE(c.strip);
    std::string text = R"(
module kernel(I: int32[1]) -> (C: float32[2], D: bfloat16[2]) {
  stage compute C {
    launch kernel threads 128 {
      axes m < min(64, I.extent(0)) max 64, n < 64 max 64
      shared %most: bfloat16[64, MOST]
      registers %acc: float32[64, 64] accumulator(1, 4, 1, 1)
      fill m, n: %acc[m, n] = 1.0
      STORE
    }
  }
})";
    text.replace(text.find("MOST"), 4, c.most);
    text.replace(text.find("STORE"), 5, c.store);
    const ir::Module module = lower::store_through(ir::parse(text), Target(kTarget));
    REQUIRE(strips_of(module).empty() == !c.strip);
    const std::string ptx = emit::ptx_of(module, cuda::device_of(Target(kTarget))).text;
    std::size_t load = ptx.find("ld.global.nc.s32");
    REQUIRE(load != std::string::npos);
    // Each row's look-up is behind a branch or a predicate of its own.
    for (std::size_t before = 0; load != std::string::npos;
         before = load, load = ptx.find("ld.global.nc.s32", load + 1)) {
      const std::string between = ptx.substr(before, load - before);
      CHECK_MESSAGE(between.find("bra") != std::string::npos, between);
    }
  }
}

TEST_CASE("cuda strips - the results are those of the algorithm") {
  const bool device = target_under_test().is_cuda();
  std::mt19937 generator(11);
  const struct {
    const char *name;
    Pipeline pipeline;
  } cases[] = {{"2 bytes", product({})},
               {"4 bytes", product({.type = float32})},
               {"wide strips of 4 bytes", product({.type = float32, .columns = 128})},
               {"a half strip behind whole ones", product({.columns = 96})},
               {"marked rows", product({.marked = true})},
               {"marked rows of 4 bytes", product({.type = float32, .marked = true})},
               {"values that read memory", product({.marked = true, .added = true})},
               {"all warps multiply", product({.type = float16, .stages = 5, .step = 32})}};
  for (const auto &c : cases) {
    CAPTURE(c.name);
    for (const char *target : {kTarget, kOlderTarget}) {
      CAPTURE(target);
      const Runner runner(c.pipeline, device ? Engine::Compiled : Engine::CudaTileInterpreter,
                          Target(target));
      // Ragged tiles; whole ones; rows that begin at multiples of 2, 4 and 8 bytes. For the
      // interpreter they are all alike.
      for (const auto &[m, n, k] : std::vector<std::array<std::int64_t, 3>>{
               {140, 264, 40}, {256, 256, 64}, {130, 257, 40}, {70, 258, 64}, {200, 260, 64}}) {
        CAPTURE(n);
        Problem problem;
        problem.inputs.emplace("X", random_values(bfloat16, {m, k}, generator, true));
        problem.inputs.emplace("W", random_values(bfloat16, {k, n}, generator, true));
        problem.inputs.emplace("keep", random_values(uint8, {m}, generator, true, 0.3));
        problem.inputs.emplace("bias", random_values(float32, {m}, generator, true));
        problem.outputs.emplace("Y", Shape{m, n});
        const std::map<std::string, AnyBuffer> expected = poisoned_outputs(c.pipeline, problem),
                                               got = poisoned_outputs(c.pipeline, problem);
        std::map<std::string, AnyBuffer> bounds;
        Reference(c.pipeline, problem.inputs, problem.scalars).run(expected, &bounds);
        REQUIRE_NOTHROW(runner(problem, got));
        const Comparison result = compare(got, expected, bounds, true, 64);
        CHECK_MESSAGE(result.different == 0, result.first);
        if (!device) break;
      }
    }
  }
}

}  // namespace
}  // namespace pit::test
