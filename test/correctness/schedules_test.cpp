// Combinations of directives that a schedule seldom has: each once gave a wrong result or no code.
#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

namespace {

const std::vector<Size> kSizes = {{1, 1}, {5, 3}, {29, 17}, {40, 33}};

/// A[rows, columns] with zeros, key[rows] in [0, columns), and whatever outputs are named.
std::vector<Data> data_of(const std::vector<std::string> &vectors,
                          const std::vector<std::string> &matrices, bool exact_only = true) {
  return sweep(
      kSizes,
      [=](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
        Problem p;
        p.inputs.emplace("A", random_values(float32, s, generator, exact, zeros));
        p.inputs.emplace("key", random_integers(int32, {s[0]}, generator, 0, s[1]));
        for (const std::string &name : vectors) p.outputs[name] = {s[0]};
        for (const std::string &name : matrices) p.outputs[name] = s;
        return p;
      },
      exact_only);
}

}  // namespace

TEST_CASE("softmax states over rows of which some have no value, and lanes past the last row") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A"), key(int32, 1, "key");
  RDom k(0, A.extent(1), "k");
  Func P("P"), O("O");
  P(i, j) += softmax_term(A(i, k) * 0.5f, A(i, j) + f32(key(i)));
  O(i, j) = softmax_value(P(i, j));
  P.compute_root();
  const Pipeline all({O}, {}, "softmax");
  check_agreement(
      {all,
       {"", "P.compute_root()\n",
        "P.compute_root()\nP.update(0).pit_tile(t, axis=i, micro={i:4})\n",
        "P.compute_root()\nP.update(0).pit_tile(t, axis=j, micro={j:3}, dense={j:6, i:4})\n"},
       inexact(data_of({}, {"O"}))});
  Func Q("Q"), R("R");
  Q(i, j) += softmax_term(A(i, k) * 0.5f, A(i, j));
  Q.where(key(i) % 3 != 1);
  R(i, j) = softmax_value(Q(i, j));
  R.where(key(i) % 3 != 1);
  check_agreement(
      {Pipeline({R}, {}, "some_rows"),
       {"", "Q.compute_root()\nQ.update(0).vectorize(i, 4)\n",
        "Q.compute_root()\nQ.update(0).pit_tile(t, axis=k, micro={i:4}, dense={k:8, i:4, j:4})\n"},
       inexact(data_of({}, {"R"}))});
}

TEST_CASE("the group of an index is a loop that the schedule has split") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A");
  Func Y("Y");
  Y(i, j) = A(i, j) * 2.f;
  Y.where(A(i, j) > 0);
  check_agreement(
      {Pipeline({Y}, {}, "split_group"),
       {"Y.split(i, io, ii, 8)\nY.pit_tile(t, axis=j, dense={j:4})\n",
        "Y.split(i, io, ii, 8)\nY.reorder(ii, io)\nY.pit_tile(t, axis=j, dense={j:4})\n",
        "Y.split(i, io, ii, 16)\nY.split(io, x, y, 4)\nY.parallel(x)\n"
        "Y.pit_tile(t, axis=j)\n",
        "Y.split(i, io, ii, 4)\nY.pit_tile(t, axis=j, micro={j:2, i:4}, dense={j:8})\n"},
       data_of({}, {"Y"})});
}

TEST_CASE("a producer at every loop of a tiled consumer") {
  Var i("i"), j("j"), u("u"), v("v");
  TensorParam A(float32, 2, "A"), key(int32, 1, "key");
  RDom k(0, A.extent(1), "k");
  Func F("F"), Y("Y");
  F(u, v) = A(u, v) + 1.f;
  F(u, v) += f32(key(u));
  k.where(A(i, k) != 0);
  Y(i, j) += F(i, k) * A(i, j);
  const std::string tile = "Y.update(0).pit_tile(t, axis=k, dense={k:4})\n";
  const std::string rows = "Y.update(0).pit_tile(t, axis=i, dense={i:4})\n";
  check_agreement(
      {Pipeline({Y}, {}, "at_every_loop"),
       {"", tile + "F.compute_at(Y.update(0), i)\n", tile + "F.compute_at(Y.update(0), j)\n",
        tile + "F.compute_at(Y.update(0), t)\n", rows + "F.compute_at(Y.update(0), j)\n",
        "Y.update(0).pit_tile(t, axis=i, group=j, dense={i:3})\nF.compute_at(Y.update(0), j)\n",
        rows + "Y.update(0).parallel(j)\n"},
       data_of({}, {"Y"})});
}

