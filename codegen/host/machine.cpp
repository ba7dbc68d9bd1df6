#include "machine.h"

#include <llvm/ADT/StringRef.h>
#include <llvm/TargetParser/Host.h>

namespace pit::host {

Machine machine_of(const Target &target) {
  Machine machine;
  machine.triple = "x86_64-unknown-linux-gnu";
  machine.threads = !target.has("no_threads");
  machine.profile = target.has("profile");
  if (target.has("avx512")) {
    machine.cpu = "x86-64-v4";
    machine.vector_bytes = 64;
    if (target.has("avx512_bf16")) machine.features = "+avx512bf16";
  } else if (target.has("avx2")) {
    machine.cpu = "x86-64-v3";
    machine.vector_bytes = 32;
  } else {
    machine.cpu = "x86-64";
    machine.features = "+sse3,+ssse3,+sse4.1";
  }
  machine.fma = machine.f16c = target.has("avx2");
  if (missing_feature(target).empty()) machine.tune = llvm::sys::getHostCPUName().str();
  return machine;
}

std::string missing_feature(const Target &target) {
  const Target here;
  for (const char *feature : {"avx2", "avx512", "avx512_bf16"}) {
    if (target.has(feature) && !here.has(feature)) return feature;
  }
  return "";
}

}  // namespace pit::host
