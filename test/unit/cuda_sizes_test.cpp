// Modules for a GPU, whose sizes the host must know before any memory is read.
#include <doctest/doctest.h>
#include <pit/pit.h>

#include "codegen/ir/mutator.h"
#include "codegen/ir/text.h"
#include "codegen/lower/lower.h"
#include "test/filecheck.h"
#include "test/programs.h"

using namespace pit;

namespace {

Target cuda() { return Target("x86-64-linux-cuda-sm_90a"); }

bool reads_memory(const Expr &e) {
  bool found = false;
  walk(e, [&](const Expr &part) { return !(found = found || part.as<Load>() != nullptr); });
  return found;
}

/// What the host would have to read: the extent of a workspace, or a number outside all stages.
std::vector<std::string> read_by_host(const ir::Module &module) {
  std::vector<std::string> found;
  auto visit = [&](auto &&self, const ir::Stmt &s, bool in_stage) -> void {
    if (!s.defined()) return;
    if (const auto *allocate = s.as<ir::Allocate>()) {
      for (const Expr &extent : allocate->extents) {
        if (allocate->storage->space == Space::Heap && reads_memory(extent))
          found.push_back(allocate->storage->name + ": " + to_string(extent));
      }
      return self(self, allocate->body, in_stage);
    }
    if (const auto *block = s.as<ir::Block>()) {
      for (const ir::Stmt &part : block->stmts) self(self, part, in_stage);
      return;
    }
    if (const auto *stage = s.as<ir::Stage>()) return self(self, stage->body, true);
    if (const auto *let = s.as<ir::Let>()) {
      if (!in_stage && reads_memory(let->value))
        found.push_back(let->var->name + " = " + to_string(let->value));
      return self(self, let->body, in_stage);
    }
    if (!in_stage) found.push_back(ir::print(s));
    ir::walk_statements(s, [&](const ir::Stmt &part) {
      const auto *inner = part.as<ir::Allocate>();
      for (std::size_t i = 0; inner && i < inner->extents.size(); ++i) {
        if (inner->storage->space == Space::Heap && reads_memory(inner->extents[i]))
          found.push_back(inner->storage->name + ": " + to_string(inner->extents[i]));
      }
      return true;
    });
  };
  visit(visit, module.body, false);
  return found;
}

void check_host_reads_nothing(const Pipeline &pipeline) {
  for (const std::string &what : read_by_host(lower::lower(pipeline, cuda())))
    FAIL_CHECK(pipeline.name(), " reads memory on the host: ", what);
}

Pipeline with(const Pipeline &pipeline, const std::string &schedule) {
  return pipeline.with(Schedule::parse(pipeline, schedule));
}

std::string message(const Pipeline &pipeline) {
  try {
    lower::lower(pipeline, cuda());
  } catch (const CompileError &e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("lowered for CUDA, the host reads no memory") {
  for (const test::Program &program : test::programs()) {
    check_host_reads_nothing(program.build(true));
    check_host_reads_nothing(program.build(false));
  }
}

TEST_CASE("modules for CUDA read back from their text") {
  for (const test::Program &program : test::programs()) {
    CAPTURE(program.name);
    const std::string text = ir::print(lower::lower(program.build(true), cuda()));
    CHECK(ir::print(ir::parse(text)) == text);
  }
}

TEST_CASE("for CUDA a domain that is data has room for what its tensors hold") {
  Var m("m"), n("n");
  TensorParam rows(int32, 1, "rows"), columns(int32, 1, "columns"), B(float32, 2, "B"),
      many(int32, 1, "many"), A(float32, 1, "A");
  {
    RDom p = csr(rows, columns, m, "p");
    p.where(B(columns(p), 0) != 0);
    Func C("C");
    C(m, n) += B(columns(p), n);
    const Pipeline pipeline({C}, {}, "csr");
    check_host_reads_nothing(
        with(pipeline, "C.update(0).pit_tile(t, axis=p, group=m, dense={p:8})\n"));
    // Rows follow each other in one tensor: all of them together have its elements.
    const std::string text = ir::print(lower::lower(
        with(pipeline, "C.update(0).pit_tile(t, axis=p, group=m, dense={p:8})\n"), cuda()));
    CHECK(text.find("marks: uint8[columns.extent(0)]") != std::string::npos);
  }
  {
    RDom r(0, many(0), "r");
    r.where(A(r) > 0);
    Func F("F"), S("S");
    F(n) = A(n) * 2.f;
    S(m) += F(r);
    const Pipeline pipeline({S}, {}, "many");
    for (const char *schedule :
         {"F.compute_root()\n",
          "F.compute_root()\nS.update(0).pit_tile(t, axis=r, dense={r:8})\n"}) {
      check_host_reads_nothing(with(pipeline, schedule));
    }
  }
}

TEST_CASE("for CUDA a size that no shape says is refused") {
  Var m("m");
  TensorParam A(float32, 1, "A"), many(int32, 1, "many");
  RDom r(0, many(m), "r");
  r.where((r * 7) % 3 == 0);
  Func S("S");
  S(m) += A(i32(r * r));
  const Pipeline pipeline({S}, {}, "unbounded");
  const std::string text = message(with(pipeline, "S.update(0).pit_tile(t, axis=r, group=m)\n"));
  CHECK(text.find("index S.index of S.update(0)") != std::string::npos);
  CHECK(text.find("declare how many there are at most with capacity(n)") != std::string::npos);
  check_host_reads_nothing(with(pipeline,
                                "live = S.update(0).index(axis=r, group=m).capacity(A.extent(0))\n"
                                "S.update(0).pit_tile(t, index=live)\n"));

  Func F("F"), T("T");
  F(m) = f32(m);
  RDom q(0, many(0), "q");
  T(m) += F(q);
  const std::string region = message(with(Pipeline({T}, {}, "region"), "F.compute_root()\n"));
  CHECK(region.find("the range of m in F is data") != std::string::npos);
  CHECK(region.find("F.bound(m, min, extent)") != std::string::npos);
}

TEST_CASE(
    "for CUDA the operand of an index is read once: blocks mark strips of it, place them and "
    "pack") {
  CHECK_TEXT(ir::print(lower::lower(test::build_spmm(true), cuda())), R"(
CHECK: stage index live
CHECK: launch
CHECK: store live.progress[i] = 0
CHECK: store live.offsets[i] = int32(i * A.extent(1))
CHECK: launch {{.*}} grid strip < max((A.extent(1) + 255) / 256, 1), m.group < (Out.extent(0) + 127) / 128
CHECK: tile %live.mark: bool[256]
CHECK: tile %live.values.strip: bfloat16[128, 256]
CHECK: load lane, p: %live.values.strip[lane, p] = A(m.group * 128 + lane, strip * 256 + p)
CHECK: axes m < {{.*}} max 128, k < {{.*}} max 256
CHECK: reduce m, k: %live.mark[k] ||= %live.values.strip[m, k] != 0.0
CHECK: compact %live.list, %live.count
CHECK: sum_before %live.group_before = int64(%live.count{{.*}} from m.group * {{.*}} progress live.progress
CHECK: %live.before[] = m.group * A.extent(1) + %live.group_before[]
CHECK: swrite {{.*}} live.coordinates
CHECK-NOT: A(
CHECK: swrite entry, {{lane.*}}: live.values[{{.*}}] = %live.values.strip[lane
CHECK-NOT: check
CHECK-NOT: launch
CHECK: stage compute
)");
}

TEST_CASE("for CUDA groups of an index are spaced unless somebody sees the lists") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  const auto lowered = [&](const std::string &settings, const std::string &more = "") {
    return ir::print(
        lower::lower(with(Pipeline({C}, {}, "spaced"),
                          "live = C.update(0).index(axis=k, micro={m:16, k:1})" + settings + "\n" +
                              more + "C.update(0).pit_tile(kt, dense={k:16}, index=live)\n"),
                     cuda()));
  };
  CHECK_TEXT(lowered(".align(4)"), R"(
CHECK: store live.offsets[i] = int32(i * ((A.extent(1) + 3) / 4 * 4))
CHECK: sum_before %live.group_before = {{.*}} from m.group * {{.*}} progress live.progress
CHECK-NOT: sum_before
CHECK: stage compute C
)");
  // One atomic operation a block, which says besides whether the block comes last of its group.
  for (const char *align : {"", ".align(4)"}) {
    CHECK_TEXT(lowered(std::string(".unordered()") + align), R"(
CHECK: store live.places[i] = 0
CHECK: fetch_add %live.taken[] = live.places[m.group] += int64(%live.count{{.*}} + 1099511627776
CHECK: if {{.*}}%live.taken[] / 1099511627776
CHECK: store live.counts[m.group] =
CHECK-NOT: sum_before
CHECK: stage compute C
)");
  }
  // Where there is less room, or the lists are seen, groups follow each other closely.
  for (const std::string &text : {lowered(".unordered().capacity(A.extent(1))"),
                                  lowered("", "C.update(0).specialize(live.density() < 0.5)\n")}) {
    CHECK_TEXT(text, R"(
CHECK: sum_before %live.before = {{.*}} from 0 progress live.progress
CHECK: stage compute C
)");
  }
}

TEST_CASE("for CUDA a definition without directives is spread over blocks and threads") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A");
  RDom k(0, A.extent(1), "k");
  Func F("F"), G("G"), H("H"), Y("Y");
  F(i, j) = A(i, j) * 2.f;
  F(i, j) += f32(i);  // each element its own
  G(i, j) = A(i, j);
  G(i, k) = G(i, max(k - 1, 0)) + A(i, k);  // rows lie apart, columns follow each other
  H(i) += A(i, k);
  Y(i, j) = F(i, j) + G(i, j) + H(i);
  const std::string text = ir::print(lower::lower(
      with(Pipeline({Y}, {}, "spread"), "F.compute_root()\nG.compute_root()\nH.compute_root()\n"),
      cuda()));
  // Pure loops of scalar statements are one row of threads.
  CHECK_TEXT(text, R"(
CHECK: stage compute F
CHECK: launch F threads 256 grid block{{[.0-9]*}} < ({{.*}} * {{.*}} + 255) / 256
CHECK: gpu_thread
CHECK: launch F.1 threads 256 grid block{{[.0-9]*}} < ({{.*}} * {{.*}} + 255) / 256
CHECK: gpu_thread
CHECK: stage compute G
CHECK: launch G threads
CHECK: launch G.1 threads 256 grid block{{[.0-9]*}} <
CHECK: gpu_thread
CHECK: for k
CHECK: stage compute H
CHECK: launch H.1 threads 256 grid i{{.*}} < Y.extent(0)
CHECK: reduce k{{.*}}: H[i
)");
}
