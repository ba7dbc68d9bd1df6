#include "interpret.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "dsl/error.h"
#include "evaluate.h"
#include "index_build.h"
#include "text.h"

namespace pit::ir {
namespace {

bool is_parallel(ForKind kind) {
  return kind == ForKind::Parallel || kind == ForKind::GpuBlock || kind == ForKind::GpuThread;
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
    case Combiner::Assign:
    case Combiner::Softmax:
    case Combiner::TopK:
      break;
  }
  throw InternalError("interpret: a store combines with " + to_string(combiner));
}

class Interpreter {
 public:
  explicit Interpreter(const Module &module) : module_(module) {}

  void bind(const std::vector<StoragePtr> &storages, const std::vector<TensorArgument> &arguments,
            bool are_outputs) {
    internal_check(storages.size() == arguments.size(),
                   "interpret " + module_.name + ": a tensor argument is missing or too many");
    for (std::size_t i = 0; i < storages.size(); ++i) {
      const TensorArgument &argument = arguments[i];
      const auto rank = static_cast<std::size_t>(storages[i]->rank);
      internal_check(argument.extents.size() == rank && argument.strides.size() == rank,
                     "interpret " + module_.name + ": the rank of argument " + storages[i]->name +
                         " is wrong");
      evaluator_.buffer_slot(storages[i]) = std::make_unique<Buffer>(
          storages[i], argument.extents, argument.strides, argument.data, are_outputs);
    }
  }

  void bind(const std::vector<ScalarArgument> &scalars) {
    internal_check(module_.scalars.size() == scalars.size(),
                   "interpret " + module_.name + ": a scalar argument is missing or too many");
    for (std::size_t i = 0; i < scalars.size(); ++i) {
      evaluator_.parameter(module_.scalars[i]) =
          convert(float64, module_.scalars[i]->type, float_value(scalars[i]));
    }
  }

  void execute(std::vector<double> *statistics) {
    if (module_.statistics) {
      auto &buffer = evaluator_.buffer_slot(module_.statistics);
      buffer = std::make_unique<Buffer>(
          module_.statistics,
          std::vector<std::int64_t>{static_cast<std::int64_t>(module_.statistic_names.size())});
      buffer->zero();
    }
    const bool nothing_to_write = std::all_of(
        module_.outputs.begin(), module_.outputs.end(),
        [&](const StoragePtr &output) { return evaluator_.buffer(output).size() == 0; });
    try {
      if (!nothing_to_write || module_.outputs.empty()) run(module_.body);
    } catch (const AccessError &error) {
      throw InternalError(explain(error.what()));
    }
    throw_failure();
    if (statistics == nullptr) return;
    statistics->clear();
    if (!module_.statistics) return;
    const Buffer &buffer = evaluator_.buffer(module_.statistics);
    for (std::int64_t i = 0; i < buffer.size(); ++i)
      statistics->push_back(buffer.peek(buffer.at_element(i)).f);
  }

 private:
  using Codes = std::vector<const Evaluator::Code *>;

  const Module &module_;
  Evaluator evaluator_;
  std::unordered_map<const VarNode *, std::int64_t> axis_extents_;
  std::vector<VarPtr> scope_;        // variables that have a value, for messages
  const Stmt *statement_ = nullptr;  // the innermost one that is executed
  std::uint32_t stores_ = 0;
  std::optional<std::string> failure_;

  std::string explain(const std::string &what) {
    std::string text = "interpret " + module_.name + ": " + what;
    if (statement_ == nullptr) return text;
    std::string printed = print(*statement_);
    text += "\n  in  " + printed.substr(0, printed.find('\n'));
    for (std::size_t i = 0; i < scope_.size(); ++i) {
      const Value value = evaluator_.variable(scope_[i]);
      text += (i == 0 ? "\n  at  " : ", ") + scope_[i]->name + " = " +
              (scope_[i]->type.is_float() ? std::to_string(value.f) : std::to_string(value.i));
    }
    return text;
  }

  void fail(std::string message) {
    if (!failure_) failure_ = std::move(message);
    evaluator_.allow_undefined = true;
  }

  void throw_failure() const {
    if (failure_) throw RuntimeError("operator " + module_.name + ": " + *failure_);
  }

  Codes compiled(const std::vector<Expr> &list) {
    Codes codes;
    codes.reserve(list.size());
    for (const Expr &e : list) codes.push_back(&evaluator_.compiled(e));
    return codes;
  }

  bool hold(const Codes &guards) {
    return std::all_of(guards.begin(), guards.end(), [&](const Evaluator::Code *guard) {
      return evaluator_.evaluate(*guard).i != 0;
    });
  }

  std::int64_t extent_of(const VarPtr &axis) const {
    const auto found = axis_extents_.find(axis.get());
    if (found == axis_extents_.end())
      throw AccessError("the axis " + axis->name + " is not bound here");
    return found->second;
  }

