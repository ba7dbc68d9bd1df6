// Iteration domains of every kind: shifted, triangular, several dimensions, products, sequences
// that repeat; loops split unevenly.
#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

namespace {

/// rows, columns
const std::vector<Size> kSizes = {{0, 3}, {3, 0}, {1, 1}, {5, 3}, {33, 70}, {100, 129}};

Problem matrix(const Size &s, double zeros, bool exact, std::mt19937 &generator) {
  return {
      {{"A", random_values(float32, s, generator, exact, zeros)}}, {}, {{"R", {s[0]}}, {"Y", s}}};
}

}  // namespace

TEST_CASE("domains that start elsewhere, that depend on a Var, and empty ones") {
  Var i("i");
  TensorParam A(float32, 2, "A");
  struct Bounds {
    std::string name;
    Expr min, extent;
  };
  for (const Bounds &b : std::vector<Bounds>{{"shifted", 2, max(A.extent(1) - 3, 0)},
                                             {"triangular", 0, min(A.extent(1), i64(i) + 1)},
                                             {"band", i64(i) / 2, 5},
                                             {"no iterations", 0, i64(i) - 1000}}) {
    CAPTURE(b.name);
    RDom j(b.min, b.extent, "j");
    j.where(j < A.extent(1) && A(i, j) != 0);
    Func R("R");
    R(i) += A(i, j) * f32(j + 1);
    check_agreement({Pipeline({R}, {}, "bounds"),
                     {"", "R.update(0).pit_tile(jt, axis=j, micro={i:1, j:1}, dense={j:8})\n",
                      "R.update(0).split(j, jo, ji, 7)\n",
                      "R.update(0).split(i, io, ii, 4)\nR.update(0).parallel(io)\n"},
                     sweep(kSizes, matrix)});
  }
}

TEST_CASE("a domain of two dimensions, each of them the axis") {
  Var b("b");
  TensorParam X(float32, 3, "X");
  RDom r(0, X.extent(1), 0, X.extent(2), "r");
  r.where(X(b, r.x, r.y) > 0);
  Func R("R");
  R(b) += X(b, r.x, r.y) * f32(r.x * 2 + r.y);
  check_agreement(
      {Pipeline({R}, {}, "two_dimensions"),
       {"", "R.update(0).pit_tile(t, axis=r.x, micro={b:1, r.x:1, r.y:1}, dense={r.x:8})\n",
        "R.update(0).pit_tile(t, axis=r.y, micro={b:1, r.x:1, r.y:4}, dense={r.y:8})\n",
        "R.update(0).fuse(r.x, r.y, xy)\nR.update(0).pit_tile(t, axis=xy, dense={xy:16})\n",
        "R.update(0).reorder(r.y, r.x)\n"},
       sweep({{0, 2, 3}, {1, 1, 1}, {3, 5, 7}, {4, 20, 33}},
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               return {{{"X", random_values(float32, s, generator, exact, zeros)}},
                       {},
                       {{"R", {s[0]}}}};
             })});
}

TEST_CASE("a product of two domains, each with its own predicate") {
  Var i("i");
  TensorParam A(float32, 2, "A"), B(float32, 2, "B");
  RDom j(0, A.extent(1), "j"), k(0, B.extent(1), "k");
  j.where(A(i, j) != 0);
  k.where(B(i, k) > 0);
  Func R("R");
  R(i) += A(i, j) * B(i, k);
  check_agreement(
      {Pipeline({R}, {}, "product"),
       {"", "R.update(0).pit_tile(jt, axis=j, micro={i:1, j:1}, dense={j:8})\n",
        "R.update(0).pit_tile(kt, axis=k, micro={i:8, k:1}, dense={k:8})\n"},
       sweep({{1, 1, 1}, {5, 9, 4}, {30, 20, 21}},
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               return {{{"A", random_values(float32, {s[0], s[1]}, generator, exact, zeros)},
                        {"B", random_values(float32, {s[0], s[2]}, generator, exact, zeros)}},
                       {},
                       {{"R", {s[0]}}}};
             })});
}

TEST_CASE("several updates of one Func, in order") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A");
  RDom r(0, A.extent(1), "r"), q(0, A.extent(1), "q");
  r.where(A(i, r) > 0);
  q.where(A(i, q) < 0);
  Func R("R"), Y("Y");
  R(i) = f32(i);
  R(i) += A(i, r);
  R(i) -= A(i, q) * 2.f;
  R(i) = max(R(i), 3.f);
  Y(i, j) = R(i) + A(i, j);
  Y(i, j) *= 2.f;
  check_agreement(
      {Pipeline({R, Y}, {}, "updates"),
       {"",
        "R.update(0).pit_tile(rt, axis=r, micro={i:1, r:1}, dense={r:8})\nR.update(1).pit_tile(qt, "
        "axis=q, micro={i:8, q:2}, dense={q:8})\n",
        "R.update(0).pit_tile(rt, axis=r, micro={i:32, r:1}, dense={r:8})\nY.vectorize(j, "
        "4)\nY.update(0).parallel(i)\n"},
       sweep(kSizes, matrix)});
}

