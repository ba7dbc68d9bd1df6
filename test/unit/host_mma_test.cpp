#include <optional>

#include "host_run.h"

namespace pit::host {
namespace {

using namespace ir;  // NOLINT

Expr at(const VarPtr &v) { return make_variable(v); }

// How a tile is stored: the order of its two dimensions.
enum class Order { Straight, Turned };

struct Case {
  std::int64_t m, n, k;
  Type operand, accumulator;
  Order a = Order::Straight, b = Order::Straight, c = Order::Straight;
  bool read_tiles_again = false;  // then they must stay row-major in their own type
  std::string atom{};
  std::optional<Type> right{};  // when the operands differ
  int most = 3;                 // elements are of [-most, most]
  bool gathered = false;        // column k of A lies at places(k)
  Type type_of_b() const { return right.value_or(operand); }
};

StoragePtr tensor(const char *name, Type type, int rank) {
  return make_storage(name, type, rank, Space::Tensor);
}

// C = start + A B by one Mma over whole tiles, whose extents are those of the tensors.
Module multiply(const Case &test) {
  Module module;
  module.name = "multiply";
  const StoragePtr a = tensor("A", test.operand, 2), b = tensor("B", test.type_of_b(), 2);
  const StoragePtr c = tensor("C", test.accumulator, 2),
                   start = tensor("start", test.accumulator, 2),
                   places = tensor("places", int32, 1);
  module.inputs = {a, b, start};
  if (test.gathered) module.inputs.push_back(places);
  module.outputs = {c};
  const VarPtr m = make_axis_variable("m"), n = make_axis_variable("n"),
               k = make_axis_variable("k");
  const StoragePtr ta = make_storage("a", test.operand, 2, Space::Tile);
  const StoragePtr tb = make_storage("b", test.type_of_b(), 2, Space::Tile);
  const StoragePtr tc = make_storage("c", test.accumulator, 2, Space::Tile);
  const auto turn = [](Order order, std::vector<VarPtr> axes) {
    if (order == Order::Turned) std::swap(axes[0], axes[1]);
    return axes;
  };
  const auto indices = [](const std::vector<VarPtr> &axes) {
    std::vector<Expr> list;
    for (const VarPtr &v : axes) list.push_back(at(v));
    return list;
  };
  const Expr em = make_extent(c, 0), en = make_extent(c, 1), ek = make_extent(a, 1);
  const auto extents = [&](const std::vector<VarPtr> &axes) {
    std::vector<Expr> list;
    for (const VarPtr &v : axes) list.push_back(v == m ? em : v == n ? en : ek);
    return list;
  };
  const auto axes_a = turn(test.a, {m, k}), axes_b = turn(test.b, {k, n}),
             axes_c = turn(test.c, {m, n});
  std::vector<Stmt> body{
      make<Store>(
          std::vector<VarPtr>{m, k}, std::vector<Expr>{}, ta, indices(axes_a), Combiner::Assign,
          make_load(a, {at(m), test.gathered ? cast(int64, make_load(places, {at(k)})) : at(k)})),
      make<Store>(std::vector<VarPtr>{k, n}, std::vector<Expr>{}, tb, indices(axes_b),
                  Combiner::Assign, make_load(b, {at(k), at(n)})),
      make<Store>(std::vector<VarPtr>{m, n}, std::vector<Expr>{}, tc, indices(axes_c),
                  Combiner::Assign, make_load(start, {at(m), at(n)})),
      make<Mma>(std::vector<VarPtr>{}, std::vector<VarPtr>{m}, std::vector<VarPtr>{n},
                std::vector<VarPtr>{k}, TileOperand{tc, axes_c}, TileOperand{ta, axes_a},
                TileOperand{tb, axes_b}, test.atom),
      make<Store>(std::vector<VarPtr>{m, n}, std::vector<Expr>{}, c,
                  std::vector<Expr>{at(m), at(n)}, Combiner::Assign,
                  make_load(tc, indices(axes_c)))};
  if (test.read_tiles_again) {
    body.push_back(make<Store>(std::vector<VarPtr>{m, k, n}, std::vector<Expr>{}, c,
                               std::vector<Expr>{at(m), at(n)}, Combiner::Max,
                               cast(test.accumulator, make_load(ta, indices(axes_a))) +
                                   cast(test.accumulator, make_load(tb, indices(axes_b)))));
  }
  Stmt s = make_block(std::move(body));
  s = make<Axes>(
      std::vector<AxisBinding>{{m, em, test.m}, {n, en, test.n <= 3 ? test.n : 0}, {k, ek, 0}}, s);
  s = make<Allocate>(tc, extents(axes_c), s);
  s = make<Allocate>(tb, extents(axes_b), s);
  s = make<Allocate>(ta, extents(axes_a), s);
  module.body = make<Stage>("all", StageKind::Compute, s);
  return module;
}

void run(const Case &test) {
  std::mt19937 random(static_cast<unsigned>(test.m * 31 + test.n * 7 + test.k));
  const auto filled = [&](Type type, std::vector<std::int64_t> extents) {
    const int low = type.is_uint() ? 0 : type == int8 && test.most == 255 ? -128 : -test.most;
    const int high = type == int8 && test.most == 255 ? 127 : test.most;
    return TestTensor(type, std::move(extents)).fill_random(random, low, high);
  };
  std::vector<TestTensor> inputs{filled(test.operand, {test.m, test.k}),
                                 filled(test.type_of_b(), {test.k, test.n}),
                                 filled(test.accumulator, {test.m, test.n})};
  if (test.gathered) {
    // Columns that follow each other, by fewer and more than are copied at once, then any.
    TestTensor &places = inputs.emplace_back(int32, std::vector<std::int64_t>{test.k});
    std::int64_t run = 0, column = 0;
    for (std::int64_t l = 0; l < test.k; ++l, ++column) {
      if (run-- == 0) {
        run = std::array<std::int64_t, 4>{0, 5, 40, 0}[random() % 4];
        column = static_cast<std::int64_t>(random() % static_cast<unsigned>(test.k));
      }
      column %= test.k;
      places.set(l, static_cast<double>(column));
    }
  }
  std::vector<TestTensor> outputs{TestTensor(test.accumulator, {test.m, test.n})};
  CAPTURE(test.gathered);
  CAPTURE(test.m);
  CAPTURE(test.n);
  CAPTURE(test.k);
  CAPTURE(to_string(test.operand));
  CAPTURE(to_string(test.type_of_b()));
  CAPTURE(to_string(test.accumulator));
  check_against_interpreter(multiply(test), inputs, {}, outputs,
                            test.accumulator.bits == 16 ? 0.02 : 0);
}

TEST_CASE("an Mma of ragged sizes gives the interpreter's result") {
  for (const auto &[m, n, k] : std::vector<std::array<std::int64_t, 3>>{{1, 1, 1},
                                                                        {8, 32, 16},
                                                                        {1, 40, 5},
                                                                        {3, 70, 9},
                                                                        {13, 33, 17},
                                                                        {15, 64, 0},
                                                                        {0, 5, 5},
                                                                        {31, 1, 20},
                                                                        {20, 3, 7}}) {
    run({m, n, k, float32, float32});
  }
}

TEST_CASE("an Mma larger than its cache blocks gives the interpreter's result") {
  run({9, 520, 40, float32, float32, Order::Straight, Order::Straight, Order::Straight, true});
  run({9, 33, 300, float32, float32, Order::Straight, Order::Straight, Order::Straight, true});
  run({270, 33, 20, bfloat16, float32, Order::Straight, Order::Straight, Order::Straight, true});
  for (const Order b : {Order::Straight, Order::Turned}) {
    run({9, 270, 523, bfloat16, float32, Order::Straight, b});
    run({270, 520, 40, float32, float32, Order::Straight, b});
    run({7, 40, 1030, int8, int32, Order::Straight, b});
  }
}

TEST_CASE("an Mma takes operands of every type") {
  for (const auto &[operand, accumulator] :
       std::vector<std::pair<Type, Type>>{{bfloat16, float32},
                                          {float16, float32},
                                          {float64, float64},
                                          {float32, float64},
                                          {int8, int32},
                                          {uint8, int32},
                                          {int16, int64},
                                          {uint8, uint32},
                                          {bfloat16, bfloat16},
                                          {float16, float16}}) {
    run({10, 37, 11, operand, accumulator});
    run({10, 37, 11, operand, accumulator, Order::Straight, Order::Straight, Order::Straight,
         true});
  }
}

TEST_CASE("dot products of integers are exact over the whole range of their operands") {
  for (const auto &[a, b] : std::vector<std::pair<Type, Type>>{
           {int8, int8}, {uint8, int8}, {int8, uint8}, {uint8, uint8}}) {
    for (const Type sum : {int32, uint32}) {
      for (const std::int64_t k : {1, 2, 3, 64, 67}) {
        Case test{17, 45, k, a, sum};
        test.right = b;
        test.most = 255;
        run(test);
        test.b = Order::Turned;
        run(test);
      }
    }
  }
  // Sums of products of the most negative numbers wrap.
  for (const Type b : {int16, int8}) {
    Case test{5, 33, 70, int16, int32};
    test.right = b;
    test.most = b == int16 ? 32768 : 255;
    run(test);
  }
}

TEST_CASE("an Mma gathers the columns of its left operand") {
  for (const Type type : {float32, float64, int32, bfloat16, float16, int16, int8, uint8}) {
    const Type sum = type == float64 ? float64 : type.is_float() ? float32 : int32;
    for (const auto &[m, k] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 83}, {3, 16}, {18, 7}, {6, 300}}) {
      Case test{m, 40, k, type, sum};
      test.gathered = true;
      run(test);
    }
  }
  Case large{270, 33, 300, float32, float32};
  large.gathered = true;
  run(large);
}

TEST_CASE("an Mma of few rows reads its right operand where it lies") {
  for (const std::int64_t m : {1, 2, 3, 4}) {
    for (const std::int64_t n : {5, 16, 64, 300}) {
      run({m, n, 20, float32, float32});
      run({m, n, 270, bfloat16, float32});
      run({m, n, 20, int8, int32});
    }
  }
}

TEST_CASE("an Mma takes its operands' dimensions in any order") {
  for (const Order a : {Order::Straight, Order::Turned}) {
    for (const Order b : {Order::Straight, Order::Turned}) {
      for (const Order c : {Order::Straight, Order::Turned}) {
        for (const bool again : {false, true}) {
          run({11, 35, 18, float32, float32, a, b, c, again});
          run({11, 35, 18, bfloat16, float32, a, b, c, again});
          run({11, 70, 37, int8, int32, a, b, c, again});
          run({20, 40, 67, float16, float32, a, b, c, again});
        }
      }
    }
  }
}

}  // namespace
}  // namespace pit::host