TEST_CASE("updates of a producer in a tile: in order, scattered, reading the Func itself") {
  Var i("i"), j("j"), u("u"), v("v");
  TensorParam A(float32, 2, "A"), key(int32, 1, "key");
  RDom k(0, A.extent(1), "k"), r(0, A.extent(0), "r"), s(1, max(A.extent(1) - 1, 0), "s");
  Func F("F"), Y("Y");
  F(u, v) = A(u, v);
  k.where(A(u, k) != 0);
  F(u, v) = min(max(F(u, v) * 2.f + A(u, k), 0.f), 9.f);  // keeps the order of k
  Y(i, j) = F(i, j) + 1.f;
  check_agreement({Pipeline({Y}, {}, "recurrence"),
                   {"", "F.compute_at(Y, i)\n", "F.compute_at(Y, j)\n",
                    "Y.pit_tile(t, axis=i, dense={i:4})\nF.compute_at(Y, t)\n"},
                   data_of({}, {"Y"})});

  Func G("G"), Z("Z");
  G(v) = 1.f;
  G(key(r)) += A(r, 0);  // may store elements that a tile does not need
  Z(i, j) = G(j) + A(i, j);
  check_agreement({Pipeline({Z}, {}, "scatter"),
                   {"", "G.compute_at(Z, i)\n", "G.compute_at(Z, j)\n"},
                   data_of({}, {"Z"})});

  Func S("S"), W("W");
  S(u, v) = A(u, v);
  S(u, s) = S(u, s - 1) + A(u, s);
  W(i, j) = S(i, j);
  check_agreement(
      {Pipeline({W}, {}, "scan"),
       {"", "S.compute_at(W, i)\nS.bound(v, 0, 33)\n"},
       sweep(
           {{5, 33}},
           [](const Size &size, double zeros, bool exact, std::mt19937 &generator) -> Problem {
             return {
                 {{"A", random_values(float32, size, generator, exact, zeros)}}, {}, {{"W", size}}};
           },
           true)});
}

TEST_CASE("an index lists what passes a whole conjunction, not each conjunct somewhere") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A"), key(int32, 1, "key");
  Func Y("Y");
  Y(i, j) = A(i, j) + 1.f;
  Y.where(key(i) % 2 == 0);
  Y.where(j < key(i));
  Y.where(A(i, j) != 0);
  SparseIndex index = Y.index({.axis = j, .micro = {{i, 4}}});
  Y.store_compact(index);
  Y.bound(i, 0, A.extent(0)).bound(j, 0, A.extent(1));
  const Pipeline pipeline({Y}, {index}, "conjunction");
  const std::string schedule = pipeline.schedule().to_string();
  check_agreement(
      {pipeline,
       {schedule, schedule + "Y.pit_tile(t, dense={j:4}, index=Y.index)\n"},
       sweep(
           kSizes,
           [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
             const std::int64_t groups = (s[0] + 3) / 4, entries = groups * s[1];
             return {{{"A", random_values(float32, s, generator, exact, zeros)},
                      {"key", random_integers(int32, {s[0]}, generator, 0, s[1])}},
                     {},
                     {{"Y", {entries, 4}},
                      {"Y.index.offsets", {groups + 1}},
                      {"Y.index.coordinates", {entries}},
                      {"Y.index.count", {1}}}};
           },
           true)});
}

