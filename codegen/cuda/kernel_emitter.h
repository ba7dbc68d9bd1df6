// Emits a kernel: the statements of a Launch as the threads of a block execute them together.
//
// Between two barriers the threads run on their own. A statement with axes is shared out: each
// thread takes some of the iterations. What has no axes every thread computes, so that conditions
// and loops are the same for all; memory that it stores to is written by one thread alone, unless
// each has its own.
//   kernel_emitter.cpp  the kernel, loops, memory     block_statements.cpp  statements that are
//   shared out
//
// In a kernel of the staged level the threads are those of the role that executes a statement:
//   staged_statements.cpp  roles, barriers, groups    copies.cpp  copies into shared tiles
//   fragments.cpp          tiles in registers, what statements are over
//   fragment_maps.cpp      statements over them whose results stay there
//   fragment_stores.cpp    statements that store them to memory
//   strip_stores.cpp       the same, by way of shared memory
//   warpgroup_products.cpp matrix instructions of warpgroups
//   mma_sync.cpp           matrix instructions of warps
//   multiply_add.cpp       multiplications by the threads
//   lane_tiles.cpp         lists in the lanes of a warp
//   bulk_copies.cpp        copies by the tensor memory accelerator
//   profile.cpp            cycles by what they are spent on
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "bulk_copies.h"
#include "codegen/ir/atoms.h"
#include "codegen/ir/staged.h"
#include "codegen/llvm/function_emitter.h"
#include "device.h"
#include "fragment_shape.h"
#include "placement.h"

namespace pit::cuda {

/// A tensor map: 128 bytes that describe a tensor to the tensor memory accelerator.
struct TensorMap {
  const ir::Copy *copy;
  BulkBox box;
  llvm::Value *map;  ///< a pointer; in the kernel, to a parameter
};

/// What a kernel is given. Values of `environment`, `extents`, `points` and `offsets` are those of
/// the kernel's caller; parameters of the kernel take the places of those that are no constants.
struct KernelArguments {
  code::Environment environment;
  std::vector<llvm::Value *> extents;  ///< of the grid
  llvm::Value *points = nullptr;       ///< of the grid, times the parts
  /// So many blocks share out the iterations of inner_parallel_loop(launch) at each point; null:
  /// one.
  llvm::Value *parts = nullptr;
  llvm::Value *status = nullptr;           ///< two pit_device_status; null: not needed
  bool failed_before = false;              ///< status may say so from the beginning
  bool clears_status = false;              ///< it is the call's first kernel
  llvm::Value *workspace = nullptr;        ///< null: none
  llvm::Value *workspace_bytes = nullptr;  ///< of a block
  std::vector<llvm::Value *> offsets;      ///< in it, of placement.in_workspace
  /// Of a kernel of the staged level: where it adds the cycles that codegen/ir/profile.h speaks of;
  /// a null pointer where the call wants none; null: it counts none.
  llvm::Value *profile = nullptr;
  std::unordered_set<const StorageNode *> written;  ///< tensors that are not only read
  std::vector<TensorMap> maps;                      ///< of its Bulk copies
  llvm::Value *bulk = nullptr;                      ///< whether the maps may be used
};

/// The parallel loop inside a kernel that the host cannot count, and around which nothing is done
/// but to compute: several blocks may run the kernel for one point, each some of the loop's
/// iterations. Null when there is none.
const ir::For *inner_parallel_loop(const ir::Launch &launch);

/// Whether kernels wait themselves for those launched before them: the device can begin them early.
bool waits_for_kernels(const Device &device);

/// What a thread may be busy with, in the order of its statistics; behind them stand all cycles.
enum class Work : std::uint8_t { Gather, Compute, Scatter };
constexpr int kKindsOfWork = 3;

/// e reads memory, which it must not where a guard fails.
bool reads_memory(const Expr &e);

class KernelEmitter final : public code::FunctionEmitter {
 public:
  /// `messages` are those of all Checks of the operator; new ones are added.
  KernelEmitter(llvm::Module &module, const Device &device, std::vector<std::string> *messages);

  /// Emits the kernel `name`. Returns the values of its parameters in its caller, in their order.
  std::vector<llvm::Value *> emit_kernel(const ir::Launch &launch, const std::string &name,
                                         const Placement &placement, KernelArguments arguments);

