#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <string>

#include "codegen/ir/text.h"
#include "dsl/error.h"
#include "dsl/half.h"
#include "ir_arguments.h"

namespace pit::ir {
namespace {

/// The message of the error that the run ends with; "" when it ends well.
template <class Error>
std::string error_of(const std::string &text, std::vector<TensorArgument> inputs,
                     std::vector<TensorArgument> outputs,
                     std::vector<ScalarArgument> scalars = {}) {
  const Module module = parse(text);
  try {
    interpret(module, inputs, scalars, outputs);
  } catch (const Error &error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string &text, const std::string &part) {
  CAPTURE(text);
  CAPTURE(part);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

const char *const kMatmul = R"(module matmul(A: float32[2], B: float32[2]) -> (C: float32[2]) {
  stage compute C {
    parallel mo < (A.extent(0) + 31) / 32 {
      parallel no < (B.extent(1) + 15) / 16 {
        axes mi < min(32, A.extent(0) - mo * 32) max 32, ni < min(16, B.extent(1) - no * 16) max 16
        tile %acc: float32[32, 16]
        fill mi, ni: %acc[mi, ni] = 0.0
        for ko < (A.extent(1) + 7) / 8 {
          axes ki < min(8, A.extent(1) - ko * 8) max 8
          tile %a: float32[32, 8]
          load mi, ki: %a[mi, ki] = A(mo * 32 + mi, ko * 8 + ki)
          tile %b: float32[8, 16]
          load ki, ni: %b[ki, ni] = B(ko * 8 + ki, no * 16 + ni)
          mma m(mi) n(ni) k(ki): %acc[mi, ni] += %a[mi, ki] * %b[ki, ni]
        }
        store mi, ni: C[mo * 32 + mi, no * 16 + ni] = %acc[mi, ni]
      }
    }
  }
})";

TEST_CASE("ir interpreter - tiled matmul with edge tiles equals the plain loops") {
  const Module module = parse(kMatmul);
  for (const auto &[m, n, k] :
       {std::array{64, 64, 64}, {33, 17, 9}, {1, 1, 1}, {5, 0, 3}, {4, 3, 0}}) {
    TestTensor<float> a({m, k}), b({k, n}), c({m, n}, -1.0f);
    a.fill_with_pattern(1);
    b.fill_with_pattern(2);
    interpret(module, {a.argument(), b.argument()}, {}, {c.argument()});
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < n; ++j) {
        float sum = 0;
        for (int l = 0; l < k; ++l) sum += a(i, l) * b(l, j);
        REQUIRE(c(i, j) == sum);
      }
    }
  }
}

TEST_CASE("ir interpreter - a 64x64x64 matmul takes well under a second") {
  TestTensor<float> a({64, 64}), b({64, 64}), c({64, 64});
  const Module module = parse(kMatmul);
  const auto start = std::chrono::steady_clock::now();
  interpret(module, {a.argument(), b.argument()}, {}, {c.argument()});
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(900));
}

TEST_CASE("ir interpreter - strided arguments are read and written where they lie") {
  TestTensor<float> a({3, 4}), c({4, 6}, -1.0f);
  a.fill_with_pattern(3);
  TensorArgument transposed{a.data.data(), {4, 3}, {1, 4}},
      every_second{c.data.data(), {4, 3}, {6, 2}};
  interpret(parse("module copy(A: float32[2]) -> (C: float32[2]) {"
                  "  axes i < A.extent(0), j < A.extent(1) store i, j: C[i, j] = A(i, j) }"),
            {transposed}, {}, {every_second});
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 3; ++j) {
      CHECK(c(i, 2 * j) == a(j, i));
      CHECK(c(i, 2 * j + 1) == -1.0f);
    }
  }
}

