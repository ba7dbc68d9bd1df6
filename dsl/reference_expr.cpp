#include "reference_expr.h"

#include <cstring>
#include <utility>

#include "error.h"
#include "half.h"
#include "schedule.h"

namespace pit::reference {

template <class V>
std::int64_t Code<V>::integer(Frame<V> &) const {
  throw InternalError("a float expression was evaluated as an integer");
}
template <class V>
V Code<V>::number(Frame<V> &) const {
  throw InternalError("an integer expression was evaluated as a float");
}

template <class V>
int Scope<V>::slot(const VarPtr &var) {
  const auto [it, added] = slots.try_emplace(var.get(), static_cast<int>(slots.size()));
  internal_check(it->second < kMaxSlots,
                 "the reference interpreter handles definitions of up to 48 variables");
  (void)added;
  return it->second;
}

namespace {

// Each node is one struct with what it needs and its meaning. I nodes are integers, N nodes are
// numbers.

template <class V, class Get>
struct INode final : Code<V> {
  Get get;
  explicit INode(Get g) : get(std::move(g)) {}
  std::int64_t integer(Frame<V> &frame) const override { return get(frame); }
};
template <class V, class Get>
struct NNode final : Code<V> {
  Get get;
  explicit NNode(Get g) : get(std::move(g)) {}
  V number(Frame<V> &frame) const override { return get(frame); }
};

template <class V>
class Compiler {
 public:
  Compiler(const Scope<V> &scope, Environment<V> &environment)
      : scope_(scope), environment_(environment) {}

  CodePtr<V> compile(const Expr &e) {
    switch (e->kind) {
      case ExprKind::IntImm:
        return constant(e.as<IntImm>()->value);
      case ExprKind::FloatImm: {
        const V value = exact<V>(e.as<FloatImm>()->value);
        return number([value](Frame<V> &) { return value; });
      }
      case ExprKind::Variable:
        return variable(*e.as<Variable>());
      case ExprKind::Param:
        return parameter(*e.as<ParamRef>());
      case ExprKind::Extent: {
        const Extent &extent = *e.as<Extent>();
        return constant(environment_.tensor(*extent.storage).extent(extent.dimension));
      }
      case ExprKind::Load:
        return load(*e.as<Load>());
      case ExprKind::Call:
        return call(*e.as<Call>());
      case ExprKind::Unary:
        return unary_code(*e.as<Unary>());
      case ExprKind::Binary:
        return binary_code(*e.as<Binary>());
      case ExprKind::Select:
        return select(*e.as<Select>());
      case ExprKind::Cast:
        return cast_code(*e.as<Cast>());
      case ExprKind::IndexQuery:
        return index_query(*e.as<IndexQuery>());
    }
    throw InternalError("an expression of unknown kind");
  }

 private:
  template <class Get>
  CodePtr<V> integer(Get get) const {
    return std::make_unique<INode<V, Get>>(std::move(get));
  }
  template <class Get>
  CodePtr<V> number(Get get) const {
    return std::make_unique<NNode<V, Get>>(std::move(get));
  }
  CodePtr<V> constant(std::int64_t value) const {
    return integer([value](Frame<V> &) { return value; });
  }

  CodePtr<V> variable(const Variable &v) const {
    const auto slot = scope_.slots.find(v.var.get());
    if (slot == scope_.slots.end())
      throw InternalError("variable " + v.var->name + " has no value here");
    return integer(
        [s = static_cast<std::size_t>(slot->second)](Frame<V> &f) { return f.slots[s]; });
  }

  CodePtr<V> parameter(const ParamRef &p) const {
    const double value = environment_.scalar(*p.param);
    if (!p.type.is_float()) return constant(float_to_int(p.type, value));
    return number([v = exact<V>(round_to(p.type, value))](Frame<V> &) { return v; });
  }

  /// Where the element of a load lies, with every index checked.
  class Address {
   public:
    Address(const Load &load, const AnyBuffer &tensor, std::vector<CodePtr<V>> indices,
            const Scope<V> &scope)
        : name_(load.storage->name), base_(static_cast<const char *>(tensor.data())) {
      for (std::size_t d = 0; d < indices.size(); ++d) {
        Dimension dim{-1, nullptr, tensor.extents()[d],
                      tensor.strides()[d] * tensor.type().bytes()};
        if (const Variable *v = load.indices[d].template as<Variable>())
          dim.slot = scope.slots.at(v->var.get());
        dim.code = std::move(indices[d]);
        dims_.push_back(std::move(dim));
      }
    }
    const char *operator()(Frame<V> &frame) const {
      std::int64_t offset = 0;
      for (const Dimension &dim : dims_) {
        const std::int64_t i = dim.slot >= 0 ? frame.slots[static_cast<std::size_t>(dim.slot)]
                                             : dim.code->integer(frame);
        if (static_cast<std::uint64_t>(i) >= static_cast<std::uint64_t>(dim.extent)) refuse(dim, i);
        offset += i * dim.stride;
      }
      return base_ + offset;
    }

