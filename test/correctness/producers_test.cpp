// What is computed inside of a statement: it is there for lanes that use it, and reads for these
// alone.
#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

TEST_CASE("a reduction inside of lanes of an outer loop reads nothing past the end") {
  Var i("i");
  TensorParam A(int32, 1, "A");
  RDom r(0, 3, "r");
  Func F("F");
  F(i) = maximum(r, A(i) * i32(r)) + sum(r, A(i) - i32(r));
  check_agreement({Pipeline({F}, {}, "outer_lanes"),
                   {"", "F.split(i, io, ii, 4)\nF.vectorize(io, 4)\n"},
                   sweep(
                       {{1}, {5}, {16}, {39}},
                       [](const Size &s, double, bool, std::mt19937 &generator) {
                         return Problem{
                             {{"A", random_values(int32, s, generator, true)}}, {}, {{"F", s}}};
                       },
                       true),
                   every_host()});
}

TEST_CASE("a Func computed by tiles in places is nothing elsewhere") {
  Var v("v"), u("u");
  TensorParam x(float32, 1, "x"), A(float32, 2, "A"), mask(uint8, 1, "mask");
  RDom r(0, A.extent(0), "r"), q(0, A.extent(0), "q"), k(0, mask.extent(0), "k");
  const auto data = [](const std::vector<std::string> &outputs) {
    return sweep(
        {{1, 1}, {5, 3}, {39, 17}},
        [=](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
          Problem p{{{"x", random_values(float32, {s[0]}, generator, exact, zeros)},
                     {"A", random_values(float32, {s[1], s[0]}, generator, exact)},
                     {"mask", random_mask(uint8, {s[0]}, generator, zeros)}},
                    {},
                    {}};
          for (const std::string &name : outputs) p.outputs[name] = {s[0]};
          return p;
        },
        true);
  };
  const std::string tiled = "F.compute_root()\nF.pit_tile(t, axis=v)\n";
  const std::vector<std::string> lanes = {
      "", "O.pit_tile(s, axis=v)\n", "O.pit_tile(s, axis=v, micro={v:4})\n", "O.vectorize(v, 4)\n",
      "O.split(v, vo, vi, 4)\nO.vectorize(vi, 4)\n"};
  const auto with = [&](const std::string &first, const std::string &last = "") {
    std::vector<std::string> schedules;
    for (const std::string &of_output : lanes) schedules.push_back(first + of_output + last);
    return schedules;
  };
  SUBCASE("read by a sum for lanes whose predicate fails") {
    for (const Expr &p : {mask(v) != 0, sum(q, A(q, v)) > 0.f}) {
      for (const bool own : {false, true}) {
        Func F("F"), O("O");
        F(v) = x(v) + 1.f;
        if (own) F.where(p);
        O(v) = sum(r, F(v) * A(r, v)) - x(v);
        O.where(p);
        check_agreement({Pipeline({O}, {}, "sums"), with(tiled), data({"O"}), every_host()});
        if (!own) continue;
        check_agreement({Pipeline({F, O}, {}, "of_output"), with(""), data({"F", "O"})});
        check_agreement({Pipeline({O}, {}, "of_compact"),
                         with("c = F.index(axis=v, micro={v:4})\nF.compute_root()\n"
                              "F.pit_tile(t, index=c)\nF.store_compact(c)\n"),
                         data({"O"})});
      }
    }
  }
  SUBCASE("read by what is computed at a tile") {
    Func F("F"), G("G"), O("O");
    F(v) = x(v) + 1.f;
    G(v) = maximum(r, F(v) * A(r, v)) + F(v);
    O(v) = G(v) * 2.f;
    O.where(mask(v) != 0);
    check_agreement({Pipeline({O}, {}, "inside"),
                     {tiled + "O.pit_tile(s, axis=v, micro={v:4})\nG.compute_at(O, s)\n",
                      tiled + "O.pit_tile(s, axis=v, micro={v:4}, dense={v:16})\n"
                              "G.compute_at(O, s)\n"},
                     data({"O"})});
  }
  SUBCASE("read by a predicate behind another one") {
    Func F("F"), O("O");
    F(v) = x(v) + 1.f;
    O(v) = x(v);
    O.where(mask(v) != 0);
    O.where(F(v) > 0.f);
    check_agreement({Pipeline({O}, {}, "predicates"), with(tiled), data({"O"})});
  }
  SUBCASE("multiplied by zeros") {
    k.where(x(k) != 0.f);
    Func F("F"), O("O");
    F(v) = A(0, v) + 1.f;
    O(u) += x(k) * F(k);
    check_agreement({Pipeline({O}, {}, "multiplied"),
                     {tiled, tiled + "O.update(0).pit_tile(s, axis=k, micro={k:4})\n"},
                     data({"O"})});
  }
  SUBCASE("under a select") {
    Func F("F"), O("O");
    F(v) = x(v) + 1.f;
    O(v) = sum(r, select(mask(v) != 0, F(v) * A(r, v), 0.f)) - x(v);
    check_agreement({Pipeline({O}, {}, "selected"), with(tiled), data({"O"})});
  }
}