// Rows of A whose first element is not zero are gathered, multiplied, and scattered back.
const char *const kGathered =
    R"(module gathered(A: bfloat16[2], B: bfloat16[2]) -> (C: float32[2]) statistics s(kept, candidates) {
  heap marks: uint8[A.extent(0)]
  heap offsets: int32[2]
  heap counts: int32[1]
  heap rows: int32[A.extent(0) + 3]
  heap position: int32[A.extent(0)]
  heap full: uint8[A.extent(0) + 3]
  stage index rows {
    axes m < A.extent(0)
    map m: marks[m] = uint8(A(m, 0) != 0)
    index_place rows(marks = marks, groups = 1, length = A.extent(0), micro = 1, align = 4)
      -> (offsets = offsets, counts = counts, coordinates = rows, position = position, full = full)
  }
  stage compute C {
    store s[0] = float64(counts[0])
    store s[1] = float64(A.extent(0))
    axes ni < B.extent(1), ki < B.extent(0)
    for t < (counts[0] + 3) / 4 {
      axes ei < 4 max 4
      tile %a: bfloat16[4, B.extent(0)]
      sread ei, ki: %a[ei, ki] = select(rows[t * 4 + ei] >= 0, A(rows[t * 4 + ei], ki), bfloat16(0.0))
      tile %b: bfloat16[B.extent(0), B.extent(1)]
      load ki, ni: %b[ki, ni] = B(ki, ni)
      tile %acc: float32[4, B.extent(1)]
      fill ei, ni: %acc[ei, ni] = 0
      mma m(ei) n(ni) k(ki): %acc[ei, ni] += %a[ei, ki] * %b[ki, ni]
      swrite ei, ni: C[rows[t * 4 + ei], ni] = %acc[ei, ni] where rows[t * 4 + ei] >= 0
    }
  }
})";

TEST_CASE("ir interpreter - gathered matmul through a placed index touches the kept rows only") {
  const int m = 11, n = 5, k = 6;
  TestTensor<bfloat16_t> a({m, k}), b({k, n});
  TestTensor<float> c({m, n}, 99.0f);
  a.fill_with_pattern(4);
  b.fill_with_pattern(5);
  for (int i = 0; i < m; ++i) a(i, 0) = bfloat16_t(i % 3 == 0 ? 0.0f : 1.0f);
  std::vector<double> statistics;
  interpret(parse(kGathered), {a.argument(), b.argument()}, {}, {c.argument()}, &statistics);
  int kept = 0;
  for (int i = 0; i < m; ++i) {
    const bool live = i % 3 != 0;
    kept += live;
    for (int j = 0; j < n; ++j) {
      float sum = 0;
      for (int l = 0; l < k; ++l) sum += a(i, l) * b(l, j);
      REQUIRE(c(i, j) == (live ? sum : 99.0f));
    }
  }
  CHECK(statistics == std::vector<double>{static_cast<double>(kept), static_cast<double>(m)});
}

TEST_CASE("ir interpreter - a placed index has groups, padding, positions and full bits") {
  TestTensor<std::uint8_t> marks({7}), full({8}, 77);
  marks.data = {1, 0, 3, 1, 0, 2, 1};  // groups of lengths 3, 0, 4; bit 1 alone is no mark
  TestTensor<std::int64_t> starts({4}), first({3});
  starts.data = {0, 3, 3, 7};
  first.data = {100, 0, 200};
  TestTensor<std::int32_t> offsets({4}), counts({3}), coordinates({8}, 77), position({7});
  interpret(parse(R"(module place(marks: uint8[1], starts: int64[1], first: int64[1])
      -> (offsets: int32[1], counts: int32[1], coordinates: int32[1], position: int32[1], full: uint8[1]) {
    index_place live(marks = marks, mark_offsets = starts, first = first, groups = 3, micro = 16, align = 4)
      -> (offsets = offsets, counts = counts, coordinates = coordinates, position = position, full = full)
  })"),
            {marks.argument(), starts.argument(), first.argument()}, {},
            {offsets.argument(), counts.argument(), coordinates.argument(), position.argument(),
             full.argument()});
  CHECK(offsets.data == std::vector<std::int32_t>{0, 4, 4, 8});
  CHECK(counts.data == std::vector<std::int32_t>{2, 0, 2});
  CHECK(coordinates.data == std::vector<std::int32_t>{100, 132, -1, -1, 200, 248, -1, -1});
  CHECK(position.data == std::vector<std::int32_t>{0, -1, 1, 4, -1, -1, 5});
  CHECK(full.data == std::vector<std::uint8_t>{1, 0, 77, 77, 1, 1, 77, 77});
}

