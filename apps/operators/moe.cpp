// The experts of a mixture, for tokens whose experts and weights are given: SwiGLU, two matrix
// products in the order of the experts, and the weighted sum.
#include <pit/generator.h>
#include <pit/pit.h>

struct Moe {
  pit::Input<pit::bfloat16_t, 2> X;           // token, channel
  pit::Input<std::int32_t, 2> expert;         // token, choice
  pit::Input<float, 2> weight;                // token, choice
  pit::Input<pit::bfloat16_t, 3> W1, W3, W2;  // expert, in, out
  pit::Parameter<int> choices{2, "experts of a token", pit::range(1, 64)};
  pit::Parameter<int> rows{128, "rows of a tile", pit::range(16, 256)};
  pit::Output<pit::bfloat16_t, 2> Out;

  void generate() {
    c = pit::RDom(0, X.extent(1), "c");
    r = pit::RDom(0, W1.extent(2), "r");
    pit::RDom u(0, int(choices), "u");
    GU(t, s, f) = pit::Tuple(0.f, 0.f);
    GU(t, s, f) += pit::Tuple(pit::f32(X(t, c)) * pit::f32(W1(expert(t, s), c, f)),
                              pit::f32(X(t, c)) * pit::f32(W3(expert(t, s), c, f)));
    H(t, s, f) = pit::bf16(pit::silu(GU(t, s, f)[0]) * GU(t, s, f)[1]);
    Acc(t, s, d) += pit::f32(H(t, s, r)) * pit::f32(W2(expert(t, s), r, d));
    Dn(t, s, d) = pit::bf16(Acc(t, s, d));
    Out(t, d) = pit::bf16(pit::sum(u, weight(t, u) * pit::f32(Dn(t, u, d))));
  }

  void schedule() {
    pit::Var ts("ts"), up("up"), down("down"), co("co"), ci("ci"), ro("ro"), ri("ri");
    H.fuse(t, s, ts);
    pit::SparseIndex by_expert = H.index({.axis = ts, .group = expert(t, s)}).named("by_expert");
    H.pit_tile(up, {.dense = {{ts, rows}, {f, 128}}, .index = by_expert})
        .persistent()
        .tile_order(pit::TileOrder::ColumnMajor);
    H.store_compact(by_expert);
    GU.compute_at(H, up);
    GU.update().split(c, co, ci, 64).software_pipeline(co, 3).warp_specialize({});
    Dn.fuse(t, s, ts)
        .pit_tile(down, {.dense = {{ts, rows}, {d, 256}}, .index = by_expert})
        .persistent()
        .tile_order(pit::TileOrder::ColumnMajor);
    Dn.store_compact(by_expert);
    Acc.compute_at(Dn, down);
    Acc.update().split(r, ro, ri, 64).software_pipeline(ro, 3).warp_specialize({});
    Out.gpu_blocks(t).gpu_threads(d);
  }

 private:
  pit::Var t{"t"}, s{"s"}, f{"f"}, d{"d"};
  pit::RDom c{0, 1, "c"}, r{0, 1, "r"};
  pit::Func GU{"GU"}, H{"H"}, Acc{"Acc"}, Dn{"Dn"};
};
PIT_GENERATOR(Moe, "moe", X, expert, weight, W1, W3, W2, choices, rows, Out)
