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

std::string set_registers(std::int64_t count, char kind, bool early) {
  std::string text;
  for (std::int64_t i = 0; i < count; ++i)
    text += std::string(i > 0 ? ",=" : "=") + (early ? "&" : "") + kind;
  return text;
}

std::string tied_registers(std::int64_t count, char kind) {
  std::string text = set_registers(count, kind) + ",";
  for (std::int64_t i = 0; i < count; ++i) text += std::to_string(i) + ",";
  text.pop_back();
  return text;
}

std::string WgmmaInstructions::constraints() const {
  std::string all =
      adds ? tied_registers(columns / 2, 'f') : set_registers(columns / 2, 'f', steps > 1);
  for (std::int64_t step = 0; step < steps; ++step) all += a_in_registers ? ",r,r,r,r,l" : ",l,l";
  return all;
}

std::string WgmmaInstructions::text() const {
  const std::string name = type == bfloat16 ? "bf16" : "f16";
  const std::int64_t accumulators = columns / 2;
  // The inputs that are tied have numbers too.
  std::int64_t next = (adds ? 2 : 1) * accumulators;
  const auto list = [](std::int64_t first, std::int64_t count) {
    std::string registers = "{";
    for (std::int64_t i = 0; i < count; ++i)
      registers += (i > 0 ? ", $" : "$") + std::to_string(first + i);
    return registers + "}";
  };
  const std::string start = "wgmma.mma_async.sync.aligned.m64n" + std::to_string(columns) +
                            "k16.f32." + name + "." + name + " " + list(0, accumulators) + ", ";
  constexpr std::int64_t kLeft = 4;
  std::string all;
  for (std::int64_t step = 0; step < steps; ++step) {
    if (step > 0) all += "\n\t";
    all += start + (a_in_registers ? list(next, kLeft) : "$" + std::to_string(next));
    next += a_in_registers ? kLeft : 1;
    all += ", $" + std::to_string(next++) + (adds || step > 0 ? ", 1" : ", 0") + ", 1, 1";
    // Registers are never transposed.
    if (!a_in_registers) all += a_transposed ? ", 1" : ", 0";
    all += b_transposed ? ", 1;" : ", 0;";
  }
  return all;
}

}  // namespace pit::cuda
