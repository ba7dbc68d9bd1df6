#include "define.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "error.h"

namespace pit {

namespace {

using Location = std::source_location;

/// How a user casts to `type`.
std::string cast_call(Type type) {
  if (type == float16) return "f16(...)";
  if (type == bfloat16) return "bf16(...)";
  if (type == float32) return "f32(...)";
  if (type == float64) return "f64(...)";
  if (type == int32) return "i32(...)";
  if (type == int64) return "i64(...)";
  return "cast(" + (type.is_bool() ? "boolean" : to_string(type)) + ", ...)";
}

std::string component_name(const FuncNode &func, std::size_t component, std::size_t count) {
  return (count > 1 ? "component " + std::to_string(component) + " of " : "") + "Func " + func.name;
}

/// A constant of `type` equal to constant `e` (floats may be rounded), or null.
Expr converted_constant(const Expr &e, Type type) {
  if (e.as<FloatImm>() != nullptr) return type.is_float() ? cast(type, e) : Expr();
  const auto *i = e.as<IntImm>();
  if (i == nullptr) return {};
  const Expr result = cast(type, e);
  if (type.is_float()) return result;
  return result.as<IntImm>()->value == i->value ? result : Expr();
}

void check_values(const FuncNode &func, const std::vector<Expr> &values, Location where) {
  if (values.empty())
    throw CompileError("Func " + func.name + " is defined by an empty Tuple", where);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i].defined()) continue;
    throw CompileError("the value of " + component_name(func, i, values.size()) +
                           " is an undefined Expr; give it a value first",
                       where);
  }
}

/// Brings the values of an update to the types of the Func: constants only, the rest has been cast
/// by the user.
void match_value_types(const std::vector<Type> &types, const FuncNode &func,
                       std::vector<Expr> *values, Location where) {
  if (values->size() != types.size()) {
    throw CompileError("Func " + func.name + " has " + std::to_string(types.size()) +
                           " components and the update has " + std::to_string(values->size()) +
                           "; write a Tuple of " + std::to_string(types.size()) + " values",
                       where);
  }
  for (std::size_t i = 0; i < values->size(); ++i) {
    Expr &value = (*values)[i];
    if (value.type() == types[i]) continue;
    const Expr constant = converted_constant(value, types[i]);
    if (!constant.defined()) {
      throw CompileError(component_name(func, i, types.size()) + " holds " + to_string(types[i]) +
                             " and the update's value " + to_string(value) + " is " +
                             to_string(value.type()) + "; cast it: " + cast_call(types[i]),
                         where);
    }
    value = constant;
  }
}

/// True when a definition of `from` reads `target`, directly or through other Funcs.
bool reads(const FuncNode &from, const FuncNode *target, std::set<const FuncNode *> *seen) {
  if (!seen->insert(&from).second) return false;
  bool found = false;
  const auto visit = [&](const Expr &e) {
    walk(e, [&](const Expr &node) {
      const auto *call = node.as<Call>();
      if (call != nullptr) found |= call->func == target || reads(*call->func, target, seen);
      return !found;
    });
  };
  for (const DefinitionData &definition : from.definitions) {
    for (const Expr &e : definition.args) visit(e);
    for (const Expr &e : definition.values) visit(e);
    for (const Expr &e : definition.predicates) visit(e);
    for (const ReductionDim &dim : definition.domain) {
      visit(dim.min);
      visit(dim.extent);
    }
  }
  for (const Expr &e : from.predicates) visit(e);
  return found;
}

/// Calls `visit(expression, place)` on everything that a definition evaluates.
template <class Visit>
void for_each_expression(const DefinitionData &definition, const Visit &visit) {
  for (const Expr &e : definition.args) visit(e, "the left-hand side");
  for (const ReductionDim &dim : definition.domain) {
    visit(dim.min, "a bound of its domain");
    visit(dim.extent, "a bound of its domain");
  }
  for (const Expr &e : definition.predicates) visit(e, "a predicate");
  for (const Expr &e : definition.values) visit(e, "the value");
}

void check_no_cycle(const FuncNode &func, const DefinitionData &definition, Location where) {
  if (func.definitions.empty()) return;  // what has no definition yet is read by no Func
  std::set<const FuncNode *> seen;
  for_each_expression(definition, [&](const Expr &e, const char *) {
    walk(e, [&](const Expr &node) {
      const auto *call = node.as<Call>();
      if (call != nullptr && call->func != &func && reads(*call->func, &func, &seen)) {
        throw CompileError("Func " + func.name + " is defined by Func " + call->func->name +
                               ", which reads " + func.name +
                               "; a Func may read itself only directly, in an update",
                           where);
      }
      return true;
    });
  });
}

