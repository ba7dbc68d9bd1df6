#include <doctest/doctest.h>

#include <limits>

#include "codegen/ir/equal.h"
#include "codegen/ir/text.h"
#include "dsl/error.h"

namespace pit::ir {
namespace {

/// Prints, reads back and compares: the text again and the tree.
void check_round_trip(const Module &module) {
  const std::string text = print(module);
  CAPTURE(text);
  Module again;
  REQUIRE_NOTHROW(again = parse(text));
  CHECK(print(again) == text);
  CHECK(equal(again, module));
}

Module module_of(Stmt body) {
  Module m;
  m.name = "test";
  m.body = std::move(body);
  return m;
}

Expr index(std::int64_t i) { return make_int(int64, i); }

/// A store to a heap storage: something to put into bodies.
struct Memory {
  StoragePtr heap = make_storage("heap", float32, 1, Space::Heap);
  Stmt store(Expr at, Expr value) const {
    return make<Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, heap, std::vector<Expr>{at},
                       Combiner::Assign, value);
  }
  Stmt around(Stmt body) const { return make<Allocate>(heap, std::vector<Expr>{index(16)}, body); }
};

TEST_CASE("ir text - a matmul prints as documented and is read back") {
  const std::string text = R"(module matmul(A: float32[2], B: float32[2]) -> (C: float32[2]) {
  stage compute C {
    parallel mo < (A.extent(0) + 31) / 32 {
      axes mi < min(32, A.extent(0) - mo * 32) max 32, ni < B.extent(1), ki < A.extent(1)
      tile %acc: float32[32, B.extent(1)]
      fill mi, ni: %acc[mi, ni] = 0.0
      tile %a: float32[32, A.extent(1)]
      load mi, ki: %a[mi, ki] = A(mo * 32 + mi, ki)
      tile %b: float32[A.extent(1), B.extent(1)]
      load ki, ni: %b[ki, ni] = B(ki, ni)
      mma m(mi) n(ni) k(ki): %acc[mi, ni] += %a[mi, ki] * %b[ki, ni]
      store mi, ni: C[mo * 32 + mi, ni] = %acc[mi, ni]
    }
  }
}
)";
  Module module;
  REQUIRE_NOTHROW(module = parse(text));
  CHECK(print(module) == text);
  check_round_trip(module);
}

TEST_CASE("ir text - kernels and their grids survive") {
  const std::string text = R"(module twice(A: float32[2]) -> (C: float32[2]) {
  stage compute C {
    launch "C, rows" threads 128 grid i < A.extent(0), j < (A.extent(1) + 127) / 128 {
      gpu_thread t < min(128, A.extent(1) - j * 128) {
        store C[i, j * 128 + t] = A(i, j * 128 + t) * 2.0
      }
    }
    launch one threads 1 {
      store C[0, 0] = 1.0
    }
  }
}
)";
  Module module;
  REQUIRE_NOTHROW(module = parse(text));
  CHECK(print(module) == text);
  check_round_trip(module);
}

