// Recognises kernels whose loop of loads and matrix multiplications can be pipelined.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "codegen/ir/atoms.h"
#include "codegen/ir/staged.h"
#include "pipeline.h"

namespace pit::lower {

/// An operand of the multiplications that is loaded.
struct PipelinedOperand {
  StoragePtr tile;  ///< as the kernel has it
  /// In shared memory, with the buffers as first dimension; of a standing operand the only one.
  StoragePtr buffers;
  bool standing = false;  ///< loaded before the loop, the same in all its steps
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
  /// Other tiles whose elements are where those of accumulators are, and what is computed of them:
  /// left operands of products and values of rows among them.
  std::map<const StorageNode *, ir::Placement> fragments;
  std::map<const VarNode *, ir::AxisBinding> axes;    ///< all of the kernel
  std::map<const VarNode *, ir::AxisBinding> padded;  ///< of products: whole tiles
  std::vector<const ir::Store *> index_loads;         ///< other stores to tiles in the loop

  /// Sums are used inside of the step that makes them.
  bool sums_in_step = false;
  /// Of these: the first product of a step needs nothing of the one before, so that it can be made
  /// together with the last ones of that.
  bool first_ahead = false;
  int producer_registers = 112;  ///< of each thread; the consumers get what is left

  const PipelinedOperand *operand(const StoragePtr &tile) const;
  bool in_registers(const StoragePtr &tile) const {
    return accumulators.contains(tile.get()) || fragments.contains(tile.get());
  }
  const PipelinedOperand *loaded_by(const ir::Stmt &s) const;
};

/// The store sets elements to a constant.
bool is_fill(const ir::Store &store);

/// The registers that a thread of the consumers has, when producers have given theirs away.
int consumer_registers(const PipelineOptions &options, int producer_registers);

/// Fills *form, or says why the kernel has not the form.
std::string find_pipeline(const ir::Launch &launch, const PipelineOptions &options,
                          PipelineForm *form);

}  // namespace pit::lower
