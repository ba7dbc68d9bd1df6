// Schedules as values: the directives that fluent calls record, sparse indices, and their text
// form.
//
// A schedule says how, never what: applying any legal schedule leaves the result unchanged.
#pragma once

#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "expr.h"

namespace pit {

class TensorParam;
class Definition;
class Pipeline;

/// A loop of a definition: a Var, an RVar, or a one-dimensional RDom.
class VarOrRVar {
 public:
  VarOrRVar() = default;
  VarOrRVar(const Var &v);   // NOLINT: implicit by design
  VarOrRVar(const RVar &v);  // NOLINT
  VarOrRVar(const RDom &r, std::source_location where = std::source_location::current());  // NOLINT
  explicit VarOrRVar(VarPtr n) : node_(std::move(n)) {}
  bool defined() const { return node_ != nullptr; }
  const VarPtr &node() const { return node_; }
  const std::string &name() const { return node_->name; }

 private:
  VarPtr node_;
};

/// Extents by variable: {{m, 128}, {k, 1}}.
using Extents = std::vector<std::pair<VarOrRVar, std::int64_t>>;

/// Identity and settings of a sparse index. Owned by SparseIndex handles and the directives that
/// name it.
struct IndexNode {
  std::string name;              ///< unique in a schedule; "live", or made up from the Func's name
  std::weak_ptr<FuncNode> func;  ///< the definition whose iterations it lists
  int definition = 0;
  VarPtr axis;
  Expr group;  ///< explicit group key; undefined: the other Vars that p reads
  std::vector<std::pair<VarPtr, std::int64_t>> micro;

  bool ordered = true;       ///< coordinates ascend within a group
  Expr capacity;             ///< of the coordinate list, in entries; undefined: the worst case
  std::int64_t align = 1;    ///< every group's list is padded to a multiple of this many entries
  StoragePtr stored_values;  ///< store_values(A)
  std::weak_ptr<FuncNode> mark_func;  ///< compute_at(F, v): marked in F's tile
  VarPtr mark_loop;
  StoragePtr given_offsets, given_coordinates;  ///< given(...): supplied by the caller, not built
  IndexPtr origin{};  ///< In a Schedule, whose nodes are copies: the node that handles and
                      ///< IndexQuery expressions hold.
  std::source_location where{};
};

/// The node that stands for an index wherever it is compared: its origin, or itself. A Schedule
/// holds copies of index nodes, expressions hold the originals.
inline const IndexNode *identity_of(const IndexPtr &index) {
  return index && index->origin ? index->origin.get() : index.get();
}

/// A sparse index as a value: per group, the list of active positions on the PIT axis, built at run
/// time. Copies are handles on one index.
class SparseIndex {
 public:
  using Location = std::source_location;
  SparseIndex() = default;
  explicit SparseIndex(IndexPtr node) : node_(std::move(node)) {}

  /// The name in dumps, errors and saved schedules; distinct in a pipeline.
  SparseIndex &named(std::string name, Location where = Location::current());
  /// Entries may come in any order within a group. A permission, not a demand: on a GPU blocks take
  /// places as they come, so that none waits for another, unless the result of the call shows the
  /// order; elsewhere lists ascend (or are the caller's). Pipeline::explain says of each index
  /// which, and why.
  SparseIndex &unordered(Location where = Location::current());
  /// Room for `n` entries in all groups together; more is a RuntimeError at the call and outputs
  /// stay untouched.
  SparseIndex &capacity(const Expr &n, Location where = Location::current());
  /// Pads every group's list to a multiple of `entries`.
  SparseIndex &align(std::int64_t entries, Location where = Location::current());
  /// The build also stores the kept values of A, packed in tile order. The predicate must read A.
  SparseIndex &store_values(const TensorParam &a, Location where = Location::current());
  /// Marks the index in the tile of the Func that the predicate reads; its tile must cover whole
  /// micro-tiles.
  SparseIndex &compute_at(const Definition &producer, VarOrRVar loop,
                          Location where = Location::current());
  /// The lists are inputs: offsets (rank 1, groups + 1 entries, first 0) and coordinates (rank 1),
  /// tested at the call unless the target has the feature no_asserts.
  SparseIndex &given(const TensorParam &offsets, const TensorParam &coordinates,
                     Location where = Location::current());

  Expr density(
      Location where = Location::current()) const;  ///< kept micro-tiles / all micro-tiles, float32
  Expr count(Location where = Location::current()) const;  ///< kept micro-tiles, int64
  /// Place of a coordinate in the lists or -1: args = group coordinates, then the axis coordinate
  /// (in micro-tiles).
  Expr position(std::vector<Expr> coordinates, Location where = Location::current()) const;

  bool defined() const { return node_ != nullptr; }
  const IndexPtr &node() const { return node_; }