 private:
  using FunctionEmitter::emit;
  void emit(const ir::Stmt &s) override;
  void emit(const ir::For &s) override;
  void emit(const ir::Allocate &s) override;
  void emit(const ir::Store &s) override;
  void emit(const ir::Check &s) override;
  void emit(const ir::Mma &s) override;
  void emit(const ir::Prefix &s) override;
  void emit(const ir::Compact &s) override;
  void emit(const ir::SumBefore &s) override;
  void emit(const ir::FetchAdd &s) override;
  void describe_access(llvm::Instruction *access, const StorageNode *s) override;
  llvm::Value *load_element(const Load &e) override;

  // kernel_emitter.cpp
  void clear_status();
  void return_after_failure();
  void learn_status();
  void wait_for_kernels();
  const ir::StmtNode *first_after_kernels(const ir::Stmt &s) const;
  void for_each_point(const ir::Launch &launch);
  /// Of the block or of the role.
  void barrier();
  bool is_local(const StoragePtr &s) const;
  llvm::GlobalVariable *shared_memory();
  void report(const ir::Check &s);

  // profile.cpp
  /// `body`, a statement of the staged level, and the cycles that it takes.
  void timed(Work work, const Body &body);
  void begin_profile();
  /// `last`: of the role that ends the block.
  void end_profile(bool last);
  llvm::Value *clock();

  // block_statements.cpp
  /// `body` for iterations first, first + step, ... of the axes, each of which has a value then;
  /// the last axis varies fastest.
  void share_out(const std::vector<VarPtr> &axes, llvm::Value *first, llvm::Value *step,
                 const Body &body);
  /// The iterations of a nest, numbered in its order. The axes outlive it.
  struct Iterations {
    const std::vector<VarPtr> &axes;
    std::int64_t bound;  ///< of their number; 0: unknown
    llvm::Type *type = nullptr;
    std::vector<llvm::Value *> extents{};
    llvm::Value *total = nullptr;
  };
  Iterations iterations_of(const std::vector<VarPtr> &axes);
  /// Gives the axes their values in iteration i.
  void go_to(const Iterations &all, llvm::Value *i);
  /// Whether `s` was a list of a few elements a thread, loaded together.
  bool load_at_once(const ir::Store &s);
  /// An element at a time.
  void store_elements(const ir::Store &s);
  void reduce_by_block(const ir::Store &s);
  void reduce_by_warps(const ir::Store &s, const std::vector<VarPtr> &kept,
                       const std::vector<VarPtr> &reduced);
  /// The thread's share of a reduction into one element; `held`: whether there is any.
  llvm::Value *partial(const ir::Store &s, const std::vector<VarPtr> &reduced, llvm::Value *first,
                       llvm::Value *step, llvm::Value **held);
  llvm::Value *shuffle(llvm::Intrinsic::ID instruction, llvm::Value *v, llvm::Value *which,
                       int clamp);
  llvm::Value *exchange(llvm::Value *v, int mask);
  llvm::Value *from_lane_below(llvm::Value *v, int distance);
  llvm::Value *combine_in_warp(const ir::Store &s, llvm::Value *v);
  llvm::Value *any_in_warp(llvm::Value *held);
  void update(const ir::Store &s, llvm::Value *v);
  /// A place of 8 bytes in shared memory for what warps tell each other.
  llvm::Value *scratch(llvm::Value *slot);

  // place.cpp
  /// Of i32 values of a warp's lanes.
  llvm::Value *sum_of_lanes_below(llvm::Value *v);
  void fetch_in_order(const ir::FetchAdd &s);

  // columns.cpp
  /// Whether `s` was marks of columns, emitted by wide loads.
  bool mark_columns(const ir::Store &s);
  struct Columns;
  void go_to(const Columns &columns, llvm::Value *row, llvm::Value *column);
  llvm::Type *word_of(const Columns &columns);
  std::vector<llvm::Value *> load_columns(const Columns &columns, llvm::Value *row,
                                          llvm::Value *first);
  llvm::Value *bits_of(const Columns &columns, llvm::Value *loaded);
  llvm::Value *marks_of_bits(const Columns &columns, llvm::Value *bits);
  llvm::Value *marks_in(const Columns &columns, const std::vector<llvm::Value *> &loaded,
                        llvm::Value *row, llvm::Value *first);
  llvm::Value *is_aligned(const Columns &columns, llvm::Value *row, llvm::Value *next,
                          llvm::Value *first);
  void mark_wide_rows(const Columns &columns, std::int64_t groups);
  bool mark_rows(Columns &columns);
  void find_wide_loads(Columns *columns);
  void mark_columns(const Columns &columns, llvm::Value *group, llvm::Value *first_row,
                    std::int64_t row_step);
  void store_marks(const Columns &columns, llvm::Value *found, llvm::Value *first, bool alone);

