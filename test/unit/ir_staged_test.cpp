#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "attention_kernels.h"
#include "codegen/ir/equal.h"
#include "codegen/ir/mutator.h"
#include "codegen/ir/text.h"
#include "codegen/ir/verify.h"
#include "dsl/error.h"
#include "dsl/func.h"
#include "staged_kernels.h"

namespace pit::ir {
namespace {

// Every statement and attribute.
const char *const kEverything = R"(module everything(A: float32[2]) -> (C: float32[2]) {
  stage compute C {
    launch k threads 256 grid mo < 2 cluster rank < 2 {
      axes m < 64 max 64, n < 8 max 8, k < 8 max 8
      barrier full[4] arrivals 129
      shared %a: float32[4, 64, 8] buffers swizzle(32, 1)
      shared %b: float32[8, 8] swizzle(32, 0)
      fence barriers
      sync cluster
      roles {
        role producer warps 4 registers 56 {
          copy threads m, k: %a[0, m, k] = A(m, k)
          copy async m, k: %a[0, m, k] = A(m, k) where m < 5, k < 3 bytes 16
          copy bulk k, n: %b[k, n] = A(k, n) on full[mo % 4] multicast
          arrive full[0] each role expect 512
          arrive full[1] each thread after_copies
          arrive full[2] each warp cluster
          commit copies
          drain copies pending 2
        }
        role "the consumers" warps 4 {
          registers %acc: float32[64, 8] accumulator(1, 4, 1, 4)
          registers %w: bfloat16[64, 8] operand_a(1, 4, 1, 4)
          registers %peak: float32[64] rows(1, 4, 1, 4)
          registers %slot: int64[]
          shared %strip: float32[4, 16, 40]
          fill %slot[] = 0
          reduce m, n: %peak[m] max= %acc[m, n]
          wait full[%slot[]] parity %slot[] % 2
          fence async
          mma async m(m) n(n) k(k): %acc[m, n] += %a(%slot[])[m, k] * %b[k, n] atom "wgmma"
          commit matrix
          drain matrix pending 0
          arrive full[mo] each warpgroup
          reduce_store m, n: C[m, n] += %acc[m, n] where m < 5 atomic through %strip bytes 4
          sync
        }
      }
    }
  }
}
)";

TEST_CASE("staged text - every statement and attribute is read back") {
  for (const std::string &text : {std::string(kEverything), producer_and_consumer(3),
                                  std::string(kGroups), std::string(kCluster)}) {
    Module module;
    REQUIRE_NOTHROW(module = parse(text));
    const std::string printed = print(module);
    CAPTURE(printed);
    if (text == kEverything) CHECK(printed == text);
    Module again;
    REQUIRE_NOTHROW(again = parse(printed));
    CHECK(print(again) == printed);
    CHECK(equal(again, module));
  }
}

TEST_CASE("staged equality - each attribute counts") {
  const Module module = parse(kEverything);
  const struct {
    const char *from, *to;
  } changes[] = {{"arrivals 129", "arrivals 130"},
                 {"full[4]", "full[5]"},
                 {" buffers swizzle(32, 1)", " buffers"},
                 {"swizzle(32, 0)", "swizzle(32, 1)"},
                 {"accumulator(1, 4, 1, 4)", "accumulator(1, 1, 4, 1)"},
                 {"shared %b", "registers %b"},
                 {"cluster rank < 2", "cluster rank < 4"},
                 {"sync cluster", "sync"},
                 {"fence barriers", "fence async"},
                 {"registers 56", "registers 64"},
                 {"role producer", "role loader"},
                 {"copy threads", "copy async"},
                 {"bytes 16", "bytes 8"},
                 {"m < 5, ", ""},
                 {" multicast", ""},
                 {"mo % 4] multicast", "0] multicast"},
                 {"expect 512", "expect 256"},
                 {" after_copies", ""},
                 {"each warp cluster", "each warp"},
                 {"each warpgroup", "each warp"},
                 {"commit copies", "commit matrix"},
                 {"pending 2", "pending 1"},
                 {"parity %slot[] % 2", "parity 0"},
                 {"mma async", "mma"},
                 {" through %strip", ""},
                 {"%a(%slot[])", "%a(0)"}};
  for (const auto &change : changes) {
    CAPTURE(std::string(change.from));
    CHECK_FALSE(equal(parse(replaced(kEverything, change.from, change.to)), module));
  }
}

