#include "reference.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "error.h"
#include "loop_names.h"
#include "reference_program.h"

namespace pit {
namespace {

using reference::Bounded;
using reference::Cell;
using reference::FuncValues;
using reference::IndexLists;
using reference::Program;
using reference::RangedVar;

/// Elements of one output, kept back until everything has been evaluated without an error.
class PendingTensor {
 public:
  PendingTensor(const AnyBuffer &target, bool with_bounds)
      : target_(target),
        values_(target.type(), target.extents()),
        written_(uint8, target.extents()) {
    if (with_bounds) bounds_ = Buffer<double>(target.extents());
    if (with_bounds) bounds_->fill(-1);
  }

  void put(const Shape &at, const Cell<double> &cell) {
    if (target_.type().is_float()) {
      values_.set_number(at, cell.number);
    } else {
      put_integer(at, cell.integer);
    }
    written_.set_number(at, 1);
  }
  void put(const Shape &at, const Cell<Bounded> &cell) {
    double bound = 0;
    if (target_.type().is_float()) {
      const Bounded element = reference::rounded(target_.type(), cell.number);
      values_.set_number(at, element.value);
      bound = element.bound;
    } else {
      put_integer(at, cell.integer);
    }
    written_.set_number(at, 1);
    if (bounds_) *static_cast<double *>(bounds_->address(at)) = bound;
  }

  void commit() const {
    const auto bytes = static_cast<std::size_t>(target_.type().bytes());
    for_each_coordinate(target_.extents(), [&](const Shape &at) {
      if (written_.number(at) != 0) std::memcpy(target_.address(at), values_.address(at), bytes);
    });
  }
  const AnyBuffer &bounds() const { return *bounds_; }
  const Shape &extents() const { return target_.extents(); }

 private:
  void put_integer(const Shape &at, std::int64_t value) {
    // The low bytes are the value wrapped in its type: the machines that pit runs on are
    // little-endian.
    std::memcpy(values_.address(at), &value, static_cast<std::size_t>(target_.type().bytes()));
  }

  AnyBuffer target_, values_, written_;
  std::optional<Buffer<double>> bounds_;
};

/// Runs a pipeline into the caller's outputs.
template <class V>
class Run {
 public:
  Run(const Pipeline &pipeline, const Reference::Tensors &inputs, const Reference::Scalars &scalars,
      const Reference::Tensors &outputs, bool with_bounds)
      : pipeline_(pipeline),
        outputs_(outputs),
        signature_(pipeline.signature()),
        with_bounds_(with_bounds) {
    const std::vector<Directive> directives = pipeline.schedule().directives;
    for (const Directive &d : directives) {
      if (d.kind == DirectiveKind::StoreCompact) compact_[d.func.lock().get()] = d.index;
    }
    std::map<const FuncNode *, Shape> extents;
    std::map<const IndexNode *, std::int64_t> groups;
    for (const Argument &a : signature_) {
      if (a.kind == Argument::Kind::InputTensor || a.kind == Argument::Kind::Scalar) continue;
      const AnyBuffer &buffer = output(a);
      if (a.kind == Argument::Kind::IndexOffsets)
        groups[identity_of(a.index)] = buffer.extent(0) - 1;
      if (a.kind != Argument::Kind::OutputTensor || compact_.contains(a.func.get())) continue;
      const auto [known, added] = extents.emplace(a.func.get(), buffer.extents());
      if (!added && known->second != buffer.extents())
        refuse(
            a,
            "the extents of " + a.func->name + "'s other components, " + to_string(known->second),
            to_string(buffer.extents()));
    }
    program_.emplace(pipeline, inputs, scalars, std::move(extents), std::move(groups));
  }

  void evaluate() {
    for (const FuncPtr &func : pipeline_.outputs()) {
      const auto compact = compact_.find(func.get());
      if (compact == compact_.end()) {
        evaluate_plain(*func);
      } else {
        evaluate_compact(*func, compact->second);
      }
    }
    for (const Argument &a : signature_) {
      if (a.kind == Argument::Kind::IndexOffsets) fill(a, program_->lists(a.index).offsets, true);
      if (a.kind == Argument::Kind::IndexCoordinates)
        fill(a, program_->lists(a.index).coordinates, false);
      if (a.kind == Argument::Kind::IndexCount) fill(a, {program_->lists(a.index).kept}, true);
    }
  }

  void commit(Reference::Tensors *bounds) const {
    for (const auto &[name, tensor] : pending_) {
      tensor.commit();
      if (bounds != nullptr) (*bounds)[name] = tensor.bounds();
    }
  }

 private:
  [[noreturn]] void refuse(const Argument &a, const std::string &expected,
                           const std::string &got) const {
    throw RuntimeError("operator " + pipeline_.name() + ": output " + a.name + "; expected " +
                       expected + "; got " + got);
  }

  const AnyBuffer &output(const Argument &a) const {
    const auto it = outputs_.find(a.name);
    const std::string wanted = to_string(a.type) + " of rank " + std::to_string(a.rank);
    if (it == outputs_.end()) refuse(a, wanted, "nothing");
    if (it->second.type() != a.type || it->second.rank() != a.rank) {
      refuse(a, wanted,
             to_string(it->second.type()) + " of rank " + std::to_string(it->second.rank()));
    }
    return it->second;
  }

