// Which elements of a tile in registers a thread holds, as loops over them need it.
#pragma once

#include <cstdint>
#include <vector>

#include "codegen/ir/layout.h"

namespace pit::cuda {

/// A thread's elements of an Accumulator, OperandA (of 2-byte elements) or Blocked fragment of two
/// dimensions: at each of `rows`, from its first row, units of `beside` consecutive elements at
/// each of `units`, from its first column. Of values of rows: one at each of `rows`, and no units.
///
/// With warp_m and warp_n of the layout, the first row is warp_m / together * group_rows + warp_m %
/// together * member_rows + lane / lanes * run, the first column warp_n * columns + lane % lanes *
/// beside.
struct FragmentShape {
  std::vector<std::int64_t> rows, units;
  int beside, run;
  std::int64_t lanes;  ///< that hold a row's elements
  int together;
  std::int64_t group_rows, member_rows, columns;
  std::int64_t column_bits;  ///< that the number of a first column may have

  /// The first element's number of a unit of a row.
  int number(std::size_t row, std::size_t unit) const {
    return numbers_[row] + static_cast<int>(unit) * stride_;
  }

  FragmentShape(const ir::Layout &layout, const ir::Coordinates &extents);

 private:
  std::vector<int> numbers_;  // of the first unit of a row
  int stride_;                // from unit to unit
};

}  // namespace pit::cuda