/// Replaces the loop variable mo by 1.
class ReplaceMo final : public Mutator {
 protected:
  Expr expr(const Expr &e) override {
    Expr result = e;
    walk(e, [&](const Expr &part) {
      const auto *variable = part.as<Variable>();
      if (variable && variable->var->name == "mo")
        result = substitute(e, {variable->var}, {make_int(int64, 1)});
      return true;
    });
    return result;
  }
};

TEST_CASE("staged mutator - expressions of the staged statements are seen") {
  const Module module = parse(kEverything);
  Module replaced_module = module;
  replaced_module.body = ReplaceMo()(module.body);
  const std::string text = print(replaced_module);
  CHECK(text.find("on full[1] multicast") != std::string::npos);
  CHECK(text.find("arrive full[1] each warpgroup") != std::string::npos);
  class Nothing final : public Mutator {};
  CHECK(Nothing()(module.body).same_as(module.body));
  int slots = 0;
  walk_statements(module.body, [&](const Stmt &s) {
    if (s.as<Mma>()) walk_expressions(s, [&](const Expr &) { ++slots; });
    return true;
  });
  CHECK(slots == 1);
}

std::string broken_rule(const std::string &text, const DeviceLimits &limits = {}) {
  try {
    verify(parse(text), "a pass", limits);
  } catch (const InternalError &error) {
    return error.what();
  }
  return "";
}

TEST_CASE("staged verifier - accepts the kernels") {
  for (int stages = 1; stages <= 4; ++stages)
    CHECK(broken_rule(producer_and_consumer(stages)) == "");
  CHECK(broken_rule(kGroups) == "");
  CHECK(broken_rule(kCluster) == "");
}

