// Tensors for a drawn program.
#pragma once

#include <map>
#include <string>

#include "program.h"

namespace pit::fuzz {

/// A buffer in memory with room around it, to see what is written where it should not be.
struct GuardedBuffer {
  AnyBuffer memory;  ///< one-dimensional, of bytes
  AnyBuffer view;
};

/// Memory of these extents in a drawn layout: compact, transposed, with gaps, at an odd address
/// (for a device at one that is aligned for the element alone).
GuardedBuffer allocate(Choices *choices, Type type, const Shape &extents);

struct Data {
  std::map<std::string, GuardedBuffer> inputs;
  std::map<std::string, double> scalars;
};

/// Draws a seed and how many zeros there are, and fills every tensor of the program accordingly.
Data draw_data(Choices *choices, const DrawnProgram &program);

}  // namespace pit::fuzz
