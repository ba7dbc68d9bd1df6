#include "interpret.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "block_memory.h"
#include "dsl/error.h"
#include "evaluate.h"
#include "index_build.h"
#include "machine.h"
#include "mutator.h"
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

/// Executes statements. A copy executes one block or role of a kernel of the staged level,
/// interleaved with others.
class Interpreter {
 public:
  Interpreter(const Module &module, const Interleaving &interleaving)
      : module_(module), interleaving_(interleaving) {}

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
      evaluator_.buffer_slot(storages[i]) = std::make_shared<Buffer>(
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
      buffer = std::make_shared<Buffer>(
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
  Interleaving interleaving_;
  Evaluator evaluator_;
  std::unordered_map<const VarNode *, std::int64_t> axis_extents_;
  std::vector<VarPtr> scope_;        // variables that have a value, for messages
  const Stmt *statement_ = nullptr;  // the innermost one that is executed
  struct Shared {
    std::uint32_t stores = 0;
    std::uint32_t points = 0;  ///< of the grids of staged kernels
    std::uint32_t blocks = 0;  ///< and roles
    std::optional<std::string> failure;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::shared_ptr<const BlockMemory> memory_;    // of the kernel; null: on the host
  std::shared_ptr<BlockStatements> statements_;  // of the block or role
  // The last statement that accessed a tile which is no more.
  BlockStatements::Id memory_used_ = BlockStatements::kNone;
  Machine *machine_ = nullptr;  // in a staged kernel
  Agent *agent_ = nullptr;

  /// While it lives the threads of a block execute the statement that is under way together. In
  /// another one, and on the host, it is nothing.
  class Together {
   public:
    explicit Together(const Interpreter &in)
        : statements_(in.statements_ && in.statements_->begin(in.statement_) ? in.statements_.get()
                                                                             : nullptr) {}
    ~Together() {
      if (statements_) statements_->end();
    }
    Together(const Together &) = delete;
    Together &operator=(const Together &) = delete;
    bool by_block() const { return statements_ != nullptr; }

   private:
    BlockStatements *statements_;
  };

  /// An expression that all threads of a block compute.
  Value common(const Expr &e) {
    const Together together(*this);
    return evaluator_(e);
  }

  /// This copy executes a block, or a role, from here on.
  void begin_block() {
    statements_ = std::make_shared<BlockStatements>(++shared_->blocks);
    evaluator_.iterations.block = statements_.get();
  }

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
    if (!shared_->failure) shared_->failure = std::move(message);
    evaluator_.allow_undefined = true;
  }

  void throw_failure() const {
    if (shared_->failure) throw RuntimeError("operator " + module_.name + ": " + *shared_->failure);
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
  /// `backwards`: the last iteration is the first.
  void for_each(const std::vector<VarPtr> &axes, const std::function<void()> &body,
                bool backwards = false) {
    std::vector<std::int64_t> extents;
    for (const VarPtr &axis : axes) extents.push_back(extent_of(axis));
    if (std::any_of(extents.begin(), extents.end(), [](std::int64_t e) { return e <= 0; })) return;
    scope_.insert(scope_.end(), axes.begin(), axes.end());
    const auto first = [&](std::size_t d) { return backwards ? extents[d] - 1 : 0; };
    for (std::size_t d = 0; d < axes.size(); ++d)
      evaluator_.variable(axes[d]) = integer_value(first(d));
    for (;;) {
      body();
      std::size_t d = axes.size();
      for (; d > 0; --d) {
        Value &value = evaluator_.variable(axes[d - 1]);
        value.i += backwards ? -1 : 1;
        if (value.i >= 0 && value.i < extents[d - 1]) break;
        value.i = first(d - 1);
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
    std::optional<Together> by_threads;
    if (loop.loop_kind == ForKind::GpuThread) by_threads.emplace(*this);
    const std::int64_t min = common(loop.min).i, extent = common(loop.extent).i;
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
      const std::int64_t extent = common(axis.extent).i;
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
    const Value value = common(let.value);
    evaluator_.variable(let.var) = value;
    scope_.push_back(let.var);
    run(let.body);
    scope_.pop_back();
  }

  void run(const If &branch) {
    run(common(branch.condition).i != 0 ? branch.then_body : branch.else_body);
  }

  void run(const Allocate &allocate) {
    std::vector<std::int64_t> extents;
    for (const Expr &extent : allocate.extents) extents.push_back(common(extent).i);
    const auto buffer = std::make_shared<Buffer>(allocate.storage, std::move(extents));
    evaluator_.buffer_slot(allocate.storage) = buffer;
    if (memory_) {
      buffer->is_synced = memory_->is_synced(allocate.storage.get());
      buffer->memory_used = memory_used_;
    }
    const Memory memory = allocate.placement.memory;
    if (machine_ && memory == Memory::Shared)
      machine_->make_shared(agent_, allocate.storage, buffer);
    if (machine_ && memory == Memory::Registers) machine_->make_registers(buffer);
    run(allocate.body);
    if (machine_ && memory == Memory::Shared) machine_->forget_shared(agent_, allocate.storage);
    if (machine_ && memory == Memory::Registers)
      machine_->forget_registers(allocate.storage, buffer.get());
    if (memory_ && buffer->is_synced) memory_used_ = std::max(memory_used_, buffer->last_access());
    evaluator_.buffer_slot(allocate.storage).reset();
  }

  Value old_value(Buffer &buffer, Place place, bool atomic) {
    if (evaluator_.allow_undefined && !buffer.ever_written(place)) return buffer.peek(place);
    // The read of an atomic update is ordered with the writes of the others.
    if (atomic && buffer.ever_written(place)) return buffer.peek(place);
    return buffer.read(place, evaluator_.iterations);
  }

  void run(const Store &store) {
    const Together together(*this);
    const Codes guards = compiled(store.guards), indices = compiled(store.indices);
    const Evaluator::Code &value_code = evaluator_.compiled(store.value);
    Buffer &buffer = evaluator_.buffer(store.storage);
    const Type type = store.storage->type;
    const bool assign = store.combiner == Combiner::Assign;
    const BinaryOp op = assign ? BinaryOp::Add : operator_of(store.combiner);
    const std::uint32_t execution = ++shared_->stores;
    const bool joins = together.by_block() && memory_->joins_threads(*statement_);
    std::vector<std::pair<Place, Value>> results;  // with which the element is updated in the end
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
      if (joins) return (void)results.emplace_back(place, value);
      if (!assign) value = apply(op, type, old_value(buffer, place, store.atomic), value);
      buffer.write(place, value, evaluator_.iterations, store.atomic);
    });
    if (store.through) evaluator_.buffer(store.through).forget();
    if (!joins) return;
    join_threads();
    for (const auto &[place, value] : results) {
      buffer.write(place, apply(op, type, old_value(buffer, place, store.atomic), value),
                   evaluator_.iterations, store.atomic);
    }
  }

  /// All threads of a block come together inside the statement that is under way.
  void join_threads() {
    if (statements_) statements_->sync();
  }

  /// An operand of an Mma: its buffer, and where each of its axes stands among all of them.
  struct Operand {
    std::shared_ptr<Buffer> buffer;
    std::optional<std::int64_t> slot;
    std::vector<std::size_t> dimensions;

    Place at(const std::vector<std::int64_t> &point) const {
      std::int64_t indices[kMaxRank];
      std::size_t rank = 0;
      if (slot) indices[rank++] = *slot;
      for (const std::size_t d : dimensions) indices[rank++] = point[d];
      return buffer->at(indices);
    }
  };

  Operand operand(const TileOperand &tile, const std::vector<VarPtr> &axes) {
    Operand made{evaluator_.buffer_slot(tile.tile), {}, {}};
    const std::size_t rank = evaluator_.buffer(tile.tile).extents().size();
    if (tile.axes.size() + (tile.slot.defined() ? 1 : 0) != rank || rank > kMaxRank)
      throw AccessError("the number of axes of " + tile.tile->name + " is not its rank");
    if (tile.slot.defined()) made.slot = evaluator_(tile.slot).i;
    for (const VarPtr &axis : tile.axes) {
      const auto found = std::find(axes.begin(), axes.end(), axis);
      made.dimensions.push_back(static_cast<std::size_t>(found - axes.begin()));
    }
    return made;
  }

  /// Calls body for every point of those of the dimensions that `which` lists, the last fastest.
  static void for_points(const std::vector<std::int64_t> &extents,
                         const std::vector<std::size_t> &which,
                         const std::function<void(const std::vector<std::int64_t> &)> &body) {
    std::vector<std::int64_t> point(extents.size(), 0);
    for (;;) {
      body(point);
      std::size_t d = which.size();
      for (; d > 0; --d) {
        if (++point[which[d - 1]] < extents[which[d - 1]]) break;
        point[which[d - 1]] = 0;
      }
      if (d == 0) return;
    }
  }

  void run(const Mma &mma) {
    const Together together(*this);
    std::vector<VarPtr> axes;
    for (const auto *role : {&mma.batch, &mma.m, &mma.n, &mma.k})
      axes.insert(axes.end(), role->begin(), role->end());
    const Operand c = operand(mma.accumulator, axes), a = operand(mma.a, axes),
                  b = operand(mma.b, axes);
    std::vector<std::int64_t> extents;
    for (const VarPtr &axis : axes) extents.push_back(extent_of(axis));
    if (std::any_of(extents.begin(), extents.end(), [](std::int64_t e) { return e <= 0; })) return;
    std::vector<std::size_t> sums;
    for (std::size_t d = axes.size() - mma.k.size(); d < axes.size(); ++d) sums.push_back(d);

    const Type type = mma.accumulator.tile->type, a_type = mma.a.tile->type,
               b_type = mma.b.tile->type;
    const auto work = [=, this] {
      for_points(extents, c.dimensions, [&](const std::vector<std::int64_t> &at) {
        std::vector<std::int64_t> point = at;
        const Place place = c.at(point);
        Value sum = c.buffer->read(place, evaluator_.iterations);
        for_points(extents, sums, [&](const std::vector<std::int64_t> &k) {
          for (const std::size_t d : sums) point[d] = k[d];
          const Value x = convert(a_type, type, a.buffer->peek(a.at(point))),
                      y = convert(b_type, type, b.buffer->peek(b.at(point)));
          sum = apply(BinaryOp::Add, type, sum, apply(BinaryOp::Mul, type, x, y));
        });
        c.buffer->write(place, sum, evaluator_.iterations);
      });
    };
    const bool asynchronous = machine_ != nullptr && mma.asynchronous;
    std::vector<Machine::Element> reads;
    std::vector<Buffer *> registers{c.buffer.get()};
    for (const auto &[tile, from] : {std::pair(&mma.a, &a), std::pair(&mma.b, &b)}) {
      const bool shared = asynchronous && machine_->is_shared(agent_, tile->tile);
      if (asynchronous && !shared) registers.push_back(from->buffer.get());
      for_points(extents, from->dimensions, [&, from = from](const auto &point) {
        const Place place = from->at(point);
        if (shared)
          reads.push_back({from->buffer.get(), place, {}});
        else
          from->buffer->read(place, evaluator_.iterations);
      });
    }
    if (!asynchronous) return work();
    machine_->issue_matrix(agent_, reads, std::move(registers), work);
  }

  void run(const Check &check) {
    const Together together(*this);
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
    const Together together(*this);
    Buffer &to = evaluator_.buffer(prefix.destination), &from = evaluator_.buffer(prefix.source);
    const std::int64_t length = evaluator_(prefix.length).i;
    to.write(to.at_element(0), integer_value(0), evaluator_.iterations);
    std::vector<std::int64_t> terms;
    for (std::int64_t i = 0; i < length; ++i) {
      const std::int64_t term = from.read(from.at_element(i), evaluator_.iterations).i;
      terms.push_back(std::max<std::int64_t>(term, 0));
    }
    if (length > 0) join_threads();
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < length; ++i) {
      total += terms[static_cast<std::size_t>(i)];
      to.write(to.at_element(i + 1), integer_value(total), evaluator_.iterations);
    }
  }

  void run(const Compact &compact) {
    const Together together(*this);
    Buffer &list = evaluator_.buffer(compact.list), &marks = evaluator_.buffer(compact.marks),
           &count = evaluator_.buffer(compact.count);
    const std::int64_t length = evaluator_(compact.length).i;
    std::vector<std::int64_t> marked;
    for (std::int64_t j = 0; j < length; ++j) {
      if (marks.read(marks.at_element(j), evaluator_.iterations).i != 0) marked.push_back(j);
    }
    if (length > 0) join_threads();
    std::int64_t found = 0;
    for (const std::int64_t j : marked)
      list.write(list.at_element(found++), integer_value(j), evaluator_.iterations);
    count.write(count.at_element(0), integer_value(found), evaluator_.iterations);
  }

  void run(const SumBefore &s) {
    const Together together(*this);
    Buffer &progress = evaluator_.buffer(s.progress), &sum = evaluator_.buffer(s.sum);
    const std::int64_t part = evaluator_(s.part).i, value = evaluator_(s.value).i;
    const std::string who = "part " + std::to_string(part) + " of the sum " + s.sum->name;
    if (value < 0) throw AccessError(who + " has a negative value");
    const std::int64_t first = evaluator_(s.first).i;
    const auto said = [&](std::int64_t p) {
      const Place place = progress.at_element(p);
      if (!progress.ever_written(place))
        throw AccessError(progress.describe(place) + " is not zero before the launch");
      return progress.peek(place).i;
    };
    if (said(part) != 0) throw AccessError(who + " is there twice");
    std::int64_t before = 0;
    if (part > first) {
      const std::int64_t last = said(part - 1);
      if ((last & 3) != 2) throw AccessError(who + " comes before the part that it waits for");
      before = last / 4;
    }
    join_threads();
    sum.write(sum.at_element(0), integer_value(before), evaluator_.iterations);
    progress.write(progress.at_element(part), integer_value(4 * (before + value) + 2),
                   evaluator_.iterations, true);
  }

  void run(const FetchAdd &s) {
    const Together together(*this);
    const bool joins = together.by_block() && memory_->joins_threads(*statement_);
    const Codes guards = compiled(s.guards), indices = compiled(s.indices),
                at = compiled({s.at, s.value});
    Buffer &destination = evaluator_.buffer(s.destination),
           &counters = evaluator_.buffer(s.counters);
    const std::uint32_t execution = ++shared_->stores;
    const auto take = [&] {
      if (!hold(guards)) return;
      if (joins) join_threads();
      const Place to = evaluator_.place(destination, indices),
                  counter = evaluator_.place(counters, {at[0]});
      if (!destination.first_write_of(execution, to)) {
        throw AccessError("two iterations of a fetch_add assign one element of " +
                          s.destination->name);
      }
      const Value before = old_value(counters, counter, true);
      counters.write(counter,
                     apply(BinaryOp::Add, s.counters->type, before, evaluator_.evaluate(*at[1])),
                     evaluator_.iterations, true);
      if (joins) join_threads();
      destination.write(to, before, evaluator_.iterations);
    };
    // Who relies on an order without asking for it finds another one.
    for_each(s.axes, take, !s.ordered);
  }

  void run(const Launch &launch) {
    const std::uint32_t execution = evaluator_.iterations.begin_loop();
    if (launch.resident) {
      constexpr std::int64_t kResident = 3;
      evaluator_.variable(launch.resident) = integer_value(kResident);
      scope_.push_back(launch.resident);
    }
    memory_ = std::make_shared<BlockMemory>(launch.body);
    // The points are one block's, one after the other.
    begin_block();
    over_grid(launch, 0, execution, is_staged(launch.body));
    evaluator_.iterations.block = nullptr;
    statements_ = nullptr;
    memory_ = nullptr;
    if (launch.resident) scope_.pop_back();
  }

  void over_grid(const Launch &launch, std::size_t dimension, std::uint32_t execution,
                 bool staged) {
    if (dimension == launch.grid.size()) {
      if (staged || launch.cluster.var) return run_together(launch, execution);
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
      over_grid(launch, dimension + 1, execution, staged);
    }
    scope_.pop_back();
  }

  // --- the staged level ---

  /// Runs `body` as an agent: what is not legal is told with this copy's place in the program.
  template <class Body>
  void as_agent(Machine *machine, Agent *agent, const Body &body) {
    machine_ = machine;
    agent_ = agent;
    try {
      body();
    } catch (const AccessError &error) {
      throw InternalError(explain(error.what()) + "\n  by  " + agent->name);
    }
  }

  /// The blocks of a cluster make one point of the grid.
  void run_together(const Launch &launch, std::uint32_t execution) {
    const std::int64_t blocks = launch.cluster.var ? evaluator_(launch.cluster.extent).i : 1;
    Machine machine(interleaving_, ++shared_->points, static_cast<int>(blocks));
    constexpr int kLanes = 32;
    const ParallelIterations::Id outside = evaluator_.iterations.current();
    machine.run(
        [&](Agent *agent) {
          Interpreter block(*this);
          block.begin_block();
          evaluator_.iterations.resume(outside);
          evaluator_.iterations.enter(execution);
          agent->iteration = evaluator_.iterations.current();
          if (launch.cluster.var) {
            block.evaluator_.variable(launch.cluster.var) = integer_value(agent->block);
            block.scope_.push_back(launch.cluster.var);
          }
          block.as_agent(&machine, agent, [&] { block.run(launch.body); });
        },
        static_cast<int>(launch.threads / kLanes));
    evaluator_.iterations.resume(outside);
    evaluator_.iterations.block = statements_.get();
  }

  void run(const Roles &roles) {
    machine_->run_roles(agent_, roles.roles, [this](Agent *agent, const Role &role) {
      Interpreter own(*this);
      own.begin_block();
      own.evaluator_.iterations.resume(agent->iteration);
      own.as_agent(machine_, agent, [&] { own.run(role.body); });
    });
    resume();
  }

  /// After others may have run.
  void resume() {
    evaluator_.iterations.resume(agent_->iteration);
    evaluator_.iterations.block = statements_.get();
  }

  void require_kernel() const {
    if (machine_ == nullptr) throw AccessError("a statement of the staged level outside a kernel");
  }

  void run(const Barriers &barriers) {
    require_kernel();
    machine_->make_barrier(agent_, barriers.barrier);
    run(barriers.body);
    machine_->forget_barrier(agent_, barriers.barrier);
  }
  void run(const Arrive &arrive) {
    require_kernel();
    const std::int64_t bytes = arrive.bytes.defined() ? evaluator_(arrive.bytes).i : 0;
    machine_->arrive(agent_, arrive, evaluator_(arrive.at.slot).i, bytes);
    resume();
  }
  void run(const Wait &wait) {
    require_kernel();
    machine_->wait(agent_, wait.at.barrier, evaluator_(wait.at.slot).i, evaluator_(wait.parity).i);
    resume();
  }
  void run(const Commit &commit) {
    require_kernel();
    machine_->commit(agent_, commit.engine);
  }
  void run(const Drain &drain) {
    require_kernel();
    machine_->drain(agent_, drain.engine, drain.pending);
    resume();
  }
  void run(const Sync &sync) {
    if (machine_ != nullptr) {
      machine_->sync(agent_, sync.cluster);
      resume();
    } else if (statements_ == nullptr) {
      require_kernel();
    }
    statements_->sync();
  }
  void run(const Fence &fence) {
    require_kernel();
    machine_->fence(agent_, fence.fence);
  }

  void run(const Copy &copy) {
    require_kernel();
    const Together together(*this);
    const Codes guards = compiled(copy.guards), indices = compiled(copy.indices);
    const Evaluator::Code &value_code = evaluator_.compiled(copy.value);
    const Type type = copy.storage->type;
    const Value zero = type.is_float() ? float_value(0) : integer_value(0);
    Buffer &buffer = evaluator_.buffer(copy.storage);
    const std::uint32_t execution = ++shared_->stores;
    std::vector<Machine::Element> elements;
    for_each(copy.axes, [&] {
      const Place place = evaluator_.place(buffer, indices);
      if (!buffer.first_write_of(execution, place))
        throw AccessError("two iterations of a copy write one element of " + copy.storage->name);
      elements.push_back({&buffer, place, hold(guards) ? evaluator_.evaluate(value_code) : zero});
    });
    if (copy.engine == CopyEngine::Threads) {
      for (const Machine::Element &e : elements)
        buffer.write(e.place, e.value, evaluator_.iterations);
    } else if (copy.engine == CopyEngine::Async) {
      machine_->copy_async(agent_, std::move(elements));
    } else {
      machine_->copy_bulk(agent_, copy.storage, std::move(elements), copy.completes.barrier,
                          evaluator_(copy.completes.slot).i, copy.multicast);
    }
    resume();
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
               const std::vector<TensorArgument> &outputs, std::vector<double> *statistics,
               const Interleaving &interleaving) {
  Interpreter interpreter(module, interleaving);
  interpreter.bind(module.inputs, inputs, false);
  interpreter.bind(scalars);
  interpreter.bind(module.outputs, outputs, true);
  interpreter.execute(statistics);
}

}  // namespace pit::ir
