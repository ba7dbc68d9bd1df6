// Where the elements of a tile lie on a GPU: memory spaces, and layouts that map coordinates to an
// address in shared memory or to a thread and the number of its element.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pit::ir {

/// Where a tile lives. Abstract: not chosen yet (the logical level). Shared: memory of the block.
/// Registers: the threads of the role that allocates it (PTX .reg), so no other role may name it.
enum class Memory : std::uint8_t { Abstract, Shared, Registers };

/// How the elements of one buffer of a tile are arranged. A value; functions below are its meaning.
///
/// RowMajor: the last dimension is contiguous. In registers, each thread has what it needs: scalars
/// are in every thread, other elements where the back end wants them.
///
/// Swizzled (shared memory): the order that wgmma, TMA and a conflict-free ldmatrix want. Dimension
/// `dimension` is contiguous; the others, row-major, are numbered as rows. Elements of `swizzle`
/// bytes (32, 64 or 128) of a row are one line; lines of consecutive rows are consecutive; a row of
/// several lines continues `rows * swizzle` bytes further. In a line the 16-byte chunk c of row r
/// is stored as chunk c ^ (r & 7) for 128 bytes, c ^ (r >> 1 & 3) for 64, c ^ (r >> 2 & 1) for 32,
/// as PTX's Swizzle<3|2|1, 4, 3> of the address. A buffer is aligned to 1024 bytes. K-major and
/// MN-major operands are the same layout with another contiguous dimension.
///
/// Fragments (registers): the first `dimension` dimensions, row-major, are rows, the others
/// columns. `warps_m` x `warps_n` warps divide rows and columns evenly; the warp (i, j) is number
/// j * warps_m + i of its role. Rows are issued to `together` warps at once (1: mma.sync; 4: the
/// warpgroup of wgmma), 16 rows a warp, and such a group owns consecutive rows. Within 16 rows,
/// lane l and its element number e, with `adjacent` elements of a row beside each other (2 in an
/// accumulator, 4 / bytes of an element in an operand), R = e / adjacent:
///   Accumulator, OperandA: row l/4 + 8 (R & 1), column (l & 3) adjacent + e % adjacent
///     + 4 adjacent (R >> 1); the accumulators of the next 16 rows follow. This is the D fragment
///     of wgmma m64nNk* and of mma.sync m16n8k*, and the A fragment of both.
///   OperandB (of mma.sync; rows are k, columns n): k = (l & 3) adjacent + e % adjacent
///     + 4 adjacent (R & 1) + 8 adjacent (step of k), n = l/4 + 8 (tile of n); steps of k are
///     inside tiles of n.
///
/// Blocked (registers): the sums of outer products that each thread computes by itself. Rows and
/// columns are divided among warps as above. Of a warp's part, lanes take turns: each has
/// `together` consecutive rows, 4 groups of 8 lanes one after the other, and `beside` consecutive
/// columns, the 8 lanes of a group one after the other; and again, until all rows and columns are
/// taken. A thread's elements are those of its first row, then of its next.
///
/// Rows (registers): a value for each row of an Accumulator of the same numbers, such as a row's
/// maximum. A thread has those of the rows of which it holds elements, in their order: all warps of
/// a row, and the four lanes there, have the same value.
struct Layout {
  enum class Kind : std::uint8_t {
    RowMajor,
    Swizzled,
    Accumulator,
    OperandA,
    OperandB,
    Blocked,
    Rows
  };
  Kind kind = Kind::RowMajor;
  int dimension = 0;
  int swizzle = 0;
  int warps_m = 0, warps_n = 0, together = 0;
  int beside = 0;

  static Layout swizzled(int bytes, int contiguous) {
    return {Kind::Swizzled, contiguous, bytes, 0, 0, 0, 0};
  }
  static Layout fragment(Kind kind, int rows, int warps_m, int warps_n, int together) {
    return {kind, rows, 0, warps_m, warps_n, together, 0};
  }
  static Layout blocked(int rows, int warps_m, int warps_n, int together, int beside) {
    return {Kind::Blocked, rows, 0, warps_m, warps_n, together, beside};
  }
  bool is_fragment() const { return kind != Kind::RowMajor && kind != Kind::Swizzled; }
  bool operator==(const Layout &) const = default;
};

/// Where an Allocate puts a tile. `buffered`: the first dimension of the storage is the number of
/// its buffers, a constant, and the layout is that of one buffer.
struct Placement {
  Memory memory = Memory::Abstract;
  bool buffered = false;
  Layout layout;
  bool operator==(const Placement &) const = default;
};

/// The element of a fragment: `element` counts the elements of a thread.
struct ThreadElement {
  int thread, element;
  bool operator==(const ThreadElement &) const = default;
};

using Coordinates = std::vector<std::int64_t>;

/// Empty when a buffer of these extents and this size of an element can have the layout; else why
/// not ("rows are no multiple of ...").
std::string layout_error(const Layout &layout, const Coordinates &extents, int element_bytes);

/// The bytes of one buffer in shared memory (RowMajor or Swizzled).
std::int64_t buffer_bytes(const Coordinates &extents, int element_bytes);
/// The byte of a buffer where an element starts, and its inverse.
std::int64_t address_of(const Layout &layout, const Coordinates &extents, int element_bytes,
                        const Coordinates &at);
Coordinates element_at(const Layout &layout, const Coordinates &extents, int element_bytes,
                       std::int64_t address);

/// The holder of an element of a fragment, the first one where several hold it, and its inverse.
ThreadElement holder_of(const Layout &layout, const Coordinates &extents, int element_bytes,
                        const Coordinates &at);
Coordinates element_of(const Layout &layout, const Coordinates &extents, int element_bytes,
                       ThreadElement holder);
/// How many elements each thread holds.
int elements_per_thread(const Layout &layout, const Coordinates &extents);

/// The row (of 8 contiguous 2-byte elements) whose address lane `lane` gives to ldmatrix.x4, so
/// that the four registers it returns are the first elements of an OperandA fragment (16 rows x 16
/// k) or of an OperandB fragment (two tiles of n, stored with k contiguous): (row, k) or (n, k).
struct MatrixRow {
  int row, column;
  bool operator==(const MatrixRow &) const = default;
};
MatrixRow ldmatrix_row(Layout::Kind kind, int lane);

}  // namespace pit::ir