const char *const kSort = R"(module route(keys: int64[1], groups: int64)
    -> (offsets: int32[1], counts: int32[1], coordinates: int32[1], position: int32[1]) {
  stage index by_expert {
    index_sort by_expert(keys = keys, length = keys.extent(0), groups = groups, align = 2)
      -> (offsets = offsets, counts = counts, coordinates = coordinates, position = position)
  }
})";

TEST_CASE("ir interpreter - a sorted index lists positions by key in order and drops -1") {
  TestTensor<std::int64_t> keys({6});
  keys.data = {2, 0, -1, 2, 2, 0};
  TestTensor<std::int32_t> offsets({4}), counts({3}), coordinates({6}), position({6});
  const auto run = [&] {
    return error_of<RuntimeError>(
        kSort, {keys.argument()},
        {offsets.argument(), counts.argument(), coordinates.argument(), position.argument()},
        {3.0});
  };
  CHECK(run() == "");
  CHECK(offsets.data == std::vector<std::int32_t>{0, 2, 2, 6});
  CHECK(counts.data == std::vector<std::int32_t>{2, 0, 3});
  CHECK(coordinates.data == std::vector<std::int32_t>{1, 5, 0, 3, 4, -1});
  CHECK(position.data == std::vector<std::int32_t>{2, 0, -1, 3, 4, 1});

  keys.data = {2, 0, 3, 2, 2, 0};
  contains(
      run(),
      "operator route: the key of the sparse index by_expert at position 2 is 3, outside [0, 3)");
  keys.data = {2, 0, -2, 2, 2, 0};
  contains(
      run(),
      "operator route: the key of the sparse index by_expert at position 2 is -1, outside [0, 3)");
  keys.data = {2, 0, 1, 2, 2, 0};
  contains(run(),
           "operator route: the sparse index by_expert needs 8 entries, but its capacity is 6");
  CHECK(offsets.data == std::vector<std::int32_t>{0, 0, 0, 0});
}

TEST_CASE("ir interpreter - prefix sums count negative numbers as zero") {
  TestTensor<std::int64_t> source({4}), destination({5});
  source.data = {3, -7, 0, 2};
  interpret(parse("module p(s: int64[1]) -> (d: int64[1]) { prefix d = s count s.extent(0) }"),
            {source.argument()}, {}, {destination.argument()});
  CHECK(destination.data == std::vector<std::int64_t>{0, 3, 3, 3, 5});
}

TEST_CASE(
    "ir interpreter - a compaction lists what is marked, parts sum what those before them say") {
  const char *const text = R"(
    module p(s: int32[1]) -> (d: int32[1], starts: int64[1]) {
      heap progress: int64[3]
      for i < 3 { store progress[i] = 0 }
      for part < 3 {
        tile %mark: bool[4]
        axes j < 4 { map j: %mark[j] = s[part * 4 + j] > 0 }
        tile %list: int32[4]
        tile %count: int32[]
        tile %before: int64[]
        compact %list, %count = %mark count 4
        sum_before %before = int64(%count[]) part part from 0 progress progress
        store starts[part] = %before[]
        axes r < int64(%count[]) { swrite r: d[%before[] + r] = int32(part * 4) + %list[r] }
      }
    })";
  TestTensor<std::int32_t> source({12}), found({12}, 77);
  TestTensor<std::int64_t> starts({3});
  source.data = {0, 5, 5, 0, 0, 0, 0, 0, 5, 0, 0, 5};
  interpret(parse(text), {source.argument()}, {}, {found.argument(), starts.argument()});
  CHECK(starts.data == std::vector<std::int64_t>{0, 2, 2});
  CHECK(std::vector<std::int32_t>(found.data.begin(), found.data.begin() + 5) ==
        std::vector<std::int32_t>{1, 2, 8, 11, 77});
}