TEST_CASE("what is computed around both parts of a split reads nothing past the end") {
  Var v("v");
  TensorParam x(float32, 1, "x");
  RDom q(0, x.extent(0), "q");
  const auto data = sweep(
      {{5}, {39}, {300}},
      [](const Size &s, double, bool exact, std::mt19937 &generator) {
        return Problem{{{"x", random_values(float32, s, generator, exact)}}, {}, {{"O", s}}};
      },
      true);
  for (const bool backwards : {false, true}) {
    Func F("F"), G("G"), O("O");
    F(v) = x(v) + 1.f;
    G(v) = F(v) * x(v);
    O(v) += G(backwards ? x.extent(0) - 1 - q : Expr(q)) * x(v);
    const std::string root = "F.compute_root()\n";
    check_agreement({Pipeline({O}, {}, "around_a_split"),
                     {root + "G.compute_at(O.update(0), v)\n",
                      root + "O.update(0).split(q, qo, qi, 5)\nG.compute_at(O.update(0), v)\n",
                      root + "O.update(0).pit_tile(s, axis=v, dense={v:8, q:5})\n"
                             "G.compute_at(O.update(0), s)\n"},
                     data});
  }
}

TEST_CASE("predicates of what is computed around both parts of a split read nothing past the end") {
  Var v("v");
  TensorParam x(float32, 1, "x"), y(float32, 1, "y");
  RDom q(0, x.extent(0), "q");
  Func F("F"), G("G"), O("O");
  F(v) = x(v) + 1.f;
  G(v) = F(v);
  G.where(F(v) * y(v) > 0.f);
  q.where(F(q) * y(q) > 0.f);
  O(v) += G(q) * x(v);
  check_agreement(
      {Pipeline({O}, {}, "guarded_around"),
       {"F.compute_root()\nO.update(0).split(q, qo, qi, 5)\nG.compute_at(O.update(0), v)\n"},
       sweep(
           {{5}, {39}},
           [](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
             return Problem{{{"x", random_values(float32, s, generator, exact, zeros)},
                             {"y", random_values(float32, s, generator, exact, zeros)}},
                            {},
                            {{"O", s}}};
           },
           true)});
}

TEST_CASE("what is computed in a split whose parts have changed places is of iterations alone") {
  Var i("i");
  TensorParam x(float32, 1, "x");
  RDom q(0, x.extent(0), "q");
  Func S("S"), O("O"), Beside("Beside");
  S(i) += x(i) * x(q);
  O(i) = S(i) + 1.f;
  Beside(i) = x(i) * 2.f;
  const std::string turned = "O.split(i, io, ii, 8)\nO.reorder(ii, io)\nS.compute_at(O, io)\n";
  check_agreement({Pipeline({O, Beside}, {}, "turned_split"),
                   {turned, turned + "Beside.compute_with(O, io)\n",
                    turned + "S.update(0).pit_tile(s, axis=q, dense={q:4})\n"},
                   sweep(
                       {{1}, {5}, {39}},
                       [](const Size &s, double, bool exact, std::mt19937 &generator) {
                         return Problem{{{"x", random_values(float32, s, generator, exact)}},
                                        {},
                                        {{"O", s}, {"Beside", s}}};
                       },
                       true)});
}

TEST_CASE("what is computed for a sum of no terms is nothing") {
  Var i("i"), j("j");
  TensorParam x(float32, 1, "x");
  RDom q(0, 38, "q"), none(0, 0, "none");
  Func S("S"), O("O");
  S(i, j) = sum(q, x(0) * x(i) * x(j));
  O(i, j) = x(i);
  O(i, j) += S(none, j);
  check_agreement({Pipeline({O}, {}, "no_terms"),
                   {"", "S.compute_at(O.update(0), i)\n"},
                   sweep(
                       {{1}, {39}},
                       [](const Size &s, double, bool exact, std::mt19937 &generator) {
                         return Problem{{{"x", random_values(float32, s, generator, exact)}},
                                        {},
                                        {{"O", {s[0], s[0]}}}};
                       },
                       true)});
}