TEST_CASE("staged verifier - every rule") {
  const std::string kernel = producer_and_consumer(2), groups = kGroups, cluster = kCluster;
  const struct {
    const std::string *text;
    const char *from, *to, *message;
  } cases[] = {
      // shape
      {&kernel, "role producer warps 4 registers 56", "role producer warps 2",
       "the roles have 6 warps, but the block has 256 threads"},
      {&kernel, "registers 56", "registers 300", "asks for registers that are no multiple of 8"},
      {&kernel, "threads 256", "threads 160", "the roles have 8 warps, but"},
      {&kernel, "role consumer warps 4 registers 224", "role consumer warps 2",
       "the roles have 6 warps"},
      {&kernel, "accumulator(1, 4, 1, 4)", "accumulator(1, 4, 1, 1)",
       "is no fragment of all the role's warpgroups"},
      {&kernel, "float32[64, 8] accumulator(1, 4", "float32[64, 8] accumulator(1, 8",
       "the layout of acc: the rows (64) are no multiple of 128"},
      {&kernel, "swizzle(32, 1)", "swizzle(128, 1)", "the bytes of a row (32)"},
      {&kernel, "registers %acc", "shared %acc", "is not one of shared memory"},
      {&kernel, "%b(ct % 2)[k, n]", "%b[k, n]", "b"},
      {&kernel, "role producer warps 4 registers 56 {", "role producer warps 4 { roles { }",
       "roles are inside a role"},
      {&kernel, "role producer warps 4 registers 56 {", "role producer warps 4 { sync cluster",
       "a role synchronises the cluster"},
      {&kernel, "each role expect", "each warp expect", "bytes are expected by one thread"},
      {&kernel, "each thread after", "each warp after",
       "an arrival after copies is of each thread"},
      {&kernel, " on full[kt % 2]", "", "a bulk copy completes on a barrier"},
      {&kernel, " on full[kt % 2]", " on full[kt % 2] multicast",
       "a multicast that is no bulk copy"},
      {&kernel, "bytes 16", "bytes 2", "an async copy of 2 bytes"},
      {&kernel, "parity ct / 2 % 2", "parity ct / 2 % 2 arrive full[0] each warp cluster",
       "there is no cluster to arrive in"},
      {&cluster, "rank < 2", "rank < 9", "the clusters of cluster are not of 2 to 8 blocks"},
      {&groups, "shared %a: float32[2, 8]", "shared %a: float32[2, A.extent(1)]",
       "has extents that are no constants"},
      {&groups, "copy async i: %a[0, i] = A(0, i)", "copy async i: C[0, i] = A(0, i)",
       "a copy into C, no tile"},
      {&groups, "copy async i: %a[0, i] = A(0, i)", "copy async i: %a[0, i] = A(0, i) + A(1, i)",
       "a copy of what is no element of memory"},
      {&groups, "sync\n        store", "wait empty[0] parity 0 store", "expected a barrier"},
      // barriers
      {&kernel, "arrive empty[ct % 2] each warpgroup", "",
       "nothing arrives at the barrier empty, for which this waits"},
      {&kernel, "arrivals 129", "arrivals 128", "arrives 129 times in each phase"},
      {&kernel, "arrivals 1\n", "arrivals 2\n",
       "the barrier empty waits for 2 arrivals, but the program arrives 1"},
      {&kernel, "axes mv", "arrive empty[0] each warp axes mv",
       "arrives 1 and 4 times at the barrier empty in different places"},
      {&kernel, "wait full[ct % 2]", "wait full[2]", "the barrier full has no slot 2"},
      // copies and reads
      {&kernel, "wait empty[kt % 2] parity (kt / 2 + 1) % 2", "",
       "does not wait until the buffer is free"},
      {&kernel, "wait empty[kt % 2]", "wait empty[(kt + 1) % 2]",
       "does not wait until the buffer is free"},
      {&kernel, "wait full[ct % 2] parity ct / 2 % 2", "",
       "is read without a wait for a barrier on which its copies complete"},
      {&kernel, "wait full[ct % 2]", "wait full[(ct + 1) % 2]",
       "is read without a wait for a barrier on which its copies complete"},
      {&kernel, "fence async", "", "with no `fence async` between"},
      {&groups, "7 - i]\n        sync", "7 - i]", "does not wait until the buffer is free"},
      {&groups, "pending 1\n        sync", "pending 1", "drain copies and sync first"},
      {&groups, "drain copies pending 1", "", "drain copies and sync first"},
      // accumulators
      {&kernel, "drain matrix pending 0", "", "drain matrix first"},
      {&kernel, "drain matrix pending 0", "drain matrix pending 1", "drain matrix first"},
      {&kernel, "commit matrix", "", "drain matrix first"},
  };
  for (const auto &c : cases) {
    std::string error;
    try {
      error = broken_rule(replaced(*c.text, c.from, c.to));
    } catch (const InternalError &unreadable) {
      error = unreadable.what();
    }
    CAPTURE(std::string(c.from));
    CAPTURE(std::string(c.to));
    CAPTURE(error);
    const bool found = !error.empty() && error.find(c.message) != std::string::npos;
    CHECK(found);
  }
}

TEST_CASE("staged verifier - asynchronous mmas are of whole warpgroups") {
  const std::string kernel =
      replaced(replaced(producer_and_consumer(2), "role consumer warps 4 registers 224",
                        "role consumer warps 2"),
               "threads 256", "threads 192");
  const std::string error = broken_rule(kernel);
  CAPTURE(error);
  CHECK(error.find("issues asynchronous mmas with 2 warps, which are no whole warpgroups") !=
        std::string::npos);
}