  // wide_copies.cpp
  /// Whether `s` was a copy that was emitted by wide accesses.
  bool copy_wide(const ir::Store &s);
  struct WideCopy;
  bool lies_wide(const WideCopy &copy, const StoragePtr &at, const std::vector<Expr> &indices);
  llvm::Value *is_aligned(const WideCopy &copy, const StoragePtr &at,
                          const std::vector<Expr> &indices);
  struct LinePlace;
  LinePlace line_place(const WideCopy &copy, llvm::Value *number);
  void at_line(const WideCopy &copy, const LinePlace &place, const Body &body);
  bool copy_rows_async(const WideCopy &copy);
  void copy_lines(const WideCopy &copy);
  llvm::Value *load_line(const WideCopy &copy);
  void store_line(const WideCopy &copy, llvm::Value *line);

  // staged_statements.cpp
  /// True when `s` was a statement of the staged level.
  bool emit_staged(const ir::Stmt &s);
  void emit(const ir::Barriers &s);
  void emit(const ir::Arrive &s);
  void emit(const ir::Wait &s);
  void emit(const ir::Drain &s);
  void emit(const ir::Fence &s);
  void emit(const ir::Roles &s);
  void emit_role(const ir::Role &role, unsigned number, std::int64_t first_warp, bool is_last);
  /// Inline PTX that nothing may be moved across.
  llvm::Value *assembly(const std::string &text, const std::string &constraints,
                        const std::vector<llvm::Value *> &operands = {},
                        llvm::Type *result = nullptr);
  /// A number that LLVM takes for a new one, so that it keeps nothing of it from one statement to
  /// the next: sums in fragments leave no registers for that.
  llvm::Value *forgotten(llvm::Value *v);
  /// The same for a thread's first column, of which LLVM still knows what its number may be: what
  /// is the same for several columns (`column / 64`) is then a constant.
  llvm::Value *forgotten_column(llvm::Value *first, const FragmentShape &shape);
  /// The same float32 in a register of its own. Sums that start from one constant would share its
  /// register up to the loop around their matrix instructions, which ptxas then puts one after the
  /// other (C7515); and be made anew where the loop ends, while such instructions are under way.
  llvm::Value *in_own_register(llvm::Value *v);
  llvm::Value *barrier_address(const ir::BarrierSlot &at);

  /// A tile in shared memory.
  struct SharedTile {
    ir::Layout layout;
    ir::Coordinates extents;  ///< of one buffer
    std::int64_t offset;
    bool buffered = false;
    /// The index of a dimension of a buffer among those of a Copy.
    std::size_t index_of(std::size_t dimension) const { return dimension + (buffered ? 1 : 0); }
  };

