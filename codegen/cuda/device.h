// The kind of GPU that code is generated for.
#pragma once

#include <cstdint>
#include <string>

#include "dsl/target.h"

namespace pit::cuda {

struct Device {
  int architecture = 80;          ///< compute capability, 90 = 9.0
  bool specific = false;          ///< code runs on exactly this architecture (sm_90a)
  std::int64_t shared_bytes = 0;  ///< the most shared memory that a block can have
  std::string cpu;                ///< in LLVM's words, "sm_90a"
  std::string features;           ///< "+ptx83"

  bool operator==(const Device &) const = default;
};

/// The device of a CUDA target: that of its newest sm_ feature.
Device device_of(const Target &target);

}  // namespace pit::cuda
