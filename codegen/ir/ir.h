// Loop IR and the logical level of the tile IR: one family of statements over the expressions of
// the language.
//
// An *axis* is a loop that has become a dimension of tiles. A statement that lists axes is a tile
// statement: it means the perfect loop nest over those axes (outermost first), and its iterations
// may run in any order or all at once, up to reassociation of its combiner. A statement with no
// axes is a scalar statement, so loop IR is the part of the tile IR without axes, and one printer,
// parser, verifier and interpreter serve both.
//
// A *tile* is a storage of Space::Tile whose indices are axes: `%acc[mi, ni]`. A tile is stored
// whole by one statement and then only read, except accumulators, which statements with a combiner
// update in place. Extents of axes are the *valid* extents: a tile at the edge is smaller, nothing
// is padded at this level. The staged level (memory spaces, roles, barriers, asynchronous copies)
// is further statements over the same tiles: staged.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dsl/expr.h"
#include "dsl/func.h"
#include "layout.h"

namespace pit::ir {

struct StmtNode;

/// Handle of an immutable statement. Null means "nothing".
class Stmt {
 public:
  Stmt() = default;
  explicit Stmt(std::shared_ptr<const StmtNode> n) : node_(std::move(n)) {}
  bool defined() const { return node_ != nullptr; }
  const StmtNode *get() const { return node_.get(); }
  const StmtNode *operator->() const { return node_.get(); }
  bool same_as(const Stmt &other) const { return node_ == other.node_; }
  template <class T>
  const T *as() const;

 private:
  std::shared_ptr<const StmtNode> node_;
};

// Adding a statement = a row here, a struct below, and a case in printer, parser, verifier,
// interpreter, accesses (block_memory.cpp), back ends.
// clang-format off
#define PIT_STATEMENTS(X)                                                    \
  X(Block) X(For) X(Axes) X(Let) X(If) X(Allocate) X(Store) X(Mma) X(Check)  \
  X(IndexPlace) X(IndexSort) X(Prefix) X(Compact) X(SumBefore) X(FetchAdd)   \
  X(Stage) X(Launch)                                                         \
  /* staged: see staged.h */                                                 \
  X(Barriers) X(Arrive) X(Wait) X(Copy) X(Commit) X(Drain) X(Sync) X(Fence)  \
  X(Roles)
// clang-format on

enum class StmtKind : std::uint8_t {
#define PIT_ENUM(name) name,
  PIT_STATEMENTS(PIT_ENUM)
#undef PIT_ENUM
};

struct StmtNode {
  StmtKind kind;

 protected:
  explicit StmtNode(StmtKind k) : kind(k) {}
  ~StmtNode() = default;
};

template <class T>
const T *Stmt::as() const {
  return node_ && node_->kind == T::kKind ? static_cast<const T *>(node_.get()) : nullptr;
}

/// Statements one after the other.
struct Block final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Block;
  std::vector<Stmt> stmts;
  explicit Block(std::vector<Stmt> s) : StmtNode(kKind), stmts(std::move(s)) {}
};

/// Parallel iterations are independent but for atomic stores. GpuBlock and GpuThread loops are
/// Parallel and Serial on a CPU.
enum class ForKind : std::uint8_t { Serial, Parallel, Unrolled, GpuBlock, GpuThread };

/// for var in [min, min + extent). `extent` is evaluated once; not positive means no iteration. var
/// is int64.
struct For final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::For;
  VarPtr var;
  Expr min, extent;
  ForKind loop_kind;
  Stmt body;
  For(VarPtr v, Expr m, Expr e, ForKind k, Stmt b)
      : StmtNode(kKind),
        var(std::move(v)),
        min(std::move(m)),
        extent(std::move(e)),
        loop_kind(k),
        body(std::move(b)) {}
};

/// One axis: var in [0, extent). `maximum` bounds extent statically; 0 = no static bound.
struct AxisBinding {
  VarPtr var;
  Expr extent;
  std::int64_t maximum = 0;
};

