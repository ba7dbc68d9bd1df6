// Rows gathered by expert: keys that are given and keys that the operator chooses, combined again
// in order; packed rows.
#include "test/correctness/top_experts.h"

using namespace pit;
using namespace pit::test;

namespace {

/// H(t, f) = X(t, .) W(key(t), ., f), rows with a negative key dropped.
Pipeline keyed_matmul(Type key_type) {
  Var t("t"), f("f");
  TensorParam X(float32, 2, "X"), W(float32, 3, "W"), key(key_type, 1, "key");
  RDom c(0, X.extent(1), "c");
  Func Acc("Acc"), H("H");
  Acc(t, f) += X(t, c) * W(key(t), c, f);
  H(t, f) = Acc(t, f);
  if (key_type.is_int()) H.where(key(t) >= 0);
  return Pipeline({H}, {}, "keyed_matmul");
}

/// tokens, experts, channels, features. `zeros`: share of the tokens whose key is -1, or that go to
/// expert 0.
Problem keyed_data(Type key_type, const Size &s, double zeros, bool exact,
                   std::mt19937 &generator) {
  const AnyBuffer key = random_integers(key_type, {s[0]}, generator, 0, s[1]);
  std::uniform_real_distribution<double> unit(0, 1);
  for_each_coordinate({s[0]}, [&](const Shape &at) {
    if (unit(generator) < zeros) key.set_number(at, key_type.is_int() ? -1 : 0);
  });
  return {{{"X", random_values(float32, {s[0], s[2]}, generator, exact)},
           {"W", random_values(float32, {s[1], s[2], s[3]}, generator, exact)},
           {"key", key}},
          {},
          {{"H", {s[0], s[3]}}}};
}

const std::vector<Size> kKeyedSizes = {
    {1, 1, 1, 1}, {13, 5, 7, 9}, {50, 8, 16, 20}, {200, 17, 33, 40}};

}  // namespace

TEST_CASE("expert-indexed matmul: keys of every signed type, negative ones dropped") {
  for (const Type type : {int32, int64, int16, int8}) {
    CAPTURE(to_string(type));
    check_agreement(
        {keyed_matmul(type),
         {"", "H.pit_tile(up, axis=t, group=key(t), dense={t:16, f:16})\nAcc.compute_at(H, up)\n",
          "H.pit_tile(up, axis=t, group=key(t), dense={t:1})\nAcc.compute_at(H, up)\n",
          "H.pit_tile(up, axis=t, group=key(t), dense={t:128, f:8})\nAcc.compute_at(H, "
          "up)\nAcc.update(0).split(c, co, ci, 8)\n"
          "Acc.update(0).sread(X)\n"},
         sweep(kKeyedSizes, [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
           return keyed_data(type, s, zeros, exact, generator);
         })});
  }
}

TEST_CASE("expert-indexed matmul: keys of unsigned types") {
  for (const Type type : {uint8, uint16, uint32, uint64}) {
    CAPTURE(to_string(type));
    check_agreement(
        {keyed_matmul(type),
         {"", "H.pit_tile(up, axis=t, group=key(t), dense={t:16, f:16})\nAcc.compute_at(H, up)\n"},
         sweep(kKeyedSizes, [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
           return keyed_data(type, s, zeros, exact, generator);
         })});
  }
}

TEST_CASE("expert-indexed matmul on other targets") {
  check_agreement(
      {keyed_matmul(int64),
       {"H.pit_tile(up, axis=t, group=key(t), dense={t:16, f:16})\nAcc.compute_at(H, up)\n"},
       sweep(kKeyedSizes,
             [&](const Size &s, double zeros, bool exact, std::mt19937 &generator) {
               return keyed_data(int64, s, zeros, exact, generator);
             }),
       every_host()});
}

