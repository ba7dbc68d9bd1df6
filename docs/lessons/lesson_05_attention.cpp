// Lesson 5: attention. A reduction with a state, a block mask, one softmax over two domains.
//
// The softmax-weighted sum of values is no sum: its terms are rescaled whenever a larger score
// turns up. Yet what it keeps, (largest score, sum of weights, weighted sum), combines in any
// order, so its axis is a PIT axis too. Everything of lesson 2 holds: list the blocks of keys that
// matter to a block of queries, gather them, compute dense tiles.
#include <pit/pit.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

using namespace pit;

namespace {

/// The largest difference of two buffers, relative to 1 or to the expected value.
double difference(const AnyBuffer &got, const AnyBuffer &expected) {
  double worst = 0;
  for_each_coordinate(expected.extents(), [&](const Shape &i) {
    const double e = expected.number(i), g = got.number(i);
    if (e == g) return;  // infinities too
    worst = std::max(worst, std::abs(g - e) / std::max(1.0, std::abs(e)));
  });
  return worst;
}

}  // namespace

int main() {
  const int kHeads = 2, kLength = 48, kDepth = 8, kBlock = 8;
  Buffer<float, 3> q({kHeads, kLength, kDepth}), keys({kHeads, kLength, kDepth}),
      values({kHeads, kLength, kDepth});
  for_each_coordinate(q.extents(), [&](const Shape &i) {
    const double x = static_cast<double>(i[0] + 3 * i[1] + 5 * i[2]);
    q.set_number(i, std::sin(x));
    keys.set_number(i, std::cos(2 * x));
    values.set_number(i, std::sin(0.3 * x));
  });

  // --- 1. Attention with a mask over blocks, causal ---
  Var h("h"), i("i"), d("d"), jv("jv");
  TensorParam Q(float32, 3, "Q"), K(float32, 3, "K"), V(float32, 3, "V"), mask(uint8, 3, "mask");
  Param<float> scale("scale");
  RDom j(0, K.extent(1), "j"), c(0, Q.extent(2), "c");
  j.where(mask(h, i / kBlock, j / kBlock) != 0);  // two predicates: a key must pass both
  j.where(j <= i);

  Func S("S"), P("P"), O("O"), L("L");
  S(h, i, jv) = scale * sum(c, Q(h, i, c) * K(h, jv, c));
  P(h, i, d) += softmax_term(S(h, i, j), V(h, j, d));  // one key: its score and its value
  O(h, i, d) = softmax_value(P(h, i, d));              // weighted sum / sum; 0 without any key
  L(h, i) = log_sum_exp(P(h, i, 0));                   // max + log(sum); -inf without any key

  // A block of 16 queries has one list of blocks of 8 keys: those with a mask bit for any of its
  // rows that are not wholly in the future. Two of them are one tile.
  //
  //   for h: for io in blocks of 16 queries:
  //     state = (-inf, 0, 0) for 16 rows            // in the tile: P is never stored
  //     for jt: two listed blocks of 8 keys:
  //       S = scale * Q(16 queries) K(16 keys)^T    // dense
  //       S = -inf where mask or causality fail     // only if a block of the tile is partial
  //       rescale the state to the new largest score
  //       add exp(S - largest) V(16 keys)           // dense
  //     O = weighted / sum, L = max + log(sum)
  Var io("io"), ii("ii"), jt("jt");
  O.split(i, io, ii, 16).parallel(io);
  P.compute_at(O, io);
  P.update().pit_tile(jt, {.axis = j, .micro = {{i, 16}, {j, kBlock}}, .dense = {{j, 2 * kBlock}}});
  S.compute_at(P, jt);
  L.compute_with(O, io);
  const Pipeline attention({O, L}, {}, "attention");

  Buffer<std::uint8_t, 3> blocks({kHeads, kLength / kBlock, kLength / kBlock});
  for_each_coordinate(blocks.extents(), [&](const Shape &b) {
    // The diagonal, the first block, and a few more; nothing at all for the third block of queries.
    const bool live = b[1] == b[2] || b[2] == 0 || (b[0] + 2 * b[1] + b[2]) % 5 == 0;
    blocks.set_number(b, live && b[1] != 2);
  });
  Buffer<float, 3> o({kHeads, kLength, kDepth});
  Buffer<float, 2> l({kHeads, kLength});
  const float factor = 1 / std::sqrt(static_cast<float>(kDepth));
  const RunStatistics statistics = attention.compile({"Q", "K", "V", "mask", "scale"})
                                       .measured(q, keys, values, blocks, factor, o, l);

  // As plain loops: the numbers are those of a softmax computed in the obvious way.
  Buffer<float, 3> plain_o({kHeads, kLength, kDepth});
  Buffer<float, 2> plain_l({kHeads, kLength});
  for (int head = 0; head < kHeads; ++head) {
    for (int row = 0; row < kLength; ++row) {
      double total = 0, weighted[kDepth] = {};
      for (int key = 0; key <= row; ++key) {
        if (blocks(head, row / kBlock, key / kBlock) == 0) continue;
        double s = 0;
        for (int x = 0; x < kDepth; ++x) s += double{q(head, row, x)} * double{keys(head, key, x)};
        const double weight = std::exp(double{factor} * s);
        total += weight;
        for (int x = 0; x < kDepth; ++x) weighted[x] += weight * double{values(head, key, x)};
      }
      plain_l(head, row) = static_cast<float>(std::log(total));
      for (int x = 0; x < kDepth; ++x) {
        plain_o(head, row, x) = total == 0 ? 0 : static_cast<float>(weighted[x] / total);
      }
    }
  }
  std::printf("attention: O differs by %.1e, L by %.1e\n", difference(o, plain_o),
              difference(l, plain_l));
  if (!(difference(o, plain_o) < 1e-5) || !(difference(l, plain_l) < 1e-5)) return 1;
  if (o(0, 17, 3) != 0 || l(0, 17) != -INFINITY) return 2;  // a row with no key
  for (const auto &[name, value] : statistics.statistics) {
    std::printf("%s = %g\n", name.c_str(), value);  // blocks that were computed, of all
  }
  std::printf("%s", attention.explain().c_str());

  // --- 2. One softmax over two domains ---
  //
  // Each query sees a window of the last 8 keys and, besides, keys that a table names, as in sparse
  // patterns found by sampling. Two updates of one state are one softmax. The bounds of a domain
  // may read tensors: `extra` has as many iterations as the table says, and repeated ones would
  // count twice. Both updates stay at one tile of O, with one state.
  TensorParam number(int32, 1, "number"), table(int32, 2, "table");
  RDom w(0, 8, "w"), extra(0, number(i / kBlock), "extra");
  w.where(i - w >= 0);
  Func T("T"), R("R"), Z("Z");
  T(h, i, jv) = sum(c, Q(h, i, c) * K(h, jv, c));
  R(h, i, d) += softmax_term(T(h, i, i - w), V(h, i - w, d));
  const Expr key = table(i / kBlock, extra);
  R(h, i, d) += softmax_term(T(h, i, key), V(h, key, d));
  Z(h, i, d) = softmax_value(R(h, i, d));

  Var zo("zo"), zi("zi"), wt("wt"), et("et");
  Z.split(i, zo, zi, kBlock).parallel(zo);
  R.compute_at(Z, zo);
  R.update(0).pit_tile(wt, {.axis = w, .micro = {{i, kBlock}}, .dense = {{w, 8}}});
  R.update(1).pit_tile(et, {.axis = extra, .micro = {{i, kBlock}}, .dense = {{extra, 4}}});
  T.compute_at(R, et);  // and at wt: R's updates are tiled alike
  const Pipeline two_domains({Z}, {}, "two_domains");

  Buffer<std::int32_t, 1> how_many({kLength / kBlock}, {0, 0, 2, 5, 1, 3});
  Buffer<std::int32_t, 2> which({kLength / kBlock, 5});
  for_each_coordinate(which.extents(),
                      [&](const Shape &b) { which.set_number(b, (3 * b[0] + 7 * b[1]) % 16); });
  Buffer<float, 3> z({kHeads, kLength, kDepth}), by_definition({kHeads, kLength, kDepth});
  two_domains.compile({"Q", "K", "V", "number", "table"})(q, keys, values, how_many, which, z);
  Reference reference(
      two_domains, {{"Q", q}, {"K", keys}, {"V", values}, {"number", how_many}, {"table", which}});
  reference.run({{"Z", by_definition}});
  std::printf("two domains: Z differs by %.1e\n", difference(z, by_definition));
  return difference(z, by_definition) < 1e-5 ? 0 : 3;
}
