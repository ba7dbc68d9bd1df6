// Element types: products of every pair that makes sense, conversions, and integers that wrap.
#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

namespace {

struct Types {
  Type a, b, sum, out;
};

/// C = A B with zeros of A skipped.
Pipeline matmul(const Types &types) {
  Var m("m"), n("n");
  TensorParam A(types.a, 2, "A"), B(types.b, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(m, k) != cast(types.a, 0));
  Func C("C"), Out("Out");
  C(m, n) += cast(types.sum, A(m, k)) * cast(types.sum, B(k, n));
  Out(m, n) = cast(types.out, C(m, n));
  return Pipeline({Out}, {}, "matmul");
}

std::vector<Data> matmul_data(const Types &types, const std::vector<Size> &sizes) {
  return sweep(
      sizes,
      [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
        return {{{"A", random_values(types.a, {s[0], s[2]}, generator, exact, zeros)},
                 {"B", random_values(types.b, {s[2], s[1]}, generator, exact)}},
                {},
                {{"Out", {s[0], s[1]}}}};
      },
      !types.a.is_float() || !types.b.is_float());
}

/// m, n, k
const std::vector<Size> kSizes = {{1, 1, 1}, {9, 17, 5}, {34, 33, 40}, {64, 64, 64}};
const std::vector<std::string> kSchedules = {
    "C.update(0).pit_tile(kt, axis=k, micro={m:32, k:1}, dense={k:16})\n",
    "Out.tile(m, n, mo, no, mi, ni, 8, 32)\nC.compute_at(Out, no)\n"
    "C.update(0).pit_tile(kt, axis=k, micro={m:8, k:4}, dense={m:8, k:8})\n"};

const std::vector<Type> kAllTypes = {int8,   int16,   int32,   int64,    uint8,   uint16, uint32,
                                     uint64, boolean, float16, bfloat16, float32, float64};

/// From these types to every type, under a mask.
void check_conversions(const std::vector<Type> &types) {
  for (const Type from : types) {
    Var i("i");
    TensorParam A(from, 1, "A"), mask(uint8, 1, "mask");
    std::vector<Func> outputs;
    for (const Type to : kAllTypes) {
      Func Y("Y" + std::to_string(outputs.size()));
      Y(i) = cast(to, A(i));
      Y.where(mask(i) != 0);
      outputs.push_back(Y);
    }
    const Pipeline pipeline(
        {outputs[0], outputs[1], outputs[2], outputs[3], outputs[4], outputs[5], outputs[6],
         outputs[7], outputs[8], outputs[9], outputs[10], outputs[11], outputs[12]},
        {}, "conversions");
    std::vector<Data> data;
    std::mt19937 generator = test_generator(2);
    for (const std::int64_t n : {1, 7, 100}) {
      Problem problem{
          {{"A", AnyBuffer(from, {n})}, {"mask", random_mask(uint8, {n}, generator, 0.5)}}, {}, {}};
      const double values[] = {0,    1,     -1,    3.5, -3.5, 127,  128,  255, 256,
                               -129, 65504, 70000, 1e9, -3e9, 1e19, 1e30, 0.1, 1.0000001};
      for (std::int64_t at = 0; at < n; ++at) {
        const double value = values[generator() % std::size(values)];
        const bool fits = from.is_float() || (value >= static_cast<double>(from.min_int()) &&
                                              value <= static_cast<double>(from.max_int()));
        problem.inputs["A"].set_number(Shape{at}, fits ? value : static_cast<double>(at % 2));
      }
      for (const Func &f : outputs) problem.outputs[f.name()] = {n};
      data.push_back({"n = " + std::to_string(n), problem});
    }
    CAPTURE(to_string(from));
    std::string tiles;
    for (const Func &f : outputs) tiles += f.name() + ".pit_tile(t, axis=i, dense={i:16})\n";
    check_agreement({pipeline, {tiles}, data, {Target(), "x86-64-linux"}});
  }
}

}  // namespace

