#include "data_operators.h"

namespace pit::test {

std::vector<CallArgument> arguments(const Pipeline &p, const Problem &problem,
                                    const std::map<std::string, AnyBuffer> &outputs) {
  std::vector<CallArgument> list;
  for (const Argument &a : p.signature()) {
    if (a.kind == Argument::Kind::InputTensor) {
      list.push_back(CallArgument(problem.inputs.at(a.name)));
    } else if (a.kind == Argument::Kind::Scalar) {
      list.push_back(scalar_argument(a.type, problem.scalars.at(a.name)));
    } else {
      list.push_back(CallArgument(outputs.at(a.name)));
    }
  }
  return list;
}

bool is_poison(const AnyBuffer &b) {
  const auto *bytes = static_cast<const unsigned char *>(b.data());
  for (std::int64_t i = 0; i < b.size() * b.type().bytes(); ++i) {
    if (bytes[i] != 0xA5) return false;
  }
  return true;
}

AnyBuffer numbers(const Shape &extents, int seed, double zeros) {
  std::mt19937 generator(static_cast<unsigned>(seed));
  return random_values(float32, extents, generator, true, zeros);
}

Operator route(Type key, bool drop_negative) {
  return {[key, drop_negative](bool scheduled) {
            Var t("t"), f("f"), tile("tile");
            TensorParam X(float32, 2, "X"), W(float32, 3, "W"), expert(key, 1, "expert");
            RDom c(0, X.extent(1), "c");
            Func Y("Y");
            Y(t, f) += X(t, c) * W(expert(t), c, f);
            if (drop_negative) Y.where(expert(t) >= 0);
            if (scheduled) {
              Y.update().pit_tile(tile, {.axis = t, .group = expert(t), .dense = {{t, 4}}});
            }
            return Pipeline({Y}, {}, "route");
          },
          [key] {
            const AnyBuffer expert(key, {6});
            for (const std::int64_t t : {1, 2, 4}) expert.set_number(Shape{t}, 1);
            return Problem{
                {{"X", numbers({6, 3}, 1)}, {"W", numbers({2, 3, 4}, 2)}, {"expert", expert}},
                {},
                {{"Y", {6, 4}}}};
          }};
}

Operator convolution() {
  return {[](bool scheduled) {
            Var p("p"), co("co"), tile("tile");
            TensorParam X(float32, 2, "X"), W(float32, 3, "W"), nbr(int32, 2, "nbr");
            RDom o(0, W.extent(0), "o"), ci(0, X.extent(1), "ci");
            o.where(nbr(p, o) >= 0);
            Func Z("Z");
            Z(p, co) += X(nbr(p, o), ci) * W(o, ci, co);
            if (scheduled) {
              Z.update().pit_tile(tile, {.axis = o, .micro = {{p, 2}}, .dense = {{o, 1}}});
            }
            return Pipeline({Z}, {}, "convolution");
          },
          [] {
            return Problem{
                {{"X", numbers({5, 3}, 3)},
                 {"W", numbers({3, 3, 4}, 4)},
                 {"nbr", Buffer<int>({4, 3}, {0, -1, 4, 1, 2, -1, -1, -1, -1, 3, 3, 0})}},
                {},
                {{"Z", {4, 4}}}};
          }};
}

Operator csr_product() {
  return {[](bool scheduled) {
            Var m("m"), n("n"), tile("tile");
            TensorParam rowptr(int32, 1, "rowptr"), colidx(int32, 1, "colidx");
            TensorParam val(float32, 1, "val"), X(float32, 2, "X");
            RDom p = csr(rowptr, colidx, m, "p");
            Func Y("Y");
            Y(m, n) += val(p) * X(colidx(p), n);
            if (scheduled) Y.update().pit_tile(tile, {.axis = p, .dense = {{p, 4}}});
            return Pipeline({Y}, {}, "csr_product");
          },
          [] {
            return Problem{{{"rowptr", values<int>({0, 2, 2, 4})},
                            {"colidx", values<int>({0, 1, 2, 0})},
                            {"val", numbers({4}, 5)},
                            {"X", numbers({3, 2}, 6)}},
                           {},
                           {{"Y", {3, 2}}}};
          }};
}

Operator multiply(const std::function<void(SparseIndex &)> &settings, bool strict) {
  return {[settings, strict](bool scheduled) {
            Var m("m"), n("n"), tile("tile");
            TensorParam A(float32, 2, "A"), B(float32, 2, "B");
            RDom k(0, A.extent(1), "k");
            k.where(A(m, k) != 0);
            Func C("C");
            C(m, n) += A(m, k) * B(k, n);
            if (scheduled) {
              SparseIndex live = C.update().index({.axis = k, .micro = {{m, 2}}}).named("live");
              if (settings) settings(live);
              C.update().pit_tile(tile, {.dense = {{k, 4}}, .index = live});
              if (strict) C.update().strict();
            }
            return Pipeline({C}, {}, "multiply");
          },
          [] {
            return Problem{
                {{"A", numbers({5, 9}, 7, 0.6)}, {"B", numbers({9, 6}, 8)}}, {}, {{"C", {5, 6}}}};
          }};
}

Operator given(std::int64_t micro, bool ragged) {
  return {[micro, ragged](bool) {
            Var m("m"), n("n"), tile("tile");
            TensorParam A(float32, 2, "A"), B(float32, 2, "B");
            TensorParam off(int32, 1, "off"), col(int32, 1, "col"), len(int32, 1, "len");
            RDom k(0, ragged ? min(i64(len(m)), A.extent(1)) : A.extent(1), "k");
            k.where(A(m, k) != 0);
            Func C("C");
            C(m, n) += A(m, k) * B(k, n);
            SparseIndex lists =
                C.update().index({.axis = k, .micro = {{k, micro}}}).named("lists").given(off, col);
            C.update().pit_tile(tile, {.dense = {{k, 4}}, .index = lists});
            return Pipeline({C}, {}, "given");
          },
          [micro] {
            return Problem{
                {{"A", Buffer<float>({2, 3}, {1, 0, 2, 0, 3, 0})},
                 {"B", numbers({3, 2}, 9)},
                 {"off", values<int>({0, 2, 3})},
                 {"len", values<int>({3, 3})},
                 {"col", values<int>(micro == 1 ? std::vector{0, 2, 1} : std::vector{0, 2, 0})}},
                {},
                {{"C", {2, 2}}}};
          }};
}

Operator given_rows() {
  return {[](bool) {
            Var i("i"), n("n"), tile("tile");
            RVar ko("ko"), ki("ki");
            TensorParam X(bfloat16, 2, "X"), W(bfloat16, 2, "W"), keep(uint8, 1, "keep");
            TensorParam off(int32, 1, "off"), col(int32, 1, "col");
            RDom k(0, X.extent(1), "k");
            Func C("C"), Y("Y");
            C(i, n) += f32(X(i, k)) * f32(W(k, n));
            Y(i, n) = C(i, n);
            Y.where(keep(i) != 0);
            SparseIndex lists = Y.index({.axis = i}).named("lists").given(off, col);
            Y.pit_tile(tile, {.dense = {{i, 64}, {n, 64}}, .index = lists}).persistent();
            C.compute_at(Y, tile);
            C.update()
                .split(k, ko, ki, 64)
                .warp_specialize({.producer_warps = 4, .consumer_warpgroups = 1});
            return Pipeline({Y}, {}, "given_rows");
          },
          [] {
            std::mt19937 generator(15);
            return Problem{{{"X", random_values(bfloat16, {5, 8}, generator, true, 0)},
                            {"W", random_values(bfloat16, {8, 16}, generator, true, 0)},
                            {"keep", Buffer<std::uint8_t>({5}, {1, 0, 1, 0, 1})},
                            {"off", values<int>({0, 3})},
                            {"col", values<int>({4, 0, 2})}},
                           {},
                           {{"Y", {5, 16}}}};
          }};
}

Operator given_by_key() {
  return {[](bool) {
            Var t("t"), tile("tile");
            TensorParam X(float32, 1, "X"), W(float32, 1, "W"), key(int32, 1, "key");
            TensorParam off(int32, 1, "off"), col(int32, 1, "col");
            Func Y("Y");
            Y(t) = X(t) * W(key(t));
            Y.where(key(t) >= 0);
            SparseIndex lists =
                Y.index({.axis = t, .group = key(t)}).named("lists").given(off, col);
            Y.pit_tile(tile, {.dense = {{t, 2}}, .index = lists});
            return Pipeline({Y}, {}, "given_by_key");
          },
          [] {
            return Problem{{{"X", numbers({5}, 12)},
                            {"W", numbers({3}, 13)},
                            {"key", values<int>({2, 0, 2, -1, 2})},
                            {"off", values<int>({0, 1, 1, 4})},
                            {"col", values<int>({1, 4, 0, 2})}},
                           {},
                           {{"Y", {5}}}};
          }};
}

Operator masked_route() {
  return {[](bool scheduled) {
            Var t("t"), f("f"), tile("tile");
            TensorParam W(float32, 2, "W"), mask(uint8, 2, "mask"), key(int32, 1, "key");
            Func Y("Y");
            Y(t, f) = W(key(t), f) * 2.f;
            Y.where(mask(t, f) != 0);
            if (scheduled) Y.pit_tile(tile, {.axis = t, .group = key(t), .dense = {{t, 2}}});
            return Pipeline({Y}, {}, "masked_route");
          },
          [] {
            return Problem{{{"W", numbers({3, 2}, 14)},
                            {"mask", Buffer<std::uint8_t>({3, 2}, {1, 1, 0, 0, 0, 1})},
                            {"key", values<int>({2, -1, 0})}},
                           {},
                           {{"Y", {3, 2}}}};
          }};
}

Operator asked() {
  return {[](bool) {
            Var m("m"), n("n"), tile("tile");
            TensorParam A(float32, 2, "A"), X(float32, 1, "X");
            RDom k(0, A.extent(1), "k");
            k.where(A(m, k) != 0);
            Func C("C"), D("D");
            C(m) += A(m, k);
            SparseIndex live = C.update().index({.axis = k}).named("live");
            C.update().pit_tile(tile, {.dense = {{k, 4}}, .index = live});
            D(m, n) = X(n);
            D.where(live.position({m, n}) >= 0);
            return Pipeline({D, C}, {}, "asked");
          },
          [] {
            return Problem{{{"A", numbers({4, 5}, 15, 0.5)}, {"X", numbers({5}, 16)}},
                           {},
                           {{"D", {4, 5}}, {"C", {4}}}};
          }};
}

Operator blocks() {
  return {[](bool) {
            Var i("i"), j("j"), tile("tile");
            TensorParam A(float32, 2, "A"), B(float32, 2, "B"), mask(uint8, 2, "mask");
            RDom c(0, A.extent(1), "c");
            Func C("C"), S("S");
            C(i, j) += A(i, c) * B(j, c);
            S(i, j) = C(i, j);
            S.where(mask(i / 4, j / 4) != 0);
            SparseIndex list = S.index({.axis = j, .micro = {{i, 4}, {j, 4}}}).named("list");
            S.pit_tile(tile, {.dense = {{i, 4}, {j, 8}}, .index = list});
            S.store_compact(list);
            C.compute_at(S, tile);
            return Pipeline({S}, {list}, "blocks");
          },
          [] {
            return Problem{{{"A", numbers({8, 3}, 10)},
                            {"B", numbers({8, 3}, 11)},
                            {"mask", Buffer<std::uint8_t>({2, 2}, {1, 0, 1, 1})}},
                           {},
                           {{"S", {3, 4, 4}},
                            {"list.offsets", {3}},
                            {"list.coordinates", {3}},
                            {"list.count", {1}}}};
          }};
}

std::function<void(Problem &)> set(const std::string &tensor, const Shape &at, double value) {
  return [=](Problem &p) { p.inputs.at(tensor).set_number(at, value); };
}
std::function<void(Problem &)> put(const std::string &tensor, const AnyBuffer &b) {
  return [=](Problem &p) { p.inputs.at(tensor) = b; };
}

}  // namespace pit::test
