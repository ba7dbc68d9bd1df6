#include "expr_parser.h"

#include <cctype>
#include <charconv>
#include <limits>

namespace pit {

namespace {

using UnaryFunction = Expr (*)(const Expr &);
using BinaryFunction = Expr (*)(const Expr &, const Expr &);

struct NamedUnary {
  const char *name;
  UnaryFunction function;
};
constexpr NamedUnary kUnaryFunctions[] = {
    {"abs", abs},     {"exp", exp},       {"exp2", exp2},          {"log", log},
    {"sqrt", sqrt},   {"rsqrt", rsqrt},   {"tanh", tanh},          {"erf", erf},
    {"sin", sin},     {"cos", cos},       {"floor", floor},        {"ceil", ceil},
    {"round", round}, {"is_nan", is_nan}, {"is_finite", is_finite}};

struct NamedBinary {
  const char *name;
  BinaryFunction function;
};
constexpr NamedBinary kBinaryFunctions[] = {{"min", min}, {"max", max}, {"pow", pow}};

struct Infix {
  const char *text;
  int precedence;
  BinaryFunction function;
};
// Longer operators first, so that "<<" is not read as "<".
#define PIT_INFIX(op, precedence) \
  {#op, precedence, [](const Expr &a, const Expr &b) { return a op b; }}
constexpr Infix kInfix[] = {PIT_INFIX(||, 1), PIT_INFIX(&&, 2), PIT_INFIX(==, 6), PIT_INFIX(!=, 6),
                            PIT_INFIX(<=, 7), PIT_INFIX(>=, 7), PIT_INFIX(<<, 8), PIT_INFIX(>>, 8),
                            PIT_INFIX(|, 3),  PIT_INFIX(^, 4),  PIT_INFIX(&, 5),  PIT_INFIX(<, 7),
                            PIT_INFIX(>, 7),  PIT_INFIX(+, 9),  PIT_INFIX(-, 9),  PIT_INFIX(*, 10),
                            PIT_INFIX(/, 10), PIT_INFIX(%, 10)};
#undef PIT_INFIX

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool starts_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool continues_name(char c) { return starts_name(c) || is_digit(c) || c == '$'; }

class Parser {
 public:
  Parser(const std::string &text, std::size_t position, ExprSymbols *symbols)
      : text_(text), position_(position), symbols_(symbols) {}

  std::size_t position() const { return position_; }

  Expr expression(int lowest = 1) {
    const Level level(this);
    Expr left = prefix();
    for (;;) {
      skip_blanks();
      const Infix *infix = infix_here();
      if (infix == nullptr || infix->precedence < lowest) return left;
      const std::size_t where = position_;
      position_ += std::char_traits<char>::length(infix->text);
      const Expr right = expression(infix->precedence + 1);
      left = build(where, [&] { return infix->function(left, right); });
    }
  }

  void skip_blanks() {
    while (position_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[position_])))
      ++position_;
  }

  [[noreturn]] void fail(const std::string &message) const {
    throw ExprSyntaxError(message, position_);
  }

  std::string name() {
    const std::size_t start = position_;
    if (peek() == '%' && starts_name(peek(1))) ++position_;
    if (!starts_name(peek())) return {};
    while (continues_name(peek())) ++position_;
    while (peek() == '.' && continues_name(peek(1))) {
      const std::size_t dot = position_++;
      while (continues_name(peek())) ++position_;
      if (peek() == '(' && is_property(text_.substr(dot + 1, position_ - dot - 1))) {
        position_ = dot;
        break;
      }
    }
    return text_.substr(start, position_ - start);
  }

 private:
  /// One call of the parser inside another; too many are refused before they exhaust the stack.
  class Level {
   public:
    explicit Level(Parser *parser) : parser_(parser) {
      if (++parser_->levels_ > kMostLevels) parser_->fail("the expression is nested too deeply");
    }
    ~Level() { --parser_->levels_; }
    Level(const Level &) = delete;
    Level &operator=(const Level &) = delete;

   private:
    Parser *parser_;
  };
  static constexpr int kMostLevels = 4000;

  const std::string &text_;
  std::size_t position_;
  ExprSymbols *symbols_;
  int levels_ = 0;

