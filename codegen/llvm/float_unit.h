// What a target has for 16-bit floats.
#pragma once

namespace pit::code {

/// Conversions that the target has instructions for; the others are done on the bits.
struct FloatUnit {
  bool half = false;    ///< between float16 and float
  bool bfloat = false;  ///< between bfloat16 and float
};

}  // namespace pit::code