TEST_CASE("staged verifier - fragments that meet are spread over the warps alike") {
  const std::string kernel = R"(module registers(B: bfloat16[2]) -> (C: float32[2], L: float32[1]) {
  stage compute C {
    launch registers threads 128 {
      axes m < 64, n < 16, k < 16
      shared %b: bfloat16[16, 16] swizzle(32, 0)
      registers %a: bfloat16[64, 16] operand_a(1, 4, 1, 1)
      registers %acc: float32[64, 16] accumulator(1, 4, 1, 1)
      registers %most: float32[64] rows(1, 4, 1, 1)
      copy async k, n: %b[k, n] = B(k, n) bytes 16
      fill m, k: %a[m, k] = bfloat16(1.0)
      fill m, n: %acc[m, n] = 0.0
      fill m: %most[m] = -inf
      drain copies pending 0
      sync
      mma m(m) n(n) k(k): %acc[m, n] += %a[m, k] * %b[k, n] atom "sm_80.float32.bfloat16.16x8x16"
      reduce m, n: %most[m] max= %acc[m, n]
      store m, n: C[m, n] = %acc[m, n] - %most[m]
      store m: L[m] = %most[m]
    }
  }
})";
  REQUIRE(broken_rule(kernel) == "");
  const char *const spread =
      "operand a of an mma is not spread over the warps as the rows of the "
      "accumulator acc";
  const struct {
    std::vector<std::pair<const char *, const char *>> changes;
    const char *message;
  } cases[] = {
      {{{"operand_a(1, 4, 1, 1)", "operand_a(1, 2, 1, 1)"}}, spread},
      {{{"operand_a(1, 4, 1, 1)", "operand_a(1, 4, 1, 4)"}}, spread},
      {{{"operand_a(1, 4, 1, 1)", "operand_b(1, 4, 1, 1)"}},
       "operand a of an mma is no fragment of operand A"},
      {{{"operand_a(1, 4, 1, 1)", "operand_a(1, 2, 1, 1)"},
        {"accumulator(1, 4, 1, 1)", "accumulator(1, 2, 2, 1)"},
        {"rows(1, 4, 1, 1)", "rows(1, 2, 2, 1)"}},
       spread},
      {{{"rows(1, 4, 1, 1)", "rows(1, 2, 1, 1)"}},
       "the registers most and acc meet in one statement, but are spread differently"},
      {{{"rows(1, 4, 1, 1)", "rows(1, 2, 2, 1)"},
        {"accumulator(1, 4, 1, 1)", "accumulator(1, 2, 2, 1)"},
        {"mma m(m) n(n) k(k): %acc[m, n] += %a[m, k] * %b[k, n] atom "
         "\"sm_80.float32.bfloat16.16x8x16\"",
         ""}},
       "the rows that are reduced into most are spread over several warps"},
  };
  for (const auto &c : cases) {
    std::string text = kernel;
    for (const auto &[from, to] : c.changes) text = replaced(text, from, to);
    const std::string error = broken_rule(text);
    CAPTURE(std::string(c.message));
    CAPTURE(error);
    const bool found = error.find(c.message) != std::string::npos;
    CHECK(found);
  }
}

TEST_CASE("staged verifier - strips are the warps' of a role, and nothing else uses them") {
  const std::string kernel = through_strip();
  REQUIRE(broken_rule(kernel) == "");
  const std::string at_store = "swrite mv";
  const std::string
      whole =
          "swrite mv, nv: C[int64(rows(mo * 64 + mv)), no * 8 + nv] = %acc[mv, nv] through "
          "%strip",
      added = "reduce_store mv, nv: C[mv, nv] += %acc[mv, nv] atomic through %strip";
  CHECK(broken_rule(replaced(kernel, whole, added)) == "");
  const struct {
    std::string from, to, message;
  } cases[] = {
      {"float32[4, 16, 40]", "float32[8, 16, 40]",
       "the strip strip is not of 4 warps, 16 rows, and 32, 64 or 128 columns and 8"},
      {"float32[4, 16, 40]", "float32[4, 16, 32]", "the strip strip is not of 4 warps"},
      {"float32[4, 16, 40]", "float32[4, 16, 40] swizzle(32, 1)",
       "the strip strip is no row-major tile in shared memory"},
      {"shared %strip", "registers %strip",
       "the strip strip is no row-major tile in shared memory"},
      {"shared %strip: float32", "shared %strip: int32",
       "the strip strip has other elements than C"},
      {"shared %strip: float32", "shared %strip: float64",
       "the strip strip has elements of other than 2 or 4 bytes"},
      {"through %strip", "through %a", "the strip a is no tile of the role that stores through it"},
      {"C[int64(rows(mo * 64 + mv)), no * 8 + nv] = %acc[mv, nv]", "%other[mv, nv] = %acc[mv, nv]",
       "the store through strip is to the tile other"},
      {"= %acc[mv, nv]", "= 1.0", "the store through strip is of no accumulator"},
      {at_store, "fill w, r, c: %strip[w, r, c] = 0.0 " + at_store,
       "the strip strip is used by other than stores through it"},
      {at_store, added + " " + at_store, "atomic stores and others go through the strip strip"},
      {whole, added + " sync load mv, nv: %other[mv, nv] = C[mv, nv]",
       "C is used by other than the store that adds to it through strip"},
      {"%acc[mv, nv] through", "%acc[mv, nv] + %strip[0, 0, 0] through",
       "the strip strip is used by other than stores through it"},
  };
  for (const auto &c : cases) {
    CAPTURE(c.from);
    CAPTURE(c.to);
    const std::string error = broken_rule(replaced(kernel, c.from, c.to));
    CAPTURE(error);
    const bool found = error.find(c.message) != std::string::npos;
    CHECK(found);
  }
  // Outside of kernels there are none.
  const std::string outside = broken_rule(R"(module host(A: float32[1]) -> (C: float32[1]) {
  stage compute C {
    axes i < 8 max 8
    tile %strip: float32[4, 16, 40]
    store i: C[i] = A(i) through %strip
  }
})");
  CAPTURE(outside);
  const bool refused =
      outside.find("the store passes strip, but is in no kernel") != std::string::npos;
  CHECK(refused);
}

