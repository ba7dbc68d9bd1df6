// Expressions as text. The grammar is at to_string in expr.h.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "error.h"
#include "expr.h"
#include "func.h"

namespace pit {

namespace {

const char *function_name(UnaryOp op) {
  switch (op) {
    case UnaryOp::Neg:
      return "-";
    case UnaryOp::Not:
      return "!";
    case UnaryOp::Abs:
      return "abs";
    case UnaryOp::Exp:
      return "exp";
    case UnaryOp::Exp2:
      return "exp2";
    case UnaryOp::Log:
      return "log";
    case UnaryOp::Sqrt:
      return "sqrt";
    case UnaryOp::Rsqrt:
      return "rsqrt";
    case UnaryOp::Tanh:
      return "tanh";
    case UnaryOp::Erf:
      return "erf";
    case UnaryOp::Sin:
      return "sin";
    case UnaryOp::Cos:
      return "cos";
    case UnaryOp::Floor:
      return "floor";
    case UnaryOp::Ceil:
      return "ceil";
    case UnaryOp::Round:
      return "round";
    case UnaryOp::IsNan:
      return "is_nan";
    case UnaryOp::IsFinite:
      return "is_finite";
  }
  return "?";
}

/// The precedence of an infix operator; functions have none (0).
struct Infix {
  const char *text;
  int precedence;
};

constexpr int kPrefixPrecedence = 11;

Infix infix(BinaryOp op) {
  switch (op) {
    case BinaryOp::Or:
      return {"||", 1};
    case BinaryOp::And:
      return {"&&", 2};
    case BinaryOp::BitOr:
      return {"|", 3};
    case BinaryOp::BitXor:
      return {"^", 4};
    case BinaryOp::BitAnd:
      return {"&", 5};
    case BinaryOp::Eq:
      return {"==", 6};
    case BinaryOp::Ne:
      return {"!=", 6};
    case BinaryOp::Lt:
      return {"<", 7};
    case BinaryOp::Le:
      return {"<=", 7};
    case BinaryOp::Gt:
      return {">", 7};
    case BinaryOp::Ge:
      return {">=", 7};
    case BinaryOp::Shl:
      return {"<<", 8};
    case BinaryOp::Shr:
      return {">>", 8};
    case BinaryOp::Add:
      return {"+", 9};
    case BinaryOp::Sub:
      return {"-", 9};
    case BinaryOp::Mul:
      return {"*", 10};
    case BinaryOp::Div:
      return {"/", 10};
    case BinaryOp::Mod:
      return {"%", 10};
    case BinaryOp::Min:
      return {"min", 0};
    case BinaryOp::Max:
      return {"max", 0};
    case BinaryOp::Pow:
      return {"pow", 0};
  }
  return {"?", 0};
}

bool is_literal(const Expr &e) { return e.as<IntImm>() != nullptr || e.as<FloatImm>() != nullptr; }

/// The shortest text that reads back as the same number, always with a point, an exponent, "inf" or
/// "nan".
template <class Float>
std::string shortest(Float value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  internal_check(error == std::errc(), "a float does not fit its text");
  std::string text(buffer.data(), end);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

class Printer {
 public:
  explicit Printer(const ExprNames &names) : names_(names) {}

  /// `precedence`: below that of the operator around e, e needs parentheses. `type`: what a plain
  /// literal would be read as here, when the place says so.
  std::string print(const Expr &e, int precedence = 0, const Type *type = nullptr) const {
    if (!e.defined()) return "undefined";
    switch (e->kind) {
      case ExprKind::IntImm:
        return print_int(*e.as<IntImm>(), type);
      case ExprKind::FloatImm:
        return print_float(*e.as<FloatImm>(), type);
      case ExprKind::Variable:
        return name(e.as<Variable>()->var, names_.variable);
      case ExprKind::Param:
        return name(e.as<ParamRef>()->param, names_.param);
      case ExprKind::Extent: {
        const auto *x = e.as<Extent>();
        return name(x->storage, names_.storage) + ".extent(" + std::to_string(x->dimension) + ")";
      }
      case ExprKind::Load: {
        const auto *load = e.as<Load>();
        const bool is_tensor = load->storage->space == Space::Tensor;
        return name(load->storage, names_.storage) + (is_tensor ? "(" : "[") + list(load->indices) +
               (is_tensor ? ")" : "]");
      }
      case ExprKind::Call:
        return print_call(*e.as<Call>());
      case ExprKind::Unary:
        return print_unary(*e.as<Unary>());
      case ExprKind::Binary:
        return print_binary(*e.as<Binary>(), precedence);
      case ExprKind::Select: {
        const auto *s = e.as<Select>();
        return "select(" + print(s->condition) + ", " + pair(s->true_value, s->false_value) + ")";
      }
      case ExprKind::Cast:
        return to_string(e.type()) + "(" + print(e.as<Cast>()->a) + ")";
      case ExprKind::IndexQuery:
        return print_query(*e.as<IndexQuery>());
    }
    return "?";
  }

 private:
  const ExprNames &names_;

  template <class Node, class Function>
  static std::string name(const Node &node, const Function &function) {
    return function ? function(node) : node->name;
  }

  static std::string print_int(const IntImm &imm, const Type *type) {
    if (imm.type.is_bool()) return imm.value != 0 ? "true" : "false";
    const std::string digits = std::to_string(imm.value);
    // A negative number here is the bit pattern of a large uint64, which no plain literal is read
    // as.
    const bool is_pattern = imm.type == uint64 && imm.value < 0;
    const Type plain = type != nullptr ? *type : int32;
    return plain == imm.type && !is_pattern ? digits : to_string(imm.type) + "(" + digits + ")";
  }

  static std::string print_float(const FloatImm &imm, const Type *type) {
    if (imm.type == float64) {
      return std::isfinite(imm.value) ? shortest(imm.value) + "d"
                                      : "float64(" + shortest(imm.value) + ")";
    }
    // Values of 16-bit types are exact in float32.
    const std::string digits = shortest(static_cast<float>(imm.value));
    const Type plain = type != nullptr ? *type : float32;
    return plain == imm.type ? digits : to_string(imm.type) + "(" + digits + ")";
  }

  /// Two operands that are brought to one type, as function arguments.
  std::string pair(const Expr &a, const Expr &b) const {
    return print(a, 0, type_from(a, b)) + ", " + print(b, 0, type_from(b, a));
  }

  /// The type that a literal `e` takes from the other operand.
  static const Type *type_from(const Expr &e, const Expr &other) {
    return is_literal(e) && !is_literal(other) ? &other->type : nullptr;
  }

  std::string list(const std::vector<Expr> &args) const {
    std::string text;
    for (const Expr &arg : args) text += (text.empty() ? "" : ", ") + print(arg, 0, &int64);
    return text;
  }

  std::string print_call(const Call &call) const {
    const std::string func = names_.func ? names_.func(*call.func) : call.func->name;
    const std::string component =
        call.func->types.size() > 1 ? "[" + std::to_string(call.component) + "]" : "";
    return func + "(" + list(call.args) + ")" + component;
  }

  std::string print_unary(const Unary &unary) const {
    if (unary.op == UnaryOp::Neg || unary.op == UnaryOp::Not) {
      const char *prefix = unary.op == UnaryOp::Neg ? "-" : unary.type.is_bool() ? "!" : "~";
      const std::string operand = print(unary.a, kPrefixPrecedence);
      // -(5) is no negative literal.
      return prefix + (is_literal(unary.a) ? "(" + operand + ")" : operand);
    }
    return std::string(function_name(unary.op)) + "(" + print(unary.a) + ")";
  }

  std::string print_binary(const Binary &binary, int outer) const {
    const auto [text, precedence] = infix(binary.op);
    if (precedence == 0) return std::string(text) + "(" + pair(binary.a, binary.b) + ")";
    const std::string result = print(binary.a, precedence, type_from(binary.a, binary.b)) + " " +
                               text + " " +
                               print(binary.b, precedence + 1, type_from(binary.b, binary.a));
    return precedence < outer ? "(" + result + ")" : result;
  }

  std::string print_query(const IndexQuery &query) const {
    const std::string index = name(query.index, names_.index);
    switch (query.query) {
      case IndexQueryKind::Density:
        return index + ".density()";
      case IndexQueryKind::Count:
        return index + ".count()";
      case IndexQueryKind::Position:
        return index + ".position(" + list(query.args) + ")";
    }
    return "?";
  }
};

}  // namespace

std::string to_string(const Expr &e, const ExprNames &names) { return Printer(names).print(e); }

std::string to_string(const Expr &e) { return to_string(e, ExprNames{}); }

bool is_reserved_word(const std::string &word) {
  static constexpr std::array<std::string_view, 23> kWords = {
      "true", "false", "inf",   "nan",  "min",   "max",    "pow",      "select",
      "abs",  "exp",   "exp2",  "log",  "sqrt",  "rsqrt",  "tanh",     "erf",
      "sin",  "cos",   "floor", "ceil", "round", "is_nan", "is_finite"};
  Type type;
  return std::find(kWords.begin(), kWords.end(), word) != kWords.end() || parse_type(word, &type);
}

}  // namespace pit