TEST_CASE("ir interpreter - parts of a sum ascend, each once, from a progress of zeros") {
  const auto run = [](const std::string &part, const std::string &clear) {
    TestTensor<std::int64_t> out({3});
    return error_of<InternalError>("module p() -> (d: int64[1]) { heap progress: int64[3] " +
                                       clear +
                                       " for i < 3 { tile %s: int64[] sum_before %s = 1 part " +
                                       part + " from 0 progress progress store d[i] = %s[] } }",
                                   {}, {out.argument()});
  };
  const std::string clear = "for i < 3 { store progress[i] = 0 }";
  CHECK(run("i", clear).empty());
  contains(run("2 - i", clear), "part 2 of the sum s comes before the part that it waits for");
  contains(run("0", clear), "part 0 of the sum s is there twice");
  contains(run("i", ""), "progress[0] is not zero before the launch");
}

TEST_CASE("ir interpreter - a fetch_add gets what was there and adds, each counter apart") {
  TestTensor<std::int32_t> before({5}), counted({2});
  const auto run = [&](const std::string &added) {
    interpret(parse("module p() -> (d: int32[1], counted: int32[1]) { tile %c: int32[2] "
                    "for i < 2 { store %c[i] = 0 } "
                    "axes i < 5 tile %s: int32[5] fill i: %s[i] = 0 "
                    "fetch_add i: %s[i] = %c[i % 2] += " +
                    added +
                    " where i != 2 store i: d[i] = %s[i] "
                    "for c < 2 { store counted[c] = %c[c] } }"),
              {}, {}, {before.argument(), counted.argument()});
  };
  // In any order: the last iteration comes first.
  run("int32(i) + 1");
  CHECK(before.data == std::vector<std::int32_t>{5, 4, 0, 0, 0});
  CHECK(counted.data == std::vector<std::int32_t>{6, 6});
  run("3 ordered");
  CHECK(before.data == std::vector<std::int32_t>{0, 0, 0, 3, 3});
  CHECK(counted.data == std::vector<std::int32_t>{6, 6});
}

TEST_CASE("ir interpreter - an ordered fetch_add goes through its nest, outermost axis first") {
  TestTensor<std::int32_t> before({2, 3});
  interpret(parse("module p() -> (d: int32[2]) { tile %c: int32[1] store %c[0] = 7 "
                  "axes i < 2, j < 3 tile %s: int32[2, 3] "
                  "fetch_add i, j: %s[i, j] = %c[0] += 1 ordered "
                  "store i, j: d[i, j] = %s[i, j] }"),
            {}, {}, {before.argument()});
  CHECK(before.data == std::vector<std::int32_t>{7, 8, 9, 10, 11, 12});
}

TEST_CASE("ir interpreter - parallel iterations meet in a counter by fetch_add alone") {
  TestTensor<std::int32_t> out({3});
  const auto run = [&](const std::string &body) {
    return error_of<InternalError>(
        "module p() -> (d: int32[1]) { heap counters: int32[3] heap list: int32[3] "
        "for i < 3 { store counters[i] = 0 } parallel i < 3 { tile %s: int32[] " +
            body + " } for i < 3 { store d[i] = 0 } }",
        {}, {out.argument()});
  };
  const std::string take = "fetch_add %s[] = counters[0] += 1 ";
  CHECK(run(take).empty());
  // Numbers that are taken are distinct.
  CHECK(run(take + "store list[%s[]] = 1").empty());
  contains(run(take + "store list[%s[] / 2] = 1"), "is written by two parallel iterations");
  contains(run(take + "store list[i] = counters[0]"),
           "counters[0] is written by one parallel iteration and was read by another");
  contains(run("store counters[0 * i] = 1 " + take),
           "counters[0] is written by two parallel iterations");
}