  char peek(std::size_t ahead = 0) const {
    return position_ + ahead < text_.size() ? text_[position_ + ahead] : '\0';
  }
  bool accept(char c) {
    skip_blanks();
    if (peek() != c) return false;
    ++position_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("expected '") + c + "'");
  }

  static bool is_property(const std::string &word) {
    return word == "extent" || word == "density" || word == "count" || word == "position";
  }

  const Infix *infix_here() const {
    for (const Infix &infix : kInfix) {
      if (text_.compare(position_, std::char_traits<char>::length(infix.text), infix.text) != 0)
        continue;
      // "+=", "*=" and "|=" end an expression: they belong to a statement.
      const bool assigns = text_.compare(position_ + 1, 1, "=") == 0 && infix.text[1] == '\0' &&
                           infix.precedence != 7;
      return assigns ? nullptr : &infix;
    }
    return nullptr;
  }

  /// The language's own checks of operands become errors of the text.
  template <class Build>
  Expr build(std::size_t where, const Build &make) const {
    try {
      return make();
    } catch (const ExprSyntaxError &) {
      throw;
    } catch (const std::exception &error) {
      throw ExprSyntaxError(error.what(), where);
    }
  }

  Expr prefix() {
    const Level level(this);
    skip_blanks();
    const std::size_t where = position_;
    switch (peek()) {
      case '-': {
        if (is_digit(peek(1)) || text_.compare(position_ + 1, 3, "inf") == 0) return primary();
        ++position_;
        const Expr a = prefix();
        return build(where, [&] { return -a; });
      }
      case '!': {
        ++position_;
        const Expr a = prefix();
        return build(where, [&] { return !a; });
      }
      case '~': {
        ++position_;
        const Expr a = prefix();
        return build(where, [&] { return ~a; });
      }
      default:
        return primary();
    }
  }

  Expr primary() {
    skip_blanks();
    if (accept('(')) {
      const Expr inner = expression();
      expect(')');
      return inner;
    }
    if (is_digit(peek()) || (peek() == '-' && is_digit(peek(1)))) return number();
    const std::size_t where = position_;
    const bool negative = peek() == '-';  // of "-inf"
    if (negative) ++position_;
    const std::string word = name();
    if (word.empty()) fail("expected an expression");
    if (word == "inf") {
      const double infinity = std::numeric_limits<double>::infinity();
      return make_float(float32, negative ? -infinity : infinity);
    }
    if (negative) {  // a name that starts with "inf"
      position_ = where + 1;
      const Expr a = prefix();
      return build(where, [&] { return -a; });
    }
    if (word == "nan") return make_float(float32, std::numeric_limits<double>::quiet_NaN());
    if (word == "true" || word == "false") return Expr(word == "true");
    return named(word, where);
  }

  Expr named(const std::string &word, std::size_t where) {
    if (peek() == '.') {
      ++position_;
      return property(word, where);
    }
    const std::size_t after_name = position_;
    skip_blanks();
    if (peek() == '(') {
      const std::vector<Expr> args = list('(', ')');
      Type type;
      if (parse_type(word, &type)) {
        expect_count(word, args, 1, where);
        return build(where, [&] { return cast(type, args[0]); });
      }
      if (is_reserved_word(word)) return function(word, args, where);
      int component = -1;
      if (peek() == '[') {
        ++position_;
        component = small_number();
        expect(']');
      }
      return known(build(where, [&] { return symbols_->call(word, args, component); }), word,
                   where);
    }
    if (is_reserved_word(word)) throw ExprSyntaxError("'" + word + "' is not a name", where);
    if (peek() == '[') {
      const std::vector<Expr> indices = list('[', ']');
      return known(build(where, [&] { return symbols_->load(word, indices); }), word, where);
    }
    position_ = after_name;
    return known(build(where, [&] { return symbols_->variable(word); }), word, where);
  }

  static Expr known(Expr e, const std::string &word, std::size_t where) {
    if (!e.defined()) throw ExprSyntaxError("unknown name '" + word + "'", where);
    return e;
  }