TEST_CASE("ir text - every statement with all its fields survives") {
  const StoragePtr marks = make_storage("marks", uint8, 1, Space::Heap);
  const auto int_heap = [](const char *name) { return make_storage(name, int32, 1, Space::Heap); };
  const auto long_heap = [](const char *name) { return make_storage(name, int64, 1, Space::Heap); };
  const StoragePtr offsets = int_heap("offsets"), counts = int_heap("counts"),
                   coordinates = int_heap("coordinates"), position = int_heap("position"),
                   keys = long_heap("keys"), first = long_heap("first"),
                   starts = long_heap("starts"), full = make_storage("full", uint8, 1, Space::Heap);
  const StoragePtr a = make_storage("a", bfloat16, 3, Space::Tile),
                   b = make_storage("b", bfloat16, 2, Space::Tile),
                   acc = make_storage("acc", float32, 3, Space::Tile);
  const VarPtr g = make_loop_variable("g"), h = make_axis_variable("h"),
               m = make_axis_variable("m"), n = make_axis_variable("n"),
               k = make_axis_variable("k"), x = make_let_variable("x", int32);
  const Expr eh = make_variable(h), em = make_variable(m), en = make_variable(n),
             ek = make_variable(k);
  const StoragePtr passes = make_storage("passes", boolean, 1, Space::Tile),
                   list = make_storage("list", int32, 1, Space::Tile),
                   count = make_storage("kept", int32, 0, Space::Tile),
                   before = make_storage("before", int64, 0, Space::Tile);
  const std::vector<Expr> guards = {em < 3, make_load(marks, {em}) != 0};
  std::vector<Stmt> cases = {
      make<IndexPlace>(marks, starts, first, index(3), index(8), index(2), 4, offsets, counts,
                       coordinates, position, full, "live"),
      make<IndexPlace>(marks, nullptr, nullptr, index(3), index(8), index(2), 1, offsets, counts,
                       coordinates, nullptr, nullptr, "an index \"with\" \\ quotes"),
      make<IndexPlace>(marks, starts, nullptr, index(3), Expr(), index(2), 1, offsets, counts,
                       coordinates, nullptr, nullptr, "no length"),
      make<IndexPlace>(marks, nullptr, nullptr, index(3), index(8), index(2), 4, offsets, counts,
                       coordinates, position, full, "unordered", false, index(9)),
      make<IndexSort>(keys, index(9), index(3), 16, offsets, counts, coordinates, position,
                      "by_expert"),
      make<IndexSort>(keys, index(9), index(3), 1, offsets, counts, coordinates, nullptr,
                      "by.expert"),
      make<IndexSort>(keys, index(9), index(3), 1, offsets, counts, coordinates, nullptr,
                      "unordered", false),
      make<Prefix>(starts, first, index(3)),
      make<Compact>(list, count, passes, index(3)),
      make<SumBefore>(before, starts, index(1), index(3), i64(make_load(count, {}))),
      make<FetchAdd>(std::vector<VarPtr>{}, std::vector<Expr>{}, before, std::vector<Expr>{},
                     starts, index(3), i64(make_load(count, {}))),
      make<FetchAdd>(std::vector<VarPtr>{m, n}, guards, list, std::vector<Expr>{em + en}, counts,
                     en, make_int(int32, 2)),
      make<FetchAdd>(std::vector<VarPtr>{m, n}, guards, list, std::vector<Expr>{em + en}, counts,
                     en, make_int(int32, 2), true),
      make<Check>(std::vector<VarPtr>{}, std::vector<Expr>{}, Expr(true), "always",
                  std::vector<Expr>{}),
      make<Check>(std::vector<VarPtr>{m, n}, guards, em < en, "row {0}\nof {1}",
                  std::vector<Expr>{em, index(-7)}),
      make<Store>(std::vector<VarPtr>{m, n}, guards, acc, std::vector<Expr>{em, en, index(0)},
                  Combiner::Max, select(make_variable(x) == 1, 1.5f, f32(make_load(b, {em, en}))),
                  true, 16),
      make<Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, full, std::vector<Expr>{Expr(3)},
                  Combiner::Assign, make_int(uint8, 255)),
      make<Store>(std::vector<VarPtr>{m}, std::vector<Expr>{}, b, std::vector<Expr>{em, em},
                  Combiner::Assign, make_float(bfloat16, -0.0)),
      make<Mma>(std::vector<VarPtr>{h}, std::vector<VarPtr>{m}, std::vector<VarPtr>{n},
                std::vector<VarPtr>{k}, TileOperand{acc, {h, m, n}}, TileOperand{a, {h, k, m}},
                TileOperand{b, {k, n}}, "mma.sync m16n8k16"),
      make<Mma>(std::vector<VarPtr>{}, std::vector<VarPtr>{}, std::vector<VarPtr>{},
                std::vector<VarPtr>{h, m}, TileOperand{acc, {}}, TileOperand{a, {h, m}},
                TileOperand{b, {m, h}}),
      make<If>(make_load(counts, {index(0)}) > 0, make<Prefix>(starts, first, index(1))),
      make<If>(make_variable(x) == 0, Stmt(), make<Prefix>(starts, first, index(1))),
      make<For>(g, make_load(starts, {index(1)}), i64(make_load(counts, {index(1)})),
                ForKind::GpuThread, Stmt()),
      make<Stage>("place live", StageKind::Index, Stmt()),
      make<Stage>("check", StageKind::Check, make<Stage>("compute", StageKind::Compute, Stmt())),
      make<Block>(std::vector<Stmt>{}),
      make<Block>(std::vector<Stmt>{make<Block>(std::vector<Stmt>{Stmt(), Stmt()})}),
  };
  for (ForKind kind : {ForKind::Serial, ForKind::Parallel, ForKind::Unrolled, ForKind::GpuBlock}) {
    cases.push_back(
        make<For>(g, index(0), index(4), kind, make<Prefix>(starts, first, make_variable(g))));
  }
  for (const Stmt &s : cases) {
    Stmt body = make<Let>(x, make_int(int32, 5), s);
    body = make<Axes>(
        std::vector<AxisBinding>{{h, index(2)}, {m, index(4), 8}, {n, Expr(4)}, {k, index(4)}},
        body);
    for (const StoragePtr &storage :
         {marks, offsets, counts, coordinates, position, keys, first, starts, full}) {
      body = make<Allocate>(storage, std::vector<Expr>{index(64)}, body);
    }
    for (const StoragePtr &storage : {a, b, acc, passes, list, count, before}) {
      std::vector<Expr> extents(static_cast<std::size_t>(storage->rank), index(4));
      body = make<Allocate>(storage, extents, body);
    }
    check_round_trip(module_of(body));
  }
}