/// Every variable of the definition is one of `allowed`, else CompileError naming it.
void check_variables(const FuncNode &func, const DefinitionData &definition,
                     const std::vector<VarPtr> &allowed, Location where) {
  for_each_expression(definition, [&](const Expr &e, const char *place) {
    for (const VarPtr &v : free_variables(e)) {
      if (std::find(allowed.begin(), allowed.end(), v) != allowed.end()) continue;
      const std::string found =
          std::string(" stands in ") + place + " of a definition of Func " + func.name;
      if (v->role == VarRole::Reduction) {
        throw CompileError("RVar " + v->name + found +
                               (func.definitions.empty() ? ", which is pure; " : "; ") +
                               "write a reduction as an update, " + func.name +
                               "(...) += ..., or use sum(" + v->name + ", ...)",
                           where);
      }
      const bool same_name = std::any_of(func.args.begin(), func.args.end(),
                                         [&](const VarPtr &arg) { return arg->name == v->name; });
      const bool is_argument = std::find(func.args.begin(), func.args.end(), v) != func.args.end();
      std::string reason =
          "; it is no Var of the left-hand side: add it there, or reduce over it with an RDom";
      if (is_argument) {
        reason = ", where " + v->name + " is not a plain argument at its own position; keep " +
                 v->name + " there, or use an RDom in its place";
      } else if (same_name) {
        reason = "; it is another Var than the pure definition's " + v->name +
                 " (Vars are the same only if copied): use that Var";
      }
      throw CompileError("Var " + v->name + found + reason, where);
    }
  });
}

/// Collects the RDoms that expressions use, so that a domain whose bounds read another's variable
/// comes after it.
class DomainCollector {
 public:
  DomainCollector(const FuncNode &func, Location where) : func_(func), where_(where) {}

  void visit(const Expr &e) {
    for (const VarPtr &v : free_variables(e)) {
      if (v->role == VarRole::Reduction) add(v);
    }
  }

  const std::vector<std::shared_ptr<RDomNode>> &domains() const { return domains_; }

 private:
  const FuncNode &func_;
  Location where_;
  std::vector<std::shared_ptr<RDomNode>> entered_, domains_;

  void add(const VarPtr &v) {
    std::shared_ptr<RDomNode> domain = v->domain.lock();
    if (!domain) {
      throw CompileError(
          "RVar " + v->name + " in a definition of Func " + func_.name +
              " belongs to no RDom (or the RDom does not exist any more); make the RDom before the "
              "definition and use its variables",
          where_);
    }
    if (std::find(entered_.begin(), entered_.end(), domain) != entered_.end()) return;
    entered_.push_back(domain);
    for (const ReductionDim &dim : domain->dims) {
      visit(dim.min);
      visit(dim.extent);
    }
    domains_.push_back(domain);
    for (const Expr &predicate : domain->predicates) visit(predicate);
  }
};

/// The plain Var that an argument is, or null.
VarPtr plain_var(const Expr &arg) {
  const auto *v = arg.as<Variable>();
  return v != nullptr && v->var->role == VarRole::Pure ? v->var : nullptr;
}

void add_definition(FuncNode *func, DefinitionData definition) {
  const auto weaken = [&](Expr *e) { *e = weaken_self_calls(*e, func); };
  std::for_each(definition.args.begin(), definition.args.end(), [&](Expr &e) { weaken(&e); });
  std::for_each(definition.values.begin(), definition.values.end(), [&](Expr &e) { weaken(&e); });
  std::for_each(definition.predicates.begin(), definition.predicates.end(),
                [&](Expr &e) { weaken(&e); });
  for (ReductionDim &dim : definition.domain) {
    weaken(&dim.min);
    weaken(&dim.extent);
  }
  // Errors about the Func point to where it is defined, not to where its handle is declared.
  if (func->definitions.empty() && definition.where.line() != 0) func->where = definition.where;
  func->definitions.push_back(std::move(definition));
}

}  // namespace

