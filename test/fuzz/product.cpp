#include "product.h"

#include <algorithm>

namespace pit::fuzz {

namespace {

class Product {
 public:
  Product(Choices *choices, Expressions *expressions, DrawnProgram *program)
      : choices_(*choices), expressions_(*expressions), program_(*program) {}

  void draw() {
    program_.product = true;
    draw_sizes();
    DrawnFunc sum = func();
    const IndexTerm &row = scope_.variables[scope_.variables.size() - 2];
    const IndexTerm &column = scope_.variables.back();
    RDom r = terms();
    const Expr a = cast(float32, left(r, row));
    const Expr b = cast(float32, element(chosen(summed_), chosen(column), 30));
    const std::vector<Expr> at(sum.vars.begin(), sum.vars.end());
    if (choices_.chance(10)) sum.func(at) = cast(float32, load("C", float32, {column}));
    sum.func(at) += a * b;
    sum.bound = 9 * kMostTerms;
    sum.infinite = true;
    program_.funcs.push_back(sum);
    if (!choices_.chance(20)) read(sum);
  }

 private:
  /// The most products that a case may make.
  static constexpr std::int64_t kMostProducts = 300'000;

  Choices &choices_;
  Expressions &expressions_;
  DrawnProgram &program_;
  std::vector<Var> vars_;  ///< of the sum: perhaps one of several products, rows, columns
  Shape extents_;
  Scope scope_;  ///< of what is known outside the sum
  std::int64_t depth_ = 0;
  IndexTerm summed_;
  Type type_;

  void draw_sizes() {
    type_ = choices_.pick(std::vector<Type>{bfloat16, float16, bfloat16, float16, float32});
    const auto length = [&] {
      if (choices_.chance(40)) return 16 * choices_.between(1, 8);
      return choices_.chance(30) ? choices_.between(33, 140) : choices_.between(1, 32);
    };
    const std::int64_t several = choices_.chance(15) ? choices_.between(1, 3) : 0;
    std::int64_t rows = length(), columns = length();
    depth_ = choices_.chance(3) ? 0 : length();
    while (std::max<std::int64_t>(several, 1) * rows * columns * depth_ > kMostProducts)
      (rows > columns ? rows : columns) /= 2;
    if (several > 0) add_var(several);
    add_var(rows);
    add_var(columns);
  }

  void add_var(std::int64_t extent) {
    vars_.emplace_back(expressions_.name("v"));
    extents_.push_back(extent);
    scope_.variables.push_back({vars_.back(), extent});
  }

  DrawnFunc func() { return {Func(expressions_.name("F")), vars_, extents_}; }

  /// A new domain; as far as a tensor goes, or of known extent.
  RDom terms() {
    Expr extent = make_int(int64, depth_);
    if (choices_.chance(50)) {
      TensorParam t(float32, 1, expressions_.name("N"));
      program_.tensors.push_back({t, {depth_}, Content::Small, 0});
      extent = t.extent(0);
    }
    const RDom r(0, extent, expressions_.name("r"));
    program_.domains.push_back(r);
    summed_ = {r, depth_};
    return r;
  }

  /// An element of a new tensor.
  Expr load(const std::string &prefix, Type type, const std::vector<IndexTerm> &at,
            Content content = Content::Small, std::int64_t limit = 0) {
    TensorParam tensor(type, static_cast<int>(at.size()), expressions_.name(prefix));
    Shape extents;
    std::vector<Expr> indices;
    for (const IndexTerm &i : at) {
      extents.push_back(i.size);
      indices.push_back(i.e);
    }
    program_.tensors.push_back({tensor, extents, content, limit});
    return make_load(tensor.storage(), indices);
  }

  /// The position itself, or one that data say for it.
  IndexTerm chosen(const IndexTerm &i) {
    if (!choices_.chance(20)) return i;
    const std::int64_t limit = expressions_.size();
    return {load("K", int32, {i}, Content::Index, limit), limit};
  }

  /// An element of a matrix, which lies the other way round in so many of a hundred; or anything
  /// else that varies with `second`.
  Expr element(const IndexTerm &first, const IndexTerm &second, std::uint32_t transposed) {
    if (choices_.chance(5)) {
      Scope here = scope_;
      here.variables.push_back(summed_);
      return expressions_.load(here, type_, Content::Small, 0, &second);
    }
    std::vector<IndexTerm> at{first, second};
    if (choices_.chance(transposed)) std::swap(at[0], at[1]);
    if (vars_.size() > 2 && choices_.chance(70)) at.insert(at.begin(), scope_.variables[0]);
    return load("T", type_, at);
  }

  /// The factor of rows, and which terms there are.
  Expr left(RDom r, const IndexTerm &row) {
    if (choices_.chance(20)) {
      // What a Func makes is multiplied where it is not zero.
      const Expr made = activation({row.size, depth_})({row.e, summed_.e});
      r.where(made != 0);
      return made;
    }
    const auto block = [&](const IndexTerm &i) -> IndexTerm {
      const auto size = choices_.pick(std::vector<std::int64_t>{16, 64, 1, 32, 128});
      return size == 1 ? i : IndexTerm{i.e / size, (i.size + size - 1) / size};
    };
    const Expr a = element(chosen(row), chosen(summed_), 25);
    switch (choices_.weighted({45, 15, 15, 10, 10})) {
      case 0:
        break;
      case 1:
        r.where(a != 0);
        break;
      case 2:
        r.where(load("mask", uint8, {block(row), block(summed_)}) != 0);
        break;
      case 3:
        r.where(load("mask", uint8, {block(summed_)}) != 0);
        break;
      default: {
        Scope here = scope_;
        here.variables.push_back(summed_);
        r.where(expressions_.condition(here, 1, &summed_));
        break;
      }
    }
    return a;
  }

  /// A Func of small numbers, many of them 0.
  Func activation(const Shape &extents) {
    DrawnFunc f{Func(expressions_.name("F")), {}, extents};
    std::vector<IndexTerm> at;
    for (const std::int64_t extent : extents) {
      f.vars.emplace_back(expressions_.name("v"));
      at.push_back({f.vars.back(), extent});
    }
    f.func(std::vector<Expr>(f.vars.begin(), f.vars.end())) = max(load("T", type_, at), 0);
    f.bound = 4;
    program_.funcs.push_back(f);
    return f.func;
  }

  /// The Func that stores what becomes of `sum`.
  void read(const DrawnFunc &sum) {
    DrawnFunc reader = func();
    const std::vector<Expr> at(vars_.begin(), vars_.end());
    Value v{clamp(Expr(sum.func(at)), -4, 4), 4, true};
    if (choices_.chance(30)) {
      const Value other = expressions_.value(scope_, 1);
      v = {v.e + other.e, 1 << 12, other.exact};
    }
    const Type type = choices_.pick(
        std::vector<Type>{float32, bfloat16, float16, bfloat16, float32, int32, int8});
    const Value stored = expressions_.as_type(v, type, 1);
    reader.bound = stored.bound;
    reader.exact = stored.exact;
    reader.func(at) = stored.e;
    if (choices_.chance(25)) {
      // Rows or columns, or single elements.
      reader.func.where(choices_.chance(60)
                            ? load("keep", uint8, {choices_.pick(scope_.variables)}) != 0
                            : expressions_.condition(scope_, 1, &choices_.pick(scope_.variables)));
      reader.restricted = true;
    }
    program_.funcs.push_back(reader);
  }
};

}  // namespace

void draw_product(Choices *choices, Expressions *expressions, DrawnProgram *program) {
  Product(choices, expressions, program).draw();
}

}  // namespace pit::fuzz
