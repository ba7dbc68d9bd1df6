// Indices of every kind of predicate, with and without the permission to list in any order: what a
// GPU does differs, the results do not.
#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "codegen/ir/text.h"
#include "codegen/lower/lower.h"
#include "test/correctness/top_experts.h"

using namespace pit;
using namespace pit::test;

namespace {

/// An index `live`, and what it serves. In the schedule "@" stands for settings of the index.
struct Kind {
  std::string name;
  Pipeline algorithm;
  std::string schedule;
  std::vector<Size> sizes;  ///< small ones, and last one whose groups are several strips
  std::function<Problem(const Size &, double, bool, std::mt19937 &)> make;
  bool keyed = false;  ///< what is listed are keys, not marks
};

/// rows, columns, and the length of what is listed.
const std::vector<Size> kSizes = {{1, 1, 1}, {5, 2, 37}, {33, 3, 64}};

std::vector<Size> sizes_and(Size last) {
  std::vector<Size> sizes = kSizes;
  sizes.push_back(std::move(last));
  return sizes;
}

Problem product(const Size &s, double zeros, bool exact, std::mt19937 &generator) {
  return {{{"A", random_values(float32, {s[0], s[2]}, generator, exact, zeros)},
           {"B", random_values(float32, {s[2], s[1]}, generator, exact)}},
          {},
          {{"C", {s[0], s[1]}}}};
}

/// C = A B over the k that pass. `listed` gets m and the domain's k, and gives it its predicate.
Kind product_kind(const std::string &name, const std::string &micro, Size last,
                  const std::function<void(const Var &, RDom &, const TensorParam &)> &listed,
                  const std::string &before = "", const std::string &after = "") {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  listed(m, k, A);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  return {name, Pipeline({C}, {}, "listed"),
          before + "live = C.update(0).index(axis=k, micro=" + micro + ")@" + after +
              "\nC.update(0).pit_tile(kt, dense={k:64}, index=live)\n",
          sizes_and(std::move(last)), product};
}

Kind of_values() {
  return product_kind("value", "{m:128, k:1}", {130, 1, 700},
                      [](const Var &m, RDom &k, const TensorParam &A) { k.where(A(m, k) != 0); });
}

/// The product that a Func makes says what is listed, and marks it.
Kind of_values_of_producer() {
  return product_kind(
      "value, of a producer", "{m:16, k:1}", {18, 1, 4500},
      [](const Var &m, RDom &k, const TensorParam &A) {
        Var i("i"), j("j");
        Func H("H");
        H(i, j) = A(i, j) * 2.f;
        k.where(H(m, k) > 0.f);
      },
      "H.compute_root()\nH.tile(i, j, io, jo, ii, ji, 16, 256)\nH.gpu_blocks(io, jo)\n",
      ".compute_at(H, jo)");
}

Problem masked(const Size &s, double zeros, bool exact, std::mt19937 &generator) {
  Problem problem = product(s, 0, exact, generator);
  problem.inputs["mask"] = random_mask(uint8, {(s[0] + 3) / 4, s[2]}, generator, zeros);
  return problem;
}

Kind of_masks() {
  const TensorParam mask(uint8, 2, "mask");
  Kind kind = product_kind(
      "mask", "{m:4, k:1}", {3, 2, 8500},
      [&](const Var &m, RDom &k, const TensorParam &) { k.where(mask(m / 4, k) != 0); });
  kind.make = masked;
  return kind;
}

Kind of_masks_of_producer() {
  const TensorParam mask(uint8, 2, "mask");
  Kind kind = product_kind(
      "mask, of a producer", "{m:4, k:1}", {7, 2, 4500},
      [&](const Var &m, RDom &k, const TensorParam &A) {
        Var i("i"), j("j");
        Func M("M");
        M(i, j) = cast(uint8, select(A(i, j) != 0.f, mask(i / 4, j), 0));
        k.where(M(m, k) != 0);
      },
      "M.compute_root()\nM.tile(i, j, io, jo, ii, ji, 16, 256)\nM.gpu_blocks(io, jo)\n",
      ".compute_at(M, jo)");
  kind.make = masked;
  return kind;
}

Problem with_lengths(const Size &s, double zeros, bool exact, std::mt19937 &generator) {
  Problem problem = product(s, zeros, exact, generator);
  problem.inputs["length"] = random_integers(int32, {s[0]}, generator, 0, s[2] + 1);
  return problem;
}

/// `stage`: lengths that a stage computes.
Kind of_lengths(bool stage) {
  const TensorParam length(int32, 1, "length");
  Kind kind = product_kind(
      stage ? "length, of a producer" : "length", "{m:128, k:1}", {130, 1, 700},
      [&](const Var &m, RDom &k, const TensorParam &) {
        Var i("i");
        Func L("L");
        L(i) = length(i) / 2;
        if (stage)
          k.where(k < L(m));
        else
          k.where(k < length(m));
      },
      stage ? "L.compute_root()\n" : "");
  kind.make = with_lengths;
  return kind;
}

/// A domain whose bound is data.
Kind of_data_bounded_values() {
  Var m("m"), n("n");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B"), length(int32, 1, "length");
  RDom k(0, min(i64(length(m)), A.extent(1)), "k");
  k.where(A(m, k) != 0);
  Func C("C");
  C(m, n) += A(m, k) * B(k, n);
  return {"value, up to a length", Pipeline({C}, {}, "bounded"),
          "live = C.update(0).index(axis=k, micro={m:1, k:1})@"
          ".capacity(A.extent(0) * (A.extent(1) + 8))\n"
          "C.update(0).pit_tile(kt, dense={k:64}, index=live)\n",
          sizes_and({3, 2, 4500}), with_lengths};
}

/// Rows of a CSR matrix, of which explicit zeros are left out.
Kind of_lists() {
  Var m("m"), n("n");
  TensorParam off(int32, 1, "off"), column(int32, 1, "column"), value(float32, 1, "value"),
      B(float32, 2, "B");
  RDom e(i64(off(m)), i64(off(m + 1)) - i64(off(m)), "e");
  e.where(value(e) != 0);
  Func C("C");
  C(m, n) += value(e) * B(column(e), n);
  return {"list", Pipeline({C}, {}, "csr"),
          "live = C.update(0).index(axis=e, micro={m:1, e:1})@\n"
          "C.update(0).pit_tile(et, dense={e:64}, index=live)\n",
          sizes_and({3, 2, 4500}),
          [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
            std::uniform_int_distribution<std::int64_t> any(0, s[2]);
            std::vector<std::int64_t> ends{0, s[2]};
            while (std::ssize(ends) < s[0] + 1) ends.push_back(any(generator));
            std::ranges::sort(ends);
            const AnyBuffer starts(int32, {s[0] + 1});
            for (std::int64_t i = 0; i <= s[0]; ++i) {
              starts.set_number(Shape{i}, static_cast<double>(ends[static_cast<std::size_t>(i)]));
            }
            return {{{"off", starts},
                     {"column", random_integers(int32, {s[2]}, generator, 0, 9)},
                     {"value", random_values(float32, {s[2]}, generator, exact, zeros)},
                     {"B", random_values(float32, {9, s[1]}, generator, exact)}},
                    {},
                    {{"C", {s[0], s[1]}}}};
          }};
}

/// tokens, experts, channels, features
Problem routed(const Size &s, double zeros, bool exact, std::mt19937 &generator) {
  const AnyBuffer key = random_integers(int32, {s[0]}, generator, 0, s[1]);
  std::uniform_real_distribution<double> unit(0, 1);
  for_each_coordinate({s[0]}, [&](const Shape &at) {
    if (unit(generator) < zeros) key.set_number(at, -1);
  });
  return {{{"X", random_values(float32, {s[0], s[2]}, generator, exact)},
           {"W", random_values(float32, {s[1], s[2], s[3]}, generator, exact)},
           {"key", key}},
          {},
          {{"H", {s[0], s[3]}}}};
}

/// Of more groups than a block counts at once, and of strips of which one is not whole.
const std::vector<Size> kRouted = {
    {1, 1, 1, 1}, {13, 5, 7, 9}, {200, 17, 3, 4}, {1500, 3, 2, 3}, {5200, 4200, 1, 1}};

Kind of_routes(bool stage) {
  Var t("t"), f("f"), i("i");
  TensorParam X(float32, 2, "X"), W(float32, 3, "W"), key(int32, 1, "key");
  RDom c(0, X.extent(1), "c");
  Func Acc("Acc"), H("H"), K("K");
  K(i) = min(key(i), cast(int32, W.extent(0)) - 1);
  const Expr expert = stage ? Expr(K(t)) : Expr(key(t));
  Acc(t, f) += X(t, c) * W(expert, c, f);
  H(t, f) = Acc(t, f);
  H.where(expert >= 0);
  const std::string text = stage ? "K(t)" : "key(t)";
  return {stage ? "routing, of a producer" : "routing",
          Pipeline({H}, {}, "routed"),
          (stage ? "K.compute_root()\n" : "") + ("live = H.index(axis=t, group=" + text) +
              ")@\nH.pit_tile(up, dense={t:16, f:16}, index=live)\nAcc.compute_at(H, up)\n",
          kRouted,
          routed,
          true};
}

/// The best experts, whose rows are kept in the order of the index and found again.
Kind of_best_experts() {
  std::string schedule = kExpertOrder;
  for (std::string word : {"by_expert"}) {
    for (std::size_t at = 0; (at = schedule.find(word, at)) != std::string::npos;)
      schedule.replace(at, word.size(), "live");
  }
  const std::string made = "group=route(t, s)[1])";
  schedule.insert(schedule.find(made) + made.size(), "@");
  return {"top-k",     top_experts(2, false),
          schedule,    {{1, 8, 1, 1}, {13, 8, 7, 9}, {700, 5, 2, 3}},
          expert_data, true};
}

std::vector<Kind> kinds() {
  return {of_values(),
          of_values_of_producer(),
          of_masks(),
          of_masks_of_producer(),
          of_lengths(false),
          of_lengths(true),
          of_data_bounded_values(),
          of_lists(),
          of_routes(false),
          of_routes(true),
          of_best_experts()};
}

std::string with(const Kind &kind, const std::string &settings) {
  std::string schedule = kind.schedule;
  return schedule.replace(schedule.find('@'), 1, settings);
}

int count(const std::string &text, const std::string &word) {
  int found = 0;
  for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; ++at) ++found;
  return found;
}

}  // namespace

