#include "fragment_shape.h"

namespace pit::cuda {

// See ir::Layout.
FragmentShape::FragmentShape(const ir::Layout &layout, const ir::Coordinates &extents)
    : together(layout.together), columns(extents.size() > 1 ? extents[1] / layout.warps_n : 0) {
  const std::int64_t rows_of_warp = extents[0] / layout.warps_m;
  if (layout.kind == ir::Layout::Kind::Blocked) {
    constexpr int kLanesOfColumn = 4, kLanesOfRow = 8;
    run = layout.together;
    beside = layout.beside;
    lanes = kLanesOfRow;
    together = 1;
    group_rows = rows_of_warp;
    member_rows = 0;
    stride_ = beside;
    for (std::int64_t i = 0; i < rows_of_warp / kLanesOfColumn; ++i) {
      rows.push_back(i / run * (run * kLanesOfColumn) + i % run);
      numbers_.push_back(static_cast<int>(i * (columns / kLanesOfRow)));
    }
  } else {
    constexpr int kRowsOfWarp = 16, kHalf = 8, kLanesOfRow = 4;
    run = 1;
    beside = 2;
    lanes = kLanesOfRow;
    member_rows = kRowsOfWarp;
    group_rows = rows_of_warp * together;
    stride_ = 2 * beside;
    for (std::int64_t block = 0; block < rows_of_warp / kRowsOfWarp; ++block) {
      for (int half = 0; half < 2; ++half) {
        rows.push_back(block * kRowsOfWarp * together + half * kHalf);
        numbers_.push_back(static_cast<int>(block * columns / 2) + half * beside);
      }
    }
  }
  for (std::int64_t at = 0; at < columns; at += beside * lanes) units.push_back(at);
  const std::int64_t of_lane = (lanes - 1) * beside;
  if (layout.warps_n == 1)
    column_bits = of_lane;
  else if ((columns & (columns - 1)) == 0)
    column_bits = of_lane | -columns;
  else
    column_bits = -1;
}

}  // namespace pit::cuda