TEST_CASE("rows of a CSR matrix as the axis: what their columns say is tested inside the tile") {
  Var i("i"), j("j");
  TensorParam rows(int32, 1, "rows"), columns(int32, 1, "columns"), A(float32, 2, "A");
  RDom p = csr(rows, columns, i, "p");
  const Expr column = columns(p);
  p.where(A(i, column) > 0);
  Func Y("Y");
  Y(i, j) += A(i, column) * A(column, j);
  check_agreement(
      {Pipeline({Y}, {}, "csr_rows"),
       {"", "Y.update(0).pit_tile(t, axis=i)\n", "Y.update(0).pit_tile(t, axis=j, dense={j:8})\n"},
       sweep(
           {{1, 1}, {9, 9}, {24, 24}},
           [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
             const AnyBuffer offsets(int32, {s[0] + 1});
             std::vector<std::int64_t> kept;
             std::uniform_int_distribution<int> coin(0, 2);
             for (std::int64_t row = 0; row < s[0]; ++row) {
               offsets.set_number(Shape{row}, static_cast<double>(kept.size()));
               for (std::int64_t c = 0; c < s[1]; ++c) {
                 if (coin(generator) == 0) kept.push_back(c);
               }
             }
             offsets.set_number(Shape{s[0]}, static_cast<double>(kept.size()));
             const AnyBuffer list(int32, {static_cast<std::int64_t>(kept.size())});
             for (std::size_t e = 0; e < kept.size(); ++e) {
               list.set_number(Shape{static_cast<std::int64_t>(e)}, static_cast<double>(kept[e]));
             }
             return {{{"rows", offsets},
                      {"columns", list},
                      {"A", random_values(float32, s, generator, exact, zeros)}},
                     {},
                     {{"Y", s}}};
           },
           true)});
}

TEST_CASE("a parallel loop inside a tile") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A"), key(int32, 1, "key");
  Func Y("Y");
  Y(i, j) = 1.f;
  Y(i, j) += A(i, j) + f32(key(i));
  Y.where(key(i) % 2 == 0);
  check_agreement({Pipeline({Y}, {}, "parallel_inside"),
                   {"Y.update(0).parallel(j)\nY.update(0).pit_tile(t, axis=i, dense={i:2})\n",
                    "Y.update(0).pit_tile(t, axis=i, dense={i:8})\nY.update(0).parallel(j)\n"},
                   data_of({}, {"Y"})});
}

TEST_CASE("full micro-tiles keep the predicates that their index does not list") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A"), key(int32, 1, "key");
  RDom r(0, i64(key(j % A.extent(0))) + 1, "r");
  r.where(A(i, r) > 0);
  Func Y("Y");
  Y(i, j) = 0.f;
  Y(i, j) = min(Y(i, j), A(i, r));
  Y.where(A(i, j) != 0);
  check_agreement({Pipeline({Y}, {}, "unlisted"),
                   {"", "Y.update(0).pit_tile(t, axis=i)\n"},
                   data_of({}, {"Y"})});
}

TEST_CASE("updates that store along one dimension what another one ranges over") {
  Var i("i"), j("j"), u("u"), v("v");
  TensorParam A(float32, 2, "A");
  Func F("F"), Y("Y");
  F(u, v) = A(0, v % 2);
  F(v, v) += 1.f;
  F(u, u % 4) += 2.f;
  Y(i, j) = F(j % 2, j % 2) + A(i, j);
  check_agreement(
      {Pipeline({Y}, {}, "diagonal"),
       {"", "F.compute_root()\n"},
       sweep(
           {{5, 3}, {29, 17}},
           [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
             return {{{"A", random_values(float32, s, generator, exact, zeros)}}, {}, {{"Y", s}}};
           },
           true)});
}

TEST_CASE("fused domains of which both extents are negative have no iterations") {
  TensorParam X(float32, 2, "X");
  RDom r(0, X.extent(0) - 2, 0, X.extent(1) - 2, "r");
  Func S("S");
  S() += X(r.x + 2, r.y + 2);
  RDom q(0, X.extent(0) - 2, 0, X.extent(1) - 2, "q");
  q.where(X(q.x + 2, q.y + 2) != 0);
  Func T("T");
  T() += X(q.x + 2, q.y + 2);
  const auto data = [](const char *name) {
    return sweep(
        {{1, 1}, {1, 5}, {4, 1}, {7, 9}},
        [=](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
          return {{{"X", random_values(float32, s, generator, exact, zeros)}}, {}, {{name, {}}}};
        },
        true);
  };
  check_agreement({Pipeline({S}, {}, "negative"),
                   {"", "S.update(0).fuse(r.x, r.y, f)\n",
                    "S.update(0).fuse(r.x, r.y, f)\nS.update(0).vectorize(f, 8)\n"},
                   data("S")});
  check_agreement({Pipeline({T}, {}, "negative_axis"),
                   {"",
                    "T.update(0).fuse(q.x, q.y, f)\n"
                    "T.update(0).pit_tile(t, axis=f, dense={f:4})\n",
                    "T.update(0).pit_tile(t, axis=q.y, micro={q.x:2}, dense={q.y:4})\n"},
                   data("T")});
}

