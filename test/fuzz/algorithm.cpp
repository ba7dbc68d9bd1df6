// Random algorithms: chains of one to three Funcs, or of several that belong together.
#include <algorithm>
#include <cmath>

#include "attention.h"
#include "expressions.h"

namespace pit::fuzz {

namespace {

class Algorithm {
 public:
  explicit Algorithm(Choices *choices) : choices_(*choices), expressions_(choices, &program_) {}

  DrawnProgram run() {
    bool more = true;
    for (int i = 0; i < 3 && more; ++i) {
      const Choices::Part part(&choices_);
      more = i < 2 && choices_.chance(60);
      switch (choices_.weighted({75, 13, 12})) {
        case 0:
          one_func(!more);
          break;
        case 1:
          product();
          break;
        default:
          draw_attention(&choices_, &expressions_, &program_);
          more = more && choices_.chance(30);  // mostly the last, so that it counts
          break;
      }
    }
    choose_outputs();
    return std::move(program_);
  }

 private:
  struct Names {
    std::vector<Var> vars;
    Shape extents;
    Scope scope;
  };

  Names names(std::int64_t least_rank) {
    Names n;
    // Funcs over the same Vars can be computed in each other's tiles and share indices.
    if (!program_.funcs.empty() && choices_.chance(60)) {
      const DrawnFunc &last = program_.funcs.back();
      n.vars = last.vars;
      n.extents = last.extents;
      if (static_cast<std::int64_t>(n.vars.size()) >= least_rank && n.vars.size() <= 3) {
        if (n.vars.size() > 1 && choices_.chance(25)) {
          n.vars.pop_back();
          n.extents.pop_back();
        }
        for (std::size_t d = 0; d < n.vars.size(); ++d)
          n.scope.variables.push_back({n.vars[d], n.extents[d]});
        return n;
      }
      n = {};
    }
    const std::int64_t rank = choices_.between(least_rank, 3);
    for (std::int64_t d = 0; d < rank; ++d) {
      n.vars.emplace_back(expressions_.name("v"));
      n.extents.push_back(expressions_.size());
      n.scope.variables.push_back({n.vars.back(), n.extents.back()});
    }
    return n;
  }

  static std::vector<Expr> args_of(const Names &n) { return {n.vars.begin(), n.vars.end()}; }

  void one_func(bool last) {
    static const std::vector<Type> sums = {float32, float32, float32, float32, int32,
                                           int64,   float64, uint8,   int16};
    Names n = names(1);
    DrawnFunc f{Func(expressions_.name("F")), n.vars, n.extents};
    switch (choices_.weighted({25, 45, 8, 8, 6, 8})) {
      case 0:
        pure(&f, n);
        break;
      case 1:
        updates(&f, n, choices_.pick(sums), 1);
        break;
      case 2:
        updates(&f, n, choices_.pick(sums), 2);
        break;
      case 3:
        softmax(&f, n);
        break;
      case 4:
        top(&f);
        break;
      default:
        self_update(&f, n, choices_.pick(sums));
        break;
    }
    // Where a written place is data, the predicate of the Func would read it before those of the
    // domain hold.
    if (last && !f.scattered && choices_.chance(30)) {
      Scope scope;
      for (std::size_t d = 0; d < f.vars.size(); ++d)
        scope.variables.push_back({f.vars[d], f.extents[d]});
      f.func.where(predicate(&scope, choices_.pick(scope.variables)));
      f.restricted = true;
    }
    program_.funcs.push_back(std::move(f));
  }

