#include "verify_scope.h"

#include <algorithm>

#include "dsl/arithmetic.h"
#include "dsl/error.h"
#include "text.h"

namespace pit::ir {

void ScopeRules::fail(const std::string &rule) const {
  std::string text =
      "the module " + module_.name + " is not well formed after " + pass_ + ": " + rule;
  if (statement_ != nullptr) {
    const std::string printed = print(*statement_);
    text += "\n  in  " + printed.substr(0, printed.find('\n'));
  }
  throw InternalError(text);
}

void ScopeRules::require(bool condition, const std::string &rule) const {
  if (!condition) fail(rule);
}

void ScopeRules::require(bool condition, const char *before, const Expr &e,
                         const std::string &after) const {
  if (!condition) fail(before + to_string(e) + after);
}

void ScopeRules::verify(const Expr &e, const std::vector<VarPtr> &axes) const {
  require(e.defined(), "an expression is missing");
  switch (e->kind) {
    case ExprKind::IntImm:
      require(
          !e.type().is_float() && wrap(e.type(), e.as<IntImm>()->value) == e.as<IntImm>()->value,
          "the constant ", e, " does not fit " + to_string(e.type()));
      break;
    case ExprKind::FloatImm:
      require(e.type().is_float(), "a float constant has the type " + to_string(e.type()));
      break;
    case ExprKind::Variable:
      verify_variable(e.as<Variable>()->var, axes);
      break;
    case ExprKind::Param:
      require(params_.count(e.as<ParamRef>()->param.get()) != 0,
              "the parameter " + e.as<ParamRef>()->param->name + " is not in the signature");
      break;
    case ExprKind::Extent: {
      const auto *extent = e.as<Extent>();
      verify_exists(extent->storage);
      require(extent->dimension >= 0 && extent->dimension < extent->storage->rank, "", e,
              " is of a dimension that " + extent->storage->name + " does not have");
      break;
    }
    case ExprKind::Load: {
      const auto *load = e.as<Load>();
      require(e.type() == load->storage->type, "the type of the load ", e, " is not its storage's");
      verify_access(load->storage, load->indices, axes);
      return;
    }
    case ExprKind::Call:
      fail("the Func call " + to_string(e) + " is left");
    case ExprKind::IndexQuery:
      fail("the index query " + to_string(e) + " is left");
    case ExprKind::Unary:
      verify_types(e, *e.as<Unary>());
      break;
    case ExprKind::Binary:
      verify_types(e, *e.as<Binary>());
      break;
    case ExprKind::Select: {
      const auto *choice = e.as<Select>();
      require(choice->condition.type().is_bool() &&
                  choice->true_value.type() == choice->false_value.type() &&
                  choice->true_value.type() == e.type(),
              "the types of ", e, " do not agree");
      break;
    }
    case ExprKind::Cast:
      break;
  }
  for (const Expr &operand : operands(e)) verify(operand, axes);
}

void ScopeRules::verify_types(const Expr &e, const Unary &unary) const {
  const bool tests = unary.op == UnaryOp::IsNan || unary.op == UnaryOp::IsFinite;
  require(tests ? e.type().is_bool() : e.type() == unary.a.type(), "the types of ", e,
          " do not agree");
  require(unary.op != UnaryOp::Not || !e.type().is_float(), "", e, " is of a float");
}

void ScopeRules::verify_types(const Expr &e, const Binary &binary) const {
  require(binary.a.defined() && binary.b.defined(), "an operand is missing");
  const Type type = binary.a.type();
  const bool gives_bool = is_comparison(binary.op) || is_logical(binary.op);
  require(type == binary.b.type() && e.type() == (gives_bool ? boolean : type), "the types of ", e,
          " do not agree");
  require(!is_logical(binary.op) || type.is_bool(), "", e, " is not of bools");
}

void ScopeRules::verify_variable(const VarPtr &var, const std::vector<VarPtr> &axes) const {
  if (var->role == VarRole::Axis) {
    verify_axis(var);
    require(contains(axes, var), "the axis " + var->name + " is read where it is not listed");
    return;
  }
  require(var->role == VarRole::Loop || var->role == VarRole::Let,
          "the variable " + var->name + " of the language is left");
  require(variables_.count(var.get()) != 0, "the variable " + var->name + " is not defined here");
}

void ScopeRules::verify_axis(const VarPtr &axis) const {
  require(axes_.count(axis.get()) != 0, "the axis " + axis->name + " is not defined here");
}

void ScopeRules::verify_exists(const StoragePtr &s) const {
  require(s != nullptr, "a storage is missing");
  require(storages_.count(s.get()) != 0, "the storage " + s->name + " is not defined here");
}

void ScopeRules::verify_integral(const Expr &e, const std::vector<VarPtr> &axes,
                                 const char *what) const {
  verify(e, axes);
  require(e.type().is_integral(), what, e, " is not an integer");
}

void ScopeRules::verify_bool(const Expr &e, const std::vector<VarPtr> &axes,
                             const char *what) const {
  verify(e, axes);
  require(e.type().is_bool(), what, e, " is not a bool");
}

std::optional<std::int64_t> ScopeRules::last_of(const Expr &index) const {
  std::int64_t value = 0;
  if (is_const_int(index, &value)) return value;
  const auto *variable = index.as<Variable>();
  if (variable == nullptr) return std::nullopt;
  const auto axis = axes_.find(variable->var.get());
  if (axis == axes_.end()) return std::nullopt;
  if (is_const_int(axis->second.extent, &value)) return std::max<std::int64_t>(value, 0) - 1;
  return axis->second.maximum > 0 ? std::optional(axis->second.maximum - 1) : std::nullopt;
}

void ScopeRules::verify_access(const StoragePtr &s, const std::vector<Expr> &indices,
                               const std::vector<VarPtr> &axes) const {
  verify_exists(s);
  require(static_cast<int>(indices.size()) == s->rank,
          s->name + " of rank " + std::to_string(s->rank) + " has " +
              std::to_string(indices.size()) + " indices");
  for (const Expr &index : indices) verify_integral(index, axes, "the index ");
  if (s->space != Space::Tile) return;
  const std::vector<Expr> &extents = storages_.at(s.get());
  for (std::size_t d = 0; d < extents.size(); ++d) {
    std::int64_t extent = 0;
    const std::optional<std::int64_t> last = last_of(indices[d]);
    if (!last || !is_const_int(extents[d], &extent)) continue;
    require(*last >= (indices[d].as<IntImm>() ? 0 : -1) && *last < extent,
            "index " + std::to_string(d) + " of the tile " + s->name + " goes up to " +
                std::to_string(*last) + ", but the extent is " + std::to_string(extent));
  }
}

void ScopeRules::verify_listed(const std::vector<VarPtr> &axes) const {
  for (std::size_t i = 0; i < axes.size(); ++i) {
    verify_axis(axes[i]);
    for (std::size_t j = 0; j < i; ++j)
      require(axes[i] != axes[j], "the axis " + axes[i]->name + " is listed twice");
  }
}

}  // namespace pit::ir
