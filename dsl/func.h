// Vars, reduction domains, Funcs and their definitions: the algorithm half of the language.
#pragma once

#include <initializer_list>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "expr.h"
#include "schedule.h"
#include "tensor.h"

namespace pit {

class Target;

/// A pure variable: a dimension of a Func. Two Vars are the same only if copied from one another.
class Var {
 public:
  explicit Var(std::string name = "", std::source_location where = std::source_location::current());
  const std::string &name() const { return node_->name; }
  const VarPtr &node() const { return node_; }
  Var operator()() const = delete;

 private:
  VarPtr node_;
};

/// One dimension of a reduction domain, or (default-constructed with a name) a new loop that a
/// schedule makes of one.
class RVar {
 public:
  explicit RVar(std::string name = "",
                std::source_location where = std::source_location::current());
  explicit RVar(VarPtr node) : node_(std::move(node)) {}
  const std::string &name() const { return node_->name; }
  const VarPtr &node() const { return node_; }

 private:
  VarPtr node_;
};

/// One dimension of an iteration domain: min <= var < min + extent.
struct ReductionDim {
  VarPtr var;
  Expr min, extent;
};

/// Contents of a reduction domain. Shared by the handles of one RDom; frozen by its first use in a
/// definition.
struct RDomNode {
  std::string name;
  std::vector<ReductionDim> dims;
  std::vector<Expr> predicates;  ///< conjuncts, in the order written
  bool frozen = false;
};

/// A reduction domain of 1 to 4 dimensions, outermost first (the last varies fastest).
/// Bounds may read tensors and free Vars: such a domain is a sequence; a box with `where` is a set.
class RDom {
 public:
  using Location = std::source_location;
  RDom(Expr min, Expr extent, std::string name = "", Location where = Location::current());
  RDom(Expr min0, Expr extent0, Expr min1, Expr extent1, std::string name = "",
       Location where = Location::current());
  RDom(Expr min0, Expr extent0, Expr min1, Expr extent1, Expr min2, Expr extent2,
       std::string name = "", Location where = Location::current());
  RDom(Expr min0, Expr extent0, Expr min1, Expr extent1, Expr min2, Expr extent2, Expr min3,
       Expr extent3, std::string name = "", Location where = Location::current());

  /// Keeps the iterations for which `predicate` holds. Several calls are a conjunction, tested in
  /// order; a && b is two factors. The predicate may read tensors, Funcs and free Vars.
  /// CompileError when the domain is already used by a definition.
  RDom &where(const Expr &predicate, Location where = Location::current());

  RVar operator[](int dimension) const;
  int dimensions() const;
  operator RVar() const { return x; }  // NOLINT: a one-dimensional domain stands for its variable
  const std::shared_ptr<RDomNode> &node() const { return node_; }

 private:
  std::shared_ptr<RDomNode> node_;
  void initialise(std::vector<Expr> bounds, std::string name, Location where);

 public:
  RVar x, y, z, w;  ///< the dimensions, outermost first; those beyond the rank are unusable
};

/// csr(rowptr, colidx, m): the sequence rowptr(m) <= p < rowptr(m+1); column(p) = colidx(p).
/// Returns a one-dimensional RDom over p; write `Expr column = colidx(p)` for the column.
RDom csr(const TensorParam &rowptr, const TensorParam &colidx, const Expr &row,
         std::string name = "", std::source_location where = std::source_location::current());

/// A fixed number of values.
class Tuple {
 public:
  Tuple(std::initializer_list<Expr> values) : values_(values) {}
  explicit Tuple(std::vector<Expr> values) : values_(std::move(values)) {}
  template <class... E>
    requires(sizeof...(E) >= 2 && (std::is_convertible_v<E, Expr> && ...))
  explicit Tuple(const E &...values) : values_{Expr(values)...} {}
  const Expr &operator[](std::size_t i) const;  ///< CompileError when there is no such component
  std::size_t size() const { return values_.size(); }
  const std::vector<Expr> &values() const { return values_; }

