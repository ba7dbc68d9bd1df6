// Directives: the loops they leave, the rules they break, and their text.
#include <doctest/doctest.h>
#include <pit/error.h>
#include <pit/loop_names.h>
#include <pit/pipeline.h>

#include <functional>
#include <string>
#include <vector>

using namespace pit;

namespace {

template <class Run>
std::string error_of(const Run &run) {
  try {
    run();
  } catch (const CompileError &error) {
    return error.what();
  }
  return "";
}

bool mentions(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

// A matrix product, a plain store with a reduction, and what reads them.
struct Algorithm {
  Var m{"m"}, n{"n"}, a{"a"}, b{"b"}, c{"c"}, d{"d"}, tile{"tile"};
  TensorParam A{float32, 2, "A"}, B{float32, 2, "B"}, bias{float32, 1, "bias"},
      mask{uint8, 2, "mask"};
  TensorParam keys{int32, 1, "keys"}, weights{float32, 1, "weights"};
  RDom k{0, A.extent(1), "k"}, r{0, 16, 0, 4, "r"};
  Func C{"C"}, Out{"Out"}, Scan{"Scan"};

  Algorithm() {
    k.where(mask(m, k) != 0);
    C(m, n) += A(m, k) * B(k, n);
    Out(m, n) = C(m, n) + bias(n);
    Scan(m) = 0.f;
    Scan(m) = Scan(m) * 2.f + A(m, r.x * 4 + r.y);
  }

  Pipeline pipeline() const { return Pipeline({Out, Scan}); }

  std::string loops(const Func &func, int definition) const {
    std::string text;
    for (const VarPtr &v : loops_of(*func.func(), definition, func.func()->directives)) {
      text += (text.empty() ? "" : " ") + v->name;
    }
    return text;
  }
};

struct ErrorCase {
  const char *name;
  const char *expected;
  std::function<void(Algorithm &)> run;
};

}  // namespace

TEST_CASE("loops: pure Vars in argument order, then the domain, before any directive") {
  Algorithm x;
  CHECK(x.loops(x.C, 0) == "m n");
  CHECK(x.loops(x.C, 1) == "m n k");
  CHECK(x.loops(x.Scan, 1) == "m r.x r.y");
}

TEST_CASE("loops after split, tile, fuse and reorder") {
  Algorithm x;
  x.Out.split(x.n, x.a, x.b, 8);
  CHECK(x.loops(x.Out, 0) == "m a b");
  x.Out.reorder(x.b, x.m);
  CHECK(x.loops(x.Out, 0) == "b a m");
  x.Out.fuse(x.b, x.a, x.c);
  CHECK(x.loops(x.Out, 0) == "c m");

  Algorithm y;
  y.Out.tile(y.m, y.n, y.a, y.b, y.c, y.d, 4, 8);
  CHECK(y.loops(y.Out, 0) == "a b c d");

  Algorithm z;
  z.C.update().tile(z.m, z.n, z.a, z.b, z.c, z.d, 4, 8);
  CHECK(z.loops(z.C, 1) == "a b c d k");
  CHECK(z.loops(z.C, 0) == "m n");
}

TEST_CASE("loops after pit_tile: the group's own loops, the tile, the rest") {
  Algorithm x;
  x.C.update().pit_tile(x.tile, {.axis = x.k, .dense = {{x.k, 16}}});
  CHECK(x.loops(x.C, 1) == "m tile n k");

  Algorithm y;  // a micro-tile of the group runs inside
  y.C.update().pit_tile(y.tile, {.axis = y.k, .micro = {{y.m, 32}}, .dense = {{y.k, 16}}});
  CHECK(y.loops(y.C, 1) == "tile m n k");
}

TEST_CASE("loops of a specialization start from the general case where it was made") {
  Algorithm x;
  x.Out.split(x.n, x.a, x.b, 8);
  Definition special = x.Out.specialize(x.bias.extent(0) > 100);
  special.split(x.b, x.c, x.d, 2);
  x.Out.reorder(x.a, x.m);
  const FuncNode &out = *x.Out.func();
  const auto count = [&](int n) { return loops_of(out, 0, out.directives, n).size(); };
  CHECK(count(0) == 3);
  CHECK(count(1) == 4);
  CHECK(loops_of(out, 0, out.directives, 0)[0] == x.a.node());
  CHECK(loops_of(out, 0, out.directives, 1)[0] == x.m.node());
}

TEST_CASE("what a fused and a split loop are made of") {
  Algorithm x;
  x.Out.split(x.n, x.a, x.b, 8).fuse(x.m, x.a, x.c);
  const FuncNode &out = *x.Out.func();
  CHECK(fused_from(x.c.node(), out, 0, out.directives) ==
        std::vector<VarPtr>{x.m.node(), x.a.node()});
  CHECK(originals_of(x.c.node(), out, 0, out.directives) ==
        std::vector<VarPtr>{x.m.node(), x.n.node()});
  CHECK(originals_of(x.b.node(), out, 0, out.directives) == std::vector<VarPtr>{x.n.node()});
  CHECK(originals_of(x.d.node(), out, 0, out.directives).empty());
}

TEST_CASE("rules of one directive") {
  const std::vector<ErrorCase> cases = {
      {"loop that is not there", "k is not a loop of C here; the loops are m, n",
       [](Algorithm &x) { x.C.split(x.k, x.a, x.b, 4); }},
      {"loop that was split",
       "C.vectorize: m is not a loop of C here; an earlier directive has replaced it",
       [](Algorithm &x) { x.C.split(x.m, x.a, x.b, 4).vectorize(x.m); }},
      {"loop of another Var with that name", "is another Var of that name",
       [](Algorithm &x) { x.C.vectorize(Var("m")); }},
      {"factor", "the factor is 0; it must be at least 1",
       [](Algorithm &x) { x.C.split(x.m, x.a, x.b, 0); }},
      {"tile factor", "the factor is -8",
       [](Algorithm &x) { x.C.tile(x.m, x.n, x.a, x.b, x.c, x.d, 4, -8); }},
      {"tile of one loop", "m is named twice",
       [](Algorithm &x) { x.C.tile(x.m, x.m, x.a, x.b, x.c, x.d, 4, 8); }},
      {"new loop that exists", "the new loop n has the name of a variable",
       [](Algorithm &x) { x.C.split(x.m, x.n, x.b, 4); }},
      {"new loop with a used name", "the new loop n has the name",
       [](Algorithm &x) { x.C.split(x.m, Var("n"), x.b, 4); }},
      {"new loop twice", "the new loop a has the name",
       [](Algorithm &x) { x.C.split(x.m, x.a, x.a, 4); }},
      {"fuse of loops apart", "only adjacent loops fuse",
       [](Algorithm &x) { x.C.update().fuse(x.m, x.k, x.a); }},
      {"fuse inside out", "only adjacent loops fuse, the outer one first",
       [](Algorithm &x) { x.C.fuse(x.n, x.m, x.a); }},
      {"reorder of one loop twice", "the loop m is named twice",
       [](Algorithm &x) { x.C.reorder(x.m, x.m); }},
      {"reorder of one loop", "at least two loops",
       [](Algorithm &x) { x.C.reorder(std::vector<VarOrRVar>{x.m}); }},
      {"reorder of a scan", "the reduction loops r.x, r.y would run in another order",
       [](Algorithm &x) { x.Scan.update().reorder(x.r.y, x.r.x); }},
      {"tile of a scan", "would run in another order",
       [](Algorithm &x) { x.Scan.update().tile(x.r.x, x.r.y, x.a, x.b, x.c, x.d, 2, 2); }},
      {"vectorize of a scan", "vectorize a pure loop: m",
       [](Algorithm &x) { x.Scan.update().vectorize(x.r.x); }},
      {"vectorize width", "the width is 0", [](Algorithm &x) { x.C.vectorize(x.m, 0); }},
      {"unroll factor", "the factor is -1", [](Algorithm &x) { x.C.unroll(x.m, -1); }},
      {"parallel of a reduction", "say atomic() before",
       [](Algorithm &x) { x.C.update().parallel(x.k); }},
      {"parallel of a scan", "use a pure loop: m",
       [](Algorithm &x) { x.Scan.update().parallel(x.r.x); }},
      {"blocks of a reduction", "update the same elements",
       [](Algorithm &x) { x.C.update().gpu_blocks(x.m, x.k); }},
      {"blocks twice", "m is named twice", [](Algorithm &x) { x.C.gpu_blocks(x.m, x.m); }},
      {"stages", "the number of stages is 0",
       [](Algorithm &x) { x.C.update().software_pipeline(x.k, 0); }},
      {"warps", "the number of warps is 0",
       [](Algorithm &x) { x.C.warp_specialize({.producer_warps = 0}); }},
      {"cluster of no loop", "k is not a loop of C", [](Algorithm &x) { x.C.cluster({{x.k, 2}}); }},
      {"cluster extent", "cluster extent of m is 0", [](Algorithm &x) { x.C.cluster({{x.m, 0}}); }},
      {"cluster shape", "the shape is empty", [](Algorithm &x) { x.C.cluster({}); }},
      {"split_reduction of a pure loop", "m is not a reduction loop",
       [](Algorithm &x) { x.C.update().split_reduction(x.m, 4); }},
      {"split_reduction of a scan", "only combiners such as += have partial results",
       [](Algorithm &x) { x.Scan.update().split_reduction(x.r.x, 4); }},
      {"atom", "the name of the inner kernel is empty", [](Algorithm &x) { x.C.atom(""); }},
      {"atomic pure definition", "C is a pure definition", [](Algorithm &x) { x.C.atomic(); }},
      {"condition over a loop", "reads the loop m",
       [](Algorithm &x) { x.C.specialize(Expr(x.m) < 4); }},
      {"condition of a number", "must be a bool",
       [](Algorithm &x) { x.C.specialize(x.A.extent(0)); }},
      {"condition on the Func itself", "C.specialize reads",
       [](Algorithm &x) { x.C.specialize(x.Out(0, 0) < 4.f); }},
      {"group key computed from the Func", "index C.index of C.update(0)",
       [](Algorithm &x) {
         x.C.update().pit_tile(x.tile, {.axis = x.k, .group = i32(x.Out(x.m, 0))});
       }},
      {"bound of another Var", "k is not a dimension of C",
       [](Algorithm &x) { x.C.bound(Var("k"), 0, 4); }},
      {"bound that reads a Var", "reads the variable n",
       [](Algorithm &x) { x.C.bound(x.m, 0, Expr(x.n)); }},
      {"bound of a negative extent", "it may not be negative",
       [](Algorithm &x) { x.C.bound(x.m, 0, -1); }},
      {"storage order of an unknown Var", "a is not a dimension of C; they are m, n",
       [](Algorithm &x) { x.C.reorder_storage({x.a, x.m}); }},
      {"storage order with a Var missing", "must name every dimension of C once: m, n",
       [](Algorithm &x) { x.C.reorder_storage({x.m}); }},
      {"storage order with a Var twice", "m is named twice",
       [](Algorithm &x) { x.C.reorder_storage({x.m, x.m}); }},
      {"computed at two places", "a Func is computed at one place",
       [](Algorithm &x) { x.C.compute_root().compute_at(x.Out, x.m); }},
      {"inlined update", "has update definitions", [](Algorithm &x) { x.C.compute_inline(); }},
      {"computed in itself", "inside its own loops",
       [](Algorithm &x) { x.C.compute_at(x.C, x.m); }},
      {"with itself", "name another", [](Algorithm &x) { x.C.compute_with(x.C, x.m); }},

      {"no axis", "no axis: give .axis, or .index",
       [](Algorithm &x) { x.C.update().pit_tile(x.tile, {}); }},
      {"axis that is no loop", "k is not a loop of C here",
       [](Algorithm &x) { x.C.pit_tile(x.tile, {.axis = x.k}); }},
      {"axis made by a split", "the axis a is part of a split loop",
       [](Algorithm &x) { x.C.update().split(x.k, x.a, x.b, 4).pit_tile(x.tile, {.axis = x.a}); }},
      {"axis of a scan", "may not be permuted: Scan.update(0) is a plain store",
       [](Algorithm &x) { x.Scan.update().pit_tile(x.tile, {.axis = x.r.x}); }},
      {"tile name in use", "the new loop n has the name",
       [](Algorithm &x) { x.C.update().pit_tile(x.n, {.axis = x.k}); }},
      {"two tiles", "has a pit_tile already",
       [](Algorithm &x) {
         x.C.update().pit_tile(x.tile, {.axis = x.k});
         x.C.update().pit_tile(x.a, {.axis = x.m});
       }},
      {"group of floats", "keys are integers",
       [](Algorithm &x) { x.C.update().pit_tile(x.tile, {.axis = x.k, .group = x.weights(x.k)}); }},
      {"group over other Vars", "reads a, which is no variable of C.update(0)",
       [](Algorithm &x) { x.C.update().pit_tile(x.tile, {.axis = x.k, .group = x.keys(x.a)}); }},
      {"micro of another Var", ".micro names a",
       [](Algorithm &x) { x.C.update().index({.axis = x.k, .micro = {{x.a, 4}}}); }},
      {"micro extent", "micro extent of m is 0",
       [](Algorithm &x) { x.C.update().index({.axis = x.k, .micro = {{x.m, 0}}}); }},
      {"micro twice", ".micro names m twice",
       [](Algorithm &x) { x.C.update().index({.axis = x.k, .micro = {{x.m, 4}, {x.m, 8}}}); }},
      {"micro of a part of the axis", "part of the axis a; write {a, n}",
       [](Algorithm &x) { x.Out.fuse(x.m, x.n, x.a).index({.axis = x.a, .micro = {{x.m, 4}}}); }},
      {"dense of another Var", ".dense names a",
       [](Algorithm &x) { x.C.update().pit_tile(x.tile, {.axis = x.k, .dense = {{x.a, 4}}}); }},
      {"dense extent", "dense extent of k is 0",
       [](Algorithm &x) { x.C.update().pit_tile(x.tile, {.axis = x.k, .dense = {{x.k, 0}}}); }},
      {"dense of the axis and its micro-tile", "is not a multiple of its micro-tile of 8",
       [](Algorithm &x) {
         x.C.update().pit_tile(x.tile, {.axis = x.k, .micro = {{x.k, 8}}, .dense = {{x.k, 12}}});
       }},
      {"dense of the group over micro", "does not divide its micro-tile of 1",
       [](Algorithm &x) {
         x.C.update().pit_tile(x.tile, {.axis = x.k, .dense = {{x.m, 64}, {x.k, 8}}});
       }},
      {"rule beside an index", ".index",
       [](Algorithm &x) {
         SparseIndex live = x.C.update().index({.axis = x.k});
         x.C.update().pit_tile(x.tile, {.axis = x.k, .index = live});
       }},
      {"index of other Vars", "its axis k is not a loop of Out here",
       [](Algorithm &x) { x.Out.pit_tile(x.tile, {.index = x.C.update().index({.axis = x.k})}); }},
      {"compact order of other Vars", "k is not a dimension of C",
       [](Algorithm &x) { x.C.store_compact(x.C.update().index({.axis = x.k})); }},

      {"gathered operand that is not read", "does not read bias",
       [](Algorithm &x) { x.C.update().sread(x.bias); }},
      {"gathered operand without the axis", "no access of A holds the axis n",
       [](Algorithm &x) { x.C.update().pit_tile(x.tile, {.axis = x.n}).sread(x.A); }},
      {"copy width", "power of two",
       [](Algorithm &x) { x.C.update().sread(x.A, {.vector_bytes = 12}); }},
      {"scatter of another Func", "write swrite(C)",
       [](Algorithm &x) { x.C.update().swrite(x.Out); }},
      {"scatter without the axis", "no access of C holds the axis k",
       [](Algorithm &x) { x.C.update().pit_tile(x.tile, {.axis = x.k}).swrite(x.C); }},

      {"capacity type", "capacity must be an integer",
       [](Algorithm &x) { x.C.update().index({.axis = x.k}).capacity(1.5f); }},
      {"capacity of nothing", "capacity is 0",
       [](Algorithm &x) { x.C.update().index({.axis = x.k}).capacity(0); }},
      {"capacity over a Var", "reads the variable m",
       [](Algorithm &x) { x.C.update().index({.axis = x.k}).capacity(Expr(x.m)); }},
      {"alignment", "align is 0", [](Algorithm &x) { x.C.update().index({.axis = x.k}).align(0); }},
      {"stored values that the predicate does not read", "the build does not read A",
       [](Algorithm &x) { x.C.update().index({.axis = x.k}).store_values(x.A); }},
      {"marked where the predicate does not read", "does not read Out",
       [](Algorithm &x) { x.C.update().index({.axis = x.k}).compute_at(x.Out, x.m); }},
      {"given lists", "must be integers of rank 1",
       [](Algorithm &x) { x.C.update().index({.axis = x.k}).given(x.keys, x.weights); }},
      {"empty index", "of an empty SparseIndex", [](Algorithm &) { SparseIndex().align(4); }},
      {"name of an index", "letters, digits and '_'",
       [](Algorithm &x) { x.C.update().index({.axis = x.k}).named("a b"); }},
  };
  for (const ErrorCase &error : cases) {
    CAPTURE(error.name);
    Algorithm algorithm;
    const std::string message = error_of([&] { error.run(algorithm); });
    CAPTURE(message);
    CHECK(mentions(message, error.expected));
  }
}

TEST_CASE("a directive that is refused is not recorded, nor is a setting of an index") {
  Algorithm x;
  CHECK_THROWS_AS(x.C.split(x.m, x.a, x.b, 0), CompileError);
  CHECK(x.C.func()->directives.empty());
  SparseIndex live = x.C.update().index({.axis = x.k});
  CHECK_THROWS_AS(live.align(-1), CompileError);
  CHECK(live.node()->align == 1);
}

TEST_CASE("the error carries the line of the directive") {
  Algorithm x;
  try {
    x.C.split(x.m, x.a, x.b, 0);
  } catch (const CompileError &error) {
    CHECK(error.where().line() == static_cast<unsigned>(__LINE__) - 2);
    CHECK(std::string(error.where().file_name()).find("schedule_test.cpp") != std::string::npos);
  }
}

TEST_CASE("legal neighbours of the rules") {
  Algorithm x;
  x.C.update().reorder(x.k, x.m);       // a sum may run in any order
  x.C.update().atomic().parallel(x.k);  // given up repeatability
  x.C.update().vectorize(x.k, 8).split_reduction(x.k, 4);
  x.Scan.update().split(x.r.x, x.a, x.b, 4).parallel(x.m);  // a split keeps the order
  x.Out.bound(x.m, 0, x.A.extent(0) * 2).reorder(x.n, x.m);
  CHECK_NOTHROW(check_schedule(x.pipeline().schedule()));

  Algorithm y;  // dense of a Var that the predicate does not read is free; of the group it divides
                // the micro-tile
  y.C.update().pit_tile(
      y.tile, {.axis = y.k, .micro = {{y.m, 64}}, .dense = {{y.m, 32}, {y.n, 48}, {y.k, 8}}});
  CHECK(y.loops(y.C, 1) == "tile m n k");
}

TEST_CASE("rules between directives are checked in the whole schedule") {
  const std::vector<ErrorCase> cases = {
      {"consumer's loop",
       "C.compute_at: a is not a loop of the consumer Out; the loops of Out are m, n",
       [](Algorithm &x) { x.C.compute_at(x.Out, x.a); }},
      {"consumer's loop that was split",
       "m is not a loop of the consumer Out; the loops of Out are a, b, n",
       [](Algorithm &x) {
         x.C.compute_at(x.Out, x.m);
         x.Out.split(x.m, x.a, x.b, 8);
       }},
      {"loops shared with another definition", "a is not a loop of Out",
       [](Algorithm &x) { x.Scan.compute_with(x.Out, x.a); }},
      {"shared loop of a Var that is not there", "runs over n, which Scan does not have",
       [](Algorithm &x) { x.Scan.compute_with(x.Out, x.n); }},
      {"gather with no tile", "has a pit_tile, so nothing is gathered",
       [](Algorithm &x) { x.C.update().sread(x.A); }},
      {"two indices of a name", "another index named live",
       [](Algorithm &x) {
         x.C.update().index({.axis = x.k}).named("live");
         x.Out.index({.axis = x.m}).named("live");
       }},
  };
  for (const ErrorCase &error : cases) {
    CAPTURE(error.name);
    Algorithm algorithm;
    error.run(algorithm);
    const Schedule schedule = algorithm.pipeline().schedule();
    const std::string message = error_of([&] { check_schedule(schedule); });
    CAPTURE(message);
    CHECK(mentions(message, error.expected));
  }
}

TEST_CASE(
    "compute_at may be said before the consumer's loop is made, and name a loop of any "
    "definition") {
  Algorithm x;
  x.C.compute_at(x.Out, x.a);
  x.Out.split(x.m, x.a, x.b, 8);
  CHECK_NOTHROW(check_schedule(x.pipeline().schedule()));

  Var i("i");
  TensorParam A(float32, 1, "A");
  RDom q(0, 8, "q");
  Func producer("producer"), consumer("consumer");
  producer(i) = A(i);
  consumer() += producer(q);
  Var tile("tile");
  producer.compute_at(consumer, tile);
  consumer.update().pit_tile(tile, {.axis = q, .dense = {{q, 4}}});
  CHECK_NOTHROW(check_schedule(Pipeline({consumer}).schedule()));
}

TEST_CASE("every directive prints and parses") {
  Algorithm x;
  Var e("e"), g("g");
  SparseIndex live = x.C.update().index({.axis = x.k, .micro = {{x.m, 16}}}).named("live");
  live.unordered().capacity(x.A.extent(0) * 64).align(8).store_values(x.mask);
  x.Out.tile(x.m, x.n, x.a, x.b, x.c, x.d, 16, 32)
      .gpu_blocks(x.a, x.b)
      .gpu_threads(x.c)
      .unroll(x.d, 4);
  x.Out.tile_order(TileOrder::Swizzled)
      .persistent()
      .cluster({{x.a, 2}, {x.b, 1}})
      .strict()
      .atom("fma_16x32");
  x.Out.bound(x.n, 0, 1024).reorder_storage({x.n, x.m});
  Definition special = x.Out.specialize(live.density() < 0.25f);
  special.vectorize(x.d).reorder(x.d, x.c);
  x.C.compute_at(x.Out, x.b);
  x.C.update()
      .pit_tile(x.tile, {.dense = {{x.k, 8}}, .index = live})
      .sread(x.A, {.vector_bytes = 8})
      .software_pipeline(x.tile, 3)
      .warp_specialize({.producer_warps = 1, .consumer_warpgroups = 3})
      .split_reduction(x.tile, 2)
      .atomic();
  x.Scan.compute_root();
  x.Scan.update().split(x.r.x, e, g, 4).unroll(g).parallel(x.m);
  const Pipeline pipeline = x.pipeline();
  const std::string text = pipeline.schedule().to_string();
  const Schedule parsed = Schedule::parse(pipeline, text);
  CHECK(parsed.to_string() == text);
  CHECK_NOTHROW(check_schedule(parsed));
  for (const char *line :
       {"live = C.update(0).index(axis=k, micro={m:16}).unordered().capacity(A.extent(0) * "
        "64).align(8).store_values(mask)\n",
        "Out.specialize(live.density() < 0.25)\n", "Out.specialization(1).reorder(d, c)\n",
        "Out.tile_order(swizzled)\n", "Out.cluster({a:2, b:1})\n", "Out.atom(\"fma_16x32\")\n",
        "Out.bound(n, 0, 1024)\n", "C.update(0).sread(A, vector_bytes=8)\n",
        "Scan.update(0).split(r.x, e, g, 4)\n"}) {
    CAPTURE(line);
    CHECK(mentions(text, line));
  }
}

TEST_CASE("a parsed schedule means what the original means") {
  Algorithm x;
  SparseIndex live = x.C.update().index({.axis = x.k}).named("live");
  x.Out.split(x.m, x.a, x.b, 8).specialize(live.count() < 100);
  x.C.compute_at(x.Out, x.a).store_compact(x.C.index({.axis = x.m}).named("order"));
  x.C.update().pit_tile(x.tile, {.dense = {{x.k, 8}}, .index = live});
  const Pipeline pipeline = x.pipeline();
  const Schedule original = pipeline.schedule();
  const Schedule parsed = Schedule::parse(pipeline, original.to_string());
  REQUIRE(parsed.directives.size() == original.directives.size());
  VarPtr outer;
  for (std::size_t i = 0; i < parsed.directives.size(); ++i) {
    const Directive &a = original.directives[i];
    const Directive &b = parsed.directives[i];
    CHECK(a.kind == b.kind);
    CHECK(a.func.lock() == b.func.lock());
    CHECK(a.definition == b.definition);
    CHECK(a.specialization == b.specialization);
    CHECK(a.ints == b.ints);
    CHECK(a.other.lock() == b.other.lock());
    CHECK(identity_of(a.index) ==
          identity_of(b.index));  // handles and expressions find the parsed index
    if (a.index) {
      CHECK(a.index != b.index);
      CHECK(a.index->axis == b.index->axis);
    }
    REQUIRE(a.exprs.size() == b.exprs.size());
    for (std::size_t j = 0; j < a.exprs.size(); ++j) CHECK(equal(a.exprs[j], b.exprs[j]));
    if (b.kind == DirectiveKind::Split) {
      CHECK(b.vars[0] == x.m.node());  // the algorithm's Var
      CHECK(b.vars[1] != x.a.node());  // a new loop
      outer = b.vars[1];
    }
    if (b.kind == DirectiveKind::ComputeAt) CHECK(b.vars[0] == outer);
  }
}

TEST_CASE("a saved schedule fits another build of the same algorithm") {
  Algorithm x, y;
  x.Out.split(x.m, x.a, x.b, 8).parallel(x.a);
  x.C.update().pit_tile(x.tile, {.axis = x.k, .dense = {{x.k, 8}}});
  const Pipeline other = y.pipeline();
  const Schedule parsed = Schedule::parse(other, x.pipeline().schedule().to_string());
  CHECK(other.with(parsed).schedule() == x.pipeline().schedule());
}

TEST_CASE("made-up names and comments in saved schedules") {
  Algorithm x;
  x.Out.split(x.m, Var(), Var(), 8);
  const Pipeline pipeline = x.pipeline();
  const std::string text = "# a comment\n\n  " + pipeline.schedule().to_string() + "   \n";
  CHECK(Schedule::parse(pipeline, text) == pipeline.schedule());
}

TEST_CASE("a group that calls segment() prints and parses") {
  Algorithm x;
  x.C.update().pit_tile(x.tile, {.axis = x.m, .group = segment(x.keys, x.m), .dense = {{x.m, 8}}});
  x.Out.pit_tile(x.tile, {.axis = x.m, .group = segment(x.keys, x.m), .dense = {{x.m, 8}}});
  const Pipeline pipeline = x.pipeline();
  CHECK(Schedule::parse(pipeline, pipeline.schedule().to_string()) == pipeline.schedule());
}

TEST_CASE("two indices that are not named have distinct names") {
  Algorithm x;
  x.C.index({.axis = x.m});
  x.C.index({.axis = x.n});
  CHECK(x.pipeline().schedule().to_string() ==
        "C.index = C.index(axis=m)\nC.index.2 = C.index(axis=n)\n");
  CHECK(Schedule::parse(x.pipeline(), x.pipeline().schedule().to_string()) ==
        x.pipeline().schedule());
}

TEST_CASE("errors in saved schedules name the line, the place and what was expected") {
  const std::vector<std::pair<const char *, const char *>> cases = {
      {"Out.parallel(m)\nOt.parallel(m)",
       "line 2, column 12: the pipeline has no Func Ot; its Funcs are"},
      {"Ot.parallel(m)", "did you mean Out?"},
      {"Out.paralel(m)", "did you mean parallel?"},
      {"Out.parallel(m", "column 15: expected ')'"},
      {"Out.parallel(m) x", "expected the end of the line"},
      {"Out.parallel(m, 4)", "parallel takes 0 integers, not 1"},
      {"Out.split(m, a, 4)", "split takes 3 loops, not 2"},
      {"Out.gpu_blocks(a, b, c, d)", "takes 1 to 3 loops, not 4"},
      {"Out.reorder(m)", "takes at least 2 loops, not 1"},
      {"Out.split(m, a, 4, b)", "loops come first"},
      {"Out.split(m, a, b, 0)", "the factor is 0"},
      {"Out.vectorize(zz)", "zz is not a loop of Out here; the loops are m, n"},
      {"C.update(1).parallel(m)", "C has 1 update definitions and no update(1)"},
      {"Out.specialization(1).parallel(m)", "has no specialization 1 yet"},
      {"C.update(0).pit_tile(t, index=live)", "no line before this one declares an index live"},
      {"C.update(0).index(axis=k)", "expected 'name =' before index()"},
      {"x = Out.parallel(m)", "only index() makes a value"},
      {"C.update(0).pit_tile(t, axle=k)", "no option of pit_tile is named axle"},
      {"live = C.update(0).index(axis=k)\nC.update(0).pit_tile(t, axis=k, index=live)",
       "expected either index, or"},
      {"live = C.update(0).index(axis=k)\nlive = C.index(axis=m)", "there is another index live"},
      {"live = C.update(0).index(axis=k).aligned(4)", "no setting of an index is named aligned"},
      {"live = C.update(0).index(axis=k).store_values(mash)", "did you mean mask?"},
      {"live = C.update(0).index(axis=k).store_values(A)", "the build does not read A"},
      {"Out.specialize(A.extent(2) < 4)", "A has rank 2"},
      {"Out.specialize(unknown < 4)", "unknown name 'unknown'"},
      {"Out.tile_order(diagonal)", "row_major, column_major, swizzled, longest_first"},
      {"Out.split(m, a, b, x)", "split takes 3 loops, not 4"},
      {"Out", "expected '.' and a directive"},
      {"= 4", "expected the name of a Func"},
  };
  for (const auto &[text, expected] : cases) {
    CAPTURE(text);
    Algorithm x;
    const std::string message = error_of([&] { Schedule::parse(x.pipeline(), text); });
    CAPTURE(message);
    CHECK(mentions(message, expected));
  }
}
