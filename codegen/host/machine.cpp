#include "machine.h"

#include <llvm/ADT/StringRef.h>
#include <llvm/TargetParser/Host.h>
#include <unistd.h>

namespace pit::host {

namespace {

// The system's word for the size of a cache, or `otherwise` if it has none.
std::int64_t cache_bytes(int name, std::int64_t otherwise) {
  const long bytes = sysconf(name);
  return bytes > 0 ? bytes : otherwise;
}

}  // namespace

Machine portable_machine_of(const Target &target) {
  Machine machine;
  machine.triple = "x86_64-unknown-linux-gnu";
  machine.threads = !target.has("no_threads");
  machine.profile = target.has("profile");
  if (target.has("avx512")) {
    machine.cpu = "x86-64-v4";
    machine.vector_bytes = 64;
    machine.bf16 = target.has("avx512_bf16");
    machine.vnni = target.has("avx512_vnni");
    if (machine.bf16) machine.features = "+avx512bf16";
    if (machine.vnni) machine.features += machine.bf16 ? ",+avx512vnni" : "+avx512vnni";
  } else if (target.has("avx2")) {
    machine.cpu = "x86-64-v3";
    machine.vector_bytes = 32;
  } else {
    machine.cpu = "x86-64";
    machine.features = "+sse3,+ssse3,+sse4.1";
  }
  machine.fma = machine.f16c = target.has("avx2");
  return machine;
}

Machine machine_of(const Target &target) {
  Machine machine = portable_machine_of(target);
  if (missing_feature(target).empty()) {
    machine.tune = llvm::sys::getHostCPUName().str();
    machine.first_cache_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, machine.first_cache_bytes);
    machine.second_cache_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, machine.second_cache_bytes);
  }
  return machine;
}

std::string missing_feature(const Target &target) {
  const Target here;
  for (const char *feature : {"avx2", "avx512", "avx512_bf16", "avx512_vnni"}) {
    if (target.has(feature) && !here.has(feature)) return feature;
  }
  return "";
}

}  // namespace pit::host