TEST_CASE("parallel tiles of an axis that is fused of loops without iterations") {
  Var i("i"), j("j"), c("c");
  TensorParam A(float32, 2, "A");
  Func F("F");
  F(i, j, c) = A(i, c) + 1.f;
  const auto data = [](std::int64_t rows, std::int64_t middle) {
    return sweep({{rows, 3}},
                 [=](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
                   return Problem{{{"A", random_values(float32, s, generator, exact, zeros)}},
                                  {},
                                  {{"Y", {rows, middle, s[1]}}}};
                 });
  };
  Func Y("Y");
  Y(i, j, c) = F(i, j, c) * 2.f;
  for (const auto &[rows, middle] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{5, 0}, {0, 4}, {0, 0}, {5, 4}}) {
    const std::string bounded = "Y.bound(i, 0, int64(" + std::to_string(rows) +
                                "))\nY.bound(j, 0, int64(" + std::to_string(middle) +
                                "))\nF.compute_root()\n";
    check_agreement({Pipeline({Y}, {}, "no_iterations"),
                     {"", bounded,
                      bounded + "F.fuse(i, j, f)\n"
                                "F.pit_tile(t, axis=f, group=c, dense={f:1, c:1})\n",
                      bounded + "F.fuse(i, j, f)\nF.parallel(f)\n"},
                     data(rows, middle)});
  }
}

TEST_CASE("a remainder by a negative divisor is smaller than its magnitude") {
  Var x("x");
  Param<std::int32_t> p("p");
  TensorParam X(float32, 1, "X");
  Func F("F"), Y("Y");
  F(x) = X(x) * 2.f;
  Y(x) = F(x % p);
  for (const double divisor : {-5., 5., 0.}) {
    Problem problem{{{"X", AnyBuffer(float32, {5})}}, {{"p", divisor}}, {{"Y", {12}}}};
    for (std::int64_t i = 0; i < 5; ++i)
      problem.inputs.at("X").set_number(Shape{i}, static_cast<double>(i + 1));
    for (const char *schedule : {"", "F.compute_root()\n"}) {
      const Pipeline all({Y}, {}, "remainder");
      const Pipeline pipeline = all.with(Schedule::parse(all, schedule));
      for (const Engine engine : {Engine::TileInterpreter, Engine::Compiled}) {
        const Comparison c = check(pipeline, problem, engine, true);
        CHECK_MESSAGE(c.different == 0, c.first);
      }
    }
  }
}

TEST_CASE("components of a Tuple that exchange their values") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A"), key(int32, 1, "key");
  Func T("T"), S("S"), Y("Y");
  T(i, j) = Tuple(A(i, j), f32(key(i)));
  T(i, j) += Tuple(T(i, j)[1], T(i, j)[0]);
  T(i, j) = Tuple(T(i, j)[1], T(i, j)[0] * 2.f);
  Y(i, j) = T(i, j)[0] - 3.f * T(i, j)[1];
  check_agreement(
      {Pipeline({Y}, {}, "exchange"),
       {"", "T.update(0).vectorize(j)\nT.update(1).vectorize(j)\n",
        "T.update(1).split(j, jo, ji, 4)\nT.update(1).vectorize(ji)\n", "T.compute_at(Y, i)\n",
        "T.compute_at(Y, j)\n", "Y.pit_tile(t, axis=i, dense={i:4})\nT.compute_at(Y, t)\n"},
       data_of({}, {"Y"})});
}

