// What the schedule says of the kernel that makes a tensor.
#pragma once

#include <map>
#include <optional>

#include "codegen/ir/ir.h"

namespace pit::lower {

struct KernelChoice {
  int cluster = 1;               ///< cluster(): its blocks
  std::optional<int> tile_rows;  ///< tile_order(), as PipelineOptions has it
  bool longest_first = false;    ///< tile_order(LongestFirst): see longest_first.h
};

/// By what the kernel stores.
using KernelChoices = std::map<StoragePtr, KernelChoice>;

}  // namespace pit::lower
