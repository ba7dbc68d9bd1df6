// sum(r, e) and its kin: each makes a hidden Func whose update is the reduction.
//
//   sum(k, A(m, k) * B(k, n))   ->   sum$k(m', n') += A(m', k') * B(k', n'), and the value sum$k(m,
//   n)
//
// The arguments are the variables that the operand, the bounds and the predicates of r read, apart
// from r's own: Vars, and RVars of other domains, which the reduction sees as constants.
#include <algorithm>
#include <memory>
#include <utility>

#include "define.h"
#include "error.h"
#include "func.h"

namespace pit {

namespace {

using Location = std::source_location;

class HiddenFunc {
 public:
  HiddenFunc(const std::string &kind, const RDom &r, const std::vector<Expr> &values,
             Location where)
      : func_(std::make_shared<FuncNode>()) {
    RDomNode &domain = *r.node();
    for (const Expr &value : values) {
      if (value.defined()) continue;
      throw CompileError(
          kind + " over RDom " + domain.name + " of an undefined Expr; give it a value first",
          where);
    }
    func_->name = kind + "$" + domain.name;
    func_->inline_reduction = true;
    func_->where = where;

    for (const ReductionDim &dim : domain.dims) own_.push_back(dim.var);
    for (const Expr &value : values) capture(value);
    for (const ReductionDim &dim : domain.dims) {
      capture(dim.min);
      capture(dim.extent);
    }
    for (const Expr &predicate : domain.predicates) capture(predicate);

    update_.where = where;
    for (const VarPtr &v : own_) rename(v, VarRole::Reduction);
    for (std::size_t d = 0; d < own_.size(); ++d) {
      update_.domain.push_back({to_[captured_.size() + d].as<Variable>()->var,
                                renamed(domain.dims[d].min), renamed(domain.dims[d].extent)});
    }
    for (const Expr &predicate : domain.predicates)
      update_.predicates.push_back(renamed(predicate));
    for (const Expr &value : values) update_.values.push_back(renamed(value));
    update_.args.assign(to_.begin(), to_.begin() + static_cast<std::ptrdiff_t>(captured_.size()));
    for (const VarPtr &v : captured_) args_.push_back(make_variable(v));
    domain.frozen = true;
  }

  /// One more argument than those captured: a Var in the hidden Func, `value` in its call.
  void add_argument(const std::string &name, const Expr &value) {
    update_.args.push_back(make_variable(std::make_shared<VarNode>(VarNode{name})));
    args_.push_back(value);
  }

  /// The call's Func and arguments.
  FuncRef define(Combiner combiner, const std::vector<Type> &types) {
    define_identity(func_.get(), update_.args, types, combiner, update_.where);
    update_.combiner = combiner;
    func_->definitions.push_back(update_);
    return {func_, args_, update_.where};
  }

 private:
  FuncPtr func_;
  DefinitionData update_;
  std::vector<Expr> args_;              ///< of the call
  std::vector<VarPtr> own_, captured_;  ///< variables of r; variables that stand for constants
  std::vector<VarPtr> from_;            ///< captured_, then own_
  std::vector<Expr> to_;                ///< what they are in the hidden Func

  void capture(const Expr &e) {
    for (const VarPtr &v : free_variables(e)) {
      const auto is_v = [&](const VarPtr &other) { return other == v; };
      if (std::any_of(own_.begin(), own_.end(), is_v) ||
          std::any_of(captured_.begin(), captured_.end(), is_v))
        continue;
      captured_.push_back(v);
      rename(v, VarRole::Pure);
    }
  }

  /// A new variable in the hidden Func, so that the reduction may stand inside another one over the
  /// same domain.
  void rename(const VarPtr &v, VarRole role) {
    from_.push_back(v);
    to_.push_back(make_variable(std::make_shared<VarNode>(VarNode{v->name, role})));
  }

