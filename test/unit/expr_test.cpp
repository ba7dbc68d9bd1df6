#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "dsl/arithmetic.h"
#include "dsl/error.h"
#include "dsl/expr.h"
#include "dsl/expr_parser.h"
#include "dsl/func.h"
#include "dsl/tensor.h"

namespace pit {
namespace {

constexpr std::int64_t kMin64 = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax64 = std::numeric_limits<std::int64_t>::max();

/// What is said about expressions over these names.
struct Scene {
  Var i{"i"}, j{"j"}, x{"x"};
  TensorParam A{float32, 2, "A"}, H{bfloat16, 1, "H"}, N{int32, 1, "N"}, U{uint8, 1, "U"},
      W{uint64, 1, "W"};
  TensorParam D{float64, 1, "D"}, Q{float16, 1, "Q"}, B{boolean, 1, "B"}, S{int8, 1, "S"};
  Param<float> scale{"scale"};
  StoragePtr acc = std::make_shared<StorageNode>(StorageNode{"acc", float32, 2, Space::Tile});
  Func F{"F"}, T{"T"};
  IndexPtr live = std::make_shared<IndexNode>();

  Scene() {
    F(i, j) = A(i, j);
    T(i) = Tuple(f32(i), i);
    live->name = "live";
  }
};

bool same(const Expr &a, const Expr &b) { return equal(a, b); }

std::string message_of(const std::function<void()> &action) {
  try {
    action();
  } catch (const CompileError &error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

// --- constants and folding ---

TEST_CASE("expr: C++ constants have the types that C++ gives them") {
  CHECK(Expr(1).type() == int32);
  CHECK(Expr(1L).type() == int64);
  CHECK(Expr(1LL).type() == int64);
  CHECK(Expr(1U).type() == uint32);
  CHECK(Expr(1UL).type() == uint64);
  CHECK(Expr(true).type() == boolean);
  CHECK(Expr(1.f).type() == float32);
  CHECK(Expr(1.0).type() == float64);
}

TEST_CASE("expr: constants wrap or round to their type") {
  CHECK(make_int(int8, 200).as<IntImm>()->value == -56);
  CHECK(make_int(uint8, -1).as<IntImm>()->value == 255);
  CHECK(make_int(uint32, -1).as<IntImm>()->value == 4294967295);
  CHECK(make_int(boolean, 7).as<IntImm>()->value == 1);
  CHECK(make_float(float32, 0.1).as<FloatImm>()->value == static_cast<double>(0.1f));
  CHECK(make_float(bfloat16, 0.1).as<FloatImm>()->value == 0.10009765625);
  CHECK(make_float(float16, 1e9).as<FloatImm>()->value == INFINITY);
  CHECK(make_const(float32, 2).type() == float32);
  CHECK(make_const(uint8, 2).as<IntImm>()->value == 2);
}

TEST_CASE("expr: integer arithmetic folds modulo its type") {
  struct Case {
    BinaryOp op;
    Type type;
    std::int64_t a, b, expected;
  };
  const std::vector<Case> cases = {
      {BinaryOp::Add, int8, 127, 1, -128},
      {BinaryOp::Sub, uint8, 0, 1, 255},
      {BinaryOp::Mul, int32, 1 << 20, 1 << 12, 0},
      {BinaryOp::Add, int64, kMax64, 1, kMin64},
      {BinaryOp::Div, int32, -7, 2, -4},
      {BinaryOp::Mod, int32, -7, 2, 1},
      {BinaryOp::Div, int32, -7, -2, 4},
      {BinaryOp::Mod, int32, -7, -2, 1},
      {BinaryOp::Div, int32, 7, -2, -3},
      {BinaryOp::Mod, int32, 7, -2, 1},
      {BinaryOp::Div, int32, 5, 0, 0},
      {BinaryOp::Mod, int32, 5, 0, 0},
      {BinaryOp::Div, int64, kMin64, -1, kMin64},
      {BinaryOp::Mod, int64, kMin64, -1, 0},
      {BinaryOp::Mod, int64, -1, kMin64, kMax64},
      {BinaryOp::Div, int8, -128, -1, -128},
      {BinaryOp::Div, uint64, -1, 2, kMax64},  // bit patterns: 2^64 - 1
      {BinaryOp::Mod, uint64, -1, 10, 5},
      {BinaryOp::Max, uint64, -1, 1, -1},
      {BinaryOp::Min, uint64, -1, 1, 1},
      {BinaryOp::Min, int32, -1, 1, -1},
      {BinaryOp::Shl, uint8, 255, 4, 240},
      {BinaryOp::Shl, int32, 1, 32, 0},
      {BinaryOp::Shl, int32, 1, -1, 0},
      {BinaryOp::Shr, int32, -8, 1, -4},
      {BinaryOp::Shr, int32, -8, 99, -1},
      {BinaryOp::Shr, uint64, -1, 63, 1},
      {BinaryOp::BitXor, int32, 6, 3, 5},
  };
  for (const Case &c : cases) {
    const Expr folded = make_binary(c.op, make_int(c.type, c.a), make_int(c.type, c.b));
    INFO(to_string(c.type) << " " << c.a << " op " << static_cast<int>(c.op) << " " << c.b);
    REQUIRE(folded.as<IntImm>() != nullptr);
    CHECK(folded.type() == c.type);
    CHECK(folded.as<IntImm>()->value == c.expected);
  }
}

TEST_CASE("expr: comparisons fold to bool, uint64 without sign") {
  CHECK(is_one(make_int(uint64, -1) > make_int(uint64, 1)));
  CHECK(is_one(make_int(int64, -1) < make_int(int64, 1)));
  CHECK(is_zero(Expr(2) == 3));
  CHECK((Expr(2) <= 2).type() == boolean);
  const Expr nan = make_float(float32, NAN);
  CHECK(is_zero(nan == nan));
  CHECK(is_one(nan != nan));
  CHECK(is_zero(nan < 1.0f));
}

TEST_CASE("expr: float constants fold and round to their type") {
  CHECK((Expr(0.1f) + Expr(0.2f)).as<FloatImm>()->value == static_cast<double>(0.1f + 0.2f));
  CHECK((Expr(1.f) / Expr(3.f)).as<FloatImm>()->value == static_cast<double>(1.f / 3.f));
  CHECK((Expr(1.f) / Expr(0.f)).as<FloatImm>()->value == INFINITY);
  CHECK(std::isnan(min(make_float(float32, NAN), 1.f).as<FloatImm>()->value));
  CHECK(std::isnan(max(1.f, make_float(float32, NAN)).as<FloatImm>()->value));
  CHECK(round(Expr(2.5f)).as<FloatImm>()->value == 2);
  CHECK(round(Expr(3.5f)).as<FloatImm>()->value == 4);
  CHECK(is_one(is_nan(make_float(float32, NAN))));
  CHECK(is_one(is_finite(Expr(3))));
  CHECK(exp(Expr(0)).type() == float32);
  CHECK(pow(Expr(2.f), 10).as<FloatImm>()->value == 1024);
}

TEST_CASE("expr: casts of constants follow the rules of Cast") {
  CHECK(cast(uint8, Expr(300)).as<IntImm>()->value == 44);
  CHECK(cast(int8, Expr(300.5f)).as<IntImm>()->value == 127);
  CHECK(cast(uint8, Expr(-3.5f)).as<IntImm>()->value == 0);
  CHECK(cast(int32, Expr(-3.99f)).as<IntImm>()->value == -3);
  CHECK(cast(int32, make_float(float32, NAN)).as<IntImm>()->value == 0);
  CHECK(cast(int64, Expr(1e300)).as<IntImm>()->value == kMax64);
  CHECK(cast(int64, Expr(-1e300)).as<IntImm>()->value == kMin64);
  CHECK(cast(uint64, Expr(1e19)).as<IntImm>()->value ==
        static_cast<std::int64_t>(10000000000000000000ULL));
  CHECK(cast(uint64, Expr(1e30)).as<IntImm>()->value == -1);
  CHECK(cast(float64, make_int(uint64, -1)).as<FloatImm>()->value == 0x1p64);
  CHECK(cast(boolean, Expr(0.5f)).as<IntImm>()->value == 1);
  CHECK(cast(bfloat16, Expr(0.1f)).as<FloatImm>()->value == 0.10009765625);
}

TEST_CASE("expr: identities that hold for every value are folded, others are not") {
  Scene s;
  const Expr n = s.N(s.i), f = s.A(s.i, s.j), b = s.B(s.i);
  CHECK((n + 0).same_as(n));
  CHECK((0 + n).same_as(n));
  CHECK((n - 0).same_as(n));
  CHECK((n * 1).same_as(n));
  CHECK((n / 1).same_as(n));
  CHECK(is_zero(n * 0));
  CHECK(is_zero(n % 1));
  CHECK(is_zero(n / 0));
  CHECK(is_zero(0 / n));
  CHECK((f * 1).same_as(f));
  CHECK((f - 0).same_as(f));
  CHECK((f * 0).as<Binary>() != nullptr);  // 0 * inf is NaN
  CHECK((f + 0).as<Binary>() != nullptr);  // -0 + 0 is 0
  CHECK((f - make_float(float32, -0.0)).as<Binary>() != nullptr);
  CHECK((f / f).as<Binary>() != nullptr);
  CHECK((b && true).same_as(b));
  CHECK((true && b).same_as(b));
  CHECK(is_zero(b && false));
  CHECK(is_one(true || b));
  CHECK((false || b).same_as(b));
  CHECK((!!b).same_as(b));
  CHECK((-(-f)).same_as(f));
  CHECK(cast(float32, f).same_as(f));
  CHECK(select(true, n, n + 1).same_as(n));
  CHECK(select(b, f, f).same_as(f));
  CHECK(floor(n).same_as(n));
}

// --- types of operators ---

TEST_CASE("expr: operands are brought to one type") {
  Scene s;
  const Expr i64e = s.i, i32e = s.N(s.i), u8 = s.U(s.i), u64 = s.W(s.i), h = s.H(s.i), q = s.Q(s.i),
             f = s.A(s.i, s.i), d = s.D(s.i), b = s.B(s.i), i8 = s.S(s.i);
  struct Case {
    std::string name;
    Expr e;
    Type type;
  };
  const std::vector<Case> cases = {
      {"a constant takes the other side's type", i64e / 64, int64},
      {"a constant on the left too", 64 - i64e, int64},
      {"an integer constant becomes a float", h * 2, bfloat16},
      {"a double constant narrows", f * 0.1, float32},
      {"a float constant never becomes an integer", i32e * 0.5f, float32},
      {"the wider integer wins", i64e + i32e, int64},
      {"float beats integer", i64e + f, float32},
      {"the wider float wins", f + d, float64},
      {"float16 with bfloat16 gives float32", q + h, float32},
      {"16-bit floats stay", h + h, bfloat16},
      {"signed with unsigned gives signed of the wider", u64 + i32e, int64},
      {"signed with unsigned, small", u8 + i8, int8},
      {"a constant that does not fit widens", u8 + 300, int32},
      {"a negative constant does not become unsigned", u8 + Expr(-1), int32},
      {"a large float constant does not become infinity", q * 1e9f, float32},
      {"bool takes the other side's type", b + i64e, int64},
      {"two bools add as int32", b + b, int32},
      {"functions of reals make float32 of integers", exp(i32e), float32},
      {"and keep 16-bit floats", exp(h), bfloat16},
      {"comparisons are bool", i64e < i32e, boolean},
      {"select", select(b, i32e, f), float32},
  };
  for (const Case &c : cases) {
    INFO(c.name);
    CHECK(c.e.type() == c.type);
  }
  CHECK(to_string(u8 != Expr(-1)) ==
        "int32(U(i)) != -1");  // true for every U(i), as in mathematics
  CHECK((b == 1).as<Binary>()->b.type() == boolean);
}

TEST_CASE("expr: errors of operators name the operator and the fix, at the user's line") {
  Scene s;
  const Expr f = s.A(s.i, s.j), n = s.N(s.i), b = s.B(s.i);
  struct Case {
    const char *part;
    std::function<void()> action;
  };
  const std::vector<Case> cases = {
      {"operator && is of bools, and N(i) is int32; compare it, e.g. N(i) != 0",
       [&] { (void)(n && b); }},
      {"operator || is of bools", [&] { (void)(b || f); }},
      {"operator ! is of bools, and N(i) is int32; write N(i) == 0", [&] { (void)!n; }},
      {"operator ~ is of integers", [&] { (void)~f; }},
      {"operator % is of integers, and A(i, j) is float32; for floats write x - y * floor(x / y)",
       [&] { (void)(f % 2); }},
      {"operator & is of integers", [&] { (void)(f & 1); }},
      {"operator << is of integers", [&] { (void)(f << 1); }},
      {"the condition of select is a bool", [&] { (void)select(n, 1, 2); }},
      {"+: an operand is an undefined Expr", [&] { (void)(n + Expr()); }},
  };
  for (const Case &c : cases) {
    const std::string message = message_of(c.action);
    INFO(message);
    CHECK(contains(message, c.part));
    CHECK(contains(message, "expr_test.cpp:"));
  }
  CHECK(message_of([] { (void)f32(Expr()); }) ==
        "cast to float32 of an undefined Expr");  // which has no place
}

TEST_CASE("expr: an expression knows the line where it was written") {
  Scene s;
  const unsigned line = __LINE__ + 1;
  const Expr e = s.A(s.i, s.j) + 1;
  CHECK(e.where().line() == line);
  CHECK(Expr(s.scale).where().line() ==
        0);  // a conversion has no location; the other operand's is taken
  const Expr scaled = s.scale * e;
  CHECK(scaled.where().line() == line);
}

// --- text ---

/// The names of a Scene, for reading expressions back.
class SceneSymbols final : public ExprSymbols {
 public:
  explicit SceneSymbols(Scene *scene) : s_(*scene) {}

  Expr variable(const std::string &name) override {
    for (const Var *v : {&s_.i, &s_.j, &s_.x}) {
      if (v->name() == name) return *v;
    }
    return name == "scale" ? Expr(s_.scale) : Expr();
  }
  Expr call(const std::string &name, const std::vector<Expr> &args, int component) override {
    if (name == "F") return s_.F(args)[0];
    if (name == "T") return s_.T(args)[component];
    const StoragePtr storage = tensor(name);
    return storage ? make_load(storage, args) : Expr();
  }
  Expr load(const std::string &name, const std::vector<Expr> &indices) override {
    return name == "acc" ? make_load(s_.acc, indices) : Expr();
  }
  Expr extent(const std::string &name, int dimension) override {
    return make_extent(tensor(name), dimension);
  }
  Expr index_query(const std::string &, IndexQueryKind query,
                   const std::vector<Expr> &args) override {
    const SparseIndex index(s_.live);
    return query == IndexQueryKind::Density ? index.density()
           : query == IndexQueryKind::Count ? index.count()
                                            : index.position(args);
  }

 private:
  Scene &s_;

  StoragePtr tensor(const std::string &name) const {
    for (const TensorParam *t : {&s_.A, &s_.H, &s_.N, &s_.U, &s_.W, &s_.D, &s_.Q, &s_.B, &s_.S}) {
      if (t->name() == name) return t->storage();
    }
    return nullptr;
  }
};

TEST_CASE("expr: text has few parentheses, says the types, and reads back as an equal tree") {
  Scene s;
  const Expr i = s.i, j = s.j, f = s.A(i, j), h = s.H(i), n = s.N(i), u8 = s.U(i), u64 = s.W(i),
             d = s.D(i), q = s.Q(i), b = s.B(i), i8 = s.S(i);
  struct Case {
    Expr e;
    const char *text;
  };
  const std::vector<Case> cases = {
      {f != 0, "A(i, j) != 0.0"},
      {s.A(i, 0), "A(i, 0)"},
      {s.A(n + 1, i / 64), "A(N(i) + 1, i / 64)"},
      {s.A(u8, j), "A(U(i), j)"},
      {s.F(i, 3), "F(i, 3)"},
      {s.F(n, j), "F(int64(N(i)), j)"},
      {s.T(i)[1], "T(i)[1]"},
      {s.T(i)[0], "T(i)[0]"},
      {make_load(s.acc, {i, j}), "acc[i, j]"},
      {s.A.extent(1), "A.extent(1)"},
      {Expr(s.scale) * f, "scale * A(i, j)"},
      {i - (j - 1), "i - (j - 1)"},
      {(i - j) - 1, "i - j - 1"},
      {i + (j + 1), "i + (j + 1)"},
      {(i + j) * 2, "(i + j) * 2"},
      {i + j * 2, "i + j * 2"},
      {i / 2 * 2, "i / 2 * 2"},
      {i / (j * 2), "i / (j * 2)"},
      {i % 4 == 0 && j < i, "i % 4 == 0 && j < i"},
      {(b || i < 3) && b, "(B(i) || i < 3) && B(i)"},
      {b && (b && i < 3), "B(i) && (B(i) && i < 3)"},
      {!(i < j), "!(i < j)"},
      {!b, "!B(i)"},
      {-f, "-A(i, j)"},
      {-(f + 1), "-(A(i, j) + 1.0)"},
      {f - -f, "A(i, j) - -A(i, j)"},
      {~(i & 7), "~(i & 7)"},
      {i << 3 | j >> 1, "i << 3 | j >> 1"},
      {(i ^ j) & 1, "(i ^ j) & 1"},
      {min(i, 3) + max(3, j), "min(i, 3) + max(3, j)"},
      {pow(f, 2), "pow(A(i, j), 2.0)"},
      {select(i < j, f, 0), "select(i < j, A(i, j), 0.0)"},
      {select(b, 1, 2), "select(B(i), 1, 2)"},
      {f32(h) * f, "float32(H(i)) * A(i, j)"},
      {bf16(f), "bfloat16(A(i, j))"},
      {h * 1.5f, "H(i) * 1.5"},
      {h * 0.1f, "H(i) * 0.100097656"},
      {q * 0.1f, "Q(i) * 0.099975586"},
      {d * 0.1, "D(i) * 0.1d"},
      {f * 1e-30f, "A(i, j) * 1e-30"},
      {max(f, -std::numeric_limits<float>::infinity()), "max(A(i, j), -inf)"},
      {max(d, -std::numeric_limits<float>::infinity()), "max(D(i), float64(-inf))"},
      {f - std::numeric_limits<float>::quiet_NaN(), "A(i, j) - nan"},
      {f - -2.5f, "A(i, j) - -2.5"},
      {f + make_float(float32, 0.0), "A(i, j) + 0.0"},
      {f - make_float(float32, -0.0), "A(i, j) - -0.0"},
      {n - -5, "N(i) - -5"},
      {-5 * n, "-5 * N(i)"},
      {u8 + 255, "U(i) + 255"},
      {u8 + 300, "int32(U(i)) + 300"},
      {i8 * -128, "S(i) * -128"},
      {i + 10000000000L, "i + 10000000000"},
      {i + kMin64, "i + -9223372036854775808"},
      {n + 10000000000L, "int64(N(i)) + 10000000000"},
      {u64 + 9UL, "W(i) + 9"},
      {u64 + std::numeric_limits<std::uint64_t>::max(), "W(i) + uint64(-1)"},
      {b == true, "B(i) == true"},
      {make_int(int64, 5), "int64(5)"},
      {make_int(uint8, 5), "uint8(5)"},
      {make_int(int32, -5), "-5"},
      {make_int(uint64, -1), "uint64(-1)"},
      {make_float(bfloat16, 1.5), "bfloat16(1.5)"},
      {make_float(float16, 0.1), "float16(0.099975586)"},
      {make_float(float64, 0.1), "0.1d"},
      {make_float(float64, NAN), "float64(nan)"},
      {make_float(float32, 3), "3.0"},
      {make_float(float32, 1e20), "1e+20"},
      {make_int(boolean, 0), "false"},
      {exp(f) + exp2(f) + log(f) + sqrt(f),
       "exp(A(i, j)) + exp2(A(i, j)) + log(A(i, j)) + sqrt(A(i, j))"},
      {is_nan(f) || is_finite(f), "is_nan(A(i, j)) || is_finite(A(i, j))"},
      {abs(rsqrt(tanh(erf(sin(cos(f)))))), "abs(rsqrt(tanh(erf(sin(cos(A(i, j)))))))"},
      {floor(f) + ceil(f) + round(f), "floor(A(i, j)) + ceil(A(i, j)) + round(A(i, j))"},
      {SparseIndex(s.live).density() < 0.1f, "live.density() < 0.1"},
      {SparseIndex(s.live).count() > 3, "live.count() > 3"},
  };
  SceneSymbols symbols(&s);
  for (const Case &c : cases) {
    CHECK(to_string(c.e) == c.text);
    const Expr back = parse_expr(to_string(c.e), &symbols);
    INFO(to_string(c.e) << " read back as " << to_string(back));
    CHECK(back.type() == c.e.type());
    CHECK(same(back, c.e));
  }
}

TEST_CASE("expr: other names can be given for printing") {
  Scene s;
  ExprNames names;
  names.variable = [](const VarPtr &v) { return v->name + ".1"; };
  names.storage = [](const StoragePtr &storage) { return "t_" + storage->name; };
  names.func = [](const FuncNode &func) { return func.name + ".2"; };
  CHECK(to_string(s.A(s.i, s.j) + s.F(s.i, s.j), names) == "t_A(i.1, j.1) + F.2(i.1, j.1)");
}

TEST_CASE("expr: names of users are words, and none of the language's") {
  CHECK(is_reserved_word("exp"));
  CHECK(is_reserved_word("bfloat16"));
  CHECK(is_reserved_word("inf"));
  CHECK_FALSE(is_reserved_word("sum"));
  CHECK(contains(message_of([] { Func("exp"); }),
                 "'exp', which is a function, type or constant of the language"));
  CHECK(contains(message_of([] { Var("a-b"); }), "letters, digits and '_'"));
  CHECK(contains(message_of([] { TensorParam(float32, 1, "9"); }), "TensorParam has the name '9'"));
  CHECK(contains(message_of([] { TensorParam(float32, 1, ""); }), "TensorParam has the name ''"));
  CHECK(contains(message_of([] { Param<int>("true"); }), "Param has the name 'true'"));
  CHECK(Func().name() != Func().name());
}

// --- walking ---

TEST_CASE("expr: equality is of structure and identity, not of names or places") {
  Scene s;
  const Var other("i");
  CHECK(same(s.A(s.i, s.j) + 1, s.A(s.i, s.j) + 1));
  CHECK_FALSE(same(s.A(s.i, s.j), s.A(other, s.j)));
  CHECK_FALSE(same(make_int(int32, 1), make_int(int64, 1)));
  CHECK_FALSE(same(s.T(s.i)[0], s.T(s.i)[1]));
  CHECK_FALSE(same(s.A.extent(0), s.A.extent(1)));
  CHECK_FALSE(same(make_float(float32, 0.0), make_float(float32, -0.0)));
  CHECK(same(make_float(float32, NAN), make_float(float32, NAN)));
  CHECK(same(Expr(), Expr()));
  CHECK_FALSE(same(Expr(), Expr(1)));
}

TEST_CASE("expr: substitution replaces variables, casts to their type and folds again") {
  Scene s;
  const Expr e = s.A(s.i, s.j + s.i) * f32(s.N(s.i));
  CHECK(to_string(substitute(e, {s.i.node()}, {make_int(int64, 0)})) == "A(0, j) * float32(N(0))");
  CHECK(to_string(substitute(e, {s.i.node(), s.j.node()}, {Expr(s.j), Expr(s.i)})) ==
        "A(j, i + j) * float32(N(j))");
  CHECK(to_string(substitute(s.i + s.j, {s.i.node()}, {s.N(s.j)})) == "int64(N(j)) + j");
  CHECK(substitute(e, {s.x.node()}, {Expr(s.j)}).same_as(e));
}

TEST_CASE("expr: variables are found once, in order of use") {
  Scene s;
  const Expr e = s.A(s.j, s.i) + s.A(s.i, s.j);
  const std::vector<VarPtr> found = free_variables(e);
  REQUIRE(found.size() == 2);
  CHECK(found[0] == s.j.node());
  CHECK(found[1] == s.i.node());
  CHECK(uses(e, s.i.node()));
  CHECK_FALSE(uses(e, s.x.node()));
  std::int64_t value = 0;
  CHECK(is_const_int(make_int(int64, 42), &value));
  CHECK(value == 42);
  CHECK_FALSE(is_const_int(e, &value));
}

TEST_CASE("expr: walking visits operands in evaluation order and can stop") {
  Scene s;
  std::string seen;
  walk(select(s.B(s.i), s.A(s.i, s.j), 0) + 1, [&](const Expr &e) {
    if (e.as<Load>() != nullptr) seen += e.as<Load>()->storage->name;
    return true;
  });
  CHECK(seen == "BA");
  int visited = 0;
  walk(s.A(s.i, s.j) + 1, [&](const Expr &) {
    ++visited;
    return false;
  });
  CHECK(visited == 1);
}

TEST_CASE("expr: activations have their formulas") {
  const auto value = [](const Expr &e) { return e.as<FloatImm>()->value; };
  const double x = 0.75;
  const Expr e(static_cast<float>(x));
  CHECK(value(sigmoid(e)) == doctest::Approx(1 / (1 + std::exp(-x))));
  CHECK(value(silu(e)) == doctest::Approx(x / (1 + std::exp(-x))));
  CHECK(value(gelu(e)) == doctest::Approx(x / 2 * (1 + std::erf(x / std::sqrt(2)))));
  CHECK(value(relu(Expr(-1.f))) == 0);
  CHECK(value(clamp(Expr(5.f), 0, 1)) == 1);
}

}  // namespace
}  // namespace pit
