// The CPU that code is generated for, in the words of LLVM.
#pragma once

#include <cstdint>
#include <string>

#include "codegen/llvm/float_unit.h"
#include "dsl/target.h"

namespace pit::host {

/// A value made from a Target. Two machines that compare equal get the same code.
struct Machine {
  std::string triple;    ///< "x86_64-unknown-linux-gnu"
  std::string cpu;       ///< instruction set level: "x86-64", "x86-64-v3", "x86-64-v4"
  std::string features;  ///< beyond the level: "+sse4.1,..."
  std::string tune;      ///< the CPU to schedule instructions for, or empty
  int vector_bytes = 16;
  bool fma = false;   ///< fused multiply-add instructions
  bool f16c = false;  ///< conversion instructions of float16
  bool bf16 = false;  ///< dot products of bfloat16 in vectors of 64 bytes
  bool vnni = false;  ///< dot products of integers in vectors of 64 bytes
  bool threads = true;
  bool profile = false;
  /// Of a core: what a block of an Mma should fit.
  std::int64_t first_cache_bytes = 32 << 10, second_cache_bytes = 512 << 10;

  bool operator==(const Machine &) const = default;
  /// What it converts by an instruction.
  operator code::FloatUnit() const { return {f16c, false}; }  // NOLINT: a part of it
};

/// The machine of a host target, whatever machine this is.
Machine portable_machine_of(const Target &target);

/// The same; code that can run on this machine is tuned for it: its caches and its scheduling.
Machine machine_of(const Target &target);

/// The first feature of `target` that this machine's CPU lacks, or "".
std::string missing_feature(const Target &target);

}  // namespace pit::host