  // Sums of products that matrix instructions could make, and a Func that reads them.
  void product() {
    Names n;
    for (int d = 0; d < 2; ++d) {
      n.vars.emplace_back(expressions_.name("v"));
      n.extents.push_back(expressions_.size());
      n.scope.variables.push_back({n.vars.back(), n.extents.back()});
    }
    DrawnFunc sum{Func(expressions_.name("F")), n.vars, n.extents};
    const Type type = choices_.pick(std::vector<Type>{bfloat16, float16, float32});
    Scope k;
    RDom r = expressions_.domain(&k, choices_.chance(70));
    Scope left{{n.scope.variables[0]}, {}}, right{{n.scope.variables[1]}, {}};
    const IndexTerm summed = k.variables.back();
    for (Scope *side : {&left, &right})
      side->variables.insert(side->variables.end(), k.variables.begin(), k.variables.end());
    const auto operand = [&](const Scope &scope) {
      return cast(float32, expressions_.load(scope, type, Content::Small, 0, &summed));
    };
    Expr a;
    if (choices_.chance(40)) {
      // What a Func makes is multiplied where it is not zero.
      const Func made = activation({n.extents[0], summed.size}, type);
      a = made(n.vars[0], summed.e);
      r.where(a != 0);
      a = cast(float32, a);
    } else {
      if (choices_.chance(40)) {
        Scope tested = choices_.chance(50) ? left : k;
        r.where(predicate(&tested, summed));
      }
      a = operand(left);
    }
    const Expr b = operand(right);
    sum.func(args_of(n)) += a * b;
    sum.bound = 9 * kMostTerms * kMostTerms;
    sum.infinite = true;
    program_.funcs.push_back(sum);

    DrawnFunc user{Func(expressions_.name("F")), n.vars, n.extents};
    const Value read{clamp(Expr(sum.func(args_of(n))), -4, 4), 4, true};
    Value v = read;
    if (choices_.chance(40)) {
      const Value other = expressions_.value(n.scope, 1);
      v = {read.e + other.e, 1 << 12, other.exact};
    }
    const Value stored_value = expressions_.as_type(v, stored_type(v), 1);
    user.bound = stored_value.bound;
    user.exact = stored_value.exact;
    user.func(args_of(n)) = stored_value.e;
    if (choices_.chance(30)) {
      Scope scope = n.scope;
      user.func.where(predicate(&scope, choices_.pick(scope.variables)));
      user.restricted = true;
    }
    program_.funcs.push_back(std::move(user));
  }

  // A Func of small numbers, many of them 0.
  Func activation(const Shape &extents, Type type) {
    DrawnFunc f{Func(expressions_.name("F")), {}, extents};
    Scope scope;
    for (const std::int64_t extent : extents) {
      f.vars.emplace_back(expressions_.name("v"));
      scope.variables.push_back({f.vars.back(), extent});
    }
    const IndexTerm last = scope.variables.back();
    f.func(std::vector<Expr>(f.vars.begin(), f.vars.end())) =
        max(expressions_.load(scope, type, Content::Small, 0, &last), 0);
    f.bound = 4;
    program_.funcs.push_back(f);
    return f.func;
  }

  // A predicate that reads `v`; what it proves joins the scope.
  Expr predicate(Scope *scope, const IndexTerm &v) {
    const Choices::Part part(&choices_);
    const auto guard = [&]() {
      const std::int64_t n = expressions_.size();
      const Expr key = expressions_.load(
          *scope, choices_.pick(std::vector<Type>{int32, int8, int64}), Content::Key, n, &v);
      scope->proved.push_back({key, n});
      return key >= 0;
    };
    if (choices_.chance(25)) return guard();
    Expr first = expressions_.condition(*scope, 1, &v);
    if (!choices_.chance(25)) return first;
    return choices_.chance(30) ? first && guard() : first && expressions_.condition(*scope, 1, &v);
  }

  Type stored_type(const Value &v) {
    static const std::vector<Type> types = {float32, bfloat16, float16, int32, int8};
    return choices_.chance(60) ? v.e.type() : choices_.pick(types);
  }

  // A value for one of the definitions of `f`.
  Value stored(DrawnFunc *f, const Scope &scope, Type type, double terms) {
    const Value v = expressions_.as_type(expressions_.value(scope, 2), type, terms);
    f->exact &= v.exact;
    return v;
  }