TEST_CASE("micro-tiles that start between the steps of a predicate") {
  Var i("i"), o("o");
  TensorParam A(float32, 2, "A"), key(int32, 1, "key");
  RDom r(0, A.extent(1), "r");
  r.where(key(i / 4) % 2 == 0);
  Func F("F"), Y("Y");
  F(i) += A(i, r);
  // F is needed from 3 on: micro-tiles of 4 hold values of two i / 4.
  Y(o) = select(o + 3 < A.extent(0), F(min(o + 3, A.extent(0) - 1)), 0.f) + 0.f * f32(key(o));
  check_agreement({Pipeline({Y}, {}, "between"),
                   {"", "F.update(0).pit_tile(t, axis=r, micro={i:4, r:1}, dense={r:2})\n",
                    "F.update(0).pit_tile(t, axis=r, group=i / 4)\n",
                    "F.update(0).pit_tile(t, axis=r, group=i / 8)\n"},
                   data_of({"Y"}, {})});
}

TEST_CASE("two Funcs of one name are two Funcs, with checks of their own") {
  Var x("x"), y("y");
  TensorParam X(float32, 1, "X"), key(int32, 1, "key");
  Func first("F"), second("F"), Y("Y");
  first(x) = X(x);
  second(x) = X(x) + 1.f;
  first.compute_root().bound(x, 0, 10);
  second.compute_root().bound(x, 0, 5);
  Y(y) = first(key(y)) + second(key(y));
  const Callable f = Pipeline({Y}, {}, "namesakes").compile();
  Buffer<float> in({10}), out({2});
  Buffer<std::int32_t> keys({2});
  keys(0) = 4, keys(1) = 4;
  f(in, keys, out);
  keys(1) = 7;
  CHECK_THROWS_AS(f(in, keys, out), RuntimeError);
}

TEST_CASE("an index serves only a predicate that means the same") {
  Var i("i"), t("t");
  TensorParam a(uint8, 1, "a"), b(uint8, 1, "b");
  Func F("F"), G("G");
  F(i) = a(i);
  F.where(a(i) + b(i) != 0);
  G(i) = b(i);
  G.where(i64(a(i)) + i64(b(i)) != 0);  // 128 + 128 is not 0
  const SparseIndex index = F.index({.axis = i});
  F.pit_tile(t, {.index = index});
  G.pit_tile(t, {.index = index});
  CHECK_THROWS_AS(Pipeline({F, G}, {}, "wraps").compile(), CompileError);
}

TEST_CASE("strict of one specialization, and of that alone") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom k(0, A.extent(1), "k");
  k.where(A(i, k) != 0);
  Func C("C");
  C(i, j) += A(i, k) * B(k, j);
  C.update()
      .specialize(A.extent(0) > 0)
      .pit_tile(Var("u"), {.axis = k, .micro = {{i, 8}}, .dense = {{k, 8}}})
      .strict();
  C.update().pit_tile(Var("t"), {.axis = k, .micro = {{i, 4}}, .dense = {{k, 8}}});
  Problem problem{{{"A", AnyBuffer(float32, {8, 8})}, {"B", AnyBuffer(float32, {8, 16})}},
                  {},
                  {{"C", {8, 16}}}};
  problem.inputs.at("A").fill_bytes(0);
  problem.inputs.at("B").fill_bytes(0xFF);  // NaN
  problem.inputs.at("A").set_number(Shape{0, 0}, 2);
  for (std::int64_t n = 0; n < 16; ++n) problem.inputs.at("B").set_number(Shape{0, n}, 3);
  problem.inputs.at("A").set_number(Shape{1, 1}, 0);
  const Comparison c = check(Pipeline({C}, {}, "strict_case"), problem, Engine::Compiled, true);
  CHECK_MESSAGE(c.different == 0, c.first);
}