  // copies.cpp
  void emit(const ir::Copy &s);
  /// The lines of 16 bytes of one buffer, numbered along its rows.
  struct Line {
    const ir::Copy *copy = nullptr;
    VarPtr along;                       ///< the axis of the contiguous dimension
    std::vector<VarPtr> others;         ///< the axes of the rows, outermost first
    std::vector<std::int64_t> extents;  ///< of these
    std::int64_t rows = 1, lines_of_row = 0;
    std::int64_t elements = 0;  ///< of a line
    int swizzle = 0;
    std::vector<Expr> guards;  ///< that hold for all of a line, or else are bounds of its places
    std::vector<Expr> bounds;  ///< along < bound
    std::vector<Expr> ends;    ///< of the guards that are such bounds: place < end
  };
  /// A copy that each step of a loop makes, as each thread makes it.
  struct LineCopy {
    Line line;
    std::int64_t passes = 0;        ///< lines of a thread
    std::int64_t rows_between = 0;  ///< between two of them
    std::int64_t period = 0;        ///< of passes, after which the swizzle repeats
    llvm::Value *first_row = nullptr, *chunk = nullptr;  ///< of the thread's first line
    std::vector<llvm::Value *> offsets;                  ///< in a buffer, of the first passes
    std::vector<Expr> steady, changing;                  ///< guards, by whether steps differ
    llvm::Value *kept = nullptr;                         ///< bit p: the steady guards hold
    llvm::Value *row_step = nullptr;  ///< bytes from line to line in the source; null: they vary
    /// The addresses in the source are running values, of each line or, with `row_step`, of the
    /// first. They move on by `step` bytes.
    bool running = false;
    std::vector<llvm::AllocaInst *> sources;
    llvm::Value *step = nullptr;
  };
  /// `copy` outlives the result.
  Line line_of(const ir::Copy &copy) const;
  llvm::Value *buffer_address(const ir::Copy &s);
  /// Of the line at `row` and `chunk` (i32), in its buffer.
  llvm::Value *line_offset(const Line &line, llvm::Value *row, llvm::Value *chunk);
  /// Gives the axes their values there.
  void set_line(const Line &line, llvm::Value *row, llvm::Value *chunk);
  void look_up_line(const Line &line);
  llvm::Value *source_address(const Line &line);
  llvm::Value *whole_lines(const Line &line);
  void copy_async(const Line &line, llvm::Value *buffer);
  void copy_async(const LineCopy &copy, llvm::Value *buffer);
  void copy_line(llvm::Value *destination, std::int64_t offset, llvm::Value *address,
                 llvm::Value *ok);
  void copy_by_threads(const Line &line, llvm::Value *buffer);
  llvm::Value *load_line(const Line &line, llvm::Value *active);
  bool runs_on(const Line &line, std::vector<Expr> *of_line, std::vector<Expr> *ends);
  llvm::Value *load_where(llvm::Value *ok, llvm::Value *address, llvm::Type *type);
  llvm::Value *holds(const std::vector<Expr> &guards, std::size_t first = 0);
  /// Before a loop, and at the end of its body.
  void prepare_copies(const ir::For &loop);
  void prepare_copy(const ir::Copy &s, const ir::For &loop,
                    const std::vector<const ir::Let *> &lets,
                    const std::vector<const StorageNode *> &stored);
  void advance_copies(const ir::For &loop);

  // bulk_copies.cpp
  void emit_bulk(const ir::Copy &s);
  void copy_boxes(const ir::Copy &s, const TensorMap &map, llvm::Value *buffer);
  ir::Copy without_parts(const ir::Copy &s);

  // fragments.cpp
  /// A tile in the registers of a role's threads. Of a left operand a register has two elements.
  struct Fragment {
    ir::Layout layout;
    ir::Coordinates extents;
    llvm::AllocaInst *elements;  ///< of this thread, an array of registers
    int count;                   ///< of these
    Type type;
    bool zero = false;  ///< all of it, wherever the program came from
    bool in_words() const { return layout.kind == ir::Layout::Kind::OperandA; }
  };
  /// The iteration of a statement over fragments: its axes, and the numbers of the thread's element
  /// and of its row among those of the thread. Fragments of one statement have the same.
  struct FragmentElement {
    VarPtr row, column;
    int number = -1, row_number = -1;
  };
  /// The fragments that a statement reads and writes.
  struct FragmentUse {
    /// Of two dimensions, and values of rows: one of each, where there is any.
    const Fragment *matrix = nullptr, *rows = nullptr;
    VarPtr row, column;
  };
  /// Of a thread.
  struct FirstElement {
    llvm::Value *row, *column;
    llvm::Value *first_of_row;  ///< no other thread with the row comes before it
  };
  using Tiles = std::vector<const StorageNode *>;
  void allocate_fragment(const ir::Allocate &s);
  llvm::Type *register_of(const Fragment &fragment);
  llvm::Value *fragment_register(const Fragment &fragment, int number);
  llvm::Value *load_register(const Fragment &fragment, int number);
  /// The element that element_ says.
  llvm::Value *read_fragment(const Fragment &fragment);
  void write_fragment(const Fragment &fragment, llvm::Value *v);
  llvm::Value *halves_of(llvm::Value *word);
  std::int64_t end_of(const Expr &index) const;
  bool is_at_hand(const Load &e) override;
  bool reads_where_wanted(const Load &e) override {
    return in_map_ && e.storage->space != Space::Tile;
  }
  bool avoids_branches() override { return element_.row_number >= 0; }
  /// Changes `tiles`, which matrix instructions under way may use before s, to those behind it.
  static void follow_products(const ir::Stmt &s, Tiles *tiles);
  /// What reads or writes the registers of these stays on its side of this place.
  void tie(const Tiles &tiles);
  /// The program comes to the next statement from several places.
  void forget_zeros();
  /// Nothing: s is over no fragments.
  std::optional<FragmentUse> fragments_of(const ir::Store &s) const;
  bool reads_fragment(const Expr &e) const;
  FirstElement first_element(const Fragment &fragment, const FragmentShape &shape);
  void emit_over_fragments(const ir::Store &s, const FragmentUse &use);