  /// Calls body for every point of the axes, the last varying fastest.
  void for_each(const std::vector<VarPtr> &axes, const std::function<void()> &body) {
    std::vector<std::int64_t> extents;
    for (const VarPtr &axis : axes) extents.push_back(extent_of(axis));
    if (std::any_of(extents.begin(), extents.end(), [](std::int64_t e) { return e <= 0; })) return;
    scope_.insert(scope_.end(), axes.begin(), axes.end());
    for (const VarPtr &axis : axes) evaluator_.variable(axis) = integer_value(0);
    for (;;) {
      body();
      std::size_t d = axes.size();
      for (; d > 0; --d) {
        Value &value = evaluator_.variable(axes[d - 1]);
        if (++value.i < extents[d - 1]) break;
        value.i = 0;
      }
      if (d == 0) break;
    }
    scope_.resize(scope_.size() - axes.size());
  }

  void run(const Stmt &s) {
    if (!s.defined()) return;
    const Stmt *outer = statement_;
    statement_ = &s;
    switch (s->kind) {
#define PIT_RUN(name)   \
  case StmtKind::name:  \
    run(*s.as<name>()); \
    break;
      PIT_STATEMENTS(PIT_RUN)
#undef PIT_RUN
    }
    statement_ = outer;
  }

  void run(const Block &block) {
    for (const Stmt &s : block.stmts) run(s);
  }

  void run(const For &loop) {
    const std::int64_t min = evaluator_(loop.min).i, extent = evaluator_(loop.extent).i;
    const bool parallel = is_parallel(loop.loop_kind);
    const std::uint32_t execution = parallel ? evaluator_.iterations.begin_loop() : 0;
    scope_.push_back(loop.var);
    for (std::int64_t i = 0; i < extent; ++i) {
      evaluator_.variable(loop.var) = integer_value(min + i);
      if (parallel) evaluator_.iterations.enter(execution);
      run(loop.body);
      if (parallel) evaluator_.iterations.leave();
    }
    scope_.pop_back();
  }

  void run(const Axes &axes) {
    for (const AxisBinding &axis : axes.axes) {
      const std::int64_t extent = evaluator_(axis.extent).i;
      if (axis.maximum > 0 && extent > axis.maximum) {
        throw AccessError("the extent " + std::to_string(extent) + " of axis " + axis.var->name +
                          " is above its maximum " + std::to_string(axis.maximum));
      }
      axis_extents_[axis.var.get()] = extent;
    }
    run(axes.body);
    for (const AxisBinding &axis : axes.axes) axis_extents_.erase(axis.var.get());
  }

  void run(const Let &let) {
    const Value value = evaluator_(let.value);
    evaluator_.variable(let.var) = value;
    scope_.push_back(let.var);
    run(let.body);
    scope_.pop_back();
  }

  void run(const If &branch) {
    run(evaluator_(branch.condition).i != 0 ? branch.then_body : branch.else_body);
  }

  void run(const Allocate &allocate) {
    std::vector<std::int64_t> extents;
    for (const Expr &extent : allocate.extents) extents.push_back(evaluator_(extent).i);
    evaluator_.buffer_slot(allocate.storage) =
        std::make_unique<Buffer>(allocate.storage, std::move(extents));
    run(allocate.body);
    evaluator_.buffer_slot(allocate.storage).reset();
  }

  Value old_value(Buffer &buffer, Place place, bool atomic) {
    if (evaluator_.allow_undefined && !buffer.ever_written(place)) return buffer.peek(place);
    // The read of an atomic update is ordered with the writes of the others.
    if (atomic && buffer.ever_written(place)) return buffer.peek(place);
    return buffer.read(place, evaluator_.iterations);
  }

  void run(const Store &store) {
    const Codes guards = compiled(store.guards), indices = compiled(store.indices);
    const Evaluator::Code &value_code = evaluator_.compiled(store.value);
    Buffer &buffer = evaluator_.buffer(store.storage);
    const Type type = store.storage->type;
    const bool assign = store.combiner == Combiner::Assign;
    const BinaryOp op = assign ? BinaryOp::Add : operator_of(store.combiner);
    const std::uint32_t execution = ++stores_;
    for_each(store.axes, [&] {
      if (!hold(guards)) return;
      const Place place = evaluator_.place(buffer, indices);
      if (!buffer.first_write_of(execution, place) && assign) {
        throw AccessError("two iterations of a store assign one element of " + store.storage->name);
      }
      if (buffer.was_read_apart(execution, place)) {
        throw AccessError("an iteration of a tile statement stores an element of " +
                          store.storage->name + " that another reads");
      }
      if (!store.axes.empty()) {
        evaluator_.store_execution = execution;
        evaluator_.stored_buffer = &buffer;
        evaluator_.stored_element = place.element;
      }
      Value value = evaluator_.evaluate(value_code);
      evaluator_.stored_buffer = nullptr;
      if (!assign) value = apply(op, type, old_value(buffer, place, store.atomic), value);
      buffer.write(place, value, evaluator_.iterations, store.atomic);
    });
  }