std::vector<Expr> conjuncts(const std::string &what, const Expr &predicate,
                            std::source_location where) {
  if (!predicate.defined())
    throw CompileError(what + " is an undefined Expr; give it a value first", where);
  if (!predicate.type().is_bool()) {
    throw CompileError(what + ", " + to_string(predicate) + ", is " + to_string(predicate.type()) +
                           " and not a bool; compare it, e.g. " + to_string(predicate) + " != 0",
                       where);
  }
  const auto *both = predicate.as<Binary>();
  if (both == nullptr || both->op != BinaryOp::And) return {predicate};
  std::vector<Expr> factors = conjuncts(what, both->a, where);
  for (Expr &factor : conjuncts(what, both->b, where)) factors.push_back(std::move(factor));
  return factors;
}

std::vector<Expr> call_arguments(const FuncNode &func, std::vector<Expr> args,
                                 std::source_location where) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string which = "argument " + std::to_string(i) + " of Func " + func.name;
    if (!args[i].defined())
      throw CompileError(which + " is an undefined Expr; give it a value first", where);
    if (!args[i].type().is_integral()) {
      throw CompileError(which + ", " + to_string(args[i]) + ", is " + to_string(args[i].type()) +
                             "; arguments are integers: cast it, e.g. i64(...)",
                         where);
    }
    args[i] = cast(int64, args[i]);
  }
  if (!func.definitions.empty() && args.size() != func.args.size()) {
    throw CompileError("Func " + func.name + " has " + std::to_string(func.args.size()) +
                           " arguments and is given " + std::to_string(args.size()),
                       where);
  }
  return args;
}

Expr weaken_self_calls(const Expr &e, FuncNode *self) {
  return rewrite(e, [&](const Expr &node) -> Expr {
    const auto *call = node.as<Call>();
    if (call == nullptr || call->func != self || call->owner == nullptr) return node;
    return Expr(std::make_shared<Call>(call->type, self, call->args, call->component),
                node.where());
  });
}

void check_reads_no(const FuncNode &func, const Expr &e, const std::string &what,
                    std::source_location where) {
  std::set<const FuncNode *> seen;
  walk(e, [&](const Expr &node) {
    const auto *call = node.as<Call>();
    if (call != nullptr && (call->func == &func || reads(*call->func, &func, &seen))) {
      throw CompileError(what + " reads " + to_string(node) + ", which depends on Func " +
                             func.name + " itself; it may read tensors and other Funcs",
                         where);
    }
    return true;
  });
}

void define_pure(FuncNode *func, const std::vector<Expr> &args, std::vector<Expr> values,
                 std::source_location where) {
  check_values(*func, values, where);
  DefinitionData definition;
  definition.args = args;
  definition.values = std::move(values);
  definition.where = where;
  std::vector<VarPtr> vars;
  for (const Expr &arg : args) {
    const VarPtr var = plain_var(arg);
    const std::string what =
        "the first definition of Func " + func->name + " has the argument " + to_string(arg);
    if (!var) {
      throw CompileError(what + "; the arguments of a pure definition are Vars (write " +
                             func->name +
                             "(...) += ... for a reduction that begins with its identity)",
                         where);
    }
    if (std::find(vars.begin(), vars.end(), var) != vars.end()) {
      throw CompileError(what + " twice; the arguments of a pure definition are distinct Vars",
                         where);
    }
    vars.push_back(var);
  }
  check_variables(*func, definition, vars, where);
  check_no_cycle(*func, definition, where);
  func->args = std::move(vars);
  for (const Expr &value : definition.values) func->types.push_back(value.type());
  add_definition(func, std::move(definition));
}

void define_identity(FuncNode *func, const std::vector<Expr> &args, const std::vector<Type> &types,
                     Combiner combiner, std::source_location where) {
  DefinitionData definition;
  for (std::size_t i = 0; i < args.size(); ++i) {
    VarPtr var = plain_var(args[i]);
    if (!var || std::find(func->args.begin(), func->args.end(), var) != func->args.end()) {
      var = std::make_shared<VarNode>(VarNode{"_" + std::to_string(i)});
    }
    func->args.push_back(var);
    definition.args.push_back(make_variable(var));
  }
  func->types = types;
  if (combiner == Combiner::Softmax) {
    definition.values = {identity_of(Combiner::Max, float32), make_zero(float32),
                         make_zero(float32)};
  } else if (combiner == Combiner::TopK) {
    definition.values = {identity_of(Combiner::Max, types[0]), make_int(int32, -1)};
  } else {
    for (Type type : types) definition.values.push_back(identity_of(combiner, type));
  }
  definition.implicit = true;
  definition.where = where;
  func->where = where;
  func->definitions.push_back(std::move(definition));
}

