// A sparse matrix, given densely, by a dense one: Out = relu(A B + bias).
#include <pit/generator.h>
#include <pit/pit.h>

struct Spmm {
  pit::Input<pit::bfloat16_t, 2> A, B;
  pit::Input<float, 1> bias;
  pit::Parameter<int> rows{128, "rows of a tile of Out and of a micro-tile of A",
                           pit::range(1, 256)};
  pit::Parameter<int> columns{256, "columns of a tile of Out", pit::range(16, 512)};
  pit::Output<pit::bfloat16_t, 2> Out;

  void generate() {
    k = pit::RDom(0, A.extent(1), "k");
    k.where(A(m, k) != 0);
    C(m, n) += pit::f32(A(m, k)) * pit::f32(B(k, n));
    Out(m, n) = pit::bf16(pit::max(C(m, n) + bias(n), 0));
  }

  void schedule() {
    pit::SparseIndex live =
        C.update().index({.axis = k, .micro = {{m, rows}, {k, 1}}}).named("live");
    live.store_values(A);
    Out.tile(m, n, mo, no, mi, ni, rows, columns).gpu_blocks(mo, no).persistent();
    C.compute_at(Out, no);
    C.update()
        .pit_tile(kt, {.dense = {{k, 64}}, .index = live})
        .software_pipeline(kt, 3)
        .warp_specialize({});
  }

 private:
  pit::Var m{"m"}, n{"n"}, mo{"mo"}, no{"no"}, mi{"mi"}, ni{"ni"}, kt{"kt"};
  pit::RDom k{0, 1, "k"};
  pit::Func C{"C"};
};
PIT_GENERATOR(Spmm, "spmm", A, B, bias, rows, columns, Out)
