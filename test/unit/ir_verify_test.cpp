#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "codegen/ir/text.h"
#include "codegen/ir/verify.h"
#include "dsl/error.h"
#include "dsl/func.h"

namespace pit::ir {
namespace {

std::string broken_rule(const Module &module) {
  try {
    verify(module, "a pass");
  } catch (const InternalError &error) {
    return error.what();
  }
  return "";
}

void check_breaks(const Module &module, const std::string &message) {
  const std::string error = broken_rule(module);
  CAPTURE(error);
  CAPTURE(message);
  const bool found = error.find(message) != std::string::npos;
  CHECK(found);
}

std::string with_signature(const std::string &body) {
  return "module m(A: float32[2], K: int32[1], n: int64) -> (C: float32[2]) {\n" + body + "\n}";
}

TEST_CASE("ir verifier - accepts what the rules allow") {
  for (const char *body :
       {"", "stage check a { } let x: int64 = n stage compute b { store C[x, 0] = 1 }",
        "heap h: int32[n] { stage index a { } } stage compute b { }",
        "parallel i < n { axes j < 4 store j: C[i, j] = A(i, j) where j < i }",
        "parallel i < n { let p: int64 = i * 2 for q = p count 2 { store C[q, 0] = 1 } }",
        "parallel i < n { if i == 0 { store C[0, 0] = 1 } }",
        "parallel i < n { store C[0, 0] = 1 where i == 0 }",
        "parallel i < n { reduce_store C[0, 0] += A(i, 0) atomic }",
        "parallel i < 1 { store C[0, 0] = 1 }",
        "parallel i < 0 { axes j < n store j: C[i, 0] = 1 }",
        "parallel i < n { tile %t: int64[] { store %t[] = i store C[%t[], 0] = 1 } }",
        "axes j < n, one < 1 store j, one: C[j, 0] = C(j, 0) + A(j, one)",
        "axes j < n sread j: C[K(j), 0] = A(K(j), 0) where K(j) >= 0",
        "for i < n { store C[i, 0] = C(i - 1, 0) }",
        "stage compute a { launch k threads 32 grid i < n, j < 2 { store C[i, j] = 1 } }",
        "axes h < 2, i < 3 max 8, j < 4, k < n max 16, l < 2"
        "  tile %a: bfloat16[16, 8, 2] tile %b: float16[4, 16] tile %c: float32[2, 8, 4]"
        "  mma batch(h) m(i) n(j) k(k): %c[h, i, j] += %a[k, i, h] * %b[j, k]"}) {
    CAPTURE(body);
    CHECK(broken_rule(parse(with_signature(body))) == "");
  }
}

TEST_CASE("ir verifier - every rule that text can break") {
  const char *const tiles =
      "axes h < 2, i < 3, j < 4, k < 5 "
      "tile %a: bfloat16[3, 5] tile %b: bfloat16[5, 4] tile %c: float32[3, 4] tile %d: float32[3, "
      "5] "
      "tile %e: int8[5, 4] tile %bad: bfloat16[2, 5] ";
  const char *const arrays =
      "heap marks: uint8[n] heap keys: int64[n] heap o: int32[n] heap c: int32[n] heap x: int32[n] "
      "heap w: int64[n] ";
  const struct {
    std::string body, message;
  } cases[] = {
      // kernels
      {"launch k threads 32 { store C[0, 0] = 1 }", "the kernel k is not in a stage"},
      {"stage compute a { launch k threads 32 { launch l threads 32 { } } }",
       "the kernel l is launched by a kernel"},
      {"stage compute a { launch k threads 1025 { } }", "a block of 1025 threads"},
      {"stage compute a { launch k threads 32 grid i < int64(K(0)) { } }",
       "an extent of the grid of k reads memory"},
      {"stage compute a { launch k threads 32 grid i < n, j < i { } }",
       "the variable i is not defined here"},
      {"stage compute a { launch k threads 32 grid i < n, j < n { store C[i, 0] = 1 } }",
       "every iteration of the parallel loop j writes the same elements of C"},
      // scopes
      {"let x: int64 = 1 { } store C[x, 0] = 1", "the variable x is not defined here"},
      {"for i < 2 { } store C[i, 0] = 1", "the variable i is not defined here"},
      {"axes i < 2 { } store i: C[i, 0] = 1", "the axis i is not defined here"},
      {"heap h: float32[2] { } store C[0, 0] = h[0]", "the storage h is not defined here"},
      {"heap h: float32[2] { } store h[0] = 1", "the storage h is not defined here"},
      {"for i < 2 { } for i < 2 { }", "i is defined twice"},
      {"axes i < 2 { } axes i < 2 { }", "i is defined twice"},
      {"let x: int64 = 1 { } let x: int64 = 1 { }", "x is defined twice"},
      {"heap h: int8[1] { } heap h: int8[1] { }", "h is defined twice"},
      // axes
      {"axes i < 2, j < 2 store i: C[i, j] = 1", "the axis j is read where it is not listed"},
      {"axes i < 2 for x < i { }", "the axis i is read where it is not listed"},
      {"axes i < 2 for x = i count 2 { }", "the axis i is read where it is not listed"},
      {"axes i < 2 let x: int64 = i", "the axis i is read where it is not listed"},
      {"axes i < 2 if i == 0 { }", "the axis i is read where it is not listed"},
      {"axes i < 2 heap h: int8[i]", "the axis i is read where it is not listed"},
      {"axes i < 2 axes j < i", "the axis i is read where it is not listed"},
      {"axes i < 2 check i < 2 else \"\"", "the axis i is read where it is not listed"},
      {"axes i < 2 store i, i: C[i, 0] = 1", "the axis i is listed twice"},
      {"axes i < 9 max 8", "the extent of axis i is above its maximum"},
      {"axes i < 9 max -1", "the maximum of axis i is negative"},
      // ranks and types
      {"store C[0] = 1", "C of rank 2 has 1 indices"},
      {"store C[A(0, 0), 0] = 1", "the index A(0, 0) is not an integer"},
      {"store C[0, 0] = n", "the value is of type int64, but C is of type float32"},
      {"store C[0, 0] = 1 where n", "the guard n is not a bool"},
      {"store C[0, 0] &&= true", "the value is of type bool, but C is of type float32"},
      {"store C[0, 0] ||= A(0, 0)", "||= into C, not of bools"},
      {"store C[0, 0] = 1 atomic", "an assignment is atomic"},
      {"store C[0, 0] = 1 bytes -4", "the number of bytes of a copy is negative"},
      {"if n { }", "the condition n is not a bool"},
      {"check n else \"\"", "the condition n is not a bool"},
      {"check true else \"{0}\" (A(0, 0))", "the reported value A(0, 0) is not an integer"},
      {"for i < A(0, 0) { }", "the extent A(0, 0) is not an integer"},
      {"for i = A(0, 0) count 1 { }", "the start A(0, 0) is not an integer"},
      {"axes i < A(0, 0)", "the extent A(0, 0) is not an integer"},
      {"heap h: int8[A(0, 0)]", "the extent A(0, 0) is not an integer"},
      {"let x: float32 = n", "the value of x is of type int64, not float32"},
      // tiles
      {"axes i < 5 tile %t: float32[4] fill i: %t[i] = 0",
       "index 0 of the tile t goes up to 4, but the extent is 4"},
      {"axes i < n max 5 tile %t: float32[4] fill i: %t[i] = 0",
       "index 0 of the tile t goes up to 4, but the extent is 4"},
      {"axes i < 5 tile %t: float32[4] load i: C[i, 0] = %t[i]",
       "index 0 of the tile t goes up to 4, but the extent is 4"},
      {"tile %h: float32[2, 4] store %h[1, 4] = 0",
       "index 1 of the tile h goes up to 4, but the extent is 4"},
      {"tile %h: float32[4] store %h[-2] = 0", "index 0 of the tile h goes up to -2"},
      // stores
      {"store A[0, 0] = 1", "the input A is written"},
      {"axes i < 2, j < n store i, j: C[i, 0] = 1",
       "the iterations of axis j assign the same elements of C"},
      {"axes i < 2 store i: C[i, 0] = C(i + 1, 0)",
       "iterations of axis i may read elements of C that others store"},
      {"axes i < 2 store i: C[i, 0] = C(i, 1) + C(0, 0)",
       "iterations of axis i may read elements of C that others store"},
      {"axes i < 2 reduce i: C[0, 0] += C(0, 0)",
       "iterations of axis i may read elements of C that others store"},
      {"axes i < 2 store i: C[i, 0] = 1 where C(0, 0) > 0",
       "iterations of axis i may read elements of C that others store"},
      // parallel loops
      {"parallel i < n { store C[0, 0] = 1 }",
       "every iteration of the parallel loop i writes the same elements of C, not atomically"},
      {"gpu_block i < n { gpu_thread j < n { store C[i, 0] = 1 } }",
       "every iteration of the parallel loop j writes"},
      {"parallel i < n { for j < i { store C[j, 0] = 1 } }",
       "every iteration of the parallel loop i writes"},
      {"parallel i < n { if n > 1 { store C[0, 0] = 1 } }",
       "every iteration of the parallel loop i writes"},
      {"parallel i < n { if i == 0 { } store C[0, 0] = 1 }",
       "every iteration of the parallel loop i writes"},
      {"parallel i < n { let x: int64 = n store C[x, 0] += 1 }",
       "every iteration of the parallel loop i writes"},
      {"heap a: int64[n] heap b: int64[n] parallel i < n { prefix a = b count 2 }",
       "the parallel loop i writes"},
      {std::string(tiles) +
           "parallel p < n { mma m(i) n(j) k(k): %c[i, j] += %a[i, k] * %b[k, j] }",
       "every iteration of the parallel loop p writes the same elements of c"},
      // mma
      {std::string(tiles) + "mma m(i) n(j): %c[i, j] += %a[i, k] * %b[k, j]",
       "an mma has no k axis"},
      {std::string(tiles) + "mma m(i) n(j, i) k(k): %c[i, j] += %a[i, k] * %b[k, j]",
       "the axis i is listed twice"},
      {std::string(tiles) + "mma m(i) n(j) k(k): %d[i, k] += %a[i, k] * %b[k, j]",
       "the operand d of an mma holds the axis k, which its role does not have"},
      {std::string(tiles) + "mma m(i) n(j) k(k): %c[i, j] += %a[i, k] * %b[k, k]",
       "holds the axis k twice"},
      {std::string(tiles) + "mma batch(h) m(i) n(j) k(k): %c[i, j] += %a[i, k] * %b[k, j]",
       "the operand c of an mma lacks the axis h"},
      {std::string(tiles) + "mma m(i) n(j) k(k): %c[i, j] += %a[i] * %b[k, j]",
       "the operand a of an mma lacks the axis k"},
      {std::string(tiles) + "mma m(i) n(j) k(k): %c[i, j] += %a[i, k] * %e[k, j]",
       "the operand e of an mma is of type int8, but the accumulator is float32"},
      {std::string(tiles) + "mma m(i) n(j) k(k): %c[i, j] += %bad[i, k] * %b[k, j]",
       "index 0 of the tile bad goes up to 2, but the extent is 2"},
      {"axes i < 3, k < 5 heap a: float32[3, 5] tile %b: float32[5] tile %c: float32[3]"
       " mma m(i) k(k): %c[i] += a[i, k] * %b[k]",
       "the operand a of an mma is no tile"},
      {"axes i < 3, k < 3 tile %c: float32[3] mma m(i) k(k): %c[i] += %c[k] * %c[k]", "of an mma"},
      // indices
      {std::string(arrays) + "index_place i(groups = 1, length = n, micro = 1) -> (offsets = o)",
       "a storage is missing"},
      {std::string(arrays) +
           "index_place i(marks = o, groups = 1, length = n, micro = 1) -> (offsets = o)",
       "o is of type int32, not uint8"},
      {std::string(arrays) +
           "index_place i(marks = marks, first = o, groups = 1, length = n, micro = 1) -> ()",
       "o is of type int32, not int64"},
      {std::string(arrays) +
           "index_place i(marks = marks, groups = 1, length = n, micro = 1) -> (counts = keys)",
       "keys is of type int64, not int32"},
      {std::string(arrays) +
           "index_place i(marks = marks, groups = 1, length = n, micro = 1, align = 0) -> ()",
       "the alignment of an index is below 1"},
      {std::string(arrays) + "index_place i(marks = marks, groups = 1, micro = 1) -> ()",
       "an expression is missing"},
      {std::string(arrays) + "index_sort i(keys = o, groups = 1, length = n) -> ()",
       "o is of type int32, not int64"},
      {std::string(arrays) + "index_sort i(keys = keys, groups = 1, length = n, align = 0) -> ()",
       "below 1"},
      {std::string(arrays) +
           "index_sort i(keys = keys, groups = 1, length = n) -> (coordinates = K)",
       "the input K is written"},
      {std::string(arrays) + "prefix keys = o count n", "keys is of type int64, not int32"},
      {std::string(arrays) + "prefix keys = keys count n", "a prefix sum overwrites what it reads"},
      // compactions and sums over parts
      {"tile %m: bool[n] tile %l: int32[n] compact %l, %l = %m count n",
       "l is no tile of 0 dimensions"},
      {"tile %m: uint8[n] tile %l: int32[n] tile %c: int32[] compact %l, %c = %m count n",
       "m is of type uint8, not bool"},
      {"heap p: int64[n] tile %s: int32[] sum_before %s = 1 part 0 from 0 progress p",
       "s is of type int32, not int64"},
      {"tile %p: int64[n] tile %s: int64[] sum_before %s = 1 part 0 from 0 progress %p",
       "the progress p of a sum is no memory of the module's own"},
      // fetch_adds
      {"heap p: int32[n] tile %s: int64[] fetch_add %s[] = p[0] += 1",
       "the types of s, p and what is added are not the same"},
      {"heap p: float32[n] tile %s: float32[] fetch_add %s[] = p[0] += 1",
       "a number 1.0 is not an integer"},
      {"tile %s: int32[] fetch_add %s[] = K[0] += 1", "the input K is written"},
      {"heap p: int32[n] heap s: int32[n] fetch_add s[0] = p[0] += 1", "s is no tile"},
      {"tile %s: int32[4] fetch_add %s[0] = %s[1] += 1", "a counter is overwritten by what it was"},
      {"heap p: int32[n] tile %s: int32[] fetch_add %s[] = p[0] += p[1]",
       "a fetch_add reads p[1], which it changes"},
      {"heap p: int32[n] tile %s: int32[4] axes i < 4 fetch_add i: %s[0] = p[i] += 1",
       "the iterations of axis i assign the same elements of s"},
      {"heap p: int32[n] tile %s: int32[4] parallel i < n { fetch_add %s[0] = p[0] += 1 }",
       "every iteration of the parallel loop i writes the same elements of s"},
      {"tile %p: int32[4] tile %s: int32[] fetch_add %s[] = %p[0] += 1 ordered",
       "an ordered fetch_add has no axis whose iterations it orders"},
      {"heap p: int32[n] tile %s: int32[4] axes i < 4 fetch_add i: %s[i] = p[0] += 1 ordered",
       "an ordered fetch_add counts in p, which other blocks reach; its counters are a tile"},
      {"tile %p: int32[4] tile %s: int32[4] axes i < 4 "
       "fetch_add i: %s[i] = %p[0] += int32(i) ordered",
       "an ordered fetch_add adds int32(i), which may differ along axis i"},
      // stages
      {"for i < 2 { stage compute s { } }", "the stage s is not in the outermost blocks"},
      {"stage compute a { stage compute s { } }", "the stage s is not in the outermost blocks"},
  };
  for (const auto &c : cases) {
    CAPTURE(c.body);
    check_breaks(parse(with_signature(c.body)), c.message);
  }
}

TEST_CASE("ir verifier - rules that text cannot break") {
  const StoragePtr heap = make_storage("h", float32, 1, Space::Heap),
                   tensor = make_storage("T", float32, 1, Space::Tensor);
  const auto store = [&](const Expr &value) {
    return make<Allocate>(heap, std::vector<Expr>{Expr(4)},
                          make<Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, heap,
                                      std::vector<Expr>{Expr(0)}, Combiner::Assign, value));
  };
  const auto raw = [](auto node) {
    return Expr(std::make_shared<decltype(node)>(std::move(node)));
  };
  const VarPtr axis = make_axis_variable("axis"), loop = make_loop_variable("loop");
  const Var language("language");
  const ParamPtr param = std::make_shared<const ParamNode>(ParamNode{"p", float32});
  Func f("f");
  f(language) = Expr(1.0f);
  const Expr one(1.0f), yes(true), index = make_int(int64, 1);
  const struct {
    Stmt body;
    const char *message;
  } cases[] = {
      {store(f(0)), "the Func call f(0) is left"},
      {store(raw(IndexQuery(float32, IndexQueryKind::Density,
                            std::make_shared<IndexNode>(IndexNode{.name = "live"}), {}))),
       "the index query live.density() is left"},
      {store(f32(Expr(language))), "the variable language of the language is left"},
      {store(raw(ParamRef(param))), "the parameter p is not in the signature"},
      {store(raw(Binary(float32, BinaryOp::Add, one, index))), "do not agree"},
      {store(raw(Binary(float32, BinaryOp::Lt, one, one))), "do not agree"},
      {store(f32(raw(Binary(boolean, BinaryOp::And, index, index)))), "is not of bools"},
      {store(raw(Unary(float32, UnaryOp::IsNan, one))), "do not agree"},
      {store(raw(Unary(float32, UnaryOp::Not, one))), "is of a float"},
      {store(raw(Select(index, one, one))), "do not agree"},
      {store(raw(Select(yes, one, index))), "do not agree"},
      {store(Expr()), "an expression is missing"},
      {store(raw(Load(heap, {index, index}))), "h of rank 1 has 2 indices"},
      {store(raw(Cast(float32, raw(Extent(heap, 1))))),
       "h.extent(1) is of a dimension that h does not have"},
      {store(raw(Cast(float32, raw(IntImm(int8, 200))))), "does not fit int8"},
      {make<Allocate>(tensor, std::vector<Expr>{Expr(4)}, Stmt()), "the tensor T is allocated"},
      {make<Allocate>(heap, std::vector<Expr>{}, Stmt()), "h of rank 1 has 0 extents"},
      {make<For>(axis, index, index, ForKind::Serial, Stmt()), "no Loop variable"},
      {make<Axes>(std::vector<AxisBinding>{{loop, index, 0}}, Stmt()), "no Axis variable"},
      {make<Let>(loop, index, Stmt()), "no Let variable"},
      {make<Allocate>(heap, std::vector<Expr>{Expr(4)},
                      make<Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, heap,
                                  std::vector<Expr>{index}, Combiner::Softmax, one)),
       "the combiner softmax= is left"},
      {make<Store>(std::vector<VarPtr>{}, std::vector<Expr>{}, nullptr, std::vector<Expr>{},
                   Combiner::Assign, one),
       "a storage is missing"},
  };
  for (const auto &c : cases) {
    Module module;
    module.name = "m";
    module.body = c.body;
    check_breaks(module, c.message);
  }

  Module module;
  module.name = "m";
  module.inputs = {heap};
  check_breaks(module, "the argument h is not a tensor");
  module.inputs = {tensor, tensor};
  check_breaks(module, "T is defined twice");
  module.inputs = {};
  module.statistics = heap;
  check_breaks(module, "the statistics h are not");
}

TEST_CASE("ir verifier - the message names the module, the pass and the statement") {
  check_breaks(parse(with_signature("store C[0] = 1")),
               "the module m is not well formed after a pass: C of rank 2 has 1 indices\n  in  "
               "store C[0] = 1.0");
}

}  // namespace
}  // namespace pit::ir
