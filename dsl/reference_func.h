// The value of a Func at a coordinate, evaluated on demand and remembered.
//
// A Func's dimension is *free* when all its updates keep it: the left-hand side and every self call
// have the Func's own Var there. Along free dimensions coordinates do not influence each other, so
// a *slice* (fixed coordinates of the free dimensions) is evaluated at a time: the pure definition,
// then each update over all its iterations in lexicographic order. Mostly all dimensions are free,
// and a slice is one coordinate.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "func.h"
#include "reference_expr.h"
#include "reference_memo.h"

namespace pit::reference {

/// One loop of a definition.
template <class V>
struct Loop {
  int slot;
  CodePtr<V> min, extent;  ///< null for a Var that is not free: it covers the Func's range
  int dimension = -1;      ///< of that Var
};

/// One update, compiled.
template <class V>
struct Update {
  Combiner combiner = Combiner::Assign;
  std::vector<Loop<V>> loops;
  std::vector<std::vector<CodePtr<V>>>
      tests;  ///< predicates to test once `level` loops are entered
  std::vector<CodePtr<V>> args, values;
  Type weights = float32;  ///< of a softmax, where values are multiplied by them
};

template <class V>
class FuncValues final : public Values<V> {
 public:
  /// `extents`: of the Func's dimensions where they are known (outputs), else empty.
  FuncValues(FuncNode &func, Environment<V> &environment, std::vector<std::int64_t> extents);

  /// RuntimeError where Func::where does not hold, or an index is out of range.
  Cell<V> at(const std::int64_t *coordinates, int component) override;
  bool has_value(const std::int64_t *coordinates);
  /// Numbers that are kept of each coordinate: the components, and behind those of a softmax one
  /// more.
  int width() const { return width_; }
  /// All that is kept of a coordinate, not remembered for the next time.
  void all(const std::int64_t *coordinates, Cell<V> *cells);

 private:
  /// Reads the slice that is being evaluated.
  struct SelfReader final : Values<V> {
    FuncValues *owner = nullptr;
    Cell<V> at(const std::int64_t *coordinates, int component) override;
  };

  void find_free_dimensions();
  void compile_pure();
  Update<V> compile_update(const DefinitionData &definition);
  void add_tests(const DefinitionData &definition, const Scope<V> &scope, Update<V> *update);
  bool is_cheap() const;

  bool predicates_hold(Frame<V> &frame);
  void evaluate(const std::int64_t *coordinates, Cell<V> *cells);
  void evaluate_point(Frame<V> &frame, Cell<V> *cells);
  void evaluate_pure(Frame<V> &frame, Cell<V> *cells);
  void evaluate_ranked(Frame<V> &frame, Cell<V> *cells);
  void update_state(const Update<V> &update, Frame<V> &frame, Cell<V> *cells);

  struct Slice {
    Memo<Cell<V>> state;
    /// Range of the Vars that are not free: the Func's extents where they are known, and all that
    /// has been asked for.
    std::vector<std::int64_t> begin, end;
  };
  Slice &slice_of(const std::int64_t *coordinates);
  void evaluate_slice(Slice *slice, const std::int64_t *coordinates);
  Cell<V> *touch(Slice *slice, const std::int64_t *coordinates);

  template <class Body>
  void iterate(const Update<V> &update, std::size_t level, Frame<V> &frame, const Body &body);
  template <class Action>
  auto located(const std::int64_t *coordinates, const Action &action);
  std::string place(const std::int64_t *coordinates) const;

  FuncNode &func_;
  Environment<V> &environment_;
  std::vector<std::int64_t> extents_;
  int rank_, width_;
  std::vector<bool> free_, ranged_;  ///< ranged: not free, and some update loops over its Var
  bool all_free_ = true, cheap_ = false;
  std::vector<CodePtr<V>> predicates_, pure_;
  std::vector<Update<V>> updates_;
  Memo<Cell<V>> memo_;

  SelfReader self_;
  Memo<Cell<V>> slice_numbers_;  ///< by coordinates with 0 in the dimensions that are not free
  std::vector<std::unique_ptr<Slice>> slices_;
  Slice *current_ = nullptr;

  struct Ranked {
    V key;
    std::int64_t integer_key, coordinate;
  };
  Memo<Cell<V>> ranking_numbers_;  ///< by coordinates without the slot
  std::vector<std::vector<Ranked>> rankings_;
};

}  // namespace pit::reference
