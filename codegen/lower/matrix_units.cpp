#include "matrix_units.h"

#include <array>

namespace pit::lower {
namespace {

// A row for each family; what emits it is the back end's.
constexpr std::array kUnits{
    MatrixUnit{"wgmma", "sm_90a", true, 64, 16, 8, 227 * 1024, 64 * 1024},
};

constexpr std::int64_t kElementBytes = 2;

/// A matrix that starts `at` elements along the dimension that is not k starts where a descriptor
/// can: at a line, or at a repetition of the swizzle.
bool starts_at(const OperandInMemory &operand, std::int64_t at) {
  constexpr std::int64_t kRowsOfSwizzle = 8;
  const bool k_major = operand.layout.dimension == operand.k;
  return k_major ? at % kRowsOfSwizzle == 0 : at * kElementBytes % operand.layout.swizzle == 0;
}

}  // namespace

bool MatrixUnit::multiplies(Type a, Type b, Type accumulator) const {
  return a == b && (a == bfloat16 || a == float16) && accumulator == float32;
}

const MatrixUnit *matrix_unit_of(const Target &target) {
  for (const MatrixUnit &unit : kUnits)
    if (target.has(unit.feature)) return &unit;
  return nullptr;
}

std::string cannot_multiply(const MatrixUnit &unit, const ir::Layout &accumulator,
                            const ir::Coordinates &accumulator_extents, const OperandInMemory *a,
                            const OperandInMemory &b) {
  if ((a && a->extents.size() != 2) || b.extents.size() != 2 || accumulator_extents.size() != 2)
    return "an operand has other than two dimensions";
  const std::int64_t depth = b.extents[static_cast<std::size_t>(b.k)];
  if (depth % unit.depth != 0) {
    return "a step sums over " + std::to_string(depth) + " elements, which are no multiple of " +
           std::to_string(unit.depth);
  }
  const std::int64_t rows = accumulator_extents[0] / accumulator.warps_m * accumulator.together,
                     columns = accumulator_extents[1] / accumulator.warps_n;
  if (rows % unit.rows != 0 || columns % unit.columns != 0) {
    return "the part of a warpgroup has " + std::to_string(rows) + " rows and " +
           std::to_string(columns) + " columns, which are no multiples of " +
           std::to_string(unit.rows) + " and " + std::to_string(unit.columns);
  }
  if ((a && !starts_at(*a, unit.rows)) || (accumulator.warps_n > 1 && !starts_at(b, columns)))
    return "the part of a warpgroup starts inside of a line of shared memory";
  return "";
}

}  // namespace pit::lower
