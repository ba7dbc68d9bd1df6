// Where kernels have barriers between their statements, and that the interpreter misses one.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "codegen/ir/equal.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/text.h"
#include "codegen/ir/verify.h"
#include "codegen/lower/lower.h"
#include "codegen/lower/place_barriers.h"
#include "dsl/error.h"
#include "ir_arguments.h"
#include "staged_kernels.h"
#include "test/filecheck.h"

namespace pit::lower {
namespace {

using ir::Module;
using ir::TestTensor;

/// C has 64 elements, n is 32 and i, j are axes up to it.
Module kernel(const std::string &body) {
  return ir::parse(R"(module k(A: float32[1], n: int64[1]) -> (C: float32[1]) {
    stage compute C {
      launch k threads 64 grid p < 2 {
        axes i < 32 max 32, j < 32 max 32
        )" + body + "\n      }\n    }\n  }");
}

/// The text with barriers. They are all that is missing: a second time there is nothing to do.
std::string with_barriers(const std::string &body) {
  const Module placed = place_barriers(kernel(body));
  REQUIRE_NOTHROW(ir::verify(placed, "place_barriers"));
  const std::string text = ir::print(placed);
  CHECK(ir::print(place_barriers(placed)) == text);
  CHECK(ir::equal(ir::parse(text), placed));
  return text;
}

TEST_CASE(
    "barriers - between a statement and one that reads what it wrote, or writes what it read") {
  CHECK_TEXT(with_barriers(R"(
    tile %t: float32[32]
    load i: %t[i] = A(i)
    tile %u: float32[32]
    map i: %u[i] = %t[31 - i]
    map i: %u[i] = %u[i] + A(i)
    fill i: %t[i] = 0.0
    store i: C[p * 32 + i] = %u[i]
  )"),
             R"(
    CHECK: load i: %t[i]
    CHECK-NEXT: tile %u
    CHECK-NEXT: sync
    CHECK-NEXT: map i: %u[i] = %t[31 - i]
    CHECK-NEXT: sync
    CHECK-NEXT: map i: %u[i] = %u[i] + A(i)
    CHECK-NEXT: fill i: %t[i] = 0.0
    CHECK-NEXT: sync
    CHECK-NEXT: store i: C
    CHECK-NEXT: sync
    CHECK-NEXT: }
  )");
}

TEST_CASE("barriers - none for memory that is a thread's own, nor for what is only read") {
  const std::string text = with_barriers(R"(
    tile %scale: float32[]
    load %scale[] = A(p)
    map %scale[] = %scale[] + 1.0
    let twice: float32 = %scale[] + %scale[]
    store i: C[p * 32 + i] = A(i) * twice
    gpu_thread t < 32 {
      tile %own: float32[2]
      load %own[0] = A(t)
      map %own[1] = %own[0] + %scale[]
      if %own[1] > 0.0 {
        map %own[0] = %own[1]
      }
    }
  )");
  CHECK(text.find("sync") == std::string::npos);
}

TEST_CASE("barriers - a loop has one in front of it in place of one inside") {
  CHECK_TEXT(with_barriers(R"(
    tile %sum: float32[32]
    fill i: %sum[i] = 0.0
    for s < n(0) {
      reduce i, j: %sum[i] += A(s * 32 + i + j)
    }
    store i: C[p * 32 + i] = %sum[i]
  )"),
             R"(
    CHECK: fill i: %sum[i] = 0.0
    CHECK-NEXT: sync
    CHECK-NEXT: for s
    CHECK-NEXT: reduce i, j
    CHECK-NEXT: sync
    CHECK-NEXT: }
    CHECK-NEXT: store i: C[p * 32 + i]
    CHECK-NEXT: sync
    CHECK-NEXT: }
  )");
}

TEST_CASE("barriers - an iteration of a loop that meets the one before it begins behind one") {
  CHECK_TEXT(with_barriers(R"(
    tile %t: float32[32]
    for s < n(0) {
      load i: %t[i] = A(s * 32 + i)
      store i: C[p * 32 + i] = %t[31 - i]
    }
    for s.1 < n(0) {
      let first: float32 = A(s.1)
      if first > 0.0 {
        tile %u: float32[32]
        load i: %u[i] = A(s.1 + i)
      }
    }
  )"),
             R"(
    CHECK: for s
    CHECK-NEXT: load i
    CHECK-NEXT: sync
    CHECK-NEXT: store i
    CHECK-NEXT: sync
    CHECK-NEXT: }
    CHECK-NEXT: for s.1
    CHECK-NEXT: let first
    CHECK-NEXT: if
    CHECK-NEXT: tile %u
    CHECK-NEXT: load i: %u
    CHECK-NEXT: }
    CHECK-NEXT: sync
    CHECK-NEXT: }
  )");
}

