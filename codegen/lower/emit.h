// Statements for a plan: stages, tiles, indices and checks.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "accesses.h"
#include "form_mma.h"
#include "kernel_choice.h"
#include "loops.h"
#include "plan.h"
#include "split_reductions.h"

namespace pit::lower {

struct KeptEntries;
struct PlacedIndex;
namespace build {
struct Axis;
}

/// Emits the module of a plan. One object, one module.
class Emitter {
 public:
  explicit Emitter(Plan *plan) : plan_(plan) {}
  ir::Module run();
  /// What the schedule says of sums, by where they go.
  const SumChoices &sum_choices() const { return sum_choices_; }
  /// What it says of kernels, by what they store.
  const KernelChoices &kernel_choices() const { return kernel_choices_; }
  /// What it says of parts of reductions.
  const SplitChoices &split_choices() const { return split_choices_; }

 private:
  // --- what expressions are lowered with ---

  /// One dimension of a realised stage: an axis of the scope, or a range of one of the Func's
  /// arguments.
  struct TileDim {
    VarPtr axis;   ///< fixed: the consumer's axis
    int arg = -1;  ///< ranged: which argument, stored at argument - min
    Expr min;
    ir::AxisBinding range;      ///< ranged: the axis over it, and its extent
    bool goes_further = false;  ///< ranged: the range may go past all uses
  };
  /// A stage computed inside another: its storage and how its dimensions lie.
  struct Realization {
    std::vector<StoragePtr> storages;        ///< one a component
    std::vector<std::vector<TileDim>> dims;  ///< of each component
    std::vector<Expr> fixed_args;            ///< per argument; undefined = ranged
  };
  /// The pit_tile around the statement.
  struct TileContext {
    const IndexPlan *index;
    Expr entry;                ///< place in the lists, when an entry is a single position
    std::vector<VarPtr> vars;  ///< the variables of its axis and group ...
    std::vector<Expr> values;  ///< ... and their values here
    Expr key, group;           ///< what the key is here, and the loop variable that equals it
    Expr operand, packed;      ///< the access whose values the index stores, and where they are
  };
  /// Variables and axes that statements see.
  struct Scope {
    std::vector<VarPtr> from;
    std::vector<Expr> to;
    std::vector<ir::AxisBinding> axes;  ///< outermost first
    bool in_tile = false;
  };
  /// Loops between the place where a stage is realised and its call: their ranges.
  struct Inner {
    VarPtr var;
    Expr extent;           ///< undefined: not known out here
    std::int64_t maximum;  ///< of the extent; 0 = none
    Expr min = make_int(int64, 0);
  };
  struct CallSite {
    std::vector<Expr> args;
    int component;
  };

  Plan *plan_;
  SumChoices sum_choices_;
  KernelChoices kernel_choices_;
  SplitChoices split_choices_;
  const std::vector<Directive> *directives_ = nullptr;  ///< of the definition under way
  std::map<const PlannedStage *, Realization> realized_;
  struct InnerCall {
    const PlannedStage *stage;
    std::vector<Expr> args;  ///< lowered
    Realization realization;
  };
  std::vector<InnerCall> inner_calls_;
  std::vector<TileContext> tiles_;
  bool guard_data_ =
      false;  ///< the expression being lowered has axes: loads at data need a test of their own
  std::vector<ir::AxisBinding> lanes_;  ///< axes of the expression being lowered
  /// Predicates over what variables stand for. `passed_` hold in all lanes of what is emitted;
  /// `tested_` where the lanes of the statement under way are stored, or a select takes a value.
  std::vector<Expr> passed_, tested_;

  Expr lower_expr(const Expr &e, const Scope &scope);
  Expr lower(const Expr &e);
  Expr lower_load(const Load &load);
  Expr lower_call(const Call &call, const std::vector<Expr> &args);
  Expr lower_select(const Expr &e);
  Expr load_at_root(const PlannedStage &stage, int component, const std::vector<Expr> &args);
  bool is_computed_in_places(const PlannedStage &stage) const;
  std::vector<Expr> untested_predicates(const Call &call) const;
  static Expr resolved(const Expr &e, const Scope &scope);
  Expr lower_query(const IndexQuery &query);
  Expr lower_position(const IndexPlan &index, const IndexQuery &query);
  std::vector<Expr> root_indices(const PlannedStage &stage, const std::vector<Expr> &args,
                                 Expr *missing);
  Expr position_of(const IndexPlan &index, const std::vector<VarPtr> &vars,
                   const std::vector<Expr> &args, Expr *missing);