TEST_CASE("ir text - definitions with something after their scope keep their braces") {
  const Memory memory;
  const VarPtr x = make_let_variable("x", int64), y = make_let_variable("y", float32),
               i = make_axis_variable("i");
  const StoragePtr t = make_storage("t", float32, 0, Space::Tile);
  const Stmt inside = memory.store(make_variable(x), Expr(1.0f)),
             after = memory.store(index(2), Expr(2.0f));
  const Stmt let = make<Let>(x, index(1), inside),
             two = make<Let>(x, index(1), make_block({inside, after}));
  check_round_trip(module_of(memory.around(make_block({let, after}))));
  check_round_trip(module_of(memory.around(make_block({after, let}))));
  check_round_trip(module_of(memory.around(two)));
  check_round_trip(module_of(memory.around(make_block({make<Let>(y, Expr(0.5f), Stmt()), after}))));
  check_round_trip(
      module_of(memory.around(make_block({make<Allocate>(t, std::vector<Expr>{}, after), after}))));
  check_round_trip(module_of(memory.around(make_block(
      {make<Axes>(std::vector<AxisBinding>{{i, index(3)}}, make_block({after, after})), after}))));
}

TEST_CASE("ir text - equal names are told apart and awkward names are made plain") {
  const Memory memory;
  const auto var = [](const char *name) { return make_loop_variable(name); };
  const auto loop = [](const VarPtr &v, Stmt body) {
    return make<For>(v, index(0), index(2), ForKind::Serial, body);
  };
  const std::vector<const char *> names = {"i",         "i",     "i.1", "min",      "where",
                                           "two words", "",      "9",   "x.extent", "a..b",
                                           "else",      "int32", "i.",  "count",    "max"};
  std::vector<VarPtr> vars;
  Expr sum = index(0);
  for (const char *name : names) {
    vars.push_back(var(name));
    sum = sum + make_variable(vars.back());
  }
  Stmt body = memory.store(sum, Expr(1.0f));
  for (const VarPtr &v : vars) body = loop(v, body);
  const Module module = module_of(memory.around(body));
  check_round_trip(module);
  CHECK(print(module).find("for i.1 <") != std::string::npos);
}

