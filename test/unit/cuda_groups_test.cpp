// Kernels of the staged level without roles: all warps copy and multiply, by mma.sync or by the
// threads. As far as they show without a device; with one that PIT_TEST_TARGET names, their
// results.
#include <doctest/doctest.h>

#include <array>
#include <random>
#include <string>

#include "codegen/emit/listing.h"
#include "test/harness.h"
#include "test/ptxas.h"

namespace pit::test {
namespace {

const char *const kBfloat16 = "sm_80.float32.bfloat16.16x8x16",
                  *const kFloat16 = "sm_80.float32.float16.16x8x16",
                  *const kTf32 = "sm_80.float32.tf32.16x8x8", *const kFma = "sm_80.float32.fma",
                  *const kDouble = "sm_80.float64.fma";

/// Out(m, n) = sum over k of A(m, k) B(k, n), either operand perhaps transposed in memory.
struct Product {
  Type type = bfloat16, sum = float32, out = float32;
  bool a_transposed = false, b_transposed = false;
  std::array<std::int64_t, 3> tile{64, 64, 32};
  int stages = 3;
  std::string atom = kBfloat16;
  /// Reduced along a list of coordinates, 32 x 1 micro-tiles of A that are not all zero.
  bool sparse = false;
};

Pipeline build(const Product &p) {
  Var m("m"), n("n"), mo("mo"), no("no"), mi("mi"), ni("ni"), kt("kt");
  RVar ko("ko"), ki("ki");
  TensorParam A(p.type, 2, "A"), B(p.type, 2, "B");
  const Expr depth = A.extent(p.a_transposed ? 0 : 1);
  RDom k(0, depth, "k");
  const Expr a = p.a_transposed ? A(k, m) : A(m, k), b = p.b_transposed ? B(n, k) : B(k, n);
  if (p.sparse) k.where(a != 0);
  Func C("C"), Out("Out");
  C(m, n) += cast(p.sum, a) * cast(p.sum, b);
  Out(m, n) = cast(p.out, C(m, n));
  const auto rows = static_cast<int>(p.tile[0]), columns = static_cast<int>(p.tile[1]),
             deep = static_cast<int>(p.tile[2]);
  Out.tile(m, n, mo, no, mi, ni, rows, columns).gpu_blocks(mo, no);
  C.compute_at(Out, no);
  auto update = C.update();
  if (p.sparse) {
    SparseIndex live = update.index({.axis = k, .micro = {{m, rows}, {k, 1}}}).named("live");
    live.store_values(A);
    update.pit_tile(kt, {.dense = {{k, deep}}, .index = live}).software_pipeline(kt, p.stages);
  } else {
    update.split(k, ko, ki, deep).software_pipeline(ko, p.stages);
  }
  if (!p.atom.empty()) update.atom(p.atom);
  return Pipeline({Out}, {}, "product");
}

/// What the lowering says of the product's kernel: what multiplies in it, or why by threads.
std::string choice_of(const Product &p, const std::string &target, ir::Module *module) {
  std::vector<lower::Explanation> explanation;
  *module = lower::lower(build(p), Target("x86-64-linux-cuda-" + target), &explanation);
  for (const lower::Explanation &line : explanation) {
    if (line.topic == "kernel") return line.text;
  }
  return "";
}

ir::Module pipelined(const Product &p, const std::string &target) {
  ir::Module module;
  const std::string choice = choice_of(p, target, &module);
  CAPTURE(choice);
  const bool chosen = choice.find("multiplies by " + p.atom + ": ") != std::string::npos;
  CHECK(chosen);
  return module;
}

std::string described(const Product &p) {
  return p.atom + " " + std::to_string(p.tile[0]) + "x" + std::to_string(p.tile[1]) + "x" +
         std::to_string(p.tile[2]) + (p.a_transposed ? " A transposed" : "") +
         (p.b_transposed ? " B transposed" : "") + (p.sparse ? " sparse" : "") + " stages " +
         std::to_string(p.stages);
}

/// Each way that operands lie, of each type, at tiles that the warps divide evenly or not.
std::vector<Product> products() {
  std::vector<Product> list;
  for (const bool a : {false, true}) {
    for (const bool b : {false, true}) {
      list.push_back({bfloat16, float32, bfloat16, a, b, {128, 128, 64}, 3, kBfloat16});
      list.push_back({float16, float32, float16, a, b, {64, 80, 32}, 2, kFloat16});
      list.push_back({float32, float32, float32, a, b, {64, 64, 32}, 3, kTf32});
      list.push_back({float32, float32, float32, a, b, {128, 128, 16}, 3, kFma});
      list.push_back({float64, float64, float64, a, b, {64, 64, 16}, 3, kDouble});
    }
  }
  list.push_back({bfloat16, float32, float32, false, false, {32, 16, 16}, 1, kBfloat16});
  list.push_back({float32, float32, float32, false, false, {16, 32, 8}, 4, kFma});
  list.push_back({bfloat16, float32, float32, false, false, {32, 128, 32}, 3, kBfloat16, true});
  list.push_back({float32, float32, float32, false, false, {32, 128, 32}, 3, kFma, true});
  list.push_back({float32, float32, float32, false, false, {32, 128, 32}, 3, kTf32, true});
  return list;
}

TEST_CASE("cuda groups - a product has the instructions of its types and no spills") {
  for (const Product &p : products()) {
    const std::string what = described(p);
    CAPTURE(what);
    for (const char *name : {"sm_80", "sm_90a"}) {
      const ir::Module module = pipelined(p, name);
      const cuda::Device device = cuda::device_of(Target(std::string("x86-64-linux-cuda-") + name));
      const std::string ptx = emit::ptx_of(module, device).text;
      const auto holds = [&](const std::string &part) {
        const bool found = ptx.find(part) != std::string::npos;
        CHECK_MESSAGE(found, part);
      };
      holds("cp.async.cg.shared.global.L2::128B");
      holds("cp.async.wait_group");
      if (p.type == bfloat16) holds("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32");
      if (p.type == float16) holds("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32");
      if (p.atom == kTf32) holds("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32");
      if (p.atom == kTf32) holds("cvt.rna.tf32.f32");
      if (p.type.bytes() == 2 && !p.a_transposed && !p.sparse)
        holds("ldmatrix.sync.aligned.m8n8.x4.shared.b16");
      if (p.type.bytes() == 2 && !p.b_transposed)
        holds("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16");
      if (p.type.bytes() >= 4 && p.atom != kTf32) {
        holds(p.type == float32 ? "fma.rn.f32" : "fma.rn.f64");
        holds(p.type == float32 ? "ld.shared.v4.b32" : "ld.shared.v2.b64");
      }
      const auto cubin = assembled(ptx, name);
      if (!cubin) continue;
      CAPTURE(cubin->said);
      CHECK(cubin->status == 0);
      CHECK(cubin->spilled() == 0);
    }
  }
}

Problem problem_for(const Product &p, std::int64_t m, std::int64_t n, std::int64_t k) {
  std::mt19937 generator(static_cast<unsigned>(m + n + k));
  Problem problem;
  problem.inputs.emplace("A", random_values(p.type, p.a_transposed ? Shape{k, m} : Shape{m, k},
                                            generator, true, p.sparse ? 0.97 : 0));
  problem.inputs.emplace(
      "B", random_values(p.type, p.b_transposed ? Shape{n, k} : Shape{k, n}, generator, true));
  problem.outputs.emplace("Out", Shape{m, n});
  return problem;
}

TEST_CASE("cuda groups - the interpreter finds no races, and the product") {
  std::vector<Product> few;
  for (const Product &p : products()) {
    if (p.sparse || p.tile[0] < 64 || p.type == float64) few.push_back(p);
  }
  for (const Product &p : few) {
    const std::string what = described(p);
    CAPTURE(what);
    const Pipeline pipeline = build(p);
    const ir::Module module = pipelined(p, "sm_80");
    for (const auto &[m, n, k] : {std::array<std::int64_t, 3>{70, 72, 56}, {33, 9, 5}}) {
      const Problem problem = problem_for(p, m, n, k);
      const auto expected = poisoned_outputs(pipeline, problem);
      std::map<std::string, AnyBuffer> bounds;
      Reference(pipeline, problem.inputs, problem.scalars).run(expected, &bounds);
      const std::vector<ir::TensorArgument> in{tensor_argument(problem.inputs.at("A")),
                                               tensor_argument(problem.inputs.at("B"))};
      for (const ir::Landing landing : {ir::Landing::Late, ir::Landing::AtOnce}) {
        const auto got = poisoned_outputs(pipeline, problem);
        REQUIRE_NOTHROW(
            ir::interpret(module, in, {}, {tensor_argument(got.at("Out"))}, nullptr, {1, landing}));
        const Comparison result = compare(got, expected, bounds, true, 0);
        CHECK_MESSAGE(result.different == 0, result.first);
      }
    }
  }
}

TEST_CASE("cuda groups - types choose the atom, and never one that rounds") {
  const struct {
    Product product;
    const char *target, *choice;
  } cases[] = {
      {{bfloat16, float32, float32, false, false, {64, 64, 32}, 3, ""}, "sm_80", kBfloat16},
      {{bfloat16, float32, float32, false, false, {64, 64, 32}, 3, ""}, "sm_90a", "wgmma"},
      {{float32, float32, float32, false, false, {64, 64, 32}, 3, ""}, "sm_80", kFma},
      {{float32, float32, float32, false, false, {64, 64, 32}, 3, ""}, "sm_90a", kFma},
      {{float64, float64, float64, false, false, {64, 64, 16}, 3, ""}, "sm_90a", kDouble},
      {{float16, float64, float64, false, false, {64, 64, 32}, 3, ""},
       "sm_80",
       "no atom multiplies float16 by float16 into float64"},
      {{bfloat16, float32, float32, true, false, {64, 64, 24}, 3, ""},
       "sm_80",
       "the steps of k (24) are no multiple of 16"},
      {{bfloat16, float32, float32, false, false, {24, 64, 32}, 3, ""},
       "sm_80",
       "the accumulator C does not fit"},
  };
  for (const auto &c : cases) {
    ir::Module module;
    const std::string choice = choice_of(c.product, c.target, &module);
    CAPTURE(choice);
    CAPTURE(std::string(c.choice));
    const bool found = choice.find(c.choice) != std::string::npos;
    CHECK(found);
  }
}

TEST_CASE("cuda groups - an atom that a kernel cannot use is an error with the reason") {
  const struct {
    Product product;
    const char *reason;
  } cases[] = {
      {{bfloat16, float32, float32, false, false, {64, 64, 32}, 3, kTf32},
       "the atom sm_80.float32.tf32.16x8x8 does not multiply bfloat16 by bfloat16 into float32"},
      {{float32, float32, float32, false, false, {512, 512, 16}, 2, kFma},
       "the sums take 512 registers of each thread"},
      {{bfloat16, float32, float32, false, false, {24, 64, 32}, 3, kBfloat16}, "does not fit"},
  };
  for (const auto &c : cases) {
    ir::Module module;
    std::string said;
    try {
      choice_of(c.product, "sm_80", &module);
    } catch (const CompileError &error) {
      said = error.what();
    }
    CAPTURE(said);
    CAPTURE(std::string(c.reason));
    const bool named = said.find("C.update(0).atom(") != std::string::npos,
               found = said.find(c.reason) != std::string::npos;
    CHECK(named);
    CHECK(found);
  }
}

TEST_CASE("cuda groups - products on the device are exact, whole and ragged") {
  const Target target = target_under_test();
  if (!target.is_cuda()) return;
  for (const Product &p : products()) {
    const std::string what = described(p);
    CAPTURE(what);
    const Pipeline pipeline = build(p);
    const Callable callable = pipeline.compile(target);
    // Whole tiles, ragged ones, and rows that start at no multiple of 16 bytes.
    for (const auto &[m, n, k] :
         {std::array<std::int64_t, 3>{256, 384, 320}, {200, 264, 136}, {130, 77, 65}, {1, 1, 1}}) {
      const Problem problem = problem_for(p, m, n, k);
      const auto expected = poisoned_outputs(pipeline, problem),
                 got = poisoned_outputs(pipeline, problem);
      std::map<std::string, AnyBuffer> bounds, there;
      Reference(pipeline, problem.inputs, problem.scalars).run(expected, &bounds);
      std::vector<CallArgument> arguments;
      for (const Argument &a : pipeline.signature()) {
        const AnyBuffer &here =
            a.kind == Argument::Kind::InputTensor ? problem.inputs.at(a.name) : got.at(a.name);
        arguments.emplace_back(there.emplace(a.name, here.to_cuda()).first->second);
      }
      callable.call(arguments);
      pit::check();
      for (const auto &[name, buffer] : got) buffer.copy_from(there.at(name).to_host());
      const Comparison result = compare(got, expected, bounds, true, 0);
      CHECK_MESSAGE(result.different == 0, result.first);
    }
  }
}

}  // namespace
}  // namespace pit::test
