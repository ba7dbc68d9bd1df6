// Random schedules, step by step: a step that the library refuses is taken back.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "program.h"

namespace pit::fuzz {

/// What became of the steps of one kind.
struct StepCounts {
  std::uint32_t refused_at_call = 0, refused_by_lowering = 0, accepted = 0;
};

enum class Step : std::uint8_t {
  Split,
  Tile,
  Fuse,
  Reorder,
  Parallel,
  Vectorize,
  Unroll,
  Gpu,
  Hints,
  ComputeRoot,
  ComputeAt,
  ComputeInline,
  ComputeWith,
  PitTile,
  SharedIndex,
  StoreCompact,
  ReorderStorage,
  Strict,
  Atomic,
  Specialize,
  ProductTile,
  AttentionTile
};
inline constexpr std::size_t kSteps = static_cast<std::size_t>(Step::AttentionTile) + 1;
const char *to_string(Step step);
using ScheduleCounts = std::array<StepCounts, kSteps>;

/// What a schedule is drawn with. `try_lower` throws CompileError for what is illegal; `refused` is
/// told of every refusal.
struct ScheduleContext {
  std::function<void()> try_lower;
  std::function<void(Step, const CompileError &)> refused;
  ScheduleCounts *counts;
};

/// Directives said of the Funcs of `program`, all of which the library accepts.
void draw_schedule(Choices *choices, DrawnProgram *program, const ScheduleContext &context);

/// What steps are made of. A handle on a definition is a Definition; hidden Funcs have them too.
class Steps {
 public:
  Steps(Choices *choices, DrawnProgram *program) : choices_(*choices), program_(*program) {}

  void refresh();  ///< after the Funcs' directives have changed
  /// Says the directives of a drawn step; CompileError when one is refused. False: there was
  /// nothing to say.
  bool say(Step step);

 private:
  friend void draw_schedule(Choices *, DrawnProgram *, const ScheduleContext &);

  // schedule_loops.cpp
  bool say_loops(Step step, Definition d);
  bool compute_at();
  bool compute_level(Step step);
  bool compute_with();
  bool specialize();
  // schedule_product.cpp
  bool product_tile();
  // schedule_attention.cpp
  bool attention_tile();
  Var keys_tile(Definition update, const VarOrRVar &row, std::int64_t rows, std::int64_t keys);
  void bound_channels(const FuncPtr &reader);
  // schedule_pit.cpp
  bool pit_tile(bool shared);
  bool store_compact();
  bool compact_by_index(Func f);
  IndexSpec draw_index(Definition *d);
  Extents draw_dense(const Definition &d, const VarPtr &axis, const Extents &micro,
                     const std::vector<VarPtr> &group);
  void settings(SparseIndex *index);
  void mark_in_producer(SparseIndex *index);
  void around_tile(Definition d, const Var &tile, const VarPtr &axis);

  Definition any_definition();
  static Combiner combiner_of(const Definition &d) {
    return d.func()->definitions[static_cast<std::size_t>(d.number())].combiner;
  }
  static bool said(const FuncNode &func, DirectiveKind kind, int definition = 0);
  /// Where it is computed has been said.
  static bool placed(const FuncNode &func);
  std::vector<VarPtr> loops(const Definition &d) const;
  Var fresh() { return Var("x" + std::to_string(loops_made_++)); }
  std::int64_t factor() {
    return choices_.pick(std::vector<std::int64_t>{4, 1, 2, 3, 5, 8, 16, 32});
  }
  VarOrRVar loop(const VarPtr &v) const { return VarOrRVar(v); }

  Choices &choices_;
  DrawnProgram &program_;
  std::vector<FuncPtr> funcs_;           ///< reachable, producers first
  std::vector<Definition> definitions_;  ///< of all Funcs, then specializations
  std::vector<Definition> specializations_;
  int loops_made_ = 0;
};

}  // namespace pit::fuzz