TEST_CASE("the 1, 2 and 8 best experts of each token, combined in slot order") {
  const std::vector<Size> sizes = {{1, 8, 1, 1}, {13, 8, 7, 9}, {40, 16, 12, 20}};
  for (const int slots : {1, 2, 8}) {
    CAPTURE(slots);
    check_agreement({top_experts(slots, false),
                     {"", kExpertOrder, kExpertTiles},
                     sweep(sizes, expert_data, true)});
    check_agreement({top_experts(slots, true),
                     {"", kExpertOrder, kExpertTiles},
                     inexact(sweep(sizes, expert_data, true))});
  }
}

TEST_CASE("the experts of each token scatter-add to it: a token fused with its slots is the axis") {
  Var t("t"), s("s"), d("d");
  TensorParam X(float32, 2, "X"), W(float32, 3, "W"), expert(int32, 2, "expert"),
      prob(float32, 2, "prob");
  RDom u(0, expert.extent(1), "u"), c(0, X.extent(1), "c");
  Func Acc("Acc"), Y("Y");
  Acc(t, s, d) += X(t, c) * W(expert(t, s), c, d);
  Y(t, d) += prob(t, u) * Acc(t, u, d);
  const std::string fused = "Y.update(0).reorder(d, t, u)\nY.update(0).fuse(t, u, tu)\n";
  check_agreement(
      {Pipeline({Y}, {}, "fused_scatter_add"),
       {"", fused,
        fused + "Y.update(0).pit_tile(g, axis=tu, group=expert(t, u), dense={tu:16, d:32})\n"
                "Y.update(0).atomic()\nAcc.compute_at(Y.update(0), g)\n"},
       sweep({{1, 1, 1, 1, 1}, {13, 2, 5, 7, 9}, {40, 3, 4, 12, 33}},
             [](const Size &size, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               const std::int64_t tokens = size[0], slots = size[1], experts = size[2],
                                  in = size[3], out = size[4];
               return {{{"X", random_values(float32, {tokens, in}, generator, exact, zeros)},
                        {"W", random_values(float32, {experts, in, out}, generator, exact, 0)},
                        {"expert", random_integers(int32, {tokens, slots}, generator, 0, experts)},
                        {"prob", random_values(float32, {tokens, slots}, generator, exact, 0)}},
                       {},
                       {{"Y", {tokens, out}}}};
             })});
}

TEST_CASE("gather, matmul, scatter-add back to the tokens: rows that several experts add to") {
  Var d("d");
  TensorParam X(float32, 2, "X"), W(float32, 3, "W"), key(int32, 1, "key"),
      token(int64, 1, "token");
  RDom p(0, key.extent(0), "p"), c(0, X.extent(1), "c");
  p.where(key(p) >= 0);
  Func Y("Y");
  Var t("t");
  Y(t, d) = 0.f;
  Y(token(p), d) += X(token(p), c) * W(key(p), c, d);
  check_agreement(
      {Pipeline({Y}, {}, "scatter_add"),
       {"", "Y.update(0).pit_tile(gt, axis=p, group=key(p), dense={p:16, d:8})\n",
        "Y.update(0).pit_tile(gt, axis=p, group=key(p), dense={p:32, "
        "d:64})\nY.update(0).atomic()\n",
        "Y.update(0).pit_tile(gt, axis=p, dense={p:16, d:16})\n"},
       sweep({{1, 1, 1, 1}, {13, 5, 7, 9}, {50, 8, 16, 20}},
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               Problem data =
                   keyed_data(int32, {s[0] * 3, s[1], s[2], s[3]}, zeros, exact, generator);
               data.inputs["X"] = data.inputs["X"].sliced(0, 0, s[0]);
               data.inputs["token"] = random_integers(int64, {s[0] * 3}, generator, 0, s[0]);
               data.outputs = {{"Y", {s[0], s[3]}}};
               return data;
             })});
}

