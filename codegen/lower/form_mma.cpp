#include "form_mma.h"

#include <algorithm>
#include <set>

#include "codegen/ir/mutator.h"
#include "dsl/error.h"
#include "interval.h"

namespace pit::lower {
namespace {

using ir::Stmt;

bool contains(const std::vector<VarPtr> &list, const VarPtr &v) {
  return std::find(list.begin(), list.end(), v) != list.end();
}

class FormMma final : public ir::Mutator {
 public:
  FormMma(const SumChoices &choices, bool host_sizes, ProductChoices *products)
      : choices_(choices), host_sizes_(host_sizes), products_(*products) {}

  /// Every sum that names an atom has become an Mma somewhere.
  void check_atoms() const {
    for (const auto &[store, why] : left_) {
      const SumChoice &choice = choices_.at(store);
      if (made_.contains(choice.definition)) continue;
      throw CompileError(
          choice.definition + ".atom(\"" + choice.atom +
              "\"): an atom multiplies matrices, and this sum is no product of them here: " + why,
          choice.where);
    }
  }

 private:
  /// Sums that name an atom, and why they are no Mma.
  std::map<const ir::Store *, std::string> left_;
  std::set<std::string> made_;  ///< definitions that name an atom and have an Mma

  /// The sum stays as it is.
  Stmt leave(const ir::Store &store, const Stmt &self, const std::string &why) {
    const auto choice = choices_.find(&store);
    if (choice != choices_.end() && !choice->second.atom.empty()) left_.emplace(&store, why);
    return self;
  }

  const SumChoices &choices_;
  const bool host_sizes_;
  ProductChoices &products_;
  using Mutator::visit;
  std::vector<ir::AxisBinding> axes_;

  /// An operand tile of the Mma just formed, which the next statement of the block may use again.
  struct Operand {
    Expr value;
    ir::TileOperand tile;
  };
  std::vector<Operand> reusable_;
  std::vector<Stmt> formed_;  ///< statements of the last Mma, inside the allocations of its tiles
  std::vector<std::pair<StoragePtr, std::vector<VarPtr>>> formed_tiles_;
  bool has_formed_ = false;

  /// Neighbouring sums in a block share the operands that they have in common: one gather, several
  /// accumulators.
  Stmt visit(const ir::Block &block, const Stmt &) override {
    std::vector<Stmt> result;
    for (const Stmt &child : block.stmts) {
      const bool sum = child.as<ir::Store>() && child.as<ir::Store>()->combiner == Combiner::Sum;
      if (!sum) flush(&result);
      in_block_ = sum;
      const Stmt rebuilt = mutate(child);
      in_block_ = false;
      if (sum && has_new_) {
        has_new_ = false;
        continue;  // kept in formed_
      }
      flush(&result);
      result.push_back(rebuilt);
    }
    flush(&result);
    return ir::make_block(result);
  }
  bool in_block_ = false, has_new_ = false;

  void flush(std::vector<Stmt> *result) {
    if (has_formed_) result->push_back(with_tiles(ir::make_block(formed_), formed_tiles_));
    formed_.clear();
    formed_tiles_.clear();
    reusable_.clear();
    has_formed_ = false;
  }

  Stmt with_tiles(Stmt body,
                  const std::vector<std::pair<StoragePtr, std::vector<VarPtr>>> &tiles) const {
    for (auto it = tiles.rbegin(); it != tiles.rend(); ++it) {
      std::vector<Expr> extents;
      for (const VarPtr &v : it->second) extents.push_back(allocation_extent(v));
      body = ir::make<ir::Allocate>(it->first, extents, body);
    }
    return body;
  }

  Stmt visit(const ir::Axes &node, const Stmt &self) override {
    const std::size_t before = axes_.size();
    axes_.insert(axes_.end(), node.axes.begin(), node.axes.end());
    Stmt result = Mutator::visit(node, self);
    axes_.resize(before);
    return result;
  }

  const ir::AxisBinding &binding(const VarPtr &v) const {
    return *std::find_if(axes_.rbegin(), axes_.rend(),
                         [&](const ir::AxisBinding &a) { return a.var == v; });
  }

  Expr allocation_extent(const VarPtr &v) const {
    const ir::AxisBinding &axis = binding(v);
    return axis.maximum > 0 ? make_int(int64, axis.maximum) : axis.extent;
  }

