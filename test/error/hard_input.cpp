// Input that is hard on the machinery: what is not there, what is too large, what is no text. All
// of it ends, in an error or in the right result.
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "error_case.h"

namespace pit::test {
namespace {

struct Scene {
  Var i{"i"}, j{"j"}, t{"t"};
  TensorParam A{float32, 2, "A"}, x{float32, 1, "x"}, key{int32, 1, "key"};
  RDom k{0, A.extent(1), "k"};
  Func F{"F"}, G{"G"};
};
using Case = ErrorCase<Scene>;

/// Func n reads Func n - 1 twice, `shift` apart.
Func doubling(Scene &s, int count, int shift) {
  Func last("f0");
  last(s.i) = s.x(clamp(s.i, 0, 2));
  for (int n = 1; n <= count; ++n) {
    Func next("f" + std::to_string(n));
    next(s.i) = last(s.i) + last(s.i + shift);
    last = next;
  }
  return last;
}

const std::vector<Case> kNothing = {
    Case("a Func of nothing", {"a Func is made of a null pointer"},
         [](Scene &) { const Func f{FuncPtr()}; }),
    Case("an output of nothing", {"Pipeline: the output F has no definition"},
         [](Scene &s) { Pipeline({s.F}); }),
    Case("a made-up output of nothing", {"has no definition; write f$"},
         [](Scene &) { Pipeline({Func()}); }),
    Case("no outputs", {"a Pipeline needs at least one output"}, [](Scene &) { Pipeline({}); }),
    Case("one output twice", {"Pipeline: the output F is listed twice"},
         [](Scene &s) {
           s.F(s.i) = 1;
           Pipeline({s.F, s.F});
         }),
    Case("two outputs of one name", {"two arguments are named F; give inputs and outputs distinct"},
         [](Scene &s) {
           const Func other("F");
           s.F(s.i) = 1, other(s.i) = 2;
           (void)Pipeline({s.F, other}).compile();
         }),
    Case("an input and an output of one name", {"two arguments are named A"},
         [](Scene &s) {
           const Func f("A");
           f(s.i) = s.A(s.i, s.i);
           (void)Pipeline({f}).compile();
         }),
    Case("a name that no C header can have", {"Pipeline has the name 'my op'", "use letters"},
         [](Scene &s) {
           s.F(s.i) = 1;
           Pipeline({s.F}, {}, "my op");
         }),
    Case("an undefined operand", {"+: an operand is an undefined Expr; give it a value first"},
         [](Scene &s) { s.F(s.i) = Expr() + s.i; }),
    Case("an undefined score", {"Func F += an undefined Expr"},
         [](Scene &s) { s.F(s.i) += softmax_term(Expr(), 1.f); }),
    Case("an undefined component", {"the value of component 0 of Func F is an undefined Expr"},
         [](Scene &s) { s.F(s.i) = Tuple(Expr(), 1.f); }),
    Case("an empty Tuple", {"Func F is defined by an empty Tuple"},
         [](Scene &s) { s.F(s.i) = Tuple(std::vector<Expr>{}); }),
    Case("an undefined bound", {"F.bound: min or extent is an undefined Expr"},
         [](Scene &s) {
           s.F(s.i) = 1;
           s.F.bound(s.i, Expr(), 3);
         }),
    Case("an undefined condition", {"the condition must be a bool, and it is an undefined Expr"},
         [](Scene &s) {
           s.F(s.i) = 1;
           s.F.specialize(Expr());
         }),
    Case("a loop of nothing", {"F.vectorize: a loop is missing: an argument is an empty VarOrRVar"},
         [](Scene &s) {
           s.F(s.i) = 1;
           s.F.vectorize(VarOrRVar());
         }),
    Case("negative rank", {"TensorParam T has rank -1; ranks are 0 to 6"},
         [](Scene &) { TensorParam(float32, -1, "T"); }),
};

const std::vector<Case> kSizes = {
    Case("more operators inside each other than the stack holds",
         {"an expression has more than 2500 operators inside each other", "an RDom"},
         [](Scene &s) {
           Expr e = s.x(s.i);
           for (int n = 0; n < 1'000'000; ++n) e = e + s.x(s.i) * float(n);
         }),
    Case("a shared part that doubles",
         {"an expression has more than 100000 nodes", "give the part a Func of its own"},
         [](Scene &s) {
           Expr e = s.x(s.i);
           for (int n = 0; n < 60; ++n) e = e + e;
         }),
};

TEST_CASE("errors: what is not there") { check_compile_errors(kNothing); }
TEST_CASE("errors: expressions without bounds") { check_compile_errors(kSizes); }

TEST_CASE("errors: Funcs that double when they are inlined") {
  for (const int shift : {0, 1}) {
    Scene s;
    const Func last = doubling(s, 40, shift);
    std::string message = "no error";
    try {
      (void)Pipeline({last}).compile();
    } catch (const CompileError &error) {
      message = error.what();
    }
    CAPTURE(message);
    CHECK(message.find("hard_input.cpp:") != std::string::npos);
    CHECK(message.find("inlined") != std::string::npos);
    CHECK(message.find("compute_root()") != std::string::npos);
  }
}

TEST_CASE("errors: a component that a Tuple lacks") {
  CHECK_THROWS_WITH_AS((void)Tuple(1, 2)[3], "a Tuple of 2 values has no component [3]",
                       CompileError);
}

TEST_CASE("errors: long expressions and long chains of Funcs still compile") {
  Scene s;
  Expr e = s.x(s.i);
  for (int n = 0; n < 400; ++n) e = e + s.x(s.i) * float(n % 2);
  s.F(s.i) = e;
  std::vector<Func> chain{s.F};
  for (int n = 0; n < 300; ++n) {
    chain.emplace_back();
    chain.back()(s.i) = chain[chain.size() - 2](s.i) + 1.f;
  }
  const Buffer<float> x({3}, {1, 2, 3}), out({3});
  Pipeline({chain.back()}).compile()(x, out);
  CHECK(out(2) == 3 * 201 + 300);
  const Func doubled = doubling(s, 8, 0);
  Pipeline({doubled}).compile()(x, out);
  CHECK(out(2) == 3 * 256);
}

TEST_CASE("errors: sizes beyond memory") {
  const auto message_of = [](const Pipeline &p, const auto &...arguments) -> std::string {
    try {
      p.compile()(arguments...);
    } catch (const RuntimeError &error) {
      return error.what();
    }
    return "no error";
  };
  const Buffer<float> x({4}), a({2, 4}), out({3}), out2({3, 3});
  a.fill(1);
  for (const long long extent : {1LL << 45, 1LL << 61}) {  // the second one's bytes overflow
    CAPTURE(extent);
    Scene s;
    s.G(s.i) = s.x(s.i % 4);
    s.G.compute_root().bound(s.i, 0, Expr(extent));
    s.F(s.i) = s.G(s.i);
    const std::string message = message_of(Pipeline({s.F}, {}, "wide"), x, out);
    CAPTURE(message);
    CHECK(message.starts_with("operator wide: no memory for a workspace of "));
  }
  {
    Scene s;
    s.G(s.i, s.j) = s.x(s.i % 4);
    s.G.compute_root().bound(s.i, 0, Expr(1LL << 40)).bound(s.j, 0, Expr(1LL << 40));
    s.F(s.i, s.j) = s.G(s.i, s.j);
    CHECK(message_of(Pipeline({s.F}), x, out2).find("no memory") != std::string::npos);
  }
  {
    Scene s;
    s.k.where(s.A(s.i, s.k) != 0);
    s.F(s.i) += s.A(s.i, s.k);
    SparseIndex live = s.F.update().index({.axis = s.k}).capacity(Expr(1LL << 62));
    s.F.update().pit_tile(s.t, {.dense = {{s.k, 4}}, .index = live});
    const Buffer<float> rows({2});
    const std::string message = message_of(Pipeline({s.F}), a, rows);
    CAPTURE(message);
    CHECK((message == "no error" || message.find("no memory") != std::string::npos));
    if (message == "no error") CHECK(rows(1) == 4);
  }
  {
    // The first index out of range ends the search for others.
    Scene s;
    const RDom r(0, Expr(1LL << 40), "r");
    s.F(s.i) += s.x(r);
    CHECK(message_of(Pipeline({s.F}), x, out).find("reads input 'x'") != std::string::npos);
  }
  {
    Scene s;
    TensorParam rows(int64, 1, "rows");
    const RDom r = csr(rows, rows, s.i, "r");
    s.F(s.i) += s.x(r);
    const Buffer<std::int64_t> pointers({4}, {0, std::numeric_limits<std::int64_t>::max(), 0, 4});
    const std::string message = message_of(Pipeline({s.F}), pointers, x, out);
    CAPTURE(message);
    CHECK(message.find("reads input 'x' at index 4") != std::string::npos);
  }
  CHECK_THROWS_AS(Buffer<float>({1LL << 45}), RuntimeError);
  CHECK_THROWS_AS(Buffer<float>({1LL << 62, 1LL << 62}), RuntimeError);
}

TEST_CASE("errors: index arithmetic that wraps is no way into a tensor") {
  const auto message_of = [](const Pipeline &p, const auto &...arguments) -> std::string {
    try {
      p.compile()(arguments...);
    } catch (const RuntimeError &error) {
      return error.what();
    }
    return "no error";
  };
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const Buffer<float> x({4}, {1, 2, 3, 4}), out({9});
  for (const std::int64_t factor : {1LL << 31, 1LL << 61, 1LL << 62, -(1LL << 61)}) {
    for (const bool root : {false, true}) {
      CAPTURE(factor);
      Scene s;
      s.G(s.i) = s.x(s.i);
      if (root) s.G.compute_root();
      s.F(s.i) = s.G(s.i * Expr(factor));
      const std::string message = message_of(Pipeline({s.F}), x, out);
      CAPTURE(message);
      CHECK(message.find(std::string(" reads ") + (root ? "" : "input 'x' at index ")) !=
            std::string::npos);
    }
  }
  {  // 9 * 2^61 is 2^61 again
    Scene s;
    const RDom r(0, 9, "r");
    s.F(s.i) += s.x(r * Expr(1LL << 61));
    const std::string message = message_of(Pipeline({s.F}), x, out);
    CHECK(message.find("reads input 'x' at index 2305843009213693952") != std::string::npos);
  }
  for (const std::int64_t shift : {kMost, kMost - 4, -kMost, std::int64_t{-1}}) {
    CAPTURE(shift);
    Scene s;
    const Param<std::int64_t> p("p");
    s.F(s.i) = s.x(s.i + p);
    const std::string message = message_of(Pipeline({s.F}), x, shift, out);
    CHECK(message.find("reads input 'x' at index " + std::to_string(shift)) != std::string::npos);
  }
  for (const bool root : {false, true}) {  // a domain that goes on behind the last integer
    Scene s;
    const Param<std::int64_t> first("first"), count("count");
    const RDom r(first, count, "r");
    s.G(s.i) = s.x(s.i) * 2;
    if (root) s.G.compute_root();
    s.F(s.i) += s.G(r);
    const Pipeline pipeline({s.F});
    const std::string message = message_of(pipeline, x, kMost - 1, std::int64_t{5}, out);
    CAPTURE(message);
    CHECK(message.find("at index 9223372036854775806 ") != std::string::npos);
    CHECK(message_of(pipeline, x, std::int64_t{1}, std::int64_t{3}, out) == "no error");
    CHECK(out(8) == 18);
  }
  {  // in 32 bits, where 2^30 * 4 is 0
    Scene s;
    const Param<int> p("p");
    s.F(s.i) = s.x(p * 4);
    const Pipeline pipeline({s.F});
    CHECK(message_of(pipeline, x, 1, out).find("at index 4 ") != std::string::npos);
    CHECK(message_of(pipeline, x, 1 << 30, out) == "no error");
    CHECK(out(8) == 1);
  }
  {  // one datum for many iterations
    Scene s;
    const TensorParam block(int64, 1, "block");
    const RDom r(0, 64, "r");
    s.F(s.i) += s.x(block(s.i / 8) + r);
    const Pipeline pipeline({s.F});
    for (const std::int64_t datum : {kMost, kMost - 62, -kMost - 1}) {
      const Buffer<std::int64_t> blocks({2}, {0, datum});
      const Buffer<float> wide({64});
      const std::string message = message_of(pipeline, wide, blocks, out);
      CAPTURE(message);
      CHECK(message.find("at index " + std::to_string(datum) + " ") != std::string::npos);
    }
  }
  {  // a broadcast tensor
    Scene s;
    s.F(s.i) = s.x(s.i + 1);
    float one = 1;
    const Buffer<float> wide(&one, {std::int64_t{1} << 50}, {0});
    CHECK(message_of(Pipeline({s.F}), wide, out).find("extents up to 2^47") != std::string::npos);
  }
}

TEST_CASE("errors: domains that are empty or turned around") {
  const Buffer<int> out({3});
  for (const int extent : {0, -5}) {
    Scene s;
    const RDom r(0, extent, "r");
    s.F(s.i) += i32(r) + 1;
    out.fill(9);
    Pipeline({s.F}).compile()(out);
    CHECK(out(2) == 0);
  }
  for (const bool scheduled : {false, true}) {
    Scene s;
    const RDom r(0, s.key(s.i), "r");
    s.F(s.i) += i32(r) + 1;
    if (scheduled) s.F.update().pit_tile(s.t, {.axis = r, .dense = {{r, 4}}});
    out.fill(9);
    Pipeline({s.F}).compile()(Buffer<int>({3}, {2, -2147483647 - 1, 3}), out);
    CHECK(out(0) == 3);
    CHECK(out(1) == 0);
    CHECK(out(2) == 6);
  }
}

TEST_CASE("errors: Funcs of no and of six dimensions") {
  const Shape scalar;
  for (const bool scheduled : {false, true}) {
    Scene s;
    const RDom r(0, s.x.extent(0), "r");
    RDom where = r;
    where.where(s.x(r) != 0);
    s.F() += s.x(r);
    if (scheduled) s.F.update().pit_tile(s.t, {.axis = r, .dense = {{r, 4}}});
    const Buffer<float> out(scalar);
    Pipeline({s.F}).compile()(Buffer<float>({6}, {1, 0, 0, 2, 3, 0}), out);
    CHECK(out.number(scalar) == 6);
  }
  Var a("a"), b("b"), c("c"), d("d"), e("e"), f("f");
  TensorParam T(float32, 6, "T");
  Func six("six");
  six(a, b, c, d, e, f) = T(a, b, c, d, e, f) * 2;
  const Buffer<float> in({2, 1, 2, 1, 2, 2}), out({2, 1, 2, 1, 2, 2});
  in.fill(3);
  Pipeline({six}).compile()(in, out);
  CHECK(out(1, 0, 1, 0, 1, 1) == 6);
}

TEST_CASE("errors: names are for people and may clash") {
  Var i("i"), also_i("i");
  RDom i_too(0, 2, "i");
  TensorParam A(float32, 2, "A");
  Func g("G"), also_g("G"), F("F");
  g(i) = 1.f;
  g(i) += A(i, i_too);
  also_g(i, also_i) = A(i, also_i) + 10 * f32(also_i);
  F(i, also_i) = g(i) * 100 + also_g(i, also_i);
  g.compute_root();
  also_g.compute_root();
  const Buffer<float> a({2, 2}, {1, 2, 3, 4}), out({2, 2});
  Pipeline({F}).compile()(a, out);
  CHECK(out(0, 1) == 412);
  CHECK(out(1, 0) == 803);
}

TEST_CASE("errors: saved schedules that are no schedules") {
  Scene s;
  s.k.where(s.A(s.i, s.k) != 0);
  s.F(s.i) += s.A(s.i, s.k);
  s.G(s.i) = s.F(s.i) + 1;
  const Var io("io"), ii("ii");
  s.G.split(s.i, io, ii, 8).vectorize(ii);
  SparseIndex live = s.F.update().index({.axis = s.k}).named("live").capacity(s.A.extent(0) * 4);
  s.F.update().pit_tile(s.t, {.dense = {{s.k, 4}}, .index = live});
  const Pipeline p({s.G});
  const std::string text = p.schedule().to_string();
  const auto refused = [&](const std::string &wrong) {
    try {
      (void)Schedule::parse(p, wrong);
    } catch (const CompileError &error) {
      return std::string(error.what()).find("schedule, line ") != std::string::npos;
    }
    return false;
  };
  for (const char *wrong :
       {"garbage", "=", "live =", "G..", "G.vectorize(i", "G.vectorize()", "G.vectorize(i))",
        "G.vectorize(i, 99999999999999999999)", "F.update(99999999999999999999).vectorize(i)",
        "F.update(1).vectorize(i)", "F.update(-1).vectorize(i)", "Q.compute_root()", "\xff\xfe\x01",
        "G.atom(\"x", "G.specialize((((", "F.compute_at(F, i)", "G.reorder(i)",
        "F.update(0).pit_tile(t, dense={k:0}, index=live)"}) {
    INFO(wrong);
    CHECK(refused(wrong));
  }
  CHECK(refused("G.specialize(" + std::string(200'000, '(')));
  CHECK(refused("G.specialize(" + std::string(200'000, '-') + "1)"));

  // Texts beside a right one parse or are refused.
  std::mt19937 random(3);
  int accepted = 0;
  for (int n = 0; n < 2000; ++n) {
    std::string wrong = text;
    for (unsigned edits = 1 + random() % 3; edits > 0; --edits) {
      const std::size_t at = random() % wrong.size();
      if (random() % 2 == 0)
        wrong[at] = static_cast<char>(32 + random() % 95);
      else
        wrong.erase(at, 1 + random() % 4);
      if (wrong.empty()) wrong = "x";
    }
    try {
      (void)Schedule::parse(p, wrong);
      ++accepted;
    } catch (const CompileError &) {
    }
  }
  CHECK(accepted < 2000);
}

TEST_CASE("errors: buffers that are misused") {
  const Buffer<float> b({4, 5});
  DLTensor gpu = b.dl_tensor();
  gpu.device = {kDLCUDA, 0};
  DLTensor no_shape = b.dl_tensor();
  no_shape.shape = nullptr;
  const std::vector<std::pair<std::function<void()>, std::string>> cases = {
      {[&] { (void)b.transposed({0, 0}); }, "each of the 2 dimensions exactly once"},
      {[&] { (void)b.sliced(0, 3, 2); }, "sliced(0, 3, 2) does not lie in extents (4, 5)"},
      {[&] { (void)b.sliced(-1, 0, 1); }, "sliced(-1, 0, 1)"},
      {[&] { (void)b.transposed().reshaped({20}); }, "only a compact buffer can be reshaped"},
      {[&] { (void)b.reshaped({-4, -5}); }, "extents (-4, -5) are negative"},
      {[&] { (void)b.broadcast(0, 9); }, "needs a dimension of extent 1"},
      {[&] { (void)b.extent(5); }, "there is no dimension 5; extents are (4, 5)"},
      {[&] { (void)b.stride(-1); }, "there is no dimension -1"},
      {[&] { (void)b(4, 0); }, "element (4, 0) is out of range"},
      {[&] { b.copy_from(Buffer<float>({5, 4})); }, "cannot copy float32 (5, 4)"},
      {[&] { b.copy_from(AnyBuffer()); }, "the buffer to copy from has no memory"},
      {[&] { AnyBuffer().copy_from(b); }, "the buffer to copy to has no memory"},
      {[&] { (void)AnyBuffer().number(Shape{}); }, "it has no memory; give it extents first"},
      {[&] { AnyBuffer().fill_bytes(0); }, "it has no memory; give it extents first"},
      {[&] { (void)AnyBuffer().to_dlpack(); }, "it has no memory to export"},
      {[&] { (void)AnyBuffer(nullptr, float32, {3}); }, "the data pointer is null"},
      {[&] { (void)Buffer<double>(AnyBuffer(b)); },
       "the element type is float32; expected float64"},
      {[&] { (void)Buffer<float, 3>(AnyBuffer(b)); }, "are of rank 2; expected rank 3"},
      {[&] { (void)AnyBuffer::from_dlpack(static_cast<const DLTensor *>(nullptr)); }, "is null"},
      {[&] { (void)AnyBuffer::from_dlpack(&no_shape); }, "has 2 dimensions and no shape"},
      {[&] { (void)AnyBuffer::from_dlpack(&gpu).copy(); }, "not in the host's memory"},
  };
  for (const auto &[use, part] : cases) {
    std::string message = "no error";
    try {
      use();
    } catch (const RuntimeError &error) {
      message = error.what();
    }
    INFO("expected: " << part << "; got: " << message);
    CHECK(message.starts_with("buffer: "));
    CHECK(message.find(part) != std::string::npos);
  }
  CHECK_FALSE(AnyBuffer().copy().defined());
}

}  // namespace
}  // namespace pit::test