TEST_CASE("ir text - signature, strides, alignment and statistics survive") {
  Module module;
  module.name = "two words";
  module.inputs = {
      std::make_shared<const StorageNode>(
          StorageNode{"A", bfloat16, 2, Space::Tensor, {-1, 1}, 16}),
      std::make_shared<const StorageNode>(StorageNode{"A", float16, 0, Space::Tensor, {}, 1})};
  module.scalars = {std::make_shared<const ParamNode>(ParamNode{"scale", float32})};
  module.outputs = {
      make_storage("Out", int8, 3, Space::Tensor),
      std::make_shared<const StorageNode>(StorageNode{"Any", int8, 2, Space::Tensor, {-1, -1}, 1})};
  module.statistics = make_storage("statistics", float64, 1, Space::Heap);
  module.statistic_names = {"live.kept", "odd name"};
  module.body = make<Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, module.statistics,
                            std::vector<Expr>{index(1)}, Combiner::Sum,
                            f64(make_load(module.inputs[1], {})) *
                                f64(Expr(std::make_shared<ParamRef>(module.scalars[0]))));
  check_round_trip(module);
  CHECK(print(module).find("A: bfloat16[2] strides(?, 1) align 16") != std::string::npos);
  CHECK(print(module).find("Any: int8[2])") != std::string::npos);
}

TEST_CASE("ir text - expressions of every kind survive in values") {
  const StoragePtr tensor = make_storage("T", float32, 1, Space::Tensor),
                   out = make_storage("O", float32, 1, Space::Tensor);
  const VarPtr x = make_let_variable("x", int64), y = make_let_variable("y", float32);
  const Expr i = make_variable(x), f = make_variable(y);
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<Expr> values = {Expr(0.1f),
                                    Expr(-0.0f),
                                    Expr(infinity),
                                    Expr(-infinity),
                                    Expr(std::numeric_limits<float>::quiet_NaN()),
                                    f - (f - f),
                                    f / (f * f),
                                    -(f + 1.0f),
                                    -f,
                                    select(i < 3 && !(i == 2), f, -infinity),
                                    min(f, max(f, 0.5f)),
                                    pow(f, 2.0f),
                                    exp(f),
                                    erf(f),
                                    f32(i),
                                    f32(bf16(f)),
                                    f32((i % 3 + i / 4 * 2 - -5) << 2),
                                    f32(~i & (i | (i ^ 3))),
                                    f32(f64(f) * 0.1),
                                    f32(cast(uint64, i) + cast(uint64, Expr(-1))),
                                    make_load(tensor, {i % i}),
                                    f32(make_extent(tensor, 0)),
                                    f32(i > 1 || i <= -1),
                                    round(f) + floor(f),
                                    f32(is_nan(f)),
                                    f32(cast(int8, i) + cast(int8, Expr(100)))};
  for (const Expr &value : values) {
    Module module;
    module.name = "values";
    module.inputs = {tensor};
    module.outputs = {out};
    const Stmt store = make<Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, out,
                                   std::vector<Expr>{index(0)}, Combiner::Assign, value);
    module.body = make<Let>(x, index(1), make<Let>(y, Expr(0.0f), store));
    check_round_trip(module);
  }
}

