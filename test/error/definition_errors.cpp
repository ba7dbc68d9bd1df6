// Programs that no definition may have, and what their errors say. One case a row.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "dsl/error.h"
#include "dsl/func.h"
#include "dsl/tensor.h"

namespace pit {
namespace {

struct Scene {
  Var i{"i"}, j{"j"};
  TensorParam A{float32, 2, "A"}, H{bfloat16, 2, "H"}, key{int32, 1, "key"}, M{boolean, 1, "M"};
  RDom k{0, 8, "k"}, box{0, 8, 0, 8, "box"};
  Func F{"F"}, G{"G"};
};

struct Case {
  std::string name;
  std::string part;  ///< of the message
  std::function<void(Scene &)> program;
};

const std::vector<Case> kCases = {
    // reading
    {"read before definition",
     "Func G is read before it has a definition; write G(...) = ... first",
     [](Scene &s) { s.F(s.i) = s.G(s.i); }},
    {"pure definition that reads itself", "Func F is read before it has a definition",
     [](Scene &s) { s.F(s.i) = s.F(s.i - 1) + 1; }},
    {"number of arguments", "Func F has 1 arguments and is given 2",
     [](Scene &s) {
       s.F(s.i) = 1.f;
       s.G(s.i) = s.F(s.i, s.i);
     }},
    {"float argument", "argument 0 of Func F, A(i, j), is float32; arguments are integers: cast it",
     [](Scene &s) {
       s.F(s.i) = 1.f;
       s.G(s.i, s.j) = s.F(s.A(s.i, s.j));
     }},
    {"undefined argument", "argument 0 of Func F is an undefined Expr",
     [](Scene &s) { s.F(Expr()) = 1.f; }},
    {"component out of range", "Func F has 2 components and no component [2]",
     [](Scene &s) {
       s.F(s.i) = Tuple(1, 2);
       s.G(s.i) = s.F(s.i)[2];
     }},
    {"Tuple as a value",
     "Func F has 2 components and is used as one value; choose one, e.g. F(...)[0]",
     [](Scene &s) {
       s.F(s.i) = Tuple(1, 2);
       s.G(s.i) = s.F(s.i);
     }},
    {"float index",
     "index 1 of TensorParam A, A(i, j), is float32; an index is an integer: cast it",
     [](Scene &s) { (void)s.A(s.i, s.A(s.i, s.j)); }},
    {"bool index", "index 0 of TensorParam key, M(i), is bool",
     [](Scene &s) { (void)s.key(s.M(s.i)); }},
    {"rank of an access", "TensorParam A has rank 2 and is accessed with 1 indices",
     [](Scene &s) { (void)s.A(s.i); }},
    {"extent out of range",
     "TensorParam A has rank 2 and no dimension 2; its dimensions are 0 to 1",
     [](Scene &s) { (void)s.A.extent(2); }},
    {"rank of a tensor", "TensorParam T has rank 7; ranks are 0 to 6",
     [](Scene &) { TensorParam(float32, 7, "T"); }},
    {"alignment", "the alignment of TensorParam A is 12 bytes; it is a power of two",
     [](Scene &s) { s.A.alignment(12); }},
    // pure definitions
    {"argument is no Var",
     "the first definition of Func F has the argument i + 1; the arguments of a pure definition",
     [](Scene &s) { s.F(s.i + 1) = 1.f; }},
    {"argument is an RVar", "the first definition of Func F has the argument k",
     [](Scene &s) { s.F(s.k) = 1.f; }},
    {"repeated argument", "has the argument i twice", [](Scene &s) { s.F(s.i, s.i) = 1.f; }},
    {"unknown Var",
     "Var j stands in the value of a definition of Func F; it is no Var of the left-hand side",
     [](Scene &s) { s.F(s.i) = s.A(s.i, s.j); }},
    {"RVar in a pure definition",
     "RVar k stands in the value of a definition of Func F, which is pure; write a reduction",
     [](Scene &s) { s.F(s.i) = s.A(s.i, s.k); }},
    {"undefined value", "the value of Func F is an undefined Expr",
     [](Scene &s) { s.F(s.i) = Expr(); }},
    // updates
    {"type of an update",
     "Func F holds bfloat16 and the update's value A(i, k) is float32; cast it: bf16(...)",
     [](Scene &s) {
       s.F(s.i) = bf16(0.f);
       s.F(s.i) += s.A(s.i, s.k);
     }},
    {"constant that does not fit",
     "Func F holds uint8 and the update's value 300 is int32; cast it: cast(uint8, ...)",
     [](Scene &s) {
       s.F(s.i) = cast(uint8, s.i);
       s.F(s.k) = 300;
     }},
    {"float constant into integers", "Func F holds int32",
     [](Scene &s) {
       s.F(s.i) = 0;
       s.F(s.k) = 0.5f;
     }},
    {"type of a component",
     "component 1 of Func F holds int64 and the update's value A(i, k) is float32; cast it: i64",
     [](Scene &s) {
       s.F(s.i) = Tuple(0.f, s.i);
       s.F(s.i) += Tuple(s.A(s.i, s.k), s.A(s.i, s.k));
     }},
    {"number of components",
     "Func F has 2 components and the update has 1; write a Tuple of 2 values",
     [](Scene &s) {
       s.F(s.i) = Tuple(1, 2);
       s.F(s.i) += 1;
     }},
    {"sum of bools", "Func F += M(k), which is a bool; cast it to a number",
     [](Scene &s) { s.F(s.i) += s.M(s.k); }},
    {"Var that is not the definition's", "it is another Var than the pure definition's i",
     [](Scene &s) {
       const Var other("i");
       s.F(s.i) = 0.f;
       s.F(other) += s.A(other, s.k);
     }},
    {"Var away from its position",
     "where j is not a plain argument at its own position; keep j there",
     [](Scene &s) {
       s.F(s.i, s.j) = 0.f;
       s.F(s.j, s.i) += 1.f;
     }},
    {"Var only inside an argument", "Var i stands in the left-hand side of a definition of Func F",
     [](Scene &s) { s.F(s.key(s.i)) += 1; }},
    {"Var only in a predicate", "Var j stands in a predicate of a definition of Func F",
     [](Scene &s) {
       s.k.where(s.k < s.j);
       s.F(s.i) += s.A(s.i, s.k);
     }},
    {"Var only in a bound", "Var j stands in a bound of its domain of a definition of Func F",
     [](Scene &s) {
       RDom r(0, s.j, "r");
       s.F(s.i) += s.A(s.i, r);
     }},
    {"RVar without a domain", "RVar q in a definition of Func F belongs to no RDom",
     [](Scene &s) { s.F(s.i) += s.A(s.i, RVar("q")); }},
    {"dimension beyond the rank", "RVar k.y in a definition of Func F belongs to no RDom",
     [](Scene &s) { s.F(s.i) += s.A(s.i, s.k.y); }},
    {"mutual recursion", "Func F is defined by Func G, which reads F",
     [](Scene &s) {
       s.F(s.i) = 0.f;
       s.G(s.i) = s.F(s.i);
       s.F(s.i) += s.G(s.i);
     }},
    {"recursion through an inline reduction", "Func F is defined by Func sum$k, which reads F",
     [](Scene &s) {
       s.F(s.i) = 0.f;
       s.F(s.i) += sum(s.k, s.F(s.k));
     }},
    {"undefined update", "Func F has only its pure definition, and update(0) is asked for",
     [](Scene &s) {
       s.F(s.i) = 0.f;
       s.F.update();
     }},
    // softmax
    {"softmax into another Func", "Func F is no state of a softmax",
     [](Scene &s) {
       s.F(s.i) = 0.f;
       s.F(s.i) += softmax_term(s.A(s.i, s.k), 1.f);
     }},
    {"softmax at a place that is no Var", "index i / 2 of the left-hand side is no Var of its own",
     [](Scene &s) { s.F(s.i / 2) += softmax_term(s.A(s.i, s.k), 1.f); }},
    {"type of a score", "the score H(i, k) is bfloat16; the state is float32: cast it, f32(...)",
     [](Scene &s) { s.F(s.i) += softmax_term(s.H(s.i, s.k), s.A(s.i, s.k)); }},
    {"type of a softmax value",
     "is float64; values are float32, bfloat16 or float16: cast it, f32(...)",
     [](Scene &s) { s.F(s.i) += softmax_term(s.A(s.i, s.k), cast(float64, s.H(s.i, s.k))); }},
    {"value of no softmax", "softmax_value reads the state of a softmax, and Func F is none",
     [](Scene &s) {
       s.F(s.i) = 0.f;
       s.G(s.i) = softmax_value(s.F(s.i));
     }},
    {"+= of a number to a softmax state", "Func F has 3 components and the update has 1",
     [](Scene &s) {
       s.F(s.i) += softmax_term(s.A(s.i, s.k), 1.f);
       s.F(s.i) += 1.f;
     }},
    // domains
    {"float bound", "a bound of RDom r, A(i, j), is float32; bounds are integers",
     [](Scene &s) { RDom(0, s.A(s.i, s.j), "r"); }},
    {"predicate that is no bool",
     "the predicate of RDom k, key(k), is int32 and not a bool; compare it, e.g. key(k) != 0",
     [](Scene &s) { s.k.where(s.key(s.k)); }},
    {"where after use", "RDom k is already used by a definition",
     [](Scene &s) {
       s.F(s.i) += s.A(s.i, s.k);
       s.k.where(s.k > 1);
     }},
    {"where after an inline reduction", "RDom k is already used by a definition",
     [](Scene &s) {
       s.F(s.i) = sum(s.k, s.A(s.i, s.k));
       s.k.where(s.k > 1);
     }},
    {"box as a variable", "RDom box has 2 dimensions and is no single variable; write box.x, box.y",
     [](Scene &s) { s.F(s.i) += s.A(s.i, s.box); }},
    {"csr of a matrix", "csr: TensorParam A is float32 of rank 2",
     [](Scene &s) { csr(s.A, s.key, s.i); }},
    // Func::where
    {"where of an undefined Func", "Func F is restricted before it has a definition",
     [](Scene &s) { s.F.where(s.i > 0); }},
    {"where over another Var",
     "the predicate of Func F reads Var j, which is none of the Func's Vars",
     [](Scene &s) {
       s.F(s.i) = 0.f;
       s.F.where(s.j > 0);
     }},
    {"where that reads the Func",
     "the predicate of Func F reads G(i), which depends on Func F itself",
     [](Scene &s) {
       s.F(s.i) = 0.f;
       s.G(s.i) = s.F(s.i);
       s.F.where(s.G(s.i) > 0);
     }},
    // inline reductions
    {"sum of bools, inline", "sum over RDom k of M(k), which is a bool; cast it",
     [](Scene &s) { sum(s.k, s.M(s.k)); }},
    {"top_k over a box", "top_k over RDom box of 2 dimensions; it gives one coordinate",
     [](Scene &s) { top_k(s.box, s.A(s.box.x, s.box.y), 0); }},
    {"float slot", "top_k over RDom k: the slot is an integer, and 1.0 is float32",
     [](Scene &s) { top_k(s.k, s.A(0, s.k), 1.f); }},
    {"sum of nothing", "sum over RDom k of an undefined Expr", [](Scene &s) { sum(s.k, Expr()); }},
    {"segment of a matrix", "segment: TensorParam A is float32 of rank 2",
     [](Scene &s) { segment(s.A, s.i); }},
    // schedules of nothing
    {"schedule of an undefined Func",
     "Func F is scheduled before it has a definition; write compute_root(...) after",
     [](Scene &s) { s.F.compute_root(); }},
    {"index beside a rule", "already says axis, group and micro-tile; give .dense and .index only",
     [](Scene &s) {
       s.F(s.i) += s.A(s.i, s.k);
       const SparseIndex live = s.F.update().index({.axis = s.k});
       s.F.update().pit_tile({.axis = s.k, .dense = {{s.k, 4}}, .index = live});
     }},
};

TEST_CASE("definition errors name the Func, the rule and the fix, at the user's line") {
  for (const Case &c : kCases) {
    std::string message = "no error";
    try {
      Scene scene;
      c.program(scene);
    } catch (const CompileError &error) {
      message = error.what();
    }
    INFO(c.name << ": " << message);
    CHECK(message.find(c.part) != std::string::npos);
    CHECK(message.find("definition_errors.cpp:") != std::string::npos);
  }
}

TEST_CASE("a failed definition leaves the Func as it was") {
  Scene s;
  CHECK_THROWS_AS(s.F(s.i) += s.A(s.j, s.k), CompileError);
  CHECK_FALSE(s.F.defined());
  s.F(s.i) += s.A(s.i, s.k);
  CHECK_THROWS_AS(s.F(s.i) += s.H(s.i, s.k), CompileError);
  CHECK(s.F.func()->definitions.size() == 2);
}

}  // namespace
}  // namespace pit
