// Lesson 4: sentences of different lengths. Func::where, demand, a shared index, fusion.
//
// A batch of sentences is a box (b, t, d) in which row b is real only for t < len(b). Computing on
// the padding costs time, and padding is often most of the box. This is the two-layer network of an
// encoder on the real tokens only, with no packed copy of anything.
#include <pit/pit.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

using namespace pit;

namespace {

struct Data {
  Buffer<bfloat16_t, 3> x{{4, 32, 24}}, out{{4, 32, 24}};
  Buffer<bfloat16_t, 2> w1{{24, 40}}, w2{{40, 24}};
  Buffer<float, 1> bias{{40}};
  Buffer<std::int32_t, 1> length{{4}, {5, 32, 0, 17}};
};

}  // namespace

int main() {
  Var b("b"), t("t"), d("d"), f("f");
  TensorParam X(bfloat16, 3, "X"), W1(bfloat16, 2, "W1"), W2(bfloat16, 2, "W2");
  TensorParam bias(float32, 1, "bias"), len(int32, 1, "len");
  RDom c(0, X.extent(2), "c"), r(0, W1.extent(1), "r");
  Func A1("A1"), H("H"), A2("A2"), Out("Out");

  // bfloat16 is for storage; arithmetic is in float32. bf16(...) rounds where H and Out are stored.
  A1(b, t, f) += f32(X(b, t, c)) * f32(W1(c, f));
  H(b, t, f) = bf16(max(A1(b, t, f) + bias(f), 0));
  A2(b, t, d) += f32(H(b, t, r)) * f32(W2(r, d));
  Out(b, t, d) = bf16(A2(b, t, d) + f32(X(b, t, d)));

  // --- Written once, at the end ---
  //
  // Func::where restricts a Func: elsewhere Out has no value, and the caller's bytes stay.
  // Producers are computed where they are needed, so A1, H and A2 are restricted too: *demand*
  // carries the predicate up. Without a schedule:
  //
  //   for b: for t: if t < len(b): for f: A1(b, t, f) = sum of ...
  //   ...
  //   for b: for t: if t < len(b): for d: Out(b, t, d) = ...
  Out.where(t < len(b));
  //
  // A pipeline follows what is said of its Funcs later, unless it is given a schedule: here, none.
  const Pipeline plain = Pipeline({Out}, {}, "plain").with(Schedule());

  // --- The schedule ---
  //
  // (b, t) is fused to one axis of positions; the index lists the real ones. It needs no key and no
  // micro-tile: it is one list of tokens. The same index serves both layers, by naming it.
  Var bt("bt"), one("one"), two("two");
  Out.fuse(b, t, bt);
  SparseIndex tokens = Out.index({.axis = bt}).named("tokens");
  Out.pit_tile(two, {.dense = {{bt, 16}, {d, 24}}, .index = tokens});
  H.fuse(b, t, bt).pit_tile(one, {.dense = {{bt, 16}, {f, 40}}, .index = tokens});
  H.store_compact(tokens);  // between the layers, rows are stored in the order of the list

  // Fusion is compute_at, for prologues and epilogues alike. A1 is needed at the tile's *set of
  // positions*, 16 tokens of any sentences, not at the box around them. So each layer is
  //
  //   for tile of 16 listed tokens: for 40 of f:
  //     A1 = X(the tokens, :) * W1(:, f)         // rows gathered; the sum stays in the tile
  //     H(entries of the tile, f) = max(A1 + bias, 0)
  A1.compute_at(H, one);
  A2.compute_at(Out, two);
  const Pipeline packed({Out}, {}, "packed");

  // --- The same result ---
  Data data;
  for_each_coordinate(data.x.extents(), [&](const Shape &i) {
    // The padding holds NaN: if it were read, it would show.
    const bool real = i[1] < data.length(i[0]);
    data.x.set_number(i, real ? static_cast<double>((i[0] + i[1] * i[2]) % 5 - 2) : NAN);
  });
  for_each_coordinate(data.w1.extents(),
                      [&](const Shape &i) { data.w1.set_number(i, (i[0] * i[1]) % 3 - 1); });
  for_each_coordinate(data.w2.extents(),
                      [&](const Shape &i) { data.w2.set_number(i, (i[0] + 2 * i[1]) % 3 - 1); });
  data.bias.fill(1);
  Buffer<bfloat16_t, 3> expected({4, 32, 24});
  expected.fill(bfloat16_t(-77));  // the caller's bytes, which must stay outside the predicate
  data.out.fill(bfloat16_t(-77));

  const std::vector<std::string> inputs = {"X", "W1", "W2", "bias", "len"};
  plain.compile(inputs)(data.x, data.w1, data.w2, data.bias, data.length, expected);
  const RunStatistics statistics =
      packed.compile(inputs).measured(data.x, data.w1, data.w2, data.bias, data.length, data.out);

  bool same = true;
  int written = 0;
  for_each_coordinate(expected.extents(), [&](const Shape &i) {
    const double v = data.out.number(i);
    same = same && v == expected.number(i) && (i[1] < data.length(i[0]) || v == -77);
    written += i[1] < data.length(i[0]);
  });
  std::printf("%d of %d elements have a value; schedules agree: %s\n", written,
              static_cast<int>(expected.size()), same ? "yes" : "no");
  if (!same) return 1;

  // 54 of 128 positions are real, so 4 tiles of 16 are computed, not 8.
  for (const auto &[name, value] : statistics.statistics) {
    std::printf("%s = %g\n", name.c_str(), value);
    if (name == "tokens.kept" && value != 5 + 32 + 0 + 17) return 2;
  }

  // explain() tells how far demand carries the predicate.
  const std::string text = packed.explain();
  std::printf("%s", text.c_str());
  if (text.find("needed only where t < ") == std::string::npos) return 3;

  // --- What has no value cannot be read ---
  Func Next("Next");
  Next(b, t, d) = Out(b, t, d) + bf16(1.f);
  try {
    Pipeline({Next}).compile();
    return 4;
  } catch (const CompileError &error) {
    std::printf("refused: %s\n", error.what());
  }
  return 0;
}