TEST_CASE("ir text - mnemonics say what a store does") {
  const Module module = parse(R"(module m(A: float32[2]) -> (C: float32[2]) {
  heap coordinates: int32[8]
  axes i < 4, j < 4
  tile %t: float32[4, 4]
  store i, j: %t[i, j] = 0
  store i, j: %t[i, j] = A(i, j)
  store i, j: %t[i, j] = select(i < 2, A(i, j), 0)
  store i, j: %t[i, j] = A(coordinates[i], j)
  store i, j: %t[i, j] = A(i, j) * 2
  store i, j: %t[i, 0] max= A(i, j)
  store i, j: C[i, j] = %t[i, j]
  store i, j: C[coordinates[i], j] = %t[i, j]
  store i, j: C[i, j] += %t[i, j] where i < 2, j < 2 atomic bytes 16
  store i, j: C[i, 0] += %t[i, j]
})");
  const std::string text = print(module);
  std::vector<std::string> words;
  for (std::size_t at = text.find("\n  fill"); at < text.rfind('\n');
       at = text.find('\n', at + 1)) {
    const std::size_t start = text.find_first_not_of(' ', at + 1);
    if (text[start] != '}') words.push_back(text.substr(start, text.find(' ', start) - start));
  }
  CHECK(words == std::vector<std::string>{"fill", "load", "load", "sread", "map", "reduce", "store",
                                          "swrite", "reduce_store", "reduce"});
}

TEST_CASE("ir text - equality sees every difference but names") {
  const char *base = "module m(A: int32[1]) -> (C: int32[1]) { for i < 4 { store C[i] = A(i) } }";
  const Module module = parse(base);
  CHECK(equal(module,
              parse("module m(X: int32[1]) -> (Y: int32[1]) { for j < 4 { store Y[j] = X(j) } }")));
  for (const char *other :
       {"module n(A: int32[1]) -> (C: int32[1]) { for i < 4 { store C[i] = A(i) } }",
        "module m(A: int32[1] align 4) -> (C: int32[1]) { for i < 4 { store C[i] = A(i) } }",
        "module m(A: int32[1]) -> (C: int32[1]) { parallel i < 4 { store C[i] = A(i) } }",
        "module m(A: int32[1]) -> (C: int32[1]) { for i < 5 { store C[i] = A(i) } }",
        "module m(A: int32[1]) -> (C: int32[1]) { for i = 1 count 4 { store C[i] = A(i) } }",
        "module m(A: int32[1]) -> (C: int32[1]) { for i < 4 { store C[i] += A(i) } }",
        "module m(A: int32[1]) -> (C: int32[1]) { for i < 4 { store C[i] = C(i) } }",
        "module m(A: int32[1]) -> (C: int32[1]) { for i < 4 { store C[i] = A(i) bytes 4 } }",
        "module m(A: int32[1]) -> (C: int32[1]) { for i < 4 { store C[i] = A(i) where i < 2 } }",
        "module m(A: int32[1]) -> (C: int32[1]) { for i < 4 { block { store C[i] = A(i) } } }"}) {
    CAPTURE(other);
    CHECK_FALSE(equal(module, parse(other)));
  }
}

TEST_CASE("ir text - errors name the line, the column and what was expected") {
  const struct {
    const char *text, *message;
  } cases[] = {
      {"module m() -> () {\n  frobnicate x\n}", "line 2, column 3: expected a statement"},
      {"module m() -> () {\n  for i < n {\n  }\n}", "line 2, column 11: unknown name 'n'"},
      {"module m() -> () {\n  for i < 3\n}", "line 3, column 1: expected '{'"},
      {"module m() -> () {", "column 19: expected '}'"},
      {"module m(A: int31[2]) -> () { }", "line 1, column 13: expected an element type"},
      {"module m() -> () { } }", "column 22: expected the end of the module"},
      {"module m() -> () { store X[0] = 1 }", "column 26: expected a storage"},
      {"// comment\nmodule m() -> (C: bool[0]) { store C[] = true && }",
       "line 2, column 50: expected an expression"},
  };
  for (const auto &c : cases) {
    CAPTURE(c.text);
    try {
      parse(c.text);
      FAIL("was read");
    } catch (const InternalError &error) {
      CAPTURE(error.what());
      CHECK(std::string(error.what()).find(c.message) != std::string::npos);
    }
  }
}

}  // namespace
}  // namespace pit::ir