   private:
    struct Dimension {
      int slot;  ///< of an index that is a variable, else -1
      CodePtr<V> code;
      std::int64_t extent, stride;  ///< stride in bytes
    };
    [[noreturn]] void refuse(const Dimension &dim, std::int64_t index) const {
      throw IndexOutOfRange{"tensor " + name_ + ": index " + std::to_string(index) +
                            " of dimension " + std::to_string(&dim - dims_.data()) +
                            " is out of range; the extent is " + std::to_string(dim.extent)};
    }
    std::string name_;
    const char *base_;
    std::vector<Dimension> dims_;
  };

  template <class T>
  CodePtr<V> load_integer(Address address) const {
    return integer([address = std::move(address)](Frame<V> &f) {
      T value;  // any alignment
      std::memcpy(&value, address(f), sizeof(T));
      return static_cast<std::int64_t>(value);
    });
  }
  template <class T, class Convert>
  CodePtr<V> load_number(Address address, Convert convert) const {
    return number([address = std::move(address), convert](Frame<V> &f) {
      T value;
      std::memcpy(&value, address(f), sizeof(T));
      return exact<V>(convert(value));
    });
  }

  CodePtr<V> load(const Load &load) {
    const AnyBuffer &tensor = environment_.tensor(*load.storage);
    Address address(load, tensor, compile_all(load.indices), scope_);
    switch (load.type.kind) {
      case Type::Kind::BFloat:
        return load_number<std::uint16_t>(std::move(address), [](std::uint16_t bits) {
          const std::uint32_t wide = std::uint32_t{bits} << 16;
          float value;
          std::memcpy(&value, &wide, sizeof value);
          return static_cast<double>(value);
        });
      case Type::Kind::Float:
        switch (load.type.bits) {
          case 16:
            return load_number<std::uint16_t>(std::move(address), [](std::uint16_t bits) {
              return static_cast<double>(float16_bits_to_float(bits));
            });
          case 32:
            return load_number<float>(std::move(address),
                                      [](float v) { return static_cast<double>(v); });
          default:
            return load_number<double>(std::move(address), [](double v) { return v; });
        }
      case Type::Kind::Bool:
        return integer(
            [address = std::move(address)](Frame<V> &f) { return std::int64_t{*address(f) != 0}; });
      case Type::Kind::Int:
        switch (load.type.bits) {
          case 8:
            return load_integer<std::int8_t>(std::move(address));
          case 16:
            return load_integer<std::int16_t>(std::move(address));
          case 32:
            return load_integer<std::int32_t>(std::move(address));
          default:
            return load_integer<std::int64_t>(std::move(address));
        }
      case Type::Kind::UInt:
        switch (load.type.bits) {
          case 8:
            return load_integer<std::uint8_t>(std::move(address));
          case 16:
            return load_integer<std::uint16_t>(std::move(address));
          case 32:
            return load_integer<std::uint32_t>(std::move(address));
          default:
            return load_integer<std::int64_t>(std::move(address));
        }
    }
    throw InternalError("a load of unknown type");
  }

  bool reads_own_state(const Call &c) const {
    if (c.func != scope_.self || c.args.size() != scope_.self_args.size()) return false;
    for (std::size_t d = 0; d < c.args.size(); ++d) {
      if (!equal(c.args[d], scope_.self_args[d])) return false;
    }
    return true;
  }

  CodePtr<V> call(const Call &c) {
    const bool own = c.func == scope_.self;
    if (own && scope_.self_values == nullptr) {
      internal_check(reads_own_state(c),
                     "a self call at another coordinate in a pointwise definition");
      const auto component = static_cast<std::size_t>(c.component);
      if (c.type.is_float())
        return number([component](Frame<V> &f) { return f.state[component].number; });
      return integer([component](Frame<V> &f) { return f.state[component].integer; });
    }
    Values<V> &values = own ? *scope_.self_values : environment_.values(*c.func);
    auto get = [&values, component = c.component, args = compile_all(c.args)](Frame<V> &f) {
      std::int64_t at[16];
      for (std::size_t d = 0; d < args.size(); ++d) at[d] = args[d]->integer(f);
      return values.at(at, component);
    };
    internal_check(c.args.size() <= 16, "a call with more than 16 arguments");
    if (c.type.is_float())
      return number([get = std::move(get)](Frame<V> &f) { return get(f).number; });
    return integer([get = std::move(get)](Frame<V> &f) { return get(f).integer; });
  }

  CodePtr<V> unary_code(const Unary &u) {
    CodePtr<V> a = compile(u.a);
    const UnaryOp op = u.op;
    const Type type = u.a.type();
    if (!type.is_float()) {
      if (op == UnaryOp::IsNan || op == UnaryOp::IsFinite) return constant(op == UnaryOp::IsFinite);
      return integer(
          [op, type, a = std::move(a)](Frame<V> &f) { return int_unary(op, type, a->integer(f)); });
    }
    if (op == UnaryOp::IsNan) {
      return integer([a = std::move(a)](Frame<V> &f) {
        return std::int64_t{std::isnan(value_of(a->number(f)))};
      });
    }
    if (op == UnaryOp::IsFinite) {
      return integer([a = std::move(a)](Frame<V> &f) {
        return std::int64_t{std::isfinite(value_of(a->number(f)))};
      });
    }
    return number([op, a = std::move(a)](Frame<V> &f) { return unary(op, a->number(f)); });
  }

