// The rules every module obeys, checked after each pass.
#pragma once

#include <cstdint>
#include <string>

#include "ir.h"

namespace pit::ir {

/// What a multiprocessor has; the default is that of sm_90.
struct DeviceLimits {
  std::int64_t shared_bytes = 227 * 1024;  ///< of one block
  std::int64_t registers = 64 * 1024;
};

/// Throws InternalError naming `pass`, the broken rule and the statement when the module is not
/// well formed: every variable, axis and storage is defined where it is used and defined once;
/// ranks and types agree; axes occur only in tile statements that list them; tiles are indexed in
/// range of their axes where both are known; a Store's iterations do not collide; Mma's operands
/// hold the axes that its roles say; no Func call or index query is left; Parallel loops do not
/// write one element from two iterations (where that can be seen) unless atomic; Syncs are in
/// kernels, outside of loops over threads. Kernels of the staged level also obey verify_staged.h.
void verify(const Module &module, const std::string &pass, const DeviceLimits &limits = {});

}  // namespace pit::ir