TEST_CASE("staged verifier - a left operand in registers is left alone until it is drained") {
  CHECK(broken_rule(attention_drained_late({64, 32, 32})) == "");
  const std::string kernel = attention_of_roles({64, 32, 32});
  REQUIRE(broken_rule(kernel) == "");
  const std::string error = broken_rule(replaced(
      kernel, "commit matrix\n            drain matrix pending 0\n            arrive",
      "commit matrix fill i, j: %left[i, j] = bfloat16(0.0) drain matrix pending 0 arrive"));
  CAPTURE(error);
  const bool found =
      error.find("the registers left are accessed while an asynchronous mma") != std::string::npos;
  CHECK(found);
  const std::string ended = broken_rule(
      replaced(kernel, "commit matrix\n            drain matrix pending 0\n            arrive",
               "commit matrix\n            arrive"));
  CAPTURE(ended);
  const bool names = ended.find(
                         "the registers left end while an asynchronous mma on them may be "
                         "under way") != std::string::npos;
  CHECK(names);
}

TEST_CASE("staged verifier - what the device has") {
  const std::string kernel = producer_and_consumer(4);
  // 4 buffers of 2048 and of 256 bytes, the latter aligned as one to 1024, and two times 4 barriers
  // in 128 bytes.
  CHECK(broken_rule(kernel, {4 * 2048 + 1024 + 2 * 128, 65536}) == "");
  const std::string shared = broken_rule(kernel, {4 * 2048 + 1024 + 2 * 128 - 1, 65536});
  CAPTURE(shared);
  CHECK(shared.find("the kernel gathered needs 9472 bytes of shared memory; the device has 9471") !=
        std::string::npos);
  const std::string registers = broken_rule(kernel, {227 * 1024, 32768});
  CAPTURE(registers);
  CHECK(registers.find("the roles ask for 35840 registers; their block starts with 32768") !=
        std::string::npos);
  // Threads start with multiples of 8; what is left over is nobody's.
  CHECK(broken_rule(kernel, {227 * 1024, 36000}).find("their block starts with 34816") !=
        std::string::npos);
}

TEST_CASE("staged verifier - registers belong to one role") {
  const std::string kernel = replaced(replaced(producer_and_consumer(2), "let steps",
                                               "registers %shared_acc: float32[64, 8] let steps"),
                                      "axes mv", "fill m, n: %shared_acc[m, n] = 0.0 axes mv");
  const std::string error = broken_rule(kernel);
  CAPTURE(error);
  CHECK(error.find("the registers shared_acc are of another role") != std::string::npos);
}

}  // namespace
}  // namespace pit::ir
