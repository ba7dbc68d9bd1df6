// Funcs and references to them: `F(x, y) = ...`.
#include "func.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "define.h"
#include "error.h"

namespace pit {

namespace {

/// `F(args) combiner= values`: the update, after the identity where F is undefined.
Definition accumulate(const FuncRef &ref, std::vector<Expr> values, Combiner combiner,
                      const char *op) {
  FuncNode &func = *ref.func();
  for (const Expr &value : values) {
    if (!value.defined()) {
      throw CompileError(
          "Func " + func.name + " " + op + " an undefined Expr; give it a value first",
          ref.where());
    }
    if (value.type().is_bool()) {
      throw CompileError("Func " + func.name + " " + op + " " + to_string(value) +
                             ", which is a bool; cast it to a number, e.g. i32(...)",
                         ref.where());
    }
  }
  std::vector<Expr> args = call_arguments(func, ref.args(), ref.where());
  const bool was_undefined = func.definitions.empty();
  if (was_undefined) {
    std::vector<Type> types;
    for (const Expr &value : values) types.push_back(value.type());
    if (combiner == Combiner::Softmax) types.assign(3, float32);
    define_identity(&func, args, types, combiner, ref.where());
  }
  try {
    return {ref.func(),
            define_update(&func, std::move(args), std::move(values), combiner, ref.where())};
  } catch (const CompileError &) {
    if (was_undefined) {  // the Func stays as it was
      func.definitions.clear();
      func.args.clear();
      func.types.clear();
    }
    throw;
  }
}

Definition assign(const FuncRef &ref, std::vector<Expr> values) {
  FuncNode &func = *ref.func();
  std::vector<Expr> args = call_arguments(func, ref.args(), ref.where());
  if (func.definitions.empty()) {
    define_pure(&func, args, std::move(values), ref.where());
    return {ref.func(), 0};
  }
  for (const Expr &value : values) {
    if (!value.defined()) {
      throw CompileError("Func " + func.name + " = an undefined Expr; give it a value first",
                         ref.where());
    }
  }
  const Combiner combiner = recognise_combiner(func, args, &values);
  return {ref.func(),
          define_update(&func, std::move(args), std::move(values), combiner, ref.where())};
}

}  // namespace

const Expr &Tuple::operator[](std::size_t i) const {
  if (i >= values_.size()) {
    throw CompileError("a Tuple of " + std::to_string(values_.size()) +
                           " values has no component [" + std::to_string(i) + "]",
                       {});
  }
  return values_[i];
}

Definition FuncRef::operator=(const Expr &value) { return assign(*this, {value}); }
Definition FuncRef::operator=(const Tuple &value) { return assign(*this, value.values()); }

Definition FuncRef::operator+=(const Expr &value) {
  return accumulate(*this, {value}, Combiner::Sum, "+=");
}
Definition FuncRef::operator+=(const Tuple &value) {
  return accumulate(*this, value.values(), Combiner::Sum, "+=");
}

Definition FuncRef::operator+=(const SoftmaxTerm &term) {
  const FuncNode &func = *func_;
  if (!func.definitions.empty() && func.types != std::vector<Type>(3, float32)) {
    throw CompileError("Func " + func.name +
                           " is no state of a softmax: that has the float32 components (max, sum, "
                           "weighted sum); let "
                           "its first definition be += softmax_term(...)",
                       where_);
  }
  const std::string score = "score", value = "value";
  for (const auto &[what, e] : {std::pair(score, term.score), std::pair(value, term.value)}) {
    const bool is_constant = e.as<IntImm>() != nullptr || e.as<FloatImm>() != nullptr;
    const bool fits =
        !e.defined() || e.type() == float32 || (what == value && is_softmax_value(e.type()));
    if (!fits && !is_constant) {
      throw CompileError("Func " + func.name + " += softmax_term: the " + what + " " +
                             to_string(e) + " is " + to_string(e.type()) +
                             (what == value ? "; values are float32, bfloat16 or float16"
                                            : "; the state is float32") +
                             ": cast it, f32(...)",
                         where_);
    }
  }
  return accumulate(*this, {term.score, term.value}, Combiner::Softmax, "+=");
}

Definition FuncRef::operator-=(const Expr &value) {
  return accumulate(*this, {value.defined() ? -value : value}, Combiner::Sum, "-=");
}
Definition FuncRef::operator*=(const Expr &value) {
  return accumulate(*this, {value}, Combiner::Product, "*=");
}
Definition FuncRef::operator*=(const Tuple &value) {
  return accumulate(*this, value.values(), Combiner::Product, "*=");
}

Expr FuncRef::operator[](int i) const {
  const FuncNode &func = *func_;
  if (func.definitions.empty()) {
    throw CompileError("Func " + func.name + " is read before it has a definition; write " +
                           func.name + "(...) = ... first",
                       where_);
  }
  if (i < 0 || static_cast<std::size_t>(i) >= func.types.size()) {
    throw CompileError("Func " + func.name + " has " + std::to_string(func.types.size()) +
                           (func.types.size() == 1 ? " component" : " components") +
                           " and no component [" + std::to_string(i) + "]",
                       where_);
  }
  std::vector<Expr> args = call_arguments(func, args_, where_);
  return Expr(
      std::make_shared<Call>(func.types[static_cast<std::size_t>(i)], func_, std::move(args), i),
      where_);
}

std::size_t FuncRef::size() const { return func_->types.size(); }

Expr::Expr(const FuncRef &call, Location) {
  if (call.size() > 1) {
    throw CompileError("Func " + call.func()->name + " has " + std::to_string(call.size()) +
                           " components and is used as one value; choose one, e.g. " +
                           call.func()->name + "(...)[0]",
                       call.where());
  }
  *this = call[0];
}

Func::Func(std::string name, Location where) : Definition(std::make_shared<FuncNode>(), 0) {
  if (name.empty()) {
    name = made_up_name("f");
  } else {
    check_name("Func", name, where);
  }
  func_->name = std::move(name);
  func_->where = where;
}

Func::Func(FuncPtr node, Location where) : Definition(std::move(node), 0) {
  if (!func_) throw CompileError("a Func is made of a null pointer; write Func(\"name\")", where);
}

FuncRef Func::operator()(Location where) const { return {func_, {}, where}; }
FuncRef Func::operator()(Expr a, Location where) const { return {func_, {a}, where}; }
FuncRef Func::operator()(Expr a, Expr b, Location where) const { return {func_, {a, b}, where}; }
FuncRef Func::operator()(Expr a, Expr b, Expr c, Location where) const {
  return {func_, {a, b, c}, where};
}
FuncRef Func::operator()(Expr a, Expr b, Expr c, Expr d, Location where) const {
  return {func_, {a, b, c, d}, where};
}
FuncRef Func::operator()(Expr a, Expr b, Expr c, Expr d, Expr e, Location where) const {
  return {func_, {a, b, c, d, e}, where};
}
FuncRef Func::operator()(Expr a, Expr b, Expr c, Expr d, Expr e, Expr f, Location where) const {
  return {func_, {a, b, c, d, e, f}, where};
}
FuncRef Func::operator()(std::vector<Expr> args, Location where) const {
  return {func_, std::move(args), where};
}

Definition Func::update(int i, Location where) {
  const int updates = static_cast<int>(func_->definitions.size()) - 1;
  if (i < 0 || i >= updates) {
    const std::string has = updates < 0    ? "is undefined"
                            : updates == 0 ? "has only its pure definition"
                            : updates == 1 ? "has one update, update(0)"
                                           : "has the updates 0 to " + std::to_string(updates - 1);
    throw CompileError(
        "Func " + name() + " " + has + ", and update(" + std::to_string(i) + ") is asked for",
        where);
  }
  return {func_, i + 1};
}

Func &Func::where(const Expr &predicate, Location where) {
  const std::string what = "the predicate of Func " + name();
  if (!defined()) {
    throw CompileError("Func " + name() +
                           " is restricted before it has a definition; write where(...) after " +
                           name() + "(...) = ...",
                       where);
  }
  const std::vector<Expr> factors = conjuncts(what, predicate, where);
  for (const Expr &factor : factors) {
    for (const VarPtr &v : free_variables(factor)) {
      if (std::find(func_->args.begin(), func_->args.end(), v) != func_->args.end()) continue;
      throw CompileError(what + " reads " + (v->role == VarRole::Reduction ? "RVar " : "Var ") +
                             v->name + ", which is none of the Func's Vars",
                         where);
    }
    check_reads_no(*func_, factor, what, where);
  }
  func_->predicates.insert(func_->predicates.end(), factors.begin(), factors.end());
  return *this;
}

const std::string &Func::name() const { return func_->name; }
bool Func::defined() const { return !func_->definitions.empty(); }

}  // namespace pit