  // --- definitions (emit_definition.cpp) ---

  ir::Stmt emit_stage_at_root(PlannedStage *stage);
  ir::Stmt emit_specialized(PlannedStage *stage, const PlannedDefinition &def, const Scope &scope);
  ir::Stmt emit_definition(PlannedStage *stage, const PlannedDefinition &def,
                           const std::vector<Directive> &directives, const Scope &scope);
  struct Job;  // one definition under way
  ir::Stmt emit_loops(Job &job, std::size_t i);
  ir::Stmt emit_pit_tile(Job &job, std::size_t i);
  static Expr at_first_lane(const Expr &e, const Job &job);
  ir::Stmt with_full(const IndexPlan &index, const Expr &entry, const Expr &present,
                     std::int64_t entries, const std::function<ir::Stmt(const Expr &)> &body);
  ir::Stmt emit_inside(Job &job, int i);
  ir::Stmt emit_body(Job &job);
  std::vector<Expr>
      tails_;  ///< guards of the statement under way that say which lanes are iterations at all
  std::vector<Expr> split_tails_;  ///< those of them past which operands cannot be read
  /// Of a pit_tile whose statements serve whole and partial tiles alike: whether all iterations of
  /// this tile pass what the index lists, and that they lie in the domain. See emit_pit_tile.
  struct OneCopy {
    const IndexPlan *index = nullptr;
    Expr full;
    std::vector<Expr> implied;  ///< guards under way that hold where the tile is full
    Expr in_domain;             ///< one of them; undefined: every lane of a micro-tile is a place
  };
  std::optional<OneCopy> one_copy_;
  /// Of a stage that is computed inside the statement under way: where the statement uses it.
  std::vector<Expr> producer_guards_;
  void choose_lanes(Job &job);
  void choose_split(const Job &job, const VarPtr &name, const VarPtr &loop);
  static bool states_meet(const Job &job, const Dim &dim);
  bool sums_along_innermost(const Job &job) const;
  void check_lanes(const Job &job) const;
  void check_shared_loops(const Job &job) const;
  void check_compact_rank(const PlannedStage &stage) const;
  void choose_parallel(Job &job);
  bool adds_atomically(const PlannedStage &stage, const PlannedDefinition &def,
                       const std::vector<Directive> &directives) const;
  void choose_gpu_parallel(Job &job) const;
  static bool is_innermost_parallel(const Job &job, std::size_t i);
  bool realizes_here(const Job &job, const Dim &dim) const;
  static bool passes_in_tiles(const IndexPlan &index, const Expr &p);
  std::vector<Expr> residual_predicates(const PlannedDefinition &def,
                                        const std::vector<Directive> &directives,
                                        const IndexPlan &index, const std::string &name) const;
  static void refresh_inside(Job &job, std::size_t i);
  static std::vector<Expr> take_guards_outside(Job &job, std::size_t i);
  ir::Stmt emit_tile(Job &job, std::size_t i, const Scope &loops, const Expr &group,
                     const Expr &count, const Expr &entry, bool all_full);
  void want_full_bits();

  // --- stages inside others (emit_realize.cpp) ---