 private:
  std::vector<Expr> values_;
};

/// The contribution of one key to a softmax-weighted sum; see softmax_term.
struct SoftmaxTerm {
  Expr score, value;
};

/// The combiner of an update. Assign is a plain store (`F(x) = e`).
/// Softmax: state (max, sum, weighted), all float32, from DefinitionData::values {score, value}:
///   m' = max(m, score); sum' = sum * exp(m - m') + exp(score - m'); weighted' = weighted * exp(m -
///   m') + float32(T(exp(score - m'))) * float32(value), with T the value's type.
/// TopK: DefinitionData::values {key}; the last argument of the Func is the slot; see top_k.
enum class Combiner : std::uint8_t { Assign, Sum, Product, Min, Max, And, Or, Softmax, TopK };

/// A value of this type may be weighted by a softmax.
bool is_softmax_value(Type type);
/// True for every combiner that is associative and commutative (all but Assign).
bool is_permutable(Combiner combiner);
/// The value that leaves an accumulator unchanged (Min/Max: the type's largest/smallest, infinities
/// for floats).
Expr identity_of(Combiner combiner, Type type);
/// a combined with b; not for Assign, Softmax, TopK.
Expr combine(Combiner combiner, const Expr &a, const Expr &b);
std::string to_string(Combiner combiner);  ///< "+=", "*=", "min=", ...

/// One pure or update definition.
struct DefinitionData {
  std::vector<Expr> args;    ///< left-hand side; for the pure definition the Func's own Vars
  std::vector<Expr> values;  ///< one per component (Softmax, TopK: see Combiner)
  Combiner combiner = Combiner::Assign;
  std::vector<ReductionDim> domain;  ///< the product of the definition's RDoms, outermost first
  std::vector<Expr> predicates;  ///< conjuncts of the RDoms, in order (Func::where is in FuncNode)
  bool implicit = false;         ///< a pure definition made from the combiner's identity
  std::source_location where{};
};

/// Contents of a Func.
struct FuncNode : std::enable_shared_from_this<FuncNode> {
  std::string name;
  std::vector<VarPtr> args;                 ///< the Vars of the pure definition
  std::vector<Type> types;                  ///< one per component
  std::vector<DefinitionData> definitions;  ///< [0] is the pure one; empty while undefined
  std::vector<Expr> predicates;             ///< Func::where
  std::vector<Directive> directives;        ///< what fluent calls have said, in order
  bool inline_reduction = false;            ///< made by sum(), top_k(), segment(), ...
  StoragePtr segment_offsets{};  ///< made by segment(offsets, p): its value needs no reduction
  std::source_location where{};

  bool is_pure() const { return definitions.size() == 1; }
};

/// A handle on one definition: where schedules are written. Cheap to copy.
/// Every directive checks what can be checked locally, throws CompileError with the caller's
/// location, and is recorded in the Func, from where Pipeline::schedule() collects it.
class Definition {
 public:
  using Location = std::source_location;
  Definition(FuncPtr func, int definition, int specialization = 0)
      : func_(std::move(func)), definition_(definition), specialization_(specialization) {}

  /// The sparse index of this definition along `spec.axis`: what pit_tile builds when it is not
  /// named.
  SparseIndex index(IndexSpec spec, Location where = Location::current());

  /// before   for other Vars: for a in domain: if p: body
  /// after    for g: list[g] = micro-tiles of g in which any iteration passes p
  ///          for g: for tile: for i < T: a = coord[g][tile*T + i]; if p: body
  /// Legal when spec.axis is a PIT axis of the definition (see pit_axes) and the accesses are
  /// separable.
  Definition &pit_tile(const Var &tile, PitTile spec, Location where = Location::current());
  Definition &pit_tile(PitTile spec, Location where = Location::current());

  /// How the gathered operand X comes in, at the loop of the tile. X's access must hold the PIT
  /// axis.
  Definition &sread(const TensorParam &x, ReadOptions options = {},
                    Location where = Location::current());
  Definition &sread(const Func &x, ReadOptions options = {}, Location where = Location::current());
  /// How the scattered result goes out. The left-hand side must hold the PIT axis.
  Definition &swrite(const Func &y, WriteOptions options = {},
                     Location where = Location::current());

  /// for v in [0, n)  ->  for outer in [0, ceil(n / factor)): for inner in [0, factor): v = outer *
  /// factor + inner, if v < n
  Definition &split(VarOrRVar v, VarOrRVar outer, VarOrRVar inner, std::int64_t factor,
                    Location where = Location::current());
  /// split of both, then reorder(xo, yo, xi, yi); outermost first.
  Definition &tile(VarOrRVar x, VarOrRVar y, VarOrRVar xo, VarOrRVar yo, VarOrRVar xi, VarOrRVar yi,
                   std::int64_t x_factor, std::int64_t y_factor,
                   Location where = Location::current());
  /// for outer: for inner  ->  for fused in [0, n_outer * n_inner). Outermost first.
  Definition &fuse(VarOrRVar outer, VarOrRVar inner, VarOrRVar fused,
                   Location where = Location::current());
  /// The named loops take each other's places so that they nest in this order, outermost first.
  Definition &reorder(std::vector<VarOrRVar> order, Location where = Location::current());
  Definition &reorder(VarOrRVar a, VarOrRVar b, Location where = Location::current());
  Definition &reorder(VarOrRVar a, VarOrRVar b, VarOrRVar c, Location where = Location::current());
  Definition &reorder(VarOrRVar a, VarOrRVar b, VarOrRVar c, VarOrRVar d,
                      Location where = Location::current());
  Definition &reorder(VarOrRVar a, VarOrRVar b, VarOrRVar c, VarOrRVar d, VarOrRVar e,
                      Location where = Location::current());
  Definition &reorder(VarOrRVar a, VarOrRVar b, VarOrRVar c, VarOrRVar d, VarOrRVar e, VarOrRVar f,
                      Location where = Location::current());