TEST_CASE(
    "barriers - a branch begins with what is pending before it, and leaves what either side does") {
  CHECK_TEXT(with_barriers(R"(
    tile %t: float32[32]
    load i: %t[i] = A(i)
    if n(0) > 3 {
      store i: C[p * 32 + i] = %t[31 - i]
    } else {
      store i: C[p * 32 + i] = A(i)
    }
    fill i: %t[i] = 1.0
  )"),
             R"(
    CHECK: load i: %t
    CHECK-NEXT: if
    CHECK-NEXT: sync
    CHECK-NEXT: store i: C[p * 32 + i] = %t[31 - i]
    CHECK-NEXT: } else {
    CHECK-NEXT: store i: C[p * 32 + i] = A(i)
    CHECK-NEXT: }
    CHECK-NEXT: sync
    CHECK-NEXT: fill i: %t[i] = 1.0
  )");
  // What a condition reads is read by all threads.
  CHECK_TEXT(with_barriers(R"(
    tile %t: float32[32]
    load i: %t[i] = A(i)
    if %t[3] > 0.0 {
      fill i: %t[i] = 1.0
    }
  )"),
             R"(
    CHECK: load i: %t
    CHECK-NEXT: sync
    CHECK-NEXT: if
    CHECK-NEXT: sync
    CHECK-NEXT: fill i: %t[i] = 1.0
  )");
}

TEST_CASE("barriers - threads come together inside a reduction to one element") {
  CHECK_TEXT(with_barriers(R"(
    tile %t: float32[32]
    load i: %t[i] = A(i)
    tile %sum: float32[]
    fill %sum[] = 0.0
    reduce i: %sum[] += %t[i]
    map i: %t[i] = %sum[]
    tile %two: float32[2]
    fill %two[0] = 0.0
    reduce i: %two[0] += A(i)
    map i: C[p * 32 + i] = %two[0]
  )"),
             R"(
    CHECK: fill %sum[] = 0.0
    CHECK-NEXT: sync
    CHECK-NEXT: reduce i: %sum[] += %t[i]
    CHECK-NEXT: map i: %t[i] = %sum[]
    CHECK-NEXT: tile %two
    CHECK-NEXT: fill %two[0] = 0.0
    CHECK-NEXT: reduce i: %two[0] += A(i)
    CHECK-NEXT: sync
    CHECK-NEXT: store i: C
  )");
}

TEST_CASE("barriers - threads come together inside a prefix sum and a compaction of something") {
  const std::string body = R"(
    tile %marks: bool[32]
    map i: %marks[i] = A(i) > 0.0
    tile %numbers: int32[32]
    map i: %numbers[i] = int32(i)
    tile %sums: int32[33]
    tile %list: int32[32]
    tile %count: int32[]
    prefix %sums = %numbers count 32
    compact %list, %count = %marks count LENGTH
    fill i: %numbers[i] = 0
    store i: C[p * 32 + i] = float32(%list[i])
  )";
  const auto of_length = [&](const char *length) {
    return std::string(body).replace(body.find("LENGTH"), 6, length);
  };
  CHECK_TEXT(with_barriers(of_length("32")), R"(
    CHECK: map i: %numbers[i] = int32(i)
    CHECK: sync
    CHECK-NEXT: prefix
    CHECK-NEXT: compact
    CHECK-NEXT: fill i: %numbers[i] = 0
    CHECK-NEXT: sync
    CHECK-NEXT: store i: C
  )");
  // No number may be none: then they do not.
  CHECK_TEXT(with_barriers(of_length("n(0)")), R"(
    CHECK: compact
    CHECK-NEXT: fill i: %numbers[i] = 0
    CHECK-NEXT: sync
    CHECK-NEXT: store i: C
  )");
}

