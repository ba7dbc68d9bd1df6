#include "dsl/analysis/overlap.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace pit {

namespace {

bool loads(const Expr &e, const StoragePtr &input) {
  bool found = false;
  walk(e, [&](const Expr &part) {
    const auto *load = part.as<Load>();
    found = found || (load != nullptr && load->storage == input);
    return !found;
  });
  return found;
}

/// Everything that a definition of `func` evaluates.
std::vector<Expr> expressions_of(const FuncNode &func) {
  std::vector<Expr> all = func.predicates;
  for (const DefinitionData &d : func.definitions) {
    for (const std::vector<Expr> *exprs : {&d.args, &d.values, &d.predicates}) {
      all.insert(all.end(), exprs->begin(), exprs->end());
    }
    for (const ReductionDim &dim : d.domain) {
      all.push_back(dim.min);
      all.push_back(dim.extent);
    }
  }
  return all;
}

/// Follows the values of pure Funcs as if they were inlined.
class Elementwise {
 public:
  Elementwise(const StoragePtr &input, const FuncNode &output) : input_(input), output_(output) {}

  bool holds() {
    if (!output_.is_pure() || output_.types.size() != 1) return false;
    std::vector<Expr> args;
    for (const VarPtr &arg : output_.args) args.push_back(make_variable(arg));
    return follow(output_, args);
  }

  bool followed(const FuncNode &func) const {
    return std::any_of(calls_.begin(), calls_.end(),
                       [&](const auto &call) { return call.first == &func; });
  }

  /// Whether a Func of the pipeline reads the input without being part of the value.
  bool is_read_by(const FuncNode &func) const {
    if (followed(func)) return false;
    const std::vector<Expr> all = expressions_of(func);
    return std::any_of(all.begin(), all.end(), [&](const Expr &e) { return reads_elsewhere(e); });
  }

 private:
  const StoragePtr &input_;
  const FuncNode &output_;
  std::vector<std::pair<const FuncNode *, std::vector<Expr>>> calls_;  // each once

  bool follow(const FuncNode &func, const std::vector<Expr> &args) {
    const bool known = std::any_of(calls_.begin(), calls_.end(), [&](const auto &call) {
      return call.first == &func &&
             std::equal(args.begin(), args.end(), call.second.begin(), call.second.end(),
                        [](const Expr &a, const Expr &b) { return equal(a, b); });
    });
    if (known) return true;
    calls_.emplace_back(&func, args);
    for (const Expr &e : expressions_of(func)) {
      if (!reads_in_place(substitute(e, func.args, args))) return false;
    }
    return true;
  }

  bool reads_in_place(const Expr &e) {
    bool in_place = true;
    walk(e, [&](const Expr &part) {
      const auto *load = part.as<Load>();
      const auto *call = part.as<Call>();
      if (load != nullptr && load->storage == input_)
        in_place = in_place && is_place(load->indices);
      if (call != nullptr && call->func->is_pure())
        in_place = in_place && follow(*call->func, call->args);
      return in_place;
    });
    return in_place;
  }

  /// A load of the input, or a call of a Func whose inlined copy would load it.
  bool reads_elsewhere(const Expr &e) const {
    bool found = loads(e, input_);
    walk(e, [&](const Expr &part) {
      const auto *call = part.as<Call>();
      if (call == nullptr || found) return !found;
      const std::vector<Expr> all = expressions_of(*call->func);
      found = followed(*call->func) && std::any_of(all.begin(), all.end(), [&](const Expr &x) {
                return reads_elsewhere(x);
              });
      return !found;
    });
    return found;
  }

  bool is_place(const std::vector<Expr> &indices) const {
    return std::equal(indices.begin(), indices.end(), output_.args.begin(), output_.args.end(),
                      [](const Expr &index, const VarPtr &arg) {
                        const auto *variable = index.as<Variable>();
                        return variable != nullptr && variable->var == arg;
                      });
  }
};

}  // namespace

bool elementwise_same_coordinates(const Pipeline &pipeline, const StoragePtr &input,
                                  const FuncPtr &output) {
  Elementwise elementwise(input, *output);
  if (!elementwise.holds()) return false;
  for (const FuncPtr &other : pipeline.outputs()) {
    if (other != output && elementwise.followed(*other))
      return false;  // computed apart, perhaps later
  }
  const Schedule schedule = pipeline.schedule();
  for (const Directive &d : schedule.directives) {
    if (d.kind == DirectiveKind::StoreCompact && d.func.lock() == output) return false;
  }
  const std::vector<FuncPtr> funcs = pipeline.funcs();
  return std::none_of(funcs.begin(), funcs.end(),
                      [&](const FuncPtr &func) { return elementwise.is_read_by(*func); });
}

}  // namespace pit