  // fragment_maps.cpp
  struct ColumnOfRow {
    int number;
    std::int64_t distance;
  };
  void by_extents(const FragmentUse &use, const std::function<void(bool ragged)> &body);
  void for_rows(const ir::Store &s, const FragmentUse &use, bool ragged,
                const std::function<void(std::size_t row, llvm::Value *columns)> &body);
  static std::vector<ColumnOfRow> columns_of_row(const Fragment &fragment, std::size_t row);
  llvm::Value *go_to_column(const FragmentUse &use, llvm::Value *first, ColumnOfRow at,
                            llvm::Value *columns);
  llvm::Value *and_guards(const ir::Store &s, llvm::Value *valid);
  void map_element(const ir::Store &s, llvm::Value *valid);
  void map_fragments(const ir::Store &s, const FragmentUse &use, bool fresh);
  void map_pairs(const ir::Store &s, const FragmentUse &use, const std::vector<ColumnOfRow> &own,
                 llvm::Value *columns);
  llvm::Value *neutral(const ir::Store &s);
  void reduce_rows(const ir::Store &s, const FragmentUse &use);
  void store_rows(const ir::Store &s, const FragmentUse &use);

  // fragment_stores.cpp
  /// A store of a fragment's elements to memory, as its threads make it row by row.
  struct StoredRows {
    ir::Store s;               ///< without the guards that are tested once a row
    std::vector<Expr> guards;  ///< these
    const Fragment &fragment;
    FragmentShape shape;
    FirstElement first;
    FragmentElement axes;
    std::vector<llvm::Value *> kept{};  ///< whether a row is stored, where it is known beforehand
  };
  /// Where a row of the thread is kept (null: it is), and what its expressions look up.
  struct StoredRow {
    llvm::Value *kept = nullptr;
    std::unordered_map<const Load *, llvm::Value *> values{};
  };
  void store_fragments(const ir::Store &statement, const FragmentUse &use);
  llvm::Value *go_to_row(const StoredRows &rows, std::size_t number);
  llvm::Value *is_kept(const StoredRows &rows, llvm::Value *row);
  /// The thread's row of that number: looks up what it needs, and then does `body`.
  void for_row(const StoredRows &rows, std::size_t number,
               const std::function<void(const StoredRow &row)> &body);
  /// `body` for the row again.
  void in_row(const StoredRows &rows, std::size_t number, const StoredRow &row, const Body &body);
  void fragment_row(const StoredRows &rows, std::size_t number, llvm::Value *kept);
  void row_elements(const StoredRows &rows, std::size_t number, bool checked);
  bool is_plain(const StoredRows &rows);
  llvm::Value *is_whole(const StoredRows &rows);
  llvm::Value *in_global(llvm::Value *address);
  llvm::Value *address_in_row(const ir::Store &s, llvm::Value *kept);
  llvm::Value *is_multiple(llvm::Value *address, std::int64_t bytes);
  llvm::Value *together_in_warp(llvm::Value *possible, llvm::Value *kept);
  void store_row_vectors(const ir::Store &s, const FragmentShape &shape,
                         const FragmentElement &axes, std::size_t row, llvm::Value *at);
  llvm::Value *updated(const ir::Store &s, llvm::Value *v);
  void store_element(const ir::Store &s);
  llvm::Value *word_at(const ir::Store &s, FragmentElement element, llvm::Value *column);
  std::vector<llvm::Value *> words_of_row(const ir::Store &s, const FragmentElement &axes,
                                          int first, int columns, llvm::Value *kept);
  std::vector<llvm::Value *> values_where(
      llvm::Value *kept, const ir::Store &s, llvm::Type *type, std::size_t count,
      const std::function<std::vector<llvm::Value *>()> &compute);
  void store_row_wide(const ir::Store &s, const FragmentElement &axes, int first, int columns,
                      llvm::Value *address, llvm::Value *kept);

