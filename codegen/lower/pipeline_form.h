// Recognises kernels whose loop of loads and matrix multiplications can be pipelined.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "codegen/ir/atoms.h"
#include "codegen/ir/staged.h"
#include "pipeline.h"

namespace pit::lower {

/// An operand of the multiplications that the loop loads.
struct PipelinedOperand {
  StoragePtr tile;     ///< as the loop has it
  StoragePtr buffers;  ///< in shared memory, with the buffers as first dimension
  ir::Coordinates extents;
  ir::Placement placement;
  const ir::Store *load = nullptr;
  ir::CopyEngine engine = ir::CopyEngine::Async;
  std::vector<Expr> guards;      ///< of the load, with its conditions, in the loop's axes
  std::vector<Expr> box_guards;  ///< of a Bulk copy: the same, as index < extent of the source
  Expr value;                    ///< the one element that is loaded
  /// In a cluster, of a shared operand: this dimension is copied in parts, along an axis of its
  /// own.
  int shared_dimension = -1;
  ir::AxisBinding part;

  /// The loop's axis that dimension d of the tile is.
  const VarPtr &axis(std::size_t d) const { return load->indices[d].as<Variable>()->var; }
};

/// What the pass needs to know of a kernel.
struct PipelineForm {
  const ir::For *loop = nullptr;
  std::vector<const ir::Mma *> products;
  std::vector<const ir::Atom *> atoms;  ///< of each product
  std::vector<PipelinedOperand> operands;
  std::map<const StorageNode *, ir::Placement> accumulators;
  std::map<const VarNode *, ir::AxisBinding> axes;    ///< all of the kernel
  std::map<const VarNode *, ir::AxisBinding> padded;  ///< of products: whole tiles
  std::vector<const ir::Store *> index_loads;         ///< other stores to tiles in the loop

  const PipelinedOperand *operand(const StoragePtr &tile) const;
  const PipelinedOperand *loaded_by(const ir::Stmt &s) const;
};

/// Fills *form, or says why the kernel has not the form.
std::string find_pipeline(const ir::Launch &launch, const PipelineOptions &options,
                          PipelineForm *form);

}  // namespace pit::lower
