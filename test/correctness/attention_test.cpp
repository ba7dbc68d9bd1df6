// Attention whose pairs of queries and keys are found at run time.
#include "test/correctness/agreement.h"

using namespace pit;
using namespace pit::test;

namespace {

Problem attention_data(const Size &s, bool exact, std::mt19937 &generator) {
  // heads, queries and keys, depth
  return {{{"Q", random_values(float32, {s[0], s[1], s[2]}, generator, exact)},
           {"K", random_values(float32, {s[0], s[1], s[2]}, generator, exact)},
           {"V", random_values(float32, {s[0], s[1], s[2]}, generator, exact)}},
          {{"scale", 0.25}},
          {{"O", {s[0], s[1], s[2]}}}};
}

constexpr std::int64_t kBlock = 16;

Problem block_data(const Size &s, double zeros, bool exact, std::mt19937 &generator) {
  Problem p = attention_data(s, exact, generator);
  const std::int64_t blocks = (s[1] + kBlock - 1) / kBlock;
  p.inputs["mask"] = random_mask(uint8, {s[0], blocks, blocks}, generator, zeros);
  p.outputs["L"] = {s[0], s[1]};
  return p;
}

/// Of 16-bit floats, blocks of queries and keys of the mask of `Block`.
template <std::int64_t Block>
Problem half_data(Type type, const Size &s, double zeros, std::mt19937 &generator) {
  Problem p = attention_data(s, false, generator);
  for (const char *name : {"Q", "K", "V"})
    p.inputs[name] = random_values(type, s, generator, false);
  const std::int64_t blocks = (s[1] + Block - 1) / Block;
  p.inputs["mask"] = random_mask(uint8, {s[0], blocks, blocks}, generator, zeros);
  p.outputs["L"] = {s[0], s[1]};
  return p;
}

const std::vector<Size> kSizes = {{0, 3, 2},  {2, 0, 3},  {1, 1, 1},
                                  {2, 16, 8}, {2, 45, 5}, {1, 100, 16}};

}  // namespace

TEST_CASE("block-sparse causal attention with log-sum-exp: rows without keys give 0 and -inf") {
  Var h("h"), i("i"), d("d"), jv("jv");
  TensorParam Q(float32, 3, "Q"), K(float32, 3, "K"), V(float32, 3, "V"), mask(uint8, 3, "mask");
  Param<float> scale("scale");
  RDom j(0, K.extent(1), "j"), c(0, Q.extent(2), "c");
  j.where(mask(h, i / 16, j / 16) != 0);
  j.where(j <= i);
  Func S("S"), P("P"), O("O"), L("L");
  S(h, i, jv) = scale * sum(c, Q(h, i, c) * K(h, jv, c));
  P(h, i, d) += softmax_term(S(h, i, j), V(h, j, d));
  O(h, i, d) = softmax_value(P(h, i, d));
  L(h, i) = log_sum_exp(P(h, i, 0));
  check_agreement(
      {Pipeline({O, L}, {}, "block_attention"),
       {"",
        "O.split(i, io, ii, 16)\nP.compute_at(O, io)\n"
        "P.update(0).pit_tile(jt, axis=j, micro={i:16, j:16}, dense={j:16})\nS.compute_at(P, "
        "jt)\nL.compute_with(O, io)\n",
        "O.split(i, io, ii, 16)\nO.gpu_blocks(h, io)\nP.compute_at(O, io)\n"
        "P.update(0).pit_tile(jt, axis=j, micro={i:16, j:16}, dense={j:64})\nS.compute_at(P, "
        "jt)\nL.compute_with(O, io)\n",
        "O.split(i, io, ii, 32)\nP.compute_at(O, io)\n"
        "P.update(0).pit_tile(jt, axis=j, micro={i:32, j:8}, dense={j:32})\nS.compute_at(P, "
        "jt)\nL.compute_with(O, io)\n",
        "P.update(0).pit_tile(jt, axis=j, micro={i:1, j:1}, dense={j:8})\nS.compute_root()\n",
        "P.update(0).pit_tile(jt, axis=j, micro={i:64, j:64}, dense={j:64})\nS.compute_at(P, "
        "jt)\n"},
       inexact(sweep(kSizes, block_data, true)),
       every_host()});
}

