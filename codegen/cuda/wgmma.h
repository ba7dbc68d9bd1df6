// The matrix instructions of warpgroups: descriptors of their operands in shared memory, and their
// PTX.
#pragma once

#include <cstdint>
#include <string>

#include "codegen/ir/layout.h"
#include "dsl/type.h"

namespace pit::cuda {

/// An operand of wgmma: a tile of two dimensions with a swizzled layout, of which one is k.
struct WgmmaOperand {
  ir::Layout layout;
  ir::Coordinates extents;
  int k;  ///< its dimension

  /// k is contiguous; otherwise the instruction transposes.
  bool k_major() const { return layout.dimension == k; }
  std::int64_t rows() const { return extents[static_cast<std::size_t>(1 - layout.dimension)]; }
  /// The descriptor of a matrix that starts at address 0.
  std::uint64_t descriptor() const;
  /// The bytes from the tile's start to row (or column) `at`, and step `k16` of 16 along k; -1
  /// where no descriptor can start.
  std::int64_t offset(std::int64_t at, std::int64_t k16) const;
};

/// Elements of an operand are of 2 bytes.
inline constexpr std::int64_t kWgmmaElementBytes = 2;
inline constexpr std::int64_t kWgmmaRows = 64, kWgmmaDepth = 16, kWgmmaColumns = 256;

/// Instructions that multiply one step of 16 after the other and add to the same accumulators $0,
/// $1, ..., results that are tied to inputs; without `adds` the first one sets them. Behind these
/// come for each step the four registers of its left operand or that's descriptor, and the right
/// one's descriptor. They are one piece of assembly: LLVM takes its time for each of many operands.
struct WgmmaInstructions {
  std::int64_t columns;
  Type type;  ///< of operands: float16 or bfloat16
  bool a_in_registers, a_transposed, b_transposed;
  std::int64_t steps;
  bool adds;

  /// "wgmma.mma_async.sync.aligned.m64n<columns>k16...; wgmma..."
  std::string text() const;
  std::string constraints() const;
};
/// "=f,=f,...": of so many registers that are results; `kind` is f or r. `early`: they are set
/// before all inputs are read.
std::string set_registers(std::int64_t count, char kind, bool early = false);
/// "=f,=f,...,0,1,...": of so many registers that are results and inputs; `kind` is f or r.
std::string tied_registers(std::int64_t count, char kind);

}  // namespace pit::cuda