TEST_CASE("matmul of floats: storage types, mixed types, sums in double") {
  for (const Types &types : std::vector<Types>{{float32, float32, float32, float32},
                                               {bfloat16, bfloat16, float32, bfloat16},
                                               {bfloat16, bfloat16, float32, float32},
                                               {float16, float16, float32, float16},
                                               {float16, bfloat16, float32, float32},
                                               {float32, bfloat16, float32, float16},
                                               {float64, float64, float64, float64},
                                               {float32, float32, float64, float32}}) {
    CAPTURE(to_string(types.a) + " " + to_string(types.b) + " " + to_string(types.sum) + " " +
            to_string(types.out));
    check_agreement({matmul(types), kSchedules, matmul_data(types, kSizes), every_host()});
  }
}

TEST_CASE("matmul of integers: narrow ones summed wide, and sums that wrap") {
  for (const Types &types : std::vector<Types>{{int8, int8, int32, int32},
                                               {uint8, int8, int32, int8},
                                               {int16, int16, int64, int32},
                                               {int32, int32, int32, int32},
                                               {int64, int64, int64, int64},
                                               {uint32, uint32, uint32, uint32},
                                               {int8, int8, int8, int8},
                                               {uint16, uint16, uint16, uint8},
                                               {boolean, float32, float32, float32},
                                               {boolean, boolean, int32, int32},
                                               {int8, float32, float32, float32},
                                               {float32, int16, float32, float32}}) {
    CAPTURE(to_string(types.a) + " " + to_string(types.b) + " " + to_string(types.sum) + " " +
            to_string(types.out));
    check_agreement({matmul(types), kSchedules, matmul_data(types, kSizes)});
  }
}

TEST_CASE("floats convert to every type under a mask") {
  check_conversions({float16, bfloat16, float32, float64});
}

TEST_CASE("narrow integers convert to every type under a mask") {
  check_conversions({int8, int16, uint8, uint16, boolean});
}

TEST_CASE("wide integers convert to every type under a mask") {
  check_conversions({int32, int64, uint32, uint64});
}

TEST_CASE("arithmetic of integers wraps, division leaves a remainder that is not negative") {
  for (const Type type : {int8, int16, int32, int64, uint8, uint16, uint32}) {
    CAPTURE(to_string(type));
    Var i("i");
    TensorParam A(type, 1, "A"), B(type, 1, "B");
    Func Y("Y"), D("D"), R("R"), S("S");
    Y(i) = A(i) * B(i) + A(i) * A(i) - B(i);
    D(i) = A(i) / B(i);
    R(i) = A(i) % B(i);
    S(i) = select(A(i) < B(i), min(A(i), B(i)) ^ (A(i) & B(i)),
                  max(A(i), B(i)) | (A(i) << cast(type, 1)));
    const Pipeline pipeline({Y, D, R, S}, {}, "integers");
    std::mt19937 generator = test_generator(3);
    std::vector<Data> data;
    for (const std::int64_t n : {1, 5, 64, 133}) {
      Problem p{{}, {}, {{"Y", {n}}, {"D", {n}}, {"R", {n}}, {"S", {n}}}};
      const std::int64_t low = std::max<std::int64_t>(type.min_int(), -100000),
                         high = std::min<std::int64_t>(type.max_int(), 100000);
      p.inputs["A"] = random_integers(type, {n}, generator, low, high);
      p.inputs["B"] = random_integers(type, {n}, generator, std::max<std::int64_t>(low, -4), 5);
      data.push_back({"n = " + std::to_string(n), p});
    }
    check_agreement(
        {pipeline,
         {"", "Y.vectorize(i, 16)\nD.vectorize(i, 8)\nR.vectorize(i, 8)\nS.vectorize(i, 8)\n"},
         data,
         every_host()});
  }
}
