// The CPU that code is generated for, in the words of LLVM.
#pragma once

#include <string>

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
  bool threads = true;
  bool profile = false;

  bool operator==(const Machine &) const = default;
};

/// The machine of a host target. Code that runs on this machine is tuned for it.
Machine machine_of(const Target &target);

/// The first feature of `target` that this machine's CPU lacks, or "".
std::string missing_feature(const Target &target);

}  // namespace pit::host
