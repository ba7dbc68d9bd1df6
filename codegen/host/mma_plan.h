// How an Mma is computed, decided before any code: its atom, from where its operands are packed, in
// which blocks, and the memory that takes. Analysis of the IR only.
#pragma once

#include <unordered_map>
#include <vector>

#include "generate.h"
#include "micro_kernel.h"
#include "operands.h"

namespace pit::host {

/// So few rows read the right operand where it lies: packing it would cost more than it gives.
inline constexpr std::int64_t kFewRows = 3;

/// How the right operand gets into panels.
enum class RightSource {
  Rows,     ///< a load that is contiguous along the columns; for some k perhaps zeros instead
  Columns,  ///< a load that is contiguous along k
  Other,    ///< any other value: it goes through a buffer
};

/// Axes that are one to the micro-kernel, which sees the positions of all of them in their order.
struct MmaGroup {
  std::vector<VarPtr> axes;
  std::int64_t bound = 1;  ///< of the number of positions; 0 = not known
};

struct MmaPlan {
  MmaRoles roles;
  const Atom *atom = nullptr;
  Expr left, right;              ///< values over the axes
  std::vector<Expr> conditions;  ///< nothing is added unless they hold; tested in this order
  MmaGroup rows, k;
  VarPtr column;
  std::int64_t column_bound = 0;
  std::vector<VarPtr> outer;  ///< loops around the blocks
  RightSource source = RightSource::Other;
  bool all_few = false;    ///< rows are never more than kFewRows
  bool some_few = false;   ///< they may be so few, and then the right operand is not packed
  bool by_panels = false;  ///< the right operand may be packed a panel at a time, for all rows
  bool gathered = false;   ///< its rows may be from all over memory
  /// The left operand is elements of one tensor, each at a place of its row and a place of its k.
  bool left_gathered = false;
  Blocks blocks{};  ///< no larger than the axes
  /// Packed rows in units; rows for a right operand that is not packed, if they are others; and the
  /// buffer of `Other`.
  StoragePtr packed_left, few_left, buffer;
  std::int64_t left_bytes = 0, right_bytes = 0, table_bytes = 0, buffer_bytes = 0;
  std::int64_t rows_bytes = 0, places_bytes = 0;  // tables of a gathered left operand
  std::int64_t bytes() const {
    return left_bytes + right_bytes + table_bytes + buffer_bytes + rows_bytes + places_bytes;
  }
};

/// The plans of all Mmas of the module that micro-kernels compute; the others are loops.
/// CompileError for an unknown atom.
std::unordered_map<const ir::StmtNode *, MmaPlan> plan_mmas(const ir::Module &module,
                                                            const Machine &machine,
                                                            const Variant &variant);

}  // namespace pit::host