  std::vector<VarPtr> axes_of(const Expr &e, const ir::Store &store) const {
    std::vector<VarPtr> used;
    for (const VarPtr &v : store.axes) {
      if (uses(e, v)) used.push_back(v);
    }
    return used;
  }

  static void flatten(const Expr &e, std::vector<Expr> *factors) {
    const Binary *b = e.as<Binary>();
    if (b && b->op == BinaryOp::Mul) {
      flatten(b->a, factors);
      flatten(b->b, factors);
    } else {
      factors->push_back(e);
    }
  }

  static Expr product(const std::vector<Expr> &factors) {
    Expr result;
    for (const Expr &f : factors) result = result.defined() ? result * f : f;
    return result;
  }

  Stmt visit(const ir::Store &store, const Stmt &self) override {
    if (store.combiner != Combiner::Sum) return self;
    if (store.axes.empty())
      return leave(
          store, self,
          "it runs one element at a time; tile its loops (pit_tile, compute_at) or vectorize them");
    const auto choice = choices_.find(&store);
    if (choice != choices_.end() && choice->second.strict && !store.guards.empty()) {
      return leave(store, self, "strict() leaves terms out, which a matrix product adds as zeros");
    }
    // Axes that the element determines, and those that are summed over.
    std::vector<VarPtr> kept, summed;
    for (const VarPtr &v : store.axes) {
      const bool in_index = std::any_of(store.indices.begin(), store.indices.end(),
                                        [&](const Expr &i) { return uses(i, v); });
      (in_index ? kept : summed).push_back(v);
    }
    if (host_sizes_) {
      for (const VarPtr &v : store.axes) {
        if (binding(v).maximum == 0 && reads_data(binding(v).extent)) {
          return leave(store, self,
                       "the extent of " + v->name +
                           " is data, and only the device would know the size of its tiles");
        }
      }
    }
    if (summed.empty())
      return leave(store, self, "no loop that it sums over is a dimension of its tile");
    if (kept.empty())
      return leave(store, self, "no loop of its element is a dimension of its tile");
    std::vector<Expr> factors;
    flatten(store.value, &factors);
    if (factors.size() < 2)
      return leave(store, self, "its value is no product, but " + to_string(store.value));
    return split(store, self, kept, summed, factors);
  }

  /// Factors with row axes on one side, those with column axes on the other: the first factor that
  /// holds a summed axis seeds the left side; factors whose axes lie within a side join it.
  Stmt split(const ir::Store &store, const Stmt &self, const std::vector<VarPtr> &kept,
             const std::vector<VarPtr> &summed, const std::vector<Expr> &factors) {
    auto mixed = [&] {
      return leave(store, self,
                   "in " + to_string(store.value) +
                       " no two factors hold rows and columns apart and share the summed loops");
    };
    std::vector<Expr> left, right, rest;
    std::vector<VarPtr> left_axes, right_axes;
    auto join = [&](const Expr &f, std::vector<Expr> *side, std::vector<VarPtr> *axes) {
      side->push_back(f);
      for (const VarPtr &v : axes_of(f, store)) {
        if (!contains(*axes, v)) axes->push_back(v);
      }
    };
    for (const Expr &f : factors) {
      const std::vector<VarPtr> here = axes_of(f, store);
      const bool sums = std::any_of(here.begin(), here.end(),
                                    [&](const VarPtr &v) { return contains(summed, v); });
      if (!sums)
        rest.push_back(f);
      else if (left.empty())
        join(f, &left, &left_axes);
      else if (within(here, left_axes))
        join(f, &left, &left_axes);
      else if (right.empty() || within(here, right_axes) || within(right_axes, here))
        join(f, &right, &right_axes);
      else
        return mixed();
    }
    if (right.empty()) return mixed();
    for (const Expr &f : rest) {
      const std::vector<VarPtr> here = axes_of(f, store);
      if (within(here, left_axes))
        join(f, &left, &left_axes);
      else if (within(here, right_axes))
        join(f, &right, &right_axes);
      else
        return mixed();
    }
    for (const VarPtr &v : summed) {
      if (!contains(left_axes, v) || !contains(right_axes, v)) return mixed();
    }
    std::vector<VarPtr> m, n, batch;
    for (const VarPtr &v : kept) {
      const bool l = contains(left_axes, v), r = contains(right_axes, v);
      if (l && r)
        batch.push_back(v);
      else if (l)
        m.push_back(v);
      else if (r)
        n.push_back(v);
      else
        return mixed();
    }
    if (m.empty() && n.empty()) return mixed();
    if (host_sizes_ && (m.empty() || n.empty())) {
      return leave(store, self,
                   "a matrix times a vector uses each element once: threads read it where it lies");
    }
    // The operand with the outer kept axes is the left one.
    if (m.empty() || (!n.empty() && position(kept, n[0]) < position(kept, m[0]))) {
      std::swap(m, n);
      std::swap(left, right);
      std::swap(left_axes, right_axes);
    }
    if (!place_guards(store.guards, &left, left_axes, &right, right_axes)) {
      return leave(store, self, "a predicate varies with rows and columns together");
    }
    if (const auto choice = choices_.find(&store); choice != choices_.end())
      made_.insert(choice->second.definition);
    return build(store, batch, m, n, summed, left, right);
  }