  /// The output tensors of a Func's components.
  std::vector<PendingTensor *> tensors_of(const FuncNode &func) {
    std::vector<PendingTensor *> tensors;
    for (const Argument &a : signature_) {
      if (a.kind != Argument::Kind::OutputTensor || a.func.get() != &func) continue;
      tensors.push_back(&pending_.try_emplace(a.name, output(a), with_bounds_).first->second);
    }
    return tensors;
  }

  void put_all(FuncNode &func, const Shape &coordinates,
               const std::vector<PendingTensor *> &tensors, const Shape &at) {
    FuncValues<V> &values = program_->func(func);
    if (!values.has_value(coordinates.data())) return;
    std::vector<Cell<V>> cells(static_cast<std::size_t>(values.width()));
    values.all(coordinates.data(), cells.data());
    for (std::size_t c = 0; c < tensors.size(); ++c) tensors[c]->put(at, cells[c]);
  }

  void evaluate_plain(FuncNode &func) {
    const std::vector<PendingTensor *> tensors = tensors_of(func);
    for_each_coordinate(tensors[0]->extents(),
                        [&](const Shape &at) { put_all(func, at, tensors, at); });
  }

  /// [position][Vars that the index does not cover][offsets in the micro-tile], the Vars in the
  /// Func's order.
  void evaluate_compact(FuncNode &func, const IndexPtr &index) {
    const IndexLists &lists = program_->lists(index);
    const std::vector<PendingTensor *> tensors = tensors_of(func);
    const Shape &extents = tensors[0]->extents();
    const auto entries = static_cast<std::int64_t>(lists.coordinates.size());
    if (entries > extents[0]) {
      throw RuntimeError("operator " + pipeline_.name() + ": index " + index->name + " has " +
                         std::to_string(entries) + " entries, which do not fit the " +
                         std::to_string(extents[0]) + " positions of output " + func.name);
    }
    // Which dimension of the layout each Var has.
    std::vector<int> dimension(func.args.size(), -1);
    int next = 1;
    for (std::size_t d = 0; d < func.args.size(); ++d) {
      if (find(lists.axis, func.args[d]) == nullptr && find(lists.group, func.args[d]) == nullptr)
        dimension[d] = next++;
    }
    for (std::size_t d = 0; d < func.args.size(); ++d) {
      const RangedVar *g = find(lists.group, func.args[d]);
      const bool in_axis = find(lists.axis, func.args[d]) != nullptr;
      const std::int64_t micro = g != nullptr ? g->micro : in_axis ? lists.micro : 1;
      if (micro == 1) continue;
      if (extents[static_cast<std::size_t>(next)] != micro) {
        throw RuntimeError("operator " + pipeline_.name() + ": dimension " + std::to_string(next) +
                           " of output " + func.name + " is an offset in the micro-tile of " +
                           func.args[d]->name + "; expected extent " + std::to_string(micro) +
                           "; got " + std::to_string(extents[static_cast<std::size_t>(next)]));
      }
      dimension[d] = next++;
    }
    for (std::int64_t g = 0; g < lists.groups(); ++g) {
      const std::int64_t first = lists.offsets[static_cast<std::size_t>(g)];
      for (std::int64_t e = first; e < first + lists.counts[static_cast<std::size_t>(g)]; ++e) {
        Shape box(extents.begin() + 1, extents.end());
        for_each_coordinate(box, [&](const Shape &inner) {
          Shape at{e};
          at.insert(at.end(), inner.begin(), inner.end());
          Shape coordinates;
          if (compact_coordinates(func, lists, g, e, at, dimension, &coordinates))
            put_all(func, coordinates, tensors, at);
        });
      }
    }
  }

  static const RangedVar *find(const std::vector<RangedVar> &vars, const VarPtr &v) {
    const auto it =
        std::find_if(vars.begin(), vars.end(), [&](const RangedVar &r) { return r.var == v; });
    return it == vars.end() ? nullptr : &*it;
  }

  /// The Func's coordinates at place `at` of the layout; false past the edge of its range.
  static bool compact_coordinates(const FuncNode &func, const IndexLists &lists, std::int64_t g,
                                  std::int64_t e, const Shape &at,
                                  const std::vector<int> &dimension, Shape *coordinates) {
    coordinates->assign(func.args.size(), 0);
    for (std::size_t d = 0; d < func.args.size(); ++d) {
      const std::int64_t inner = dimension[d] < 0 ? 0 : at[static_cast<std::size_t>(dimension[d])];
      std::int64_t c = inner;
      if (const RangedVar *part = find(lists.axis, func.args[d])) {
        std::int64_t a = lists.coordinates[static_cast<std::size_t>(e)];
        if (lists.axis.size() == 1) {
          c = a + inner;
          if (c >= part->min + part->extent) return false;
        } else {
          for (std::size_t p = lists.axis.size(); p-- > 0;) {
            if (&lists.axis[p] == part) c = part->min + a % part->extent;
            a /= std::max<std::int64_t>(lists.axis[p].extent, 1);
          }
        }
      } else if (const RangedVar *member = find(lists.group, func.args[d])) {
        std::int64_t rest = g;
        for (std::size_t i = lists.group.size(); i-- > 0;) {
          const std::int64_t n =
              (lists.group[i].extent + lists.group[i].micro - 1) / lists.group[i].micro;
          if (&lists.group[i] == member) c = member->min + rest % n * member->micro + inner;
          rest /= n;
        }
        if (c >= member->min + member->extent) return false;
      }
      (*coordinates)[d] = c;
    }
    return true;
  }

