#include "expressions.h"

#include <algorithm>
#include <cmath>

namespace pit::fuzz {

namespace {

// Largest absolute values: of numbers on the way, and of what is summed exactly in float32.
constexpr double kMostValue = 1 << 12, kMostSum = 1 << 22;

double limit_of(Type type) {
  return type.is_float() ? HUGE_VAL : std::ldexp(1.0, type.is_int() ? type.bits - 1 : type.bits);
}

bool is_data(const Expr &e) {
  bool data = false;
  walk(e, [&](const Expr &part) {
    data |= part.as<Load>() || part.as<Call>();
    return !data;
  });
  return data;
}

IndexTerm constant(std::int64_t value) { return {make_int(int64, value), value + 1}; }

}  // namespace

std::string Expressions::name(const std::string &prefix) {
  return prefix + std::to_string(names_++);
}

Type Expressions::number_type() {
  static const std::vector<Type> types = {float32, float32, float32, int32,  bfloat16, float16,
                                          int64,   uint8,   int8,    uint16, float64,  int16};
  return choices_.pick(types);
}

std::int64_t Expressions::size() {
  return choices_.chance(15) ? choices_.between(17, 40) : choices_.between(1, 17);
}

IndexTerm Expressions::index(const Scope &scope, std::int64_t limit, int depth) {
  const Choices::Part part(&choices_);
  const auto fits = [&](std::int64_t size) { return limit < 0 || size <= limit; };
  std::vector<IndexTerm> plain;
  std::ranges::copy_if(scope.variables, std::back_inserter(plain),
                       [&](const IndexTerm &t) { return fits(t.size); });
  std::vector<IndexTerm> proved;
  std::ranges::copy_if(scope.proved, std::back_inserter(proved),
                       [&](const IndexTerm &t) { return fits(t.size); });
  if (!proved.empty() && choices_.chance(50)) return choices_.pick(proved);
  if (scope.variables.empty()) return constant(0);

  if (!program_.funcs.empty() && depth > 0 && choices_.chance(10)) {
    for (std::size_t i = 0; i < program_.funcs.size(); ++i) {
      const DrawnFunc &f = program_.funcs[i];
      if (f.key_component < 0 || !fits(f.key_limit)) continue;
      return {f.func(arguments(scope, i))[static_cast<int>(f.key_component)], f.key_limit};
    }
  }
  const IndexTerm v = plain.empty() ? choices_.pick(scope.variables) : choices_.pick(plain);
  IndexTerm result;
  switch (choices_.weighted({60, 8, 8, 4, 4, 4, 3, 3})) {
    case 0:
      result = v;
      break;
    case 1: {
      const std::int64_t c = choices_.pick(std::vector<std::int64_t>{2, 4, 3, 8});
      result = {v.e / c, (v.size + c - 1) / c};
      break;
    }
    case 2: {
      if (depth <= 0) return plain.empty() ? constant(0) : v;
      const std::int64_t n = limit >= 0 ? limit : size();
      if (n == 0) break;
      return {load(scope, choices_.pick(std::vector<Type>{int32, int64, uint8, int16}),
                   Content::Index, n),
              n};
    }
    case 3: {
      const IndexTerm &w = choices_.pick(scope.variables);
      result = {v.e + w.e, std::max<std::int64_t>(v.size + w.size - 1, 0)};
      break;
    }
    case 4: {
      const std::int64_t c = choices_.between(1, 4);
      result = {v.e + c, v.size + c};
      break;
    }
    case 5:
      result = {make_int(int64, v.size - 1) - v.e, v.size};
      break;
    case 6: {
      const std::int64_t c = choices_.between(2, 5);
      result = {v.e % c, c};
      break;
    }
    default:
      result = {v.e * 2, std::max<std::int64_t>(2 * v.size - 1, 0)};
      break;
  }
  if (result.e.defined() && fits(result.size)) return result;
  if (!plain.empty()) return v;
  if (limit == 0) {  // some variable has no iteration, or this is never evaluated
    const auto empty =
        std::ranges::find_if(scope.variables, [](const IndexTerm &t) { return t.size == 0; });
    return empty != scope.variables.end() ? *empty : constant(0);
  }
  return {v.e % limit, limit};
}

Expr Expressions::load(const Scope &scope, Type type, Content content, std::int64_t limit,
                       const IndexTerm *must) {
  const Choices::Part part(&choices_);
  // A tensor that is there already, where all indices fit.
  std::vector<std::size_t> known;
  for (std::size_t i = 0; i < program_.tensors.size(); ++i) {
    const DrawnTensor &t = program_.tensors[i];
    if (t.param.type() != type || t.content != content || t.limit != limit) continue;
    if (must && std::ranges::none_of(t.extents, [&](std::int64_t e) { return must->size <= e; }))
      continue;
    if (std::ranges::any_of(t.extents, [](std::int64_t e) { return e == 0; }) &&
        std::ranges::none_of(scope.variables, [](const IndexTerm &v) { return v.size == 0; })) {
      continue;
    }
    known.push_back(i);
  }
  std::vector<Expr> indices;
  if (!known.empty() && !choices_.chance(60)) {
    const std::size_t at = choices_.pick(known);
    const Shape extents = program_.tensors[at].extents;
    bool placed = must == nullptr;
    for (const std::int64_t extent : extents) {
      if (!placed && must->size <= extent) {
        indices.push_back(must->e);
        placed = true;
      } else {
        indices.push_back(index(scope, extent, 0).e);
      }
    }
    return make_load(program_.tensors[at].param.storage(), indices);
  }
  const int rank = static_cast<int>(choices_.between(1, content == Content::Small ? 3 : 2));
  const int place = must ? static_cast<int>(choices_.below(static_cast<std::uint32_t>(rank))) : -1;
  Shape extents;
  for (int d = 0; d < rank; ++d) {
    const IndexTerm i = d == place ? *must : index(scope, -1, content == Content::Small ? 1 : 0);
    indices.push_back(i.e);
    extents.push_back(i.size);
  }
  TensorParam param(type, rank, name(content == Content::Small ? "T" : "K"));
  program_.tensors.push_back({param, extents, content, limit});
  return make_load(param.storage(), indices);
}

Value Expressions::tame(const Value &v, double most) {
  if (v.bound <= most) return v;
  if (v.e.type().is_float()) return {clamp(v.e, -4, 4), 4, v.exact};
  return {v.e % 5, 4, v.exact};
}

Value Expressions::as_type(const Value &v, Type type, double terms) {
  Value result =
      tame(v, std::min(kMostSum / terms, type.is_float() && type.bits == 16 ? 128.0 : kMostValue));
  if (type.is_integral() && !result.exact) result = {is_finite(result.e), 1, true};
  if (result.e.type() != type) result.e = cast(type, result.e);
  result.bound = type.is_float() ? result.bound : limit_of(type);
  return result;
}

Value Expressions::leaf(const Scope &scope) {
  const auto load_number = [&]() -> Value {
    const Type type = number_type();
    Expr e = load(scope, type, Content::Small, 0);
    if (type.is_float() && type.bits == 16) e = f32(e);
    return {e, 3};
  };
  switch (choices_.weighted({60, 10, 8, 12, 5, 5})) {
    case 0:
      return load_number();
    case 1: {
      const auto c = static_cast<int>(choices_.between(0, 6)) - 3;
      return {choices_.chance(50) ? Expr(c) : Expr(static_cast<float>(c)), 3};
    }
    case 2: {
      if (scope.variables.empty()) return load_number();
      const IndexTerm &v = choices_.pick(scope.variables);
      return {choices_.chance(50) ? f32(v.e) : i32(v.e),
              static_cast<double>(std::max<std::int64_t>(v.size, 1))};
    }
    case 3:
      if (program_.funcs.empty()) return load_number();
      return call(scope, program_.funcs.size() - 1 -
                             choices_.below(static_cast<std::uint32_t>(program_.funcs.size())));
    case 4: {
      const bool integer = choices_.chance(50);
      const std::string n = name("s");
      const Expr e = integer ? Expr(Param<int>(n)) : Expr(Param<float>(n));
      program_.scalars.emplace_back(e.as<ParamRef>()->param,
                                    static_cast<double>(choices_.between(0, 3)));
      return {e, 3};
    }
    default: {  // a load that a condition guards
      const std::int64_t n = size();
      const Expr key = load(scope, int32, Content::Key, n);
      Scope inside = scope;
      inside.proved.push_back({key, n});
      const Expr e = load(inside, float32, Content::Small, 0);
      return {select(key >= 0, e, make_zero(float32)), 3};
    }
  }
}

Value Expressions::combine(const Scope &scope, int depth) {
  const Value a = value(scope, depth - 1);
  bool exact = a.exact;
  const auto second = [&] {
    const Value b = value(scope, depth - 1);
    exact &= b.exact;
    return b;
  };
  const auto reach = [&](const Expr &e, double bound) {
    const double most = limit_of(e.type());
    if (e.type().is_uint()) bound = most;  // differences wrap
    return tame({e, std::min(bound, most), exact}, kMostValue);
  };
  const auto integer = [](const Value &v) { return v.exact ? i32(v.e) : i32(is_finite(v.e)); };
  switch (choices_.weighted({30, 25, 10, 8, 8, 6, 5, 4, 4, 2})) {
    case 0: {
      const Value b = second();
      return reach(a.e * b.e, a.bound * b.bound);
    }
    case 1: {
      const Value b = second();
      return reach(a.e + b.e, a.bound + b.bound);
    }
    case 2: {
      const Value b = second();
      return reach(a.e - b.e, a.bound + b.bound);
    }
    case 3: {
      const Value b = second();
      return reach(choices_.chance(50) ? max(a.e, b.e) : min(a.e, b.e), std::max(a.bound, b.bound));
    }
    case 4: {
      const Value b = second();
      return reach(select(condition(scope, depth - 1), a.e, b.e), std::max(a.bound, b.bound));
    }
    case 5:
      return reach(choices_.chance(50) ? abs(a.e) : -a.e, a.bound);
    case 6: {
      const Value b = second();
      const Expr x = integer(a), y = integer(b);
      exact = true;
      switch (choices_.below(5)) {
        case 0:
          return reach(x / y, a.bound);
        case 1:
          return reach(x % y, b.bound);
        case 2:
          return reach(x & y, limit_of(int32));
        case 3:
          return reach(x ^ y, limit_of(int32));
        default:
          return reach(x >> 1, a.bound);
      }
    }
    case 7: {
      const Type type = number_type();
      return as_type(a, type == float16 || type == bfloat16 ? float32 : type, 1);
    }
    case 8:
      if (++reductions_ > 2) return a;
      return reduction(scope);
    default: {
      program_.exact = false;
      const Expr x = f32(tame(a, 8).e);
      switch (choices_.below(5)) {
        case 0:
          return {tanh(x), 1, false};
        case 4:
          return {exp2(-abs(x)), 1, false};
        case 1:
          return {exp(-abs(x)), 1, false};
        case 2:
          return {sigmoid(x), 1, false};
        default:
          return {x / (abs(x) + 1), 1, false};
      }
    }
  }
}

Value Expressions::reduction(const Scope &scope) {
  Scope inside = scope;
  RDom r = domain(&inside, true);
  const Value v = value(inside, 1);
  const int kind = choices_.weighted({60, 15, 15, 10});
  if (kind == 0) {
    const Value term = as_type(v, choices_.chance(20) ? int32 : float32, kMostTerms);
    const double most = std::min(term.bound * kMostTerms, limit_of(term.e.type()));
    return tame({sum(r, term.e), most, term.exact}, kMostValue);
  }
  const Expr term = as_type(v, float32, 1).e;  // of an empty domain the identity: made finite
  if (kind == 1 || (kind == 3 && !v.exact)) return {clamp(maximum(r, term), -4, 4), 4, v.exact};
  if (kind == 2) return {clamp(minimum(r, term), -4, 4), 4, v.exact};
  return {clamp(argmax(r, term)[1], -1, 4), 4};
}

Value Expressions::value(const Scope &scope, int depth) {
  const Choices::Part part(&choices_);
  return depth > 0 && choices_.chance(75) ? combine(scope, depth) : leaf(scope);
}

Value Expressions::exact_value(const Scope &scope, int depth) {
  const Value v = value(scope, depth);
  return v.exact ? v : Value{load(scope, float32, Content::Small, 0), 3, true};
}

Expr Expressions::condition(const Scope &scope, int depth, const IndexTerm *must) {
  const Choices::Part part(&choices_);
  const auto another = [&]() -> const IndexTerm & { return choices_.pick(scope.variables); };
  if (scope.variables.empty()) return exact_value(scope, 0).e > 0;
  const IndexTerm v = must ? *must : another();
  switch (choices_.weighted({30, 20, 15, 10, 10, 6, 5, 4})) {
    case 0: {
      const Expr e = load(scope, choices_.pick(std::vector<Type>{float32, uint8, bfloat16, int32}),
                          Content::Small, 0, &v);
      return choices_.chance(25) ? e > 0 : e != 0;
    }
    case 1: {  // blocks
      const std::int64_t c = choices_.pick(std::vector<std::int64_t>{2, 4, 3, 8});
      Scope blocks = scope;
      for (IndexTerm &t : blocks.variables) t = {t.e / c, (t.size + c - 1) / c};
      const IndexTerm block{v.e / c, (v.size + c - 1) / c};
      return load(blocks, uint8, Content::Small, 0, &block) != 0;
    }
    case 2: {
      const IndexTerm &w = another();
      switch (choices_.below(4)) {
        case 0:
          return v.e <= w.e;
        case 1:
          return v.e >= w.e - static_cast<int>(choices_.between(0, 4));
        case 2:
          return v.e + w.e < static_cast<int>(choices_.between(1, 20));
        default:
          return v.e != static_cast<int>(choices_.between(0, 8));
      }
    }
    case 3:  // a length
      return v.e < load(scope, int32, Content::Index, v.size + 1);
    case 4: {
      const Value x = exact_value(scope, depth > 0 ? 1 : 0);
      return v.e % 3 != 1 || x.e > 0;
    }
    case 5:
      if (depth > 0) return condition(scope, depth - 1, must) || condition(scope, depth - 1, must);
      break;
    case 6:
      if (depth > 0) return !condition(scope, depth - 1, must);
      break;
    default:
      if (!program_.funcs.empty()) {
        const Value x = call(scope, program_.funcs.size() - 1);
        if (x.exact) return x.e > 0 || v.e == 0;
      }
      break;
  }
  return v.e % 2 == 0;
}

std::vector<Expr> Expressions::arguments(const Scope &scope, std::size_t number) {
  DrawnFunc &f = program_.funcs[number];
  std::vector<Expr> args;
  const bool same = choices_.chance(60);
  for (std::size_t d = 0; d < f.extents.size(); ++d) {
    // Where the Func's own Vars are variables here it is mostly read at them.
    const auto own = std::ranges::find_if(scope.variables, [&](const IndexTerm &t) {
      const Variable *v = t.e.as<Variable>();
      return v && v->var == f.vars[d].node();
    });
    args.push_back(same && own != scope.variables.end() ? own->e : index(scope, f.extents[d], 0).e);
    // No range can be inferred from data.
    const bool said =
        std::ranges::any_of(f.func.func()->directives, [&](const Directive &directive) {
          return directive.kind == DirectiveKind::Bound && directive.vars[0] == f.vars[d].node();
        });
    if (!said && is_data(args.back())) f.func.bound(f.vars[d], 0, make_int(int64, f.extents[d]));
  }
  return args;
}

Value Expressions::call(const Scope &scope, std::size_t number) {
  const FuncRef ref = program_.funcs[number].func(arguments(scope, number));
  const DrawnFunc &f = program_.funcs[number];
  if (f.softmax) {
    program_.exact = false;
    return choices_.chance(15) ? Value{clamp(log_sum_exp(ref), -8, 8), 8, false}
                               : Value{softmax_value(ref), 4, false};
  }
  Expr e = ref[static_cast<int>(choices_.below(static_cast<std::uint32_t>(ref.size())))];
  if (e.type().is_float() && e.type().bits == 16) e = f32(e);
  if (f.infinite) return {e.type().is_float() ? clamp(e, -4, 4) : e % 5, 4, f.exact};
  return tame({e, f.bound, f.exact}, kMostValue);
}

RDom Expressions::domain(Scope *scope, bool plain) {
  const Choices::Part part(&choices_);
  const RDom r = new_domain(scope, plain);
  program_.domains.push_back(r);
  return r;
}

RDom Expressions::new_domain(Scope *scope, bool plain) {
  const bool empty = choices_.chance(2);
  const std::int64_t n = empty ? 0 : size();
  const std::string id = name("r");
  const int kind =
      plain ? static_cast<int>(choices_.below(2)) : choices_.weighted({40, 25, 12, 12, 11});
  if (kind == 1) {  // as far as a tensor goes
    TensorParam t(float32, 1, name("N"));
    program_.tensors.push_back({t, {n}, Content::Small, 0});
    RDom r(0, t.extent(0), id);
    scope->variables.push_back({r, n});
    return r;
  }
  if (kind == 2 && n > 0) {  // a length that is data
    // Bounds are evaluated before any predicate.
    const Expr length = load({scope->variables, {}}, int32, Content::Index, n + 1);
    RDom r(0, length, id);
    scope->variables.push_back({r, n});
    return r;
  }
  if (kind == 3) {  // two dimensions
    const std::int64_t m = choices_.between(1, 6);
    RDom r(0, make_int(int64, n), 0, make_int(int64, m), id);
    scope->variables.push_back({r.x, n});
    scope->variables.push_back({r.y, m});
    return r;
  }
  if (kind == 4 && !scope->variables.empty() && n > 0) {  // compressed rows
    const IndexTerm row = choices_.pick(scope->variables);
    TensorParam offsets(int32, 1, name("rows")), columns(int32, 1, name("columns"));
    const std::int64_t width = size();
    program_.tensors.push_back({offsets, {row.size + 1}, Content::Offsets, n});
    program_.tensors.push_back({columns, {n}, Content::Index, width});
    RDom r = csr(offsets, columns, row.e, id);
    scope->variables.push_back({r, n});
    scope->proved.push_back({columns(r), width});
    return r;
  }
  RDom r(0, make_int(int64, n), id);
  scope->variables.push_back({r, n});
  return r;
}

}  // namespace pit::fuzz