TEST_CASE("an index in any order has the sets of one in order, whatever says what it lists") {
  for (const Kind &kind : kinds()) {
    CAPTURE(kind.name);
    std::vector<Data> data;
    std::mt19937 generator = test_generator(7);
    for (const Size &size : kind.sizes) {
      const bool large = size == kind.sizes.back();
      for (const double zeros : large ? std::vector<double>{0.5} : std::vector<double>{0, 0.9, 1}) {
        data.push_back({to_string(size) + " zeros " + std::to_string(zeros),
                        kind.make(size, zeros, true, generator)});
      }
    }
    check_agreement({kind.algorithm,
                     {with(kind, ""), with(kind, ".unordered()"), with(kind, ".align(4)"),
                      with(kind, ".unordered().align(4)")},
                     data});
  }
}

TEST_CASE(
    "long lists of keys: every position in its place, whatever keys stand beside each other") {
  struct Row {
    const char *keys;
    std::int64_t length, groups;
    std::function<std::int64_t(std::int64_t position, std::int64_t any)> key;
  };
  const auto any_of = [](std::int64_t groups) {
    return [groups](std::int64_t, std::int64_t any) { return any % groups; };
  };
  const std::vector<Row> rows = {
      {"any of a few", 300000, 64, any_of(64)},
      {"any of more than are counted at once", 200000, 5000, any_of(5000)},
      {"any of more than keys of a strip", 50000, 20000, any_of(20000)},
      {"one", 150001, 7, [](std::int64_t, std::int64_t) { return 5; }},
      {"runs", 150001, 9, [](std::int64_t p, std::int64_t) { return p / 77 % 9; }},
      {"by turns, some of no group", 150001, 40,
       [](std::int64_t p, std::int64_t any) { return any % 3 == 0 ? -1 : p % 40; }}};
  for (const std::int64_t align : {1, 4}) {
    Var t("t"), tile("tile");
    TensorParam w(float32, 1, "w"), key(int32, 1, "key");
    Func Y("Y");
    Y(t) = w(key(t));
    Y.where(key(t) >= 0);
    SparseIndex live = Y.index({.axis = t, .group = key(t)}).named("live").align(align);
    Y.pit_tile(tile, {.dense = {{t, 64}}, .index = live});
    const Pipeline pipeline({Y}, {live}, "long_lists");
    const Runner run(pipeline, Engine::Compiled);
    for (const Row &row : rows) {
      CAPTURE(align);
      CAPTURE(row.keys);
      std::mt19937 generator = test_generator(11);
      const AnyBuffer keys(int32, {row.length});
      auto *k = static_cast<std::int32_t *>(keys.data());
      std::vector<std::vector<std::int32_t>> lists(static_cast<std::size_t>(row.groups));
      for (std::int64_t p = 0; p < row.length; ++p) {
        const std::int64_t group = row.key(p, static_cast<std::int64_t>(generator()));
        k[p] = static_cast<std::int32_t>(group);
        if (group >= 0)
          lists[static_cast<std::size_t>(group)].push_back(static_cast<std::int32_t>(p));
      }
      std::vector<std::int32_t> offsets{0}, coordinates;
      for (const std::vector<std::int32_t> &list : lists) {
        coordinates.insert(coordinates.end(), list.begin(), list.end());
        while (std::ssize(coordinates) % align != 0) coordinates.push_back(-1);
        offsets.push_back(static_cast<std::int32_t>(coordinates.size()));
      }
      const Problem problem{{{"w", AnyBuffer(float32, {row.groups})}, {"key", keys}},
                            {},
                            {{"Y", {row.length}},
                             {"live.offsets", {row.groups + 1}},
                             {"live.coordinates", {row.length + row.groups * (align - 1)}},
                             {"live.count", {1}}}};
      const std::map<std::string, AnyBuffer> outputs = poisoned_outputs(pipeline, problem);
      run(problem, outputs);
      const auto holds = [&](const char *name, const std::vector<std::int32_t> &expected) {
        return std::equal(expected.begin(), expected.end(),
                          static_cast<const std::int32_t *>(outputs.at(name).data()));
      };
      CHECK(holds("live.offsets", offsets));
      CHECK(holds("live.coordinates", coordinates));
    }
  }
}