TEST_CASE("ir interpreter - masked reductions with every combiner") {
  const struct {
    const char *op, *identity;
    float (*combine)(float, float);
  } cases[] = {{"+=", "0", [](float x, float y) { return x + y; }},
               {"*=", "1", [](float x, float y) { return x * y; }},
               {"min=", "inf", [](float x, float y) { return std::min(x, y); }},
               {"max=", "-inf", [](float x, float y) { return std::max(x, y); }}};
  TestTensor<float> a({4, 7});
  a.fill_with_pattern(6);
  for (const auto &c : cases) {
    TestTensor<float> out({4}, 99.0f);
    interpret(
        parse(
            std::string(
                "module r(A: float32[2]) -> (C: float32[1]) { axes i < 4, j < 7 fill i: C[i] = ") +
            c.identity + " reduce i, j: C[i] " + c.op + " A(i, j) where j > i, A(i, j) != 0 }"),
        {a.argument()}, {}, {out.argument()});
    for (int i = 0; i < 4; ++i) {
      float expected = c.op[0] == '*'   ? 1.0f
                       : c.op[0] == '+' ? 0.0f
                       : c.op[1] == 'i' ? INFINITY
                                        : -INFINITY;
      for (int j = i + 1; j < 7; ++j) {
        if (a(i, j) != 0) expected = c.combine(expected, a(i, j));
      }
      CHECK(out(i) == expected);
    }
  }
}

TEST_CASE("ir interpreter - steps of a softmax give the softmax") {
  // Two tiles of keys, the second partly masked; the state is rescaled between them.
  const char *text =
      R"(module softmax(S: float32[2], V: float32[2], scale: float32) -> (O: float32[2]) {
    axes i < S.extent(0), d < V.extent(1)
    tile %m: float32[S.extent(0)]
    fill i: %m[i] = -inf
    tile %s: float32[S.extent(0)]
    fill i: %s[i] = 0
    tile %w: float32[S.extent(0), V.extent(1)]
    fill i, d: %w[i, d] = 0
    for t < (S.extent(1) + 3) / 4 {
      axes j < min(4, S.extent(1) - t * 4) max 4
      tile %score: float32[S.extent(0), 4]
      load i, j: %score[i, j] = select(t * 4 + j <= i + 2, S(i, t * 4 + j) * scale, -inf)
      tile %new: float32[S.extent(0)]
      map i: %new[i] = %m[i]
      reduce i, j: %new[i] max= %score[i, j]
      tile %fix: float32[S.extent(0)]
      map i: %fix[i] = exp(%m[i] - %new[i])
      tile %p: float32[S.extent(0), 4]
      map i, j: %p[i, j] = exp(%score[i, j] - %new[i])
      reduce i: %s[i] *= %fix[i]
      reduce i, j: %s[i] += %p[i, j]
      reduce i, d: %w[i, d] *= %fix[i]
      tile %v: float32[4, V.extent(1)]
      load j, d: %v[j, d] = V(t * 4 + j, d)
      mma m(i) n(d) k(j): %w[i, d] += %p[i, j] * %v[j, d]
      map i: %m[i] = %new[i]
    }
    store i, d: O[i, d] = %w[i, d] / %s[i]
  })";
  const int rows = 5, keys = 7, width = 3;
  TestTensor<float> s({rows, keys}), v({keys, width}), out({rows, width});
  s.fill_with_pattern(7);
  v.fill_with_pattern(8);
  interpret(parse(text), {s.argument(), v.argument()}, {0.25}, {out.argument()});
  for (int i = 0; i < rows; ++i) {
    for (int d = 0; d < width; ++d) {
      double sum = 0, weighted = 0;
      for (int j = 0; j < keys && j <= i + 2; ++j) {
        const double p = std::exp(static_cast<double>(s(i, j)) * 0.25);
        sum += p;
        weighted += p * static_cast<double>(v(j, d));
      }
      CHECK(out(i, d) == doctest::Approx(weighted / sum).epsilon(1e-5));
    }
  }
}

