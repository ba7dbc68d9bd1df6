#include <algorithm>

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
  if (const FuncPtr func = index.func.lock()) text += " of " + definition_name(*func, index.definition);
  return text;
}

IndexNode &checked(const IndexPtr &node, const char *call, Location where = Location::current()) {
  if (!node) {
    throw CompileError(std::string(call) + "() of an empty SparseIndex; an index is made by "
                       "F.index({.axis = ...}) or F.update().index({.axis = ...})", where);
  }
  return *node;
}

void check_integer_list(const IndexNode &index, const TensorParam &tensor, const char *what, Location where) {
  if (!tensor.type().is_integral() || tensor.rank() != 1) {
    throw CompileError(describe(index) + ": given(): the " + what + " " + tensor.name() + " have type " +
                           to_string(tensor.type()) + " and rank " + std::to_string(tensor.rank()) +
                           "; they must be integers of rank 1", where);
  }
}

// The predicates written at the index's own definition. Others may come from consumers (Func::where).
std::vector<Expr> own_predicates(const IndexNode &index) {
  const FuncPtr func = index.func.lock();
  if (!func) return {};
  std::vector<Expr> predicates = func->predicates;
  if (index.definition < static_cast<int>(func->definitions.size())) {
    const std::vector<Expr> &own = func->definitions[static_cast<std::size_t>(index.definition)].predicates;
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

SparseIndex &SparseIndex::named(std::string name) {
  checked(node_, "named").name = std::move(name);
  return *this;
}

SparseIndex &SparseIndex::unordered() {
  checked(node_, "unordered").ordered = false;
  return *this;
}

SparseIndex &SparseIndex::capacity(const Expr &n, Location where) {
  IndexNode &index = checked(node_, "capacity", where);
  if (!n.defined() || !n.type().is_integral()) {
    throw CompileError(describe(index) + ": capacity must be an integer number of entries" +
                           (n.defined() ? ", not " + to_string(n) + " of type " + pit::to_string(n.type()) : ""),
                       where);
  }
  std::int64_t value = 0;
  if (is_const_int(n, &value) && value <= 0) {
    throw CompileError(describe(index) + ": capacity is " + std::to_string(value) + "; it must be at least 1", where);
  }
  index.capacity = n;
  return *this;
}

SparseIndex &SparseIndex::align(std::int64_t entries, Location where) {
  IndexNode &index = checked(node_, "align", where);
  if (entries <= 0) {
    throw CompileError(describe(index) + ": align is " + std::to_string(entries) + "; it must be at least 1", where);
  }
  index.align = entries;
  return *this;
}

SparseIndex &SparseIndex::store_values(const TensorParam &a, Location where) {
  IndexNode &index = checked(node_, "store_values", where);
  const std::vector<Expr> predicates = own_predicates(index);
  const bool read = any_node(predicates, [&](const Expr &node) {
    const Load *load = node.as<Load>();
    return load && load->storage == a.storage();
  });
  if (!predicates.empty() && !read) {
    throw CompileError(describe(index) + ": store_values(" + a.name() + "): the build does not read " + a.name() +
                           ", so it has no values to store; its predicate is " + list(predicates), where);
  }
  index.stored_values = a.storage();
  return *this;
}

SparseIndex &SparseIndex::compute_at(const Definition &producer, VarOrRVar loop, Location where) {
  IndexNode &index = checked(node_, "compute_at", where);
  const std::vector<Expr> predicates = own_predicates(index);
  const bool read = any_node(predicates, [&](const Expr &node) {
    const Call *call = node.as<Call>();
    return call && call->func == producer.func().get();
  });
  if (!predicates.empty() && !read) {
    throw CompileError(describe(index) + ": compute_at(" + producer.func()->name + ", ...): the predicate " +
                           list(predicates) + " does not read " + producer.func()->name +
                           "; an index is marked in the tile of a Func that its predicate reads", where);
  }
  if (!loop.defined()) {
    throw CompileError(describe(index) + ": compute_at needs a loop of " + producer.func()->name, where);
  }
  index.mark_func = producer.func();
  index.mark_loop = loop.node();
  return *this;
}

SparseIndex &SparseIndex::given(const TensorParam &offsets, const TensorParam &coordinates, Location where) {
  IndexNode &index = checked(node_, "given", where);
  check_integer_list(index, offsets, "offsets", where);
  check_integer_list(index, coordinates, "coordinates", where);
  index.given_offsets = offsets.storage();
  index.given_coordinates = coordinates.storage();
  return *this;
}

Expr SparseIndex::density() const {
  checked(node_, "density");
  return Expr(std::make_shared<IndexQuery>(float32, IndexQueryKind::Density, node_, std::vector<Expr>{}));
}

Expr SparseIndex::count() const {
  checked(node_, "count");
  return Expr(std::make_shared<IndexQuery>(int64, IndexQueryKind::Count, node_, std::vector<Expr>{}));
}

Expr SparseIndex::position(std::vector<Expr> coordinates) const {
  const IndexNode &index = checked(node_, "position");
  if (coordinates.empty()) {
    throw CompileError(describe(index) + ": position() needs the group coordinates, then the axis coordinate",
                       Location::current());
  }
  for (const Expr &coordinate : coordinates) {
    if (!coordinate.type().is_integral()) {
      throw CompileError(describe(index) + ": position(): the coordinate " + to_string(coordinate) + " has type " +
                             pit::to_string(coordinate.type()) + "; coordinates are integers", coordinate.where());
    }
  }
  return Expr(std::make_shared<IndexQuery>(int64, IndexQueryKind::Position, node_, std::move(coordinates)));
}

}  // namespace pit
