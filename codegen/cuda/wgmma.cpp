#include "wgmma.h"

namespace pit::cuda {

namespace {

constexpr std::int64_t kUnit = 16;  // of addresses and strides in a descriptor
constexpr std::int64_t kRowsOfSwizzle = 8;

}  // namespace

// PTX ISA, "Matrix descriptor": the leading stride in bits 16 to 29, the other in bits 32 to 45,
// the swizzle in bits 62 and 63. Rows of k: eight lines are one repetition of the swizzle, the
// leading stride is not looked at. Transposed: lines run along m or n, their blocks are the leading
// stride apart.
std::uint64_t WgmmaOperand::descriptor() const {
  const std::int64_t line = layout.swizzle;
  const std::int64_t leading = k_major() ? kUnit : rows() * line;
  const std::uint64_t mode = line == 128 ? 1 : line == 64 ? 2 : 3;
  return static_cast<std::uint64_t>(leading / kUnit) << 16 |
         static_cast<std::uint64_t>(kRowsOfSwizzle * line / kUnit) << 32 | mode << 62;
}

std::int64_t WgmmaOperand::offset(std::int64_t at, std::int64_t k16) const {
  const std::int64_t line = layout.swizzle;
  if (k_major()) {
    const std::int64_t byte = k16 * kWgmmaDepth * kWgmmaElementBytes;
    if (at % kRowsOfSwizzle != 0) return -1;
    return at * line + byte / line * rows() * line + byte % line;
  }
  const std::int64_t byte = at * kWgmmaElementBytes;
  if (byte % line != 0) return -1;
  return byte * rows() + k16 * kWgmmaDepth * line;
}

std::string tied_registers(std::int64_t count) {
  std::string text;
  for (std::int64_t i = 0; i < count; ++i) text += "=f,";
  for (std::int64_t i = 0; i < count; ++i) text += std::to_string(i) + ",";
  text.pop_back();
  return text;
}

std::string wgmma_constraints(std::int64_t accumulators) {
  return tied_registers(accumulators) + ",l,l";
}

std::string wgmma_text(std::int64_t columns, Type type, bool a_transposed, bool b_transposed) {
  const std::string name = type == bfloat16 ? "bf16" : "f16";
  const std::int64_t accumulators = columns / 2;
  std::string text = "wgmma.mma_async.sync.aligned.m64n" + std::to_string(columns) + "k16.f32." +
                     name + "." + name + " {";
  for (std::int64_t i = 0; i < accumulators; ++i) text += (i > 0 ? ", $" : "$") + std::to_string(i);
  // The inputs that are tied have numbers too.
  text += "}, $" + std::to_string(2 * accumulators) + ", $" + std::to_string(2 * accumulators + 1);
  return text + ", 1, 1, 1, " + (a_transposed ? "1" : "0") + ", " + (b_transposed ? "1" : "0") +
         ";";
}

}  // namespace pit::cuda