TEST_CASE("ir interpreter - arithmetic happens in the real types") {
  const struct {
    const char *value;
    double expected;
  } cases[] = {
      {"float64(16777216.0 + 1.0)", 16777216.0},  // folded or not: one float32 rounding
      {"float64(x + 1.0)", 16777216.0},           // x = 2^24
      {"float64(x) + 1", 16777217.0},
      {"float64(bfloat16(x / 3))", 5603328.0},
      {"float64(float16(x))", INFINITY},
      {"float64(int8(i + 125))", -128.0},  // i = 3
      {"float64(uint8(i - 4))", 255.0},
      {"float64(-(i + 4) / 3)", -3.0},  // Euclidean
      {"float64(-(i + 4) % 3)", 2.0},
      {"float64((i + 4) / (i - 3))", 0.0},
      {"float64((i + 4) % (i - 3))", 0.0},
      {"float64(-(i + 4) / -i)", 3.0},
      {"float64(int32(x * 1000.0))", 2147483647.0},  // saturates
      {"float64(int32(sqrt(-x)))", 0.0},             // NaN
      {"float64(uint64(i - 4) / uint64(2))", 9223372036854775808.0},
      {"float64(uint64(i - 4) > uint64(i))", 1.0},
      {"float64(max(sqrt(-x), x))", NAN},
      {"float64(min(x, sqrt(-x)))", NAN},
      {"float64(i << 62)", -4611686018427387904.0},
      {"float64((i - 5) >> 70)", -1.0},
      {"float64(round(x / 33554432.0))", 0.0},         // half to even
      {"float64(select(i > 2, i, A(i + 100)))", 3.0},  // the other side is not evaluated
      {"float64(i > 3 && A(i + 100) > 0)", 0.0},
      {"float64(i > 2 || A(i + 100) > 0)", 1.0},
  };
  TestTensor<std::int64_t> a({1}, 3);
  for (const auto &c : cases) {
    CAPTURE(c.value);
    TestTensor<double> out({1});
    interpret(parse(std::string("module v(A: int64[1], x: float32) -> (C: float64[1]) { let i: "
                                "int64 = A(0) store C[0] = ") +
                    c.value + " }"),
              {a.argument()}, {16777216.0}, {out.argument()});
    if (std::isnan(c.expected)) {
      CHECK(std::isnan(out(0)));
    } else {
      CHECK(out(0) == c.expected);
    }
  }
}

TEST_CASE("ir interpreter - elements of every type are loaded and stored") {
  const double values[] = {-3, 0, 1, 100, 200};
  for (const char *type : {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                           "bool", "float16", "bfloat16", "float32", "float64"}) {
    CAPTURE(type);
    TestTensor<double> in({5}), out({5});
    in.data.assign(std::begin(values), std::end(values));
    Type element;
    REQUIRE(parse_type(type, &element));
    interpret(
        parse(std::string("module t(A: float64[1]) -> (C: float64[1]) { axes i < 5 heap t: ") +
              type + "[5] map i: t[i] = " + type + "(A(i)) store i: C[i] = float64(t[i]) }"),
        {in.argument()}, {}, {out.argument()});
    for (int i = 0; i < 5; ++i) {
      double expected = values[i];
      if (element.is_bool()) expected = expected != 0;
      if (element.is_uint()) expected = std::max(expected, 0.0);
      if (element == int8) expected = std::min(expected, 127.0);
      CHECK(out(i) == expected);
    }
  }
}