  void pure(DrawnFunc *f, const Names &n) {
    const Value v = expressions_.value(n.scope, 3);
    const Value first = expressions_.as_type(v, stored_type(v), 1);
    f->bound = first.bound;
    f->exact = first.exact;
    if (choices_.chance(15)) {
      const Value second = stored(f, n.scope, float32, 1);
      f->bound = std::max(f->bound, second.bound);
      f->func(args_of(n)) = Tuple(first.e, second.e);
      return;
    }
    f->func(args_of(n)) = first.e;
  }

  // Domains with predicates; their variables and what is proved join the scope.
  void domains(Scope *scope) {
    const int count = choices_.weighted({10, 75, 15});
    for (int i = 0; i < count; ++i) {
      const std::size_t before = scope->variables.size(), proved = scope->proved.size();
      RDom r = expressions_.domain(scope, i > 0);
      if (i > 0 && choices_.chance(50)) continue;
      for (int p = 0; p < 3; ++p) {
        const Choices::Part part(&choices_);
        if (!choices_.chance(p == 0 ? 75 : 35)) break;
        const std::size_t dimension =
            before + choices_.below(static_cast<std::uint32_t>(r.dimensions()));
        const IndexTerm v = scope->variables[dimension];
        // The domain that a definition mentions first is tested first, so what this one needs to be
        // proved it proves itself.
        Scope own{
            scope->variables,
            {scope->proved.begin() + static_cast<std::ptrdiff_t>(proved), scope->proved.end()}};
        const std::size_t known = own.proved.size();
        r.where(predicate(&own, v));
        scope->proved.insert(scope->proved.end(),
                             own.proved.begin() + static_cast<std::ptrdiff_t>(known),
                             own.proved.end());
      }
    }
  }

  void updates(DrawnFunc *f, const Names &n, Type type, int count) {
    const bool tuple = choices_.chance(10);
    const int combiner = choices_.weighted({70, 10, 10, 10});
    // Sums of sums stay below what float32 holds exactly.
    const double terms = kMostTerms * kMostTerms * count;
    double start = 0;
    if (choices_.chance(40)) {
      const Value v = stored(f, n.scope, type, 4);
      start = v.bound;
      if (tuple) {
        f->func(args_of(n)) = Tuple(v.e, make_zero(type));
      } else {
        f->func(args_of(n)) = v.e;
      }
    }
    for (int i = 0; i < count; ++i) {
      Scope scope = n.scope;
      const bool elsewhere = f->func.defined() && choices_.chance(20);
      const std::size_t moved =
          elsewhere ? choices_.below(static_cast<std::uint32_t>(n.vars.size())) : 0;
      if (elsewhere)
        scope.variables.erase(scope.variables.begin() + static_cast<std::ptrdiff_t>(moved));
      domains(&scope);
      std::vector<Expr> args = args_of(n);
      if (elsewhere) args[moved] = place_elsewhere(f, scope, moved);
      FuncRef lhs = f->func(args);
      Value v = stored(f, scope, type, terms);
      f->bound = start + v.bound * terms;
      if (tuple) {
        lhs += Tuple(v.e, stored(f, scope, type, terms).e);
        f->bound = HUGE_VAL;
      } else if (combiner == 0) {
        lhs += v.e;
      } else if (combiner == 1) {
        const Expr positive = v.exact ? v.e > make_zero(type) : is_finite(v.e);
        const Expr sign =
            select(positive, make_const(type, 1), make_const(type, type.is_uint() ? 3 : -1));
        lhs *= sign;
        f->bound = HUGE_VAL;
      } else {
        // Before its first update a Func of these combiners needs a value of its own.
        if (!f->func.defined()) f->func(args_of(n)) = make_zero(type);
        if (combiner == 2) {
          lhs = max(Expr(lhs), v.e);
        } else {
          lhs = min(Expr(lhs), v.e);
        }
        f->bound = std::max(start, v.bound);
      }
    }
    if (type.is_integral()) f->bound = HUGE_VAL;
    if (f->bound > 1 << 22) f->infinite = true;
  }