/// Makes axes available to the statements of `body`, which then name those that they run over.
/// An extent may not read an axis.
struct Axes final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Axes;
  std::vector<AxisBinding> axes;
  Stmt body;
  Axes(std::vector<AxisBinding> a, Stmt b)
      : StmtNode(kKind), axes(std::move(a)), body(std::move(b)) {}
};

/// var = value in body. value reads no axis.
struct Let final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Let;
  VarPtr var;
  Expr value;
  Stmt body;
  Let(VarPtr v, Expr e, Stmt b)
      : StmtNode(kKind), var(std::move(v)), value(std::move(e)), body(std::move(b)) {}
};

/// condition reads no axis. else_body may be null.
struct If final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::If;
  Expr condition;
  Stmt then_body, else_body;
  If(Expr c, Stmt t, Stmt e = {})
      : StmtNode(kKind),
        condition(std::move(c)),
        then_body(std::move(t)),
        else_body(std::move(e)) {}
};

/// `storage` (Heap or Tile) with these extents exists in body; its contents start undefined
/// (interpreters poison it). A product of extents that is zero or negative is an empty storage. An
/// extent that loads from memory is zero once the call has failed, so that what is sized by the
/// lists of an index that was not built is empty. `placement`: of a tile of the staged level, whose
/// extents are constants.
struct Allocate final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Allocate;
  StoragePtr storage;
  std::vector<Expr> extents;
  Stmt body;
  Placement placement;
  Allocate(StoragePtr s, std::vector<Expr> e, Stmt b, Placement p = {})
      : StmtNode(kKind),
        storage(std::move(s)),
        extents(std::move(e)),
        body(std::move(b)),
        placement(p) {}
};

/// for axes (outermost first): if all guards: storage[indices] combiner= value.
///
/// Guards are tested in order; neither indices nor value are evaluated before they hold. Combiner
/// is not Softmax or TopK. With axes, guards, indices and value read `storage` only so that no
/// iteration reads what another stores: every axis is in an index that all these reads share.
/// With Assign, distinct iterations store distinct elements; with another combiner axes that
/// `indices` do not determine are reduced. A value that is narrower than the storage's type has
/// been cast; types are equal. `atomic`: the update may collide with other parallel iterations.
/// `through`: null, or a strip (strip.h) by which elements of an accumulator go to memory; it holds
/// nothing afterwards. `atomic` sums may come later then: nothing else in the kernel uses them.
///
/// Printed by what it does: `fill` (constant into a tile), `load` / `sread` (one load into a tile;
/// sread when an index of that load reads an index's coordinates or other data), `map` (any other
/// Assign into a tile), `reduce` (combiner into a tile or with axes reduced), `store` / `swrite`
/// (to memory; swrite when an index is data), `reduce_store` (combiner to memory). A printed
/// mnemonic carries no information beyond the statement's own fields.
struct Store final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Store;
  std::vector<VarPtr> axes;
  std::vector<Expr> guards;
  StoragePtr storage;
  std::vector<Expr> indices;
  Combiner combiner;
  Expr value;
  bool atomic;
  int vector_bytes;  ///< sread()/swrite()'s wish for one copy; 0 = default
  StoragePtr through;
  Store(std::vector<VarPtr> a, std::vector<Expr> g, StoragePtr s, std::vector<Expr> i, Combiner c,
        Expr v, bool at = false, int vb = 0, StoragePtr strip = {})
      : StmtNode(kKind),
        axes(std::move(a)),
        guards(std::move(g)),
        storage(std::move(s)),
        indices(std::move(i)),
        combiner(c),
        value(std::move(v)),
        atomic(at),
        vector_bytes(vb),
        through(std::move(strip)) {}
};

/// One operand of an Mma: a tile and the axis that each of its dimensions is (tile[axes[0],
/// axes[1], ...]). `slot`: which buffer, of a buffered tile; else null.
struct TileOperand {
  StoragePtr tile;
  std::vector<VarPtr> axes;
  Expr slot{};
};