TEST_CASE(
    "ir interpreter - a failed check is reported, the first one, and later stages do nothing") {
  const char *text = R"(module lookup(K: int32[1], V: float32[1]) -> (C: float32[1]) {
    stage check keys {
      axes i < K.extent(0)
      check i: K(i) < V.extent(0) where K(i) >= 0 else "K({1}) is {0}; {0} is not below {2}" (int64(K(i)), i, V.extent(0))
    }
    stage compute C {
      axes i < K.extent(0)
      sread i: C[i] = V(K(i)) where K(i) >= 0
    }
  })";
  TestTensor<std::int32_t> keys({4});
  TestTensor<float> values({3}, 5.0f), out({4}, 9.0f);
  keys.data = {2, -1, 7, 8};
  CHECK(error_of<RuntimeError>(text, {keys.argument(), values.argument()}, {out.argument()}) ==
        "operator lookup: K(2) is 7; 7 is not below 3");
  CHECK(out.data == std::vector<float>(4, 9.0f));
  keys.data = {2, -1, 0, 1};
  CHECK(error_of<RuntimeError>(text, {keys.argument(), values.argument()}, {out.argument()}) == "");
  CHECK(out.data == std::vector<float>{5.0f, 9.0f, 5.0f, 5.0f});
}

TEST_CASE(
    "ir interpreter - what a module may not do is an internal error with the statement and the "
    "point") {
  const struct {
    const char *body, *message;
  } cases[] = {
      {"for i < 5 { store C[0, 0] = A(i, 0) }",
       "index [4, 0] of A is out of bounds: its extents are [4, 4]"},
      {"for i < 5 { store C[i - 1, 0] = 0 }", "index [-1, 0] of C is out of bounds"},
      {"for i < 5 { store C[0, i] = 0 }", "in  store C[0, i] = 0.0\n  at  i = 4"},
      {"store C[0, 0] = C(1, 1)", "C[1, 1] is read but was never written"},
      {"store C[0, 0] += 1", "C[0, 0] is read but was never written"},
      {"heap h: float32[2, 3] { store h[1, 2] = 1 store C[0, 0] = h[1, 1] }",
       "h[1, 1] is read but was never written"},
      {"heap h: float32[-1] store h[0] = 1", "h is out of bounds: its extents are [-1]"},
      {"axes i < 2 tile %t: float32[2] load i: %t[i] = A(i, 0) where i < 1 store i: C[i, 0] = "
       "%t[i]",
       "t[1] is read but was never written"},
      {"axes i < 4, j < 4 store i, j: C[i, 0] = A(i, j)",
       "two iterations of a store assign one element of C"},
      {"axes i < 4 { store i: C[i, 0] = 0 store i: C[i, 0] = C(max(i - 1, 0), 0) + 1 }",
       "an iteration of a tile statement reads an element of C that another stores"},
      {"axes i < 4 { store i: C[i, 0] = 0 store i: C[i, 0] = C(min(i + 1, 3), 0) + 1 }",
       "an iteration of a tile statement stores an element of C that another reads"},
      {"axes i < 5 max 4 store C[0, 0] = 0", "the extent 5 of axis i is above its maximum 4"},
      {"store A[0, 0] = 0", "A is an input and is written"},
      {"parallel i < 2 { store C[0, 0] = 0 }", "C[0, 0] is written by two parallel iterations"},
      {"gpu_block i < 2 { gpu_thread j < 2 { store C[j, 0] = 0 } }",
       "C[0, 0] is written by two parallel iterations"},
      {"parallel i < 4 { store C[i, 0] = 0 store C[i, 1] = C(max(i - 1, 0), 0) }",
       "C[0, 0] is read by one parallel iteration and was written by another"},
      {"axes j < 4 fill j: C[j, 0] = 0 parallel i < 3 { store C[i, 0] = C(i + 1, 0) }",
       "C[1, 0] is written by one parallel iteration and was read by another"},
      {"store C[0, 0] = 0 parallel i < 2 { reduce_store C[0, 0] += 1 }",
       "C[0, 0] is read by one parallel iteration and was written by another"},
      {"store C[0, 0] = 0 parallel i < 2 { if i == 0 { reduce_store C[0, 0] += 1 atomic } else { "
       "store C[0, 0] = 1 } }",
       "C[0, 0] is written by two parallel iterations"},
  };
  for (const auto &c : cases) {
    CAPTURE(c.body);
    TestTensor<float> a({4, 4}), out({4, 4});
    const std::string text =
        std::string("module wrong(A: float32[2]) -> (C: float32[2]) { ") + c.body + " }";
    contains(error_of<InternalError>(text, {a.argument()}, {out.argument()}), c.message);
  }
}