  std::vector<PlannedStage *> stages_at(const Job &job, const Dim &dim) const;
  ir::Stmt realize(Job &job, std::vector<PlannedStage *> producers, std::size_t next,
                   const std::vector<Inner> &inner, const std::function<ir::Stmt()> &body);
  bool used_by(const PlannedStage &stage, const Job &job) const;
  static const DefinitionData *def_owner(const PlannedDefinition &def) {
    return def.source - def.number;
  }
  void collect_sites(const PlannedStage &producer, const PlannedDefinition &def,
                     const std::vector<VarPtr> &from, const std::vector<Expr> &to,
                     const std::vector<ir::AxisBinding> &axes, std::vector<Inner> *inner,
                     std::vector<CallSite> *sites) const;
  static bool reads_itself(const PlannedStage &stage, std::optional<std::size_t> elsewhere = {});
  Realization make_realization(const PlannedStage &producer, const std::vector<CallSite> &sites,
                               const Scope &scope, const std::vector<Inner> &inner);
  ir::Stmt emit_in_order(PlannedStage *producer, const PlannedDefinition &def, Scope scope,
                         const std::vector<ir::AxisBinding> &ranges);
  void guard_region(const PlannedStage &producer, const TileDim &dim);
  ir::Stmt emit_realized(PlannedStage *producer, const Realization &realization,
                         const Scope &scope);
  ir::Stmt with_storages(const Realization &realization, const Scope &scope, ir::Stmt body);
  ir::Stmt with_inner_calls(const std::vector<Expr> &exprs, const Scope &scope,
                            const std::function<ir::Stmt()> &body);

  // --- statements (emit_statement.cpp) ---

  ir::Stmt emit_statement(PlannedStage *stage, const PlannedDefinition &def, const Scope &scope,
                          const std::vector<VarPtr> &own_lanes, std::vector<Expr> guards,
                          const std::vector<Expr> &predicates, std::size_t next);
  ir::Stmt zero_where_not_needed(PlannedStage *stage, const PlannedDefinition &def,
                                 const Scope &scope, const std::vector<VarPtr> &own_lanes);
  ir::Stmt emit_stores(PlannedStage *stage, const PlannedDefinition &def, const Scope &scope,
                       const std::vector<VarPtr> &own_lanes, const std::vector<Expr> &guards);
  ir::Stmt store(PlannedStage *stage, const PlannedDefinition &def, int component,
                 Combiner combiner, const Expr &value, const std::vector<Expr> &args,
                 const Scope &scope, const std::vector<VarPtr> &reduced,
                 const std::vector<Expr> &guards);
  void choose_kernel(const StoragePtr &stored);
  void choose_sum(const PlannedStage &stage, const PlannedDefinition &def, const ir::Stmt &sum);
  static std::vector<VarPtr> axes_used(const std::vector<Expr> &values,
                                       const std::vector<Expr> &args,
                                       const std::vector<Expr> &guards,
                                       const std::vector<VarPtr> &own_lanes, const Scope &scope);
  ir::Stmt emit_softmax(PlannedStage *stage, const PlannedDefinition &def, const Scope &scope,
                        const std::vector<VarPtr> &reduced, const std::vector<Expr> &guards);
  ir::Stmt emit_top_k(PlannedStage *stage);

  // --- indices (emit_index.cpp) ---