  CodePtr<V> binary_code(const Binary &b) {
    CodePtr<V> x = compile(b.a), y = compile(b.b);
    const BinaryOp op = b.op;
    const Type type = b.a.type();
    if (op == BinaryOp::And) {
      return integer([x = std::move(x), y = std::move(y)](Frame<V> &f) {
        return std::int64_t{x->integer(f) != 0 && y->integer(f) != 0};
      });
    }
    if (op == BinaryOp::Or) {
      return integer([x = std::move(x), y = std::move(y)](Frame<V> &f) {
        return std::int64_t{x->integer(f) != 0 || y->integer(f) != 0};
      });
    }
    if (type.is_float()) {
      if (op == BinaryOp::Mul) {
        return number([x = std::move(x), y = std::move(y)](Frame<V> &f) {
          const V first = x->number(f);
          return multiply(first, y->number(f));
        });
      }
      if (is_comparison(op)) {
        return integer([op, x = std::move(x), y = std::move(y)](Frame<V> &f) {
          const double first = value_of(x->number(f));
          return std::int64_t{float_compare(op, first, value_of(y->number(f)))};
        });
      }
      return number([op, x = std::move(x), y = std::move(y)](Frame<V> &f) {
        const V first = x->number(f);
        return binary(op, first, y->number(f));
      });
    }
    return integer([op, type, x = std::move(x), y = std::move(y)](Frame<V> &f) {
      const std::int64_t first = x->integer(f);
      return int_binary(op, type, first, y->integer(f));
    });
  }

  CodePtr<V> select(const Select &s) {
    CodePtr<V> c = compile(s.condition), t = compile(s.true_value), e = compile(s.false_value);
    if (s.type.is_float()) {
      return number([c = std::move(c), t = std::move(t), e = std::move(e)](Frame<V> &f) {
        return c->integer(f) != 0 ? t->number(f) : e->number(f);
      });
    }
    return integer([c = std::move(c), t = std::move(t), e = std::move(e)](Frame<V> &f) {
      return c->integer(f) != 0 ? t->integer(f) : e->integer(f);
    });
  }

  CodePtr<V> cast_code(const Cast &c) {
    CodePtr<V> a = compile(c.a);
    const Type from = c.a.type(), to = c.type;
    if (to.is_float() && from.is_float()) {
      const bool widens =
          to.bits > from.bits || to == from;  // every element of `from` is one of `to`
      if (widens) return a;
      return number([to, a = std::move(a)](Frame<V> &f) { return rounded(to, a->number(f)); });
    }
    if (to.is_float()) {
      return number([from, to, a = std::move(a)](Frame<V> &f) {
        return exact<V>(round_to(to, int_to_float(from, a->integer(f))));
      });
    }
    if (from.is_float()) {
      return integer(
          [to, a = std::move(a)](Frame<V> &f) { return float_to_int(to, value_of(a->number(f))); });
    }
    const bool keeps = to == from || to.bits == 64;  // a uint64 is its bit pattern
    if (keeps) return a;
    return integer([to, a = std::move(a)](Frame<V> &f) { return wrap(to, a->integer(f)); });
  }

  CodePtr<V> index_query(const IndexQuery &q) {
    auto get = [&environment = environment_, q, args = compile_all(q.args)](Frame<V> &f) {
      std::vector<std::int64_t> at;
      for (const auto &a : args) at.push_back(a->integer(f));
      return environment.query(q, at);
    };
    if (q.type.is_float())
      return number([get = std::move(get)](Frame<V> &f) { return exact<V>(get(f)); });
    return integer(
        [get = std::move(get)](Frame<V> &f) { return static_cast<std::int64_t>(get(f)); });
  }

  std::vector<CodePtr<V>> compile_all(const std::vector<Expr> &exprs) {
    std::vector<CodePtr<V>> codes;
    for (const Expr &e : exprs) codes.push_back(compile(e));
    return codes;
  }

  const Scope<V> &scope_;
  Environment<V> &environment_;
};

}  // namespace

template <class V>
CodePtr<V> compile(const Expr &e, const Scope<V> &scope, Environment<V> &environment) {
  return Compiler<V>(scope, environment).compile(e);
}

template class Code<double>;
template class Code<Bounded>;
template struct Scope<double>;
template struct Scope<Bounded>;
template CodePtr<double> compile(const Expr &, const Scope<double> &, Environment<double> &);
template CodePtr<Bounded> compile(const Expr &, const Scope<Bounded> &, Environment<Bounded> &);

}  // namespace pit::reference
