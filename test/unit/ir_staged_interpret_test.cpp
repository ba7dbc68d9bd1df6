#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "attention_kernels.h"
#include "codegen/ir/text.h"
#include "codegen/ir/verify.h"
#include "dsl/error.h"
#include "ir_arguments.h"
#include "staged_kernels.h"

namespace pit::ir {
namespace {

constexpr Landing kLandings[] = {Landing::Late, Landing::AtOnce, Landing::Random};

/// Runs the gathered matmul on `count` of 100 rows; "" or the error. `wrong` counts wrong elements.
std::string run_gathered(const std::string &text, int count, int n, int k,
                         const Interleaving &interleaving, int *wrong) {
  TestTensor<float> a({100, k}), b({k, n}), c({100, n}, -7.0f);
  TestTensor<std::int32_t> rows({count});
  a.fill_with_pattern(1);
  b.fill_with_pattern(2);
  for (int i = 0; i < count; ++i) rows(i) = (i * 37 + 5) % 100;
  *wrong = 0;
  try {
    interpret(parse(text), {a.argument(), b.argument(), rows.argument()}, {}, {c.argument()},
              nullptr, interleaving);
  } catch (const InternalError &error) {
    return error.what();
  }
  for (int i = 0; i < count; ++i) {
    for (int j = 0; j < n; ++j) {
      float sum = 0;
      for (int l = 0; l < k; ++l) sum += a(rows(i), l) * b(l, j);
      *wrong += c(rows(i), j) != sum;
    }
  }
  return "";
}

void check_detects(const std::string &text, const std::string &message) {
  for (const Landing landing : kLandings) {
    for (std::uint32_t seed = 0; seed < 3; ++seed) {
      int wrong = 0;
      const std::string error = run_gathered(text, 70, 11, 45, {seed, landing}, &wrong);
      CAPTURE(error);
      CAPTURE(message);
      CAPTURE(static_cast<int>(landing));
      const bool found = error.find(message) != std::string::npos;
      CHECK(found);
    }
  }
}

TEST_CASE("staged interpreter - roles, barriers and copies compute the product in any order") {
  for (int stages = 1; stages <= 4; ++stages) {
    const std::string text = producer_and_consumer(stages);
    REQUIRE_NOTHROW(verify(parse(text), "parse"));
    for (const Landing landing : kLandings) {
      for (std::uint32_t seed = 0; seed < 3; ++seed) {
        int wrong = 0;
        CHECK(run_gathered(text, 70, 11, 45, {seed, landing}, &wrong) == "");
        CHECK(wrong == 0);
        CHECK(run_gathered(text, 64, 8, 0, {seed, landing}, &wrong) == "");
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("staged interpreter - a missing wait for the full barrier is a race") {
  check_detects(replaced(producer_and_consumer(2), "wait full[ct % 2] parity ct / 2 % 2", ""),
                "%a");
}

TEST_CASE("staged interpreter - a buffer that is filled again without a wait is a race") {
  check_detects(
      replaced(producer_and_consumer(2), "wait empty[kt % 2] parity (kt / 2 + 1) % 2", ""), "[");
}

TEST_CASE("staged interpreter - a wait of the wrong parity") {
  // For the full barrier: the first goes on too early.
  check_detects(replaced(producer_and_consumer(2), "parity ct / 2 % 2", "parity (ct / 2 + 1) % 2"),
                "[");
  // For the empty barrier: the first never goes on.
  check_detects(
      replaced(producer_and_consumer(2), "parity (kt / 2 + 1) % 2", "parity kt / 2 % 2"),
      "deadlock: the block waits for the end of its roles; role producer waits for phase 0 (parity "
      "0) of empty[0], which has 0 of 1 arrivals and lacks 0 bytes");
}

TEST_CASE("staged interpreter - a missing proxy fence") {
  check_detects(replaced(producer_and_consumer(2), "fence async", ""),
                "is read by an asynchronous mma but was written through the generic proxy");
}

TEST_CASE("staged interpreter - one arrival too few is a deadlock that names the barrier") {
  check_detects(replaced(producer_and_consumer(2), "arrivals 129", "arrivals 130"),
                "role consumer waits for phase 0 (parity 0) of full[0], which has 129 of 130");
}

TEST_CASE("staged interpreter - bytes that never come are a deadlock") {
  check_detects(replaced(producer_and_consumer(2), "expect 256", "expect 512"), "lacks 256 bytes");
}

TEST_CASE("staged interpreter - accumulators and buffers of a matrix instruction under way") {
  // With more buffers than steps no buffer is filled again.
  check_detects(replaced(producer_and_consumer(8), "drain matrix pending 0", ""),
                "is read while a matrix instruction that uses it is under way");
  check_detects(replaced(producer_and_consumer(8), "commit matrix", ""),
                "is read while a matrix instruction that uses it is under way");
  check_detects(replaced(producer_and_consumer(2), "drain matrix pending 0", ""),
                "role consumer may still read it");
  const std::string drained = replaced(replaced(producer_and_consumer(2), "pending 0", "pending 1"),
                                       "swrite", "drain matrix pending 0 swrite");
  check_detects(drained, "role consumer may still read it");
}

TEST_CASE("staged interpreter - a strip changes no result, and holds nothing behind the store") {
  const std::string kernel = through_strip();
  REQUIRE_NOTHROW(verify(parse(kernel), "parse"));
  for (const Landing landing : kLandings) {
    int wrong = 0;
    CHECK(run_gathered(kernel, 70, 11, 45, {1, landing}, &wrong) == "");
    CHECK(wrong == 0);
  }
  const std::string filled =
      replaced(kernel, "swrite mv", "fill w, r, c: %strip[w, r, c] = 0.0 sync swrite mv");
  int wrong = 0;
  CHECK(run_gathered(filled, 70, 11, 45, {1, Landing::Late}, &wrong) == "");
  check_detects(replaced(filled, "through %strip",
                         "through %strip sync swrite mv, nv: C[int64(rows(mo * 64 + mv)), no * 8 + "
                         "nv] = %strip[mv / 16, mv % 16, nv]"),
                "strip[0, 0, 0] is read but was never written");
}

TEST_CASE("staged interpreter - a left operand in registers stays while it is multiplied") {
  const std::string kernel = attention_of_roles({64, 32, 32}),
                    drained =
                        "commit matrix\n            drain matrix pending 0\n            arrive";
  const struct {
    std::string instead, message;
  } cases[] = {
      {"commit matrix fill i, j: %left[i, j] = bfloat16(0.0) drain matrix pending 0 arrive",
       "is written while a matrix instruction that uses it is under way"},
      {"commit matrix arrive",
       "the registers left end while a matrix instruction that uses them is under way"}};
  TestTensor<std::uint16_t> q({64, 32}), k({32, 32}), v({32, 32}), o({64, 32});
  TestTensor<std::uint8_t> mask({64, 32}, 1), whole({1, 1}, 1);
  TestTensor<float> l({64});
  for (const auto &c : cases) {
    for (const Landing landing : kLandings) {
      std::string error;
      try {
        interpret(parse(replaced(kernel, drained, c.instead)),
                  {q.argument(), k.argument(), v.argument(), mask.argument(), whole.argument()}, {},
                  {o.argument(), l.argument()}, nullptr, {1, landing});
      } catch (const InternalError &found) {
        error = found.what();
      }
      CAPTURE(error);
      const bool says =
          error.find("left") != std::string::npos && error.find(c.message) != std::string::npos;
      CHECK(says);
    }
  }
}

TEST_CASE("staged interpreter - an arrival of one thread does not stand for other warps") {
  const std::string text =
      replaced(producer_and_consumer(2),
               "mma async m(m) n(n) k(k): %acc[m, n] += %a(ct % 2)[m, k] * %b(ct % 2)[k, n]",
               "reduce m, n, k: %acc[m, n] += %a[ct % 2, m, k] * %b[ct % 2, k, n]");
  check_detects(text, "may still read it");
  int wrong = 0;
  const std::string by_warps =
      replaced(replaced(text, "arrivals 1\n", "arrivals 4\n"), "each warpgroup", "each warp");
  CHECK(run_gathered(by_warps, 70, 11, 45, {}, &wrong) == "");
  CHECK(wrong == 0);
}

TEST_CASE("staged interpreter - barriers are used after their initialisation is known") {
  check_detects(replaced(producer_and_consumer(2), "fence barriers", ""),
                "is used before `fence barriers`");
}

std::string run_groups(const std::string &text, Landing landing) {
  TestTensor<float> a({5, 8}), c({5, 8});
  a.fill_with_pattern(3);
  try {
    interpret(parse(text), {a.argument()}, {}, {c.argument()}, nullptr, {1, landing});
  } catch (const InternalError &error) {
    return error.what();
  }
  for (int t = 0; t < 5; ++t) {
    for (int i = 0; i < 8; ++i) CHECK(c(t, i) == a(t, 7 - i));
  }
  return "";
}

TEST_CASE("staged interpreter - groups of copies land when drained, for others after a sync") {
  for (const Landing landing : kLandings) {
    CHECK(run_groups(kGroups, landing) == "");
    const auto detects = [&](const std::string &from, const std::string &to,
                             const std::string &message) {
      const std::string error = run_groups(replaced(kGroups, from, to), landing);
      CAPTURE(error);
      const bool found = error.find(message) != std::string::npos;
      CHECK(found);
    };
    detects("pending 1", "pending 2", "%");
    detects("pending 1\n        sync", "pending 1", "nothing orders that after the write");
    detects("7 - i]\n        sync", "7 - i]", "may still read it");
    detects("sync\n      }", "sync } copy async i: %a[0, i] = A(0, i)",
            "issued is still under way at its end");
  }
}

std::string run_cluster(const std::string &text, std::uint32_t seed, Landing landing) {
  TestTensor<float> b({24}), c({2, 24});
  b.fill_with_pattern(4);
  try {
    interpret(parse(text), {b.argument()}, {}, {c.argument()}, nullptr, {seed, landing});
  } catch (const InternalError &error) {
    return error.what();
  }
  for (int r = 0; r < 2; ++r) {
    for (int i = 0; i < 24; ++i) CHECK(c(r, i) == b(i));
  }
  return "";
}

TEST_CASE("staged interpreter - a block of a cluster does not end while others need it") {
  int found = 0;
  for (std::uint32_t seed = 0; seed < 8; ++seed) {
    const std::string error =
        run_cluster(replaced(kCluster, "}\n      sync cluster\n", "}\n"), seed, Landing::Late);
    found += error.find("does not exist in block") != std::string::npos;
  }
  CHECK(found > 0);
}

TEST_CASE("staged interpreter - blocks of a cluster share multicast copies and barriers") {
  REQUIRE_NOTHROW(verify(parse(kCluster), "parse"));
  for (const Landing landing : kLandings) {
    for (std::uint32_t seed = 0; seed < 8; ++seed) {
      CHECK(run_cluster(kCluster, seed, landing) == "");
      // One consumer does not answer for the other block's.
      const std::string own = replaced(replaced(kCluster, "each warp cluster", "each warp"),
                                       "arrivals 2", "arrivals 1");
      CHECK(run_cluster(own, seed, landing) != "");
    }
  }
}

}  // namespace
}  // namespace pit::ir