  Definition &vectorize(VarOrRVar v, Location where = Location::current());
  Definition &vectorize(VarOrRVar v, std::int64_t width, Location where = Location::current());
  Definition &unroll(VarOrRVar v, Location where = Location::current());
  Definition &unroll(VarOrRVar v, std::int64_t factor, Location where = Location::current());
  Definition &parallel(VarOrRVar v, Location where = Location::current());
  Definition &gpu_blocks(VarOrRVar a, Location where = Location::current());
  Definition &gpu_blocks(VarOrRVar a, VarOrRVar b, Location where = Location::current());
  Definition &gpu_blocks(VarOrRVar a, VarOrRVar b, VarOrRVar c,
                         Location where = Location::current());
  Definition &gpu_threads(VarOrRVar a, Location where = Location::current());
  Definition &gpu_threads(VarOrRVar a, VarOrRVar b, Location where = Location::current());
  Definition &gpu_threads(VarOrRVar a, VarOrRVar b, VarOrRVar c,
                          Location where = Location::current());

  Definition &software_pipeline(VarOrRVar loop, int stages, Location where = Location::current());
  Definition &warp_specialize(Roles roles, Location where = Location::current());
  Definition &cluster(Extents shape, Location where = Location::current());
  Definition &persistent(Location where = Location::current());
  Definition &tile_order(TileOrder order, Location where = Location::current());
  Definition &split_reduction(VarOrRVar loop, int parts, Location where = Location::current());
  /// Choice of the inner kernel by its name in the atom table.
  Definition &atom(std::string name, Location where = Location::current());

  /// Colliding stores may be combined in any order (reduction stores): gives up bit repeatability.
  Definition &atomic(Location where = Location::current());
  /// Masks every operand outside the predicate, so that non-finite values meet no zero.
  Definition &strict(Location where = Location::current());
  /// A copy of this definition's schedule that runs when `condition` holds; directives on the
  /// result are its own.
  Definition specialize(const Expr &condition, Location where = Location::current());
  /// This definition's loops from the outermost to `v` are those of `other`, whose body comes
  /// first.
  Definition &compute_with(const Definition &other, VarOrRVar v,
                           Location where = Location::current());

  const FuncPtr &func() const { return func_; }
  int number() const { return definition_; }
  int specialization() const { return specialization_; }

 protected:
  FuncPtr func_;
  int definition_;
  int specialization_;
  /// A directive of this definition, to be filled in, then checked and kept by `record`.
  Directive directive(DirectiveKind kind, Location where) const;
  void record(Directive directive);
  Definition &record(DirectiveKind kind, std::vector<VarPtr> vars, std::vector<std::int64_t> ints,
                     Location where);
};

/// F(args): a value on the right of a definition, a definition on the left.
class FuncRef {
 public:
  using Location = std::source_location;
  FuncRef(FuncPtr func, std::vector<Expr> args, Location where)
      : func_(std::move(func)), args_(std::move(args)), where_(where) {}

  /// The first `=` is the pure definition (args are distinct Vars), later ones are updates.
  /// F(x) = min(F(x), e) and max, &&, || are recognised as Min, Max, And, Or.
  Definition operator=(const Expr &value);
  Definition operator=(const Tuple &value);
  // NOLINTNEXTLINE(bugprone-unhandled-self-assignment): a definition, no copy.
  Definition operator=(const FuncRef &value) { return *this = Expr(value); }
  /// An undefined Func first gets the pure definition that is the combiner's identity.
  Definition operator+=(const Expr &value);
  Definition operator+=(const Tuple &value);
  Definition operator+=(const SoftmaxTerm &term);
  Definition operator-=(const Expr &value);
  Definition operator*=(const Expr &value);
  Definition operator*=(const Tuple &value);

  /// Component `i` of the value.
  Expr operator[](int i) const;
  std::size_t size() const;
  const FuncPtr &func() const { return func_; }
  const std::vector<Expr> &args() const { return args_; }
  Location where() const { return where_; }

 private:
  FuncPtr func_;
  std::vector<Expr> args_;
  Location where_;
};

/// A stage of a pipeline: a pure definition and any number of updates.
/// As a Definition it stands for its pure definition.
class Func : public Definition {
 public:
  explicit Func(std::string name = "", Location where = Location::current());
  explicit Func(FuncPtr node, Location where = Location::current());

