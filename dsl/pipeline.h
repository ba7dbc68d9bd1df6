// Pipelines: outputs, schedule and signature; compiling and calling them.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "func.h"
#include "schedule.h"
#include "target.h"
#include "tensor.h"

namespace pit {

/// One argument of a compiled pipeline.
struct Argument {
  enum class Kind : std::uint8_t {
    InputTensor,
    Scalar,
    OutputTensor,
    IndexOffsets,
    IndexCoordinates,
    IndexCount
  };
  Kind kind;
  std::string name;
  Type type;
  int rank = 0;         ///< 0 for scalars
  StoragePtr tensor{};  ///< InputTensor
  ParamPtr param{};     ///< Scalar
  FuncPtr func{};       ///< OutputTensor
  int component = 0;    ///< OutputTensor: of a Tuple
  IndexPtr index{};     ///< Index...
};

class Callable;

/// What can be written of a compiled pipeline.
enum class Emit : std::uint8_t {
  StaticLibrary,  ///< PREFIX.a: code for all targets, chosen when it is called
  CHeader,        ///< PREFIX.h: how C and C++ call it
  Objects,        ///< PREFIX.*.o: the members of PREFIX.a
  Ptx,            ///< PREFIX.TARGET.ptx, of CUDA targets
  Cubin,          ///< PREFIX.TARGET.cubin, of CUDA targets, where ptxas is installed
  LlvmIr,         ///< PREFIX.TARGET.ll: of the host's function, or of the kernels
  TileIr,         ///< PREFIX.TARGET.pit
  Schedule,       ///< PREFIX.schedule: see Schedule::parse
  Html,           ///< PREFIX.html: schedule, explanations and tile IR to look at
  Explanation     ///< PREFIX.TARGET.txt: explain()
};

/// The outputs of an algorithm, with the schedule that the Funcs carry or one given by `with`. A
/// value; copies share Funcs.
class Pipeline {
 public:
  /// Outputs are distinct, defined Funcs. `indices` become outputs too: offsets int32[groups + 1],
  /// coordinates int32[capacity] (element coordinates on the axis) and count int32[1] each.
  Pipeline(std::initializer_list<Func> outputs, std::initializer_list<SparseIndex> indices = {},
           std::string name = "", std::source_location where = std::source_location::current());
  Pipeline(const std::vector<Func> &outputs, const std::vector<SparseIndex> &indices,
           std::string name, std::source_location where = std::source_location::current());

  const std::string &name() const { return name_; }  ///< default: the first output's name
  const std::vector<FuncPtr> &outputs() const { return outputs_; }
  const std::vector<IndexPtr> &output_indices() const { return indices_; }

  /// Every Func that the outputs reach (hidden ones too), producers before consumers.
  std::vector<FuncPtr> funcs() const;
  /// Input tensors and scalars in order of first use (walking funcs() in order, then schedule),
  /// then outputs: one tensor for each component of each output Func, then the indices. The rank of
  /// an output that is store_compact is that of its compact layout.
  std::vector<Argument> signature() const;

  Schedule schedule() const;
  /// The same algorithm under another schedule.
  Pipeline with(const Schedule &schedule) const;

  /// For every definition: rule, proof, index kind, staging, atoms; for people.
  std::string explain(const Target &target = {}) const;

  /// Compiles for all shapes. Arguments of a call come in the order of signature(), or in that of
  /// `inputs` (which must name every input once) followed by the outputs. Defined in codegen/emit.
  Callable compile(const Target &target = {}) const;
  Callable compile(const std::vector<std::string> &inputs, const Target &target = {},
                   std::source_location where = std::source_location::current()) const;

  /// Writes an operator that needs no compiler: PREFIX.a and PREFIX.h. The last part of `prefix`
  /// names the function, an identifier of C. `inputs` as in `compile`. A call runs the code of the
  /// most special target that the CPU and the tensors' device can run. The same pipeline and
  /// targets give the same bytes. Files appear whole or not at all.
  ///
  /// Errors: CompileError for no target or one named twice, for what cannot be compiled for a
  /// target, and for a file that cannot be written. Defined in codegen/emit.
  void compile_to_static_library(
      const std::string &prefix, const std::vector<std::string> &inputs,
      const std::vector<Target> &targets,
      std::source_location where = std::source_location::current()) const;

  /// The same for any of the files. Returns the paths that it wrote.
  std::vector<std::string> compile_to(
      const std::set<Emit> &files, const std::string &prefix,
      const std::vector<std::string> &inputs, const std::vector<Target> &targets,
      std::source_location where = std::source_location::current()) const;

 private:
  std::string name_;
  std::vector<FuncPtr> outputs_;
  std::vector<IndexPtr> indices_;
  std::optional<Schedule> schedule_;
};

}  // namespace pit