TEST_CASE("for CUDA an index in any order takes places as blocks come, whatever it lists") {
  const Target gpu("x86-64-linux-cuda-sm_90a");
  for (const Kind &kind : kinds()) {
    CAPTURE(kind.name);
    for (const std::string align : {"", ".align(4)"}) {
      CAPTURE(align);
      const auto lowered = [&](const std::string &settings, std::string *explained) {
        const Pipeline pipeline =
            kind.algorithm.with(Schedule::parse(kind.algorithm, with(kind, settings + align)));
        *explained = pipeline.explain(gpu);
        return ir::print(lower::lower(pipeline, gpu));
      };
      std::string said;
      const std::string ordered = lowered("", &said);
      CHECK(count(said, "order: ") == 0);
      // Keys are numbered in order inside of their block.
      CHECK(count(ordered, "fetch_add ") == (kind.keyed ? 1 : 0));
      CHECK(count(ordered, "+= 1 ordered") == (kind.keyed ? 1 : 0));
      CHECK(count(ordered, "sum_before ") > 0);
      const std::string any = lowered(".unordered()", &said);
      CHECK(count(said, "order: any: blocks take places as they come") == 1);
      // Of marks a block takes places once, of keys once a group, and threads in their block.
      CHECK(count(any, "fetch_add ") == (kind.keyed ? 2 : 1));
      CHECK(count(any, "sum_before ") == 0);
      // What is left are atomic operations alone: that no two blocks store one element is what the
      // interpreter of the other case tests.
      const std::string host = ir::print(lower::lower(
          kind.algorithm.with(Schedule::parse(kind.algorithm, with(kind, ".unordered()" + align))),
          Target("x86-64-linux-avx2")));
      CHECK(count(host, "unordered") + count(host, "fetch_add ") == 0);
    }
  }
}
