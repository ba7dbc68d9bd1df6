#include "reference_func.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "error.h"

namespace pit::reference {
namespace {

constexpr int kMaxComponents = 16;

/// What is kept of a float when it is stored in a Func: 16-bit types are rounded, wider ones are
/// not.
template <class V>
V stored(Type type, const V &value) {
  return type.bits == 16 ? rounded(type, value) : value;
}

BinaryOp operator_of(Combiner combiner) {
  switch (combiner) {
    case Combiner::Sum:
      return BinaryOp::Add;
    case Combiner::Product:
      return BinaryOp::Mul;
    case Combiner::Min:
      return BinaryOp::Min;
    case Combiner::Max:
      return BinaryOp::Max;
    case Combiner::And:
      return BinaryOp::And;
    case Combiner::Or:
      return BinaryOp::Or;
    default:
      throw InternalError("a combiner without an operator");
  }
}

template <class V>
void combine_into(Cell<V> *cell, Combiner combiner, Type type, const Cell<V> &value) {
  if (combiner == Combiner::Assign) {
    *cell = value;
  } else if (!type.is_float()) {
    cell->integer = int_binary(operator_of(combiner), type, cell->integer, value.integer);
  } else if (combiner == Combiner::Sum) {
    cell->number = stored(type, accumulate(cell->number, value.number));
  } else {
    cell->number = stored(type, binary(operator_of(combiner), cell->number, value.number));
  }
}

/// One key of a softmax-weighted sum; see Combiner::Softmax. A score of -infinity has no weight.
/// What a weight is when it is rounded to `weights` depends on the largest score so far, thus on
/// the order of keys: here it stays whole, and its bound is that of any order. What the smallest
/// weights are off is not less where the largest score comes later and makes former weights less.
/// The state's fourth number is that of all keys so far, times the values that they weigh.
template <class V>
void add_softmax_term(Cell<V> *state, const V &score, const V &value, Type weights) {
  V &max = state[0].number, &sum = state[1].number, &weighted = state[2].number,
    &smallest = state[3].number;
  if (value_of(score) == -std::numeric_limits<double>::infinity()) return;
  if (value_of(score) > value_of(max) || std::isnan(value_of(score))) {
    // The former weights shrink by exp(max - score); with no former key both sums are 0 and stay
    // it.
    if (value_of(sum) != 0) {
      const V scale = unary(UnaryOp::Exp, binary(BinaryOp::Sub, max, score));
      sum = multiply(sum, scale);
      weighted = multiply(weighted, scale);
      add_to_bound(&weighted, (1 - value_of(scale)) * value_of(smallest));
    }
    max = score;
  }
  const V weight = unary(UnaryOp::Exp, binary(BinaryOp::Sub, score, max));
  sum = accumulate(sum, weight);
  weighted = accumulate(weighted, multiply(rounded_sometime(weights, weight), value));
  smallest = exact<V>(value_of(smallest) + std::fabs(value_of(value)) * bound_of_smallest(weights));
}

int width_of(const FuncNode &func) {
  const bool softmax = std::ranges::any_of(func.definitions, [](const DefinitionData &definition) {
    return definition.combiner == Combiner::Softmax;
  });
  return static_cast<int>(func.types.size()) + (softmax ? 1 : 0);
}

template <class V>
Cell<V> evaluate_cell(const Code<V> &code, Type type, Frame<V> &frame) {
  Cell<V> cell;
  if (type.is_float()) {
    cell.number = stored(type, code.number(frame));
  } else {
    cell.integer = code.integer(frame);
  }
  return cell;
}

/// Calls visit(call) for every call of `func` in a definition.
template <class Visit>
void for_each_self_call(const FuncNode &func, const DefinitionData &definition,
                        const Visit &visit) {
  const auto look = [&](const Expr &e) {
    walk(e, [&](const Expr &node) {
      const Call *call = node.as<Call>();
      if (call != nullptr && call->func == &func) visit(*call);
      return true;
    });
  };
  for (const Expr &e : definition.args) look(e);
  for (const Expr &e : definition.values) look(e);
  for (const Expr &e : definition.predicates) look(e);
  for (const ReductionDim &dim : definition.domain) {
    look(dim.min);
    look(dim.extent);
  }
}

bool is_variable(const Expr &e, const VarPtr &var) {
  const Variable *v = e.as<Variable>();
  return v != nullptr && v->var == var;
}

}  // namespace

// --- compiling ---

template <class V>
FuncValues<V>::FuncValues(FuncNode &func, Environment<V> &environment,
                          std::vector<std::int64_t> extents)
    : func_(func),
      environment_(environment),
      extents_(std::move(extents)),
      rank_(static_cast<int>(func.args.size())),
      width_(width_of(func)),
      memo_(rank_, width_),
      slice_numbers_(rank_, 1),
      ranking_numbers_(rank_, 1) {
  internal_check(width_ <= kMaxComponents,
                 "the reference interpreter handles Funcs of up to 16 components");
  self_.owner = this;
  find_free_dimensions();
  compile_pure();
  for (std::size_t i = 1; i < func.definitions.size(); ++i)
    updates_.push_back(compile_update(func.definitions[i]));
  cheap_ = is_cheap();
}

template <class V>
void FuncValues<V>::find_free_dimensions() {
  free_.assign(static_cast<std::size_t>(rank_), true);
  ranged_.assign(static_cast<std::size_t>(rank_), false);
  for (std::size_t i = 1; i < func_.definitions.size(); ++i) {
    const DefinitionData &definition = func_.definitions[i];
    for (std::size_t d = 0; d < free_.size(); ++d) {
      if (!is_variable(definition.args[d], func_.args[d])) free_[d] = false;
      for_each_self_call(func_, definition, [&](const Call &call) {
        if (!is_variable(call.args[d], func_.args[d])) free_[d] = false;
      });
    }
  }
  all_free_ = std::find(free_.begin(), free_.end(), false) == free_.end();
}

template <class V>
void FuncValues<V>::compile_pure() {
  Scope<V> scope;
  for (const VarPtr &arg : func_.args) scope.slot(arg);
  for (const Expr &p : func_.predicates) predicates_.push_back(compile(p, scope, environment_));
  for (const Expr &value : func_.definitions.at(0).values)
    pure_.push_back(compile(value, scope, environment_));
}

template <class V>
Update<V> FuncValues<V>::compile_update(const DefinitionData &definition) {
  Scope<V>
      scope;  // slot d holds coordinate d, which is Var d's value in every update that has that Var
  for (const VarPtr &arg : func_.args) scope.slot(arg);
  scope.self = &func_;
  scope.self_args = definition.args;
  if (!all_free_) scope.self_values = &self_;

  Update<V> update;
  update.combiner = definition.combiner;
  for (std::size_t d = 0; d < free_.size(); ++d) {
    if (!free_[d] && is_variable(definition.args[d], func_.args[d])) {
      update.loops.push_back({static_cast<int>(d), nullptr, nullptr, static_cast<int>(d)});
      ranged_[d] = true;
    }
  }
  for (const ReductionDim &dim : definition.domain) {
    // Bounds see the variables outside them only.
    CodePtr<V> min = compile(dim.min, scope, environment_),
               extent = compile(dim.extent, scope, environment_);
    update.loops.push_back({scope.slot(dim.var), std::move(min), std::move(extent)});
  }
  add_tests(definition, scope, &update);
  for (const Expr &arg : definition.args) update.args.push_back(compile(arg, scope, environment_));
  for (const Expr &value : definition.values)
    update.values.push_back(compile(value, scope, environment_));
  if (definition.combiner == Combiner::Softmax) update.weights = definition.values.at(1).type();
  return update;
}

/// A predicate is tested as soon as its variables have values, but not before an earlier predicate.
template <class V>
void FuncValues<V>::add_tests(const DefinitionData &definition, const Scope<V> &scope,
                              Update<V> *update) {
  update->tests.resize(update->loops.size() + 1);
  std::size_t level = 0;
  for (const Expr &predicate : definition.predicates) {
    for (const VarPtr &v : free_variables(predicate)) {
      const auto slot = scope.slots.find(v.get());
      if (slot == scope.slots.end()) continue;  // compile says what is wrong
      for (std::size_t i = level; i < update->loops.size(); ++i) {
        if (update->loops[i].slot == slot->second) level = i + 1;
      }
    }
    update->tests[level].push_back(compile(predicate, scope, environment_));
  }
}

/// Cheaper to evaluate than to remember: a few operations on tensors and variables.
template <class V>
bool FuncValues<V>::is_cheap() const {
  if (!func_.is_pure() || !func_.predicates.empty()) return false;
  int nodes = 0;
  bool calls = false;
  for (const Expr &value : func_.definitions[0].values) {
    walk(value, [&](const Expr &node) {
      calls |= node->kind == ExprKind::Call || node->kind == ExprKind::IndexQuery;
      ++nodes;
      return true;
    });
  }
  return !calls && nodes <= 12;
}

// --- evaluating ---

template <class V>
std::string FuncValues<V>::place(const std::int64_t *coordinates) const {
  return func_.name +
         to_string(std::span<const std::int64_t>(coordinates, static_cast<std::size_t>(rank_)));
}

/// Runs `action` and says where it was when an index is out of range.
template <class V>
template <class Action>
auto FuncValues<V>::located(const std::int64_t *coordinates, const Action &action) {
  try {
    return action();
  } catch (const IndexOutOfRange &error) {
    throw RuntimeError(error.message + ", in " + place(coordinates));
  }
}

template <class V>
bool FuncValues<V>::predicates_hold(Frame<V> &frame) {
  for (const auto &p : predicates_) {
    if (p->integer(frame) == 0) return false;
  }
  return true;
}

template <class V>
bool FuncValues<V>::has_value(const std::int64_t *coordinates) {
  if (predicates_.empty()) return true;
  Frame<V> frame;
  std::copy(coordinates, coordinates + rank_, frame.slots.begin());
  return located(coordinates, [&] { return predicates_hold(frame); });
}

template <class V>
Cell<V> FuncValues<V>::at(const std::int64_t *coordinates, int component) {
  if (cheap_) {
    Frame<V> frame;
    std::copy(coordinates, coordinates + rank_, frame.slots.begin());
    const auto c = static_cast<std::size_t>(component);
    return located(coordinates, [&] { return evaluate_cell(*pure_[c], func_.types[c], frame); });
  }
  if (const Cell<V> *cells = memo_.find(coordinates)) return cells[component];
  std::array<Cell<V>, kMaxComponents> cells;
  all(coordinates, cells.data());
  std::copy_n(cells.data(), width_, memo_.insert(coordinates));
  return cells[static_cast<std::size_t>(component)];
}

template <class V>
void FuncValues<V>::all(const std::int64_t *coordinates, Cell<V> *cells) {
  if (const Cell<V> *known = memo_.find(coordinates)) {
    std::copy_n(known, width_, cells);
    return;
  }
  if (!has_value(coordinates)) {
    throw RuntimeError("Func " + place(coordinates) +
                       " is read where its where() gives it no value");
  }
  located(coordinates, [&] { evaluate(coordinates, cells); });
}

template <class V>
void FuncValues<V>::evaluate(const std::int64_t *coordinates, Cell<V> *cells) {
  if (!all_free_) {
    std::copy_n(touch(&slice_of(coordinates), coordinates), width_, cells);
    return;
  }
  Frame<V> frame;
  std::copy(coordinates, coordinates + rank_, frame.slots.begin());
  evaluate_point(frame, cells);
}

template <class V>
void FuncValues<V>::evaluate_pure(Frame<V> &frame, Cell<V> *cells) {
  for (std::size_t c = 0; c < pure_.size(); ++c)
    cells[c] = evaluate_cell(*pure_[c], func_.types[c], frame);
  for (auto c = pure_.size(); c < static_cast<std::size_t>(width_); ++c)
    cells[c].number = exact<V>(0);
}

/// A coordinate on its own: all dimensions are free.
template <class V>
void FuncValues<V>::evaluate_point(Frame<V> &frame, Cell<V> *cells) {
  evaluate_pure(frame, cells);
  frame.state = cells;
  for (const Update<V> &update : updates_) {
    if (update.combiner == Combiner::TopK) {
      evaluate_ranked(frame, cells);
    } else {
      iterate(update, 0, frame, [&] { update_state(update, frame, cells); });
    }
  }
}

/// Runs `body` for every iteration of the update that passes its predicates, the last loop fastest.
template <class V>
template <class Body>
void FuncValues<V>::iterate(const Update<V> &update, std::size_t level, Frame<V> &frame,
                            const Body &body) {
  for (const auto &test : update.tests[level]) {
    if (test->integer(frame) == 0) return;
  }
  if (level == update.loops.size()) return body();
  const Loop<V> &loop = update.loops[level];
  std::int64_t begin = 0, end = 0;
  if (loop.min != nullptr) {
    begin = loop.min->integer(frame);
    end = begin + std::max<std::int64_t>(loop.extent->integer(frame), 0);
  } else {
    begin = current_->begin[static_cast<std::size_t>(loop.dimension)];
    end = current_->end[static_cast<std::size_t>(loop.dimension)];
  }
  const auto slot = static_cast<std::size_t>(loop.slot);
  if (level + 1 < update.loops.size()) {
    for (std::int64_t i = begin; i < end; ++i) {
      frame.slots[slot] = i;
      iterate(update, level + 1, frame, body);
    }
    return;
  }
  const auto &tests = update.tests[level + 1];
  for (std::int64_t i = begin; i < end; ++i) {
    frame.slots[slot] = i;
    bool passes = true;
    for (const auto &test : tests) {
      passes = test->integer(frame) != 0;
      if (!passes) break;
    }
    if (passes) body();
  }
}

/// One iteration's contribution. All values are evaluated before any is stored.
template <class V>
void FuncValues<V>::update_state(const Update<V> &update, Frame<V> &frame, Cell<V> *cells) {
  if (update.combiner == Combiner::Softmax) {
    const V score = update.values[0]->number(frame);
    add_softmax_term(cells, score, update.values[1]->number(frame), update.weights);
    return;
  }
  if (update.values.size() == 1) {
    combine_into(cells, update.combiner, func_.types[0],
                 evaluate_cell(*update.values[0], func_.types[0], frame));
    return;
  }
  std::array<Cell<V>, kMaxComponents> values;
  for (std::size_t c = 0; c < update.values.size(); ++c) {
    values[c] = evaluate_cell(*update.values[c], func_.types[c], frame);
  }
  for (std::size_t c = 0; c < update.values.size(); ++c) {
    combine_into(cells + c, update.combiner, func_.types[c], values[c]);
  }
}

/// top_k: all keys of the domain, largest first; the last coordinate is the slot.
template <class V>
void FuncValues<V>::evaluate_ranked(Frame<V> &frame, Cell<V> *cells) {
  const Update<V> &update = updates_.at(0);
  const Type type = func_.types[0];
  const auto slot_dimension = static_cast<std::size_t>(rank_ - 1);
  const std::int64_t slot = frame.slots[slot_dimension];
  std::array<std::int64_t, kMaxRank> row{};
  std::copy_n(frame.slots.begin(), rank_ - 1, row.begin());
  Cell<V> *number = ranking_numbers_.find(row.data());
  if (number == nullptr) {
    std::vector<Ranked> ranking;
    iterate(update, 0, frame, [&] {
      const Cell<V> key = evaluate_cell(*update.values[0], type, frame);
      const std::int64_t coordinate =
          frame.slots[static_cast<std::size_t>(update.loops.back().slot)];
      if (type.is_float()) {
        ranking.push_back({key.number, 0, coordinate});
      } else {
        ranking.push_back({V{}, key.integer, coordinate});
      }
    });
    const auto larger = [&](const Ranked &a, const Ranked &b) {
      if (!type.is_float())
        return int_binary(BinaryOp::Gt, type, a.integer_key, b.integer_key) != 0;
      const double x = value_of(a.key), y = value_of(b.key);
      return std::isnan(x) ? !std::isnan(y) : x > y;
    };
    std::sort(ranking.begin(), ranking.end(), [&](const Ranked &a, const Ranked &b) {
      if (larger(a, b) || larger(b, a)) return larger(a, b);
      return a.coordinate < b.coordinate;
    });
    rankings_.push_back(std::move(ranking));
    number = ranking_numbers_.insert(row.data());
    number->integer = static_cast<std::int64_t>(rankings_.size()) - 1;
  }
  const std::vector<Ranked> &ranking = rankings_[static_cast<std::size_t>(number->integer)];
  if (slot < 0 || slot >= static_cast<std::int64_t>(ranking.size()))
    return;  // the pure definition's value
  const Ranked &entry = ranking[static_cast<std::size_t>(slot)];
  if (type.is_float()) {
    cells[0].number = entry.key;
  } else {
    cells[0].integer = entry.integer_key;
  }
  cells[1].integer = entry.coordinate;
}

// --- slices ---

template <class V>
typename FuncValues<V>::Slice &FuncValues<V>::slice_of(const std::int64_t *coordinates) {
  std::array<std::int64_t, kMaxRank> key{};
  for (std::size_t d = 0; d < free_.size(); ++d) key[d] = free_[d] ? coordinates[d] : 0;
  Cell<V> *number = slice_numbers_.find(key.data());
  bool stale = number == nullptr;
  if (number == nullptr) {
    auto slice = std::make_unique<Slice>(Slice{Memo<Cell<V>>(rank_, width_), {}, extents_});
    slice->begin.assign(free_.size(), 0);
    slice->end.resize(free_.size(), 0);
    slices_.push_back(std::move(slice));
    number = slice_numbers_.insert(key.data());
    number->integer = static_cast<std::int64_t>(slices_.size()) - 1;
  }
  Slice &slice = *slices_[static_cast<std::size_t>(number->integer)];
  for (std::size_t d = 0; d < free_.size(); ++d) {
    if (!ranged_[d] || (coordinates[d] >= slice.begin[d] && coordinates[d] < slice.end[d]))
      continue;
    slice.begin[d] = std::min(slice.begin[d], coordinates[d]);
    slice.end[d] = std::max(slice.end[d], coordinates[d] + 1);
    stale = true;
  }
  if (stale) evaluate_slice(&slice, coordinates);
  return slice;
}

template <class V>
void FuncValues<V>::evaluate_slice(Slice *slice, const std::int64_t *coordinates) {
  slice->state = Memo<Cell<V>>(rank_, width_);
  current_ = slice;
  Frame<V> frame;
  std::copy(coordinates, coordinates + rank_, frame.slots.begin());
  for (const Update<V> &update : updates_) {
    iterate(update, 0, frame, [&] {
      std::array<std::int64_t, kMaxRank> at{};
      for (std::size_t d = 0; d < free_.size(); ++d) at[d] = update.args[d]->integer(frame);
      std::copy_n(at.begin(), rank_, frame.slots.begin());
      if (!predicates_hold(frame)) return;
      std::array<Cell<V>, kMaxComponents> state;
      std::copy_n(touch(slice, at.data()), width_, state.begin());
      update_state(update, frame,
                   state.data());  // may read other coordinates and so move the memory of the state
      std::copy_n(state.begin(), width_, touch(slice, at.data()));
    });
  }
}

/// The state at a coordinate; the pure definition's value when no update has been there.
template <class V>
Cell<V> *FuncValues<V>::touch(Slice *slice, const std::int64_t *coordinates) {
  if (Cell<V> *cells = slice->state.find(coordinates)) return cells;
  Frame<V> frame;
  std::copy(coordinates, coordinates + rank_, frame.slots.begin());
  std::array<Cell<V>, kMaxComponents> cells;
  evaluate_pure(frame, cells.data());
  Cell<V> *inserted = slice->state.insert(coordinates);
  std::copy_n(cells.begin(), width_, inserted);
  return inserted;
}

template <class V>
Cell<V> FuncValues<V>::SelfReader::at(const std::int64_t *coordinates, int component) {
  Frame<V> frame;
  std::copy(coordinates, coordinates + owner->rank_, frame.slots.begin());
  if (!owner->predicates_hold(frame)) {
    throw RuntimeError("Func " + owner->place(coordinates) +
                       " is read where its where() gives it no value");
  }
  return owner->touch(owner->current_, coordinates)[component];
}

template class FuncValues<double>;
template class FuncValues<Bounded>;

}  // namespace pit::reference
