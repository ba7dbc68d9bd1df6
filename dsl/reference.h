// What an algorithm means: the values of its Funcs, evaluated directly from their definitions.
//
// The oracle that compiled pipelines are tested against. A schedule changes nothing here but the
// interface: the layout of outputs that are store_compact, and the indices that are outputs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "buffer.h"
#include "pipeline.h"
#include "reference_value.h"

namespace pit {

/// Evaluates a pipeline on given inputs, on demand.
///
/// Numbers: float arithmetic happens in double; values are rounded where a cast narrows them and
/// where they are stored in a Func or tensor of a 16-bit type. Integers wrap in their type. Sums
/// run over their domains in order. A softmax term with score -infinity has no weight.
///
/// Errors: RuntimeError for missing or wrong inputs, an index out of range (naming the tensor, the
/// index, the extent, and the Func with its coordinates), a Func read where it has no value, and
/// entries that do not fit the caller's buffers.
///
/// Inputs are borrowed handles; their elements must not change while the Reference is used.
///
/// Thread safety: one Reference is for one thread; several may share inputs.
class Reference {
 public:
  using Tensors = std::map<std::string, AnyBuffer>;  ///< by name, as in Pipeline::signature()
  using Scalars = std::map<std::string, double>;
  using Bounded = reference::Bounded;

  /// `output_extents`: of outputs by Func name, for value(), bounded(), and position queries; run()
  /// takes them from its buffers. Only needed for updates whose Vars are not free (see
  /// reference_func.h) and for compact layouts.
  Reference(const Pipeline &pipeline, Tensors inputs, Scalars scalars = {},
            std::map<std::string, Shape> output_extents = {});
  ~Reference();
  Reference(Reference &&) noexcept;
  Reference &operator=(Reference &&) noexcept;

  /// Component `component` of a Func at coordinates. Integers are converted.
  double value(const Func &func, const Shape &coordinates, int component = 0);
  /// The same with an error bound: a correct float32 program gives y with |y - value| <= c * 2^-24
  /// * bound, c about 4, or the square root of the longest sum if that is more. Integers have bound
  /// 0.
  Bounded bounded(const Func &func, const Shape &coordinates, int component = 0);
  /// Whether Func::where holds.
  bool has_value(const Func &func, const Shape &coordinates);

  /// Fills outputs: tensors by the names of signature(), indices as name.offsets, name.coordinates,
  /// name.count. All of them must be given. Elements where a Func has no value, and entries past
  /// the end of the lists, keep their bytes. Nothing is written when there is an error. `bounds`,
  /// if given, gets for each output tensor a float64 buffer of its extents with the error bounds,
  /// to which the rounding to the output's own type is added; -1 where nothing is written.
  void run(const Tensors &outputs, Tensors *bounds = nullptr);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pit