TEST_CASE("attention of 16-bit floats, whose weights are rounded where they are multiplied") {
  constexpr std::int64_t kChannels = 32, kMaskBlock = 64;
  for (const Type type : {bfloat16, float16}) {
    CAPTURE(to_string(type));
    Var h("h"), i("i"), d("d"), jv("jv");
    TensorParam Q(type, 3, "Q"), K(type, 3, "K"), V(type, 3, "V"), mask(uint8, 3, "mask");
    Param<float> scale("scale");
    RDom j(0, K.extent(1), "j"), c(0, kChannels, "c");
    j.where(mask(h, i / kMaskBlock, j / kMaskBlock) != 0);
    j.where(j <= i);
    Func S("S"), P("P"), O("O"), L("L");
    S(h, i, jv) = scale * sum(c, f32(Q(h, i, c)) * f32(K(h, jv, c)));
    P(h, i, d) += softmax_term(S(h, i, j), V(h, j, d));
    O(h, i, d) = cast(type, softmax_value(P(h, i, d)));
    L(h, i) = log_sum_exp(P(h, i, 0));
    O.bound(d, 0, kChannels);
    check_agreement(
        {Pipeline({O, L}, {}, "half_attention"),
         {"",
          "O.split(i, io, ii, 64)\nO.gpu_blocks(h, io)\nP.compute_at(O, io)\n"
          "P.update(0).pit_tile(jt, axis=j, micro={i:64, j:64}, dense={j:64})\nS.compute_at(P, "
          "jt)\nL.compute_with(O, io)\n",
          "O.split(i, io, ii, 128)\nO.gpu_blocks(h, io)\nP.compute_at(O, io)\n"
          "P.update(0).pit_tile(jt, axis=j, micro={i:128, j:32}, dense={j:128})\n"
          "P.update(0).software_pipeline(jt, 2)\nS.compute_at(P, jt)\nL.compute_with(O, io)\n"},
         inexact(sweep(
             {{1, 40, kChannels}, {2, 130, kChannels}},
             [&](const Size &s, double zeros, bool, std::mt19937 &generator) {
               return half_data<kMaskBlock>(type, s, zeros, generator);
             },
             true)),
         every_host()});
  }
}

TEST_CASE("scores as large as paddings are: weights of equal scores are equal") {
  Var i("i"), d("d");
  TensorParam S(float32, 2, "S"), V(float16, 2, "V");
  RDom j(0, V.extent(0), "j");
  Func P("P"), O("O");
  P(i, d) += softmax_term(S(i, j), V(j, d));
  O(i, d) = softmax_value(P(i, d));
  for (const double padding : {-1e4, -1e9, -1e10, 1e10, -3.4028234663852886e38}) {
    CAPTURE(padding);
    // A row of paddings, and one that starts with them.
    const auto data = [&](const Size &s, double, bool, std::mt19937 &generator) {
      Problem p{{{"S", random_values(float32, {s[0], s[1]}, generator, true)},
                 {"V", random_values(float16, {s[1], s[2]}, generator, true)}},
                {},
                {{"O", {s[0], s[2]}}}};
      for (std::int64_t row = 0; row < 2; ++row) {
        for (std::int64_t key = 0; key < (row == 0 ? s[1] : s[1] / 2); ++key)
          p.inputs["S"].set_number(Shape{row, key}, padding);
      }
      return p;
    };
    check_agreement({Pipeline({O}, {}, "paddings"),
                     {"", "P.update(0).vectorize(d, 8)\n"},
                     inexact(sweep({{3, 16, 9}}, data, true)),
                     every_host()});
  }
  // Bounds grow with scores: what is known is asked for.
  constexpr std::int64_t kKeys = 8;
  const Callable attention = Pipeline({O}, {}, "paddings").compile();
  for (const float padding : {-1e9F, -1e10F, -3.4028234663852886e38F}) {
    const Buffer<float, 2> scores({1, kKeys}), output({1, 1});
    const Buffer<float16_t, 2> values({kKeys, 1});
    for (std::int64_t key = 0; key < kKeys; ++key) {
      scores(0, key) = padding;
      values(key, 0) = float16_t(static_cast<float>(key));
    }
    attention(values, scores, output);
    CHECK(output(0, 0) == 3.5F);
  }
}

