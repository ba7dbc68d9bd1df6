// Vars, RVars and reduction domains.
#include <array>
#include <utility>

#include "define.h"
#include "error.h"
#include "func.h"

namespace pit {

namespace {

VarPtr named_variable(const std::string &what, std::string name, VarRole role,
                      std::source_location where) {
  if (name.empty()) {
    name = made_up_name("v");
  } else {
    check_name(what, name, where);
  }
  return std::make_shared<VarNode>(VarNode{std::move(name), role});
}

constexpr std::array<const char *, 4> kDimensionNames = {"x", "y", "z", "w"};

}  // namespace

Var::Var(std::string name, std::source_location where)
    : node_(named_variable("Var", std::move(name), VarRole::Pure, where)) {}

RVar::RVar(std::string name, std::source_location where)
    : node_(named_variable("RVar", std::move(name), VarRole::Reduction, where)) {}

RDom::RDom(Expr min, Expr extent, std::string name, Location where) {
  initialise({min, extent}, std::move(name), where);
}
RDom::RDom(Expr min0, Expr extent0, Expr min1, Expr extent1, std::string name, Location where) {
  initialise({min0, extent0, min1, extent1}, std::move(name), where);
}
RDom::RDom(Expr min0, Expr extent0, Expr min1, Expr extent1, Expr min2, Expr extent2,
           std::string name, Location where) {
  initialise({min0, extent0, min1, extent1, min2, extent2}, std::move(name), where);
}
RDom::RDom(Expr min0, Expr extent0, Expr min1, Expr extent1, Expr min2, Expr extent2, Expr min3,
           Expr extent3, std::string name, Location where) {
  initialise({min0, extent0, min1, extent1, min2, extent2, min3, extent3}, std::move(name), where);
}

void RDom::initialise(std::vector<Expr> bounds, std::string name, Location where) {
  node_ = std::make_shared<RDomNode>();
  if (name.empty()) {
    name = made_up_name("r");
  } else {
    check_name("RDom", name, where);
  }
  node_->name = name;
  for (const Expr &bound : bounds) {
    if (!bound.defined()) {
      throw CompileError("a bound of RDom " + name + " is an undefined Expr; give it a value first",
                         where);
    }
    if (!bound.type().is_integral()) {
      throw CompileError("a bound of RDom " + name + ", " + to_string(bound) + ", is " +
                             to_string(bound.type()) +
                             "; bounds are integers: cast it, e.g. i64(...)",
                         where);
    }
  }
  const std::size_t rank = bounds.size() / 2;
  const std::array<RVar *, 4> members = {&x, &y, &z, &w};
  for (std::size_t d = 0; d < members.size(); ++d) {
    const std::string dimension = rank == 1 && d == 0 ? name : name + "." + kDimensionNames[d];
    VarNode var{dimension, VarRole::Reduction};
    if (d < rank)
      var.domain = node_;  // a member beyond the rank belongs to no domain, and its use is an error
    *members[d] = RVar(std::make_shared<const VarNode>(std::move(var)));
    if (d < rank) {
      node_->dims.push_back(
          {members[d]->node(), cast(int64, bounds[2 * d]), cast(int64, bounds[2 * d + 1])});
    }
  }
}

RDom &RDom::where(const Expr &predicate, Location where) {
  const std::string what = "the predicate of RDom " + node_->name;
  if (node_->frozen) {
    throw CompileError(
        "RDom " + node_->name +
            " is already used by a definition, which keeps the domain as it was; write where(...) "
            "before the definition, or make a new RDom",
        where);
  }
  std::vector<Expr> factors = conjuncts(what, predicate, where);
  node_->predicates.insert(node_->predicates.end(), factors.begin(), factors.end());
  return *this;
}

RVar RDom::operator[](int dimension) const {
  if (dimension < 0 || dimension >= dimensions()) {
    throw CompileError("RDom " + node_->name + " has " + std::to_string(dimensions()) +
                           " dimensions and no dimension " + std::to_string(dimension),
                       {});
  }
  return RVar(node_->dims[static_cast<std::size_t>(dimension)].var);
}

int RDom::dimensions() const { return static_cast<int>(node_->dims.size()); }

RDom csr(const TensorParam &rowptr, const TensorParam &colidx, const Expr &row, std::string name,
         std::source_location where) {
  for (const TensorParam *tensor : {&rowptr, &colidx}) {
    if (tensor->rank() != 1 || !tensor->type().is_integral()) {
      throw CompileError("csr: TensorParam " + tensor->name() + " is " + to_string(tensor->type()) +
                             " of rank " + std::to_string(tensor->rank()) +
                             "; row pointers and column indices are integers of rank 1",
                         where);
    }
  }
  const Expr begin = rowptr(row, where);
  return RDom(begin, rowptr(row + 1, where) - begin, std::move(name), where);
}

Expr::Expr(const Var &var, Location where)
    : node_(make_variable(var.node()).node()), where_(where) {}

Expr::Expr(const RVar &var, Location where)
    : node_(make_variable(var.node()).node()), where_(where) {}

Expr::Expr(const RDom &domain, Location where) : where_(where) {
  if (domain.dimensions() != 1) {
    const std::string &name = domain.node()->name;
    throw CompileError("RDom " + name + " has " + std::to_string(domain.dimensions()) +
                           " dimensions and is no single variable; write " + name + ".x, " + name +
                           ".y ...",
                       where);
  }
  node_ = make_variable(domain.x.node()).node();
}

}  // namespace pit
