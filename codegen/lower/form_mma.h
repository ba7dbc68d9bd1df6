// Sums of products become matrix multiply-accumulates.
#pragma once

#include <map>
#include <source_location>
#include <string>

#include "codegen/ir/ir.h"

namespace pit::lower {

/// What the schedule says of one sum.
struct SumChoice {
  std::string definition;        ///< whose sum it is: "C.update(0)"
  std::string atom;              ///< by name; empty: the back end's choice
  std::source_location where{};  ///< of atom()
  bool strict = false;  ///< a masked term is not computed at all, so a mask by zeros does not do
  int stages = 0;       ///< software_pipeline; 0: not said
  std::source_location pipelined_at{};  ///< of software_pipeline()
  int producer_warps = 0;               ///< warp_specialize; 0: not said
  int consumer_warpgroups = 0;
  ir::Stmt sum;  ///< the statement itself, which keeps its address
};
using SumChoices = std::map<const ir::Store *, SumChoice>;

/// The same of the products that are made of sums, by the tile of their left operand.
using ProductChoices = std::map<StoragePtr, SumChoice>;

/// Rewrites every `reduce +=` over axes whose value is a product of two factors that share exactly
/// the reduced axes (and batch axes) into tiles for the two operands and an Mma into a tile. A
/// guard goes to every operand that holds all its axes, as a select with zero; a reduction with a
/// guard that no operand holds stays as it is. An operand that is a widening of narrower elements
/// is kept narrow: the multiply widens. A sum into memory goes through a tile that starts at zero.
/// Neighbouring sums share the operands that they have in common. Runs once the logical statements
/// exist and before anything looks at layouts. CompileError when a sum that names an atom is no
/// such product, with the reason. `host_sizes`: the host sizes all memory, so that no tile may be
/// as large as data says. Adds to `products` the choices of the sums that become products.
ir::Module form_mma(const ir::Module &module, const SumChoices &choices, bool host_sizes,
                    ProductChoices *products);

}  // namespace pit::lower