TEST_CASE("rows packed by segment need no index") {
  Var p("p"), f("f");
  TensorParam X(float32, 2, "X"), W(float32, 3, "W"), offsets(int32, 1, "offsets");
  RDom c(0, X.extent(1), "c");
  Func Acc("Acc"), H("H");
  const Expr group = segment(offsets, p);
  Acc(p, f) += X(p, c) * W(group, c, f);
  H(p, f) = Acc(p, f);
  Var up("up");
  const auto data = [](const Size &s, double zeros, bool exact,
                       std::mt19937 &generator) -> Problem {
    // Segments: a share of them empty.
    const AnyBuffer ends(int32, {s[1] + 1});
    std::uniform_real_distribution<double> unit(0, 1);
    std::int64_t at = 0;
    for (std::int64_t g = 1; g <= s[1]; ++g) {
      if (unit(generator) >= zeros)
        at += std::uniform_int_distribution<std::int64_t>(0, s[0] - at)(generator);
      if (g == s[1]) at = s[0];
      ends.set_number(Shape{g}, static_cast<double>(at));
    }
    return {{{"X", random_values(float32, {s[0], s[2]}, generator, exact)},
             {"W", random_values(float32, {s[1], s[2], s[3]}, generator, exact)},
             {"offsets", ends}},
            {},
            {{"H", {s[0], s[3]}}}};
  };
  check_agreement({Pipeline({H}, {}, "segments"), {""}, sweep(kKeyedSizes, data)});
  for (const std::int64_t rows : {1, 16, 128}) {
    Func G("H"), A("Acc");
    A(p, f) += X(p, c) * W(group, c, f);
    G(p, f) = A(p, f);
    G.pit_tile(up, {.axis = p, .group = group, .dense = {{p, rows}, {f, 16}}});
    A.compute_at(G, up);
    check_agreement({Pipeline({G}, {}, "segments"),
                     {Pipeline({G}).schedule().to_string()},
                     sweep(kKeyedSizes, data)});
  }
}

TEST_CASE("sentences of different lengths") {
  Var b("b"), t("t"), d("d"), f("f");
  TensorParam X(float32, 3, "X"), W1(float32, 2, "W1"), W2(float32, 2, "W2"), len(int64, 1, "len");
  RDom c(0, X.extent(2), "c"), r(0, W1.extent(1), "r");
  Func A1("A1"), H("H"), A2("A2"), Out("Out");
  A1(b, t, f) += X(b, t, c) * W1(c, f);
  H(b, t, f) = max(A1(b, t, f), 0);
  A2(b, t, d) += H(b, t, r) * W2(r, d);
  Out(b, t, d) = A2(b, t, d) + X(b, t, d);
  Out.where(t < len(b));
  const std::string fused = "Out.fuse(b, t, bt)\ntokens = Out.index(axis=bt)\n";
  check_agreement(
      {Pipeline({Out}, {}, "sentences"),
       {"",
        fused + "Out.pit_tile(two, dense={bt:16, d:16}, index=tokens)\nA2.compute_at(Out, "
                "two)\nH.fuse(b, t, bt)\n"
                "H.pit_tile(one, dense={bt:16, f:16}, "
                "index=tokens)\nH.store_compact(tokens)\nA1.compute_at(H, one)\n",
        fused + "Out.pit_tile(two, dense={bt:8}, index=tokens)\nA2.compute_at(Out, "
                "two)\nH.compute_at(Out, two)\nA1.compute_at(Out, two)\n",
        "Out.pit_tile(two, axis=t, dense={t:8, d:8})\nA2.compute_at(Out, two)\nH.compute_root()\n",
        "H.compute_root()\nOut.parallel(b)\n"},
       sweep({{1, 1, 1, 1}, {3, 9, 5, 7}, {4, 33, 16, 20}},
             [](const Size &s, double zeros, bool exact, std::mt19937 &generator) -> Problem {
               return {{{"X", random_values(float32, {s[0], s[1], s[2]}, generator, exact)},
                        {"W1", random_values(float32, {s[2], s[3]}, generator, exact)},
                        {"W2", random_values(float32, {s[3], s[2]}, generator, exact)},
                        {"len", random_integers(int64, {s[0]}, generator, 0,
                                                1 + static_cast<std::int64_t>(
                                                        (1 - zeros) * static_cast<double>(s[1])))}},
                       {},
                       {{"Out", {s[0], s[1], s[2]}}}};
             })});
}
