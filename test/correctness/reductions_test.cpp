// Reductions of every combiner under predicates, elementwise operators, and predicates that hold
// nowhere or everywhere.
#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

namespace {

/// rows, columns; the mask leaves out a share of the elements.
Problem masked_rows(Type type, const Size &s, double zeros, bool exact, std::mt19937 &generator) {
  return {{{"A", random_values(type, {s[0], s[1]}, generator, exact)},
           {"mask", random_mask(uint8, {s[0], s[1]}, generator, zeros)}},
          {},
          {}};
}

const std::vector<Size> kSizes = {{1, 1}, {5, 3}, {33, 70}, {100, 129}};

const std::vector<std::string> kReductionSchedules = {
    "",
    "R.update(0).pit_tile(jt, axis=j, micro={i:1, j:1}, dense={j:8})\n",
    "R.update(0).pit_tile(jt, axis=j, micro={i:32, j:1}, dense={j:16})\n",
    "R.update(0).pit_tile(jt, axis=j, micro={i:1, j:64}, dense={j:64})\n",
    "R.update(0).pit_tile(jt, axis=j, micro={i:8, j:8}, dense={i:4, j:32})\n",
    "R.parallel(i)\nR.update(0).parallel(i)\n"};

/// The data with the extents of the outputs: a number for each row, or for each element.
std::vector<Data> for_outputs(const Pipeline &pipeline, std::vector<Data> data) {
  for (Data &d : data) {
    std::map<std::string, Shape> outputs;
    const Shape rows = {d.problem.inputs.at("A").extent(0)};
    for (const Argument &a : pipeline.signature()) {
      if (a.kind == Argument::Kind::OutputTensor)
        outputs[a.name] = a.rank == 1 ? rows : d.problem.inputs.at("A").extents();
    }
    d.problem.outputs = outputs;
  }
  return data;
}

}  // namespace

TEST_CASE("sum, product, minimum, maximum of the elements that a mask keeps") {
  for (const Type type : {float32, int32, int8, uint8, int64, float64}) {
    for (const Combiner combiner :
         {Combiner::Sum, Combiner::Product, Combiner::Min, Combiner::Max}) {
      CAPTURE(to_string(type));
      CAPTURE(to_string(combiner));
      Var i("i");
      TensorParam A(type, 2, "A"), mask(uint8, 2, "mask");
      RDom j(0, A.extent(1), "j");
      j.where(mask(i, j) != 0);
      Func R("R");
      R(i) = identity_of(combiner, type);
      R(i) = combine(combiner, Expr(R(i)), A(i, j));
      const Pipeline pipeline({R}, {}, "reduction");
      // Products of up to 129 small integers leave the exact range of floats.
      const std::vector<Size> sizes = combiner == Combiner::Product && type.is_float()
                                          ? std::vector<Size>{{1, 1}, {5, 3}, {7, 12}}
                                          : kSizes;
      const std::vector<Data> data = sweep(
          sizes,
          [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
            return masked_rows(type, s, zeros, exact, generator);
          },
          !type.is_float());
      const bool all = type == float32 || type == int8;
      check_agreement(
          {pipeline,
           all ? kReductionSchedules : std::vector<std::string>{"", kReductionSchedules[2]},
           for_outputs(pipeline, data)});
    }
  }
}

TEST_CASE("all and any of the elements that a mask keeps") {
  for (const bool all : {true, false}) {
    Var i("i");
    TensorParam A(boolean, 2, "A"), mask(uint8, 2, "mask");
    RDom j(0, A.extent(1), "j");
    j.where(mask(i, j) != 0);
    Func R("R");
    R(i) = Expr(all);
    if (all)
      R(i) = R(i) && A(i, j);
    else
      R(i) = R(i) || A(i, j);
    const Pipeline pipeline({R}, {}, "logic");
    check_agreement(
        {pipeline, kReductionSchedules,
         for_outputs(pipeline,
                     sweep(
                         kSizes,
                         [](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
                           Problem p = masked_rows(boolean, s, zeros, exact, generator);
                           const AnyBuffer &values = p.inputs.at("A");
                           // Mostly true rows, so that both results occur.
                           for_each_coordinate(values.extents(), [&](const Shape &at) {
                             values.set_number(at, generator() % 50 != 0 || at[0] % 2 == 0);
                           });
                           return p;
                         },
                         true))});
  }
}

TEST_CASE("argmin and argmax of the elements that a mask keeps: ties go to the lower coordinate") {
  for (const Type type : {float32, int32, uint8, int64}) {
    CAPTURE(to_string(type));
    Var i("i");
    TensorParam A(type, 2, "A"), mask(uint8, 2, "mask");
    RDom j(0, A.extent(1), "j"), k(0, A.extent(1), "k");
    j.where(mask(i, j) != 0);
    k.where(mask(i, k) != 0);
    Func T("T"), U("U");
    T(i) = argmax(j, A(i, j));
    U(i) = argmin(k, A(i, k));
    const Pipeline pipeline({T, U}, {}, "arguments");
    check_agreement(
        {pipeline,
         {"", "T.split(i, io, ii, 4)\nT.parallel(io)\n"},
         for_outputs(pipeline,
                     sweep(
                         kSizes,
                         [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
                           return masked_rows(type, s, zeros, exact, generator);
                         },
                         true))});
  }
}