TEST_CASE("loops split by what does not divide them, nested, reordered, unrolled, vectorised") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A");
  Func H("H"), Y("Y");
  H(i, j) = A(i, j) * A(i, j) - 1.f;
  Y(i, j) = H(i, j) + f32(i) * 2.f + H(i, 0) * f32(j % 5);
  check_agreement({Pipeline({Y}, {}, "splits"),
                   {"", "Y.split(i, io, ii, 7)\nY.split(ii, a, b, 3)\nY.reorder(io, b, j, a)\n",
                    "Y.tile(i, j, io, jo, ii, ji, 5, 11)\nY.reorder(jo, io)\nY.vectorize(ji)\n",
                    "Y.split(j, jo, ji, 4)\nY.unroll(ji)\nY.parallel(i)\n",
                    "H.compute_root()\nH.reorder_storage(j, i)\nY.vectorize(j, 16)\n",
                    "Y.fuse(i, j, ij)\nY.split(ij, o, n, 13)\nY.parallel(o)\n",
                    "Y.split(i, io, ii, 8)\nH.compute_at(Y, io)\n",
                    "Y.gpu_blocks(i)\nY.gpu_threads(j)\nH.compute_at(Y, i)\n"},
                   sweep({{0, 3}, {1, 1}, {5, 3}, {33, 70}, {100, 129}}, matrix),
                   every_host()});
}

TEST_CASE("a chain of Funcs under one where: demand reaches the producers") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A"), row(int32, 1, "row"), keep(uint8, 1, "keep");
  RDom k(0, A.extent(1), "k");
  Func S("S"), H("H"), Y("Y");
  S(i) += A(row(i), k);  // row(i) is out of range where keep is 0
  H(i, j) = S(i) * A(row(i), j);
  Y(i, j) = H(i, j) + S(i);
  Y.where(keep(i) != 0);
  check_agreement(
      {Pipeline({Y}, {}, "demand"),
       {"", "H.compute_root()\n", "Y.pit_tile(t, axis=i, dense={i:8})\nS.compute_at(Y, t)\n",
        "Y.pit_tile(t, axis=i, dense={i:16, j:8})\nH.compute_at(Y, t)\nS.compute_root()\n"},
       sweep({{1, 1}, {5, 3}, {33, 70}},
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
               Problem p = matrix(s, 0, exact, generator);
               p.inputs["keep"] = random_mask(uint8, {s[0]}, generator, zeros);
               p.inputs["row"] = random_integers(int32, {s[0]}, generator, 0, s[0]);
               for (std::int64_t at = 0; at < s[0]; ++at) {
                 if (p.inputs["keep"].number(Shape{at}) == 0)
                   p.inputs["row"].set_number(Shape{at}, -1000000);
               }
               return p;
             })});
}

TEST_CASE("updates that read their own Func keep the order of what meets") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A");
  RDom q(1, A.extent(1) - 1, "q"), r(0, 3, "r");
  const auto start = [&](Func &f) { f(i, j) = A(i, j); };
  const auto small = [](const Size &s, double, bool, std::mt19937 &generator) -> Problem {
    const AnyBuffer a(float32, s);
    for_each_coordinate(
        s, [&](const Shape &at) { a.set_number(at, static_cast<double>(generator() % 3) - 1); });
    return {{{"A", a}}, {}, {{"Y", s}}};
  };
  const auto agree = [&](const Func &f, const std::vector<std::string> &schedules) {
    check_agreement(
        {Pipeline({f}, {}, "own"), schedules, sweep({{5, 1}, {5, 3}, {33, 7}}, small, true)});
  };
  {
    Func Y("Y");  // rows of a scan lie apart
    start(Y);
    Y(i, q) = Y(i, q - 1) + A(i, q);
    agree(Y, {"", "Y.update(0).reorder(q, i)\nY.update(0).vectorize(i)\n",
              "Y.update(0).reorder(q, i)\nY.update(0).vectorize(i, 4)\n",
              "Y.update(0).split(i, io, ii, 8)\nY.update(0).parallel(io)\n"});
  }
  {
    Func Y("Y");  // a cycle of rows
    start(Y);
    Y(i, j) += Y((i + 1) % 5, j) * A(i, r % A.extent(1));
    agree(Y, {"", "Y.update(0).vectorize(j, 4)\n", "Y.update(0).parallel(j)\n"});
  }
  {
    Func Y("P"), Z("Y");  // the same, inside a tile of a consumer that needs a part of it
    start(Y);
    Y(i, j) += Y((i + 1) % 5, j) * A(i, r % A.extent(1));
    Y.bound(i, 0, 5);
    Z(i, j) = Y(i % 5, j) * 2;
    const Pipeline p({Z}, {}, "own");
    const Var io("io"), ii("ii");
    Z.split(i, io, ii, 2), Y.compute_at(Z, io);
    check_agreement({p, {p.schedule().to_string()}, sweep({{5, 3}, {33, 7}}, small, true)});
  }
  {
    Func Y("Y");  // terms of a sum that hold the sum so far
    start(Y);
    Y(i, j) += Y(i, j) * A(i, r % A.extent(1));
    agree(Y, {"", "Y.update(0).vectorize(j)\n", "Y.update(0).parallel(i)\n"});
  }
  {
    Func Y("P"), Z("Y");  // the same, inside a tile of a consumer
    start(Y);
    Y(i, q) = Y(i, q - 1) + A(i, q);
    Y(i, j) += Y(i, j) * A(i, r % A.extent(1));
    Y.bound(j, 0, A.extent(1));
    Z(i, j) = Y(i, A.extent(1) - 1 - j) * 2;
    const Pipeline p({Z}, {}, "own");
    const Var io("io"), ii("ii");
    Z.split(i, io, ii, 4), Y.compute_at(Z, io);
    check_agreement({p, {p.schedule().to_string()}, sweep({{5, 3}, {33, 7}}, small, true)});
  }
}

