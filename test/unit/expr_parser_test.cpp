#include "dsl/expr_parser.h"

#include <doctest/doctest.h>

#include <map>

#include "dsl/tensor.h"

namespace pit {
namespace {

/// int64 variables i and j, the float32 tensor A of rank 2.
class Symbols final : public ExprSymbols {
 public:
  Expr variable(const std::string &name) override {
    for (const VarPtr &v : {i, j}) {
      if (v->name == name) return make_variable(v);
    }
    return {};
  }
  Expr call(const std::string &name, const std::vector<Expr> &args, int component) override {
    components.push_back(component);
    return name == "A" ? make_load(A.storage(), args) : Expr();
  }
  Expr load(const std::string &name, const std::vector<Expr> &indices) override {
    brackets.push_back(name);
    return make_load(A.storage(), indices);
  }
  Expr extent(const std::string &name, int dimension) override {
    return name == "A" || name == "A.1" ? make_extent(A.storage(), dimension) : Expr();
  }
  Expr index_query(const std::string &name, IndexQueryKind query,
                   const std::vector<Expr> &args) override {
    queries.push_back(name + std::to_string(static_cast<int>(query)) + std::to_string(args.size()));
    return make_int(int64, 1);
  }

  VarPtr i = std::make_shared<const VarNode>(VarNode{"i"});
  VarPtr j = std::make_shared<const VarNode>(VarNode{"j"});
  TensorParam A{float32, 2, "A"};
  std::vector<int> components;
  std::vector<std::string> brackets, queries;
};

TEST_CASE("expression parser - reads what to_string writes") {
  for (const char *text :
       {"i + j * 3", "(i + j) * 3", "i - (j - 3)", "i - j - 3", "i % 3 == 0 && j < 4 || !(i != j)",
        "A(i, 0) * 0.5", "-A(i, j)", "max(A(i, 0), -inf)", "select(i < 3, A(0, 0), 1e-20)",
        "i << 2 & 7 ^ 1 | ~j", "float64(A(i, 0)) * 0.1d", "bfloat16(A(0, j))", "A.extent(1) / 64",
        "int32(i) + -5", "i - -5", "exp(A(i, j) - 1.0)", "float32(uint8(i))", "is_nan(A(0, 0))",
        "min(i, 9223372036854775807)"}) {
    CAPTURE(text);
    Symbols symbols;
    CHECK(to_string(parse_expr(text, &symbols)) == text);
  }
}

TEST_CASE("expression parser - blanks, parentheses and literals") {
  Symbols symbols;
  CHECK(to_string(parse_expr("  ( (i)+ 1\n)*2 ", &symbols)) == "(i + 1) * 2");
  CHECK(parse_expr("5", &symbols).type() == int32);
  CHECK(parse_expr("5000000000", &symbols).type() == int64);
  CHECK(parse_expr("5.0", &symbols).type() == float32);
  CHECK(parse_expr("5.0d", &symbols).type() == float64);
  CHECK(parse_expr("int8(5)", &symbols).type() == int8);
  CHECK(parse_expr("true", &symbols).type() == boolean);
}

TEST_CASE("expression parser - names are resolved by their brackets") {
  Symbols symbols;
  parse_expr("A(i, j)[2] + A(i, j)", &symbols);
  CHECK(symbols.components == std::vector<int>{2, -1});
  parse_expr("%t.1[i, j] + acc[0, 0] + f32.x[i, j]", &symbols);
  CHECK(symbols.brackets == std::vector<std::string>{"%t.1", "acc", "f32.x"});
  parse_expr("live.density() + live.index.count() + live.position(i, j)", &symbols);
  CHECK(symbols.queries == std::vector<std::string>{"live00", "live.index10", "live22"});
  CHECK(to_string(parse_expr("A.1.extent(0)", &symbols)) == "A.extent(0)");
  CHECK(to_string(parse_expr("i %j", &symbols)) == "i % j");
}

TEST_CASE("expression parser - stops where the expression ends") {
  Symbols symbols;
  for (const char *rest : {"where j < 3", ", j", "+= 1", "*= 2", ") {", "", "{", ": x", "= 3"}) {
    CAPTURE(rest);
    const std::string text = std::string("i + 1 ") + rest;
    std::size_t position = 0;
    CHECK(to_string(parse_expr(text, &position, &symbols)) == "i + 1");
    CHECK(text.substr(position) == rest);
  }
}

TEST_CASE("expression parser - errors have a position and a reason") {
  const struct {
    const char *text;
    std::size_t position;
    const char *message;
  } cases[] = {
      {"", 0, "expected an expression"},
      {"i +", 3, "expected an expression"},
      {"(i", 2, "expected ')'"},
      {"i j", 2, "expected the end"},
      {"i + k", 4, "unknown name 'k'"},
      {"B(i)", 0, "unknown name 'B'"},
      {"B.extent(0)", 0, "unknown name 'B'"},
      {"A.extent(x)", 9, "expected a number"},
      {"min(i)", 0, "min takes 2 arguments, not 1"},
      {"select(i, j)", 0, "select takes 3 arguments, not 2"},
      {"int8(i, j)", 0, "int8 takes 1 arguments, not 2"},
      {"min + 1", 0, "'min' is not a name"},
      {"99999999999999999999", 0, "does not fit"},
      {"A(i)", 0, "rank 2"},
  };
  for (const auto &c : cases) {
    CAPTURE(c.text);
    Symbols symbols;
    try {
      parse_expr(c.text, &symbols);
      FAIL("was read");
    } catch (const ExprSyntaxError &error) {
      CAPTURE(error.what());
      CHECK(error.position == c.position);
      CHECK(std::string(error.what()).find(c.message) != std::string::npos);
    }
  }
}

}  // namespace
}  // namespace pit