  static void expect_count(const std::string &word, const std::vector<Expr> &args,
                           std::size_t count, std::size_t where) {
    if (args.size() == count) return;
    throw ExprSyntaxError(
        word + " takes " + std::to_string(count) + " arguments, not " + std::to_string(args.size()),
        where);
  }

  Expr function(const std::string &word, const std::vector<Expr> &args, std::size_t where) {
    for (const NamedUnary &f : kUnaryFunctions) {
      if (word != f.name) continue;
      expect_count(word, args, 1, where);
      return build(where, [&] { return f.function(args[0]); });
    }
    for (const NamedBinary &f : kBinaryFunctions) {
      if (word != f.name) continue;
      expect_count(word, args, 2, where);
      return build(where, [&] { return f.function(args[0], args[1]); });
    }
    if (word != "select") throw ExprSyntaxError("'" + word + "' is not a function", where);
    expect_count(word, args, 3, where);
    return build(where, [&] { return select(args[0], args[1], args[2]); });
  }

  Expr property(const std::string &word, std::size_t where) {
    const std::string what = name();
    if (!is_property(what)) fail("expected extent, density, count or position");
    if (what == "extent") {
      expect('(');
      const int dimension = small_number();
      expect(')');
      return known(build(where, [&] { return symbols_->extent(word, dimension); }), word, where);
    }
    const IndexQueryKind query = what == "density" ? IndexQueryKind::Density
                                 : what == "count" ? IndexQueryKind::Count
                                                   : IndexQueryKind::Position;
    const std::vector<Expr> args = list('(', ')');
    return known(build(where, [&] { return symbols_->index_query(word, query, args); }), word,
                 where);
  }

  std::vector<Expr> list(char open, char close) {
    expect(open);
    std::vector<Expr> elements;
    if (accept(close)) return elements;
    do {
      elements.push_back(expression());
    } while (accept(','));
    expect(close);
    return elements;
  }

  int small_number() {
    skip_blanks();
    int value = 0;
    const auto [end, error] =
        std::from_chars(text_.data() + position_, text_.data() + text_.size(), value);
    if (error != std::errc()) fail("expected a number");
    position_ = static_cast<std::size_t>(end - text_.data());
    return value;
  }

  template <class T>
  T read_number(std::size_t start) {
    T value{};
    const auto [end, error] =
        std::from_chars(text_.data() + start, text_.data() + position_, value);
    if (error != std::errc() || end != text_.data() + position_) {
      throw ExprSyntaxError("the number does not fit its type", start);
    }
    return value;
  }

  Expr number() {
    const std::size_t start = position_;
    bool floating = false;
    if (peek() == '-') ++position_;
    while (is_digit(peek())) ++position_;
    if (peek() == '.') {
      floating = true;
      ++position_;
      while (is_digit(peek())) ++position_;
    }
    const std::size_t sign = peek(1) == '-' || peek(1) == '+' ? 1 : 0;
    if ((peek() == 'e' || peek() == 'E') && is_digit(peek(1 + sign))) {
      floating = true;
      position_ += 2 + sign;
      while (is_digit(peek())) ++position_;
    }
    if (!floating) {
      const auto value = read_number<std::int64_t>(start);
      const bool fits = value >= int32.min_int() && value <= int32.max_int();
      return make_int(fits ? int32 : int64, value);
    }
    if (peek() != 'd') return make_float(float32, read_number<float>(start));
    const auto value = read_number<double>(start);
    ++position_;
    return make_float(float64, value);
  }
};

}  // namespace

Expr parse_expr(const std::string &text, std::size_t *position, ExprSymbols *symbols) {
  Parser parser(text, *position, symbols);
  Expr result = parser.expression();
  parser.skip_blanks();
  *position = parser.position();
  return result;
}

Expr parse_expr(const std::string &text, ExprSymbols *symbols) {
  std::size_t position = 0;
  Expr result = parse_expr(text, &position, symbols);
  if (position != text.size())
    throw ExprSyntaxError("expected the end of the expression", position);
  return result;
}

std::string parse_name(const std::string &text, std::size_t *position) {
  Parser parser(text, *position, nullptr);
  std::string name = parser.name();
  *position = parser.position();
  return name;
}

}  // namespace pit