  // Fixed-rank overloads, so that the source location is the user's line.
  FuncRef operator()(Location where = Location::current()) const;
  FuncRef operator()(Expr a, Location where = Location::current()) const;
  FuncRef operator()(Expr a, Expr b, Location where = Location::current()) const;
  FuncRef operator()(Expr a, Expr b, Expr c, Location where = Location::current()) const;
  FuncRef operator()(Expr a, Expr b, Expr c, Expr d, Location where = Location::current()) const;
  FuncRef operator()(Expr a, Expr b, Expr c, Expr d, Expr e,
                     Location where = Location::current()) const;
  FuncRef operator()(Expr a, Expr b, Expr c, Expr d, Expr e, Expr f,
                     Location where = Location::current()) const;
  FuncRef operator()(std::vector<Expr> args, Location where = Location::current()) const;

  /// Update definition `i`, counted from 0.
  Definition update(int i = 0, Location where = Location::current());

  /// Restricts all definitions to the coordinates for which `predicate` (over the Func's Vars)
  /// holds. Outside, the Func has no value and an output keeps the caller's bytes.
  Func &where(const Expr &predicate, Location where = Location::current());

  /// Declares that v covers [min, min + extent): used where it cannot be inferred, checked where it
  /// can.
  Func &bound(const Var &v, const Expr &min, const Expr &extent,
              Location where = Location::current());
  Func &compute_at(const Definition &consumer, VarOrRVar loop,
                   Location where = Location::current());
  Func &compute_root(Location where = Location::current());
  Func &compute_inline(Location where = Location::current());
  /// Keeps the result in the order of `index`: [position][Vars that the index does not cover]
  /// [offsets in the micro-tile, of covered Vars with a micro extent over 1], both in the order of
  /// the Func's arguments.
  Func &store_compact(const SparseIndex &index, Location where = Location::current());
  /// Storage order of the dimensions, outermost first.
  Func &reorder_storage(std::initializer_list<Var> order, Location where = Location::current());

  const std::string &name() const;
  bool defined() const;

  /// What the compiler does with the pipeline whose one output is this Func: Pipeline::explain.
  std::string explain(const Target &target) const;
  std::string explain() const;
};

// --- inline reductions: each makes a hidden Func over the free Vars of its operands ---

Expr sum(const RDom &r, const Expr &e,
         std::source_location where = std::source_location::current());
Expr product(const RDom &r, const Expr &e,
             std::source_location where = std::source_location::current());
Expr minimum(const RDom &r, const Expr &e,
             std::source_location where = std::source_location::current());
Expr maximum(const RDom &r, const Expr &e,
             std::source_location where = std::source_location::current());
/// (value, coordinate int32) of the smallest / largest e over a one-dimensional domain; ties to the
/// lower coordinate.
Tuple argmin(const RDom &r, const Expr &e,
             std::source_location where = std::source_location::current());
Tuple argmax(const RDom &r, const Expr &e,
             std::source_location where = std::source_location::current());
/// (key, coordinate int32) of the slot-th largest key (slot 0 is the largest) over a
/// one-dimensional domain. Ties to the lower coordinate; NaN counts as larger than every number. A
/// slot with no key left gives (the identity of max, -1).
Tuple top_k(const RDom &r, const Expr &key, const Expr &slot,
            std::source_location where = std::source_location::current());

/// P(...) += softmax_term(score, value): one key of a softmax-weighted sum. The score is float32. A
/// weight is rounded to the type of the value, float32, bfloat16 or float16, where it is multiplied
/// by it: cast the value, f32(...), to keep all of the weight; leave it as it is stored where
/// matrix instructions shall multiply. The sum of the weights is of unrounded ones.
SoftmaxTerm softmax_term(const Expr &score, const Expr &value);
/// weighted / sum of the state P(...); 0 for an empty set.
Expr softmax_value(const FuncRef &state);
/// max + log(sum) of the state P(...); -inf for an empty set.
Expr log_sum_exp(const FuncRef &state);
/// sum over r of softmax(score) * value.
Expr softmax_sum(const RDom &r, const Expr &score, const Expr &value,
                 std::source_location where = std::source_location::current());

/// For `.group`: the group of position p in packed rows, the g with offsets(g) <= p < offsets(g +
/// 1). Such a group needs no index: its lists are the ranges themselves. offsets: rank 1, integer,
/// non-decreasing. An ordinary int64 value, the number of g with offsets(g + 1) <= p, of a hidden
/// Func with `segment_offsets` set.
Expr segment(const TensorParam &offsets, const Expr &p);

}  // namespace pit