 private:
  IndexPtr node_;
};

/// What an index lists. See Definition::index.
struct IndexSpec {
  VarOrRVar axis;
  Expr group{};
  Extents micro{};
};

/// A PIT rule. Designated initialisers follow this order.
struct PitTile {
  VarOrRVar axis{};
  Expr group{};
  Extents micro{};
  Extents dense{};
  SparseIndex index{};
};

/// Warp roles on a GPU; no meaning on a CPU.
struct Roles {
  int producer_warps = 4, consumer_warpgroups = 2;
};

/// How a gathered operand comes in. `vector_bytes`: width of one copy.
struct ReadOptions {
  int vector_bytes = 16;
};
/// How a scattered result goes out.
struct WriteOptions {
  int vector_bytes = 16;
};

/// Order in which the tiles of a definition are visited. LongestFirst: row by row, rows with longer
/// lists before those with shorter ones, so that what blocks take last is short.
enum class TileOrder : std::uint8_t { RowMajor, ColumnMajor, Swizzled, LongestFirst };

enum class DirectiveKind : std::uint8_t {
  Index,  // declares an index
  PitTile,
  SRead,
  SWrite,
  Split,
  Tile,
  Fuse,
  Reorder,
  Vectorize,
  Unroll,
  Parallel,
  GpuBlocks,
  GpuThreads,
  SoftwarePipeline,
  WarpSpecialize,
  Cluster,
  Persistent,
  TileOrder,
  SplitReduction,
  Atom,
  Atomic,
  Strict,
  Specialize,
  ComputeWith,
  Bound,
  ComputeAt,
  ComputeRoot,
  ComputeInline,
  StoreCompact,
  ReorderStorage
};

/// The name of the call: "pit_tile", "gpu_blocks", ...
std::string to_string(DirectiveKind kind);

// clang-format off
/// One directive. Which fields are used depends on the kind; unused ones stay empty:
///
///   Index                    index
///   PitTile                  vars {tile}, dense, index, index_named
///   SRead                    tensor, or other (a Func); ints {vector_bytes}
///   SWrite                   other; ints {vector_bytes}
///   Split                    vars {v, outer, inner}, ints {factor}
///   Tile                     vars {x, y, xo, yo, xi, yi}, ints {x_factor, y_factor}
///   Fuse                     vars {outer, inner, fused}
///   Reorder, ReorderStorage  vars {order...}
///   Vectorize, Unroll        vars {v}, ints {} or {factor}
///   Parallel                 vars {v}
///   GpuBlocks, GpuThreads    vars {a[, b[, c]]}
///   SoftwarePipeline         vars {loop}, ints {stages}
///   WarpSpecialize           ints {producer_warps, consumer_warpgroups}
///   Cluster                  dense (the shape)
///   TileOrder                ints {the enumerator}
///   SplitReduction           vars {loop}, ints {parts}
///   Atom                     text
///   Specialize               exprs {condition}, ints {n}: it is the definition's n-th, from 1
///   ComputeWith, ComputeAt   other, other_definition, vars {loop}
///   Bound                    vars {v}, exprs {min, extent}
///   StoreCompact             index
///   Persistent, Atomic, Strict, ComputeRoot, ComputeInline: nothing
// clang-format on
struct Directive {
  DirectiveKind kind{};
  std::weak_ptr<FuncNode> func;  ///< the Func it is said of
  int definition = 0;            ///< 0 = pure, i + 1 = update(i)
  int specialization =
      0;  ///< 0 = general case (always so for Specialize), n = the n-th specialize()
  std::vector<VarPtr>
      vars;  ///< loops, in the order of the call. PitTile: {tile}. Split: {v, outer, inner}
  std::vector<std::int64_t> ints;  ///< factors, stages, parts, roles, vector bytes, order ...
  std::vector<Expr> exprs;         ///< Bound: {min, extent}; Specialize: {condition}
  std::vector<std::pair<VarPtr, std::int64_t>> dense;  ///< PitTile: dense; Cluster: shape
  IndexPtr index;  ///< Index, PitTile (always present there, made up if not named), StoreCompact
  bool index_named = false;       ///< PitTile: .index was given, rather than axis/group/micro
  std::weak_ptr<FuncNode> other;  ///< ComputeAt/ComputeWith: the consumer; SRead/SWrite of a Func
  int other_definition = 0;
  StoragePtr tensor;  ///< SRead of a tensor
  std::string text;   ///< Atom: its name
  std::source_location where{};
};

/// All directives of a pipeline, in the order they apply. Its indices are copies: to change one,
/// put a changed copy in its place in every directive that names it. It does not keep its Funcs
/// alive. A value: comparing, printing and parsing are by text, one directive a line, e.g.
///     live = C.update(0).index(axis=k, micro={m:128, k:1}).store_values(A)
///     Out.tile(m, n, mo, no, mi, ni, 128, 256)
///     C.update(0).pit_tile(kt, dense={k:64}, index=live)
class Schedule {
 public:
  std::vector<Directive> directives;

  std::string to_string() const;
  bool operator==(const Schedule &other) const { return to_string() == other.to_string(); }

  /// Inverse of to_string for the Funcs, Vars and tensors of `pipeline`; names of loops that
  /// directives make are created. CompileError names the line and what was expected.
  static Schedule parse(const Pipeline &pipeline, const std::string &text,
                        std::source_location where = std::source_location::current());
};

/// Checks everything about a directive that needs no other directive; CompileError with
/// directive.where. Called by every fluent call and by Schedule::parse. `before`: directives
/// already said of the Func.
void check_directive(const Directive &directive, const std::vector<Directive> &before);

/// The part of check_directive about an index's settings (capacity, align, store_values,
/// compute_at, given), which are said after the index is made.
void check_index_settings(const IndexNode &index, std::source_location where);

/// Checks the rules that hold between directives: every directive again in its place, every loop
/// named by compute_at and compute_with exists in the end, index names are distinct. Said by
/// Pipeline::with and before lowering; CompileError with the location of the directive. Legality of
/// the rewrites themselves is dsl/analysis.
void check_schedule(const Schedule &schedule);

}  // namespace pit
