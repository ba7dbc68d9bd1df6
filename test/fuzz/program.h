// A drawn program: an algorithm with data that fit it.
#pragma once

#include <pit/pit.h>

#include <string>
#include <utility>
#include <vector>

#include "choices.h"

namespace pit::fuzz {

/// What the elements of a tensor are.
enum class Content : std::uint8_t {
  Small,    ///< integers in [-3, 3] (unsigned: [0, 3]), some of them 0
  Index,    ///< in [0, limit)
  Key,      ///< in [-1, limit)
  Offsets,  ///< rising from 0 to at most limit
};

struct DrawnTensor {
  TensorParam param;
  Shape extents;
  Content content = Content::Small;
  std::int64_t limit = 0;
};

/// A Func and how far its coordinates may go: every read of it stays in [0, extents).
struct DrawnFunc {
  Func func;
  std::vector<Var> vars;
  Shape extents;
  double bound = 0;                 ///< of the absolute value, after `readable`
  bool softmax = false;             ///< components are the state
  bool exact = true;                ///< every value is an integer
  bool infinite = false;            ///< may hold the identity of min or max
  std::int64_t key_component = -1;  ///< this component is an index in [0, key_limit)
  std::int64_t key_limit = 0;
  bool scattered = false;   ///< an update may write anywhere in extents
  bool restricted = false;  ///< has a where
  bool beside = false;      ///< of most use as an output beside the last Func
};

struct DrawnProgram {
  std::vector<DrawnTensor> tensors;
  std::vector<std::pair<ParamPtr, double>> scalars;
  std::vector<RDom> domains;           ///< kept while definitions are made of their variables
  std::vector<DrawnFunc> funcs;        ///< producers before consumers
  std::vector<std::size_t> outputs;    ///< in funcs
  std::vector<Shape> output_extents;   ///< of the outputs, as the caller gives them
  bool exact = true;                   ///< every value is a small integer
  std::vector<SparseIndex> indices{};  ///< made by the schedule

  std::vector<SparseIndex> output_indices{};  ///< at most one
  std::int64_t strip = 0;  ///< of an attention: rows that share what data say of their keys

  Pipeline pipeline() const;
  /// Extents that an output tensor or index of the signature needs in the worst case, as it is
  /// scheduled. Empty (for an argument that has a rank) when they are not known.
  Shape argument_extents(const Argument &argument) const;
};

/// Draws an algorithm.
DrawnProgram draw_program(Choices *choices);

/// C++-like text of the algorithm, its schedule and shapes.
std::string to_text(const DrawnProgram &program);

}  // namespace pit::fuzz