  static const PlannedStage *root_of(const PlannedStage *stage);
  std::vector<const PlannedStage *> stages_inside(const PlannedStage &root) const;
  void need_indices_of(const PlannedStage &stage);
  void need_index(IndexPlan *index);
  void need_queries_of(const PlannedStage &stage);
  void need_queries_in(const std::vector<Expr> &exprs);
  IndexPlan *queried(const IndexQuery &query) const;
  std::set<const IndexPlan *> under_way_;  ///< indices that are being built
  void check_computed_before(const IndexPlan &index) const;
  void emit_given_checks(const IndexPlan &index);
  /// What is said of lists that are none.
  struct GivenText {
    explicit GivenText(const IndexPlan &index);
    std::string name, holds, outside, inside_micro, twice, falls, ends, starts;
  };
  std::pair<Expr, Expr> domain_of_group(const IndexPlan &index, const Expr &group);
  Expr held_in_domain(const IndexPlan &index, const Expr &group, const Expr &coordinate);
  Expr end_of_list(const IndexPlan &index, const Expr &group);
  void emit_given_entries(const IndexPlan &index);
  void emit_given_entries_on_gpu(const IndexPlan &index);
  ir::Stmt offsets_check(const StoragePtr &offsets, const Expr &groups, const Expr &first,
                         const Expr &last, const std::string &name) const;
  void allocate_index(IndexPlan *index);
  Expr candidates_of(const IndexPlan &index);
  static Range domain_of(const IndexPlan &index);
  Expr entries_of(const IndexPlan &index);
  void emit_fits_bound(const IndexPlan &index);
  ir::Stmt emit_marks(IndexPlan *index);
  ir::Stmt emit_ragged_starts(IndexPlan *index);
  /// The candidates of a group that are marked together: all, or on a GPU a strip of them.
  struct MarkStrip {
    Expr base;                 ///< position of the first; undefined = 0
    Expr extent, length;       ///< positions, and micro-tiles
    std::int64_t maximum = 0;  ///< of length; 0 = none
    /// A tile of what `store_values` keeps, [row of the micro-tile][position]; null: none.
    StoragePtr operand = nullptr;
  };
  using Factor = std::vector<Expr>;  ///< conjuncts that are tested together
  struct MarksTo {
    StoragePtr marks;
    Expr at;  ///< element of the strip's first mark
    /// On a GPU, of an index that says which micro-tiles are full: what passes only in part.
    StoragePtr partial{};
  };
  /// A strip that a block marks in tiles.
  struct GpuStrip {
    Expr number, first;  ///< in its group, and of its first candidate
    StoragePtr marks, partial;
    MarkStrip marked;
  };
  ir::Stmt emit_placed_marks(IndexPlan *index);
  ir::Stmt for_strips(const IndexPlan &index, const Expr &extent, const Expr &length,
                      ir::ForKind kind, const std::function<ir::Stmt(const GpuStrip &)> &body);
  Expr strips_of(const IndexPlan &index, const Expr &length) const;
  std::string why_close(const IndexPlan &index) const;
  bool stays_ordered(const IndexPlan &index) const;
  void explain_order(const IndexPlan &index) const;
  Expr spacing_of(const IndexPlan &index) const;
  PlacedIndex placed_index(const IndexPlan &index) const;
  Expr flag(const Expr &condition) const;
  Combiner either_mark() const;
  ir::Stmt emit_marks_of_strip(const IndexPlan &index, const Scope &scope, const MarksTo &to,
                               const MarkStrip &strip);
  std::int64_t candidates_in_strip(const IndexPlan &index) const;
  static std::vector<Factor> factors_of(const IndexPlan &index);
  static std::vector<VarPtr> lanes_told_apart(const IndexPlan &index, const Expr &p);
  ir::Stmt emit_factor(const IndexPlan &index, const Factor &tested, const Scope &group_scope,
                       const MarkStrip &strip, const StoragePtr &marks, const Expr &at,
                       const StoragePtr &partial);
  ir::Stmt emit_factor_by_position(const IndexPlan &index, const std::vector<Expr> &tested,
                                   Scope scope, std::vector<ir::AxisBinding> axes,
                                   std::vector<VarPtr> order, const Expr &low,
                                   const MarkStrip &strip, const StoragePtr &marks, const Expr &at,
                                   const StoragePtr &partial);
  static void set_axis_value(const IndexPlan &index, const Expr &low, const Expr &position,
                             Scope *scope);
  static std::int64_t common_divisor(const std::vector<Expr> &exprs, const VarPtr &v,
                                     std::int64_t micro);
  static std::int64_t aligned_step(const std::vector<Expr> &exprs, const VarPtr &v,
                                   std::int64_t micro, const Expr &min);
  static void check_covers(const Expr &value, std::int64_t micro, const Scope &scope,
                           const std::function<void()> &fail);
  static Expr below_dropped(const Expr &key);
  ir::Stmt in_iterations_beyond_axis(const IndexPlan &index, Scope scope, const ir::Stmt &then);
  ir::Stmt emit_keys(IndexPlan *index, const StoragePtr &keys);
  static Expr stored_access(const IndexPlan &index);
  /// What store_values keeps: the element at a position, and how many rows, at most `micro`.
  struct StoredRows {
    Expr access, rows;
    std::int64_t micro;
  };
  static StoredRows stored_rows(const IndexPlan &index, const Scope &scope);
  ir::Stmt emit_values(IndexPlan *index);
  static std::int64_t rows_of_values(const IndexPlan &index);
  static bool packs_columns(const IndexPlan &index);
  ir::Stmt load_operand(const IndexPlan &index, const Scope &scope, const GpuStrip &strip);
  Expr operand_at(const IndexPlan &index, const Scope &scope, const StoredRows &stored,
                  const std::vector<build::Axis> &axes, const Expr &position);
  ir::Stmt pack_values(const IndexPlan &index, const Scope &scope, const GpuStrip &strip,
                       const KeptEntries &kept);
  bool places_while_marking(const IndexPlan &index) const;
  void allocate_values(const IndexPlan &index);
  ir::Stmt emit_marks_in_producer(const Job &job, std::size_t level);
  ir::Stmt place_index(IndexPlan *index);
  ir::Stmt for_groups(const IndexPlan &index, Scope *scope, Expr *number,
                      const std::function<ir::Stmt()> &body);
  Expr kept_of(const IndexPlan &index) const;
  ir::Stmt with_sum_of_counts(const IndexPlan &index,
                              const std::function<ir::Stmt(const Expr &)> &body) const;
  ir::Stmt count_kept(const IndexPlan &index) const;
  void emit_output_indices();
  void emit_room_checks(const IndexPlan &index);
  void emit_shared_range_checks();
  void check_shared_range(const PlannedStage &stage, const IndexPlan &index,
                          std::source_location where);
  void emit_statistics();
  ir::Stmt count_passing(const IndexPlan &index, const StoragePtr &passing);

