// Objects of earlier emissions, in files.
#pragma once

#include "objects.h"

namespace pit::emit {

/// As compile_objects. What it made before for the same module and target, by this very compiler,
/// it takes from the folder of caches (see pit_cache_folder), where it puts what it makes; without
/// a folder it only makes. A file is named by what it was made of and tells whether it is whole.
TargetCode cached_objects(const ir::Module &module, const Target &target, bool elementwise);

}  // namespace pit::emit