TEST_CASE("outputs without elements, and bounds that an interval does not show") {
  Var i("i"), j("j");
  TensorParam A(float32, 2, "A");
  Func H("H"), Y("Y");
  H(i, j) = A(i, j) * A(i, j) - 1.f;
  Y(i, j) = H(i, j) + H(i, 0);
  check_agreement(
      {Pipeline({Y}, {}, "empty"), {"", "H.compute_root()\n"}, sweep({{3, 0}}, matrix)});
  const Expr low = min(i64(i) / 2, A.extent(1));
  RDom r(low, min(A.extent(1) - low, 5), "r"), none(0, -1, "none");
  Func R("R"), Q("R");
  R(i) += A(i, r);
  check_agreement({Pipeline({R}, {}, "band"),
                   {"", "R.update(0).split(i, io, ii, 4)\n"},
                   sweep({{5, 3}, {33, 70}}, matrix)});
  Q(i) += A(i, none);
  check_agreement({Pipeline({Q}, {}, "none"), {""}, sweep({{5, 3}, {33, 70}}, matrix)});
}

TEST_CASE("keys are tested where a predicate asks for them, and have no value elsewhere") {
  Var i("i"), j("j"), q("q");
  TensorParam X(float32, 1, "X"), row(int32, 1, "row"), mask(uint8, 1, "mask"),
      rows_kept(uint8, 1, "rows_kept");
  Func key("key"), Y("Y");
  RDom r(0, row.extent(0), "r");
  key(i) = row(i) / 2;
  r.where(mask(r) != 0);
  Y(j) += X(key(r)) * (j + 1);
  Y.where(rows_kept(j) != 0);
  const auto make = [](const Size &size, double zeros, bool, std::mt19937 &generator) {
    return Problem{{{"X", random_integers(float32, {size[0]}, generator, -3, 4)},
                    {"row", random_integers(int32, {size[1]}, generator, 0, 2 * size[0])},
                    {"mask", random_mask(uint8, {size[1]}, generator, zeros)},
                    {"rows_kept", random_mask(uint8, {size[2]}, generator, zeros)}},
                   {},
                   {{"Y", {size[2]}}}};
  };
  check_agreement({Pipeline({Y}, {}, "keys"),
                   {"key.compute_root()\n", "key.compute_root()\nkey.pit_tile(t, axis=i)\n",
                    "key.compute_root()\nkey.pit_tile(t, axis=i, dense={i:8})\n"},
                   sweep({{3, 5, 4}, {7, 40, 33}}, make, true)});
}

TEST_CASE("an index that lays out an output lists what its predicates keep, needed or not") {
  Var i("i"), t("t");
  TensorParam X(float32, 1, "X"), limit(int32, 1, "limit");
  Func F("F"), G("G"), H("H");
  F(i) = X(i) * 2;
  G(i) = X(i) + 1;
  H(i) = select(i < limit(i), X(i), F(i));  // needs F where limit is small
  const auto make = [](const Size &size, double, bool, std::mt19937 &generator) {
    return Problem{{{"X", random_integers(float32, size, generator, -3, 4)},
                    {"limit", random_integers(int32, size, generator, 0, size[0] + 1)}},
                   {},
                   {{"G", size}, {"H", size}}};
  };
  F.compute_root();
  SparseIndex all = F.index({.axis = i}).named("all");
  F.pit_tile(t, {.index = all});
  G.store_compact(all);
  const Pipeline pipeline({G, H}, {}, "laid_out");
  check_agreement(
      {pipeline, {pipeline.schedule().to_string()}, sweep({{1}, {9}, {70}}, make, true)});
}
