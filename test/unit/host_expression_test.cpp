#include "host_run.h"

namespace pit::host {
namespace {

using namespace ir;  // NOLINT

const std::vector<Type> kIntegers{int8, uint8, int16, uint16, int32, uint32, int64, uint64};

struct Operation {
  Type result;
  std::function<Expr(Expr, Expr)> op;
};

// Zj[i] = opj(X[i], Y[i]).
Module zip(Type type, const std::vector<Operation> &operations) {
  Module module;
  module.name = "zip";
  const StoragePtr x = make_storage("X", type, 1, Space::Tensor),
                   y = make_storage("Y", type, 1, Space::Tensor);
  module.inputs = {x, y};
  const VarPtr i = make_axis_variable("i");
  const Expr at = make_variable(i);
  std::vector<Stmt> stores;
  for (const Operation &operation : operations) {
    const StoragePtr z = make_storage("Z", operation.result, 1, Space::Tensor);
    module.outputs.push_back(z);
    stores.push_back(make<Store>(std::vector<VarPtr>{i}, std::vector<Expr>{}, z,
                                 std::vector<Expr>{at}, Combiner::Assign,
                                 operation.op(make_load(x, {at}), make_load(y, {at}))));
  }
  module.body =
      make<Axes>(std::vector<AxisBinding>{{i, make_extent(x, 0)}}, make_block(std::move(stores)));
  return module;
}

// Every operation on every pair of values.
void check(Type type, const std::vector<Operation> &operations, const std::vector<double> &values) {
  const auto size = static_cast<std::int64_t>(values.size() * values.size());
  std::vector<TestTensor> inputs(2, TestTensor(type, {size}));
  std::int64_t place = 0;
  for (const double x : values) {
    for (const double y : values) {
      inputs[0].set(place, x);
      inputs[1].set(place++, y);
    }
  }
  std::vector<TestTensor> outputs;
  for (const Operation &operation : operations)
    outputs.emplace_back(operation.result, std::vector<std::int64_t>{size});
  check_against_interpreter(zip(type, operations), inputs, {}, outputs);
}

TEST_CASE("integer operators wrap and divide as the language says") {
  for (const Type type : kIntegers) {
    CAPTURE(to_string(type));
    const auto low = static_cast<double>(type.min_int());
    const std::vector<double> values{
        0,  1,  2,    3,   5,       7,
        8,  64, 100,  -1,  -2,      -3,
        -7, -8, -100, low, low + 1, std::floor(static_cast<double>(type.max_int()) / 2)};
    std::vector<Operation> operations;
    for (const BinaryOp op : {BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div,
                              BinaryOp::Mod, BinaryOp::Min, BinaryOp::Max, BinaryOp::BitAnd,
                              BinaryOp::BitOr, BinaryOp::BitXor, BinaryOp::Shl, BinaryOp::Shr}) {
      operations.push_back(
          {type, [=](const Expr &x, const Expr &y) { return make_binary(op, x, y); }});
    }
    check(type, operations, values);
  }
}

TEST_CASE("division by constants is Euclidean") {
  for (const Type type : {int32, int64, uint32, int8}) {
    std::vector<Operation> operations;
    for (const std::int64_t d : {1, 2, 3, 7, 8, 64, -1, -2, -5}) {
      if (type.is_uint() && d < 0) continue;
      operations.push_back(
          {type, [=](const Expr &x, const Expr &) { return x / make_int(type, d); }});
      operations.push_back(
          {type, [=](const Expr &x, const Expr &) { return x % make_int(type, d); }});
    }
    check(type, operations,
          {0, 1, 2, 7, 8, 9, 63, 64, 100, -1, -2, -7, -8, -9, -64, -100,
           static_cast<double>(type.min_int())});
  }
}

TEST_CASE("comparisons, logical operators and unary operators agree with the interpreter") {
  for (const Type type : {int32, uint8, int64, float32, float64, bfloat16}) {
    CAPTURE(to_string(type));
    std::vector<double> values{0, 1, 2, 3, -1, -5, 100};
    if (type.is_float())
      values.insert(values.end(), {NAN, INFINITY, -INFINITY, 0.5, -0.5, 1.5, 2.5, -0.0});
    std::vector<Operation> operations;
    for (const BinaryOp op :
         {BinaryOp::Eq, BinaryOp::Ne, BinaryOp::Lt, BinaryOp::Le, BinaryOp::Gt, BinaryOp::Ge}) {
      operations.push_back(
          {boolean, [=](const Expr &x, const Expr &y) { return make_binary(op, x, y); }});
    }
    operations.push_back(
        {boolean, [](const Expr &x, const Expr &y) { return (x < y && y != x) || !(x >= y); }});
    for (const UnaryOp op :
         {UnaryOp::Neg, UnaryOp::Abs, UnaryOp::Floor, UnaryOp::Ceil, UnaryOp::Round}) {
      if (type.is_uint() && op == UnaryOp::Neg) continue;
      operations.push_back({type, [=](const Expr &x, const Expr &) { return make_unary(op, x); }});
    }
    if (type.is_float()) {
      operations.push_back({boolean, [](const Expr &x, const Expr &) { return is_nan(x); }});
      operations.push_back({boolean, [](const Expr &x, const Expr &) { return is_finite(x); }});
    }
    check(type, operations, values);
  }
}

TEST_CASE("minimum and maximum of floats propagate NaN") {
  const std::vector<double> values{0, 1, -1, NAN, INFINITY, -INFINITY, 3};
  for (const Type type : {float32, float64, float16}) {
    check(type,
          {{type, [](const Expr &x, const Expr &y) { return max(x, y); }},
           {type, [](const Expr &x, const Expr &y) { return min(x, y); }},
           {type, [=](const Expr &x, const Expr &) { return max(x, make_float(type, 0.5)); }},
           {type, [=](const Expr &x, const Expr &) { return min(make_float(type, 0.5), x); }}},
          values);
  }
}

TEST_CASE("casts between all types agree with the interpreter") {
  const std::vector<Type> all{int8,   uint8,   int16,   uint16,   int32,   uint32, int64,
                              uint64, boolean, float16, bfloat16, float32, float64};
  for (const Type from : all) {
    std::vector<double> values{0,     1,     2,     100,   127, 128,  255,  256,   300,
                               32767, 65535, 65536, 70000, -1,  -128, -129, -40000};
    if (from.is_float())
      values.insert(values.end(),
                    {NAN, INFINITY, -INFINITY, 0.5, -0.5, 1e10, -1e10, 1e20, 2.9, -2.9});
    if (from == int64 || from == uint64)
      values.insert(values.end(), {16777217, 33554435, 4294967297.0});
    CAPTURE(to_string(from));
    std::vector<Operation> operations;
    for (const Type to : all)
      operations.push_back({to, [=](const Expr &x, const Expr &) { return cast(to, x); }});
    check(from, operations, values);
  }
}

TEST_CASE("the side of a select that is not chosen is not evaluated") {
  Module module;
  module.name = "guarded";
  const StoragePtr x = make_storage("X", float32, 1, Space::Tensor),
                   index = make_storage("I", int32, 1, Space::Tensor);
  const StoragePtr y = make_storage("Y", float32, 1, Space::Tensor);
  module.inputs = {x, index};
  module.outputs = {y};
  const VarPtr i = make_axis_variable("i");
  const Expr k = make_load(index, {make_variable(i)});
  const Expr inside = k >= make_int(int32, 0) && make_load(x, {k}) > make_float(float32, 2);
  module.body =
      make<Axes>(std::vector<AxisBinding>{{i, make_extent(y, 0)}},
                 make<Store>(std::vector<VarPtr>{i}, std::vector<Expr>{}, y,
                             std::vector<Expr>{make_variable(i)}, Combiner::Assign,
                             make_select(inside, make_load(x, {k}), make_float(float32, -1))));
  std::vector<TestTensor> inputs{TestTensor(float32, {5}), TestTensor(int32, {40})};
  for (int n = 0; n < 5; ++n) inputs[0].set(n, n);
  for (int n = 0; n < 40; ++n) inputs[1].set(n, n % 3 == 0 ? -2000000000 : n % 5);
  std::vector<TestTensor> outputs{TestTensor(float32, {40})};
  check_against_interpreter(module, inputs, {}, outputs);
}

}  // namespace
}  // namespace pit::host
