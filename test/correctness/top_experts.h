// A mixture of experts: each token goes to its best experts, whose results are combined in slot
// order.
#pragma once

#include "test/correctness/agreement.h"

namespace pit::test {

/// Y(t, d) = sum over the `slots` best experts of their weight times X(t, .) W(expert, ., d).
inline Pipeline top_experts(int slots, bool softmax_weights) {
  Var t("t"), s("s"), d("d"), e("e");
  TensorParam X(float32, 2, "X"), Wg(float32, 2, "Wg"), W(float32, 3, "W");
  RDom c(0, X.extent(1), "c"), c2(0, X.extent(1), "c2"), r(0, Wg.extent(1), "r"), u(0, slots, "u"),
      v(0, slots, "v");
  Func logit("logit"), route("route"), prob("prob"), Acc("Acc"), Dn("Dn"), Y("Y");
  logit(t, e) += X(t, c) * Wg(c, e);
  route(t, s) = top_k(r, logit(t, r), s);
  if (softmax_weights) {
    prob(t, s) =
        exp(route(t, s)[0] - route(t, 0)[0]) / sum(v, exp(route(t, v)[0] - route(t, 0)[0]));
  } else {
    prob(t, s) = f32(s + 1);
  }
  Acc(t, s, d) += X(t, c2) * W(route(t, s)[1], c2, d);
  Dn(t, s, d) = Acc(t, s, d);
  Y(t, d) += prob(t, u) * Dn(t, u, d);
  return Pipeline({Y}, {}, "top_experts");
}

/// Exact data has distinct logits in exact arithmetic or ties, which go to the lower expert in any
/// case.
inline Problem expert_data(const Size &s, double zeros, bool exact, std::mt19937 &generator) {
  return {{{"X", random_values(float32, {s[0], s[2]}, generator, exact, zeros)},
           {"Wg", random_values(float32, {s[2], s[1]}, generator, exact)},
           {"W", random_values(float32, {s[1], s[2], s[3]}, generator, exact)}},
          {},
          {{"Y", {s[0], s[3]}}}};
}

inline const char *const kExpertOrder =
    "Dn.fuse(t, s, ts)\nby_expert = Dn.index(axis=ts, group=route(t, s)[1])\n"
    "Dn.pit_tile(up, dense={ts:16, d:16}, "
    "index=by_expert)\nDn.store_compact(by_expert)\nAcc.compute_at(Dn, up)\n";
inline const char *const kExpertTiles =
    "Dn.fuse(t, s, ts)\nDn.compute_root()\nDn.pit_tile(up, axis=ts, group=route(t, s)[1], "
    "dense={ts:32, d:8})\n"
    "Acc.compute_at(Dn, up)\nAcc.update(0).split(c2, co, ci, 4)\nY.parallel(t)\n";

}  // namespace pit::test
