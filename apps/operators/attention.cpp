// Block-sparse attention with a mask for each head, causal on request.
#include <pit/generator.h>
#include <pit/pit.h>

struct BlockAttention {
  pit::Input<pit::bfloat16_t, 3> Q, K, V;  // head, position, channel
  pit::Input<std::uint8_t, 3> mask;        // head, block of queries, block of keys
  pit::ScalarInput<float> scale;
  pit::Parameter<int> block{64, "queries and keys of a block", pit::one_of(16, 32, 64, 128)};
  pit::Parameter<int> shared{1, "heads of Q that share one of K and V", pit::at_least(1)};
  pit::Parameter<bool> causal{true, "queries see no later keys"};
  pit::Parameter<int> channels{0, "channels of a head; 0: any number", pit::at_least(0)};
  pit::Parameter<bool> rounded{false, "weights are rounded where they are multiplied by values"};
  pit::Output<pit::bfloat16_t, 3> O;

  void generate() {
    j = pit::RDom(0, K.extent(1), "j");
    const pit::RDom c(0, Q.extent(2), "c");
    const pit::Expr head = h / int(shared);
    j.where(mask(h, i / int(block), j / int(block)) != 0);
    if (causal) j.where(j <= i);
    S(h, i, jv) = scale * sum(c, pit::f32(Q(h, i, c)) * pit::f32(K(head, jv, c)));
    const pit::Expr value = V(head, j, d);
    P(h, i, d) += pit::softmax_term(S(h, i, j), rounded ? value : pit::f32(value));
    O(h, i, d) = pit::bf16(pit::softmax_value(P(h, i, d)));
  }

  void schedule() {
    // Tensor cores need to know the channels, and weights as short as the values.
    if (int(channels) > 0) {
      Q.dim(2).extent(int(channels));
      O.bound(d, 0, int(channels));
    }
    const int queries = 2 * int(block);
    O.split(i, io, ii, queries).gpu_blocks(h, io);
    P.compute_at(O, io);
    P.update()
        .pit_tile(jt, {.axis = j, .micro = {{i, queries}, {j, block}}, .dense = {{j, queries}}})
        .software_pipeline(jt, 2)
        .warp_specialize({});
    S.compute_at(P, jt);
  }

 private:
  pit::Var h{"h"}, i{"i"}, d{"d"}, jv{"jv"}, io{"io"}, ii{"ii"}, jt{"jt"};
  pit::RDom j{0, 1, "j"};
  pit::Func S{"S"}, P{"P"};
};
PIT_GENERATOR(BlockAttention, "block_attention", Q, K, V, mask, scale, block, shared, causal,
              channels, rounded, O)