TEST_CASE("one head: attention through softmax_sum with a mask per pair") {
  Var i("i"), d("d");
  TensorParam S(float32, 2, "S"), V(float32, 2, "V"), mask(boolean, 2, "mask");
  RDom j(0, V.extent(0), "j");
  j.where(mask(i, j));
  Func P("P"), O("O");
  P(i, d) += softmax_term(S(i, j), V(j, d));
  O(i, d) = softmax_value(P(i, d));
  const auto data = [](const Size &s, double zeros, bool exact,
                       std::mt19937 &generator) -> Problem {
    return {{{"S", random_values(float32, {s[0], s[1]}, generator, exact)},
             {"V", random_values(float32, {s[1], s[2]}, generator, exact)},
             {"mask", random_mask(boolean, {s[0], s[1]}, generator, zeros)}},
            {},
            {{"O", {s[0], s[2]}}}};
  };
  const std::vector<Data> sets =
      inexact(sweep({{1, 1, 1}, {9, 40, 7}, {33, 17, 20}, {70, 90, 33}}, data, true));
  check_agreement({Pipeline({O}, {}, "weighted_sum"),
                   {"", "P.update(0).pit_tile(jt, axis=j, micro={i:1, j:1}, dense={j:8})\n",
                    "P.update(0).pit_tile(jt, axis=j, micro={i:32, j:1}, dense={j:32})\n",
                    "P.update(0).pit_tile(jt, axis=j, micro={i:1, j:64}, dense={j:64})\n",
                    "O.tile(i, d, io, do, ii, di, 16, 16)\nP.compute_at(O, do)\n"
                    "P.update(0).pit_tile(jt, axis=j, micro={i:16, j:4}, dense={j:16})\n",
                    "P.update(0).pit_tile(jt, axis=j, micro={i:8, j:8}, dense={i:4, j:8})\n"},
                   sets});
  Func inline_sum("O");
  RDom r(0, V.extent(0), "r");
  r.where(mask(i, r));
  inline_sum(i, d) = softmax_sum(r, S(i, r), V(r, d));
  check_agreement({Pipeline({inline_sum}, {}, "inline_softmax"),
                   {"", "O.parallel(i)\nO.vectorize(d, 8)\n"},
                   sets});
}

TEST_CASE("vertical-slash attention: one softmax over ranges of keys and single keys") {
  Var h("h"), i("i"), d("d"), jv("jv");
  TensorParam Q(float32, 3, "Q"), K(float32, 3, "K"), V(float32, 3, "V");
  TensorParam nb(int32, 2, "nb"), ob(int32, 3, "ob"), nc(int32, 2, "nc"), oc(int32, 3, "oc");
  Param<float> scale("scale");
  RDom blk(0, nb(h, i / 16), 0, 16, "blk"), col(0, nc(h, i / 16), "col"), c(0, Q.extent(2), "c");
  const Expr jb = ob(h, i / 16, blk.x) + blk.y, jc = oc(h, i / 16, col);
  blk.where(jb <= i);
  Func S("S"), P("P"), O("O");
  S(h, i, jv) = scale * sum(c, Q(h, i, c) * K(h, jv, c));
  P(h, i, d) += softmax_term(S(h, i, jb), V(h, jb, d));
  P(h, i, d) += softmax_term(S(h, i, jc), V(h, jc, d));
  O(h, i, d) = softmax_value(P(h, i, d));
  const auto data = [](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
    Problem p = attention_data(s, exact, generator);
    const std::int64_t strips = (s[1] + 15) / 16, most_ranges = 3, most_columns = 7;
    const auto share = [&](std::int64_t n) {
      return 1 + static_cast<std::int64_t>((1 - zeros) * static_cast<double>(n));
    };
    p.inputs["nb"] = random_integers(int32, {s[0], strips}, generator, 0, share(most_ranges));
    p.inputs["nc"] = random_integers(int32, {s[0], strips}, generator, 0, share(most_columns));
    // Ranges start anywhere; those past the last key are cut by causality, whose test comes before
    // the load.
    p.inputs["ob"] = random_integers(int32, {s[0], strips, most_ranges}, generator, 0, s[1]);
    p.inputs["oc"] = random_integers(int32, {s[0], strips, most_columns}, generator, 0, s[1]);
    return p;
  };
  check_agreement({Pipeline({O}, {}, "vertical_slash"),
                   {"",
                    "O.split(i, io, ii, 16)\nO.gpu_blocks(h, io)\nP.compute_at(O, io)\n"
                    "P.update(0).pit_tile(bt, axis=blk.x, micro={i:16, blk.x:1}, dense={blk.x:2})\n"
                    "P.update(1).pit_tile(ct, axis=col, micro={i:16, col:1}, "
                    "dense={col:8})\nS.compute_at(P, bt)\n",
                    "O.split(i, io, ii, 8)\nP.compute_at(O, io)\n"
                    "P.update(0).pit_tile(bt, axis=blk.x, micro={i:8, blk.x:1}, dense={blk.x:1})\n"
                    "P.update(1).pit_tile(ct, axis=col, micro={i:8, col:1}, "
                    "dense={col:32})\nS.compute_at(P, bt)\n"},
                   inexact(sweep({{1, 1, 1}, {2, 45, 9}, {1, 100, 16}}, data, true)),
                   every_host()});
}
