// Lesson 3: routing. Groups by key: every token goes to the experts that a router chose for it.
//
// A layer with experts multiplies each token by a matrix that depends on the token. One token at a
// time that is a vector times a matrix, which no hardware is fast at. Tokens of one expert together
// are a matrix product. The token axis may be permuted, so they can be brought together: the group
// is no strip of rows here, as in lesson 2, but a *key*, computed from the axis itself.
#include <pit/pit.h>

#include <cstdio>

using namespace pit;

int main() {
  const int kTokens = 40, kExperts = 3, kIn = 16, kHidden = 24;

  // --- 1. One expert a token ---
  Var t("t"), f("f"), tile("tile");
  TensorParam X(float32, 2, "X"), W(float32, 3, "W"), expert(int32, 1, "expert");
  RDom c(0, X.extent(1), "c");
  Func Sum("Sum"), Y("Y");
  Sum(t, f) += X(t, c) * W(expert(t), c, f);
  Y(t, f) = max(Sum(t, f), 0);
  Y.where(expert(t) >= 0);  // tokens without an expert have no value: their rows are left alone

  //   before   for t: for f: if expert(t) >= 0:
  //              Y(t, f) = max(sum of X(t, c) * W(expert(t), c, f), 0)
  //   after    sort the tokens by expert                            // the sparse index
  //            for g in experts: for tile of 8 of its tokens: for 16 of f:
  //              S = X(the 8 tokens, :) * W(g, :, the 16 of f)      // one dense product
  //              Y(the 8 tokens, the 16 of f) = max(S, 0)           // scattered back
  //
  // Inside a tile the key *is* g: W(g, ...) is one matrix for all, X(t, ...) is gathered. The sum
  // is computed at the tile of its consumer, so it never exists as a whole.
  Y.pit_tile(tile, {.axis = t, .group = expert(t), .dense = {{t, 8}, {f, 16}}});
  Sum.compute_at(Y, tile);
  Callable layer = Pipeline({Y}).compile({"X", "W", "expert"});

  Buffer<float, 2> x({kTokens, kIn}), y({kTokens, kHidden});
  Buffer<float, 3> w({kExperts, kIn, kHidden});
  Buffer<std::int32_t, 1> choice({kTokens});
  for_each_coordinate(x.extents(), [&](const Shape &i) { x.set_number(i, (i[0] * i[1]) % 7 - 3); });
  for_each_coordinate(w.extents(),
                      [&](const Shape &i) { w.set_number(i, (i[0] + i[1] * i[2]) % 5 - 2); });
  for (int i = 0; i < kTokens; ++i) choice(i) = i % 11 == 10 ? -1 : (i * i) % kExperts;
  y.fill(-1);
  layer(x, w, choice, y);
  const auto hidden = [&](int token, int e, int column) {
    float sum = 0;
    for (int q = 0; q < kIn; ++q) sum += x(token, q) * w(e, q, column);
    return sum > 0 ? sum : 0;
  };
  for (int i = 0; i < kTokens; ++i) {
    for (int j = 0; j < kHidden; ++j) {
      if (y(i, j) != (choice(i) < 0 ? -1 : hidden(i, choice(i), j))) return 1;
    }
  }

  // Keys are checked, always: expert 3 of 3 is a bug of the router, not a token without an expert.
  choice(5) = 3;
  try {
    layer(x, w, choice, y);
    return 2;
  } catch (const RuntimeError &error) {
    std::printf("refused: %s\n", error.what());
  }

  // --- 2. Two experts a token: the router inside, a fused axis, and a combine ---
  //
  // top_k gives the slot-th largest score and its coordinate. What is routed now is the pair (t,
  // s).
  Var s("s"), ev("ev"), ts("ts"), up("up");
  TensorParam score(float32, 2, "score");
  RDom e(0, score.extent(1), "e"), u(0, 2, "u");
  Func route("route"), Acc("Acc"), H("H"), Out("Out");
  route(t, s) = top_k(e, score(t, e), s);
  Acc(t, s, f) += X(t, c) * W(route(t, s)[1], c, f);
  H(t, s, f) = max(Acc(t, s, f), 0);
  Out(t, f) += route(t, u)[0] * H(t, u, f);

  // The axis is both loops, fused: 2 kTokens positions. Predicates and groups are still written in
  // t and s. H stays in the order of the index, so that its tiles are stored next to each other.
  // The combine, Out, reads H(t, u, f) through the inverse of the index, in slot order: the result
  // is the same, bit for bit, at every call.
  H.fuse(t, s, ts);
  SparseIndex by_expert = H.index({.axis = ts, .group = route(t, s)[1]}).named("by_expert");
  H.pit_tile(up, {.dense = {{ts, 8}, {f, 16}}, .index = by_expert});
  H.store_compact(by_expert);
  Acc.compute_at(H, up);
  const Pipeline pipeline({Out}, {}, "moe");
  Callable moe = pipeline.compile({"X", "W", "score"});

  Buffer<float, 2> scores({kTokens, kExperts}), out({kTokens, kHidden});
  for_each_coordinate(scores.extents(),
                      [&](const Shape &i) { scores.set_number(i, (5 * i[0] + 3 * i[1]) % 7); });
  const RunStatistics statistics = moe.measured(x, w, scores, out);
  for (int i = 0; i < kTokens; ++i) {
    int first = 0, second = -1;  // the two best, ties to the lower expert
    for (int q = 1; q < kExperts; ++q) {
      if (scores(i, q) > scores(i, first)) first = q;
    }
    for (int q = 0; q < kExperts; ++q) {
      if (q != first && (second < 0 || scores(i, q) > scores(i, second))) second = q;
    }
    for (int j = 0; j < kHidden; ++j) {
      if (out(i, j) !=
          scores(i, first) * hidden(i, first, j) + scores(i, second) * hidden(i, second, j)) {
        return 3;
      }
    }
  }
  for (const auto &[name, value] : statistics.statistics) {
    if (name == "by_expert.kept") std::printf("%g pairs of token and slot were routed\n", value);
    if (name == "by_expert.kept" && value != 2 * kTokens) return 4;
  }
  std::printf("%s", pipeline.explain().c_str());
  return 0;
}
