#include "layout.h"

#include <utility>

#include "dsl/error.h"

namespace pit::ir {
namespace {

constexpr int kRowsOfWarp = 16, kHalves = 2, kLanes = 32, kChunk = 16;
// Of a warp whose layout is Blocked.
constexpr int kLanesOfColumn = 4, kLanesOfRow = 8;

std::int64_t product(const Coordinates &extents, std::size_t from, std::size_t to) {
  std::int64_t size = 1;
  for (std::size_t d = from; d < to; ++d) size *= extents[d];
  return size;
}
std::int64_t product(const Coordinates &extents) { return product(extents, 0, extents.size()); }

/// The row-major number of the coordinates but `skip`'s, and its inverse.
std::int64_t number_of(const Coordinates &extents, const Coordinates &at, std::size_t from,
                       std::size_t to, std::size_t skip) {
  std::int64_t number = 0;
  for (std::size_t d = from; d < to; ++d)
    if (d != skip) number = number * extents[d] + at[d];
  return number;
}
void set_number(const Coordinates &extents, std::int64_t number, std::size_t from, std::size_t to,
                std::size_t skip, Coordinates *at) {
  for (std::size_t d = to; d-- > from;) {
    if (d == skip) continue;
    (*at)[d] = number % extents[d];
    number /= extents[d];
  }
}
constexpr std::size_t kNone = ~std::size_t{0};

std::size_t dimension_of(const Layout &layout) {
  return static_cast<std::size_t>(layout.dimension);
}

/// What a line's chunks are exchanged by.
std::int64_t exchange(int swizzle, std::int64_t row) {
  return (row * swizzle >> 7) & (swizzle / kChunk - 1);
}

int adjacent(const Layout &layout, int element_bytes) {
  return layout.kind == Layout::Kind::Accumulator ? 2 : 4 / element_bytes;
}

struct Grid {
  std::int64_t rows, columns;
};
Grid grid_of(const Layout &layout, const Coordinates &extents) {
  const std::size_t split = dimension_of(layout);
  return {product(extents, 0, split), product(extents, split, extents.size())};
}
Coordinates from_grid(const Layout &layout, const Coordinates &extents, std::int64_t row,
                      std::int64_t column) {
  const std::size_t split = dimension_of(layout);
  Coordinates at(extents.size());
  set_number(extents, row, 0, split, kNone, &at);
  set_number(extents, column, split, extents.size(), kNone, &at);
  return at;
}

/// "the rows (30) are no multiple of 8", or empty.
std::string multiple(const char *what, std::int64_t value, std::int64_t of) {
  if (value > 0 && value % of == 0) return "";
  return std::string(what) + " (" + std::to_string(value) + ") are no multiple of " +
         std::to_string(of);
}

std::string blocked_error(const Layout &layout, const Coordinates &extents) {
  if (layout.warps_m < 1 || layout.warps_n < 1) return "a fragment has no warps";
  if (layout.together < 1 || layout.beside < 1) return "a block of a thread is empty";
  const Grid grid = grid_of(layout, extents);
  std::string error =
      multiple("the rows", grid.rows, kLanesOfColumn * layout.together * layout.warps_m);
  return error.empty()
             ? multiple("the columns", grid.columns, kLanesOfRow * layout.beside * layout.warps_n)
             : error;
}

/// Of `count` places that `lanes` lanes take in turns of `run`: whose `place` is, and which of its
/// own.
struct Turn {
  std::int64_t lane, number;
};
Turn turn_of(std::int64_t place, std::int64_t lanes, std::int64_t run) {
  return {place / run % lanes, place / (run * lanes) * run + place % run};
}
std::int64_t place_of(Turn turn, std::int64_t lanes, std::int64_t run) {
  return turn.number / run * (run * lanes) + turn.lane * run + turn.number % run;
}

ThreadElement blocked_holder(const Layout &layout, const Grid &grid, std::int64_t row,
                             std::int64_t column) {
  const std::int64_t rows = grid.rows / layout.warps_m, columns = grid.columns / layout.warps_n;
  const Turn down = turn_of(row % rows, kLanesOfColumn, layout.together),
             across = turn_of(column % columns, kLanesOfRow, layout.beside);
  const std::int64_t warp = column / columns * layout.warps_m + row / rows;
  return {static_cast<int>(warp * kLanes + down.lane * kLanesOfRow + across.lane),
          static_cast<int>(down.number * (columns / kLanesOfRow) + across.number)};
}
std::pair<std::int64_t, std::int64_t> blocked_element(const Layout &layout, const Grid &grid,
                                                      ThreadElement holder) {
  const std::int64_t rows = grid.rows / layout.warps_m, columns = grid.columns / layout.warps_n;
  const std::int64_t warp = holder.thread / kLanes, lane = holder.thread % kLanes,
                     own = columns / kLanesOfRow;
  return {warp % layout.warps_m * rows +
              place_of({lane / kLanesOfRow, holder.element / own}, kLanesOfColumn, layout.together),
          warp / layout.warps_m * columns +
              place_of({lane % kLanesOfRow, holder.element % own}, kLanesOfRow, layout.beside)};
}

/// Where a row of an Accumulator, OperandA or Rows is: the warp among those of the rows, its first
/// lane there, which of the warp's 16 rows, and which half of these.
struct RowPlace {
  std::int64_t warp, lane, repetition, half;
};
RowPlace place_of_row(const Layout &layout, const Grid &grid, std::int64_t row) {
  const std::int64_t block = kRowsOfWarp * layout.together,
                     repetitions = grid.rows / (kRowsOfWarp * layout.warps_m);
  const std::int64_t group = row / (block * repetitions), member = row % block / kRowsOfWarp,
                     within = row % kRowsOfWarp;
  return {group * layout.together + member, within % 8 * 4, row / block % repetitions, within / 8};
}
std::int64_t row_at(const Layout &layout, const Grid &grid, const RowPlace &place) {
  const std::int64_t repetitions = grid.rows / (kRowsOfWarp * layout.warps_m);
  return ((place.warp / layout.together * repetitions + place.repetition) * layout.together +
          place.warp % layout.together) *
             kRowsOfWarp +
         place.lane / 4 + 8 * place.half;
}

}  // namespace

std::string layout_error(const Layout &layout, const Coordinates &extents, int element_bytes) {
  if (layout.kind == Layout::Kind::RowMajor) return "";
  if (layout.kind == Layout::Kind::Swizzled) {
    if (layout.swizzle != 32 && layout.swizzle != 64 && layout.swizzle != 128)
      return "a swizzle is of 32, 64 or 128 bytes";
    if (layout.dimension < 0 || dimension_of(layout) >= extents.size())
      return "the contiguous dimension does not exist";
    const std::int64_t line = extents[dimension_of(layout)] * element_bytes;
    std::string error = multiple("the bytes of a row", line, layout.swizzle);
    return error.empty() ? multiple("the rows", product(extents) * element_bytes / line, 8) : error;
  }
  const bool rows_alone = layout.kind == Layout::Kind::Rows;
  if (layout.dimension < 1 || dimension_of(layout) + (rows_alone ? 0 : 1) > extents.size())
    return "a fragment has rows and columns";
  if (rows_alone && dimension_of(layout) < extents.size()) return "values of rows have no columns";
  if (layout.kind == Layout::Kind::Blocked) return blocked_error(layout, extents);
  if (layout.warps_m < 1 || layout.warps_n < 1 || (layout.together != 1 && layout.together != 4))
    return "a fragment has no warps";
  if (element_bytes != 2 && element_bytes != 4) return "an element of a fragment has 2 or 4 bytes";
  const Grid grid = grid_of(layout, extents);
  if (layout.kind == Layout::Kind::OperandB) {
    std::string error = multiple("the rows", grid.rows, 8 * adjacent(layout, element_bytes));
    return error.empty() ? multiple("the columns", grid.columns, 8 * layout.warps_n) : error;
  }
  if (layout.warps_m % layout.together != 0) return "the warps of a column are no whole warpgroups";
  std::string error = multiple("the rows", grid.rows, kRowsOfWarp * layout.warps_m);
  if (rows_alone) return error;
  const int columns =
      (layout.kind == Layout::Kind::Accumulator ? 8 : 8 * adjacent(layout, element_bytes));
  return error.empty() ? multiple("the columns", grid.columns, columns * layout.warps_n) : error;
}

std::int64_t buffer_bytes(const Coordinates &extents, int element_bytes) {
  return product(extents) * element_bytes;
}

std::int64_t address_of(const Layout &layout, const Coordinates &extents, int element_bytes,
                        const Coordinates &at) {
  if (layout.kind == Layout::Kind::RowMajor)
    return number_of(extents, at, 0, extents.size(), kNone) * element_bytes;
  const std::size_t d = dimension_of(layout);
  const std::int64_t row = number_of(extents, at, 0, extents.size(), d),
                     rows = product(extents) / extents[d], byte = at[d] * element_bytes;
  const std::int64_t line = byte / layout.swizzle, within = byte % layout.swizzle;
  const std::int64_t chunk = (within / kChunk) ^ exchange(layout.swizzle, row);
  return line * rows * layout.swizzle + row * layout.swizzle + chunk * kChunk + within % kChunk;
}

Coordinates element_at(const Layout &layout, const Coordinates &extents, int element_bytes,
                       std::int64_t address) {
  Coordinates at(extents.size());
  if (layout.kind == Layout::Kind::RowMajor) {
    set_number(extents, address / element_bytes, 0, extents.size(), kNone, &at);
    return at;
  }
  const std::size_t d = dimension_of(layout);
  const std::int64_t rows = product(extents) / extents[d], pitch = rows * layout.swizzle;
  const std::int64_t row = address % pitch / layout.swizzle, within = address % layout.swizzle;
  const std::int64_t chunk = (within / kChunk) ^ exchange(layout.swizzle, row);
  set_number(extents, row, 0, extents.size(), d, &at);
  at[d] = (address / pitch * layout.swizzle + chunk * kChunk + within % kChunk) / element_bytes;
  return at;
}

ThreadElement holder_of(const Layout &layout, const Coordinates &extents, int element_bytes,
                        const Coordinates &at) {
  const Grid grid = grid_of(layout, extents);
  const std::size_t split = dimension_of(layout);
  const std::int64_t row = number_of(extents, at, 0, split, kNone),
                     column = number_of(extents, at, split, extents.size(), kNone);
  if (layout.kind == Layout::Kind::Blocked) return blocked_holder(layout, grid, row, column);
  if (layout.kind == Layout::Kind::Rows) {
    const RowPlace place = place_of_row(layout, grid, row);
    return {static_cast<int>(place.warp * kLanes + place.lane),
            static_cast<int>(place.repetition * kHalves + place.half)};
  }
  const std::int64_t beside = adjacent(layout, element_bytes);
  const std::int64_t own_columns = grid.columns / layout.warps_n, warp_n = column / own_columns,
                     own_column = column % own_columns;
  if (layout.kind == Layout::Kind::OperandB) {
    const std::int64_t steps = grid.rows / (8 * beside), step = row / (8 * beside),
                       k = row % (8 * beside);
    const std::int64_t lane = own_column % 8 * 4 + k % (4 * beside) / beside;
    const std::int64_t element =
        ((own_column / 8 * steps + step) * 2 + k / (4 * beside)) * beside + k % beside;
    return {static_cast<int>(warp_n * layout.warps_m * kLanes + lane), static_cast<int>(element)};
  }
  const RowPlace place = place_of_row(layout, grid, row);
  const std::int64_t warp = warp_n * layout.warps_m + place.warp;
  const std::int64_t lane = place.lane + own_column % (4 * beside) / beside;
  const std::int64_t unit = own_column / (4 * beside) * 2 + place.half;
  const std::int64_t element =
      place.repetition * (own_columns / 2) + unit * beside + own_column % beside;
  return {static_cast<int>(warp * kLanes + lane), static_cast<int>(element)};
}

Coordinates element_of(const Layout &layout, const Coordinates &extents, int element_bytes,
                       ThreadElement holder) {
  const Grid grid = grid_of(layout, extents);
  if (layout.kind == Layout::Kind::Blocked) {
    const auto [row, column] = blocked_element(layout, grid, holder);
    return from_grid(layout, extents, row, column);
  }
  const std::int64_t lane = holder.thread % kLanes, warp = holder.thread / kLanes;
  const std::int64_t warp_n = warp / layout.warps_m, warp_m = warp % layout.warps_m;
  if (layout.kind == Layout::Kind::Rows) {
    const std::int64_t row = row_at(
        layout, grid, {warp_m, lane / 4 * 4, holder.element / kHalves, holder.element % kHalves});
    return from_grid(layout, extents, row, 0);
  }
  const std::int64_t beside = adjacent(layout, element_bytes);
  const std::int64_t own_columns = grid.columns / layout.warps_n;
  if (layout.kind == Layout::Kind::OperandB) {
    const std::int64_t steps = grid.rows / (8 * beside), unit = holder.element / beside;
    const std::int64_t k = lane % 4 * beside + holder.element % beside + 4 * beside * (unit % 2) +
                           8 * beside * (unit / 2 % steps);
    return from_grid(layout, extents, k, warp_n * own_columns + lane / 4 + 8 * (unit / 2 / steps));
  }
  const std::int64_t e = holder.element % (own_columns / 2), unit = e / beside;
  const std::int64_t row = row_at(
      layout, grid, {warp_m, lane / 4 * 4, holder.element / (own_columns / 2), unit % kHalves});
  const std::int64_t column =
      warp_n * own_columns + lane % 4 * beside + e % beside + 4 * beside * (unit / 2);
  return from_grid(layout, extents, row, column);
}

int elements_per_thread(const Layout &layout, const Coordinates &extents) {
  const Grid grid = grid_of(layout, extents);
  if (layout.kind == Layout::Kind::Rows)
    return static_cast<int>(grid.rows / (kRowsOfWarp * layout.warps_m) * kHalves);
  // The warps of one column of warps hold the same part of an OperandB.
  const std::int64_t holders =
      layout.kind == Layout::Kind::OperandB ? layout.warps_n : layout.warps_m * layout.warps_n;
  return static_cast<int>(grid.rows * grid.columns / (holders * kLanes));
}

MatrixRow ldmatrix_row(Layout::Kind kind, int lane) {
  internal_check(kind == Layout::Kind::OperandA || kind == Layout::Kind::OperandB,
                 "ldmatrix loads operands");
  // Register R of the fragment is matrix R: rows first in A, steps of k first in B.
  const int matrix = lane / 8, within = lane % 8;
  const int first = matrix % 2 * 8, second = matrix / 2 * 8;
  return kind == Layout::Kind::OperandA ? MatrixRow{first + within, second}
                                        : MatrixRow{second + within, first};
}

}  // namespace pit::ir
