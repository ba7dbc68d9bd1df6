// Stencils with channels that are masked, and convolutions over neighbour tables.
#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

TEST_CASE("1-D convolution over the channels that a mask keeps") {
  Var x("x"), co("co");
  TensorParam X(float32, 2, "X"), W(float32, 3, "W"), live(uint8, 1, "live");
  RDom ci(0, X.extent(0), "ci"), tap(0, W.extent(2), "tap");
  ci.where(live(ci) != 0);
  Func Z("Z");
  Z(co, x) += W(co, ci, tap) * X(ci, x + tap);
  check_agreement(
      {Pipeline({Z}, {}, "convolution_1d"),
       {"", "Z.update(0).pit_tile(ct, axis=ci, dense={ci:8})\n",
        "Z.update(0).pit_tile(ct, axis=ci, micro={ci:4}, dense={ci:8, x:16})\n",
        "Z.update(0).pit_tile(ct, axis=ci, micro={ci:1}, dense={ci:16, x:32, co:8})\n"},
       sweep({{1, 1, 1, 1}, {9, 20, 5, 3}, {32, 40, 17, 5}},
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               // channels in, width, channels out, taps
               return {{{"X", random_values(float32, {s[0], s[1] + s[3] - 1}, generator, exact)},
                        {"W", random_values(float32, {s[2], s[0], s[3]}, generator, exact)},
                        {"live", random_mask(uint8, {s[0]}, generator, zeros)}},
                       {},
                       {{"Z", {s[2], s[1]}}}};
             }),
       every_host()});
}

TEST_CASE("2-D stencil: pixels that a mask keeps, and channels that a mask keeps") {
  Var b("b"), y("y"), x("x"), co("co");
  TensorParam X(float32, 4, "X"), W(float32, 4, "W"), live(boolean, 2, "live"),
      pixel(uint8, 2, "pixel");
  RDom ci(0, X.extent(1), "ci"), tap(0, W.extent(2), 0, W.extent(3), "tap");
  ci.where(live(b, ci));
  Func Z("Z"), Out("Out");
  Z(b, co, y, x) += W(co, ci, tap.x, tap.y) * X(b, ci, y + tap.x, x + tap.y);
  Out(b, co, y, x) = max(Z(b, co, y, x), 0);
  Out.where(pixel(y, x) != 0);
  check_agreement(
      {Pipeline({Out}, {}, "stencil_2d"),
       {"", "Z.update(0).pit_tile(ct, axis=ci, dense={ci:4})\n",
        "Z.update(0).pit_tile(ct, axis=ci, micro={b:1, ci:2}, dense={ci:8})\n",
        "Out.fuse(y, x, yx)\nOut.pit_tile(pt, axis=yx, dense={yx:16, co:4})\nZ.compute_at(Out, "
        "pt)\n",
        "Out.pit_tile(pt, axis=x, micro={x:4}, dense={x:8})\nZ.compute_at(Out, pt)\n"},
       sweep({{1, 1, 1, 1, 1}, {2, 3, 5, 7, 6}, {1, 8, 6, 11, 13}},
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               // batch, channels in and out, height, width; 3 x 2 taps
               return {{{"X", random_values(float32, {s[0], s[1], s[3] + 2, s[4] + 1}, generator,
                                            exact)},
                        {"W", random_values(float32, {s[2], s[1], 3, 2}, generator, exact)},
                        {"live", random_mask(boolean, {s[0], s[1]}, generator, zeros)},
                        {"pixel", random_mask(uint8, {s[3], s[4]}, generator, zeros)}},
                       {},
                       {{"Out", {s[0], s[2], s[3], s[4]}}}};
             })});
}

TEST_CASE("convolution by neighbour table, output-stationary and as scatter-add") {
  Var p("p"), co("co");
  TensorParam X(float16, 2, "X"), W(float16, 3, "W"), nbr(int32, 2, "nbr");
  RDom o(0, W.extent(0), "o"), ci(0, X.extent(1), "ci");
  o.where(nbr(p, o) >= 0);
  Func Z("Z"), Out("Out");
  Z(p, co) += f32(X(nbr(p, o), ci)) * f32(W(o, ci, co));
  Out(p, co) = max(Z(p, co), 0);
  check_agreement(
      {Pipeline({Out}, {}, "sparse_convolution"),
       {"",
        "Out.split(p, po, pi, 16)\nOut.gpu_blocks(po)\nZ.compute_at(Out, po)\n"
        "Z.update(0).pit_tile(ot, axis=o, micro={p:16, o:1}, dense={o:1, ci:8})\n",
        "Z.update(0).pit_tile(ot, axis=o, micro={p:1, o:1}, dense={o:4})\n",
        "Z.update(0).pit_tile(ot, axis=o, micro={p:64, o:1}, dense={o:2})\n",
        "Z.compute_root()\nZ.update(0).pit_tile(gt, axis=p, group=o, dense={p:16, co:8, "
        "ci:8})\nZ.update(0).sread(X)\n"
        "Z.update(0).swrite(Z)\nZ.update(0).atomic()\n",
        "Z.compute_root()\nZ.update(0).pit_tile(gt, axis=p, group=o, dense={p:8, co:64})\n"},
       sweep({{1, 1, 1, 1}, {20, 9, 5, 7}, {70, 27, 8, 20}},
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               // points, offsets, channels in, channels out
               const AnyBuffer neighbours =
                   random_integers(int32, {s[0], s[1]}, generator, 0, s[0]);
               std::uniform_real_distribution<double> unit(0, 1);
               for_each_coordinate(neighbours.extents(), [&](const Shape &at) {
                 if (unit(generator) < zeros) neighbours.set_number(at, -1);
               });
               return {{{"X", random_values(float16, {s[0], s[2]}, generator, exact)},
                        {"W", random_values(float16, {s[1], s[2], s[3]}, generator, exact)},
                        {"nbr", neighbours}},
                       {},
                       {{"Out", {s[0], s[3]}}}};
             }),
       every_host()});
}