  static std::size_t position(const std::vector<VarPtr> &list, const VarPtr &v) {
    return static_cast<std::size_t>(std::find(list.begin(), list.end(), v) - list.begin());
  }

  static bool within(const std::vector<VarPtr> &inner, const std::vector<VarPtr> &outer) {
    return std::all_of(inner.begin(), inner.end(),
                       [&](const VarPtr &v) { return contains(outer, v); });
  }

  /// Every guard masks every operand that holds all its axes.
  bool place_guards(const std::vector<Expr> &guards, std::vector<Expr> *left,
                    const std::vector<VarPtr> &left_axes, std::vector<Expr> *right,
                    const std::vector<VarPtr> &right_axes) {
    Expr of_left, of_right;
    for (const Expr &guard : guards) {
      std::vector<VarPtr> axes;
      for (const VarPtr &v : free_variables(guard)) {
        if (v->role == VarRole::Axis) axes.push_back(v);
      }
      bool placed = false;
      if (within(axes, left_axes)) {
        of_left = of_left.defined() ? of_left && guard : guard;
        placed = true;
      }
      if (within(axes, right_axes)) {
        of_right = of_right.defined() ? of_right && guard : guard;
        placed = true;
      }
      if (!placed) return false;
    }
    auto mask = [](std::vector<Expr> *side, const Expr &guard) {
      if (!guard.defined()) return;
      const Expr value = product(*side);
      *side = {narrow(value, [&](const Expr &e) { return select(guard, e, make_zero(e.type())); })};
    };
    mask(left, of_left);
    mask(right, of_right);
    return true;
  }

  /// Applies f below a widening cast, so that the cast stays outermost.
  template <class F>
  static Expr narrow(const Expr &e, const F &f) {
    const Cast *c = e.as<Cast>();
    if (c && widens(c->a.type(), c->type)) return cast(c->type, f(c->a));
    return f(e);
  }

  static bool widens(Type from, Type to) {
    if (from.is_float() && to.is_float()) return from.bits < to.bits;
    return from.is_integral() && to.is_integral() && from.bits < to.bits &&
           (from.is_uint() || to.is_int());
  }