TEST_CASE("keys that only a predicate over more than the axis keeps in range") {
  Var t("t"), f("f");
  TensorParam W(float32, 2, "W"), mask(uint8, 2, "mask"), key(int32, 1, "key"),
      nbr(int32, 1, "nbr"), x(float32, 1, "x");
  RDom r(0, mask.extent(1), "r");
  Func H("H"), G("G"), Y("Y");
  H(t, f) = x(t) * W(key(t), f);
  H.where(mask(t, f) != 0);
  G(t, f) = x(t) * W(key(nbr(t)), f);
  G.where(mask(t, f) != 0);
  r.where(mask(t, r) != 0);
  Y(t, f) += x(t) * W(key(nbr(t)), r);
  const auto data = [](const std::string &output) {
    return sweep(
        {{1, 1, 1}, {9, 3, 4}, {70, 17, 5}},
        [=](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
          const AnyBuffer masks = random_mask(uint8, {s[0], s[1]}, generator, zeros),
                          keys = random_integers(int32, {s[0]}, generator, 0, s[2]),
                          nbrs = random_integers(int32, {s[0]}, generator, 0, s[0]);
          const bool direct = output == "H";
          for (std::int64_t row = 0; row < s[0]; row += 2) {  // a row that nobody may read
            for (std::int64_t c = 0; c < s[1]; ++c) masks.set_number(Shape{row, c}, 0);
            if (direct) keys.set_number(Shape{row}, row % 4 == 0 ? -1 : 1000);
            nbrs.set_number(Shape{row}, row % 4 == 0 ? -7 : 2000000000);
          }
          Problem p;
          p.inputs.emplace("W", random_values(float32, {s[2], s[1]}, generator, exact));
          p.inputs.emplace("mask", masks);
          p.inputs.emplace("key", keys);
          if (!direct) p.inputs.emplace("nbr", nbrs);
          p.inputs.emplace("x", random_values(float32, {s[0]}, generator, exact));
          p.outputs[output] = {s[0], s[1]};
          return p;
        },
        true);
  };
  check_agreement({Pipeline({H}, {}, "key"),
                   {"", "H.pit_tile(u, axis=t, group=key(t), dense={t:4})\n"},
                   data("H")});
  check_agreement({Pipeline({G}, {}, "key_at_data"),
                   {"", "G.pit_tile(u, axis=t, group=key(nbr(t)), dense={t:4})\n"},
                   data("G")});
  check_agreement({Pipeline({Y}, {}, "key_of_a_sum"),
                   {"", "Y.update(0).pit_tile(u, axis=t, group=key(nbr(t)), dense={t:4})\n"},
                   data("Y")});
}

TEST_CASE("softmax terms fused with their rows run one after the other") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A");
  RDom k(0, A.extent(1), "k");
  Func P("P"), O("O");
  P(i) += softmax_term(A(i, k), A(i, k) * 2.f);
  O(i) = softmax_value(P(i));
  P.compute_root();
  check_agreement(
      {Pipeline({O}, {}, "fused_terms"),
       {"P.compute_root()\nP.update(0).fuse(i, k, f)\n",
        "P.compute_root()\nP.update(0).fuse(i, k, f)\nP.update(0).vectorize(f, 8)\n"},
       inexact(sweep(
           kSizes,
           [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
             return {
                 {{"A", random_values(float32, s, generator, exact, zeros)}}, {}, {{"O", {s[0]}}}};
           },
           true))});
}

TEST_CASE("a predicate that reads a Func where another one says that there is a place") {
  Var i("i"), j("j"), u("u");
  TensorParam A(float32, 2, "A"), key(int32, 1, "key");
  RDom r(0, A.extent(1), "r");
  Func F("F"), Y("Y");
  F(u) = A(u, 0) - 1.f;
  F.compute_root().bound(u, 0, A.extent(0));
  const Expr place = key(r % A.extent(0)) - 1;  // -1 is no place
  r.where(place >= 0);
  r.where(place < A.extent(0));
  r.where(F(place) + A(i, r) > 0);
  Y(i) += A(i, r);
  const Pipeline pipeline({Y}, {}, "guarded_place");
  const std::string root = pipeline.schedule().to_string();
  check_agreement({pipeline,
                   {root, root + "Y.update(0).pit_tile(t, axis=r, micro={i:4}, dense={r:4})\n",
                    root + "Y.update(0).pit_tile(t, axis=i, dense={i:4})\n"},
                   data_of({"Y"}, {})});
}

