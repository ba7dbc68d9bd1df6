#include "host_run.h"

namespace pit::host {
namespace {

using namespace ir;  // NOLINT

Expr at(const VarPtr &v) { return make_variable(v); }
Expr number(std::int64_t v) { return make_int(int64, v); }
StoragePtr tensor(const char *name, Type type, int rank) {
  return make_storage(name, type, rank, Space::Tensor);
}
StoragePtr tile(const char *name, Type type, int rank) {
  return make_storage(name, type, rank, Space::Tile);
}
using Vars = std::vector<VarPtr>;
using Exprs = std::vector<Expr>;

Module module_of(std::vector<StoragePtr> inputs, std::vector<StoragePtr> outputs, Stmt body) {
  Module module;
  module.name = "test";
  module.inputs = std::move(inputs);
  module.outputs = std::move(outputs);
  module.body = make<Stage>("all", StageKind::Compute, std::move(body));
  return module;
}

TestTensor random_tensor(Type type, std::vector<std::int64_t> extents, int low, int high,
                         std::vector<std::int64_t> strides = {}) {
  static std::mt19937 random(11);
  return TestTensor(type, std::move(extents), std::move(strides)).fill_random(random, low, high);
}

// R[i] combiner= X[i, j] where G[i, j] != 0, from the combiner's identity.
Module masked_reduction(Combiner combiner, Type type) {
  const StoragePtr x = tensor("X", type, 2), g = tensor("G", uint8, 2), r = tensor("R", type, 1);
  const VarPtr i = make_axis_variable("i"), j = make_axis_variable("j");
  const Stmt body =
      make_block({make<Store>(Vars{i}, Exprs{}, r, Exprs{at(i)}, Combiner::Assign,
                              identity_of(combiner, type)),
                  make<Store>(Vars{i, j}, Exprs{make_load(g, {at(i), at(j)}) != make_int(uint8, 0)},
                              r, Exprs{at(i)}, combiner, make_load(x, {at(i), at(j)}))});
  return module_of(
      {x, g}, {r},
      make<Axes>(std::vector<AxisBinding>{{i, make_extent(x, 0)}, {j, make_extent(x, 1)}}, body));
}

TEST_CASE("reductions with guards agree with the interpreter for every combiner and type") {
  for (const Type type : {float32, float64, int32, int64, uint8, float16}) {
    for (const Combiner combiner :
         {Combiner::Sum, Combiner::Product, Combiner::Min, Combiner::Max}) {
      CAPTURE(to_string(type));
      CAPTURE(to_string(combiner));
      const int high = combiner == Combiner::Product ? 1 : 4;
      std::vector<TestTensor> inputs{random_tensor(type, {5, 67}, type.is_uint() ? 0 : -high, high),
                                     random_tensor(uint8, {5, 67}, 0, 1)};
      for (int j = 0; j < 67; ++j) inputs[1].set(2 * 67 + j, 0);  // one row with nothing
      std::vector<TestTensor> outputs{TestTensor(type, {5})};
      check_against_interpreter(masked_reduction(combiner, type), inputs, {}, outputs);
    }
  }
  for (const Combiner combiner : {Combiner::And, Combiner::Or}) {
    std::vector<TestTensor> inputs{random_tensor(boolean, {5, 3}, 0, 1),
                                   random_tensor(uint8, {5, 3}, 0, 1)};
    std::vector<TestTensor> outputs{TestTensor(boolean, {5})};
    check_against_interpreter(masked_reduction(combiner, boolean), inputs, {}, outputs);
  }
}

TEST_CASE("an element whose guards never hold keeps the caller's bytes") {
  const StoragePtr x = tensor("X", float32, 2), r = tensor("R", float32, 1),
                   where = tensor("W", int32, 1);
  const VarPtr i = make_axis_variable("i"), j = make_axis_variable("j");
  // The index is out of range wherever the guard does not hold.
  const Stmt body =
      make<Store>(Vars{i, j}, Exprs{make_load(where, {at(i)}) >= make_int(int32, 0), at(j) > at(i)},
                  r, Exprs{make_load(where, {at(i)})}, Combiner::Sum, make_load(x, {at(i), at(j)}));
  const Module module = module_of(
      {x, where}, {r},
      make<Axes>(std::vector<AxisBinding>{{i, make_extent(x, 0)}, {j, make_extent(x, 1)}}, body));
  for (const std::string &target : tested_targets()) {
    std::vector<TestTensor> inputs{random_tensor(float32, {4, 9}, 1, 1), TestTensor(int32, {4})};
    for (int n = 0; n < 4; ++n) inputs[1].set(n, n == 1 ? -2000000000 : 3 - n);
    std::vector<TestTensor> outputs{TestTensor(float32, {4}).fill(100)};
    const emit::HostFunction function(module, machine_of(Target(target)),
                                      row_major_variant(module));
    REQUIRE(call(function, module, inputs, {}, outputs).status == PIT_OK);
    CHECK(outputs[0].get(3) == 108);
    CHECK(outputs[0].get(2) == 100);
    CHECK(outputs[0].get(1) == 106);
    CHECK(outputs[0].get(0) == 105);
  }
}

TEST_CASE("tensors of any strides and any variant of their layout give one result") {
  const StoragePtr x = tensor("X", bfloat16, 2), y = tensor("Y", float32, 2);
  const VarPtr i = make_axis_variable("i"), j = make_axis_variable("j");
  const Module module = module_of(
      {x}, {y},
      make<Axes>(
          std::vector<AxisBinding>{{i, make_extent(y, 0)}, {j, make_extent(y, 1)}},
          make<Store>(Vars{i, j}, Exprs{}, y, Exprs{at(i), at(j)}, Combiner::Assign,
                      cast(float32, make_load(x, {at(i), at(j)})) * make_float(float32, 2))));
  for (const std::vector<std::int64_t> &strides :
       std::vector<std::vector<std::int64_t>>{{40, 1}, {1, 9}, {80, 2}, {0, 1}, {3, 0}}) {
    std::vector<TestTensor> inputs{random_tensor(bfloat16, {9, 35}, -9, 9, strides)};
    for (const std::vector<std::int64_t> &to :
         std::vector<std::vector<std::int64_t>>{{35, 1}, {1, 9}, {36 * 2, 2}}) {
      std::vector<TestTensor> outputs{TestTensor(float32, {9, 35}, to)};
      check_against_interpreter(module, inputs, {}, outputs);
    }
  }
}

TEST_CASE("parallel loops nest, capture what they use and have tiles of their own") {
  const StoragePtr x = tensor("X", float32, 2), y = tensor("Y", float32, 2),
                   t = tile("t", float32, 2);
  const ParamPtr scale = std::make_shared<const ParamNode>(ParamNode{"scale", float32});
  const VarPtr io = make_loop_variable("io"), jo = make_loop_variable("jo"),
               ii = make_axis_variable("ii"), ji = make_axis_variable("ji"),
               twice = make_let_variable("twice", float32);
  const Expr i = at(io) * number(4) + at(ii), j = at(jo) * number(300) + at(ji);
  const Expr scale_value = Expr(std::make_shared<const ParamRef>(scale));
  Stmt body = make_block({make<Store>(Vars{ii, ji}, Exprs{}, t, Exprs{at(ji), at(ii)},
                                      Combiner::Assign, make_load(x, {i, j}) * at(twice)),
                          make<Store>(Vars{ii, ji}, Exprs{}, y, Exprs{i, j}, Combiner::Assign,
                                      make_load(t, {at(ji), at(ii)}) + make_float(float32, 1))});
  body = make<Axes>(
      std::vector<AxisBinding>{
          {ii, min(number(4), make_extent(x, 0) - at(io) * number(4)), 4},
          {ji, min(number(300), make_extent(x, 1) - at(jo) * number(300)), 300}},
      body);
  for (const bool large : {false, true}) {
    // A large tile is a workspace, a small one lies on the stack.
    Stmt s = make<Allocate>(t, Exprs{number(300), large ? number(4000) : number(4)}, body);
    s = make<For>(jo, number(0), (make_extent(x, 1) + number(299)) / number(300), ForKind::Parallel,
                  s);
    s = make<For>(io, number(0), (make_extent(x, 0) + number(3)) / number(4), ForKind::Parallel, s);
    s = make<Let>(twice, scale_value + scale_value, s);
    Module module = module_of({x}, {y}, s);
    module.scalars = {scale};
    std::vector<TestTensor> inputs{random_tensor(float32, {13, 700}, -9, 9)};
    std::vector<TestTensor> outputs{TestTensor(float32, {13, 700})};
    check_against_interpreter(module, inputs, {1.5}, outputs);
    // Without threads the loops are serial.
    const emit::HostFunction serial(module, machine_of(Target("x86-64-linux-no_threads")),
                                    row_major_variant(module));
    std::vector<TestTensor> found{TestTensor(float32, {13, 700})};
    CHECK(call(serial, module, inputs, {1.5}, found).status == PIT_OK);
    CHECK(found[0].bytes == outputs[0].bytes);
  }
}

TEST_CASE("atomic stores from parallel iterations lose nothing") {
  for (const auto &[type, combiner] :
       std::vector<std::pair<Type, Combiner>>{{float32, Combiner::Sum},
                                              {int32, Combiner::Sum},
                                              {float64, Combiner::Max},
                                              {float32, Combiner::Product},
                                              {bfloat16, Combiner::Sum},
                                              {uint8, Combiner::Min}}) {
    CAPTURE(to_string(type));
    CAPTURE(to_string(combiner));
    const StoragePtr x = tensor("X", type, 2), r = tensor("R", type, 1);
    const VarPtr i = make_loop_variable("i"), j = make_axis_variable("j");
    const VarPtr k = make_axis_variable("k");
    Stmt s = make<Store>(Vars{j}, Exprs{}, r, Exprs{at(j) % number(4)}, combiner,
                         make_load(x, {at(i), at(j)}), true);
    s = make<Axes>(std::vector<AxisBinding>{{j, make_extent(x, 1)}}, s);
    s = make<For>(i, number(0), make_extent(x, 0), ForKind::Parallel, s);
    const Stmt start = make<Axes>(std::vector<AxisBinding>{{k, number(4)}},
                                  make<Store>(Vars{k}, Exprs{}, r, Exprs{at(k)}, Combiner::Assign,
                                              identity_of(combiner, type)));
    const Module module = module_of({x}, {r}, make_block({start, s}));
    std::vector<TestTensor> inputs{random_tensor(type, {50, 8}, 0, 1)};
    if (combiner == Combiner::Product) inputs[0].fill(1).set(3, 5);
    std::vector<TestTensor> outputs{TestTensor(type, {4})};
    check_against_interpreter(module, inputs, {}, outputs);
  }
}

TEST_CASE("a failed check reports its first values, and later stages do nothing") {
  const StoragePtr x = tensor("X", int32, 1), y = tensor("Y", int32, 1);
  const VarPtr i = make_axis_variable("i");
  const Expr key = make_load(x, {at(i)});
  const Stmt check = make<Axes>(std::vector<AxisBinding>{{i, make_extent(x, 0)}},
                                make<Check>(Vars{i}, Exprs{key != make_int(int32, -1)},
                                            key >= make_int(int32, 0) && key < make_int(int32, 10),
                                            "key {0} at {1}", Exprs{cast(int64, key), at(i)}));
  const Stmt write = make<Axes>(
      std::vector<AxisBinding>{{i, make_extent(y, 0)}},
      make<Store>(Vars{i}, Exprs{}, y, Exprs{at(i)}, Combiner::Assign, make_int(int32, 1)));
  Module module = module_of({x}, {y}, check);
  module.body =
      make_block({make<Check>(Vars{}, Exprs{}, make_extent(x, 0) > number(2), "short", Exprs{}),
                  make<Stage>("check", StageKind::Check, check),
                  make<Stage>("write", StageKind::Compute, write)});
  for (const std::string &target : tested_targets()) {
    const emit::HostFunction function(module, machine_of(Target(target)),
                                      row_major_variant(module));
    std::vector<TestTensor> inputs{TestTensor(int32, {100}).fill(3)},
        outputs{TestTensor(int32, {7})};
    CHECK(call(function, module, inputs, {}, outputs).status == PIT_OK);
    CHECK(outputs[0].get(6) == 1);
    outputs[0].fill(0);
    inputs[0].set(50, -1);
    inputs[0].set(60, 77);
    inputs[0].set(61, -5);
    const HostRun run = call(function, module, inputs, {}, outputs);
    CHECK(run.status == PIT_ERROR_DATA);
    CHECK(function.description().messages.at(static_cast<std::size_t>(run.check)) ==
          "key {0} at {1}");
    CHECK(run.values[0] == 77);
    CHECK(run.values[1] == 60);
    CHECK(outputs[0].get(6) == 0);
  }
}

TEST_CASE("a check that fails leaves its loops at once, and memory is given back") {
  const StoragePtr x = tensor("X", int32, 1), y = tensor("Y", int32, 1);
  const VarPtr o = make_loop_variable("o"), i = make_loop_variable("i"),
               a = make_axis_variable("a");
  const Expr endless = number(std::int64_t{1} << 40), many = number(std::int64_t{1} << 27);
  const auto check = [&](Vars axes, const Expr &e, const char *message) {
    return make<Check>(std::move(axes), Exprs{}, e < make_extent(x, 0), message, Exprs{e});
  };
  const auto in_loop = [](const VarPtr &v, const Expr &extent, ForKind kind, const Stmt &body) {
    return make<For>(v, number(0), extent, kind, body);
  };
  const auto serial = ForKind::Serial, parallel = ForKind::Parallel;
  const StoragePtr h = make_storage("H", int32, 1, Space::Heap);
  const Stmt last =
      make<Store>(Vars{}, Exprs{}, h, Exprs{at(o)}, Combiner::Assign, make_int(int32, 1));
  const Stmt inner = in_loop(i, endless, serial, check({}, at(i), "inner"));
  struct Case {
    const char *name;
    Stmt body;
    std::int64_t first;  // what is reported; -1: any failure
  };
  const Case cases[] = {
      {"one loop", inner, 100},
      {"two loops", in_loop(o, endless, serial, inner), 100},
      {"beside another",
       in_loop(o, endless, serial, make_block({check({}, at(o) - number(7), "outer"), inner})),
       100},
      {"parallel", in_loop(i, endless, parallel, check({}, at(i), "parallel")), -1},
      {"serial in parallel", in_loop(o, endless, parallel, inner), -1},
      {"axes", make<Axes>(std::vector<AxisBinding>{{a, many}}, check({a}, at(a), "axes")), 100},
      {"with memory",
       make<Allocate>(h, Exprs{make_extent(x, 0)},
                      in_loop(o, make_extent(x, 0), serial, make_block({last, inner}))),
       100}};
  for (const Case &c : cases) {
    CAPTURE(c.name);
    Module module = module_of({x}, {y}, c.body);
    module.body = make_block({make<Stage>("check", StageKind::Check, c.body),
                              make<Stage>("write", StageKind::Compute,
                                          make<Store>(Vars{}, Exprs{}, y, Exprs{number(0)},
                                                      Combiner::Assign, make_int(int32, 1)))});
    const std::string target = tested_targets().back();
    const emit::HostFunction function(module, machine_of(Target(target)),
                                      row_major_variant(module));
    std::vector<TestTensor> inputs{TestTensor(int32, {100})}, outputs{TestTensor(int32, {1})};
    const HostRun run = call(function, module, inputs, {}, outputs);
    CHECK(run.status == PIT_ERROR_DATA);
    CHECK(run.values[0] >= 100);
    if (c.first >= 0) CHECK(run.values[0] == c.first);
    CHECK(run.leaked_bytes == 0);
    CHECK(outputs[0].get(0) == 0);
  }
}

TEST_CASE("a memory that cannot be had is reported") {
  const StoragePtr y = tensor("Y", int32, 1), h = make_storage("H", int32, 1, Space::Heap);
  const VarPtr i = make_axis_variable("i");
  Stmt s = make<Axes>(std::vector<AxisBinding>{{i, make_extent(y, 0)}},
                      make_block({make<Store>(Vars{i}, Exprs{}, h, Exprs{at(i)}, Combiner::Assign,
                                              make_int(int32, 1)),
                                  make<Store>(Vars{i}, Exprs{}, y, Exprs{at(i)}, Combiner::Assign,
                                              make_load(h, {at(i)}))}));
  s = make<Allocate>(h, Exprs{make_extent(y, 0) * number(std::int64_t{1} << 50)}, s);
  const Module module = module_of({}, {y}, s);
  const emit::HostFunction function(module, machine_of(Target()), row_major_variant(module));
  std::vector<TestTensor> inputs, outputs{TestTensor(int32, {16})};
  CHECK(call(function, module, inputs, {}, outputs).status == PIT_ERROR_MEMORY);
  CHECK(outputs[0].get(0) == 0);
}

TEST_CASE("sparse indices are built from marks and from keys") {
  const StoragePtr marks = tensor("M", uint8, 2), keys = tensor("K", int64, 1);
  const StoragePtr offsets = tensor("offsets", int32, 1), counts = tensor("counts", int32, 1);
  const StoragePtr coordinates = tensor("coordinates", int32, 1),
                   sorted = tensor("sorted", int32, 1);
  const StoragePtr offsets2 = tensor("offsets2", int32, 1), counts2 = tensor("counts2", int32, 1);
  const Stmt body =
      make_block({make<IndexPlace>(marks, StoragePtr(), StoragePtr(), make_extent(marks, 0),
                                   make_extent(marks, 1), number(4), 1, offsets, counts,
                                   coordinates, StoragePtr(), StoragePtr(), "live"),
                  make<IndexSort>(keys, make_extent(keys, 0), number(3), 1, offsets2, counts2,
                                  sorted, StoragePtr(), "by_key")});
  const Module module =
      module_of({marks, keys}, {offsets, counts, coordinates, offsets2, counts2, sorted}, body);
  std::vector<TestTensor> inputs{TestTensor(uint8, {2, 5}), TestTensor(int64, {6})};
  for (const int place : {1, 4, 5, 7}) inputs[0].set(place, 1);
  const double values[] = {2, 0, -1, 2, 1, 0};
  for (int n = 0; n < 6; ++n) inputs[1].set(n, values[n]);
  std::vector<TestTensor> outputs{TestTensor(int32, {3}), TestTensor(int32, {2}),
                                  TestTensor(int32, {4}), TestTensor(int32, {4}),
                                  TestTensor(int32, {3}), TestTensor(int32, {5})};
  check_against_interpreter(module, inputs, {}, outputs);
  CHECK(outputs[2].get(1) == 16);
  CHECK(outputs[5].get(0) == 1);
}

TEST_CASE("gathered panels with absent rows are packed with zeros") {
  // Y[m, n] = sum of A[row[m], k] * B[k, col[n]], where a negative row or column counts as zeros.
  for (const Type type : {float32, bfloat16}) {
    for (const bool turned : {false, true}) {
      const StoragePtr a = tensor("A", type, 2), bt = tensor("B", type, 2),
                       row = tensor("row", int32, 1), col = tensor("col", int32, 1);
      const StoragePtr y = tensor("Y", float32, 2);
      const StoragePtr ta = tile("a", type, 2), tb = tile("b", type, 2), tc = tile("c", float32, 2);
      const VarPtr m = make_axis_variable("m"), n = make_axis_variable("n"),
                   k = make_axis_variable("k");
      const Expr r = make_load(row, {at(m)}), c = make_load(col, {at(n)});
      const Exprs b_at = turned ? Exprs{c, at(k)} : Exprs{at(k), c};
      const Vars b_axes = turned ? Vars{n, k} : Vars{k, n};
      const Exprs b_indices = turned ? Exprs{at(n), at(k)} : Exprs{at(k), at(n)};
      Stmt s = make_block(
          {make<Store>(
               Vars{m, k}, Exprs{}, ta, Exprs{at(m), at(k)}, Combiner::Assign,
               make_select(r >= make_int(int32, 0), make_load(a, {r, at(k)}), make_zero(type))),
           make<Store>(b_axes, Exprs{}, tb, b_indices, Combiner::Assign,
                       make_select(c >= make_int(int32, 0), make_load(bt, b_at), make_zero(type))),
           make<Store>(Vars{m, n}, Exprs{}, tc, Exprs{at(m), at(n)}, Combiner::Assign,
                       make_zero(float32)),
           make<Mma>(Vars{}, Vars{m}, Vars{n}, Vars{k}, TileOperand{tc, {m, n}},
                     TileOperand{ta, {m, k}}, TileOperand{tb, b_axes}),
           make<Store>(Vars{m, n}, Exprs{}, y, Exprs{at(m), at(n)}, Combiner::Assign,
                       make_load(tc, {at(m), at(n)}))});
      s = make<Axes>(
          std::vector<AxisBinding>{
              {m, make_extent(y, 0), 40}, {n, make_extent(y, 1), 80}, {k, make_extent(a, 1), 70}},
          s);
      s = make<Allocate>(tc, Exprs{number(40), number(80)}, s);
      s = make<Allocate>(tb, turned ? Exprs{number(80), number(70)} : Exprs{number(70), number(80)},
                         s);
      s = make<Allocate>(ta, Exprs{number(40), number(70)}, s);
      const Module module = module_of({a, bt, row, col}, {y}, s);
      for (const std::int64_t depth : {70, 37, 1}) {
        std::vector<TestTensor> inputs{random_tensor(type, {50, depth}, -3, 3),
                                       turned ? random_tensor(type, {90, depth}, -3, 3)
                                              : random_tensor(type, {depth, 90}, -3, 3),
                                       random_tensor(int32, {27}, -10, 49),
                                       random_tensor(int32, {75}, -10, 89)};
        std::vector<TestTensor> outputs{TestTensor(float32, {27, 75})};
        check_against_interpreter(module, inputs, {}, outputs);
      }
    }
  }
}

TEST_CASE("what is sized by memory is empty once the call has failed") {
  const StoragePtr n = tensor("N", int64, 1), out = tensor("Out", int32, 1),
                   sized = make_storage("sized", int32, 1, Space::Heap);
  Module module = module_of({n}, {out}, {});
  // Nobody has said that N[7] is there.
  module.body = make_block(
      {make<Stage>(
           "check", StageKind::Check,
           make<Check>(Vars{}, Exprs{}, make_extent(n, 0) > number(7), "too short", Exprs{})),
       make<Allocate>(sized, Exprs{make_load(n, {number(7)}) + make_load(n, {number(0)})},
                      make<Store>(Vars{}, Exprs{}, out, Exprs{number(0)}, Combiner::Assign,
                                  cast(int32, make_extent(sized, 0) + number(1))))});
  std::vector<TestTensor> inputs{TestTensor(int64, {1}).fill(1e18)},
      outputs{TestTensor(int32, {1})};
  const emit::HostFunction function(module, machine_of(Target()), variant_for(inputs, outputs));
  const HostRun run = call(function, module, inputs, {}, outputs);
  CHECK(run.status != PIT_OK);
  CHECK(outputs[0].get(0) == 1);
  CHECK(run.leaked_bytes == 0);
}

}  // namespace
}  // namespace pit::host