  Stmt build(const ir::Store &store, const std::vector<VarPtr> &batch, const std::vector<VarPtr> &m,
             const std::vector<VarPtr> &n, const std::vector<VarPtr> &k,
             const std::vector<Expr> &left, const std::vector<Expr> &right) {
    std::vector<VarPtr> a_axes = batch, b_axes = batch, c_axes = batch;
    a_axes.insert(a_axes.end(), m.begin(), m.end());
    a_axes.insert(a_axes.end(), k.begin(), k.end());
    b_axes.insert(b_axes.end(), k.begin(), k.end());
    b_axes.insert(b_axes.end(), n.begin(), n.end());
    c_axes.insert(c_axes.end(), m.begin(), m.end());
    c_axes.insert(c_axes.end(), n.begin(), n.end());
    std::vector<Stmt> stmts;
    std::vector<std::pair<StoragePtr, std::vector<VarPtr>>> tiles;
    auto operand = [&](const std::vector<Expr> &factors, const std::vector<VarPtr> &axes,
                       const char *name) {
      Expr value = product(factors);
      if (const Cast *c = value.as<Cast>(); c && widens(c->a.type(), c->type)) value = c->a;
      for (const Operand &known : reusable_) {
        if (in_block_ && known.tile.axes == axes && equal(known.value, value)) return known.tile;
      }
      const StoragePtr tile = ir::make_storage(operand_name(value, name), value.type(),
                                               static_cast<int>(axes.size()), Space::Tile);
      tiles.push_back({tile, axes});
      stmts.push_back(ir::make<ir::Store>(axes, std::vector<Expr>{}, tile, plain(axes),
                                          Combiner::Assign, value, false, store.vector_bytes));
      const ir::TileOperand made{tile, axes};
      if (in_block_) reusable_.push_back({value, made});
      return made;
    };
    const ir::TileOperand a = operand(left, a_axes, "left"), b = operand(right, b_axes, "right");
    ir::TileOperand accumulator{store.storage, {}};
    const bool direct = store.storage->space == Space::Tile && is_plain(store.indices, c_axes);
    if (direct) {
      for (const Expr &index : store.indices) accumulator.axes.push_back(index.as<Variable>()->var);
    } else {
      accumulator = {ir::make_storage(store.storage->name + ".partial", store.storage->type,
                                      static_cast<int>(c_axes.size()), Space::Tile),
                     c_axes};
      tiles.push_back({accumulator.tile, c_axes});
      stmts.push_back(ir::make<ir::Store>(c_axes, std::vector<Expr>{}, accumulator.tile,
                                          plain(c_axes), Combiner::Assign,
                                          make_zero(store.storage->type)));
    }
    const auto choice = choices_.find(&store);
    if (choice != choices_.end()) products_.emplace(a.tile, choice->second);
    stmts.push_back(ir::make<ir::Mma>(batch, m, n, k, accumulator, a, b,
                                      choice == choices_.end() ? "" : choice->second.atom));
    if (!direct) {
      // Guards over kept axes alone still say which elements may be touched.
      std::vector<Expr> guards;
      for (const Expr &guard : store.guards) {
        bool over_kept = true;
        for (const VarPtr &v : free_variables(guard))
          over_kept &= v->role != VarRole::Axis || contains(c_axes, v);
        if (over_kept) guards.push_back(guard);
      }
      stmts.push_back(ir::make<ir::Store>(c_axes, guards, store.storage, store.indices,
                                          Combiner::Sum, make_load(accumulator.tile, plain(c_axes)),
                                          store.atomic, store.vector_bytes));
    }
    std::erase_if(reusable_,
                  [&](const Operand &known) { return reads(known.value, store.storage); });
    if (!in_block_) return with_tiles(ir::make_block(stmts), tiles);
    formed_.insert(formed_.end(), stmts.begin(), stmts.end());
    formed_tiles_.insert(formed_tiles_.end(), tiles.begin(), tiles.end());
    has_formed_ = has_new_ = true;
    return {};
  }

  static bool reads(const Expr &value, const StoragePtr &storage) {
    bool found = false;
    walk(value, [&](const Expr &node) {
      const Load *load = node.as<Load>();
      found |= load && load->storage == storage;
      return !found;
    });
    return found;
  }

  /// An operand is named after the tensor that it holds.
  static std::string operand_name(const Expr &value, const char *fallback) {
    Expr e = value;
    if (const Select *s = e.as<Select>()) e = s->true_value;
    const Load *load = e.as<Load>();
    return load ? load->storage->name + ".tile" : std::string(fallback);
  }

  static std::vector<Expr> plain(const std::vector<VarPtr> &axes) {
    std::vector<Expr> indices;
    for (const VarPtr &v : axes) indices.push_back(make_variable(v));
    return indices;
  }

  static bool is_plain(const std::vector<Expr> &indices, const std::vector<VarPtr> &axes) {
    if (indices.size() != axes.size()) return false;
    std::vector<VarPtr> seen;
    for (const Expr &index : indices) {
      const Variable *v = index.as<Variable>();
      if (!v || !contains(axes, v->var) || contains(seen, v->var)) return false;
      seen.push_back(v->var);
    }
    return true;
  }
};

}  // namespace

ir::Module form_mma(const ir::Module &module, const SumChoices &choices, bool host_sizes,
                    ProductChoices *products) {
  ir::Module result = module;
  FormMma form(choices, host_sizes, products);
  result.body = form(module.body);
  form.check_atoms();
  return result;
}

}  // namespace pit::lower