/// accumulator[batch, m, n] += sum over k of a[batch, m, k] * b[batch, k, n], with products and
/// sums in the accumulator's type. m, n, k, batch are lists of axes (any may have several; m, n,
/// batch may be empty). Each operand holds exactly its axes, each once, in the order that its
/// `axes` says; an operand may lack batch axes (it is then shared). Operand types are the
/// accumulator's or narrower. `atom`: the name of a row of the back end's atom table, empty until
/// selected. `asynchronous`: issued and under way until drained (staged.h; PTX: wgmma.fence and
/// wgmma.mma_async by whole warpgroups, operands in shared memory or A in registers; else
/// ldmatrix and mma.sync).
struct Mma final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Mma;
  std::vector<VarPtr> batch, m, n, k;
  TileOperand accumulator, a, b;
  std::string atom;
  bool asynchronous;
  Mma(std::vector<VarPtr> batch_axes, std::vector<VarPtr> m_axes, std::vector<VarPtr> n_axes,
      std::vector<VarPtr> k_axes, TileOperand acc, TileOperand a_operand, TileOperand b_operand,
      std::string atom_name = "", bool async = false)
      : StmtNode(kKind),
        batch(std::move(batch_axes)),
        m(std::move(m_axes)),
        n(std::move(n_axes)),
        k(std::move(k_axes)),
        accumulator(std::move(acc)),
        a(std::move(a_operand)),
        b(std::move(b_operand)),
        atom(std::move(atom_name)),
        asynchronous(async) {}
};

/// for axes: if all guards and not condition: report `message` with `values` (int64, shown in place
/// of {0}, {1}, ...) and make the call fail; the first report stays. Execution goes on to the end
/// of the Stage, whose accesses the program keeps in bounds, and later Stages do nothing.
struct Check final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Check;
  std::vector<VarPtr> axes;
  std::vector<Expr> guards;
  Expr condition;
  std::string message;
  std::vector<Expr> values;
  Check(std::vector<VarPtr> a, std::vector<Expr> g, Expr c, std::string m, std::vector<Expr> v)
      : StmtNode(kKind),
        axes(std::move(a)),
        guards(std::move(g)),
        condition(std::move(c)),
        message(std::move(m)),
        values(std::move(v)) {}
};

/// Turns marks into a sparse index, groups in parallel, coordinates ascending (see design.md
/// The sparse index). Group g's candidates are marks[start(g) + j], 0 <= j < length(g), where start
/// = g * length without `mark_offsets` and mark_offsets[g] with it (then length(g) =
/// mark_offsets[g+1] - mark_offsets[g]). A mark is uint8: bit 0 = any iteration of the micro-tile
/// passes, bit 1 = some iteration fails. Writes, for kept candidates j in order: coordinates[e] =
/// first(g) + j * micro (int32), full[e] = not bit 1 (uint8), position[start(g) + j] = e or -1
/// (int32); offsets[g] = first entry of g, offsets[groups] = end of the last; counts[g] = kept
/// entries (both int32). offsets[g+1] - offsets[g] is counts[g] rounded up to `align`; padding
/// entries hold coordinate -1. More entries than `capacity` (the extent of coordinates) is reported
/// and fails the call; the lists are then undefined. Null storages are not wanted. `first` gives
/// the first coordinate of group g (int64 storage, null = 0). With `spacing`, which is enough for
/// all candidates of a group and their padding, offsets[g] = g * spacing. Not `ordered`: entries of
/// a group may stand in any order, and without `spacing` the lists of groups too, of which only
/// counts[g] then tells the end.
struct IndexPlace final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::IndexPlace;
  StoragePtr marks, mark_offsets, first;
  Expr groups, length, micro;  ///< length is ignored with mark_offsets
  std::int64_t align;
  StoragePtr offsets, counts, coordinates, position, full;
  std::string index_name;
  bool ordered;
  Expr spacing;  ///< undefined: groups follow each other closely
  IndexPlace(StoragePtr mk, StoragePtr mo, StoragePtr fi, Expr g, Expr l, Expr mi, std::int64_t al,
             StoragePtr of, StoragePtr ct, StoragePtr co, StoragePtr po, StoragePtr fu,
             std::string name, bool in_order = true, Expr sp = {})
      : StmtNode(kKind),
        marks(std::move(mk)),
        mark_offsets(std::move(mo)),
        first(std::move(fi)),
        groups(std::move(g)),
        length(std::move(l)),
        micro(std::move(mi)),
        align(al),
        offsets(std::move(of)),
        counts(std::move(ct)),
        coordinates(std::move(co)),
        position(std::move(po)),
        full(std::move(fu)),
        index_name(std::move(name)),
        ordered(in_order),
        spacing(std::move(sp)) {}
};