TEST_CASE("barriers - tiles that may have the memory of others wait for them") {
  CHECK_TEXT(with_barriers(R"(
    if n(0) > 0 {
      tile %t: float32[32]
      load i: %t[i] = A(i)
    }
    if n(0) > 1 {
      tile %scalar: float32[]
      fill %scalar[] = 0.0
      store i: C[p * 32 + i] = %scalar[]
    }
    if n(0) > 2 {
      tile %u: float32[32]
      load i: %u[i] = A(i)
    }
  )"),
             R"(
    CHECK: load i: %t
    CHECK-NEXT: }
    CHECK-NEXT: if
    CHECK-NEXT: tile %scalar
    CHECK-NEXT: fill %scalar
    CHECK-NEXT: store i: C
    CHECK-NEXT: }
    CHECK-NEXT: if
    CHECK-NEXT: sync
    CHECK-NEXT: tile %u
    CHECK-NEXT: load i: %u
    CHECK-NEXT: }
    CHECK-NEXT: sync
    CHECK-NEXT: }
  )");
}

TEST_CASE("barriers - roles have their own, for what their threads have together") {
  const Module module = ir::parse(R"(module k(A: float32[1]) -> (C: float32[1]) {
    stage compute C {
      launch k threads 64 grid p < 2 {
        axes i < 32 max 32, j < 300 max 300
        roles {
          role first warps 1 {
            registers %list: float32[300]
            load j: %list[j] = A(j)
            store i: C[p * 64 + i] = %list[i + 1]
          }
          role second warps 1 {
            store i: C[p * 64 + 32 + i] = A(i)
          }
        }
      }
    }
  })");
  CHECK_TEXT(ir::print(place_barriers(module)), R"(
    CHECK: load j: %list
    CHECK-NEXT: sync
    CHECK-NEXT: store i: C
    CHECK-NEXT: }
    CHECK-NEXT: role second
    CHECK-NEXT: store i: C
    CHECK-NEXT: }
  )");
}

/// All that a kernel orders: statements in a loop, a branch, a reduction, a compaction.
const char *const kSteps = R"(
        tile %t: int32[32]
        map i: %t[i] = int32(A(i))
        sync
        for s < 3 {
          tile %u: int32[32]
          map i: %u[i] = %t[31 - i] + int32(s)
          sync
          if n(0) > 0 {
            map i: %t[i] = %u[(i + 1) % 32]
            sync
          }
          tile %all: int32[]
          fill %all[] = 0
          reduce i: %all[] += %t[i]
          fill i: %u[i] = %all[]
          sync
        }
        tile %marks: bool[32]
        map i: %marks[i] = %t[i] > 2
        sync
        tile %list: int32[32]
        tile %count: int32[]
        compact %list, %count = %marks count n(0)
        sync
        gpu_thread x < 32 {
          store C[p * 32 + x] = float32(%list[(x + 1) % n(0)] + %count[])
        }
        sync)";

std::string run(const Module &module) {
  TestTensor<float> a({32}), c({64});
  TestTensor<std::int64_t> n({1}, 32);
  a.fill_with_pattern(3);
  for (float &x : a.data) x += 10;  // more than 2, so that all are marked
  try {
    ir::interpret(module, {a.argument(), n.argument()}, {}, {c.argument()});
  } catch (const InternalError &error) {
    return error.what();
  }
  return "";
}

TEST_CASE("barriers - the interpreter finds each that is missing") {
  const std::string text = kSteps;
  CHECK(run(kernel(text)) == "");
  CHECK(ir::equal(place_barriers(kernel(text)), kernel(text)));
  // What a barrier orders, in their order.
  const std::vector<const char *> found{
      "t[31] is read and was written by `load i: %t[i] = int32(A(i))` without a barrier between: "
      "other threads may have done that",
      "u[1] is read and was written by `map i: %u[i] = %t[31 - i] + int32(s)`",
      "t[0] is read and was written by `map i: %t[i] = %u[(i + 1) % 32]`",
      "u[0] is accessed without a barrier behind the last access to a tile whose memory it may "
      "have, by `map i: %u[i] = %all[]`",
      "marks[0] is read and was written by `map i: %marks[i] = %t[i] > 2`",
      "list[1] is read and was written by `compact %list, %count = %marks count n(0)`",
      "t[0] is accessed without a barrier behind the last access to a tile whose memory it may "
      "have, by `gpu_thread x < 32 {`"};
  std::size_t at = 0;
  for (const char *what : found) {
    at = text.find("sync", at);
    REQUIRE(at != std::string::npos);
    std::string without = text;
    without.erase(at, 4);
    const std::string said = run(kernel(without));
    CAPTURE(said);
    CHECK(said.find(what) != std::string::npos);
    // The pass puts it back, here or in front of a loop.
    CHECK(run(place_barriers(kernel(without))) == "");
    ++at;
  }
  CHECK(text.find("sync", at) == std::string::npos);
}

