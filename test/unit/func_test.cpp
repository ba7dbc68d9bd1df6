#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dsl/func.h"
#include "dsl/tensor.h"

namespace pit {
namespace {

const DefinitionData &definition(const Func &func, int i) {
  return func.func()->definitions.at(static_cast<std::size_t>(i));
}

/// "F(i, j) += value" of a definition.
std::string text(const Func &func, int i) {
  const DefinitionData &d = definition(func, i);
  std::string args, values;
  for (const Expr &arg : d.args) args += (args.empty() ? "" : ", ") + to_string(arg);
  for (const Expr &value : d.values) values += (values.empty() ? "" : ", ") + to_string(value);
  return func.name() + "(" + args + ") " + to_string(d.combiner) + " " + values;
}

/// "i in [0, 8), j in ..." of a definition's domain.
std::string domain(const DefinitionData &d) {
  std::string result;
  for (const ReductionDim &dim : d.domain) {
    result += (result.empty() ? "" : "; ") + dim.var->name + " from " + to_string(dim.min) +
              " extent " + to_string(dim.extent);
  }
  return result;
}

std::string predicates(const DefinitionData &d) {
  std::string result;
  for (const Expr &p : d.predicates) result += (result.empty() ? "" : "; ") + to_string(p);
  return result;
}

/// The Func that an expression calls first.
const FuncNode &called(const Expr &e) {
  const FuncNode *found = nullptr;
  walk(e, [&](const Expr &node) {
    if (const auto *call = node.as<Call>()) found = call->func;
    return found == nullptr;
  });
  REQUIRE(found != nullptr);
  return *found;
}

struct Scene {
  Var i{"i"}, j{"j"}, t{"t"};
  TensorParam A{float32, 2, "A"}, B{float32, 2, "B"}, H{bfloat16, 2, "H"}, key{int32, 1, "key"},
      len{int32, 1, "len"};
  TensorParam offsets{int32, 1, "offsets"}, M{boolean, 2, "M"};
  RDom k{0, A.extent(1), "k"};
  Func F{"F"}, G{"G"};
};

// --- definitions ---

TEST_CASE("func: the first = is the pure definition, later ones are updates") {
  Scene s;
  s.F(s.i, s.j) = s.A(s.i, s.j);
  const Definition update = (s.F(s.i, s.k) = s.F(s.i, s.k - 1) * 2);
  CHECK(update.number() == 1);
  CHECK(s.F.func()->types == std::vector<Type>{float32});
  CHECK(text(s.F, 0) == "F(i, j) = A(i, j)");
  CHECK(text(s.F, 1) == "F(i, k) = F(i, k - 1) * 2.0");
  CHECK(domain(definition(s.F, 1)) == "k from int64(0) extent A.extent(1)");
  CHECK_FALSE(s.F.func()->is_pure());
}

TEST_CASE("func: += on an undefined Func begins with the identity") {
  Scene s;
  s.F(s.i, s.j) += f32(s.H(s.i, s.k)) * s.B(s.k, s.j);
  CHECK(definition(s.F, 0).implicit);
  CHECK(text(s.F, 0) == "F(i, j) = 0.0");
  CHECK(text(s.F, 1) == "F(i, j) += float32(H(i, k)) * B(k, j)");
  s.G(s.i) *= s.A(s.i, s.k);
  CHECK(text(s.G, 0) == "G(i) = 1.0");
  Func D("D");
  D(s.i) -= s.A(s.i, s.k);
  CHECK(text(D, 1) == "D(i) += -A(i, k)");
}

TEST_CASE("func: the implicit definition has fresh Vars where an argument is no plain Var") {
  Scene s;
  RDom r(0, s.key.extent(0), "r");
  s.F(s.key(r), s.j) += s.A(r, s.j);
  CHECK(text(s.F, 0) == "F(_0, j) = 0.0");
  CHECK(text(s.F, 1) == "F(int64(key(r)), j) += A(r, j)");
  s.G(s.i, s.i) += 1.0f;
  CHECK(text(s.G, 0) == "G(i, _1) = 0.0");
}

TEST_CASE("func: combiners are recognised when the rest does not read the Func") {
  Scene s;
  const Expr e = s.A(s.i, s.k);
  const auto combiner_of = [&](Type type, const std::function<Expr(Expr)> &value) {
    Func f("f");
    f(s.i) = make_zero(type);
    f(s.i) = value(f(s.i));
    return text(f, 1);
  };
  CHECK(combiner_of(float32, [&](Expr f) { return min(f, e); }) == "f(i) min= A(i, k)");
  CHECK(combiner_of(float32, [&](Expr f) { return max(e, f); }) == "f(i) max= A(i, k)");
  CHECK(combiner_of(boolean, [&](Expr f) { return f && s.M(s.i, s.k); }) == "f(i) &&= M(i, k)");
  CHECK(combiner_of(boolean, [&](Expr f) { return s.M(s.i, s.k) || f; }) == "f(i) ||= M(i, k)");
  CHECK(combiner_of(float32, [&](Expr f) { return f + e; }) == "f(i) += A(i, k)");
  CHECK(combiner_of(float32, [&](Expr f) { return e * f; }) == "f(i) *= A(i, k)");
  CHECK(combiner_of(float32, [&](Expr f) { return f - e; }) == "f(i) += -A(i, k)");
  CHECK(combiner_of(float32, [&](Expr f) { return f + e + 1; }) == "f(i) += A(i, k) + 1.0");
  CHECK(combiner_of(float32, [&](Expr f) { return f + e - 1; }) == "f(i) += A(i, k) - 1.0");
  CHECK(combiner_of(float32, [&](Expr f) { return e - f; }) == "f(i) = A(i, k) - f(i)");
  CHECK(combiner_of(float32, [&](Expr f) { return f + e * f; }) == "f(i) = f(i) + A(i, k) * f(i)");
  CHECK(combiner_of(float32, [&](Expr f) { return (f + e) * 2; }) ==
        "f(i) = (f(i) + A(i, k)) * 2.0");
  CHECK(combiner_of(float32, [&](Expr f) { return f * 2 + e; }) == "f(i) = f(i) * 2.0 + A(i, k)");
}

TEST_CASE("func: a combiner is recognised only at the place that is updated") {
  Scene s;
  RDom r(1, s.A.extent(0) - 1, "r");
  s.F(s.i) = 0.0f;
  s.F(r) = s.F(r - 1) + s.A(r, 0);  // a scan
  CHECK(definition(s.F, 1).combiner == Combiner::Assign);
}

TEST_CASE("func: Tuples have one type a component and one combiner") {
  Scene s;
  s.F(s.i) = Tuple(0.f, 0);
  s.F(s.i) += Tuple(s.A(s.i, s.k), 1);
  CHECK(s.F.func()->types == std::vector<Type>{float32, int32});
  CHECK(text(s.F, 1) == "F(i) += A(i, k), 1");
  s.F(s.i) = Tuple(max(s.F(s.i)[0], s.A(s.i, s.k)), max(s.F(s.i)[1], 2));
  CHECK(definition(s.F, 2).combiner == Combiner::Max);
  s.F(s.i) = Tuple(max(s.F(s.i)[0], s.A(s.i, s.k)), s.F(s.i)[1] + 1);
  CHECK(definition(s.F, 3).combiner == Combiner::Assign);
  s.F(s.i) = Tuple(s.F(s.i)[0] + 1, s.F(s.i)[1] + i32(s.F(s.i)[0]));
  CHECK(definition(s.F, 4).combiner == Combiner::Assign);
  s.G(s.i) += Tuple(1.f, s.i);
  CHECK(text(s.G, 0) == "G(i) = 0.0, int64(0)");
}

TEST_CASE("func: constants take the Func's type") {
  Scene s;
  s.F(s.i) = bf16(s.A(s.i, 0));
  s.F(s.k) = 1;
  CHECK(definition(s.F, 1).values[0].type() == bfloat16);
}

TEST_CASE("func: the state of a softmax") {
  Scene s;
  s.F(s.i, s.j) += softmax_term(s.A(s.i, s.k), s.B(s.k, s.j));
  CHECK(s.F.func()->types == std::vector<Type>(3, float32));
  CHECK(text(s.F, 0) == "F(i, j) = -inf, 0.0, 0.0");
  CHECK(text(s.F, 1) == "F(i, j) softmax= A(i, k), B(k, j)");
  s.F(s.i, s.j) += softmax_term(0, 1);
  CHECK(text(s.F, 2) == "F(i, j) softmax= 0.0, 1.0");
  CHECK(to_string(softmax_value(s.F(s.i, s.j))) ==
        "F(i, j)[2] * select(F(i, j)[1] == 0.0, 0.0, 1.0 / F(i, j)[1])");
  CHECK(to_string(log_sum_exp(s.F(s.i, 0))) == "F(i, 0)[0] + log(F(i, 0)[1])");
}

// --- domains ---

TEST_CASE("rdom: conjunctions are factors, in the order written") {
  Scene s;
  s.k.where(s.A(s.i, s.k) != 0 && (s.B(s.k, s.j) != 0 && s.k < s.len(s.i)));
  s.k.where(s.k > s.i);
  s.F(s.i, s.j) += s.A(s.i, s.k) * s.B(s.k, s.j);
  CHECK(predicates(definition(s.F, 1)) ==
        "A(i, k) != 0.0; B(k, j) != 0.0; k < int64(len(i)); k > i");
}

TEST_CASE("rdom: a definition gathers its domains in order of appearance") {
  Scene s;
  RDom o(0, 27, "o"), c(0, s.A.extent(1), "c");
  o.where(s.key(o) >= 0);
  s.F(s.i) += s.A(s.key(o), c) * s.B(o, c);
  CHECK(domain(definition(s.F, 1)) ==
        "o from int64(0) extent int64(27); c from int64(0) extent A.extent(1)");
  CHECK(predicates(definition(s.F, 1)) == "key(o) >= 0");
}

TEST_CASE("rdom: a domain whose bounds read another's variable comes after it") {
  Scene s;
  RDom row(0, s.offsets.extent(0) - 1, "row");
  RDom p = csr(s.offsets, s.key, row, "p");
  s.F(s.j) += s.A(s.key(p), s.j) * s.B(row, s.j);
  CHECK(domain(definition(s.F, 1)) ==
        "row from int64(0) extent offsets.extent(0) - 1; "
        "p from int64(offsets(row)) extent int64(offsets(row + 1) - offsets(row))");
}

TEST_CASE("rdom: a domain reached only through a predicate belongs to the definition") {
  Scene s;
  RDom u(0, 2, "u");
  s.k.where(s.M(u, s.k));
  s.F(s.i) += s.A(s.i, s.k);
  CHECK(domain(definition(s.F, 1)) ==
        "k from int64(0) extent A.extent(1); u from int64(0) extent int64(2)");
}

TEST_CASE("rdom: several dimensions, outermost first") {
  Scene s;
  RDom b(0, s.len(s.i), 0, 64, "b");
  CHECK(b.dimensions() == 2);
  CHECK(b.x.name() == "b.x");
  CHECK(b[1].node() == b.y.node());
  s.F(s.i) += s.A(s.i, b.x * 64 + b.y);
  CHECK(domain(definition(s.F, 1)) ==
        "b.x from int64(0) extent int64(len(i)); b.y from int64(0) extent int64(64)");
}

TEST_CASE("func: predicates of a Func are over its Vars") {
  Scene s;
  s.F(s.i, s.j) = s.A(s.i, s.j);
  s.F.where(s.j < s.len(s.i) && s.M(s.i, s.j)).where(s.i > 0);
  CHECK(s.F.func()->predicates.size() == 3);
  CHECK(to_string(s.F.func()->predicates[1]) == "M(i, j)");
}

// --- ownership ---

TEST_CASE("func: a Func that reads itself is freed") {
  std::weak_ptr<FuncNode> watched;
  {
    Scene s;
    RDom r(1, 9, "r");
    r.where(s.A(r, 0) > 0);
    s.F(s.i) = 0.0f;
    r.where(s.F(r) < 1);
    s.F(r) = s.F(r - 1) + s.A(r, i32(s.F(r)));
    s.F(s.i) += sum(s.k, s.A(s.i, s.k));
    watched = s.F.func();
    CHECK_FALSE(watched.expired());
  }
  CHECK(watched.expired());
}

TEST_CASE("func: what a Func reads lives as long as it") {
  Var i("i");
  Func F("F");
  {
    TensorParam A(float32, 1, "A");
    Func G("G");
    G(i) = A(i) + 1;
    RDom r(0, A.extent(0), "r");
    F(i) += G(r);
  }
  const DefinitionData &d = F.func()->definitions[1];
  CHECK(to_string(d.values[0]) == "G(r)");
  CHECK(to_string(d.values[0].as<Call>()->func->definitions[0].values[0]) == "A(i) + 1.0");
}

// --- inline reductions ---

TEST_CASE("inline: sum is a hidden Func over the free variables") {
  Scene s;
  s.F(s.i, s.j) = sum(s.k, s.A(s.i, s.k) * s.B(s.k, s.j)) + 1;
  CHECK(to_string(definition(s.F, 0).values[0]) == "sum$k(i, j) + 1.0");
  const FuncNode &hidden = called(definition(s.F, 0).values[0]);
  CHECK(hidden.inline_reduction);
  REQUIRE(hidden.definitions.size() == 2);
  CHECK(hidden.definitions[1].combiner == Combiner::Sum);
  CHECK(to_string(hidden.definitions[1].values[0]) == "A(i, k) * B(k, j)");
  CHECK(hidden.args.size() == 2);
  CHECK(hidden.args[0] != s.i.node());
  CHECK(uses(hidden.definitions[1].values[0], hidden.args[0]));
  CHECK_FALSE(uses(hidden.definitions[1].values[0], s.i.node()));
  CHECK_FALSE(
      uses(hidden.definitions[1].values[0], s.k.x.node()));  // fresh, so that sums over k may nest
}

TEST_CASE("inline: a foreign RVar is an argument") {
  Scene s;
  RDom c(0, 4, "c");
  c.where(c <= s.k);
  s.F(s.i) += sum(c, s.A(s.k, c));
  CHECK(text(s.F, 1) == "F(i) += sum$c(k)");
  CHECK(domain(definition(s.F, 1)) == "k from int64(0) extent A.extent(1)");
  const FuncNode &hidden = called(definition(s.F, 1).values[0]);
  CHECK(predicates(hidden.definitions[1]) == "c <= k");
  CHECK(hidden.args[0]->role == VarRole::Pure);
}

TEST_CASE("inline: free variables of bounds and predicates are arguments too") {
  Scene s;
  RDom c(s.t, s.len(s.i), "c");
  c.where(c <= s.j);
  const Expr e = maximum(c, s.A(0, c));
  CHECK(to_string(e) == "maximum$c(t, i, j)");
  CHECK(to_string(called(e).definitions[0].values[0]) == "-inf");
}

TEST_CASE("inline: minimum, maximum and product have their identities") {
  Scene s;
  CHECK(to_string(called(minimum(s.k, s.key(s.k))).definitions[0].values[0]) == "2147483647");
  CHECK(to_string(called(maximum(s.k, s.key(s.k))).definitions[0].values[0]) == "-2147483648");
  CHECK(to_string(called(product(s.k, s.key(s.k))).definitions[0].values[0]) == "1");
}

TEST_CASE("inline: top_k has a slot argument and gives key and coordinate") {
  Scene s;
  s.F(s.i, s.j) = top_k(s.k, s.A(s.i, s.k), s.j);
  CHECK(text(s.F, 0) == "F(i, j) = top_k$k(i, j)[0], top_k$k(i, j)[1]");
  const FuncNode &hidden = called(definition(s.F, 0).values[0]);
  CHECK(hidden.types == std::vector<Type>{float32, int32});
  CHECK(hidden.args.back()->name == "slot");
  CHECK(hidden.definitions[1].combiner == Combiner::TopK);
  CHECK(hidden.definitions[1].values.size() == 1);
  CHECK(to_string(hidden.definitions[0].values[0]) == "-inf");
  CHECK(to_string(hidden.definitions[0].values[1]) == "-1");
  CHECK(definition(s.F, 0).values[0].as<Call>()->func ==
        definition(s.F, 0).values[1].as<Call>()->func);
}

TEST_CASE("inline: argmin ranks reversed keys and gives them back") {
  Scene s;
  const Tuple largest = argmax(s.k, s.key(s.k)), smallest = argmin(s.k, s.key(s.k)),
              least = argmin(s.k, s.A(0, s.k));
  CHECK(to_string(largest[0]) == "argmax$k(0)[0]");
  CHECK(to_string(smallest[0]) == "~argmin$k(0)[0]");
  CHECK(to_string(called(smallest[0]).definitions[1].values[0]) == "~key(k)");
  CHECK(to_string(least[0]) == "-argmin$k(0)[0]");
  CHECK(least[1].type() == int32);
}

TEST_CASE("inline: softmax_sum is a hidden state and its value") {
  Scene s;
  const Expr e = softmax_sum(s.k, s.A(s.i, s.k), s.B(s.k, s.j));
  CHECK(e.type() == float32);
  CHECK(called(e).definitions[1].combiner == Combiner::Softmax);
  CHECK(called(e).types.size() == 3);
}

TEST_CASE("inline: segment counts the ends of the segments up to a position") {
  Scene s;
  const Expr e = segment(s.offsets, s.i);
  CHECK(e.type() == int64);
  CHECK(to_string(e) == "segment$offsets(i)");
  const FuncNode &hidden = called(e);
  CHECK(hidden.segment_offsets == s.offsets.storage());
  CHECK(domain(hidden.definitions[1]) == "g from int64(0) extent offsets.extent(0) - 1");
  CHECK(predicates(hidden.definitions[1]) == "int64(offsets(g + 1)) <= p");
  CHECK(to_string(hidden.definitions[1].values[0]) == "int64(1)");
}

// --- tensors ---

TEST_CASE("tensor: declared strides and alignment") {
  TensorParam A(bfloat16, 2, "A");
  CHECK(A.storage()->alignment == 1);
  CHECK(A.storage()->declared_strides == std::vector<std::int64_t>{-1, -1});
  A.dim(0).stride(1);
  A.alignment(16);
  CHECK(A.storage()->declared_strides == std::vector<std::int64_t>{1, -1});
  CHECK(A.storage()->alignment == 16);
}

// --- combiners ---

TEST_CASE("combiner: the identity leaves a value unchanged") {
  for (Combiner c : {Combiner::Sum, Combiner::Product, Combiner::Min, Combiner::Max}) {
    for (Type type : {int8, uint8, int64, uint64, float16, bfloat16, float32}) {
      const Expr value = make_const(type, 5);
      INFO(to_string(c) << " " << to_string(type));
      CHECK(equal(combine(c, identity_of(c, type), value), value));
    }
    CHECK(is_permutable(c));
  }
  for (bool value : {false, true}) {
    CHECK(equal(combine(Combiner::And, identity_of(Combiner::And, boolean), value), Expr(value)));
    CHECK(equal(combine(Combiner::Or, identity_of(Combiner::Or, boolean), value), Expr(value)));
  }
  CHECK_FALSE(is_permutable(Combiner::Assign));
  CHECK(equal(combine(Combiner::Min, identity_of(Combiner::Min, uint64), make_int(uint64, -2)),
              make_int(uint64, -2)));
}

}  // namespace
}  // namespace pit