  // --- checks (emit_checks.cpp) ---

  void emit_input_checks();
  void emit_checks_before(const PlannedStage &stage);
  void emit_checks(const PlannedStage &stage, bool of_inputs_only);
  ir::Stmt emit_output_shapes();
  void check_compact_shape(const PlannedStage &stage, std::vector<ir::Stmt> *stmts);
  void check_index(const Access &access, std::size_t dimension, const std::string &name,
                   const Expr &low_limit, const Expr &extent, bool of_inputs_only);
  std::set<std::string> checked_;  ///< checks that are there already
  StoragePtr emit_coarse_check(const Access &access, const Expr &index,
                               const std::vector<AccessLoop> &all, const Expr &low_limit,
                               const Expr &extent);
  bool always_guard_data_ = false;
  /// Dimensions of tensors whose index only predicates keep in range: lanes that fail them must not
  /// load.
  std::set<std::pair<const StorageNode *, int>> narrowed_;
  struct IndexRange;
  IndexRange range_of(const Access &access, const Expr &index) const;
  static bool takes_its_whole_range(const Access &access, const Expr &index);
  static bool free_of(const std::vector<AccessLoop> &loops, const Expr &e);

  // --- loops of a GPU (emit_gpu.cpp) ---

  bool on_gpu() const { return plan_->target->is_cuda(); }
  ir::Stmt spread(const VarPtr &var, const Expr &extent, ir::ForKind otherwise,
                  const ir::Stmt &body) const;
  ir::Stmt spread(const std::vector<std::pair<VarPtr, Expr>> &loops, ir::ForKind outermost,
                  ir::Stmt body) const;
  static bool is_work_of_a_thread(const ir::Stmt &body, const Job *job = nullptr);
  static bool is_scalar(const ir::Stmt &body);
  ir::Stmt where(const Expr &condition, const ir::Stmt &stmts) const;
  ir::Stmt together(const ir::Stmt &stmts) const;

  // --- the outermost sequence ---

  /// Wraps everything that comes later.
  using Wrapper = std::function<ir::Stmt(ir::Stmt)>;
  std::vector<Wrapper> sequence_;
  void append(const ir::Stmt &stmt);
  void append_allocation(const StoragePtr &storage, std::vector<Expr> extents);
  StoragePtr statistics_;
  std::vector<std::string> statistic_names_;
  void record(const std::string &name, const Expr &value, std::vector<ir::Stmt> *stmts);

  static Expr index_load(const StoragePtr &storage, const Expr &i);
};

}  // namespace pit::lower