  // strip_stores.cpp
  /// A warp's strip, and where this lane stores its elements there.
  struct Strip {
    llvm::Value *lane, *start, *own;
    std::int64_t columns, pitch;  ///< the latter in bytes
  };
  /// One of the two rows that a lane has of 16.
  struct StripRow {
    StoredRow row;
    llvm::Value *at;  ///< of its first column in memory
  };
  using StripRows = std::array<StripRow, 2>;
  bool goes_through_strip(const StoredRows &rows);
  void store_through_strip(const StoredRows &rows);
  Strip strip_of(const ir::Store &s);
  void warp_sync();
  void fill_strip(const StoredRows &rows, const StripRows &own, std::size_t number,
                  const Strip &strip, std::int64_t column, std::int64_t width);
  std::vector<llvm::Value *> pairs_of_row(const StoredRows &rows, const FragmentElement &element,
                                          std::int64_t units, llvm::Value *kept);
  std::vector<llvm::Value *> rows_of_lane(const StripRows &own, const Strip &strip,
                                          std::int64_t lanes_of_row);
  void empty_strip(const StoredRows &rows, const Strip &strip, const std::vector<llvm::Value *> &to,
                   bool all_kept, std::int64_t column, std::int64_t lanes_of_row);
  void add_strip(const StripRows &own, const Strip &strip, std::int64_t column, std::int64_t width);

  // warpgroup_products.cpp
  void emit_wgmma(const ir::Mma &s);
  /// How a product's sums are spread: of a warp, its 16 rows, so many times, and its columns.
  struct Sums {
    ir::Layout layout;
    std::int64_t repetitions, columns;
  };
  Sums sums_of(const ir::Mma &s) const;
  static void check_left(const ir::Mma &s, const Fragment &left, const Fragment &sums);
  /// Where the operands of this warpgroup's first instruction start in shared memory (i32), in
  /// units of 16 bytes.
  llvm::Value *first_left(const ir::Mma &s);
  llvm::Value *first_right(const ir::Mma &s);
  llvm::Value *start_of(const ir::TileOperand &operand);
  /// Before a loop, and at the end of its body.
  void prepare_products(const ir::For &loop);
  void start_products(const ir::For &loop);

  // add_fragments.cpp
  bool adds_together(const ir::Store &s, const Fragment &fragment, const FragmentElement &axes,
                     std::int64_t columns);
  llvm::Value *first_added(llvm::Value *first_column);
  void add_row(const ir::Store &s, const FragmentElement &axes, int first, std::int64_t columns,
               llvm::Value *address, llvm::Value *kept_row);

  // mma_sync.cpp
  /// An operand of a multiplication by the threads or their warps, in one buffer of a shared tile
  /// of two dimensions, of which one is k and the other is divided among warps.
  struct SharedOperand {
    const SharedTile *tile;
    llvm::Value *start;  ///< of the buffer, from the start of shared memory; i32
    int bytes;           ///< of an element
    int k;               ///< the dimension
    std::int64_t depth;  ///< extent of k
    bool k_contiguous() const { return tile->layout.dimension == k; }
  };
  SharedOperand shared_operand(const ir::Mma &s, const ir::TileOperand &operand);
  /// The address of byte `byte + more_bytes` of stored row `row + more_rows`: those of the
  /// dimension that is contiguous.
  llvm::Value *shared_address(const SharedOperand &o, llvm::Value *row, std::int64_t more_rows,
                              llvm::Value *byte, std::int64_t more_bytes);
  /// The numbers of this warp among those of the accumulators' rows and of their columns; i32.
  std::pair<llvm::Value *, llvm::Value *> warp_place(const ir::Layout &layout);
  void emit_mma_sync(const ir::Mma &s, const ir::Atom &atom);
  /// Of all that the warp multiplies in step `step` of k: the registers of each instruction.
  std::vector<std::vector<llvm::Value *>> load_matrices(const SharedOperand &o, bool left,
                                                        llvm::Value *warp, std::int64_t own,
                                                        std::int64_t step);