TEST_CASE("barriers - the interpreter finds a read that a write does not wait for, whoever reads") {
  const std::string said = run(kernel(R"(
    tile %t: int32[32]
    map i: %t[i] = int32(A(i))
    sync
    store i: C[p * 32 + i] = float32(%t[31 - i])
    map i: %t[i] = %t[i] + 1
    sync
  )"));
  CAPTURE(said);
  CHECK(said.find("t[0] is written and was read by `store i: C[p * 32 + i] = float32(%t[31 - i])` "
                  "without a barrier between: other threads may still do that") !=
        std::string::npos);
}

TEST_CASE("barriers - a compaction of nothing lets no thread wait") {
  const std::string text = R"(
    tile %marks: bool[32]
    map i: %marks[i] = A(i) > 0.0
    tile %list: int32[32]
    tile %count: int32[]
    tile %numbers: int32[32]
    map i: %numbers[i] = int32(i)
    sync
    store i: C[p * 32 + i] = float32(%numbers[31 - i])
    compact %list, %count = %marks count n(0) - LESS
    map i: %numbers[i] = 0
    sync
  )";
  CHECK(run(kernel(ir::replaced(text, "LESS", "0"))) == "");
  CHECK(
      run(kernel(ir::replaced(text, "LESS", "32"))).find("numbers[0] is written and was read by") !=
      std::string::npos);
}

/// The statement without the Sync of that number.
class WithoutSync final : public ir::Mutator {
 public:
  explicit WithoutSync(int number) : left_(number) {}

 protected:
  using Mutator::visit;
  ir::Stmt visit(const ir::Sync &, const ir::Stmt &self) override {
    return left_-- == 0 ? ir::make_block({}) : self;
  }

 private:
  int left_;
};

TEST_CASE("barriers - lowering puts them into kernels, and the interpreter runs those") {
  Var i("i"), io("io"), ii("ii");
  TensorParam X(float32, 1, "X");
  Func P("P"), Y("Y");
  P(i) = X(i) * 2.0f;
  Y(i) = P(i) + P(i + 1);
  Y.split(i, io, ii, 16).gpu_blocks(io);
  P.compute_at(Y, io);
  Module module = lower(Pipeline({Y}, {}, "neighbours"), Target("x86-64-linux-cuda-sm_80"));
  CHECK_TEXT(ir::print(module), R"(
    CHECK: launch Y
    CHECK: tile %P
    CHECK: %P[{{.*}}] = X(
    CHECK-NEXT: }
    CHECK-NEXT: sync
    CHECK: Y[{{.*}}] = %P[{{.*}}] + %P[
    CHECK-NEXT: sync
    CHECK-NEXT: }
  )");
  const auto run = [&](const Module &changed) -> std::string {
    TestTensor<float> x({65}), y({64});
    x.fill_with_pattern(5);
    try {
      ir::interpret(changed, {x.argument()}, {}, {y.argument()});
    } catch (const InternalError &error) {
      return error.what();
    }
    for (int n = 0; n < 64; ++n) CHECK(y(n) == 2 * x(n) + 2 * x(n + 1));
    return "";
  };
  CHECK(run(module) == "");
  const char *const missing[] = {"without a barrier between: other threads may have done that",
                                 "a tile whose memory it may have"};
  for (int number = 0; number < 2; ++number) {
    Module without = module;
    without.body = WithoutSync(number)(module.body);
    const std::string said = run(without);
    CAPTURE(said);
    CHECK(said.find(missing[number]) != std::string::npos);
    CHECK(ir::equal(place_barriers(without), module));
  }
}

TEST_CASE("barriers - a sync is in a kernel, where all threads come to it") {
  const auto refused = [](const Module &module) -> std::string {
    try {
      ir::verify(module, "test");
    } catch (const InternalError &error) {
      return error.what();
    }
    return "";
  };
  const auto says = [&](const std::string &text, const char *rule) {
    const std::string said = refused(ir::parse(text));
    CAPTURE(said);
    CHECK(said.find(rule) != std::string::npos);
  };
  says("module k() -> (C: float32[1]) { stage compute C { sync } }", "a sync is not in a kernel");
  says(R"(module k() -> (C: float32[1]) { stage compute C { launch k threads 64 {
            gpu_thread t < 32 { if t > 3 { sync } } } } })",
       "a sync is in a loop over threads, not all of which come to it");
  CHECK(refused(kernel("if n(0) > 3 {\n sync\n }")) == "");
}

}  // namespace
}  // namespace pit::lower
