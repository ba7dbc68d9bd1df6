#include "device.h"

namespace pit::cuda {

Device device_of(const Target &target) {
  // A block has all of a multiprocessor's shared memory but 1 KB, which the driver keeps.
  if (target.has("sm_90a")) return {90, true, 227 << 10, "sm_90a", "+ptx83"};
  return {80, false, 163 << 10, "sm_80", "+ptx83"};
}

}  // namespace pit::cuda
