#include <algorithm>

#include "define.h"
#include "error.h"
#include "func.h"
#include "loop_names.h"
#include "schedule.h"

namespace pit {

namespace {

using Location = SparseIndex::Location;

// "index live of C.update(0)".
std::string describe(const IndexNode &index) {
  std::string text = "index";
  if (!index.name.empty()) text += " " + index.name;
  if (const FuncPtr func = index.func.lock())
    text += " of " + definition_name(*func, index.definition);
  return text;
}

const IndexPtr &checked(const IndexPtr &node, const char *call,
                        Location where = Location::current()) {
  if (!node) {
    throw CompileError(std::string(call) +
                           "() of an empty SparseIndex; an index is made by "
                           "F.index({.axis = ...}) or F.update().index({.axis = ...})",
                       where);
  }
  return node;
}

// Changes the node when the result is legal.
template <class Change>
void change(const IndexPtr &node, Location where, const Change &make_change) {
  IndexNode changed = *node;
  make_change(changed);
  check_index_settings(changed, where);
  *node = std::move(changed);
}

void check_integer_list(const IndexNode &index, const StoragePtr &tensor, const char *what,
                        Location where) {
  if (!tensor->type.is_integral() || tensor->rank != 1) {
    throw CompileError(describe(index) + ": given(): the " + what + " " + tensor->name +
                           " have type " + to_string(tensor->type) + " and rank " +
                           std::to_string(tensor->rank) + "; they must be integers of rank 1",
                       where);
  }
}

// The predicates written at the index's own definition. Others may come from consumers
// (Func::where).
std::vector<Expr> own_predicates(const IndexNode &index) {
  const FuncPtr func = index.func.lock();
  if (!func) return {};
  std::vector<Expr> predicates = func->predicates;
  if (index.definition < static_cast<int>(func->definitions.size())) {
    const std::vector<Expr> &own =
        func->definitions[static_cast<std::size_t>(index.definition)].predicates;
    predicates.insert(predicates.end(), own.begin(), own.end());
  }
  return predicates;
}

template <class Matches>
bool any_node(const std::vector<Expr> &exprs, const Matches &matches) {
  bool found = false;
  for (const Expr &e : exprs) {
    walk(e, [&](const Expr &node) {
      found = found || matches(node);
      return !found;
    });
  }
  return found;
}

std::string list(const std::vector<Expr> &exprs) {
  std::string text;
  for (const Expr &e : exprs) text += (text.empty() ? "" : " && ") + to_string(e);
  return text;
}

}  // namespace

SparseIndex &SparseIndex::named(std::string name, Location where) {
  checked(node_, "named", where);
  check_name("index", name, where);
  node_->name = std::move(name);
  return *this;
}

SparseIndex &SparseIndex::unordered(Location where) {
  checked(node_, "unordered", where)->ordered = false;
  return *this;
}

SparseIndex &SparseIndex::capacity(const Expr &n, Location where) {
  checked(node_, "capacity", where);
  if (!n.defined())
    throw CompileError(describe(*node_) + ": capacity must be an integer number of entries", where);
  change(node_, where, [&](IndexNode &index) { index.capacity = n; });
  return *this;
}

SparseIndex &SparseIndex::align(std::int64_t entries, Location where) {
  change(checked(node_, "align", where), where, [&](IndexNode &index) { index.align = entries; });
  return *this;
}

SparseIndex &SparseIndex::store_values(const TensorParam &a, Location where) {
  change(checked(node_, "store_values", where), where,
         [&](IndexNode &index) { index.stored_values = a.storage(); });
  return *this;
}

SparseIndex &SparseIndex::compute_at(const Definition &producer, VarOrRVar loop, Location where) {
  checked(node_, "compute_at", where);
  if (!loop.defined()) {
    throw CompileError(describe(*node_) + ": compute_at needs a loop of " + producer.func()->name,
                       where);
  }
  change(node_, where, [&](IndexNode &index) {
    index.mark_func = producer.func();
    index.mark_loop = loop.node();
  });
  return *this;
}

SparseIndex &SparseIndex::given(const TensorParam &offsets, const TensorParam &coordinates,
                                Location where) {
  change(checked(node_, "given", where), where, [&](IndexNode &index) {
    index.given_offsets = offsets.storage();
    index.given_coordinates = coordinates.storage();
  });
  return *this;
}

Expr SparseIndex::density(Location where) const {
  checked(node_, "density", where);
  return Expr(
      std::make_shared<IndexQuery>(float32, IndexQueryKind::Density, node_, std::vector<Expr>{}),
      where);
}

Expr SparseIndex::count(Location where) const {
  checked(node_, "count", where);
  return Expr(
      std::make_shared<IndexQuery>(int64, IndexQueryKind::Count, node_, std::vector<Expr>{}),
      where);
}

Expr SparseIndex::position(std::vector<Expr> coordinates, Location where) const {
  const IndexNode &index = *checked(node_, "position", where);
  if (coordinates.empty()) {
    throw CompileError(
        describe(index) + ": position() needs the group coordinates, then the axis coordinate",
        where);
  }
  for (const Expr &coordinate : coordinates) {
    if (!coordinate.defined()) {
      throw CompileError(
          describe(index) +
              ": position(): a coordinate is an undefined Expr; give it a value first",
          where);
    }
    if (!coordinate.type().is_integral()) {
      throw CompileError(describe(index) + ": position(): the coordinate " + to_string(coordinate) +
                             " has type " + pit::to_string(coordinate.type()) +
                             "; coordinates are integers: cast it, e.g. i64(...)",
                         where);
    }
  }
  return Expr(
      std::make_shared<IndexQuery>(int64, IndexQueryKind::Position, node_, std::move(coordinates)),
      where);
}

void check_index_settings(const IndexNode &index, std::source_location where) {
  for (const Expr &e : {index.group, index.capacity}) {
    const FuncPtr func = index.func.lock();
    if (func && e.defined()) check_reads_no(*func, e, describe(index), where);
  }
  if (index.capacity.defined()) {
    if (!index.capacity.type().is_integral()) {
      throw CompileError(describe(index) + ": capacity must be an integer number of entries, not " +
                             to_string(index.capacity) + " of type " +
                             to_string(index.capacity.type()),
                         where);
    }
    if (const std::vector<VarPtr> free = free_variables(index.capacity); !free.empty()) {
      throw CompileError(describe(index) + ": the capacity " + to_string(index.capacity) +
                             " reads the variable " + free.front()->name +
                             "; it is one number for all groups: use parameters and extents",
                         where);
    }
    std::int64_t value = 0;
    if (is_const_int(index.capacity, &value) && value <= 0) {
      throw CompileError(
          describe(index) + ": capacity is " + std::to_string(value) + "; it must be at least 1",
          where);
    }
  }
  if (index.align <= 0) {
    throw CompileError(
        describe(index) + ": align is " + std::to_string(index.align) + "; it must be at least 1",
        where);
  }
  if (index.align > kMostExtent) {
    throw CompileError(describe(index) + ": align is " + std::to_string(index.align) +
                           "; it must be at most " + std::to_string(kMostExtent),
                       where);
  }
  if (index.given_offsets) check_integer_list(index, index.given_offsets, "offsets", where);
  if (index.given_coordinates)
    check_integer_list(index, index.given_coordinates, "coordinates", where);

  // Predicates that consumers impose are not known here: what they read is checked by lowering.
  const std::vector<Expr> predicates = own_predicates(index);
  if (predicates.empty()) return;
  const auto reads_values = [&](const Expr &node) {
    const Load *load = node.as<Load>();
    return load && load->storage == index.stored_values;
  };
  if (index.stored_values && !any_node(predicates, reads_values)) {
    throw CompileError(describe(index) + ": store_values(" + index.stored_values->name +
                           "): the build does not read " + index.stored_values->name +
                           ", so it has no values to store; its predicate is " + list(predicates),
                       where);
  }
  const FuncPtr marked_in = index.mark_func.lock();
  const auto reads_producer = [&](const Expr &node) {
    const Call *call = node.as<Call>();
    return call && call->func == marked_in.get();
  };
  if (marked_in && !any_node(predicates, reads_producer)) {
    throw CompileError(describe(index) + ": compute_at(" + marked_in->name +
                           ", ...): the predicate " + list(predicates) + " does not read " +
                           marked_in->name +
                           "; an index is marked in the tile of a Func that its predicate reads",
                       where);
  }
}

}  // namespace pit
