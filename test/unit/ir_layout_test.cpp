#include <doctest/doctest.h>

#include <array>
#include <set>
#include <utility>

#include "codegen/ir/layout.h"

namespace pit::ir {
namespace {

using Kind = Layout::Kind;

TEST_CASE("layout - swizzled chunks are where wgmma and TMA expect them") {
  // 64 rows of 64 bfloat16, K-major: one line a row, chunk c of row r stored as c ^ (r & 7).
  const Layout k_major = Layout::swizzled(128, 1);
  const Coordinates a{64, 64};
  CHECK(address_of(k_major, a, 2, {0, 0}) == 0);
  CHECK(address_of(k_major, a, 2, {1, 0}) == 128 + 16);
  CHECK(address_of(k_major, a, 2, {1, 8}) == 128);
  CHECK(address_of(k_major, a, 2, {7, 13}) == 7 * 128 + (1 ^ 7) * 16 + 5 * 2);
  CHECK(address_of(k_major, a, 2, {9, 63}) == 9 * 128 + (7 ^ 1) * 16 + 7 * 2);
  // 128 k of bfloat16: the second 64 follow all rows of the first.
  CHECK(address_of(k_major, {64, 128}, 2, {3, 64}) == 64 * 128 + 3 * 128 + (0 ^ 3) * 16);
  // MN-major: [64 k][128 m] is two blocks of [64 k][64 m], as the prototype of PIT axis k has it.
  const Layout m_major = Layout::swizzled(128, 0);
  CHECK(address_of(m_major, {128, 64}, 2, {70, 10}) ==
        8192 + 10 * 128 + (0 ^ (10 & 7)) * 16 + 6 * 2);
  // 64 and 32 bytes exchange by higher bits of the row.
  CHECK(address_of(Layout::swizzled(64, 1), {16, 32}, 2, {2, 0}) == 2 * 64 + 1 * 16);
  CHECK(address_of(Layout::swizzled(64, 1), {16, 32}, 2, {1, 0}) == 64);
  CHECK(address_of(Layout::swizzled(32, 1), {16, 16}, 2, {4, 0}) == 4 * 32 + 16);
  CHECK(address_of(Layout::swizzled(32, 1), {16, 16}, 2, {3, 0}) == 3 * 32);
  CHECK(address_of(Layout(), {4, 8}, 4, {2, 3}) == (2 * 8 + 3) * 4);
}

TEST_CASE("layout - every address of a buffer is one element") {
  const struct {
    Layout layout;
    Coordinates extents;
    int bytes;
  } cases[] = {{Layout(), {3, 5, 7}, 2},
               {Layout::swizzled(128, 1), {64, 128}, 2},
               {Layout::swizzled(128, 0), {128, 24}, 2},
               {Layout::swizzled(64, 1), {8, 64}, 2},
               {Layout::swizzled(32, 1), {24, 8}, 4},
               {Layout::swizzled(128, 0), {64, 2, 8}, 4},
               {Layout::swizzled(128, 2), {2, 8, 64}, 2}};
  for (const auto &c : cases) {
    REQUIRE(layout_error(c.layout, c.extents, c.bytes) == "");
    std::set<Coordinates> seen;
    const std::int64_t size = buffer_bytes(c.extents, c.bytes);
    for (std::int64_t address = 0; address < size; address += c.bytes) {
      const Coordinates at = element_at(c.layout, c.extents, c.bytes, address);
      for (std::size_t d = 0; d < at.size(); ++d) REQUIRE((at[d] >= 0 && at[d] < c.extents[d]));
      REQUIRE(address_of(c.layout, c.extents, c.bytes, at) == address);
      REQUIRE(seen.insert(at).second);
    }
  }
}

TEST_CASE("layout - the accumulators of wgmma and mma.sync are those of PTX") {
  // wgmma m64n256 D: thread t, register r.
  const Layout wgmma = Layout::fragment(Kind::Accumulator, 1, 4, 1, 4);
  const Coordinates tile{64, 256};
  CHECK(elements_per_thread(wgmma, tile) == 128);
  CHECK(element_of(wgmma, tile, 4, {0, 0}) == Coordinates{0, 0});
  CHECK(element_of(wgmma, tile, 4, {0, 1}) == Coordinates{0, 1});
  CHECK(element_of(wgmma, tile, 4, {0, 2}) == Coordinates{8, 0});
  CHECK(element_of(wgmma, tile, 4, {0, 4}) == Coordinates{0, 8});
  CHECK(element_of(wgmma, tile, 4, {5, 3}) == Coordinates{9, 3});
  CHECK(element_of(wgmma, tile, 4, {127, 127}) == Coordinates{63, 255});
  // Two warpgroups on 256 rows: each has two m64, one after the other.
  const Layout two = Layout::fragment(Kind::Accumulator, 1, 8, 1, 4);
  CHECK(element_of(two, {256, 8}, 4, {0, 4}) == Coordinates{64, 0});
  CHECK(element_of(two, {256, 8}, 4, {128, 0}) == Coordinates{128, 0});
  CHECK(element_of(two, {256, 8}, 4, {32, 0}) == Coordinates{16, 0});
  // mma.sync m16n8 C, 2 x 2 warps on 64 x 32: a warp has two m16, then columns.
  const Layout sync = Layout::fragment(Kind::Accumulator, 1, 2, 2, 1);
  CHECK(element_of(sync, {64, 32}, 4, {0, 8}) == Coordinates{16, 0});
  CHECK(element_of(sync, {64, 32}, 4, {32, 0}) == Coordinates{32, 0});
  CHECK(element_of(sync, {64, 32}, 4, {64, 0}) == Coordinates{0, 16});
  CHECK(element_of(sync, {64, 32}, 4, {31, 3}) == Coordinates{15, 7});
}

TEST_CASE("layout - operand fragments are those of mma.sync m16n8k16 and m16n8k8") {
  const Layout a = Layout::fragment(Kind::OperandA, 1, 1, 1, 1);
  // 2-byte types: a0 a1 (g, 2t), a2 a3 (g + 8, ..), a4 a5 (g, 2t + 8), a6 a7 (g + 8, 2t + 8).
  CHECK(element_of(a, {16, 16}, 2, {6, 0}) == Coordinates{1, 4});
  CHECK(element_of(a, {16, 16}, 2, {6, 3}) == Coordinates{9, 5});
  CHECK(element_of(a, {16, 16}, 2, {6, 4}) == Coordinates{1, 12});
  CHECK(element_of(a, {16, 16}, 2, {6, 7}) == Coordinates{9, 13});
  // tf32: a0 (g, t), a1 (g + 8, t), a2 (g, t + 4), a3 (g + 8, t + 4).
  CHECK(element_of(a, {16, 8}, 4, {6, 1}) == Coordinates{9, 2});
  CHECK(element_of(a, {16, 8}, 4, {6, 2}) == Coordinates{1, 6});
  const Layout b = Layout::fragment(Kind::OperandB, 1, 1, 1, 1);
  // b0 b1 (2t, g), b2 b3 (2t + 8, g).
  CHECK(element_of(b, {16, 8}, 2, {6, 1}) == Coordinates{5, 1});
  CHECK(element_of(b, {16, 8}, 2, {6, 2}) == Coordinates{12, 1});
  CHECK(element_of(b, {8, 8}, 4, {6, 1}) == Coordinates{6, 1});
  CHECK(element_of(b, {16, 16}, 2, {0, 4}) == Coordinates{0, 8});
  // An accumulator of scores is the operand of the next mma, register by register.
  const Layout scores = Layout::fragment(Kind::Accumulator, 1, 4, 1, 4),
               weights = Layout::fragment(Kind::OperandA, 1, 4, 1, 4);
  for (const int thread : {0, 37, 127}) {
    for (int r = 0; r < 32; ++r) {
      CHECK(element_of(scores, {64, 64}, 4, {thread, r}) ==
            element_of(weights, {64, 64}, 2, {thread, r}));
    }
  }
}

TEST_CASE("layout - threads of a blocked layout take rows and columns in turns") {
  const Layout layout = Layout::blocked(1, 2, 1, 1, 4);
  const Coordinates tile{16, 64};
  CHECK(elements_per_thread(layout, tile) == 16);
  CHECK(element_of(layout, tile, 4, {0, 3}) == Coordinates{0, 3});
  CHECK(element_of(layout, tile, 4, {0, 4}) == Coordinates{0, 32});
  CHECK(element_of(layout, tile, 4, {0, 8}) == Coordinates{4, 0});
  CHECK(element_of(layout, tile, 4, {1, 0}) == Coordinates{0, 4});
  CHECK(element_of(layout, tile, 4, {8, 0}) == Coordinates{1, 0});
  CHECK(element_of(layout, tile, 4, {32, 0}) == Coordinates{8, 0});
  CHECK(element_of(Layout::blocked(1, 2, 1, 2, 4), tile, 4, {8, 8}) == Coordinates{3, 0});
}

TEST_CASE("layout - every element of a fragment has one holder") {
  const struct {
    Layout layout;
    Coordinates extents;
    int bytes, threads;
  } cases[] = {{Layout::fragment(Kind::Accumulator, 1, 4, 1, 4), {64, 24}, 4, 128},
               {Layout::fragment(Kind::Accumulator, 1, 8, 1, 4), {256, 16}, 4, 256},
               {Layout::fragment(Kind::Accumulator, 1, 4, 2, 4), {128, 64}, 4, 256},
               {Layout::fragment(Kind::Accumulator, 2, 2, 2, 1), {2, 32, 4, 16}, 4, 128},
               {Layout::fragment(Kind::OperandA, 1, 4, 1, 4), {128, 64}, 2, 128},
               {Layout::fragment(Kind::OperandA, 1, 2, 1, 1), {32, 16}, 4, 64},
               {Layout::fragment(Kind::OperandB, 1, 1, 2, 1), {32, 32}, 2, 64},
               {Layout::fragment(Kind::OperandB, 1, 1, 1, 1), {16, 16}, 4, 32},
               {Layout::blocked(1, 2, 2, 1, 4), {64, 128}, 4, 128},
               {Layout::blocked(1, 1, 4, 4, 1), {32, 64}, 4, 128},
               {Layout::blocked(1, 2, 1, 2, 2), {32, 48}, 8, 64},
               {Layout::blocked(2, 2, 1, 1, 2), {2, 4, 32}, 8, 64}};
  for (const auto &c : cases) {
    REQUIRE(layout_error(c.layout, c.extents, c.bytes) == "");
    std::set<Coordinates> seen;
    const int each = elements_per_thread(c.layout, c.extents);
    for (int thread = 0; thread < c.threads; ++thread) {
      for (int e = 0; e < each; ++e) {
        const Coordinates at = element_of(c.layout, c.extents, c.bytes, {thread, e});
        for (std::size_t d = 0; d < at.size(); ++d) REQUIRE((at[d] >= 0 && at[d] < c.extents[d]));
        REQUIRE(holder_of(c.layout, c.extents, c.bytes, at) == ThreadElement{thread, e});
        REQUIRE(seen.insert(at).second);
      }
    }
    CHECK(static_cast<std::int64_t>(seen.size()) == buffer_bytes(c.extents, 1));
  }
}

TEST_CASE("layout - values of rows are where the rows' elements are") {
  for (const auto &[warps_m, warps_n, together, rows] :
       {std::array{4, 1, 4, 128}, {8, 1, 4, 128}, {2, 3, 1, 96}, {4, 2, 4, 64}}) {
    const Layout sums = Layout::fragment(Kind::Accumulator, 1, warps_m, warps_n, together),
                 values = Layout::fragment(Kind::Rows, 1, warps_m, warps_n, together);
    const Coordinates extents{rows, 24 * warps_n};
    REQUIRE(layout_error(sums, extents, 4) == "");
    REQUIRE(layout_error(values, {rows}, 4) == "");
    CHECK(elements_per_thread(values, {rows}) == rows / warps_m / 8);
    for (int thread = 0; thread < 32 * warps_m * warps_n; ++thread) {
      std::set<std::int64_t> of_sums;
      for (int e = 0; e < elements_per_thread(sums, extents); ++e)
        of_sums.insert(element_of(sums, extents, 4, {thread, e})[0]);
      std::set<std::int64_t> of_values;
      for (int e = 0; e < elements_per_thread(values, {rows}); ++e) {
        const Coordinates at = element_of(values, {rows}, 4, {thread, e});
        of_values.insert(at[0]);
        const ThreadElement first = holder_of(values, {rows}, 4, at);
        CHECK(first.element == e);
        CHECK(first.thread % 32 == thread % 32 / 4 * 4);
      }
      CHECK(of_values == of_sums);
    }
  }
}

TEST_CASE("layout - ldmatrix gives each lane the first elements of its fragment") {
  // Register R of lane l is elements (l / 4, 2 (l % 4)) of the 8 x 8 whose rows lanes 8 R + i name.
  for (int lane = 0; lane < 32; ++lane) {
    for (int e = 0; e < 8; ++e) {
      const MatrixRow a = ldmatrix_row(Kind::OperandA, 8 * (e / 2) + lane / 4);
      CHECK(element_of(Layout::fragment(Kind::OperandA, 1, 1, 1, 1), {16, 16}, 2, {lane, e}) ==
            Coordinates{a.row, a.column + 2 * (lane % 4) + e % 2});
      const MatrixRow b = ldmatrix_row(Kind::OperandB, 8 * (e / 2) + lane / 4);
      CHECK(element_of(Layout::fragment(Kind::OperandB, 1, 1, 1, 1), {16, 16}, 2, {lane, e}) ==
            Coordinates{b.column + 2 * (lane % 4) + e % 2, b.row});
    }
  }
}

TEST_CASE("layout - what a layout cannot be is said") {
  CHECK(layout_error(Layout::swizzled(128, 1), {64, 32}, 2) ==
        "the bytes of a row (64) are no multiple of 128");
  CHECK(layout_error(Layout::swizzled(128, 1), {4, 64}, 2) == "the rows (4) are no multiple of 8");
  CHECK(layout_error(Layout::fragment(Kind::Rows, 1, 4, 1, 4), {64, 2}, 4) ==
        "values of rows have no columns");
  CHECK(layout_error(Layout::fragment(Kind::Rows, 1, 4, 1, 4), {32}, 4) ==
        "the rows (32) are no multiple of 64");
  CHECK(layout_error(Layout::swizzled(48, 1), {8, 24}, 2) == "a swizzle is of 32, 64 or 128 bytes");
  CHECK(layout_error(Layout::fragment(Kind::Accumulator, 1, 4, 1, 4), {32, 8}, 4) ==
        "the rows (32) are no multiple of 64");
  CHECK(layout_error(Layout::fragment(Kind::Accumulator, 1, 6, 1, 4), {96, 8}, 4) ==
        "the warps of a column are no whole warpgroups");
  CHECK(layout_error(Layout::blocked(1, 2, 1, 1, 4), {12, 32}, 4) ==
        "the rows (12) are no multiple of 8");
  CHECK(layout_error(Layout::blocked(1, 2, 1, 1, 4), {16, 48}, 4) ==
        "the columns (48) are no multiple of 32");
}

}  // namespace
}  // namespace pit::ir
