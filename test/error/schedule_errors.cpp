// Schedules and targets that no pipeline may have, from the call to the end of compiling.
//
// The rules of single directives are in test/unit/schedule_test.cpp, those of definitions in
// definition_errors.cpp.
#include <limits>

#include "error_case.h"

namespace pit::test {
namespace {

struct Scene {
  Var i{"i"}, j{"j"}, t{"t"}, io{"io"}, jo{"jo"}, ii{"ii"}, ji{"ji"};
  TensorParam A{float32, 2, "A"}, B{float32, 2, "B"}, x{float32, 1, "x"}, key{int32, 1, "key"};
  TensorParam mask{uint8, 2, "mask"}, len{int32, 1, "len"};
  RDom k{0, A.extent(1), "k"}, r{1, x.extent(0) - 1, "r"};
  Func C{"C"}, D{"D"}, P{"P"}, Out{"Out"};

  /// C = A B with the zeros of A skipped; Out reads it.
  void multiply() {
    k.where(A(i, k) != 0);
    C(i, j) += A(i, k) * B(k, j);
    Out(i, j) = C(i, j) + 1;
  }
  /// P has a value where the mask is set.
  void masked() {
    P(i, j) = A(i, j) * 2;
    P.where(mask(i, j) != 0);
    P.compute_root();
  }
};
using Case = ErrorCase<Scene>;

void compile(const Func &output) { (void)Pipeline({output}, {}, "op").compile(); }

const std::vector<Case> kLegality = {
    Case("a scan as axis",
         {"C.update(0).pit_tile", "the iterations of the axis r may not be permuted", "plain store",
          "an RVar of an update with a combiner such as +="},
         [](Scene &s) {
           s.C(s.i) = s.x(s.i);
           s.C(s.r) = s.C(s.r - 1) + s.x(s.r);
           s.C.update().pit_tile(s.t, {.axis = s.r});
         }),
    Case("a row of a scan as axis",
         {"C.update(0).pit_tile: i is not a PIT axis", "reads C in `C(i, r - 1) + A(i, r)`",
          "need their order", "Write it as a reduction"},
         [](Scene &s) {
           s.C(s.i, s.j) = s.A(s.i, s.j);
           s.C(s.i, s.r) = s.C(s.i, s.r - 1) + s.A(s.i, s.r);
           s.C.update().pit_tile(s.t, {.axis = s.i}), compile(s.C);
         }),
    Case("a sum that refers to itself",
         {"C.update(0).pit_tile: k is not a PIT axis", "C((i + 1) % 4)", "refers to itself"},
         [](Scene &s) {
           s.C(s.i) = 0.f;
           s.C(s.i) += s.C((s.i + 1) % 4) * s.x(s.k);
           s.C.update().pit_tile(s.t, {.axis = s.k}), compile(s.C);
         }),
    Case("a predicate that reads the updated Func",
         {"`C(k) > 0.0`, which decides what runs, reads C, which C.update(0) updates",
          "Compute them from another Func"},
         [](Scene &s) {
           s.C(s.i) = 0.f;
           s.k.where(s.C(s.k) > 0.f);
           s.C(s.i) += s.A(s.i, s.k);
           s.C.update().pit_tile(s.t, {.axis = s.k}), compile(s.C);
         }),
    Case("a bound that reads the updated Func",
         {"`C(i)`, which decides what runs, reads C", "Compute them from another Func"},
         [](Scene &s) {
           s.C(s.i) = 0;
           const RDom q(0, s.C(s.i), "q");
           s.C(s.i) += s.key(q);
           s.C.update().pit_tile(s.t, {.axis = q}), compile(s.C);
         }),
    Case("an index that reads the updated Func",
         {"C.update(0) reads C in `key(C(k))`", "or read another Func"},
         [](Scene &s) {
           s.C(s.i) = 0;
           s.C(s.i) += s.key(s.C(s.k));
           s.C.update().pit_tile(s.t, {.axis = s.k}), compile(s.C);
         }),
    Case("an access that is not separable",
         {"C.update(0).pit_tile: k is not a PIT axis", "k * j", "separa"},
         [](Scene &s) {
           s.C(s.i, s.j) += s.A(s.i, s.k) * s.x(s.k * s.j);
           s.C.update().pit_tile(s.t, {.axis = s.k}), compile(s.C);
         }),
    Case("an access that is not affine in a micro-tile",
         {"index `k * k` of x(k * k) is not affine in k within a micro-tile of 4",
          "the micro extent of k must be 1"},
         [](Scene &s) {
           s.C(s.i) += s.A(s.i, s.k) * s.x(s.k * s.k);
           s.C.update().pit_tile(s.t, {.axis = s.k, .micro = {{s.k, 4}}}), compile(s.C);
         }),
    Case("an access that is affine in other pieces",
         {"index `k % 3` of x(k % 3)", "the micro extent of k must divide 3"},
         [](Scene &s) {
           s.C(s.i) += s.A(s.i, s.k) * s.x(s.k % 3);
           s.C.update().pit_tile(s.t, {.axis = s.k, .micro = {{s.k, 4}}}), compile(s.C);
         }),
    Case("an index that is data in a micro-tile",
         {"index `key(k)` of x(key(k)) is not affine in k", "the micro extent of k must be 1"},
         [](Scene &s) {
           s.C(s.i) += s.A(s.i, s.k) * s.x(s.key(s.k));
           s.C.update().pit_tile(s.t, {.axis = s.k, .micro = {{s.k, 2}}}), compile(s.C);
         }),
    Case("a scattered plain store", {"C.update(0).pit_tile", "k", "plain store", "+=, min, max"},
         [](Scene &s) {
           s.C(s.i) = 0.f;
           s.C(s.key(s.k)) = s.x(s.k);
           s.C.update().pit_tile(s.t, {.axis = s.k});
         }),
    Case("a domain that differs inside a micro-tile",
         {"C.index of C.update(0)", "the domain of q depends on i / 64", "a micro-tile of 128 of i",
          "use a micro extent that divides the block"},
         [](Scene &s) {
           const RDom q(0, s.len(s.i / 64), "q");
           s.C(s.i, s.j) += s.A(s.i, q) * s.B(q, s.j);
           s.C.update().pit_tile(s.t, {.axis = q, .micro = {{s.i, 128}}}), compile(s.C);
         }),
    Case("a race between rows of an update",
         {"C.update(0).parallel: i is a loop whose iterations keep their order",
          "reads C((i + 1) % 4, r - 1), which other iterations write", "use a pure loop: none"},
         [](Scene &s) {
           s.C(s.i, s.j) = s.A(s.i, s.j);
           s.C(s.i, s.r) = s.C((s.i + 1) % 4, s.r - 1);
           s.C.update().parallel(s.i);
         }),
    Case("lanes that read each other",
         {"C.update(0).vectorize: i is a loop whose iterations keep their order"},
         [](Scene &s) {
           s.C(s.i, s.j) = s.A(s.i, s.j);
           s.C(s.i, s.r) = s.C((s.i + 1) % 4, s.r - 1);
           s.C.update().vectorize(s.i);
         }),
    Case("another order of rows that read each other",
         {"C.update(0).reorder: the loops i, r would run in another order", "keep their order"},
         [](Scene &s) {
           s.C(s.i, s.j) = s.A(s.i, s.j);
           s.C(s.i, s.r) = s.C((s.i + 1) % 4, s.r - 1);
           s.C.update().reorder(s.r, s.i);
         }),
    Case("tiles that run a sum that refers to itself in another order",
         {"C.update(0).tile: the loops i, k would run in another order"},
         [](Scene &s) {
           s.C(s.i) = 0.f;
           s.C(s.i) += s.C((s.i + 1) % 4) * s.x(s.k);
           s.C.update().tile(s.i, s.k, s.io, s.jo, s.ii, s.ji, 4, 4);
         }),
};

const std::vector<Case> kPlaces = {
    Case("a Func read where it has no value",
         {"D reads P where it has no value", "P is restricted by where(mask(i, j) != 0)",
          "add where(mask(i, j) != 0) to D"},
         [](Scene &s) {
           s.masked();
           s.D(s.i, s.j) = s.P(s.i, s.j) + 1.f;
           compile(s.D);
         }),
    Case("a Func read where it has no value, by a reduction",
         {"D reads P where it has no value", "where(mask(i, k) != 0)"},
         [](Scene &s) {
           s.masked();
           s.D(s.i) += s.P(s.i, s.k);
           compile(s.D);
         }),
    Case("a Func read beside where it has its value",
         {"D reads P where it has no value", "where(mask(i, j + 1) != 0)"},
         [](Scene &s) {
           s.masked();
           s.D(s.i, s.j) = s.P(s.i, s.j + 1);
           s.D.where(s.mask(s.i, s.j) != 0), compile(s.D);
         }),
    Case("an inlined Func read where it has no value",
         {"D reads P where it has no value", "where(mask(i, k) != 0)"},
         [](Scene &s) {
           s.P(s.i, s.j) = s.A(s.i, s.j) * 2;
           s.P.where(s.mask(s.i, s.j) != 0);
           s.D(s.i) += s.P(s.i, s.k);
           compile(s.D);
         }),
    Case("a tile that does not cover all uses",
         {"C is computed at loop i of Out but is also used outside it", "compute it at root"},
         [](Scene &s) {
           s.multiply();
           s.D(s.i, s.j) = s.C(s.i, s.j);
           s.C.compute_at(s.Out, s.i);
           (void)Pipeline({s.Out, s.D}).compile();
         }),
    Case("lanes outside of a loop whose bounds read them",
         {"C.update(0): the bounds of loop q vary with i", "tile q with pit_tile",
          "at root without tiling or vectorizing i"},
         [](Scene &s) {
           const RDom q(0, s.len(s.i), "q");
           s.D(s.i, s.j) = max(s.A(s.i, s.j), 0.0f);
           s.C(s.i, s.j) += s.D(s.i, q) * s.B(q, s.j);
           s.C.update().vectorize(s.i);
           s.D.compute_at(s.C.update(), q), compile(s.C);
         }),
    Case("an index marked in a Func at a tile",
         {"index C.index is marked in D, which is computed at a tile", "give D compute_root()"},
         [](Scene &s) {
           s.D(s.i, s.j) = max(s.A(s.i, s.j), 0.0f);
           s.k.where(s.D(s.i, s.k) != 0);
           s.C(s.i, s.j) += s.D(s.i, s.k) * s.B(s.k, s.j);
           SparseIndex index = s.C.update().index({.axis = s.k});
           index.compute_at(s.D, s.i);
           s.C.update().pit_tile(s.t, {.index = index});
           s.D.compute_at(s.C.update(), s.i), compile(s.C);
         }),
    Case("an index marked outside a parallel loop of its Func",
         {"index C.index.compute_at(D, j): D stores one tile in each iteration of i, which is "
          "inside j",
          "say compute_at(D, i)"},
         [](Scene &s) {
           s.D(s.i, s.j) = max(s.A(s.i, s.j), 0.0f);
           s.k.where(s.D(s.i, s.k) != 0);
           s.C(s.i, s.j) += s.D(s.i, s.k) * s.B(s.k, s.j);
           SparseIndex index = s.C.update().index({.axis = s.k});
           index.compute_at(s.D, s.j);
           s.C.update().pit_tile(s.t, {.index = index});
           s.D.compute_root().reorder(s.j, s.i).parallel(s.i), compile(s.C);
         }),
    Case("an index marked outside the tiles of its Func",
         {"index C.index.compute_at(D, i): D stores one tile in each iteration of jo, which is "
          "inside i",
          "say compute_at(D, jo)"},
         [](Scene &s) {
           s.D(s.i, s.j) = max(s.A(s.i, s.j), 0.0f);
           s.k.where(s.D(s.i, s.k) != 0);
           s.C(s.i, s.j) += s.D(s.i, s.k) * s.B(s.k, s.j);
           SparseIndex index = s.C.update().index({.axis = s.k});
           index.compute_at(s.D, s.i);
           s.C.update().pit_tile(s.t, {.index = index});
           s.D.compute_root().pit_tile(s.jo, {.axis = s.j, .group = s.i, .dense = {{s.j, 4}}});
           compile(s.C);
         }),
    Case("an unknown loop of the consumer",
         {"C.compute_at: io is not a loop of the consumer Out; the loops of Out are i, j"},
         [](Scene &s) {
           s.multiply();
           s.C.compute_at(s.Out, s.io), compile(s.Out);
         }),
    Case("a consumer that is inlined",
         {"C.compute_at: Out is computed inline", "give it compute_root()"},
         [](Scene &s) {
           s.multiply();
           s.D(s.i, s.j) = s.Out(s.i, s.j);
           s.C.compute_at(s.Out, s.i), compile(s.D);
         }),
    Case("a consumer outside the pipeline",
         {"C.compute_at: D is computed inline or is not part of this pipeline"},
         [](Scene &s) {
           s.multiply();
           s.D(s.i, s.j) = 1.f;
           s.C.compute_at(s.D, s.i), compile(s.Out);
         }),
    Case("a consumer that is gone", {"C.compute_at: the consumer is gone"},
         [](Scene &s) {
           s.multiply();
           {
             Func gone("gone");
             gone(s.i) = 1.f;
             s.C.compute_at(gone, s.i);
           }
           compile(s.Out);
         }),
    Case("an output at a tile", {"Out.compute_at: an output is computed at root"},
         [](Scene &s) {
           s.multiply();
           s.D(s.i, s.j) = s.Out(s.i, s.j);
           s.Out.compute_at(s.D, s.i);
           (void)Pipeline({s.Out, s.D}).compile();
         }),
    Case("Funcs inside each other",
         {"compute_with: Funcs are computed inside each other in a circle: ", "Out in D in Out",
          "one of them needs loops of its own"},
         [](Scene &s) {
           s.D(s.i) = s.x(s.i);
           s.Out(s.i) = s.x(s.i) + 1;
           s.D.compute_with(s.Out, s.i), s.Out.compute_with(s.D, s.i);
           (void)Pipeline({s.D, s.Out}).compile();
         }),
    Case("loops shared with updates",
         {"D.compute_with: only a pure Func can share another's loops"},
         [](Scene &s) {
           s.multiply();
           s.D(s.i) += s.A(s.i, s.r);
           s.D.compute_with(s.Out, s.i);
           (void)Pipeline({s.Out, s.D}).compile();
         }),
    Case("loops shared with a pit_tile",
         {"D.compute_with: loop t of P is inside a pit_tile, whose iterations are what the index "
          "keeps; share a loop outside the tile"},
         [](Scene &s) {
           s.P(s.i, s.j) = s.A(s.i, s.j) * 2;
           s.P.where(s.key(s.i) >= 0);
           s.D(s.i, s.j) = s.A(s.i, s.j);
           s.P.pit_tile(s.t, {.axis = s.i}), s.D.compute_with(s.P, s.t);
           (void)Pipeline({s.P, s.D}).compile();
         }),
    Case("micro-tiles of more than what a key groups",
         {"micro-tiles of 4 of j beside group = ", "which groups positions of i alone",
          "leave j out of micro"},
         [](Scene &s) {
           s.P(s.i, s.j) = s.A(s.i, s.j) * 2;
           s.P.where(s.key(s.i) >= 0);
           s.P.pit_tile(s.t, {.axis = s.i, .group = s.key(s.i), .micro = {{s.j, 4}}}), compile(s.P);
         }),
    Case("loops shared with a Func that is no output",
         {"P.compute_with: P is not an output", "compute_at(consumer, loop)"},
         [](Scene &s) {
           s.P(s.i) = s.x(s.i) + 1;
           s.D(s.i) = s.P(s.i) * 2;
           s.P.compute_with(s.D, s.i), compile(s.D);
         }),
    Case("loops shared with a Func that is needed",
         {"D.compute_with: D reads P, so the two cannot take turns in one loop"},
         [](Scene &s) {
           s.P(s.i) = s.x(s.i) + 1;
           s.D(s.i) = s.P(s.i) * 2;
           s.P.compute_root(), s.D.compute_with(s.P, s.i);
           (void)Pipeline({s.P, s.D}).compile();
         }),
    Case(
        "an index of a Func that is computed inline",
        {"index P.index lists iterations of P, which is computed inline", "give it compute_root()"},
        [](Scene &s) {
          s.P(s.i) = s.x(s.i) + 1;
          s.D(s.i) = s.P(s.i) * 2;
          s.D.pit_tile(s.t, {.index = s.P.index({.axis = s.i})}), compile(s.D);
        }),
    Case("lanes over the groups of an index",
         {"vectorize(i): index Out.index has one list for each value of i"},
         [](Scene &s) {
           s.Out(s.i, s.j) = s.A(s.i, s.j);
           s.Out.where(s.A(s.i, s.j) > 0);
           s.Out.vectorize(s.i), s.Out.pit_tile(s.t, {.axis = s.j}), compile(s.Out);
         }),
    Case("a range that is not known",
         {"the range of i in P cannot be inferred", "declare it: P.bound(i, min, extent)"},
         [](Scene &s) {
           s.P(s.i) = s.x(s.i);
           s.P.compute_root();
           s.D(s.i) = s.P(s.key(s.i));
           compile(s.D);
         }),
    Case("storage order of an output",
         {"Out.reorder_storage: Out is an output, whose layout is the caller's buffer"},
         [](Scene &s) {
           s.multiply();
           s.Out.reorder_storage({s.j, s.i}), compile(s.Out);
         }),
    Case("a loop of the group inside the tiles of its lists",
         {"Out", "has one list for each value of i, which the schedule puts inside its tiles",
          "keep i outside t"},
         [](Scene &s) {
           s.Out(s.i, s.j) = s.A(s.i, s.j) * 2;
           s.Out.where(s.mask(s.i, s.j) != 0);
           s.Out.pit_tile(s.t, {.axis = s.j}).reorder(s.t, s.i), compile(s.Out);
         }),
    Case("a mistyped loop in reorder", {"Out.reorder: t is not a loop of Out here"},
         [](Scene &s) {
           s.multiply();
           s.Out.reorder(s.j, s.t);
         }),
};

const std::vector<Case> kIndices = {
    Case("an index of another pipeline",
         {"the index D.index is of D.update(0), and no output of the pipeline reads D"},
         [](Scene &s) {
           s.multiply();
           s.D(s.i, s.j) += s.A(s.i, s.k) * s.B(s.k, s.j);
           const SparseIndex other = s.D.update().index({.axis = s.k});
           s.C.update().pit_tile(s.t, {.index = other}), compile(s.Out);
         }),
    Case("an index of a Func that is gone",
         {"C.update(0).pit_tile: the Func that the index", "gone"},
         [](Scene &s) {
           s.multiply();
           SparseIndex other;
           {
             Func gone("gone");
             gone(s.i, s.j) += s.A(s.i, s.k) * s.B(s.k, s.j);
             other = gone.update().index({.axis = s.k});
           }
           s.C.update().pit_tile(s.t, {.index = other});
         }),
    Case("the density of an index of a Func that is gone",
         {"the Func that the index gone.index lists iterations of is gone"},
         [](Scene &s) {
           s.multiply();
           SparseIndex other;
           {
             Func gone("gone");
             gone(s.i, s.j) += s.A(s.i, s.k) * s.B(s.k, s.j);
             other = gone.update().index({.axis = s.k});
           }
           s.C.update().specialize(other.density() < 0.5f), compile(s.Out);
         }),
    Case(
        "a position with too few coordinates",
        {"position() of index C.index takes 1 coordinates of the group and one of the axis, and is "
         "given 1"},
        [](Scene &s) {
          s.multiply();
          const SparseIndex live = s.C.update().index({.axis = s.k});
          s.C.update().pit_tile(s.t, {.index = live});
          s.D(s.i, s.j) = s.Out(s.i, s.j) * f32(live.position({s.j}));
          compile(s.D);
        }),
    Case("positions of an index that is not there",
         {"index C.index is asked for its lists, but no definition of this pipeline has it"},
         [](Scene &s) {
           s.multiply();
           const SparseIndex live = s.C.update().index({.axis = s.k});
           s.D(s.i, s.j) = live.position({s.i, s.j});
           compile(s.D);
         }),
    Case("a slot that is data",
         {"the range of slot in top_k$", "cannot be inferred from its uses",
          "make it a Func, e.g. T(..., slot) = top_k(...), with T.compute_root().bound(slot, 0, "
          "extent)"},
         [](Scene &s) {
           s.D(s.i) = top_k(s.k, s.A(s.i, s.k), s.key(s.i))[0];
           compile(s.D);
         }),
    Case("a position without coordinates",
         {"index C.index of C.update(0): position() needs the group coordinates"},
         [](Scene &s) {
           s.multiply();
           (void)s.C.update().index({.axis = s.k}).position({});
         }),
    Case("an undefined coordinate", {"position(): a coordinate is an undefined Expr"},
         [](Scene &s) {
           s.multiply();
           (void)s.C.update().index({.axis = s.k}).position({Expr()});
         }),
    Case("an empty index asked", {"density() of an empty SparseIndex; an index is made by"},
         [](Scene &) { (void)SparseIndex().density(); }),
    Case("an index in any order, of nothing", {"unordered() of an empty SparseIndex"},
         [](Scene &) { SparseIndex().unordered(); }),
    Case("stored values of wide micro-tiles",
         {"C.index.store_values(A)", "the axis' micro extent must be 1"},
         [](Scene &s) {
           s.multiply();
           SparseIndex live = s.C.update().index({.axis = s.k, .micro = {{s.k, 4}}});
           live.store_values(s.A);
           s.C.update().pit_tile(s.t, {.index = live}), compile(s.Out);
         }),
    Case("a micro extent beyond reason",
         {"C.update(0).index: the micro extent of k is 1099511627776; it must be at most"},
         [](Scene &s) {
           s.multiply();
           s.C.update().index({.axis = s.k, .micro = {{s.k, 1LL << 40}}});
         }),
    Case("a factor beyond reason", {"Out.split: the factor is 9223372036854775807", "at most"},
         [](Scene &s) {
           s.multiply();
           s.Out.split(s.i, s.io, s.ii, std::numeric_limits<std::int64_t>::max());
         }),
    Case("padding beyond reason", {"align is 4611686018427387904; it must be at most 2147483647"},
         [](Scene &s) {
           s.multiply();
           s.C.update().index({.axis = s.k}).align(1LL << 62);
         }),
    Case("a micro-tile of no loop", {".micro has an entry without a loop"},
         [](Scene &s) {
           s.multiply();
           s.C.update().index({.axis = s.k, .micro = {{VarOrRVar(), 4}}});
         }),
    Case("a dense tile of no loop", {".dense has an entry without a loop"},
         [](Scene &s) {
           s.multiply();
           s.C.update().pit_tile(s.t, {.axis = s.k, .dense = {{VarOrRVar(), 4}}});
         }),
    Case("a cluster of no loop", {"Out.cluster: the shape has an entry without a loop"},
         [](Scene &s) {
           s.multiply();
           s.Out.cluster({{VarOrRVar(), 2}});
         }),
    Case("a condition that is no bool",
         {"Out.specialize: the condition must be a bool, and it is A.extent(0) of type int64"},
         [](Scene &s) {
           s.multiply();
           s.Out.specialize(s.A.extent(0));
         }),
    Case("more specializations than pay",
         {"Out.specialize: it has 16 specializations", "each is compiled apart"},
         [](Scene &s) {
           s.multiply();
           for (int n = 0; n < 17; ++n) s.Out.specialize(s.A.extent(0) < n);
         }),
    Case("a bound of floats", {"Out.bound: min and extent are integers, and 1.5 is float32"},
         [](Scene &s) {
           s.multiply();
           s.Out.bound(s.i, 0, 1.5f);
         }),
};

const char *const kAtom = "sse41.float32.4x8";

const std::vector<Case> kAtoms = {
    Case("an atom that there is not",
         {"C.update(0).atom(\"nonsense\"): target", "no such atom", kAtom},
         [](Scene &s) {
           s.multiply();
           s.C.update().atom("nonsense"), compile(s.Out);
         }),
    Case("an atom of no sum", {"C.atom: an atom multiplies matrices, and C is no sum of products"},
         [](Scene &s) {
           s.multiply();
           s.C.atom(kAtom), compile(s.Out);
         }),
    Case(
        "an atom of a plain loop nest",
        {"C.update(0).atom(\"sse41.float32.4x8\"): an atom multiplies matrices, and this sum is no "
         "product of them here: it runs one element at a time; tile its loops"},
        [](Scene &s) {
          s.C(s.i, s.j) += s.A(s.i, s.k) * s.B(s.k, s.j);
          s.C.update().reorder(s.k, s.i, s.j).atom(kAtom), compile(s.C);
        }),
    Case("an atom of a sum of one factor", {"its value is no product, but A("},
         [](Scene &s) {
           s.C(s.i, s.j) += s.A(s.i, s.k) + s.B(s.k, s.j);
           s.C.update().pit_tile(s.t, {.axis = s.k, .dense = {{s.k, 8}}}).atom(kAtom), compile(s.C);
         }),
    Case("an atom of a product whose factors both hold rows and columns",
         {"no two factors hold rows and columns apart"},
         [](Scene &s) {
           s.C(s.i, s.j) += s.A(s.i + s.k, s.j) * s.B(s.k, s.j + s.i);
           s.C.update().pit_tile(
               s.t, {.axis = s.k, .group = s.i, .micro = {{s.i, 4}}, .dense = {{s.k, 8}}});
           s.C.update().atom(kAtom), compile(s.C);
         }),
};

const std::vector<Case> kKeys = {
    Case("a key that a select guards",
         {"D.pit_tile: nothing says that the key key(i) is a group wherever D has a value",
          "a partition has no place", "D.where(key(i) >= 0)"},
         [](Scene &s) {
           s.D(s.i) = select(s.key(s.i) >= 0, s.x(s.i) * s.x(s.key(s.i)), 5.f);
           s.D.pit_tile(s.t, {.axis = s.i, .group = s.key(s.i)}), compile(s.D);
         }),
    Case("a key that is not negative and that a select guards above", {"D.where(key(i) < n)"},
         [](Scene &s) {
           s.D(s.i) = select(s.key(s.i) < 3, s.x(s.key(s.i)), 5.f);
           s.D.where(s.key(s.i) >= 0);
           s.D.pit_tile(s.t, {.axis = s.i, .group = s.key(s.i)}), compile(s.D);
         }),
    Case("a key that indexes nothing", {"nothing says that the key min(key(i), 3) is a group"},
         [](Scene &s) {
           s.D(s.i) = s.x(s.i);
           s.D.pit_tile(s.t, {.axis = s.i, .group = min(s.key(s.i), 3)}), compile(s.D);
         }),
};

const std::vector<Case> kTargets = {
    Case("an unknown feature",
         {"unknown feature 'avx513'", "features are sse41, avx2", "did you mean avx512?"},
         [](Scene &) { Target("x86-64-linux-avx513"); }),
    Case("an unknown system", {"'windows' is no system; systems are linux"},
         [](Scene &) { Target("x86-64-windows"); }),
    Case("an unknown architecture",
         {"Target 'arm-linux': a target is \"host\" or starts with an architecture: x86-64"},
         [](Scene &) { Target("arm-linux"); }),
    Case("no target", {"Target ''", "x86-64-linux-avx512"}, [](Scene &) { Target(""); }),
    Case("two GPUs", {"sm_80 and sm_90a exclude each other"},
         [](Scene &) { Target("x86-64-linux-sm_80-sm_90a"); }),
    Case("an unknown feature, added", {"unknown feature 'avx1024'"},
         [](Scene &) { (void)Target().with("avx1024"); }),
    Case("what every CPU has, taken away", {"sse41 is part of x86-64"},
         [](Scene &) { (void)Target().without("sse41"); }),
};

TEST_CASE("errors: illegal PIT rules name the definition, the rule and what is legal") {
  check_compile_errors(kLegality);
}
TEST_CASE("errors: places where a Func cannot be computed or read") {
  check_compile_errors(kPlaces);
}
TEST_CASE("errors: settings of indices and sizes of tiles") { check_compile_errors(kIndices); }
TEST_CASE("errors: atoms") { check_compile_errors(kAtoms); }
TEST_CASE("errors: keys that may be no group") { check_compile_errors(kKeys); }
TEST_CASE("errors: targets") { check_compile_errors(kTargets); }

TEST_CASE("errors: rows of a scan that do not read each other run in any order") {
  const Buffer<float> a({20, 7}), plain({20, 7}), scheduled({20, 7});
  for_each_coordinate(a.extents(), [&](const Shape &at) {
    a.set_number(at, static_cast<double>(at[0] * 3 + at[1] % 4));
  });
  for (const bool any_order : {false, true}) {
    Scene s;
    const RDom scan(1, s.A.extent(1) - 1, "scan");
    s.C(s.i, s.j) = s.A(s.i, s.j);
    s.C(s.i, scan) = s.C(s.i, scan - 1) + s.A(s.i, scan);
    if (any_order) s.C.update().reorder(scan, s.i).split(s.i, s.io, s.ii, 8).parallel(s.io);
    Pipeline({s.C}).compile()(a, any_order ? scheduled : plain);
  }
  int different = 0;
  for_each_coordinate(
      a.extents(), [&](const Shape &at) { different += plain.number(at) != scheduled.number(at); });
  CHECK(different == 0);
  CHECK(plain(2, 6) == 6 * 7 + 0 + 1 + 2 + 3 + 0 + 1 + 2);
}

}  // namespace
}  // namespace pit::test