TEST_CASE("ir interpreter - ordered accesses around and inside parallel loops are no collision") {
  for (const char *body :
       {"parallel i < 4 { store C[i, 0] = 0 } parallel i < 4 { store C[i, 0] = C(3 - i, 0) * 0 "
        "where i == 3 - i }",
        "parallel i < 4 { store C[i, 0] = 0 } for i < 4 { store C[0, 0] = C(i, 0) }",
        "store C[0, 0] = 0 parallel i < 4 { reduce_store C[0, 0] += 1 atomic } store C[0, 0] = "
        "C(0, 0)",
        "for i < 3 { parallel j < 4 { store C[j, 0] = 1 } }",
        "parallel i < 4 { for j < 4 { store C[i, 0] = 1 } parallel j < 4 { store C[i, j] = C(i, 0) "
        "where j > 0 } }",
        "parallel i < 4 { gpu_thread j < 4 { store C[i, j] = 1 } gpu_thread j < 4 { store C[i, 3 - "
        "j] = 2 } }",
        "parallel i < 4 { tile %t: float32[1] { store %t[0] = 1 store C[i, 0] = %t[0] } }"}) {
    CAPTURE(body);
    TestTensor<float> out({4, 4});
    const std::string text = std::string("module right() -> (C: float32[2]) { ") + body + " }";
    CHECK(error_of<InternalError>(text, {}, {out.argument()}) == "");
  }
}

TEST_CASE("ir interpreter - a kernel runs for every point of its grid, and points may not meet") {
  const auto run = [](const std::string &body, TestTensor<float> *out) {
    return error_of<InternalError>(
        "module k() -> (C: float32[2]) { stage compute C { " + body + " } }", {},
        {out->argument()});
  };
  TestTensor<float> out({3, 4});
  CHECK(run("launch k threads 2 grid i < 3, j < 4 { store C[i, j] = float32(10 * i + j) }", &out) ==
        "");
  CHECK(out(2, 3) == 23);
  CHECK(out(1, 0) == 10);
  CHECK(run("launch k threads 2 grid i < 3, j < 4 { store C[i, j - j % 2] = 1 }", &out).find("C") !=
        std::string::npos);
}

TEST_CASE("ir interpreter - an mma with batch axes shares the operand that lacks them") {
  const char *text = R"(module b(A: int8[3], B: int8[2]) -> (C: int32[3]) {
    axes h < 2, i < 3, j < 4, k < 5, l < 2
    tile %a: int8[5, 2, 3]
    load h, i, k: %a[k, h, i] = A(h, i, k)
    tile %b: int8[4, 5]
    load j, k: %b[j, k] = B(k, j)
    tile %acc: int32[3, 2, 4]
    fill h, i, j: %acc[i, h, j] = 1
    mma batch(h) m(i) n(j) k(k): %acc[i, h, j] += %a[k, h, i] * %b[j, k]
    store h, i, j: C[h, i, j] = %acc[i, h, j]
  })";
  TestTensor<std::int8_t> a({2, 3, 5}), b({5, 4});
  TestTensor<std::int32_t> c({2, 3, 4});
  a.fill_with_pattern(9);
  b.fill_with_pattern(10);
  interpret(parse(text), {a.argument(), b.argument()}, {}, {c.argument()});
  for (int h = 0; h < 2; ++h) {
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 4; ++j) {
        std::int32_t sum = 1;
        for (int k = 0; k < 5; ++k)
          sum += a.data.at(static_cast<std::size_t>((h * 3 + i) * 5 + k)) * b(k, j);
        CHECK(c.data.at(static_cast<std::size_t>((h * 3 + i) * 4 + j)) == sum);
      }
    }
  }
}

}  // namespace
}  // namespace pit::ir
