// Kernels whose products run on tensor cores: which they are, what of it shows without a device,
// and that the interpreter, or the device that PIT_TEST_TARGET names, gives the reference's
// results.
#include <doctest/doctest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "codegen/emit/listing.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/text.h"
#include "codegen/lower/lower.h"
#include "dsl/error.h"
#include "test/harness.h"
#include "test/programs.h"
#include "test/ptxas.h"

namespace pit::test {
namespace {

const char *const kTarget = "x86-64-linux-cuda-sm_90a";
const char *const kOlderTarget = "x86-64-linux-cuda-sm_80";

/// Y[rows[i], n] = X[rows[i], :] W of the rows that `keep` marks.
Pipeline gathered_rows() {
  Var i("i"), n("n"), tile("tile");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W"), keep(uint8, 1, "keep");
  RDom k(0, X.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(W(k, n));
  Y(i, n) = bf16(C(i, n));
  Y.where(keep(i) != 0);
  Y.pit_tile(tile, {.axis = i, .dense = {{i, 128}, {n, 256}}});
  C.compute_at(Y, tile);
  C.update().split(k, ko, ki, 64).software_pipeline(ko, 3).warp_specialize({});
  return Pipeline({Y}, {}, "gathered_rows");
}

/// Y[i, columns[n]] = X[i, :] W[:, columns[n]] of the columns that `keep` marks. `rows`: they are
/// rows of W, whose elements lie side by side.
Pipeline gathered_columns(bool rows) {
  Var i("i"), n("n"), tile("tile");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W"), keep(uint8, 1, "keep");
  RDom k(0, X.extent(1), "k");
  RVar ko("ko"), ki("ki");
  Func C("C"), Y("Y");
  C(i, n) += f32(X(i, k)) * f32(rows ? W(n, k) : W(k, n));
  Y(i, n) = bf16(C(i, n));
  Y.where(keep(n) != 0);
  Y.pit_tile(tile, {.axis = n, .dense = {{i, 128}, {n, 128}}});
  C.compute_at(Y, tile);
  C.update().split(k, ko, ki, 64);
  return Pipeline({Y}, {}, "gathered_columns");
}

/// C = A^T B over the k that `keep` marks: rows of both operands are gathered. `transposed`: A B,
/// so that columns of A are.
Pipeline gathered_operands(bool transposed) {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni"), kt("kt");
  TensorParam A(float16, 2, "A"), B(float16, 2, "B"), keep(uint8, 1, "keep");
  RDom k(0, B.extent(0), "k");
  k.where(keep(k) != 0);
  Func C("C"), Out("Out");
  C(m, n) += f32(transposed ? A(k, m) : A(m, k)) * f32(B(k, n));
  Out(m, n) = C(m, n);
  SparseIndex kept = C.update().index({.axis = k}).named("kept");
  Out.tile(m, n, mo, no, mi, ni, 64, 128).gpu_blocks(mo, no);
  C.compute_at(Out, no);
  C.update().pit_tile(kt, {.dense = {{k, 32}}, .index = kept});
  return Pipeline({Out}, {}, "gathered_operands");
}

/// The feed-forward half of a layer on sentences of different lengths, with ReLU.
Pipeline feed_forward() {
  Var b("b"), t("t"), d("d"), f("f"), bt("bt"), one("one"), two("two");
  TensorParam X(bfloat16, 3, "X"), W1(bfloat16, 2, "W1"), W2(bfloat16, 2, "W2"),
      b1(float32, 1, "b1"), len(int32, 1, "len");
  RDom c(0, X.extent(2), "c"), r(0, W1.extent(1), "r");
  Func A1("A1"), H("H"), A2("A2"), Out("Out");
  A1(b, t, f) += f32(X(b, t, c)) * f32(W1(c, f));
  H(b, t, f) = bf16(max(A1(b, t, f) + b1(f), 0));
  A2(b, t, d) += f32(H(b, t, r)) * f32(W2(r, d));
  Out(b, t, d) = bf16(A2(b, t, d) + f32(X(b, t, d)));
  Out.where(t < len(b));
  Out.fuse(b, t, bt);
  SparseIndex tokens = Out.index({.axis = bt}).named("tokens");
  H.fuse(b, t, bt).pit_tile(one, {.dense = {{bt, 128}, {f, 256}}, .index = tokens});
  H.store_compact(tokens);
  A1.compute_at(H, one);
  Out.pit_tile(two, {.dense = {{bt, 128}, {d, 128}}, .index = tokens});
  A2.compute_at(Out, two);
  return Pipeline({Out}, {}, "feed_forward");
}

/// S = A B^T at the 64 x 64 blocks of a mask: the tiles are along the columns, or along both.
Pipeline sampled(std::int64_t rows, std::int64_t columns) {
  Var i("i"), j("j"), st("st");
  TensorParam A(bfloat16, 2, "A"), B(bfloat16, 2, "B"), mask(uint8, 2, "mask");
  RDom c(0, A.extent(1), "c");
  Func Acc("Acc"), S("S");
  Acc(i, j) += f32(A(i, c)) * f32(B(j, c));
  S(i, j) = bf16(Acc(i, j));
  S.where(mask(i / 64, j / 64) != 0);
  S.pit_tile(st, {.axis = j, .micro = {{i, 64}, {j, 64}}, .dense = {{i, rows}, {j, columns}}});
  Acc.compute_at(S, st);
  return Pipeline({S}, {}, "sampled");
}

/// Y[t] = X[t] W[expert[t]].
Pipeline one_expert_each() {
  Var t("t"), d("d"), tile("tile");
  TensorParam X(bfloat16, 2, "X"), W(bfloat16, 3, "W"), expert(int32, 1, "expert");
  RDom c(0, X.extent(1), "c");
  Func Acc("Acc"), Y("Y");
  Acc(t, d) += f32(X(t, c)) * f32(W(expert(t), c, d));
  Y(t, d) = bf16(Acc(t, d));
  Y.pit_tile(tile, {.axis = t, .group = expert(t), .dense = {{t, 64}, {d, 64}}});
  Acc.compute_at(Y, tile);
  return Pipeline({Y}, {}, "one_expert_each");
}

using Tensors = std::vector<std::tuple<std::string, Type, Shape>>;

struct Case {
  std::string name;
  Pipeline pipeline;
  std::vector<std::string> staged;                 ///< launches, in their order
  std::vector<std::function<Problem()>> problems;  ///< whole tiles, ragged ones, almost nothing
  bool exact = true;
  bool gathers_lines = true;  ///< of at least the 4 bytes that an asynchronous copy takes
};

std::mt19937 generator(1);  // NOLINT: data that every run repeats

Problem problem_of(const Tensors &inputs, const std::map<std::string, Shape> &outputs,
                   bool integers = true) {
  Problem problem;
  for (const auto &[name, type, extents] : inputs)
    problem.inputs.emplace(name, random_values(type, extents, generator, integers, 0.3));
  problem.outputs = outputs;
  return problem;
}

/// Integers in [0, n).
AnyBuffer keys(const Shape &extents, int n) {
  AnyBuffer buffer(int32, extents);
  std::uniform_int_distribution<int> key(0, n - 1);
  for_each_coordinate(extents, [&](const Shape &at) { buffer.set_number(at, key(generator)); });
  return buffer;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto spmm = [](std::int64_t m, std::int64_t n, std::int64_t k) {
    return [=] {
      Problem problem =
          problem_of({{"B", bfloat16, {k, n}}, {"bias", float32, {n}}}, {{"Out", {m, n}}});
      problem.inputs.emplace("A", random_values(bfloat16, {m, k}, generator, true, 0.99));
      return problem;
    };
  };
  all.push_back({"a sparse matrix by a dense one",
                 build_spmm(true),
                 {"Out"},
                 {spmm(256, 512, 320), spmm(130, 77, 65), spmm(1, 1, 1)}});
  const auto rows = [](std::int64_t m, std::int64_t n, std::int64_t k) {
    return [=] {
      return problem_of({{"X", bfloat16, {m, k}}, {"W", bfloat16, {k, n}}, {"keep", uint8, {m}}},
                        {{"Y", {m, n}}});
    };
  };
  all.push_back({"rows gathered, and stored where they belong",
                 gathered_rows(),
                 {"Y"},
                 {rows(300, 264, 128), rows(300, 77, 65), rows(1, 1, 1)}});
  for (const bool side_by_side : {false, true}) {
    const auto columns = [=](std::int64_t m, std::int64_t n, std::int64_t k) {
      return [=] {
        return problem_of({{"X", bfloat16, {m, k}},
                           {"W", bfloat16, side_by_side ? Shape{n, k} : Shape{k, n}},
                           {"keep", uint8, {n}}},
                          {{"Y", {m, n}}});
      };
    };
    all.push_back({side_by_side ? "rows of the right operand gathered" : "columns gathered",
                   gathered_columns(side_by_side),
                   {"Y"},
                   {columns(264, 300, 128), columns(77, 300, 65), columns(1, 1, 1)},
                   true,
                   side_by_side});
  }
  const auto moe = [](std::int64_t t, std::int64_t e, std::int64_t c, std::int64_t f) {
    return [=] {
      return problem_of({{"X", bfloat16, {t, c}},
                         {"Wg", bfloat16, {c, e}},
                         {"W1", bfloat16, {e, c, f}},
                         {"W3", bfloat16, {e, c, f}},
                         {"W2", bfloat16, {e, f, c}}},
                        {{"Out", {t, c}}}, false);
    };
  };
  all.push_back({"experts, both matrices of a layer",
                 build_moe(true),
                 {"H", "Dn"},
                 {moe(150, 2, 64, 128), moe(40, 5, 41, 20)},
                 false});
  const auto expert = [](std::int64_t t, std::int64_t e, std::int64_t c, std::int64_t d) {
    return [=] {
      Problem problem =
          problem_of({{"X", bfloat16, {t, c}}, {"W", bfloat16, {e, c, d}}}, {{"Y", {t, d}}});
      problem.inputs.emplace("expert", keys({t}, static_cast<int>(e)));
      return problem;
    };
  };
  // Several tiles an expert.
  all.push_back({"an expert for each token",
                 one_expert_each(),
                 {"Y"},
                 {expert(600, 2, 64, 64), expert(70, 9, 33, 50)}});
  const auto sentences = [](std::int64_t b, std::int64_t t, std::int64_t c, std::int64_t f) {
    return [=] {
      Problem problem = problem_of({{"X", bfloat16, {b, t, c}},
                                    {"W1", bfloat16, {c, f}},
                                    {"W2", bfloat16, {f, c}},
                                    {"b1", float32, {f}}},
                                   {{"Out", {b, t, c}}});
      problem.inputs.emplace("len", keys({b}, static_cast<int>(t) + 1));
      return problem;
    };
  };
  all.push_back({"sentences of different lengths",
                 feed_forward(),
                 {"H", "Out"},
                 {sentences(4, 70, 64, 128), sentences(3, 50, 9, 20)}});
  const auto products = [](bool transposed, std::int64_t m, std::int64_t n, std::int64_t k) {
    return [=] {
      return problem_of({{"A", float16, transposed ? Shape{k, m} : Shape{m, k}},
                         {"B", float16, {k, n}},
                         {"keep", uint8, {k}}},
                        {{"Out", {m, n}}});
    };
  };
  for (const bool transposed : {false, true}) {
    all.push_back({transposed ? "rows of both operands gathered" : "columns by rows, both gathered",
                   gathered_operands(transposed),
                   {"Out"},
                   {products(transposed, 128, 256, 200), products(transposed, 70, 33, 45)}});
  }
  const auto blocks = [](std::int64_t m, std::int64_t n, std::int64_t c) {
    return [=] {
      return problem_of({{"A", bfloat16, {m, c}},
                         {"B", bfloat16, {n, c}},
                         {"mask", uint8, {(m + 63) / 64, (n + 63) / 64}}},
                        {{"S", {m, n}}});
    };
  };
  all.push_back({"a sparse result, tiles of columns",
                 sampled(64, 256),
                 {"S"},
                 {blocks(128, 512, 64), blocks(100, 300, 33)}});
  all.push_back({"a sparse result, tiles of part of the rows",
                 sampled(64, 64),
                 {"S"},
                 {blocks(128, 128, 64), blocks(70, 130, 20)}});
  const auto compact_blocks = [](std::int64_t m, std::int64_t n, std::int64_t c) {
    return [=] {
      const std::int64_t across = (m + 31) / 32, along = (n + 31) / 32;
      return problem_of(
          {{"A", bfloat16, {m, c}}, {"B", bfloat16, {n, c}}, {"mask", uint8, {across, along}}},
          {{"S", {across * along, 32, 32}},
           {"blocks.offsets", {across + 1}},
           {"blocks.coordinates", {across * along}},
           {"blocks.count", {1}}});
    };
  };
  all.push_back({"a sparse result as block CSR",
                 build_sddmm(true),
                 {"S"},
                 {compact_blocks(128, 256, 64), compact_blocks(100, 70, 9)}});
  const auto opt = [](std::int64_t t, std::int64_t c, std::int64_t f) {
    return [=] {
      return problem_of({{"X", bfloat16, {t, c}},
                         {"W1", bfloat16, {c, f}},
                         {"W2", bfloat16, {f, c}},
                         {"b1", float32, {f}}},
                        {{"Y", {t, c}}});
    };
  };
  all.push_back({"an index marked in the producer's epilogue",
                 build_opt(true),
                 {"H", "Y"},
                 {opt(128, 64, 256), opt(70, 9, 40)}});
  return all;
}

/// PTX without spills, and with the parts that are wanted.
void check_code(const ir::Module &module, const char *target,
                const std::vector<std::string> &parts) {
  const std::string ptx = emit::ptx_of(module, cuda::device_of(Target(target))).text;
  for (const std::string &part : parts) CHECK_MESSAGE(ptx.find(part) != std::string::npos, part);
  const auto cubin = assembled(ptx, std::string(target).substr(std::string(target).rfind("sm_")));
  if (!cubin) return;
  CAPTURE(cubin->said);
  CHECK(cubin->status == 0);
  CHECK(!cubin->warns());
  CHECK(cubin->spilled() == 0);
}

TEST_CASE("cuda staged - the programs that tensor cores are for use them") {
  for (const Case &c : cases()) {
    CAPTURE(c.name);
    const ir::Module module = lower::lower(c.pipeline, Target(kTarget));
    std::vector<std::string> staged;
    std::string launch;
    ir::walk_statements(module.body, [&](const ir::Stmt &s) {
      if (const auto *kernel = s.as<ir::Launch>()) launch = kernel->name;
      if (s.as<ir::Roles>()) staged.push_back(launch);
      return true;
    });
    CHECK(staged == c.staged);
    std::vector<std::string> parts = {"wgmma.mma_async.sync.aligned.m64n",
                                      "mbarrier.try_wait.parity", "setmaxnreg.dec",
                                      "fence.proxy.async", "st.global"};
    if (c.gathers_lines)
      parts.insert(parts.end(), {"cp.async.cg.shared.global", "cp.async.mbarrier.arrive.noinc"});
    check_code(module, kTarget, parts);
  }
}

TEST_CASE("cuda staged - on sm_80 the same programs use its tensor cores") {
  for (const Case &c : cases()) {
    CAPTURE(c.name);
    const ir::Module module = lower::lower(c.pipeline, Target(kOlderTarget));
    std::vector<std::string> staged;
    std::string launch;
    ir::walk_statements(module.body, [&](const ir::Stmt &s) {
      if (const auto *kernel = s.as<ir::Launch>()) launch = kernel->name;
      const auto *mma = s.as<ir::Mma>();
      if (mma && mma->atom.ends_with(".16x8x16") && (staged.empty() || staged.back() != launch))
        staged.push_back(launch);
      return true;
    });
    CHECK(staged == c.staged);
    check_code(module, kOlderTarget,
               {"mma.sync.aligned.m16n8k16", "ldmatrix.sync.aligned", "cp.async.commit_group"});
  }
}

TEST_CASE("cuda staged - the points of a group are counted while the group before is worked on") {
  const std::string text = ir::print(lower::lower(one_expert_each(), Target(kTarget)));
  const std::size_t loop = text.find("for group"), now = text.find("let count", loop),
                    next = text.find("%count.next[] = ", now), tiles = text.find("for turn", loop);
  REQUIRE(tiles != std::string::npos);
  CHECK(text.substr(now, text.find('\n', now) - now).find("%count.next[]") != std::string::npos);
  CHECK(next < tiles);
}

TEST_CASE("cuda staged - the programs give the reference's results") {
  const bool device = target_under_test().is_cuda();
  for (const char *target : {kTarget, kOlderTarget}) {
    for (const Case &c : cases()) {
      CAPTURE(target);
      CAPTURE(c.name);
      // A device of sm_90 runs the code of sm_80, too.
      const Runner runner(c.pipeline, device ? Engine::Compiled : Engine::CudaTileInterpreter,
                          Target(target));
      for (const auto &make : c.problems) {
        const Problem problem = make();
        const std::map<std::string, AnyBuffer> expected = poisoned_outputs(c.pipeline, problem),
                                               got = poisoned_outputs(c.pipeline, problem);
        std::map<std::string, AnyBuffer> bounds;
        Reference(c.pipeline, problem.inputs, problem.scalars).run(expected, &bounds);
        REQUIRE_NOTHROW(runner(problem, got));
        const Comparison result = compare(got, expected, bounds, c.exact, 64);
        CHECK_MESSAGE(result.different == 0, result.first);
      }
    }
  }
}

TEST_CASE("cuda staged - what does not fit into shared memory is refused by name") {
  const auto product = [](int stages) {
    Var i("i"), n("n"), io("io"), no("no"), ii("ii"), ni("ni");
    TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W");
    RDom k(0, X.extent(1), "k");
    RVar ko("ko"), ki("ki");
    Func C("C"), Y("Y");
    C(i, n) += f32(X(i, k)) * f32(W(k, n));
    Y(i, n) = bf16(C(i, n));
    Y.tile(i, n, io, no, ii, ni, 128, 256).gpu_blocks(io, no);
    C.compute_at(Y, no);
    C.update().split(k, ko, ki, 64);
    if (stages > 0) C.update().software_pipeline(ko, stages);
    return Pipeline({Y}, {}, "product");
  };
  CHECK_NOTHROW(lower::lower(product(4), Target(kTarget)));
  CHECK_THROWS_WITH_AS(
      lower::lower(product(5), Target(kTarget)),
      doctest::Contains("C.update(0).software_pipeline: 5 stages need 248064 bytes of shared "
                        "memory, and a block has 232448; ask for at most 4"),
      CompileError);
  // Fewer warps, whose sums leave registers free, would multiply if there was room.
  CHECK_NOTHROW(lower::lower(product(3), Target(kOlderTarget)));
  CHECK_THROWS_WITH_AS(
      lower::lower(product(4), Target(kOlderTarget)),
      doctest::Contains("C.update(0).software_pipeline: 4 stages need 198656 bytes of shared "
                        "memory, and a block has 166912; ask for at most 3"),
      CompileError);
  // What nobody asked for is as many as there is room for.
  std::vector<lower::Explanation> said;
  lower::lower(product(0), Target(kTarget), &said);
  const bool explained = std::any_of(said.begin(), said.end(), [](const auto &line) {
    return line.subject == "C.update(0)" && line.topic == "kernel" &&
           line.text == "Y multiplies by wgmma: 4 stages, 4 producer warps, 2 consumer warpgroups";
  });
  CHECK(explained);
}

}  // namespace
}  // namespace pit::test
