// What the measurements were made on.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace pit::bench {

/// Processor, cores, caches, memory, compiler and LLVM: what, value. Nothing that names the machine
/// itself.
std::vector<std::pair<std::string, std::string>> describe_host();
/// The same and the versions of the host's libraries.
std::vector<std::pair<std::string, std::string>> describe_machine();

/// How many cores this process may use.
int available_cores();

}  // namespace pit::bench