// A state belongs to one value of each Var, and its three components move together.
static void check_softmax_place(const FuncNode &func, const std::vector<Expr> &args,
                                std::source_location where) {
  for (std::size_t i = 0; i < args.size() && i < func.args.size(); ++i) {
    if (plain_var(args[i]) == func.args[i]) continue;
    throw CompileError("Func " + func.name + " += softmax_term: index " + to_string(args[i]) +
                           " of the left-hand side is no Var of its own; a softmax collects its "
                           "terms by a domain: RDom over the terms of one state, with where, csr "
                           "or segment",
                       where);
  }
}

int define_update(FuncNode *func, std::vector<Expr> args, std::vector<Expr> values,
                  Combiner combiner, std::source_location where) {
  if (combiner == Combiner::Softmax) check_softmax_place(*func, args, where);
  if (combiner == Combiner::Softmax) {
    const bool keeps = values.size() == 2 && is_softmax_value(values[1].type());
    match_value_types({float32, keeps ? values[1].type() : float32}, *func, &values, where);
  } else {
    match_value_types(func->types, *func, &values, where);
  }
  DefinitionData definition;
  definition.args = std::move(args);
  definition.values = std::move(values);
  definition.combiner = combiner;
  definition.where = where;

  DomainCollector collector(*func, where);
  for (const Expr &e : definition.args) collector.visit(e);
  for (const Expr &e : definition.values) collector.visit(e);
  std::vector<VarPtr> allowed;
  for (const auto &domain : collector.domains()) {
    definition.domain.insert(definition.domain.end(), domain->dims.begin(), domain->dims.end());
    definition.predicates.insert(definition.predicates.end(), domain->predicates.begin(),
                                 domain->predicates.end());
  }
  for (const ReductionDim &dim : definition.domain) allowed.push_back(dim.var);
  for (std::size_t i = 0; i < definition.args.size(); ++i) {
    if (plain_var(definition.args[i]) == func->args[i]) allowed.push_back(func->args[i]);
  }
  check_variables(*func, definition, allowed, where);
  check_no_cycle(*func, definition, where);
  for (const auto &domain : collector.domains()) domain->frozen = true;
  add_definition(func, std::move(definition));
  return static_cast<int>(func->definitions.size()) - 1;
}

namespace {

struct Recognised {
  Combiner combiner;
  BinaryOp op;
};

constexpr Recognised kRecognised[] = {
    {Combiner::Sum, BinaryOp::Add}, {Combiner::Product, BinaryOp::Mul},
    {Combiner::Min, BinaryOp::Min}, {Combiner::Max, BinaryOp::Max},
    {Combiner::And, BinaryOp::And}, {Combiner::Or, BinaryOp::Or}};

/// What `value` combines with the one operand that is `self`, by `op` at any depth; null when it is
/// of another form.
Expr without_self(const Expr &value, const Expr &self, BinaryOp op) {
  const auto *binary = value.as<Binary>();
  if (binary == nullptr) return {};
  const Expr &a = binary->a, &b = binary->b;
  const bool is_difference = op == BinaryOp::Add && binary->op == BinaryOp::Sub;
  if (binary->op != op && !is_difference) return {};
  if (equal(a, self)) return is_difference ? make_unary(UnaryOp::Neg, b) : b;
  if (const Expr rest = without_self(a, self, op); rest.defined())
    return make_binary(binary->op, rest, b);
  if (is_difference) return {};
  if (equal(b, self)) return a;
  const Expr rest = without_self(b, self, op);
  return rest.defined() ? make_binary(op, a, rest) : Expr();
}

bool reads_directly(const Expr &e, const FuncNode &func) {
  bool found = false;
  walk(e, [&](const Expr &node) {
    const auto *call = node.as<Call>();
    found |= call != nullptr && call->func == &func;
    return !found;
  });
  return found;
}

}  // namespace

Combiner recognise_combiner(const FuncNode &func, const std::vector<Expr> &args,
                            std::vector<Expr> *values) {
  if (values->size() != func.types.size()) return Combiner::Assign;
  for (const Recognised &candidate : kRecognised) {
    std::vector<Expr> rests;
    for (std::size_t i = 0; i < values->size(); ++i) {
      const Expr self(std::make_shared<Call>(func.types[i], const_cast<FuncNode *>(&func), args,
                                             static_cast<int>(i)));
      const Expr rest = without_self((*values)[i], self, candidate.op);
      if (!rest.defined() || reads_directly(rest, func)) break;
      rests.push_back(rest);
    }
    if (rests.size() != values->size()) continue;
    *values = std::move(rests);
    return candidate.combiner;
  }
  return Combiner::Assign;
}

}  // namespace pit