  void fill(const Argument &a, const std::vector<std::int64_t> &numbers, bool exactly) {
    const std::int64_t extent = output(a).extent(0),
                       count = static_cast<std::int64_t>(numbers.size());
    if (exactly ? count != extent : count > extent) {
      throw RuntimeError("operator " + pipeline_.name() + ": index " + a.index->name + ": " +
                         a.name + " takes " + std::to_string(count) + " entries; got a buffer of " +
                         std::to_string(extent));
    }
    PendingTensor &tensor = pending_.try_emplace(a.name, output(a), with_bounds_).first->second;
    for (std::int64_t i = 0; i < count; ++i) {
      Cell<V> cell;
      cell.integer = numbers[static_cast<std::size_t>(i)];
      tensor.put({i}, cell);
    }
  }

  const Pipeline &pipeline_;
  const Reference::Tensors &outputs_;
  std::vector<Argument> signature_;
  bool with_bounds_;
  std::map<const FuncNode *, IndexPtr> compact_;
  std::optional<Program<V>> program_;
  std::map<std::string, PendingTensor> pending_;
};

}  // namespace

struct Reference::State {
  Pipeline pipeline;
  Tensors inputs;
  Scalars scalars;
  Program<double> program;
  Program<Bounded> bounded;

  State(const Pipeline &p, Tensors i, Scalars s, const std::map<const FuncNode *, Shape> &extents)
      : pipeline(p),
        inputs(std::move(i)),
        scalars(std::move(s)),
        program(pipeline, inputs, scalars, extents, {}),
        bounded(pipeline, inputs, scalars, extents, {}) {}
};

Reference::Reference(const Pipeline &pipeline, Tensors inputs, Scalars scalars,
                     std::map<std::string, Shape> output_extents) {
  std::map<const FuncNode *, Shape> extents;
  for (const FuncPtr &func : pipeline.outputs()) {
    const auto given = output_extents.find(func->name);
    if (given == output_extents.end()) continue;
    if (given->second.size() != func->args.size()) {
      throw RuntimeError("operator " + pipeline.name() + ": extents " + to_string(given->second) +
                         " of " + func->name + "; expected " + std::to_string(func->args.size()) +
                         " of them");
    }
    extents[func.get()] = given->second;
  }
  state_ = std::make_unique<State>(pipeline, std::move(inputs), std::move(scalars), extents);
}
Reference::~Reference() = default;
Reference::Reference(Reference &&) noexcept = default;
Reference &Reference::operator=(Reference &&) noexcept = default;

namespace {

/// One value of a Func through a program, with the coordinates and the component checked.
template <class V>
Cell<V> value_at(Program<V> &program, const Func &func, const Shape &coordinates, int component) {
  FuncNode &node = *func.func();
  if (coordinates.size() != node.args.size() || component < 0 ||
      component >= static_cast<int>(node.types.size())) {
    throw RuntimeError("Func " + node.name + " has " + std::to_string(node.args.size()) +
                       " dimensions and " + std::to_string(node.types.size()) +
                       " components; asked for component " + std::to_string(component) + " at " +
                       to_string(coordinates));
  }
  return program.func(node).at(coordinates.data(), component);
}

}  // namespace

double Reference::value(const Func &func, const Shape &coordinates, int component) {
  const Cell<double> cell = value_at(state_->program, func, coordinates, component);
  const Type type = func.func()->types[static_cast<std::size_t>(component)];
  return type.is_float() ? cell.number : int_to_float(type, cell.integer);
}

Reference::Bounded Reference::bounded(const Func &func, const Shape &coordinates, int component) {
  const Cell<Bounded> cell = value_at(state_->bounded, func, coordinates, component);
  const Type type = func.func()->types[static_cast<std::size_t>(component)];
  return type.is_float() ? cell.number : Bounded{int_to_float(type, cell.integer), 0};
}

bool Reference::has_value(const Func &func, const Shape &coordinates) {
  return state_->program.func(*func.func()).has_value(coordinates.data());
}

void Reference::run(const Tensors &outputs, Tensors *bounds) {
  const auto run_in = [&]<class V>(std::type_identity<V>) {
    Run<V> run(state_->pipeline, state_->inputs, state_->scalars, outputs, bounds != nullptr);
    run.evaluate();
    run.commit(bounds);
  };
  if (bounds != nullptr) {
    run_in(std::type_identity<Bounded>{});
  } else {
    run_in(std::type_identity<double>{});
  }
}

}  // namespace pit