  // An argument of an update that is not the Func's own Var, which may then not be read.
  Expr place_elsewhere(DrawnFunc *f, const Scope &scope, std::size_t d) {
    f->scattered = true;
    return choices_.chance(60) ? expressions_.load(scope, int32, Content::Index, f->extents[d])
                               : expressions_.index(scope, f->extents[d], 0).e;
  }

  void self_update(DrawnFunc *f, const Names &n, Type type) {
    const Value start = stored(f, n.scope, type, 1);
    f->func(args_of(n)) = start.e;
    Scope scope = n.scope;
    domains(&scope);
    const Expr self = Expr(f->func(args_of(n)));
    const Value v = stored(f, scope, type, 1);
    f->func(args_of(n)) =
        clamp(self * make_const(type, 2) + v.e, make_const(type, 0), make_const(type, 9));
    f->bound = std::max(start.bound, 9.0);
    if (type.is_integral()) f->infinite = true;
  }

  void softmax(DrawnFunc *f, const Names &n) {
    program_.exact = false;
    const std::int64_t count = choices_.between(1, 2);
    for (std::int64_t i = 0; i < count; ++i) {
      Scope scope = n.scope;
      domains(&scope);
      const Expr score = expressions_.as_type(expressions_.value(scope, 2), float32, 1 << 20).e;
      const Type type = choices_.pick(std::vector<Type>{float32, bfloat16, float16});
      f->func(args_of(n)) += softmax_term(score, stored(f, scope, type, 1 << 20).e);
    }
    f->softmax = true;
  }

  void top(DrawnFunc *f) {
    Names n = names(1);
    Var slot(expressions_.name("slot"));
    const std::int64_t slots = choices_.between(1, 3);
    f->vars = n.vars;
    f->vars.push_back(slot);
    f->extents = n.extents;
    f->extents.push_back(slots);
    Scope scope = n.scope;
    const std::int64_t candidates = std::max<std::int64_t>(expressions_.size(), slots);
    RDom r(0, make_int(int64, candidates), expressions_.name("r"));
    program_.domains.push_back(r);
    scope.variables.push_back({r, candidates});
    const bool sparse = choices_.chance(30);
    if (sparse) r.where(predicate(&scope, scope.variables.back()));
    const Type type = choices_.chance(30) ? int32 : float32;
    const Value key = expressions_.as_type(expressions_.exact_value(scope, 2), type, 1);
    std::vector<Expr> args(f->vars.begin(), f->vars.end());
    f->func(args) = top_k(r, key.e, slot);
    f->infinite = true;
    if (!sparse) {
      f->key_component = 1;
      f->key_limit = candidates;
    }
  }

  void choose_outputs() {
    const std::size_t last = program_.funcs.size() - 1;
    std::vector<std::size_t> outputs{last};
    const bool beside = last > 0 && program_.funcs[last - 1].beside;
    if (last > 0 && choices_.chance(beside ? 80 : 10)) outputs.push_back(last - 1);
    for (const std::size_t o : outputs) {
      // What the caller asks for may be less than what there is, even nothing.
      DrawnFunc &f = program_.funcs[o];
      Shape extents = f.extents;
      if (!f.scattered && o == last && choices_.chance(15)) {
        const std::size_t d = choices_.below(static_cast<std::uint32_t>(extents.size()));
        extents[d] = choices_.between(0, extents[d]);
      }
      // Of Funcs that may share loops it is the same for both.
      if (beside && o != last) {
        const Shape &others = program_.output_extents.front();
        extents.assign(others.begin(),
                       others.begin() + static_cast<std::ptrdiff_t>(extents.size()));
      }
      program_.outputs.push_back(o);
      program_.output_extents.push_back(extents);
    }
  }

  Choices &choices_;
  DrawnProgram program_;
  Expressions expressions_;
};

}  // namespace

DrawnProgram draw_program(Choices *choices) { return Algorithm(choices).run(); }

}  // namespace pit::fuzz
