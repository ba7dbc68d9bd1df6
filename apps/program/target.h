// Targets on the command line of programs that compile.
#pragma once

#include <pit/pit.h>

#include "command_line.h"

namespace pit::program {

/// The value of this option. "cuda" stands for the target of the first CUDA device, or without one
/// for any. UsageError where it is no target.
Target target_of(CommandLine &line);

}  // namespace pit::program
