// What is realised where: the pipeline after inlining, before any loop exists.
//
// A *stage* is a Func that gets storage. Its definitions are copies of the user's with inlined
// Funcs substituted, so that later parts see only calls of stages. The plan also holds what is
// known of every sparse index.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "codegen/ir/ir.h"
#include "dsl/pipeline.h"
#include "lower.h"

namespace pit::lower {

/// Where a stage is computed. Innermost: at each use (inline reductions).
enum class Level : std::uint8_t { Root, At, With, Innermost };

/// One definition of a stage.
struct PlannedDefinition {
  int number = 0;  ///< 0 = pure
  std::vector<Expr> args, values;
  Combiner combiner = Combiner::Assign;
  std::vector<ReductionDim> domain;
  std::vector<Expr> predicates;  ///< conjuncts in order: Func::where, demand, then the domain's
  std::vector<Directive> directives;  ///< of the general case
  std::vector<std::pair<Expr, std::vector<Directive>>>
      specializations;                     ///< condition, its directives
  const DefinitionData *source = nullptr;  ///< the user's definition, for legality

  bool has(DirectiveKind kind) const;
  /// "C.update(0)", with ".specialization(1)" when `under` are the directives of one.
  std::string name_under(const FuncNode &func, const std::vector<Directive> &under) const;
};

/// Half-open range of one dimension: min <= x < min + extent.
struct Range {
  Expr min, extent;
};

struct IndexPlan;

struct PlannedStage {
  FuncPtr func;
  Level level = Level::Root;
  PlannedStage *consumer = nullptr;  ///< At, With
  int consumer_definition = 0;
  VarPtr consumer_loop;
  std::vector<PlannedDefinition> definitions;
  std::vector<int> storage_order;  ///< dimension at each storage position, outermost first
  IndexPlan *compact = nullptr;
  std::map<const VarNode *, Range> declared_bounds;
  bool is_output = false;
  std::source_location where{};

  std::vector<Range> region;  ///< per Var: what is computed at root; of a stage at a tile undefined
                              ///< where not known
  std::vector<StoragePtr> storages;  ///< at root: one a component

  const std::string &name() const { return func->name; }
  int slots_dimension() const { return static_cast<int>(func->args.size()) - 1; }
  bool is_top_k() const;
  bool is_softmax() const;
};

/// How the positions of a group are found.
/// List: built from marks. Keyed: built by sorting keys. Range: contiguous, nothing to build.
/// Given: the caller's.
enum class IndexKind : std::uint8_t { List, Keyed, Range, Given };

/// One coordinate of a group: variable v divided by its micro extent.
struct GroupVar {
  VarPtr var;
  std::int64_t micro = 1;
  bool reduction = false;
  Range range;  ///< of the variable
  Expr groups;  ///< ceil(extent / micro)
};

/// A sparse index as lowering sees it.
struct IndexPlan {
  IndexPtr node;
  PlannedStage *stage = nullptr;
  int definition = 0;
  IndexKind kind = IndexKind::List;

  VarPtr axis;  ///< an original variable, or the fused one
  std::vector<VarPtr>
      axis_parts;  ///< the original variables of a fused axis, outermost first (else {axis})
  std::vector<Range> axis_part_ranges;
  Range axis_range;
  bool data_dependent_range = false;  ///< a sequence whose bounds read tensors
  std::int64_t micro = 1;             ///< of the axis

  std::vector<GroupVar> group;   ///< without a key
  Expr key;                      ///< Keyed: over the original variables
  StoragePtr segment_offsets;    ///< Range: group = segment(offsets, axis)
  std::vector<Expr> predicates;  ///< conjuncts over the original variables
  /// Keyed: conjuncts that read more than the axis, and the variables that they read, outermost
  /// first. They say nothing of a whole position, but only of one that they let through must the
  /// key be a group.
  std::vector<Expr> unlisted;
  std::vector<std::pair<VarPtr, Range>> beyond_axis;
  std::vector<ReductionDim>
      covered;  ///< other reduction variables that the predicates read: part of the micro-tile

  Expr groups;  ///< number of groups
  Expr length;  ///< candidates of a group (in micro-tiles); undefined when data-dependent
  /// Of a GPU target: `length` is the most that there may be, because the range reads memory;
  /// candidates of all groups there is room for, when they differ between groups; and where
  /// positions end at the latest.
  bool length_is_bound = false;
  Expr most_candidates, axis_end;
  Expr capacity;  ///< entries that the lists have room for
  StoragePtr counts, offsets, coordinates, position, full, values, kept,
      starts;        ///< kept: entries without padding; starts: mark_offsets of ragged candidates
  StoragePtr first;  ///< first coordinate of each group, when it differs between groups
  StoragePtr output_offsets, output_coordinates, output_count;  ///< of an index that is an output
  StoragePtr marks;                                             ///< kept when marked in a producer
  bool wants_position = false;
  bool exact = false;     ///< somebody sees the lists: a micro-tile is kept only if one iteration
                          ///< passes all conjuncts
  bool totalled = false;  ///< exact, or a condition asks how much is kept in all groups together
  bool full_means_all_pass =
      false;  ///< full: every iteration passes; else: the micro-tile lies inside the domain
  PlannedStage *mark_stage = nullptr;  ///< compute_at(F, v)
  VarPtr mark_loop;
  bool built = false;

  const std::string &name() const { return node->name; }
};

/// The whole pipeline.
struct Plan {
  const Pipeline *pipeline = nullptr;
  const Target *target = nullptr;
  std::vector<std::unique_ptr<PlannedStage>> stages;  ///< producers before consumers
  std::map<const FuncNode *, PlannedStage *> stage_of;
  std::vector<std::unique_ptr<IndexPlan>> indices;
  std::map<const IndexNode *, IndexPlan *> index_of;
  std::vector<std::pair<VarPtr, Expr>>
      lets;  ///< extents and the like, computed once before everything, in order
  std::vector<Explanation> *explanation = nullptr;

  /// A variable that stands for `value` everywhere (the value itself when it is a constant or a
  /// variable).
  Expr name_value(const std::string &name, const Expr &value);
  void explain(const std::string &subject, const std::string &topic, const std::string &text) const;
  /// The stage that `call` reads.
  PlannedStage *stage(const Call &call) const { return stage_of.at(call.func); }
};

/// Decides levels, inlines pure Funcs, attaches directives and checks that consumers and loops
/// exist.
Plan make_plan(const Pipeline &pipeline, const Target &target);

/// Carries Func::where to the producers: a stage at root whose every use is guarded is only
/// computed where it is used. CompileError when a Func is read where it has no value.
void propagate_demand(Plan *plan);

/// Infers region of every stage at root from its uses (outputs: from the caller's buffers), and the
/// ranges of indices.
void infer_regions(Plan *plan);

/// The caller gets the lists of the index.
bool is_output(const Plan &plan, const IndexPlan &index);

/// A value or predicate of the pipeline is computed from the lists of the index, or, with
/// `in_conditions`, a condition of a specialization.
bool is_asked_for(const Plan &plan, const IndexPlan &index, bool in_conditions);
/// Whether the result of a call says in which order the lists are: they are an output, or a Func in
/// their order is, or an expression asks for a position.
bool order_is_seen(const Plan &plan, const IndexPlan &index);

/// Resolves every index: kind, group, predicates (needs regions).
void plan_indices(Plan *plan);

}  // namespace pit::lower