TEST_CASE("products of rows that do not lie equally far apart") {
  Var m("m"), n("n");
  TensorParam A(bfloat16, 2, "A"), B(bfloat16, 2, "B");
  RDom k(0, A.extent(1), "k");
  // Three rows are one, all come again, the last ones are one.
  for (const Expr &row : {m / 3, m % 37, min(m, 40)}) {
    Func C("C"), Out("Out");
    C(m, n) += f32(A(row, k)) * f32(B(k, n));
    Out(m, n) = C(m, n);
    check_agreement(
        {Pipeline({Out}, {}, "rows_again"),
         {"Out.tile(m, n, mo, no, mi, ni, 128, 64)\nOut.gpu_blocks(mo, no)\nC.compute_at(Out, "
          "no)\n"},
         sweep({{200, 72, 80}, {37, 64, 64}},
               [](const Size &s, double, bool exact, std::mt19937 &generator) -> Problem {
                 return {{{"A", random_values(bfloat16, {s[0], s[2]}, generator, exact)},
                          {"B", random_values(bfloat16, {s[2], s[1]}, generator, exact)}},
                         {},
                         {{"Out", {s[0], s[1]}}}};
               })});
  }
}

TEST_CASE("an index by keys over a domain that never has a position") {
  Var v("v");
  TensorParam key(int32, 1, "key"), x(float32, 1, "x");
  RDom r(0, 0, "r");
  r.where(key(r) >= 0);
  Func Y("Y");
  Y(v) = 1.f;
  Y(v) += x(key(r)) * x(r);
  Problem problem{
      {{"key", AnyBuffer(int32, {0})}, {"x", AnyBuffer(float32, {17})}}, {}, {{"Y", {21}}}};
  check_agreement({Pipeline({Y}, {}, "no_positions"),
                   {"", "Y.update(0).pit_tile(t, axis=r, group=key(r))\n"},
                   {{"no positions", problem}}});
}

TEST_CASE("an index of a Func at a loop of a sum that an expression made") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A");
  RDom r(0, A.extent(1), "r"), q(0, A.extent(0), "q");
  r.where(A(i, r) != 0);
  Func F("F"), Y("Y");
  F(i) += A(i, r);
  Y(i, j) = sum(q, F(q) * A(q, j)) + A(i, j);
  check_agreement({Pipeline({Y}, {}, "inside_a_sum"),
                   {"", "F.compute_root()\n",
                    "F.compute_at(sum$q.update(0), q)\nF.update(0).pit_tile(t, axis=r)\n"},
                   data_of({}, {"Y"})});
}

TEST_CASE("what is needed where data says so, with a bound further than the data") {
  Var v("v"), u("u");
  TensorParam key(int32, 1, "key"), x(float32, 1, "x");
  RDom r(0, key.extent(0), "r");
  r.where(key(r) >= 0);
  Func F("F"), Y("Y");
  F(v, u) += x(v) + x(u);
  Y(u) += F(r, u);
  Problem problem{
      {{"key", AnyBuffer(int32, {3})}, {"x", AnyBuffer(float32, {17})}}, {}, {{"Y", {17}}}};
  for (const std::int64_t at : {0, 1, 2})
    problem.inputs.at("key").set_number(Shape{at}, static_cast<double>(at - 1));
  for (std::int64_t at = 0; at < 17; ++at)
    problem.inputs.at("x").set_number(Shape{at}, static_cast<double>(at));
  check_agreement({Pipeline({Y}, {}, "bound_further"),
                   {"F.compute_root()\n", "F.compute_root()\nF.bound(v, 0, 17)\n"},
                   {{"three keys", problem}}});
}

TEST_CASE("parts of a sum that only some elements have") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A"), key(int32, 1, "key");
  RDom r(0, A.extent(1), "r");
  Func Y("Y");
  Y(i, j) = f32(key(i));
  Y(i, j) += A(i, r) * A(i, j);
  Y.where(key(i) % 2 == 0);
  check_agreement({Pipeline({Y}, {}, "some_sums"),
                   {"", "Y.update(0).split_reduction(r, 3)\n",
                    "Y.update(0).reorder(r, j, i)\nY.update(0).split_reduction(r, 2)\n"},
                   data_of({}, {"Y"})});
}