/// The same from keys: position p (0 <= p < length) belongs to group keys[p] (int64; -1 = dropped),
/// positions ascending within a group (a parallel stable counting sort). Writes coordinates[e] = p,
/// position[p] = e or -1, offsets, counts as IndexPlace. A key outside [-1,
/// groups) is reported with its position and its value, of which those below -1 stand for one more:
/// -2 for a key of -1 that is not dropped. Not `ordered`: positions of a group may stand in any
/// order.
struct IndexSort final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::IndexSort;
  StoragePtr keys;
  Expr length, groups;
  std::int64_t align;
  StoragePtr offsets, counts, coordinates, position;
  std::string index_name;
  bool ordered;
  IndexSort(StoragePtr k, Expr l, Expr g, std::int64_t al, StoragePtr of, StoragePtr ct,
            StoragePtr co, StoragePtr po, std::string name, bool in_order = true)
      : StmtNode(kKind),
        keys(std::move(k)),
        length(std::move(l)),
        groups(std::move(g)),
        align(al),
        offsets(std::move(of)),
        counts(std::move(ct)),
        coordinates(std::move(co)),
        position(std::move(po)),
        index_name(std::move(name)),
        ordered(in_order) {}
};

/// destination[0] = 0; destination[i + 1] = destination[i] + max(source[i], 0), 0 <= i < length.
/// Both int64, or both int32. Of tiles in a Launch it is the scan that the threads of a block make
/// together.
struct Prefix final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Prefix;
  StoragePtr destination, source;
  Expr length;
  Prefix(StoragePtr d, StoragePtr s, Expr l)
      : StmtNode(kKind), destination(std::move(d)), source(std::move(s)), length(std::move(l)) {}
};

/// list[r] = the r-th of the numbers j, ascending, with 0 <= j < length and marks[j]; count = how
/// many there are. Elements of `list` from count on are undefined. All are tiles: marks of bool and
/// list of int32 have one dimension, count of int32 has none. The threads of a block do it
/// together.
struct Compact final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Compact;
  StoragePtr list, count, marks;
  Expr length;
  Compact(StoragePtr l, StoragePtr c, StoragePtr m, Expr n)
      : StmtNode(kKind),
        list(std::move(l)),
        count(std::move(c)),
        marks(std::move(m)),
        length(std::move(n)) {}
};

/// sum = the values of the parts first, ..., part - 1. A part is one execution of the statement, by
/// one point of a Launch (before there are Launches: by one iteration of the Parallel loops that
/// will be its grid); it has `value`, not negative. The parts that it sums are earlier points',
/// which a device starts before it. `sum` is an int64 tile of no dimension; where the call has
/// failed already it is anything. `progress` (int64, an element a part) is zero before the Launch,
/// and then what parts tell each other: 0 before a part has said its value, 4 * value + 1 once it
/// has, 4 * (sum + value) + 2 in the end.
struct SumBefore final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::SumBefore;
  StoragePtr sum, progress;
  Expr first, part, value;
  SumBefore(StoragePtr s, StoragePtr p, Expr f, Expr n, Expr v)
      : StmtNode(kKind),
        sum(std::move(s)),
        progress(std::move(p)),
        first(std::move(f)),
        part(std::move(n)),
        value(std::move(v)) {}
};