TEST_CASE("a Tuple update: one gather, several accumulators") {
  Var i("i");
  TensorParam A(float32, 2, "A"), mask(uint8, 2, "mask");
  RDom j(0, A.extent(1), "j");
  j.where(mask(i, j) != 0);
  Func R("R");
  R(i) = Tuple(0.f, 0);
  R(i) += Tuple(A(i, j) * A(i, j), i32(A(i, j) * 4.f));
  const Pipeline pipeline({R}, {}, "two_sums");
  const auto data = [](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
    return masked_rows(float32, s, zeros, exact, generator);
  };
  check_agreement(
      {pipeline, kReductionSchedules, for_outputs(pipeline, sweep(kSizes, data)), every_host()});
}

TEST_CASE("inline sums, products, minima and maxima over a masked domain") {
  Var i("i");
  TensorParam A(float32, 2, "A"), mask(uint8, 2, "mask");
  const auto domain = [&](const char *name) {
    RDom r(0, A.extent(1), name);
    r.where(mask(i, r) != 0);
    return r;
  };
  const RDom a = domain("a"), b = domain("b"), c = domain("c"), d = domain("d");
  Func R("R");
  R(i) = sum(a, A(i, a)) + max(minimum(b, A(i, b)), -4.f) * 2.f + min(maximum(c, A(i, c)), 4.f) +
         product(d, select(A(i, d) > 0, 1.f, -1.f));
  const Pipeline pipeline({R}, {}, "inline_reductions");
  check_agreement({pipeline,
                   {"", "R.parallel(i)\n"},
                   for_outputs(pipeline, sweep(kSizes, [](const Size &s, double zeros, bool exact,
                                                          std::mt19937 &generator) {
                                 return masked_rows(float32, s, zeros, exact, generator);
                               }))});
}

TEST_CASE("elementwise with where: what the mask leaves out keeps the caller's bytes") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A"), mask(uint8, 2, "mask");
  Func Y("Y");
  Y(i, j) = A(i, j) * 2.f + f32(i) - f32(j);
  Y.where(mask(i, j) != 0);
  const Pipeline pipeline({Y}, {}, "elementwise");
  check_agreement(
      {pipeline,
       {"", "Y.vectorize(j, 8)\n", "Y.parallel(i)\nY.vectorize(j)\n",
        "Y.pit_tile(jt, axis=j, micro={i:1, j:1}, dense={j:16})\n",
        "Y.pit_tile(jt, axis=j, micro={i:32, j:1}, dense={j:8})\n",
        "Y.pit_tile(it, axis=i, micro={i:1, j:16}, dense={i:8})\n",
        "Y.pit_tile(jt, axis=j, micro={i:4, j:64}, dense={i:2, j:64})\n",
        "Y.fuse(i, j, ij)\nY.pit_tile(t, axis=ij, dense={ij:32})\n"},
       for_outputs(pipeline,
                   sweep(kSizes,
                         [](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
                           return masked_rows(float32, s, zeros, exact, generator);
                         })),
       every_host()});
}

TEST_CASE("predicates that are constants, and conjunctions of three") {
  Var i("i");
  TensorParam A(float32, 2, "A"), mask(uint8, 2, "mask");
  const auto data =
      sweep(kSizes, [](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
        return masked_rows(float32, s, zeros, exact, generator);
      });
  const auto predicates = std::vector<std::function<Expr(Expr)>>{
      [](Expr) { return Expr(false); },
      [](Expr) { return Expr(true); },
      [&](Expr j) { return j >= A.extent(1); },
      [&](Expr j) { return j < A.extent(1); },
      [&](Expr j) { return mask(i, j) != 0 && A(i, j) > 0 && j % 3 != 1; },
      [&](Expr j) { return mask(i, j) != 0 || j == i; },
      [&](Expr j) { return !(mask(i, j) != 0) && A(i, j) <= 1; }};
  for (std::size_t n = 0; n < predicates.size(); ++n) {
    CAPTURE(n);
    RDom j(0, A.extent(1), "j");
    j.where(predicates[n](Expr(j)));
    Func R("R");
    R(i) += A(i, j) + f32(mask(i, j));
    const Pipeline pipeline({R}, {}, "predicates");
    check_agreement({pipeline,
                     {"", "R.update(0).pit_tile(jt, axis=j, micro={i:1, j:1}, dense={j:8})\n",
                      "R.update(0).pit_tile(jt, axis=j, micro={i:32, j:4}, dense={j:16})\n"},
                     for_outputs(pipeline, data)});
  }
}