  /// The place of a tile operand at the current point of its axes.
  Place place_of(const TileOperand &operand, const Buffer &buffer) {
    std::int64_t indices[kMaxRank];
    for (std::size_t d = 0; d < operand.axes.size(); ++d)
      indices[d] = evaluator_.variable(operand.axes[d]).i;
    return buffer.at(indices);
  }

  void run(const Mma &mma) {
    for (const TileOperand *operand : {&mma.accumulator, &mma.a, &mma.b}) {
      const std::size_t rank = evaluator_.buffer(operand->tile).extents().size();
      if (operand->axes.size() != rank || rank > kMaxRank) {
        throw AccessError("the number of axes of " + operand->tile->name + " is not its rank");
      }
    }
    Buffer &accumulator = evaluator_.buffer(mma.accumulator.tile);
    Buffer &a = evaluator_.buffer(mma.a.tile), &b = evaluator_.buffer(mma.b.tile);
    const Type type = mma.accumulator.tile->type;
    std::vector<VarPtr> axes;
    for (const auto *role : {&mma.batch, &mma.m, &mma.n, &mma.k})
      axes.insert(axes.end(), role->begin(), role->end());
    for_each(axes, [&] {
      const Value x =
          convert(mma.a.tile->type, type, a.read(place_of(mma.a, a), evaluator_.iterations));
      const Value y =
          convert(mma.b.tile->type, type, b.read(place_of(mma.b, b), evaluator_.iterations));
      const Place place = place_of(mma.accumulator, accumulator);
      const Value old = accumulator.read(place, evaluator_.iterations);
      accumulator.write(place, apply(BinaryOp::Add, type, old, apply(BinaryOp::Mul, type, x, y)),
                        evaluator_.iterations);
    });
  }

  void run(const Check &check) {
    const Codes guards = compiled(check.guards);
    const Evaluator::Code &condition = evaluator_.compiled(check.condition);
    for_each(check.axes, [&] {
      if (!hold(guards) || evaluator_.evaluate(condition).i != 0) return;
      std::string message = check.message;
      for (std::size_t i = 0; i < check.values.size(); ++i) {
        const std::string hole = "{" + std::to_string(i) + "}",
                          value = std::to_string(evaluator_(check.values[i]).i);
        for (std::size_t at = message.find(hole); at != std::string::npos;
             at = message.find(hole, at + value.size())) {
          message.replace(at, hole.size(), value);
        }
      }
      fail(std::move(message));
    });
  }

  void run(const IndexPlace &place) {
    if (auto message = build_index(place, &evaluator_)) fail(std::move(*message));
  }
  void run(const IndexSort &sort) {
    if (auto message = build_index(sort, &evaluator_)) fail(std::move(*message));
  }

  void run(const Prefix &prefix) {
    Buffer &to = evaluator_.buffer(prefix.destination), &from = evaluator_.buffer(prefix.source);
    const std::int64_t length = evaluator_(prefix.length).i;
    std::int64_t total = 0;
    to.write(to.at_element(0), integer_value(0), evaluator_.iterations);
    for (std::int64_t i = 0; i < length; ++i) {
      total += std::max<std::int64_t>(from.read(from.at_element(i), evaluator_.iterations).i, 0);
      to.write(to.at_element(i + 1), integer_value(total), evaluator_.iterations);
    }
  }

  void run(const Launch &launch) {
    const std::uint32_t execution = evaluator_.iterations.begin_loop();
    over_grid(launch, 0, execution);
  }

  void over_grid(const Launch &launch, std::size_t dimension, std::uint32_t execution) {
    if (dimension == launch.grid.size()) {
      evaluator_.iterations.enter(execution);
      run(launch.body);
      evaluator_.iterations.leave();
      return;
    }
    const GridAxis &axis = launch.grid[dimension];
    const std::int64_t extent = evaluator_(axis.extent).i;
    scope_.push_back(axis.var);
    for (std::int64_t i = 0; i < extent; ++i) {
      evaluator_.variable(axis.var) = integer_value(i);
      over_grid(launch, dimension + 1, execution);
    }
    scope_.pop_back();
  }

  void run(const Stage &stage) {
    throw_failure();
    run(stage.body);
    throw_failure();  // nothing but Stages has effects: skipping the later ones is stopping here
  }
};

}  // namespace

void interpret(const Module &module, const std::vector<TensorArgument> &inputs,
               const std::vector<ScalarArgument> &scalars,
               const std::vector<TensorArgument> &outputs, std::vector<double> *statistics) {
  Interpreter interpreter(module);
  interpreter.bind(module.inputs, inputs, false);
  interpreter.bind(scalars);
  interpreter.bind(module.outputs, outputs, true);
  interpreter.execute(statistics);
}

}  // namespace pit::ir