/// for axes: if all guards: destination[indices] = counters[at]; counters[at] += value. Iterations
/// come one after the other in any order, also beside other parallel iterations that do the same.
/// `destination` is a tile, of which distinct iterations store distinct elements; `counters` (rank
/// 1) is a tile or memory. Both and the value are of one type, int32 or int64;
/// guards, indices and value read neither. The threads of a block do it together. `ordered`:
/// iterations come in the order of the nest, outermost axis first; there is an axis, the counters
/// are a tile, and the value is the same in all iterations.
struct FetchAdd final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::FetchAdd;
  std::vector<VarPtr> axes;
  std::vector<Expr> guards;
  StoragePtr destination;
  std::vector<Expr> indices;
  StoragePtr counters;
  Expr at, value;
  bool ordered;
  FetchAdd(std::vector<VarPtr> a, std::vector<Expr> g, StoragePtr d, std::vector<Expr> i,
           StoragePtr c, Expr where, Expr v, bool in_order = false)
      : StmtNode(kKind),
        axes(std::move(a)),
        guards(std::move(g)),
        destination(std::move(d)),
        indices(std::move(i)),
        counters(std::move(c)),
        at(std::move(where)),
        value(std::move(v)),
        ordered(in_order) {}
};

/// What a stage's time is counted as.
enum class StageKind : std::uint8_t { Check, Index, Compute };

/// A named part of the pipeline: timed apart, and skipped when an earlier stage has failed.
/// Only in the outermost Blocks, Lets and Allocates of a module.
struct Stage final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Stage;
  std::string name;
  StageKind stage_kind;
  Stmt body;
  Stage(std::string n, StageKind k, Stmt b)
      : StmtNode(kKind), name(std::move(n)), stage_kind(k), body(std::move(b)) {}
};

/// One dimension of a Launch's grid: var in [0, extent). The host evaluates `extent`, which
/// therefore reads no memory; var is int64.
struct GridAxis {
  VarPtr var;
  Expr extent;
};

/// One kernel of a GPU: `body` for every point of the grid, the last dimension fastest. Points are
/// independent but for atomic stores, as the iterations of Parallel loops are. Each point is one
/// block's, whose `threads` threads execute the body's statements together, one statement after the
/// other: a statement with axes and a GpuThread loop are shared out among the threads, anything
/// else is done once. Threads are in step only at a Sync, so statements that access the same memory
/// have one between them once place_barriers has run. No grid is one point. Only in a Stage, and
/// not in another Launch. `cluster`: with a variable, that many blocks (2 to 8, a constant) make
/// each point together, the variable being their rank; they may wait for each other, and reach each
/// other's shared memory and barriers. `resident`: null, or an int64 variable, known in the extents
/// of the grid and in the body, whose value is at least 1 and otherwise the back end's: the number
/// of points that the device makes at a time. What the kernel computes does not depend on it.
struct Launch final : StmtNode {
  static constexpr StmtKind kKind = StmtKind::Launch;
  std::string name;
  std::vector<GridAxis> grid;
  std::int64_t threads;
  Stmt body;
  GridAxis cluster;
  VarPtr resident;
  Launch(std::string n, std::vector<GridAxis> g, std::int64_t t, Stmt b, GridAxis c = {},
         VarPtr r = {})
      : StmtNode(kKind),
        name(std::move(n)),
        grid(std::move(g)),
        threads(t),
        body(std::move(b)),
        cluster(std::move(c)),
        resident(std::move(r)) {}
};

/// A lowered pipeline. A call whose outputs all have no element does nothing, whatever the body
/// says.
struct Module {
  std::string name;
  std::vector<StoragePtr> inputs;  ///< Space::Tensor, in the order of the signature
  std::vector<ParamPtr> scalars;
  std::vector<StoragePtr> outputs;  ///< Space::Tensor
  /// Numbers the module tells about its run: float64, rank 1, Space::Heap, one element a name, 0
  /// before the run. Null when there are none.
  StoragePtr statistics;
  std::vector<std::string> statistic_names;  ///< "live.kept", "live.candidates", "live.passing"
  Stmt body;
};

// --- construction ---

template <class T, class... Args>
Stmt make(Args &&...args) {
  return Stmt(std::make_shared<const T>(std::forward<Args>(args)...));
}
/// Flattens nested blocks and drops null statements; one statement stays itself.
Stmt make_block(std::vector<Stmt> stmts);

VarPtr make_loop_variable(std::string name);
VarPtr make_axis_variable(std::string name);
VarPtr make_let_variable(std::string name, Type type);
StoragePtr make_storage(std::string name, Type type, int rank, Space space);

}  // namespace pit::ir