  // multiply_add.cpp
  void emit_multiply_add(const ir::Mma &s);

  // lane_tiles.cpp
  /// A list that every warp has, spread over its lanes. 4 bytes an element.
  struct LaneTile {
    std::vector<llvm::AllocaInst *> elements;
  };
  void allocate_lane_tile(const ir::Allocate &s);
  void store_lane_tile(const ir::Store &s);
  /// All lanes of the warp come here.
  llvm::Value *look_up(const LaneTile &tile, Type type, const Expr &index);
  /// Before lanes go different ways: the elements that the expressions read, in row_values_.
  void look_up_all(const std::vector<Expr> &expressions);

  const Device &device_;
  std::vector<std::string> &messages_;
  const Placement *placement_ = nullptr;
  KernelArguments arguments_;
  std::int64_t threads_ = 0;
  llvm::Value *thread_ = nullptr, *lane_ = nullptr, *warp_ = nullptr;  // i64
  const ir::For *shared_loop_ = nullptr;  ///< whose iterations blocks share out
  llvm::Value *part_ = nullptr;           ///< the block's share of them
  /// Loads whose values are at hand, because wider ones have brought them.
  std::unordered_map<const Load *, llvm::Value *> wide_;
  bool sums_ = false;                                  ///< over parts
  const ir::StmtNode *first_after_kernels_ = nullptr;  ///< a wait for kernels precedes it
  bool in_thread_ = false;  ///< inside a thread loop: statements are one thread's
  llvm::GlobalVariable *shared_ = nullptr, *scratch_ = nullptr;
  /// The cycles of the thread so far; null: they are not counted.
  std::array<llvm::AllocaInst *, kKindsOfWork> busy_{};
  llvm::Value *begun_ = nullptr;  ///< the clock when its role began
  // Of the staged level.
  bool staged_ = false;
  unsigned role_ = 0;            ///< number of its hardware barrier; 0: the block
  std::int64_t first_warp_ = 0;  ///< of the role
  int registers_ = 0;            ///< that the role gives a thread; 0: what the block starts with
  std::unordered_map<const StorageNode *, SharedTile> tiles_;
  std::unordered_set<const StorageNode *> lists_;  ///< of a role, in shared memory
  std::unordered_set<const StorageNode *> added_;  ///< strips that bulk reductions may still read
  std::unordered_map<const StorageNode *, Fragment> fragments_;
  std::unordered_map<const StorageNode *, const ir::Allocate *> fragment_allocates_;  ///< all
  FragmentElement element_;
  std::unordered_map<const StorageNode *, LaneTile> lane_tiles_;
  struct {
    const VarNode *axis = nullptr;
    std::size_t part = 0;
  } lane_part_;  ///< of the store to a lane tile that is emitted: its axis, 32 elements of it
  std::unordered_map<const Load *, llvm::Value *> row_values_;
  std::unordered_map<const ir::Copy *, LineCopy> line_copies_;  ///< of the loops around
  /// Running values of the loops around; null: of an operand without slots.
  struct ProductStarts {
    llvm::AllocaInst *left = nullptr, *right = nullptr;
  };
  std::unordered_map<const ir::Mma *, ProductStarts> product_starts_;
  Tiles under_way_;  ///< that asynchronous matrix instructions may use
  /// Nothing has been stored to these since they were allocated, wherever the program came from.
  std::unordered_set<const StorageNode *> fresh_;
  bool in_map_ = false;  ///< a statement is emitted whose results stay in registers
  bool ragged_ = false;  ///< the statement has another version, for tiles that are whole
  llvm::Value *uniform_warp_ = nullptr;  ///< i32, known to be the same in all lanes
  std::int64_t cluster_ = 1;             ///< blocks
  std::int64_t bulk_bytes_ = 0;  ///< of bulk copies that the last Arrive expects and that follow
  bool ahead_ = false;           ///< it begins to load before it is known whether it may store
  /// Of the role that stores in a kernel that runs ahead: whether it is known if a kernel before
  /// has failed, and if one has. Null: in other roles and kernels.
  llvm::AllocaInst *status_known_ = nullptr, *failed_ = nullptr;
  /// Whether the thread has stored itself what an asynchronous copy would have, since it last
  /// arrived behind its copies.
  llvm::AllocaInst *stored_ = nullptr;
};

}  // namespace pit::cuda
