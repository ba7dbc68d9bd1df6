// The combiners of updates, and the state of a softmax.
#include <limits>

#include "error.h"
#include "func.h"

namespace pit {

bool is_permutable(Combiner combiner) { return combiner != Combiner::Assign; }

Expr identity_of(Combiner combiner, Type type) {
  const double infinity = std::numeric_limits<double>::infinity();
  switch (combiner) {
    case Combiner::Sum:
      return make_const(type, 0);
    case Combiner::Product:
      return make_const(type, 1);
    case Combiner::Min:
      if (type.is_float()) return make_float(type, infinity);
      return make_int(type,
                      type == uint64 ? -1 : type.max_int());  // uint64 constants are bit patterns
    case Combiner::Max:
      return type.is_float() ? make_float(type, -infinity) : make_int(type, type.min_int());
    case Combiner::And:
      return make_int(type, 1);
    case Combiner::Or:
      return make_int(type, 0);
    case Combiner::Assign:
    case Combiner::Softmax:
    case Combiner::TopK:
      break;
  }
  throw InternalError("the combiner " + to_string(combiner) + " has no identity of one value");
}

Expr combine(Combiner combiner, const Expr &a, const Expr &b) {
  switch (combiner) {
    case Combiner::Sum:
      return make_binary(BinaryOp::Add, a, b);
    case Combiner::Product:
      return make_binary(BinaryOp::Mul, a, b);
    case Combiner::Min:
      return make_binary(BinaryOp::Min, a, b);
    case Combiner::Max:
      return make_binary(BinaryOp::Max, a, b);
    case Combiner::And:
      return make_binary(BinaryOp::And, a, b);
    case Combiner::Or:
      return make_binary(BinaryOp::Or, a, b);
    case Combiner::Assign:
    case Combiner::Softmax:
    case Combiner::TopK:
      break;
  }
  throw InternalError("the combiner " + to_string(combiner) + " does not combine two values");
}

std::string to_string(Combiner combiner) {
  switch (combiner) {
    case Combiner::Assign:
      return "=";
    case Combiner::Sum:
      return "+=";
    case Combiner::Product:
      return "*=";
    case Combiner::Min:
      return "min=";
    case Combiner::Max:
      return "max=";
    case Combiner::And:
      return "&&=";
    case Combiner::Or:
      return "||=";
    case Combiner::Softmax:
      return "softmax=";
    case Combiner::TopK:
      return "top_k=";
  }
  return "?";
}

bool is_softmax_value(Type type) { return type == float32 || type == bfloat16 || type == float16; }

SoftmaxTerm softmax_term(const Expr &score, const Expr &value) { return {score, value}; }

namespace {

/// The components of a Func that was defined by softmax terms.
struct SoftmaxState {
  Expr max, sum, weighted;
};

SoftmaxState softmax_state(const char *what, const FuncRef &state) {
  const FuncNode &func = *state.func();
  bool is_state = false;
  for (const DefinitionData &definition : func.definitions)
    is_state |= definition.combiner == Combiner::Softmax;
  if (!is_state) {
    throw CompileError(std::string(what) + " reads the state of a softmax, and Func " + func.name +
                           " is none; define it by " + func.name +
                           "(...) += softmax_term(score, value)",
                       state.where());
  }
  return {state[0], state[1], state[2]};
}

}  // namespace

Expr softmax_value(const FuncRef &state) {
  const SoftmaxState s = softmax_state("softmax_value", state);
  // One division serves all values of a state.
  return s.weighted * select(s.sum == 0, 0.f, 1.f / s.sum);
}

Expr log_sum_exp(const FuncRef &state) {
  const SoftmaxState s = softmax_state("log_sum_exp", state);
  return s.max + log(s.sum);  // -inf + -inf for an empty set
}

}  // namespace pit