  Expr renamed(const Expr &e) const { return substitute(e, from_, to_); }
};

void check_number(const char *kind, const RDom &r, const Expr &e, Location where) {
  if (!e.defined() || !e.type().is_bool()) return;  // an undefined one is reported by HiddenFunc
  throw CompileError(std::string(kind) + " over RDom " + r.node()->name + " of " + to_string(e) +
                         ", which is a bool; cast it to a number, e.g. i32(...)",
                     where);
}

Expr reduce(const char *kind, Combiner combiner, const RDom &r, const Expr &e, Location where) {
  check_number(kind, r, e, where);
  return HiddenFunc(kind, r, {e}, where).define(combiner, {e.type()})[0];
}

Tuple ranked(const char *kind, const RDom &r, const Expr &key, const Expr &slot, Location where) {
  check_number(kind, r, key, where);
  if (r.dimensions() != 1) {
    throw CompileError(std::string(kind) + " over RDom " + r.node()->name + " of " +
                           std::to_string(r.dimensions()) +
                           " dimensions; it gives one coordinate: use a one-dimensional RDom",
                       where);
  }
  if (!slot.defined() || !slot.type().is_integral()) {
    throw CompileError(
        std::string(kind) + " over RDom " + r.node()->name + ": the slot is an integer" +
            (slot.defined() ? ", and " + to_string(slot) + " is " + to_string(slot.type()) : ""),
        where);
  }
  HiddenFunc hidden(kind, r, {key}, where);
  hidden.add_argument("slot", slot);
  const FuncRef ranking = hidden.define(Combiner::TopK, {key.type(), int32});
  return {ranking[0], ranking[1]};
}

/// Reverses the order of keys, and undoes it. For integers ~x, which has no overflow.
Expr reversed(const Expr &key) { return key.type().is_float() ? -key : ~key; }

}  // namespace

Expr sum(const RDom &r, const Expr &e, std::source_location where) {
  return reduce("sum", Combiner::Sum, r, e, where);
}
Expr product(const RDom &r, const Expr &e, std::source_location where) {
  return reduce("product", Combiner::Product, r, e, where);
}
Expr minimum(const RDom &r, const Expr &e, std::source_location where) {
  return reduce("minimum", Combiner::Min, r, e, where);
}
Expr maximum(const RDom &r, const Expr &e, std::source_location where) {
  return reduce("maximum", Combiner::Max, r, e, where);
}

Tuple top_k(const RDom &r, const Expr &key, const Expr &slot, std::source_location where) {
  return ranked("top_k", r, key, slot, where);
}

Tuple argmax(const RDom &r, const Expr &e, std::source_location where) {
  return ranked("argmax", r, e, 0, where);
}

Tuple argmin(const RDom &r, const Expr &e, std::source_location where) {
  check_number("argmin", r, e, where);
  const Tuple largest = ranked("argmin", r, e.defined() ? reversed(e) : e, 0, where);
  return {reversed(largest[0]), largest[1]};
}

Expr softmax_sum(const RDom &r, const Expr &score, const Expr &value, std::source_location where) {
  const bool keeps = value.defined() && is_softmax_value(value.type());
  for (const Expr &e : keeps ? std::vector{score} : std::vector{score, value}) {
    if (!e.defined() || e.type() == float32) continue;
    throw CompileError("softmax_sum over RDom " + r.node()->name + " of " + to_string(e) +
                           ", which is " + to_string(e.type()) +
                           "; score and value are float32: cast it, f32(...)",
                       where);
  }
  return softmax_value(HiddenFunc("softmax_sum", r, {score, value}, where)
                           .define(Combiner::Softmax, {float32, float32, float32}));
}

Expr segment(const TensorParam &offsets, const Expr &p) {
  if (offsets.rank() != 1 || !offsets.type().is_integral()) {
    throw CompileError("segment: TensorParam " + offsets.name() + " is " +
                           to_string(offsets.type()) + " of rank " +
                           std::to_string(offsets.rank()) + "; offsets are integers of rank 1",
                       p.where());
  }
  if (!p.defined() || !p.type().is_integral()) {
    throw CompileError("segment of TensorParam " + offsets.name() + ": the position is an integer",
                       p.where());
  }
  const Expr position = make_variable(std::make_shared<VarNode>(VarNode{"p"}));
  const VarPtr g = std::make_shared<VarNode>(VarNode{"g", VarRole::Reduction});
  auto func = std::make_shared<FuncNode>();
  func->name = "segment$" + offsets.name();
  func->inline_reduction = true;
  func->segment_offsets = offsets.storage();
  func->where = p.where();
  define_identity(func.get(), {position}, {int64}, Combiner::Sum, p.where());
  DefinitionData update;
  update.args = {position};
  update.values = {make_int(int64, 1)};
  update.combiner = Combiner::Sum;
  update.domain = {{g, make_int(int64, 0), offsets.extent(0) - 1}};
  update.predicates = {offsets(make_variable(g) + 1) <= position};
  update.where = p.where();
  func->definitions.push_back(std::move(update));
  return FuncRef(func, {p}, p.where())[0];
}

}  // namespace pit
